/* simulations/run_weights.c - the weights of domains by round, as the federation had them: made
 * once more from what the sites enrolled with and reported, or published under masks
 * (coordinator/core/weigh.h). */
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "coordinator/publications.h"
#include "simulations/run.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

static enum csl_code add(struct csl_result *r, uint64_t round, uint32_t domain, const char *metric,
                         double value, struct csl_err *err)
{
    struct csl_result_row row = {.round = round, .value = value};
    CSL_ASSERT(csl_str_copy(row.scope, sizeof(row.scope), CSL_RESULT_WEIGHTS));
    CSL_ASSERT(csl_str_copy(row.domain, sizeof(row.domain), r->domains[domain].id));
    CSL_ASSERT(csl_str_copy(row.metric, sizeof(row.metric), metric));
    return csl_result_add_row(r, &row, err);
}

static enum csl_code add_table(struct csl_result *r, const struct csl_weights_table *t,
                               struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t d = 0; code == CSL_OK && d < t->count; d++) {
        code = add(r, t->round, d, "weight", exp(t->rows[d].log_weight), err);
        if (code == CSL_OK && t->rows[d].patients > 0)
            code = add(r, t->round, d, "patients", t->rows[d].patients, err);
        if (code == CSL_OK && isfinite(t->rows[d].skill))
            code = add(r, t->round, d, "skill", t->rows[d].skill, err);
    }
    return code;
}

/* The place of every site among all, by their ids. */
static uint32_t rank_of(const struct csl_result *r, uint32_t site)
{
    uint32_t rank = 0;
    for (uint32_t i = 0; i < r->site_count; i++)
        rank += strcmp(r->sites[i].id, r->sites[site].id) < 0;
    return rank;
}

/* Under masks: from the published sums. */
static enum csl_code take_published(struct csl_result *r, const struct csl_study *study,
                                    const struct csl_world_result *w, struct csl_err *err)
{
    struct csl_weigher *weigher = NULL;
    enum csl_code code = csl_weigher_new(&weigher, study, r->site_count, err);
    if (code != CSL_OK)
        return code;
    csl_weigher_catch_up(weigher, 0);
    code = add_table(r, csl_weigher_table(weigher), err);
    for (uint64_t round = 1; code == CSL_OK && round < w->rounds; round++) {
        struct csl_weigher_sum sums[CSL_DOMAINS_MAX];
        double sigma;
        if (!csl_published_sums(w->published, w->published_count, round, study->domain_count, sums,
                                &sigma))
            continue;
        csl_weigher_publish(weigher, round, sums, sigma);
        code = add_table(r, csl_weigher_table(weigher), err);
    }
    csl_weigher_free(weigher);
    return code;
}

enum csl_code csl_run_take_weights(struct csl_result *r, const struct csl_study *study,
                                   const struct csl_world_result *w, struct csl_err *err)
{
    struct csl_weigher *weigher = NULL;
    uint32_t next = 0;
    if (study->fairness.domains.kind == CSL_DOMAIN_WEIGHTS_NONE || w->rounds == 0)
        return CSL_OK;
    if (study->secagg.is_on)
        return take_published(r, study, w, err);
    uint32_t *rank = csl_alloc_array(r->site_count, sizeof(*rank));
    enum csl_code code = rank != NULL ? csl_weigher_new(&weigher, study, r->site_count, err)
                                      : CSL_FAIL(err, CSL_E_NOMEM, "no memory for weights");
    for (uint32_t s = 0; code == CSL_OK && s < r->site_count; s++) {
        rank[s] = rank_of(r, s);
        csl_weigher_enrol(weigher, rank[s], w->site_blocks[s].count, w->site_blocks[s].blocks);
    }
    for (uint64_t round = 0; code == CSL_OK && round < w->rounds; round++) {
        for (; next < w->evaluation_count && w->evaluations[next].round <= round; next++)
            csl_weigher_report(weigher, w->evaluations[next].round, rank[w->evaluations[next].site],
                               &w->evaluations[next].block);
        csl_weigher_catch_up(weigher, round);
        if (csl_weigher_table(weigher)->round == round)
            code = add_table(r, csl_weigher_table(weigher), err);
    }
    csl_weigher_free(weigher);
    csl_free(rank);
    return code;
}
