/* cli/export/onnx_layers.h - the layers of a net as ONNX nodes. */
#ifndef CSL_EXPORT_ONNX_LAYERS_H
#define CSL_EXPORT_ONNX_LAYERS_H
#include "cli/export/onnx_graph.h"
#include "coordinator/model/model_file.h"
#include "site-agent/training/model.h"

/* One domain's network while its graph is made. */
struct csl_onnx_net {
    struct csl_onnx_graph graph;
    const struct csl_model_file *model; /* has the tensors of the net's schema */
    const struct csl_domain *domain;
    struct csl_net net;
    char value[32]; /* the value made last, what the next node takes */
};

/* A node that takes the value made last, then `second` and `third` (NULL: none). */
void csl_onnx__add(struct csl_onnx_net *o, const char *op, const char *second, const char *third,
                   const char *output);
void csl_onnx__add_with(struct csl_onnx_net *o, const char *op, const char *attribute,
                        int64_t value, const char *output);
/* All layers, from inputs to logits. Convolutions want the input as [records, axes.., channels];
 * everything else [records, values]. CSL_E_UNSUPPORTED: a layer has no node here. */
enum csl_code csl_onnx__layers(struct csl_onnx_net *o, struct csl_err *err);

#endif
