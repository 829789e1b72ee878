#include "privacy/dp/gaussian.h"

#include "privacy/dp/numeric.h"

#include <math.h>
#include <stdbool.h>

/* log delta, and a bound on its absolute error: the two logarithms are wrong by a few ulp times
 * 1 + z^2 (which grows with the argument), and their difference divides that. */
static double log_delta(double mu, double eps, double *error)
{
    double a = 0.5 * mu - eps / mu, b = -0.5 * mu - eps / mu;
    double log_p = csl_dp_log_normal_cdf(a), log_q = eps + csl_dp_log_normal_cdf(b);
    double gap = log_p - log_q;
    double each = 8.0 * CSL_DP_ULP * (8.0 + a * a + b * b + eps);
    *error = each + 2.0 * each / -expm1(-fmax(gap, 0.0));
    if (!(gap > 0.0)) { /* rounded away: what is left is no more than the error of the two */
        *error = 0.0;
        return log_p + log(2.0 * each);
    }
    return log_p + log(-expm1(-gap));
}

double csl_dp_gaussian_log_delta_upper(double mu, double eps)
{
    double error, value = log_delta(mu, eps, &error);
    return fmin(value + error, 0.0);
}

double csl_dp_gaussian_log_delta_lower(double mu, double eps)
{
    double error, value = log_delta(mu, eps, &error);
    return error == 0.0 ? -HUGE_VAL : value - error;
}

double csl_dp_gaussian_delta(double mu, double eps)
{
    return fmin(1.0, csl_dp_more(exp(csl_dp_gaussian_log_delta_upper(mu, eps)), 4.0));
}

static bool is_within(double mu, double eps, double log_bound, bool is_upper)
{
    return (is_upper ? csl_dp_gaussian_log_delta_upper(mu, eps)
                     : csl_dp_gaussian_log_delta_lower(mu, eps)) <= log_bound;
}

/* Bisection until the bracket has no double left inside; the count ends it in any case. */
static double solve_eps(double mu, double delta, bool is_upper)
{
    double log_bound = log(delta);
    log_bound = is_upper ? csl_dp_less(log_bound, 4.0) : csl_dp_more(log_bound, 4.0);
    if (is_within(mu, 0.0, log_bound, is_upper))
        return 0.0;
    double low = 0.0, high = 0.5 * mu * mu + mu * (1.0 + sqrt(-2.0 * fmin(log_bound, -1e-300)));
    for (int i = 0; i < 1000 && !is_within(mu, high, log_bound, is_upper); i++) {
        low = high;
        high *= 1.5;
    }
    for (int i = 0; i < 200; i++) {
        double middle = low + 0.5 * (high - low);
        if (middle <= low || middle >= high)
            break;
        if (is_within(mu, middle, log_bound, is_upper))
            high = middle;
        else
            low = middle;
    }
    return is_upper ? high : low;
}

double csl_dp_gaussian_eps_upper(double mu, double delta)
{
    return solve_eps(mu, delta, true);
}

double csl_dp_gaussian_eps_lower(double mu, double delta)
{
    return solve_eps(mu, delta, false);
}

double csl_dp_gaussian_sigma(double eps, double delta)
{
    double log_bound = csl_dp_less(log(delta), 4.0), low = 1e-6, high = 1.0;
    for (int i = 0; i < 1000 && !is_within(1.0 / high, eps, log_bound, true); i++) {
        low = high;
        high *= 2.0;
    }
    while (low > 1e-300 && is_within(1.0 / low, eps, log_bound, true)) {
        high = low;
        low *= 0.5;
    }
    for (int i = 0; i < 200; i++) {
        double middle = low + 0.5 * (high - low);
        if (middle <= low || middle >= high)
            break;
        if (is_within(1.0 / middle, eps, log_bound, true))
            high = middle;
        else
            low = middle;
    }
    return csl_dp_more(high, 4.0);
}
