#include "aggregation/accumulate.h"

#include "base/check.h"
#include "base/checked.h"
#include "base/clones.h"
#include "base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define WEIGHT_ONE  (INT64_C(1) << CSL_ACC_FRACTION_BITS)
#define WEIGHT_MAX  (WEIGHT_ONE + (INT64_C(1) << (CSL_ACC_FRACTION_BITS - 20))) /* 1 + 2^-20 */
#define ABS_BITS    UINT32_C(0x7FFFFFFF)
#define LIMIT_BITS  UINT32_C(0x49800000) /* 2^20 as float32 */
#define GROUP_COUNT 2048                 /* elements verified, then added, while in the L1 cache */

/* 1.5 * 2^52: added to a double of magnitude below 2^51 it leaves the integer nearest to it (ties
 * to even) in the low bits of the sum. */
#define MAGIC      0x1.8p52
#define MAGIC_BITS UINT64_C(0x4338000000000000)

struct block_state {
    uint32_t sites;
    int64_t weight; /* units of 2^-40 */
};

struct csl_accumulator {
    const struct csl_schema *schema; /* borrowed */
    uint32_t vectors;
    struct block_state blocks[CSL_BLOCKS_MAX];
    uint64_t *sums; /* [vectors, P], two's complement, units of 2^-40 */
};

enum csl_code csl_accumulator_new(struct csl_accumulator **out, const struct csl_schema *schema,
                                  uint32_t vectors, struct csl_err *err)
{
    uint64_t items, bytes;
    if (vectors == 0 || schema->parameters == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "an accumulator of %u vectors of %" PRIu64 " parameters",
                        vectors, schema->parameters);
    if (!csl_mul_u64(vectors, schema->parameters, &items) || !csl_mul_u64(items, 8, &bytes) ||
        bytes > SIZE_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "%u vectors of %" PRIu64 " parameters do not fit memory",
                        vectors, schema->parameters);
    struct csl_accumulator *a = csl_alloc(sizeof(*a));
    uint64_t *sums = csl_alloc_array((size_t)items, sizeof(*sums));
    if (a == NULL || sums == NULL) {
        csl_free(sums);
        csl_free(a);
        return CSL_FAIL(err, CSL_E_NOMEM, "accumulator of %" PRIu64 " bytes", bytes);
    }
    a->schema = schema;
    a->vectors = vectors;
    a->sums = sums;
    *out = a;
    return CSL_OK;
}

void csl_accumulator_free(struct csl_accumulator *a)
{
    if (a == NULL)
        return;
    csl_free(a->sums);
    csl_free(a);
}

static uint64_t *sums_of(const struct csl_accumulator *a, uint32_t vector, uint32_t block)
{
    return a->sums + vector * a->schema->parameters + a->schema->blocks[block].first;
}

void csl_accumulator_reset(struct csl_accumulator *a)
{
    for (uint32_t b = 0; b < a->schema->block_count; b++) {
        if (a->blocks[b].sites == 0)
            continue; /* untouched since the last reset: its pages may not even exist yet */
        for (uint32_t v = 0; v < a->vectors; v++)
            memset(sums_of(a, v, b), 0, a->schema->blocks[b].count * sizeof(uint64_t));
        a->blocks[b] = (struct block_state){0};
    }
}

static enum csl_code check_weight(double weight, struct csl_err *err)
{
    if (!(weight > 0.0 && weight <= 1.0))
        return CSL_FAIL(err, CSL_E_INVAL, "weight %g; more than 0 and at most 1 would be right",
                        weight);
    return CSL_OK;
}

enum csl_code csl_accumulator_begin(struct csl_accumulator *a, uint32_t block, double weight,
                                    struct csl_err *err)
{
    if (block >= a->schema->block_count)
        return CSL_FAIL(err, CSL_E_INVAL, "block %u of a model of %u", block,
                        a->schema->block_count);
    enum csl_code code = check_weight(weight, err);
    if (code != CSL_OK)
        return code;
    int64_t units = (int64_t)llrint(ldexp(weight, CSL_ACC_FRACTION_BITS));
    if (units == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "weight %g is below the resolution of 2^-%d", weight,
                        CSL_ACC_FRACTION_BITS);
    struct block_state *b = &a->blocks[block];
    if (units > WEIGHT_MAX - b->weight)
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "block '%s': weight %g would bring the sum of weights to %.9g; at most 1 "
                        "would be right",
                        a->schema->blocks[block].name, weight,
                        ldexp((double)b->weight, -CSL_ACC_FRACTION_BITS) + weight);
    b->weight += units;
    b->sites++;
    return CSL_OK;
}

/* Bit 31 of the result is set when any |x| >= 2^20, infinite or NaN: as unsigned numbers the bits
 * of non-negative floats are in the order of the floats, with infinity and NaN above all. */
CSL_CLONES static uint32_t out_of_range(const float *x, size_t n)
{
    uint32_t found = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof(bits));
        found |= (LIMIT_BITS - 1) - (bits & ABS_BITS);
    }
    return found >> 31;
}

/* round(v) to int64, ties to even, for |v| <= 2^60, in operations that every vector unit has. v is
 * split into high * 2^32 + low with high the nearest integer to v / 2^32: |high| <= 2^28, |low| <=
 * 2^31, both exact; high * 2^32 is even, so rounding low rounds v. */
static inline uint64_t round_to_u64(double v)
{
    double high = v * 0x1p-32 + MAGIC;
    double low = v - (high - MAGIC) * 0x1p32 + MAGIC;
    uint64_t high_bits, low_bits;
    memcpy(&high_bits, &high, sizeof(high_bits));
    memcpy(&low_bits, &low, sizeof(low_bits));
    return ((high_bits - MAGIC_BITS) << 32) + (low_bits - MAGIC_BITS);
}

/* scale = weight * 2^40. Both loops are modulo 2^64; that no sum wraps is the weights' business. */
CSL_CLONES static void fold(uint64_t *sums, const float *x, size_t n, double scale)
{
    for (size_t i = 0; i < n; i++)
        sums[i] += round_to_u64(scale * (double)x[i]);
}

CSL_CLONES static void unfold(uint64_t *sums, const float *x, size_t n, double scale)
{
    for (size_t i = 0; i < n; i++)
        sums[i] -= round_to_u64(scale * (double)x[i]);
}

static enum csl_code refuse_value(const struct csl_accumulator *a, uint32_t block, uint64_t first,
                                  const float *x, size_t n, struct csl_err *err)
{
    size_t i = 0;
    while (i + 1 < n && fabs((double)x[i]) < CSL_ACC_ABS_MAX)
        i++;
    return CSL_FAIL(err, CSL_E_INVAL,
                    "block '%s', element %" PRIu64 ": %g; a finite number of magnitude below %g "
                    "would be right",
                    a->schema->blocks[block].name, first + i, (double)x[i], CSL_ACC_ABS_MAX);
}

enum csl_code csl_accumulator_add(struct csl_accumulator *a, uint32_t vector, uint32_t block,
                                  uint64_t first, const float *values, uint64_t count,
                                  double weight, struct csl_err *err)
{
    if (vector >= a->vectors || block >= a->schema->block_count)
        return CSL_FAIL(err, CSL_E_INVAL, "vector %u, block %u of an accumulator of %u and %u",
                        vector, block, a->vectors, a->schema->block_count);
    const struct csl_block_spec *spec = &a->schema->blocks[block];
    if (first > spec->count || count > spec->count - first)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "block '%s': elements %" PRIu64 " + %" PRIu64 " of a block of %" PRIu64,
                        spec->name, first, count, spec->count);
    enum csl_code code = check_weight(weight, err);
    if (code != CSL_OK)
        return code;
    if (a->blocks[block].sites == 0)
        return CSL_FAIL(err, CSL_E_STATE, "block '%s': values before csl_accumulator_begin",
                        spec->name);
    uint64_t *sums = sums_of(a, vector, block) + first;
    double scale = ldexp(weight, CSL_ACC_FRACTION_BITS);
    size_t n = (size_t)count, done = 0;
    while (done < n) {
        size_t group = n - done < GROUP_COUNT ? n - done : GROUP_COUNT;
        if (out_of_range(values + done, group)) {
            /* Integers: what was added of this slice comes out again without a trace. */
            unfold(sums, values, done, scale);
            return refuse_value(a, block, first + done, values + done, group, err);
        }
        fold(sums + done, values + done, group, scale);
        done += group;
    }
    return CSL_OK;
}

uint32_t csl_accumulator_sites(const struct csl_accumulator *a, uint32_t block)
{
    CSL_ASSERT(block < a->schema->block_count);
    return a->blocks[block].sites;
}

double csl_accumulator_weight(const struct csl_accumulator *a, uint32_t block)
{
    CSL_ASSERT(block < a->schema->block_count);
    return ldexp((double)a->blocks[block].weight, -CSL_ACC_FRACTION_BITS);
}

void csl_accumulator_mean(const struct csl_accumulator *a, uint32_t vector, uint32_t block,
                          uint64_t first, uint64_t count, float *mean)
{
    CSL_ASSERT(vector < a->vectors && block < a->schema->block_count);
    CSL_ASSERT(first <= a->schema->blocks[block].count);
    CSL_ASSERT(count <= a->schema->blocks[block].count - first);
    if (a->blocks[block].sites == 0) {
        memset(mean, 0, count * sizeof(*mean));
        return;
    }
    const uint64_t *sums = sums_of(a, vector, block) + first;
    double weight = (double)a->blocks[block].weight;
    for (uint64_t i = 0; i < count; i++)
        mean[i] = (float)((double)(int64_t)sums[i] / weight);
}
