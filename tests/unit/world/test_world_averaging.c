/* A study that averages its models releases the average and evaluates it, and its sites train as if
 * there were none: compared, to the last bit, with what the models of single rounds give. */
#include "tests/unit/world/fixture.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "simulations/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS 5u
#define FROM   3u
#define P      3u /* two weights and a bias */

#define MASKS "secure_aggregation: {protocol: fsa-1, colluding: 0, minimum_sites: 3}\n"
#define FOUR  "4, steps: 3"
#define NOISE "noise_multiplier: 0.5, delta: 1e-3, clip: 1"

static struct fixture f;

static int open_fixture(void **state)
{
    (void)state;
    fixture_open(&f, "fedavg", 2);
    return 0;
}

static int close_fixture(void **state)
{
    (void)state;
    fixture_close(&f);
    return 0;
}

struct plan {
    const char *strategy; /* with its own keys */
    const char *sections; /* further ones of the study */
    const char *batch;    /* and steps */
};

/* averaging: the key, or "". */
static void run(const struct plan *p, const char *averaging, uint32_t rounds,
                struct csl_world_result *out)
{
    char yaml[1024];
    struct csl_study *study = NULL;
    struct csl_err err = {.code = CSL_OK};
    struct csl_world_site sites[FIXTURE_SITES];
    int n = snprintf(
        yaml, sizeof(yaml),
        "study: average\nquestion: Is this patient ill?\n"
        "domains:\n  - id: illness\n    modality: tabular\n"
        "    task: {kind: binary, label: ill, positive: 1}\n"
        "    features: [first, second]\n    scaling: constants\n    model: {kind: linear}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.3, batch_patients: %s}}\n"
        "rounds: %u\naggregation: {strategy: %s%s}\nevaluation: {every: %d}\n"
        "sites: {minimum: 3, round_deadline: 1h}\n%s",
        p->batch, rounds, p->strategy, averaging, strstr(p->sections, "secure_aggregation") == NULL,
        p->sections);
    assert_true(n > 0 && (size_t)n < sizeof(yaml));
    if (csl_study_parse(&study, "average.yaml", CSL_SPAN(yaml, strlen(yaml)), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(study->schema.parameters, P);
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        csl_str_copy(sites[i].id, sizeof(sites[i].id), f.ids[i]);
        csl_str_copy(sites[i].record_path, sizeof(sites[i].record_path), f.records[i]);
    }
    const struct csl_world_config c = {.study = study,
                                       .sites = sites,
                                       .site_count = FIXTURE_SITES,
                                       .seed = 11,
                                       .backend = "cpu-ref"};
    if (csl_world_run(&c, out, &err) != CSL_OK)
        fail_msg("%s: %s", p->strategy, err.msg);
    csl_study_free(study);
}

/* Where the evaluation of a round's model by a site stands in r. */
static uint32_t find_evaluation(const struct csl_world_result *r, uint64_t round, uint32_t site)
{
    uint32_t i = 0;
    while (i < r->evaluation_count &&
           (r->evaluations[i].round != round || r->evaluations[i].site != site))
        i++;
    assert_true(i < r->evaluation_count);
    return i;
}

static void check(const struct plan *p)
{
    struct csl_world_result raw[ROUNDS + 1], averaged;
    float expected[P];
    for (uint32_t r = FROM; r <= ROUNDS; r++) {
        run(p, "", r, &raw[r]);
        for (uint32_t i = 0; i < P; i++) {
            double old = r == FROM ? 0 : (double)expected[i], x = (double)raw[r].parameters[i];
            expected[i] = (float)(old + 1.0 / (double)(r - FROM + 1) * (x - old));
        }
    }
    run(p, ", averaging: {kind: mean, from_round: 3}", ROUNDS, &averaged);
    assert_int_equal(averaged.rounds, ROUNDS);
    assert_memory_equal(averaged.parameters, expected, sizeof(expected));
    assert_memory_not_equal(averaged.parameters, raw[ROUNDS].parameters, sizeof(expected));
    bool is_told = p->sections[0] == '\0'; /* else evaluations stay at the sites, or in sums */
    for (uint32_t i = 0; is_told && i < FIXTURE_SITES; i++) {
        const struct csl_eval_block *one =
            &averaged.evaluations[find_evaluation(&averaged, FROM, i)].block;
        const struct csl_eval_block *same =
            &raw[FROM].evaluations[find_evaluation(&raw[FROM], FROM, i)].block;
        assert_int_equal(one->metric_count, same->metric_count);
        assert_memory_equal(one->metrics, same->metrics,
                            one->metric_count * sizeof(one->metrics[0]));
    }
    for (uint32_t r = FROM; r <= ROUNDS; r++)
        csl_world_result_release(&raw[r]);
    csl_world_result_release(&averaged);
}

static void test_world_averaging__plain__released_is_the_mean_of_the_rounds(void **state)
{
    (void)state;
    check(&(struct plan){"fedavg", "", FOUR});
}

static void test_world_averaging__strategies_with_a_state__train_on_their_own_model(void **state)
{
    (void)state;
    check(&(struct plan){"scaffold", "", FOUR});
    check(&(struct plan){"fedadam, server_learning_rate: 0.1", "", FOUR});
    check(&(struct plan){"median", "", FOUR});
}

static void test_world_averaging__under_masks__the_same(void **state)
{
    (void)state;
    check(&(struct plan){"fedavg, weights: {kind: samples}", MASKS, FOUR});
}

static void test_world_averaging__every_mode_of_privacy__the_same(void **state)
{
    (void)state;
    check(&(struct plan){"fedavg", "privacy: {mode: local, " NOISE "}\n", FOUR});
    check(&(struct plan){"fedavg, weights: {kind: equal}", "privacy: {mode: site, " NOISE "}\n",
                         FOUR});
    check(&(struct plan){"fedavg, weights: {kind: samples}",
                         MASKS "privacy: {mode: joint, " NOISE ", sampling_rate: 0.5}\n",
                         "full, steps: 1"});
}

int main(void)
{
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_averaging__plain__released_is_the_mean_of_the_rounds),
        cmocka_unit_test(test_world_averaging__strategies_with_a_state__train_on_their_own_model),
        cmocka_unit_test(test_world_averaging__under_masks__the_same),
        cmocka_unit_test(test_world_averaging__every_mode_of_privacy__the_same),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
