/* simulations/run_world.c - what the federation itself said, as parts of the result. */
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "simulations/personal.h"
#include "simulations/run.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

#define COPY(to, from) CSL_ASSERT(csl_str_copy((to), sizeof(to), (from)))

static void describe_domain(struct csl_result_domain *to, const struct csl_domain *d)
{
    COPY(to->id, d->id);
    COPY(to->modality, csl_domain_reads(d));
    csl_domain_label_text(d, to->label, sizeof(to->label));
    COPY(to->positive, d->positive);
    to->task = d->task;
    to->classes = d->classes;
}

enum csl_code csl_run_describe(struct csl_result *r, const struct csl_run_config *c,
                               struct csl_err *err)
{
    const struct csl_study *study = c->study;
    memset(r, 0, sizeof(*r));
    enum csl_code code = csl_result_init(r, c->prepared->count, study->domain_count, err);
    if (code != CSL_OK)
        return code;
    COPY(r->version, c->version);
    COPY(r->study, study->id);
    COPY(r->question, study->question);
    COPY(r->strategy, study->aggregation.strategy);
    COPY(r->transport, c->transport);
    COPY(r->privacy, csl_privacy_mode_name(study->privacy.mode));
    r->has_secure_aggregation = study->secagg.is_on && !c->is_unmasked;
    r->has_plain_sums = study->secagg.is_on && c->is_unmasked;
    csl_hex(study->digest, CSL_DIGEST_BYTES, r->study_digest);
    r->fairness.asked = study->fairness;
    r->release = study->release;
    r->rounds_planned = study->rounds;
    r->parameters = study->schema.parameters;
    for (uint32_t s = 0; s < r->site_count; s++)
        COPY(r->sites[s].id, c->prepared->sites[s].id);
    csl_run_describe_attacks(r, study);
    for (uint32_t d = 0; d < r->domain_count; d++)
        describe_domain(&r->domains[d], &study->domains[d]);
    code = csl_personal_describe(r, study, err);
    if (code == CSL_OK && c->prepared->external_count > 0)
        code = csl_result_init_external(r, c->prepared->external_count, err);
    for (uint32_t s = 0; code == CSL_OK && s < c->prepared->external_count; s++)
        COPY(r->external->sites[s].id, c->prepared->external[s].id);
    return code;
}

static enum csl_code add_row(struct csl_result *r, uint64_t round, const char *scope,
                             const char *site, const char *domain, const char *metric, double value,
                             struct csl_err *err)
{
    struct csl_result_row row = {.round = round, .value = value};
    if (!isfinite(value))
        return CSL_OK;
    COPY(row.scope, scope);
    COPY(row.site, site);
    COPY(row.domain, domain);
    COPY(row.metric, metric);
    return csl_result_add_row(r, &row, err);
}

/* With privacy the sites keep their losses: a figure here would be no one's. */
static enum csl_code take_rounds(struct csl_result *r, const struct csl_world_result *w,
                                 struct csl_err *err)
{
    bool has_loss = !csl_result_has_privacy(r);
    enum csl_code code = CSL_OK;
    for (uint64_t i = 0; i < w->rounds && code == CSL_OK; i++) {
        const struct csl_world_round *round = &w->round_rows[i];
        code = add_row(r, round->round, "federation", "", "", "contributions",
                       (double)round->contributions, err);
        if (code == CSL_OK && has_loss)
            code = add_row(r, round->round, "federation", "", "", "train_loss", round->train_loss,
                           err);
    }
    return code;
}

/* What is no number, and no limit, have no row. */
static enum csl_code take_rejections(struct csl_result *r, const struct csl_world_result *w,
                                     struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; i < w->rejection_count && code == CSL_OK; i++) {
        const struct csl_world_rejection *v = &w->rejections[i];
        code = add_row(r, v->round, CSL_RESULT_REJECTED, "", v->block, "rejected", 1, err);
        if (code == CSL_OK && v->is_by_vote) {
            code = add_row(r, v->round, CSL_RESULT_REJECTED, "", "", "worse", v->worse, err);
            if (code == CSL_OK)
                code = add_row(r, v->round, CSL_RESULT_REJECTED, "", "", "voters", v->voters, err);
            continue;
        }
        if (code == CSL_OK)
            code = add_row(r, v->round, CSL_RESULT_REJECTED, "", v->block, "norm", v->norm, err);
        if (code == CSL_OK)
            code = add_row(r, v->round, CSL_RESULT_REJECTED, "", v->block, "limit", v->limit, err);
    }
    return code;
}

static enum csl_code take_site(struct csl_result *r, const struct csl_world_evaluation *e,
                               struct csl_err *err)
{
    const struct csl_eval_block *b = &e->block;
    const char *site = r->sites[e->site].id, *domain = r->domains[b->block].id;
    enum csl_code code = CSL_OK;
    if (b->examples > 0)
        code = add_row(r, e->round, "round_site", site, domain, "loss",
                       b->loss_sum / (double)b->examples, err);
    for (uint32_t i = 0; i < b->metric_count && code == CSL_OK; i++) {
        const char *name = csl_metric_intern(b->metrics[i].name);
        if (name != NULL)
            code = add_row(r, e->round, "round_site", site, domain, name, b->metrics[i].value, err);
    }
    return code;
}

static bool is_at(const struct csl_world_evaluation *e, uint64_t round, uint32_t domain)
{
    return e->round == round && e->block.block == domain;
}

/* Of all sites together: a sum under masks, and nobody's report. */
static enum csl_code take_pooled(struct csl_result *r, const struct csl_world_evaluation *e,
                                 struct csl_err *err)
{
    const struct csl_eval_block *b = &e->block;
    const char *domain = r->domains[b->block].id;
    enum csl_code code = CSL_OK;
    if (b->examples > 0)
        code = add_row(r, e->round, "round_pooled", "", domain, "loss",
                       b->loss_sum / (double)b->examples, err);
    for (uint32_t i = 0; i < b->metric_count && code == CSL_OK; i++) {
        const char *name = csl_metric_intern(b->metrics[i].name);
        if (name != NULL)
            code = add_row(r, e->round, "round_pooled", "", domain, name, b->metrics[i].value, err);
    }
    return code;
}

/* AUC from the sum of the sites' histograms, accuracy from the sum of their counts, mean loss. */
static enum csl_code take_sums(struct csl_result *r, const struct csl_world_result *w,
                               uint64_t round, uint32_t domain, struct csl_score_histogram *h,
                               struct csl_err *err)
{
    const char *id = r->domains[domain].id;
    uint64_t examples = 0;
    double auc, bound;
    memset(h, 0, sizeof(*h));
    for (uint32_t i = 0; i < w->evaluation_count; i++) {
        const struct csl_eval_block *b = &w->evaluations[i].block;
        if (!is_at(&w->evaluations[i], round, domain))
            continue;
        examples += b->examples;
        h->loss_sum += b->loss_sum;
        h->true_positive += b->true_positive;
        h->true_negative += b->true_negative;
        for (uint32_t k = 0; k < b->bin_count; k++)
            h->bins[k / CSL_SCORE_BINS][k % CSL_SCORE_BINS] += b->bins[k];
    }
    if (examples == 0)
        return CSL_OK;
    enum csl_code code =
        add_row(r, round, "round_pooled", "", id, "loss", h->loss_sum / (double)examples, err);
    if (code != CSL_OK || r->domains[domain].task != CSL_TASK_BINARY)
        return code;
    code = add_row(r, round, "round_pooled", "", id, "accuracy",
                   (double)(h->true_positive + h->true_negative) / (double)examples, err);
    if (code == CSL_OK && csl_histogram_auc(h, &auc, &bound))
        code = add_row(r, round, "round_pooled", "", id, "auc", auc, err);
    return code;
}

static enum csl_code take_mean(struct csl_result *r, const struct csl_world_result *w,
                               uint64_t round, uint32_t domain, const char *name,
                               struct csl_err *err)
{
    double sum = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->evaluation_count; i++) {
        const struct csl_eval_block *b = &w->evaluations[i].block;
        for (uint32_t k = 0; is_at(&w->evaluations[i], round, domain) && k < b->metric_count; k++) {
            if (strcmp(b->metrics[k].name, name) == 0) {
                sum += b->metrics[k].value;
                count++;
            }
        }
    }
    return count == 0 ? CSL_OK
                      : add_row(r, round, "round_mean", "", r->domains[domain].id, name,
                                sum / (double)count, err);
}

static enum csl_code take_round(struct csl_result *r, const struct csl_world_result *w,
                                uint64_t round, struct csl_score_histogram *h, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t d = 0; d < r->domain_count && code == CSL_OK; d++) {
        code = take_sums(r, w, round, d, h, err);
        for (const char *const *name = csl_metric_names(); *name != NULL && code == CSL_OK; name++)
            code = take_mean(r, w, round, d, *name, err);
    }
    return code;
}

static enum csl_code take_evaluations(struct csl_result *r, const struct csl_world_result *w,
                                      struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    struct csl_score_histogram *h = csl_alloc(sizeof(*h));
    if (h == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the evaluations");
    for (uint32_t i = 0; i < w->evaluation_count && code == CSL_OK; i++) {
        const struct csl_world_evaluation *e = &w->evaluations[i];
        bool is_new_round = i == 0 || w->evaluations[i - 1].round != e->round;
        bool is_pooled = e->site == CSL_WORLD_ALL_SITES;
        CSL_ASSERT((is_pooled || e->site < r->site_count) && e->block.block < r->domain_count);
        code = is_pooled ? take_pooled(r, e, err) : take_site(r, e, err);
        if (code == CSL_OK && is_new_round && !is_pooled)
            code = take_round(r, w, e->round, h, err);
    }
    csl_free(h);
    return code;
}

static struct csl_result_privacy privacy_of(const struct csl_world_privacy *w)
{
    struct csl_result_privacy p = {.is_present = w->is_present};
    if (!w->is_present)
        return p;
    p.is_verified = w->is_verified;
    p.is_rehearsal = w->is_rehearsal;
    p.epsilon = w->epsilon;
    p.delta = w->delta;
    p.budget_epsilon = w->budget_epsilon;
    p.statistics_epsilon = w->statistics_epsilon;
    p.noise_multiplier = w->noise_multiplier;
    p.entries = w->entries;
    csl_hex(w->root, sizeof(w->root), p.head);
    p.canaries = w->audit.canaries;
    p.guesses = w->audit.guesses;
    p.correct = w->audit.correct;
    p.audit_epsilon_lower = w->audit.epsilon_lower;
    p.audit_confidence = w->audit.confidence;
    return p;
}

enum csl_code csl_run_take_world(struct csl_result *r, const struct csl_study *study,
                                 const struct csl_world_result *w, struct csl_err *err)
{
    CSL_ASSERT(study->domain_count == r->domain_count);
    csl_hex(w->model_digest, CSL_DIGEST_BYTES, r->model_digest);
    r->rounds = w->rounds;
    r->bytes_up = w->bytes_up;
    r->bytes_down = w->bytes_down;
    r->was_interrupted = w->was_interrupted;
    for (uint32_t s = 0; s < r->site_count; s++) {
        r->sites[s].rounds_completed = w->site_rounds[s];
        if (w->privacy != NULL)
            r->sites[s].privacy = privacy_of(&w->privacy[s]);
    }
    enum csl_code code = take_rounds(r, w, err);
    if (code == CSL_OK)
        code = take_rejections(r, w, err);
    if (code == CSL_OK)
        code = take_evaluations(r, w, err);
    return code == CSL_OK ? csl_result_add_privacy_rows(r, err) : code;
}
