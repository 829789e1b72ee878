#include "privacy/dp/calibrate.h"

#include "privacy/dp/account.h"

#include <math.h>
#include <stdbool.h>

enum parameter { NOISE, STEPS, RATE };

static struct csl_dp_event with(const struct csl_dp_event *run, enum parameter p, double value)
{
    struct csl_dp_event e = *run;
    if (p == STEPS) {
        e.steps = (uint64_t)value;
    } else if (p == RATE) {
        e.sampling_rate = csl_dp_rate(value);
    } else {
        e.noise_multiplier = value;
        if (e.mechanism != CSL_DP_GAUSSIAN)
            e.std_units = value * e.l2_units;
    }
    return e;
}

static enum csl_code keeps(const struct csl_dp_event *run, enum parameter p, double value,
                           double epsilon, double delta, bool *out, struct csl_err *err)
{
    struct csl_dp_event e = with(run, p, value);
    struct csl_price price;
    enum csl_code code = csl_account(&e, 1, delta, &price, err);
    if (code == CSL_OK)
        *out = price.epsilon <= epsilon;
    return code;
}

/* Bisection between `good`, which keeps the target, and `bad`, which does not: geometric, for steps
 * over whole numbers. */
static enum csl_code bisect(const struct csl_dp_event *run, enum parameter p, double *good,
                            double bad, double epsilon, double delta, struct csl_err *err)
{
    for (int i = 0; i < 100; i++) {
        double middle = p == STEPS ? floor(0.5 * (*good + bad)) : sqrt(*good * bad);
        bool is_done =
            p == STEPS ? middle == *good || middle == bad : fabs(bad - *good) <= 1e-5 * fabs(*good);
        bool is_kept = false;
        if (is_done)
            break;
        enum csl_code code = keeps(run, p, middle, epsilon, delta, &is_kept, err);
        if (code != CSL_OK)
            return code;
        if (is_kept)
            *good = middle;
        else
            bad = middle;
    }
    return CSL_OK;
}

/* From `start` by factors, towards more privacy until the target is kept and towards less until it
 * is not, within [least, most]; `privacy` is the factor that gives more of it. */
static enum csl_code solve(const struct csl_dp_event *run, enum parameter p, double start,
                           double least, double most, double privacy, double epsilon, double delta,
                           double *out, struct csl_err *err)
{
    double good = start, bad = start;
    bool is_kept = false;
    if (!(epsilon > 0.0) || !isfinite(epsilon))
        return CSL_FAIL(err, CSL_E_INVAL, "calibrate: epsilon %g; above 0 would be right", epsilon);
    enum csl_code code = keeps(run, p, start, epsilon, delta, &is_kept, err);
    if (code != CSL_OK)
        return code;
    double factor = is_kept ? 1.0 / privacy : privacy, at = start;
    for (bool was = is_kept; is_kept == was;) {
        double next = fmin(fmax(at * factor, least), most);
        if (p == STEPS)
            next = factor > 1.0 ? ceil(next) : floor(next);
        if (next == at) { /* the end of the range */
            if (!was)
                return CSL_FAIL(err, CSL_E_LIMIT,
                                "calibrate: not even %g keeps epsilon %g at delta %g", at, epsilon,
                                delta);
            *out = at;
            return CSL_OK;
        }
        code = keeps(run, p, next, epsilon, delta, &is_kept, err);
        if (code != CSL_OK)
            return code;
        good = is_kept ? next : at;
        bad = is_kept ? at : next;
        at = next;
    }
    code = bisect(run, p, &good, bad, epsilon, delta, err);
    if (code == CSL_OK)
        *out = good;
    return code;
}

enum csl_code csl_dp_calibrate_noise(const struct csl_dp_event *run, double epsilon, double delta,
                                     double *noise_multiplier_out, struct csl_err *err)
{
    return solve(run, NOISE, 1.0, 0.05, 1e9, 2.0, epsilon, delta, noise_multiplier_out, err);
}

enum csl_code csl_dp_calibrate_steps(const struct csl_dp_event *run, double epsilon, double delta,
                                     uint64_t *steps_out, struct csl_err *err)
{
    double steps = 0.0;
    enum csl_code code = solve(run, STEPS, 100.0, 1.0, 0x1p40, 0.25, epsilon, delta, &steps, err);
    if (code == CSL_OK)
        *steps_out = (uint64_t)steps;
    return code;
}

enum csl_code csl_dp_calibrate_rate(const struct csl_dp_event *run, double epsilon, double delta,
                                    double *sampling_rate_out, struct csl_err *err)
{
    double rate = 0.0;
    enum csl_code code = solve(run, RATE, 0.01, 1e-9, 1.0, 0.25, epsilon, delta, &rate, err);
    if (code == CSL_OK)
        *sampling_rate_out = csl_dp_rate(rate);
    return code;
}
