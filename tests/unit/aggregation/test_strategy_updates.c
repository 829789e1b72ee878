/* Strategies that see single updates, against tests/vectors/aggregation/updates.csv and what their
 * papers promise; and the arithmetic of those that no round runs yet. */
#include "aggregation/strategy/strategy.h"
#include "aggregation/strategy/updates.h"
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

enum { SITES_MAX = 16, P = 257 };

struct round {
    uint32_t count;
    float x[SITES_MAX][P];
    double weights[SITES_MAX], losses[SITES_MAX];
    double norms2[SITES_MAX], distances2[SITES_MAX * SITES_MAX], coefficients[SITES_MAX];
    double mixture[SITES_MAX];
    float mean[P];
};

static enum csl_code run(const char *name, const struct csl_strategy_config *c, struct round *r,
                         uint64_t count)
{
    const struct csl_strategy_ops *ops = csl_strategy_find(name);
    const float *rows[SITES_MAX], *kept[SITES_MAX];
    float scratch[SITES_MAX];
    assert_non_null(ops);
    memset(r->norms2, 0, sizeof(r->norms2));
    memset(r->distances2, 0, sizeof(r->distances2));
    for (uint32_t a = 0; a < r->count; a++)
        rows[a] = r->x[a];
    csl_updates_measure(r->count, rows, count, r->norms2, r->distances2);
    const struct csl_updates u = {r->count,  r->weights,    r->losses,
                                  r->norms2, r->distances2, r->mixture};
    enum csl_code code = ops->choose(c, &u, r->coefficients, NULL);
    if (code == CSL_OK)
        csl_strategy_combine(ops, c, r->count, r->coefficients, rows, kept, count, scratch,
                             r->mean);
    return code;
}

static void test_strategy_updates__known_answers__as_the_design(void **state)
{
    (void)state;
    FILE *file = fopen("tests/vectors/aggregation/updates.csv", "r");
    assert_non_null(file);
    char line[256], name[32];
    assert_non_null(fgets(line, sizeof(line), file));
    assert_non_null(fgets(line, sizeof(line), file));
    double x[4], want;
    int rows = 0;
    struct csl_strategy_config c = {0};
    while (fscanf(file, "%31[^,],%lf,%u,%u,%lf,%lf,%lf,%lf,%lf\n", name, &c.trim, &c.byzantine,
                  &c.keep, &x[0], &x[1], &x[2], &x[3], &want) == 9) {
        struct round r = {.count = isnan(x[3]) ? 3 : 4};
        for (uint32_t a = 0; a < r.count; a++) {
            r.x[a][0] = (float)x[a];
            r.weights[a] = 1 / (double)r.count;
        }
        assert_int_equal(run(name, &c, &r, 1), CSL_OK);
        if (!(fabs((double)r.mean[0] - want) <= 0x1p-23))
            fail_msg("%s: got %.9g, wanted %.9g", name, (double)r.mean[0], want);
        rows++;
    }
    fclose(file);
    assert_int_equal(rows, 10);
}

static void test_strategy_updates__nearest_to_a_reference__as_the_design(void **state)
{
    (void)state;
    static const float sorted[3] = {0.5F, 1, 2};
    double mean = 7;
    assert_int_equal(csl_strategy__closest_mean(1, sorted, 3, 2, &mean, NULL), CSL_OK);
    assert_true(mean == 0.75);
    assert_int_equal(csl_strategy__closest_mean(1, sorted, 3, 4, &mean, NULL), CSL_E_INVAL);
    assert_int_equal(csl_strategy__closest_mean(1, sorted, 3, 0, &mean, NULL), CSL_E_INVAL);
    assert_true(mean == 0.75);
    assert_int_equal(csl_strategy__closest_mean(2, sorted, 3, 1, &mean, NULL), CSL_OK);
    assert_true(mean == 2);
}

/* Sites around one point with deviation 1; loss k/4; weights unequal. */
static void draw(struct round *r, uint32_t count, uint64_t seed)
{
    struct csl_rng rng;
    double total = 0;
    csl_rng_init_label(&rng, seed, "unit.strategy.updates", 0, 0, 0);
    memset(r, 0, sizeof(*r));
    r->count = count;
    for (uint32_t a = 0; a < count; a++) {
        r->weights[a] = 1 + (double)csl_rng_below(&rng, 9);
        total += r->weights[a];
        r->losses[a] = (a + 1) / 4.0;
        for (size_t i = 0; i < P; i++)
            r->x[a][i] = (float)(3 * sin((double)i) + csl_rng_normal(&rng));
    }
    for (uint32_t a = 0; a < count; a++)
        r->weights[a] /= total;
}

static double weighted_mean(const struct round *r, size_t i)
{
    double sum = 0;
    for (uint32_t a = 0; a < r->count; a++)
        sum += r->weights[a] * (double)r->x[a][i];
    return sum;
}

static void test_strategy_updates__zero_exponent__fedavg(void **state)
{
    (void)state;
    static struct round r;
    const struct csl_strategy_config c = {.lipschitz = 10};
    static const char *const names[] = {"qffl", "term"};
    for (size_t k = 0; k < 2; k++) {
        draw(&r, 7, 1);
        assert_int_equal(run(names[k], &c, &r, P), CSL_OK);
        for (size_t i = 0; i < P; i++)
            assert_true(fabs((double)r.mean[i] - weighted_mean(&r, i)) <= 1e-6);
    }
}

/* By hand: weights 1/2, losses 1 and 4, q = 1, L = 2, updates 1 and 3: the sum of p F D is 6.5, of
 * p (F + q L D^2) .5 (1 + 2) + .5 (4 + 18) = 12.5. And e^(.5 F): 1 / (1 + e^1.5) and the rest. */
static void test_strategy_updates__two_sites__by_hand(void **state)
{
    (void)state;
    struct round r = {.count = 2, .weights = {0.5, 0.5}, .losses = {1, 4}};
    struct csl_strategy_config c = {.lipschitz = 2, .fairness_q = 1, .tilt = 0.5};
    r.x[0][0] = 1;
    r.x[1][0] = 3;
    assert_int_equal(run("qffl", &c, &r, 1), CSL_OK);
    assert_true(fabs((double)r.mean[0] - 6.5 / 12.5) <= 1e-7);
    assert_int_equal(run("term", &c, &r, 1), CSL_OK);
    double second = 1 / (1 + exp(-1.5));
    assert_true(fabs((double)r.mean[0] - (1 + 2 * second)) <= 1e-6);
    r.losses[1] = HUGE_VAL;
    assert_int_equal(run("term", &c, &r, 1), CSL_E_STATE);
    assert_int_equal(run("qffl", &c, &r, 1), CSL_E_STATE);
    r.losses[0] = r.losses[1] = 0; /* and nothing is divided by 0 */
    c.fairness_q = 0.5;
    assert_int_equal(run("qffl", &c, &r, 1), CSL_OK);
    assert_true(isfinite(r.mean[0]));
}

static const char *const robust[] = {"median",     "trimmed-mean", "krum",
                                     "multi-krum", "bulyan",       "geometric-median"};
enum { ROBUST = 6 };
static const struct csl_strategy_config robust_config = {.trim = 0.2, .byzantine = 2, .keep = 5};

/* Two of eleven send 10^6 in every parameter. What is left stays within the range of the honest (of
 * the geometric median, in norm: within the bound of a minority, 2 / (1 - 2 * share) times the
 * honest radius, Pillutla 2022 after Minsker 2015). */
static void test_strategy_updates__two_arbitrary_updates__dragged_nowhere(void **state)
{
    (void)state;
    static struct round r, honest;
    draw(&honest, 11, 2);
    for (uint32_t a = 0; a < 11; a++)
        honest.weights[a] = 1 / 11.0;
    for (size_t k = 0; k < ROBUST; k++) {
        r = honest;
        for (size_t i = 0; i < P; i++)
            r.x[3][i] = r.x[8][i] = 1e6F;
        assert_int_equal(run(robust[k], &robust_config, &r, P), CSL_OK);
        double distance2 = 0, radius2 = 0;
        for (size_t i = 0; i < P; i++) {
            double d = (double)r.mean[i] - 3 * sin((double)i);
            distance2 += d * d;
        }
        for (uint32_t a = 0; a < 11; a++) {
            double all = 0;
            for (size_t i = 0; i < P; i++) {
                double d = (double)honest.x[a][i] - 3 * sin((double)i);
                all += d * d;
            }
            radius2 = fmax(radius2, all);
        }
        double bound = 2 / (1 - 2 * 2.0 / 11);
        assert_true(distance2 <= bound * bound * radius2);
        r = honest; /* nobody lies: closer to the truth than the typical update */
        assert_int_equal(run(robust[k], &robust_config, &r, P), CSL_OK);
        assert_true(fabs((double)r.mean[0]) < 6);
    }
}

static void test_strategy_updates__plain_mean__is_dragged(void **state)
{
    (void)state;
    static struct round r;
    const struct csl_strategy_config c = {0};
    draw(&r, 11, 2);
    r.x[3][0] = 1e6F;
    assert_int_equal(run("term", &c, &r, P), CSL_OK);
    assert_true((double)r.mean[0] > 1e4);
}

static void test_strategy_updates__equal_updates__their_value(void **state)
{
    (void)state;
    static struct round r;
    for (size_t k = 0; k < ROBUST; k++) {
        draw(&r, 11, 3);
        for (uint32_t a = 1; a < 11; a++)
            memcpy(r.x[a], r.x[0], sizeof(r.x[0]));
        assert_int_equal(run(robust[k], &robust_config, &r, P), CSL_OK);
        for (size_t i = 0; i < P; i++)
            assert_true(fabs((double)r.mean[i] - (double)r.x[0][i]) <=
                        0x1p-22 * (1 + fabs((double)r.x[0][i])));
    }
}

/* The median of three collinear points of equal weight is the middle one, and the optimality of a
 * point that is none: unit vectors to the updates sum to zero. */
static void test_strategy_updates__geometric_median__optimal(void **state)
{
    (void)state;
    static struct round r;
    const struct csl_strategy_config c = {0};
    draw(&r, 9, 4);
    assert_int_equal(run("geometric-median", &c, &r, P), CSL_OK);
    double pull[P] = {0}, norm2 = 0;
    for (uint32_t a = 0; a < 9; a++) {
        double distance2 = 0;
        for (size_t i = 0; i < P; i++) {
            double d = (double)r.x[a][i] - (double)r.mean[i];
            distance2 += d * d;
        }
        for (size_t i = 0; i < P; i++)
            pull[i] += r.weights[a] * ((double)r.x[a][i] - (double)r.mean[i]) / sqrt(distance2);
    }
    for (size_t i = 0; i < P; i++)
        norm2 += pull[i] * pull[i];
    assert_true(sqrt(norm2) < 1e-6);
}

static void test_strategy_updates__too_few__refused(void **state)
{
    (void)state;
    static struct round r;
    struct csl_strategy_config c = {.byzantine = 2, .keep = 5};
    draw(&r, 6, 5);
    assert_int_equal(run("krum", &c, &r, P), CSL_E_STATE);
    assert_int_equal(run("multi-krum", &c, &r, P), CSL_E_STATE);
    assert_int_equal(run("bulyan", &c, &r, P), CSL_E_STATE);
    draw(&r, 7, 5);
    assert_int_equal(run("krum", &c, &r, P), CSL_OK);
    assert_int_equal(run("multi-krum", &c, &r, P), CSL_OK);
    c.keep = 6;
    assert_int_equal(run("multi-krum", &c, &r, P), CSL_E_STATE);
    draw(&r, 10, 5);
    assert_int_equal(run("bulyan", &c, &r, P), CSL_E_STATE);
    draw(&r, 11, 5);
    assert_int_equal(run("bulyan", &c, &r, P), CSL_OK);
}

static void test_strategy_updates__sort__as_slow_sort(void **state)
{
    (void)state;
    struct csl_rng rng;
    float x[300];
    csl_rng_init_label(&rng, 6, "unit.strategy.sort", 0, 0, 0);
    for (uint32_t n = 0; n <= 300; n += 7) {
        double sum = 0, after = 0;
        for (uint32_t i = 0; i < n; i++)
            sum += (double)(x[i] = (float)csl_rng_below(&rng, 100));
        csl_strategy__sort(x, n);
        for (uint32_t i = 0; i < n; i++) {
            after += (double)x[i];
            assert_true(i == 0 || x[i - 1] <= x[i]);
        }
        assert_true(sum == after);
    }
}

/* [.5, .3] + .5 * [1, .2] = [1, .4], whose projection is [.8, .2]; from a vertex, a loss of 2
 * elsewhere moves all of it. */
static void test_strategy_updates__afl_mixture__projected(void **state)
{
    (void)state;
    double lambda[2] = {0.5, 0.3}, vertex[3] = {1, 0, 0};
    static const double losses[2] = {1, 0.2}, far[3] = {0, 2, 0};
    assert_int_equal(csl_strategy__afl_step(2, lambda, losses, 0.5, NULL), CSL_OK);
    assert_true(fabs(lambda[0] - 0.8) < 1e-15 && fabs(lambda[1] - 0.2) < 1e-15);
    assert_int_equal(csl_strategy__afl_step(3, vertex, far, 1, NULL), CSL_OK);
    assert_true(vertex[0] == 0 && vertex[1] == 1 && vertex[2] == 0);
    static const double bad[2] = {1, NAN};
    double before[2] = {lambda[0], lambda[1]};
    assert_int_equal(csl_strategy__afl_step(2, lambda, bad, 0.5, NULL), CSL_E_STATE);
    assert_memory_equal(lambda, before, sizeof(lambda));
}

/* The first round is FedAvg's; then the site with the largest loss takes over, and a round that it
 * misses leaves its share alone. */
static void test_strategy_updates__afl_rounds__worst_site_leads(void **state)
{
    (void)state;
    static struct round r;
    const struct csl_strategy_config c = {.mixture_rate = 0.2};
    draw(&r, 4, 7);
    assert_int_equal(run("afl", &c, &r, P), CSL_OK);
    for (size_t i = 0; i < P; i++)
        assert_true(fabs((double)r.mean[i] - weighted_mean(&r, i)) <= 1e-6);
    for (int round = 0; round < 50; round++)
        assert_int_equal(run("afl", &c, &r, P), CSL_OK);
    assert_true(r.coefficients[3] > 1 - 1e-12);
    double kept = r.mixture[3] * 0.5;
    r.mixture[3] = kept;
    r.mixture[0] = 0.5;
    r.count = 3;
    assert_int_equal(run("afl", &c, &r, P), CSL_OK);
    assert_true(r.mixture[3] == kept);
    assert_true(fabs(r.mixture[0] + r.mixture[1] + r.mixture[2] - 0.5) < 1e-12);
}

static int setup(void **state)
{
    (void)state;
    return csl_crypto_init(NULL) == CSL_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strategy_updates__known_answers__as_the_design),
        cmocka_unit_test(test_strategy_updates__nearest_to_a_reference__as_the_design),
        cmocka_unit_test(test_strategy_updates__zero_exponent__fedavg),
        cmocka_unit_test(test_strategy_updates__two_sites__by_hand),
        cmocka_unit_test(test_strategy_updates__two_arbitrary_updates__dragged_nowhere),
        cmocka_unit_test(test_strategy_updates__plain_mean__is_dragged),
        cmocka_unit_test(test_strategy_updates__equal_updates__their_value),
        cmocka_unit_test(test_strategy_updates__geometric_median__optimal),
        cmocka_unit_test(test_strategy_updates__too_few__refused),
        cmocka_unit_test(test_strategy_updates__sort__as_slow_sort),
        cmocka_unit_test(test_strategy_updates__afl_mixture__projected),
        cmocka_unit_test(test_strategy_updates__afl_rounds__worst_site_leads),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
