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

/* What a curve over log(order - 1) is drawn from. */
struct curve {
    const struct csl_dp_event *events;
    size_t count;
    double delta;
};

static double epsilon_at(const void *ctx, double log_theta)
{
    const struct curve *c = ctx;
    double order = fmin(fmax(1.0 + exp(log_theta), CSL_DP_ORDER_MIN), CSL_DP_ORDER_MAX);
    return csl_dp_rdp_epsilon(csl_dp_rdp_all(c->events, c->count, order), order, c->delta);
}

double csl_dp_rdp_best(const struct csl_dp_event *events, size_t count, double delta,
                       double *order_out)
{
    /* log(order - 1) from log 0.01 to log 4095 in 20 steps */
    const double first = log(CSL_DP_ORDER_MIN - 1.0), last = log(CSL_DP_ORDER_MAX - 1.0);
    const int points = 20;
    const struct curve curve = {events, count, delta};
    double step = (last - first) / points, best = HUGE_VAL, best_at = first;
    for (int i = 0; i <= points; i++) {
        double at = first + i * step, epsilon = epsilon_at(&curve, at);
        if (epsilon < best) {
            best = epsilon;
            best_at = at;
        } else if (isfinite(best) && epsilon > 4.0 * best + 1.0) {
            break; /* quasi-convex: it only rises from here */
        }
    }
    if (isfinite(best) && best > 0.0) {
        double at;
        double refined = csl_dp_minimise(epsilon_at, &curve, fmax(first, best_at - step),
                                         fmin(last, best_at + step), 1e-5, &at);
        if (refined < best) {
            best = refined;
            best_at = at;
        }
    }
    if (order_out != NULL)
        *order_out = fmin(fmax(1.0 + exp(best_at), CSL_DP_ORDER_MIN), CSL_DP_ORDER_MAX);
    return best;
}
