/* Mode joint from patients to the opened sum, under masks and with a site that is lost: the noise
 * in the sum, and what it costs. Two functions of the product go through the test (CMakeLists.txt):
 * csl_noise_add, for what a site's sum was before and after its share of noise, and
 * csl_joint_decode, for the integers that the coordinator opened. Opened sum less the plain sums of
 * the sites in it is the noise that really protects. Fixed seed; each comparison is passed by the
 * right distribution with probability 1 - 1e-9 at least (tests/unit/privacy/distribution.h).
 */
#include "base/log.h"
#include "base/mem.h"
#include "privacy/secagg/joint.h"
#include "site-agent/training/privacy_plan.h"
#include "tests/property/dp/contour.h"
#include "tests/unit/privacy/distribution.h"
#include "tests/unit/world/masked.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DELTA      1e-3
#define RATE       0.5
#define NOISE      1.5
#define LOST_ROUND 3
enum { PARAMETERS = 4401, ROUNDS = 8, DRAWS_MAX = 16, MINIMUM = 3, COLLUDING = 1 };

struct draw { /* of one site in one round */
    int64_t before[PARAMETERS], after[PARAMETERS];
};
static struct {
    struct draw draws[DRAWS_MAX]; /* since the last sum was opened */
    uint32_t draw_count;
    double unit;                                          /* of the sites' grid */
    long double share_std;                                /* of one site, in its units */
    int64_t noise[MASKED_SITES + 1][ROUNDS * PARAMETERS]; /* by sites in the sum; in units */
    size_t noise_count[MASKED_SITES + 1];
    uint32_t survivors[ROUNDS], opened;
} seen;

enum csl_code __real_csl_noise_add(struct csl_rng *rng, const struct csl_noise *n, int64_t *sum,
                                   size_t count, struct csl_err *err);
enum csl_code __wrap_csl_noise_add(struct csl_rng *rng, const struct csl_noise *n, int64_t *sum,
                                   size_t count, struct csl_err *err);
void __real_csl_joint_decode(double clip, double factor, const uint64_t *words, size_t count,
                             float *out);
void __wrap_csl_joint_decode(double clip, double factor, const uint64_t *words, size_t count,
                             float *out);

enum csl_code __wrap_csl_noise_add(struct csl_rng *rng, const struct csl_noise *n, int64_t *sum,
                                   size_t count, struct csl_err *err)
{
    struct draw *d = &seen.draws[seen.draw_count];
    assert_true(seen.draw_count++ < DRAWS_MAX);
    assert_int_equal(count, PARAMETERS);
    memcpy(d->before, sum, sizeof(d->before));
    enum csl_code code = __real_csl_noise_add(rng, n, sum, count, err);
    memcpy(d->after, sum, sizeof(d->after));
    seen.unit = n->unit;
    seen.share_std = sqrtl(ldexpl((long double)n->gaussian.mantissa, n->gaussian.exponent));
    return code;
}

static bool is_sum_of(uint32_t set, const uint64_t *words, uint64_t steps)
{
    for (size_t i = 0; i < PARAMETERS; i++) {
        uint64_t sum = 0;
        for (uint32_t d = 0; d < seen.draw_count; d++)
            if ((set >> d & 1) != 0)
                sum += (uint64_t)seen.draws[d].after[i];
        if (sum * steps != words[i])
            return false;
    }
    return true;
}

/* The draws that are in the opened sum: exactly one set of them gives it, to the last bit. */
static uint32_t find_set(const uint64_t *words, uint64_t steps)
{
    uint32_t found = 0;
    for (uint32_t set = 1; set < UINT32_C(1) << seen.draw_count; set++) {
        if (!is_sum_of(set, words, steps))
            continue;
        assert_int_equal(found, 0);
        found = set;
    }
    assert_true(found != 0);
    return found;
}

void __wrap_csl_joint_decode(double clip, double factor, const uint64_t *words, size_t count,
                             float *out)
{
    uint64_t steps = (uint64_t)(seen.unit / csl_joint_unit(clip));
    assert_int_equal(count, PARAMETERS);
    assert_true(seen.opened < ROUNDS);
    uint32_t set = find_set(words, steps), sites = 0;
    for (uint32_t d = 0; d < seen.draw_count; d++)
        sites += set >> d & 1;
    assert_in_range(sites, MINIMUM, MASKED_SITES);
    int64_t *noise = seen.noise[sites] + seen.noise_count[sites];
    for (size_t i = 0; i < PARAMETERS; i++) {
        noise[i] = (int64_t)words[i] / (int64_t)steps;
        for (uint32_t d = 0; d < seen.draw_count; d++)
            noise[i] -= (set >> d & 1) != 0 ? seen.draws[d].before[i] : 0;
    }
    seen.noise_count[sites] += PARAMETERS;
    seen.survivors[seen.opened++] = sites;
    seen.draw_count = 0;
    __real_csl_joint_decode(clip, factor, words, count, out);
}

static struct fixture fixture;
static const uint64_t seed = 20;

static const struct masked_plan plan = {
    .rounds = ROUNDS,
    .minimum_sites = MINIMUM,
    .keyless_site = MASKED_NONE,
    .chunk_bytes = 4096,
    .noise_seed = &seed,
    .local = "{optimizer: sgd, learning_rate: 0.5, batch_patients: full, steps: 1}",
    .model = "{kind: mlp, hidden: [1100]}", /* PARAMETERS */
    .lost_round = LOST_ROUND,
    .lost_site = 4,
    .lost_when = LOST_ANNOUNCED,
    .sections = "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
                "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
                "privacy: {mode: joint, noise_multiplier: 1.5, delta: 1e-3, clip: 1, "
                "sampling_rate: 0.5}\n"};
static struct masked_result result;

static int set_up(void **state)
{
    (void)state;
    masked_open(&fixture);
    masked_run(&fixture, &plan, &result);
    return result.code == CSL_OK && result.rounds == ROUNDS ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    masked_release(&result);
    fixture_close(&fixture);
    return 0;
}

/* Two sums of five sites, then, one being lost between its promise and its upload, six of four. */
static void test_world_secagg_noise__opened_sums__are_those_of_the_survivors(void **state)
{
    (void)state;
    assert_int_equal(result.parameters, PARAMETERS);
    assert_int_equal(seen.opened, ROUNDS);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        assert_int_equal(seen.survivors[i], i + 1 < LOST_ROUND ? 5 : 4);
        assert_int_equal(result.contributions[i], seen.survivors[i]);
    }
}

/* A sum of s discrete Gaussians of 2^18 steps and more is one of s times the variance (their tau is
 * below 2^-1000), which fit_normal knows to 1 / (24 sigma^2). */
static void test_world_secagg_noise__in_the_opened_sums__is_the_sum_of_their_shares(void **state)
{
    (void)state;
    assert_true(seen.share_std >= 0x1p18L);
    for (uint32_t sites = 4; sites <= 5; sites++) {
        const int64_t *x = seen.noise[sites];
        size_t n = seen.noise_count[sites];
        double std = (double)(seen.share_std * sqrtl((long double)sites));
        assert_int_equal(n, PARAMETERS * (sites == 5 ? LOST_ROUND - 1 : ROUNDS - LOST_ROUND + 1));
        assert_true(fit_normal(std, x, n) < 1.0);
        assert_true(moments_off(0.0, std * std, x, n) < NORMAL_LIMIT);
        assert_true(fit_residues(64, x, n) < 1.0); /* integers, not rounded reals */
        /* the same eyes see one share too many or too few */
        double more = std * std * (sites + 1.0) / sites, less = std * std * (sites - 1.0) / sites;
        assert_true(moments_off(0.0, more, x, n) > NORMAL_LIMIT);
        assert_true(moments_off(0.0, less, x, n) > NORMAL_LIMIT);
    }
}

/* The study's own share is the planned one: clip and noise multiplier over two honest sites. */
static void test_world_secagg_noise__share__is_the_planned_one(void **state)
{
    double std = (double)seen.share_std * seen.unit;
    (void)state;
    assert_true(fabs(std / (NOISE / sqrt(MINIMUM - COLLUDING)) - 1) < 1e-6);
}

/* What the realised sums cost, from the numbers of survivors that came out of the protocol: the
 * product's accountant, and a contour integral that shares nothing with it. */
static void test_world_secagg_noise__price_after_a_drop_out__as_recomputed(void **state)
{
    const uint64_t patients = 60;
    struct csl_privacy_plan p;
    struct csl_study *study = masked_study(&plan);
    double before = 0;
    (void)state;
    assert_int_equal(csl_privacy_plan_make(&p, study, &patients, NULL), CSL_OK);
    for (uint32_t known = 0; known <= COLLUDING; known++) {
        struct contour_part parts[2] = {
            {NOISE * sqrt((5.0 - known) / (MINIMUM - COLLUDING)), RATE, LOST_ROUND - 1},
            {NOISE * sqrt((4.0 - known) / (MINIMUM - COLLUDING)), RATE, ROUNDS - LOST_ROUND + 1}};
        double epsilon = 0, delta[4];
        assert_int_equal(
            csl_privacy_plan_realised(&p, known, result.contributions, ROUNDS, &epsilon, NULL),
            CSL_OK);
        for (int k = 0; k < 4; k++) /* both directions, at epsilon and at one percent less */
            assert_true(contour_delta_of(parts, 2, k % 2 == 1, k < 2 ? epsilon : 0.99 * epsilon,
                                         &delta[k]));
        assert_true(fmax(delta[0], delta[1]) <= DELTA);
        assert_true(fmax(delta[2], delta[3]) > DELTA);
        print_message("%u known: epsilon %.6f, planned %.6f\n", known, epsilon, p.epsilon);
        assert_true(epsilon > before && epsilon < p.epsilon);
        before = epsilon;
    }
    /* Who stayed was charged as planned, whatever the sums turned out to hold. */
    for (uint32_t i = 0; i < 4; i++)
        assert_true(fabs(result.epsilon[i] / p.epsilon - 1) < 1e-12);
    csl_privacy_plan_release(&p);
    csl_study_free(study);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_secagg_noise__opened_sums__are_those_of_the_survivors),
        cmocka_unit_test(test_world_secagg_noise__in_the_opened_sums__is_the_sum_of_their_shares),
        cmocka_unit_test(test_world_secagg_noise__share__is_the_planned_one),
        cmocka_unit_test(test_world_secagg_noise__price_after_a_drop_out__as_recomputed),
    };
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
