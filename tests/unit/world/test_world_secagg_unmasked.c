/* Invariant I6 over whole studies: the sums that masks release are those of the plain words. With
 * the masks left out a study gives the same model to the last bit, whoever is lost on the way. */
#include "tests/unit/world/masked.h"

#include "base/log.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MASKS "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"

static struct fixture fixture;
static const uint64_t noise_seed = 11;

static const struct masked_plan fedavg = {
    .rounds = 3,
    .minimum_sites = 3,
    .keyless_site = MASKED_NONE,
    .sections = "aggregation: {strategy: fedavg, weights: {kind: samples}}\n" MASKS};
static const struct masked_plan joint = {
    .rounds = 3,
    .minimum_sites = 3,
    .keyless_site = MASKED_NONE,
    .noise_seed = &noise_seed,
    .local = "{optimizer: sgd, learning_rate: 0.5, batch_patients: full, steps: 1}",
    .sections = "aggregation: {strategy: fedavg, weights: {kind: samples}}\n" MASKS
                "privacy: {mode: joint, epsilon: 2, delta: 1e-3, clip: 1, sampling_rate: 0.5}\n"};

static void run(const struct masked_plan *plan, struct masked_result *out)
{
    masked_run(&fixture, plan, out);
    if (out->code != CSL_OK)
        fail_msg("%s", out->reason);
    assert_int_equal(out->rounds, plan->rounds);
}

/* What plain sums tell, and what they do not. */
static void assert_same(const struct masked_result *masked, const struct masked_result *plain)
{
    assert_memory_equal(masked->model, plain->model, masked->parameters * sizeof(float));
    assert_memory_equal(masked->contributions, plain->contributions, sizeof(plain->contributions));
    assert_memory_equal(masked->train_loss, plain->train_loss, sizeof(plain->train_loss));
    assert_memory_equal(masked->site_rounds, plain->site_rounds, sizeof(plain->site_rounds));
    assert_memory_equal(masked->charges, plain->charges, sizeof(plain->charges));
    assert_memory_equal(masked->epsilon, plain->epsilon, sizeof(plain->epsilon));
    assert_int_equal(plain->counts_told, 0);
    assert_int_equal(plain->losses_told, 0);
    assert_int_equal(plain->uncharged, 0);
}

static void check(struct masked_plan plan)
{
    struct masked_result masked, plain;
    plan.is_unmasked = false;
    run(&plan, &masked);
    plan.is_unmasked = true;
    run(&plan, &plain);
    assert_same(&masked, &plain);
    masked_release(&masked);
    masked_release(&plain);
}

static void check_losses(struct masked_plan plan)
{
    static const enum masked_loss losses[] = {LOST_TASKED, LOST_ANNOUNCED, LOST_HELD};
    plan.lost_round = 2;
    for (size_t i = 0; i < 3; i++) {
        plan.lost_site = i == 0 ? 1 : 4;
        plan.lost_when = losses[i];
        check(plan);
    }
}

static void test_world_secagg_unmasked__fedavg__same_bits_as_under_masks(void **state)
{
    struct masked_plan plan = fedavg;
    (void)state;
    check(plan);
    plan.domain = "severe"; /* two sites do not send its block */
    check(plan);
}

static void test_world_secagg_unmasked__fedavg_with_a_lost_site__same_bits(void **state)
{
    (void)state;
    check_losses(fedavg);
}

static void test_world_secagg_unmasked__joint_noise__same_bits_as_under_masks(void **state)
{
    (void)state;
    check(joint);
}

static void test_world_secagg_unmasked__joint_noise_with_a_lost_site__same_bits(void **state)
{
    (void)state;
    check_losses(joint);
}

/* The words go through the same uploads, so that links may break under them. */
static void test_world_secagg_unmasked__links_cut_at_random__same_bits(void **state)
{
    struct masked_plan plan = joint;
    struct masked_result whole, cut;
    (void)state;
    plan.is_unmasked = true;
    run(&plan, &whole);
    plan.cut_probability = 0.01;
    uint64_t cuts = 0;
    for (plan.schedule = 1; plan.schedule <= 4; plan.schedule++) {
        run(&plan, &cut);
        assert_memory_equal(whole.model, cut.model, whole.parameters * sizeof(float));
        cuts += cut.cuts;
        masked_release(&cut);
    }
    assert_true(cuts > 0);
    masked_release(&whole);
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
        cmocka_unit_test(test_world_secagg_unmasked__fedavg__same_bits_as_under_masks),
        cmocka_unit_test(test_world_secagg_unmasked__fedavg_with_a_lost_site__same_bits),
        cmocka_unit_test(test_world_secagg_unmasked__joint_noise__same_bits_as_under_masks),
        cmocka_unit_test(test_world_secagg_unmasked__joint_noise_with_a_lost_site__same_bits),
        cmocka_unit_test(test_world_secagg_unmasked__links_cut_at_random__same_bits),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
