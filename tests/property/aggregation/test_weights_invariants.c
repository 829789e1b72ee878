/* Property: the invariants of domain weights over 20,000 random federations (I1 to I9 of the
 * design; I8 is the bound on what a lie about skill moves). */
#include "aggregation/weights/cells.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { FEDERATIONS = 20000, DOMAINS_MAX = 8, SITES_MAX = 10, CELLS_MAX = DOMAINS_MAX * SITES_MAX };
#define ROUNDING 1e-9 /* relative, of doubles that went through ln and exp */

struct federation {
    uint32_t domains, sites;
    double patients[SITES_MAX][DOMAINS_MAX]; /* 0: the site does not have the domain */
    double skill[DOMAINS_MAX];
    struct csl_domain_rule rule;
};
struct result {
    double log_lambda[DOMAINS_MAX], total[DOMAINS_MAX];
    struct csl_cell cells[CELLS_MAX];
    uint32_t count;
    double share[CELLS_MAX], plain[CELLS_MAX]; /* p and FedAvg's a */
};

static void draw(struct csl_rng *rng, struct federation *f)
{
    f->domains = 1 + (uint32_t)csl_rng_below(rng, DOMAINS_MAX);
    f->sites = 1 + (uint32_t)csl_rng_below(rng, SITES_MAX);
    csl_domain_rule_preset(CSL_DOMAINS_FEDAVG, &f->rule);
    f->rule.alpha = csl_rng_uniform(rng);
    f->rule.beta = 2 * csl_rng_uniform(rng);
    f->rule.cap = csl_rng_below(rng, 10) == 0 ? HUGE_VAL : 1 + 7 * csl_rng_uniform(rng);
    for (uint32_t d = 0; d < f->domains; d++) {
        f->skill[d] = 0.05 + 0.95 * csl_rng_uniform(rng);
        for (uint32_t s = 0; s < f->sites; s++)
            f->patients[s][d] =
                csl_rng_below(rng, 3) == 0 ? 0 : ceil(exp(13 * csl_rng_uniform(rng)));
        f->patients[csl_rng_below(rng, f->sites)][d] += 1; /* a domain is somebody's */
    }
}

static void run(const struct federation *f, struct result *r)
{
    struct csl_domain_statistic statistics[DOMAINS_MAX] = {{0}};
    struct csl_domain_memory memory[DOMAINS_MAX] = {{0}};
    double mass[CELLS_MAX], zero[DOMAINS_MAX] = {0};
    memset(r, 0, sizeof(*r));
    for (uint32_t s = 0; s < f->sites; s++)
        for (uint32_t d = 0; d < f->domains; d++) {
            r->total[d] += f->patients[s][d];
            if (f->patients[s][d] > 0)
                r->cells[r->count++] = (struct csl_cell){
                    .site = s, .domain = d, .patients = f->patients[s][d], .skill = f->skill[d]};
        }
    for (uint32_t d = 0; d < f->domains; d++)
        statistics[d] = (struct csl_domain_statistic){.patients = r->total[d],
                                                      .skill_sum = r->total[d] * f->skill[d]};
    assert_int_equal(csl_domain_update(&f->rule, 1, f->domains, statistics, memory, NULL, NULL),
                     CSL_OK);
    for (uint32_t d = 0; d < f->domains; d++)
        r->log_lambda[d] = memory[d].log_lambda;
    assert_int_equal(
        csl_cell_masses(&f->rule, f->domains, r->log_lambda, r->cells, r->count, mass, NULL),
        CSL_OK);
    assert_int_equal(csl_cell_shares(r->cells, r->count, mass, NULL, r->share, NULL), CSL_OK);
    assert_int_equal(csl_cell_masses(&f->rule, f->domains, zero, r->cells, r->count, mass, NULL),
                     CSL_OK);
    assert_int_equal(csl_cell_shares(r->cells, r->count, mass, NULL, r->plain, NULL), CSL_OK);
}

static void assert_at_most(double a, double b)
{
    if (!(a <= b + ROUNDING * (1 + fabs(b))))
        fail_msg("%.17g is not at most %.17g", a, b);
}

/* I1 and I2, I7 for what is drawn (1 to 10^6 patients per cell), and I9: n lambda <= n c. */
static void check_bounds(const struct federation *f, const struct result *r)
{
    double sum = 0, low = HUGE_VAL, high = 0, c = f->rule.cap;
    for (uint32_t i = 0; i < r->count; i++) {
        assert_true(isfinite(r->share[i]) && r->share[i] >= 0);
        sum += r->share[i];
        double ratio = r->share[i] / r->plain[i];
        low = ratio < low ? ratio : low;
        high = ratio > high ? ratio : high;
        assert_at_most(exp(r->log_lambda[r->cells[i].domain]), c);
        assert_at_most(1 / c, exp(r->log_lambda[r->cells[i].domain]));
    }
    assert_true(fabs(sum - 1) <= 1e-12);
    if (isfinite(c)) {
        assert_at_most(high / low, c * c);
        assert_at_most(high, c * c);
        assert_at_most(1 / (c * c), low);
    }
}

/* I4, I5: one domain gets more patients, or does better. */
static void check_monotone(struct csl_rng *rng, const struct federation *f, const struct result *r)
{
    struct federation more = *f;
    struct result after;
    uint32_t d = (uint32_t)csl_rng_below(rng, f->domains);
    double factor = exp(3 * csl_rng_uniform(rng));
    for (uint32_t s = 0; s < f->sites; s++)
        more.patients[s][d] *= factor;
    run(&more, &after);
    for (uint32_t e = 0; e < f->domains; e++) {
        double before_ratio = r->log_lambda[d] - r->log_lambda[e];
        double after_ratio = after.log_lambda[d] - after.log_lambda[e];
        assert_at_most(after_ratio, before_ratio);
        if (e != d) /* the mass does not fall: nothing is gained by hiding patients */
            assert_at_most(log(r->total[d]) + before_ratio, log(after.total[d]) + after_ratio);
    }
    more = *f;
    more.skill[d] += (1 - more.skill[d]) * csl_rng_uniform(rng);
    run(&more, &after);
    for (uint32_t e = 0; e < f->domains; e++)
        assert_at_most(after.log_lambda[d] - after.log_lambda[e],
                       r->log_lambda[d] - r->log_lambda[e]);
}

/* I6: ids reversed, so sums are taken in another order. */
static void check_permuted(const struct federation *f, const struct result *r)
{
    struct federation other = *f;
    struct result after;
    for (uint32_t s = 0; s < f->sites; s++)
        for (uint32_t d = 0; d < f->domains; d++)
            other.patients[f->sites - 1 - s][f->domains - 1 - d] = f->patients[s][d];
    for (uint32_t d = 0; d < f->domains; d++)
        other.skill[f->domains - 1 - d] = f->skill[d];
    run(&other, &after);
    assert_int_equal(after.count, r->count);
    for (uint32_t i = 0; i < r->count; i++) /* both in ascending order, one of them reversed */
        assert_true(fabs(after.share[r->count - 1 - i] - r->share[i]) <= 1e-12);
}

/* I8: one domain's skill is reported as anything at all. The lie moves its lambda by at most c^2
 * and takes no pair of cells further than c^2 from FedAvg; from what honesty would have given, the
 * pair may go from one end of that range to the other, c^4 (with two domains their lambdas mirror
 * each other). */
static void check_lie(struct csl_rng *rng, const struct federation *f, const struct result *r)
{
    struct federation lie = *f;
    struct result after;
    uint32_t d = (uint32_t)csl_rng_below(rng, f->domains);
    lie.skill[d] = csl_rng_uniform(rng) < 0.5 ? 0 : 1;
    run(&lie, &after);
    double c = f->rule.cap;
    assert_at_most(fabs(after.log_lambda[d] - r->log_lambda[d]), 2 * log(c));
    for (uint32_t i = 0; isfinite(c) && i < r->count; i++)
        for (uint32_t j = 0; j < r->count; j++) {
            double honest = r->share[i] / r->share[j], told = after.share[i] / after.share[j];
            double plain = r->plain[i] / r->plain[j];
            assert_at_most(told / plain, c * c);
            assert_at_most(told / honest, c * c * c * c);
        }
}

/* I3: equal domains, one domain, or exponents 0. */
static void check_neutral(const struct federation *f)
{
    struct federation same = *f;
    struct result r;
    same.rule.alpha = same.rule.beta = 0;
    run(&same, &r);
    assert_memory_equal(r.share, r.plain, sizeof(r.share));
    same = *f;
    for (uint32_t d = 0; d < f->domains; d++) {
        same.skill[d] = f->skill[0];
        for (uint32_t s = 0; s < f->sites; s++)
            same.patients[s][d] = f->patients[s][0];
    }
    run(&same, &r);
    for (uint32_t i = 0; i < r.count; i++)
        assert_true(fabs(r.share[i] - r.plain[i]) <= 1e-12);
    same = *f;
    same.domains = 1;
    run(&same, &r);
    assert_memory_equal(r.share, r.plain, sizeof(r.share));
}

static void test_weights_invariants__random_federations__hold(void **state)
{
    (void)state;
    struct csl_rng rng;
    struct federation f;
    struct result r;
    csl_rng_init_label(&rng, 20000, "property.weights", 0, 0, 0);
    for (int i = 0; i < FEDERATIONS; i++) {
        memset(&f, 0, sizeof(f));
        draw(&rng, &f);
        run(&f, &r);
        check_bounds(&f, &r);
        check_monotone(&rng, &f, &r);
        check_permuted(&f, &r);
        check_lie(&rng, &f, &r);
        check_neutral(&f);
    }
}

/* I9, whole: what a site adds to the sum, (norm <= 1) times its masses, is at most the number of
 * patients it may count times c times the domains it has; and with shares by cell, c c'. */
static void test_weights_invariants__sites_of_two_levels__bounded(void **state)
{
    (void)state;
    struct csl_rng rng;
    struct federation f;
    struct result r;
    double mass[CELLS_MAX];
    csl_rng_init_label(&rng, 9, "property.weights.cells", 0, 0, 0);
    for (int i = 0; i < FEDERATIONS / 10; i++) {
        memset(&f, 0, sizeof(f));
        draw(&rng, &f);
        run(&f, &r);
        f.rule.cell_alpha = 0.5;
        f.rule.cell_beta = 1;
        f.rule.cell_cap = 1 + csl_rng_uniform(&rng);
        for (uint32_t k = 0; k < r.count; k++)
            r.cells[k].skill = csl_rng_uniform(&rng);
        assert_int_equal(
            csl_cell_masses(&f.rule, f.domains, r.log_lambda, r.cells, r.count, mass, NULL),
            CSL_OK);
        for (uint32_t k = 0; k < r.count; k++)
            assert_at_most(exp(mass[k]), r.cells[k].patients * f.rule.cap * f.rule.cell_cap);
    }
}

static int setup(void **state)
{
    (void)state;
    return csl_crypto_init(NULL) == CSL_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_invariants__random_federations__hold),
        cmocka_unit_test(test_weights_invariants__sites_of_two_levels__bounded),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
