/* simulations/report_rejected.c - rounds that were not applied, and why. */
#include "simulations/report_parts.h"

#include <math.h>

#include "base/banned.h"

static void put_cell(struct csl_report *p, double value, const char *none)
{
    if (value < HUGE_VAL)
        csl_buf_printf(p->out, "<td class=\"num\">%.4g</td>", value);
    else
        csl_buf_printf(p->out, "<td class=\"num\">%s</td>", none);
}

static uint32_t count_rounds(const struct csl_result *r, bool by_vote)
{
    struct csl_result_rejected v;
    uint32_t at = 0, count = 0;
    while (csl_result_next_rejected(r, &at, &v))
        count += v.is_by_vote == by_vote;
    return count;
}

static void put_row(struct csl_report *p, const struct csl_result_rejected *v)
{
    csl_buf_printf(p->out, "<tr><th scope=\"row\" class=\"num\">%llu</th>",
                   (unsigned long long)v->round);
    if (v->is_by_vote) {
        put_cell(p, v->worse, "none");
        put_cell(p, v->voters, "none");
    } else {
        csl_buf_str(p->out, "<td>");
        csl_report__text(p, v->block);
        csl_buf_str(p->out, "</td>");
        put_cell(p, v->norm, "no number");
        put_cell(p, v->limit, "none");
    }
    csl_buf_str(p->out, "</tr>\n");
}

static void put_rows(struct csl_report *p, bool by_vote)
{
    struct csl_result_rejected v;
    uint32_t at = 0;
    while (csl_result_next_rejected(p->r, &at, &v))
        if (v.is_by_vote == by_vote)
            put_row(p, &v);
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
}

static void put_norms(struct csl_report *p)
{
    csl_buf_str(p->out, "<p>The mean update of these rounds was longer than the study allows, and "
                        "the model stayed as it was before. What the rounds cost in privacy is "
                        "spent. Whose update it was cannot be seen from a mean.</p>\n");
    csl_report__table(p, "Norm (L2) of the mean update of the block furthest beyond its limit.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\" class=\"num\">Round</th>"
                        "<th scope=\"col\">Block</th><th scope=\"col\" class=\"num\">Norm</th>"
                        "<th scope=\"col\" class=\"num\">Limit</th></tr></thead><tbody>\n");
    put_rows(p, false);
}

static void put_votes(struct csl_report *p)
{
    csl_buf_str(p->out, "<p>The sites found the models of these rounds worse for their own "
                        "validation patients than the last accepted model, and the study went back "
                        "to that. A vote says nothing of what shows in no validation patient, as a "
                        "backdoor does.</p>\n");
    csl_report__table(p, "Votes on the model of the round.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\" class=\"num\">Round</th>"
                        "<th scope=\"col\" class=\"num\">Found it worse</th>"
                        "<th scope=\"col\" class=\"num\">Voted</th></tr></thead><tbody>\n");
    put_rows(p, true);
}

void csl_report__rejected(struct csl_report *p)
{
    uint32_t by_norm = count_rounds(p->r, false), by_vote = count_rounds(p->r, true);
    if (by_norm + by_vote == 0)
        return;
    csl_report__section(p, "rejected", "Rounds that were not applied");
    if (by_norm > 0)
        put_norms(p);
    if (by_vote > 0)
        put_votes(p);
    csl_report__end_section(p);
}
