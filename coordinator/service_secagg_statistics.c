/* What sites count of their training patients, from the sums of all: docs/decisions/0014. */
#include "coordinator/service_secagg.h"
#include "coordinator/service_secagg_internal.h"

#include "aggregation/weights/publication.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "coordinator/publications.h"

#include <math.h>
#include <string.h>

struct csl_service_statistics {
    struct csl_publications all;     /* its priors: as the tasks of the open round said */
    uint64_t *words;                 /* of the open round; one block after another */
    size_t first[CSL_DOMAINS_MAX];   /* where that of a domain begins */
    uint32_t sites[CSL_DOMAINS_MAX]; /* in the sum that was opened; 0: none was */
};

enum csl_code csl_service_statistics_new__(struct csl_service *s, struct csl_err *err)
{
    const struct csl_study *study = s->study;
    size_t words = 0;
    if (!study->statistics.is_on)
        return CSL_OK;
    struct csl_service_statistics *t = csl_alloc(sizeof(*t));
    s->secagg->statistics = t;
    for (uint32_t d = 0; t != NULL && d < study->domain_count; d++) {
        t->first[d] = words;
        words += (size_t)csl_study_statistics_words(study, d);
    }
    if (t != NULL)
        t->words = csl_alloc_array(words, sizeof(*t->words));
    if (t == NULL || t->words == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for statistics of %u domains",
                        study->domain_count);
    return csl_publications_open(&t->all, study, err);
}

void csl_service_statistics_free__(struct csl_service_secagg *g)
{
    if (g->statistics == NULL)
        return;
    csl_free(g->statistics->words);
    csl_publications_close(&g->statistics->all);
    csl_free(g->statistics);
    g->statistics = NULL;
}

/* --- the sum --- */

void csl_service_statistics_begin__(struct csl_service *s)
{
    if (s->secagg->statistics != NULL)
        memset(s->secagg->statistics->sites, 0, sizeof(s->secagg->statistics->sites));
}

void csl_service_statistics_take__(struct csl_service *s, uint32_t id, uint32_t sites,
                                   uint64_t first, const uint64_t *words, size_t n)
{
    struct csl_service_statistics *t = s->secagg->statistics;
    uint32_t domain = csl_study_counted_domain(s->study, id);
    CSL_ASSERT(t != NULL && first + n <= csl_study_statistics_words(s->study, domain));
    memcpy(t->words + t->first[domain] + first, words, n * sizeof(*words));
    t->sites[domain] = sites;
}

/* Of all domains that were opened in the round. */
static void weigh(struct csl_service *s, uint64_t round)
{
    struct csl_weigher_sum sums[CSL_DOMAINS_MAX];
    double sigma;
    uint32_t domains = s->study->domain_count;
    if (csl_published_sums(s->secagg->statistics->all.newest, domains, round, domains, sums,
                           &sigma))
        csl_coord_publish(s->core, round, sums, sigma);
}

static void log_group_weights(const struct csl_service *s, const double *log_weights)
{
    const struct csl_study *study = s->study;
    for (uint32_t k = 0, at = 0; k < study->fairness.attribute_count; k++)
        for (uint32_t v = 0; v < study->statistics.value_count[k]; v++, at++)
            csl_log(CSL_LOG_INFO, "group.weight", CSL_U64("round", s->secagg->round),
                    CSL_STR("attribute", study->fairness.attributes[k]),
                    CSL_STR("value", study->statistics.values[k][v]),
                    CSL_F64("weight", exp(log_weights[at])));
}

/* What tasks from here on say, from the newest rows. */
static enum csl_code tell(struct csl_service *s, bool is_logged, struct csl_err *err)
{
    double log_weights[CSL_GROUP_WEIGHTS_MAX];
    csl_coord_set_priors(s->core, s->secagg->statistics->all.prior);
    if (!csl_study_weighs_published(s->study))
        return CSL_OK;
    enum csl_code code =
        csl_published_weigh_groups(s->study, s->secagg->statistics->all.newest, log_weights, err);
    if (code == CSL_OK)
        csl_coord_set_group_weights(s->core, log_weights);
    if (code == CSL_OK && is_logged)
        log_group_weights(s, log_weights);
    return code;
}

static void log_publication(const struct csl_service *s, const struct csl_published *p)
{
    const struct csl_domain_statistic *all = &p->cells[0];
    uint32_t suppressed = 0;
    for (uint32_t i = 0; i < p->cell_count; i++)
        suppressed += p->cells[i].is_absent;
    const char *domain = s->study->domains[p->domain].id;
    if (all->is_absent)
        csl_log(CSL_LOG_INFO, "statistics.suppressed", CSL_U64("round", p->round),
                CSL_STR("domain", domain), CSL_U64("sites", p->sites), CSL_F64("sigma", p->sigma));
    else if (!p->has_skill)
        csl_log(CSL_LOG_INFO, "statistics.published", CSL_U64("round", p->round),
                CSL_STR("domain", domain), CSL_U64("sites", p->sites), CSL_F64("sigma", p->sigma),
                CSL_F64("patients", all->patients), CSL_U64("suppressed", suppressed));
    else
        csl_log(CSL_LOG_INFO, "statistics.published", CSL_U64("round", p->round),
                CSL_STR("domain", domain), CSL_U64("sites", p->sites), CSL_F64("sigma", p->sigma),
                CSL_F64("patients", all->patients),
                CSL_F64("skill", all->skill_sum / all->patients),
                CSL_U64("suppressed", suppressed));
}

void csl_service_statistics_save__(struct csl_service *s)
{
    struct csl_service_statistics *t = s->secagg->statistics;
    struct csl_err err = {.code = CSL_OK};
    enum csl_code code = CSL_OK;
    bool is_any = false;
    for (uint32_t d = 0; t != NULL && code == CSL_OK && d < s->study->domain_count; d++) {
        struct csl_store_publication row = {.round = s->secagg->round,
                                            .domain = d,
                                            .sites = t->sites[d],
                                            .word_count = csl_study_statistics_words(s->study, d),
                                            .words = t->words + t->first[d]};
        if (row.sites == 0)
            continue;
        is_any = true;
        if (s->store != NULL)
            code = csl_store_save_publication(s->store, &row, &err);
        if (code == CSL_OK)
            code = csl_publications_take(&t->all, &row, &err);
        if (code != CSL_OK)
            break;
        log_publication(s, &t->all.newest[d]);
        if (s->config.observer.published != NULL)
            s->config.observer.published(s->config.observer.ctx, &t->all.newest[d]);
    }
    if (code == CSL_OK && t != NULL)
        code = tell(s, is_any, &err);
    if (code != CSL_OK)
        csl_service_fail__(s, &err);
    if (code == CSL_OK && is_any)
        weigh(s, s->secagg->round);
}

/* --- after a restart --- */

struct restored {
    struct csl_service *s;
    uint64_t round; /* of the rows that were read last; 0: none */
};

/* One of the open round is opened again; till then its tasks say what they said. */
static enum csl_code restore_row(void *ctx, const struct csl_store_publication *row,
                                 struct csl_err *err)
{
    struct restored *r = ctx;
    if (row->round > csl_coord_rounds_done(r->s->core))
        return CSL_OK;
    if (r->round != 0 && r->round != row->round)
        weigh(r->s, r->round);
    r->round = row->round;
    return csl_publications_take(&r->s->secagg->statistics->all, row, err);
}

enum csl_code csl_service_statistics_restore__(struct csl_service *s, struct csl_err *err)
{
    if (s->secagg == NULL || s->secagg->statistics == NULL || s->store == NULL)
        return CSL_OK;
    struct restored r = {.s = s};
    enum csl_code code = csl_store_each_publication(s->store, restore_row, &r, err);
    if (code == CSL_OK && r.round != 0)
        weigh(s, r.round);
    return code == CSL_OK ? tell(s, false, err) : code;
}

static void put_cell(const struct csl_published *p, uint32_t cell, struct csl_json *j)
{
    const struct csl_domain_statistic *c = &p->cells[cell];
    csl_json_put_bool(j, "suppressed", c->is_absent);
    if (c->is_absent)
        return;
    csl_json_put_f64(j, "patients", c->patients);
    if (p->has_skill)
        csl_json_put_f64(j, "skill", c->skill_sum / c->patients);
}

/* log_weights: of every value, from the next round on; NULL: the study does not weigh them. */
static void put_groups(const struct csl_study *s, const struct csl_published *p,
                       const double *log_weights, struct csl_json *j)
{
    uint32_t cell = 1;
    csl_json_key(j, "groups");
    csl_json_array(j);
    for (uint32_t k = 0; k < s->fairness.attribute_count; k++) {
        for (uint32_t v = 0; v < s->statistics.value_count[k]; v++) {
            csl_json_object(j);
            csl_json_put_str(j, "attribute", s->fairness.attributes[k]);
            csl_json_put_str(j, "value", s->statistics.values[k][v]);
            put_cell(p, cell, j);
            if (log_weights != NULL)
                csl_json_put_f64(j, "weight", exp(log_weights[cell - 1]));
            cell++;
            csl_json_end(j);
        }
    }
    csl_json_end(j);
}

void csl_service_statistics_status__(const struct csl_service *s, struct csl_json *j)
{
    const struct csl_service_statistics *t = s->secagg != NULL ? s->secagg->statistics : NULL;
    const struct csl_weights_table *table = csl_coord_weights(s->core);
    double of_groups[CSL_GROUP_WEIGHTS_MAX];
    struct csl_err err;
    if (t == NULL)
        return;
    bool weighs_groups =
        csl_study_weighs_published(s->study) &&
        csl_published_weigh_groups(s->study, t->all.newest, of_groups, &err) == CSL_OK;
    csl_json_key(j, "statistics");
    csl_json_array(j);
    for (uint32_t d = 0; d < s->study->domain_count; d++) {
        const struct csl_published *p = &t->all.newest[d];
        if (p->round == 0)
            continue;
        csl_json_object(j);
        csl_json_put_str(j, "domain", s->study->domains[d].id);
        csl_json_put_u64(j, "round", p->round);
        csl_json_put_u64(j, "sites", p->sites);
        csl_json_put_f64(j, "sigma", p->sigma);
        put_cell(p, 0, j);
        if (table != NULL)
            csl_json_put_f64(j, "weight", exp(table->rows[d].log_weight));
        put_groups(s->study, p, weighs_groups ? of_groups : NULL, j);
        csl_json_end(j);
    }
    csl_json_end(j);
}
