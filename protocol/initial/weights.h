/* protocol/initial/weights.h - initial weights that another program made: safetensors, or a NumPy
 * .npz with one array per tensor.
 *
 * The file holds exactly the tensors of the study's model, by name and shape; which of the two
 * formats it is, its bytes say. Values of F16, BF16, F32 and F64 (npz: f4, f8) become the nearest
 * float32, ties to even; one that is not finite or lies beyond the largest float32 is refused.
 * Nothing is allocated for a claim of the file that the schema does not bear out. One thread. */
#ifndef CSL_INITIAL_WEIGHTS_H
#define CSL_INITIAL_WEIGHTS_H
#include "aggregation/tensor/schema.h"
#include "base/bytes.h"

/* *out: [P], the caller's to free. CSL_E_NOTFOUND, CSL_E_IO; CSL_E_INVAL names the tensor, what was
 * found and what the schema has; CSL_E_CORRUPT, CSL_E_LIMIT, CSL_E_UNSUPPORTED: the file. */
enum csl_code csl_weights_read(float **out, const char *path, const struct csl_schema *schema,
                               struct csl_err *err) CSL_MUST_CHECK;
/* The same for bytes; `name` is shown in errors. */
enum csl_code csl_weights_parse(float **out, const char *name, struct csl_span bytes,
                                const struct csl_schema *schema,
                                struct csl_err *err) CSL_MUST_CHECK;

#endif
