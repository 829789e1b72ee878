#include "privacy/secagg/shares.h"

#include "base/check.h"
#include "privacy/dp/discrete.h"

#include <math.h>

#define UP   (1.0 + 0x1p-50) /* more than a handful of roundings */
#define DOWN (1.0 - 0x1p-50)

enum { SITES_MAX = 65536 };
#define SHARE_STD_MAX 0x1p40

/* The smallest double that is not below a * b (a, b > 0). */
static double product_up(double a, double b)
{
    double p = a * b;
    return fma(a, b, -p) > 0.0 ? nextafter(p, HUGE_VAL) : p;
}

static enum csl_code check(double std_units, uint32_t sites, uint32_t colluding, uint32_t dropouts,
                           uint64_t dimensions, struct csl_err *err)
{
    if (sites == 0 || sites > SITES_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "noise shares: %u sites; 1 to %d would be right", sites,
                        SITES_MAX);
    if ((uint64_t)colluding + dropouts >= sites)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "noise shares: %u colluding and %u lost of %u sites leave no honest one",
                        colluding, dropouts, sites);
    if (dimensions == 0 || dimensions > UINT64_C(1) << 33)
        return CSL_FAIL(err, CSL_E_INVAL, "noise shares: %llu dimensions; 1 to 2^33 would be right",
                        (unsigned long long)dimensions);
    if (!(std_units > 0.0) || !isfinite(std_units))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "noise shares: std_units %g; a finite number above 0 would be right",
                        std_units);
    return CSL_OK;
}

enum csl_code csl_shares_plan(struct csl_shares *s, double std_units, uint32_t sites,
                              uint32_t colluding, uint32_t dropouts, uint64_t dimensions,
                              struct csl_err *err)
{
    enum csl_code code = check(std_units, sites, colluding, dropouts, dimensions, err);
    if (code != CSL_OK)
        return code;
    struct csl_shares made = {.sites = sites,
                              .colluding = colluding,
                              .dropouts = dropouts,
                              .floor = sites - dropouts,
                              .dimensions = dimensions,
                              .std_units = std_units};
    made.share_std_units = std_units / sqrt((double)(made.floor - colluding)) * UP;
    if (made.share_std_units > SHARE_STD_MAX)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "noise shares: a share of std %g units; at most 2^40 would be right",
                        made.share_std_units);
    double tau = csl_dp_ddg_tau(made.share_std_units, sites - colluding); /* the largest */
    if (!((double)dimensions * tau <= CSL_SHARES_TAU_MAX))
        return CSL_FAIL(
            err, CSL_E_INVAL,
            "noise shares: a share of std %g units is too coarse for its sum to pass as "
            "a discrete Gaussian (tau %g in %llu dimensions); a finer grid would be "
            "right",
            made.share_std_units, tau, (unsigned long long)dimensions);
    int exponent;
    double v = product_up(made.share_std_units, made.share_std_units);
    uint64_t mantissa = (uint64_t)ldexp(frexp(v, &exponent), 64); /* exact: 53 bits */
    code = csl_discrete_gaussian_init(&made.gaussian, mantissa, exponent - 64, err);
    if (code == CSL_OK)
        *s = made;
    return code;
}

void csl_shares_release(struct csl_shares *s)
{
    csl_discrete_gaussian_release(&s->gaussian);
    *s = (struct csl_shares){0};
}

double csl_shares_sum_std(const struct csl_shares *s, uint32_t survivors)
{
    CSL_ASSERT(survivors <= s->sites);
    return s->share_std_units * sqrt((double)survivors) * UP;
}

enum csl_code csl_shares_event(const struct csl_shares *s, uint32_t survivors, double l2_units,
                               double l1_units, struct csl_dp_event *event, struct csl_err *err)
{
    if (survivors < s->floor)
        return CSL_FAIL(err, CSL_E_STATE,
                        "noise shares: %u survivors where the noise needs %u; abandon the attempt",
                        survivors, s->floor);
    if (survivors > s->sites)
        return CSL_FAIL(err, CSL_E_INVAL, "noise shares: %u survivors of %u sites", survivors,
                        s->sites);
    if (!(l2_units > 0.0) || !isfinite(l2_units) || !(l1_units >= l2_units) || !isfinite(l1_units))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "noise shares: l2_units %g, l1_units %g; finite, positive and l1 >= l2 "
                        "would be right",
                        l2_units, l1_units);
    uint32_t honest = survivors - s->colluding; /* the floor is above colluding */
    double std = s->share_std_units * sqrt((double)honest) * DOWN, d = (double)s->dimensions;
    double tau_std = csl_dp_ddg_tau(s->share_std_units, honest) * std;
    event->mechanism = CSL_DP_DISCRETE_GAUSSIAN;
    event->dimensions = s->dimensions;
    event->std_units = std;
    event->l2_units = (l2_units + sqrt(d) * tau_std) * UP;
    event->l1_units = (l1_units + d * tau_std) * UP;
    event->noise_multiplier = std / event->l2_units * DOWN;
    return CSL_OK;
}
