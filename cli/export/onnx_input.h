/* cli/export/onnx_input.h - from raw values to what a net takes, as csl_examples_scale__ does it.
 */
#ifndef CSL_EXPORT_ONNX_INPUT_H
#define CSL_EXPORT_ONNX_INPUT_H
#include "base/json.h"
#include "cli/export/onnx_layers.h"

/* "features", "image", ..: what a graph of one input calls it. */
const char *csl_onnx__input_name(const struct csl_domain *d);
/* An input of the graph: the raw values of d. */
void csl_onnx__declare(const struct csl_domain *d, const char *name, const char *doc,
                       struct csl_onnx_graph *g);
/* The nodes from the value made last, raw, to what the first layer takes. */
enum csl_code csl_onnx__scaling(struct csl_onnx_net *o, struct csl_err *err);
/* For people: scaling, axes, features and their units. */
void csl_onnx__describe(const struct csl_domain *d, struct csl_buf *b);
const char *csl_onnx__scaling_text(const struct csl_domain *d);
/* The features once more as a JSON array, for programs. */
void csl_onnx__list_features(const struct csl_domain *d, struct csl_json *j);

#endif
