/* Whole federations under masks (protocol FSA-1), in virtual time with real state on disk: the
 * model of the study without masks, whoever is lost on the way, and nothing about one site on the
 * wire. */
#include "tests/unit/world/masked.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "simulations/federation.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MASKS    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
#define SAMPLES  "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define EQUAL    "aggregation: {strategy: fedavg, weights: {kind: equal}}\n"
#define JOINT    "privacy: {mode: joint, epsilon: 2, delta: 1e-3, clip: 1, sampling_rate: 0.5}\n"
#define ONE_STEP "{optimizer: sgd, learning_rate: 0.5, batch_patients: full, steps: 1}"

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
}

static void assert_released(const struct masked_plan *plan, const struct masked_result *r)
{
    if (r->code != CSL_OK)
        fail_msg("schedule %llu: %s", (unsigned long long)plan->schedule, r->reason);
    assert_int_equal(r->rounds, plan->rounds);
    for (uint32_t i = 0; i < r->parameters; i++)
        assert_true(isfinite(r->model[i]));
}

/* After one round. A word is update * weight, exact in a double, rounded to a multiple of 2^-32: S
 * sites err by at most S 2^-33 in the sum, and S / W <= 1 in the mean, W the sum of the weights,
 * none below 1. On both sides the mean is rounded to a float, the accumulator's float sum of S
 * terms without masks by at most S more, and so is the model that it is added to. Values are below
 * 1 here, an ulp below 2^-24, half of it a rounding. */
#define ONE_ROUND (0x1p-33 + (2 + MASKED_SITES + 2) * 0x1p-25)
/* Later rounds start from models apart by that. A local step on a convex loss with curvature below
 * 2 / learning rate moves no two models further apart; three steps of fewer than 64 operations
 * round their own way on both sides. */
#define EACH_ROUND (ONE_ROUND + 2 * 3 * 64 * 0x1p-25)

static void assert_near(const struct masked_result *a, const struct masked_result *b, double bound)
{
    for (uint32_t i = 0; i < a->parameters; i++) {
        assert_true(fabs((double)a->model[i]) < 1);
        if (fabs((double)a->model[i] - (double)b->model[i]) > bound)
            fail_msg("parameter %u: %.9g and %.9g, %g apart, the bound is %g", i,
                     (double)a->model[i], (double)b->model[i],
                     fabs((double)a->model[i] - (double)b->model[i]), bound);
    }
}

static bool are_apart(const struct masked_result *a, const struct masked_result *b)
{
    for (uint32_t i = 0; i < a->parameters; i++)
        if (fabs((double)a->model[i] - (double)b->model[i]) > 100 * EACH_ROUND)
            return true;
    return false;
}

/* --- the same model --- */

static void check_same_model(const char *masked, const char *plain, uint32_t rounds, double bound,
                             struct masked_result *out)
{
    struct masked_plan plan = {
        .rounds = rounds, .minimum_sites = 3, .keyless_site = MASKED_NONE, .sections = masked};
    struct masked_result other;
    run(&plan, out);
    assert_released(&plan, out);
    plan.sections = plain;
    run(&plan, &other);
    assert_released(&plan, &other);
    assert_int_equal(out->parameters, other.parameters);
    assert_near(out, &other, bound);
    for (uint32_t r = 0; r < rounds; r++) {
        assert_int_equal(out->contributions[r], MASKED_SITES);
        assert_int_equal(other.contributions[r], MASKED_SITES);
    }
    masked_release(&other);
}

static void test_world_secagg__weights__model_as_without_masks(void **state)
{
    struct masked_result samples, equal;
    (void)state;
    check_same_model(SAMPLES MASKS, SAMPLES, 1, ONE_ROUND, &samples);
    check_same_model(EQUAL MASKS, EQUAL, 1, ONE_ROUND, &equal);
    assert_true(are_apart(&samples, &equal)); /* else the weights are not tested */
    masked_release(&samples);
    masked_release(&equal);
    check_same_model(SAMPLES MASKS, SAMPLES, 4, 4 * EACH_ROUND, &samples);
    check_same_model(EQUAL MASKS, EQUAL, 4, 4 * EACH_ROUND, &equal);
    masked_release(&samples);
    masked_release(&equal);
}

/* The mean over patients, at most S words' rounding off: S 2^-33 / W, W the patients. */
static void test_world_secagg__train_loss__is_the_mean_over_patients(void **state)
{
    struct masked_plan plan = plan_of(1);
    struct masked_result masked, plain;
    (void)state;
    run(&plan, &masked);
    plan.sections = SAMPLES;
    run(&plan, &plain);
    assert_true(plain.train_loss[0] > 0.1);
    assert_true(fabs(masked.train_loss[0] - plain.train_loss[0]) <= 0x1p-33 + 1e-12);
    masked_release(&masked);
    masked_release(&plain);
}

/* Slices of 2^17 words: this block has two, the second not full. */
static void test_world_secagg__block_of_two_slices__model_as_without_masks(void **state)
{
    struct masked_plan plan = plan_of(1);
    struct masked_result masked, plain;
    (void)state;
    plan.model = "{kind: mlp, hidden: [40000]}";
    plan.chunk_bytes = 1 << 18;
    run(&plan, &masked);
    assert_released(&plan, &masked);
    assert_true(masked.parameters > 1 << 17);
    plan.sections = SAMPLES;
    run(&plan, &plain);
    assert_released(&plan, &plain);
    assert_near(&masked, &plain, ONE_ROUND);
    masked_release(&masked);
    masked_release(&plain);
}

/* Two sites have no data for the second domain: its block is the mean over the three others. */
static void test_world_secagg__sites_without_a_domain__model_as_without_masks(void **state)
{
    struct masked_plan plan = plan_of(1);
    struct masked_result masked, plain;
    (void)state;
    plan.domain = "severe";
    for (plan.rounds = 1; plan.rounds <= 4; plan.rounds += 3) {
        plan.sections = SAMPLES MASKS;
        run(&plan, &masked);
        assert_released(&plan, &masked);
        assert_int_equal(masked.parameters, MASKED_PARAMETERS + 2);
        assert_int_equal(masked.counts_told, 0);
        plan.sections = SAMPLES;
        run(&plan, &plain);
        assert_released(&plan, &plain);
        assert_near(&masked, &plain, plan.rounds == 1 ? ONE_ROUND : plan.rounds * EACH_ROUND);
        assert_true(fabs((double)masked.model[MASKED_PARAMETERS]) > 1e-3);
        masked_release(&masked);
        masked_release(&plain);
    }
}

/* --- weather --- */

/* Words have no order and masks leave nothing: to the last bit the model of a calm run. */
static void check_weather(double cuts, uint64_t delay_ns, uint64_t jitter_ns, uint32_t schedules)
{
    struct masked_plan plan = {
        .rounds = 3, .minimum_sites = 5, .keyless_site = MASKED_NONE, .sections = SAMPLES MASKS};
    struct masked_result calm, rough;
    uint64_t cut = 0;
    run(&plan, &calm);
    assert_released(&plan, &calm);
    plan.cut_probability = cuts;
    plan.delay_ns = delay_ns;
    plan.jitter_ns = jitter_ns;
    for (plan.schedule = 1; plan.schedule <= schedules; plan.schedule++) {
        run(&plan, &rough);
        assert_released(&plan, &rough);
        if (memcmp(calm.model, rough.model, calm.parameters * sizeof(float)) != 0)
            fail_msg("schedule %llu released another model", (unsigned long long)plan.schedule);
        cut += rough.cuts;
        masked_release(&rough);
    }
    if (cuts > 0)
        assert_true(cut >= schedules); /* else the test does not test */
    masked_release(&calm);
}

static void test_world_secagg__links_cut_at_random__same_bits(void **state)
{
    (void)state;
    check_weather(0.01, 5 * CSL_NS_PER_MS, 5 * CSL_NS_PER_MS, 12);
}

static void test_world_secagg__messages_delayed__same_bits(void **state)
{
    (void)state;
    check_weather(0, 1 * CSL_NS_PER_S, 20 * CSL_NS_PER_S, 6);
}

/* --- who never comes back --- */

static void check_lost(const char *masked, const char *plain, enum masked_loss when)
{
    struct masked_plan plan = {.rounds = 3,
                               .minimum_sites = 3,
                               .keyless_site = MASKED_NONE,
                               .sections = masked,
                               .lost_round = 2,
                               .lost_site = 1,
                               .lost_when = when};
    struct masked_result lost, without, whole;
    run(&plan, &lost);
    assert_released(&plan, &lost);
    plan.sections = plain;
    plan.lost_when = when == LOST_HELD ? LOST_HELD : LOST_TASKED;
    run(&plan, &without);
    assert_released(&plan, &without);
    assert_near(&lost, &without, 3 * EACH_ROUND);
    uint32_t counted = when == LOST_HELD ? 2 : 1; /* rounds of the lost site */
    for (uint32_t r = 0; r < 3; r++) {
        assert_int_equal(lost.contributions[r], r < counted ? MASKED_SITES : MASKED_SITES - 1);
        assert_int_equal(without.contributions[r], lost.contributions[r]);
    }
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(lost.site_rounds[i], i == 1 ? counted : 3);
    plan.lost_round = 0;
    run(&plan, &whole);
    assert_released(&plan, &whole);
    assert_true(are_apart(&without, &whole)); /* else nobody would notice the lost site's update */
    masked_release(&lost);
    masked_release(&without);
    masked_release(&whole);
}

static void test_world_secagg__site_lost_before_it_shares__sum_of_the_others(void **state)
{
    (void)state;
    check_lost(SAMPLES MASKS, SAMPLES, LOST_TASKED);
    check_lost(EQUAL MASKS, EQUAL, LOST_TASKED);
}

static void test_world_secagg__site_lost_before_its_upload__sum_of_the_others(void **state)
{
    (void)state;
    check_lost(SAMPLES MASKS, SAMPLES, LOST_ANNOUNCED);
    check_lost(EQUAL MASKS, EQUAL, LOST_ANNOUNCED);
}

/* A link that was down for two rounds costs these two: both results are told when it is back. */
static void test_world_secagg__long_away__the_others_go_on(void **state)
{
    struct masked_plan plan = plan_of(5);
    struct masked_result r;
    (void)state;
    plan.dark_from = 2;
    plan.dark_until = 3;
    plan.dark_site = 2;
    run(&plan, &r);
    assert_released(&plan, &r);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r.site_rounds[i], i == 2 ? 3 : 5);
    assert_int_equal(r.contributions[1], MASKED_SITES - 1);
    masked_release(&r);
}

/* Its session and its place in the chain of results are in its journal. */
static void test_world_secagg__restarted__same_bits(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result calm, r;
    (void)state;
    run(&plan, &calm);
    plan.restart_round = 2;
    plan.restart_site = 2;
    run(&plan, &r);
    assert_released(&plan, &r);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r.site_rounds[i], 3);
    assert_memory_equal(calm.model, r.model, r.parameters * sizeof(float));
    masked_release(&calm);
    masked_release(&r);
}

/* What it sent counts: the others vote, and open the sum with it. */
static void test_world_secagg__site_lost_after_its_upload__is_in_the_sum(void **state)
{
    (void)state;
    check_lost(SAMPLES MASKS, SAMPLES, LOST_HELD);
}

static void test_world_secagg__upload_not_of_its_manifest__sum_of_the_others(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result lied, without;
    (void)state;
    plan.lying_round = 2;
    plan.lying_site = 3;
    run(&plan, &lied);
    assert_released(&plan, &lied);
    plan.sections = SAMPLES; /* where the same lie is a good update, so it stays away instead */
    plan.lying_round = 0;
    plan.away_round = 2;
    plan.away_site = 3;
    run(&plan, &without);
    assert_released(&plan, &without);
    assert_int_equal(without.contributions[1], MASKED_SITES - 1);
    assert_int_equal(lied.contributions[1], MASKED_SITES - 1);
    assert_int_equal(lied.contributions[2], MASKED_SITES); /* it may try again in the next */
    assert_int_equal(lied.site_rounds[3], 2);
    assert_near(&lied, &without, 3 * EACH_ROUND);
    masked_release(&lied);
    masked_release(&without);
}

/* --- what is on the wire --- */

#define RUN_BYTES        16
#define EVALUATION_WORDS (2 + 4 + 2 * 256 + 1)

static bool holds(const struct csl_buf *sent, const uint8_t run[RUN_BYTES])
{
    for (size_t at = 0; at + RUN_BYTES <= sent->n; at++)
        if (sent->p[at] == run[0] && memcmp(sent->p + at, run, RUN_BYTES) == 0)
            return true;
    return false;
}

/* Counts are small numbers, and a run of them looks like many others: test_world_secagg_evaluate
 * searches for whole evaluations. */
static bool is_telling(const uint8_t run[RUN_BYTES], bool is_dense)
{
    uint32_t n = 0;
    for (size_t i = 0; i < RUN_BYTES; i++)
        n += run[i] != 0;
    return n > (is_dense ? 5 : 0);
}

/* Runs of 16 bytes of what was plain on disk that were sent, wherever they begin; of uploads longer
 * than an update, which hold counts too, those with more than five bytes that are not zero. */
static uint32_t runs_found(const struct masked_result *r)
{
    uint32_t found = 0;
    for (size_t at = 0, i = 0; at + RUN_BYTES <= r->plain.n; at++) {
        while (i + 1 < r->plain_count && r->plains[i + 1].at <= at)
            i++;
        size_t end = i + 1 < r->plain_count ? r->plains[i + 1].at : r->plain.n;
        bool has_counts = end - r->plains[i].at > 64 * sizeof(uint64_t);
        found += is_telling(r->plain.p + at, has_counts) && holds(&r->sent, r->plain.p + at);
    }
    return found;
}

static void check_wire(const char *masked)
{
    struct masked_plan plan = {
        .rounds = 4, .minimum_sites = 5, .keyless_site = MASKED_NONE, .sections = masked};
    struct masked_result r;
    run(&plan, &r);
    assert_released(&plan, &r);
    assert_true(r.uploads >= 4 * MASKED_SITES);
    /* four rounds of five sites, each three parameters, a weight and a loss; and of four models the
     * evaluation, of the last one beside scalars that are zero */
    assert_int_equal(r.plain.n, (4 * MASKED_SITES * (MASKED_PARAMETERS + 2) +
                                 4 * MASKED_SITES * EVALUATION_WORDS + MASKED_SITES * 2) *
                                    sizeof(uint64_t));
    assert_int_equal(runs_found(&r), 0);
    assert_int_equal(r.counts_told, 0);
    assert_int_equal(r.losses_told, 0);
    masked_release(&r);
}

static void test_world_secagg__everything_sent__tells_nothing_of_one_site(void **state)
{
    struct masked_plan plan = {
        .rounds = 4, .minimum_sites = 5, .keyless_site = MASKED_NONE, .sections = SAMPLES};
    struct masked_result r;
    (void)state;
    check_wire(SAMPLES MASKS);
    check_wire(EQUAL MASKS);
    run(&plan, &r); /* the same eyes see all of it without masks */
    assert_released(&plan, &r);
    assert_true(r.plain.n > 0 && runs_found(&r) > 0);
    assert_true(r.counts_told >= 4 * MASKED_SITES && r.losses_told >= 4 * MASKED_SITES);
    masked_release(&r);
}

/* --- mode joint --- */

static struct masked_plan joint_plan(void)
{
    return (struct masked_plan){.rounds = 4,
                                .minimum_sites = 3,
                                .keyless_site = MASKED_NONE,
                                .local = ONE_STEP,
                                .sections = SAMPLES MASKS JOINT};
}

static void assert_within_budget(const struct masked_result *r, uint32_t lost)
{
    assert_int_equal(r->uncharged, 0);
    assert_int_equal(r->counts_told, 0);
    assert_int_equal(r->losses_told, 0);
    assert_int_equal(runs_found(r), 0);
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        if (i == lost)
            continue;
        assert_int_equal(r->charges[i], 4);
        assert_true(r->epsilon[i] > 0.5 * 2 && r->epsilon[i] <= 2);
    }
}

static void test_world_secagg__joint__charged_before_anything_leaves(void **state)
{
    struct masked_plan plan = joint_plan();
    struct masked_result r;
    (void)state;
    run(&plan, &r);
    assert_released(&plan, &r);
    assert_within_budget(&r, MASKED_NONE);
    masked_release(&r);
    plan.cut_probability = 0.01;
    for (plan.schedule = 1; plan.schedule <= 4; plan.schedule++) {
        run(&plan, &r);
        assert_released(&plan, &r);
        assert_within_budget(&r, MASKED_NONE);
        masked_release(&r);
    }
    plan.cut_probability = 0;
    plan.lost_round = 2;
    plan.lost_site = 4;
    plan.lost_when = LOST_ANNOUNCED;
    run(&plan, &r);
    assert_released(&plan, &r);
    assert_within_budget(&r, 4);
    assert_int_equal(r.charges[4], 2); /* it never arrived, and counts */
    masked_release(&r);
}

/* Keys and masks are new in every run; the noise of a rehearsal is not. */
static void test_world_secagg__joint_rehearsed__same_bits_under_other_keys(void **state)
{
    static const uint64_t seeds[] = {11, 11, 12};
    struct masked_plan plan = joint_plan();
    struct masked_result r[3];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        plan.noise_seed = &seeds[i];
        run(&plan, &r[i]);
        assert_released(&plan, &r[i]);
    }
    assert_memory_equal(r[0].model, r[1].model, r[0].parameters * sizeof(float));
    assert_memory_not_equal(r[0].model, r[2].model, r[0].parameters * sizeof(float));
    assert_int_equal(r[0].plain.n, r[1].plain.n);
    assert_true(r[0].sent.n != r[1].sent.n || memcmp(r[0].sent.p, r[1].sent.p, r[0].sent.n) != 0);
    for (size_t i = 0; i < 3; i++)
        masked_release(&r[i]);
}

/* With hardly any noise and nothing to clip, the sum is the gradient over all patients: what plain
 * full-batch training computes. The five shares of standard deviation 0.01 / sqrt(2) (three sites
 * less one colluding) make 0.0112 in the sum, times learning rate 0.5 over 60 patients 9.4e-5 a
 * round; seven of those in one of 3 parameters of 2 rounds happen with probability below 1e-10, and
 * the seed is fixed. */
static void test_world_secagg__joint_with_little_noise__is_full_batch_training(void **state)
{
    static const uint64_t seed = 5;
    struct masked_plan plan = {.rounds = 2,
                               .minimum_sites = 3,
                               .keyless_site = MASKED_NONE,
                               .local = ONE_STEP,
                               .noise_seed = &seed,
                               .sections = SAMPLES MASKS
                               "privacy: {mode: joint, noise_multiplier: 0.001, delta: 1e-3, "
                               "clip: 10, sampling_rate: 1}\n"};
    struct masked_result joint, plain;
    (void)state;
    run(&plan, &joint);
    assert_released(&plan, &joint);
    plan.sections = SAMPLES;
    run(&plan, &plain);
    assert_released(&plan, &plain);
    assert_near(&joint, &plain, 2 * 7 * 9.4e-5);
    assert_true(fabs((double)plain.model[0]) > 0.1);
    assert_true(joint.train_loss[0] == 0 && joint.train_loss[1] == 0);
    masked_release(&joint);
    masked_release(&plain);
}

/* --- without keys --- */

static void test_world_secagg__site_without_keys__declines(void **state)
{
    struct masked_plan plan = {
        .rounds = 2, .minimum_sites = 3, .keyless_site = 2, .sections = SAMPLES MASKS};
    struct masked_result r;
    (void)state;
    run(&plan, &r);
    assert_released(&plan, &r);
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        assert_int_equal(r.membership[i], i == 2 ? CSL_MEMBER_DECLINED : CSL_MEMBER_ACCEPTED);
        assert_int_equal(r.site_rounds[i], i == 2 ? 0 : 2);
    }
    masked_release(&r);
}

static void test_world_secagg__coordinator_without_keys__refuses_the_study(void **state)
{
    static const char ids[3][CSL_ID_MAX] = {"a", "b", "c"};
    struct masked_plan plan = {.rounds = 2, .minimum_sites = 3, .sections = SAMPLES MASKS};
    struct csl_inproc_config net = {.seed = 1};
    struct csl_inproc *inproc = NULL;
    struct csl_transport *server = NULL;
    struct csl_service *service = NULL;
    struct csl_err err = {.code = CSL_OK};
    struct csl_study *study = masked_study(&plan);
    (void)state;
    assert_int_equal(csl_inproc_new(&inproc, &net, &err), CSL_OK);
    assert_int_equal(csl_inproc_server(inproc, &server, &err), CSL_OK);
    struct csl_service_config c = {.study = study,
                                   .roster = ids,
                                   .roster_count = 3,
                                   .seed = 7,
                                   .open_wait_ms = 60000,
                                   .transport = server};
    assert_int_equal(csl_service_new(&service, &c, &err), CSL_E_UNSUPPORTED);
    assert_null(service);
    assert_non_null(strstr(err.msg, "secure_aggregation"));
    struct csl_sim_federation federation; /* keys, but of two sites only */
    assert_int_equal(csl_sim_federation_make(&federation, study, ids, 2, &err), CSL_OK);
    c.secagg_key = &federation.coordinator;
    c.secagg_roster = &federation.roster;
    assert_int_equal(csl_service_new(&service, &c, &err), CSL_E_INVAL);
    csl_sim_federation_release(&federation);
    server->ops->stop(server, 0);
    server->ops->free(server);
    csl_inproc_free(inproc);
    csl_study_free(study);
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
        cmocka_unit_test(test_world_secagg__weights__model_as_without_masks),
        cmocka_unit_test(test_world_secagg__train_loss__is_the_mean_over_patients),
        cmocka_unit_test(test_world_secagg__sites_without_a_domain__model_as_without_masks),
        cmocka_unit_test(test_world_secagg__block_of_two_slices__model_as_without_masks),
        cmocka_unit_test(test_world_secagg__links_cut_at_random__same_bits),
        cmocka_unit_test(test_world_secagg__messages_delayed__same_bits),
        cmocka_unit_test(test_world_secagg__site_lost_before_it_shares__sum_of_the_others),
        cmocka_unit_test(test_world_secagg__site_lost_before_its_upload__sum_of_the_others),
        cmocka_unit_test(test_world_secagg__site_lost_after_its_upload__is_in_the_sum),
        cmocka_unit_test(test_world_secagg__upload_not_of_its_manifest__sum_of_the_others),
        cmocka_unit_test(test_world_secagg__long_away__the_others_go_on),
        cmocka_unit_test(test_world_secagg__restarted__same_bits),
        cmocka_unit_test(test_world_secagg__everything_sent__tells_nothing_of_one_site),
        cmocka_unit_test(test_world_secagg__joint__charged_before_anything_leaves),
        cmocka_unit_test(test_world_secagg__joint_rehearsed__same_bits_under_other_keys),
        cmocka_unit_test(test_world_secagg__joint_with_little_noise__is_full_batch_training),
        cmocka_unit_test(test_world_secagg__site_without_keys__declines),
        cmocka_unit_test(test_world_secagg__coordinator_without_keys__refuses_the_study),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
