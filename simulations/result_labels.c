/* simulations/result_labels.c - single labels in a result, and in its summary.json. */
#include "simulations/result_labels.h"

#include "aggregation/evaluate/sums.h"
#include "base/mem.h"
#include "base/str.h"
#include "simulations/result_parts.h"

enum csl_code csl_result_add_label(struct csl_result *r, const struct csl_result_label *label,
                                   struct csl_err *err)
{
    struct csl_result_labels *l = &r->labels;
    struct csl_result_label *items =
        csl_realloc_array(l->items, (size_t)l->count + 1, sizeof(*items));
    if (items == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u labels", l->count + 1);
    l->items = items;
    l->items[l->count++] = *label;
    return CSL_OK;
}

bool csl_task_has_positives(enum csl_task_kind task)
{
    return task == CSL_TASK_BINARY || task == CSL_TASK_SURVIVAL;
}

bool csl_result_label_is_collapsed(const struct csl_result_label *label)
{
    static const char *const names[] = {"sensitivity", "specificity"};
    for (int i = 0; i < 2; i++) {
        const struct csl_metric *m = csl_metrics_find(&label->metrics, names[i]);
        if (m != NULL && m->value < CSL_COLLAPSED_BELOW)
            return true;
    }
    return false;
}

void csl_result__put_labels(struct csl_json *j, const struct csl_result *r)
{
    if (r->labels.count == 0)
        return;
    csl_json_key(j, "labels");
    csl_json_array(j);
    for (uint32_t i = 0; i < r->labels.count; i++) {
        const struct csl_result_label *l = &r->labels.items[i];
        csl_json_object(j);
        csl_json_put_str(j, "domain", r->domains[l->domain].id);
        csl_json_put_str(j, "label", l->name);
        csl_json_put_u64(j, "sites", l->sites);
        csl_result__put_metrics(j, &l->metrics);
        csl_json_end(j);
    }
    csl_json_end(j);
}

enum csl_code csl_result__read_labels(const struct csl_result_reader *rd,
                                      const struct csl_json_value *list)
{
    enum csl_code code = CSL_OK;
    for (size_t i = 0; i < csl_json_count(list) && code == CSL_OK; i++) {
        const struct csl_json_value *at = csl_json_at(list, i);
        struct csl_result_label l = {.domain = 0};
        const char *name = NULL;
        uint64_t sites = 0;
        if (!csl_result__find_domain(rd->r, at, "domain", &l.domain))
            return csl_result__bad(rd, "domain", "a domain of the run");
        if (!csl_json_as_str(csl_json_get(at, "label"), &name) || !csl_id_valid(name) ||
            !csl_str_copy(l.name, sizeof(l.name), name))
            return csl_result__bad(rd, "label", "the name of a label");
        if (!csl_json_as_u64(csl_json_get(at, "sites"), &sites) || sites > rd->r->site_count)
            return csl_result__bad(rd, "sites", "at most the sites of the run");
        l.sites = (uint32_t)sites;
        code = csl_result__read_metrics(rd, at, &l.metrics);
        if (code == CSL_OK)
            code = csl_result_add_label(rd->r, &l, rd->err);
    }
    return code;
}
