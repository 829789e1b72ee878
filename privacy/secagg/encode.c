#include "privacy/secagg/encode.h"

#include "base/check.h"
#include "base/clones.h"

#include <math.h>
#include <string.h>

enum {
    SLICE_MAX = 1 << CSL_ROTATION_LOG2_MAX,
    STRANDS = 16,
    CHUNK = 960 /* whole words for every width of a lane */
};
#define LABEL         "secagg/rounding"
#define NUMBER_MIN    0x1p-40
#define NUMBER_MAX    0x1p40
#define VALUE_BITS    UINT32_C(0x71800000) /* 2^100 as float32 */
#define CLIP_ROOM     (1.0 - 0x1p-16)      /* for the float32 of the rotation: below 2^-20 */
#define HEADROOM_STDS 4.0

static bool is_in_range(double x)
{
    return x >= NUMBER_MIN && x <= NUMBER_MAX;
}

static enum csl_code check_shares(const struct csl_encoding *e, uint64_t coefficients,
                                  struct csl_err *err)
{
    const struct csl_shares *s = e->shares;
    if (e->clip_l2 == 0.0)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "encoding: noise without clip_l2, so without a sensitivity");
    if (s->sites > e->lanes.sites_max)
        return CSL_FAIL(err, CSL_E_INVAL, "encoding: noise for %u sites in lanes for %u", s->sites,
                        e->lanes.sites_max);
    if (s->dimensions < coefficients)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "encoding: noise for %llu dimensions; %llu would be right",
                        (unsigned long long)s->dimensions, (unsigned long long)coefficients);
    double least = HEADROOM_STDS * csl_shares_sum_std(s, s->sites);
    if ((double)e->lanes.headroom < least)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "encoding: a headroom of %llu in the lanes; at least %g, and what "
                        "csl_lanes_headroom says, would be right",
                        (unsigned long long)e->lanes.headroom, least);
    return CSL_OK;
}

enum csl_code csl_encoding_plan(struct csl_encoding *e, struct csl_err *err)
{
    if (e->lanes.level <= 0 || e->lanes.level > CSL_LANES_LEVEL_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "encoding: lanes without a plan");
    if (e->rotation.size_log2 < CSL_ROTATION_LOG2_MIN ||
        e->rotation.size_log2 > CSL_ROTATION_LOG2_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "encoding: slices of 2^%u; 2^%d to 2^%d would be right",
                        e->rotation.size_log2, CSL_ROTATION_LOG2_MIN, CSL_ROTATION_LOG2_MAX);
    if (e->count == 0 || e->count > CSL_ENCODING_COUNT_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "encoding: %llu values; 1 to 2^32 would be right",
                        (unsigned long long)e->count);
    if (!is_in_range(e->clip_entry) || (e->clip_l2 != 0.0 && !is_in_range(e->clip_l2)))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "encoding: clip_entry %g, clip_l2 %g; 2^-40 to 2^40 would be right",
                        e->clip_entry, e->clip_l2);
    uint64_t last = (UINT64_C(1) << e->rotation.size_log2) - 1;
    uint64_t coefficients = e->is_rotated ? (e->count + last) & ~last : e->count;
    double unit = e->clip_entry / (double)e->lanes.level;
    struct csl_rounding rounding = {0};
    enum csl_code code = CSL_OK;
    if (e->shares != NULL)
        code = check_shares(e, coefficients, err);
    if (code == CSL_OK && e->clip_l2 != 0.0)
        code = csl_rounding_plan(&rounding, unit, e->clip_l2, coefficients, err);
    if (code != CSL_OK)
        return code;
    e->coefficients = coefficients;
    e->unit = unit;
    e->rounding = rounding;
    return CSL_OK;
}

enum csl_code csl_encoding_event(const struct csl_encoding *e, uint32_t survivors,
                                 struct csl_dp_event *event, struct csl_err *err)
{
    CSL_ASSERT(e->shares != NULL);
    double l2 = e->rounding.l2_units;
    double l1 = l2 * sqrt((double)e->coefficients) * (1.0 + 0x1p-50);
    return csl_shares_event(e->shares, survivors, l2, l1, event, err);
}

static size_t whole_slice(const struct csl_encoding *e)
{
    return (size_t)1 << e->rotation.size_log2;
}

uint64_t csl_encoding_slices(const struct csl_encoding *e)
{
    return (e->coefficients + whole_slice(e) - 1) >> e->rotation.size_log2;
}

static size_t slice_part(const struct csl_encoding *e, uint64_t total, uint64_t slice)
{
    CSL_ASSERT(slice < csl_encoding_slices(e));
    uint64_t left = total - (slice << e->rotation.size_log2);
    return left < whole_slice(e) ? (size_t)left : whole_slice(e);
}

size_t csl_encoding_slice_size(const struct csl_encoding *e, uint64_t slice)
{
    return slice_part(e, e->coefficients, slice);
}

size_t csl_encoding_slice_words(const struct csl_encoding *e, uint64_t slice)
{
    return csl_lanes_words(&e->lanes, csl_encoding_slice_size(e, slice));
}

uint64_t csl_encoding_words(const struct csl_encoding *e)
{
    uint64_t last = csl_encoding_slices(e) - 1;
    return last * csl_lanes_words(&e->lanes, whole_slice(e)) + csl_encoding_slice_words(e, last);
}

CSL_CLONES
static bool is_beyond(const float *x, size_t count)
{
    uint32_t beyond = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof(bits));
        beyond |= (bits & UINT32_C(0x7FFFFFFF)) > VALUE_BITS;
    }
    return beyond != 0;
}

/* In strands, because one sum would wait for itself. */
CSL_CLONES
static double square_of(const float *x, size_t count)
{
    double strand[STRANDS] = {0}, square = 0.0;
    size_t whole = count / STRANDS * STRANDS;
    for (size_t i = 0; i < whole; i += STRANDS) {
        for (size_t k = 0; k < STRANDS; k++)
            strand[k] += (double)x[i + k] * (double)x[i + k];
    }
    for (size_t i = whole; i < count; i++)
        square += (double)x[i] * (double)x[i];
    for (size_t k = 0; k < STRANDS; k++)
        square += strand[k];
    return square;
}

CSL_CLONES
static void scale(const float *restrict from, size_t count, double factor, float *restrict to)
{
    for (size_t i = 0; i < count; i++)
        to[i] = (float)((double)from[i] * factor);
}

/* A slice on its way to integers. */
struct rounder {
    const struct csl_encoder *encoder;
    double per_unit;
    size_t size;
    struct csl_rng coins;
    float x[SLICE_MAX];
};

static void rounder_open(struct rounder *r, const struct csl_encoder *s, uint64_t slice)
{
    const struct csl_encoding *e = s->encoding;
    const float *from = s->vector + (slice << e->rotation.size_log2);
    size_t count = slice_part(e, e->count, slice);
    r->encoder = s;
    r->per_unit = s->truncated_by / e->unit;
    r->size = csl_encoding_slice_size(e, slice);
    csl_rng_init_key(&r->coins, s->coins, LABEL, slice, s->attempt);
    scale(from, count, s->factor, r->x);
    if (e->is_rotated) {
        memset(r->x + count, 0, (r->size - count) * sizeof(r->x[0]));
        csl_rotation_forward(&e->rotation, slice, r->x);
    }
}

/* In order: the coins are a stream. */
static size_t rounder_levels(struct rounder *r, size_t at, size_t count, int64_t *out)
{
    const struct csl_encoder *s = r->encoder;
    int64_t level = s->encoding->lanes.level;
    if (s->attempt == CSL_ROUNDING_TRIES)
        return csl_rounding_truncate(r->x + at, count, r->per_unit, level, out);
    return csl_rounding_draw(&r->coins, r->x + at, count, r->per_unit, level, out);
}

static size_t chunk_of(size_t size, size_t at)
{
    return size - at < CHUNK ? size - at : CHUNK;
}

static bool is_within(const struct csl_encoder *s)
{
    struct rounder r;
    int64_t levels[CHUNK];
    csl_square square = 0;
    for (uint64_t slice = 0; slice < csl_encoding_slices(s->encoding); slice++) {
        rounder_open(&r, s, slice);
        for (size_t at = 0; at < r.size; at += CHUNK) {
            size_t part = chunk_of(r.size, at);
            rounder_levels(&r, at, part, levels);
            if (!csl_rounding_within(levels, part, s->encoding->rounding.l2_square, &square))
                return false;
        }
    }
    return true;
}

enum csl_code csl_encoder_start(struct csl_encoder *s, const struct csl_encoding *encoding,
                                const float *vector, const uint8_t coins[32], struct csl_err *err)
{
    return csl_encoder_start_weighted(s, encoding, vector, 1.0, coins, err);
}

enum csl_code csl_encoder_start_weighted(struct csl_encoder *s, const struct csl_encoding *encoding,
                                         const float *vector, double weight,
                                         const uint8_t coins[32], struct csl_err *err)
{
    CSL_ASSERT(weight > 0.0 && weight <= 1.0);
    if (is_beyond(vector, (size_t)encoding->count))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "encoding: NaN, infinity or a magnitude above 2^100 in the vector");
    struct csl_encoder made = {
        .encoding = encoding, .vector = vector, .factor = weight, .truncated_by = 1.0};
    memcpy(made.coins, coins, sizeof(made.coins));
    if (encoding->clip_l2 != 0.0) {
        double norm = sqrt(square_of(vector, (size_t)encoding->count));
        double target = encoding->clip_l2 * CLIP_ROOM;
        made.factor *= norm > target ? target / norm : 1.0;
        while (made.attempt < CSL_ROUNDING_TRIES && !is_within(&made))
            made.attempt++;
    }
    if (made.attempt == CSL_ROUNDING_TRIES) {
        while (!is_within(&made))
            made.truncated_by *= 0.5; /* ends: at the latest where everything rounds to 0 */
    }
    *s = made;
    return CSL_OK;
}

size_t csl_encoder_levels(const struct csl_encoder *s, uint64_t slice, int64_t *out)
{
    struct rounder r;
    rounder_open(&r, s, slice);
    return rounder_levels(&r, 0, r.size, out);
}

void csl_encoder_add(const struct csl_encoder *s, int64_t *sum)
{
    struct rounder r;
    int64_t levels[CHUNK];
    for (uint64_t slice = 0; slice < csl_encoding_slices(s->encoding); slice++) {
        rounder_open(&r, s, slice);
        for (size_t at = 0; at < r.size; at += CHUNK) {
            size_t part = chunk_of(r.size, at);
            rounder_levels(&r, at, part, levels);
            for (size_t i = 0; i < part; i++)
                *sum++ += levels[i];
        }
    }
}

/* Noise shares are secret as long as the masked words are. */
static void wipe(void *p, size_t bytes)
{
    volatile uint8_t *byte = p;
    for (size_t i = 0; i < bytes; i++)
        byte[i] = 0;
}

/* values[count] with the share of the noise, if there is one, as words. z is scratch. */
static void pack(const struct csl_encoding *e, const int64_t *values, size_t count, int64_t *z,
                 struct csl_rng *noise, uint64_t *words)
{
    if (e->shares != NULL)
        csl_discrete_gaussian_fill(noise, &e->shares->gaussian, z, count);
    csl_lanes_pack(&e->lanes, values, e->shares == NULL ? NULL : z, count, words);
}

size_t csl_encoder_slice(const struct csl_encoder *s, uint64_t slice, struct csl_rng *noise,
                         uint64_t *words)
{
    const struct csl_encoding *e = s->encoding;
    CSL_ASSERT((e->shares == NULL) == (noise == NULL));
    struct rounder r;
    int64_t levels[CHUNK], z[CHUNK];
    size_t beyond = 0;
    rounder_open(&r, s, slice);
    for (size_t at = 0; at < r.size; at += CHUNK) {
        size_t part = chunk_of(r.size, at);
        beyond += rounder_levels(&r, at, part, levels);
        pack(e, levels, part, z, noise, words + at / e->lanes.per_word);
    }
    if (noise != NULL)
        wipe(z, sizeof(z));
    return beyond;
}

void csl_encoder_wipe(struct csl_encoder *s)
{
    wipe(s, sizeof(*s));
}

size_t csl_encoding_pack(const struct csl_encoding *e, uint64_t slice, const int64_t *sums,
                         struct csl_rng *noise, uint64_t *words)
{
    CSL_ASSERT((e->shares == NULL) == (noise == NULL));
    int64_t levels[CHUNK], z[CHUNK], level = e->lanes.level;
    size_t beyond = 0, size = csl_encoding_slice_size(e, slice);
    for (size_t at = 0; at < size; at += CHUNK) {
        size_t part = chunk_of(size, at);
        for (size_t i = 0; i < part; i++) {
            int64_t low = sums[at + i] > -level ? sums[at + i] : -level;
            levels[i] = low < level ? low : level;
            beyond += levels[i] != sums[at + i];
        }
        pack(e, levels, part, z, noise, words + at / e->lanes.per_word);
    }
    if (noise != NULL)
        wipe(z, sizeof(z));
    return beyond;
}

enum csl_code csl_encoding_decode(const struct csl_encoding *e, uint64_t slice,
                                  const uint64_t *words, uint32_t contributors, double divisor,
                                  float *out, size_t *outside, struct csl_err *err)
{
    if (contributors == 0 || contributors > e->lanes.sites_max)
        return CSL_FAIL(err, CSL_E_INVAL, "decoding: %u contributors; 1 to %u would be right",
                        contributors, e->lanes.sites_max);
    if (!is_in_range(divisor))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "decoding: a total weight of %g; 2^-40 to 2^40 would be right", divisor);
    float x[SLICE_MAX];
    int64_t sums[CHUNK];
    double worth = e->unit / divisor;
    size_t size = csl_encoding_slice_size(e, slice), wrong = 0;
    for (size_t at = 0; at < size; at += CHUNK) {
        size_t part = chunk_of(size, at);
        wrong +=
            csl_lanes_unpack(&e->lanes, words + at / e->lanes.per_word, part, contributors, sums);
        for (size_t i = 0; i < part; i++)
            x[at + i] = (float)((double)sums[i] * worth);
    }
    if (e->is_rotated)
        csl_rotation_inverse(&e->rotation, slice, x);
    memcpy(out, x, slice_part(e, e->count, slice) * sizeof(x[0]));
    *outside = wrong;
    return CSL_OK;
}
