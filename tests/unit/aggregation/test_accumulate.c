/* The accumulator against the slow definition of its sum, and what it refuses. */
#include "aggregation/accumulate.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { P = 5000 }; /* more than two of the accumulator's groups */

struct fixture {
    struct csl_schema schema; /* blocks: a [P], b [3] */
    struct csl_accumulator *acc;
    float x[P], mean[P];
};

static int setup(void **state)
{
    struct fixture *f = csl_alloc(sizeof(*f));
    const uint64_t big[1] = {P}, small[1] = {3};
    if (f == NULL || csl_crypto_init(NULL) != CSL_OK)
        return -1;
    csl_schema_init(&f->schema);
    if (csl_schema_add_block(&f->schema, "a", CSL_BLOCK_SHARED, NULL) != CSL_OK ||
        csl_schema_add_tensor(&f->schema, "w", 1, big, CSL_INIT_ZEROS, 0, NULL) != CSL_OK ||
        csl_schema_add_block(&f->schema, "b", CSL_BLOCK_SHARED, NULL) != CSL_OK ||
        csl_schema_add_tensor(&f->schema, "w", 1, small, CSL_INIT_ZEROS, 0, NULL) != CSL_OK ||
        csl_schema_seal(&f->schema, NULL) != CSL_OK ||
        csl_accumulator_new(&f->acc, &f->schema, 2, NULL) != CSL_OK)
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    csl_accumulator_free(f->acc);
    csl_free(f);
    return 0;
}

static int64_t reference_units(double weight, float x)
{
    return (int64_t)llrint(ldexp(weight * (double)x, CSL_ACC_FRACTION_BITS));
}

static void assert_same_bits(float got, float want)
{
    uint32_t a, b;
    memcpy(&a, &got, sizeof(a));
    memcpy(&b, &want, sizeof(b));
    assert_int_equal(a, b);
}

/* One contribution of weight w among others: what it adds is visible in the mean only through a
 * division, so the reference divides in the same way. */
static void check_against_reference(struct fixture *f, const double *weights, size_t sites,
                                    struct csl_rng *rng, double (*draw)(struct csl_rng *))
{
    static int64_t sums[P];
    int64_t weight = 0;
    memset(sums, 0, sizeof(sums));
    csl_accumulator_reset(f->acc);
    for (size_t s = 0; s < sites; s++) {
        for (size_t i = 0; i < P; i++) {
            f->x[i] = (float)draw(rng);
            sums[i] += reference_units(weights[s], f->x[i]);
        }
        weight += llrint(ldexp(weights[s], CSL_ACC_FRACTION_BITS));
        assert_int_equal(csl_accumulator_begin(f->acc, 0, weights[s], NULL), CSL_OK);
        assert_int_equal(csl_accumulator_add(f->acc, 1, 0, 0, f->x, P, weights[s], NULL), CSL_OK);
    }
    csl_accumulator_mean(f->acc, 1, 0, 0, P, f->mean);
    for (size_t i = 0; i < P; i++)
        assert_same_bits(f->mean[i], (float)((double)sums[i] / (double)weight));
    csl_accumulator_mean(f->acc, 0, 0, 0, P, f->mean);
    for (size_t i = 0; i < P; i++)
        assert_same_bits(f->mean[i], 0.0F);
}

static double draw_normal(struct csl_rng *r)
{
    return csl_rng_normal(r);
}

static double draw_any_scale(struct csl_rng *r)
{
    double scale = ldexp(1.0, (int)csl_rng_below(r, 60) - 40); /* up to 2^19 * 1.99 */
    return (2.0 * csl_rng_uniform(r) - 1.0) * scale;
}

/* Multiples of 2^-42 near half units: ties and their neighbours. */
static double draw_tie(struct csl_rng *r)
{
    return ldexp((double)csl_rng_below(r, 4096) - 2048.0, -42);
}

static double draw_bits(struct csl_rng *r)
{
    for (;;) {
        uint32_t bits = (uint32_t)csl_rng_u64(r);
        float x;
        memcpy(&x, &bits, sizeof(x));
        if (fabs((double)x) < CSL_ACC_ABS_MAX) /* false for NaN */
            return (double)x;
    }
}

static void test_accumulate__random_values__bits_of_the_reference(void **state)
{
    struct fixture *f = *state;
    const double weights[] = {0.25, 1.0 / 3.0, 0.1, 0x1p-30, 0.3};
    struct csl_rng rng;
    csl_rng_init_label(&rng, 7, "test.accumulate", 0, 0, 0);
    check_against_reference(f, weights, 5, &rng, draw_normal);
    check_against_reference(f, weights, 5, &rng, draw_any_scale);
    check_against_reference(f, weights, 5, &rng, draw_tie);
    check_against_reference(f, weights, 5, &rng, draw_bits);
}

/* With weight 1 alone the mean is the sum: each value must be its own rounding, one at a time. */
static void test_accumulate__edge_values__rounded_half_to_even(void **state)
{
    struct fixture *f = *state;
    static const struct {
        double weight, x, units;
    } rows[] = {
        {1, 0.0, 0},
        {1, -0.0, 0},
        {1, 0x1p-40, 1},
        {1, 0x1p-41, 0},
        {1, 0x1.8p-40, 2},
        {1, 0x1.4p-39, 2},
        {1, 0x1.cp-39, 4},
        {1, -0x1p-41, 0},
        {1, -0x1.8p-40, -2},
        {1, -0x1.000002p-41, -1},
        {1, 0x1p-149, 0},
        {1, 0x1.fffffep19, 0x1.fffffep59},
        {1, -0x1.fffffep19, -0x1.fffffep59},
        {1, 0x1p11, 0x1p51},
        {1, 0x1.fffffep10, 0x1.fffffep50},
        {1, 0x1p-8, 0x1p32},
        {1, 0x1.8p-9, 0x1.8p31},
        {0.5, 0x1p-40, 0},
        {0.5, 0x1.8p-39, 2},
        {0x1p-39, 0x1.4p1, 5},
        {0x1p-39, 0x1.4p0, 2},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        float x = (float)rows[i].x, mean[3];
        csl_accumulator_reset(f->acc);
        assert_int_equal(csl_accumulator_begin(f->acc, 1, rows[i].weight, NULL), CSL_OK);
        assert_int_equal(csl_accumulator_add(f->acc, 0, 1, 1, &x, 1, rows[i].weight, NULL), CSL_OK);
        csl_accumulator_mean(f->acc, 0, 1, 0, 3, mean);
        assert_true((double)reference_units(rows[i].weight, x) == rows[i].units);
        assert_true(mean[0] == 0 && mean[2] == 0);
        assert_same_bits(mean[1],
                         (float)(rows[i].units / ldexp(rows[i].weight, CSL_ACC_FRACTION_BITS)));
    }
}

static void test_accumulate__weighted_mean__known_values(void **state)
{
    /* aggregation design, section 1: weights .25 .4 .35; and 1 (weight 1), 3 (weight 2) -> 7/3 */
    struct fixture *f = *state;
    const double weights[3] = {0.25, 0.4, 0.35};
    const float rows[3][3] = {{1, 0.2F, 0.5F}, {0.2F, 0.5F, 1}, {0.5F, 1, 0.2F}};
    const double expected[3] = {0.505, 0.6, 0.595};
    float mean[3];
    csl_accumulator_reset(f->acc);
    for (size_t s = 0; s < 3; s++) {
        assert_int_equal(csl_accumulator_begin(f->acc, 1, weights[s], NULL), CSL_OK);
        assert_int_equal(csl_accumulator_add(f->acc, 0, 1, 0, rows[s], 3, weights[s], NULL),
                         CSL_OK);
    }
    csl_accumulator_mean(f->acc, 0, 1, 0, 3, mean);
    for (size_t i = 0; i < 3; i++)
        assert_true(fabs((double)mean[i] - expected[i]) <
                    6e-8); /* half an ulp of float32 below 1 */
    assert_int_equal(csl_accumulator_sites(f->acc, 1), 3);
    assert_int_equal(csl_accumulator_sites(f->acc, 0), 0);
    assert_true(fabs(csl_accumulator_weight(f->acc, 1) - 1.0) <= 2 * 0x1p-40);

    const float one[3] = {1, 1, 1}, three[3] = {3, 3, 3};
    csl_accumulator_reset(f->acc);
    assert_int_equal(csl_accumulator_begin(f->acc, 1, 1.0 / 3.0, NULL), CSL_OK);
    assert_int_equal(csl_accumulator_begin(f->acc, 1, 2.0 / 3.0, NULL), CSL_OK);
    assert_int_equal(csl_accumulator_add(f->acc, 0, 1, 0, one, 3, 1.0 / 3.0, NULL), CSL_OK);
    assert_int_equal(csl_accumulator_add(f->acc, 0, 1, 0, three, 3, 2.0 / 3.0, NULL), CSL_OK);
    csl_accumulator_mean(f->acc, 0, 1, 0, 3, mean);
    assert_same_bits(mean[0], (float)(7.0 / 3.0));
}

static void test_accumulate__weights_beyond_one__limit_and_nothing_changed(void **state)
{
    struct fixture *f = *state;
    struct csl_err err;
    csl_accumulator_reset(f->acc);
    assert_int_equal(csl_accumulator_begin(f->acc, 0, 0.0, &err), CSL_E_INVAL);
    assert_int_equal(csl_accumulator_begin(f->acc, 0, -0.5, &err), CSL_E_INVAL);
    assert_int_equal(csl_accumulator_begin(f->acc, 0, 1.5, &err), CSL_E_INVAL);
    assert_int_equal(csl_accumulator_begin(f->acc, 0, (double)NAN, &err), CSL_E_INVAL);
    assert_int_equal(csl_accumulator_begin(f->acc, 0, 0x1p-60, &err), CSL_E_INVAL);
    assert_int_equal(csl_accumulator_begin(f->acc, 2, 0.5, &err), CSL_E_INVAL);
    assert_int_equal(csl_accumulator_begin(f->acc, 0, 0.6, &err), CSL_OK);
    assert_int_equal(csl_accumulator_begin(f->acc, 0, 0.5, &err), CSL_E_LIMIT);
    assert_int_equal(csl_accumulator_sites(f->acc, 0), 1);
    assert_true(fabs(csl_accumulator_weight(f->acc, 0) - 0.6) < 0x1p-40);
    assert_int_equal(csl_accumulator_begin(f->acc, 0, 0.4 + 0x1p-21, &err), CSL_OK);
    assert_int_equal(csl_accumulator_begin(f->acc, 0, 0x1p-20, &err), CSL_E_LIMIT);
}

static void test_accumulate__bad_value_anywhere__refused_and_nothing_added(void **state)
{
    struct fixture *f = *state;
    static float before[P];
    const float bad[] = {NAN, INFINITY, -INFINITY, 0x1p20F, -0x1p20F, 3e38F};
    const size_t places[] = {0, 1, 7, 8, 2047, 2048, 4095, 4096, P - 1};
    struct csl_rng rng;
    struct csl_err err;
    csl_rng_init_label(&rng, 9, "test.accumulate", 1, 0, 0);
    csl_accumulator_reset(f->acc);
    for (size_t i = 0; i < P; i++)
        f->x[i] = (float)draw_any_scale(&rng);
    assert_int_equal(csl_accumulator_begin(f->acc, 0, 0.7, &err), CSL_OK);
    assert_int_equal(csl_accumulator_add(f->acc, 0, 0, 0, f->x, P, 0.7, &err), CSL_OK);
    csl_accumulator_mean(f->acc, 0, 0, 0, P, before);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
            float was = f->x[places[i]];
            f->x[places[i]] = bad[k];
            assert_int_equal(csl_accumulator_add(f->acc, 0, 0, 0, f->x, P, 0.3, &err), CSL_E_INVAL);
            f->x[places[i]] = was;
            char place[32];
            snprintf(place, sizeof(place), "element %zu:", places[i]);
            assert_non_null(strstr(err.msg, place));
        }
    }
    csl_accumulator_mean(f->acc, 0, 0, 0, P, f->mean);
    assert_memory_equal(f->mean, before, sizeof(before));
}

static void test_accumulate__slice_outside_the_block__refused(void **state)
{
    struct fixture *f = *state;
    struct csl_err err;
    csl_accumulator_reset(f->acc);
    assert_int_equal(csl_accumulator_add(f->acc, 0, 1, 0, f->x, 3, 0.5, &err), CSL_E_STATE);
    assert_int_equal(csl_accumulator_begin(f->acc, 1, 0.5, &err), CSL_OK);
    assert_int_equal(csl_accumulator_add(f->acc, 0, 1, 0, f->x, 4, 0.5, &err), CSL_E_INVAL);
    assert_int_equal(csl_accumulator_add(f->acc, 0, 1, 4, f->x, 0, 0.5, &err), CSL_E_INVAL);
    assert_int_equal(csl_accumulator_add(f->acc, 0, 1, UINT64_MAX, f->x, 2, 0.5, &err),
                     CSL_E_INVAL);
    assert_int_equal(csl_accumulator_add(f->acc, 2, 1, 0, f->x, 3, 0.5, &err), CSL_E_INVAL);
    assert_int_equal(csl_accumulator_add(f->acc, 0, 2, 0, f->x, 3, 0.5, &err), CSL_E_INVAL);
    assert_int_equal(csl_accumulator_add(f->acc, 0, 1, 0, f->x, 3, 0.0, &err), CSL_E_INVAL);
    assert_int_equal(csl_accumulator_add(f->acc, 0, 1, 3, f->x, 0, 0.5, &err), CSL_OK);
}

static void test_accumulate__out_of_memory__reported(void **state)
{
    struct fixture *f = *state;
    struct csl_accumulator *a = NULL;
    for (uint64_t n = 1; n <= 2; n++) {
        csl_mem_fail_after(n);
        assert_int_equal(csl_accumulator_new(&a, &f->schema, 1, NULL), CSL_E_NOMEM);
        csl_mem_fail_after(0);
        assert_null(a);
    }
    assert_int_equal(csl_accumulator_new(&a, &f->schema, 0, NULL), CSL_E_INVAL);
    csl_accumulator_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accumulate__random_values__bits_of_the_reference),
        cmocka_unit_test(test_accumulate__edge_values__rounded_half_to_even),
        cmocka_unit_test(test_accumulate__weighted_mean__known_values),
        cmocka_unit_test(test_accumulate__weights_beyond_one__limit_and_nothing_changed),
        cmocka_unit_test(test_accumulate__bad_value_anywhere__refused_and_nothing_added),
        cmocka_unit_test(test_accumulate__slice_outside_the_block__refused),
        cmocka_unit_test(test_accumulate__out_of_memory__reported),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
