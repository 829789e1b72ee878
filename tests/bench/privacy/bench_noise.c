/* How many samples of noise one core makes in a second, beside the bytes its generator makes: the
 * fast discrete Gaussian takes 16 bytes a sample and little more, so that is its physical limit.
 * Prints figures; they depend on the machine and its load, so none of them fails the program. */
#include "base/clock.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/dp/discrete_gaussian.h"
#include "privacy/dp/discrete_laplace.h"
#include "privacy/dp/noise.h"
#include "privacy/dp/poisson_sample.h"
#include "privacy/dp/skellam.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 1 << 20, SLOW_COUNT = 1 << 14, REPEATS = 5 };

static int64_t out[COUNT];
static uint32_t chosen[COUNT];
static float vector[COUNT];
static struct csl_rng rng;

struct sampler {
    struct csl_discrete_gaussian gaussian;
    struct csl_skellam skellam;
    struct csl_noise noise;
    uint64_t mantissa;
    int exponent;
};

static double best_per_second(void (*work)(struct sampler *s, size_t count), struct sampler *s,
                              size_t count)
{
    double best = 0.0;
    for (int r = 0; r < REPEATS; r++) {
        uint64_t start = csl_clock_monotonic_ns();
        work(s, count);
        double rate = (double)count / ((double)(csl_clock_monotonic_ns() - start) * 1e-9);
        best = rate > best ? rate : best;
    }
    return best;
}

static void fill_bytes(struct sampler *s, size_t count)
{
    (void)s;
    csl_rng_bytes(&rng, out, count * 8);
}

static void fill_gaussian(struct sampler *s, size_t count)
{
    csl_discrete_gaussian_fill(&rng, &s->gaussian, out, count);
}

static void draw_gaussian(struct sampler *s, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = csl_discrete_gaussian_draw_cks(&rng, s->mantissa, s->exponent);
}

static void fill_laplace(struct sampler *s, size_t count)
{
    csl_discrete_laplace_fill(&rng, s->mantissa, 1, out, count);
}

static void fill_skellam(struct sampler *s, size_t count)
{
    csl_skellam_fill(&rng, &s->skellam, out, count);
}

static void add_noise(struct sampler *s, size_t count)
{
    memset(out, 0, count * sizeof(out[0]));
    assert_int_equal(csl_noise_add(&rng, &s->noise, out, count, NULL), CSL_OK);
}

static void round_vector(struct sampler *s, size_t count)
{
    assert_true(csl_noise_round(&s->noise, vector, count, out));
}

static void sample_units(struct sampler *s, size_t count)
{
    (void)s;
    size_t n;
    assert_int_equal(csl_poisson_sample(&rng, 0x1p-7, (uint32_t)count, chosen, &n, NULL), CSL_OK);
}

static void bench_noise__samplers__values_per_second(void **state)
{
    (void)state;
    static const int sigma_squared_log2[] = {4, 10, 20, 40, 66}; /* 4, 32, 1024, 2^20, 2^33 */
    static struct sampler s;
    csl_rng_init_os(&rng);
    double words = best_per_second(fill_bytes, &s, COUNT);
    printf("generator %39.2f GB/s = %.0f million pairs of words/s\n", words * 8e-9, words * .5e-6);
    for (size_t i = 0; i < sizeof(sigma_squared_log2) / sizeof(sigma_squared_log2[0]); i++) {
        int log2 = sigma_squared_log2[i];
        uint64_t start = csl_clock_monotonic_ns();
        assert_int_equal(csl_discrete_gaussian_init(&s.gaussian, 1, log2, NULL), CSL_OK);
        double init_ms = (double)(csl_clock_monotonic_ns() - start) * 1e-6;
        s.mantissa = 1;
        s.exponent = log2;
        double fast = best_per_second(fill_gaussian, &s, COUNT);
        double slow = best_per_second(draw_gaussian, &s, SLOW_COUNT);
        printf("discrete Gaussian, sigma 2^%-2d %20.1f million/s (%.0f %% of the generator), "
               "definition %.2f, tables in %.1f ms\n",
               log2 / 2, fast * 1e-6, 200.0 * fast / words, slow * 1e-6, init_ms);
        csl_discrete_gaussian_release(&s.gaussian);
    }
    for (unsigned log2 = 0; log2 <= 40; log2 += 20) {
        s.mantissa = UINT64_C(1) << log2;
        printf("discrete Laplace, scale 2^%-2u %21.1f million/s\n", log2,
               best_per_second(fill_laplace, &s, SLOW_COUNT * 8) * 1e-6);
    }
    for (int log2 = 0; log2 <= 20; log2 += 10) {
        assert_int_equal(csl_skellam_init(&s.skellam, 1, log2, NULL), CSL_OK);
        printf("Skellam, variance 2^%-2d %27.1f million/s\n", log2,
               best_per_second(fill_skellam, &s, COUNT) * 1e-6);
        csl_skellam_release(&s.skellam);
    }
    assert_int_equal(csl_noise_plan(&s.noise, 1.0, 1.0, COUNT, NULL), CSL_OK);
    printf("csl_noise_add, multiplier 1 %23.1f million/s\n",
           best_per_second(add_noise, &s, COUNT) * 1e-6);
    for (size_t i = 0; i < COUNT; i++)
        vector[i] = (float)csl_rng_normal(&rng);
    memset(out, 0, sizeof(out));
    printf("csl_noise_round, clipped %26.1f million/s\n",
           best_per_second(round_vector, &s, COUNT) * 1e-6);
    csl_noise_release(&s.noise);
    printf("Poisson sampling, rate 2^-7 %23.1f million units/s\n",
           best_per_second(sample_units, &s, COUNT) * 1e-6);
    csl_rng_wipe(&rng);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bench_noise__samplers__values_per_second),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
