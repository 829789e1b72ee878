/* What this site counts of a model on its test patients, as words of a sum: no figure of one site
 * leaves, but that it has test patients of a domain (docs/decisions/0011). */
#include "site-agent/agent_secagg_internal.h"

#include "aggregation/evaluate/group_sums.h"
#include "base/log.h"
#include "base/mem.h"
#include "privacy/secagg/block_plan.h"
#include "privacy/secagg/scalar.h"

#include <math.h>
#include <string.h>

void csl_agent_secagg_count_tests__(const struct csl_agent *a, struct csl_msg_study_answer *answer)
{
    for (uint32_t d = 0; csl_study_sums_evaluations(a->study) && d < a->study->domain_count; d++)
        if (csl_agent_examples_to_judge__(a, d).records > 0)
            answer->blocks[answer->block_count++] = (struct csl_block_count){
                .block = csl_study_evaluation_block(a->study, d), .patients = 1};
}

static enum csl_code count(const struct csl_domain *d, const struct csl_examples *e,
                           const float *scores, struct csl_sums *sums, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    uint32_t heads = d->task == CSL_TASK_BINARY ? 1 : d->classes;
    for (uint32_t r = 0; code == CSL_OK && r < e->records; r++) {
        bool is_new = r == 0 || e->patient[r] != e->patient[r - 1]; /* ascending */
        code = csl_sums_add(sums, scores + (size_t)r * heads, e->label[r], is_new, err);
    }
    return code;
}

/* The counts of the block, all but the loss; of zeros. */
static enum csl_code count_domain(const struct csl_agent *a, uint32_t domain, const float *scores,
                                  uint64_t *counts, size_t n, struct csl_err *err)
{
    const struct csl_domain *d = &a->study->domains[domain];
    const struct csl_examples here = csl_agent_examples_to_judge__(a, domain), *e = &here;
    struct csl_sums sums = {.counts = NULL};
    if (!csl_domain_is_counted(d)) {
        counts[0] = 1;
        counts[1] = e->patients;
        counts[2] = e->records;
        return CSL_OK;
    }
    enum csl_code code =
        csl_sums_init(&sums, d->task == CSL_TASK_BINARY ? 2 : d->classes, CSL_EVALUATION_BINS, err);
    if (code == CSL_OK)
        code = count(d, e, scores, &sums, err);
    size_t groups = csl_study_group_counts(a->study, domain);
    if (code == CSL_OK)
        memcpy(counts, sums.counts, (n - groups) * sizeof(*counts));
    csl_sums_release(&sums);
    return code == CSL_OK ? csl_agent_count_groups__(a, domain, scores, counts + n - groups, err)
                          : code;
}

enum csl_code csl_agent_secagg_judge__(struct csl_agent *a, uint32_t domain, const float *global,
                                       uint64_t *words, struct csl_err *err)
{
    const struct csl_examples here = csl_agent_examples_to_judge__(a, domain), *e = &here;
    size_t n = (size_t)csl_study_evaluation_words(a->study, domain) - 1;
    uint32_t sites = csl_agent_secagg_sites__(a);
    double loss = 0;
    float *scores =
        csl_alloc_array((size_t)e->records * a->study->domains[domain].outputs, sizeof(*scores));
    if (scores == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to evaluate %u records", e->records);
    enum csl_code code =
        csl_trainer_predict_always(a->trainer, domain, e, global, scores, &loss, err);
    if (code == CSL_OK)
        code = count_domain(a, domain, scores, words, n, err);
    for (size_t i = 0; code == CSL_OK && i < n; i++)
        code = csl_scalar_encode((double)words[i], sites, &words[i], err);
    if (code == CSL_OK)
        code = csl_scalar_encode(fmin(loss * e->records, csl_scalar_max(sites)), sites, &words[n],
                                 err);
    csl_free(scores);
    return code;
}

uint32_t csl_agent_secagg_index__(const struct csl_agent *a, const struct csl_secagg_config *c,
                                  uint32_t id)
{
    uint32_t index = csl_secagg_block_index(c, id), place;
    if (index == UINT32_MAX || id < a->study->schema.block_count)
        return index;
    if (csl_secagg_roster_member(a->config.secagg->roster, a->site_id, &place, NULL) != CSL_OK ||
        !csl_secagg_set_has(&c->blocks[index].eligible, place))
        return UINT32_MAX;
    return index;
}

/* A sum without this site beside one with it, of another domain that asks the same, is what this
 * site counted. An honest coordinator asks every site that said it has test patients. */
static bool leaves_out(const struct csl_agent *a, const struct csl_secagg_config *c, uint32_t index)
{
    uint32_t id = c->blocks[index].id, domain = csl_study_counted_domain(a->study, id);
    bool has = csl_study_is_statistic(a->study, id)
                   ? csl_agent_publishes__(a, domain)
                   : csl_agent_examples_to_judge__(a, domain).records > 0;
    return has && csl_agent_secagg_index__(a, c, c->blocks[index].id) == UINT32_MAX;
}

enum csl_code csl_agent_secagg_check_evaluation__(const struct csl_agent *a,
                                                  const struct csl_secagg_config *c, uint32_t index,
                                                  struct csl_err *err)
{
    const struct csl_secagg_block *row = &c->blocks[index];
    const struct csl_secagg_choice choice = {.lane_bits = 64};
    struct csl_secagg_block own = {.id = row->id};
    uint32_t of_model = a->study->schema.block_count;
    bool is_due = row->id >= of_model && row->id < csl_study_block_ids(a->study) &&
                  csl_study_is_counted_in(a->study, row->id, c->round);
    if (!is_due)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the round asks for an evaluation or a statistic that the study has not");
    uint64_t words = csl_study_counted_words(a->study, row->id);
    enum csl_code code =
        csl_secagg_plan_block(&choice, words, csl_agent_secagg_sites__(a), &own, err);
    if (code == CSL_OK &&
        (!csl_secagg_plan_equals(row, &own) || row->sites_min < a->study->secagg.minimum_sites))
        code = CSL_FAIL(err, CSL_E_DENIED,
                        "the round has other words for an evaluation or a statistic than the "
                        "study, or sums it over fewer sites");
    if (code == CSL_OK && leaves_out(a, c, index))
        code = CSL_FAIL(err, CSL_E_DENIED,
                        "the round sums what sites count of domain %s without this site, which has "
                        "patients of it",
                        a->study->domains[csl_study_counted_domain(a->study, row->id)].id);
    return code;
}
