#include "site-agent/data/report.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static void column_text(const struct csl_record_modality *m, uint32_t k,
                        const struct csl_column_counts *c, struct csl_buf *text)
{
    csl_buf_printf(text, "  %-32s %-10s missing %u", m->feature_names[k], m->feature_units[k],
                   c->missing);
    if (m->rank > 1 && c->patients >= CSL_REPORT_PATIENTS_MIN)
        csl_buf_printf(text, ", %.1f measured per record", (double)c->known / c->available);
    if (c->patients >= CSL_REPORT_PATIENTS_MIN)
        csl_buf_printf(text, ", mean %.4g, deviation %.4g", c->mean, c->std);
    else
        csl_buf_printf(text, ", mean withheld (fewer than %d patients)", CSL_REPORT_PATIENTS_MIN);
    if (m->range_min[k] < m->range_max[k])
        csl_buf_printf(text, ", plausible %g to %g", m->range_min[k], m->range_max[k]);
    csl_buf_str(text, "\n");
}

static void column_json(const struct csl_record_modality *m, uint32_t k,
                        const struct csl_column_counts *c, struct csl_json *json)
{
    csl_json_object(json);
    csl_json_put_str(json, "name", m->feature_names[k]);
    csl_json_put_str(json, "unit", m->feature_units[k]);
    csl_json_put_u64(json, "missing", c->missing);
    if (m->rank > 1 && c->patients >= CSL_REPORT_PATIENTS_MIN)
        csl_json_put_u64(json, "measured", c->known);
    if (c->patients >= CSL_REPORT_PATIENTS_MIN) {
        csl_json_put_f64(json, "mean", c->mean);
        csl_json_put_f64(json, "std", c->std);
    }
    if (m->range_min[k] < m->range_max[k]) {
        csl_json_put_f64(json, "range_min", m->range_min[k]);
        csl_json_put_f64(json, "range_max", m->range_max[k]);
    }
    csl_json_end(json);
}

static void modality_head(const struct csl_record_modality *m, uint32_t available,
                          struct csl_buf *text, struct csl_json *json)
{
    if (text != NULL) {
        csl_buf_printf(text, "modality %s (%s, ", m->name, m->kind);
        for (uint32_t i = 0; i < m->rank; i++)
            csl_buf_printf(text, "%s%u", i > 0 ? " x " : "", m->shape[i]);
        csl_buf_printf(text, "): in %u record%s", available, csl_str_plural(available));
        if (m->sampling_rate_hz > 0.0)
            csl_buf_printf(text, ", %g Hz", m->sampling_rate_hz);
        csl_buf_str(text, "\n");
    }
    if (json == NULL)
        return;
    csl_json_object(json);
    csl_json_put_str(json, "name", m->name);
    csl_json_put_str(json, "kind", m->kind);
    csl_json_put_u64(json, "available", available);
    if (m->sampling_rate_hz > 0.0)
        csl_json_put_f64(json, "sampling_rate_hz", m->sampling_rate_hz);
    csl_json_key(json, "shape");
    csl_json_array(json);
    for (uint32_t i = 0; i < m->rank; i++)
        csl_json_u64(json, m->shape[i]);
    csl_json_end(json);
}

static void describe_text(const struct csl_records *r, const struct csl_record_modality *m,
                          struct csl_buf *text, struct csl_json *json)
{
    struct csl_text_counts c;
    const struct csl_text_rule *rule = &m->text->rule;
    uint32_t available = csl_report_available(r, m);
    csl_report_text(r, m, &c);
    bool is_shown = c.patients >= CSL_REPORT_PATIENTS_MIN;
    if (text != NULL) {
        csl_buf_printf(text, "  %u buckets, n-grams of up to %u word%s; ", rule->buckets,
                       rule->ngrams, csl_str_plural(rule->ngrams));
        if (is_shown)
            csl_buf_printf(text, "%.1f tokens per note, %u note%s of %u or more",
                           (double)c.tokens / available, c.full, csl_str_plural(c.full),
                           rule->tokens_max);
        else
            csl_buf_printf(text, "lengths withheld (fewer than %d patients)",
                           CSL_REPORT_PATIENTS_MIN);
        csl_buf_printf(text, "; the notes themselves are %s\n",
                       m->text->kept != NULL ? "in the file" : "not in the file");
    }
    if (json == NULL)
        return;
    csl_json_put_u64(json, "buckets", rule->buckets);
    csl_json_put_u64(json, "ngrams", rule->ngrams);
    if (is_shown) {
        csl_json_put_u64(json, "tokens", c.tokens);
        csl_json_put_u64(json, "full", c.full);
    }
    csl_json_put_bool(json, "keeps_text", m->text->kept != NULL);
}

static void describe_modality(const struct csl_records *r, const struct csl_record_modality *m,
                              struct csl_buf *text, struct csl_json *json)
{
    modality_head(m, csl_report_available(r, m), text, json);
    if (m->text != NULL)
        describe_text(r, m, text, json);
    if (csl_modality_is_named__(m)) {
        if (json != NULL) {
            csl_json_key(json, "features");
            csl_json_array(json);
        }
        for (uint32_t k = 0; k < csl_modality_names__(m); k++) {
            struct csl_column_counts c;
            csl_report_column(r, m, k, m->range_min[k], m->range_max[k], &c);
            if (text != NULL)
                column_text(m, k, &c, text);
            if (json != NULL)
                column_json(m, k, &c, json);
        }
        if (json != NULL)
            csl_json_end(json);
    }
    if (json != NULL)
        csl_json_end(json);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put_group(const char *value, uint32_t patients, struct csl_buf *text,
                      struct csl_json *json)
{
    if (text != NULL)
        csl_buf_printf(text, "  %-20s %6u patient%s\n", value, patients, csl_str_plural(patients));
    if (json != NULL)
        csl_json_put_u64(json, value, patients);
}

/* A value that few patients share could tell who they are, so such values are counted together. */
static enum csl_code describe_attribute(const struct csl_records *r,
                                        const struct csl_record_attribute *a, struct csl_buf *text,
                                        struct csl_json *json, struct csl_err *err)
{
    uint32_t n = r->patient_count, rare = 0, unknown = 0;
    const char **sorted = csl_alloc_array(n, sizeof(*sorted));
    if (sorted == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to look at %u patients", n);
    for (uint32_t i = 0; i < n; i++)
        sorted[i] = a->value[i];
    qsort(sorted, n, sizeof(*sorted), compare_texts);
    if (text != NULL)
        csl_buf_printf(text, "attribute %s\n", a->name);
    if (json != NULL) {
        csl_json_object(json);
        csl_json_put_str(json, "name", a->name);
        csl_json_key(json, "groups");
        csl_json_object(json);
    }
    for (uint32_t i = 0, k; i < n; i = k) {
        for (k = i + 1; k < n && strcmp(sorted[i], sorted[k]) == 0;)
            k++;
        if (sorted[i][0] == '\0')
            unknown = k - i;
        else if (k - i < CSL_REPORT_PATIENTS_MIN)
            rare += k - i;
        else
            put_group(sorted[i], k - i, text, json);
    }
    if (json != NULL) {
        csl_json_end(json);
        csl_json_put_u64(json, "in_small_groups", rare);
        csl_json_put_u64(json, "unknown", unknown);
        csl_json_end(json);
    }
    if (text != NULL)
        csl_buf_printf(text, "  in groups of fewer than %d: %u patient%s; unknown: %u\n",
                       CSL_REPORT_PATIENTS_MIN, rare, csl_str_plural(rare), unknown);
    csl_free(sorted);
    return CSL_OK;
}

enum csl_code csl_records_describe(const struct csl_records *r, struct csl_buf *text,
                                   struct csl_json *json, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    if (json != NULL)
        csl_json_object(json);
    csl_report_head(r, text, json);
    if (text != NULL)
        csl_buf_printf(text, "licence: %s\nsplit rule: %s\n", r->licence, r->split_rule);
    if (json != NULL) {
        csl_json_put_str(json, "licence", r->licence);
        csl_json_put_str(json, "split_rule", r->split_rule);
        csl_json_key(json, "modalities");
        csl_json_array(json);
    }
    for (uint32_t k = 0; k < r->modality_count; k++)
        describe_modality(r, &r->modalities[k], text, json);
    if (json != NULL)
        csl_json_end(json);
    csl_report_labels(r, text, json);
    if (json != NULL) {
        csl_json_key(json, "attributes");
        csl_json_array(json);
    }
    for (uint32_t k = 0; k < r->attribute_count && code == CSL_OK; k++)
        code = describe_attribute(r, &r->attributes[k], text, json, err);
    if (json != NULL) {
        csl_json_end(json);
        csl_json_end(json);
    }
    if (code == CSL_OK && text != NULL)
        code = csl_buf_status(text, err);
    if (code == CSL_OK && json != NULL)
        code = csl_buf_status(json->out, err);
    return code;
}
