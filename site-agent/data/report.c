#include "site-agent/data/report.h"

#include "base/str.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

const char *const csl_split_names[3] = {"train", "validation", "test"};

void csl_report_splits(const struct csl_records *r, struct csl_split_counts *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t p = 0; p < r->patient_count; p++)
        out->patients[r->split[p]]++;
    for (uint32_t i = 0; i < r->record_count; i++)
        out->records[r->split[r->patient[i]]]++;
}

void csl_report_label(const struct csl_records *r, const struct csl_record_label *l, uint8_t split,
                      struct csl_label_counts *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < r->record_count; i++) {
        if (r->split[r->patient[i]] != split)
            continue;
        bool is_known = l->classes > 0 ? l->value[i] != CSL_LABEL_UNKNOWN : !isnan(l->time[i]);
        out->known += is_known;
        out->unknown += !is_known;
        if (is_known)
            out->classes[l->classes > 0 ? (uint32_t)l->value[i] : l->event[i] > 0.0f]++;
    }
}

uint32_t csl_report_available(const struct csl_records *r, const struct csl_record_modality *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->record_count; i++)
        n += m->available[i];
    return n;
}

/* Values of one variable in one record: `steps` of them, `stride` apart. */
static void count_record(const float *v, uint32_t steps, uint32_t stride, double range_min,
                         double range_max, struct csl_column_counts *c, double *sum)
{
    uint32_t known = 0;
    bool is_outside = false;
    for (uint32_t t = 0; t < steps; t++) {
        double x = (double)v[(size_t)t * stride];
        if (isnan(x))
            continue;
        known++;
        *sum += x;
        is_outside = is_outside || (range_min < range_max && (x < range_min || x > range_max));
    }
    c->known += known;
    c->missing += known == 0;
    c->out_of_range += is_outside;
}

void csl_report_column(const struct csl_records *r, const struct csl_record_modality *m,
                       uint32_t column, double range_min, double range_max,
                       struct csl_column_counts *out)
{
    uint32_t names = csl_modality_names__(m), width = csl_modality_width__(m);
    uint32_t steps = width / names, last = UINT32_MAX;
    double sum = 0.0, squares = 0.0;
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < r->record_count; i++) {
        uint64_t before = out->known;
        if (m->available[i] == 0)
            continue;
        out->available++;
        count_record(m->values + (size_t)i * width + column, steps, names, range_min, range_max,
                     out, &sum);
        if (out->known == before)
            continue;
        out->patients += r->patient[i] != last;
        last = r->patient[i];
    }
    out->mean = out->known > 0 ? sum / (double)out->known : 0.0;
    for (size_t i = 0; i < (size_t)r->record_count * steps; i++) {
        double v = (double)m->values[i * names + column];
        if (!isnan(v))
            squares += (v - out->mean) * (v - out->mean);
    }
    out->std = out->known > 1 ? sqrt(squares / (double)(out->known - 1)) : 0.0;
}

void csl_report_text(const struct csl_records *r, const struct csl_record_modality *m,
                     struct csl_text_counts *out)
{
    const struct csl_record_text *t = m->text;
    uint32_t last = UINT32_MAX;
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < r->record_count; i++) {
        out->full += t->offsets[i + 1] - t->offsets[i] == t->rule.tokens_max;
        if (m->available[i] == 0)
            continue;
        out->patients += r->patient[i] != last;
        last = r->patient[i];
    }
    out->tokens = t->offsets[r->record_count];
}

void csl_report_head(const struct csl_records *r, struct csl_buf *text, struct csl_json *json)
{
    struct csl_split_counts c;
    csl_report_splits(r, &c);
    if (text != NULL) {
        csl_buf_printf(text, "site %s: %u patient%s, %u record%s\n", r->site, r->patient_count,
                       csl_str_plural(r->patient_count), r->record_count,
                       csl_str_plural(r->record_count));
        for (int i = 0; i < 3; i++)
            csl_buf_printf(text, "  %-10s %6u patient%-1s %6u record%s\n", csl_split_names[i],
                           c.patients[i], csl_str_plural(c.patients[i]), c.records[i],
                           csl_str_plural(c.records[i]));
    }
    if (json == NULL)
        return;
    csl_json_put_str(json, "site", r->site);
    csl_json_put_u64(json, "patients", r->patient_count);
    csl_json_put_u64(json, "records", r->record_count);
    csl_json_key(json, "splits");
    csl_json_object(json);
    for (int i = 0; i < 3; i++) {
        csl_json_key(json, csl_split_names[i]);
        csl_json_object(json);
        csl_json_put_u64(json, "patients", c.patients[i]);
        csl_json_put_u64(json, "records", c.records[i]);
        csl_json_end(json);
    }
    csl_json_end(json);
}

static void label_text(const struct csl_record_label *l, uint8_t split,
                       const struct csl_label_counts *c, struct csl_buf *text)
{
    csl_buf_printf(text, "  %-10s", csl_split_names[split]);
    if (l->classes == 0) {
        csl_buf_printf(text, " %u event%s, %u censored", c->classes[1],
                       csl_str_plural(c->classes[1]), c->classes[0]);
    } else {
        csl_buf_str(text, " by class");
        for (uint32_t k = 0; k < l->classes; k++)
            csl_buf_printf(text, " %u", c->classes[k]);
    }
    csl_buf_printf(text, ", %u unknown\n", c->unknown);
}

static void label_json(const struct csl_record_label *l, uint8_t split,
                       const struct csl_label_counts *c, struct csl_json *json)
{
    csl_json_key(json, csl_split_names[split]);
    csl_json_object(json);
    csl_json_put_u64(json, "known", c->known);
    csl_json_put_u64(json, "unknown", c->unknown);
    if (l->classes == 0) {
        csl_json_put_u64(json, "events", c->classes[1]);
        csl_json_put_u64(json, "censored", c->classes[0]);
    } else {
        csl_json_key(json, "classes");
        csl_json_array(json);
        for (uint32_t k = 0; k < l->classes; k++)
            csl_json_u64(json, c->classes[k]);
        csl_json_end(json);
    }
    csl_json_end(json);
}

void csl_report_labels(const struct csl_records *r, struct csl_buf *text, struct csl_json *json)
{
    if (json != NULL) {
        csl_json_key(json, "labels");
        csl_json_array(json);
    }
    for (uint32_t k = 0; k < r->label_count; k++) {
        const struct csl_record_label *l = &r->labels[k];
        if (text != NULL)
            csl_buf_printf(text, "label %s (%s)\n", l->name,
                           l->classes == 0   ? "survival"
                           : l->classes == 2 ? "binary"
                                             : "classes");
        if (json != NULL) {
            csl_json_object(json);
            csl_json_put_str(json, "name", l->name);
            csl_json_put_str(json, "kind",
                             l->classes == 0   ? "survival"
                             : l->classes == 2 ? "binary"
                                               : "classes");
        }
        for (uint8_t split = 0; split < 3; split++) {
            struct csl_label_counts c;
            csl_report_label(r, l, split, &c);
            if (text != NULL)
                label_text(l, split, &c, text);
            if (json != NULL)
                label_json(l, split, &c, json);
        }
        if (json != NULL)
            csl_json_end(json);
    }
    if (json != NULL)
        csl_json_end(json);
}
