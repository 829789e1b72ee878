/* simulations/report_privacy.c - what privacy was promised, what it cost at every site and in
 * quality, and what stands behind the figures. */
#include "simulations/report_parts.h"

#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static bool is_mode(const struct csl_result *r, enum csl_privacy_mode mode)
{
    return strcmp(r->privacy, csl_privacy_mode_name(mode)) == 0;
}

static void put_paragraph(struct csl_report *p, const char *strong, const char *text)
{
    csl_buf_str(p->out, "<p>");
    if (strong[0] != 0) {
        csl_buf_str(p->out, "<strong>");
        csl_report__text(p, strong);
        csl_buf_str(p->out, "</strong> ");
    }
    csl_report__text(p, text);
    csl_buf_str(p->out, "</p>\n");
}

static void put_epsilon(struct csl_report *p, double epsilon, bool is_upper)
{
    char text[32];
    csl_epsilon_text(text, sizeof(text), epsilon, is_upper);
    csl_report__text(p, text);
}

static void put_number_cell(struct csl_report *p, double value)
{
    if (value > 0)
        csl_buf_printf(p->out, "<td class=\"num\">%.4g</td>", value);
    else
        csl_buf_str(p->out, "<td class=\"num none\">\xe2\x80\x93</td>");
}

/* --- the promise --- */

static void put_promise(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    put_paragraph(p, "", csl_result_mode_words(r));
    if (!is_mode(r, CSL_PRIVACY_SITE)) {
        put_paragraph(p, "Unit and adjacency:",
                      "all records of one patient at one hospital; add or remove. Epsilon says how "
                      "well those it is promised against could tell whether one "
                      "patient's records were there. How many patients a hospital trains on is "
                      "taken as public.");
        put_paragraph(p, "Patients known to two hospitals",
                      is_mode(r, CSL_PRIVACY_JOINT)
                          ? "are two patients of one sum: their epsilon doubles, and their delta "
                            "grows by the factor 1 + e^epsilon."
                          : "pay at both: at most the sum of what the two sites spent.");
    } else {
        put_paragraph(p, "Unit and adjacency:",
                      "all records of one hospital; add or remove. How many hospitals take part is "
                      "taken as public.");
    }
    csl_buf_str(p->out,
                "<p class=\"note\">Epsilon bounds how much one unit can change the odds of "
                "whatever anyone concludes: by a factor of at most e<sup>epsilon</sup> (1 is a "
                "factor of 2.7, 8 one of 2981), but for a failure of probability delta. It is "
                "charged before an update leaves and never rounded down.");
    if (r->statistics.domain_count == 0)
        csl_buf_str(p->out,
                    " The figures of quality on this page are of test patients, whom no training "
                    "touched; epsilon does not cover them.");
    if (r->baselines.is_present)
        csl_buf_str(p->out, " The models the federation is compared with were trained without "
                            "noise.");
    csl_buf_str(p->out, "</p>\n");
}

static void put_warnings(struct csl_report *p, const struct csl_result_spent *spent)
{
    const struct csl_result *r = p->r;
    if (spent->is_rehearsal)
        put_paragraph(p, "Rehearsal:", CSL_REHEARSAL_WORDS);
    if (spent->sites < r->site_count)
        csl_buf_printf(
            p->out,
            "<p><strong class=\"bad\">%u of %u sites kept no ledger</strong>, having never "
            "accepted the study; nothing of theirs is in the model.</p>\n",
            r->site_count - spent->sites, r->site_count);
    if (!spent->is_verified)
        csl_buf_str(p->out, "<p><strong class=\"bad\">Not every ledger verified.</strong> What "
                            "such a site spent is its word alone.</p>\n");
}

/* --- by site --- */

static void put_spent_cell(struct csl_report *p, const struct csl_result_site *s)
{
    const struct csl_result_privacy *v = &s->privacy;
    char title[320], spent[32];
    csl_epsilon_text(spent, sizeof(spent), v->epsilon, true);
    csl_buf_printf(p->out, "<td class=\"m\"><b>%s</b>", spent);
    if (isfinite(v->epsilon) && v->budget_epsilon > 0) {
        double percent = ceil(100.0 * v->epsilon / v->budget_epsilon - 1e-9);
        struct csl_svg_budget bar = {title, v->epsilon, v->budget_epsilon, 0, v->canaries > 0};
        bar.lower = bar.has_lower ? v->audit_epsilon_lower : 0;
        csl_buf_printf(p->out, "<span class=\"r\">%.0f %% of budget</span>", percent);
        (void)snprintf(title, sizeof(title),
                       "%s: epsilon %s spent of a budget of %.4g, %.0f percent", s->id, spent,
                       v->budget_epsilon, percent);
        csl_svg_budget(p->out, &bar);
    }
    csl_buf_str(p->out, "</td>");
}

static void put_verified_cell(struct csl_report *p, bool is_verified)
{
    csl_buf_str(p->out, is_verified ? "<td>verified</td>"
                                    : "<td><strong class=\"bad\">not verified</strong></td>");
}

static void put_site_row(struct csl_report *p, const struct csl_result_site *s)
{
    const struct csl_result_privacy *v = &s->privacy;
    csl_buf_str(p->out, "<tr><th scope=\"row\">");
    csl_report__text(p, s->id);
    csl_buf_str(p->out, "</th>");
    if (!v->is_present) {
        csl_buf_str(p->out, "<td class=\"none\" colspan=\"6\">no ledger: the site never accepted "
                            "the study</td></tr>\n");
        return;
    }
    put_spent_cell(p, s);
    put_number_cell(p, v->budget_epsilon);
    put_number_cell(p, v->delta);
    put_number_cell(p, v->noise_multiplier);
    csl_buf_printf(p->out, "<td class=\"num\">%llu</td>", (unsigned long long)v->entries);
    put_verified_cell(p, v->is_verified);
    csl_buf_str(p->out, "</tr>\n");
}

static void put_sum_row(struct csl_report *p, const struct csl_result_spent *spent)
{
    csl_buf_str(p->out, "<tr class=\"sum\"><th scope=\"row\">Federation (largest of the sites)</th>"
                        "<td class=\"m\"><b>");
    put_epsilon(p, spent->epsilon, true);
    csl_buf_str(p->out, "</b></td>");
    put_number_cell(p, 0);
    put_number_cell(p, spent->delta);
    put_number_cell(p, 0);
    csl_buf_printf(p->out, "<td class=\"num\">%llu</td>", (unsigned long long)spent->entries);
    put_verified_cell(p, spent->is_verified);
    csl_buf_str(p->out, "</tr>\n");
}

static void put_sites(struct csl_report *p, const struct csl_result_spent *spent)
{
    const struct csl_result *r = p->r;
    csl_report__table(p, spent->has_audit
                             ? "What every site spent, from its own ledger. The bar runs from 0 to "
                               "the site's budget; the mark on it is the audit's lower bound."
                             : "What every site spent, from its own ledger. The bar runs from 0 to "
                               "the site's budget.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\">Site</th><th scope=\"col\">Epsilon spent</th>"
                        "<th scope=\"col\" class=\"num\">Budget</th>"
                        "<th scope=\"col\" class=\"num\">Delta</th>"
                        "<th scope=\"col\" class=\"num\">Noise<br>multiplier</th>"
                        "<th scope=\"col\" class=\"num\">Ledger<br>entries</th>"
                        "<th scope=\"col\">Ledger</th></tr></thead><tbody>\n");
    for (uint32_t s = 0; s < r->site_count && s < CSL_REPORT_SITES_SHOWN; s++)
        put_site_row(p, &r->sites[s]);
    put_sum_row(p, spent);
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
    if (r->site_count > CSL_REPORT_SITES_SHOWN)
        csl_buf_printf(p->out, "<p class=\"note\">%u more sites are in metrics.csv.</p>\n",
                       r->site_count - CSL_REPORT_SITES_SHOWN);
    csl_buf_str(p->out, "<p class=\"note\">The sites hold different patients, so that the "
                        "federation costs a patient what the dearest site costs, and not the "
                        "sum. The noise multiplier is the standard deviation of the noise over "
                        "the clip. Budget is what the site's own policy allows.</p>\n");
}

/* --- what the opened sums cost --- */

static void put_realised_row(struct csl_report *p, const char *name, double epsilon,
                             const char *shares)
{
    csl_buf_str(p->out, "<tr><th scope=\"row\">");
    csl_report__text(p, name);
    csl_buf_str(p->out, "</th><td class=\"num\">");
    put_epsilon(p, epsilon, true);
    csl_buf_printf(p->out, "</td><td class=\"num\">%s</td></tr>\n", shares);
}

/* The rows of metrics.csv: three of a round, in this order (run_realised.c). */
static void put_realised_rounds(struct csl_report *p)
{
    static const char *const metrics[] = {"epsilon_coordinator", "epsilon_colluding",
                                          "epsilon_planned"};
    const struct csl_result *r = p->r;
    uint64_t round = 0;
    csl_buf_str(p->out, "<details><summary>After each round</summary>");
    csl_report__table(p, "Epsilon of all sums opened up to a round.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\" class=\"num\">Round</th>"
                        "<th scope=\"col\" class=\"num\">Coordinator<br>alone</th>"
                        "<th scope=\"col\" class=\"num\">With the<br>colluding sites</th>"
                        "<th scope=\"col\" class=\"num\">As planned</th></tr></thead><tbody>\n");
    for (uint32_t i = 0; i < r->row_count; i++) {
        const struct csl_result_row *row = &r->rows[i];
        if (strcmp(row->scope, "privacy_sum") != 0)
            continue;
        if (row->round != round)
            csl_buf_printf(p->out, "%s<tr><th scope=\"row\" class=\"num\">%llu</th>",
                           round != 0 ? "</tr>\n" : "", (unsigned long long)row->round);
        round = row->round;
        for (size_t m = 0; m < sizeof(metrics) / sizeof(metrics[0]); m++) {
            if (strcmp(row->metric, metrics[m]) != 0)
                continue;
            csl_buf_str(p->out, "<td class=\"num\">");
            put_epsilon(p, row->value, true);
            csl_buf_str(p->out, "</td>");
        }
    }
    csl_buf_str(p->out, round != 0 ? "</tr>\n</tbody>" : "</tbody>");
    csl_report__end_table(p);
    csl_buf_str(p->out, "</details>\n");
}

static void put_realised(struct csl_report *p)
{
    const struct csl_result_realised *v = &p->r->realised;
    char name[64], shares[32];
    if (!v->is_present)
        return;
    csl_report__table(p, "What the sums that were opened cost, from the noise in each of them.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\">Against</th>"
                        "<th scope=\"col\" class=\"num\">Epsilon</th>"
                        "<th scope=\"col\" class=\"num\">Shares of noise<br>counted</th>"
                        "</tr></thead><tbody>\n");
    csl_realised_shares(shares, sizeof(shares), v, 0);
    put_realised_row(p, "The coordinator alone", v->coordinator, shares);
    csl_realised_shares(shares, sizeof(shares), v, v->colluding_sites);
    (void)snprintf(name, sizeof(name), "The coordinator with %u colluding site%s",
                   v->colluding_sites, csl_str_plural(v->colluding_sites));
    put_realised_row(p, name, v->colluding, shares);
    (void)snprintf(shares, sizeof(shares), "%u", v->floor - v->colluding_sites);
    put_realised_row(p, "As planned, and charged", v->planned, shares);
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
    csl_buf_str(p->out, "<p class=\"note\">" CSL_REALISED_WORDS "</p>\n");
    put_realised_rounds(p);
}

static void put_heads(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    csl_buf_str(p->out, "<details><summary>Ledger heads</summary><p class=\"note\">Root of the "
                        "last signed head of each site's ledger. A ledger shown later must lead "
                        "up to the same root; verified means that the export was checked with the "
                        "site's public key alone.</p><dl class=\"facts\">");
    for (uint32_t s = 0; s < r->site_count && s < CSL_REPORT_SITES_SHOWN; s++) {
        const struct csl_result_privacy *v = &r->sites[s].privacy;
        if (!v->is_present || v->head[0] == 0)
            continue;
        csl_buf_str(p->out, "<div class=\"wide\"><dt>");
        csl_report__text(p, r->sites[s].id);
        csl_buf_str(p->out, v->is_verified ? ", verified" : ", not verified");
        csl_buf_str(p->out, "</dt><dd><code>");
        csl_report__text(p, v->head);
        csl_buf_str(p->out, "</code></dd></div>");
    }
    csl_buf_str(p->out, "</dl></details>\n");
}

/* --- audit --- */

static void put_audit_row(struct csl_report *p, const struct csl_result_site *s)
{
    const struct csl_result_privacy *v = &s->privacy;
    csl_buf_str(p->out, "<tr><th scope=\"row\">");
    csl_report__text(p, s->id);
    csl_buf_str(p->out, "</th><td class=\"num\">");
    put_epsilon(p, v->audit_epsilon_lower, false);
    csl_buf_str(p->out, "</td><td class=\"num\">");
    put_epsilon(p, v->epsilon, true);
    csl_buf_printf(p->out,
                   "</td><td class=\"num\">%u</td><td class=\"num\">%u of %u</td>"
                   "<td class=\"num\">%.4g %%</td></tr>\n",
                   v->canaries, v->correct, v->guesses, 100.0 * v->audit_confidence);
}

static void put_audit(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    bool is_broken = false;
    csl_buf_str(p->out, "<h3>Audit</h3><p>Fictitious patients (canaries) took part in the training "
                        "of each site, each by the toss of a coin, and from the noisy sums it was "
                        "guessed which ones did. How often the guess was right bounds epsilon from "
                        "below. A lower bound far below the upper one is normal: few guesses prove "
                        "little. The model of this page was trained with the canaries.</p>\n");
    csl_report__table(p, "Lower bound of the audit beside the upper bound of the ledger.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\">Site</th>"
                        "<th scope=\"col\" class=\"num\">Epsilon at least<br>(audit)</th>"
                        "<th scope=\"col\" class=\"num\">Epsilon at most<br>(ledger)</th>"
                        "<th scope=\"col\" class=\"num\">Canaries</th>"
                        "<th scope=\"col\" class=\"num\">Right guesses</th>"
                        "<th scope=\"col\" class=\"num\">Confidence</th></tr></thead><tbody>\n");
    for (uint32_t s = 0; s < r->site_count; s++) {
        const struct csl_result_privacy *v = &r->sites[s].privacy;
        if (!v->is_present || v->canaries == 0)
            continue;
        is_broken = is_broken || v->audit_epsilon_lower > v->epsilon;
        if (s < CSL_REPORT_SITES_SHOWN)
            put_audit_row(p, &r->sites[s]);
    }
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
    if (is_broken)
        csl_buf_str(p->out, "<p><strong class=\"bad\">A lower bound is above the ledger's upper "
                            "bound.</strong> Beyond the chance that the confidence leaves, the "
                            "promise was broken: do not rely on it.</p>\n");
}

void csl_report__privacy(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    struct csl_result_spent spent;
    if (!csl_result_has_privacy(r))
        return;
    csl_report__section(p, "privacy", "Privacy");
    put_promise(p);
    if (csl_result_spent(r, &spent)) {
        put_warnings(p, &spent);
        put_sites(p, &spent);
        put_realised(p);
        put_heads(p);
        if (spent.has_audit)
            put_audit(p);
    } else {
        csl_buf_str(p->out, "<p><strong class=\"bad\">No site kept a ledger</strong>: nothing is "
                            "known about the privacy loss of this run.</p>\n");
    }
    csl_report__end_section(p);
}

/* --- price of privacy --- */

static void put_price_row(struct csl_report *p, const struct csl_result_price *price,
                          uint32_t domain, const char *const *metrics)
{
    const struct csl_evaluation_spread *e = &price->repeats.federated;
    csl_buf_str(p->out, "<tr><th scope=\"row\">");
    if (isfinite(price->epsilon))
        csl_buf_printf(p->out, "%g", price->epsilon);
    else
        csl_buf_str(p->out, "without privacy");
    csl_buf_str(p->out, "</th>");
    for (uint32_t i = 0; metrics[i] != NULL; i++)
        csl_report__spread_cell(p, csl_spread_find(&e->means[domain], metrics[i]));
    csl_report__spread_cell(p, csl_spread_find(&e->pooled[domain], metrics[0]));
    if (!(price->noise_high > 0))
        csl_buf_str(p->out, "<td class=\"num none\">\xe2\x80\x93</td>");
    else if (price->noise_high > price->noise_low)
        csl_buf_printf(p->out, "<td class=\"num\">%.3g\xe2\x80\x93%.3g</td>", price->noise_low,
                       price->noise_high);
    else
        csl_buf_printf(p->out, "<td class=\"num\">%.3g</td>", price->noise_high);
    csl_buf_printf(p->out, "<td class=\"num\">%u</td></tr>\n", price->repeats.count);
}

static void put_price_table(struct csl_report *p, uint32_t domain)
{
    const struct csl_result *r = p->r;
    const char *const *metrics = csl_headline(r->domains[domain].task);
    csl_report__table(p, "Quality at each epsilon: mean \xc2\xb1 sample standard deviation over "
                         "seeds.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\">Epsilon</th>");
    for (uint32_t i = 0; metrics[i] != NULL; i++) {
        csl_buf_str(p->out, "<th scope=\"col\">");
        csl_report__text(p, csl_metric_title(metrics[i]));
        csl_buf_str(p->out, ",<br>mean over sites</th>");
    }
    csl_buf_str(p->out, "<th scope=\"col\">");
    csl_report__text(p, csl_metric_title(metrics[0]));
    csl_buf_str(p->out, ",<br>all together</th><th scope=\"col\" class=\"num\">Noise multiplier"
                        "<br>of the sites</th><th scope=\"col\" class=\"num\">Seeds</th></tr>"
                        "</thead><tbody>\n");
    for (uint32_t i = 0; i < r->price_count; i++)
        put_price_row(p, &r->prices[i], domain, metrics);
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
}

struct price_line {
    double x[CSL_PRICES_MAX], y[CSL_PRICES_MAX], low[CSL_PRICES_MAX], high[CSL_PRICES_MAX];
    char labels[CSL_PRICES_MAX][24];
    const char *label_list[CSL_PRICES_MAX];
    uint32_t count;
    double reference[2], ends[2]; /* without privacy, from the first to the last epsilon */
    bool has_reference;
};

/* The mean over sites by epsilon; a figure outside [0, 1] is not one of a headline metric. */
static void take_line(const struct csl_result *r, uint32_t domain, struct price_line *line)
{
    const char *metric = csl_headline(r->domains[domain].task)[0];
    for (uint32_t i = 0; i < r->price_count; i++) {
        const struct csl_result_price *price = &r->prices[i];
        const struct csl_spread *s =
            csl_spread_find(&price->repeats.federated.means[domain], metric);
        double sd = 0;
        if (s == NULL || !(s->mean >= 0 && s->mean <= 1))
            continue;
        if (!isfinite(price->epsilon)) {
            line->reference[0] = line->reference[1] = s->mean;
            line->has_reference = true;
            continue;
        }
        uint32_t n = line->count++;
        line->x[n] = log2(price->epsilon);
        line->y[n] = s->mean;
        sd = csl_spread_sd(s, &sd) && sd <= 1 ? sd : 0;
        line->low[n] = s->mean - sd;
        line->high[n] = s->mean + sd;
        (void)snprintf(line->labels[n], sizeof(line->labels[n]), "%g", price->epsilon);
        line->label_list[n] = line->labels[n];
    }
    if (line->count > 0) {
        line->ends[0] = line->x[0];
        line->ends[1] = line->x[line->count - 1];
    }
}

static void put_price_chart(struct csl_report *p, uint32_t domain)
{
    const struct csl_result *r = p->r;
    struct price_line line = {.count = 0};
    char title[160], description[240];
    take_line(r, domain, &line);
    if (line.count < 2)
        return;
    const char *metric = csl_metric_title(csl_headline(r->domains[domain].task)[0]);
    const struct csl_svg_series series[] = {
        {"mean over sites, \xc2\xb1 standard deviation over seeds", 0, line.count, line.x, line.y,
         line.low, line.high},
        {"mean over sites, without privacy", 7, line.has_reference ? 2 : 0, line.ends,
         line.reference, NULL, NULL}};
    (void)snprintf(title, sizeof(title), "%s by epsilon", metric);
    (void)snprintf(description, sizeof(description),
                   "%u points from epsilon %s, where %s is %.3f, to epsilon %s, where it is %.3f.",
                   line.count, line.labels[0], metric, line.y[0], line.labels[line.count - 1],
                   line.y[line.count - 1]);
    const struct csl_svg_chart chart = {.id = p->next_id++,
                                        .title = title,
                                        .description = description,
                                        .x_label = "epsilon (each doubling equally wide)",
                                        .y_label = "mean over sites",
                                        .series = series,
                                        .series_count = 2,
                                        .ticks = line.x,
                                        .tick_labels = line.label_list,
                                        .tick_count = line.count};
    csl_buf_str(p->out, "<div class=\"charts small\">");
    csl_svg_chart(p->out, &chart);
    csl_buf_str(p->out, "</div>\n");
}

void csl_report__prices(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    if (r->price_count == 0)
        return;
    csl_report__section(p, "prices", "Price of privacy");
    csl_buf_str(p->out, "<p>The same study at other values of epsilon, everything else unchanged: "
                        "what protection costs in quality. Less epsilon is more noise.</p>\n");
    for (uint32_t d = 0; d < r->domain_count; d++) {
        if (r->domain_count > 1) {
            csl_buf_str(p->out, "<h3>");
            csl_report__text(p, r->domains[d].id);
            csl_buf_str(p->out, "</h3>");
        }
        put_price_chart(p, d);
        put_price_table(p, d);
    }
    csl_buf_str(p->out, "<p class=\"note\">A sweep is for simulations. On real patients every one "
                        "of these runs would be charged, and their epsilons add up.</p>\n");
    csl_report__end_section(p);
}
