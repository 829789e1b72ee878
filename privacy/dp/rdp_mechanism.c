#include "privacy/dp/numeric.h"
#include "privacy/dp/pair.h"
#include "privacy/dp/rdp_internal.h"

#include <math.h>

/* Randomised response keeps its bit with probability p = e^eps / (1 + e^eps):
 *     log(p^a (1-p)^(1-a) + (1-p)^a p^(1-a)) = log(p e^t + (1-p) e^-t),  t = eps (a - 1) */
static double response(double epsilon, double order)
{
    double t = (order - 1.0) * epsilon;
    double log_p = -log1p(exp(-epsilon)), log_rest = -epsilon + log_p;
    if (t < 30.0) /* relative accuracy where the moment is close to 1 */
        return log1p(exp(log_p) * expm1(t) + exp(log_rest) * expm1(-t));
    return csl_dp_log_add(log_p + t, log_rest - t);
}

/* The two-sided geometric law Pr[k] ~ e^(-|k|/t) has the variance 1 / (2 sinh^2(1/(2t))). */
double csl_dp_rdp__laplace_epsilon(const struct csl_dp_event *e)
{
    double inverse_scale = 2.0 * asinh(0.70710678118654752440 / e->std_units);
    return csl_dp_more(e->l1_units * inverse_scale, 32.0);
}

double csl_dp_rdp__sigma(const struct csl_dp_event *e)
{
    if (e->mechanism == CSL_DP_GAUSSIAN)
        return e->noise_multiplier;
    return fmin(e->noise_multiplier, csl_dp_less(e->std_units / e->l2_units, 2.0));
}

static double skellam(const struct csl_dp_event *e, double order)
{
    double mu = e->std_units * e->std_units, l1 = e->l1_units, l2 = e->l2_units;
    double first = ((2.0 * order - 1.0) * l2 * l2 + 6.0 * l1) / (4.0 * mu * mu);
    double second = 3.0 * l1 / (2.0 * mu);
    return (order - 1.0) * (order * l2 * l2 / (2.0 * mu) + fmin(first, second));
}

double csl_dp_rdp__base(const struct csl_dp_event *e, double order)
{
    if (e->mechanism == CSL_DP_SKELLAM)
        return csl_dp_more(skellam(e, order), 32.0);
    if (e->mechanism == CSL_DP_DISCRETE_LAPLACE)
        return csl_dp_more(response(csl_dp_rdp__laplace_epsilon(e), order), 256.0);
    double sigma = csl_dp_rdp__sigma(e);
    return csl_dp_more((order - 1.0) * order / (2.0 * sigma * sigma), 16.0);
}

/* log(1 + sum of e^term) while the terms come one by one; keeps the running maximum outside. */
struct log_sum {
    double top;
    struct csl_dp_sum scaled;
};

static void log_sum_add(struct log_sum *s, double term)
{
    if (term == -HUGE_VAL)
        return;
    if (term > s->top) {
        double factor = exp(s->top - term); /* 0 for the first */
        s->scaled.total *= factor;
        s->scaled.carry *= factor;
        s->top = term;
    }
    csl_dp_sum_add(&s->scaled, exp(term - s->top));
}

/* Rounded up: every term is wrong by at most a few ulp of the largest number in it, which `size`
 * bounds; so is log(1 + S), absolutely, and relative to itself where it is small. */
static double log_sum_close(const struct log_sum *s, double size)
{
    if (s->top == -HUGE_VAL)
        return 0.0;
    double total = csl_dp_log_add(0.0, s->top + log(csl_dp_sum_get(&s->scaled)));
    return csl_dp_more(total, 32.0 + 16.0 * size / fmax(1.0, total));
}

double csl_dp_rdp__poisson(const struct csl_dp_event *e, uint64_t order)
{
    double q = e->sampling_rate, n = (double)order;
    double log_q = log(q), log_rest = log1p(-q), log_choose = 0.0, largest = 0.0;
    struct log_sum sum = {.top = -HUGE_VAL};
    if (q == 1.0)
        return csl_dp_rdp__base(e, n);
    for (uint64_t k = 1; k <= order; k++) {
        double at = (double)k;
        log_choose += log((n - at + 1.0) / at);
        double weight = log_choose + (n - at) * log_rest + at * log_q;
        if (k == 1)
            continue; /* E_Q[P/Q] = 1: the sum over k of e^weight (moment - 1) starts at two */
        double moment = csl_dp_rdp__base(e, at);
        double term = moment < 1.0 ? log(expm1(moment)) : moment + log(-expm1(-moment));
        largest = fmax(largest, fabs(weight) + fabs(moment));
        log_sum_add(&sum, weight + term);
    }
    return log_sum_close(&sum, n + largest + fabs(log_q) * n);
}

/* log B(l) of Theorem 27 for even l: the l-th forward difference of e^((j-1) RDP(j)) is
 * E_Q[(P/Q - 1)^l], which is positive, so it is integrated rather than differenced. */
static double log_difference(double sigma, uint64_t l)
{
    double n = (double)l, h = 0.1 * fmin(sigma, sigma * sigma);
    double low = -14.0 * sigma, high = n + 14.0 * sigma;
    struct log_sum sum = {.top = -HUGE_VAL};
    for (size_t i = 0; low + (double)i * h <= high; i++) {
        double x = low + (double)i * h, y = (x - 0.5) / (sigma * sigma);
        double size = y < 1.0 ? log(fabs(expm1(y))) : y + log1p(-exp(-y));
        log_sum_add(&sum, n * size - 0.5 * (x / sigma) * (x / sigma));
    }
    double log_norm = log(h) - log(sigma) - 0.91893853320467274178;
    return sum.top + log(csl_dp_sum_get(&sum.scaled)) + log_norm + 1e-12;
}

double csl_dp_rdp__fixed_size(const struct csl_dp_event *e, uint64_t order)
{
    double log_q = log(e->sampling_rate), n = (double)order, log_choose = log(n), largest = 0.0;
    double sigma = csl_dp_rdp__sigma(e), lower = 0.0;
    bool is_exact = e->mechanism == CSL_DP_GAUSSIAN && sigma >= CSL_DP_FIXED_SIZE_SIGMA_MIN;
    struct log_sum sum = {.top = -HUGE_VAL};
    if (e->sampling_rate == 1.0)
        return csl_dp_rdp__base(e, n);
    for (uint64_t j = 2; j <= order; j++) {
        double at = (double)j, moment = csl_dp_rdp__base(e, at);
        double term = moment + log(2.0);
        log_choose += log((n - at + 1.0) / at);
        if (j == 2) {
            term = fmin(term, log(4.0) + moment + log(-expm1(-moment)));
            lower = is_exact ? log_difference(sigma, 2) : 0.0;
        } else if (is_exact) {
            double upper = j % 2 == 1 ? log_difference(sigma, j + 1) : lower;
            term = fmin(term, log(4.0) + 0.5 * (lower + upper));
            lower = upper;
        }
        largest = fmax(largest, fabs(log_choose) + fabs(at * log_q) + fabs(term));
        log_sum_add(&sum, term + at * log_q + log_choose);
    }
    return log_sum_close(&sum, n + largest);
}
