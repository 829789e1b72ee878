/* simulations/release.c - what stands against handing a model out. */
#include "simulations/release.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static void __attribute__((format(printf, 2, 3)))
block(struct csl_release_verdict *v, const char *format, ...)
{
    va_list args;
    if (v->count == CSL_RELEASE_REASONS_MAX)
        return; /* one reason is enough to block */
    va_start(args, format);
    (void)vsnprintf(v->reasons[v->count++], sizeof(v->reasons[0]), format, args);
    va_end(args);
}

static const char *discrimination_title(enum csl_task_kind task)
{
    return task == CSL_TASK_SURVIVAL ? "C-index" : "AUC";
}

/* --- floors --- */

static void judge_auc(const struct csl_result *r, uint32_t d, struct csl_release_verdict *v)
{
    const struct csl_metric *m = csl_discrimination(&r->federated.pooled[d]);
    const char *title = discrimination_title(r->domains[d].task);
    double floor = r->release.minimum_auc;
    if (!(floor > 0))
        return;
    if (m == NULL)
        block(v, "minimum_auc: the %s of domain %s was not measured; %.3f is asked for", title,
              r->domains[d].id, floor);
    else if (m->value < floor)
        block(v, "minimum_auc: the %s of domain %s is %.3f; %.3f is asked for", title,
              r->domains[d].id, m->value, floor);
}

static void judge_worst_group(const struct csl_result *r, uint32_t d, struct csl_release_verdict *v)
{
    uint32_t worst = csl_result_worst_group(r, d, NULL);
    double floor = r->release.worst_group_floor;
    if (!(floor > 0))
        return;
    if (worst == UINT32_MAX) {
        block(v,
              "worst_group_floor: no patient group of domain %s is large enough for an AUC; %.3f "
              "is asked for",
              r->domains[d].id, floor);
        return;
    }
    const struct csl_result_group *g = &r->groups[worst];
    double value = csl_discrimination(&g->metrics)->value;
    if (value < floor)
        block(v, "worst_group_floor: the AUC of domain %s is %.3f for %s %s; %.3f is asked for",
              r->domains[d].id, value, g->attribute, g->value, floor);
}

static void judge_labels(const struct csl_result *r, uint32_t d, struct csl_release_verdict *v)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->labels.count; i++) {
        const struct csl_result_label *l = &r->labels.items[i];
        count += l->domain == d;
        if (l->domain == d && csl_result_label_is_collapsed(l))
            block(v,
                  "collapsed_class: label %s of domain %s is all but never told (sensitivity or "
                  "specificity below %.2f)",
                  l->name, r->domains[d].id, CSL_COLLAPSED_BELOW);
    }
    if (count == 0)
        block(v, "collapsed_class: the labels of domain %s were not judged", r->domains[d].id);
}

static void judge_collapsed(const struct csl_result *r, uint32_t d, struct csl_release_verdict *v)
{
    const struct csl_sum_figures *f = &r->fairness.sums[d];
    if (!r->release.refuses_collapsed || r->domains[d].task == CSL_TASK_SURVIVAL)
        return;
    if (r->domains[d].task == CSL_TASK_LABELS) {
        judge_labels(r, d, v);
        return;
    }
    if (f->metrics.count == 0)
        block(v, "collapsed_class: the classes of domain %s were not counted", r->domains[d].id);
    for (uint32_t c = 0; c < f->classes; c++)
        if (f->by_class[c].is_collapsed)
            block(v,
                  "collapsed_class: class %u of domain %s is all but never told from the rest "
                  "(sensitivity or specificity below %.2f)",
                  c, r->domains[d].id, CSL_COLLAPSED_BELOW);
    for (uint32_t g = 0; g < r->group_count; g++)
        if (r->groups[g].domain == d && r->groups[g].collapsed > f->collapsed)
            block(v, "collapsed_class: %u classes of domain %s are collapsed for %s %s",
                  r->groups[g].collapsed, r->domains[d].id, r->groups[g].attribute,
                  r->groups[g].value);
}

/* --- mandatory items of the card --- */

static void judge_texts(const struct csl_result *r, struct csl_release_verdict *v)
{
    const struct {
        const char *text, *name;
    } items[] = {{r->question, "question"},
                 {r->release.intended_use, "release: intended_use"},
                 {r->release.not_for, "release: not_for"}};
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
        if (items[i].text[0] == 0)
            block(v, "model card: %s is empty in the study", items[i].name);
    for (uint32_t s = 0; s < r->site_count; s++)
        if (r->sites[s].patients == 0)
            block(v, "model card: nothing is known about the training patients of site %s",
                  r->sites[s].id);
}

static void judge_figures(const struct csl_result *r, uint32_t d, struct csl_release_verdict *v)
{
    const struct csl_metric *m = csl_discrimination(&r->federated.pooled[d]);
    if (m == NULL || m->method == NULL)
        block(v, "model card: domain %s has no %s with an interval", r->domains[d].id,
              discrimination_title(r->domains[d].task));
}

static void judge_groups(const struct csl_result *r, struct csl_release_verdict *v)
{
    if (r->fairness.asked.attribute_count == 0) {
        block(v, "model card: the study asks for no patient groups (section 'fairness')");
        return;
    }
    if (r->fairness.gap_count == 0)
        block(v, "model card: no patient groups were counted");
    for (uint32_t i = 0; i < r->fairness.gap_count; i++) {
        const struct csl_result_gap *g = &r->fairness.gaps[i];
        if (g->shown < 2)
            block(v,
                  "model card: fewer than two groups by %s have the %u test patients at %u sites "
                  "that domain %s needs to compare them",
                  g->attribute, r->fairness.asked.minimum_group, r->fairness.asked.minimum_sites,
                  r->domains[g->domain].id);
    }
}

static void judge_privacy(const struct csl_result *r, struct csl_release_verdict *v)
{
    struct csl_result_spent spent;
    if (!csl_result_has_privacy(r))
        return;
    if (!csl_result_spent(r, &spent) || spent.sites < r->site_count || !spent.is_verified)
        block(v, "model card: not every site has a verified ledger of the privacy it spent");
    else if (spent.is_rehearsal)
        block(v, "model card: the noise of this run came from its seed and protects nobody");
}

void csl_release_judge(const struct csl_result *r, struct csl_release_verdict *out)
{
    memset(out, 0, sizeof(*out));
    if (!r->release.is_on)
        return;
    if (r->was_interrupted)
        block(out, "the run was interrupted after round %llu of %llu",
              (unsigned long long)r->rounds, (unsigned long long)r->rounds_planned);
    for (uint32_t s = 0; s < r->site_count; s++)
        if (r->sites[s].attack.kind != CSL_ATTACK_NONE)
            block(out, "site %s attacked the model of this simulation", r->sites[s].id);
    for (uint32_t d = 0; d < r->domain_count; d++) {
        judge_auc(r, d, out);
        judge_worst_group(r, d, out);
        judge_collapsed(r, d, out);
    }
    if (!r->release.needs_card)
        return;
    judge_texts(r, out);
    for (uint32_t d = 0; d < r->domain_count; d++)
        judge_figures(r, d, out);
    judge_groups(r, out);
    judge_privacy(r, out);
}
