/* simulations/model_card.c - the model card as JSON, and what both forms share. */
#include "simulations/release.h"
#include "simulations/result_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

const char *csl_card_band(uint64_t patients)
{
    static const struct {
        uint64_t below;
        const char *text;
    } bands[] = {{30, "fewer than 30"}, {100, "30-99"},      {300, "100-299"},
                 {1000, "300-999"},     {3000, "1000-2999"}, {10000, "3000-9999"}};
    for (size_t i = 0; i < sizeof(bands) / sizeof(bands[0]); i++)
        if (patients < bands[i].below)
            return bands[i].text;
    return "10000 or more";
}

/* --- what was not measured --- */

static void __attribute__((format(printf, 2, 3)))
miss(struct csl_card_missing *m, const char *format, ...)
{
    va_list args;
    if (m->count == CSL_CARD_MISSING_MAX)
        return;
    va_start(args, format);
    (void)vsnprintf(m->items[m->count++], sizeof(m->items[0]), format, args);
    va_end(args);
}

static void miss_groups(const struct csl_result *r, struct csl_card_missing *m)
{
    if (r->group_count == 0)
        miss(m, "Unequal quality between patient groups: %s",
             r->fairness.asked.attribute_count == 0 ? "the study asks for no groups"
                                                    : "no group is large enough to be shown");
    for (uint32_t i = 0; i < r->fairness.gap_count; i++)
        if (r->fairness.gaps[i].hidden > 0)
            miss(m, "%u group%s by %s in domain %s: too few test patients to be shown",
                 r->fairness.gaps[i].hidden, r->fairness.gaps[i].hidden == 1 ? "" : "s",
                 r->fairness.gaps[i].attribute, r->domains[r->fairness.gaps[i].domain].id);
    for (uint32_t d = 0; d < r->domain_count; d++)
        if ((r->domains[d].task == CSL_TASK_SURVIVAL || r->domains[d].task == CSL_TASK_LABELS) &&
            r->fairness.asked.attribute_count > 0)
            miss(m, "Patient groups in domain %s: %s has no counts that add up", r->domains[d].id,
                 csl_task_name(r->domains[d].task));
    if (r->fairness.asked.attribute_count > 1)
        miss(m, "Groups by several attributes at once, such as women over 75");
}

void csl_card_list_missing(const struct csl_result *r, struct csl_card_missing *out)
{
    struct csl_result_spent spent;
    memset(out, 0, sizeof(*out));
    if (r->external != NULL || r->transfer.models[CSL_TRANSFER_LEFT_OUT].pooled != NULL)
        miss(out, "Patients of another time: every figure is of patients of the same years");
    else
        miss(out, "Patients of another time or hospital: every figure is of held-out patients of "
                  "the hospitals that trained");
    miss(out, "Benefit or harm in care: no clinician used the model");
    miss_groups(r, out);
    for (uint32_t d = 0; d < r->domain_count; d++)
        if (csl_discrimination(&r->federated.pooled[d]) == NULL)
            miss(out, "Domain %s: its test patients do not allow an AUC or C-index",
                 r->domains[d].id);
    if (!csl_result_has_privacy(r))
        miss(out,
             "What the model reveals about one patient: nothing bounds it (privacy mode none)");
    else if (!csl_result_spent(r, &spent) || !spent.has_audit)
        miss(out, "Empirical lower bound of the privacy loss: no audit was asked for");
    if (!r->baselines.is_present)
        miss(out, "Local and pooled training for comparison: %s", r->baselines.reason);
    if (r->repeats.count == 0)
        miss(out, "Spread over seeds: the study ran once");
}

/* --- JSON --- */

static void put_data(struct csl_json *j, const struct csl_result *r)
{
    csl_json_key(j, "data");
    csl_json_array(j);
    for (uint32_t s = 0; s < r->site_count; s++) {
        csl_json_object(j);
        csl_json_put_str(j, "site", r->sites[s].id);
        csl_json_put_str(j, "training_patients", csl_card_band(r->sites[s].patients));
        csl_json_key(j, "domains_tested");
        csl_json_array(j);
        for (uint32_t d = 0; d < r->domain_count; d++)
            if (r->federated.cells != NULL &&
                csl_evaluation_cell(&r->federated, s, d)->examples > 0)
                csl_json_str(j, r->domains[d].id);
        csl_json_end(j);
        csl_json_end(j);
    }
    csl_json_end(j);
}

/* Of hospitals that had no part in training; no single one's figures. */
static void put_elsewhere(struct csl_json *j, const struct csl_result *r, uint32_t d)
{
    const struct csl_evaluation *left_out = &r->transfer.models[CSL_TRANSFER_LEFT_OUT];
    const char *metric = csl_headline(r->domains[d].task)[0];
    struct csl_mean mean;
    if (r->external != NULL) {
        csl_json_key(j, "external_validation");
        csl_json_object(j);
        csl_json_put_u64(j, "sites", r->external->site_count);
        csl_result__put_metrics(j, &r->external->federated.pooled[d]);
        csl_json_end(j);
    }
    if (left_out->pooled == NULL || !csl_evaluation_mean(left_out, d, metric, &mean))
        return;
    csl_json_key(j, "leave_one_out");
    csl_json_object(j);
    csl_json_put_u64(j, "sites", mean.count);
    csl_json_put_str(j, "metric", metric);
    csl_json_put_f64(j, "mean", mean.value);
    if (mean.has_interval) {
        csl_json_put_f64(j, "low", mean.low);
        csl_json_put_f64(j, "high", mean.high);
    }
    csl_json_end(j);
}

static void put_domains(struct csl_json *j, const struct csl_result *r)
{
    csl_json_key(j, "domains");
    csl_json_array(j);
    for (uint32_t d = 0; d < r->domain_count; d++) {
        csl_json_object(j);
        csl_json_put_str(j, "id", r->domains[d].id);
        csl_json_put_str(j, "modality", r->domains[d].modality);
        csl_json_put_str(j, "task", csl_task_name(r->domains[d].task));
        csl_json_put_str(j, "label", r->domains[d].label);
        if (r->domains[d].positive[0] != 0)
            csl_json_put_str(j, "positive", r->domains[d].positive);
        csl_result__put_metrics(j, &r->federated.pooled[d]);
        put_elsewhere(j, r, d);
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_groups(struct csl_json *j, const struct csl_result *r)
{
    csl_json_key(j, "groups");
    csl_json_array(j);
    for (uint32_t i = 0; i < r->group_count; i++) {
        const struct csl_result_group *g = &r->groups[i];
        csl_json_object(j);
        csl_json_put_str(j, "domain", r->domains[g->domain].id);
        csl_json_put_str(j, "attribute", g->attribute);
        csl_json_put_str(j, "value", g->value);
        csl_json_put_str(j, "test_patients",
                         csl_card_band(g->patients > 0 ? g->patients : g->metrics.examples));
        csl_result__put_metrics(j, &g->metrics);
        csl_json_end(j);
    }
    csl_json_end(j);
}

void csl_card_json(const struct csl_result *r, struct csl_buf *out)
{
    struct csl_card_missing missing;
    struct csl_json j;
    char text[160];
    csl_card_list_missing(r, &missing);
    csl_result_protection(r, text, sizeof(text));
    csl_json_init(&j, out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "format", "consilium.model-card/1");
    csl_json_put_str(&j, "version", r->version);
    csl_json_put_str(&j, "study", r->study);
    csl_json_put_str(&j, "study_digest", r->study_digest);
    csl_json_put_str(&j, "model_digest", r->model_digest);
    csl_json_put_str(&j, "question", r->question);
    csl_json_put_str(&j, "strategy", r->strategy);
    csl_json_put_u64(&j, "rounds", r->rounds);
    csl_json_put_u64(&j, "parameters", r->parameters);
    csl_result__put_release(&j, r);
    put_data(&j, r);
    put_domains(&j, r);
    csl_result__put_labels(&j, r);
    put_groups(&j, r);
    csl_result__put_fairness(&j, r);
    csl_json_put_str(&j, "protection", text);
    csl_result__put_privacy(&j, r);
    csl_json_key(&j, "not_measured");
    csl_json_array(&j);
    for (uint32_t i = 0; i < missing.count; i++)
        csl_json_str(&j, missing.items[i]);
    csl_json_end(&j);
    csl_json_end(&j);
    csl_buf_str(out, "\n");
}
