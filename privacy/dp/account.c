#include "privacy/dp/account.h"

#include "privacy/dp/rdp.h"

#include <math.h>

/* Add or remove against replace: no bound composes the two. */
static enum csl_code check_events(const struct csl_dp_event *events, size_t count, double delta,
                                  struct csl_err *err)
{
    if (!(delta > 0.0) || !(delta < 1.0))
        return CSL_FAIL(err, CSL_E_INVAL, "account: delta %g; above 0 and below 1 would be right",
                        delta);
    for (size_t i = 0; i < count; i++) {
        enum csl_code code = csl_dp_event_check(&events[i], err);
        if (code != CSL_OK)
            return code;
        if ((events[i].sampler == CSL_DP_FIXED_SIZE) != (events[0].sampler == CSL_DP_FIXED_SIZE))
            return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                            "account: the sampler fixed-size is priced for the replacement of a "
                            "unit, the others for its removal; no bound composes the two");
    }
    return CSL_OK;
}

enum csl_code csl_account(const struct csl_dp_event *events, size_t count, double delta,
                          struct csl_price *out, struct csl_err *err)
{
    enum csl_code code = check_events(events, count, delta, err);
    if (code != CSL_OK)
        return code;
    struct csl_price price = {.epsilon_pld = HUGE_VAL};
    if (count == 0)
        price.epsilon_pld = 0.0;
    else
        price.epsilon_rdp = csl_dp_rdp_best(events, count, delta, NULL);
    price.epsilon = fmin(price.epsilon_rdp, price.epsilon_pld);
    *out = price;
    return CSL_OK;
}

enum csl_code csl_account_epsilon(const struct csl_dp_event *events, size_t count, double delta,
                                  double *epsilon, struct csl_err *err)
{
    struct csl_price price;
    enum csl_code code = csl_account(events, count, delta, &price, err);
    if (code == CSL_OK)
        *epsilon = price.epsilon;
    return code;
}
