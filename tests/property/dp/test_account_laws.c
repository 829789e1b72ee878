/* Laws of the accountants over random runs from fixed seeds. */
#include "privacy/dp/account.h"
#include "privacy/dp/calibrate.h"
#include "privacy/dp/gaussian.h"
#include "privacy/dp/numeric.h"
#include "privacy/dp/pld_epsilon.h"

#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"
#include "tests/property/dp/contour.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct run {
    struct csl_dp_event e;
    double delta;
};

static double log_uniform(struct csl_rng *rng, double low, double high)
{
    return low * exp(csl_rng_uniform(rng) * log(high / low));
}

static struct csl_rng rng_of(const char *law)
{
    struct csl_rng rng;
    assert_int_equal(csl_crypto_init(NULL), CSL_OK);
    csl_rng_init_label(&rng, 20260101, law, 0, 0, 0);
    return rng;
}

static struct run draw(struct csl_rng *rng)
{
    double q = csl_rng_below(rng, 6) == 0 ? 1.0 : log_uniform(rng, 5e-4, 0.9);
    return (struct run){.e = {.mechanism = CSL_DP_GAUSSIAN,
                              .sampler = q == 1.0 ? CSL_DP_FULL_BATCH : CSL_DP_POISSON,
                              .noise_multiplier = log_uniform(rng, 0.5, 8.0),
                              .sampling_rate = csl_dp_rate(q),
                              .steps = (uint64_t)log_uniform(rng, 1.0, 10000.0)},
                        .delta = log_uniform(rng, 1e-12, 1e-3)};
}

static struct csl_price price_of(const struct csl_dp_event *events, size_t count, double delta)
{
    struct csl_price p = {0};
    assert_int_equal(csl_account(events, count, delta, &p, NULL), CSL_OK);
    return p;
}

static void fail_run(const struct run *r, const char *what, double a, double b)
{
    fail_msg("%s: sigma %.17g q %.17g steps %llu delta %.17g: %.17g against %.17g", what,
             r->e.noise_multiplier, r->e.sampling_rate, (unsigned long long)r->e.steps, r->delta, a,
             b);
}

/* RDP >= PLD upper >= exact >= PLD lower, and upper and lower within one percent. */
static void test_account__random_runs__bounds_hold_and_are_close(void **state)
{
    (void)state;
    struct csl_rng rng = rng_of("bounds");
    unsigned checked = 0;
    for (int i = 0; i < 240; i++) {
        struct run r = draw(&rng);
        struct csl_price p = price_of(&r.e, 1, r.delta);
        double sigma = r.e.noise_multiplier, q = r.e.sampling_rate, exact = 0.0;
        if (!(p.epsilon_rdp >= p.epsilon_pld))
            fail_run(&r, "rdp below pld", p.epsilon_rdp, p.epsilon_pld);
        if (!(p.epsilon_lower <= p.epsilon_pld))
            fail_run(&r, "bounds crossed", p.epsilon_lower, p.epsilon_pld);
        if (!(p.epsilon_pld - p.epsilon_lower <= fmax(0.01 * p.epsilon_pld, 2e-5)))
            fail_run(&r, "gap", p.epsilon_pld, p.epsilon_lower);
        if (q == 1.0 || i % 2 != 0)
            continue; /* the oracle is slow: every other run */
        for (int add = 0; add < 2; add++)
            if (contour_delta(sigma, q, (double)r.e.steps, add == 1, p.epsilon_pld, &exact)) {
                checked += add == 0;
                if (!(exact <= r.delta * (1.0 + 1e-7)))
                    fail_run(&r, "exact delta above at the upper bound", exact, r.delta);
            }
        if (p.epsilon_lower > 0.0 &&
            contour_delta(sigma, q, (double)r.e.steps, false, p.epsilon_lower, &exact)) {
            double other = 0.0;
            (void)contour_delta(sigma, q, (double)r.e.steps, true, p.epsilon_lower, &other);
            if (!(fmax(exact, other) >= r.delta * (1.0 - 1e-7)))
                fail_run(&r, "exact delta below at the lower bound", exact, r.delta);
        }
    }
    print_message("%u runs beside the contour integral\n", checked);
    assert_true(checked >= 30);
}

/* Less noise, more sampling, more steps, smaller delta: never a smaller epsilon. */
static void test_account__random_runs__monotone_in_every_parameter(void **state)
{
    (void)state;
    struct csl_rng rng = rng_of("monotone");
    for (int i = 0; i < 200; i++) {
        struct run r = draw(&rng), worse = r;
        double before = price_of(&r.e, 1, r.delta).epsilon;
        switch (i % 4) {
        case 0:
            worse.e.noise_multiplier *= 0.9;
            break;
        case 1:
            worse.e.sampling_rate = csl_dp_rate(fmin(1.0, r.e.sampling_rate * 1.1));
            break;
        case 2:
            worse.e.steps += 1 + r.e.steps / 10;
            break;
        default:
            worse.delta *= 0.5;
        }
        double after = price_of(&worse.e, 1, worse.delta).epsilon;
        if (!(after >= before))
            fail_run(&r, "not monotone", before, after);
    }
}

/* One event of n steps, n events of one, any order and any grouping: the same price. */
static void test_account__random_lists__composition_is_associative(void **state)
{
    (void)state;
    struct csl_rng rng = rng_of("associative");
    for (int i = 0; i < 40; i++) {
        struct run r = draw(&rng), s = draw(&rng);
        struct csl_dp_event split[8], whole[2] = {r.e, s.e};
        whole[0].steps = whole[1].steps = 0;
        for (size_t k = 0; k < 8; k++) {
            split[k] = k % 2 == 0 ? r.e : s.e;
            split[k].steps = 1 + csl_rng_below(&rng, 200);
            whole[k % 2].steps += split[k].steps;
        }
        struct csl_price a = price_of(split, 8, r.delta), b = price_of(whole, 2, r.delta);
        for (size_t k = 0; k < 8; k++) { /* back to front */
            struct csl_dp_event t = split[k];
            if (k < 4) {
                split[k] = split[7 - k];
                split[7 - k] = t;
            }
        }
        struct csl_price c = price_of(split, 8, r.delta);
        double size = fmax(b.epsilon_pld, 1e-6);
        if (!(fabs(a.epsilon_pld - b.epsilon_pld) <= 1e-7 * size) ||
            !(fabs(c.epsilon_pld - b.epsilon_pld) <= 1e-7 * size) ||
            !(fabs(a.epsilon_rdp - b.epsilon_rdp) <= 1e-9 * b.epsilon_rdp))
            fail_run(&r, "composition", a.epsilon_pld, b.epsilon_pld);
        struct csl_price one = price_of(whole, 1, r.delta);
        assert_true(b.epsilon >= one.epsilon_lower); /* an event more costs no less */
    }
}

/* The same through the transform itself: two parts that are not merged. */
static void test_pld__random_runs__parts_compose_as_one(void **state)
{
    (void)state;
    struct csl_rng rng = rng_of("parts");
    for (int i = 0; i < 40; i++) {
        struct run r = draw(&rng);
        uint64_t n = 2 + r.e.steps;
        struct csl_dp_pair pair = csl_dp_pair_poisson(r.e.noise_multiplier, r.e.sampling_rate);
        struct csl_dp_part whole = {.pair = pair, .steps = n};
        struct csl_dp_part parts[2] = {{.pair = pair, .steps = 1 + n / 3},
                                       {.pair = pair, .steps = n - 1 - n / 3}};
        struct csl_dp_bounds a, b;
        assert_int_equal(csl_dp_pld_epsilon(&whole, 1, r.delta, 0.0, &a, NULL), CSL_OK);
        assert_int_equal(csl_dp_pld_epsilon(parts, 2, r.delta, a.interval, &b, NULL), CSL_OK);
        if (!(b.upper >= a.lower && a.upper >= b.lower) ||
            !(fabs(a.upper - b.upper) <= 1e-3 * fmax(a.upper, 1e-3)))
            fail_run(&r, "parts", a.upper, b.upper);
    }
}

/* The printed number, read as a decimal with 64 bits, is on the safe side and off by one unit. */
static void test_print__random_numbers__printed_is_never_less_than_computed(void **state)
{
    (void)state;
    struct csl_rng rng = rng_of("print");
    for (int i = 0; i < 20000; i++) {
        double value = i % 2 == 0 ? log_uniform(&rng, 1e-20, 1e6) : csl_rng_uniform(&rng) * 20.0;
        int digits = 1 + (int)csl_rng_below(&rng, 12);
        char up[CSL_DP_TEXT_MAX], down[CSL_DP_TEXT_MAX];
        assert_int_equal(csl_dp_print_up(up, sizeof up, value, digits, NULL), CSL_OK);
        assert_int_equal(csl_dp_print_down(down, sizeof down, value, digits, NULL), CSL_OK);
        long double high = strtold(up, NULL), low = strtold(down, NULL), exact = (long double)value;
        long double unit = powl(10.0L, floorl(log10l(exact)) - digits + 1);
        assert_true(high >= exact * (1 - 1e-18L) && low <= exact * (1 + 1e-18L));
        assert_true(high - low <= unit * 1.0001L);
    }
}

static void test_calibrate__random_targets__what_is_returned_keeps_them(void **state)
{
    (void)state;
    struct csl_rng rng = rng_of("calibrate");
    for (int i = 0; i < 18; i++) {
        struct run r = draw(&rng);
        double target = log_uniform(&rng, 0.3, 10.0), value = 0.0;
        uint64_t steps = 0;
        enum csl_code code;
        if (i % 3 == 0) {
            code = csl_dp_calibrate_noise(&r.e, target, r.delta, &value, NULL);
            r.e.noise_multiplier = code == CSL_OK ? value : r.e.noise_multiplier;
        } else if (i % 3 == 1) {
            code = csl_dp_calibrate_steps(&r.e, target, r.delta, &steps, NULL);
            r.e.steps = code == CSL_OK ? steps : r.e.steps;
        } else {
            r.e.sampler = CSL_DP_POISSON;
            r.e.steps = 1 + r.e.steps / 10;
            code = csl_dp_calibrate_rate(&r.e, target, r.delta, &value, NULL);
            r.e.sampling_rate = code == CSL_OK ? value : r.e.sampling_rate;
        }
        assert_true(code == CSL_OK || (code == CSL_E_LIMIT && i % 3 != 0));
        if (code == CSL_OK && !(price_of(&r.e, 1, r.delta).epsilon <= target))
            fail_run(&r, "target missed", price_of(&r.e, 1, r.delta).epsilon, target);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_account__random_runs__bounds_hold_and_are_close),
        cmocka_unit_test(test_account__random_runs__monotone_in_every_parameter),
        cmocka_unit_test(test_account__random_lists__composition_is_associative),
        cmocka_unit_test(test_pld__random_runs__parts_compose_as_one),
        cmocka_unit_test(test_print__random_numbers__printed_is_never_less_than_computed),
        cmocka_unit_test(test_calibrate__random_targets__what_is_returned_keeps_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
