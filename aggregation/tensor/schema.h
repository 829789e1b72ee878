/* aggregation/tensor/schema.h - what a model is made of: named blocks of named float32 tensors,
 * laid out one after another in a flat vector of P parameters.
 *
 * A block is what is aggregated, weighted, frozen or kept local as one thing. Two parties agree on
 * a schema by its digest. Immutable after csl_schema_seal; shared read-only between threads. */
#ifndef CSL_TENSOR_SCHEMA_H
#define CSL_TENSOR_SCHEMA_H
#include "base/err.h"
#include "base/limits.h"
#include "privacy/crypto/hash.h"

enum csl_init {
    CSL_INIT_ZEROS,
    CSL_INIT_UNIFORM, /* U(-bound, bound), each tensor from its own stream of the study's seed */
    CSL_INIT_ONES
};
enum csl_block_kind {
    CSL_BLOCK_SHARED, /* trained by sites, aggregated */
    CSL_BLOCK_FROZEN, /* sent to sites, never changed */
    CSL_BLOCK_LOCAL   /* never leaves the site */
};

struct csl_tensor_spec {
    char name[CSL_ID_MAX];
    uint32_t rank;
    uint64_t shape[CSL_RANK_MAX]; /* row-major */
    uint64_t first, count;        /* place in the flat vector, in elements */
    uint32_t block;               /* index of its block */
    enum csl_init init;
    float init_bound;
};
struct csl_block_spec {
    char name[CSL_ID_MAX]; /* in A: the domain's id */
    enum csl_block_kind kind;
    uint64_t first, count; /* contiguous range of the flat vector, in elements */
};
struct csl_schema {
    struct csl_block_spec blocks[CSL_BLOCKS_MAX];
    struct csl_tensor_spec tensors[CSL_TENSORS_MAX];
    uint32_t block_count, tensor_count;
    uint64_t parameters; /* P */
    uint8_t digest[CSL_DIGEST_BYTES];
};

void csl_schema_init(struct csl_schema *s);
/* Tensors are added to the block opened last. Names are ids (csl_id_valid); CSL_E_INVAL,
 * CSL_E_LIMIT: nothing was added. */
enum csl_code csl_schema_add_block(struct csl_schema *s, const char *name, enum csl_block_kind kind,
                                   struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_schema_add_tensor(struct csl_schema *s, const char *name, uint32_t rank,
                                    const uint64_t *shape, enum csl_init init, float init_bound,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* Checks (at least one block, no empty block, block names unique, tensor names unique inside their
 * block) and computes the digest. */
enum csl_code csl_schema_seal(struct csl_schema *s, struct csl_err *err) CSL_MUST_CHECK;
const struct csl_block_spec *csl_schema_find_block(const struct csl_schema *s,
                                                   const char *name); /* NULL */
/* First tensor whose name one of another block before it has too, or NULL: formats that know no
 * blocks cannot tell the two apart. */
const struct csl_tensor_spec *csl_schema_find_shared_name(const struct csl_schema *s);
/* parameters: [P], written whole. The same (schema, seed) gives the same bits everywhere. */
void csl_schema_init_parameters(const struct csl_schema *s, uint64_t seed, float *parameters);
/* First element that is NaN or infinite, or `count` when all are finite. */
uint64_t csl_first_not_finite(const float *values, uint64_t count);

#endif
