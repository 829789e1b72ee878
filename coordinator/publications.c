#include "coordinator/publications.h"

#include "aggregation/weights/publication.h"
#include "base/mem.h"
#include "privacy/secagg/published_terms.h"

#include <math.h>
#include <string.h>

/* The noise of one site, as the sites plan it themselves. */
static enum csl_code plan_noise(const struct csl_study *study, double *sigma_share,
                                struct csl_err *err)
{
    struct csl_published_terms terms;
    struct csl_published_noise noise;
    *sigma_share = 0;
    if (!(study->statistics.epsilon > 0))
        return CSL_OK;
    csl_publication_terms(study, &terms);
    enum csl_code code = csl_published_plan(&noise, &terms, err);
    if (code != CSL_OK)
        return code;
    *sigma_share = csl_published_std(&noise, 1) / CSL_PUBLICATION_ONE;
    csl_published_release(&noise);
    return CSL_OK;
}

enum csl_code csl_publications_open(struct csl_publications *p, const struct csl_study *study,
                                    struct csl_err *err)
{
    *p = (struct csl_publications){.study = study};
    p->newest = csl_alloc_array(study->domain_count, sizeof(*p->newest));
    if (p->newest == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for statistics of %u domains",
                        study->domain_count);
    return plan_noise(study, &p->sigma_share, err);
}

void csl_publications_close(struct csl_publications *p)
{
    csl_free(p->newest);
    *p = (struct csl_publications){.study = NULL};
}

enum csl_code csl_publications_take(struct csl_publications *p,
                                    const struct csl_store_publication *row, struct csl_err *err)
{
    struct csl_published one;
    bool has_skill = row->domain < p->study->domain_count && p->prior[row->domain] > 0;
    enum csl_code code = csl_published_read(p->study, row, has_skill, p->sigma_share, &one, err);
    if (code != CSL_OK)
        return code;
    if (!has_skill)
        p->prior[one.domain] = one.prior_loss;
    p->newest[one.domain] = one;
    return CSL_OK;
}

bool csl_published_sums(const struct csl_published *list, uint32_t count, uint64_t round,
                        uint32_t domain_count, struct csl_weigher_sum *sums, double *sigma)
{
    bool is_any = false;
    *sigma = 0;
    for (uint32_t d = 0; d < domain_count; d++)
        sums[d] = (struct csl_weigher_sum){.statistic = {.is_absent = true}};
    for (uint32_t i = 0; i < count; i++) {
        const struct csl_published *p = &list[i];
        if (p->round != round || p->domain >= domain_count)
            continue;
        sums[p->domain] = (struct csl_weigher_sum){p->cells[0], p->sites, p->has_skill};
        *sigma = fmax(*sigma, p->sigma);
        is_any = true;
    }
    return is_any;
}
