/* privacy/dp/filter.h - a privacy filter: parameters chosen while the run goes on, inside a fixed
 * (epsilon, delta). Feldman and Zrnic 2021, section 4 (after Rogers et al. 2016): with an order
 * fixed in advance, stopping before the sum of the RDP exceeds a budget keeps that budget, whatever
 * the earlier answers made one choose.
 *
 * Several orders: each has the budget that converts to epsilon at delta / count, and the run may go
 * on while one of them has room. Whatever transcript comes out kept at least one of the budgets
 * throughout; a union over the orders adds their deltas. One thread. */
#ifndef CSL_DP_FILTER_H
#define CSL_DP_FILTER_H
#include "privacy/dp/event.h"

#include <stdbool.h>

#define CSL_DP_FILTER_ORDERS_MAX 16

struct csl_dp_filter {
    double epsilon, delta;
    size_t count;
    double order[CSL_DP_FILTER_ORDERS_MAX];
    double budget[CSL_DP_FILTER_ORDERS_MAX]; /* rounded down; below 0: the order is of no use */
    double spent[CSL_DP_FILTER_ORDERS_MAX];  /* rounded up */
    bool has_events, is_replace;             /* one adjacency: that of the first event */
};

/* orders: each from CSL_DP_ORDER_MIN to CSL_DP_ORDER_MAX; NULL and 0: 2, 3, 4, 6, 8, 12, 20, 40.
 * CSL_E_INVAL: epsilon, delta or orders out of range, or no order with a budget. */
enum csl_code csl_dp_filter_init(struct csl_dp_filter *f, double epsilon, double delta,
                                 const double *orders, size_t count,
                                 struct csl_err *err) CSL_MUST_CHECK;
/* Whether the event may run. CSL_E_INVAL as csl_dp_event_check; CSL_E_UNSUPPORTED: an adjacency
 * that is not the first event's. */
enum csl_code csl_dp_filter_fits(const struct csl_dp_filter *f, const struct csl_dp_event *e,
                                 bool *out, struct csl_err *err) CSL_MUST_CHECK;
/* Charges it, BEFORE it runs; CSL_E_BUDGET, and nothing charged, where it does not fit. */
enum csl_code csl_dp_filter_spend(struct csl_dp_filter *f, const struct csl_dp_event *e,
                                  struct csl_err *err) CSL_MUST_CHECK;
/* How many steps of such an event (its own count is ignored) still fit; rounded down. */
enum csl_code csl_dp_filter_steps_left(const struct csl_dp_filter *f, const struct csl_dp_event *e,
                                       uint64_t *out, struct csl_err *err) CSL_MUST_CHECK;
/* The share of the budget that is left at the order that has most of it; rounded down. */
double csl_dp_filter_left(const struct csl_dp_filter *f);
/* epsilon of what was spent, rounded up. Nominal: the guarantee is the filter's epsilon. */
double csl_dp_filter_epsilon(const struct csl_dp_filter *f);

#endif
