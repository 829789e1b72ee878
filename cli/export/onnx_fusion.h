/* cli/export/onnx_fusion.h - where the encoders of several inputs meet. */
#ifndef CSL_EXPORT_ONNX_FUSION_H
#define CSL_EXPORT_ONNX_FUSION_H
#include "cli/export/onnx_layers.h"

/* What other programs call the input of the graph that says which records have the input. */
void csl_onnx__presence(char out[CSL_ONNX_NAME_MAX], const struct csl_domain *input);
/* Behind the layers of an encoder: what it gave, or 0 for a record without the input, whatever
 * stands in its place (NaN times a share of 0 would be NaN). */
void csl_onnx__embed(struct csl_onnx_net *o);
/* The fusion of a domain's inputs, which csl_onnx__embed left: shares of those that are present,
 * learned or alike; without any the value that stands for nothing (compute/params.h, csl_fusion).
 */
void csl_onnx__fuse(struct csl_onnx_net *o, const struct csl_study *study);

#endif
