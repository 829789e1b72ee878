/* simulations/report_labels.c - the labels of a domain that predicts several at once: a table of
 * the page. */
#include "simulations/report_parts.h"

static const char *const metrics[] = {"auc", "sensitivity", "specificity", NULL};

static void put_row(struct csl_report *p, const struct csl_result_label *l,
                    const struct csl_report_scale *scales)
{
    csl_buf_str(p->out, "<tr><th scope=\"row\">");
    csl_report__text(p, l->name);
    csl_report__few(p, &l->metrics, CSL_TASK_BINARY);
    csl_buf_str(p->out, "</th>");
    for (uint32_t i = 0; metrics[i] != NULL; i++)
        csl_report__metric_cell(p, csl_metrics_find(&l->metrics, metrics[i]), l->name, &scales[i]);
    csl_buf_printf(
        p->out,
        "<td class=\"num\">%llu</td><td class=\"num\">%llu</td><td class=\"num\">%u</td></tr>\n",
        (unsigned long long)l->metrics.examples, (unsigned long long)l->metrics.positives,
        l->sites);
}

void csl_report__labels(struct csl_report *p, uint32_t domain)
{
    const struct csl_result_labels *labels = &p->r->labels;
    struct csl_report_scale scales[4] = {0};
    if (p->r->domains[domain].task != CSL_TASK_LABELS)
        return;
    for (uint32_t k = 0; k < labels->count; k++)
        for (uint32_t i = 0; metrics[i] != NULL && labels->items[k].domain == domain; i++)
            csl_report__scale_add(&scales[i],
                                  csl_metrics_find(&labels->items[k].metrics, metrics[i]));
    csl_report__table(p, "The federated model by label, on the test records of all sites whose "
                         "answer is known. The figures of the other tables are means over the "
                         "labels, whose intervals are means as well: no narrower than the truth.");
    csl_buf_str(p->out, "<thead><tr><th scope=\"col\">Label</th>");
    for (uint32_t i = 0; metrics[i] != NULL; i++) {
        csl_report__scale_end(&scales[i]);
        csl_report__metric_head(p, metrics[i], &scales[i]);
    }
    csl_buf_str(p->out, "<th scope=\"col\" class=\"num\">Known<br>records</th>"
                        "<th scope=\"col\" class=\"num\">Positive</th>"
                        "<th scope=\"col\" class=\"num\">Sites</th></tr></thead><tbody>\n");
    for (uint32_t k = 0; k < labels->count; k++)
        if (labels->items[k].domain == domain)
            put_row(p, &labels->items[k], scales);
    csl_buf_str(p->out, "</tbody>");
    csl_report__end_table(p);
}
