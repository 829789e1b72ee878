#include "coordinator/published.h"

#include "aggregation/weights/publication.h"
#include "protocol/study/evaluation.h"

#include <math.h>

static double in_patients(uint64_t word)
{
    return (double)(int64_t)word / CSL_PUBLICATION_ONE;
}

/* Of the predictor that knows the classes' shares and nothing else. Noise can make a count
 * negative: then nobody is of that class. */
static double entropy(const uint64_t *words, uint32_t classes)
{
    double all = 0, sum = 0;
    for (uint32_t k = 0; k < classes; k++)
        all += fmax(in_patients(words[k]), 0);
    for (uint32_t k = 0; k < classes; k++) {
        double share = all > 0 ? fmax(in_patients(words[k]), 0) / all : 0;
        if (share > 0 && share < 1)
            sum -= share * log(share);
    }
    return sum;
}

/* Exact sums stand beside the exact total: a group that is hidden alone would be the difference.
 * The smallest of an attribute are hidden until what is not shown of it is nobody or a whole group.
 */
static void hide_differences(const struct csl_study *study, struct csl_published *p)
{
    uint32_t first = 1;
    for (uint32_t k = 0; k < study->fairness.attribute_count; k++) {
        uint32_t end = first + study->statistics.value_count[k];
        for (uint32_t n = first; n < end; n++) { /* hides one each time */
            double rest = p->cells[0].patients;
            uint32_t smallest = end;
            for (uint32_t i = first; i < end; i++) {
                if (p->cells[i].is_absent)
                    continue;
                rest -= p->cells[i].patients;
                if (smallest == end || p->cells[i].patients < p->cells[smallest].patients)
                    smallest = i;
            }
            if (smallest == end || rest == 0 || rest >= study->fairness.minimum_group)
                break;
            p->cells[smallest].is_absent = true;
        }
        first = end;
    }
}

static void suppress(const struct csl_study *study, struct csl_published *p)
{
    uint32_t sites[CSL_PUBLISHED_CELLS_MAX];
    for (uint32_t i = 0; i < p->cell_count; i++) {
        struct csl_domain_statistic *cell = &p->cells[i];
        sites[i] = p->sites;
        cell->is_absent = i > 0 && cell->patients < study->fairness.minimum_group;
    }
    csl_publication_suppress(p->sigma, study->secagg.minimum_sites, p->cell_count, sites, p->cells);
    if (!(p->sigma > 0))
        hide_differences(study, p);
    for (uint32_t i = 0; i < p->cell_count; i++) {
        struct csl_domain_statistic *cell = &p->cells[i];
        if (cell->is_absent || !(cell->patients > 0))
            *cell = (struct csl_domain_statistic){.is_absent = true};
        else /* noise can carry it out of what a skill can be */
            cell->skill_sum = fmin(fmax(cell->skill_sum, 0), cell->patients);
    }
}

enum csl_code csl_published_read(const struct csl_study *study,
                                 const struct csl_store_publication *row, bool has_skill,
                                 double sigma_share, struct csl_published *out, struct csl_err *err)
{
    struct csl_published p = {.round = row->round,
                              .domain = row->domain,
                              .sites = row->sites,
                              .has_skill = has_skill,
                              .sigma = sigma_share * sqrt((double)row->sites)};
    if (row->domain >= study->domain_count || csl_study_published_in(study, row->round) == 0 ||
        row->word_count != csl_study_statistics_words(study, row->domain))
        return CSL_FAIL(err, CSL_E_CORRUPT, "a publication of round %llu is not of this study",
                        (unsigned long long)row->round);
    p.cell_count = 1 + csl_study_published_groups(study);
    for (uint32_t i = 0; i < p.cell_count; i++)
        p.cells[i] = (struct csl_domain_statistic){
            .patients = in_patients(row->words[2 * i]),
            .skill_sum = has_skill ? in_patients(row->words[2 * i + 1]) : 0};
    suppress(study, &p);
    if (!has_skill && !p.cells[0].is_absent)
        p.prior_loss = entropy(row->words + (size_t)2 * p.cell_count,
                               csl_study_published_classes(study, row->domain));
    *out = p;
    return CSL_OK;
}
