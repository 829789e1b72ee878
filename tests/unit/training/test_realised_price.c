/* What the sums of a joint study really cost: the shares that were in them, less those an adversary
 * knows. Checked by hand, and by an accountant that shares nothing with the product's
 * (tests/property/dp/contour.h). */
#include "base/buf.h"
#include "privacy/crypto/init.h"
#include "site-agent/training/privacy_plan.h"
#include "tests/property/dp/contour.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define DELTA 1e-5

/* So many sites in every sum, one of which may collude; noise multiplier 10 of the honest ones. */
static void make_plan(struct csl_privacy_plan *p, uint32_t minimum, double rate, double noise)
{
    const uint64_t patients = 100;
    struct csl_study *s = NULL;
    struct csl_buf out;
    csl_buf_init(&out, 4096);
    csl_buf_printf(
        &out,
        "study: priced\nquestion: Is this patient ill?\n"
        "domains:\n  - id: illness\n    modality: tabular\n"
        "    task: {kind: binary, label: ill, positive: 1}\n"
        "    features: [first, second]\n    scaling: constants\n    model: {kind: linear}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: full, steps: 1}}\n"
        "rounds: 3\naggregation: {strategy: fedavg}\nsites: {minimum: %u}\n"
        "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: %u}\n"
        "privacy: {mode: joint, noise_multiplier: %g, delta: 1e-5, clip: 1, sampling_rate: %g}\n",
        minimum, minimum, noise, rate);
    struct csl_err err = {.code = CSL_OK};
    if (csl_study_parse(&s, "s.yaml", CSL_SPAN(out.p, out.n), &err) != CSL_OK ||
        csl_privacy_plan_make(p, s, &patients, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_buf_release(&out);
    csl_study_free(s);
}

static double realised(const struct csl_privacy_plan *p, uint32_t known, const uint32_t *survivors,
                       size_t rounds)
{
    double epsilon = -1;
    assert_int_equal(csl_privacy_plan_realised(p, known, survivors, rounds, &epsilon, NULL),
                     CSL_OK);
    return epsilon;
}

/* Above the true value, and by less than one in a thousand. */
static void assert_priced(double epsilon, double truth)
{
    if (!(epsilon >= truth * (1 - 1e-9) && epsilon <= truth * 1.001))
        fail_msg("%.9g where %.9g is right", epsilon, truth);
}

/* Three sites of which one may collude: the plan counts two shares, noise multiplier 10, so a sum
 * with h unknown shares has noise multiplier 10 sqrt(h / 2). With mu^2 the sum over rounds of
 * 2 / (100 h), the epsilon at which the Gaussian curve (Balle and Wang 2018, theorem 8) reaches
 * delta 1e-5. Sums of 5, 4 and 3 sites:
 *   the coordinator alone   mu^2 = .02 (1/5 + 1/4 + 1/3) = .0156667
 *   with one site           mu^2 = .02 (1/4 + 1/3 + 1/2) = .0216667
 *   as planned              mu^2 = .02 (1/2 + 1/2 + 1/2) = .03 */
static void test_realised_price__five_four_three_survivors__as_by_hand(void **state)
{
    static const uint32_t survivors[] = {5, 4, 3}, fewest[] = {3, 3, 3}, other_way[] = {3, 5, 4};
    struct csl_privacy_plan p;
    (void)state;
    make_plan(&p, 3, 1, 10);
    assert_int_equal(p.shares, 2);
    assert_priced(realised(&p, 0, survivors, 3), 0.435047179913);
    assert_priced(realised(&p, 1, survivors, 3), 0.519143813676);
    assert_priced(p.epsilon, 0.620004498310);
    assert_true(realised(&p, 1, fewest, 3) == p.epsilon); /* the same events */
    assert_true(realised(&p, 0, survivors, 0) == 0);
    assert_true(fabs(realised(&p, 0, other_way, 3) / realised(&p, 0, survivors, 3) - 1) < 1e-12);
    csl_privacy_plan_release(&p);
}

static void test_realised_price__more_survivors_or_fewer_known__costs_less(void **state)
{
    struct csl_privacy_plan p;
    (void)state;
    make_plan(&p, 7, 1, 10);
    double before = HUGE_VAL;
    for (uint32_t s = 7; s <= 40; s += 3) {
        const uint32_t survivors[] = {s, s, s};
        double alone = realised(&p, 0, survivors, 3), with_one = realised(&p, 1, survivors, 3);
        assert_true(alone < with_one && with_one <= p.epsilon && with_one < before);
        before = with_one;
    }
    csl_privacy_plan_release(&p);
}

/* delta at the claimed epsilon, by the contour integral, must be at most the plan's, and at one
 * percent less epsilon above it: neither too little nor much too much. */
static void test_realised_price__sampled_with_drop_outs__as_the_independent_accountant(void **state)
{
    static const double rates[] = {0.05, 0.3, 0.5};
    static const uint32_t survivors[] = {9, 9, 8, 6, 9, 7, 6, 9, 9, 8};
    enum { ROUNDS = sizeof(survivors) / sizeof(survivors[0]) };
    (void)state;
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct csl_privacy_plan p;
        make_plan(&p, 6, rates[i], 2);
        for (uint32_t known = 0; known <= 1; known++) {
            struct contour_part parts[] = {{0, rates[i], 5},
                                           {0, rates[i], 2},
                                           {0, rates[i], 1},
                                           {0, rates[i], 2}}; /* of 9, 8, 7 and 6 survivors */
            double epsilon = realised(&p, known, survivors, ROUNDS), delta[4] = {0};
            for (uint32_t k = 0; k < 4; k++)
                parts[k].sigma = 2.0 * sqrt((9.0 - k - known) / 5.0);
            for (int k = 0; k < 4; k++)
                assert_true(contour_delta_of(parts, 4, k % 2 == 1, k < 2 ? epsilon : 0.99 * epsilon,
                                             &delta[k]));
            if (!(fmax(delta[0], delta[1]) <= DELTA && fmax(delta[2], delta[3]) > DELTA))
                fail_msg("rate %g, %u known: epsilon %.9g has delta %.9g, %.9g less has %.9g",
                         rates[i], known, epsilon, fmax(delta[0], delta[1]), 0.01 * epsilon,
                         fmax(delta[2], delta[3]));
        }
        csl_privacy_plan_release(&p);
    }
}

static void test_realised_price__nothing_but_known_shares__refused(void **state)
{
    static const uint32_t survivors[] = {5, 1, 5};
    struct csl_privacy_plan p, local = {.mode = CSL_PRIVACY_LOCAL};
    struct csl_err err = {.code = CSL_OK};
    double epsilon = 7;
    (void)state;
    make_plan(&p, 3, 1, 10);
    assert_int_equal(csl_privacy_plan_realised(&p, 1, survivors, 3, &epsilon, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "sum 2: found 1 survivors, of whom 1 are known"));
    assert_int_equal(csl_privacy_plan_realised(&local, 0, survivors, 3, &epsilon, NULL),
                     CSL_E_INVAL);
    assert_true(epsilon == 7);
    csl_privacy_plan_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_realised_price__five_four_three_survivors__as_by_hand),
        cmocka_unit_test(test_realised_price__more_survivors_or_fewer_known__costs_less),
        cmocka_unit_test(
            test_realised_price__sampled_with_drop_outs__as_the_independent_accountant),
        cmocka_unit_test(test_realised_price__nothing_but_known_shares__refused),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
