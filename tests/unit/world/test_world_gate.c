/* Rounds that are not applied because the mean update is too long, with simulated sites that attack
 * from a round on; in the open and under masks. */
#include "base/log.h"
#include "base/str.h"
#include "privacy/secagg/encode.h"
#include "tests/unit/world/attacked.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PARAMETERS ATTACKED_PARAMETERS
#define ROUNDS     9
#define PLAIN      "aggregation: {strategy: fedavg, weights: {kind: equal}}\n"
#define GATED(max)                                                                                 \
    "aggregation: {strategy: fedavg, weights: {kind: equal}, gate: {factor: 3, window: 3, "        \
    "rejected_max: " max "}}\n"
#define ALL_GATED(max)                                                                             \
    "aggregation: {strategy: fedavgm, momentum: 0.5, weights: {kind: equal}, gate: {factor: 3, "   \
    "window: 3, rejected_max: " max "}}\n"
#define MASKS "secure_aggregation:\n  protocol: fsa-1\n  colluding: 1\n  minimum_sites: 3\n"
#define LANES "  encoding: {lane_bits: 32, clip_norm: 0.001}\n"
#define NOISE "privacy: {mode: local, noise_multiplier: 0.3, delta: 1e-3, clip: 1}\n"
/* Rounds 5 and 8. */
#define ATTACK ", attack: {kind: sign_flip, factor: 100, from_round: 5, every: 3}"
#define ALWAYS ", attack: {kind: sign_flip, factor: 100, from_round: 5}"

static struct fixture fixture;

static int open_fixture(void **state)
{
    (void)state;
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    fixture_open(&fixture, "fedavg", 2);
    return 0;
}

static int close_fixture(void **state)
{
    (void)state;
    fixture_close(&fixture);
    return 0;
}

static enum csl_code try(const char *sections, const char *attack, bool is_unmasked,
                         struct csl_world_result *out, struct csl_err *err)
{
    struct csl_study *study = attacked_study(ROUNDS, sections, attack);
    enum csl_code code = attacked_run(&fixture, study, is_unmasked, out, err);
    csl_study_free(study);
    return code;
}

static void run(const char *sections, const char *attack, bool is_unmasked,
                struct csl_world_result *out)
{
    struct csl_err err = {.code = CSL_OK};
    if (try(sections, attack, is_unmasked, out, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(out->rounds, ROUNDS);
}

static double distance(const struct csl_world_result *a, const struct csl_world_result *b)
{
    double sum = 0;
    for (int i = 0; i < PARAMETERS; i++)
        sum += pow((double)a->parameters[i] - (double)b->parameters[i], 2);
    return sqrt(sum);
}

static void assert_rejected(const struct csl_world_result *r, uint32_t count,
                            const uint64_t *rounds)
{
    assert_int_equal(r->rejection_count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(r->rejections[i].round, rounds[i]);
        assert_string_equal(r->rejections[i].block, "illness");
        assert_true(r->rejections[i].norm > r->rejections[i].limit && r->rejections[i].limit > 0);
    }
}

static void test_world_gate__honest_sites__model_as_without(void **state)
{
    struct csl_world_result without, with;
    (void)state;
    run(PLAIN, "", false, &without);
    run(GATED("3"), "", false, &with);
    assert_rejected(&with, 0, NULL);
    assert_memory_equal(with.parameters, without.parameters, PARAMETERS * sizeof(float));
    csl_world_result_release(&without);
    csl_world_result_release(&with);
}

/* The two rounds do nothing and count as rounds; without the gate they throw the model far off. */
static void test_world_gate__attack_in_two_rounds__both_rejected_and_the_study_goes_on(void **state)
{
    struct csl_world_result honest, attacked, gated;
    (void)state;
    run(PLAIN, "", false, &honest);
    run(PLAIN, ATTACK, false, &attacked);
    run(GATED("2"), ATTACK, false, &gated);
    assert_rejected(&gated, 2, (const uint64_t[]){5, 8});
    assert_true(distance(&attacked, &honest) > 5);
    assert_true(distance(&gated, &honest) < 1);
    assert_int_equal(gated.site_rounds[0], ROUNDS);
    csl_world_result_release(&honest);
    csl_world_result_release(&attacked);
    csl_world_result_release(&gated);
}

static void test_world_gate__strategy_with_momentum__rejected_round_leaves_no_trace(void **state)
{
    struct csl_world_result small, large;
    const char *far = ", attack: {kind: sign_flip, factor: 100000, from_round: 5, every: 3}";
    (void)state;
    run(ALL_GATED("2"), ATTACK, false, &small);
    run(ALL_GATED("2"), far, false, &large);
    assert_rejected(&small, 2, (const uint64_t[]){5, 8});
    assert_memory_equal(small.parameters, large.parameters, PARAMETERS * sizeof(float));
    csl_world_result_release(&small);
    csl_world_result_release(&large);
}

static void test_world_gate__attack_in_every_round__aborted_with_its_reason(void **state)
{
    struct csl_world_result r;
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    assert_int_equal(try(GATED("3"), ALWAYS, false, &r, &err), CSL_E_CANCELLED);
    assert_non_null(strstr(err.msg, "aborted after 7 of 9 rounds"));
    assert_non_null(strstr(err.msg, "rounds rejected in a row: 3; round 7, block illness"));
}

/* Every update has noise of its own that is charged, so that sites train on the model again. */
static void test_world_gate__masks_and_noise__goes_on_and_same_bits_as_without_masks(void **state)
{
    struct csl_world_result masked, plain;
    (void)state;
    run(GATED("2") NOISE MASKS, ATTACK, false, &masked);
    run(GATED("2") NOISE MASKS, ATTACK, true, &plain);
    assert_rejected(&masked, 2, (const uint64_t[]){5, 8});
    assert_rejected(&plain, 2, (const uint64_t[]){5, 8});
    assert_memory_equal(masked.parameters, plain.parameters, PARAMETERS * sizeof(float));
    assert_int_equal(masked.privacy[0].entries, plain.privacy[0].entries);
    assert_true(masked.privacy[0].entries >= ROUNDS); /* what was rejected is paid for */
    csl_world_result_release(&masked);
    csl_world_result_release(&plain);
}

/* Without noise no site would send a second update of the model: the study ends. */
static void test_world_gate__masks_without_noise__ends_at_the_first(void **state)
{
    struct csl_world_result r;
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    assert_int_equal(try(GATED("1") MASKS, ATTACK, false, &r, &err), CSL_E_CANCELLED);
    assert_non_null(strstr(err.msg, "aborted after 5 of 9 rounds"));
    assert_non_null(strstr(err.msg, "of the rounds before"));
}

static bool is_spoilt;
size_t __real_csl_encoder_slice(const struct csl_encoder *s, uint64_t slice, struct csl_rng *noise,
                                uint64_t *words);
size_t __wrap_csl_encoder_slice(const struct csl_encoder *s, uint64_t slice, struct csl_rng *noise,
                                uint64_t *words);

/* The sites' own program is what clips: a changed one sends what it likes. */
size_t __wrap_csl_encoder_slice(const struct csl_encoder *s, uint64_t slice, struct csl_rng *noise,
                                uint64_t *words)
{
    size_t cut = __real_csl_encoder_slice(s, slice, noise, words);
    for (size_t i = 0; is_spoilt && i < csl_encoding_slice_words(s->encoding, slice); i++)
        words[i] ^= UINT64_C(0x5555555555555555);
    return cut;
}

/* Steps of any length are cut to 0.001, so that the mean is close to that. */
static void test_world_gate__clipped_updates__honest_ones_are_within_the_bound(void **state)
{
    struct csl_world_result r;
    const char *all = ", attack: {kind: scaled, factor: 1e6}";
    (void)state;
    run(GATED("1") MASKS LANES, all, true, &r);
    assert_rejected(&r, 0, NULL);
    csl_world_result_release(&r);
}

static void test_world_gate__words_of_no_clipped_update__rejected_in_the_first_round(void **state)
{
    struct csl_world_result r;
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    is_spoilt = true;
    enum csl_code code = try(GATED("1") MASKS LANES, "", true, &r, &err);
    is_spoilt = false;
    assert_int_equal(code, CSL_E_CANCELLED);
    assert_non_null(strstr(err.msg, "aborted after 1 of 9 rounds"));
    assert_non_null(strstr(err.msg, "of clipped updates"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        T(test_world_gate__honest_sites__model_as_without),
        T(test_world_gate__attack_in_two_rounds__both_rejected_and_the_study_goes_on),
        T(test_world_gate__strategy_with_momentum__rejected_round_leaves_no_trace),
        T(test_world_gate__attack_in_every_round__aborted_with_its_reason),
        T(test_world_gate__masks_and_noise__goes_on_and_same_bits_as_without_masks),
        T(test_world_gate__masks_without_noise__ends_at_the_first),
        T(test_world_gate__clipped_updates__honest_ones_are_within_the_bound),
        T(test_world_gate__words_of_no_clipped_update__rejected_in_the_first_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
