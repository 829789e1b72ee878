#include "aggregation/tensor/schema.h"

#include "base/check.h"
#include "base/checked.h"
#include "base/le.h"
#include "base/str.h"
#include "privacy/crypto/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void csl_schema_init(struct csl_schema *s)
{
    memset(s, 0, sizeof(*s));
}

enum csl_code csl_schema_add_block(struct csl_schema *s, const char *name, enum csl_block_kind kind,
                                   struct csl_err *err)
{
    if (!csl_id_valid(name))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "block name '%.64s': 1 to %d of a-z 0-9 . _ - and a letter or digit first "
                        "would be right",
                        name, CSL_ID_MAX - 1);
    if (kind != CSL_BLOCK_SHARED && kind != CSL_BLOCK_FROZEN && kind != CSL_BLOCK_LOCAL)
        return CSL_FAIL(err, CSL_E_INVAL, "block '%s': unknown kind %d", name, (int)kind);
    if (s->block_count == CSL_BLOCKS_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "block '%s' is one too many: at most %d blocks", name,
                        CSL_BLOCKS_MAX);
    struct csl_block_spec *b = &s->blocks[s->block_count];
    *b = (struct csl_block_spec){.kind = kind, .first = s->parameters};
    CSL_ASSERT(csl_str_copy(b->name, sizeof(b->name), name));
    s->block_count++;
    return CSL_OK;
}

static enum csl_code count_elements(const char *name, uint32_t rank, const uint64_t *shape,
                                    uint64_t *out, struct csl_err *err)
{
    if (rank < 1 || rank > CSL_RANK_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "tensor '%s': %u axes; 1 to %d would be right", name,
                        rank, CSL_RANK_MAX);
    uint64_t count = 1;
    for (uint32_t i = 0; i < rank; i++) {
        if (shape[i] == 0)
            return CSL_FAIL(err, CSL_E_INVAL, "tensor '%s': axis %u is empty", name, i);
        if (!csl_mul_u64(count, shape[i], &count) || count > CSL_PARAMETERS_MAX)
            return CSL_FAIL(err, CSL_E_LIMIT, "tensor '%s' is larger than %llu parameters", name,
                            (unsigned long long)CSL_PARAMETERS_MAX);
    }
    *out = count;
    return CSL_OK;
}

enum csl_code csl_schema_add_tensor(struct csl_schema *s, const char *name, uint32_t rank,
                                    const uint64_t *shape, enum csl_init init, float init_bound,
                                    struct csl_err *err)
{
    if (s->block_count == 0)
        return CSL_FAIL(err, CSL_E_STATE, "tensor '%.64s' comes before the first block", name);
    if (!csl_id_valid(name))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "tensor name '%.64s': 1 to %d of a-z 0-9 . _ - and a letter or digit first "
                        "would be right",
                        name, CSL_ID_MAX - 1);
    uint64_t count = 0;
    enum csl_code code = count_elements(name, rank, shape, &count, err);
    if (code != CSL_OK)
        return code;
    if (init != CSL_INIT_ZEROS && init != CSL_INIT_UNIFORM && init != CSL_INIT_ONES)
        return CSL_FAIL(err, CSL_E_INVAL, "tensor '%s': unknown initialisation %d", name,
                        (int)init);
    if (init == CSL_INIT_UNIFORM && !(init_bound >= 0 && isfinite(init_bound)))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "tensor '%s': initial bound %g; a finite number >= 0 would be right", name,
                        (double)init_bound);
    if (s->tensor_count == CSL_TENSORS_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "tensor '%s' is one too many: at most %d tensors", name,
                        CSL_TENSORS_MAX);
    if (count > CSL_PARAMETERS_MAX - s->parameters)
        return CSL_FAIL(err, CSL_E_LIMIT, "with tensor '%s' the model exceeds %llu parameters",
                        name, (unsigned long long)CSL_PARAMETERS_MAX);
    struct csl_tensor_spec *t = &s->tensors[s->tensor_count];
    *t = (struct csl_tensor_spec){.rank = rank,
                                  .first = s->parameters,
                                  .count = count,
                                  .block = s->block_count - 1,
                                  .init = init,
                                  .init_bound = init == CSL_INIT_UNIFORM ? init_bound : 0.0F};
    CSL_ASSERT(csl_str_copy(t->name, sizeof(t->name), name));
    for (uint32_t i = 0; i < rank; i++)
        t->shape[i] = shape[i];
    s->blocks[t->block].count += count;
    s->parameters += count;
    s->tensor_count++;
    return CSL_OK;
}

static void hash_u32(struct csl_hash *h, uint32_t v)
{
    uint8_t raw[4];
    csl_store_le32(raw, v);
    csl_hash_update(h, raw, sizeof(raw));
}

static void hash_u64(struct csl_hash *h, uint64_t v)
{
    uint8_t raw[8];
    csl_store_le64(raw, v);
    csl_hash_update(h, raw, sizeof(raw));
}

static void hash_name(struct csl_hash *h, const char *name)
{
    size_t n = strlen(name);
    hash_u32(h, (uint32_t)n);
    csl_hash_update(h, name, n);
}

/* Every field is fixed-width or has its length in front, so two different schemas never hash the
 * same bytes. `first` and `count` follow from the shapes. */
static void digest_of(const struct csl_schema *s, uint8_t out[CSL_DIGEST_BYTES])
{
    static const char label[] = "consilium schema 1";
    struct csl_hash h;
    csl_hash_init(&h);
    csl_hash_update(&h, label, sizeof(label));
    hash_u32(&h, s->block_count);
    for (uint32_t i = 0; i < s->block_count; i++) {
        hash_name(&h, s->blocks[i].name);
        hash_u32(&h, (uint32_t)s->blocks[i].kind);
    }
    hash_u32(&h, s->tensor_count);
    for (uint32_t i = 0; i < s->tensor_count; i++) {
        const struct csl_tensor_spec *t = &s->tensors[i];
        uint32_t bound_bits;
        memcpy(&bound_bits, &t->init_bound, sizeof(bound_bits));
        hash_name(&h, t->name);
        hash_u32(&h, t->block);
        hash_u32(&h, t->rank);
        for (uint32_t d = 0; d < t->rank; d++)
            hash_u64(&h, t->shape[d]);
        hash_u32(&h, (uint32_t)t->init);
        hash_u32(&h, bound_bits);
    }
    csl_hash_final(&h, out);
}

enum csl_code csl_schema_seal(struct csl_schema *s, struct csl_err *err)
{
    if (s->block_count == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "the model has no block; at least one would be right");
    for (uint32_t i = 0; i < s->block_count; i++) {
        if (s->blocks[i].count == 0)
            return CSL_FAIL(err, CSL_E_INVAL, "block '%s' has no tensor", s->blocks[i].name);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(s->blocks[i].name, s->blocks[j].name) == 0)
                return CSL_FAIL(err, CSL_E_INVAL, "two blocks are named '%s'", s->blocks[i].name);
    }
    for (uint32_t i = 0; i < s->tensor_count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (s->tensors[i].block == s->tensors[j].block &&
                strcmp(s->tensors[i].name, s->tensors[j].name) == 0)
                return CSL_FAIL(err, CSL_E_INVAL, "block '%s' has two tensors named '%s'",
                                s->blocks[s->tensors[i].block].name, s->tensors[i].name);
    digest_of(s, s->digest);
    return CSL_OK;
}

const struct csl_block_spec *csl_schema_find_block(const struct csl_schema *s, const char *name)
{
    for (uint32_t i = 0; i < s->block_count; i++)
        if (strcmp(s->blocks[i].name, name) == 0)
            return &s->blocks[i];
    return NULL;
}

const struct csl_tensor_spec *csl_schema_find_shared_name(const struct csl_schema *s)
{
    for (uint32_t i = 0; i < s->tensor_count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(s->tensors[i].name, s->tensors[j].name) == 0)
                return &s->tensors[i];
    return NULL;
}

void csl_schema_init_parameters(const struct csl_schema *s, uint64_t seed, float *parameters)
{
    for (uint32_t i = 0; i < s->tensor_count; i++) {
        const struct csl_tensor_spec *t = &s->tensors[i];
        float *p = parameters + t->first;
        if (t->init != CSL_INIT_UNIFORM) {
            for (uint64_t k = 0; k < t->count; k++)
                p[k] = t->init == CSL_INIT_ONES ? 1.0F : 0.0F;
            continue;
        }
        /* The stream is named by block and tensor, so that a block added to the study does not
         * change the initial values of the others. */
        char name[2 * CSL_ID_MAX];
        snprintf(name, sizeof(name), "%s/%s", s->blocks[t->block].name, t->name);
        struct csl_rng rng;
        csl_rng_init_named(&rng, seed, "model.init", name, 0);
        for (uint64_t k = 0; k < t->count; k++)
            p[k] = (float)((2.0 * csl_rng_uniform(&rng) - 1.0) * (double)t->init_bound);
    }
}

static int is_not_finite(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return (bits & 0x7F800000U) == 0x7F800000U;
}

uint64_t csl_first_not_finite(const float *values, uint64_t count)
{
    enum { GROUP = 256 }; /* an inner loop without an exit vectorises */
    for (uint64_t first = 0; first < count; first += GROUP) {
        uint64_t n = count - first < GROUP ? count - first : GROUP;
        int found = 0;
        for (uint64_t i = 0; i < n; i++)
            found |= is_not_finite(values[first + i]);
        if (!found)
            continue;
        for (uint64_t i = 0; i < n; i++)
            if (is_not_finite(values[first + i]))
                return first + i;
    }
    return count;
}
