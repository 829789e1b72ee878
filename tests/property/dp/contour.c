#include "tests/property/dp/contour.h"

#include <complex.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

enum { NODES_MAX = 6000, FREQUENCIES_MAX = 2000 };

/* The law of the loss under the distribution whose losses count, at nodes of x. */
static double loss[NODES_MAX], log_weight[NODES_MAX];
static size_t count;

static bool tabulate(double sigma, double q, bool is_add)
{
    double h = 0.08 * fmin(sigma, sigma * sigma), low = -15.0 * sigma - (is_add ? 40.0 : 0.0);
    double high = 16.0 * sigma + (is_add ? 1.0 : 60.0);
    count = 0;
    for (double x = low; x < high; x += h) {
        double l = log1p(q * expm1((2.0 * x - 1.0) / (2.0 * sigma * sigma)));
        if (count == NODES_MAX)
            return false;
        loss[count] = is_add ? -l : l;
        log_weight[count++] = log(h / (sigma * 2.50662827463100050242)) -
                              x * x / (2.0 * sigma * sigma) + (is_add ? 0.0 : l);
    }
    return true;
}

/* log E[e^(c L)] of one step */
static double log_moment(double c)
{
    double top = -HUGE_VAL, sum = 0.0;
    for (size_t i = 0; i < count; i++)
        top = fmax(top, log_weight[i] + c * loss[i]);
    for (size_t i = 0; i < count; i++)
        sum += exp(log_weight[i] + c * loss[i] - top);
    return top + log(sum);
}

static double exponent(double steps, double eps, double c)
{
    return steps * log_moment(c) - c * eps - log(c) - log1p(c);
}

static double saddle(double steps, double eps)
{
    double low = log(1e-3), high = log(60.0);
    for (int i = 0; i < 60; i++) {
        double a = low + (high - low) * 0.382, b = low + (high - low) * 0.618;
        if (exponent(steps, eps, exp(a)) < exponent(steps, eps, exp(b)))
            high = b;
        else
            low = a;
    }
    return exp(0.5 * (low + high));
}

static double complex complex_of(double re, double im)
{
    const double v[2] = {re, im};
    double complex z;
    memcpy(&z, v, sizeof z);
    return z;
}

static bool integrate(double steps, double eps, double c, double period, double *out)
{
    static double share[NODES_MAX];
    double base = log_moment(c), step = 6.28318530717958647693 / period, total = 0.0, first = 0.0;
    int quiet = 0;
    for (size_t i = 0; i < count; i++)
        share[i] = exp(log_weight[i] + c * loss[i] - base);
    for (int k = 0; k < FREQUENCIES_MAX; k++) {
        double s = step * k;
        double complex phi = 0.0, z = complex_of(c, s);
        for (size_t i = 0; i < count; i++)
            if (share[i] > 1e-25)
                phi += share[i] * cexp(complex_of(0.0, s * loss[i]));
        double complex term = cexp(steps * clog(phi) - complex_of(0.0, s * eps)) / (z * (z + 1.0));
        total += (k == 0 ? 0.5 : 1.0) * creal(term);
        first = k == 0 ? cabs(term) : first;
        quiet = cabs(term) < 1e-14 * first ? quiet + 1 : 0;
        if (quiet == 8) {
            *out = exp(steps * base - c * eps) * total * 2.0 / period;
            return true;
        }
    }
    return false;
}

bool contour_delta(double sigma, double q, double steps, bool is_add, double eps, double *delta_out)
{
    double before = 0.0, now = 0.0;
    if (!tabulate(sigma, q, is_add))
        return false;
    double c = saddle(steps, eps), period = fmax(8.0, 60.0 / c);
    for (int i = 0; i < 8; i++, period *= 2.0) {
        if (!integrate(steps, eps, c, period, &now))
            return false;
        if (i > 0 && fabs(now - before) <= 1e-9 * fabs(now)) {
            *delta_out = now;
            return true;
        }
        before = now;
    }
    return false;
}
