/* Whole runs of a study with several yes/no labels, of which no site knows all. */
#include "base/buf.h"
#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"
#include "simulations/attack.h"
#include "simulations/run.h"
#include "simulations/run_table.h"
#include "site-agent/data/record.h"
#include "site-agent/training/train.h"
#include "tests/unit/simulations/fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SITES    3u
#define PATIENTS 160u
#define LABELS   3u

static const char *const label_names[LABELS] = {"edema", "effusion", "fracture"};
/* Site a has no column of the second label, and in b no answer to the first is known; nobody knows
 * the third but c, which knows nothing else. */
static const bool knows[SITES][LABELS] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};

#define DOMAIN                                                                                     \
    "domains:\n  - {id: chest, modality: tabular, features: [u, v, w], task: {kind: labels, "      \
    "labels: [edema, effusion, fracture]}}\nmodel: {kind: linear}\n"
#define FUSED                                                                                      \
    "inputs:\n  - {id: table, modality: tabular, features: [u, v, w], encoder: {kind: linear}}\n"  \
    "domains:\n  - {id: chest, inputs: [table], task: {kind: labels, "                             \
    "labels: [edema, effusion, fracture]}}\nmodel: {kind: multimodal, width: 4}\n"
#define REST                                                                                       \
    "training: {local: {optimizer: sgd, learning_rate: 0.5, batch_patients: 40, steps: 8}}\n"      \
    "rounds: %u\naggregation: {strategy: fedavg}\nsites: {minimum: 3}\n"                           \
    "evaluation: {every: 2}\n"

static struct csl_err err;
static struct csl_world_site sites[SITES];

static void must(enum csl_code code)
{
    if (code != CSL_OK)
        fail_msg("%s", err.msg);
}

#define COPY(to, from) CSL_ASSERT(csl_str_copy((to), sizeof(to), (from)))

static void add_label(struct csl_records *r, uint32_t k, bool is_known)
{
    struct csl_record_label *l = &r->labels[r->label_count++];
    COPY(l->name, label_names[k]);
    l->classes = 2;
    l->value = csl_alloc_array(PATIENTS, sizeof(*l->value));
    for (uint32_t i = 0; i < PATIENTS; i++)
        l->value[i] = is_known ? r->modalities[0].values[i * LABELS + k] > 0 : -1;
}

/* Label k is the sign of feature k. */
static void write_site(uint32_t site)
{
    static const char *const ids[SITES] = {"a", "b", "c"}, *const features[] = {"u", "v", "w"};
    struct csl_records *r = csl_alloc(sizeof(*r));
    struct csl_record_modality *m = &r->modalities[0];
    struct csl_rng rng;
    csl_rng_init_label(&rng, 9, "test/labels", site, 0, 0);
    COPY(r->site, ids[site]);
    COPY(r->licence, "test-only");
    COPY(r->split_rule, "every fourth");
    COPY(m->name, "tabular");
    COPY(m->kind, "tabular");
    r->patient_count = r->record_count = PATIENTS;
    r->modality_count = 1;
    m->rank = 1;
    m->shape[0] = LABELS;
    r->patient_id = csl_alloc_array(PATIENTS, sizeof(*r->patient_id));
    r->split = csl_alloc_array(PATIENTS, sizeof(*r->split));
    r->patient = csl_alloc_array(PATIENTS, sizeof(*r->patient));
    r->time = csl_alloc_array(PATIENTS, sizeof(*r->time));
    m->values = csl_alloc_array(PATIENTS, LABELS * sizeof(*m->values));
    m->available = csl_alloc_array(PATIENTS, 1);
    m->feature_names = csl_alloc_array(LABELS, sizeof(*m->feature_names));
    m->feature_units = csl_alloc_array(LABELS, sizeof(*m->feature_units));
    m->range_min = csl_alloc_array(LABELS, sizeof(*m->range_min));
    m->range_max = csl_alloc_array(LABELS, sizeof(*m->range_max));
    for (uint32_t k = 0; k < LABELS; k++)
        COPY(m->feature_names[k], features[k]);
    for (uint32_t i = 0; i < PATIENTS; i++) {
        (void)snprintf(r->patient_id[i], sizeof(r->patient_id[i]), "p%u", i);
        r->split[i] = i % 4 == 0 ? 2 : 0;
        r->patient[i] = i;
        m->available[i] = 1;
        for (uint32_t k = 0; k < LABELS; k++)
            m->values[i * LABELS + k] = (float)csl_rng_normal(&rng);
    }
    for (uint32_t k = 0; k < LABELS; k++)
        if (knows[site][k] || site > 0)
            add_label(r, k, knows[site][k]);
    COPY(sites[site].id, ids[site]);
    (void)snprintf(sites[site].record_path, sizeof(sites[site].record_path), "%s/%s.h5",
                   fixture_dir, ids[site]);
    must(csl_records_write(r, sites[site].record_path, &err));
    csl_records_release(r);
    csl_free(r);
}

static enum csl_code federate(void *ctx, const struct csl_world_config *c,
                              struct csl_world_result *out, struct csl_err *e)
{
    (void)ctx;
    return csl_world_run(c, out, e);
}

static void run(struct csl_result *r, const char *domain, const char *more, uint32_t rounds,
                struct csl_study **study)
{
    char yaml[2048], out[CSL_PATH_MAX];
    int n = snprintf(yaml, sizeof(yaml), "study: labels\nquestion: q\n%s" REST "%s", domain, rounds,
                     more);
    assert_true(n > 0 && (size_t)n < sizeof(yaml));
    must(csl_crypto_init(&err));
    for (uint32_t s = 0; s < SITES; s++)
        write_site(s);
    must(csl_path_join(out, sizeof(out), fixture_dir, "out", &err));
    must(csl_dir_make(out, &err));
    *study = fixture_study(yaml);
    struct csl_prepared prepared = {.sites = sites, .count = SITES};
    const struct csl_run_config c = {.study = *study,
                                     .prepared = &prepared,
                                     .federate = federate,
                                     .transport = "inproc",
                                     .backend = "cpu-ref",
                                     .version = "0",
                                     .out_dir = out,
                                     .needs_state_dir = true,
                                     .has_baselines = true,
                                     .first_seed = 1,
                                     .last_seed = 1};
    must(csl_run_study(r, &c, &err));
    must(csl_run_write_files(r, *study, out, &err));
}

static double auc_of(const struct csl_result *r, uint32_t label)
{
    const struct csl_metric *m = csl_metrics_find(&r->labels.items[label].metrics, "auc");
    assert_non_null(m);
    return m->value;
}

/* Each label was learned at the one site that knows it, and is judged there. */
static void expect_learned(const struct csl_result *r)
{
    double mean = 0;
    assert_int_equal(r->labels.count, LABELS);
    for (uint32_t k = 0; k < LABELS; k++) {
        const struct csl_result_label *l = &r->labels.items[k];
        assert_string_equal(l->name, label_names[k]);
        assert_int_equal(l->sites, 1);
        assert_int_equal(l->metrics.examples, PATIENTS / 4);
        assert_true(auc_of(r, k) > 0.9);
        mean += auc_of(r, k) / LABELS;
    }
    const struct csl_metric *all = csl_metrics_find(&r->federated.pooled[0], "auc");
    assert_non_null(all);
    assert_true(fabs(all->value - mean) < 1e-12);
    assert_string_equal(all->method, "label-mean");
    assert_true(all->low < all->value && all->high >= all->value);
    assert_int_equal(r->federated.pooled[0].examples, SITES * PATIENTS / 4);
}

static void read_file(struct csl_msg *out, const char *name)
{
    char path[CSL_PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/out/%s", fixture_dir, name);
    must(csl_file_read(out, path, 1u << 24, &err));
}

static void expect_in_file(const char *name, const char *const *texts)
{
    struct csl_msg file = {NULL, 0};
    struct csl_buf text;
    read_file(&file, name);
    csl_buf_init(&text, 1u << 24);
    csl_buf_append(&text, file.p, file.n);
    for (; *texts != NULL; texts++)
        if (strstr(csl_buf_text(&text), *texts) == NULL)
            fail_msg("%s does not say '%s'", name, *texts);
    csl_buf_release(&text);
    csl_msg_release(&file);
}

static void test_sim_labels__sites_know_different_ones__all_are_learned(void **state)
{
    static const char *const page[] = {
        "Several yes/no answers", "<code>edema, effusion, fracture</code>",
        "The federated model by label", "<th scope=\"row\">effusion", NULL};
    static const char *const summary[] = {"\"label\": \"edema, effusion, fracture\"",
                                          "\"task\": \"labels\"", "\"label-mean\"", NULL};
    static const char *const card[] = {"task labels", "Label by label", "| effusion | 40 | 1 | ",
                                       NULL};
    struct csl_result r = {0}, again = {0};
    struct csl_study *study = NULL;
    char out[CSL_PATH_MAX];
    (void)state;
    run(&r, DOMAIN,
        "baselines: {optimizer: sgd, learning_rate: 0.5, batch_patients: full, epochs: 40}\n", 4,
        &study);
    expect_learned(&r);
    assert_true(r.baselines.is_present && r.baselines.has_pooled_training);
    assert_false(r.baselines.locals[0].is_absent);
    expect_in_file("report.html", page);
    expect_in_file("model_card.md", card);
    expect_in_file("summary.json", summary);
    must(csl_path_join(out, sizeof(out), fixture_dir, "out", &err));
    must(csl_run_read_files(&again, out, &err));
    assert_int_equal(again.labels.count, LABELS);
    assert_int_equal(again.domains[0].task, CSL_TASK_LABELS);
    for (uint32_t k = 0; k < LABELS; k++) {
        assert_string_equal(again.labels.items[k].name, label_names[k]);
        assert_true(fabs(auc_of(&again, k) - auc_of(&r, k)) < 1e-9);
    }
    struct csl_buf table;
    csl_buf_init(&table, 1u << 20);
    csl_run_table(&again, &table);
    assert_non_null(strstr(csl_buf_text(&table), "label fracture"));
    csl_buf_release(&table);
    csl_result_release(&again);
    csl_result_release(&r);
    csl_study_free(study);
}

static void test_sim_labels__of_inputs__all_are_learned(void **state)
{
    struct csl_result r = {0};
    struct csl_study *study = NULL;
    (void)state;
    run(&r, FUSED, "", 12, &study);
    expect_learned(&r);
    csl_result_release(&r);
    csl_study_free(study);
}

/* Site a knows the first label alone: the others' rows of the head are what they were, bit by bit.
 */
static void test_sim_labels__of_inputs__unknown_ones_move_exactly_nothing(void **state)
{
    char yaml[2048];
    struct csl_trainer *trainer = NULL;
    struct csl_dataset *data = NULL;
    struct csl_train_report report;
    float update[256] = {0}, model[256];
    bool moved[LABELS] = {false};
    (void)state;
    (void)snprintf(yaml, sizeof(yaml), "study: labels\n" FUSED REST, 2u);
    struct csl_study *study = fixture_study(yaml);
    const struct csl_schema *schema = &study->schema;
    write_site(0);
    assert_true(schema->parameters <= 256);
    csl_schema_init_parameters(schema, 1, model);
    must(csl_dataset_load(&data, sites[0].record_path, study, &err));
    must(csl_trainer_new(&trainer, study, "cpu-ref", &err));
    const struct csl_train_task task = {
        .data = data, .seed = 1, .round = 1, .global = model, .update = update};
    must(csl_trainer_run(trainer, &task, &report, &err));
    uint32_t found = 0;
    for (uint32_t i = 0; i < schema->tensor_count; i++) {
        const struct csl_tensor_spec *t = &schema->tensors[i];
        if (strncmp(t->name, "chest.", 6) != 0 || t->shape[0] != LABELS)
            continue;
        found++;
        for (uint64_t k = 0; k < t->count; k++)
            moved[k / (t->count / LABELS)] |= update[t->first + k] < 0 || update[t->first + k] > 0;
    }
    assert_int_equal(found, 2); /* weight and bias */
    assert_true(moved[0]);
    assert_false(moved[1] || moved[2]);
    csl_trainer_free(trainer);
    csl_dataset_free(data);
    csl_study_free(study);
}

/* Under masks a round's model is judged by its loss alone; the released one as without. */
static void test_sim_labels__under_masks__trains_and_sums_the_loss(void **state)
{
    struct csl_result r = {0};
    struct csl_study *study = NULL;
    bool has_loss = false;
    (void)state;
    run(&r, DOMAIN, "secure_aggregation: {protocol: fsa-1, colluding: 0, minimum_sites: 3}\n", 4,
        &study);
    expect_learned(&r);
    for (uint32_t i = 0; i < r.row_count; i++)
        if (strcmp(r.rows[i].scope, "round_pooled") == 0) {
            assert_string_equal(r.rows[i].metric, "loss");
            has_loss = true;
        }
    assert_true(has_loss);
    csl_result_release(&r);
    csl_study_free(study);
}

static void test_sim_labels__with_local_privacy__pays_for_every_step(void **state)
{
    struct csl_result r = {0};
    struct csl_result_spent spent;
    struct csl_study *study = NULL;
    (void)state;
    run(&r, DOMAIN, "privacy: {mode: local, epsilon: 8, delta: 1e-3, clip: 1}\n", 4, &study);
    assert_true(csl_result_spent(&r, &spent));
    assert_int_equal(spent.sites, SITES);
    assert_true(spent.is_verified && spent.epsilon > 0 && spent.epsilon <= 8);
    assert_int_equal(r.labels.count, LABELS);
    csl_result_release(&r);
    csl_study_free(study);
}

/* Who flips labels flips what is known, and invents nothing. */
static void test_sim_labels__flipped__are_the_known_answers(void **state)
{
    (void)state;
    struct csl_study *study = fixture_study(
        "study: labels\n" DOMAIN
        "training: {local: {learning_rate: 0.5, batch_patients: 40, steps: 8}}\nrounds: 2\n"
        "aggregation: {strategy: fedavg}\nsites: {minimum: 1}\nsimulation:\n  sites:\n    - {id: "
        "a, records: a.h5}\n"
        "    - {id: b, records: b.h5, attack: {kind: label_flip, share: 1}}\n");
    struct csl_dataset *honest = NULL, *changed = NULL;
    struct csl_sim_attacker a;
    write_site(1);
    must(csl_dataset_load(&honest, sites[1].record_path, study, &err));
    must(csl_dataset_load(&changed, sites[1].record_path, study, &err));
    const struct csl_agent_tamper *tamper = csl_sim_attacker_init(&a, study, "b", 1);
    assert_non_null(tamper);
    tamper->data(tamper->ctx, changed);
    const struct csl_examples *was = &honest->domains[0][CSL_SPLIT_TRAIN];
    const struct csl_examples *is = &changed->domains[0][CSL_SPLIT_TRAIN];
    assert_int_equal(was->records, PATIENTS * 3 / 4);
    for (size_t i = 0; i < (size_t)was->records * LABELS; i++) {
        assert_int_equal(is->answer_known[i], was->answer_known[i]);
        assert_int_equal(is->answer[i], was->answer_known[i] != 0 && was->answer[i] == 0);
    }
    for (uint32_t i = 0; i < was->records; i++)
        assert_int_equal(is->label[i], 0);
    csl_dataset_free(honest);
    csl_dataset_free(changed);
    csl_study_free(study);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sim_labels__sites_know_different_ones__all_are_learned,
                                        fixture_start, fixture_stop),
        cmocka_unit_test_setup_teardown(test_sim_labels__of_inputs__all_are_learned, fixture_start,
                                        fixture_stop),
        cmocka_unit_test_setup_teardown(
            test_sim_labels__of_inputs__unknown_ones_move_exactly_nothing, fixture_start,
            fixture_stop),
        cmocka_unit_test_setup_teardown(test_sim_labels__under_masks__trains_and_sums_the_loss,
                                        fixture_start, fixture_stop),
        cmocka_unit_test_setup_teardown(test_sim_labels__flipped__are_the_known_answers,
                                        fixture_start, fixture_stop),
        cmocka_unit_test_setup_teardown(test_sim_labels__with_local_privacy__pays_for_every_step,
                                        fixture_start, fixture_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
