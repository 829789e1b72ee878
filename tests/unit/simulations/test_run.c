/* A whole run with a federation that answers from a script, and the files it leaves. */
#include "base/file.h"
#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "coordinator/model/model_file.h"
#include "simulations/manifest.h"
#include "simulations/run.h"
#include "simulations/run_table.h"
#include "tests/unit/simulations/fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TOP                                                                                        \
    "study: small\n"                                                                               \
    "question: q\n"                                                                                \
    "domains:\n"                                                                                   \
    "  - {id: d, modality: tabular, task: {kind: binary, label: ill}, features: [x]}\n"            \
    "model: {kind: linear}\n"                                                                      \
    "training:\n"                                                                                  \
    "  local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 2, steps: 2}\n"                 \
    "rounds: 2\n"                                                                                  \
    "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define HEAD TOP "privacy: {mode: none}\n"
#define STUDY                                                                                      \
    HEAD "baselines: {optimizer: sgd, learning_rate: 1, batch_patients: full, epochs: 20}\n"       \
         "personalisation: {training: {learning_rate: 0.1, batch_patients: full, epochs: 2}}\n"

#define PRIVATE                                                                                    \
    TOP "privacy: {mode: local, epsilon: 1, delta: 1e-3, clip: 1}\n"                               \
        "baselines: {optimizer: sgd, learning_rate: 1, batch_patients: full, epochs: 20}\n"

static struct csl_err err;

struct script {
    uint32_t calls;
    uint64_t seeds[8];
    double epsilons[8];        /* of the study; 0: no privacy */
    bool has_ledgers[8];       /* wanted in OUT/ledger */
    uint32_t canaries[8];      /* wanted */
    const char *initial_model; /* of the last call */
    bool interrupts, stops;
};

static void add_block(struct csl_world_result *w, uint64_t round, uint32_t site, double auc)
{
    struct csl_eval_block *b = &w->evaluations[w->evaluation_count].block;
    w->evaluations[w->evaluation_count].round = round;
    w->evaluations[w->evaluation_count].site = site;
    b->examples = 4;
    b->loss_sum = 2.0;
    b->true_positive = 2;
    b->true_negative = 1;
    b->metric_count = 1;
    assert_true(csl_str_copy(b->metrics[0].name, sizeof(b->metrics[0].name), "auc"));
    b->metrics[0].value = auc;
    b->bin_count = 2 * CSL_SCORE_BINS;
    b->bins[10] = 1;                   /* a healthy patient scored low */
    b->bins[CSL_SCORE_BINS + 200] = 1; /* an ill one scored high */
    w->evaluation_count++;
}

/* Site 1 never accepted the study. */
static void add_privacy(struct csl_world_result *w, const struct csl_world_config *c)
{
    w->privacy = csl_alloc_array(c->site_count, sizeof(*w->privacy));
    w->privacy[0] = (struct csl_world_privacy){.is_present = true,
                                               .is_verified = c->ledger_dir != NULL,
                                               .is_rehearsal = true,
                                               .epsilon = c->study->privacy.epsilon,
                                               .delta = 1e-3,
                                               .budget_epsilon = 4,
                                               .noise_multiplier = 2 / c->study->privacy.epsilon,
                                               .entries = 9};
    memset(w->privacy[0].root, 0xab, sizeof(w->privacy[0].root));
    w->privacy[0].audit.canaries = c->audit_canaries;
    w->privacy[0].audit.guesses = c->audit_canaries / 2;
    w->privacy[0].audit.correct = c->audit_canaries / 4;
    w->privacy[0].audit.epsilon_lower = 0.25;
    w->privacy[0].audit.confidence = 0.95;
}

/* Weight 1, bias -seed / 100: every seed another model. */
static enum csl_code federate(void *ctx, const struct csl_world_config *c,
                              struct csl_world_result *out, struct csl_err *e)
{
    struct script *s = ctx;
    struct csl_world_result w = {.rounds = c->study->rounds};
    (void)e;
    assert_true(s->calls < 8);
    s->epsilons[s->calls] = c->study->privacy.epsilon;
    s->has_ledgers[s->calls] = c->ledger_dir != NULL;
    s->canaries[s->calls] = c->audit_canaries;
    s->seeds[s->calls++] = c->seed;
    s->initial_model = c->initial_model;
    w.parameters = csl_alloc_array((size_t)c->study->schema.parameters, sizeof(float));
    w.parameters[0] = 1.0f;
    w.parameters[1] = (float)c->seed / -100.0f;
    w.round_rows = csl_alloc_array(2, sizeof(*w.round_rows));
    for (uint32_t i = 0; i < 2; i++)
        w.round_rows[i] = (struct csl_world_round){
            .round = i + 1, .contributions = 2, .train_loss = 0.5 / (i + 1)};
    w.site_rounds = csl_alloc_array(c->site_count, sizeof(*w.site_rounds));
    w.site_patients = csl_alloc_array(c->site_count, sizeof(*w.site_patients));
    for (uint32_t i = 0; i < c->site_count; i++)
        w.site_rounds[i] = 2;
    w.evaluations = csl_alloc_array(2, sizeof(*w.evaluations));
    add_block(&w, 2, 0, 0.5);
    add_block(&w, 2, 1, 1.0);
    if (c->study->privacy.mode != CSL_PRIVACY_NONE)
        add_privacy(&w, c);
    w.bytes_up = 100;
    w.bytes_down = 200;
    w.was_interrupted = s->interrupts;
    *out = w;
    return CSL_OK;
}

/* The script's own allocations are not what is swept. */
static uint64_t sweep_from;
static enum csl_code federate_unharmed(void *ctx, const struct csl_world_config *c,
                                       struct csl_world_result *out, struct csl_err *e)
{
    uint64_t used = csl_mem_fail_after(0);
    enum csl_code code = federate(ctx, c, out, e);
    if (sweep_from > used)
        (void)csl_mem_fail_after(sweep_from - used);
    return code;
}

static bool is_interrupted(void *ctx)
{
    const struct script *s = ctx;
    return s->stops && s->calls >= 2;
}

static struct csl_world_site sites[2];
static struct csl_prepared prepared = {.sites = sites, .count = 2};

static struct csl_run_config config_of(const struct csl_study *study, struct script *s)
{
    fixture_records(&sites[0], "a", "T0f T0m T1f T1m E0f E1f E0m E1m");
    fixture_records(&sites[1], "b", "T1m T0f E1m E0f");
    return (struct csl_run_config){.study = study,
                                   .prepared = &prepared,
                                   .federate = federate,
                                   .federate_ctx = s,
                                   .transport = "inproc",
                                   .backend = "cpu-ref",
                                   .version = "0.0.0",
                                   .out_dir = fixture_dir,
                                   .has_baselines = true,
                                   .first_seed = 1,
                                   .last_seed = 1,
                                   .interrupted = is_interrupted,
                                   .interrupted_ctx = s};
}

static const struct csl_result_row *row_of(const struct csl_result *r, const char *scope,
                                           const char *metric)
{
    for (uint32_t i = 0; i < r->row_count; i++)
        if (strcmp(r->rows[i].scope, scope) == 0 && strcmp(r->rows[i].metric, metric) == 0)
            return &r->rows[i];
    fail_msg("no row %s %s", scope, metric);
    return NULL;
}

static void test_run__one_seed__fills_every_part(void **state)
{
    struct csl_study *study = fixture_study(STUDY);
    struct script s = {0};
    struct csl_run_config c = config_of(study, &s);
    struct csl_result r;
    (void)state;
    if (csl_run_study(&r, &c, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(s.calls, 1);
    assert_int_equal(r.rounds, 2);
    assert_string_equal(r.backend, "cpu-ref");
    assert_int_equal(r.sites[0].patients, 4);
    assert_int_equal(r.sites[1].rounds_completed, 2);
    assert_int_equal(r.federated.pooled[0].examples, 6);
    assert_true(r.baselines.is_present);
    assert_int_equal(r.repeats.count, 0);
    assert_int_equal(r.bytes_up, 100);
    assert_int_equal(r.transfer.models[CSL_TRANSFER_WHOLE].pooled[0].examples, 6);
    assert_string_equal(r.transfer.training, "adam, learning rate 0.1, all training patients in a "
                                             "step, 2 epochs");
    assert_true(row_of(&r, "federation", "train_loss")->value == 0.5);
    assert_true(row_of(&r, "round_pooled", "accuracy")->value == 0.75);
    assert_true(row_of(&r, "round_pooled", "auc")->value == 1.0);
    assert_true(row_of(&r, "round_pooled", "loss")->value == 0.5);
    assert_true(row_of(&r, "round_mean", "auc")->value == 0.75);
    assert_true(row_of(&r, "round_site", "auc")->value == 0.5);
    assert_true(row_of(&r, "test_pooled", "accuracy")->has_interval);
    csl_result_release(&r);
    csl_study_free(study);
}

static void test_run__several_seeds__repeats_in_order_and_shows_the_first(void **state)
{
    struct csl_study *study = fixture_study(STUDY);
    struct script s = {0};
    struct csl_run_config c = config_of(study, &s);
    struct csl_result r;
    struct csl_model_file model;
    char path[CSL_PATH_MAX];
    (void)state;
    c.last_seed = 3;
    assert_int_equal(csl_run_study(&r, &c, &err), CSL_OK);
    assert_int_equal(s.calls, 3);
    assert_int_equal(s.seeds[2], 3);
    assert_int_equal(r.seed, 1);
    assert_int_equal(r.repeats.count, 3);
    assert_int_equal(csl_spread_find(&r.repeats.federated.pooled[0], "log_loss")->count, 3);
    assert_int_equal(r.repeats.local_count, 2);
    assert_non_null(r.repeats.pooled_training.pooled);
    assert_non_null(r.repeats.transfer[CSL_TRANSFER_HEAD].pooled);
    assert_int_equal(csl_path_join(path, sizeof(path), fixture_dir, "model.h5", &err), CSL_OK);
    assert_int_equal(csl_model_read(path, &study->schema, &model, &err), CSL_OK);
    assert_true(model.parameters[1] == -0.01f);
    assert_int_equal(model.info.round, 2);
    csl_model_file_release(&model);
    csl_result_release(&r);
    csl_study_free(study);
}

static void test_run__interrupted_between_seeds__keeps_what_is_done(void **state)
{
    struct csl_study *study = fixture_study(HEAD);
    struct script s = {.stops = true};
    struct csl_run_config c = config_of(study, &s);
    struct csl_result r;
    (void)state;
    c.last_seed = 5;
    assert_int_equal(csl_run_study(&r, &c, &err), CSL_OK);
    assert_int_equal(s.calls, 2);
    assert_true(r.was_interrupted);
    assert_int_equal(r.repeats.count, 2);
    assert_false(r.baselines.is_present);
    assert_string_equal(r.baselines.reason, "the study has no section 'baselines'");
    csl_result_release(&r);
    csl_study_free(study);
}

static void test_run__interrupted_federation__leaves_the_baselines_out(void **state)
{
    struct csl_study *study = fixture_study(STUDY);
    struct script s = {.interrupts = true};
    struct csl_run_config c = config_of(study, &s);
    struct csl_result r;
    (void)state;
    c.last_seed = 5;
    assert_int_equal(csl_run_study(&r, &c, &err), CSL_OK);
    assert_int_equal(s.calls, 1);
    assert_true(r.was_interrupted);
    assert_string_equal(r.baselines.reason, "the run was interrupted");
    assert_string_equal(r.transfer.personal_reason, "the run was interrupted");
    csl_result_release(&r);
    csl_study_free(study);
}

/* No pair of allocations may depend on each other's luck: whichever fails, the run says so. */
static void test_run__any_allocation_failing__is_reported(void **state)
{
    struct csl_study *study = fixture_study(STUDY);
    struct script s = {0};
    struct csl_run_config c = config_of(study, &s);
    enum csl_code code = CSL_E_NOMEM;
    (void)state;
    for (uint64_t n = 1; code != CSL_OK; n += 1 + n / 8) {
        struct csl_result r = {0};
        s.calls = 0;
        sweep_from = n;
        c.federate = federate_unharmed;
        (void)csl_mem_fail_after(n);
        code = csl_run_study(&r, &c, &err);
        (void)csl_mem_fail_after(0);
        csl_result_release(&r);
        assert_true(n < 1000000);
    }
    csl_study_free(study);
}

static void test_files__of_a_run__are_read_back_and_drawn_again(void **state)
{
    struct csl_study *study = fixture_study(STUDY);
    struct script s = {0};
    struct csl_run_config c = config_of(study, &s);
    struct csl_result r, read;
    struct csl_msg page[2] = {{NULL, 0}, {NULL, 0}};
    char path[CSL_PATH_MAX];
    (void)state;
    assert_int_equal(csl_run_study(&r, &c, &err), CSL_OK);
    assert_int_equal(csl_run_write_files(&r, study, fixture_dir, &err), CSL_OK);
    assert_int_equal(csl_path_join(path, sizeof(path), fixture_dir, "report.html", &err), CSL_OK);
    assert_int_equal(csl_file_read(&page[0], path, 1u << 22, &err), CSL_OK);
    if (csl_run_read_files(&read, fixture_dir, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(csl_run_write_report(&read, path, &err), CSL_OK);
    assert_int_equal(csl_file_read(&page[1], path, 1u << 22, &err), CSL_OK);
    assert_int_equal(page[0].n, page[1].n);
    assert_memory_equal(page[0].p, page[1].p, page[0].n);
    assert_int_equal(csl_path_join(path, sizeof(path), fixture_dir, "study.yaml", &err), CSL_OK);
    csl_msg_release(&page[1]);
    assert_int_equal(csl_file_read(&page[1], path, 1u << 22, &err), CSL_OK);
    assert_string_equal((const char *)page[1].p, STUDY);
    csl_msg_release(&page[0]);
    csl_msg_release(&page[1]);
    csl_result_release(&r);
    csl_result_release(&read);
    csl_study_free(study);
}

static void test_table__of_a_run__names_sites_and_privacy(void **state)
{
    struct csl_study *study = fixture_study(STUDY);
    struct script s = {0};
    struct csl_run_config c = config_of(study, &s);
    struct csl_result r;
    struct csl_buf out;
    (void)state;
    c.last_seed = 2;
    assert_int_equal(csl_run_study(&r, &c, &err), CSL_OK);
    csl_buf_init(&out, 1u << 20);
    csl_run_table(&r, &out);
    assert_non_null(strstr(csl_buf_text(&out), "no differential privacy"));
    assert_non_null(strstr(csl_buf_text(&out), "\n  a  "));
    assert_non_null(strstr(csl_buf_text(&out), "mean over sites"));
    assert_non_null(strstr(csl_buf_text(&out), "all records in one place"));
    assert_non_null(strstr(csl_buf_text(&out), "d, 2 seeds"));
    assert_null(strstr(csl_buf_text(&out), " \n"));
    csl_buf_release(&out);
    csl_result_release(&r);
    csl_study_free(study);
}

static void test_prepare__missing_data__names_file_folder_and_remedy(void **state)
{
    struct csl_study *study =
        fixture_study(HEAD "simulation:\n  sites:\n    - {id: a, csv: x/t.csv, mapping: m.yaml}\n");
    const struct csl_prepare_config c = {
        .study = study, .study_path = "study.yaml", .data_dir = "no/such", .out_dir = fixture_dir};
    struct csl_prepared p;
    (void)state;
    assert_int_equal(csl_prepare_sites(&p, &c, &err), CSL_E_NOTFOUND);
    assert_non_null(strstr(err.msg, "site a"));
    assert_non_null(strstr(err.msg, "x/t.csv"));
    assert_non_null(strstr(err.msg, "no/such"));
    assert_non_null(strstr(err.msg, "CONSILIUM_DATA"));
    csl_study_free(study);
}

static void test_prepare__synthetic_site__writes_its_record_file(void **state)
{
    struct csl_study *study =
        fixture_study(HEAD "simulation:\n  sites:\n    - {id: coimbra, synth: 7}\n");
    const struct csl_prepare_config c = {
        .study = study, .study_path = "study.yaml", .data_dir = ".", .out_dir = fixture_dir};
    struct csl_prepared p;
    (void)state;
    if (csl_prepare_sites(&p, &c, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(p.count, 1);
    assert_string_equal(p.sites[0].id, "coimbra");
    assert_true(csl_file_exists(p.sites[0].record_path));
    csl_prepared_release(&p);
    csl_study_free(study);
}

static void test_run__with_privacy__takes_what_the_ledgers_say(void **state)
{
    struct csl_study *study = fixture_study(PRIVATE);
    struct script s = {0};
    struct csl_run_config c = config_of(study, &s);
    struct csl_result r;
    (void)state;
    c.audit_canaries = 40;
    c.last_seed = 2;
    if (csl_run_study(&r, &c, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_string_equal(r.privacy, "local");
    const struct csl_result_privacy *p = &r.sites[0].privacy;
    assert_true(p->is_present && p->is_verified && p->is_rehearsal);
    assert_true(p->epsilon == 1 && p->delta == 1e-3 && p->budget_epsilon == 4);
    assert_true(p->noise_multiplier == 2);
    assert_int_equal(p->entries, 9);
    assert_int_equal(strlen(p->head), 64);
    assert_int_equal(strspn(p->head, "ab"), 64);
    assert_int_equal(p->canaries, 40);
    assert_int_equal(p->guesses, 20);
    assert_int_equal(p->correct, 10);
    assert_true(p->audit_epsilon_lower == 0.25 && p->audit_confidence == 0.95);
    assert_false(r.sites[1].privacy.is_present);
    for (uint32_t i = 0; i < r.row_count; i++)
        assert_string_not_equal(r.rows[i].metric, "train_loss");
    assert_true(row_of(&r, "privacy_site", "budget_epsilon")->value == 4);
    assert_true(s.has_ledgers[0] && !s.has_ledgers[1]); /* of the run that is shown */
    assert_true(s.canaries[0] == 40 && s.canaries[1] == 40);
    csl_result_release(&r);
    csl_study_free(study);
}

static void test_run__without_privacy__keeps_no_ledger(void **state)
{
    struct csl_study *study = fixture_study(STUDY);
    struct script s = {0};
    struct csl_run_config c = config_of(study, &s);
    struct csl_result r;
    (void)state;
    assert_int_equal(csl_run_study(&r, &c, &err), CSL_OK);
    assert_string_equal(r.privacy, "none");
    assert_false(s.has_ledgers[0]);
    assert_false(r.sites[0].privacy.is_present);
    csl_result_release(&r);
    csl_study_free(study);
}

/* The study's model as safetensors: weight, bias 0. */
static void put_weights(const char *path, float weight)
{
    static const char header[] =
        "{\"d.weight\":{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[0,4]},"
        "\"d.bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}";
    uint8_t file[8 + sizeof(header) - 1 + 8] = {0};
    csl_store_le64(file, sizeof(header) - 1);
    memcpy(file + 8, header, sizeof(header) - 1);
    memcpy(file + 8 + sizeof(header) - 1, &weight, sizeof(weight));
    assert_int_equal(csl_file_write_atomic(path, CSL_SPAN(file, sizeof(file)), 0600, &err), CSL_OK);
}

/* The feature is larger for the ill, and the baselines hardly move: a weight of 1 ranks them above
 * the healthy, a weight of -1 below. */
static void test_run__initial_model__is_where_federation_and_baselines_start(void **state)
{
    struct csl_study *study =
        fixture_study(HEAD "baselines: {optimizer: sgd, learning_rate: 1e-9, batch_patients: full, "
                           "epochs: 1}\n");
    struct script s = {0};
    struct csl_run_config c = config_of(study, &s);
    struct csl_result read;
    double auc[2];
    char path[CSL_PATH_MAX], digests[2][2 * CSL_DIGEST_BYTES + 1];
    (void)state;
    assert_int_equal(csl_path_join(path, sizeof(path), fixture_dir, "w.safetensors", &err), CSL_OK);
    c.initial_model = path;
    for (int i = 0; i < 2; i++) {
        struct csl_result r;
        put_weights(path, i == 0 ? 1.0F : -1.0F);
        if (csl_run_study(&r, &c, &err) != CSL_OK)
            fail_msg("%s", err.msg);
        assert_string_equal(s.initial_model, path);
        auc[i] = csl_metrics_find(&r.baselines.pooled_training.pooled[0], "auc")->value;
        memcpy(digests[i], r.initial_model_digest, sizeof(digests[i]));
        assert_int_equal(csl_run_write_files(&r, study, fixture_dir, &err), CSL_OK);
        csl_result_release(&r);
    }
    assert_true(auc[0] > 0.8 && auc[1] < 0.2);
    assert_string_not_equal(digests[0], digests[1]);
    assert_int_equal(csl_run_read_files(&read, fixture_dir, &err), CSL_OK);
    assert_string_equal(read.initial_model_digest, digests[1]);
    csl_result_release(&read);
    csl_study_free(study);
}

static void test_run__initial_model_of_another_study__stops_before_anything_runs(void **state)
{
    struct csl_study *study =
        fixture_study("study: wide\ndomains:\n  - {id: d, modality: tabular, task: {kind: binary, "
                      "label: ill}, features: [x, y]}\nmodel: {kind: linear}\ntraining:\n  local: "
                      "{optimizer: sgd, learning_rate: 0.1, batch_patients: 2, steps: 2}\n"
                      "rounds: 2\naggregation: {strategy: fedavg, weights: {kind: samples}}\n"
                      "privacy: {mode: none}\n");
    struct script s = {0};
    struct csl_run_config c = config_of(study, &s);
    struct csl_result r;
    char path[CSL_PATH_MAX];
    (void)state;
    assert_int_equal(csl_path_join(path, sizeof(path), fixture_dir, "w.safetensors", &err), CSL_OK);
    put_weights(path, 1);
    c.initial_model = path;
    assert_int_equal(csl_run_study(&r, &c, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "tensor d.weight has shape [1, 1]; [1, 2] would be right"));
    assert_int_equal(s.calls, 0);
    csl_study_free(study);
}

static void test_run__prices__repeat_every_seed_and_leave_the_main_result_alone(void **state)
{
    static const double epsilons[] = {1, 1, 0.5, 0.5, 0, 0};
    struct csl_study *study = fixture_study(PRIVATE);
    const struct csl_manifest_change half = {.epsilon = 0.5}, none = {.epsilon = HUGE_VAL};
    struct csl_study *cheap = NULL, *open = NULL;
    struct script s = {0};
    struct csl_run_config c = config_of(study, &s);
    struct csl_result r;
    (void)state;
    assert_int_equal(csl_manifest_adapt(&cheap, study, "s.yaml", &half, &err), CSL_OK);
    assert_int_equal(csl_manifest_adapt(&open, study, "s.yaml", &none, &err), CSL_OK);
    const struct csl_run_price prices[] = {{0.5, cheap}, {HUGE_VAL, open}};
    c.prices = prices;
    c.price_count = 2;
    c.last_seed = 2;
    c.audit_canaries = 40;
    if (csl_run_study(&r, &c, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(s.calls, 6);
    for (uint32_t i = 0; i < s.calls; i++) {
        assert_true(s.epsilons[i] == epsilons[i]);
        assert_int_equal(s.seeds[i], 1 + i % 2);
        assert_int_equal(s.canaries[i], i < 2 ? 40 : 0);
        assert_int_equal(s.has_ledgers[i], i == 0);
    }
    assert_true(r.sites[0].privacy.epsilon == 1);
    assert_true(r.baselines.is_present);
    assert_int_equal(r.repeats.count, 2);
    assert_int_equal(r.price_count, 2);
    assert_true(r.prices[0].epsilon == 0.5 && isinf(r.prices[1].epsilon));
    assert_true(r.prices[0].noise_low == 4 && r.prices[0].noise_high == 4);
    assert_true(r.prices[1].noise_high == 0);
    assert_int_equal(r.prices[1].repeats.count, 2);
    assert_null(r.prices[0].repeats.locals);
    const struct csl_spread *spread =
        csl_spread_find(&r.prices[0].repeats.federated.pooled[0], "auc");
    assert_non_null(spread);
    assert_int_equal(spread->count, 2);
    csl_result_release(&r);
    csl_study_free(cheap);
    csl_study_free(open);
    csl_study_free(study);
}

static void test_run__interrupted_in_the_sweep__keeps_finished_prices_only(void **state)
{
    struct csl_study *study = fixture_study(PRIVATE);
    struct script s = {.stops = true}; /* after two calls: the study, and one price */
    struct csl_run_config c = config_of(study, &s);
    const struct csl_run_price prices[] = {{1, study}, {2, study}};
    struct csl_result r;
    (void)state;
    c.prices = prices;
    c.price_count = 2;
    c.has_baselines = false;
    assert_int_equal(csl_run_study(&r, &c, &err), CSL_OK);
    assert_true(r.was_interrupted);
    assert_int_equal(s.calls, 2);
    assert_int_equal(r.price_count, 1);
    assert_int_equal(r.prices[0].repeats.count, 1);
    csl_result_release(&r);
    csl_study_free(study);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run__one_seed__fills_every_part),
        cmocka_unit_test(test_run__several_seeds__repeats_in_order_and_shows_the_first),
        cmocka_unit_test(test_run__interrupted_between_seeds__keeps_what_is_done),
        cmocka_unit_test(test_run__interrupted_federation__leaves_the_baselines_out),
        cmocka_unit_test(test_run__any_allocation_failing__is_reported),
        cmocka_unit_test(test_files__of_a_run__are_read_back_and_drawn_again),
        cmocka_unit_test(test_table__of_a_run__names_sites_and_privacy),
        cmocka_unit_test(test_prepare__missing_data__names_file_folder_and_remedy),
        cmocka_unit_test(test_prepare__synthetic_site__writes_its_record_file),
        cmocka_unit_test(test_run__with_privacy__takes_what_the_ledgers_say),
        cmocka_unit_test(test_run__without_privacy__keeps_no_ledger),
        cmocka_unit_test(test_run__initial_model__is_where_federation_and_baselines_start),
        cmocka_unit_test(test_run__initial_model_of_another_study__stops_before_anything_runs),
        cmocka_unit_test(test_run__prices__repeat_every_seed_and_leave_the_main_result_alone),
        cmocka_unit_test(test_run__interrupted_in_the_sweep__keeps_finished_prices_only),
    };
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
