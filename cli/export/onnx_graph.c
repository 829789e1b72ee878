#include "cli/export/onnx_graph.h"

#include "cli/export/protobuf_write.h"

#include <stdio.h>

#define IR_VERSION    7
#define OPSET_VERSION 13

/* Field numbers of onnx/onnx.proto. */
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP_TYPE = 4, NODE_ATTRIBUTE = 5 };
enum {
    ATTRIBUTE_NAME = 1,
    ATTRIBUTE_F = 2,
    ATTRIBUTE_I = 3,
    ATTRIBUTE_INTS = 8,
    ATTRIBUTE_TYPE = 20
};
enum { TENSOR_DIMS = 1, TENSOR_DATA_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW_DATA = 9 };
enum { VALUE_NAME = 1, VALUE_TYPE = 2, VALUE_DOC = 3 };
enum { TYPE_TENSOR = 1, TYPE_TENSOR_ELEM = 1, TYPE_TENSOR_SHAPE = 2 };
enum { SHAPE_DIM = 1, DIM_VALUE = 1, DIM_PARAM = 2 };
enum {
    GRAPH_NODE = 1,
    GRAPH_NAME = 2,
    GRAPH_INITIALIZER = 5,
    GRAPH_DOC = 10,
    GRAPH_INPUT = 11,
    GRAPH_OUTPUT = 12
};
enum { OPSET_DOMAIN = 1, OPSET_VERSION_FIELD = 2 };
enum { ENTRY_KEY = 1, ENTRY_VALUE = 2 };
enum {
    MODEL_IR_VERSION = 1,
    MODEL_PRODUCER = 2,
    MODEL_GRAPH = 7,
    MODEL_OPSET = 8,
    MODEL_METADATA = 14
};

void csl_onnx__init(struct csl_onnx_graph *g, size_t bytes_max)
{
    csl_buf_init(&g->nodes, bytes_max);
    csl_buf_init(&g->constants, bytes_max);
    csl_buf_init(&g->inputs, bytes_max);
    csl_buf_init(&g->outputs, bytes_max);
    g->prefix[0] = '\0';
}

void csl_onnx__release(struct csl_onnx_graph *g)
{
    csl_buf_release(&g->nodes);
    csl_buf_release(&g->constants);
    csl_buf_release(&g->inputs);
    csl_buf_release(&g->outputs);
}

static void put_name(struct csl_buf *b, const struct csl_onnx_graph *g, uint32_t field,
                     const char *name)
{
    char whole[CSL_ONNX_NAME_MAX];
    bool is_whole = name[0] == '/';
    snprintf(whole, sizeof(whole), "%s%s", is_whole ? "" : g->prefix, name + is_whole);
    csl_protobuf__str(b, field, whole);
}

static void put_attribute(struct csl_buf *b, const struct csl_onnx_attribute *a)
{
    size_t start = csl_protobuf__begin(b, NODE_ATTRIBUTE);
    csl_protobuf__str(b, ATTRIBUTE_NAME, a->name);
    if (a->kind == CSL_ONNX_ATTR_FLOAT)
        csl_protobuf__f32(b, ATTRIBUTE_F, a->f);
    if (a->kind == CSL_ONNX_ATTR_INT)
        csl_protobuf__u64(b, ATTRIBUTE_I, (uint64_t)a->i[0]);
    for (uint32_t i = 0; i < a->count; i++)
        csl_protobuf__u64(b, ATTRIBUTE_INTS, (uint64_t)a->i[i]);
    csl_protobuf__u64(b, ATTRIBUTE_TYPE, a->kind);
    csl_protobuf__end(b, start);
}

void csl_onnx__node(struct csl_onnx_graph *g, const struct csl_onnx_node *node)
{
    struct csl_buf *b = &g->nodes;
    size_t start = csl_protobuf__begin(b, GRAPH_NODE);
    for (uint32_t i = 0; i < CSL_ONNX_INPUTS_MAX && node->inputs[i] != NULL; i++)
        put_name(b, g, NODE_INPUT, node->inputs[i]);
    put_name(b, g, NODE_OUTPUT, node->output);
    put_name(b, g, NODE_NAME, node->output);
    csl_protobuf__str(b, NODE_OP_TYPE, node->op);
    for (uint32_t i = 0; i < CSL_ONNX_ATTRIBUTES_MAX && node->attributes[i].name != NULL; i++)
        put_attribute(b, &node->attributes[i]);
    csl_protobuf__end(b, start);
}

void csl_onnx__constant(struct csl_onnx_graph *g, const char *name, enum csl_onnx_type type,
                        uint32_t rank, const uint64_t *shape, const void *values)
{
    struct csl_buf *b = &g->constants;
    size_t start = csl_protobuf__begin(b, GRAPH_INITIALIZER), count = 1;
    for (uint32_t i = 0; i < rank; i++) {
        csl_protobuf__u64(b, TENSOR_DIMS, shape[i]);
        count *= (size_t)shape[i];
    }
    csl_protobuf__u64(b, TENSOR_DATA_TYPE, type);
    put_name(b, g, TENSOR_NAME, name);
    csl_protobuf__bytes(
        b, TENSOR_RAW_DATA, values,
        count * (type == CSL_ONNX_FLOAT ? sizeof(float) : sizeof(double))); /* or int64 */
    csl_protobuf__end(b, start);
}

static void put_value(struct csl_buf *b, const struct csl_onnx_graph *g, uint32_t field,
                      const struct csl_onnx_value *v)
{
    size_t value = csl_protobuf__begin(b, field);
    put_name(b, g, VALUE_NAME, v->name);
    size_t type = csl_protobuf__begin(b, VALUE_TYPE);
    size_t tensor = csl_protobuf__begin(b, TYPE_TENSOR);
    csl_protobuf__u64(b, TYPE_TENSOR_ELEM, v->type);
    size_t shape = csl_protobuf__begin(b, TYPE_TENSOR_SHAPE);
    for (uint32_t i = 0; i <= v->rank; i++) {
        size_t dim = csl_protobuf__begin(b, SHAPE_DIM);
        if (i == 0)
            csl_protobuf__str(b, DIM_PARAM, "records");
        else
            csl_protobuf__u64(b, DIM_VALUE, v->shape[i - 1]);
        csl_protobuf__end(b, dim);
    }
    csl_protobuf__end(b, shape);
    csl_protobuf__end(b, tensor);
    csl_protobuf__end(b, type);
    csl_protobuf__str(b, VALUE_DOC, v->doc);
    csl_protobuf__end(b, value);
}

void csl_onnx__input(struct csl_onnx_graph *g, const struct csl_onnx_value *v)
{
    put_value(&g->inputs, g, GRAPH_INPUT, v);
}

void csl_onnx__output(struct csl_onnx_graph *g, const struct csl_onnx_value *v)
{
    put_value(&g->outputs, g, GRAPH_OUTPUT, v);
}

void csl_onnx__metadata(struct csl_buf *out, const char *key, const char *value)
{
    size_t entry = csl_protobuf__begin(out, MODEL_METADATA);
    csl_protobuf__str(out, ENTRY_KEY, key);
    csl_protobuf__str(out, ENTRY_VALUE, value);
    csl_protobuf__end(out, entry);
}

void csl_onnx__model(struct csl_buf *out, const struct csl_onnx_graph *g,
                     const struct csl_onnx_model *m)
{
    csl_protobuf__u64(out, MODEL_IR_VERSION, IR_VERSION);
    csl_protobuf__str(out, MODEL_PRODUCER, "consilium");
    size_t graph = csl_protobuf__begin(out, MODEL_GRAPH);
    csl_buf_append(out, g->nodes.p, g->nodes.n);
    csl_protobuf__str(out, GRAPH_NAME, m->name);
    csl_buf_append(out, g->constants.p, g->constants.n);
    csl_protobuf__str(out, GRAPH_DOC, m->doc);
    csl_buf_append(out, g->inputs.p, g->inputs.n);
    csl_buf_append(out, g->outputs.p, g->outputs.n);
    csl_protobuf__end(out, graph);
    size_t opset = csl_protobuf__begin(out, MODEL_OPSET);
    csl_protobuf__str(out, OPSET_DOMAIN, ""); /* the operators of ONNX itself */
    csl_protobuf__u64(out, OPSET_VERSION_FIELD, OPSET_VERSION);
    csl_protobuf__end(out, opset);
    m->put_metadata(m->ctx, out);
}
