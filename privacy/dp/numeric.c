#include "privacy/dp/numeric.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const double sqrt_half = 0.70710678118654752440;
static const double log_sqrt_2pi = 0.91893853320467274178;

double csl_dp_log_add(double a, double b)
{
    double high = fmax(a, b), low = fmin(a, b);
    if (low == -HUGE_VAL)
        return high;
    return high + log1p(exp(low - high));
}

double csl_dp_log_sub(double a, double b)
{
    if (!(a > b))
        return -HUGE_VAL;
    if (b == -HUGE_VAL)
        return a;
    return a + log(-expm1(b - a));
}

double csl_dp_normal_tail(double x)
{
    return 0.5 * erfc(x * sqrt_half);
}

double csl_dp_log_normal_cdf(double x)
{
    if (x > 1.0)
        return log1p(-csl_dp_normal_tail(x));
    if (x > -30.0)
        return log(csl_dp_normal_tail(-x));
    /* Pr[N > t] = phi(t) / (t + 1/(t + 2/(t + 3/(t + ...)))) */
    double t = -x, fraction = t;
    for (int k = 30; k >= 1; k--)
        fraction = t + k / fraction;
    return -0.5 * t * t - log_sqrt_2pi - log(fraction);
}

void csl_dp_sum_add(struct csl_dp_sum *s, double x)
{
    double t = s->total + x;
    s->carry += fabs(s->total) >= fabs(x) ? (s->total - t) + x : (x - t) + s->total;
    s->total = t;
}

double csl_dp_sum_get(const struct csl_dp_sum *s)
{
    return s->total + s->carry;
}

double csl_dp_minimise(double (*f)(const void *ctx, double x), const void *ctx, double low,
                       double high, double tolerance, double *at)
{
    const double golden = 0.61803398874989484820;
    double a = high - golden * (high - low), b = low + golden * (high - low);
    double at_a = f(ctx, a), at_b = f(ctx, b);
    while (high - low > tolerance) {
        if (at_a <= at_b) {
            high = b;
            b = a;
            at_b = at_a;
            a = high - golden * (high - low);
            at_a = f(ctx, a);
        } else {
            low = a;
            a = b;
            at_a = at_b;
            b = low + golden * (high - low);
            at_b = f(ctx, b);
        }
    }
    *at = at_a <= at_b ? a : b;
    return fmin(at_a, at_b);
}

double csl_dp_more(double x, double ulps)
{
    if (isinf(x))
        return x;
    return nextafter(x + fabs(x) * (ulps * CSL_DP_ULP), HUGE_VAL);
}

double csl_dp_less(double x, double ulps)
{
    if (isinf(x))
        return x;
    return nextafter(x - fabs(x) * (ulps * CSL_DP_ULP), -HUGE_VAL);
}

/* Adds one unit in the last digit; returns true when 99..9 became 100..0 (one place up). */
static bool increment_digits(char *digits, int count)
{
    int i = count - 1;
    while (i >= 0 && digits[i] == '9')
        digits[i--] = '0';
    if (i >= 0) {
        digits[i]++;
        return false;
    }
    digits[0] = '1';
    return true;
}

/* digits d1 d2 ... with the decimal point after d1, times ten to the exponent */
static int lay_out(char *out, size_t size, const char *d, int count, int exponent)
{
    char zeros[] = "000000000000000";
    if (exponent < -4 || exponent > 14)
        return snprintf(out, size, "%c%s%.*se%+03d", d[0], count > 1 ? "." : "", count - 1, d + 1,
                        exponent);
    if (exponent < 0)
        return snprintf(out, size, "0.%.*s%.*s", -exponent - 1, zeros, count, d);
    if (count <= exponent + 1)
        return snprintf(out, size, "%.*s%.*s", count, d, exponent + 1 - count, zeros);
    return snprintf(out, size, "%.*s.%.*s", exponent + 1, d, count - exponent - 1,
                    d + exponent + 1);
}

static enum csl_code print_rounded(char *out, size_t size, double value, int digits, bool is_up,
                                   struct csl_err *err)
{
    char exact[800], kept[20], text[CSL_DP_TEXT_MAX]; /* 767 digits are enough for any double */
    int exponent = 0, length;
    if (!(value >= 0.0) || digits < 1 || digits > 17)
        return CSL_FAIL(err, CSL_E_INVAL, "print: %g with %d digits; a number from 0 and 1 to 17",
                        value, digits);
    if (isinf(value)) {
        length = snprintf(text, sizeof text, "inf");
    } else if (value == 0.0) {
        length = snprintf(text, sizeof text, "0");
    } else {
        (void)snprintf(exact, sizeof exact, "%.780e", value);
        const char *e = strchr(exact, 'e');
        int magnitude = 0;
        for (const char *p = e + 2; *p != '\0'; p++)
            magnitude = magnitude * 10 + (*p - '0');
        exponent = e[1] == '-' ? -magnitude : magnitude;
        exact[1] = exact[0]; /* over the point: the digits now run from exact + 1 */
        memcpy(kept, exact + 1, (size_t)digits);
        bool has_rest = false;
        for (const char *p = exact + 1 + digits; p < e; p++)
            has_rest = has_rest || *p != '0';
        if (is_up && has_rest && increment_digits(kept, digits))
            exponent++;
        length = lay_out(text, sizeof text, kept, digits, exponent);
    }
    if ((size_t)length >= size)
        return CSL_FAIL(err, CSL_E_LIMIT, "print: %d characters, room for %zu", length, size);
    memcpy(out, text, (size_t)length + 1);
    return CSL_OK;
}

enum csl_code csl_dp_print_up(char *out, size_t size, double value, int digits, struct csl_err *err)
{
    return print_rounded(out, size, value, digits, true, err);
}

enum csl_code csl_dp_print_down(char *out, size_t size, double value, int digits,
                                struct csl_err *err)
{
    return print_rounded(out, size, value, digits, false, err);
}
