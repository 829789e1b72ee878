/* What a run in mode joint says that its sums cost, by hand. */
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/dp/gaussian.h"
#include "simulations/run.h"
#include "tests/unit/simulations/fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Noise multiplier 10 of two honest shares: three sites less one. Then h unknown shares in a sum
 * give mu^2 = 2 / (100 h), and rounds add up. */
static struct csl_study *study_of(const char *mode, unsigned rounds)
{
    char text[1024];
    (void)snprintf(
        text, sizeof(text),
        "study: t\nquestion: Ill?\n"
        "domains:\n"
        "  - {id: d, modality: tabular, task: {kind: binary, label: ill}, features: [x],\n"
        "     scaling: constants}\n"
        "model: {kind: linear}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: full, steps: 1}}\n"
        "rounds: %u\naggregation: {strategy: fedavg}\n"
        "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
        "sites: {minimum: 3}\n"
        "privacy: {mode: %s, noise_multiplier: 10, delta: 1e-3, clip: 1}\n",
        rounds, mode);
    return fixture_study(text);
}
#define JOINT "joint, sampling_rate: 1"

/* So many sites in the sums; the caller releases r. */
static void take(struct csl_result *r, const char *mode, const uint32_t *sites, unsigned rounds)
{
    struct csl_study *study = study_of(mode, rounds);
    struct csl_world_result w = {.rounds = rounds};
    struct csl_err err = {.code = CSL_OK};
    w.round_rows = csl_alloc_array(rounds, sizeof(*w.round_rows));
    assert_non_null(w.round_rows);
    for (unsigned i = 0; i < rounds; i++)
        w.round_rows[i] = (struct csl_world_round){.round = i + 1, .contributions = sites[i]};
    *r = (struct csl_result){.rounds = rounds};
    if (csl_run_take_realised(r, study, &w, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_free(w.round_rows);
    csl_study_free(study);
}

static void assert_costs(const struct csl_result *r, uint64_t round, const char *metric, double mu2)
{
    double truth = csl_dp_gaussian_eps_lower(sqrt(mu2), 1e-3);
    for (uint32_t i = 0; i < r->row_count; i++) {
        const struct csl_result_row *row = &r->rows[i];
        if (row->round != round || strcmp(row->metric, metric) != 0)
            continue;
        assert_string_equal(row->scope, "privacy_sum");
        assert_true(row->value >= truth && row->value <= truth * 1.002);
        return;
    }
    fail_msg("no %s of round %llu", metric, (unsigned long long)round);
}

static void test_realised__five_and_three_sites__prices_the_shares_in_each_sum(void **state)
{
    static const uint32_t sites[] = {5, 3};
    struct csl_result r;
    (void)state;
    take(&r, JOINT, sites, 2);
    assert_costs(&r, 1, "epsilon_coordinator", .02 / 5);
    assert_costs(&r, 1, "epsilon_colluding", .02 / 4);
    assert_costs(&r, 1, "epsilon_planned", .02 / 2);
    assert_costs(&r, 2, "epsilon_coordinator", .02 / 5 + .02 / 3);
    assert_costs(&r, 2, "epsilon_colluding", .02 / 4 + .02 / 2);
    assert_costs(&r, 2, "epsilon_planned", .02);
    assert_int_equal(r.row_count, 6);
    assert_true(r.realised.is_present && r.realised.colluding_sites == 1 && r.realised.floor == 3);
    assert_true(r.realised.fewest == 3 && r.realised.most == 5);
    assert_true(r.realised.coordinator < r.realised.colluding);
    assert_true(r.realised.colluding < r.realised.planned);
    csl_result_release(&r);
}

/* A sum of fewer sites than any may have is that of a round that this process did not see. */
static void test_realised__a_round_unknown_or_another_mode__claims_no_price(void **state)
{
    static const uint32_t unknown[] = {2, 5}, known[] = {5, 5};
    struct csl_result r;
    (void)state;
    take(&r, JOINT, unknown, 2);
    assert_true(!r.realised.is_present && r.row_count == 0);
    csl_result_release(&r);
    take(&r, "local", known, 2);
    assert_true(!r.realised.is_present && r.row_count == 0);
    csl_result_release(&r);
}

/* At most a hundred rounds have rows of their own, and the last one always has. */
static void test_realised__many_rounds__rows_of_a_hundred(void **state)
{
    enum { ROUNDS = 203 };
    uint32_t sites[ROUNDS];
    struct csl_result r;
    (void)state;
    for (size_t i = 0; i < ROUNDS; i++)
        sites[i] = 4;
    take(&r, JOINT, sites, ROUNDS);
    assert_in_range(r.row_count, 3, 3 * 100);
    assert_costs(&r, 3, "epsilon_coordinator", 3 * .02 / 4);
    assert_costs(&r, ROUNDS, "epsilon_colluding", ROUNDS * .02 / 3);
    csl_result_release(&r);
}

/* Four blocks: `second` and its domain are known at the last three of five sites. */
static struct csl_study *study_of_blocks(void)
{
    return fixture_study(
        "study: t\nquestion: Ill?\n"
        "inputs:\n"
        "  - {id: first, modality: tabular, features: [x], encoder: {kind: linear}}\n"
        "  - {id: second, modality: tabular, features: [y], encoder: {kind: linear}}\n"
        "domains:\n"
        "  - {id: d, inputs: [first], task: {kind: binary, label: ill}}\n"
        "  - {id: e, inputs: [second], task: {kind: binary, label: severe}}\n"
        "model: {kind: multimodal, width: 2}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: full, steps: 1}}\n"
        "rounds: 2\naggregation: {strategy: fedavg}\n"
        "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
        "sites: {minimum: 3}\n"
        "privacy: {mode: joint, sampling_rate: 1, noise_multiplier: 10, delta: 1e-3, clip: 1}\n");
}

/* So many sites in a round, and in its block with the fewest (0: not told). */
static void take_blocks(struct csl_result *r, const uint32_t *sites, const uint32_t *fewest)
{
    enum { SITES = 5 };
    struct csl_world_round rows[2];
    struct csl_world_blocks blocks[SITES] = {{.count = 0}};
    struct csl_study *study = study_of_blocks();
    struct csl_world_result w = {.rounds = 2, .round_rows = rows, .site_blocks = blocks};
    struct csl_err err = {.code = CSL_OK};
    for (uint32_t i = 0; i < SITES; i++) {
        for (uint32_t b = 0; b < 4; b++)
            if (b % 2 == 0 || i > 1)
                blocks[i].blocks[blocks[i].count++].block = b;
    }
    for (uint32_t i = 0; i < 2; i++)
        rows[i] = (struct csl_world_round){
            .round = i + 1, .contributions = sites[i], .fewest = fewest[i]};
    *r = (struct csl_result){.rounds = 2, .site_count = SITES};
    if (csl_run_take_realised(r, study, &w, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_study_free(study);
}

/* Five sites, and then four of a larger block, say nothing: three shares are in the block with the
 * fewest. Who was there is told, or known because all were. */
static void test_realised__study_with_inputs__prices_the_block_with_the_fewest(void **state)
{
    static const uint32_t sites[] = {5, 5}, told[] = {3, 4}, untold[] = {0, 0}, lost[] = {5, 4};
    struct csl_result r;
    (void)state;
    take_blocks(&r, sites, told);
    assert_costs(&r, 1, "epsilon_coordinator", .02 / 3);
    assert_costs(&r, 1, "epsilon_colluding", .02 / 2);
    assert_costs(&r, 2, "epsilon_coordinator", .02 / 3 + .02 / 4);
    assert_costs(&r, 2, "epsilon_colluding", .02 / 2 + .02 / 3);
    assert_costs(&r, 2, "epsilon_planned", .02);
    assert_true(r.realised.is_present && r.realised.fewest == 3 && r.realised.most == 4);
    csl_result_release(&r);
    take_blocks(&r, sites, untold);
    assert_costs(&r, 2, "epsilon_coordinator", .04 / 3);
    assert_true(r.realised.is_present && r.realised.fewest == 3 && r.realised.most == 3);
    csl_result_release(&r);
    take_blocks(&r, lost, untold); /* nobody told which of the five was lost */
    assert_true(!r.realised.is_present && r.row_count == 0);
    csl_result_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_realised__five_and_three_sites__prices_the_shares_in_each_sum),
        cmocka_unit_test(test_realised__a_round_unknown_or_another_mode__claims_no_price),
        cmocka_unit_test(test_realised__study_with_inputs__prices_the_block_with_the_fewest),
        cmocka_unit_test(test_realised__many_rounds__rows_of_a_hundred),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
