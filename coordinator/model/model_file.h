/* coordinator/model/model_file.h - a model on disk: one HDF5 file with the global model and, for a
 * checkpoint, the strategy's vectors.
 *
 *   /                attributes: format "consilium.model/1", study, study_digest [32], round,
 *                    schema_digest [32], model_digest [32], state_digest [32], state_count,
 *                    block_count, tensor_count, parameters
 *   /model/BLOCK     group; attributes index, kind
 *   /model/BLOCK/T   data set of tensor T, float32, its own shape; attributes index, init,
 * init_bound /state/I         data set [P] float32 of strategy vector I
 *
 * The same model gives the same bytes: no times are recorded, objects are created in schema order.
 * Nothing here holds a second copy of the parameters. HDF5 is one global lock: one thread at a
 * time. */
#ifndef CSL_MODEL_FILE_H
#define CSL_MODEL_FILE_H
#include "aggregation/tensor/schema.h"
#include "base/err.h"

#define CSL_MODEL_STATE_MAX 8 /* vectors a strategy may keep */

struct csl_model_info {
    char study[CSL_ID_MAX];
    uint8_t study_digest[CSL_DIGEST_BYTES];
    uint64_t round; /* rounds committed: 0 is the initial model */
};

struct csl_model_file {
    struct csl_model_info info;
    struct csl_schema *schema;         /* owned, sealed */
    float *parameters;                 /* [P], owned; taken by setting it to NULL */
    float *state[CSL_MODEL_STATE_MAX]; /* [state_count][P], each owned; likewise */
    uint32_t state_count;
    uint8_t digest[CSL_DIGEST_BYTES]; /* SHA-256 of the float32 bytes of parameters */
};

/* Writes path.tmp, then renames (csl_file_commit): a reader sees the old file or the new one.
 * parameters: [P]; state_vectors: [state_count] pointers to [P], or NULL with 0. digest_out (may be
 * NULL) receives the digest of the parameters. CSL_E_INVAL: a value is not finite (nothing is
 * written); CSL_E_IO. */
enum csl_code csl_model_write(const char *path, const struct csl_schema *schema,
                              const struct csl_model_info *info, const float *parameters,
                              const float *const *state_vectors, uint32_t state_count,
                              uint8_t digest_out[CSL_DIGEST_BYTES],
                              struct csl_err *err) CSL_MUST_CHECK;

/* Reads and verifies everything: shapes against the stored schema, the schema against `expected`
 * (NULL: any), both digests, finite values. CSL_E_NOTFOUND: no such file; CSL_E_CORRUPT: not a
 * model file, damaged or cut short; CSL_E_INVAL: a model of another schema. *out is untouched on
 * failure. */
enum csl_code csl_model_read(const char *path, const struct csl_schema *expected,
                             struct csl_model_file *out, struct csl_err *err) CSL_MUST_CHECK;
void csl_model_file_release(struct csl_model_file *m); /* accepts an empty one */

#endif
