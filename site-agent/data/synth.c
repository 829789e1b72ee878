/* The patients of the synthetic hospitals. Every patient has streams of its own, keyed by (seed,
 * hospital, patient, purpose), so that a patient stays the same whatever else is drawn. */
#include "site-agent/data/record_internal.h"
#include "site-agent/data/synth_truth.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define MISSING_SHARE      0.12 /* of the values that say nothing */
#define SECOND_VISIT_SHARE 0.15
#define PATIENTS_MAX       1000000u

enum purpose { FOR_VISITS = 100, FOR_PERSON, FOR_SPLIT }; /* below: a task's number */

struct hospital {
    const char *id, *country;
    uint32_t patients;
    uint8_t tasks;                    /* bit per task in the order of csl_synth_tasks */
    double age;                       /* mean of its patients, years */
    double gain, offset;              /* of its devices */
    double noise;                     /* across the finding; 1: as along it */
    double absent;                    /* share of patients without one given modality */
    double follow_up;                 /* days of median survival, about */
    double log_odds[CSL_SYNTH_TASKS]; /* of each finding, before sex and age */
};

/* heart 1, mortality 2, survival 4, xray 8, ultrasound 16, ecg 32 */
static const struct hospital hospitals[CSL_SYNTH_SITES] = {
    {"lyon", "FR", 900, 63, 61, 1.00, 0.0, 1.00, 0.06, 1100, {-0.2, -1.0, 0, -0.6, -0.4, -0.3}},
    {"turin",
     "IT",
     640,
     1 | 2 | 8 | 32,
     66,
     1.15,
     0.3,
     1.10,
     0.10,
     1000,
     {0.2, -0.7, 0, -0.2, 0, 0.1}},
    {"aachen",
     "DE",
     520,
     1 | 4 | 16 | 32,
     64,
     0.90,
     -0.2,
     1.05,
     0.08,
     1200,
     {-0.5, 0, 0, 0, -0.9, -0.6}},
    {"porto",
     "PT",
     420,
     1 | 2 | 8 | 16,
     58,
     1.25,
     0.5,
     1.25,
     0.15,
     900,
     {-0.8, -1.2, 0, 0.3, 0.2, 0}},
    {"lille", "FR", 340, 1 | 2 | 4, 69, 1.00, 0.0, 1.00, 0.12, 950, {0.6, -0.3, 0, 0, 0, 0}},
    {"padua", "IT", 260, 1 | 8 | 32, 55, 0.80, -0.4, 1.40, 0.18, 1000, {-1.0, 0, 0, -1.1, 0, -0.9}},
    {"leipzig",
     "DE",
     180,
     1 | 2 | 4 | 8,
     72,
     1.05,
     0.1,
     1.15,
     0.10,
     1050,
     {0.4, 0.1, 0, 0.5, 0, 0}},
    {"coimbra", "PT", 120, 1 | 16, 63, 1.10, -0.1, 1.30, 0.20, 1000, {0.0, 0, 0, 0, -0.2, 0}},
};

const char *csl_synth_country(uint32_t index)
{
    return hospitals[index % CSL_SYNTH_SITES].country;
}

const char *csl_synth_site_id(uint32_t index)
{
    static _Thread_local char further[CSL_ID_MAX]; /* "lyon-2" for those beyond the standard ones */
    const char *id = hospitals[index % CSL_SYNTH_SITES].id;
    if (index < CSL_SYNTH_SITES)
        return id;
    snprintf(further, sizeof(further), "%s-%u", id, index / CSL_SYNTH_SITES + 1);
    return further;
}

/* --- patients --- */

struct synth {
    const struct hospital *h;
    uint32_t index, patients;
    uint64_t seed;
    struct csl_records *r;
    uint32_t *first_record; /* [N] */
    double *log_odds;       /* [N] sex and age */
};

static void stream(const struct synth *s, struct csl_rng *rng, uint32_t patient, uint32_t purpose)
{
    csl_rng_init_label(rng, s->seed, "synth.patient", s->index, patient, purpose);
}

static void draw_person(struct synth *s, uint32_t p)
{
    static const struct {
        double from;
        const char *name;
        double log_odds;
    } bands[] = {{0, "<45", -0.5}, {45, "45-64", -0.1}, {65, "65-79", 0.25}, {80, "80+", 0.5}};
    struct csl_rng rng;
    struct csl_records *r = s->r;
    stream(s, &rng, p, FOR_PERSON);
    bool is_male = csl_rng_uniform(&rng) < 0.5;
    double age = fmin(fmax(s->h->age + 14.0 * csl_rng_normal(&rng), 18.0), 99.0);
    size_t band = 0;
    while (band + 1 < sizeof(bands) / sizeof(bands[0]) && age >= bands[band + 1].from)
        band++;
    snprintf(r->patient_id[p], sizeof(r->patient_id[p]), "patient-%06u", p + 1);
    snprintf(r->attributes[0].value[p], 32, "%s", is_male ? "male" : "female");
    snprintf(r->attributes[1].value[p], 32, "%s", bands[band].name);
    s->log_odds[p] = bands[band].log_odds + (is_male ? 0.2 : -0.2);
}

/* 70 % train, 10 % validation, 20 % test, by a shuffle of the patients. */
static enum csl_code draw_split(struct synth *s, struct csl_err *err)
{
    struct csl_rng rng;
    uint32_t n = s->patients;
    uint32_t *order = csl_alloc_array(n, sizeof(*order));
    if (order == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u synthetic patients", n);
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    stream(s, &rng, 0, FOR_SPLIT);
    csl_rng_shuffle_u32(&rng, order, n);
    uint32_t train = (uint32_t)((uint64_t)n * 7 / 10), fitted = (uint32_t)((uint64_t)n * 8 / 10);
    for (uint32_t i = 0; i < n; i++)
        s->r->split[order[i]] = i < train ? 0 : i < fitted ? 1 : 2;
    csl_free(order);
    return CSL_OK;
}

static bool has_second_visit(const struct synth *s, uint32_t p, int64_t *time)
{
    struct csl_rng rng;
    stream(s, &rng, p, FOR_VISITS);
    bool has = csl_rng_uniform(&rng) < SECOND_VISIT_SHARE;
    *time = 86400 + (int64_t)csl_rng_below(&rng, 30 * 86400);
    return has;
}

static enum csl_code draw_patients(struct synth *s, struct csl_err *err)
{
    struct csl_records *r = s->r;
    uint32_t n = s->patients, records = 0;
    int64_t time;
    for (uint32_t p = 0; p < n; p++)
        records += has_second_visit(s, p, &time) ? 2 : 1;
    static const char *const attributes[] = {"sex", "age_band"};
    for (int i = 0; i < 2; i++) {
        CSL_ASSERT(csl_str_copy(r->attributes[i].name, 64, attributes[i]));
        r->attributes[i].value = csl_alloc_array(n, sizeof(*r->attributes[i].value));
    }
    r->attribute_count = 2;
    r->patient_count = n;
    r->record_count = records;
    r->patient_id = csl_alloc_array(n, sizeof(*r->patient_id));
    r->split = csl_alloc(n);
    r->patient = csl_alloc_array(records, sizeof(*r->patient));
    r->time = csl_alloc_array(records, sizeof(*r->time));
    s->first_record = csl_alloc_array(n, sizeof(*s->first_record));
    s->log_odds = csl_alloc_array(n, sizeof(*s->log_odds));
    if (r->attributes[0].value == NULL || r->attributes[1].value == NULL || !r->patient_id ||
        !r->split || !r->patient || !r->time || !s->first_record || !s->log_odds)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u synthetic patients", n);
    uint32_t k = 0;
    for (uint32_t p = 0; p < n; p++) {
        draw_person(s, p);
        s->first_record[p] = k;
        r->patient[k++] = p;
        if (has_second_visit(s, p, &time)) {
            r->patient[k] = p;
            r->time[k++] = time;
        }
    }
    return draw_split(s, err);
}

/* --- inputs --- */

struct part { /* one task at one hospital */
    const struct csl_synth_task *task;
    uint32_t number;
    struct csl_record_modality *m;
    struct csl_record_label *l;
    double direction[CSL_SYNTH_WIDTH_MAX], background[CSL_SYNTH_WIDTH_MAX];
};

/* Draws noise that is standard along t and `across` times that across it, plus `signal` along t. */
static void draw_input(struct csl_rng *rng, const struct part *part, double signal, double across,
                       double *x)
{
    uint32_t n = part->task->width;
    double along = 0.0;
    for (uint32_t i = 0; i < n; i++) {
        x[i] = csl_rng_normal(rng);
        along += x[i] * part->direction[i];
    }
    for (uint32_t i = 0; i < n; i++)
        x[i] = across * (x[i] - along * part->direction[i]) + (along + signal) * part->direction[i];
}

static void put_table_row(const struct csl_synth_task *task, struct csl_rng *rng, const double *x,
                          float *row)
{
    for (uint32_t i = 0; i < task->width; i++) {
        const struct csl_synth_feature *f = &task->features[i];
        bool is_missing = !(fabs(f->weight) > 0.0) && csl_rng_uniform(rng) < MISSING_SHARE;
        row[i] = is_missing ? NAN : (float)(f->centre + f->spread * x[i]);
    }
}

static void put_device_row(const struct hospital *h, const struct part *part, const double *x,
                           float *row)
{
    for (uint32_t i = 0; i < part->task->width; i++)
        row[i] = (float)(h->offset + h->gain * (part->background[i] + x[i]));
}

static void draw_survival(const struct synth *s, struct part *part, struct csl_rng *rng,
                          uint32_t record)
{
    double x[CSL_SYNTH_WIDTH_MAX], risk = 0.0, rate = log(2.0) / s->h->follow_up;
    draw_input(rng, part, 0.0, 1.0, x);
    for (uint32_t i = 0; i < part->task->width; i++)
        risk += part->task->strength * x[i] * part->direction[i];
    double death = -log(1.0 - csl_rng_uniform(rng)) / (rate * exp(risk));
    double leaves = -log(1.0 - csl_rng_uniform(rng)) / (rate * CSL_SYNTH_CENSORING);
    put_table_row(part->task, rng, x, part->m->values + (size_t)record * part->task->width);
    part->l->time[record] = (float)fmin(death, leaves);
    part->l->event[record] = death <= leaves ? 1.0f : 0.0f;
}

static void draw_binary(const struct synth *s, struct part *part, struct csl_rng *rng,
                        uint32_t record, int16_t y)
{
    double x[CSL_SYNTH_WIDTH_MAX];
    bool is_table = part->task->kind == CSL_SYNTH_TABLE;
    float *row = part->m->values + (size_t)record * part->task->width;
    draw_input(rng, part, part->task->strength * (y == 1 ? 0.5 : -0.5),
               is_table ? 1.0 : s->h->noise, x);
    if (is_table)
        put_table_row(part->task, rng, x, row);
    else
        put_device_row(s->h, part, x, row);
    part->l->value[record] = y;
}

/* All records of one patient under one task. Tables are taken once, at the first visit. */
static void draw_task(const struct synth *s, struct part *part, uint32_t p)
{
    struct csl_rng rng;
    const struct csl_records *r = s->r;
    stream(s, &rng, p, part->number);
    double log_odds = s->h->log_odds[part->number] + s->log_odds[p];
    int16_t y = csl_rng_uniform(&rng) < 1.0 / (1.0 + exp(-log_odds)) ? 1 : 0;
    bool is_absent = csl_rng_uniform(&rng) < s->h->absent;
    for (uint32_t k = s->first_record[p]; k < r->record_count && r->patient[k] == p; k++) {
        bool is_first = k == s->first_record[p];
        part->m->available[k] = !is_absent && (is_first || part->task->kind != CSL_SYNTH_TABLE);
        if (part->m->available[k] == 0) {
            for (uint32_t i = 0; i < part->task->width; i++)
                part->m->values[(size_t)k * part->task->width + i] = NAN;
            if (part->task->is_survival)
                part->l->time[k] = NAN;
            else
                part->l->value[k] = y;
        } else if (part->task->is_survival) {
            draw_survival(s, part, &rng, k);
        } else {
            draw_binary(s, part, &rng, k, y);
        }
    }
}

static bool put_features(struct csl_record_modality *m, const struct csl_synth_task *task)
{
    uint32_t n = task->width;
    m->feature_names = csl_alloc_array(n, sizeof(*m->feature_names));
    m->feature_units = csl_alloc_array(n, sizeof(*m->feature_units));
    m->range_min = csl_alloc_array(n, sizeof(double));
    m->range_max = csl_alloc_array(n, sizeof(double));
    if (!m->feature_names || !m->feature_units || !m->range_min || !m->range_max)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const struct csl_synth_feature *f = &task->features[i];
        CSL_ASSERT(csl_str_copy(m->feature_names[i], sizeof(m->feature_names[i]), f->name));
        CSL_ASSERT(csl_str_copy(m->feature_units[i], sizeof(m->feature_units[i]), f->unit));
        m->range_min[i] = f->centre - 6.0 * f->spread;
        m->range_max[i] = f->centre + 6.0 * f->spread;
    }
    return true;
}

static enum csl_code make_part(struct synth *s, uint32_t number, struct part *part,
                               struct csl_err *err)
{
    static const char *const kinds[] = {"tabular", "image2d", "signal"};
    struct csl_records *r = s->r;
    const struct csl_synth_task *task = &csl_synth_tasks[number];
    struct csl_record_modality *m = &r->modalities[r->modality_count++];
    struct csl_record_label *l = &r->labels[r->label_count++];
    *part = (struct part){.task = task, .number = number, .m = m, .l = l};
    csl_synth_direction(task, part->direction);
    csl_synth_background(task, part->background);
    CSL_ASSERT(csl_str_copy(m->name, sizeof(m->name), task->label));
    CSL_ASSERT(csl_str_copy(m->kind, sizeof(m->kind), kinds[task->kind]));
    CSL_ASSERT(csl_str_copy(l->name, sizeof(l->name), task->label));
    m->rank = task->rank;
    memcpy(m->shape, task->shape, sizeof(m->shape));
    m->sampling_rate_hz = task->kind == CSL_SYNTH_SIGNAL ? 64.0 : 0.0;
    m->values = csl_alloc_array(r->record_count, task->width * sizeof(float));
    m->available = csl_alloc(r->record_count);
    l->classes = task->is_survival ? 0 : 2;
    bool ok = m->values != NULL && m->available != NULL;
    if (task->is_survival) {
        l->time = csl_alloc_array(r->record_count, sizeof(float));
        l->event = csl_alloc_array(r->record_count, sizeof(float));
        ok = ok && l->time != NULL && l->event != NULL;
    } else {
        l->value = csl_alloc_array(r->record_count, sizeof(int16_t));
        ok = ok && l->value != NULL;
    }
    if (ok && task->kind == CSL_SYNTH_TABLE)
        ok = put_features(m, task);
    return ok ? CSL_OK
              : CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u synthetic records", r->record_count);
}

static enum csl_code build(struct synth *s, struct csl_err *err)
{
    struct csl_records *r = s->r;
    CSL_ASSERT(csl_str_copy(r->site, sizeof(r->site), csl_synth_site_id(s->index)));
    CSL_ASSERT(csl_str_copy(r->licence, sizeof(r->licence), "CC0 1.0; made up, of no person"));
    CSL_ASSERT(csl_str_copy(r->split_rule, sizeof(r->split_rule),
                            "70/10/20 percent of patients by a seeded shuffle"));
    enum csl_code code = draw_patients(s, err);
    struct part *part = csl_alloc(sizeof(*part));
    if (code == CSL_OK && part == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for synthetic records");
    for (uint32_t t = 0; t < CSL_SYNTH_TASKS && code == CSL_OK; t++) {
        if ((s->h->tasks >> t & 1u) == 0)
            continue;
        code = make_part(s, t, part, err);
        for (uint32_t p = 0; p < s->patients && code == CSL_OK; p++)
            draw_task(s, part, p);
    }
    csl_free(part);
    return code;
}

enum csl_code csl_synth_hospital(struct csl_records *out, uint32_t index,
                                 const struct csl_synth_config *c, struct csl_err *err)
{
    const struct hospital *h = &hospitals[index % CSL_SYNTH_SITES];
    if (c->patients > PATIENTS_MAX || index >= CSL_SITES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "hospital %u with %u patients; below %u and at most %u",
                        index, c->patients, CSL_SITES_MAX, PATIENTS_MAX);
    enum csl_code code = csl_crypto_init(err);
    if (code != CSL_OK)
        return code;
    struct csl_records *r = csl_alloc(sizeof(*r));
    if (r == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for synthetic records");
    struct synth s = {h,    index, c->patients > 0 ? c->patients : h->patients, c->seed, r,
                      NULL, NULL};
    code = build(&s, err);
    if (code == CSL_OK)
        *out = *r;
    else
        csl_records_release(r);
    csl_free(s.first_record);
    csl_free(s.log_odds);
    csl_free(r);
    return code;
}
