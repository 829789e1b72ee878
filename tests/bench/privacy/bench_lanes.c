/* How many values one core rotates, rounds, packs, encodes, adds and unpacks in a second, beside
 * one pass over memory that reads floats and writes them, and beside the coins alone. Prints
 * figures; they depend on the machine and its load, so none of them fails the program. */
#include "base/clock.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/secagg/encode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 1 << 24, SLICE = 4096, REPEATS = 5 };

struct work {
    struct csl_encoding plain, clipped, joint;
    struct csl_shares shares;
    float *in, *out;
    uint64_t *words, *sum;
    int64_t levels[SLICE];
    struct csl_rng rng;
};

static double best_per_second(void (*run)(struct work *w), struct work *w)
{
    double best = 0.0;
    for (int r = 0; r < REPEATS; r++) {
        uint64_t start = csl_clock_cpu_ns();
        run(w);
        double rate = (double)COUNT / ((double)(csl_clock_cpu_ns() - start) * 1e-9);
        best = rate > best ? rate : best;
    }
    return best;
}

static void report(const char *what, void (*run)(struct work *w), struct work *w)
{
    printf("%-58s %8.0f M/s\n", what, best_per_second(run, w) * 1e-6);
}

static void copy(struct work *w)
{
    memcpy(w->out, w->in, COUNT * sizeof(float));
}

static void draw_coins(struct work *w)
{
    for (size_t i = 0; i < COUNT; i += SLICE)
        csl_rng_bytes(&w->rng, w->levels, SLICE * 2);
}

static void rotate(struct work *w)
{
    for (size_t i = 0; i < COUNT / SLICE; i++)
        csl_rotation_forward(&w->plain.rotation, i, w->out + i * SLICE);
}

static void round_levels(struct work *w)
{
    for (size_t i = 0; i < COUNT; i += SLICE)
        csl_rounding_draw(&w->rng, w->in + i, SLICE, 300.0, w->plain.lanes.level, w->levels);
}

static void truncate_levels(struct work *w)
{
    for (size_t i = 0; i < COUNT; i += SLICE)
        csl_rounding_truncate(w->in + i, SLICE, 300.0, w->plain.lanes.level, w->levels);
}

static void pack(struct work *w)
{
    for (size_t i = 0; i < COUNT / SLICE; i++)
        csl_lanes_pack(&w->plain.lanes, w->levels, NULL, SLICE, w->words + i * (SLICE / 4));
}

static void unpack(struct work *w)
{
    for (size_t i = 0; i < COUNT / SLICE; i++)
        csl_lanes_unpack(&w->plain.lanes, w->words + i * (SLICE / 4), SLICE, 30, w->levels);
}

static void add(struct work *w)
{
    csl_lanes_add(w->sum, w->words, COUNT / 4);
}

static void encode(const struct csl_encoding *e, struct csl_rng *noise, struct work *w)
{
    struct csl_encoder s;
    uint8_t coins[32] = {1};
    assert_int_equal(csl_encoder_start(&s, e, w->in, coins, NULL), CSL_OK);
    for (uint64_t k = 0; k < csl_encoding_slices(e); k++)
        csl_encoder_slice(&s, k, noise, w->words + k * csl_encoding_slice_words(e, 0));
}

static void encode_plain(struct work *w)
{
    encode(&w->plain, NULL, w);
}

static void encode_clipped(struct work *w)
{
    encode(&w->clipped, NULL, w);
}

static void encode_joint(struct work *w)
{
    encode(&w->joint, &w->rng, w);
}

static void decode(struct work *w)
{
    size_t outside;
    for (uint64_t k = 0; k < csl_encoding_slices(&w->plain); k++)
        assert_int_equal(csl_encoding_decode(&w->plain, k, w->words + k * (SLICE / 4), 30, 30.0,
                                             w->out + k * SLICE, &outside, NULL),
                         CSL_OK);
}

static void plan(struct work *w)
{
    struct csl_encoding e = {.rotation = {.size_log2 = CSL_ROTATION_LOG2},
                             .is_rotated = true,
                             .count = COUNT,
                             .clip_entry = 5.0};
    assert_int_equal(csl_lanes_plan(&e.lanes, 16, 37, 0, NULL), CSL_OK);
    w->plain = w->clipped = w->joint = e;
    w->clipped.clip_l2 = 1000.0;
    w->joint.clip_l2 = 1000.0;
    w->joint.shares = &w->shares;
    assert_int_equal(csl_shares_plan(&w->shares, 1e6, 37, 12, 4, COUNT, NULL), CSL_OK);
    uint64_t headroom = csl_lanes_headroom(csl_shares_sum_std(&w->shares, 37), COUNT, 0x1p-40);
    assert_int_equal(csl_lanes_plan(&w->joint.lanes, 32, 37, headroom, NULL), CSL_OK);
    assert_int_equal(csl_encoding_plan(&w->plain, NULL), CSL_OK);
    assert_int_equal(csl_encoding_plan(&w->clipped, NULL), CSL_OK);
    assert_int_equal(csl_encoding_plan(&w->joint, NULL), CSL_OK);
}

static void bench_lanes__one_core__printed(void **state)
{
    (void)state;
    static struct work w;
    w.in = csl_alloc_array(COUNT, sizeof(float));
    w.out = csl_alloc_array(COUNT, sizeof(float));
    w.words = csl_alloc_array(COUNT / 2, sizeof(uint64_t));
    w.sum = csl_alloc_array(COUNT / 2, sizeof(uint64_t));
    assert_true(w.in != NULL && w.out != NULL && w.words != NULL && w.sum != NULL);
    csl_rng_init_label(&w.rng, 1, "bench", 0, 0, 0);
    for (size_t i = 0; i < COUNT; i++)
        w.in[i] = (float)csl_rng_uniform(&w.rng) - 0.5F;
    plan(&w);
    printf("%d values, 16-bit lanes for 37 sites, CPU time of one core, best of %d\n", COUNT,
           REPEATS);
    report("memory pass (copy of float32)", copy, &w);
    report("coins alone (16 bits each)", draw_coins, &w);
    report("rotate, blocks of 2^12", rotate, &w);
    report("round with coins", round_levels, &w);
    report("round towards zero", truncate_levels, &w);
    report("pack", pack, &w);
    report("encode: rotate, round, pack", encode_plain, &w);
    report("encode with L2 clip and conditional rounding", encode_clipped, &w);
    report("the same with a noise share, 32-bit lanes", encode_joint, &w);
    encode_plain(&w);
    report("add words to a sum", add, &w);
    report("unpack", unpack, &w);
    report("decode: unpack, scale, inverse rotation", decode, &w);
    csl_shares_release(&w.shares);
    csl_free(w.in);
    csl_free(w.out);
    csl_free(w.words);
    csl_free(w.sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bench_lanes__one_core__printed),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
