/* simulations/report_rejected.c - rounds that were not applied, and why. */
#include "simulations/report_parts.h"

#include <string.h>

#include "base/banned.h"

static bool is_row(const struct csl_result_row *row, const char *metric)
{
    return strcmp(row->scope, CSL_RESULT_REJECTED) == 0 && strcmp(row->metric, metric) == 0;
}

/* The rows of one round follow one another, its "rejected" first. */
static void put_cell(struct csl_report *p, uint32_t first, const char *metric, const char *none)
{
    const struct csl_result *r = p->r;
    for (uint32_t i = first; i < r->row_count && r->rows[i].round == r->rows[first].round; i++) {
        if (!is_row(&r->rows[i], metric))
            continue;
        csl_buf_printf(p->out, "<td class=\"num\">%.4g</td>", r->rows[i].value);
        return;
    }
    csl_buf_printf(p->out, "<td class=\"num\">%s</td>", none);
}

void csl_report__rejected(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->row_count; i++)
        count += is_row(&r->rows[i], "rejected");
    if (count == 0)
        return;
    csl_report__section(p, "rejected", "Rounds that were not applied");
    csl_buf_str(p->out, "<p>The mean update of these rounds was longer than the study allows, and "
                        "the model stayed as it was before. What the rounds cost in privacy is "
                        "spent. Whose update it was cannot be seen from a mean.</p>\n");
    csl_report__table(p, "Norm (L2) of the mean update of the block furthest beyond its limit.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\" class=\"num\">Round</th>"
                        "<th scope=\"col\">Block</th><th scope=\"col\" class=\"num\">Norm</th>"
                        "<th scope=\"col\" class=\"num\">Limit</th></tr></thead><tbody>\n");
    for (uint32_t i = 0; i < r->row_count; i++) {
        if (!is_row(&r->rows[i], "rejected"))
            continue;
        csl_buf_printf(p->out, "<tr><th scope=\"row\" class=\"num\">%llu</th><td>",
                       (unsigned long long)r->rows[i].round);
        csl_report__text(p, r->rows[i].domain);
        csl_buf_str(p->out, "</td>");
        put_cell(p, i, "norm", "no number");
        put_cell(p, i, "limit", "none");
        csl_buf_str(p->out, "</tr>\n");
    }
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
    csl_report__end_section(p);
}
