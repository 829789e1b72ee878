/* How often a backdoor opens, counted by hand, and an attack that survives another number of
 * sites. */
#include "base/str.h"
#include "simulations/evaluate.h"
#include "simulations/manifest.h"
#include "simulations/run.h"
#include "tests/unit/simulations/fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HEAD                                                                                       \
    "study: small\n"                                                                               \
    "question: q\n"                                                                                \
    "domains:\n"                                                                                   \
    "  - {id: d, modality: tabular, task: {kind: binary, label: ill}, features: [x]}\n"            \
    "model: {kind: linear}\n"                                                                      \
    "training:\n"                                                                                  \
    "  local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 2, steps: 2}\n"                 \
    "rounds: 2\n"                                                                                  \
    "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"                                  \
    "privacy: {mode: none}\n"                                                                      \
    "sites: {minimum: 2}\n"                                                                        \
    "simulation:\n"                                                                                \
    "  sites:\n"                                                                                   \
    "    - {id: a, records: a.h5}\n"

static struct csl_err err;

/* b attacks; a and c are honest. */
static void measure(const char *b, const float *parameters, struct csl_result *r)
{
    struct csl_buf yaml;
    csl_buf_init(&yaml, 4096);
    csl_buf_printf(&yaml,
                   HEAD "    - {id: b, records: b.h5, attack: {%s}}\n"
                        "    - {id: c, records: c.h5}\n",
                   b);
    struct csl_study *study = fixture_study(csl_buf_text(&yaml));
    struct csl_world_site sites[3];
    struct csl_sim_data data;
    struct csl_trainer *trainer = NULL;
    /* values of x: label + 0.1 times the position; test records are those with E */
    fixture_records(&sites[0], "a", "T0f T1m E0f E1f E0m");
    fixture_records(&sites[1], "b", "T0f T1m E0f E0f E0f");
    fixture_records(&sites[2], "c", "T0f T1m E1f E0f");
    assert_int_equal(csl_sim_data_load(&data, study, sites, 3, &err), CSL_OK);
    assert_int_equal(csl_trainer_new(&trainer, study, "cpu-ref", &err), CSL_OK);
    assert_int_equal(csl_result_init(r, 3, 1, &err), CSL_OK);
    for (int i = 0; i < 3; i++)
        assert_true(csl_str_copy(r->sites[i].id, sizeof(r->sites[i].id), sites[i].id));
    csl_run_describe_attacks(r, study);
    assert_int_equal(csl_run_measure_attacks(r, &data, trainer, parameters, &err), CSL_OK);
    csl_trainer_free(trainer);
    csl_sim_data_release(&data);
    csl_study_free(study);
    csl_buf_release(&yaml);
}

static void test_attack__backdoor__honest_records_of_other_classes_are_counted(void **state)
{
    /* Class 1 where x > 0.35. Of the honest test records of class 0, x is 0.2 and 0.4 (a), 0.3 (c):
     * one of three is taken for class 1. Those of the attacker do not count. */
    const float parameters[] = {20, -7};
    struct csl_result r = {0};
    (void)state;
    measure("kind: backdoor, share: 0.5, factor: 2, trigger: x, value: 5, target: 1", parameters,
            &r);
    const struct csl_result_attack *a = &r.sites[1].attack;
    assert_int_equal(a->kind, CSL_ATTACK_BACKDOOR);
    assert_true(a->factor >= 2 && a->factor <= 2 && a->share >= 0.5 && a->share <= 0.5);
    assert_int_equal(a->records, 3);
    assert_int_equal(a->without_trigger, 1);
    assert_int_equal(a->with_trigger, 3);
    assert_int_equal(r.sites[0].attack.kind, CSL_ATTACK_NONE);
    csl_result_release(&r);
}

static void test_attack__backdoor_to_the_first_class__the_others_are_counted(void **state)
{
    const float parameters[] = {20, -24}; /* x > 1.2: of 1.3 (a) and 1.2 (c) only the first */
    struct csl_result r = {0};
    (void)state;
    measure("kind: backdoor, trigger: x, value: 1.5, target: 0", parameters, &r);
    assert_int_equal(r.sites[1].attack.records, 2);
    assert_int_equal(r.sites[1].attack.with_trigger, 0);
    csl_result_release(&r);
    measure("kind: backdoor, trigger: x, value: -1, target: 0", parameters, &r);
    assert_int_equal(r.sites[1].attack.with_trigger, 2);
    csl_result_release(&r);
}

static void test_attack__other_kinds__nothing_is_measured(void **state)
{
    const float parameters[] = {1, 0};
    struct csl_result r = {0};
    (void)state;
    measure("kind: label_flip, share: 0.25", parameters, &r);
    assert_int_equal(r.sites[1].attack.kind, CSL_ATTACK_LABEL_FLIP);
    assert_int_equal(r.sites[1].attack.records, 0);
    csl_result_release(&r);
}

static void test_attack__other_number_of_sites__attacks_stay(void **state)
{
    struct csl_study
        *out = NULL,
        *s = fixture_study(
            HEAD "    - {id: b, records: b.h5, attack: {kind: backdoor, share: 0.125, factor: 3, "
                 "trigger: x, value: -2.5, target: 1}}\n"
                 "    - {id: c, records: c.h5, attack: {kind: label_flip, share: 0.5}}\n"
                 "    - {id: d, records: d.h5, attack: {kind: sign_flip, factor: 7}}\n"
                 "    - {id: e, records: e.h5}\n");
    const struct csl_manifest_change change = {.sites = 4};
    (void)state;
    if (csl_manifest_adapt(&out, s, "s.yaml", &change, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(out->sim_site_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        const struct csl_sim_attack *a = &s->sim_sites[i].attack, *b = &out->sim_sites[i].attack;
        assert_int_equal(a->kind, b->kind);
        assert_true(fabs(a->factor - b->factor) + fabs(a->share - b->share) +
                        fabs(a->value - b->value) <=
                    0);
        assert_string_equal(a->trigger, b->trigger);
        assert_int_equal(a->target, b->target);
    }
    csl_study_free(s);
    csl_study_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attack__backdoor__honest_records_of_other_classes_are_counted),
        cmocka_unit_test(test_attack__backdoor_to_the_first_class__the_others_are_counted),
        cmocka_unit_test(test_attack__other_kinds__nothing_is_measured),
        cmocka_unit_test(test_attack__other_number_of_sites__attacks_stay),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
