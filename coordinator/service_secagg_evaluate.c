/* What the sites counted of a model, from the sum of all: docs/decisions/0011. */
#include "coordinator/service_groups.h"
#include "coordinator/service_secagg.h"
#include "coordinator/service_secagg_internal.h"
#include "coordinator/service_vote.h"

#include "aggregation/evaluate/group_sums.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/secagg/scalar.h"

#include <string.h>

/* Of all domains together. Intervals draw so many a thousand times, on the thread that everybody
 * waits for, and any site can claim them. */
#define RECORDS_MAX (UINT64_C(1) << 18)

struct figures {
    uint64_t round; /* 0: none; whose model it is */
    uint64_t sites, patients;
    struct csl_eval_block block;
};

struct csl_service_evaluation {
    uint64_t *words;                 /* of the open round; one block of each domain after another */
    size_t first[CSL_DOMAINS_MAX];   /* where that of a domain begins */
    bool is_there[CSL_DOMAINS_MAX];  /* in the sum that was opened */
    struct figures *newest;          /* [domain_count], for the status file */
    struct csl_eval_block *reported; /* [domain_count] scratch */
};

enum csl_code csl_service_evaluation_new__(struct csl_service *s, struct csl_err *err)
{
    const struct csl_study *study = s->study;
    size_t words = 0;
    if (!csl_study_sums_evaluations(study))
        return CSL_OK;
    struct csl_service_evaluation *e = csl_alloc(sizeof(*e));
    s->secagg->evaluation = e;
    for (uint32_t d = 0; e != NULL && d < study->domain_count; d++) {
        e->first[d] = words;
        words += csl_study_evaluation_words(study, d);
    }
    if (e != NULL) {
        e->words = csl_alloc_array(words, sizeof(*e->words));
        e->newest = csl_alloc_array(study->domain_count, sizeof(*e->newest));
        e->reported = csl_alloc_array(study->domain_count, sizeof(*e->reported));
    }
    if (e == NULL || e->words == NULL || e->newest == NULL || e->reported == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for evaluations of %u domains",
                        study->domain_count);
    return CSL_OK;
}

void csl_service_evaluation_free__(struct csl_service_secagg *g)
{
    struct csl_service_evaluation *e = g->evaluation;
    if (e == NULL)
        return;
    csl_free(e->words);
    csl_free(e->newest);
    csl_free(e->reported);
    csl_free(e);
    g->evaluation = NULL;
}

/* --- the sum --- */

void csl_service_evaluation_begin__(struct csl_service *s)
{
    struct csl_service_evaluation *e = s->secagg->evaluation;
    if (e != NULL)
        memset(e->is_there, 0, sizeof(e->is_there));
}

void csl_service_evaluation_take__(struct csl_service *s, uint32_t id, uint64_t first,
                                   const uint64_t *words, size_t n)
{
    struct csl_service_evaluation *e = s->secagg->evaluation;
    uint32_t domain = id - s->study->schema.block_count;
    CSL_ASSERT(e != NULL && domain < s->study->domain_count &&
               first + n <= csl_study_evaluation_words(s->study, domain));
    memcpy(e->words + e->first[domain] + first, words, n * sizeof(*words));
    e->is_there[domain] = true;
}

/* Whole, and not below zero: what honest sites add up to. */
static enum csl_code read_counts(uint64_t *words, size_t n, struct csl_err *err)
{
    for (size_t i = 0; i < n; i++) {
        if ((uint32_t)words[i] != 0 || (int64_t)words[i] < 0)
            return CSL_FAIL(err, CSL_E_INVAL, "entry %zu of the sum is no count", i);
        words[i] >>= 32;
    }
    return CSL_OK;
}

static void put_metrics(struct csl_eval_block *b, const struct csl_metrics *m)
{
    const uint32_t most = (uint32_t)(sizeof(b->metrics) / sizeof(b->metrics[0]));
    for (uint32_t i = 0; i < m->count && b->metric_count < most; i++) {
        struct csl_eval_metric *out = &b->metrics[b->metric_count++];
        bool has_interval = m->items[i].method != NULL;
        csl_str_copy(out->name, sizeof(out->name), m->items[i].name);
        out->value = m->items[i].value;
        out->low = has_interval ? m->items[i].low : m->items[i].value;
        out->high = has_interval ? m->items[i].high : m->items[i].value;
    }
}

/* As one site's report has them: labels in the order of the vector's confusion and histogram. */
static void put_binary(struct csl_eval_block *b, const uint64_t *counts)
{
    const uint64_t *confusion = counts + 2;
    b->true_negative = confusion[0];
    b->false_positive = confusion[1];
    b->false_negative = confusion[2];
    b->true_positive = confusion[3];
    b->bin_count = 2 * CSL_SCORE_BINS;
    memcpy(b->bins, confusion + 4, sizeof(b->bins));
}

/* They have to be parts of what was counted of all. */
static enum csl_code read_groups(const struct csl_service *s, uint32_t domain, uint64_t *counts,
                                 const struct csl_sums *all, struct csl_eval_block *b,
                                 struct csl_err *err)
{
    struct csl_group_plan plan;
    uint32_t n = csl_study_group_counts(s->study, domain);
    if (n == 0)
        return CSL_OK;
    csl_study_group_plan(s->study, domain, &plan);
    enum csl_code code = csl_group_sums_check(&plan, counts, all, err);
    if (code != CSL_OK)
        return code;
    CSL_ASSERT(n <= CSL_GROUP_COUNTS_MAX);
    b->group_count = n;
    for (uint32_t i = 0; i < n; i++) /* below 2^31: read_counts */
        b->groups[i] = (uint32_t)counts[i];
    return CSL_OK;
}

static enum csl_code read_scored(struct csl_service *s, uint32_t domain, uint64_t *counts,
                                 struct figures *out, struct csl_err *err)
{
    const struct csl_domain *d = &s->study->domains[domain];
    struct csl_sums sums = {.classes = d->task == CSL_TASK_BINARY ? 2 : d->classes,
                            .bins = CSL_EVALUATION_BINS,
                            .counts = counts};
    struct csl_sum_figures *f = csl_alloc(sizeof(*f));
    if (f == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the figures of an evaluation");
    enum csl_code code = csl_sums_check(&sums, err);
    uint64_t most = RECORDS_MAX / s->study->domain_count;
    if (code == CSL_OK && csl_sums_records(&sums) > most)
        code = CSL_FAIL(err, CSL_E_LIMIT, "%llu records; figures are made of at most %llu",
                        (unsigned long long)csl_sums_records(&sums), (unsigned long long)most);
    if (code == CSL_OK)
        code = read_groups(s, domain, counts + csl_sums_count(sums.classes, sums.bins), &sums,
                           &out->block, err);
    if (code == CSL_OK)
        code = csl_sums_evaluate(&sums, s->seed, f, err);
    if (code == CSL_OK) {
        out->sites = csl_sums_sites(&sums);
        out->patients = csl_sums_patients(&sums);
        out->block.examples = csl_sums_records(&sums);
        put_metrics(&out->block, &f->metrics);
        if (sums.classes == 2)
            put_binary(&out->block, counts);
    }
    csl_free(f);
    return code;
}

static enum csl_code read_block(struct csl_service *s, uint32_t domain, struct figures *out,
                                struct csl_err *err)
{
    const struct csl_service_evaluation *e = s->secagg->evaluation;
    size_t n = (size_t)csl_study_evaluation_words(s->study, domain) - 1;
    uint64_t *counts = e->words + e->first[domain];
    *out = (struct figures){.round = s->secagg->round - 1, .block = {.block = domain}};
    out->block.loss_sum = csl_scalar_decode(counts[n]);
    enum csl_code code = read_counts(counts, n, err);
    if (code != CSL_OK)
        return code;
    if (csl_domain_is_counted(&s->study->domains[domain]))
        return read_scored(s, domain, counts, out, err);
    if (counts[0] > counts[1] || counts[1] > counts[2] || counts[0] > s->site_count)
        return CSL_FAIL(err, CSL_E_INVAL, "%llu sites with %llu patients and %llu records",
                        (unsigned long long)counts[0], (unsigned long long)counts[1],
                        (unsigned long long)counts[2]);
    out->sites = counts[0];
    out->patients = counts[1];
    out->block.examples = counts[2];
    return CSL_OK;
}

/* --- what becomes of it --- */

static void log_figures(const struct csl_service *s, const struct figures *f)
{
    const struct csl_eval_block *b = &f->block;
    double auc = -1;
    for (uint32_t i = 0; i < b->metric_count; i++)
        if (strcmp(b->metrics[i].name, "auc") == 0)
            auc = b->metrics[i].value;
    double loss = b->examples > 0 ? b->loss_sum / (double)b->examples : 0;
    const char *domain = s->study->domains[b->block].id;
    if (auc >= 0)
        csl_log(CSL_LOG_INFO, "round.evaluated", CSL_U64("round", f->round),
                CSL_STR("domain", domain), CSL_U64("sites", f->sites),
                CSL_U64("patients", f->patients), CSL_U64("records", b->examples),
                CSL_F64("loss", loss), CSL_F64("auc", auc));
    else
        csl_log(CSL_LOG_INFO, "round.evaluated", CSL_U64("round", f->round),
                CSL_STR("domain", domain), CSL_U64("sites", f->sites),
                CSL_U64("patients", f->patients), CSL_U64("records", b->examples),
                CSL_F64("loss", loss));
}

void csl_service_evaluation_save__(struct csl_service *s)
{
    struct csl_service_evaluation *e = s->secagg->evaluation;
    struct csl_msg_evaluation report = {.round = s->secagg->round - 1};
    for (uint32_t d = 0; e != NULL && d < s->study->domain_count; d++) {
        struct figures *f = &e->newest[d];
        struct csl_err err = {.code = CSL_OK};
        if (!e->is_there[d])
            continue;
        if (read_block(s, d, f, &err) != CSL_OK) {
            f->round = 0;
            csl_log(CSL_LOG_WARN, "evaluation.senseless", CSL_U64("round", report.round),
                    CSL_STR("domain", s->study->domains[d].id), CSL_STR("why", err.msg));
            continue;
        }
        log_figures(s, f);
        e->reported[report.block_count++] = f->block;
    }
    if (report.block_count > 0) {
        report.blocks = e->reported;
        csl_service_save_evaluation__(s, CSL_SERVICE_ALL_SITES, &report);
    }
    csl_service_groups_close__(s);
}

void csl_service_evaluation_status__(const struct csl_service *s, struct csl_json *j)
{
    const struct csl_service_evaluation *e = s->secagg != NULL ? s->secagg->evaluation : NULL;
    csl_json_key(j, "evaluations");
    csl_json_array(j);
    for (uint32_t d = 0; e != NULL && d < s->study->domain_count; d++) {
        const struct figures *f = &e->newest[d];
        const struct csl_eval_block *b = &f->block;
        if (f->round == 0)
            continue;
        csl_json_object(j);
        csl_json_put_str(j, "domain", s->study->domains[d].id);
        csl_json_put_u64(j, "round", f->round);
        csl_json_put_u64(j, "sites", f->sites);
        csl_json_put_u64(j, "patients", f->patients);
        csl_json_put_u64(j, "records", b->examples);
        if (b->examples > 0)
            csl_json_put_f64(j, "loss", b->loss_sum / (double)b->examples);
        for (uint32_t i = 0; i < b->metric_count; i++)
            csl_json_put_f64(j, b->metrics[i].name, b->metrics[i].value);
        csl_json_end(j);
    }
    csl_json_end(j);
}

/* --- the round that trains nothing --- */

bool csl_service_only_evaluates__(const struct csl_service *s)
{
    return s->secagg->round > 0 && csl_study_only_evaluates_in(s->study, s->secagg->round);
}

void csl_service_evaluation_end__(struct csl_service *s)
{
    if (csl_service_is_on_trial__(s)) /* its round was given up */
        csl_log(CSL_LOG_WARN, "round.not_voted", CSL_U64("round", s->version));
    csl_service_answer__(s, &(struct csl_coord_event){.kind = CSL_CE_EVALUATED,
                                                      .round = s->secagg->round,
                                                      .digest = s->broadcast_digest,
                                                      .evaluated_digest = s->evaluated_digest,
                                                      .reason = csl_service_gate_end__(s),
                                                      .bytes = csl_service_broadcast_bytes__(s)});
}

bool csl_service_evaluation_is_thin__(const struct csl_service *s)
{
    const struct csl_secagg_config *c = &s->secagg->config;
    for (uint32_t b = 0; b < c->block_count; b++) {
        uint32_t n = 0;
        if (c->blocks[b].id < s->study->schema.block_count)
            continue;
        for (uint32_t i = 0; i < s->site_count; i++)
            n += csl_service_secagg_is_held__(s, i, b);
        if (n > 0 && n < c->blocks[b].sites_min)
            return true;
    }
    return false;
}
