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

void csl_report__rejected(struct csl_report *p)
{
    const struct csl_result *r = p->r;
    struct csl_result_rejected v;
    uint32_t at = 0;
    if (!csl_result_next_rejected(r, &at, &v))
        return;
    csl_report__section(p, "rejected", "Rounds that were not applied");
    csl_buf_str(p->out, "<p>The mean update of these rounds was longer than the study allows, and "
                        "the model stayed as it was before. What the rounds cost in privacy is "
                        "spent. Whose update it was cannot be seen from a mean.</p>\n");
    csl_report__table(p, "Norm (L2) of the mean update of the block furthest beyond its limit.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\" class=\"num\">Round</th>"
                        "<th scope=\"col\">Block</th><th scope=\"col\" class=\"num\">Norm</th>"
                        "<th scope=\"col\" class=\"num\">Limit</th></tr></thead><tbody>\n");
    do {
        csl_buf_printf(p->out, "<tr><th scope=\"row\" class=\"num\">%llu</th><td>",
                       (unsigned long long)v.round);
        csl_report__text(p, v.block);
        csl_buf_str(p->out, "</td>");
        put_cell(p, v.norm, "no number");
        put_cell(p, v.limit, "none");
        csl_buf_str(p->out, "</tr>\n");
    } while (csl_result_next_rejected(r, &at, &v));
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
    csl_report__end_section(p);
}
