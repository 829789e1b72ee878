/* Weights of domains in whole studies: they act on what domains share and on nothing else, they are
 * the same after every restart, and a site does not train on a table that its study forbids. */
#include "tests/unit/world/faults.h"
#include "tests/unit/world/mixed_records.h"

#include "base/log.h"
#include "base/str.h"
#include "coordinator/core/weigh.h"
#include "privacy/crypto/init.h"
#include "simulations/world.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SEED UINT64_C(11)

static const char study_text[] =
    "study: weighted\n"
    "inputs:\n"
    "  - {id: xray, modality: image2d, shape: [16, 16, 1], encoder: {kind: linear}}\n"
    "  - {id: ecg, modality: signal, shape: [64, 3], encoder: {kind: linear}}\n"
    "  - id: heart\n    modality: tabular\n    scaling: site\n"
    "    features: [systolic_pressure, cholesterol]\n    encoder: {kind: linear}\n"
    "domains:\n"
    "  - {id: chest, inputs: [xray, heart], task: {kind: binary, label: xray}}\n"
    "  - {id: rhythm, inputs: [ecg, heart], task: {kind: binary, label: ecg}}\n"
    "model: {kind: multimodal, width: 4}\n"
    "training: {local: {optimizer: sgd, learning_rate: 0.05, batch_patients: 16, steps: 4}}\n"
    "rounds: %u\naggregation: {strategy: fedavg}\n"
    "sites: {minimum: 3, round_deadline: 1h}\nevaluation: {every: 1}\n%s";

enum { CHEST, RHYTHM, XRAY, ECG, HEART };

#define BALANCED "fairness: {domain_weights: {kind: balanced}}\n"
#define DOMAIN                                                                                     \
    "fairness: {domain_weights: {kind: domain, every: 1, smoothing: 0.5, shrinkage: 10}}\n"
#define DRPO "fairness: {domain_weights: {kind: drpo, every: 2}}\n"

/* Two hospitals with chest images, one with heart beats. */
static const char *const keeps[FIXTURE_SITES][2] = {
    {"xray", "heart"}, {"xray", "heart"}, {"ecg", "heart"}};

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("%s", err->msg);
}

static void open_mixed(struct fixture *f, uint32_t rounds, const char *fairness)
{
    struct csl_err err = {.code = CSL_OK};
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    char yaml[4096];
    must(csl_crypto_init(&err), &err);
    snprintf(f->dir, sizeof(f->dir), "%.40s/csl-weights-XXXXXX", base);
    assert_non_null(mkdtemp(f->dir));
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        snprintf(f->ids[i], sizeof(f->ids[i]), "site-%u", i);
        fixture_path(f, f->ids[i], f->records[i]);
        mixed_records(f->records[i], SEED + i, keeps[i]);
    }
    snprintf(yaml, sizeof(yaml), study_text, rounds, fairness);
    must(csl_study_parse(&f->study, "weighted.yaml", CSL_SPAN(yaml, strlen(yaml)), &err), &err);
}

/* --- the table on its way to the sites --- */

static double forged_log_weight; /* of the second domain; 0: what the core says */
static struct csl_weights_table newest;

const struct csl_weights_table *__real_csl_coord_weights(const struct csl_coord *c);
const struct csl_weights_table *__wrap_csl_coord_weights(const struct csl_coord *c);
const struct csl_weights_table *__wrap_csl_coord_weights(const struct csl_coord *c)
{
    const struct csl_weights_table *table = __real_csl_coord_weights(c);
    if (table == NULL)
        return NULL;
    newest = *table;
    if (forged_log_weight > 0)
        newest.rows[RHYTHM].log_weight = forged_log_weight;
    return &newest;
}

/* --- runs --- */

static enum csl_code run_world(const struct fixture *f, struct csl_world_result *out,
                               struct csl_err *err)
{
    struct csl_world_site sites[FIXTURE_SITES];
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        csl_str_copy(sites[i].id, sizeof(sites[i].id), f->ids[i]);
        csl_str_copy(sites[i].record_path, sizeof(sites[i].record_path), f->records[i]);
    }
    const struct csl_world_config c = {.study = f->study,
                                       .sites = sites,
                                       .site_count = FIXTURE_SITES,
                                       .seed = SEED,
                                       .backend = "cpu-ref"};
    return csl_world_run(&c, out, err);
}

/* One round: what only one domain has is trained and averaged as without weights. */
static void test_world_weights__first_round__act_on_the_shared_input_alone(void **state)
{
    struct fixture plain, weighted;
    struct csl_world_result a, b;
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    open_mixed(&plain, 1, "");
    open_mixed(&weighted, 1, BALANCED);
    must(run_world(&plain, &a, &err), &err);
    must(run_world(&weighted, &b, &err), &err);
    assert_true(newest.rows[RHYTHM].log_weight > newest.rows[CHEST].log_weight);
    for (uint32_t i = 0; i < plain.study->schema.block_count; i++) {
        const struct csl_block_spec *block = &plain.study->schema.blocks[i];
        bool is_same = memcmp(a.parameters + block->first, b.parameters + block->first,
                              block->count * sizeof(float)) == 0;
        assert_int_equal(is_same, i != HEART);
    }
    csl_world_result_release(&a);
    csl_world_result_release(&b);
    fixture_close(&plain);
    fixture_close(&weighted);
}

/* More and more evaluations: difficulty counts, within the cap. */
static void test_world_weights__domain__tables_follow_the_evaluations(void **state)
{
    struct fixture f;
    struct csl_world_result r;
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    open_mixed(&f, 5, DOMAIN);
    must(run_world(&f, &r, &err), &err);
    assert_int_equal(newest.round, 4); /* the last one that a round could use */
    assert_true(newest.rows[CHEST].skill >= 0 && newest.rows[CHEST].skill <= 1);
    assert_true(fabs(newest.rows[CHEST].log_weight) > 0);
    for (uint32_t d = 0; d < newest.count; d++)
        assert_true(fabs(newest.rows[d].log_weight) <= log(2) + 1e-12);
    csl_world_result_release(&r);
    fixture_close(&f);
}

/* All sites refuse to train, so that no round can close. */
static void test_world_weights__table_over_the_cap__refused_by_every_site(void **state)
{
    static const struct {
        double log_weight;
        bool is_allowed;
    } rows[] = {{0.6931, true}, {0.6932, false}, {5, false}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture f;
        struct csl_world_result r;
        struct csl_err err = {.code = CSL_OK};
        open_mixed(&f, 1, "fairness: {domain_weights: {kind: balanced, cap: 2}}\n");
        forged_log_weight = rows[i].log_weight;
        enum csl_code code = run_world(&f, &r, &err);
        forged_log_weight = 0;
        if (rows[i].is_allowed) {
            must(code, &err);
            csl_world_result_release(&r);
        } else {
            assert_int_equal(code, CSL_E_CANCELLED);
            assert_non_null(strstr(err.msg, "too few sites delivered"));
        }
        fixture_close(&f);
    }
}

/* Ten patients of each site count: 20 of one domain, 10 of the other, with weights 1/sqrt(2) and
 * sqrt(2); no site can have more than 10 (1/sqrt(2) + sqrt(2)) of their mass, so that 4/3
 * contributors are certain. */
static void test_world_weights__too_few_contributors_certain__refused_by_every_site(void **state)
{
    static const struct {
        const char *fairness;
        bool is_allowed;
    } rows[] = {{"fairness: {domain_weights: {kind: balanced, largest_site: 10, effective_sites: "
                 "1.33}}\n",
                 true},
                {"fairness: {domain_weights: {kind: balanced, largest_site: 10, effective_sites: "
                 "1.34}}\n",
                 false}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture f;
        struct csl_world_result r;
        struct csl_err err = {.code = CSL_OK};
        open_mixed(&f, 1, rows[i].fairness);
        enum csl_code code = run_world(&f, &r, &err);
        if (rows[i].is_allowed) {
            must(code, &err);
            csl_world_result_release(&r);
        } else {
            assert_int_equal(code, CSL_E_CANCELLED);
        }
        fixture_close(&f);
    }
}

static void check_restarts(const char *fairness)
{
    struct fixture f;
    uint8_t calm[CSL_DIGEST_BYTES], rough[CSL_DIGEST_BYTES];
    uint32_t killed = 0;
    open_mixed(&f, 5, fairness);
    (void)faults_run(
        &f, 0, &(struct faults){.cut_probability = 0, .kill_probability = 0, .chunk_bytes = 1024},
        calm);
    for (uint64_t schedule = 1; schedule <= 12; schedule++) {
        killed +=
            faults_run(&f, schedule,
                       &(struct faults){
                           .cut_probability = 0.002, .kill_probability = 0.01, .chunk_bytes = 1024},
                       rough);
        if (memcmp(calm, rough, CSL_DIGEST_BYTES) != 0)
            fail_msg("%sschedule %llu released another model", fairness,
                     (unsigned long long)schedule);
    }
    assert_true(killed >= 12); /* else the test does not test */
    fixture_close(&f);
}

static void test_world_weights__processes_killed_at_random__same_model(void **state)
{
    (void)state;
    check_restarts(BALANCED);
    check_restarts(DOMAIN);
    check_restarts(DRPO);
}

int main(void)
{
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_weights__first_round__act_on_the_shared_input_alone),
        cmocka_unit_test(test_world_weights__domain__tables_follow_the_evaluations),
        cmocka_unit_test(test_world_weights__table_over_the_cap__refused_by_every_site),
        cmocka_unit_test(test_world_weights__too_few_contributors_certain__refused_by_every_site),
        cmocka_unit_test(test_world_weights__processes_killed_at_random__same_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
