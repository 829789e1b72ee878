/* cli/export/onnx_graph.h - nodes, constants and named values of an ONNX graph, as the fields of
 * onnx/onnx.proto (messages NodeProto, TensorProto, ValueInfoProto, ModelProto). */
#ifndef CSL_EXPORT_ONNX_GRAPH_H
#define CSL_EXPORT_ONNX_GRAPH_H
#include "base/buf.h"
#include "base/limits.h"

#include <stdbool.h>

#define CSL_ONNX_INPUTS_MAX     CSL_STUDY_INPUTS_MAX
#define CSL_ONNX_RANK_MAX       4
#define CSL_ONNX_ATTRIBUTES_MAX 3
#define CSL_ONNX_INTS_MAX       5
#define CSL_ONNX_NAME_MAX       (3 * CSL_ID_MAX)

/* TensorProto.DataType */
enum csl_onnx_type {
    CSL_ONNX_FLOAT = 1,
    CSL_ONNX_INT64 = 7,
    CSL_ONNX_BOOL = 9,
    CSL_ONNX_DOUBLE = 11
};

/* Nodes in the order of the computation. Names of values that are given to the functions below are
 * of the part of the graph at hand and get its prefix; one that begins with '/' is of the whole
 * graph: what follows the '/'. */
struct csl_onnx_graph {
    struct csl_buf nodes, constants, inputs, outputs; /* fields of GraphProto */
    char prefix[CSL_ID_MAX + 1];                      /* "" in a graph of one part */
};
/* AttributeProto.AttributeType */
enum csl_onnx_kind { CSL_ONNX_ATTR_FLOAT = 1, CSL_ONNX_ATTR_INT = 2, CSL_ONNX_ATTR_INTS = 7 };
struct csl_onnx_attribute {
    const char *name; /* NULL: no more */
    enum csl_onnx_kind kind;
    float f;
    int64_t i[CSL_ONNX_INTS_MAX]; /* int: [0]; ints: [count] */
    uint32_t count;
};
struct csl_onnx_node {
    const char *op;
    const char *inputs[CSL_ONNX_INPUTS_MAX]; /* NULL: no more */
    const char *output;                      /* also the name of the node */
    struct csl_onnx_attribute attributes[CSL_ONNX_ATTRIBUTES_MAX];
};
struct csl_onnx_value {
    const char *name, *doc;
    enum csl_onnx_type type;
    uint32_t rank; /* of one record: the first axis, "records", is not counted */
    uint64_t shape[CSL_ONNX_RANK_MAX];
};
struct csl_onnx_model {
    const char *name, *doc;                               /* of the graph */
    void (*put_metadata)(void *ctx, struct csl_buf *out); /* with csl_onnx__metadata */
    void *ctx;
};

void csl_onnx__init(struct csl_onnx_graph *g, size_t bytes_max);
void csl_onnx__release(struct csl_onnx_graph *g);
void csl_onnx__node(struct csl_onnx_graph *g, const struct csl_onnx_node *node);
/* values: [product of shape] of `type`; rank 0: one value */
void csl_onnx__constant(struct csl_onnx_graph *g, const char *name, enum csl_onnx_type type,
                        uint32_t rank, const uint64_t *shape, const void *values);
void csl_onnx__input(struct csl_onnx_graph *g, const struct csl_onnx_value *v);
/* Named like the node that makes it. */
void csl_onnx__output(struct csl_onnx_graph *g, const struct csl_onnx_value *v);
void csl_onnx__metadata(struct csl_buf *out, const char *key, const char *value);
/* The whole ModelProto. */
void csl_onnx__model(struct csl_buf *out, const struct csl_onnx_graph *g,
                     const struct csl_onnx_model *m);

#endif
