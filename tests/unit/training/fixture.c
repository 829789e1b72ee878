#include "tests/unit/training/fixture.h"

#include "base/check.h"
#include "base/mem.h"
#include "privacy/crypto/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void fx_init(struct fx *f)
{
    *f = (struct fx){0};
    csl_schema_init(&f->study.schema);
    f->study.domains = f->domains;
    snprintf(f->study.id, sizeof(f->study.id), "test");
    f->study.local = (struct csl_local_training){.optimizer = CSL_OPT_KIND_SGD,
                                                 .learning_rate = 0.05,
                                                 .momentum = 0.9,
                                                 .beta1 = 0.9,
                                                 .beta2 = 0.999,
                                                 .epsilon = 1e-8,
                                                 .batch_patients = 4,
                                                 .steps = 10};
    snprintf(f->data.site, sizeof(f->data.site), "site-a");
    f->data.study = &f->study;
    f->data.domains = f->examples;
}

void fx_release(struct fx *f)
{
    for (uint32_t d = 0; d < FX_DOMAINS; d++)
        for (int s = 0; s < CSL_SPLIT_COUNT; s++)
            fx_free_examples(&f->examples[d][s]);
}

void fx_free_examples(struct csl_examples *e)
{
    csl_free(e->x);
    csl_free(e->patient);
    csl_free(e->label);
    csl_free(e->time);
    csl_free(e->level);
    *e = (struct csl_examples){0};
}

static void add_linear(struct fx *f, const struct csl_domain *d, const char *prefix, uint32_t in,
                       uint32_t out, bool has_bias)
{
    char name[CSL_ID_MAX];
    uint64_t shape[2] = {out, in};
    float bound = 1.0f / sqrtf((float)in);
    struct csl_schema *s = &f->study.schema;
    snprintf(name, sizeof(name), "%.40s.%sweight", d->id, prefix);
    CSL_ASSERT(csl_schema_add_tensor(s, name, 2, shape, CSL_INIT_UNIFORM, bound, NULL) == CSL_OK);
    if (!has_bias)
        return;
    snprintf(name, sizeof(name), "%.40s.%sbias", d->id, prefix);
    CSL_ASSERT(csl_schema_add_tensor(s, name, 1, shape, CSL_INIT_UNIFORM, bound, NULL) == CSL_OK);
}

uint32_t fx_add_domain(struct fx *f, enum csl_task_kind task, uint32_t width, uint32_t classes,
                       uint32_t hidden)
{
    uint32_t index = f->study.domain_count++;
    CSL_ASSERT(index < FX_DOMAINS);
    f->data.domain_count = f->study.domain_count;
    struct csl_domain *d = &f->domains[index];
    snprintf(d->id, sizeof(d->id), "d%u", index);
    d->task = task;
    d->width = width;
    d->classes = task == CSL_TASK_SURVIVAL ? 0 : task == CSL_TASK_BINARY ? 2 : classes;
    d->outputs = task == CSL_TASK_CLASSES ? classes : 1;
    d->has_bias = true;
    d->model = task == CSL_TASK_SURVIVAL ? CSL_MODEL_COX : CSL_MODEL_LINEAR;
    CSL_ASSERT(csl_schema_add_block(&f->study.schema, d->id, CSL_BLOCK_SHARED, NULL) == CSL_OK);
    if (hidden == 0) {
        add_linear(f, d, "", width, d->outputs, true);
        return index;
    }
    d->model = CSL_MODEL_MLP;
    d->hidden_count = 2;
    d->hidden[0] = hidden;
    d->hidden[1] = hidden + 1;
    add_linear(f, d, "layer0.", width, hidden, true);
    add_linear(f, d, "layer1.", hidden, hidden + 1, true);
    add_linear(f, d, "layer2.", hidden + 1, d->outputs, true);
    return index;
}

void fx_seal(struct fx *f)
{
    CSL_ASSERT(csl_schema_seal(&f->study.schema, NULL) == CSL_OK);
}

void fx_fill(struct fx *f, uint32_t domain, enum csl_split split, uint32_t patients,
             uint32_t repeats, uint64_t seed)
{
    const struct csl_domain *d = &f->domains[domain];
    struct csl_examples *e = &f->examples[domain][split];
    struct csl_rng rng;
    csl_rng_init_label(&rng, seed, "test/examples", domain, (uint64_t)split, 0);
    uint32_t records = 0;
    for (uint32_t p = 0; p < patients; p++)
        records += 1 + p % repeats;
    *e = (struct csl_examples){.records = records, .patients = patients, .width = d->width};
    e->x = csl_alloc_array((size_t)records * d->width, sizeof(float));
    e->patient = csl_alloc_array(records, sizeof(uint32_t));
    e->label = csl_alloc_array(records, 1);
    e->time = d->classes == 0 ? csl_alloc_array(records, sizeof(float)) : NULL;
    uint32_t r = 0;
    for (uint32_t p = 0; p < patients; p++) {
        for (uint32_t i = 0; i < 1 + p % repeats; i++, r++) {
            double z = 0;
            for (uint32_t c = 0; c < d->width; c++) {
                double v = csl_rng_normal(&rng);
                e->x[(size_t)r * d->width + c] = (float)v;
                z += v * (c % 2 == 0 ? 1 : -0.5) / sqrt((double)d->width);
            }
            e->patient[r] = p;
            double noisy = z + 0.5 * csl_rng_normal(&rng);
            if (d->classes == 0) { /* few distinct times: ties */
                e->label[r] = csl_rng_uniform(&rng) < 0.6;
                e->time[r] = (float)floor(10 * exp(-noisy / 2));
            } else {
                double u = 1 / (1 + exp(-2 * noisy));
                e->label[r] = (uint8_t)fmin(floor(u * d->classes), d->classes - 1.0);
            }
        }
    }
}

float *fx_vector(const struct fx *f, uint64_t seed, double scale)
{
    uint64_t n = f->study.schema.parameters;
    float *v = csl_alloc_array((size_t)n, sizeof(float));
    CSL_ASSERT(v != NULL);
    struct csl_rng rng;
    csl_rng_init_label(&rng, seed, "test/vector", 0, 0, 0);
    for (uint64_t i = 0; i < n; i++)
        v[i] = (float)(scale * csl_rng_normal(&rng));
    return v;
}

void fx_outcome_free(struct fx_outcome *o)
{
    csl_free(o->update);
    csl_free(o->site_control);
    csl_free(o->control_change);
}

enum csl_code fx_run(struct fx *f, const char *backend, uint64_t round, const float *global,
                     const float *control, const float *site_control, struct fx_outcome *o,
                     struct csl_err *err)
{
    struct csl_trainer *t = NULL;
    size_t n = (size_t)f->study.schema.parameters;
    *o = (struct fx_outcome){0};
    o->update = csl_alloc_array(n, sizeof(float));
    if (control != NULL) {
        o->site_control = csl_alloc_array(n, sizeof(float));
        o->control_change = csl_alloc_array(n, sizeof(float));
        memcpy(o->site_control, site_control, n * sizeof(float));
    }
    CSL_ASSERT(csl_trainer_new(&t, &f->study, backend, err) == CSL_OK);
    struct csl_train_task task = {.data = &f->data,
                                  .seed = 42,
                                  .round = round,
                                  .global = global,
                                  .control = control,
                                  .site_control = o->site_control,
                                  .update = o->update,
                                  .control_change = o->control_change};
    enum csl_code code = csl_trainer_run(t, &task, &o->report, err);
    csl_trainer_free(t);
    return code;
}

void fx_three_domains(struct fx *f)
{
    fx_init(f);
    fx_add_domain(f, CSL_TASK_BINARY, 13, 2, 0);
    fx_add_domain(f, CSL_TASK_CLASSES, 40, 5, 33);
    fx_add_domain(f, CSL_TASK_SURVIVAL, 9, 0, 0);
    fx_seal(f);
    fx_fill(f, 0, CSL_SPLIT_TRAIN, 37, 1, 5);
    fx_fill(f, 1, CSL_SPLIT_TRAIN, 300, 2, 6);
    fx_fill(f, 2, CSL_SPLIT_TRAIN, 50, 1, 7);
    f->study.local.batch_patients = 32;
    f->study.local.optimizer = CSL_OPT_KIND_ADAM;
}

/* ---- the reference loss ---- */

#define WIDTH_MAX 64

static uint64_t first_of(const struct fx *f, const char *domain, const char *part)
{
    char name[2 * CSL_ID_MAX];
    snprintf(name, sizeof(name), "%s.%s", domain, part);
    uint32_t i = 0;
    while (i < f->study.schema.tensor_count && strcmp(f->study.schema.tensors[i].name, name) != 0)
        i++;
    CSL_ASSERT(i < f->study.schema.tensor_count);
    return f->study.schema.tensors[i].first;
}

/* z: [out] = W a + b */
static void affine(const struct fx *f, const struct csl_domain *d, const char *prefix, uint32_t in,
                   uint32_t out, bool has_bias, const double *w, const double *a, double *z)
{
    char part[CSL_ID_MAX];
    snprintf(part, sizeof(part), "%sweight", prefix);
    const double *weight = w + first_of(f, d->id, part);
    snprintf(part, sizeof(part), "%sbias", prefix);
    const double *bias = has_bias ? w + first_of(f, d->id, part) : NULL;
    for (uint32_t o = 0; o < out; o++) {
        z[o] = bias != NULL ? bias[o] : 0;
        for (uint32_t i = 0; i < in; i++)
            z[o] += weight[o * in + i] * a[i];
    }
}

static void logits(const struct fx *f, const struct csl_domain *d, const float *x, const double *w,
                   double *z)
{
    double a[WIDTH_MAX], next[WIDTH_MAX];
    CSL_ASSERT(d->width <= WIDTH_MAX);
    for (uint32_t i = 0; i < d->width; i++)
        a[i] = (double)x[i];
    if (d->model != CSL_MODEL_MLP) {
        affine(f, d, "", d->width, d->outputs, d->has_bias, w, a, z);
        return;
    }
    uint32_t in = d->width;
    for (uint32_t l = 0; l < d->hidden_count; l++) {
        char prefix[24];
        snprintf(prefix, sizeof(prefix), "layer%u.", l);
        affine(f, d, prefix, in, d->hidden[l], true, w, a, next);
        in = d->hidden[l];
        for (uint32_t i = 0; i < in; i++)
            a[i] = next[i] > 0 ? next[i] : 0;
    }
    char prefix[24];
    snprintf(prefix, sizeof(prefix), "layer%u.", d->hidden_count);
    affine(f, d, prefix, in, d->outputs, true, w, a, z);
}

static uint32_t records_of(const struct csl_examples *e, uint32_t patient)
{
    uint32_t n = 0;
    for (uint32_t r = 0; r < e->records; r++)
        n += e->patient[r] == patient;
    return n;
}

double fx_loss(const struct fx *f, uint32_t domain, const struct csl_examples *e,
               const uint32_t *rows, uint32_t count, const double *w)
{
    const struct csl_domain *d = &f->domains[domain];
    double *z = csl_alloc_array((size_t)count * d->outputs, sizeof(double));
    double *share = csl_alloc_array(count, sizeof(double));
    double total = 0, patients = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t r = rows != NULL ? rows[i] : i;
        logits(f, d, e->x + (size_t)r * e->width, w, z + (size_t)i * d->outputs);
        share[i] = 1.0 / records_of(e, e->patient[r]);
        patients += share[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t r = rows != NULL ? rows[i] : i;
        const double *zi = z + (size_t)i * d->outputs;
        double loss = 0, sum = 0;
        if (d->task == CSL_TASK_BINARY) {
            double p = 1 / (1 + exp(-zi[0]));
            loss = -log(e->label[r] != 0 ? p : 1 - p);
        } else if (d->task == CSL_TASK_CLASSES) {
            for (uint32_t c = 0; c < d->outputs; c++)
                sum += exp(zi[c]);
            loss = -log(exp(zi[e->label[r]]) / sum);
        } else if (e->label[r] != 0) {
            for (uint32_t j = 0; j < count; j++)
                if (e->time[rows != NULL ? rows[j] : j] >= e->time[r])
                    sum += share[j] * exp(z[j]);
            loss = log(sum) - zi[0];
        }
        total += share[i] * loss;
    }
    csl_free(z);
    csl_free(share);
    return total / patients;
}
