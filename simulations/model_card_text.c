/* simulations/model_card_text.c - the model card as Markdown. */
#include "simulations/release.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* Texts of a study or record file on one line, without what Markdown would read as its own. */
static void put_text(struct csl_buf *out, const char *text)
{
    for (; *text != 0; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            csl_buf_str(out, " ");
        else if (strchr("\\`*_{}[]<>#|~!&", *text) != NULL)
            csl_buf_printf(out, "\\%c", *text);
        else
            csl_buf_append(out, text, 1);
    }
}

static void put_paragraph(struct csl_buf *out, const char *text)
{
    put_text(out, text[0] != 0 ? text : "(empty)");
    csl_buf_str(out, "\n\n");
}

static void put_figure(struct csl_buf *out, const struct csl_metric *m)
{
    if (m == NULL)
        csl_buf_str(out, "not measured");
    else if (m->method != NULL)
        csl_buf_printf(out, "%.3f (%.2f to %.2f, %s)", m->value, m->low, m->high, m->method);
    else
        csl_buf_printf(out, "%.3f (no interval)", m->value);
}

static void put_release(struct csl_buf *out, const struct csl_result *r)
{
    struct csl_release_verdict v;
    csl_release_judge(r, &v);
    if (!r->release.is_on) {
        csl_buf_str(out, "**The study states no condition for handing this model out.**\n\n");
        return;
    }
    csl_buf_str(out, v.count == 0 ? "**Release: allowed.** Every condition of the study is met.\n\n"
                                  : "**Release: BLOCKED.** What stands against it:\n\n");
    for (uint32_t i = 0; i < v.count; i++) {
        csl_buf_str(out, "* ");
        put_text(out, v.reasons[i]);
        csl_buf_str(out, "\n");
    }
    if (v.count > 0)
        csl_buf_str(out, "\n");
}

static void put_model(struct csl_buf *out, const struct csl_result *r)
{
    csl_buf_str(out, "## Model\n\n");
    put_paragraph(out, r->question);
    csl_buf_printf(out,
                   "* %llu parameters, trained in %llu of %llu rounds by %u sites, strategy %s\n"
                   "* model digest `%s`\n* study digest `%s`\n* made by Consilium %s\n\n",
                   (unsigned long long)r->parameters, (unsigned long long)r->rounds,
                   (unsigned long long)r->rounds_planned, r->site_count, r->strategy,
                   r->model_digest, r->study_digest, r->version);
    csl_buf_str(out, "## Intended use\n\n");
    put_paragraph(out, r->release.intended_use);
    csl_buf_str(out, "## Not for\n\n");
    put_paragraph(out, r->release.not_for);
}

static void put_data(struct csl_buf *out, const struct csl_result *r)
{
    csl_buf_str(out, "## Data\n\n| site | training patients | domains tested |\n|---|---|---|\n");
    for (uint32_t s = 0; s < r->site_count; s++) {
        csl_buf_str(out, "| ");
        put_text(out, r->sites[s].id);
        csl_buf_printf(out, " | %s | ", csl_card_band(r->sites[s].patients));
        const char *before = "";
        for (uint32_t d = 0; r->federated.cells != NULL && d < r->domain_count; d++) {
            if (csl_evaluation_cell(&r->federated, s, d)->examples == 0)
                continue;
            csl_buf_str(out, before);
            put_text(out, r->domains[d].id);
            before = ", ";
        }
        csl_buf_str(out, " |\n");
    }
    csl_buf_str(out, "\n");
}

static void put_classes(struct csl_buf *out, const struct csl_sum_figures *f)
{
    if (f->metrics.count == 0)
        return;
    csl_buf_printf(out,
                   "Class by class, from summed counts of %u sites (AUC of the counts within %.4f "
                   "of that of the scores):\n\n| class | records | sensitivity | specificity | |\n"
                   "|---|---|---|---|---|\n",
                   f->sites, f->auc_error);
    for (uint32_t c = 0; c < f->classes; c++) {
        const struct csl_class_figures *at = &f->by_class[c];
        csl_buf_printf(out, "| %u | %llu | ", c, (unsigned long long)at->records);
        put_figure(out, at->sensitivity.name != NULL ? &at->sensitivity : NULL);
        csl_buf_str(out, " | ");
        put_figure(out, at->specificity.name != NULL ? &at->specificity : NULL);
        csl_buf_str(out, at->is_collapsed ? " | **collapsed** |\n" : " | |\n");
    }
    csl_buf_str(out, "\n");
}

static void put_mean(struct csl_buf *out, bool is_measured, const struct csl_mean *mean)
{
    if (!is_measured)
        csl_buf_str(out, "not measured");
    else if (mean->has_interval)
        csl_buf_printf(out, "%.3f (%.2f to %.2f)", mean->value, mean->low, mean->high);
    else
        csl_buf_printf(out, "%.3f (no interval)", mean->value);
}

/* At hospitals that had no part in training. */
static void put_elsewhere(struct csl_buf *out, const struct csl_result *r, uint32_t d)
{
    const struct csl_evaluation *left_out = &r->transfer.models[CSL_TRANSFER_LEFT_OUT];
    const char *metric = csl_headline(r->domains[d].task)[0];
    struct csl_mean mean;
    if (r->external != NULL) {
        csl_buf_printf(out, "External validation, hospitals that never trained (%u): %s ",
                       r->external->site_count, csl_metric_title(metric));
        put_figure(out, csl_metrics_find(&r->external->federated.pooled[d], metric));
        csl_buf_str(out, ", all their test records together.\n\n");
    }
    if (left_out->pooled == NULL)
        return;
    csl_buf_printf(out, "Each hospital left out of training in turn: %s ",
                   csl_metric_title(metric));
    put_mean(out, csl_evaluation_mean(left_out, d, metric, &mean), &mean);
    csl_buf_str(out, " there, mean over hospitals; of models trained like this one.\n\n");
}

static void put_labels(struct csl_buf *out, const struct csl_result *r, uint32_t d)
{
    if (r->domains[d].task != CSL_TASK_LABELS)
        return;
    csl_buf_str(out, "Label by label; the figures above are means over the labels:\n\n| label | "
                     "known records | sites | AUC | sensitivity | specificity |\n"
                     "|---|---|---|---|---|---|\n");
    for (uint32_t i = 0; i < r->labels.count; i++) {
        const struct csl_result_label *l = &r->labels.items[i];
        static const char *const names[] = {"auc", "sensitivity", "specificity"};
        if (l->domain != d)
            continue;
        csl_buf_str(out, "| ");
        put_text(out, l->name);
        csl_buf_printf(out, " | %llu | %u |", (unsigned long long)l->metrics.examples, l->sites);
        for (int k = 0; k < 3; k++) {
            csl_buf_str(out, " ");
            put_figure(out, csl_metrics_find(&l->metrics, names[k]));
            csl_buf_str(out, " |");
        }
        csl_buf_str(out, "\n");
    }
    csl_buf_str(out, "\n");
}

static void put_domain(struct csl_buf *out, const struct csl_result *r, uint32_t d)
{
    const struct csl_metrics *m = &r->federated.pooled[d];
    csl_buf_str(out, "### ");
    put_text(out, r->domains[d].id);
    csl_buf_printf(out, "\n\n%s, task %s, label ", r->domains[d].modality,
                   csl_task_name(r->domains[d].task));
    put_text(out, r->domains[d].label);
    csl_buf_printf(out, "; %llu test records\n\n", (unsigned long long)m->examples);
    csl_buf_str(out, "| metric | all test records together | mean over sites |\n|---|---|---|\n");
    for (uint32_t i = 0; i < m->count; i++) {
        struct csl_mean mean;
        csl_buf_printf(out, "| %s | ", csl_metric_title(m->items[i].name));
        put_figure(out, &m->items[i]);
        csl_buf_str(out, " | ");
        put_mean(out, csl_evaluation_mean(&r->federated, d, m->items[i].name, &mean), &mean);
        csl_buf_str(out, " |\n");
    }
    csl_buf_str(out, "\n");
    put_labels(out, r, d);
    put_elsewhere(out, r, d);
    put_classes(out, &r->fairness.sums[d]);
}

static void put_performance(struct csl_buf *out, const struct csl_result *r)
{
    uint32_t worst = csl_result_worst_domain(r, NULL);
    csl_buf_str(out, "## How good it is\n\n");
    if (worst != UINT32_MAX && r->domain_count > 1) {
        csl_buf_str(out, "Worst domain by AUC or C-index: ");
        put_text(out, r->domains[worst].id);
        csl_buf_str(out, ", ");
        put_figure(out, csl_discrimination(&r->federated.pooled[worst]));
        csl_buf_str(out, ".\n\n");
    }
    for (uint32_t d = 0; d < r->domain_count; d++)
        put_domain(out, r, d);
}

static void put_group_rows(struct csl_buf *out, const struct csl_result *r)
{
    csl_buf_str(out, "| domain | group | test patients | AUC or C-index | macro-F1 | collapsed "
                     "classes |\n|---|---|---|---|---|---|\n");
    for (uint32_t i = 0; i < r->group_count; i++) {
        const struct csl_result_group *g = &r->groups[i];
        csl_buf_str(out, "| ");
        put_text(out, r->domains[g->domain].id);
        csl_buf_str(out, " | ");
        put_text(out, g->attribute);
        csl_buf_str(out, " ");
        put_text(out, g->value);
        csl_buf_printf(out, " | %s | ",
                       csl_card_band(g->patients > 0 ? g->patients : g->metrics.examples));
        put_figure(out, csl_discrimination(&g->metrics));
        csl_buf_str(out, " | ");
        put_figure(out, csl_metrics_find(&g->metrics, "macro_f1"));
        csl_buf_printf(out, " | %u |\n", g->collapsed);
    }
    csl_buf_str(out, "\n");
}

static void put_gaps(struct csl_buf *out, const struct csl_result_gap *g, const char *domain)
{
    csl_buf_str(out, "Differences by ");
    put_text(out, g->attribute);
    csl_buf_str(out, " in ");
    put_text(out, domain);
    csl_buf_printf(out, " (%u groups; %u hidden):\n\n", g->shown, g->hidden);
    if (g->metrics.count == 0)
        csl_buf_str(out, "* none: fewer than two groups are large enough to be compared\n");
    for (const char *const *name = csl_gap_names(); *name != NULL; name++) {
        const struct csl_metric *m = csl_metrics_find(&g->metrics, *name);
        if (m == NULL)
            continue;
        csl_buf_printf(out, "* %s: ", csl_gap_title(*name));
        put_figure(out, m);
        csl_buf_str(out, "\n");
    }
    csl_buf_str(out, "\n");
}

static void put_groups(struct csl_buf *out, const struct csl_result *r)
{
    uint32_t worst = csl_result_worst_group(r, UINT32_MAX, NULL);
    csl_buf_str(out, "## Patient groups\n\n");
    if (r->group_count == 0)
        csl_buf_str(out, "(empty)\n\n");
    if (worst != UINT32_MAX) {
        csl_buf_str(out, "Worst group by AUC or C-index: ");
        put_text(out, r->groups[worst].attribute);
        csl_buf_str(out, " ");
        put_text(out, r->groups[worst].value);
        csl_buf_str(out, " in ");
        put_text(out, r->domains[r->groups[worst].domain].id);
        csl_buf_str(out, ", ");
        put_figure(out, csl_discrimination(&r->groups[worst].metrics));
        csl_buf_str(out, ".\n\n");
    }
    if (r->group_count > 0)
        put_group_rows(out, r);
    const struct csl_study_group_weights *w = &r->fairness.asked.weights;
    if (w->is_on)
        csl_buf_printf(out,
                       "In training, patients of small groups and of groups the model does badly "
                       "by counted more (alpha %g, beta %g, cap %g). That is no evidence that "
                       "groups are treated alike: the figures are.\n\n",
                       w->alpha, w->beta, w->cap);
    for (uint32_t i = 0; i < r->fairness.gap_count; i++)
        put_gaps(out, &r->fairness.gaps[i], r->domains[r->fairness.gaps[i].domain].id);
}

static void put_privacy(struct csl_buf *out, const struct csl_result *r)
{
    struct csl_result_spent spent;
    char text[160];
    csl_result_protection(r, text, sizeof(text));
    csl_buf_printf(out, "## Privacy\n\n%s", text);
    if (csl_result_mode_words(r)[0] != 0)
        csl_buf_printf(out, " %s", csl_result_mode_words(r));
    csl_buf_str(out, "\n\n");
    if (!csl_result_spent(r, &spent)) {
        csl_buf_str(out, csl_result_has_privacy(r) ? "Spent: unknown, no site kept a ledger.\n\n"
                                                   : "Spent: no budget was kept.\n\n");
        return;
    }
    csl_epsilon_text(text, sizeof(text), spent.epsilon, true);
    csl_buf_printf(out, "Spent: epsilon %s at delta %g, the most of %u sites; ledgers %s.%s\n\n",
                   text, spent.delta, spent.sites,
                   spent.is_verified ? "verified" : "NOT all verified",
                   spent.is_rehearsal ? " " CSL_REHEARSAL_WORDS : "");
}

void csl_card_markdown(const struct csl_result *r, struct csl_buf *out)
{
    struct csl_card_missing missing;
    csl_card_list_missing(r, &missing);
    csl_buf_str(out, "# Model card: ");
    put_paragraph(out, r->study);
    put_release(out, r);
    put_model(out, r);
    put_data(out, r);
    put_performance(out, r);
    put_groups(out, r);
    put_privacy(out, r);
    csl_buf_str(out, "## What was not measured\n\n");
    for (uint32_t i = 0; i < missing.count; i++) {
        csl_buf_str(out, "* ");
        put_text(out, missing.items[i]);
        csl_buf_str(out, "\n");
    }
    csl_buf_str(out,
                "\n## How to read the figures\n\nIntervals cover 95 %. AUC: DeLong 1988, logit "
                "scale (delong-binned: from histograms, widened by their error). Proportions: "
                "Wilson 1927. Others: 1,000 bootstrap resamples of test records with a fixed "
                "seed; bootstrap-basic turns them round the value, because chance alone raises a "
                "calibration error; bootstrap-gap is the value plus and minus what chance makes of "
                "such a difference in 95 % of resamples. Differences: rates of "
                "each class against the rest, mean over classes, largest less smallest group. "
                "Sites, then domains, are averaged each counted once; pooled figures count "
                "records.\n");
}
