#include "tests/unit/privacy/distribution.h"

#include <math.h>
#include <string.h>

static void finish(struct distribution *d)
{
    long double sum = 0, mean = 0, square = 0;
    for (size_t i = 0; i < d->count; i++)
        sum += d->mass[i];
    for (size_t i = 0; i < d->count; i++) {
        long double x = (long double)(d->first + (int64_t)i);
        d->mass[i] /= sum;
        mean += d->mass[i] * x;
        square += d->mass[i] * x * x;
    }
    d->mean = mean;
    d->variance = square - mean * mean;
}

static void around_zero(struct distribution *d, long double reach)
{
    int64_t r = (int64_t)ceill(reach) + 1;
    if (r > MASSES_MAX / 2 - 1)
        r = MASSES_MAX / 2 - 1;
    d->first = -r;
    d->count = (size_t)(2 * r + 1);
}

void distribution_discrete_gaussian(struct distribution *d, long double v)
{
    around_zero(d, 12 * sqrtl(v));
    for (size_t i = 0; i < d->count; i++) {
        long double x = (long double)(d->first + (int64_t)i);
        d->mass[i] = expl(-x * x / (2 * v));
    }
    finish(d);
}

void distribution_discrete_laplace(struct distribution *d, long double scale)
{
    around_zero(d, 45 * scale);
    for (size_t i = 0; i < d->count; i++)
        d->mass[i] = expl(-fabsl((long double)(d->first + (int64_t)i)) / scale);
    finish(d);
}

void distribution_skellam(struct distribution *d, long double variance)
{
    long double l = variance / 2;
    around_zero(d, 13 * sqrtl(variance) + 40);
    for (size_t i = 0; i < d->count; i++) {
        int64_t z = d->first + (int64_t)i;
        int64_t least = z < 0 ? -z : 0;
        long double mass = 0;
        for (int64_t k = least; k < (int64_t)l + 600 + least; k++)
            mass += expl((long double)(2 * k + z) * logl(l) - 2 * l - lgammal((long double)k + 1) -
                         lgammal((long double)(k + z) + 1));
        d->mass[i] = mass;
    }
    finish(d);
}

static double limit_of(size_t bins)
{
    double df = (double)bins - 1, t = log(1e9);
    return df + 2 * sqrt(df * t) + 2 * t;
}

/* Neighbouring cells are pooled until 100 samples are expected; the last pool holds the rest. */
static double fit_counts(const long double *mass, const double *counts, size_t cells, size_t n)
{
    double statistic = 0, expected = 0, seen = 0, left = (double)n, left_seen = (double)n;
    size_t bins = 1;
    for (size_t i = 0; i < cells; i++) {
        expected += (double)mass[i] * (double)n;
        seen += counts[i];
        if (expected >= 100 && left - expected >= 100) {
            statistic += (seen - expected) * (seen - expected) / expected;
            left -= expected;
            left_seen -= seen;
            expected = seen = 0;
            bins++;
        }
    }
    statistic += (left_seen - left) * (left_seen - left) / left;
    return statistic / limit_of(bins);
}

double fit(const struct distribution *d, const int64_t *x, size_t n)
{
    static double counts[MASSES_MAX];
    memset(counts, 0, sizeof(counts));
    for (size_t i = 0; i < n; i++) {
        int64_t at = x[i] - d->first, last = (int64_t)d->count - 1;
        counts[at < 0 ? 0 : at > last ? last : at] += 1;
    }
    return fit_counts(d->mass, counts, d->count, n);
}

double fit_normal(double sigma, const int64_t *x, size_t n)
{
    long double mass[BINS_MAX];
    double counts[BINS_MAX] = {0};
    int64_t width = (int64_t)(sigma / 32), half = BINS_MAX / 2;
    for (int64_t i = 0; i < BINS_MAX; i++) {
        long double from = ((long double)((i - half) * width) - 0.5L) / (long double)sigma;
        long double to = ((long double)((i - half + 1) * width) - 0.5L) / (long double)sigma;
        const long double root = 0.707106781186547524400844362104849L;
        mass[i] = 0.5L * (erfcl(from * root) - erfcl(to * root));
    }
    for (size_t i = 0; i < n; i++) {
        int64_t bin = (x[i] >= 0 ? x[i] / width : -((width - 1 - x[i]) / width)) + half;
        counts[bin < 0 ? 0 : bin >= BINS_MAX ? BINS_MAX - 1 : bin] += 1;
    }
    return fit_counts(mass, counts, BINS_MAX, n);
}

static double fit_equal(const double *counts, size_t bins, size_t n)
{
    double statistic = 0, expected = (double)n / (double)bins;
    for (size_t i = 0; i < bins; i++)
        statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
    return statistic / limit_of(bins);
}

double fit_residues(unsigned m, const int64_t *x, size_t n)
{
    double counts[BINS_MAX] = {0};
    for (size_t i = 0; i < n; i++) {
        int64_t rest = x[i] % (int64_t)m;
        counts[rest < 0 ? rest + m : rest] += 1;
    }
    return fit_equal(counts, m, n);
}

double fit_two(int64_t width, const int64_t *x, const int64_t *y, size_t n)
{
    double a[BINS_MAX] = {0}, b[BINS_MAX] = {0}, statistic = 0;
    for (size_t i = 0; i < 2 * n; i++) {
        int64_t v = i < n ? x[i] : y[i - n];
        int64_t bin = (v >= 0 ? v / width : -((-v + width - 1) / width)) + BINS_MAX / 2;
        bin = bin < 0 ? 0 : bin >= BINS_MAX ? BINS_MAX - 1 : bin;
        (i < n ? a : b)[bin] += 1;
    }
    size_t bins = 0;
    double pool_a = 0, pool_b = 0;
    for (size_t i = 0; i < BINS_MAX; i++) {
        pool_a += a[i];
        pool_b += b[i];
        if (pool_a + pool_b >= 200 || i == BINS_MAX - 1) {
            if (pool_a + pool_b > 0) {
                statistic += (pool_a - pool_b) * (pool_a - pool_b) / (pool_a + pool_b);
                bins++;
            }
            pool_a = pool_b = 0;
        }
    }
    return bins < 2 ? 0 : statistic / limit_of(bins);
}

double moments_off(double mean, double variance, const int64_t *x, size_t n)
{
    double sum = 0, square = 0, fourth = 0, sign = 0, nonzero = 0, count = (double)n;
    for (size_t i = 0; i < n; i++) {
        double off = ((double)x[i] - mean) * ((double)x[i] - mean);
        sum += (double)x[i] - mean;
        square += off;
        fourth += off * off;
        sign += x[i] > 0 ? 1 : x[i] < 0 ? -1 : 0;
        nonzero += x[i] != 0;
    }
    double mean_off = fabs(sum / sqrt(count * variance));
    double seen = square / count, spread = sqrt((fourth / count - seen * seen) / count);
    double variance_off = fabs(seen - variance) / spread;
    double sign_off = nonzero > 0 ? fabs(sign) / sqrt(nonzero) : 0;
    return fmax(mean_off, fmax(variance_off, sign_off));
}
