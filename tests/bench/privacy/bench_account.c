/* What a price costs: 10,000 Poisson-sampled Gaussian steps (q .01, sigma 1, delta 1e-5), upper and
 * lower bound together, at the grid that csl_account chooses and at fixed grids, on one core, and
 * the 1,500 steps that a ledger prices before a round. The fastest of several runs; figures depend
 * on the machine and its load, so none of them fails the program. With the argument "csv" one line
 * per grid for compare_dp_accounting.py: interval, milliseconds, upper, lower. */
#include "privacy/dp/account.h"
#include "privacy/dp/pld_epsilon.h"
#include "privacy/dp/rdp.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

enum { REPEATS = 15 };

static double milliseconds_since(uint64_t start_ns)
{
    return (double)(csl_clock_monotonic_ns() - start_ns) * 1e-6;
}

static int price(double q, uint64_t steps, const char *what)
{
    struct csl_dp_event e = {.mechanism = CSL_DP_GAUSSIAN,
                             .sampler = CSL_DP_POISSON,
                             .noise_multiplier = 1.0,
                             .sampling_rate = csl_dp_rate(q),
                             .steps = steps};
    struct csl_price p = {0};
    double all = 1e9, rdp = 1e9;
    for (int r = 0; r < REPEATS; r++) {
        uint64_t start = csl_clock_monotonic_ns();
        if (csl_account(&e, 1, 1e-5, &p, NULL) != CSL_OK)
            return 1;
        double took = milliseconds_since(start);
        all = took < all ? took : all;
        start = csl_clock_monotonic_ns();
        (void)csl_dp_rdp_best(&e, 1, 1e-5, NULL);
        took = milliseconds_since(start);
        rdp = took < rdp ? took : rdp;
    }
    printf("%s: csl_account %.2f ms (of it Renyi %.2f ms), epsilon %.6f, not below %.6f, gap %.3f "
           "%%, Renyi %.4f\n",
           what, all, rdp, p.epsilon, p.epsilon_lower,
           100.0 * (p.epsilon - p.epsilon_lower) / p.epsilon, p.epsilon_rdp);
    return 0;
}

static int grid(double interval, bool is_csv)
{
    struct csl_dp_part part = {.pair = csl_dp_pair_poisson(1.0, csl_dp_rate(0.01)), .steps = 10000};
    struct csl_dp_bounds b = {0};
    double best = 1e9;
    for (int r = 0; r < REPEATS; r++) {
        uint64_t start = csl_clock_monotonic_ns();
        if (csl_dp_pld_epsilon(&part, 1, 1e-5, interval, &b, NULL) != CSL_OK)
            return 1;
        double took = milliseconds_since(start);
        best = took < best ? took : best;
    }
    if (is_csv)
        printf("%g,%.4f,%.9f,%.9f\n", b.interval, best, b.upper, b.lower);
    else
        printf("10,000 steps, interval %g: %.2f ms, epsilon %.6f, not below %.6f, gap %.4f %%\n",
               b.interval, best, b.upper, b.lower, 100.0 * (b.upper - b.lower) / b.upper);
    return 0;
}

int main(int argc, char **argv)
{
    static const double intervals[] = {0.0, 1e-3, 1e-4, 2e-5}; /* 0: its own choice */
    bool is_csv = argc > 1 && strcmp(argv[1], "csv") == 0;
    int failed = 0;
    if (!is_csv) {
        failed |= price(0.01, 10000, "10,000 steps at q .01");
        failed |= price(0.02, 1500, "1,500 steps at q .02");
    }
    for (size_t i = 0; i < sizeof intervals / sizeof intervals[0]; i++)
        failed |= grid(intervals[i], is_csv);
    return failed;
}
