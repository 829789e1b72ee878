/* The noise of published statistics: what it costs, how much it is, and what a site draws. Fixed
 * seed; each comparison is passed by the right distribution with probability 1 - 1e-9 at least. */
#include "aggregation/weights/publication.h"
#include "privacy/dp/account.h"
#include "privacy/secagg/published.h"
#include "tests/unit/privacy/distribution.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Two attributes, one domain: the design's case. */
static struct csl_published_terms terms_of(double epsilon, uint32_t publications)
{
    double l2 = csl_publication_sensitivity2(2, 1);
    return (struct csl_published_terms){.epsilon = epsilon,
                                        .delta = 1e-6,
                                        .publications = publications,
                                        .minimum_sites = 5,
                                        .colluding = 2,
                                        .dimensions = 14,
                                        .l2_units = sqrt(l2) * CSL_PUBLICATION_ONE,
                                        .l1_units = l2 * CSL_PUBLICATION_ONE};
}

static double normal(double x) /* P(Z <= x) */
{
    return 0.5 * erfc(-x / sqrt(2));
}

/* Of T Gaussian sums whose noise has `multiplier` times their sensitivity: exact (Balle and Wang,
 * ICML 2018, Theorem 5). Shares nothing with the accountants. */
static double delta_of(double multiplier, uint32_t publications, double epsilon)
{
    double mu = sqrt((double)publications) / multiplier;
    return normal(mu / 2 - epsilon / mu) - exp(epsilon) * normal(-mu / 2 - epsilon / mu);
}

static void test_published_noise__design_table__no_more_noise_and_the_price_holds(void **state)
{
    static const double sigmas[3][4] = {{26.0, 82.2, 116.2, 183.7}, /* design, section 2.6 */
                                        {13.1, 41.4, 58.6, 92.7},
                                        {6.7, 21.1, 29.8, 47.1}};
    static const double epsilons[] = {.5, 1, 2};
    static const uint32_t publications[] = {1, 10, 20, 50};
    (void)state;
    for (int e = 0; e < 3; e++) {
        for (int t = 0; t < 4; t++) {
            struct csl_published_terms terms = terms_of(epsilons[e], publications[t]);
            struct csl_published_noise n;
            struct csl_err err;
            if (csl_published_plan(&n, &terms, &err) != CSL_OK)
                fail_msg("%s", err.msg);
            double multiplier = n.event.noise_multiplier;
            double patients = n.event.std_units / CSL_PUBLICATION_ONE;
            assert_true(n.epsilon <= epsilons[e]);
            assert_true(patients <= sigmas[e][t] + .05 && patients > .75 * sigmas[e][t]);
            assert_true(delta_of(multiplier, publications[t], epsilons[e]) <= 1e-6);
            assert_true(delta_of(multiplier, publications[t], .99 * epsilons[e]) > 1e-6);
            /* one publication more does not fit */
            double more = 0;
            struct csl_dp_event run = n.event;
            run.steps = publications[t] + 1;
            assert_int_equal(csl_account_epsilon(&run, 1, 1e-6, &more, NULL), CSL_OK);
            assert_true(more > epsilons[e] || publications[t] == 50);
            csl_published_release(&n);
        }
    }
}

/* Three honest shares of five sites hold what was counted on; five hold more. */
static void test_published_noise__shares__add_up_to_the_planned_noise(void **state)
{
    enum { WORDS = 1024, TIMES = 64 };
    static int64_t sums[WORDS * TIMES];
    struct csl_published_terms terms = terms_of(1, 20);
    struct csl_published_noise n;
    struct csl_rng rng;
    (void)state;
    assert_int_equal(csl_published_plan(&n, &terms, NULL), CSL_OK);
    csl_rng_init_named(&rng, 9, "test/published", "site", 1);
    for (uint32_t i = 0; i < TIMES; i++) {
        uint64_t words[WORDS] = {0};
        for (int site = 0; site < 3; site++)
            csl_published_add(&n, &rng, words, WORDS);
        memcpy(sums + (size_t)i * WORDS, words, sizeof(words));
    }
    double std = n.event.std_units, found = 0;
    for (size_t i = 0; i < WORDS * TIMES; i++)
        found += (double)sums[i] * (double)sums[i] / (WORDS * TIMES);
    assert_true(moments_off(0.0, std * std, sums, WORDS * TIMES) < NORMAL_LIMIT);
    assert_true(moments_off(0.0, std * std * 2 / 3, sums, WORDS * TIMES) > NORMAL_LIMIT);
    assert_true(fabs(csl_published_std(&n, 3) / std - 1) < 1e-12);
    assert_true(fabs(csl_published_std(&n, 5) / std - sqrt(5.0 / 3)) < 1e-12);
    assert_true(found > 0);
    csl_published_release(&n);
}

static void test_published_noise__no_honest_share__refused(void **state)
{
    struct csl_published_terms terms = terms_of(1, 20);
    struct csl_published_noise n;
    struct csl_err err;
    (void)state;
    terms.colluding = terms.minimum_sites;
    assert_int_equal(csl_published_plan(&n, &terms, &err), CSL_E_INVAL);
    terms = terms_of(1, 0);
    assert_int_equal(csl_published_plan(&n, &terms, &err), CSL_E_INVAL);
    terms = terms_of(0, 20);
    assert_int_equal(csl_published_plan(&n, &terms, &err), CSL_E_INVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_noise__design_table__no_more_noise_and_the_price_holds),
        cmocka_unit_test(test_published_noise__shares__add_up_to_the_planned_noise),
        cmocka_unit_test(test_published_noise__no_honest_share__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
