/* simulations/report_summary.c - what a reader sees first: the question, what kind of run this was,
 * and the figures that answer it. */
#include "simulations/report_parts.h"

#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

void csl_report__top(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    csl_buf_str(p->out, "<header class=\"top\"><p class=\"eyebrow\">Consilium report of a "
                        "federated study</p><h1>");
    csl_report__text(p, r->study);
    csl_buf_str(p->out, "</h1>");
    if (r->question[0] != 0) {
        csl_buf_str(p->out, "<p class=\"question\">");
        csl_report__text(p, r->question);
        csl_buf_str(p->out, "</p>");
    }
}

/* What must be known before any figure is read. */
static void put_notice(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    bool has_privacy = csl_result_has_privacy(r);
    struct csl_result_spent spent = {.sites = 0};
    char text[128];
    bool is_spent = csl_result_spent(r, &spent);
    if (!has_privacy || !r->has_secure_aggregation || spent.is_rehearsal || !spent.is_verified) {
        csl_buf_str(p->out, "<div class=\"notice\" role=\"note\"><p><strong>");
        csl_result_protection(r, text, sizeof(text));
        csl_report__text(p, text);
        csl_buf_str(p->out, "</strong></p><p>");
        if (spent.is_rehearsal)
            csl_buf_str(p->out, CSL_REHEARSAL_WORDS " ");
        if (r->has_plain_sums)
            csl_buf_str(p->out, CSL_PLAIN_SUMS_WORDS " ");
        else if (!r->has_secure_aggregation)
            csl_buf_str(p->out,
                        has_privacy
                            ? "The coordinator could see the update of every single site, "
                              "each with the noise its site had added. "
                            : "The coordinator could see the update of every single site. ");
        if (!has_privacy)
            csl_buf_str(p->out, "Nothing bounds what the released model reveals about one patient. "
                                "No privacy budget was spent because none was kept.");
        else if (!is_spent)
            csl_buf_str(p->out, "No site kept a ledger, so that nothing is known about the privacy "
                                "loss.");
        else if (!spent.is_verified)
            csl_buf_str(p->out, "Not every ledger verified.");
        if (has_privacy)
            csl_buf_str(p->out, " <a href=\"#privacy\">Privacy in detail</a>");
        csl_buf_str(p->out, "</p></div>\n");
    }
    if (r->was_interrupted)
        csl_buf_printf(p->out,
                       "<div class=\"notice\" role=\"note\"><p><strong>This run was interrupted "
                       "after round %llu of %llu.</strong> Every figure below is of that "
                       "unfinished model.</p></div>\n",
                       (unsigned long long)r->rounds, (unsigned long long)r->rounds_planned);
}

static void put_card(struct csl_report *p, const char *what, double value, bool has_interval,
                     double low, double high, const char *detail)
{
    csl_buf_str(p->out, "<li><span class=\"what\">");
    csl_report__text(p, what);
    csl_buf_printf(p->out, "</span> <span class=\"figure\">%.3f</span> <span class=\"detail\">",
                   value);
    if (has_interval)
        csl_buf_printf(p->out, "95 %% interval %.2f\xe2\x80\x93%.2f%s", low, high,
                       detail[0] != 0 ? "; " : "");
    csl_report__text(p, detail);
    csl_buf_str(p->out, "</span></li>\n");
}

static void put_metric_card(struct csl_report *p, const char *what, const struct csl_metric *m,
                            const char *detail)
{
    if (m != NULL)
        put_card(p, what, m->value, m->method != NULL, m->low, m->high, detail);
}

static void put_mean_card(struct csl_report *p, const char *what, const struct csl_mean *m,
                          const char *unit)
{
    char detail[80];
    (void)snprintf(detail, sizeof(detail), m->count == 1 ? "%u %s" : "%u %s, each counted once",
                   m->count, unit);
    put_card(p, what, m->value, m->has_interval, m->low, m->high, detail);
}

static void put_lowest(struct csl_report *p, uint32_t domain, const char *metric)
{
    const struct csl_result *r = p->r;
    const struct csl_metric *lowest = NULL;
    uint32_t site = 0;
    char what[96], detail[160];
    for (uint32_t s = 0; s < r->site_count; s++) {
        const struct csl_metric *m =
            csl_metrics_find(csl_evaluation_cell(&r->federated, s, domain), metric);
        if (m != NULL && (lowest == NULL || m->value < lowest->value)) {
            lowest = m;
            site = s;
        }
    }
    if (lowest == NULL)
        return;
    (void)snprintf(what, sizeof(what), "Lowest %s of a site", csl_metric_title(metric));
    (void)snprintf(detail, sizeof(detail), "%s, %llu test records", r->sites[site].id,
                   (unsigned long long)csl_evaluation_cell(&r->federated, site, domain)->examples);
    put_metric_card(p, what, lowest, detail);
}

static void put_single_cards(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    const char *metric = csl_headline(r->domains[0].task)[0], *title = csl_metric_title(metric);
    char what[96], detail[96];
    struct csl_mean mean;
    (void)snprintf(what, sizeof(what), "%s, all test records", title);
    (void)snprintf(detail, sizeof(detail), "%llu records",
                   (unsigned long long)r->federated.pooled[0].examples);
    put_metric_card(p, what, csl_metrics_find(&r->federated.pooled[0], metric), detail);
    (void)snprintf(what, sizeof(what), "%s, mean over sites", title);
    if (csl_evaluation_mean(&r->federated, 0, metric, &mean))
        put_mean_card(p, what, &mean, "sites");
    put_lowest(p, 0, metric);
    (void)snprintf(what, sizeof(what), "%s of sites trained alone", title);
    if (csl_result_own_mean(r, 0, metric, &mean))
        put_mean_card(p, what, &mean, "sites on their own patients");
}

static bool is_headline(const struct csl_result *r, const char *metric)
{
    for (uint32_t d = 0; d < r->domain_count; d++)
        for (const char *const *m = csl_headline(r->domains[d].task); *m != NULL; m++)
            if (strcmp(*m, metric) == 0)
                return true;
    return false;
}

static void put_privacy_card(struct csl_report *p)
{
    struct csl_result_spent spent;
    char text[32];
    if (!csl_result_has_privacy(p->r) || !csl_result_spent(p->r, &spent))
        return;
    csl_epsilon_text(text, sizeof(text), spent.epsilon, true);
    csl_buf_printf(p->out,
                   "<li><span class=\"what\">Privacy loss, epsilon</span> <span class=\"figure\">%s"
                   "</span> <span class=\"detail\">largest of %u site%s; delta %.4g</span></li>\n",
                   text, spent.sites, csl_str_plural(spent.sites), spent.delta);
}

static void put_worst_cards(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    uint32_t d = csl_result_worst_domain(r, NULL), g = csl_result_worst_group(r, UINT32_MAX, NULL);
    char detail[200];
    if (d != UINT32_MAX && r->domain_count > 1)
        put_metric_card(p, "Worst domain, AUC or C-index",
                        csl_discrimination(&r->federated.pooled[d]), r->domains[d].id);
    if (g == UINT32_MAX)
        return;
    (void)snprintf(detail, sizeof(detail), "%s %s%s%s", r->groups[g].attribute, r->groups[g].value,
                   r->domain_count > 1 ? " in " : "",
                   r->domain_count > 1 ? r->domains[r->groups[g].domain].id : "");
    put_metric_card(p, "Worst patient group, AUC or C-index",
                    csl_discrimination(&r->groups[g].metrics), detail);
}

static void put_cards(struct csl_report *p)
{
    static const char *const metrics[] = {"auc", "macro_f1", "c_index", "accuracy"};
    const struct csl_result *r = p->r;
    csl_buf_str(p->out, "<h2 class=\"vh\">Key figures</h2><ul class=\"cards\">\n");
    if (r->domain_count == 1)
        put_single_cards(p);
    for (size_t i = 0; r->domain_count > 1 && i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        struct csl_mean mean;
        char what[96];
        (void)snprintf(what, sizeof(what), "%s, mean over domains", csl_metric_title(metrics[i]));
        if (is_headline(r, metrics[i]) && csl_evaluation_overall(&r->federated, metrics[i], &mean))
            put_mean_card(p, what, &mean, mean.count == 1 ? "domain" : "domains");
    }
    put_worst_cards(p);
    put_privacy_card(p);
    csl_buf_str(p->out, "</ul>\n");
}

/* "; sites trained alone reach 0.72 on their own patients" and its like. */
static void put_rival(struct csl_report *p, const char *what, double value)
{
    csl_buf_printf(p->out, "; %s %.3f", what, value);
}

/* Mean difference to the sites' own models, over the sites that have both. */
static bool own_difference(const struct csl_result *r, uint32_t domain, double *out)
{
    const char *metric = csl_headline(r->domains[domain].task)[0];
    double sum = 0;
    uint32_t count = 0;
    for (uint32_t s = 0; r->baselines.locals != NULL && s < r->site_count; s++) {
        const struct csl_metric *own =
            csl_metrics_find(&r->baselines.locals[s].own[domain], metric);
        const struct csl_metric *ours =
            csl_metrics_find(csl_evaluation_cell(&r->federated, s, domain), metric);
        if (own == NULL || ours == NULL)
            continue;
        sum += ours->value - own->value;
        count++;
    }
    *out = sum;
    return count > 0;
}

/* How often the federated model is ahead of sites that train alone, for several domains. */
static void put_count_ahead(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    uint32_t compared = 0, ahead = 0;
    for (uint32_t d = 0; d < r->domain_count; d++) {
        double difference;
        if (!own_difference(r, d, &difference))
            continue;
        compared++;
        ahead += difference > 0;
    }
    if (compared > 0)
        csl_buf_printf(p->out,
                       "<p class=\"answer\">In <strong>%u of %u domains</strong> the federated "
                       "model is, averaged over the sites that have both, ahead of the models that "
                       "sites train alone and use on their own patients.</p>\n",
                       ahead, compared);
}

/* The answer of a study with one domain in one sentence. */
static void put_answer(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    const char *metric = csl_headline(r->domains[0].task)[0];
    const struct csl_metric *m = csl_metrics_find(&r->federated.pooled[0], metric), *other;
    const struct csl_result_baselines *b = &r->baselines;
    struct csl_mean mean, own;
    if (r->domain_count > 1)
        put_count_ahead(p);
    if (r->domain_count > 1 || m == NULL)
        return;
    csl_buf_printf(p->out,
                   "<p class=\"answer\">On %llu test records of %u sites the federated model "
                   "reaches %s <strong>%.3f</strong>",
                   (unsigned long long)r->federated.pooled[0].examples, r->site_count,
                   csl_metric_title(metric), m->value);
    if (m->method != NULL)
        csl_buf_printf(p->out, " (95 %% interval %.2f\xe2\x80\x93%.2f)", m->low, m->high);
    if (b->has_ensemble) {
        other = csl_metrics_find(&b->ensemble.pooled[0], metric);
        if (other != NULL)
            put_rival(p, "the ensemble of local models reaches", other->value);
    }
    if (b->has_pooled_training) {
        other = csl_metrics_find(&b->pooled_training.pooled[0], metric);
        if (other != NULL)
            put_rival(p, "training on all records in one place would reach", other->value);
    }
    csl_buf_str(p->out, ".");
    if (csl_evaluation_mean(&r->federated, 0, metric, &mean) &&
        csl_result_own_mean(r, 0, metric, &own))
        csl_buf_printf(p->out,
                       " Averaged over sites it reaches %.3f (%u sites); the models that "
                       "sites train alone reach %.3f on their own patients (%u sites).",
                       mean.value, mean.count, own.value, own.count);
    csl_buf_str(p->out, "</p>\n");
}

static void open_fact(struct csl_report *p, const char *name, bool is_wide)
{
    csl_buf_printf(p->out, "<div%s><dt>", is_wide ? " class=\"wide\"" : "");
    csl_report__text(p, name);
    csl_buf_str(p->out, "</dt><dd>");
}

static void put_fact(struct csl_report *p, const char *name, const char *text)
{
    open_fact(p, name, false);
    csl_report__text(p, text);
    csl_buf_str(p->out, "</dd></div>");
}

static void put_digest(struct csl_report *p, const char *name, const char *digest)
{
    if (digest[0] == 0)
        return;
    open_fact(p, name, true);
    csl_buf_str(p->out, "<code>");
    csl_report__text(p, digest);
    csl_buf_str(p->out, "</code></dd></div>");
}

static void put_facts(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    char text[96];
    uint64_t patients = 0;
    bool is_inproc = strcmp(r->transport, "inproc") == 0;
    for (uint32_t s = 0; s < r->site_count; s++)
        patients += r->sites[s].patients;
    csl_report__section(p, "facts", "What was run");
    csl_buf_str(p->out, "<dl class=\"facts\">");
    (void)snprintf(text, sizeof(text), "%u", r->site_count);
    put_fact(p, "Sites", text);
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)patients);
    put_fact(p, "Training patients", text);
    put_fact(p, "Strategy", r->strategy);
    (void)snprintf(text, sizeof(text), "%llu of %llu", (unsigned long long)r->rounds,
                   (unsigned long long)r->rounds_planned);
    put_fact(p, "Rounds", text);
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)r->parameters);
    put_fact(p, "Parameters", text);
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)r->seed);
    put_fact(p, "Seed", text);
    put_fact(p, "Transport",
             is_inproc ? "in one process, the protocol's own bytes"
                       : "one process per site, gRPC with mutual TLS");
    put_fact(p, "Training backend", r->backend);
    (void)snprintf(text, sizeof(text), "mode %s", r->privacy);
    put_fact(p, "Differential privacy", csl_result_has_privacy(r) ? text : "off");
    put_fact(p, "Secure aggregation",
             r->has_plain_sums ? "masks off: plain sums of the same words"
                               : (r->has_secure_aggregation ? "on" : "off"));
    put_digest(p, "Study digest", r->study_digest);
    if (r->initial_model_digest[0] != 0)
        put_digest(p, "Initial model digest", r->initial_model_digest);
    put_digest(p, "Model digest", r->model_digest);
    csl_buf_str(p->out, "</dl>\n");
    csl_report__end_section(p);
}

static void put_attacks(struct csl_report *p)
{
    struct csl_buf words;
    csl_buf_init(&words, 1u << 20);
    csl_result_attack_words(p->r, &words);
    if (words.n > 0) {
        csl_buf_str(p->out, "<div class=\"notice\" role=\"note\"><p><strong>Sites of this "
                            "simulation attacked the model; it is of no other use.</strong></p>"
                            "<pre>");
        csl_report__text(p, csl_buf_text(&words));
        csl_buf_str(p->out, "</pre></div>\n");
    }
    csl_buf_release(&words);
}

void csl_report__summary(struct csl_report *p)
{
    put_notice(p);
    put_attacks(p);
    put_answer(p);
    put_cards(p);
    put_facts(p);
}
