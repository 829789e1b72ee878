#include "aggregation/weights/publication.h"

#include <math.h>
#include <stddef.h>

double csl_publication_sensitivity2(uint32_t attributes, uint32_t domains_per_patient)
{
    return 2.0 * ((double)attributes + 1) * (double)domains_per_patient;
}

enum csl_code csl_publication_noise(const struct csl_publication_plan *plan, double *sigma,
                                    struct csl_err *err)
{
    if (!(plan->epsilon > 0 && plan->epsilon <= 100) || !(plan->delta > 0 && plan->delta < 1) ||
        plan->publications == 0 || !(plan->sensitivity2 > 0) || !isfinite(plan->sensitivity2))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "%u publications of squared sensitivity %g at epsilon %g, delta %g; above "
                        "0, with delta below 1, would be right",
                        plan->publications, plan->sensitivity2, plan->epsilon, plan->delta);
    /* The difference of two roots, without cancellation. */
    double l = -log(plan->delta);
    double root = plan->epsilon / (sqrt(l + plan->epsilon) + sqrt(l));
    *sigma = sqrt(plan->sensitivity2 * (double)plan->publications / 2) / root;
    return CSL_OK;
}

int64_t csl_publication_skill(double loss, double prior_loss)
{
    double skill = 1 - loss / prior_loss;
    if (!(skill > 0)) /* also: not a number */
        return 0;
    return skill < 1 ? (int64_t)llrint(skill * CSL_PUBLICATION_ONE) : CSL_PUBLICATION_ONE;
}

void csl_publication_suppress(double sigma, uint32_t sites_min, uint32_t count,
                              const uint32_t *sites, struct csl_domain_statistic *statistics)
{
    for (uint32_t d = 0; d < count; d++)
        if (!(statistics[d].patients >= CSL_PUBLICATION_USABLE * sigma) ||
            (sites != NULL && sites[d] < sites_min))
            statistics[d].is_absent = true;
}
