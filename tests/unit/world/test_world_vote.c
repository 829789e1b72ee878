/* Models that the sites vote against, with simulated sites that attack from a round on and lie; in
 * the open and under masks. */
#include "base/log.h"
#include "simulations/world.h"
#include "tests/unit/world/fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PARAMETERS 3 /* two weights and a bias */
#define ROUNDS     9
#define MASKS      "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
#define ONCE       ", vote: {rejected_max: 1}"
/* Rounds 5 and 8; 5 and all after it; the last. */
#define TWICE(factor) ", attack: {kind: sign_flip, factor: " factor ", from_round: 5, every: 3}"
#define ALWAYS        ", attack: {kind: sign_flip, factor: 100, from_round: 5}"
#define LAST(factor)  ", attack: {kind: sign_flip, factor: " factor ", from_round: 9}"
#define LIAR(vote)    ", attack: {kind: scaled, factor: 1, vote: " vote "}"

static struct fixture fixture;

static int open_fixture(void **state)
{
    (void)state;
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    fixture_open(&fixture, "fedavg", 2);
    for (uint32_t i = 0; i < FIXTURE_SITES; i++)
        fixture_validate(fixture.records[i]);
    return 0;
}

static int close_fixture(void **state)
{
    (void)state;
    fixture_close(&fixture);
    return 0;
}

struct setting {
    const char *strategy, *vote, *sections; /* NULL: fedavg; ""; "" */
    const char *attacks[FIXTURE_SITES];     /* NULL: none */
    bool is_unmasked;
};

static const char *text_or(const char *text, const char *usual)
{
    return text != NULL ? text : usual;
}

static struct csl_study *make_study(const struct setting *s)
{
    char yaml[2048];
    struct csl_study *study = NULL;
    struct csl_err err = {.code = CSL_OK};
    snprintf(
        yaml, sizeof(yaml),
        "study: voted\nquestion: Is this patient ill?\n"
        "domains:\n  - id: illness\n    modality: tabular\n"
        "    task: {kind: binary, label: ill, positive: 1}\n"
        "    features: [first, second]\n    scaling: constants\n    model: {kind: linear}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 3}}\n"
        "rounds: %d\naggregation: {%s, weights: {kind: equal}%s}\n%s"
        "evaluation: {every: 1}\nsites: {minimum: 3}\nsimulation:\n  sites:\n"
        "    - {id: aarhus, records: a.h5%s}\n    - {id: brno, records: b.h5%s}\n"
        "    - {id: cork, records: c.h5%s}\n",
        ROUNDS, text_or(s->strategy, "strategy: fedavg"), text_or(s->vote, ""),
        text_or(s->sections, ""), text_or(s->attacks[0], ""), text_or(s->attacks[1], ""),
        text_or(s->attacks[2], ""));
    if (csl_study_parse(&study, "voted.yaml", CSL_SPAN(yaml, strlen(yaml)), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return study;
}

static enum csl_code try(const struct setting *s, struct csl_world_result *out, struct csl_err *err)
{
    struct csl_study *study = make_study(s);
    struct csl_world_site sites[FIXTURE_SITES];
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        snprintf(sites[i].id, sizeof(sites[i].id), "%s", fixture.ids[i]);
        snprintf(sites[i].record_path, sizeof(sites[i].record_path), "%.1000s", fixture.records[i]);
    }
    const struct csl_world_config config = {.study = study,
                                            .sites = sites,
                                            .site_count = FIXTURE_SITES,
                                            .seed = 7,
                                            .backend = "cpu-ref",
                                            .is_unmasked = s->is_unmasked};
    assert_int_equal(study->schema.parameters, PARAMETERS);
    enum csl_code code = csl_world_run(&config, out, err);
    csl_study_free(study);
    return code;
}

static void run(const struct setting *s, struct csl_world_result *out)
{
    struct csl_err err = {.code = CSL_OK};
    if (try(s, out, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(out->rounds, ROUNDS);
}

static void assert_ends(const struct setting *s, const char *when, const char *why)
{
    struct csl_world_result r;
    struct csl_err err = {.code = CSL_OK};
    assert_int_equal(try(s, &r, &err), CSL_E_CANCELLED);
    if (strstr(err.msg, when) == NULL || strstr(err.msg, why) == NULL)
        fail_msg("%s", err.msg);
}

static double distance(const struct csl_world_result *a, const struct csl_world_result *b)
{
    double sum = 0;
    for (int i = 0; i < PARAMETERS; i++)
        sum += pow((double)a->parameters[i] - (double)b->parameters[i], 2);
    return sqrt(sum);
}

static void assert_taken_back(const struct csl_world_result *r, uint32_t count,
                              const uint64_t *rounds, uint32_t worse)
{
    assert_int_equal(r->rejection_count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(r->rejections[i].is_by_vote);
        assert_int_equal(r->rejections[i].round, rounds[i]);
        assert_int_equal(r->rejections[i].worse, worse);
        assert_int_equal(r->rejections[i].voters, FIXTURE_SITES);
    }
}

static void test_world_vote__honest_sites__model_as_without(void **state)
{
    struct csl_world_result without, with;
    (void)state;
    run(&(struct setting){.vote = ""}, &without);
    run(&(struct setting){.vote = ", vote: {}"}, &with);
    assert_taken_back(&with, 0, NULL, 0);
    assert_memory_equal(with.parameters, without.parameters, PARAMETERS * sizeof(float));
    csl_world_result_release(&without);
    csl_world_result_release(&with);
}

/* Both models are gone before the next round begins, and the study goes on. */
static void test_world_vote__attack_in_two_rounds__both_taken_back(void **state)
{
    struct csl_world_result honest, attacked, voted;
    (void)state;
    run(&(struct setting){.vote = ""}, &honest);
    run(&(struct setting){.vote = "", .attacks = {TWICE("100")}}, &attacked);
    run(&(struct setting){.vote = ", vote: {rejected_max: 2}", .attacks = {TWICE("100")}}, &voted);
    assert_taken_back(&voted, 2, (const uint64_t[]){5, 8}, 3);
    assert_true(distance(&attacked, &honest) > 5);
    assert_true(distance(&voted, &honest) < 1);
    assert_int_equal(voted.site_rounds[0], ROUNDS);
    csl_world_result_release(&honest);
    csl_world_result_release(&attacked);
    csl_world_result_release(&voted);
}

static void test_world_vote__strategy_with_momentum__no_trace_of_what_was_taken_back(void **state)
{
    struct csl_world_result small, large;
    struct setting s = {.strategy = "strategy: fedavgm, momentum: 0.5", .vote = ", vote: {}"};
    (void)state;
    s.attacks[0] = TWICE("100");
    run(&s, &small);
    s.attacks[0] = TWICE("100000");
    run(&s, &large);
    assert_taken_back(&small, 2, (const uint64_t[]){5, 8}, 3);
    assert_memory_equal(small.parameters, large.parameters, PARAMETERS * sizeof(float));
    csl_world_result_release(&small);
    csl_world_result_release(&large);
}

static void test_world_vote__last_model_is_bad__the_one_before_is_released(void **state)
{
    struct csl_world_result small, large, honest;
    (void)state;
    run(&(struct setting){.vote = ", vote: {}"}, &honest);
    run(&(struct setting){.vote = ", vote: {}", .attacks = {LAST("100")}}, &small);
    run(&(struct setting){.vote = ", vote: {}", .attacks = {LAST("1000")}}, &large);
    assert_taken_back(&small, 1, (const uint64_t[]){9}, 3);
    assert_memory_equal(small.parameters, large.parameters, PARAMETERS * sizeof(float));
    assert_memory_equal(small.model_digest, large.model_digest, CSL_DIGEST_BYTES);
    assert_true(distance(&small, &honest) > 0 && distance(&small, &honest) < 1);
    csl_world_result_release(&small);
    csl_world_result_release(&large);
    csl_world_result_release(&honest);
}

static void test_world_vote__attack_in_every_round__aborted_with_its_reason(void **state)
{
    (void)state;
    assert_ends(&(struct setting){.vote = ", vote: {rejected_max: 3}", .attacks = {ALWAYS}},
                "aborted after 7 of 9 rounds",
                "rounds rejected in a row: 3; round 7: 3 of 3 sites that voted find its model");
}

/* With the gate too: a round is rejected once, by whichever sees it first. */
static void test_world_vote__gate_beside_it__each_rejects_what_it_sees(void **state)
{
    static const uint64_t rounds[] = {5, 7, 8};
    struct csl_world_result r;
    const char *both = ", gate: {factor: 20, window: 3}, vote: {}";
    (void)state;
    run(&(struct setting){.vote = both,
                          .attacks = {TWICE("1000"), ", attack: {kind: sign_flip, factor: 20, "
                                                     "from_round: 7, every: 9}"}},
        &r);
    assert_int_equal(r.rejection_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(r.rejections[i].round, rounds[i]);
        assert_int_equal(r.rejections[i].is_by_vote, i == 1);
    }
    csl_world_result_release(&r);
}

/* --- liars --- */

static void test_world_vote__one_of_three_lies__neither_rejects_nor_saves_a_model(void **state)
{
    struct csl_world_result honest, r;
    const char *hidden = ", attack: {kind: sign_flip, factor: 100, from_round: 5, every: 3, "
                         "vote: fine}";
    (void)state;
    run(&(struct setting){.vote = ""}, &honest);
    run(&(struct setting){.vote = ", vote: {}", .attacks = {LIAR("worse")}}, &r);
    assert_taken_back(&r, 0, NULL, 0);
    assert_memory_equal(r.parameters, honest.parameters, PARAMETERS * sizeof(float));
    csl_world_result_release(&r);
    run(&(struct setting){.vote = ", vote: {}", .attacks = {hidden}}, &r);
    assert_taken_back(&r, 2, (const uint64_t[]){5, 8}, 2);
    csl_world_result_release(&r);
    csl_world_result_release(&honest);
}

static void test_world_vote__two_of_three_lie__good_models_go_and_bad_ones_stay(void **state)
{
    struct csl_world_result without, r;
    const char *hidden = ", attack: {kind: sign_flip, factor: 100, from_round: 5, every: 3, "
                         "vote: fine}";
    (void)state;
    assert_ends(&(struct setting){.vote = ", vote: {}", .attacks = {LIAR("worse"), LIAR("worse")}},
                "aborted after 3 of 9 rounds", "round 3: 2 of 3 sites");
    run(&(struct setting){.vote = "", .attacks = {TWICE("100")}}, &without);
    run(&(struct setting){.vote = ", vote: {}", .attacks = {hidden, LIAR("fine")}}, &r);
    assert_taken_back(&r, 0, NULL, 0);
    assert_memory_equal(r.parameters, without.parameters, PARAMETERS * sizeof(float));
    csl_world_result_release(&without);
    csl_world_result_release(&r);
}

/* --- masks --- */

static void test_world_vote__masks_and_honest_sites__same_bits_as_without(void **state)
{
    struct csl_world_result without, masked, plain;
    (void)state;
    run(&(struct setting){.sections = MASKS}, &without);
    run(&(struct setting){.sections = MASKS, .vote = ONCE}, &masked);
    run(&(struct setting){.sections = MASKS, .vote = ONCE, .is_unmasked = true}, &plain);
    assert_taken_back(&masked, 0, NULL, 0);
    assert_memory_equal(masked.parameters, without.parameters, PARAMETERS * sizeof(float));
    assert_memory_equal(masked.parameters, plain.parameters, PARAMETERS * sizeof(float));
    csl_world_result_release(&without);
    csl_world_result_release(&masked);
    csl_world_result_release(&plain);
}

/* Found when the next round closes, which is the end: no site sends a second update of a model. */
static void test_world_vote__masks_and_attack__ends_one_round_later(void **state)
{
    (void)state;
    for (int unmasked = 0; unmasked < 2; unmasked++) {
        struct setting s = {.sections = MASKS, .vote = ONCE, .is_unmasked = unmasked == 1};
        s.attacks[0] = TWICE("100");
        assert_ends(&s, "aborted after 6 of 9 rounds",
                    "rounds rejected in a row: 1; round 5: 3 of 3 sites that voted");
        s.attacks[0] = LAST("100");
        assert_ends(&s, "aborted after 9 of 9 rounds", "round 9: 3 of 3 sites that voted");
    }
}

static void test_world_vote__masks_and_liars__as_in_the_open(void **state)
{
    struct csl_world_result r;
    struct setting s = {.sections = MASKS, .vote = ONCE, .attacks = {LIAR("worse")}};
    (void)state;
    run(&s, &r);
    assert_taken_back(&r, 0, NULL, 0);
    csl_world_result_release(&r);
    s.attacks[1] = LIAR("worse");
    assert_ends(&s, "aborted after 2 of 9 rounds", "round 1: 2 of 3 sites that voted");
}

/* --- nobody to ask --- */

static void test_world_vote__no_validation_patients__no_verdict(void **state)
{
    struct csl_world_result without, with;
    char saved[FIXTURE_SITES][CSL_PATH_MAX];
    (void)state;
    memcpy(saved, fixture.records, sizeof(saved));
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        char name[32];
        snprintf(name, sizeof(name), "bare-%u.h5", i);
        fixture_path(&fixture, name, fixture.records[i]);
        fixture_records(fixture.records[i], fixture.ids[i], i);
    }
    run(&(struct setting){.attacks = {TWICE("100")}}, &without);
    run(&(struct setting){.vote = ", vote: {}", .attacks = {TWICE("100")}}, &with);
    assert_taken_back(&with, 0, NULL, 0);
    assert_memory_equal(with.parameters, without.parameters, PARAMETERS * sizeof(float));
    memcpy(fixture.records, saved, sizeof(saved));
    csl_world_result_release(&without);
    csl_world_result_release(&with);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_vote__honest_sites__model_as_without),
        cmocka_unit_test(test_world_vote__attack_in_two_rounds__both_taken_back),
        cmocka_unit_test(test_world_vote__strategy_with_momentum__no_trace_of_what_was_taken_back),
        cmocka_unit_test(test_world_vote__last_model_is_bad__the_one_before_is_released),
        cmocka_unit_test(test_world_vote__attack_in_every_round__aborted_with_its_reason),
        cmocka_unit_test(test_world_vote__gate_beside_it__each_rejects_what_it_sees),
        cmocka_unit_test(test_world_vote__one_of_three_lies__neither_rejects_nor_saves_a_model),
        cmocka_unit_test(test_world_vote__two_of_three_lie__good_models_go_and_bad_ones_stay),
        cmocka_unit_test(test_world_vote__masks_and_honest_sites__same_bits_as_without),
        cmocka_unit_test(test_world_vote__masks_and_attack__ends_one_round_later),
        cmocka_unit_test(test_world_vote__masks_and_liars__as_in_the_open),
        cmocka_unit_test(test_world_vote__no_validation_patients__no_verdict),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
