/* simulations/run_statistics.c - from the sum of a census to figures with names. */
#include "simulations/run_statistics.h"
#include "aggregation/statistics/statistics.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "simulations/run.h"
#include "site-agent/training/privacy_plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define COPY(to, from) CSL_ASSERT(csl_str_copy((to), sizeof(to), (from)))

/* The noise one site left in its vectors, by domain; of the sites with the same domains alike. */
struct share {
    double variance[CSL_DOMAINS_MAX], epsilon;
};

static bool has_block(const struct csl_world_blocks *b, uint32_t block)
{
    for (uint32_t i = 0; i < b->count; i++)
        if (b->blocks[i].block == block)
            return true;
    return false;
}

static bool has_same_blocks(const struct csl_world_blocks *a, const struct csl_world_blocks *b,
                            const struct csl_study *study)
{
    for (uint32_t d = 0; d < study->domain_count; d++)
        if (has_block(a, d) != has_block(b, d))
            return false;
    return true;
}

/* As the site itself plans it: every patient is counted, so it depends on no number of them. */
static enum csl_code plan_share(struct share *out, const struct csl_study *study,
                                const struct csl_world_blocks *site, struct csl_err *err)
{
    uint64_t patients[CSL_BLOCKS_MAX] = {0};
    struct csl_privacy_plan plan;
    *out = (struct share){.epsilon = 0};
    if (study->privacy.mode == CSL_PRIVACY_NONE)
        return CSL_OK;
    for (uint32_t d = 0; d < study->domain_count; d++)
        patients[d] = has_block(site, d);
    enum csl_code code = csl_privacy_plan_make(&plan, study, patients, err);
    if (code != CSL_OK)
        return code;
    out->epsilon = plan.epsilon;
    for (uint32_t i = 0; i < plan.domain_count; i++) {
        double sigma = plan.domains[i].noise.std_units * plan.domains[i].noise.unit;
        out->variance[plan.domains[i].domain] = sigma * sigma;
    }
    csl_privacy_plan_release(&plan);
    return CSL_OK;
}

/* Which sites are in the sum of each domain, and how much noise they left in it. */
static enum csl_code describe_sums(struct csl_statistics_report *to, const struct csl_study *study,
                                   const struct csl_world_blocks *sites, uint32_t count,
                                   struct csl_err *err)
{
    struct share share = {.epsilon = 0};
    enum csl_code code = CSL_OK;
    for (uint32_t d = 0; d < study->domain_count; d++)
        to->domains[d].sum = (struct csl_statistics_sum){
            .sites_min = study->minimum_sites, .minimum_cell = study->census.minimum_cell};
    for (uint32_t i = 0; code == CSL_OK && i < count; i++) {
        if (i == 0 || !has_same_blocks(&sites[i], &sites[i - 1], study))
            code = plan_share(&share, study, &sites[i], err);
        to->epsilon = fmax(to->epsilon, share.epsilon);
        for (uint32_t d = 0; d < study->domain_count; d++) {
            struct csl_statistics_sum *sum = &to->domains[d].sum;
            bool is_in = has_block(&sites[i], d);
            sum->sites += is_in;
            sum->sigma = is_in ? sqrt(sum->sigma * sum->sigma + share.variance[d]) : sum->sigma;
        }
    }
    return code;
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
        to->features[f].range = csl_study_census_range(d, f);
    }
    return CSL_OK;
}

/* Without noise a count is whole, which takes away what float32 did to its mean. */
static int64_t entry_of(const struct csl_statistics_shape *shape, size_t entry, double patients,
                        bool has_noise)
{
    if (!has_noise && csl_statistics_is_count(shape, entry))
        return CSL_STATISTICS_ONE * llrint(patients);
    return llrint(patients * CSL_STATISTICS_ONE);
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
            sum[i] = entry_of(shape, i, (double)mean[i] * to->sum.sites, to->sum.sigma > 0);
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

static enum csl_code publish(struct csl_statistics_report *to, const struct csl_study *study,
                             const float *mean, const struct csl_world_blocks *sites,
                             uint32_t count, struct csl_err *err)
{
    to->domains = csl_alloc_array(study->domain_count, sizeof(*to->domains));
    if (to->domains == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u domains", study->domain_count);
    to->domain_count = study->domain_count;
    COPY(to->study, study->id);
    COPY(to->privacy, csl_privacy_mode_name(study->privacy.mode));
    csl_hex(study->digest, CSL_DIGEST_BYTES, to->study_digest);
    to->is_masked = study->secagg.is_on;
    to->delta = study->privacy.delta;
    enum csl_code code = describe_sums(to, study, sites, count, err);
    for (uint32_t d = 0; code == CSL_OK && d < study->domain_count; d++) {
        struct csl_statistics_shape shape;
        csl_study_census_shape(study, &study->domains[d], &shape);
        code = open_domain(&to->domains[d], &study->domains[d], &shape, err);
        if (code == CSL_OK)
            code = fill_domain(&to->domains[d], &shape, mean + study->schema.blocks[d].first, err);
    }
    return code;
}

enum csl_code csl_statistics_publish(struct csl_statistics_report *out,
                                     const struct csl_study *study, const float *mean,
                                     const struct csl_world_blocks *sites, uint32_t count,
                                     struct csl_err *err)
{
    struct csl_statistics_report r = {.domains = NULL};
    enum csl_code code = publish(&r, study, mean, sites, count, err);
    if (code == CSL_OK)
        *out = r;
    else
        csl_statistics_report_release(&r);
    return code;
}

enum csl_code csl_run_take_statistics(struct csl_result *r, const struct csl_study *study,
                                      const struct csl_world_result *w, struct csl_err *err)
{
    uint32_t count = 0;
    if (!study->census.is_on || w->rounds == 0)
        return CSL_OK;
    struct csl_world_blocks *sites = csl_alloc_array(r->site_count, sizeof(*sites));
    if (sites == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u sites", r->site_count);
    for (uint32_t s = 0; s < r->site_count; s++)
        if (w->site_rounds[s] > 0)
            sites[count++] = w->site_blocks[s];
    enum csl_code code =
        csl_statistics_publish(&r->statistics, study, w->parameters, sites, count, err);
    csl_free(sites);
    if (code != CSL_OK)
        return code;
    r->statistics.is_masked = study->secagg.is_on && !r->has_plain_sums;
    for (uint32_t s = 0; s < r->site_count; s++)
        r->statistics.is_rehearsal = r->statistics.is_rehearsal || w->privacy[s].is_rehearsal;
    return CSL_OK;
}
