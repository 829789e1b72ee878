/* Simulated sites that mean harm: what they do to records and updates, and what bounds it. */
#include "base/log.h"
#include "simulations/attack.h"
#include "tests/unit/world/attacked.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define EQUAL       "aggregation: {strategy: fedavg, weights: {kind: equal}}\n"
#define CLIP        0.05
#define PARAMETERS  ATTACKED_PARAMETERS
#define TRAIN       18
#define MASKED_WITH "secure_aggregation:\n  protocol: fsa-1\n  colluding: 1\n  minimum_sites: 3\n"
#define LANES       MASKED_WITH "  encoding: {lane_bits: 32, clip_norm: 0.05}\n"

static struct fixture fixture;

static int open_fixture(void **state)
{
    (void)state;
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_ERROR);
    fixture_open(&fixture, "fedavg", 2);
    return 0;
}

static int close_fixture(void **state)
{
    (void)state;
    fixture_close(&fixture);
    return 0;
}

/* One round. */
static void run(const char *sections, const char *attack, bool is_unmasked, float out[PARAMETERS])
{
    struct csl_study *study = attacked_study(1, sections, attack);
    struct csl_world_result result;
    struct csl_err err = {.code = CSL_OK};
    if (attacked_run(&fixture, study, is_unmasked, &result, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    memcpy(out, result.parameters, PARAMETERS * sizeof(float));
    csl_world_result_release(&result);
    csl_study_free(study);
}

static double distance(const float *a, const float *b)
{
    double sum = 0;
    for (int i = 0; i < PARAMETERS; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum);
}

/* With the first site's update u and three sites of the same weight, a factor f moves the mean by
 * (f - 1) u / 3: factor 3 by 2 u / 3, and a turned sign by as much the other way. */
static void test_world_attack__scaled_and_sign_flip__move_the_mean_by_their_factor(void **state)
{
    float honest[PARAMETERS], scaled[PARAMETERS], turned[PARAMETERS], ten[PARAMETERS];
    (void)state;
    run(EQUAL, "", false, honest);
    run(EQUAL, ", attack: {kind: scaled, factor: 3}", false, scaled);
    run(EQUAL, ", attack: {kind: sign_flip}", false, turned);
    run(EQUAL, ", attack: {kind: sign_flip, factor: 10}", false, ten);
    assert_true(distance(honest, scaled) > 0.01);
    for (int i = 0; i < PARAMETERS; i++) {
        double by = (double)scaled[i] - (double)honest[i];
        assert_true(fabs((double)honest[i] - (double)turned[i] - by) < 1e-5);
        assert_true(fabs((double)honest[i] - (double)ten[i] - 5.5 * by) < 1e-5);
    }
}

static void test_world_attack__records_of_one_site__only_the_training_changes(void **state)
{
    float honest[PARAMETERS], flipped[PARAMETERS], door[PARAMETERS], again[PARAMETERS];
    const char *backdoor =
        ", attack: {kind: backdoor, share: 0.5, trigger: second, value: 4, target: 0}";
    (void)state;
    run(EQUAL, "", false, honest);
    run(EQUAL, ", attack: {kind: label_flip}", false, flipped);
    run(EQUAL, backdoor, false, door);
    run(EQUAL, backdoor, false, again);
    assert_true(distance(honest, flipped) > 0.01);
    assert_true(distance(honest, door) > 0.001);
    assert_memory_equal(door, again, sizeof(door));
}

/* Two updates of norm C at most differ by at most 2 C, and there are three sites: 2 C / 3, but for
 * the steps of the lanes (C 2^-28 or less here). Without a bound the same factor goes anywhere. */
static void test_world_attack__clip_norm__bounds_what_one_site_does(void **state)
{
    const char *attack = ", attack: {kind: sign_flip, factor: 100000}";
    float honest[PARAMETERS], attacked[PARAMETERS], masked[PARAMETERS];
    (void)state;
    run(EQUAL LANES, "", true, honest);
    run(EQUAL LANES, attack, true, attacked);
    run(EQUAL LANES, attack, false, masked);
    assert_memory_equal(attacked, masked, sizeof(masked)); /* the same sums without the masks */
    assert_true(distance(honest, attacked) > CLIP / 3);
    assert_true(distance(honest, attacked) < 2 * CLIP / 3 * 1.001);
    run(EQUAL, "", false, honest);
    run(EQUAL, attack, false, attacked);
    assert_true(distance(honest, attacked) > 1000);
}

static void test_world_attack__median__the_factor_does_not_matter(void **state)
{
    const char *median = "aggregation: {strategy: median}\n";
    float small[PARAMETERS], large[PARAMETERS], honest[PARAMETERS];
    (void)state;
    run(median, "", false, honest);
    run(median, ", attack: {kind: sign_flip, factor: 1000}", false, small);
    run(median, ", attack: {kind: sign_flip, factor: 100000}", false, large);
    assert_memory_equal(small, large, sizeof(small));
    assert_true(distance(honest, small) < 1);
}

struct loaded {
    struct csl_study *study;
    struct csl_dataset *honest, *attacked;
};

static void load(struct loaded *l, const char *attack, uint64_t seed)
{
    struct csl_sim_attacker attacker;
    struct csl_err err = {.code = CSL_OK};
    l->study = attacked_study(1, EQUAL, attack);
    assert_int_equal(csl_dataset_load(&l->honest, fixture.records[0], l->study, &err), CSL_OK);
    assert_int_equal(csl_dataset_load(&l->attacked, fixture.records[0], l->study, &err), CSL_OK);
    const struct csl_agent_tamper *t = csl_sim_attacker_init(&attacker, l->study, "aarhus", seed);
    assert_non_null(t);
    t->data(t->ctx, l->attacked);
    for (int split = CSL_SPLIT_VALIDATION; split <= CSL_SPLIT_TEST; split++) {
        const struct csl_examples *a = &l->honest->domains[0][split];
        const struct csl_examples *b = &l->attacked->domains[0][split];
        assert_int_equal(a->records, b->records);
        if (a->records == 0)
            continue;
        assert_memory_equal(a->label, b->label, a->records);
        assert_memory_equal(a->x, b->x, (size_t)a->records * a->width * sizeof(float));
    }
}

static void unload(struct loaded *l)
{
    csl_dataset_free(l->honest);
    csl_dataset_free(l->attacked);
    csl_study_free(l->study);
}

static void test_world_attack__label_flip__every_training_label_and_nothing_else(void **state)
{
    struct loaded l;
    (void)state;
    load(&l, ", attack: {kind: label_flip}", 1);
    const struct csl_examples *a = &l.honest->domains[0][CSL_SPLIT_TRAIN];
    const struct csl_examples *b = &l.attacked->domains[0][CSL_SPLIT_TRAIN];
    assert_int_equal(a->records, TRAIN);
    assert_memory_equal(a->x, b->x, (size_t)a->records * a->width * sizeof(float));
    for (uint32_t i = 0; i < a->records; i++)
        assert_int_equal(b->label[i], 1 - a->label[i]);
    unload(&l);
}

/* Which records of a backdoor with share 0.5 and this seed are changed, as bits. */
static uint32_t changed(uint64_t seed)
{
    struct loaded l;
    uint32_t bits = 0;
    load(&l, ", attack: {kind: backdoor, share: 0.5, trigger: second, value: 44, target: 1}", seed);
    const struct csl_examples *a = &l.honest->domains[0][CSL_SPLIT_TRAIN];
    const struct csl_examples *b = &l.attacked->domains[0][CSL_SPLIT_TRAIN];
    for (uint32_t i = 0; i < a->records; i++) {
        const float *was = a->x + (size_t)2 * i, *is = b->x + (size_t)2 * i;
        assert_true(is[0] >= was[0] && is[0] <= was[0]);
        if (is[1] > 43.9f) {
            bits |= 1u << i;
            assert_int_equal(b->label[i], 1);
            assert_true(is[1] < 44.1f);
        } else {
            assert_true(is[1] >= was[1] && is[1] <= was[1]);
            assert_int_equal(b->label[i], a->label[i]);
        }
    }
    unload(&l);
    return bits;
}

static void test_world_attack__backdoor__a_share_of_the_records_by_seed(void **state)
{
    uint32_t first = changed(1), all = (1u << TRAIN) - 1;
    (void)state;
    assert_true(first != 0 && first != all);
    assert_int_equal(changed(1), first);
    assert_int_not_equal(changed(2), first);
}

static void test_world_attack__honest_site__has_no_hook(void **state)
{
    struct csl_sim_attacker attacker;
    struct csl_study *s = attacked_study(1, EQUAL, ", attack: {kind: label_flip}");
    (void)state;
    assert_non_null(csl_sim_attacker_init(&attacker, s, "aarhus", 1));
    assert_null(csl_sim_attacker_init(&attacker, s, "brno", 1));
    assert_null(csl_sim_attacker_init(&attacker, s, "nobody", 1));
    csl_study_free(s);
}

static void test_world_attack__refusal__names_the_site(void **state)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_study *honest = attacked_study(1, EQUAL, "");
    struct csl_study *s = attacked_study(1, EQUAL, ", attack: {kind: scaled, factor: 2}");
    (void)state;
    assert_int_equal(csl_sim_attack_refuse(honest, &err), CSL_OK);
    assert_int_equal(csl_sim_attack_refuse(s, &err), CSL_E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "site aarhus has an 'attack'"));
    assert_memory_equal(s->digest, honest->digest, CSL_DIGEST_BYTES);
    csl_study_free(honest);
    csl_study_free(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        T(test_world_attack__scaled_and_sign_flip__move_the_mean_by_their_factor),
        T(test_world_attack__records_of_one_site__only_the_training_changes),
        T(test_world_attack__clip_norm__bounds_what_one_site_does),
        T(test_world_attack__median__the_factor_does_not_matter),
        T(test_world_attack__label_flip__every_training_label_and_nothing_else),
        T(test_world_attack__backdoor__a_share_of_the_records_by_seed),
        T(test_world_attack__honest_site__has_no_hook),
        T(test_world_attack__refusal__names_the_site),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
