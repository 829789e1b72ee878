#include "privacy/dp/calibrate.h"

#include "privacy/dp/account.h"

#include <math.h>
#include <stdbool.h>

enum parameter { NOISE, STEPS, RATE };

struct search {
    const struct csl_dp_event *run;
    enum parameter parameter;
    double start, least, most; /* where to begin, and the range */
    double privacy;            /* the factor that gives more of it */
    double epsilon, delta;
};

static struct csl_dp_event with(const struct search *s, double value)
{
    struct csl_dp_event e = *s->run;
    if (s->parameter == STEPS) {
        e.steps = (uint64_t)value;
    } else if (s->parameter == RATE) {
        e.sampling_rate = csl_dp_rate(value);
    } else {
        e.noise_multiplier = value;
        if (e.mechanism != CSL_DP_GAUSSIAN)
            e.std_units = value * e.l2_units;
    }
    return e;
}

static enum csl_code keeps(const struct search *s, double value, bool *out, struct csl_err *err)
{
    struct csl_dp_event e = with(s, value);
    struct csl_price price;
    enum csl_code code = csl_account(&e, 1, s->delta, &price, err);
    if (code == CSL_OK)
        *out = price.epsilon <= s->epsilon;
    return code;
}

/* Bisection between `good`, which keeps the target, and `bad`, which does not: geometric, for steps
 * over whole numbers. */
static enum csl_code bisect(const struct search *s, double *good, double bad, struct csl_err *err)
{
    bool is_whole = s->parameter == STEPS;
    for (int i = 0; i < 100; i++) {
        double middle = is_whole ? floor(0.5 * (*good + bad)) : sqrt(*good * bad);
        bool is_done =
            is_whole ? middle == *good || middle == bad : fabs(bad - *good) <= 1e-5 * fabs(*good);
        bool is_kept = false;
        if (is_done)
            break;
        enum csl_code code = keeps(s, middle, &is_kept, err);
        if (code != CSL_OK)
            return code;
        if (is_kept)
            *good = middle;
        else
            bad = middle;
    }
    return CSL_OK;
}

/* From the start by factors, towards more privacy until the target is kept or towards less until it
 * is not; then bisection. */
static enum csl_code solve(const struct search *s, double *out, struct csl_err *err)
{
    double good = s->start, bad = s->start;
    bool is_kept = false;
    if (!(s->epsilon > 0.0) || !isfinite(s->epsilon))
        return CSL_FAIL(err, CSL_E_INVAL, "calibrate: epsilon %g; above 0 would be right",
                        s->epsilon);
    enum csl_code code = keeps(s, s->start, &is_kept, err);
    if (code != CSL_OK)
        return code;
    double factor = is_kept ? 1.0 / s->privacy : s->privacy, at = s->start;
    for (bool was_kept = is_kept; is_kept == was_kept;) {
        double next = fmin(fmax(at * factor, s->least), s->most);
        if (s->parameter == STEPS)
            next = factor > 1.0 ? ceil(next) : floor(next);
        if (next == at && !was_kept)
            return CSL_FAIL(err, CSL_E_LIMIT, "calibrate: not even %g keeps epsilon %g at delta %g",
                            at, s->epsilon, s->delta);
        if (next == at) { /* the end of the range */
            *out = at;
            return CSL_OK;
        }
        code = keeps(s, next, &is_kept, err);
        if (code != CSL_OK)
            return code;
        good = is_kept ? next : at;
        bad = is_kept ? at : next;
        at = next;
    }
    code = bisect(s, &good, bad, err);
    if (code == CSL_OK)
        *out = good;
    return code;
}

enum csl_code csl_dp_calibrate_noise(const struct csl_dp_event *run, double epsilon, double delta,
                                     double *noise_multiplier_out, struct csl_err *err)
{
    struct search s = {.run = run,
                       .parameter = NOISE,
                       .start = 1.0,
                       .least = 0.05,
                       .most = 1e9,
                       .privacy = 2.0,
                       .epsilon = epsilon,
                       .delta = delta};
    return solve(&s, noise_multiplier_out, err);
}

enum csl_code csl_dp_calibrate_steps(const struct csl_dp_event *run, double epsilon, double delta,
                                     uint64_t *steps_out, struct csl_err *err)
{
    struct search s = {.run = run,
                       .parameter = STEPS,
                       .start = 100.0,
                       .least = 1.0,
                       .most = 0x1p40,
                       .privacy = 0.25,
                       .epsilon = epsilon,
                       .delta = delta};
    double steps = 0.0;
    enum csl_code code = solve(&s, &steps, err);
    if (code == CSL_OK)
        *steps_out = (uint64_t)steps;
    return code;
}

enum csl_code csl_dp_calibrate_rate(const struct csl_dp_event *run, double epsilon, double delta,
                                    double *sampling_rate_out, struct csl_err *err)
{
    struct search s = {.run = run,
                       .parameter = RATE,
                       .start = 0.01,
                       .least = 1e-9,
                       .most = 1.0,
                       .privacy = 0.25,
                       .epsilon = epsilon,
                       .delta = delta};
    double rate = 0.0;
    enum csl_code code = solve(&s, &rate, err);
    if (code == CSL_OK)
        *sampling_rate_out = csl_dp_rate(rate);
    return code;
}
