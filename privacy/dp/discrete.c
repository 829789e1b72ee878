#include "privacy/dp/discrete.h"

#include "base/check.h"
#include "base/mem.h"
#include "privacy/dp/numeric.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* sum over the integers of e^(-z^2 / (2 sigma2)) */
static double normalizer(double sigma2)
{
    struct csl_dp_sum sum = {1.0, 0.0};
    uint64_t last = (uint64_t)ceil(40.0 * sqrt(sigma2)) + 1;
    for (uint64_t k = 1; k <= last; k++) {
        double z = (double)k;
        csl_dp_sum_add(&sum, 2.0 * exp(-z * z / (2.0 * sigma2)));
    }
    return csl_dp_sum_get(&sum);
}

double csl_dp_discrete_gaussian_pmf(double sigma2, int64_t z)
{
    CSL_ASSERT(sigma2 > 0.0 && sigma2 <= CSL_DP_DISCRETE_STD_MAX * CSL_DP_DISCRETE_STD_MAX);
    double at = (double)z;
    return exp(-at * at / (2.0 * sigma2)) / normalizer(sigma2);
}

double csl_dp_discrete_gaussian_delta(double sigma2, uint64_t sensitivity, double eps)
{
    CSL_ASSERT(sigma2 > 0.0 && sigma2 <= CSL_DP_DISCRETE_STD_MAX * CSL_DP_DISCRETE_STD_MAX);
    /* P = N_Z(shift, sigma2) against Q = N_Z(0, sigma2): the loss (2 z shift - shift^2) / (2
     * sigma2) exceeds eps for z above z0 */
    double shift = (double)sensitivity, z0 = floor(eps * sigma2 / shift + 0.5 * shift);
    struct csl_dp_sum sum = {0, 0};
    if (sensitivity == 0)
        return 0.0;
    double last = fmax(0.0, ceil(shift + 40.0 * sqrt(sigma2) - z0));
    for (uint64_t k = 1; k <= (uint64_t)last; k++) {
        double z = z0 + (double)k;
        double loss = (2.0 * z - shift) * shift / (2.0 * sigma2);
        double p = exp(-(z - shift) * (z - shift) / (2.0 * sigma2));
        csl_dp_sum_add(&sum, -p * expm1(fmin(0.0, eps - loss)));
    }
    return csl_dp_more(csl_dp_sum_get(&sum) / normalizer(sigma2), 64.0);
}

/* Pr[k] = e^-v I_k(v) for k = 0 to last, by I_(k-1) = I_(k+1) + (2k/v) I_k from far out. */
static void skellam_law(double v, double *law, size_t last)
{
    double above = 0.0, here = 1e-280;
    struct csl_dp_sum sum = {0, 0};
    for (size_t k = last + 1; k-- > 0;) {
        law[k] = here;
        double below = above + 2.0 * (double)k / v * here;
        above = here;
        here = below;
        if (here > 1e200) {
            for (size_t i = k; i <= last && law[i] > 0.0; i++)
                law[i] *= 1e-200;
            above *= 1e-200;
            here *= 1e-200;
        }
    }
    csl_dp_sum_add(&sum, law[0]);
    for (size_t k = 1; k <= last; k++)
        csl_dp_sum_add(&sum, 2.0 * law[k]);
    for (size_t k = 0; k <= last; k++)
        law[k] /= csl_dp_sum_get(&sum);
}

enum csl_code csl_dp_skellam_delta(double variance, uint64_t sensitivity, double eps,
                                   double *delta_out, struct csl_err *err)
{
    double std = sqrt(variance), reach = ceil(40.0 * std) + 100.0;
    CSL_ASSERT(variance > 0.0 && std <= CSL_DP_DISCRETE_STD_MAX && (double)sensitivity <= reach);
    size_t last = (size_t)reach + (size_t)sensitivity;
    double *law = csl_alloc_array(last + 1, sizeof(double));
    if (law == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "skellam: no memory for %zu values", last);
    skellam_law(variance, law, last);
    struct csl_dp_sum sum = {0, 0};
    int64_t shift = (int64_t)sensitivity, end = (int64_t)last;
    for (int64_t z = shift - end; z <= end; z++) {
        int64_t from_p = z - shift < 0 ? shift - z : z - shift, from_q = z < 0 ? -z : z;
        double excess = law[from_p] - exp(eps) * law[from_q];
        if (excess > 0.0)
            csl_dp_sum_add(&sum, excess);
    }
    csl_free(law);
    *delta_out = csl_dp_more(csl_dp_sum_get(&sum), 4096.0);
    return CSL_OK;
}

double csl_dp_ddg_tau(double std_units, uint64_t sites)
{
    struct csl_dp_sum sum = {0, 0};
    double scale = -2.0 * pi * pi * std_units * std_units;
    for (uint64_t k = 1; k < sites; k++)
        csl_dp_sum_add(&sum, exp(scale * (double)k / (double)(k + 1)));
    return csl_dp_more(10.0 * csl_dp_sum_get(&sum), 64.0 - scale * 4.0);
}

double csl_dp_rounding_bound(double clip, double grid, uint64_t dimensions, double beta)
{
    double d = (double)dimensions, worst = clip + grid * sqrt(d), likely = HUGE_VAL;
    if (beta > 0.0)
        likely = sqrt(clip * clip + 0.25 * grid * grid * d +
                      sqrt(-2.0 * log(beta)) * grid * (clip + 0.5 * grid * sqrt(d)));
    return csl_dp_more(fmin(worst, likely), 16.0);
}

void csl_dp_bridge_add(struct csl_dp_bridge *b, double coordinates, double std_units)
{
    CSL_ASSERT(std_units >= CSL_DP_BRIDGE_STD_MIN && coordinates >= 0.0);
    double s2 = std_units * std_units;
    b->variance += coordinates / (288.0 * s2 * s2);
    b->mean += coordinates / (192.0 * s2 * s2);
    b->largest = fmax(b->largest, 1.0 / (24.0 * s2));
}

double csl_dp_bridge_loss(const struct csl_dp_bridge *b, double log_failure)
{
    double z = sqrt(-2.0 * log_failure);
    return 1.01 * (z * sqrt(b->variance) + z * z * b->largest + b->mean);
}
