/* simulations/run_statistics.c - from the sum of a study of statistics to figures with names. */
#include "aggregation/statistics/statistics.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "simulations/run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define COPY(to, from) CSL_ASSERT(csl_str_copy((to), sizeof(to), (from)))

static bool has_block(const struct csl_world_blocks *b, uint32_t block)
{
    for (uint32_t i = 0; i < b->count; i++)
        if (b->blocks[i].block == block)
            return true;
    return false;
}

/* Which sites are in the sum of a domain, and how much noise they left in it. The ledger tells the
 * noise of a sum in mode joint as it is with the fewest sites; every site adds an equal share. */
static void describe_sum(struct csl_statistics_sum *sum, const struct csl_study *study,
                         const struct csl_world_result *w, uint32_t site_count, uint32_t domain)
{
    const struct csl_study_privacy *p = &study->privacy;
    double variance = 0, shares = 1;
    if (p->mode == CSL_PRIVACY_JOINT)
        shares = study->secagg.minimum_sites - study->secagg.colluding;
    *sum = (struct csl_statistics_sum){.sites_min = study->minimum_sites,
                                       .minimum_cell = study->statistics.minimum_cell};
    for (uint32_t s = 0; s < site_count; s++) {
        if (w->site_rounds[s] == 0 || !has_block(&w->site_blocks[s], domain))
            continue;
        double own = w->privacy[s].noise_multiplier * p->clip;
        sum->sites++;
        variance += own * own / shares;
    }
    sum->sigma = p->mode == CSL_PRIVACY_NONE ? 0 : sqrt(variance);
}

static void name_cell(struct csl_statistics_cell *cell, const struct csl_domain *d, uint32_t index)
{
    static const char *const outcomes[] = {"censored", "event"};
    const char *label = d->label_count > 0 ? d->labels[index / 2] : d->label;
    if (d->task == CSL_TASK_CLASSES)
        (void)snprintf(cell->name, sizeof(cell->name), "%s = %u", label, index);
    else if (d->task == CSL_TASK_SURVIVAL)
        (void)snprintf(cell->name, sizeof(cell->name), "%s = %s", label, outcomes[index]);
    else
        (void)snprintf(cell->name, sizeof(cell->name), "%s = %s%s", label,
                       index % 2 == 0 && d->positive[0] != '\0' ? "not " : "",
                       d->positive[0] != '\0' ? d->positive
                       : index % 2 == 0       ? "no"
                                              : "yes");
}

static enum csl_code open_domain(struct csl_statistics_domain *to, const struct csl_domain *d,
                                 const struct csl_statistics_shape *shape, struct csl_err *err)
{
    COPY(to->id, d->id);
    to->cell_count = shape->questions * shape->answers;
    to->answers = shape->answers;
    to->feature_count = shape->features;
    to->cells = csl_alloc_array(to->cell_count, sizeof(*to->cells));
    to->features = csl_alloc_array(to->feature_count + 1u, sizeof(*to->features));
    if (to->cells == NULL || to->features == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the statistics of domain %s", d->id);
    for (uint32_t i = 0; i < to->cell_count; i++)
        name_cell(&to->cells[i], d, i);
    for (uint32_t f = 0; f < to->feature_count; f++) {
        COPY(to->features[f].name, d->features[f].name);
        COPY(to->features[f].unit, d->features[f].unit);
        to->features[f].range = csl_study_statistics_range(d, f);
    }
    return CSL_OK;
}

/* mean: over the sites of the sum, all alike, in patients. */
static enum csl_code fill_domain(struct csl_statistics_domain *to,
                                 const struct csl_statistics_shape *shape, const float *mean,
                                 struct csl_err *err)
{
    size_t words = csl_statistics_words(shape);
    int64_t *sum = csl_alloc_array(words, sizeof(*sum));
    struct csl_statistic *cells = csl_alloc_array(to->cell_count, sizeof(*cells));
    if (sum != NULL && cells != NULL) {
        for (size_t i = 0; i < words; i++)
            sum[i] = llrint((double)mean[i] * to->sum.sites * CSL_STATISTICS_ONE);
        csl_statistics_counts(shape, &to->sum, sum, &to->patients, cells);
        for (uint32_t i = 0; i < to->cell_count; i++)
            to->cells[i].patients = cells[i];
        for (uint32_t f = 0; f < to->feature_count; f++)
            csl_statistics_feature(shape, &to->sum, &to->features[f].range, f, sum,
                                   &to->features[f].figures);
    }
    bool has_all = sum != NULL && cells != NULL;
    csl_free(sum);
    csl_free(cells);
    return has_all ? CSL_OK
                   : CSL_FAIL(err, CSL_E_NOMEM, "no memory for the statistics of %zu words", words);
}

static enum csl_code take(struct csl_statistics_report *to, const struct csl_result *r,
                          const struct csl_study *study, const struct csl_world_result *w,
                          struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    to->domains = csl_alloc_array(study->domain_count, sizeof(*to->domains));
    if (to->domains == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u domains", study->domain_count);
    for (uint32_t d = 0; code == CSL_OK && d < study->domain_count; d++) {
        struct csl_statistics_shape shape;
        to->domain_count++;
        csl_study_statistics_shape(study, &study->domains[d], &shape);
        describe_sum(&to->domains[d].sum, study, w, r->site_count, d);
        code = open_domain(&to->domains[d], &study->domains[d], &shape, err);
        if (code == CSL_OK)
            code = fill_domain(&to->domains[d], &shape,
                               w->parameters + study->schema.blocks[d].first, err);
    }
    return code;
}

enum csl_code csl_run_take_statistics(struct csl_result *r, const struct csl_study *study,
                                      const struct csl_world_result *w, struct csl_err *err)
{
    struct csl_statistics_report *to = &r->statistics;
    if (!study->statistics.is_on || w->rounds == 0)
        return CSL_OK;
    COPY(to->study, study->id);
    COPY(to->privacy, csl_privacy_mode_name(study->privacy.mode));
    csl_hex(study->digest, CSL_DIGEST_BYTES, to->study_digest);
    to->is_masked = study->secagg.is_on && !r->has_plain_sums;
    to->delta = study->privacy.delta;
    for (uint32_t s = 0; s < r->site_count; s++) {
        to->epsilon = fmax(to->epsilon, w->privacy[s].epsilon);
        to->is_rehearsal = to->is_rehearsal || w->privacy[s].is_rehearsal;
    }
    return take(to, r, study, w, err);
}
