#include "site-agent/data/dataset_internal.h"
#include "site-agent/data/report.h"

#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define MISSING_SHARE_WARNED 0.5

struct check {
    const struct csl_records *r;
    const struct csl_study *study; /* NULL: the file alone */
    struct csl_buf *text;          /* NULL: none */
    struct csl_json *json;         /* NULL: none */
    uint32_t problems, warnings;
    struct csl_err *err;
};

/* One finding. A problem is what training would refuse; a warning is what a person should know. */
static void find(struct check *c, bool is_problem, const char *fmt, ...) CSL_PRINTF(3, 4);
static void find(struct check *c, bool is_problem, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    *(is_problem ? &c->problems : &c->warnings) += 1;
    if (c->text != NULL)
        csl_buf_printf(c->text, "%s: %s\n", is_problem ? "problem" : "warning", text);
    if (c->json != NULL) {
        csl_json_object(c->json);
        csl_json_put_str(c->json, "severity", is_problem ? "problem" : "warning");
        csl_json_put_str(c->json, "text", text);
        csl_json_end(c->json);
    }
}

static void check_splits(struct check *c)
{
    struct csl_split_counts n;
    csl_report_splits(c->r, &n);
    if (n.patients[0] == 0)
        find(c, true, "no patient is in the training split");
    if (n.patients[2] == 0)
        find(c, false, "no patient is in the test split, so the site cannot evaluate");
}

static void check_label(struct check *c, const struct csl_record_label *l)
{
    uint32_t known = 0;
    for (uint8_t split = 0; split < 3; split++) {
        struct csl_label_counts n;
        uint32_t largest = 0;
        csl_report_label(c->r, l, split, &n);
        known += n.known;
        for (uint32_t k = 0; k < (l->classes > 0 ? l->classes : 2); k++)
            largest = n.classes[k] > largest ? n.classes[k] : largest;
        if (n.known == 0 || (l->classes == 0 && n.classes[1] > 0))
            continue;
        if (l->classes == 0)
            find(c, false,
                 "label %s: the %s split has no event, so no risk can be learnt or judged", l->name,
                 csl_split_names[split]);
        else if (largest == n.known)
            find(c, false, "label %s: every known record of the %s split is of one class", l->name,
                 csl_split_names[split]);
    }
    if (known == 0)
        find(c, false, "label %s: no record has a known value", l->name);
}

static void check_column(struct check *c, const struct csl_record_modality *m, uint32_t k,
                         double range_min, double range_max)
{
    struct csl_column_counts n;
    csl_report_column(c->r, m, k, range_min, range_max, &n);
    if (n.available == 0)
        return;
    if (n.missing == n.available)
        find(c, false, "feature %s of %s is never known", m->feature_names[k], m->name);
    else if ((double)n.missing > MISSING_SHARE_WARNED * (double)n.available)
        find(c, false, "feature %s of %s is missing in %u of %u record%s", m->feature_names[k],
             m->name, n.missing, n.available, csl_str_plural(n.available));
    if (n.out_of_range > 0)
        find(c, false, "feature %s of %s is outside %g to %g in %u record%s (another unit?)",
             m->feature_names[k], m->name, range_min, range_max, n.out_of_range,
             csl_str_plural(n.out_of_range));
}

/* --- equal records --- */

struct fingerprint {
    uint64_t hash;
    uint32_t record;
};

static int compare_prints(const void *a, const void *b)
{
    const struct fingerprint *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->record < y->record ? -1 : x->record > y->record;
}

static uint64_t row_hash(const float *row, uint32_t width, float *scratch)
{
    uint8_t digest[CSL_DIGEST_BYTES];
    uint64_t hash;
    for (uint32_t k = 0; k < width; k++) /* one pattern for every NaN, and for both zeros */
        scratch[k] = isnan(row[k]) ? NAN : row[k] + 0.0f;
    csl_digest(scratch, width * sizeof(*scratch), digest);
    memcpy(&hash, digest, sizeof(hash));
    return hash;
}

/* Of the record's values, or of its tokens. */
static uint64_t record_hash(const struct csl_record_modality *m, uint32_t record, uint32_t width,
                            float *scratch)
{
    const struct csl_record_text *t = m->text;
    if (t == NULL)
        return row_hash(m->values + (size_t)record * width, width, scratch);
    uint8_t digest[CSL_DIGEST_BYTES];
    uint64_t hash, first = t->offsets[record];
    csl_digest(t->tokens + first, (t->offsets[record + 1] - first) * sizeof(*t->tokens), digest);
    memcpy(&hash, digest, sizeof(hash));
    return hash;
}

static enum csl_code check_equal_records(struct check *c, const struct csl_record_modality *m)
{
    const struct csl_records *r = c->r;
    uint32_t width = csl_modality_width__(m), n = 0, equal = 0, crossing = 0;
    struct fingerprint *prints = csl_alloc_array(r->record_count, sizeof(*prints));
    float *row = csl_alloc_array(width, sizeof(*row));
    if (prints == NULL || row == NULL) {
        csl_free(prints);
        csl_free(row);
        return CSL_FAIL(c->err, CSL_E_NOMEM, "no memory to compare %u records", r->record_count);
    }
    for (uint32_t i = 0; i < r->record_count; i++)
        if (m->available[i] != 0)
            prints[n++] = (struct fingerprint){record_hash(m, i, width, row), i};
    if (n > 0)
        qsort(prints, n, sizeof(*prints), compare_prints);
    for (uint32_t i = 1; i < n; i++) {
        if (prints[i].hash != prints[i - 1].hash)
            continue;
        equal++;
        crossing +=
            r->split[r->patient[prints[i].record]] != r->split[r->patient[prints[i - 1].record]];
    }
    csl_free(prints);
    csl_free(row);
    if (crossing > 0)
        find(c, false,
             "%s: %u record%s another one, %u of them one in another split (the test would "
             "know its answers)",
             m->name, equal, equal == 1 ? " equals" : "s equal", crossing);
    else if (equal > 0)
        find(c, false, "%s: %u record%s another one of the same split", m->name, equal,
             equal == 1 ? " equals" : "s equal");
    return CSL_OK;
}

static enum csl_code check_modality(struct check *c, const struct csl_record_modality *m)
{
    if (csl_report_available(c->r, m) == 0)
        find(c, false, "modality %s is in no record", m->name);
    uint32_t names = csl_modality_is_named__(m) ? csl_modality_names__(m) : 0;
    for (uint32_t k = 0; k < names; k++)
        check_column(c, m, k, m->range_min[k], m->range_max[k]);
    return check_equal_records(c, m);
}

/* --- against a study --- */

static void check_features(struct check *c, const char *noun, const struct csl_domain *d,
                           const struct csl_domain_source *source)
{
    for (uint32_t i = 0; i < d->feature_count; i++) {
        const struct csl_feature *f = &d->features[i];
        uint32_t k = source->columns[i];
        if (f->range_min < f->range_max &&
            !(source->modality->range_min[k] >= f->range_min &&
              source->modality->range_max[k] <= f->range_max &&
              source->modality->range_min[k] < source->modality->range_max[k]))
            check_column(c, source->modality, k, f->range_min, f->range_max);
        if (csl_domain_unit_differs__(d, source, i))
            find(c, true, "%s %s: feature %s is in %s here and in %s in the study", noun, d->id,
                 f->name, source->modality->feature_units[k], f->unit);
    }
}

/* Of several labels a site may lack some: training leaves them out there. */
static void check_labels(struct check *c, const struct csl_domain *d,
                         const struct csl_domain_source *source)
{
    for (uint32_t k = 0; k < source->label_count; k++)
        if (source->labels[k] == NULL)
            find(c, false, "domain %s: the site does not know label %s", d->id, d->labels[k]);
}

/* True when the site can take part in the domain. */
static bool check_domain(struct check *c, const struct csl_domain *d)
{
    struct csl_domain_source source = {.label = NULL};
    struct csl_err why;
    if (csl_domain_find__(d, c->r, c->r->site, &source, &why) != CSL_OK) {
        find(c, true, "domain %s: %s", d->id, why.msg);
        return false;
    }
    if (source.modality == NULL) {
        find(c, false, "domain %s: the site has no %s", d->id,
             source.label == NULL ? "such label" : "such modality");
        return false;
    }
    uint32_t train = csl_examples_count__(c->r, &source, CSL_SPLIT_TRAIN);
    if (train == 0)
        find(c, false, "domain %s: no training record has both its modality and a known label",
             d->id);
    check_features(c, "domain", d, &source);
    check_labels(c, d, &source);
    csl_source_release__(&source);
    return train > 0;
}

/* Where each input of the study lies; those the site lacks stay empty. */
static void check_inputs(struct check *c, struct csl_domain_source *sources)
{
    const struct csl_study *s = c->study;
    for (uint32_t i = 0; i < s->input_count; i++) {
        const struct csl_domain *d = &s->inputs[i];
        struct csl_err why;
        if (csl_input_find__(d, s->inputs, s->input_count, c->r, c->r->site, &sources[i], &why) !=
            CSL_OK)
            find(c, true, "input %s: %s", d->id, why.msg);
        else if (sources[i].modality == NULL)
            find(c, false, "input %s: the site has no such modality", d->id);
        else
            check_features(c, "input", d, &sources[i]);
    }
}

static bool check_fused(struct check *c, const struct csl_domain *d,
                        const struct csl_domain_source *sources)
{
    struct csl_domain_source truth = {.label = NULL};
    struct csl_err why;
    uint32_t train = 0;
    if (csl_labels_find__(d, c->r, c->r->site, true, &truth, &why) != CSL_OK) {
        find(c, true, "domain %s: %s", d->id, why.msg);
        return false;
    }
    if (truth.label == NULL) {
        find(c, false, "domain %s: the site has no such label", d->id);
        return false;
    }
    check_labels(c, d, &truth);
    for (uint32_t i = 0; i < c->r->record_count; i++) {
        bool has_input = false;
        for (uint32_t k = 0; k < d->fusion.input_count; k++) {
            const struct csl_record_modality *m = sources[d->fusion.inputs[k]].modality;
            has_input = has_input || (m != NULL && m->available[i] != 0);
        }
        train += has_input && csl_labels_known__(&truth, i) &&
                 c->r->split[c->r->patient[i]] == CSL_SPLIT_TRAIN;
    }
    if (train == 0)
        find(c, false, "domain %s: no training record has a known label and one of its inputs",
             d->id);
    return train > 0;
}

static void check_study(struct check *c)
{
    struct csl_domain_source sources[CSL_STUDY_INPUTS_MAX] = {{.label = NULL}};
    uint32_t usable = 0;
    check_inputs(c, sources);
    for (uint32_t i = 0; i < c->study->domain_count; i++)
        usable += c->study->input_count > 0 ? check_fused(c, &c->study->domains[i], sources)
                                            : check_domain(c, &c->study->domains[i]);
    for (uint32_t i = 0; i < c->study->input_count; i++)
        csl_source_release__(&sources[i]);
    if (usable == 0)
        find(c, true, "the site can train none of the domains of study %s", c->study->id);
}

static enum csl_code check_all(struct check *c)
{
    enum csl_code code = CSL_OK;
    if (c->json != NULL) {
        csl_json_key(c->json, "findings");
        csl_json_array(c->json);
    }
    check_splits(c);
    for (uint32_t k = 0; k < c->r->label_count; k++)
        check_label(c, &c->r->labels[k]);
    for (uint32_t k = 0; k < c->r->modality_count && code == CSL_OK; k++)
        code = check_modality(c, &c->r->modalities[k]);
    if (c->study != NULL && code == CSL_OK)
        check_study(c);
    if (c->json != NULL)
        csl_json_end(c->json);
    return code;
}

enum csl_code csl_records_check(const struct csl_records *r, const struct csl_study *study,
                                struct csl_buf *text, struct csl_json *json, uint32_t *problems,
                                struct csl_err *err)
{
    struct check c = {r, study, text, json, 0, 0, err};
    if (json != NULL)
        csl_json_object(json);
    csl_report_head(r, text, json);
    csl_report_labels(r, text, json);
    enum csl_code code = check_all(&c);
    if (text != NULL)
        csl_buf_printf(text, "%u problem%s, %u warning%s\n", c.problems, csl_str_plural(c.problems),
                       c.warnings, csl_str_plural(c.warnings));
    if (json != NULL) {
        csl_json_put_u64(json, "problems", c.problems);
        csl_json_put_u64(json, "warnings", c.warnings);
        csl_json_end(json);
    }
    if (code == CSL_OK && text != NULL)
        code = csl_buf_status(text, err);
    if (code == CSL_OK && json != NULL)
        code = csl_buf_status(json->out, err);
    if (code == CSL_OK)
        *problems = c.problems;
    return code;
}
