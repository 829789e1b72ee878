#include "privacy/dp/pair.h"

#include "base/check.h"
#include "privacy/dp/numeric.h"

#include <math.h>
#include <stdbool.h>

struct csl_dp_pair csl_dp_pair_poisson(double sigma, double q)
{
    struct csl_dp_pair p = {.std = sigma, .q_count = 1, .q_weight = {1.0}};
    if (q < 1.0) {
        p.p_weight[p.p_count] = 1.0 - q;
        p.p_mean[p.p_count++] = 0.0;
    }
    p.p_weight[p.p_count] = q;
    p.p_mean[p.p_count++] = 1.0;
    return p;
}

struct csl_dp_pair csl_dp_pair_replace(double sigma, double q)
{
    struct csl_dp_pair p = csl_dp_pair_poisson(sigma, q);
    p.q_count = p.p_count;
    for (size_t i = 0; i < p.p_count; i++) {
        p.q_weight[i] = p.p_weight[i];
        p.q_mean[i] = -p.p_mean[i];
    }
    return p;
}

struct csl_dp_pair csl_dp_pair_duplicates(double sigma, double q, size_t sites)
{
    CSL_ASSERT(sites >= 1 && sites < CSL_DP_COMPONENTS_MAX);
    struct csl_dp_pair p = {.std = sigma, .q_count = 1, .q_weight = {1.0}};
    double choose = 1.0;
    for (size_t j = 0; j <= sites; j++) {
        double weight = choose * pow(q, (double)j) * pow(1.0 - q, (double)(sites - j));
        if (weight > 0.0) {
            p.p_weight[p.p_count] = weight;
            p.p_mean[p.p_count++] = (double)j;
        }
        choose = choose * (double)(sites - j) / (double)(j + 1);
    }
    return p;
}

/* sum_i w_i (exp((2 m_i x - m_i^2) / (2 s^2)) - 1), the density over N(0) less one: exact where
 * the mixture hardly differs from N(0). */
static double excess(double x, double std, const double *mean, const double *weight, size_t count)
{
    double total = 0.0, scale = 0.5 / (std * std);
    for (size_t i = 0; i < count; i++)
        if (mean[i] != 0.0)
            total += weight[i] * expm1((2.0 * x - mean[i]) * mean[i] * scale);
    return total;
}

/* log of the density over N(0), for where `excess` overflows */
static double log_ratio(double x, double std, const double *mean, const double *weight,
                        size_t count)
{
    double total = -HUGE_VAL, scale = 0.5 / (std * std);
    for (size_t i = 0; i < count; i++)
        total = csl_dp_log_add(total, log(weight[i]) + (2.0 * x - mean[i]) * mean[i] * scale);
    return total;
}

static double log_density(double x, double std, const double *mean, const double *weight,
                          size_t count)
{
    double rest = excess(x, std, mean, weight, count);
    if (rest > -0.9 && rest < 1e300)
        return log1p(rest);
    return log_ratio(x, std, mean, weight, count);
}

double csl_dp_pair_loss(const struct csl_dp_pair *p, double x)
{
    double loss = log_density(x, p->std, p->p_mean, p->p_weight, p->p_count);
    if (p->q_count > 1 || p->q_mean[0] != 0.0)
        loss -= log_density(x, p->std, p->q_mean, p->q_weight, p->q_count);
    return loss;
}

static double lowest(const double *mean, size_t count, double *weight_out, const double *weight)
{
    double low = mean[0];
    *weight_out = weight[0];
    for (size_t i = 1; i < count; i++)
        if (mean[i] < low) {
            low = mean[i];
            *weight_out = weight[i];
        }
    return low;
}

double csl_dp_pair_loss_floor(const struct csl_dp_pair *p)
{
    double p_weight, q_weight;
    double p_low = lowest(p->p_mean, p->p_count, &p_weight, p->p_weight);
    double q_low = lowest(p->q_mean, p->q_count, &q_weight, p->q_weight);
    return p_low == q_low ? log(p_weight) - log(q_weight) : -HUGE_VAL;
}

/* The subsampled Gaussian: e^g = 1 - q + q e^((2x - 1) / (2 s^2)). */
static double inverse_poisson(const struct csl_dp_pair *p, double g)
{
    double q = p->p_weight[p->p_count - 1], y;
    if (g > 600.0)
        y = g - log(q) + log1p(-(1.0 - q) * exp(-g));
    else
        y = p->p_count == 1 ? g : log1p(expm1(g) / q);
    return p->std * p->std * y + 0.5;
}

double csl_dp_pair_inverse(const struct csl_dp_pair *p, double g, double guess)
{
    if (p->q_count == 1 && p->p_count <= 2 && p->p_mean[p->p_count - 1] == 1.0 &&
        (p->p_count == 1 || p->p_mean[0] == 0.0))
        return inverse_poisson(p, g);
    double low = guess, high = guess, step = p->std;
    while (csl_dp_pair_loss(p, low) > g) {
        if (low < -1e300)
            return -HUGE_VAL;
        low -= step;
        step *= 2.0;
    }
    step = p->std;
    while (csl_dp_pair_loss(p, high) < g) {
        if (high > 1e300)
            return HUGE_VAL;
        high += step;
        step *= 2.0;
    }
    double x = low + 0.5 * (high - low);
    for (int i = 0; i < 200; i++) {
        double at = csl_dp_pair_loss(p, x) - g;
        if (at > 0.0)
            high = x;
        else
            low = x;
        /* Newton with a numerical slope; bisection where it leaves the bracket */
        double wide = 1e-5 * p->std;
        double slope = (csl_dp_pair_loss(p, x + wide) - csl_dp_pair_loss(p, x - wide)) / (2 * wide);
        double next = x - at / slope;
        if (!(next > low && next < high))
            next = low + 0.5 * (high - low);
        if (fabs(next - x) <= 4.0 * CSL_DP_ULP * (fabs(x) + p->std))
            return next;
        x = next;
    }
    return x;
}

/* Where the integrand lives: a shift of each of its normal factors by the power times the distance
 * of the two, and fourteen standard deviations (e^-98). */
static void integration_range(const struct csl_dp_pair *p, double a, double *low, double *high)
{
    double least = p->q_mean[0], most = p->q_mean[0];
    for (size_t i = 0; i < p->p_count; i++) {
        least = fmin(least, p->p_mean[i]);
        most = fmax(most, p->p_mean[i]);
    }
    for (size_t i = 0; i < p->q_count; i++) {
        least = fmin(least, p->q_mean[i]);
        most = fmax(most, p->q_mean[i]);
    }
    double reach = fabs(a) * (most - least);
    *low = least - 14.0 * p->std - reach;
    *high = most + 14.0 * p->std + reach;
    if (p->q_count == 1 && p->q_mean[0] == 0.0 && least == 0.0) { /* peaks on one side alone */
        if (a >= 0.0)
            *low = -14.0 * p->std;
        else
            *high = 14.0 * p->std;
    }
}

/* log of the weight of node x: the density of Q there, times the step */
static double log_node(const struct csl_dp_pair *p, double x, double log_norm)
{
    double log_q = log_norm - 0.5 * (x / p->std) * (x / p->std);
    if (p->q_count > 1 || p->q_mean[0] != 0.0)
        log_q += log_density(x, p->std, p->q_mean, p->q_weight, p->q_count);
    return log_q;
}

double csl_dp_pair_log_moment(const struct csl_dp_pair *p, double a)
{
    double low, high;
    if (a == 0.0 || a == 1.0)
        return 0.0;
    if (p->p_count == 1 && p->q_count == 1) { /* two normal laws */
        double apart = (p->p_mean[0] - p->q_mean[0]) / p->std;
        return csl_dp_more(0.5 * a * (a - 1.0) * apart * apart, 8.0);
    }
    integration_range(p, a, &low, &high);
    /* Analytic in a strip of half width pi s^2 over the widest distance of two means: the error of
     * the rule is exp(-2 pi^2 s^2 / h). */
    double span = fmax(p->p_mean[p->p_count - 1], 1.0) + (p->q_count > 1 ? 1.0 : 0.0);
    double h = 0.1 * fmin(p->std, p->std * p->std / span);
    double last = ceil((high - low) / h);
    if (!(last <= CSL_DP_NODES_MAX))
        return HUGE_VAL;
    double log_norm = log(h) - log(p->std) - 0.91893853320467274178;
    double top = -HUGE_VAL;
    struct csl_dp_sum total = {0, 0}, size = {0, 0};
    for (size_t i = 0; i <= (size_t)last; i++) {
        double x = low + (double)i * h, gain = a * csl_dp_pair_loss(p, x);
        double log_q = log_node(p, x, log_norm);
        top = fmax(top, log_q + gain);
        /* relative accuracy also where the moment is 1 + 1e-12: sum what exceeds 1 */
        double term = gain < 600.0 ? exp(log_q) * expm1(gain) : exp(log_q + gain);
        csl_dp_sum_add(&total, term);
        csl_dp_sum_add(&size, fabs(term));
    }
    if (top < 600.0)
        return log1p(fmax(0.0, csl_dp_sum_get(&total) + 64.0 * CSL_DP_ULP * csl_dp_sum_get(&size)));
    total = (struct csl_dp_sum){0, 0};
    for (size_t i = 0; i <= (size_t)last; i++) {
        double x = low + (double)i * h;
        csl_dp_sum_add(&total, exp(log_node(p, x, log_norm) + a * csl_dp_pair_loss(p, x) - top));
    }
    return csl_dp_more(top + log(csl_dp_sum_get(&total)), 64.0);
}
