#include "aggregation/evaluate/metrics.h"

#include "aggregation/evaluate/interval.h"
#include "base/check.h"

#include <string.h>

const struct csl_metric *csl_metrics_find(const struct csl_metrics *m, const char *name)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (strcmp(m->items[i].name, name) == 0)
            return &m->items[i];
    return NULL;
}

void csl_metrics_json(struct csl_json *j, const struct csl_metrics *m)
{
    csl_json_key(j, "metrics");
    csl_json_object(j);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct csl_metric *item = &m->items[i];
        csl_json_key(j, item->name);
        csl_json_object(j);
        csl_json_put_f64(j, "value", item->value);
        if (item->method != NULL) {
            csl_json_put_f64(j, "low", item->low);
            csl_json_put_f64(j, "high", item->high);
            csl_json_put_str(j, "method", item->method);
        } else {
            csl_json_key(j, "low");
            csl_json_null(j);
            csl_json_key(j, "high");
            csl_json_null(j);
            csl_json_key(j, "method");
            csl_json_null(j);
        }
        csl_json_end(j);
    }
    csl_json_end(j);
}

void csl_evaluate__add(struct csl_metrics *out, const char *name, double value, double low,
                       double high, const char *method)
{
    CSL_ASSERT(out->count < CSL_METRICS_MAX);
    CSL_ASSERT(low <= high);
    out->items[out->count++] = (struct csl_metric){
        .name = name, .method = method, .value = value, .low = low, .high = high};
}
