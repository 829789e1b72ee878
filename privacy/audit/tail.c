#include "base/check.h"
#include "privacy/audit/tail_internal.h"

#include <math.h>

#define LOG_TWO_PI 1.837877066409345483560659472811

/* log(n!) minus Stirling's formula (n + 1/2) log n - n + log(2 pi) / 2, for n > 0. */
static double stirling_error(double n)
{
    if (n < 16.0)
        return lgamma(n + 1.0) - (n + 0.5) * log(n) + n - 0.5 * LOG_TWO_PI;
    double s = 1.0 / (n * n);
    return (1.0 / 12 - (1.0 / 360 - (1.0 / 1260 - (1.0 / 1680 - s / 1188) * s) * s) * s) / n;
}

/* x log(x / m) + m - x, without cancellation where x is near m. */
static double deviance(double x, double m)
{
    double d = x - m;
    if (fabs(d) >= 0.1 * (x + m))
        return x * log(x / m) - d;
    double v = d / (x + m), sum = d * v, term = 2.0 * x * v;
    for (int j = 3; j < 1000; j += 2) {
        term *= v * v;
        double next = sum + term / j;
        if (next == sum)
            break;
        sum = next;
    }
    return sum;
}

double csl_audit__binomial_log(uint64_t k, uint64_t n, double p, double q)
{
    CSL_ASSERT(k <= n && p > 0.0 && q > 0.0);
    double x = (double)k, y = (double)(n - k), m = (double)n;
    if (k == 0)
        return p < q ? m * log1p(-p) : m * log(q);
    if (k == n)
        return q < p ? m * log1p(-q) : m * log(p);
    return stirling_error(m) - stirling_error(x) - stirling_error(y) - deviance(x, m * p) -
           deviance(y, m * q) + 0.5 * (log(m / (x * y)) - LOG_TWO_PI);
}

double csl_audit__binomial_log_upper(uint64_t k, uint64_t n, double p, double q)
{
    if (k == 0)
        return 0.0;
    if (k > n)
        return -HUGE_VAL;
    double m = (double)n, term = 1.0, sum = 1.0;
    if ((double)k > (m + 1.0) * p) { /* terms fall from k upwards */
        for (double j = (double)k; j < m; j += 1.0) {
            term *= (m - j) / (j + 1.0) * (p / q);
            if (term < sum * 1e-18)
                break;
            sum += term;
        }
        return csl_audit__binomial_log(k, n, p, q) + log(sum);
    }
    for (double j = (double)k - 1.0; j > 0.0; j -= 1.0) { /* and from k - 1 downwards */
        term *= j / (m - j + 1.0) * (q / p);
        if (term < sum * 1e-18)
            break;
        sum += term;
    }
    double lower = exp(csl_audit__binomial_log(k - 1, n, p, q)) * sum;
    return lower < 1.0 ? log1p(-lower) : -HUGE_VAL;
}

double csl_audit__binomial_two_sided(uint64_t k, uint64_t n, double p)
{
    if (p <= 0.0)
        return k == 0 ? 1.0 : 0.0;
    if (p >= 1.0)
        return k == n ? 1.0 : 0.0;
    double upper = csl_audit__binomial_log_upper(k, n, p, 1.0 - p);
    double lower = csl_audit__binomial_log_upper(n - k, n, 1.0 - p, p);
    return fmin(1.0, 2.0 * exp(fmin(upper, lower)));
}

double csl_audit__normal_upper(double x)
{
    return 0.5 * erfc(x * 0.70710678118654752440);
}

static double ratio(const double *a, const double *b, double r)
{
    double above = a[7], below = b[7];
    for (int i = 6; i >= 0; i--) {
        above = above * r + a[i];
        below = below * r + b[i];
    }
    return above / below;
}

double csl_audit__normal_quantile(double p)
{
    static const double centre_a[8] = {3.3871328727963666080e0, 1.3314166789178437745e2,
                                       1.9715909503065514427e3, 1.3731693765509461125e4,
                                       4.5921953931549871457e4, 6.7265770927008700853e4,
                                       3.3430575583588128105e4, 2.5090809287301226727e3};
    static const double centre_b[8] = {1.0,
                                       4.2313330701600911252e1,
                                       6.8718700749205790830e2,
                                       5.3941960214247511077e3,
                                       2.1213794301586595867e4,
                                       3.9307895800092710610e4,
                                       2.8729085735721942674e4,
                                       5.2264952788528545610e3};
    static const double near_a[8] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                     5.76949722146069140550e0,  3.64784832476320460504e0,
                                     1.27045825245236838258e0,  2.41780725177450611770e-1,
                                     2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double near_b[8] = {1.0,
                                     2.05319162663775882187e0,
                                     1.67638483018380384940e0,
                                     6.89767334985100004550e-1,
                                     1.48103976427480074590e-1,
                                     1.51986665636164571966e-2,
                                     5.47593808499534494600e-4,
                                     1.05075007164441684324e-9};
    static const double far_a[8] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                                    1.78482653991729133580e0,  2.96560571828504891230e-1,
                                    2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                    2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double far_b[8] = {1.0,
                                    5.99832206555887937690e-1,
                                    1.36929880922735805310e-1,
                                    1.48753612908506148525e-2,
                                    7.86869131145613259100e-4,
                                    1.84631831751005468180e-5,
                                    1.42151175831644588870e-7,
                                    2.04426310338993978564e-15};
    if (p <= 0.0 || p >= 1.0)
        return p <= 0.0 ? -HUGE_VAL : HUGE_VAL;
    double d = p - 0.5;
    if (fabs(d) <= 0.425)
        return d * ratio(centre_a, centre_b, 0.180625 - d * d);
    double r = sqrt(-log(d < 0.0 ? p : 1.0 - p));
    double x = r <= 5.0 ? ratio(near_a, near_b, r - 1.6) : ratio(far_a, far_b, r - 5.0);
    return d < 0.0 ? -x : x;
}

/* The lower regularised gamma function P(a, x) where x < a + 1, the upper one otherwise: the
 * series and the continued fraction (Lentz) that converge there. */
static double gamma_tail(double a, double x)
{
    double front = exp(-deviance(a, x) - stirling_error(a)) / sqrt(6.283185307179586477 * a);
    if (x < a + 1.0) {
        double term = 1.0, sum = 1.0;
        for (double j = a + 1.0; term > sum * 1e-17; j += 1.0) {
            term *= x / j;
            sum += term;
        }
        return front * sum;
    }
    double b = x + 1.0 - a, c = 1e300, d = 1.0 / b, h = d;
    for (int i = 1; i < 10000000; i++) {
        double an = -(double)i * ((double)i - a);
        b += 2.0;
        d = an * d + b;
        d = 1.0 / (fabs(d) < 1e-300 ? 1e-300 : d);
        c = b + an / c;
        c = fabs(c) < 1e-300 ? 1e-300 : c;
        h *= d * c;
        if (fabs(d * c - 1.0) < 1e-15)
            break;
    }
    return front * a * h;
}

double csl_audit__chi_square_two_sided(double x, uint64_t n)
{
    CSL_ASSERT(n >= 1);
    if (!(x > 0.0) || !isfinite(x))
        return 0.0;
    double tail = gamma_tail(0.5 * (double)n, 0.5 * x);
    return 2.0 * fmin(tail, 1.0 - tail);
}
