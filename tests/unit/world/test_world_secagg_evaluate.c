/* Evaluations under masks: the sums of what the sites counted, of no fewer sites than the study
 * says, and nothing of one site on the wire. */
#include "tests/unit/world/masked_internal.h"

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
    return NULL;
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
        assert_non_null(b);
        sum_words(&r, round, 3, sum);
        assert_is_sum(b, sum);
        assert_true(b->metric_count > 0);
    }
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
    assert_non_null(of(&r, 3, 0));
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

/* Patients and confusion counts of one site as they would be written: words, integers of 64 or of
 * 32 bits; its loss as a word or a number. */
static uint32_t told(const struct masked_result *r, uint32_t rounds)
{
    uint32_t found = 0;
    for (uint64_t round = 1; round <= rounds; round++) {
        for (uint32_t i = 0; i < MASKED_SITES; i++) {
            const uint8_t *w = words_of(r, i, round, rounds);
            uint8_t wide[5 * 8], narrow[5 * 4];
            for (size_t k = 0; k < 5; k++) {
                csl_store_le64(wide + 8 * k, csl_load_le64(w + 8 + 8 * k) >> 32);
                csl_store_le32(narrow + 4 * k, (uint32_t)(csl_load_le64(w + 8 + 8 * k) >> 32));
            }
            uint64_t loss = csl_load_le64(w + 8 * (WORDS - 1)), bits;
            double mean = csl_scalar_decode(loss);
            memcpy(&bits, &mean, sizeof(bits));
            uint8_t number[2][8];
            csl_store_le64(number[0], loss);
            csl_store_le64(number[1], bits);
            found += holds(&r->sent, w + 8, sizeof(wide));
            found += holds(&r->sent, wide, sizeof(wide));
            found += holds(&r->sent, narrow, sizeof(narrow));
            found += holds(&r->sent, number[0], 8);
            found += holds(&r->sent, number[1], 8);
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
    assert_true(told(&r, 3) >= 2 * 3 * MASKED_SITES);
    masked_release(&r);
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
    assert_non_null(of(&r, 1, 0));
    assert_non_null(of(&r, 2, 0));
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
        cmocka_unit_test(test_world_secagg_evaluate__only_the_last__one_sum),
        cmocka_unit_test(test_world_secagg_evaluate__unmasked__same_figures_and_model),
        cmocka_unit_test(test_world_secagg_evaluate__everything_sent__no_count_of_one_site),
        cmocka_unit_test(test_world_secagg_evaluate__privacy__nothing_is_evaluated),
        /* these change the records */
        cmocka_unit_test(test_world_secagg_evaluate__one_site_tests_a_domain__it_has_no_sum),
        cmocka_unit_test(test_world_secagg_evaluate__counting_site_lost__round_without_evaluation),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
