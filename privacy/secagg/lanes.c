#include "privacy/secagg/lanes.h"

#include "base/check.h"
#include "base/clones.h"

#include <math.h>
#include <stdbool.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

static const uint32_t allowed_bits[] = {10, 12, 16, 21, 32, 64};

uint64_t csl_lanes_headroom(double std_sum, uint64_t entries, double wrap_probability)
{
    CSL_ASSERT(std_sum >= 0.0 && std_sum <= 0x1p56 && entries > 0);
    CSL_ASSERT(wrap_probability > 0.0 && wrap_probability < 1.0);
    double z = sqrt(2.0 * (log(2.0) + log((double)entries) - log(wrap_probability)));
    return (uint64_t)ceil(std_sum * z * (1.0 + 0x1p-40));
}

static bool is_allowed(uint32_t bits)
{
    for (size_t i = 0; i < sizeof(allowed_bits) / sizeof(allowed_bits[0]); i++) {
        if (allowed_bits[i] == bits)
            return true;
    }
    return false;
}

/* 0: none. */
static int64_t level_of(uint32_t bits, uint32_t sites_max, uint64_t headroom)
{
    uint64_t top = UINT64_MAX >> (64 - bits); /* 2^bits - 1 */
    if (headroom > top / 2)
        return 0;
    uint64_t level = (top - 2 * headroom) / (2 * (uint64_t)sites_max);
    return level < (uint64_t)CSL_LANES_LEVEL_MAX ? (int64_t)level : CSL_LANES_LEVEL_MAX;
}

enum csl_code csl_lanes_plan(struct csl_lanes *l, uint32_t bits, uint32_t sites_max,
                             uint64_t headroom, struct csl_err *err)
{
    if (!is_allowed(bits))
        return CSL_FAIL(err, CSL_E_INVAL, "lanes: %u bits; 10, 12, 16, 21, 32 or 64 would be right",
                        bits);
    if (sites_max == 0 || sites_max > CSL_LANES_SITES_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "lanes: %u sites; 1 to %d would be right", sites_max,
                        CSL_LANES_SITES_MAX);
    int64_t level = level_of(bits, sites_max, headroom);
    if (level == 0) {
        uint32_t enough = 0;
        for (size_t i = sizeof(allowed_bits) / sizeof(allowed_bits[0]); i-- > 0;)
            enough = level_of(allowed_bits[i], sites_max, headroom) > 0 ? allowed_bits[i] : enough;
        return CSL_FAIL(err, CSL_E_INVAL,
                        "lanes: %u bits hold no level of %u sites beside a headroom of %llu; %u "
                        "bits do (0: none)",
                        bits, sites_max, (unsigned long long)headroom, enough);
    }
    *l = (struct csl_lanes){.bits = bits,
                            .per_word = 64 / bits,
                            .sites_max = sites_max,
                            .level = level,
                            .headroom = headroom};
    return CSL_OK;
}

size_t csl_lanes_words(const struct csl_lanes *l, size_t count)
{
    return count / l->per_word + (count % l->per_word != 0);
}

/* Modulo 2^64, and so is every addition of words below. `bad` gets a sign bit from a value outside
 * -level to level. */
ALWAYS_INLINE void pack_words(const int64_t *values, const int64_t *noise, size_t words,
                              uint32_t bits, uint32_t per_word, uint64_t level, uint64_t *out,
                              uint64_t *bad)
{
    uint64_t wrong = 0;
    for (size_t w = 0; w < words; w++) {
        uint64_t word = 0;
        for (uint32_t i = 0; i < per_word; i++) {
            uint64_t u = (uint64_t)values[w * per_word + i] + level;
            wrong |= u | (2 * level - u);
            if (noise != NULL)
                u += (uint64_t)noise[w * per_word + i];
            word += u << (bits * i);
        }
        out[w] = word;
    }
    *bad |= wrong;
}

ALWAYS_INLINE void pack_any(const int64_t *values, const int64_t *noise, size_t words,
                            uint32_t bits, uint64_t level, uint64_t *out, uint64_t *bad)
{
    if (bits == 10)
        pack_words(values, noise, words, 10, 6, level, out, bad);
    else if (bits == 12)
        pack_words(values, noise, words, 12, 5, level, out, bad);
    else if (bits == 16)
        pack_words(values, noise, words, 16, 4, level, out, bad);
    else if (bits == 21)
        pack_words(values, noise, words, 21, 3, level, out, bad);
    else if (bits == 32)
        pack_words(values, noise, words, 32, 2, level, out, bad);
    else
        pack_words(values, noise, words, 64, 1, level, out, bad);
}

CSL_CLONES
static void pack_plain(const int64_t *values, size_t words, uint32_t bits, uint64_t level,
                       uint64_t *out, uint64_t *bad)
{
    pack_any(values, NULL, words, bits, level, out, bad);
}

CSL_CLONES
static void pack_noisy(const int64_t *values, const int64_t *noise, size_t words, uint32_t bits,
                       uint64_t level, uint64_t *out, uint64_t *bad)
{
    pack_any(values, noise, words, bits, level, out, bad);
}

void csl_lanes_pack(const struct csl_lanes *l, const int64_t *values, const int64_t *noise,
                    size_t count, uint64_t *words)
{
    uint64_t level = (uint64_t)l->level, bad = 0;
    size_t whole = count / l->per_word, rest = count % l->per_word, done = whole * l->per_word;
    if (noise == NULL)
        pack_plain(values, whole, l->bits, level, words, &bad);
    else
        pack_noisy(values, noise, whole, l->bits, level, words, &bad);
    for (size_t i = 0; i < rest; i++) {
        uint64_t one = 0;
        pack_words(values + done + i, noise == NULL ? NULL : noise + done + i, 1, 64, 1, level,
                   &one, &bad);
        words[whole] = (i == 0 ? 0 : words[whole]) + (one << (l->bits * i));
    }
    CSL_ASSERT(bad >> 63 == 0);
}

CSL_CLONES
void csl_lanes_add(uint64_t *sum, const uint64_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sum[i] += words[i];
}

struct unpacking {
    uint64_t raise;    /* headroom in every lane of a word */
    uint64_t shift;    /* headroom + contributors * level: what every lane has too much */
    uint64_t lane_max; /* 2 * shift */
};

/* Returns the number of lanes above lane_max. */
ALWAYS_INLINE size_t unpack_words(const struct unpacking *u, const uint64_t *in, size_t words,
                                  uint32_t bits, uint32_t per_word, int64_t *sums)
{
    const uint64_t raise = u->raise, shift = u->shift, lane_max = u->lane_max;
    const uint64_t mask = UINT64_MAX >> (64 - bits);
    uint64_t outside = 0;
    for (size_t w = 0; w < words; w++) {
        uint64_t word = in[w] + raise;
        for (uint32_t i = 0; i < per_word; i++) {
            uint64_t lane = (word >> (bits * i)) & mask;
            outside += lane > lane_max;
            sums[w * per_word + i] = (int64_t)(lane - shift);
        }
    }
    return (size_t)outside;
}

CSL_CLONES
static size_t unpack_any(const struct unpacking *u, const uint64_t *in, size_t words, uint32_t bits,
                         int64_t *sums)
{
    if (bits == 10)
        return unpack_words(u, in, words, 10, 6, sums);
    if (bits == 12)
        return unpack_words(u, in, words, 12, 5, sums);
    if (bits == 16)
        return unpack_words(u, in, words, 16, 4, sums);
    if (bits == 21)
        return unpack_words(u, in, words, 21, 3, sums);
    if (bits == 32)
        return unpack_words(u, in, words, 32, 2, sums);
    return unpack_words(u, in, words, 64, 1, sums);
}

size_t csl_lanes_unpack(const struct csl_lanes *l, const uint64_t *words, size_t count,
                        uint32_t contributors, int64_t *sums)
{
    CSL_ASSERT(contributors > 0 && contributors <= l->sites_max);
    struct unpacking u = {.shift = l->headroom + contributors * (uint64_t)l->level};
    u.lane_max = 2 * u.shift; /* below 2^bits, by the plan */
    for (uint32_t i = 0; i < l->per_word; i++)
        u.raise += l->headroom << (l->bits * i);
    size_t whole = count / l->per_word, rest = count % l->per_word, done = whole * l->per_word;
    size_t outside = unpack_any(&u, words, whole, l->bits, sums);
    uint64_t word = rest > 0 ? words[whole] + u.raise : 0;
    for (size_t i = 0; i < rest; i++) {
        uint64_t lane = (word >> (l->bits * i)) & (UINT64_MAX >> (64 - l->bits));
        outside += lane > u.lane_max;
        sums[done + i] = (int64_t)(lane - u.shift);
    }
    return outside;
}
