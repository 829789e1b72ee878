/* privacy/dp/account.h - the price of a list of events: the one door to the accountants.
 *
 * The parameters of all events must have been fixed before the first of them ran (a study's plan);
 * the queries may be adaptive. For parameters chosen later there is filter.h. Any thread. */
#ifndef CSL_DP_ACCOUNT_H
#define CSL_DP_ACCOUNT_H
#include "privacy/dp/event.h"

struct csl_price {
    double epsilon; /* what to decide and to print with: the smaller of the two certified upper
                       bounds below, rounded up */
    double epsilon_lower; /* optimistic PLD: the true value is not below; 0 where there is none */
    double epsilon_pld; /* pessimistic PLD; +inf where a mechanism has none, or no grid holds it */
    double epsilon_rdp; /* Renyi, best order, improved conversion */
};

/* Prices `count` events together at `delta`. No events: 0. CSL_E_INVAL: delta not in (0, 1), or an
 * event that csl_dp_event_check refuses; CSL_E_UNSUPPORTED: a mixture of adjacencies, or a
 * mechanism and sampler for which nothing is proven; CSL_E_NOMEM. An epsilon that is not bounded is
 * +inf. */
enum csl_code csl_account(const struct csl_dp_event *events, size_t count, double delta,
                          struct csl_price *out, struct csl_err *err) CSL_MUST_CHECK;

/* `epsilon` of csl_account alone: a csl_ledger_price. */
enum csl_code csl_account_epsilon(const struct csl_dp_event *events, size_t count, double delta,
                                  double *epsilon, struct csl_err *err) CSL_MUST_CHECK;

#endif
