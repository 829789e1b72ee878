#include "tests/property/dp/contour.h"

#include <complex.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

enum { NODES_MAX = 6000, FREQUENCIES_MAX = 2000 };

/* The law of the loss of one step of each part, under the distribution whose losses count, at nodes
 * of x. */
struct law {
    double loss[NODES_MAX], log_weight[NODES_MAX], share[NODES_MAX];
    size_t count;
    double steps;
};
static struct law laws[CONTOUR_PARTS_MAX];
static size_t law_count;

static bool tabulate(struct law *l, const struct contour_part *p, bool is_add)
{
    double sigma = p->sigma, h = 0.08 * fmin(sigma, sigma * sigma);
    double low = -15.0 * sigma - (is_add ? 40.0 : 0.0);
    double high = 16.0 * sigma + (is_add ? 1.0 : 60.0);
    l->count = 0;
    l->steps = p->steps;
    for (double x = low; x < high; x += h) {
        double loss = log1p(p->q * expm1((2.0 * x - 1.0) / (2.0 * sigma * sigma)));
        if (l->count == NODES_MAX)
            return false;
        l->loss[l->count] = is_add ? -loss : loss;
        l->log_weight[l->count++] = log(h / (sigma * 2.50662827463100050242)) -
                                    x * x / (2.0 * sigma * sigma) + (is_add ? 0.0 : loss);
    }
    return true;
}

/* log E[e^(c L)] of one step */
static double log_moment_of(const struct law *l, double c)
{
    double top = -HUGE_VAL, sum = 0.0;
    for (size_t i = 0; i < l->count; i++)
        top = fmax(top, l->log_weight[i] + c * l->loss[i]);
    for (size_t i = 0; i < l->count; i++)
        sum += exp(l->log_weight[i] + c * l->loss[i] - top);
    return top + log(sum);
}

/* The same of all steps of all parts. */
static double log_moment(double c)
{
    double sum = 0.0;
    for (size_t i = 0; i < law_count; i++)
        sum += laws[i].steps * log_moment_of(&laws[i], c);
    return sum;
}

static double exponent(double eps, double c)
{
    return log_moment(c) - c * eps - log(c) - log1p(c);
}

static double saddle(double eps)
{
    double low = log(1e-3), high = log(60.0);
    for (int i = 0; i < 60; i++) {
        double a = low + (high - low) * 0.382, b = low + (high - low) * 0.618;
        if (exponent(eps, exp(a)) < exponent(eps, exp(b)))
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

/* Log of the characteristic function of all steps, tilted, at frequency s. */
static double complex log_phi(double s)
{
    double complex sum = 0.0;
    for (size_t k = 0; k < law_count; k++) {
        const struct law *l = &laws[k];
        double complex phi = 0.0;
        for (size_t i = 0; i < l->count; i++)
            if (l->share[i] > 1e-25)
                phi += l->share[i] * cexp(complex_of(0.0, s * l->loss[i]));
        sum += l->steps * clog(phi);
    }
    return sum;
}

static void tilt(double c)
{
    for (size_t k = 0; k < law_count; k++) {
        struct law *l = &laws[k];
        double base = log_moment_of(l, c);
        for (size_t i = 0; i < l->count; i++)
            l->share[i] = exp(l->log_weight[i] + c * l->loss[i] - base);
    }
}

static bool integrate(double eps, double c, double period, double *out)
{
    double step = 6.28318530717958647693 / period, total = 0.0, first = 0.0;
    int quiet = 0;
    for (int k = 0; k < FREQUENCIES_MAX; k++) {
        double s = step * k;
        double complex z = complex_of(c, s);
        double complex term = cexp(log_phi(s) - complex_of(0.0, s * eps)) / (z * (z + 1.0));
        total += (k == 0 ? 0.5 : 1.0) * creal(term);
        first = k == 0 ? cabs(term) : first;
        quiet = cabs(term) < 1e-14 * first ? quiet + 1 : 0;
        if (quiet == 8) {
            *out = exp(log_moment(c) - c * eps) * total * 2.0 / period;
            return true;
        }
    }
    return false;
}

bool contour_delta_of(const struct contour_part *parts, size_t count, bool is_add, double eps,
                      double *delta_out)
{
    double before = 0.0, now = 0.0;
    law_count = 0;
    if (count > CONTOUR_PARTS_MAX)
        return false;
    while (law_count < count)
        if (!tabulate(&laws[law_count], &parts[law_count], is_add))
            return false;
        else
            law_count++;
    double c = saddle(eps), period = fmax(8.0, 60.0 / c);
    tilt(c);
    for (int i = 0; i < 8; i++, period *= 2.0) {
        if (!integrate(eps, c, period, &now))
            return false;
        if (i > 0 && fabs(now - before) <= 1e-9 * fabs(now)) {
            *delta_out = now;
            return true;
        }
        before = now;
    }
    return false;
}

bool contour_delta(double sigma, double q, double steps, bool is_add, double eps, double *delta_out)
{
    const struct contour_part part = {.sigma = sigma, .q = q, .steps = steps};
    return contour_delta_of(&part, 1, is_add, eps, delta_out);
}
