/* Property: whatever the order of arrival, the slicing and the interleaving, the same bits. And at
 * the limits (largest values, weights that sum to one) no sum wraps. */
#include "aggregation/accumulate.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { SITES = 12, VECTORS = 2, BLOCKS = 3, P = 5003, ROUNDS = 60 };
static const uint64_t block_counts[BLOCKS] = {1, 4999, 3};

struct world {
    struct csl_schema schema;
    struct csl_accumulator *acc;
    float x[SITES][VECTORS][P];
    double weight[SITES];
    float expected[VECTORS][P], got[VECTORS][P];
};

static int setup(void **state)
{
    struct world *w = csl_alloc(sizeof(*w));
    if (w == NULL || csl_crypto_init(NULL) != CSL_OK)
        return -1;
    const char *const names[BLOCKS] = {"a", "b", "c"};
    csl_schema_init(&w->schema);
    for (size_t b = 0; b < BLOCKS; b++)
        if (csl_schema_add_block(&w->schema, names[b], CSL_BLOCK_SHARED, NULL) != CSL_OK ||
            csl_schema_add_tensor(&w->schema, "w", 1, &block_counts[b], CSL_INIT_ZEROS, 0, NULL) !=
                CSL_OK)
            return -1;
    if (csl_schema_seal(&w->schema, NULL) != CSL_OK ||
        csl_accumulator_new(&w->acc, &w->schema, VECTORS, NULL) != CSL_OK)
        return -1;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    csl_accumulator_free(w->acc);
    csl_free(w);
    return 0;
}

static void draw_world(struct world *w, struct csl_rng *rng)
{
    double total = 0;
    for (size_t s = 0; s < SITES; s++) {
        w->weight[s] = csl_rng_uniform(rng) + 0.001;
        total += w->weight[s];
        for (size_t v = 0; v < VECTORS; v++)
            for (size_t i = 0; i < P; i++)
                w->x[s][v][i] =
                    (float)(csl_rng_normal(rng) * ldexp(1.0, (int)csl_rng_below(rng, 50) - 34));
    }
    for (size_t s = 0; s < SITES; s++)
        w->weight[s] /= total;
}

/* In slices of any length; 0: whole blocks. */
static void read_means(const struct world *w, uint64_t slice, float means[VECTORS][P])
{
    for (uint32_t v = 0; v < VECTORS; v++)
        for (uint32_t b = 0; b < BLOCKS; b++) {
            uint64_t step = slice == 0 ? block_counts[b] : slice;
            for (uint64_t at = 0; at < block_counts[b]; at += step) {
                uint64_t n = block_counts[b] - at < step ? block_counts[b] - at : step;
                csl_accumulator_mean(w->acc, v, b, at, n,
                                     means[v] + w->schema.blocks[b].first + at);
            }
        }
}

static void add_whole(struct world *w)
{
    csl_accumulator_reset(w->acc);
    for (size_t s = 0; s < SITES; s++)
        for (uint32_t b = 0; b < BLOCKS; b++) {
            assert_int_equal(csl_accumulator_begin(w->acc, b, w->weight[s], NULL), CSL_OK);
            for (uint32_t v = 0; v < VECTORS; v++)
                assert_int_equal(csl_accumulator_add(w->acc, v, b, 0,
                                                     w->x[s][v] + w->schema.blocks[b].first,
                                                     block_counts[b], w->weight[s], NULL),
                                 CSL_OK);
        }
}

/* One step of a random interleaving: the next slice, of random length, of a random (site, vector,
 * block) that is not complete. */
static void add_shuffled(struct world *w, struct csl_rng *rng)
{
    enum { STREAMS = SITES * VECTORS * BLOCKS };
    uint64_t done[STREAMS] = {0};
    uint32_t open[STREAMS], open_count = STREAMS;
    for (uint32_t i = 0; i < STREAMS; i++)
        open[i] = i;
    csl_accumulator_reset(w->acc);
    uint32_t order[SITES];
    for (uint32_t i = 0; i < SITES; i++)
        order[i] = i;
    csl_rng_shuffle_u32(rng, order, SITES);
    for (uint32_t i = 0; i < SITES; i++)
        for (uint32_t b = 0; b < BLOCKS; b++)
            assert_int_equal(csl_accumulator_begin(w->acc, b, w->weight[order[i]], NULL), CSL_OK);
    while (open_count > 0) {
        uint32_t at = (uint32_t)csl_rng_below(rng, open_count), id = open[at];
        uint32_t b = id % BLOCKS, v = id / BLOCKS % VECTORS, s = id / BLOCKS / VECTORS;
        uint64_t left = block_counts[b] - done[id];
        uint64_t n = csl_rng_below(rng, 4) == 0 ? left : csl_rng_below(rng, left + 1);
        const float *from = w->x[s][v] + w->schema.blocks[b].first + done[id];
        assert_int_equal(csl_accumulator_add(w->acc, v, b, done[id], from, n, w->weight[s], NULL),
                         CSL_OK);
        done[id] += n;
        if (done[id] == block_counts[b])
            open[at] = open[--open_count];
    }
}

static void test_accumulate_order__any_order_and_slicing__same_bits(void **state)
{
    struct world *w = *state;
    struct csl_rng rng;
    csl_rng_init_label(&rng, 11, "property.accumulate", 0, 0, 0);
    for (int round = 0; round < ROUNDS; round++) {
        if (round % 10 == 0) {
            draw_world(w, &rng);
            add_whole(w);
            read_means(w, 0, w->expected);
        }
        add_shuffled(w, &rng);
        read_means(w, 1 + csl_rng_below(&rng, 700), w->got);
        assert_memory_equal(w->got, w->expected, sizeof(w->got));
    }
}

/* n sites of weight 1/n, all at the largest float below 2^20 and of one sign: the mean of equal
 * values is that value, and any wrap of the sum would show as another sign or size. */
static void test_accumulate_order__largest_values_and_weights__no_wrap(void **state)
{
    struct world *w = *state;
    const float largest = nextafterf(0x1p20F, 0.0F);
    const uint32_t counts[] = {1, 2, 3, 7, 64, 1000, CSL_SITES_MAX};
    float x[3], mean[3];
    for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
        double weight = 1.0 / counts[k];
        x[0] = largest;
        x[1] = -largest;
        x[2] = 0x1p-20F;
        csl_accumulator_reset(w->acc);
        for (uint32_t i = 0; i < counts[k]; i++) {
            assert_int_equal(csl_accumulator_begin(w->acc, 2, weight, NULL), CSL_OK);
            assert_int_equal(csl_accumulator_add(w->acc, 0, 2, 0, x, 3, weight, NULL), CSL_OK);
        }
        csl_accumulator_mean(w->acc, 0, 2, 0, 3, mean);
        assert_true(fabs((double)mean[0] / (double)largest - 1.0) < 1e-6);
        assert_true(mean[1] == -mean[0]);
        /* Each addend is rounded by at most 2^-41 and the weights sum to 1: so is the mean. */
        assert_true(fabs((double)mean[2] - 0x1p-20) <= (double)counts[k] * 0x1p-41 + 0x1p-44);
    }
    /* The weight tolerance above one cannot be used for more than it is. */
    csl_accumulator_reset(w->acc);
    assert_int_equal(csl_accumulator_begin(w->acc, 2, 1.0, NULL), CSL_OK);
    assert_int_equal(csl_accumulator_begin(w->acc, 2, 0x1p-20, NULL), CSL_OK);
    assert_int_equal(csl_accumulator_begin(w->acc, 2, 0x1p-40, NULL), CSL_E_LIMIT);
}

static void test_accumulate_order__refused_slices_between__same_bits(void **state)
{
    struct world *w = *state;
    static float poisoned[4999];
    struct csl_rng rng;
    csl_rng_init_label(&rng, 12, "property.accumulate", 0, 0, 0);
    draw_world(w, &rng);
    add_whole(w);
    read_means(w, 0, w->expected);
    for (int i = 0; i < 200; i++) {
        uint64_t n = 1 + csl_rng_below(&rng, 4999);
        size_t s = (size_t)csl_rng_below(&rng, SITES);
        memcpy(poisoned, w->x[s][0], n * sizeof(float));
        poisoned[csl_rng_below(&rng, n)] = i % 2 ? NAN : 0x1p21F;
        assert_int_equal(
            csl_accumulator_add(w->acc, 1, 1, 4999 - n, poisoned, n, w->weight[s], NULL),
            CSL_E_INVAL);
    }
    read_means(w, 0, w->got);
    assert_memory_equal(w->got, w->expected, sizeof(w->got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accumulate_order__any_order_and_slicing__same_bits),
        cmocka_unit_test(test_accumulate_order__largest_values_and_weights__no_wrap),
        cmocka_unit_test(test_accumulate_order__refused_slices_between__same_bits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
