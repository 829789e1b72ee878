#include "aggregation/weights/check.h"

#include <math.h>

/* Of a value that was computed elsewhere and rounded once more. */
#define SLACK 1e-9

static enum csl_code check_limits(const struct csl_weights_limits *l, struct csl_err *err)
{
    if (!(l->cap >= 1 && l->step_max > 0 && l->group_cap >= 1 && l->product_max >= 1 &&
          l->patients_max > 0 && l->effective_min >= 1))
        return CSL_FAIL(err, CSL_E_INVAL, "limits of weights that bound nothing");
    if (l->cap * l->group_cap > l->product_max * (1 + SLACK))
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "domain weights up to %g times group weights up to %g; a product of at "
                        "most %g would be right",
                        l->cap, l->group_cap, l->product_max);
    return CSL_OK;
}

enum csl_code csl_weights_check(const struct csl_weights_limits *limits, uint32_t count,
                                const struct csl_weights_line *lines, struct csl_err *err)
{
    enum csl_code code = check_limits(limits, err);
    if (code != CSL_OK)
        return code;
    if (count == 0 || count > CSL_DOMAINS_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "a table of %u domains", count);
    double mass = 0, lambda = 0;
    for (uint32_t d = 0; d < count; d++) {
        const struct csl_weights_line *l = &lines[d];
        if (!isfinite(l->log_lambda) || !isfinite(l->patients) || l->patients < 0)
            return CSL_FAIL(err, CSL_E_INVAL, "domain %u: log weight %g, %g patients", d,
                            l->log_lambda, l->patients);
        if (fabs(l->log_lambda) > log(limits->cap) + SLACK)
            return CSL_FAIL(err, CSL_E_LIMIT, "domain %u: weight %g; at most %g would be right", d,
                            exp(l->log_lambda), limits->cap);
        double before = l->is_domain_new ? 0 : l->log_lambda_before;
        if (!(fabs(l->log_lambda - before) <= limits->step_max + SLACK))
            return CSL_FAIL(err, CSL_E_LIMIT,
                            "domain %u: weight %g after %g; at most %g times as much or as little "
                            "would be right",
                            d, exp(l->log_lambda), exp(before), exp(limits->step_max));
        mass += l->patients * exp(l->log_lambda);
        lambda += exp(l->log_lambda);
    }
    double certain = mass / (limits->patients_max * lambda);
    if (limits->effective_min > 1 && !(certain >= limits->effective_min))
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "the weights may be those of as few as %.3g contributors; at least %g "
                        "would be right",
                        certain, limits->effective_min);
    return CSL_OK;
}
