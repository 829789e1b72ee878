#include "site-agent/data/dataset_internal.h"

#include "base/checked.h"
#include "base/mem.h"
#include "site-agent/data/series.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/banned.h"

void csl_examples_release__(struct csl_examples *e)
{
    csl_free(e->x);
    csl_free(e->patient);
    csl_free(e->label);
    csl_free(e->time);
    csl_free(e->answer);
    csl_free(e->answer_known);
    csl_free(e->row);
    csl_free(e->level);
    csl_free(e->group);
    memset(e, 0, sizeof(*e));
}

static enum csl_code examples_alloc(struct csl_examples *e, uint32_t records, uint32_t width,
                                    bool has_x, bool has_time, uint32_t answers,
                                    struct csl_err *err)
{
    size_t values;
    memset(e, 0, sizeof(*e));
    e->records = records;
    e->width = width;
    if (records == 0)
        return CSL_OK;
    if (has_x && csl_mul_size(records, width, &values))
        e->x = csl_alloc_array(values, sizeof(*e->x));
    e->patient = csl_alloc_array(records, sizeof(*e->patient));
    e->label = csl_alloc_array(records, sizeof(*e->label));
    e->time = has_time ? csl_alloc_array(records, sizeof(*e->time)) : NULL;
    if ((has_x && e->x == NULL) || e->patient == NULL || e->label == NULL ||
        (has_time && e->time == NULL)) {
        csl_examples_release__(e);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u records of %u inputs", records, width);
    }
    return csl_answers_alloc__(e, answers, err);
}

static bool is_example(const struct csl_records *r, const struct csl_domain_source *s,
                       enum csl_split split, uint32_t record)
{
    if (r->split[r->patient[record]] != (uint8_t)split || s->modality->available[record] == 0)
        return false;
    return csl_labels_known__(s, record);
}

uint32_t csl_examples_count__(const struct csl_records *r, const struct csl_domain_source *s,
                              enum csl_split split)
{
    uint32_t n = 0;
    for (uint32_t i = 0; s->modality != NULL && i < r->record_count; i++)
        n += is_example(r, s, split, i);
    return n;
}

void csl_inputs_copy__(const struct csl_domain *d, const struct csl_domain_source *s,
                       uint32_t record, float *to)
{
    const struct csl_record_modality *m = s->modality;
    if (m->text != NULL) {
        const uint64_t *at = &m->text->offsets[record];
        for (uint32_t k = 0; k < d->width; k++)
            to[k] = at[0] + k < at[1] ? (float)m->text->tokens[at[0] + k] : 0.0f;
        return;
    }
    const float *from = m->values + (size_t)record * csl_modality_width__(m);
    if (s->scattering != NULL) {
        csl_scattering_run(s->scattering, from, to);
        return;
    }
    if (s->columns == NULL) {
        memcpy(to, from, d->width * sizeof(*to));
        return;
    }
    uint32_t names = csl_modality_names__(m);
    if (d->modality == CSL_EHR_SERIES) {
        csl_series_inputs(d, from, names, s->columns, to);
        return;
    }
    for (uint32_t k = 0; k < d->feature_count; k++)
        to[k] = from[s->columns[k]];
}

static void copy_truth(const struct csl_domain_source *s, uint32_t record, struct csl_examples *e,
                       uint32_t n)
{
    for (uint32_t k = 0; k < e->answer_count; k++)
        csl_answer_set__(e, n, k,
                         s->labels[k] != NULL ? s->labels[k]->value[record] : CSL_LABEL_UNKNOWN);
    if (e->answer_count > 0)
        return;
    e->label[n] = s->label->classes > 0 ? (uint8_t)s->label->value[record]
                                        : (uint8_t)(s->label->event[record] > 0.0f);
    if (e->time != NULL)
        e->time[n] = s->label->time[record];
}

enum csl_code csl_examples_extract__(const struct csl_records *r, const struct csl_domain *d,
                                     const struct csl_domain_source *s, enum csl_split split,
                                     struct csl_examples *out, uint32_t *record,
                                     struct csl_err *err)
{
    uint32_t records = csl_examples_count__(r, s, split), n = 0, last = UINT32_MAX;
    const struct csl_record_modality *m = s->modality;
    bool has_x = m != NULL && (m->text != NULL ? m->text->offsets : (void *)m->values) != NULL;
    enum csl_code code = examples_alloc(out, records, d->width, has_x, d->task == CSL_TASK_SURVIVAL,
                                        d->label_count, err);
    if (code != CSL_OK || records == 0)
        return code;
    for (uint32_t i = 0; i < r->record_count; i++) {
        if (!is_example(r, s, split, i))
            continue;
        if (has_x)
            csl_inputs_copy__(d, s, i, out->x + (size_t)n * d->width);
        if (record != NULL)
            record[n] = i;
        if (r->patient[i] != last) /* records are in the order of their patients */
            out->patients++;
        last = r->patient[i];
        out->patient[n] = out->patients - 1;
        copy_truth(s, i, out, n++);
    }
    return CSL_OK;
}

enum csl_code csl_examples_append__(struct csl_examples *to, const struct csl_examples *more,
                                    struct csl_err *err)
{
    struct csl_examples both;
    uint64_t records = (uint64_t)to->records + more->records;
    if (more->records == 0)
        return CSL_OK;
    if (records > CSL_SITE_RECORDS_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "%llu records together; at most %u are allowed",
                        (unsigned long long)records, CSL_SITE_RECORDS_MAX);
    enum csl_code code = examples_alloc(&both, (uint32_t)records, more->width, true,
                                        more->time != NULL, more->answer_count, err);
    if (code != CSL_OK)
        return code;
    const struct csl_examples *parts[2] = {to, more};
    size_t at = 0;
    for (int p = 0; p < 2; p++) {
        size_t n = parts[p]->records, width = more->width;
        if (n == 0)
            continue;
        memcpy(both.x + at * width, parts[p]->x, n * width * sizeof(*both.x));
        memcpy(both.label + at, parts[p]->label, n);
        if (both.time != NULL)
            memcpy(both.time + at, parts[p]->time, n * sizeof(*both.time));
        if (both.answer_count > 0) {
            size_t k = both.answer_count;
            memcpy(both.answer + at * k, parts[p]->answer, n * k);
            memcpy(both.answer_known + at * k, parts[p]->answer_known, n * k);
        }
        for (size_t i = 0; i < n; i++)
            both.patient[at + i] = parts[p]->patient[i] + both.patients;
        both.patients += parts[p]->patients;
        at += n;
    }
    csl_examples_release__(to);
    *to = both;
    return CSL_OK;
}

void csl_constants_release__(struct csl_feature_constants *c)
{
    csl_free(c->centre);
    csl_free(c->scale);
    memset(c, 0, sizeof(*c));
}

/* Inputs with constants of their own: all of them, or those of one step of a series. Windows are
 * few and differ (a first value lies nearer to admission), so that each has its own. */
static uint32_t constants_period(const struct csl_domain *d)
{
    return d->modality == CSL_EHR_SERIES && d->windows == 0 ? d->shape[1] : d->width;
}

void csl_site_sums_release__(struct csl_site_sums *s)
{
    csl_free(s->mean);
    csl_free(s->squares);
    csl_free(s->known);
    memset(s, 0, sizeof(*s));
}

enum csl_code csl_site_sums_init__(struct csl_site_sums *s, const struct csl_domain *d,
                                   struct csl_err *err)
{
    uint32_t period = constants_period(d);
    *s = (struct csl_site_sums){period, d->width, csl_alloc_array(period, sizeof(double)),
                                csl_alloc_array(period, sizeof(double)),
                                csl_alloc_array(period, sizeof(uint64_t))};
    if (s->mean != NULL && s->squares != NULL && s->known != NULL)
        return CSL_OK;
    csl_site_sums_release__(s);
    return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the constants of domain %s", d->id);
}

void csl_site_sums_add__(struct csl_site_sums *s, const float *row)
{
    for (uint32_t i = 0; i < s->width; i++) {
        if (isnan(row[i]))
            continue;
        s->mean[i % s->period] += (double)row[i];
        s->known[i % s->period]++;
    }
}

void csl_site_sums_mean__(struct csl_site_sums *s)
{
    for (uint32_t k = 0; k < s->period; k++)
        s->mean[k] = s->known[k] > 0 ? s->mean[k] / (double)s->known[k] : 0.0;
}

void csl_site_sums_square__(struct csl_site_sums *s, const float *row)
{
    for (uint32_t i = 0; i < s->width; i++) {
        double v = (double)row[i] - s->mean[i % s->period];
        if (!isnan(row[i]))
            s->squares[i % s->period] += v * v;
    }
}

static void site_constants(const struct csl_site_sums *s, struct csl_feature_constants *c)
{
    for (uint32_t k = 0; k < s->period; k++) {
        c->centre[k] = s->mean[k];
        c->scale[k] = s->known[k] > 1   ? sqrt(s->squares[k] / (double)(s->known[k] - 1)) + 1e-9
                      : s->known[k] > 0 ? 1e-9
                                        : (double)INFINITY;
    }
}

/* The constants of the first `period` inputs are those of all further steps. */
static void repeat_constants(uint32_t period, struct csl_feature_constants *c)
{
    for (uint32_t k = period; k < c->count; k++) {
        c->centre[k] = c->centre[k - period];
        c->scale[k] = c->scale[k - period];
    }
}

enum csl_code csl_constants_from__(const struct csl_domain *d, const struct csl_site_sums *sums,
                                   struct csl_feature_constants *out, struct csl_err *err)
{
    uint32_t period = constants_period(d);
    struct csl_feature_constants c = {d->width, csl_alloc_array(d->width, sizeof(double)),
                                      csl_alloc_array(d->width, sizeof(double))};
    if (c.centre == NULL || c.scale == NULL) {
        csl_constants_release__(&c);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the constants of domain %s", d->id);
    }
    if (d->scaling == CSL_SCALING_SITE)
        site_constants(sums, &c);
    for (uint32_t k = 0; k < period && d->scaling == CSL_SCALING_CONSTANTS; k++) {
        const struct csl_feature *f =
            d->feature_count > 0 ? &d->features[k % d->feature_count] : NULL;
        c.centre[k] = f != NULL ? f->centre : d->centre;
        c.scale[k] = f != NULL ? f->scale : d->scale;
    }
    for (uint32_t k = 0; k < period; k++) {
        if (csl_domain_is_value(d, k))
            continue;
        c.centre[k] = 0.0;
        c.scale[k] = d->measured_scale;
    }
    repeat_constants(period, &c);
    *out = c;
    return CSL_OK;
}

enum csl_code csl_constants_make__(const struct csl_domain *d, const struct csl_examples *train,
                                   struct csl_feature_constants *out, struct csl_err *err)
{
    struct csl_site_sums sums;
    bool is_site = d->scaling == CSL_SCALING_SITE;
    enum csl_code code = csl_site_sums_init__(&sums, d, err);
    if (code != CSL_OK)
        return code;
    for (size_t i = 0; is_site && i < train->records; i++)
        csl_site_sums_add__(&sums, train->x + i * d->width);
    csl_site_sums_mean__(&sums);
    for (size_t i = 0; is_site && i < train->records; i++)
        csl_site_sums_square__(&sums, train->x + i * d->width);
    code = csl_constants_from__(d, &sums, out, err);
    csl_site_sums_release__(&sums);
    return code;
}

enum csl_code csl_row_scale__(float *row, const struct csl_domain *d,
                              const struct csl_feature_constants *c, bool saturates,
                              struct csl_err *err)
{
    for (uint32_t k = 0; d->modality != CSL_TEXT && k < d->width; k++) {
        const struct csl_feature *f =
            d->feature_count > 0 ? &d->features[k % d->feature_count] : NULL;
        double clip = f != NULL && csl_domain_is_value(d, k) ? f->clip : 0.0;
        double v = ((double)row[k] - c->centre[k]) / c->scale[k];
        if (isnan(row[k]) || isinf(c->scale[k]))
            v = 0.0;
        if (clip > 0.0)
            v = fmin(fmax(v, -clip), clip);
        if (saturates)
            v = fmin(fmax(v, -(double)FLT_MAX), (double)FLT_MAX);
        if (!(fabs(v) <= (double)FLT_MAX))
            return CSL_FAIL(err, CSL_E_INVAL,
                            "domain %s: a scaled value of %s does not fit float32; look at its "
                            "centre and scale",
                            d->id, f != NULL ? f->name : "the modality");
        row[k] = (float)v;
    }
    return CSL_OK;
}

enum csl_code csl_examples_scale__(struct csl_examples *e, const struct csl_domain *d,
                                   const struct csl_feature_constants *c, bool saturates,
                                   struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (size_t i = 0; i < e->records && code == CSL_OK; i++)
        code = csl_row_scale__(e->x + i * e->width, d, c, saturates, err);
    return code;
}
