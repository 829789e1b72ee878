/* Evaluations under masks: the sums of what the sites counted, of no fewer sites than the study
 * says, and nothing of one site on the wire. */
#include "tests/unit/world/masked_internal.h"

#include "aggregation/evaluate/sums.h"
#include "base/file.h"
#include "base/json.h"
#include "base/le.h"
#include "base/log.h"
#include "privacy/secagg/scalar.h"
#include "site-agent/data/dataset.h"
#include "site-agent/data/record.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLES  "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define MASKS    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
#define JOINT    "privacy: {mode: joint, epsilon: 2, delta: 1e-3, clip: 1, sampling_rate: 0.5}\n"
#define LOCAL    "privacy: {mode: local, epsilon: 2, delta: 1e-3, clip: 1}\n"
#define ONE_STEP "{optimizer: sgd, learning_rate: 0.5, batch_patients: full, steps: 1}"
#define WORDS    ((size_t)2 + 4 + 2 * 256 + 1) /* sites, patients, confusion, histogram, loss */
#define HEAD     ((size_t)6)                   /* before the histogram */

static struct fixture fixture;

static struct masked_plan plan_of(uint32_t rounds)
{
    return (struct masked_plan){.rounds = rounds,
                                .minimum_sites = 3,
                                .keyless_site = MASKED_NONE,
                                .sections = SAMPLES MASKS};
}

static void run(const struct masked_plan *plan, struct masked_result *out)
{
    masked_run(&fixture, plan, out);
    if (out->code != CSL_OK)
        fail_msg("%s", out->reason);
    assert_int_equal(out->rounds, plan->rounds);
}

static const struct csl_eval_block *of(const struct masked_result *r, uint64_t round,
                                       uint32_t domain)
{
    for (uint32_t i = 0; i < r->evaluation_count; i++)
        if (r->evaluations[i].round == round && r->evaluations[i].block.block == domain)
            return &r->evaluations[i].block;
    fail_msg("no evaluation of round %llu, domain %u", (unsigned long long)round, domain);
    abort();
}

/* --- the sums --- */

/* The words of one site's evaluation of the model of `round`, in a study of one domain. */
static const uint8_t *words_of(const struct masked_result *r, uint32_t site, uint64_t round,
                               uint32_t rounds)
{
    for (uint32_t i = 0; i < r->plain_count; i++)
        if (r->plains[i].site == site && r->plains[i].round == round + 1)
            return r->plain.p + r->plains[i].at +
                   (round < rounds ? MASKED_PARAMETERS * sizeof(uint64_t) : 0);
    fail_msg("site %u has no words of round %llu", site, (unsigned long long)round);
    return NULL;
}

static void sum_words(const struct masked_result *r, uint64_t round, uint32_t rounds,
                      uint64_t sum[WORDS])
{
    memset(sum, 0, WORDS * sizeof(*sum));
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        for (size_t k = 0; k < WORDS; k++)
            sum[k] += csl_load_le64(words_of(r, i, round, rounds) + 8 * k);
}

static void assert_is_sum(const struct csl_eval_block *b, const uint64_t sum[WORDS])
{
    uint64_t records = 0;
    for (size_t k = 0; k < 2 * CSL_SCORE_BINS; k++) {
        assert_int_equal(b->bins[k], sum[HEAD + k] >> 32);
        records += b->bins[k];
    }
    assert_int_equal(b->true_negative, sum[2] >> 32);
    assert_int_equal(b->false_positive, sum[3] >> 32);
    assert_int_equal(b->false_negative, sum[4] >> 32);
    assert_int_equal(b->true_positive, sum[5] >> 32);
    assert_int_equal(b->examples, records);
    assert_true(b->loss_sum == csl_scalar_decode(sum[WORDS - 1]) && b->loss_sum > 0);
    assert_int_equal(sum[0] >> 32, MASKED_SITES);
    /* every fourth patient tests, and has one record */
    uint64_t patients = 0;
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        patients += masked_patients[i] * 4 / 3 - masked_patients[i];
    assert_int_equal(sum[1] >> 32, patients);
    assert_int_equal(b->examples, patients);
}

static void test_world_secagg_evaluate__every_model__sum_of_the_sites_counts(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result r;
    uint64_t sum[WORDS];
    (void)state;
    run(&plan, &r);
    assert_int_equal(r.evaluation_count, 3);
    for (uint64_t round = 1; round <= 3; round++) {
        const struct csl_eval_block *b = of(&r, round, 0);
        sum_words(&r, round, 3, sum);
        assert_is_sum(b, sum);
        assert_true(b->metric_count > 0);
    }
    masked_release(&r);
}

static struct csl_msg status_file;

static void read_status(void)
{
    char path[CSL_PATH_MAX];
    struct csl_err err = {.code = CSL_OK};
    fixture_path(&fixture, "run/coordinator/status.json", path);
    masked_must(csl_file_read(&status_file, path, 1 << 20, &err), &err);
}

static uint64_t number_of(const struct csl_json_value *v, const char *key)
{
    uint64_t n = UINT64_MAX;
    assert_true(csl_json_as_u64(csl_json_get(v, key), &n));
    return n;
}

static void test_world_secagg_evaluate__status_file__has_the_newest_sums(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result r;
    struct csl_json_doc *doc = NULL;
    struct csl_err err = {.code = CSL_OK};
    double loss = 0;
    (void)state;
    plan.domain = "severe"; /* of three sites */
    plan.at_end = read_status;
    run(&plan, &r);
    masked_must(csl_json_parse(&doc, "status.json", csl_msg_span(&status_file), &err), &err);
    const struct csl_json_value *all = csl_json_get(csl_json_root(doc), "evaluations");
    assert_int_equal(csl_json_count(all), 2);
    for (uint32_t d = 0; d < 2; d++) {
        const struct csl_json_value *v = csl_json_at(all, d);
        const struct csl_eval_block *b = of(&r, 2, d);
        assert_int_equal(number_of(v, "round"), 2);
        assert_int_equal(number_of(v, "sites"), d == 0 ? 5 : 3);
        assert_int_equal(number_of(v, "records"), b->examples);
        assert_true(csl_json_as_f64(csl_json_get(v, "loss"), &loss));
        assert_true(fabs(loss - b->loss_sum / (double)b->examples) < 1e-12);
        assert_non_null(csl_json_get(v, "accuracy"));
    }
    csl_json_free(doc);
    csl_msg_release(&status_file);
    masked_release(&r);
}

static void test_world_secagg_evaluate__only_the_last__one_sum(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result r;
    (void)state;
    plan.judges_last = true;
    run(&plan, &r);
    assert_int_equal(r.evaluation_count, 1);
    (void)of(&r, 3, 0);
    masked_release(&r);
}

static void test_world_secagg_evaluate__unmasked__same_figures_and_model(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result masked, plain, without;
    (void)state;
    plan.domain = "severe";
    plan.has_third = true;
    run(&plan, &masked);
    assert_int_equal(masked.evaluation_count, 3 * 3);
    plan.is_unmasked = true;
    run(&plan, &plain);
    assert_int_equal(plain.evaluation_count, masked.evaluation_count);
    for (uint32_t i = 0; i < masked.evaluation_count; i++)
        assert_memory_equal(
            of(&masked, plain.evaluations[i].round, plain.evaluations[i].block.block),
            &plain.evaluations[i].block, sizeof(plain.evaluations[i].block));
    assert_memory_equal(masked.model, plain.model, masked.parameters * sizeof(float));
    plan.is_unmasked = false; /* evaluating changes nothing of the model */
    plan.judges_last = true;
    run(&plan, &without);
    assert_memory_equal(masked.model, without.model, masked.parameters * sizeof(float));
    masked_release(&masked);
    masked_release(&plain);
    masked_release(&without);
}

/* --- what is on the wire --- */

static bool holds(const struct csl_buf *sent, const uint8_t *run, size_t n)
{
    for (size_t at = 0; at + n <= sent->n; at++)
        if (sent->p[at] == run[0] && memcmp(sent->p + at, run, n) == 0)
            return true;
    return false;
}

/* `n` counts of words as they would be written: as words, as integers of 64 or of 32 bits. */
static uint32_t counts_in(const struct csl_buf *sent, const uint8_t *words, size_t n)
{
    uint8_t wide[8 * WORDS], narrow[4 * WORDS];
    for (size_t k = 0; k < n; k++) {
        csl_store_le64(wide + 8 * k, csl_load_le64(words + 8 * k) >> 32);
        csl_store_le32(narrow + 4 * k, (uint32_t)(csl_load_le64(words + 8 * k) >> 32));
    }
    uint32_t found = holds(sent, words, 8 * n) ? 1 : 0;
    found += holds(sent, wide, 8 * n) ? 1 : 0;
    return found + (holds(sent, narrow, 4 * n) ? 1 : 0);
}

static bool number_in(const struct csl_buf *sent, double value)
{
    uint64_t bits;
    uint8_t le[8];
    memcpy(&bits, &value, sizeof(bits));
    csl_store_le64(le, bits);
    return holds(sent, le, sizeof(le));
}

/* Patients and confusion counts of one site, its histogram, and its loss: a word, or a number. */
static uint32_t told(const struct masked_result *r, uint32_t rounds)
{
    uint32_t found = 0;
    for (uint64_t round = 1; round <= rounds; round++) {
        for (uint32_t i = 0; i < MASKED_SITES; i++) {
            const uint8_t *w = words_of(r, i, round, rounds), *loss = w + 8 * (WORDS - 1);
            double sum = csl_scalar_decode(csl_load_le64(loss));
            double records = (double)(csl_load_le64(w + 8) >> 32); /* one of each patient */
            found += counts_in(&r->sent, w + 8, HEAD - 1);
            found += counts_in(&r->sent, w + 8 * HEAD, WORDS - 1 - HEAD);
            found += holds(&r->sent, loss, 8);
            found += number_in(&r->sent, sum) || number_in(&r->sent, sum / records);
        }
    }
    return found;
}

/* Accuracy and AUC of one site's model of the round, in `sent`; numbers that stand everywhere are
 * not looked for. `looked`: how many were. */
static uint32_t metrics_told(const struct masked_result *r, const struct csl_buf *sent,
                             uint32_t rounds, uint32_t *looked)
{
    static uint64_t counts[WORDS - 1];
    static struct csl_sum_figures f;
    uint32_t found = 0;
    *looked = 0;
    for (uint64_t round = 1; round <= rounds; round++) {
        for (uint32_t i = 0; i < MASKED_SITES; i++) {
            struct csl_sums sums = {.classes = 2, .bins = 256, .counts = counts};
            struct csl_err err = {.code = CSL_OK};
            const uint8_t *w = words_of(r, i, round, rounds);
            for (size_t k = 0; k < WORDS - 1; k++)
                counts[k] = csl_load_le64(w + 8 * k) >> 32;
            masked_must(csl_sums_evaluate(&sums, 1, &f, &err), &err);
            for (uint32_t k = 0; k < f.metrics.count; k++) {
                double value = f.metrics.items[k].value;
                const char *name = f.metrics.items[k].name;
                bool is_usual = value == 0 || value == 0.5 || value == 1;
                if (is_usual || (strcmp(name, "auc") != 0 && strcmp(name, "accuracy") != 0))
                    continue;
                (*looked)++;
                found += number_in(sent, value);
            }
        }
    }
    return found;
}

static void test_world_secagg_evaluate__everything_sent__no_count_of_one_site(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result r;
    (void)state;
    plan.chunk_bytes = 16384; /* uploads in one piece, or others' bytes stand between */
    run(&plan, &r);
    assert_int_equal(told(&r, 3), 0);
    assert_int_equal(r.counts_told, 0);
    assert_int_equal(r.losses_told, 0);
    masked_release(&r);
    plan.is_unmasked = true; /* the same search finds all of it where nobody masks */
    run(&plan, &r);
    assert_true(told(&r, 3) >= 3 * 3 * MASKED_SITES);
    masked_release(&r);
}

static void test_world_secagg_evaluate__everything_sent__no_metric_of_one_site(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result masked, clear;
    uint32_t looked;
    (void)state;
    run(&plan, &masked);
    assert_int_equal(metrics_told(&masked, &masked.sent, 3, &looked), 0);
    assert_true(looked > 0);
    plan.sections = SAMPLES; /* the same search finds the sites' reports where nothing is masked */
    run(&plan, &clear);
    assert_true(metrics_told(&masked, &clear.sent, 3, &looked) > 0);
    masked_release(&masked);
    masked_release(&clear);
}

/* --- an attempt that is abandoned --- */

/* Two sites' uploads are not what they promised: the sum of the others is nobody's. The next
 * attempt sends the words of the first, and one sum of them is opened. */
static void test_world_secagg_evaluate__attempt_abandoned__same_words_and_one_sum(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result calm, r;
    uint64_t sum[WORDS];
    (void)state;
    run(&plan, &calm);
    for (plan.lying_round = 2; plan.lying_round <= 3; plan.lying_round++) {
        plan.lying_site = 1;
        plan.lying_more = 1;
        plan.lies_once = true;
        run(&plan, &r);
        assert_int_equal(r.abandoned, 1);
        assert_int_equal(r.uploads, calm.uploads + MASKED_SITES);
        assert_memory_equal(calm.model, r.model, r.parameters * sizeof(float));
        assert_int_equal(r.evaluation_count, 2);
        for (uint64_t round = 1; round <= 2; round++) {
            sum_words(&r, round, 2, sum);
            assert_is_sum(of(&r, round, 0), sum);
            assert_memory_equal(of(&r, round, 0), of(&calm, round, 0),
                                sizeof(struct csl_eval_block));
        }
        masked_release(&r);
    }
    masked_release(&calm);
}

static void test_world_secagg_evaluate__privacy__nothing_is_evaluated(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result r;
    (void)state;
    plan.local = ONE_STEP;
    plan.sections = SAMPLES MASKS JOINT;
    run(&plan, &r);
    assert_int_equal(r.evaluation_count, 0);
    assert_int_equal(r.counts_told, 0);
    assert_int_equal(r.uploads, 2 * MASKED_SITES);
    assert_int_equal(r.plain.n, 2 * MASKED_SITES * (MASKED_PARAMETERS + 2) * sizeof(uint64_t));
    masked_release(&r);
    plan.local = NULL;
    plan.sections = SAMPLES MASKS LOCAL;
    run(&plan, &r);
    assert_int_equal(r.evaluation_count, 0);
    assert_int_equal(r.plain.n, 2 * MASKED_SITES * (MASKED_PARAMETERS + 2) * sizeof(uint64_t));
    masked_release(&r);
}

/* --- too few sites --- */

/* Cork and Delft test nobody: of illness three sites count, of severe one. */
static void take_tests_away(uint32_t site)
{
    char name[80], path[CSL_PATH_MAX];
    struct csl_records r;
    struct csl_err err = {.code = CSL_OK};
    snprintf(name, sizeof(name), "masked-%s.h5", masked_ids[site]);
    fixture_path(&fixture, name, path);
    masked_must(csl_records_read(&r, path, &err), &err);
    for (uint32_t i = 0; i < r.patient_count; i++)
        r.split[i] = CSL_SPLIT_TRAIN;
    masked_must(csl_records_write(&r, path, &err), &err);
    csl_records_release(&r);
}

static void test_world_secagg_evaluate__one_site_tests_a_domain__it_has_no_sum(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result r;
    (void)state;
    take_tests_away(2);
    take_tests_away(3);
    plan.domain = "severe";
    run(&plan, &r);
    assert_int_equal(r.evaluation_count, 2);
    (void)of(&r, 1, 0);
    (void)of(&r, 2, 0);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r.site_rounds[i], 2);
    masked_release(&r);
    plan.is_unmasked = true;
    run(&plan, &r);
    assert_int_equal(r.evaluation_count, 2);
    masked_release(&r);
}

/* One of the three that count is gone: the sum of two is opened by nobody, and the round goes on
 * without evaluations. The last model is not judged, and is released. */
static void check_lost(enum masked_loss when)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result r;
    plan.lost_round = 2;
    plan.lost_site = 4;
    plan.lost_when = when;
    run(&plan, &r);
    assert_int_equal(r.evaluation_count, 0);
    assert_int_equal(r.contributions[1], MASKED_SITES - 1);
    masked_release(&r);
}

/* Its words are there and the others vote for them: the sum is of three. Of the next model two are
 * left, and it is not judged. */
static void test_world_secagg_evaluate__counting_site_lost_at_the_vote__sum_of_three(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result r;
    (void)state;
    plan.lost_round = 2;
    plan.lost_site = 4;
    plan.lost_when = LOST_HELD;
    run(&plan, &r);
    assert_int_equal(r.evaluation_count, 1);
    (void)of(&r, 1, 0);
    masked_release(&r);
}

static void test_world_secagg_evaluate__counting_site_lost__round_without_evaluation(void **state)
{
    (void)state;
    check_lost(LOST_TASKED);
    check_lost(LOST_ANNOUNCED);
}

static int set_up(void **state)
{
    (void)state;
    masked_open(&fixture);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_close(&fixture);
    return 0;
}

int main(void)
{
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_secagg_evaluate__every_model__sum_of_the_sites_counts),
        cmocka_unit_test(test_world_secagg_evaluate__status_file__has_the_newest_sums),
        cmocka_unit_test(test_world_secagg_evaluate__only_the_last__one_sum),
        cmocka_unit_test(test_world_secagg_evaluate__unmasked__same_figures_and_model),
        cmocka_unit_test(test_world_secagg_evaluate__everything_sent__no_count_of_one_site),
        cmocka_unit_test(test_world_secagg_evaluate__everything_sent__no_metric_of_one_site),
        cmocka_unit_test(test_world_secagg_evaluate__attempt_abandoned__same_words_and_one_sum),
        cmocka_unit_test(test_world_secagg_evaluate__privacy__nothing_is_evaluated),
        /* these change the records */
        cmocka_unit_test(test_world_secagg_evaluate__one_site_tests_a_domain__it_has_no_sum),
        cmocka_unit_test(test_world_secagg_evaluate__counting_site_lost__round_without_evaluation),
        cmocka_unit_test(test_world_secagg_evaluate__counting_site_lost_at_the_vote__sum_of_three),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
