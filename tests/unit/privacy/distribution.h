/* Tests of samplers: exact distributions in long double and limits that chance alone passes with a
 * probability below 1e-9 each. */
#ifndef TEST_UNIT_PRIVACY_DISTRIBUTION_H
#define TEST_UNIT_PRIVACY_DISTRIBUTION_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A normal variable is beyond it with probability 5.7e-10. */
#define NORMAL_LIMIT 6.2

enum { MASSES_MAX = 4096, BINS_MAX = 512 };

struct distribution {
    int64_t first; /* mass[i] belongs to first + i */
    size_t count;
    long double mass[MASSES_MAX];
    long double mean, variance;
};

void distribution_discrete_gaussian(struct distribution *d, long double v);
void distribution_discrete_laplace(struct distribution *d, long double scale);
void distribution_skellam(struct distribution *d, long double variance); /* up to 2^13 */

/* Pearson's statistic over its limit (above 1: not this distribution). Neighbouring masses share a
 * bin until 100 samples are expected in it; the last bins hold the tails. The limit is that of
 * Laurent and Massart (2000) for a chi-square variable: df + 2 sqrt(df t) + 2 t with t = ln 1e9. */
double fit(const struct distribution *d, const int64_t *x, size_t n);
/* The same for sigma >= 500 against the normal distribution, in bins of whole integers taken from
 * half to half; a discrete Gaussian is within 1 / (24 sigma^2) of that. */
double fit_normal(double sigma, const int64_t *x, size_t n);
/* The same for uniform residues modulo m <= BINS_MAX. */
double fit_residues(unsigned m, const int64_t *x, size_t n);
/* Two samples against each other, in bins of `width` around 0. */
double fit_two(int64_t width, const int64_t *x, const int64_t *y, size_t n);

/* How many standard errors the mean, the variance and the sign are off, the largest of them. */
double moments_off(double mean, double variance, const int64_t *x, size_t n);

#endif
