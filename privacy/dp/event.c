#include "privacy/dp/event.h"

#include "base/check.h"

#include <math.h>

double csl_dp_rate(double rate)
{
    double scaled = ldexp(rate, 64); /* exact; ceil() of what has no fraction is the same */
    return ldexp(ceil(scaled), -64);
}

static enum csl_code check_integer_fields(const struct csl_dp_event *e, struct csl_err *err)
{
    if (e->mechanism == CSL_DP_GAUSSIAN) {
        if (e->dimensions != 0 || e->std_units != 0.0 || e->l1_units != 0.0 || e->l2_units != 0.0)
            return CSL_FAIL(err, CSL_E_INVAL,
                            "event: a continuous mechanism with grid units; zeros would be right");
        return CSL_OK;
    }
    if (e->dimensions == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "event: dimensions is 0; at least 1 would be right");
    if (!(e->std_units > 0.0) || !isfinite(e->std_units) || !(e->l2_units > 0.0) ||
        !isfinite(e->l2_units) || !(e->l1_units >= e->l2_units) || !isfinite(e->l1_units))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "event: std_units %g, l1_units %g, l2_units %g; finite, positive and "
                        "l1 >= l2 would be right",
                        e->std_units, e->l1_units, e->l2_units);
    if (e->noise_multiplier > e->std_units / e->l2_units * (1.0 + 1e-15))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "event: noise_multiplier %.17g claims more noise than std_units / l2_units "
                        "= %.17g",
                        e->noise_multiplier, e->std_units / e->l2_units);
    return CSL_OK;
}

enum csl_code csl_dp_event_check(const struct csl_dp_event *e, struct csl_err *err)
{
    if (e->mechanism < CSL_DP_GAUSSIAN || e->mechanism > CSL_DP_DISCRETE_LAPLACE)
        return CSL_FAIL(err, CSL_E_INVAL, "event: no mechanism has the number %d",
                        (int)e->mechanism);
    if (e->sampler < CSL_DP_FULL_BATCH || e->sampler > CSL_DP_SHUFFLED)
        return CSL_FAIL(err, CSL_E_INVAL, "event: no sampler has the number %d", (int)e->sampler);
    if (!(e->noise_multiplier > 0.0) || !isfinite(e->noise_multiplier))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "event: noise_multiplier %g; a finite number above 0 would be right",
                        e->noise_multiplier);
    if (!(e->sampling_rate > 0.0) || e->sampling_rate > 1.0)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "event: sampling_rate %g; above 0 and at most 1 would be right",
                        e->sampling_rate);
    if (csl_dp_rate(e->sampling_rate) != e->sampling_rate)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "event: sampling_rate %.17g is no multiple of 2^-64, so no sampler has it",
                        e->sampling_rate);
    if ((e->sampler == CSL_DP_FULL_BATCH || e->sampler == CSL_DP_SHUFFLED) &&
        e->sampling_rate != 1.0)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "event: sampling_rate %g with the sampler %s, which amplifies nothing; 1 "
                        "would be right",
                        e->sampling_rate, csl_dp_sampler_name(e->sampler));
    return check_integer_fields(e, err);
}

const char *csl_dp_mechanism_name(enum csl_dp_mechanism m)
{
    static const char *const names[] = {"gaussian", "discrete-gaussian", "skellam",
                                        "discrete-laplace"};
    CSL_ASSERT(m >= CSL_DP_GAUSSIAN && m <= CSL_DP_DISCRETE_LAPLACE);
    return names[m - CSL_DP_GAUSSIAN];
}

const char *csl_dp_sampler_name(enum csl_dp_sampler s)
{
    static const char *const names[] = {"full-batch", "poisson", "fixed-size", "shuffled"};
    CSL_ASSERT(s >= CSL_DP_FULL_BATCH && s <= CSL_DP_SHUFFLED);
    return names[s - CSL_DP_FULL_BATCH];
}
