/* simulations/evaluate.c - predictions into metrics. */
#include "simulations/evaluate.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "site-agent/data/record.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* --- data --- */

static enum csl_code load_site(struct csl_sim_data *d, uint32_t site, const char *path,
                               struct csl_err *err)
{
    struct csl_records *r = csl_alloc(sizeof(*r));
    if (r == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", path);
    enum csl_code code = csl_dataset_load(&d->sites[site], path, d->study, err);
    if (code == CSL_OK)
        code = csl_records_read(r, path, err);
    for (uint32_t i = 0; code == CSL_OK && i < r->patient_count; i++)
        d->patients[site] += r->split[i] == CSL_SPLIT_TRAIN;
    if (code == CSL_OK)
        code =
            csl_sim_attributes_match(&d->attributes[site], d->site_count, r, d->sites[site], err);
    if (d->study->domain_count == 1 && code == CSL_OK)
        d->patients[site] = csl_dataset_patients(d->sites[site], 0, CSL_SPLIT_TRAIN);
    csl_records_release(r);
    csl_free(r);
    return code;
}

enum csl_code csl_sim_data_load(struct csl_sim_data *out, const struct csl_study *study,
                                const struct csl_world_site *sites, uint32_t site_count,
                                struct csl_err *err)
{
    struct csl_sim_data d = {.study = study, .site_count = site_count};
    enum csl_code code = CSL_OK;
    d.sites = csl_alloc_array(site_count, sizeof(*d.sites));
    d.patients = csl_alloc_array(site_count, sizeof(*d.patients));
    d.attributes = csl_alloc_array((size_t)site_count * study->domain_count, sizeof(*d.attributes));
    if (d.sites == NULL || d.patients == NULL || d.attributes == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for the data of %u sites", site_count);
    for (uint32_t s = 0; s < site_count && code == CSL_OK; s++)
        code = load_site(&d, s, sites[s].record_path, err);
    if (code == CSL_OK)
        *out = d;
    else
        csl_sim_data_release(&d);
    return code;
}

enum csl_code csl_sim_data_load_pooled(struct csl_sim_data *d, const struct csl_world_site *sites,
                                       struct csl_err *err)
{
    if (d->pooled != NULL)
        return CSL_OK;
    const char **paths = csl_alloc_array(d->site_count, sizeof(*paths));
    if (paths == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the data of %u sites", d->site_count);
    for (uint32_t s = 0; s < d->site_count; s++)
        paths[s] = sites[s].record_path;
    enum csl_code code = csl_dataset_load_pooled(&d->pooled, paths, d->site_count, d->study, err);
    csl_free(paths);
    return code;
}

void csl_sim_data_release(struct csl_sim_data *d)
{
    uint32_t domains = d->study != NULL ? d->study->domain_count : 0;
    for (uint32_t s = 0; d->sites != NULL && s < d->site_count; s++)
        csl_dataset_free(d->sites[s]);
    for (size_t i = 0; d->attributes != NULL && i < (size_t)d->site_count * domains; i++)
        csl_sim_attributes_release(&d->attributes[i]);
    csl_dataset_free(d->pooled);
    csl_free(d->sites);
    csl_free(d->patients);
    csl_free(d->attributes);
    memset(d, 0, sizeof(*d));
}

/* --- predictions --- */

uint32_t csl_prediction_width(const struct csl_domain *d)
{
    return d->task == CSL_TASK_CLASSES ? d->classes : d->label_count > 0 ? d->label_count : 1;
}

void csl_predictions_release(struct csl_predictions *p)
{
    size_t count = (size_t)p->site_count * p->domain_count;
    for (size_t i = 0; p->cells != NULL && i < count; i++)
        csl_free(p->cells[i]);
    csl_free(p->cells);
    memset(p, 0, sizeof(*p));
}

enum csl_code csl_predictions_init(struct csl_predictions *p, const struct csl_sim_data *d,
                                   struct csl_err *err)
{
    p->site_count = d->site_count;
    p->domain_count = d->study->domain_count;
    p->cells = csl_alloc_array((size_t)p->site_count * p->domain_count, sizeof(*p->cells));
    if (p->cells == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for predictions");
    return CSL_OK;
}

void csl_predictions_move(struct csl_predictions *to, struct csl_predictions *from, uint32_t site)
{
    CSL_ASSERT(to->site_count == from->site_count && to->domain_count == from->domain_count);
    for (uint32_t k = 0; k < to->domain_count; k++) {
        size_t at = (size_t)site * to->domain_count + k;
        if (from->cells[at] == NULL)
            continue;
        CSL_ASSERT(to->cells[at] == NULL);
        to->cells[at] = from->cells[at];
        from->cells[at] = NULL;
    }
}

static enum csl_code predict(struct csl_trainer *trainer, const struct csl_domain *domain,
                             uint32_t index, const struct csl_examples *e, const float *parameters,
                             float **out, struct csl_err *err)
{
    float *scores =
        csl_alloc_array((size_t)e->records * csl_prediction_width(domain), sizeof(*scores));
    if (scores == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u predictions", e->records);
    enum csl_code code = csl_trainer_predict(trainer, index, e, parameters, scores, NULL, err);
    if (code == CSL_OK)
        *out = scores;
    else
        csl_free(scores);
    return code;
}

static const float *model_at(const struct csl_sim_data *d, uint32_t site, const float *parameters)
{
    return d->own != NULL ? d->own[site] : parameters;
}

enum csl_code csl_predict_sites(struct csl_predictions *out, const struct csl_sim_data *d,
                                struct csl_trainer *trainer, const float *parameters,
                                const bool *wanted, uint32_t only_site, struct csl_err *err)
{
    struct csl_predictions p = {0};
    enum csl_code code = csl_predictions_init(&p, d, err);
    for (uint32_t s = 0; s < d->site_count && code == CSL_OK; s++) {
        bool is_wanted = only_site == UINT32_MAX || only_site == s;
        for (uint32_t k = 0; is_wanted && k < p.domain_count && code == CSL_OK; k++) {
            const struct csl_examples *e = &d->sites[s]->domains[k][CSL_SPLIT_TEST];
            if (e->records > 0 && (wanted == NULL || wanted[k]))
                code = predict(trainer, &d->study->domains[k], k, e, model_at(d, s, parameters),
                               &p.cells[(size_t)s * p.domain_count + k], err);
        }
    }
    if (code == CSL_OK)
        *out = p;
    else
        csl_predictions_release(&p);
    return code;
}

/* The pooled data set holds the sites' examples one after another. */
static enum csl_code cut_into_sites(struct csl_predictions *p, const struct csl_sim_data *d,
                                    uint32_t domain, const float *scores, struct csl_err *err)
{
    uint32_t width = csl_prediction_width(&d->study->domains[domain]);
    size_t at = 0;
    for (uint32_t s = 0; s < d->site_count; s++) {
        size_t n = (size_t)d->sites[s]->domains[domain][CSL_SPLIT_TEST].records * width;
        if (n == 0)
            continue;
        float *cell = csl_alloc_array(n, sizeof(*cell));
        if (cell == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for predictions");
        memcpy(cell, scores + at, n * sizeof(*cell));
        p->cells[(size_t)s * p->domain_count + domain] = cell;
        at += n;
    }
    CSL_ASSERT(at == (size_t)d->pooled->domains[domain][CSL_SPLIT_TEST].records * width);
    return CSL_OK;
}

enum csl_code csl_predict_pooled(struct csl_predictions *out, const struct csl_sim_data *d,
                                 struct csl_trainer *trainer, const float *parameters,
                                 struct csl_err *err)
{
    struct csl_predictions p = {0};
    CSL_ASSERT(d->pooled != NULL);
    enum csl_code code = csl_predictions_init(&p, d, err);
    for (uint32_t k = 0; k < d->study->domain_count && code == CSL_OK; k++) {
        const struct csl_examples *e = &d->pooled->domains[k][CSL_SPLIT_TEST];
        float *scores = NULL;
        if (e->records == 0 || d->pooled->domains[k][CSL_SPLIT_TRAIN].records == 0)
            continue;
        code = predict(trainer, &d->study->domains[k], k, e, parameters, &scores, err);
        if (code == CSL_OK)
            code = cut_into_sites(&p, d, k, scores, err);
        csl_free(scores);
    }
    if (code == CSL_OK)
        *out = p;
    else
        csl_predictions_release(&p);
    return code;
}

/* --- metrics --- */

/* Scores with what is known about them, of one site, of all, or of a group. */
struct scored {
    float *scores, *time;    /* [capacity * width], [capacity] survival */
    uint8_t *label;          /* [capacity] */
    uint8_t *answer, *known; /* [capacity * width] several labels */
    uint32_t count, width;
};

static void scored_release(struct scored *s)
{
    csl_free(s->scores);
    csl_free(s->time);
    csl_free(s->label);
    csl_free(s->answer);
    csl_free(s->known);
}

static enum csl_code scored_init(struct scored *s, const struct csl_domain *d, size_t capacity,
                                 struct csl_err *err)
{
    *s = (struct scored){.width = csl_prediction_width(d)};
    s->scores = csl_alloc_array(capacity * s->width, sizeof(*s->scores));
    s->time = csl_alloc_array(capacity, sizeof(*s->time));
    s->label = csl_alloc_array(capacity, sizeof(*s->label));
    s->answer = csl_alloc_array(capacity * s->width, 1);
    s->known = csl_alloc_array(capacity * s->width, 1);
    if (s->scores != NULL && s->time != NULL && s->label != NULL && s->answer != NULL &&
        s->known != NULL)
        return CSL_OK;
    scored_release(s);
    return CSL_FAIL(err, CSL_E_NOMEM, "no memory to join %zu predictions", capacity);
}

static void scored_add(struct scored *s, const struct csl_examples *e, const float *scores,
                       uint32_t i)
{
    memcpy(s->scores + (size_t)s->count * s->width, scores + (size_t)i * s->width,
           s->width * sizeof(*scores));
    s->label[s->count] = e->label[i];
    s->time[s->count] = e->time != NULL ? e->time[i] : 0.0f;
    if (e->answer_count > 0) {
        size_t to = (size_t)s->count * s->width, from = (size_t)i * s->width;
        CSL_ASSERT(e->answer_count == s->width);
        memcpy(s->answer + to, e->answer + from, s->width);
        memcpy(s->known + to, e->answer_known + from, s->width);
    }
    s->count++;
}

static enum csl_code measure(struct csl_metrics *out, const struct csl_domain *d,
                             const struct scored *s, uint64_t seed, struct csl_err *err)
{
    uint32_t n = s->scores != NULL ? s->count : 0;
    if (n == 0)
        return CSL_OK;
    switch (d->task) {
    case CSL_TASK_BINARY:
        return csl_evaluate_binary(s->scores, s->label, n, 0.5, seed, out, err);
    case CSL_TASK_CLASSES:
        return csl_evaluate_classes(s->scores, s->label, n, d->classes, seed, out, err);
    case CSL_TASK_LABELS:
        return csl_evaluate_labels(s->scores, s->answer, s->known, n, d->label_count, seed, out,
                                   NULL, err);
    case CSL_TASK_SURVIVAL:
    case CSL_TASK_KIND_COUNT:
        break;
    }
    return csl_evaluate_survival(s->scores, s->time, s->label, n, seed, out, err);
}

static float *cell_of(const struct csl_predictions *p, uint32_t site, uint32_t domain)
{
    return p->cells[(size_t)site * p->domain_count + domain];
}

enum csl_code csl_evaluate_cell(struct csl_metrics *out, const struct csl_sim_data *d,
                                const struct csl_predictions *p, uint32_t site, uint32_t domain,
                                uint64_t seed, struct csl_err *err)
{
    const struct csl_examples *e = &d->sites[site]->domains[domain][CSL_SPLIT_TEST];
    const struct scored all = {.scores = cell_of(p, site, domain),
                               .label = e->label,
                               .time = e->time,
                               .answer = e->answer,
                               .known = e->answer_known,
                               .count = e->records};
    return measure(out, &d->study->domains[domain], &all, seed, err);
}

static size_t test_records(const struct csl_sim_data *d, uint32_t domain)
{
    size_t n = 0;
    for (uint32_t s = 0; s < d->site_count; s++)
        n += d->sites[s]->domains[domain][CSL_SPLIT_TEST].records;
    return n;
}

static enum csl_code evaluate_pooled(struct csl_metrics *out, const struct csl_sim_data *d,
                                     const struct csl_predictions *p, uint32_t domain,
                                     uint64_t seed, struct csl_err *err)
{
    const struct csl_domain *what = &d->study->domains[domain];
    struct scored all;
    enum csl_code code = scored_init(&all, what, test_records(d, domain), err);
    if (code != CSL_OK)
        return code;
    for (uint32_t s = 0; s < d->site_count; s++) {
        const struct csl_examples *e = &d->sites[s]->domains[domain][CSL_SPLIT_TEST];
        const float *scores = cell_of(p, s, domain);
        for (uint32_t i = 0; scores != NULL && i < e->records; i++)
            scored_add(&all, e, scores, i);
    }
    code = measure(out, what, &all, seed, err);
    scored_release(&all);
    return code;
}

enum csl_code csl_evaluate_predictions(struct csl_evaluation *out, const struct csl_sim_data *d,
                                       const struct csl_predictions *p, bool has_cells,
                                       uint64_t seed, struct csl_err *err)
{
    struct csl_evaluation e = {0};
    enum csl_code code =
        csl_evaluation_init(&e, d->site_count, d->study->domain_count, has_cells, err);
    for (uint32_t k = 0; k < d->study->domain_count && code == CSL_OK; k++) {
        for (uint32_t s = 0; has_cells && s < d->site_count && code == CSL_OK; s++)
            code =
                csl_evaluate_cell(&e.cells[(size_t)s * e.domain_count + k], d, p, s, k, seed, err);
        if (code == CSL_OK)
            code = evaluate_pooled(&e.pooled[k], d, p, k, seed, err);
    }
    if (code == CSL_OK)
        *out = e;
    else
        csl_evaluation_release(&e);
    return code;
}

enum csl_code csl_evaluate_external(struct csl_result *r, const struct csl_sim_data *d,
                                    struct csl_trainer *trainer, const float *parameters,
                                    struct csl_err *err)
{
    struct csl_predictions p = {0};
    CSL_ASSERT(r->external != NULL && r->external->site_count == d->site_count);
    enum csl_code code = csl_predict_sites(&p, d, trainer, parameters, NULL, UINT32_MAX, err);
    if (code != CSL_OK)
        return code;
    csl_evaluation_release(&r->external->federated);
    code = csl_evaluate_predictions(&r->external->federated, d, &p, true, r->seed, err);
    csl_predictions_release(&p);
    return code;
}

/* --- groups --- */

struct grouping {
    const struct csl_sim_data *d;
    const struct csl_predictions *p;
    uint32_t domain;
    const char *attribute;
    uint64_t seed;
};

static const struct csl_sim_attributes *attributes_at(const struct csl_sim_data *d, uint32_t site,
                                                      uint32_t domain)
{
    return &d->attributes[(size_t)domain * d->site_count + site];
}

const char (*csl_sim_values(const struct csl_sim_data *d, uint32_t site, uint32_t domain,
                            const char *attribute))[32]
{
    const struct csl_sim_attributes *a = attributes_at(d, site, domain);
    for (uint32_t k = 0; k < a->count; k++)
        if (strcmp(a->names[k], attribute) == 0)
            return (const char(*)[32]) & a->values[(size_t)k * a->records];
    return NULL;
}

static const char (*values_at(const struct grouping *g, uint32_t site))[32]
{
    return csl_sim_values(g->d, site, g->domain, g->attribute);
}

/* Bands in the order of what they hold: "<45" before "45-54", although '<' sorts after digits. */
static int compare_values(const char *a, const char *b)
{
    bool is_first = a[0] == '<', is_second = b[0] == '<';
    return is_first != is_second ? (is_first ? -1 : 1) : strcmp(a, b);
}

uint32_t csl_sim_list_values(const struct csl_sim_data *d, uint32_t domain, const char *attribute,
                             char out[CSL_GROUP_VALUES_MAX + 1][32])
{
    uint32_t count = 0;
    for (uint32_t s = 0; s < d->site_count; s++) {
        const char(*values)[32] = csl_sim_values(d, s, domain, attribute);
        for (uint32_t i = 0; values != NULL && i < attributes_at(d, s, domain)->records; i++) {
            uint32_t k = 0;
            while (k < count && compare_values(out[k], values[i]) < 0)
                k++;
            if (values[i][0] == 0 || (k < count && strcmp(out[k], values[i]) == 0) ||
                count == CSL_GROUP_VALUES_MAX)
                continue;
            memmove(out[k + 1], out[k], (count - k) * sizeof(out[0]));
            memcpy(out[k], values[i], sizeof(out[0]));
            count++;
        }
    }
    return count;
}

static enum csl_code add_group(struct csl_result *r, const struct grouping *g, const char *value,
                               struct csl_err *err)
{
    const struct csl_domain *what = &g->d->study->domains[g->domain];
    struct csl_result_group group = {.domain = g->domain};
    struct scored members;
    enum csl_code code = scored_init(&members, what, test_records(g->d, g->domain), err);
    if (code != CSL_OK)
        return code;
    for (uint32_t s = 0; s < g->d->site_count; s++) {
        const struct csl_examples *e = &g->d->sites[s]->domains[g->domain][CSL_SPLIT_TEST];
        const float *scores = cell_of(g->p, s, g->domain);
        const char(*values)[32] = values_at(g, s);
        for (uint32_t i = 0; values != NULL && scores != NULL && i < e->records; i++)
            if (strcmp(values[i], value) == 0)
                scored_add(&members, e, scores, i);
    }
    CSL_ASSERT(csl_str_copy(group.attribute, sizeof(group.attribute), g->attribute));
    CSL_ASSERT(csl_str_copy(group.value, sizeof(group.value), value));
    if (members.count >= CSL_GROUP_RECORDS_MIN) {
        code = measure(&group.metrics, what, &members, g->seed, err);
        if (code == CSL_OK)
            code = csl_result_add_group(r, &group, err);
    }
    scored_release(&members);
    return code;
}

/* Whether an earlier site of the domain already named the attribute. */
static bool is_known(const struct grouping *g, uint32_t site, const char *attribute)
{
    struct grouping other = *g;
    other.attribute = attribute;
    for (uint32_t s = 0; s < site; s++)
        if (values_at(&other, s) != NULL)
            return true;
    return false;
}

enum csl_code csl_evaluate_groups(struct csl_result *r, const struct csl_sim_data *d,
                                  const struct csl_predictions *p, uint64_t seed,
                                  struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    char values[CSL_GROUP_VALUES_MAX + 1][32];
    struct grouping g = {.d = d, .p = p, .seed = seed};
    for (g.domain = 0; g.domain < d->study->domain_count; g.domain++) {
        for (uint32_t s = 0; s < d->site_count; s++) {
            const struct csl_sim_attributes *a = attributes_at(d, s, g.domain);
            for (uint32_t k = 0; k < a->count && code == CSL_OK; k++) {
                if (is_known(&g, s, a->names[k]))
                    continue;
                g.attribute = a->names[k];
                uint32_t count = csl_sim_list_values(d, g.domain, g.attribute, values);
                for (uint32_t v = 0; v < count && code == CSL_OK; v++)
                    code = add_group(r, &g, values[v], err);
            }
        }
    }
    return code;
}

/* The joined test records of a domain, one of its inputs taken as absent. */
static enum csl_code add_without(struct csl_result *r, const struct csl_sim_data *d,
                                 struct csl_trainer *trainer, const float *parameters,
                                 uint32_t domain, uint32_t input, struct csl_err *err)
{
    const struct csl_domain *what = &d->study->domains[domain];
    struct csl_result_group group = {.domain = domain, .attribute = "input left out"};
    struct scored all;
    enum csl_code code = scored_init(&all, what, test_records(d, domain), err);
    for (uint32_t s = 0; code == CSL_OK && s < d->site_count; s++) {
        struct csl_examples e = d->sites[s]->domains[domain][CSL_SPLIT_TEST]; /* a view */
        float *scores = NULL;
        e.absent = UINT32_C(1) << input;
        if (e.records > 0)
            code = predict(trainer, what, domain, &e, model_at(d, s, parameters), &scores, err);
        for (uint32_t i = 0; code == CSL_OK && i < e.records; i++)
            scored_add(&all, &e, scores, i);
        csl_free(scores);
    }
    (void)snprintf(group.value, sizeof(group.value), "%.31s", d->study->inputs[input].id);
    if (code == CSL_OK && all.count >= CSL_GROUP_RECORDS_MIN) {
        code = measure(&group.metrics, what, &all, r->seed, err);
        if (code == CSL_OK)
            code = csl_result_add_group(r, &group, err);
    }
    scored_release(&all);
    return code;
}

enum csl_code csl_evaluate_without_inputs(struct csl_result *r, const struct csl_sim_data *d,
                                          struct csl_trainer *trainer, const float *parameters,
                                          struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t k = 0; k < d->study->domain_count; k++) {
        const struct csl_domain_fusion *f = &d->study->domains[k].fusion;
        for (uint32_t i = 0; f->input_count > 1 && i < f->input_count && code == CSL_OK; i++)
            code = add_without(r, d, trainer, parameters, k, f->inputs[i], err);
    }
    return code;
}
