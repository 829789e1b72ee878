#include "privacy/dp/rdp.h"

#include "privacy/dp/numeric.h"
#include "privacy/dp/pair.h"
#include "privacy/dp/rdp_internal.h"

#include <math.h>

#define FIXED_SIZE_ORDER_MAX 256.0

static double at_integer(const struct csl_dp_event *e, double order)
{
    if (order <= 1.0)
        return 0.0;
    if (e->sampler == CSL_DP_POISSON)
        return csl_dp_rdp__poisson(e, (uint64_t)order);
    if (e->sampler == CSL_DP_FIXED_SIZE)
        return order > FIXED_SIZE_ORDER_MAX ? HUGE_VAL : csl_dp_rdp__fixed_size(e, (uint64_t)order);
    return csl_dp_rdp__base(e, order);
}

/* (order - 1) * RDP(order) of one step */
static double one_step(const struct csl_dp_event *e, double order)
{
    double below = floor(order), share = order - below;
    bool is_full = e->sampler == CSL_DP_FULL_BATCH || e->sampler == CSL_DP_SHUFFLED ||
                   (e->sampler == CSL_DP_POISSON && e->sampling_rate == 1.0);
    if (is_full && e->mechanism != CSL_DP_SKELLAM)
        return csl_dp_rdp__base(e, order);
    if (share == 0.0)
        return at_integer(e, order);
    double bound = HUGE_VAL;
    if (e->sampler == CSL_DP_POISSON && e->mechanism == CSL_DP_GAUSSIAN) {
        struct csl_dp_pair pair = csl_dp_pair_poisson(e->noise_multiplier, e->sampling_rate);
        bound = csl_dp_pair_log_moment(&pair, order);
    }
    if (isfinite(bound))
        return bound;
    double low = at_integer(e, below), high = at_integer(e, below + 1.0);
    return csl_dp_more((1.0 - share) * low + share * high, 8.0);
}

double csl_dp_rdp(const struct csl_dp_event *e, double order)
{
    if (e->steps == 0)
        return 0.0;
    return csl_dp_more(one_step(e, order) / (order - 1.0) * (double)e->steps, 8.0);
}

double csl_dp_rdp_all(const struct csl_dp_event *events, size_t count, double order)
{
    double total = 0.0;
    for (size_t i = 0; i < count; i++)
        total = csl_dp_more(total + csl_dp_rdp(&events[i], order), 1.0);
    return count == 0 ? 0.0 : total;
}

double csl_dp_rdp_epsilon(double rdp, double order, double delta)
{
    if (!isfinite(rdp))
        return HUGE_VAL;
    if (-expm1(-rdp) * (1.0 + 1e-14) < delta * delta)
        return 0.0;
    double rest = (log(delta) + log(order)) / (order - 1.0), less = log1p(-1.0 / order);
    double slack = 16.0 * CSL_DP_ULP * (fabs(rest) + fabs(less) + rdp);
    return fmax(0.0, csl_dp_more(rdp + less - rest + slack, 4.0));
}

static double epsilon_at(const struct csl_dp_event *events, size_t count, double delta,
                         double log_theta)
{
    double order = fmin(fmax(1.0 + exp(log_theta), CSL_DP_ORDER_MIN), CSL_DP_ORDER_MAX);
    return csl_dp_rdp_epsilon(csl_dp_rdp_all(events, count, order), order, delta);
}

/* Golden section in log(order - 1) between the neighbours of the best point of the grid. */
static double refine(const struct csl_dp_event *events, size_t count, double delta, double low,
                     double high, double *best)
{
    const double golden = 0.61803398874989484820;
    double a = high - golden * (high - low), b = low + golden * (high - low);
    double at_a = epsilon_at(events, count, delta, a), at_b = epsilon_at(events, count, delta, b);
    while (high - low > 1e-5) {
        if (at_a <= at_b) {
            high = b;
            b = a;
            at_b = at_a;
            a = high - golden * (high - low);
            at_a = epsilon_at(events, count, delta, a);
        } else {
            low = a;
            a = b;
            at_a = at_b;
            b = low + golden * (high - low);
            at_b = epsilon_at(events, count, delta, b);
        }
    }
    *best = fmin(at_a, at_b);
    return at_a <= at_b ? a : b;
}

double csl_dp_rdp_best(const struct csl_dp_event *events, size_t count, double delta,
                       double *order_out)
{
    /* log(order - 1) from log 0.01 to log 4095 in 20 steps */
    const double first = log(CSL_DP_ORDER_MIN - 1.0), last = log(CSL_DP_ORDER_MAX - 1.0);
    const int points = 20;
    double step = (last - first) / points, best = HUGE_VAL, best_at = first;
    for (int i = 0; i <= points; i++) {
        double at = first + i * step, epsilon = epsilon_at(events, count, delta, at);
        if (epsilon < best) {
            best = epsilon;
            best_at = at;
        } else if (isfinite(best) && epsilon > 4.0 * best + 1.0) {
            break; /* quasi-convex: it only rises from here */
        }
    }
    if (isfinite(best) && best > 0.0) {
        double refined;
        double at = refine(events, count, delta, fmax(first, best_at - step),
                           fmin(last, best_at + step), &refined);
        if (refined < best) {
            best = refined;
            best_at = at;
        }
    }
    if (order_out != NULL)
        *order_out = fmin(fmax(1.0 + exp(best_at), CSL_DP_ORDER_MIN), CSL_DP_ORDER_MAX);
    return best;
}
