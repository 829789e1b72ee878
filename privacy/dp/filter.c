#include "privacy/dp/filter.h"

#include "privacy/dp/numeric.h"
#include "privacy/dp/rdp.h"

#include <math.h>

static const double default_orders[] = {2, 3, 4, 6, 8, 12, 20, 40};

/* The largest RDP that converts to epsilon, rounded down: the conversion of rdp.h solved for it. */
static double budget_of(double epsilon, double order, double delta)
{
    double rest = (log(delta) + log(order)) / (order - 1.0), less = log1p(-1.0 / order);
    double budget = epsilon - less + rest;
    budget -= 64.0 * CSL_DP_ULP * (fabs(rest) + fabs(less) + epsilon);
    return csl_dp_rdp_epsilon(fmax(budget, 0.0), order, delta) <= epsilon ? budget : -1.0;
}

enum csl_code csl_dp_filter_init(struct csl_dp_filter *f, double epsilon, double delta,
                                 const double *orders, size_t count, struct csl_err *err)
{
    struct csl_dp_filter made = {.epsilon = epsilon, .delta = delta, .count = count};
    bool has_budget = false;
    if (count == 0) {
        orders = default_orders;
        made.count = sizeof default_orders / sizeof default_orders[0];
    }
    if (!(epsilon > 0.0) || !isfinite(epsilon) || !(delta > 0.0) || !(delta < 1.0) ||
        made.count > CSL_DP_FILTER_ORDERS_MAX)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "filter: epsilon %g, delta %g, %zu orders; above 0, in (0, 1) and at most "
                        "%d would be right",
                        epsilon, delta, count, CSL_DP_FILTER_ORDERS_MAX);
    for (size_t i = 0; i < made.count; i++) {
        if (!(orders[i] >= CSL_DP_ORDER_MIN) || !(orders[i] <= CSL_DP_ORDER_MAX))
            return CSL_FAIL(err, CSL_E_INVAL, "filter: order %g; %g to %g would be right",
                            orders[i], CSL_DP_ORDER_MIN, CSL_DP_ORDER_MAX);
        made.order[i] = orders[i];
        made.budget[i] = budget_of(epsilon, orders[i], delta / (double)made.count);
        has_budget = has_budget || made.budget[i] > 0.0;
    }
    if (!has_budget)
        return CSL_FAIL(
            err, CSL_E_INVAL,
            "filter: no order has a budget within epsilon %g at delta %g; larger orders "
            "would be right",
            epsilon, delta);
    *f = made;
    return CSL_OK;
}

static enum csl_code check(const struct csl_dp_filter *f, const struct csl_dp_event *e,
                           struct csl_err *err)
{
    enum csl_code code = csl_dp_event_check(e, err);
    if (code != CSL_OK)
        return code;
    if (f->has_events && f->is_replace != (e->sampler == CSL_DP_FIXED_SIZE))
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "filter: the sampler %s has another adjacency than the events before",
                        csl_dp_sampler_name(e->sampler));
    return CSL_OK;
}

static double after(const struct csl_dp_filter *f, const struct csl_dp_event *e, size_t i)
{
    return csl_dp_more(f->spent[i] + csl_dp_rdp(e, f->order[i]), 1.0);
}

enum csl_code csl_dp_filter_fits(const struct csl_dp_filter *f, const struct csl_dp_event *e,
                                 bool *out, struct csl_err *err)
{
    enum csl_code code = check(f, e, err);
    bool fits = false;
    for (size_t i = 0; code == CSL_OK && i < f->count; i++)
        fits = fits || after(f, e, i) <= f->budget[i];
    if (code == CSL_OK)
        *out = fits;
    return code;
}

enum csl_code csl_dp_filter_spend(struct csl_dp_filter *f, const struct csl_dp_event *e,
                                  struct csl_err *err)
{
    bool fits = false;
    enum csl_code code = csl_dp_filter_fits(f, e, &fits, err);
    if (code != CSL_OK)
        return code;
    if (!fits)
        return CSL_FAIL(err, CSL_E_BUDGET, "filter: the event exceeds what is left of epsilon %g",
                        f->epsilon);
    for (size_t i = 0; i < f->count; i++)
        f->spent[i] = after(f, e, i);
    f->has_events = true;
    f->is_replace = e->sampler == CSL_DP_FIXED_SIZE;
    return CSL_OK;
}

enum csl_code csl_dp_filter_steps_left(const struct csl_dp_filter *f, const struct csl_dp_event *e,
                                       uint64_t *out, struct csl_err *err)
{
    struct csl_dp_event one = *e;
    enum csl_code code = check(f, e, err);
    uint64_t most = 0;
    one.steps = 1;
    for (size_t i = 0; code == CSL_OK && i < f->count; i++) {
        double room = csl_dp_less(f->budget[i] - f->spent[i], 4.0),
               each = csl_dp_rdp(&one, f->order[i]);
        double steps = room > 0.0 ? floor(csl_dp_less(room / each, 16.0)) : 0.0;
        uint64_t whole = (uint64_t)fmin(fmax(steps, 0.0), 0x1p53);
        most = whole > most ? whole : most;
    }
    if (code == CSL_OK)
        *out = most;
    return code;
}

double csl_dp_filter_left(const struct csl_dp_filter *f)
{
    double best = 0.0;
    for (size_t i = 0; i < f->count; i++)
        if (f->budget[i] > 0.0)
            best = fmax(best, csl_dp_less(1.0 - f->spent[i] / f->budget[i], 4.0));
    return best;
}

double csl_dp_filter_epsilon(const struct csl_dp_filter *f)
{
    double best = HUGE_VAL;
    for (size_t i = 0; f->has_events && i < f->count; i++)
        best =
            fmin(best, csl_dp_rdp_epsilon(f->spent[i], f->order[i], f->delta / (double)f->count));
    return f->has_events ? best : 0.0;
}
