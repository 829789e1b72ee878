#include "privacy/dp/fft.h"

#include "base/check.h"
#include "base/mem.h"
#include "privacy/dp/numeric.h"

#include <math.h>
#include <string.h>

#define FINE                                                                                       \
    256 /* twiddles are products of a coarse and a fine one: two tables of square root size */

static const double two_pi = 6.28318530717958647693;

/* cos and -sin of 2 pi k / n, k < n/2, from an angle of at most an eighth of a turn: the error of a
 * rounded angle grows with it. */
static void root(size_t k, size_t n, double *c, double *s)
{
    double turn = two_pi / (double)n;
    if (8 * k <= n) {
        *c = cos(turn * (double)k);
        *s = -sin(turn * (double)k);
    } else if (8 * k <= 3 * n) {
        double rest = turn * (0.25 * (double)n - (double)k);
        *c = sin(rest);
        *s = -cos(rest);
    } else {
        double rest = turn * (0.5 * (double)n - (double)k);
        *c = -cos(rest);
        *s = -sin(rest);
    }
}

enum csl_code csl_dp_fft_init(struct csl_dp_fft *f, size_t n, struct csl_err *err)
{
    double fine[2 * FINE];
    CSL_ASSERT(n >= CSL_DP_FFT_MIN && n <= CSL_DP_FFT_MAX && (n & (n - 1)) == 0);
    double *twiddle = csl_alloc_array(n, sizeof(double));
    double *work = csl_alloc_array(n, sizeof(double));
    if (twiddle == NULL || work == NULL) {
        csl_free(twiddle);
        csl_free(work);
        return CSL_FAIL(err, CSL_E_NOMEM, "fft: no memory for %zu points", n);
    }
    for (size_t k = 0; k < FINE; k++) {
        fine[2 * k] = 0.0; /* beyond half a turn: not used */
        fine[2 * k + 1] = 0.0;
        if (2 * k < n)
            root(k, n, &fine[2 * k], &fine[2 * k + 1]);
    }
    for (size_t start = 0; start < n / 2; start += FINE) {
        double c, s;
        root(start, n, &c, &s);
        for (size_t k = 0; k < FINE && start + k < n / 2; k++) {
            twiddle[2 * (start + k)] = c * fine[2 * k] - s * fine[2 * k + 1];
            twiddle[2 * (start + k) + 1] = c * fine[2 * k + 1] + s * fine[2 * k];
        }
    }
    *f = (struct csl_dp_fft){.n = n, .twiddle = twiddle, .work = work};
    return CSL_OK;
}

void csl_dp_fft_release(struct csl_dp_fft *f)
{
    csl_free(f->twiddle);
    csl_free(f->work);
    *f = (struct csl_dp_fft){0};
}

double csl_dp_fft_error(size_t n)
{
    return (10.0 * log2((double)n) + 20.0) * CSL_DP_ULP;
}

/* One radix-4 stage from x to y: `length` points left in each of `stride` interleaved series. */
static void stage4(size_t length, size_t stride, const double *restrict x, double *restrict y,
                   const double *twiddle, size_t twiddle_step)
{
    size_t quarter = length / 4;
    for (size_t p = 0; p < quarter; p++) {
        const double *t1 = twiddle + 2 * p * twiddle_step;
        const double *t2 = twiddle + 4 * p * twiddle_step;
        double c1 = t1[0], s1 = t1[1], c2 = t2[0], s2 = t2[1];
        double c3 = c1 * c2 - s1 * s2, s3 = c1 * s2 + s1 * c2;
        const double *a = x + 2 * stride * p, *b = a + 2 * stride * quarter;
        const double *c = b + 2 * stride * quarter, *d = c + 2 * stride * quarter;
        double *o = y + 8 * stride * p, *o1 = o + 2 * stride, *o2 = o1 + 2 * stride;
        double *o3 = o2 + 2 * stride;
        for (size_t i = 0; i < 2 * stride; i += 2) {
            double ar = a[i] + c[i], ai = a[i + 1] + c[i + 1];
            double br = a[i] - c[i], bi = a[i + 1] - c[i + 1];
            double cr = b[i] + d[i], ci = b[i + 1] + d[i + 1];
            double dr = b[i + 1] - d[i + 1], di = d[i] - b[i]; /* -i (b - d) */
            double er = ar - cr, ei = ai - ci;
            double fr = br + dr, fi = bi + di, gr = br - dr, gi = bi - di;
            o[i] = ar + cr;
            o[i + 1] = ai + ci;
            o1[i] = fr * c1 - fi * s1;
            o1[i + 1] = fr * s1 + fi * c1;
            o2[i] = er * c2 - ei * s2;
            o2[i + 1] = er * s2 + ei * c2;
            o3[i] = gr * c3 - gi * s3;
            o3[i + 1] = gr * s3 + gi * c3;
        }
    }
}

/* The last factor two, where there is one: no twiddles. */
static void stage2(size_t stride, const double *restrict x, double *restrict y)
{
    const double *b = x + 2 * stride;
    double *o = y + 2 * stride;
    for (size_t i = 0; i < 2 * stride; i++) {
        y[i] = x[i] + b[i];
        o[i] = x[i] - b[i];
    }
}

/* The complex transform of the n/2 pairs in x. */
static void complex_forward(struct csl_dp_fft *f, double *x)
{
    size_t pairs = f->n / 2, length = pairs, stride = 1;
    double *from = x, *to = f->work;
    while (length > 1) {
        if (length >= 4) {
            stage4(length, stride, from, to, f->twiddle, 2 * stride);
            length /= 4;
            stride *= 4;
        } else {
            stage2(stride, from, to);
            length = 1;
        }
        double *other = from;
        from = to;
        to = other;
    }
    if (from != x)
        memcpy(x, from, f->n * sizeof(double));
}

/* From the transform of pairs to that of the real series (sign 1), and back (sign -1). */
static void untangle(const struct csl_dp_fft *f, double *x, double sign)
{
    size_t pairs = f->n / 2;
    for (size_t k = 1; k <= pairs / 2; k++) {
        double *a = x + 2 * k, *b = x + 2 * (pairs - k);
        double er = 0.5 * (a[0] + b[0]), ei = 0.5 * (a[1] - b[1]);
        double dr = 0.5 * (a[0] - b[0]), di = 0.5 * (a[1] + b[1]);
        double c = f->twiddle[2 * k], s = f->twiddle[2 * k + 1] * sign;
        /* -i w d going forward, +i conj(w) d going back */
        double tr = sign * (dr * s + di * c), ti = sign * (di * s - dr * c);
        a[0] = er + tr;
        a[1] = ei + ti;
        b[0] = er - tr;
        b[1] = ti - ei;
    }
}

void csl_dp_fft_forward(struct csl_dp_fft *f, double *x)
{
    complex_forward(f, x);
    double even = x[0], odd = x[1];
    untangle(f, x, 1.0);
    x[0] = even + odd;
    x[1] = even - odd;
}

void csl_dp_fft_inverse(struct csl_dp_fft *f, double *x)
{
    double sum = x[0], difference = x[1], scale = 2.0 / (double)f->n;
    untangle(f, x, -1.0);
    x[0] = 0.5 * (sum + difference);
    x[1] = 0.5 * (sum - difference);
    for (size_t k = 1; k < f->n; k += 2) /* the inverse is the conjugate of the transform of the
                                            conjugate */
        x[k] = -x[k];
    complex_forward(f, x);
    for (size_t k = 0; k < f->n; k += 2) {
        x[k] *= scale;
        x[k + 1] *= -scale;
    }
}
