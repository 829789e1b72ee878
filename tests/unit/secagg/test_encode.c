/* Floats to words and back. Pitfalls are numbered as in the design of secure aggregation. Fixed
 * seeds. */
#include "privacy/crypto/init.h"
#include "privacy/secagg/encode.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT_MAX = 10000, PADDED_MAX = 12288 };

static float vector[COUNT_MAX], decoded[COUNT_MAX];
static double expected[COUNT_MAX];
static uint64_t words[PADDED_MAX], total[PADDED_MAX];
static int64_t levels[PADDED_MAX], sums[PADDED_MAX];
static struct csl_rng rng;

static const uint32_t widths[] = {10, 12, 16, 21, 32, 64};

static struct csl_encoding encoding_of(uint32_t bits, uint32_t sites, uint64_t count, bool rotated,
                                       double clip_l2)
{
    struct csl_encoding e = {.rotation = {.key = {1, 2, 3}, .size_log2 = CSL_ROTATION_LOG2},
                             .is_rotated = rotated,
                             .count = count,
                             .clip_entry = 1.0,
                             .clip_l2 = clip_l2};
    assert_int_equal(csl_lanes_plan(&e.lanes, bits, sites, 0, NULL), CSL_OK);
    assert_int_equal(csl_encoding_plan(&e, NULL), CSL_OK);
    return e;
}

/* Encodes `vector` with the coins of this number. */
static void encode(const struct csl_encoding *e, uint64_t number, struct csl_rng *noise,
                   uint64_t *out)
{
    struct csl_encoder s;
    uint8_t coins[32] = {9};
    memcpy(coins + 1, &number, sizeof(number));
    assert_int_equal(csl_encoder_start(&s, e, vector, coins, NULL), CSL_OK);
    for (uint64_t k = 0; k < csl_encoding_slices(e); k++)
        csl_encoder_slice(&s, k, noise, out + k * csl_encoding_slice_words(e, 0));
    csl_encoder_wipe(&s);
}

static void decode(const struct csl_encoding *e, uint32_t contributors, double divisor)
{
    for (uint64_t k = 0; k < csl_encoding_slices(e); k++) {
        size_t outside = 99;
        assert_int_equal(
            csl_encoding_decode(e, k, total + k * csl_encoding_slice_words(e, 0), contributors,
                                divisor, decoded + (k << e->rotation.size_log2), &outside, NULL),
            CSL_OK);
        assert_int_equal(outside, 0);
    }
}

static void test_encoding__sizes__count_slices_and_words(void **state)
{
    (void)state;
    struct csl_encoding plain = encoding_of(10, 10, 10000, false, 0.0);
    assert_int_equal(csl_encoding_slices(&plain), 3);
    assert_int_equal(csl_encoding_slice_size(&plain, 1), 4096);
    assert_int_equal(csl_encoding_slice_size(&plain, 2), 1808);
    assert_int_equal(csl_encoding_slice_words(&plain, 1), 683); /* 4096 / 6 */
    assert_int_equal(csl_encoding_slice_words(&plain, 2), 302);
    assert_int_equal(csl_encoding_words(&plain), 2 * 683 + 302);
    struct csl_encoding rotated = encoding_of(16, 10, 10000, true, 0.0);
    assert_int_equal(csl_encoding_slices(&rotated), 3);
    assert_int_equal(csl_encoding_slice_size(&rotated, 2), 4096);
    assert_int_equal(csl_encoding_words(&rotated), 3072);
    struct csl_encoding whole = encoding_of(16, 10, 8192, true, 0.0);
    assert_int_equal(csl_encoding_slices(&whole), 2);
}

/* Every site's coefficient is off by less than a unit, so a sum of n by less than n: per entry
 * without rotation, in L2 per slice with it. Float32 adds 2^-19 of the largest values. */
static void test_encoding__random_sites_and_widths__decodes_within_the_rounding(void **state)
{
    (void)state;
    csl_rng_init_label(&rng, 2, "encode", 0, 0, 0);
    for (int repeat = 0; repeat < 36; repeat++) {
        uint32_t planned = 3 + (uint32_t)csl_rng_below(&rng, repeat < 18 ? 298 : 40);
        uint32_t bits = widths[repeat % 6];
        bits = bits == 10 && planned > 40 ? 12 : bits;
        uint32_t present = 1 + (uint32_t)csl_rng_below(&rng, planned);
        bool rotated = csl_rng_below(&rng, 2) == 1;
        size_t count = 1 + (size_t)csl_rng_below(&rng, 9000);
        double divisor = 0.5 + csl_rng_uniform(&rng);
        struct csl_encoding e = encoding_of(bits, planned, count, rotated, 0.0);
        memset(total, 0, sizeof(total));
        memset(expected, 0, sizeof(expected));
        for (uint32_t s = 0; s < present; s++) {
            float size = s % 2 == 0 ? 0.2F : 0.02F; /* rotated still below 1: five sigma */
            for (size_t i = 0; i < count; i++) {
                vector[i] = size * ((float)csl_rng_uniform(&rng) * 2.0F - 1.0F);
                expected[i] += (double)vector[i] / divisor;
            }
            encode(&e, (uint64_t)repeat * 1000 + s, NULL, words);
            csl_lanes_add(total, words, csl_encoding_words(&e));
        }
        decode(&e, present, divisor);
        double unit = e.unit / divisor, floats = 0x1p-19 * 0.2 * (double)present / divisor;
        double square = 0.0;
        for (size_t i = 0; i < count; i++) {
            double off = fabs((double)decoded[i] - expected[i]);
            assert_true(rotated || off <= unit * (double)present + floats);
            square += off * off;
        }
        double limit = (unit * (double)present + floats) * sqrt((double)e.coefficients);
        assert_true(sqrt(square) <= limit);
    }
}

static void test_pitfall_17__all_minimum_and_all_maximum__decode_to_the_clip(void **state)
{
    (void)state;
    for (size_t w = 0; w < 6; w++) {
        for (int sign = -1; sign <= 1; sign += 2) {
            struct csl_encoding e = encoding_of(widths[w], 40, 5000, false, 0.0);
            for (size_t i = 0; i < 5000; i++)
                vector[i] = (float)sign * (i % 2 == 0 ? 1.0F : 0x1p100F);
            encode(&e, 1, NULL, words);
            memset(total, 0, sizeof(total));
            for (uint32_t s = 0; s < 33; s++)
                csl_lanes_add(total, words, csl_encoding_words(&e));
            decode(&e, 33, 33.0);
            for (size_t i = 0; i < 5000; i++)
                assert_true(fabs((double)decoded[i] - sign) < 1e-6);
        }
    }
}

static void test_encoding__zero_vector__decodes_to_exactly_zero(void **state)
{
    (void)state;
    for (size_t w = 0; w < 12; w++) {
        struct csl_encoding e = encoding_of(widths[w % 6], 7, 5000, w < 6, w % 4 == 0 ? 1.0 : 0.0);
        memset(vector, 0, sizeof(vector));
        memset(total, 0, sizeof(total));
        for (uint32_t s = 0; s < 7; s++) {
            encode(&e, s, NULL, words);
            csl_lanes_add(total, words, csl_encoding_words(&e));
        }
        decode(&e, 7, 7.0);
        for (size_t i = 0; i < 5000; i++)
            assert_true(decoded[i] == 0.0F);
    }
}

/* The first slice comes from sites 0 to 4, the second from 2 and 3 alone. */
static void test_pitfall_18__slices_with_other_contributors__each_its_own_count(void **state)
{
    (void)state;
    struct csl_encoding e = encoding_of(21, 5, 8192, true, 0.0);
    size_t half = csl_encoding_slice_words(&e, 0);
    memset(total, 0, sizeof(total));
    for (uint32_t s = 0; s < 5; s++) {
        for (size_t i = 0; i < 8192; i++)
            vector[i] = 0.01F * (float)(s + 1); /* 0.05 is sigma after the rotation */
        encode(&e, s, NULL, words);
        csl_lanes_add(total, words, half);
        if (s == 2 || s == 3)
            csl_lanes_add(total + half, words + half, half);
    }
    size_t outside = 0;
    assert_int_equal(csl_encoding_decode(&e, 0, total, 5, 1.0, decoded, &outside, NULL), CSL_OK);
    assert_int_equal(
        csl_encoding_decode(&e, 1, total + half, 2, 1.0, decoded + 4096, &outside, NULL), CSL_OK);
    for (size_t i = 0; i < 4096; i++) {
        assert_true(fabs((double)decoded[i] - 0.15) < 1e-4);
        assert_true(fabs((double)decoded[4096 + i] - 0.07) < 1e-4);
    }
}

/* x = fraction of a unit, COUNT_MAX draws of floor(x + U) each: the mean is off by more than 6.2
 * standard errors with probability below 1e-9. */
static void test_pitfall_47__mean_of_encodings__is_the_value(void **state)
{
    (void)state;
    csl_rng_init_label(&rng, 47, "coins", 0, 0, 0);
    static const double values[] = {0.0,  0.001, 0.25, 0.5,       0.9,
                                    -0.1, -0.5,  7.75, -1000.999, 1e6 + 0.3};
    for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
        double sum = 0.0, exact = (double)(float)values[v], p = exact - floor(exact);
        for (int repeat = 0; repeat < 20; repeat++) {
            for (size_t i = 0; i < COUNT_MAX; i++)
                vector[i] = (float)values[v];
            csl_rounding_draw(&rng, vector, COUNT_MAX, 1.0, INT64_C(1) << 34, levels);
            for (size_t i = 0; i < COUNT_MAX; i++) {
                assert_true((double)levels[i] == floor(exact) ||
                            (double)levels[i] == floor(exact) + 1.0);
                sum += (double)levels[i] - exact;
            }
        }
        double n = 20.0 * COUNT_MAX, error = sqrt(p * (1.0 - p) / n);
        assert_true(fabs(sum / n) <= 6.2 * error + 0x1p-17);
    }
}

static size_t differing(const int64_t *a, const int64_t *b, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += a[i] != b[i];
    return count;
}

/* All values are half a unit, so two roundings with other coins differ in Binomial(4096, 1/2), sd
 * 32: below 1848 with probability below 1e-9. */
static void test_pitfall_47__coins__differ_by_key_slice_and_attempt(void **state)
{
    (void)state;
    struct csl_encoding e = encoding_of(16, 37, 8192, false, 0.0);
    for (size_t i = 0; i < 8192; i++)
        vector[i] = (float)(0.5 * e.unit);
    struct csl_encoder s;
    uint8_t coins[32] = {1};
    assert_int_equal(csl_encoder_start(&s, &e, vector, coins, NULL), CSL_OK);
    csl_encoder_levels(&s, 0, levels);
    csl_encoder_levels(&s, 0, sums);
    assert_int_equal(differing(levels, sums, 4096), 0); /* the same on every call */
    csl_encoder_levels(&s, 1, sums);
    assert_true(differing(levels, sums, 4096) > 1848);
    s.attempt++;
    csl_encoder_levels(&s, 0, sums);
    assert_true(differing(levels, sums, 4096) > 1848);
    coins[31] ^= 1;
    assert_int_equal(csl_encoder_start(&s, &e, vector, coins, NULL), CSL_OK);
    csl_encoder_levels(&s, 0, sums);
    assert_true(differing(levels, sums, 4096) > 1848);
}

/* The bound in exact arithmetic, from its formula in long double and not from the plan. */
static long double kls_square(double clip, double unit, double d)
{
    long double c = (long double)clip / (long double)unit, root = sqrtl((long double)d);
    long double likely = c * c + (long double)d / 4 + sqrtl(1.0L) * (c + root / 2);
    long double worst = (c + root) * (c + root);
    return likely < worst ? likely : worst;
}

static double square_of_levels(const struct csl_encoder *s)
{
    double square = 0.0; /* exact: integers below 2^53 */
    for (uint64_t k = 0; k < csl_encoding_slices(s->encoding); k++) {
        csl_encoder_levels(s, k, levels);
        for (size_t i = 0; i < csl_encoding_slice_size(s->encoding, k); i++)
            square += (double)levels[i] * (double)levels[i];
    }
    return square;
}

/* `kind` of worst case: every entry half a unit; a spike; a spike on top of halves; random signs
 * far above the clip; entries just above a grid point. */
static void worst_case(int kind, size_t d, double unit, uint64_t seed)
{
    csl_rng_init_label(&rng, seed, "worst", (uint64_t)kind, 0, 0);
    for (size_t i = 0; i < d; i++) {
        bool minus = csl_rng_below(&rng, 2) == 1;
        double x = kind == 0   ? 0.5 * unit
                   : kind == 1 ? 0.0
                   : kind == 2 ? 0.5 * unit
                   : kind == 3 ? 3.0 + csl_rng_uniform(&rng)
                               : 1.001 * unit;
        vector[i] = (float)(minus ? -x : x);
    }
    if (kind == 1 || kind == 2)
        vector[seed % d] = 5.0F;
}

static void test_encoding__worst_case_vectors__never_exceed_the_bound_charged(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 7, 300, 4096, 6000};
    uint32_t redrawn = 0;
    for (size_t n = 0; n < 5; n++) {
        for (int kind = 0; kind < 5; kind++) {
            for (uint64_t seed = 0; seed < 40; seed++) {
                size_t d = sizes[n];
                struct csl_encoding e = encoding_of(16, 10, d, seed % 4 == 3, 0.9);
                if (kind == 0) { /* the norm of halves is exactly the clip */
                    e.clip_l2 = 0.5 * e.unit * sqrt((double)d) / (1.0 - 0x1p-16);
                    assert_int_equal(csl_encoding_plan(&e, NULL), CSL_OK);
                }
                worst_case(kind, d, e.unit, seed);
                struct csl_encoder s;
                uint8_t coins[32] = {(uint8_t)seed, (uint8_t)kind};
                assert_int_equal(csl_encoder_start(&s, &e, vector, coins, NULL), CSL_OK);
                long double bound = kls_square(e.clip_l2, e.unit, (double)e.coefficients);
                assert_true((long double)square_of_levels(&s) <= bound * (1 + 1e-12L));
                assert_true((long double)e.rounding.l2_units * (long double)e.rounding.l2_units <=
                            bound * (1 + 1e-12L));
                redrawn += s.attempt;
                s.attempt = CSL_ROUNDING_TRIES; /* what happens when every try fails */
                assert_true((long double)square_of_levels(&s) <= bound * (1 + 1e-12L));
            }
        }
    }
    assert_true(redrawn >
                0); /* some first tries did not hold the bound: the condition is at work */
}

static void test_rounding__truncated__is_never_longer_than_the_vector(void **state)
{
    (void)state;
    static const float x[8] = {0.99F, -0.99F, 1.0F, -1.0F, 2.7F, -2.7F, 100.5F, -100.5F};
    static const int64_t towards_zero[8] = {0, 0, 1, -1, 2, -2, 50, -50};
    int64_t out[8];
    assert_int_equal(csl_rounding_truncate(x, 8, 1.0, 50, out), 2);
    assert_memory_equal(out, towards_zero, sizeof(out));
    csl_square square = 0;
    assert_true(csl_rounding_within(out, 8, 5010, &square));
    assert_true(square == 2 * (1 + 4 + 2500));
    assert_false(csl_rounding_within(out, 8, 5009 + 5010, &square));
    static const int64_t huge[2] = {INT64_MIN, INT64_MAX};
    assert_false(csl_rounding_within(huge, 1, 1000000, &square));
    assert_false(csl_rounding_within(huge + 1, 1, 1000000, &square));
}

static void test_pitfall_48__encoding_again__same_integers_and_an_untouched_vector(void **state)
{
    (void)state;
    struct csl_encoding e = encoding_of(16, 37, 9000, true, 3.0);
    csl_rng_init_label(&rng, 48, "again", 0, 0, 0);
    for (size_t i = 0; i < 9000; i++)
        vector[i] = (float)csl_rng_normal(&rng);
    static float before[COUNT_MAX];
    memcpy(before, vector, sizeof(before));
    encode(&e, 5, NULL, words);
    encode(&e, 5, NULL, total);
    assert_memory_equal(words, total, csl_encoding_words(&e) * sizeof(words[0]));
    assert_memory_equal(before, vector, sizeof(before));
}

/* With noise a second encoding is another release: the words differ nearly everywhere. */
static void test_encoding__noise__is_drawn_anew_and_added(void **state)
{
    (void)state;
    struct csl_shares shares;
    assert_int_equal(csl_shares_plan(&shares, 3000.0, 10, 3, 1, 4096, NULL), CSL_OK);
    uint64_t headroom = csl_lanes_headroom(csl_shares_sum_std(&shares, 10), 4096, 0x1p-40);
    struct csl_encoding e = {.rotation = {.size_log2 = CSL_ROTATION_LOG2},
                             .is_rotated = true,
                             .shares = &shares,
                             .count = 4000,
                             .clip_entry = 1.0,
                             .clip_l2 = 2.0};
    assert_int_equal(csl_lanes_plan(&e.lanes, 32, 10, headroom, NULL), CSL_OK);
    assert_int_equal(csl_encoding_plan(&e, NULL), CSL_OK);
    struct csl_dp_event event = {.sampler = CSL_DP_FULL_BATCH, .sampling_rate = 1.0, .steps = 1};
    assert_int_equal(csl_encoding_event(&e, 8, &event, NULL), CSL_E_STATE);
    assert_int_equal(csl_encoding_event(&e, 9, &event, NULL), CSL_OK);
    assert_int_equal(csl_dp_event_check(&event, NULL), CSL_OK);
    assert_true(event.l2_units >= e.rounding.l2_units && event.std_units >= 2999.99);
    csl_rng_init_label(&rng, 49, "noise", 0, 0, 0);
    for (size_t i = 0; i < 4000; i++)
        vector[i] = 0.01F;
    struct csl_rng noise = rng, same = rng;
    encode(&e, 1, &noise, words);
    encode(&e, 1, &noise, total);
    size_t equal = 0;
    for (size_t i = 0; i < csl_encoding_words(&e); i++)
        equal += words[i] == total[i];
    assert_true(equal < 10);
    /* Take the noise and the vector's integers off again: nothing is left but the offsets. */
    struct csl_encoder s;
    uint8_t coins[32] = {9, 1};
    assert_int_equal(csl_encoder_start(&s, &e, vector, coins, NULL), CSL_OK);
    csl_encoder_levels(&s, 0, levels);
    assert_int_equal(csl_lanes_unpack(&e.lanes, words, 4096, 1, sums), 0);
    for (size_t at = 0; at < 4096; at += 960) {
        int64_t z[960];
        size_t part = 4096 - at < 960 ? 4096 - at : 960;
        csl_discrete_gaussian_fill(&same, &shares.gaussian, z, part);
        for (size_t i = 0; i < part; i++)
            assert_true(sums[at + i] == levels[at + i] + z[i]);
    }
    csl_shares_release(&shares);
}

/* Patients one by one, then the sum as words: the decoded sum is the sum of the patients. */
static void test_encoding__sum_of_patients__is_packed_and_cut(void **state)
{
    (void)state;
    struct csl_encoding e = encoding_of(32, 10, 6000, false, 0.5);
    memset(sums, 0, sizeof(sums));
    memset(expected, 0, sizeof(expected));
    for (int patient = 0; patient < 20; patient++) {
        for (size_t i = 0; i < 6000; i++)
            vector[i] = i == 7 ? 0.4F : 0.0001F * (float)patient;
        struct csl_encoder s;
        uint8_t coins[32] = {(uint8_t)patient};
        assert_int_equal(csl_encoder_start(&s, &e, vector, coins, NULL), CSL_OK);
        csl_encoder_add(&s, sums);
        for (size_t i = 0; i < 6000; i++)
            expected[i] += (double)vector[i];
    }
    size_t beyond = 0;
    for (uint64_t k = 0; k < csl_encoding_slices(&e); k++)
        beyond += csl_encoding_pack(&e, k, sums + (k << 12), NULL,
                                    total + k * csl_encoding_slice_words(&e, 0));
    assert_int_equal(beyond, 1); /* entry 7 sums to 8 */
    decode(&e, 1, 1.0);
    for (size_t i = 0; i < 6000; i++) {
        double right = i == 7 ? 1.0 : expected[i];
        assert_true(fabs((double)decoded[i] - right) < 21.0 * e.unit + 1e-6);
    }
}

static void test_encoding__vector_with_nan_or_infinity__is_refused(void **state)
{
    (void)state;
    struct csl_encoding e = encoding_of(16, 10, 100, true, 0.5);
    struct csl_encoder s = {.attempt = 5};
    uint8_t coins[32] = {0};
    static const float wrong[] = {NAN, INFINITY, -INFINITY, 0x1.1p100F};
    for (size_t i = 0; i < 4; i++) {
        for (size_t at = 0; at < 100; at += 33) {
            memset(vector, 0, sizeof(vector));
            vector[at] = wrong[i];
            assert_int_equal(csl_encoder_start(&s, &e, vector, coins, NULL), CSL_E_INVAL);
        }
    }
    assert_int_equal(s.attempt, 5);
}

static void test_encoding__configuration_that_contradicts_itself__is_refused(void **state)
{
    (void)state;
    const struct csl_encoding good = encoding_of(32, 10, 5000, true, 1.0);
    struct csl_encoding e = good;
    e.rotation.size_log2 = 15;
    assert_int_equal(csl_encoding_plan(&e, NULL), CSL_E_INVAL);
    e = good;
    e.count = 0;
    assert_int_equal(csl_encoding_plan(&e, NULL), CSL_E_INVAL);
    e = good;
    e.clip_entry = (double)NAN;
    assert_int_equal(csl_encoding_plan(&e, NULL), CSL_E_INVAL);
    e = good;
    e.clip_l2 = -1.0;
    assert_int_equal(csl_encoding_plan(&e, NULL), CSL_E_INVAL);
    e = good;
    e.lanes.level = 0;
    assert_int_equal(csl_encoding_plan(&e, NULL), CSL_E_INVAL);
    struct csl_shares shares;
    assert_int_equal(csl_shares_plan(&shares, 100.0, 10, 1, 1, 8192, NULL), CSL_OK);
    e = good;
    e.shares = &shares; /* no headroom in the lanes */
    assert_int_equal(csl_encoding_plan(&e, NULL), CSL_E_INVAL);
    assert_int_equal(csl_lanes_plan(&e.lanes, 32, 10, 5000, NULL), CSL_OK);
    assert_int_equal(csl_encoding_plan(&e, NULL), CSL_OK);
    e.clip_l2 = 0.0; /* noise without a sensitivity */
    assert_int_equal(csl_encoding_plan(&e, NULL), CSL_E_INVAL);
    e.clip_l2 = 1.0;
    e.count = 8193; /* more coefficients than the noise was planned for */
    assert_int_equal(csl_encoding_plan(&e, NULL), CSL_E_INVAL);
    e.count = 5000;
    assert_int_equal(csl_lanes_plan(&e.lanes, 32, 9, 5000, NULL), CSL_OK);
    assert_int_equal(csl_encoding_plan(&e, NULL), CSL_E_INVAL);
    csl_shares_release(&shares);
}

static void test_pitfall_19__no_weight_or_no_contributor__decodes_nothing(void **state)
{
    (void)state;
    struct csl_encoding e = encoding_of(16, 10, 100, false, 0.0);
    size_t outside = 77;
    static const double divisors[] = {0.0, -1.0, 1e-30, 1e30, (double)INFINITY, (double)NAN};
    decoded[0] = 5.0F;
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(csl_encoding_decode(&e, 0, words, 3, divisors[i], decoded, &outside, NULL),
                         CSL_E_INVAL);
    assert_int_equal(csl_encoding_decode(&e, 0, words, 0, 1.0, decoded, &outside, NULL),
                     CSL_E_INVAL);
    assert_int_equal(csl_encoding_decode(&e, 0, words, 11, 1.0, decoded, &outside, NULL),
                     CSL_E_INVAL);
    assert_true(decoded[0] == 5.0F && outside == 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encoding__sizes__count_slices_and_words),
        cmocka_unit_test(test_encoding__random_sites_and_widths__decodes_within_the_rounding),
        cmocka_unit_test(test_pitfall_17__all_minimum_and_all_maximum__decode_to_the_clip),
        cmocka_unit_test(test_encoding__zero_vector__decodes_to_exactly_zero),
        cmocka_unit_test(test_pitfall_18__slices_with_other_contributors__each_its_own_count),
        cmocka_unit_test(test_pitfall_47__mean_of_encodings__is_the_value),
        cmocka_unit_test(test_pitfall_47__coins__differ_by_key_slice_and_attempt),
        cmocka_unit_test(test_encoding__worst_case_vectors__never_exceed_the_bound_charged),
        cmocka_unit_test(test_rounding__truncated__is_never_longer_than_the_vector),
        cmocka_unit_test(test_pitfall_48__encoding_again__same_integers_and_an_untouched_vector),
        cmocka_unit_test(test_encoding__noise__is_drawn_anew_and_added),
        cmocka_unit_test(test_encoding__sum_of_patients__is_packed_and_cut),
        cmocka_unit_test(test_encoding__vector_with_nan_or_infinity__is_refused),
        cmocka_unit_test(test_encoding__configuration_that_contradicts_itself__is_refused),
        cmocka_unit_test(test_pitfall_19__no_weight_or_no_contributor__decodes_nothing),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
