/* simulations/report_weights.c - weights of domains: their member of summary.json, and the section
 * with a chart and a table by round. Both are drawn from the rows of metrics.csv. */
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "simulations/report_parts.h"
#include "simulations/result_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static bool is_weight(const struct csl_result_row *row, const char *metric)
{
    return strcmp(row->scope, CSL_RESULT_WEIGHTS) == 0 && strcmp(row->metric, metric) == 0;
}

static bool find(const struct csl_result *r, uint64_t round, const char *domain, const char *metric,
                 double *value)
{
    for (uint32_t i = 0; i < r->row_count; i++) {
        const struct csl_result_row *row = &r->rows[i];
        if (row->round != round || !is_weight(row, metric) || strcmp(row->domain, domain) != 0)
            continue;
        *value = row->value;
        return true;
    }
    return false;
}

/* The next round with a table after `after`; *is_first: from the start. */
static bool next_round(const struct csl_result *r, bool is_first, uint64_t after, uint64_t *round)
{
    bool is_found = false;
    for (uint32_t i = 0; i < r->row_count; i++) {
        const struct csl_result_row *row = &r->rows[i];
        if (!is_weight(row, "weight") || (!is_first && row->round <= after) ||
            (is_found && row->round >= *round))
            continue;
        *round = row->round;
        is_found = true;
    }
    return is_found;
}

/* --- summary.json --- */

static void put_domain(struct csl_json *j, const struct csl_result *r, uint64_t round, uint32_t d)
{
    static const char *const metrics[] = {"weight", "patients", "skill"};
    csl_json_object(j);
    csl_json_put_str(j, "domain", r->domains[d].id);
    for (size_t m = 0; m < sizeof(metrics) / sizeof(metrics[0]); m++) {
        double value;
        if (find(r, round, r->domains[d].id, metrics[m], &value))
            csl_json_put_f64(j, metrics[m], value);
    }
    csl_json_end(j);
}

void csl_result__put_weights(struct csl_json *j, const struct csl_result *r)
{
    const struct csl_study_domain_weights *w = &r->fairness.asked.domains;
    uint64_t round = 0;
    if (w->kind == CSL_DOMAIN_WEIGHTS_NONE)
        return;
    csl_json_key(j, "domain_weights");
    csl_json_object(j);
    csl_json_put_str(j, "kind", csl_domain_weights_name(w->kind));
    csl_json_put_f64(j, "alpha", w->alpha);
    csl_json_put_f64(j, "beta", w->beta);
    if (isfinite(w->cap))
        csl_json_put_f64(j, "cap", w->cap);
    csl_json_put_u64(j, "every", w->every);
    csl_json_key(j, "tables");
    csl_json_array(j);
    for (bool is_first = true; next_round(r, is_first, round, &round); is_first = false) {
        csl_json_object(j);
        csl_json_put_u64(j, "round", round);
        csl_json_key(j, "domains");
        csl_json_array(j);
        for (uint32_t d = 0; d < r->domain_count; d++)
            put_domain(j, r, round, d);
        csl_json_end(j);
        csl_json_end(j);
    }
    csl_json_end(j);
    csl_json_end(j);
}

enum csl_code csl_result__read_weights(const struct csl_result_reader *rd,
                                       const struct csl_json_value *v)
{
    struct csl_study_domain_weights *w = &rd->r->fairness.asked.domains;
    const char *kind = "";
    uint64_t every = 0;
    if (v == NULL)
        return CSL_OK;
    (void)csl_json_as_str(csl_json_get(v, "kind"), &kind);
    for (int k = CSL_DOMAIN_WEIGHTS_BALANCED; k < CSL_DOMAIN_WEIGHTS_COUNT; k++)
        if (strcmp(kind, csl_domain_weights_name((enum csl_domain_weights_kind)k)) == 0)
            w->kind = (enum csl_domain_weights_kind)k;
    w->cap = HUGE_VAL;
    if (w->kind == CSL_DOMAIN_WEIGHTS_NONE ||
        !csl_json_as_f64(csl_json_get(v, "alpha"), &w->alpha) ||
        !csl_json_as_f64(csl_json_get(v, "beta"), &w->beta) ||
        !csl_json_as_u64(csl_json_get(v, "every"), &every) || every > UINT32_MAX ||
        (csl_json_get(v, "cap") != NULL && !csl_json_as_f64(csl_json_get(v, "cap"), &w->cap)))
        return csl_result__bad(rd, "domain_weights", "kind, alpha, beta and every");
    w->every = (uint32_t)every;
    return CSL_OK;
}

/* --- the page --- */

static void put_chart(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    struct csl_svg_series lines[CSL_DOMAINS_MAX];
    char description[160];
    uint32_t count = 0, longest = 0;
    double *points = csl_alloc_array((size_t)2 * r->domain_count * r->row_count, sizeof(*points));
    if (points == NULL) /* the table says the same */
        return;
    for (uint32_t d = 0; d < r->domain_count; d++) {
        double *x = points + (size_t)2 * d * r->row_count, *y = x + r->row_count;
        uint32_t n = 0;
        for (uint32_t i = 0; i < r->row_count; i++) {
            if (!is_weight(&r->rows[i], "weight") ||
                strcmp(r->rows[i].domain, r->domains[d].id) != 0)
                continue;
            x[n] = (double)r->rows[i].round;
            y[n++] = r->rows[i].value;
        }
        longest = n > longest ? n : longest;
        if (n > 0)
            lines[count++] = (struct csl_svg_series){r->domains[d].id, d % 8, n, x, y, NULL, NULL};
    }
    (void)snprintf(
        description, sizeof(description),
        "%u lines, one for each domain, of %u weights at most; the table below has them.", count,
        longest);
    const struct csl_svg_chart chart = {.id = p->next_id++,
                                        .title = "Weight of each domain",
                                        .description = description,
                                        .x_label = "round of the evaluated model",
                                        .y_label = "weight",
                                        .series = lines,
                                        .series_count = count};
    if (longest > 1) {
        csl_buf_str(p->out, "<div class=\"charts small\">");
        csl_svg_chart(p->out, &chart);
        csl_buf_str(p->out, "</div>\n");
    }
    csl_free(points);
}

static void put_cell(struct csl_report *p, uint64_t round, uint32_t d)
{
    double weight, skill;
    if (!find(p->r, round, p->r->domains[d].id, "weight", &weight)) {
        csl_buf_str(p->out, "<td class=\"m none\">\xe2\x80\x93</td>");
        return;
    }
    csl_buf_printf(p->out, "<td class=\"m\"><b>%.3f</b>", weight);
    if (find(p->r, round, p->r->domains[d].id, "skill", &skill))
        csl_buf_printf(p->out, "<span class=\"r\">skill %.3f</span>", skill);
    csl_buf_str(p->out, "</td>");
}

static void put_table(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    uint64_t round = 0;
    csl_report__table(p, "What a patient of each domain counts on inputs that several domains "
                         "read, from the round after the evaluated model on. Skill: 1 less loss "
                         "over the loss of knowing the classes' shares alone, of validation "
                         "patients; under masks of training patients, from published sums.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\" class=\"num\">Model<br>of round</th>");
    for (uint32_t d = 0; d < r->domain_count; d++) {
        double patients;
        csl_buf_str(p->out, "<th scope=\"col\">");
        csl_report__text(p, r->domains[d].id);
        if (find(r, 0, r->domains[d].id, "patients", &patients))
            csl_buf_printf(p->out, "<span class=\"scale\">%.0f patients</span>", patients);
        csl_buf_str(p->out, "</th>");
    }
    csl_buf_str(p->out, "</tr></thead><tbody>\n");
    for (bool is_first = true; next_round(r, is_first, round, &round); is_first = false) {
        csl_buf_printf(p->out, "<tr><th scope=\"row\">%llu</th>", (unsigned long long)round);
        for (uint32_t d = 0; d < r->domain_count; d++)
            put_cell(p, round, d);
        csl_buf_str(p->out, "</tr>\n");
    }
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
}

void csl_report__weights(struct csl_report *p)
{
    const struct csl_study_domain_weights *w = &p->r->fairness.asked.domains;
    if (w->kind == CSL_DOMAIN_WEIGHTS_NONE)
        return;
    csl_report__section(p, "weights", "Weights of domains");
    csl_buf_printf(p->out,
                   "<p>Kind <b>%s</b>: patients of a domain to the power -%g, its skill to the "
                   "power -%g, relative to the other domains; ",
                   csl_domain_weights_name(w->kind), w->alpha, w->beta);
    if (isfinite(w->cap))
        csl_buf_printf(p->out, "no weight above %g or below 1/%g.</p>\n", w->cap, w->cap);
    else
        csl_buf_str(p->out, "<strong>without a bound</strong>: a small domain with wrong labels "
                            "can take over what domains share.</p>\n");
    put_chart(p);
    put_table(p);
    csl_report__end_section(p);
}
