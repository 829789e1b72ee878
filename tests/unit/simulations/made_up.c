#include "tests/unit/simulations/made_up.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define COPY(to, from) CSL_ASSERT(csl_str_copy((to), sizeof(to), (from)))

static const char *const site_ids[] = {"cleveland", "hungarian", "switzerland", "va",
                                       "lyon",      "turin",     "ghent",       "porto"};

/* A value in [0.55, 0.95] that depends on where it is. */
static double value_at(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t h = (a * 2654435761u) ^ (b * 40503u + 77u) ^ (c * 9973u);
    h ^= h >> 13;
    h *= 2246822519u;
    return 0.55 + 0.4 * (double)(h >> 20 & 1023u) / 1023.0;
}

static void add(struct csl_metrics *m, const char *name, const char *method, double value,
                double half)
{
    double low = value - half < 0 ? 0 : value - half, high = value + half > 1 ? 1 : value + half;
    m->items[m->count++] = (struct csl_metric){
        csl_metric_intern(name), method ? csl_method_intern(method) : NULL, value, low, high};
}

static void fill(struct csl_metrics *m, enum csl_task_kind task, uint32_t salt, uint32_t site,
                 uint32_t n)
{
    double half = 0.9 / (double)(4 + n / 8);
    m->examples = n;
    if (task == CSL_TASK_SURVIVAL) {
        m->positives = n / 3;
        add(m, "c_index", "bootstrap", value_at(salt, site, 0), half);
        return;
    }
    if (task == CSL_TASK_CLASSES) {
        add(m, "macro_f1", "bootstrap", value_at(salt, site, 1), half);
        add(m, "balanced_accuracy", "bootstrap", value_at(salt, site, 2), half);
        add(m, "accuracy", "wilson", value_at(salt, site, 3), half);
        return;
    }
    m->positives = n / 2;
    if (site != 0)
        add(m, "auc", "delong", value_at(salt, site, 4), half);
    add(m, "accuracy", "wilson", value_at(salt, site, 5), half);
    add(m, "sensitivity", "wilson", value_at(salt, site, 6), half);
    add(m, "specificity", "wilson", value_at(salt, site, 7), half);
    add(m, "ece", "bootstrap", 1 - value_at(salt, site, 8), 0.05);
    add(m, "brier", NULL, 0.3 * value_at(salt, site, 9), 0);
}

void made_up_evaluation(struct csl_evaluation *e, const struct csl_result *r, uint32_t salt)
{
    struct csl_err err;
    CSL_ASSERT(e->pooled != NULL ||
               csl_evaluation_init(e, r->site_count, r->domain_count, true, &err) == CSL_OK);
    for (uint32_t d = 0; d < r->domain_count; d++) {
        fill(&e->pooled[d], r->domains[d].task, salt + d, 99, 254);
        for (uint32_t s = 0; s < r->site_count; s++)
            if (d == 0 || s % 3 != 2)
                fill(&e->cells[s * r->domain_count + d], r->domains[d].task, salt + d, s,
                     16 + 30 * s);
    }
}

static void fill_baselines(struct csl_result *r, uint32_t salt)
{
    struct csl_result_baselines *b = &r->baselines;
    struct csl_err err;
    CSL_ASSERT(csl_result_init_baselines(r, &err) == CSL_OK);
    b->is_present = true;
    for (uint32_t s = 0; s + 1 < r->site_count; s++) {
        b->locals[s].is_absent = false;
        made_up_evaluation(&b->locals[s].evaluation, r, salt + 10 * s);
        for (uint32_t d = 0; d < r->domain_count; d++)
            b->locals[s].own[d] = b->locals[s].evaluation.cells[s * r->domain_count + d];
    }
    COPY(b->locals[r->site_count - 1].reason, "its training patients all have the same label");
    for (uint32_t d = 0; d < r->domain_count; d++)
        b->best_site[d] = d % (r->site_count - 1);
    b->has_best_local = b->has_ensemble = b->has_pooled_training = true;
    made_up_evaluation(&b->best_local, r, salt + 100);
    made_up_evaluation(&b->ensemble, r, salt + 200);
    made_up_evaluation(&b->pooled_training, r, salt + 300);
}

static void fill_domains(struct csl_result *r)
{
    static const enum csl_task_kind tasks[] = {CSL_TASK_BINARY, CSL_TASK_SURVIVAL,
                                               CSL_TASK_CLASSES};
    static const char *const ids[] = {"heart-table", "survival-table", "ecg-signal"};
    for (uint32_t d = 0; d < r->domain_count; d++) {
        r->domains[d].task = tasks[d];
        r->domains[d].classes = tasks[d] == CSL_TASK_CLASSES ? 5 : 2 - 2 * (d == 1);
        COPY(r->domains[d].id, ids[d]);
        COPY(r->domains[d].modality, d == 2 ? "signal" : "tabular");
        COPY(r->domains[d].label, d == 0 ? "disease" : d == 1 ? "survival" : "rhythm");
        COPY(r->domains[d].positive, d == 0 ? "present" : "");
    }
}

static void fill_rows(struct csl_result *r)
{
    struct csl_err err;
    for (uint64_t round = 1; round <= r->rounds; round++) {
        struct csl_result_row row = {.round = round, .value = 0.4 + 0.5 / (double)round};
        COPY(row.scope, "federation");
        COPY(row.metric, "train_loss");
        CSL_ASSERT(csl_result_add_row(r, &row, &err) == CSL_OK);
        for (uint32_t s = 0; round % 3 == 0 && s <= r->site_count; s++) {
            COPY(row.scope, s < r->site_count ? "round_site" : "round_pooled");
            COPY(row.site, s < r->site_count ? r->sites[s].id : "");
            COPY(row.domain, r->domains[0].id);
            COPY(row.metric, "auc");
            row.value = 0.9 - 0.3 / (double)round - 0.02 * s;
            CSL_ASSERT(csl_result_add_row(r, &row, &err) == CSL_OK);
        }
    }
    CSL_ASSERT(csl_result_add_test_rows(r, &err) == CSL_OK);
}

static void fill_groups(struct csl_result *r)
{
    static const char *const values[][2] = {
        {"sex", "female"}, {"sex", "male"}, {"age_band", "50-59"}, {"age_band", "60-69"}};
    struct csl_err err;
    for (uint32_t i = 0; i < 4; i++) {
        struct csl_result_group g = {.domain = 0};
        COPY(g.attribute, values[i][0]);
        COPY(g.value, values[i][1]);
        fill(&g.metrics, r->domains[0].task, 500 + i, 1, 40 + 20 * i);
        CSL_ASSERT(csl_result_add_group(r, &g, &err) == CSL_OK);
    }
}

static void fill_head(struct csl_result *r, uint64_t seed)
{
    COPY(r->version, "0.1.0");
    COPY(r->study, "heart-4-hospitals");
    COPY(r->question, "Does this patient have coronary heart disease?");
    COPY(r->strategy, "fedavg");
    COPY(r->transport, "inproc");
    COPY(r->backend, "cpu-ref");
    COPY(r->privacy, "none");
    memset(r->study_digest, 'a', 64);
    memset(r->model_digest, '5', 64);
    r->seed = seed;
    r->rounds = r->rounds_planned = 15;
    r->parameters = 14;
    r->wall_s = 3.1;
    r->cpu_s = 2.9;
    r->peak_rss_bytes = 41234432;
    r->bytes_up = 123456;
    r->bytes_down = 234567;
}

static void make(struct csl_result *r, uint32_t sites, uint32_t domains, uint64_t seed)
{
    struct csl_err err;
    memset(r, 0, sizeof(*r));
    CSL_ASSERT(sites <= 8 && csl_result_init(r, sites, domains, &err) == CSL_OK);
    fill_head(r, seed);
    for (uint32_t s = 0; s < sites; s++) {
        COPY(r->sites[s].id, site_ids[s]);
        r->sites[s].patients = 30 + 57 * s;
        r->sites[s].rounds_completed = 15;
    }
    fill_domains(r);
    made_up_evaluation(&r->federated, r, (uint32_t)seed);
    fill_baselines(r, (uint32_t)seed + 1);
    fill_groups(r);
    fill_rows(r);
}

void made_up_result(struct csl_result *r, uint32_t sites, uint32_t domains, bool repeats)
{
    struct csl_err err;
    make(r, sites, domains, 42);
    for (uint64_t seed = 42; repeats && seed < 47; seed++) {
        struct csl_result *one = r, other;
        if (seed != 42) {
            one = &other;
            make(one, sites, domains, seed);
        }
        CSL_ASSERT(csl_repeats_add(&r->repeats, one, &err) == CSL_OK);
        if (one != r)
            csl_result_release(one);
    }
}

/* What site `s` spent: the first one all of its budget, the last one never accepted the study. */
static void fill_privacy(struct csl_result *r, uint32_t s, uint32_t canaries)
{
    struct csl_result_privacy *p = &r->sites[s].privacy;
    *p = (struct csl_result_privacy){.is_present = true,
                                     .is_verified = true,
                                     .is_rehearsal = true,
                                     .epsilon = s == 0 ? 1.0 : 0.998 - 0.07 * s,
                                     .delta = 1e-4,
                                     .budget_epsilon = s == 0 ? 1.0 : 2.0,
                                     .noise_multiplier = 2.86 - 0.31 * s,
                                     .entries = 17 + s};
    memset(p->head, (int)('a' + s % 6), 64);
    if (canaries == 0)
        return;
    p->canaries = canaries;
    p->guesses = canaries / 2;
    p->correct = canaries / 4 + 3 + s;
    p->audit_epsilon_lower = 0.08 + 0.05 * s;
    p->audit_confidence = 0.95;
}

static void add_prices(struct csl_result *r)
{
    static const double epsilons[] = {0.5, 1, 2, 8, HUGE_VAL};
    struct csl_err err;
    r->prices = csl_alloc_array(5, sizeof(*r->prices));
    CSL_ASSERT(r->prices != NULL);
    r->price_count = 5;
    for (uint32_t i = 0; i < 5; i++) {
        struct csl_result_price *p = &r->prices[i];
        p->epsilon = epsilons[i];
        p->noise_low = i < 4 ? 2.2 / epsilons[i] : 0;
        p->noise_high = i < 4 ? 3.4 / epsilons[i] : 0;
        for (uint64_t seed = 42; seed < 47; seed++) {
            struct csl_result one;
            make(&one, r->site_count, r->domain_count, seed + 10 * i);
            one.baselines.is_present = false;
            one.seed = seed;
            CSL_ASSERT(csl_repeats_add(&p->repeats, &one, &err) == CSL_OK);
            csl_result_release(&one);
        }
    }
}

void made_up_privacy(struct csl_result *r, const char *mode, uint32_t canaries, bool prices)
{
    struct csl_err err;
    uint32_t kept = 0;
    COPY(r->privacy, mode);
    for (uint32_t i = 0; i < r->row_count; i++)
        if (strncmp(r->rows[i].scope, "test_", 5) == 0)
            r->rows[kept++] = r->rows[i];
    r->row_count = kept; /* the sites keep the others */
    for (uint32_t s = 0; s + 1 < r->site_count; s++)
        fill_privacy(r, s, canaries);
    CSL_ASSERT(csl_result_add_privacy_rows(r, &err) == CSL_OK);
    if (prices)
        add_prices(r);
}

void made_up_realised(struct csl_result *r)
{
    static const char *const metrics[] = {"epsilon_coordinator", "epsilon_colluding",
                                          "epsilon_planned"};
    struct csl_err err;
    r->realised = (struct csl_result_realised){.is_present = true,
                                               .coordinator = 0.8512,
                                               .colluding = 0.9171,
                                               .planned = 1.0,
                                               .colluding_sites = 1,
                                               .floor = 6,
                                               .fewest = 7,
                                               .most = 8};
    for (uint32_t round = 1; round <= 15; round++) {
        for (uint32_t m = 0; m < 3; m++) {
            struct csl_result_row row = {.round = round, .value = 0.01 * round + 0.001 * m};
            COPY(row.scope, "privacy_sum");
            COPY(row.metric, metrics[m]);
            CSL_ASSERT(csl_result_add_row(r, &row, &err) == CSL_OK);
        }
    }
}
