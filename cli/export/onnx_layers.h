/* cli/export/onnx_layers.h - the layers of a net as ONNX nodes. */
#ifndef CSL_EXPORT_ONNX_LAYERS_H
#define CSL_EXPORT_ONNX_LAYERS_H
#include "cli/export/onnx_graph.h"
#include "coordinator/model/model_file.h"
#include "site-agent/training/model.h"

/* One net while its part of the graph is made. */
struct csl_onnx_net {
    struct csl_onnx_graph *graph;
    const struct csl_model_file *model; /* has the tensors of the net's schema */
    const struct csl_domain *domain;    /* what it reads, or predicts from what others gave */
    struct csl_net net;
    bool is_tokens;                /* the value made last is [records, tokens, values] */
    char value[CSL_ONNX_NAME_MAX]; /* the value made last, what the next node takes */
};

/* The node; what it makes is the value made last. */
void csl_onnx__put(struct csl_onnx_net *o, const struct csl_onnx_node *node);
/* A node that takes the value made last, then `second` and `third` (NULL: none). */
void csl_onnx__add(struct csl_onnx_net *o, const char *op, const char *second, const char *third,
                   const char *output);
void csl_onnx__add_with(struct csl_onnx_net *o, const char *op, const char *attribute,
                        int64_t value, const char *output);
/* A node of two named values. */
void csl_onnx__binary(struct csl_onnx_net *o, const char *op, const char *a, const char *b,
                      const char *output);
/* The sum of `from` along an axis, which goes away. */
void csl_onnx__sum(struct csl_onnx_net *o, const char *from, int64_t axis, const char *output);
void csl_onnx__float(struct csl_onnx_net *o, const char *name, float value);
/* A constant of whole numbers, as Reshape and ReduceSum take them. */
void csl_onnx__ints(struct csl_onnx_net *o, const char *name, uint64_t count,
                    const int64_t *values);
/* The tensor of the model that starts at `first`, as a constant of its own shape; its name. */
const char *csl_onnx__weights(struct csl_onnx_net *o, uint64_t first);

/* A convolution or patches come first: the input is [records, axes.., channels]; everything else
 * takes [records, values]. */
bool csl_onnx__is_spatial(const struct csl_domain *d);
/* The layers, from inputs to logits; of a joined net those behind its first, which fuses.
 * CSL_E_UNSUPPORTED: a layer has no node here. */
enum csl_code csl_onnx__layers(struct csl_onnx_net *o, struct csl_err *err);

/* onnx_tokens.c: what only texts and transformers have. */
enum csl_code csl_onnx__add_embedding(struct csl_onnx_net *o, const struct csl_layer *l,
                                      const char *output, struct csl_err *err);
enum csl_code csl_onnx__add_places(struct csl_onnx_net *o, const struct csl_layer *l,
                                   const char *output, struct csl_err *err);
enum csl_code csl_onnx__add_layer_norm(struct csl_onnx_net *o, const struct csl_layer *l,
                                       const char *output, struct csl_err *err);
enum csl_code csl_onnx__add_attention(struct csl_onnx_net *o, const struct csl_layer *l,
                                      const char *output, struct csl_err *err);
enum csl_code csl_onnx__add_gelu(struct csl_onnx_net *o, const struct csl_layer *l,
                                 const char *output, struct csl_err *err);

#endif
