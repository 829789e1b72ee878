/* Rounds under masks that are not applied, and a coordinator that dies at its durable writes
 * of the later ones: the same verdicts, the same model to the last bit, and every round is paid for
 * once. */
#include "tests/unit/world/masked.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS 5
/* Other writes of each round, some before and some after they are done. */
#define STRIDE 4
#define MASKS  "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
#define JOINT  "privacy: {mode: joint, epsilon: 2, delta: 1e-3, clip: 1, sampling_rate: 0.5}\n"
#define FEDAVG "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
/* The norms are those of the noise, so that some are beyond a limit this close. */
#define GATED                                                                                      \
    "aggregation: {strategy: fedavg, weights: {kind: samples}, gate: {factor: 1.01, window: 3}}\n"

#define SHUTS                                                                                      \
    "aggregation: {strategy: fedavg, weights: {kind: samples}, gate: {factor: 1.01, window: 3, "   \
    "rejected_max: 1}}\n"

static struct fixture fixture;
static const uint64_t noise_seed = 11;

static struct masked_plan plan_of(const char *sections)
{
    return (struct masked_plan){
        .rounds = ROUNDS,
        .minimum_sites = 3,
        .keyless_site = MASKED_NONE,
        .noise_seed = &noise_seed,
        .local = "{optimizer: sgd, learning_rate: 0.5, batch_patients: full, steps: 1}",
        .sections = sections};
}

static void run(const struct masked_plan *plan, struct masked_result *out)
{
    masked_run(&fixture, plan, out);
    if (out->code != CSL_OK)
        fail_msg("write %llu, %s: %s", (unsigned long long)plan->dying.at,
                 plan->dying.is_after ? "after" : "before", out->reason);
    assert_int_equal(out->rounds, ROUNDS);
    assert_int_equal(out->uncharged, 0);
}

static void assert_same(const struct masked_result *a, const struct masked_result *b)
{
    assert_memory_equal(a->model, b->model, a->parameters * sizeof(float));
    assert_memory_equal(a->charges, b->charges, sizeof(a->charges));
    assert_memory_equal(a->site_rounds, b->site_rounds, sizeof(a->site_rounds));
}

static void test_world_secagg_gate__rejected_rounds__same_bits_without_masks(void **state)
{
    struct masked_plan plan = plan_of(GATED MASKS JOINT), ungated = plan_of(FEDAVG MASKS JOINT);
    struct masked_result masked, plain, other;
    (void)state;
    run(&plan, &masked);
    run(&ungated, &other);
    plan.is_unmasked = true;
    run(&plan, &plain);
    assert_same(&masked, &plain);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(masked.site_rounds[i], ROUNDS);
    /* Else nothing was rejected. What was costs as much. */
    assert_memory_not_equal(masked.model, other.model, other.parameters * sizeof(float));
    assert_memory_equal(masked.charges, other.charges, sizeof(other.charges));
    masked_release(&masked);
    masked_release(&plain);
    masked_release(&other);
}

static void test_world_secagg_gate__coordinator_dies_at_its_writes__same_bits(void **state)
{
    struct masked_plan plan = plan_of(GATED MASKS JOINT);
    struct masked_result calm, r;
    (void)state;
    run(&plan, &calm);
    plan.dying.party = MASKED_SERVICE;
    uint64_t writes = calm.writes[MASKED_SERVICE];
    for (plan.dying.at = writes / 2; plan.dying.at <= writes; plan.dying.at += STRIDE) {
        plan.dying.is_after = !plan.dying.is_after;
        run(&plan, &r);
        assert_int_equal(r.deaths, 1);
        assert_same(&calm, &r);
        masked_release(&r);
    }
    masked_release(&calm);
}

static void assert_shut(const struct masked_plan *plan, const struct masked_result *r)
{
    if (r->code != CSL_E_CANCELLED ||
        strstr(r->reason, "rounds rejected in a row: 1; round") == NULL)
        fail_msg("write %llu: %d, %s", (unsigned long long)plan->dying.at, (int)r->code, r->reason);
}

/* In the round that ends it, too, and between its row and the end. */
static void test_world_secagg_gate__shut_and_coordinator_dies__same_end(void **state)
{
    struct masked_plan plan = plan_of(SHUTS MASKS JOINT);
    struct masked_result calm, r;
    uint32_t deaths = 0;
    (void)state;
    masked_run(&fixture, &plan, &calm);
    assert_shut(&plan, &calm);
    plan.dying.party = MASKED_SERVICE;
    uint64_t writes = calm.writes[MASKED_SERVICE];
    for (plan.dying.at = writes - 24; plan.dying.at <= writes; plan.dying.at++) {
        plan.dying.is_after = !plan.dying.is_after;
        masked_run(&fixture, &plan, &r);
        assert_shut(&plan, &r);
        assert_memory_equal(calm.model, r.model, calm.parameters * sizeof(float));
        deaths += r.deaths;
        masked_release(&r);
    }
    assert_true(deaths >= 20); /* else the test does not test */
    masked_release(&calm);
}

static int open_all(void **state)
{
    (void)state;
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    masked_open(&fixture);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    fixture_close(&fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_secagg_gate__rejected_rounds__same_bits_without_masks),
        cmocka_unit_test(test_world_secagg_gate__coordinator_dies_at_its_writes__same_bits),
        cmocka_unit_test(test_world_secagg_gate__shut_and_coordinator_dies__same_end),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
