/* Patient-level privacy at the site agent: nothing leaves uncharged, whatever a coordinator asks;
 * what is charged stays within the study and the budget; a refusal tells nothing. Pitfalls by their
 * numbers in the list of the design. */
#include "tests/unit/site-agent/script.h"

#include "aggregation/evaluate/metrics.h"
#include "base/log.h"
#include "privacy/crypto/sha256.h"
#include "site-agent/training/train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define EPSILON 2.0

static const struct script_study whole = {
    .name = "private", .epsilon = EPSILON, .delta = SCRIPT_DELTA, .rounds = 3};
static struct script w;

static int open_script(void **state)
{
    (void)state;
    script_open(&w, &whole);
    return 0;
}

static int close_script(void **state)
{
    (void)state;
    script_close(&w);
    return 0;
}

static void start_enrolled(void)
{
    script_start(&w);
    script_enrol(&w);
}

/* Another study of the same site is what tasks are about from here on. */
static void change_study(const struct script_study *s)
{
    csl_study_free(w.study);
    w.study = script_parse(s);
}

/* --- charges --- */

static void test_agent_privacy__whole_study__every_update_charged_before_it_leaves(void **state)
{
    (void)state;
    start_enrolled();
    for (uint64_t r = 1; r <= 3; r++)
        assert_true(script_round(&w, r, (float)r, NULL)); /* the guard looks at every instant */
    assert_int_equal(w.uploads, 3);
    assert_int_equal(w.released_count, 3);
    assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 3);
    assert_int_equal(script_count(&w, CSL_LEDGER_RESERVE), 3);
    assert_true(script_released_epsilon(&w) <= EPSILON);
    assert_true(script_released_epsilon(&w) > 0.9 * EPSILON); /* noise was solved for it */
    assert_true(script_spent(&w) >= script_released_epsilon(&w));
}

static void test_pitfall_14__same_task_again__identical_bytes_and_no_new_charge(void **state)
{
    uint8_t first[256];
    size_t n;
    (void)state;
    start_enrolled();
    assert_true(script_round(&w, 1, 0, NULL));
    n = w.uploaded_bytes;
    memcpy(first, w.uploaded, n);
    for (int i = 0; i < 5; i++)
        assert_true(script_round(&w, 1, 0, NULL)); /* announced and uploaded again */
    assert_int_equal(w.uploads, 6);
    assert_int_equal(w.uploaded_bytes, n);
    assert_memory_equal(w.uploaded, first, n);
    script_stop(&w); /* nor after a restart */
    script_start(&w);
    assert_true(script_round(&w, 1, 0, NULL));
    assert_memory_equal(w.uploaded, first, n);
    assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 1);
}

static void test_pitfall_14__same_round_with_another_model__charged_again(void **state)
{
    (void)state;
    start_enrolled();
    assert_true(script_round(&w, 1, 0, NULL));
    double once = script_spent(&w);
    assert_true(script_round(&w, 1, 1, NULL));
    assert_int_equal(w.released_count, 2);
    assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 2);
    assert_true(script_spent(&w) > once);
}

static void test_pitfall_02__rounds_repeated_skipped_and_reversed__within_the_study(void **state)
{
    static const uint64_t asked[] = {2, 2, 1, 3, 3, 1, 2, 3, 1};
    struct csl_msg_task_failed failed = {.code = CSL_OK};
    uint32_t done = 0;
    (void)state;
    start_enrolled(); /* the budget is 1000: only the study's own promise stops this */
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
        done += script_round(&w, asked[i], (float)i, &failed) ? 1 : 0;
    assert_int_equal(done, 3); /* as many as the study has rounds */
    assert_true(failed.code == CSL_E_BUDGET || failed.code == CSL_E_DENIED);
    assert_true(script_released_epsilon(&w) <= EPSILON);
    assert_true(script_spent(&w) <= EPSILON);
    assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 3);
}

static void test_pitfall_02__study_offered_again_and_again__within_the_study(void **state)
{
    uint32_t done = 0;
    (void)state;
    start_enrolled();
    for (int i = 0; i < 8; i++) {
        done += script_round(&w, 1, (float)i, NULL) ? 1 : 0;
        if (i % 2 == 0) {
            script_stop(&w);
            script_start(&w);
        }
        script_enrol(&w); /* a coordinator that lost its state */
    }
    assert_int_equal(done, 3);
    assert_true(script_released_epsilon(&w) <= EPSILON);
}

static void test_pitfall_02__round_beyond_the_plan__refused(void **state)
{
    struct csl_msg_task_failed failed = {.code = CSL_OK};
    (void)state;
    start_enrolled();
    assert_true(script_round(&w, 1, 0, NULL));
    assert_false(script_round(&w, 4, 1, &failed));
    assert_int_equal(failed.code, CSL_E_DENIED);
    assert_int_equal(script_count(&w, CSL_LEDGER_RESERVE), 1);
    assert_int_equal(script_count(&w, CSL_LEDGER_STOP), 1); /* and the study with it */
    assert_false(script_round(&w, 2, 2, &failed));
    assert_int_equal(failed.code, CSL_E_DENIED);
    assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 1);
}

/* --- budgets --- */

static double price_of_rounds(uint32_t rounds)
{
    struct csl_privacy_plan plan;
    struct csl_dp_event events[CSL_DOMAINS_MAX];
    struct csl_price price;
    struct csl_err err = {.code = CSL_OK};
    const uint64_t patients = 18;
    script_must(csl_privacy_plan_make(&plan, w.study, &patients, &err), &err);
    csl_privacy_plan_events(&plan, rounds, events);
    script_must(csl_account(events, plan.event_count, plan.delta, &price, &err), &err);
    csl_privacy_plan_release(&plan);
    return price.epsilon;
}

static void test_agent_privacy__budget_below_one_round__nothing_trained(void **state)
{
    struct csl_msg_task_failed failed = {.code = CSL_OK};
    (void)state;
    w.policy = script_policy(price_of_rounds(1) * 0.999, 0.09);
    start_enrolled();
    assert_false(script_round(&w, 1, 0, &failed));
    assert_int_equal(failed.code, CSL_E_BUDGET);
    assert_int_equal(failed.round, 1);
    assert_false(script_has_blob(&w, "update-1"));
    assert_int_equal(w.released_count, 0);
    assert_int_equal(script_count(&w, CSL_LEDGER_RESERVE), 0);
    assert_int_equal(script_count(&w, CSL_LEDGER_REFUSE), 1);
    assert_true(script_spent(&w) == 0);
}

static void test_agent_privacy__budget_for_two_rounds__third_not_trained(void **state)
{
    struct csl_msg_task_failed failed = {.code = CSL_OK};
    double budget = (price_of_rounds(2) + price_of_rounds(3)) / 2;
    (void)state;
    w.policy = script_policy(budget, 0.09);
    start_enrolled();
    assert_true(script_round(&w, 1, 0, NULL));
    assert_true(script_round(&w, 2, 1, NULL));
    assert_false(script_round(&w, 3, 2, &failed));
    assert_int_equal(failed.code, CSL_E_BUDGET);
    assert_false(script_has_blob(&w, "update-3"));
    assert_true(script_released_epsilon(&w) <= budget);
    assert_int_equal(w.released_count, 2);
}

static void test_agent_privacy__no_budget_covers_the_patients__nothing_trained(void **state)
{
    struct csl_msg_task_failed failed = {.code = CSL_OK};
    (void)state;
    w.policy.ledger.budget_count = 0;
    start_enrolled();
    assert_false(script_round(&w, 1, 0, &failed));
    assert_int_equal(failed.code, CSL_E_BUDGET);
    assert_false(script_has_blob(&w, "update-1"));
}

static void test_agent_privacy__more_groups_than_a_few__the_strictest_holds(void **state)
{
    struct csl_msg_task_failed failed = {.code = CSL_OK};
    (void)state;
    struct csl_ledger_policy *p = &w.policy.ledger;
    for (uint32_t i = 1; i <= 9; i++) {
        p->budgets[i] = p->budgets[0];
        snprintf(p->budgets[i].group, sizeof(p->budgets[i].group), "clinic=%u", i);
    }
    p->budget_count = 10;
    p->budgets[9].epsilon = price_of_rounds(1) * 0.999;
    start_enrolled();
    assert_false(script_round(&w, 1, 0, &failed));
    assert_int_equal(failed.code, CSL_E_BUDGET);
    assert_int_equal(w.released_count, 0);
}

static void test_pitfall_25__another_study_spent_before__counts(void **state)
{
    static const struct script_study other = {
        .name = "second", .epsilon = 1.5, .delta = SCRIPT_DELTA, .rounds = 3};
    struct csl_msg_task_failed failed = {.code = CSL_OK};
    struct csl_ledger_spent all;
    (void)state;
    w.policy = script_policy(3, 0.09); /* enough for either of them */
    start_enrolled();
    for (uint64_t r = 1; r <= 3; r++)
        assert_true(script_round(&w, r, (float)r, NULL));
    double first = script_spent(&w);
    change_study(&other);
    script_enrol(&w);
    uint32_t done = 0;
    for (uint64_t r = 1; r <= 3; r++)
        done += script_round(&w, r, (float)r + 7, &failed) ? 1 : 0;
    assert_true(done >= 1 && done < 3);
    assert_int_equal(failed.code, CSL_E_BUDGET);
    csl_ledger_spent_by_cohort(csl_agent_ledger(w.agent), "*", 0, &all);
    assert_true(all.epsilon >= first + script_spent(&w)); /* sums, and both deltas */
    assert_true(all.delta >= 2 * SCRIPT_DELTA);
    assert_true(all.epsilon <= 3);
}

static void test_pitfall_25__deltas_of_studies_add_up(void **state)
{
    static const struct script_study other = {
        .name = "second", .epsilon = 1.5, .delta = SCRIPT_DELTA, .rounds = 3};
    struct csl_msg_task_failed failed = {.code = CSL_OK};
    (void)state;
    w.policy = script_policy(1000, 1.5 * SCRIPT_DELTA);
    start_enrolled();
    assert_true(script_round(&w, 1, 0, NULL));
    change_study(&other);
    script_enrol(&w);
    assert_false(script_round(&w, 1, 1, &failed));
    assert_int_equal(failed.code, CSL_E_BUDGET);
}

static void test_agent_privacy__refused_round_asked_again_and_again__one_entry_each(void **state)
{
    struct csl_msg_task_failed failed = {.code = CSL_OK};
    (void)state;
    w.policy = script_policy((price_of_rounds(1) + price_of_rounds(2)) / 2, 0.09);
    start_enrolled();
    assert_true(script_round(&w, 1, 0, NULL));
    for (int i = 0; i < 40; i++) {
        assert_false(script_round(&w, 2, 1, &failed));
        assert_int_equal(failed.code, CSL_E_BUDGET);
        assert_false(script_round(&w, 3, 1, &failed));
        assert_false(script_round(&w, 1, 1, &failed)); /* its second attempt */
    }
    assert_int_equal(script_count(&w, CSL_LEDGER_REFUSE), 3);
    assert_int_equal(script_count(&w, CSL_LEDGER_RESERVE), 1);
}

/* Two tasks before the agent looks: the second takes back the first, whose training then ends. */
static void test_pitfall_34__training_cancelled__reservation_given_back(void **state)
{
    struct csl_ledger_open_reservation open[4];
    (void)state;
    start_enrolled();
    assert_true(script_round(&w, 1, 0, NULL));
    double once = script_spent(&w);
    for (int i = 0; i < 30; i++) { /* more often than reservations may wait */
        struct csl_message second = script_task(&w, CSL_TASK_TRAIN, 2, 0);
        struct csl_message first = script_task(&w, CSL_TASK_TRAIN, 1, 0);
        w.heard_count = 0;
        script_send(&w, &second);
        script_send(&w, &first);
        script_deliver(&w);
        script_run(&w);
        for (uint32_t k = 0; k < w.heard_count; k++) { /* the first round's, as before */
            assert_int_equal(w.heard[k].kind, CSL_MSG_UPDATE_READY);
            assert_int_equal(w.heard[k].u.update_ready.round, 1);
        }
    }
    assert_int_equal(script_count(&w, CSL_LEDGER_RESERVE), 31);
    assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 1);
    assert_int_equal(csl_ledger_open_reservations(csl_agent_ledger(w.agent), open, 4), 0);
    assert_true(script_spent(&w) == once);
    assert_false(script_has_blob(&w, "update-2"));
    assert_true(script_round(&w, 2, 1, NULL)); /* the whole plan is still there */
    assert_true(script_round(&w, 3, 2, NULL));
    assert_true(script_released_epsilon(&w) <= EPSILON);
}

/* That a step left float32 is said to the coordinator and depends on noisy sums it never paid for
 * otherwise; asked again, it would learn more each time. */
static void test_agent_privacy__training_diverged__stays_spent(void **state)
{
    static const struct script_study diverging = {.name = "diverging",
                                                  .epsilon = EPSILON,
                                                  .delta = SCRIPT_DELTA,
                                                  .rounds = 3,
                                                  .diverges = true};
    struct csl_ledger_open_reservation open[4];
    struct csl_msg_task_failed failed;
    double before = 0;
    (void)state;
    change_study(&diverging);
    start_enrolled();
    for (uint32_t i = 0; i < 3; i++) {
        memset(&failed, 0, sizeof(failed));
        assert_false(script_round(&w, 1, 0, &failed));
        assert_string_equal(failed.reason, csl_code_text(CSL_E_INVAL));
        assert_true(script_spent(&w) > before);
        before = script_spent(&w);
        assert_int_equal(csl_ledger_open_reservations(csl_agent_ledger(w.agent), open, 4), 0);
    }
    assert_true(fabs(before - EPSILON) < 0.05 * EPSILON); /* as if three updates had left */
    assert_false(script_round(&w, 1, 0, &failed));        /* not one question more */
    assert_int_equal(script_count(&w, CSL_LEDGER_RESERVE), 3);
    assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 0);
    script_stop(&w); /* nor after a restart */
    script_start(&w);
    assert_true(script_spent(&w) == before);
}

struct refusal {
    struct csl_msg_task_failed said[8];
    struct csl_ledger_entry noted;
    uint32_t count;
};

static void refuse_with_records(uint32_t site, struct refusal *out)
{
    struct csl_err err = {.code = CSL_OK};
    *out = (struct refusal){.count = 0};
    script_open(&w, &whole);
    w.site = site;
    w.policy = script_policy((price_of_rounds(1) + price_of_rounds(2)) / 2, 0.09);
    start_enrolled();
    assert_true(script_round(&w, 1, 0, NULL));
    for (uint64_t r = 1; r <= 3; r++)
        assert_false(script_round(&w, r, 1, &out->said[out->count++]));
    struct csl_ledger *l = csl_agent_ledger(w.agent);
    for (uint64_t i = 0; i < csl_ledger_size(l); i++) {
        struct csl_ledger_entry e;
        script_must(csl_ledger_read(l, i, &e, &err), &err);
        if (e.kind == CSL_LEDGER_REFUSE)
            out->noted = e;
    }
    script_close(&w);
}

static void test_pitfall_35__budget_exhausted__same_refusal_for_other_records(void **state)
{
    static struct refusal here, there;
    (void)state;
    refuse_with_records(0, &here);
    refuse_with_records(1, &there);
    assert_int_equal(here.count, 3);
    assert_int_equal(there.count, here.count);
    for (uint32_t i = 0; i < here.count; i++) {
        assert_int_equal(here.said[i].code, CSL_E_BUDGET);
        assert_string_equal(here.said[i].reason, /* nor is the budget the coordinator's business */
                            "this site's privacy budget or plan does not allow the round");
        assert_int_equal(there.said[i].code, here.said[i].code);
        assert_string_equal(there.said[i].reason, here.said[i].reason);
    }
    assert_int_equal(there.noted.budget, here.noted.budget);
    assert_true(there.noted.epsilon_after == here.noted.epsilon_after);
    assert_int_equal(there.noted.index, here.noted.index);
}

/* --- what is said beside the update --- */

static bool captured(const void *p, size_t n)
{
    for (size_t i = 0; i + n <= w.captured; i++)
        if (memcmp(w.capture + i, p, n) == 0)
            return true;
    return false;
}

struct secrets { /* of the model that is 0.25 everywhere */
    double values[40];
    uint32_t count;
};

static void add_secret(struct secrets *s, double v)
{
    if (v != 0 && v != 1 && v != 0.5) /* say nothing about anybody, and occur by chance */
        s->values[s->count++] = v;
}

/* What a site without privacy would report: losses and metrics, computed here. */
static void compute_secrets(struct secrets *out)
{
    struct csl_dataset *data = NULL;
    struct csl_trainer *trainer = NULL;
    struct csl_err err = {.code = CSL_OK};
    float scores[64], model[8];
    *out = (struct secrets){.count = 0};
    script_must(csl_dataset_load(&data, w.f.records[w.site], w.study, &err), &err);
    script_must(csl_trainer_new(&trainer, w.study, "cpu-ref", &err), &err);
    for (size_t i = 0; i < 8; i++)
        model[i] = 0.25f;
    for (int split = CSL_SPLIT_TRAIN; split < CSL_SPLIT_COUNT; split++) {
        const struct csl_examples *e = &data->domains[0][split];
        struct csl_metrics m = {.count = 0};
        double loss = 0;
        if (e->records == 0)
            continue;
        script_must(csl_trainer_predict(trainer, 0, e, model, scores, &loss, &err), &err);
        add_secret(out, loss);
        add_secret(out, loss * e->records);
        script_must(csl_evaluate_binary(scores, e->label, e->records, 0.5, 7, &m, &err), &err);
        for (uint32_t i = 0; i < m.count && out->count < 38; i++)
            add_secret(out, m.items[i].value);
    }
    csl_trainer_free(trainer);
    csl_dataset_free(data);
}

static uint32_t count_captured(const struct secrets *s)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        float single = (float)s->values[i];
        found += captured(&s->values[i], sizeof(double)) || captured(&single, sizeof(single));
    }
    return found;
}

static struct csl_msg_evaluation evaluate(void)
{
    struct csl_message m = script_task(&w, CSL_TASK_EVALUATE, 0, 0.25f);
    script_say(&w, &m);
    if (w.heard[0].kind == CSL_MSG_MODEL_REQUEST)
        script_grant_model(&w, 0);
    return script_heard(&w, CSL_MSG_EVALUATION)->u.evaluation;
}

static void test_pitfall_09__wire_capture__no_loss_metric_or_count(void **state)
{
    struct secrets s;
    (void)state;
    start_enrolled();
    struct csl_message m = script_task(&w, CSL_TASK_TRAIN, 1, 0.25f);
    script_say(&w, &m);
    script_grant_model(&w, 0);
    const struct csl_msg_update_ready *u = &script_heard(&w, CSL_MSG_UPDATE_READY)->u.update_ready;
    assert_true(u->train_loss == 0);
    script_grant_update(&w, 1, 0);
    assert_int_equal(evaluate().block_count, 0);
    compute_secrets(&s);
    assert_true(s.count > 4);
    assert_int_equal(count_captured(&s), 0);
}

/* The same looking finds them where they are told: the test above can fail. */
static void test_pitfall_09__without_privacy__capture_finds_them(void **state)
{
    static const struct script_study open_study = {
        .name = "open", .rounds = 3, .has_no_privacy = true};
    struct secrets s;
    (void)state;
    change_study(&open_study);
    start_enrolled();
    assert_int_equal(evaluate().block_count, 1);
    compute_secrets(&s);
    assert_true(count_captured(&s) > 3);
}

/* --- delta, modes --- */

static void test_pitfall_24__delta_not_below_one_over_patients__declined(void **state)
{
    static const struct script_study loose = {
        .name = "loose", .epsilon = EPSILON, .delta = 1.0 / 18, .rounds = 3};
    (void)state;
    change_study(&loose);
    script_start(&w);
    script_offer(&w);
    const struct csl_msg_study_answer *a = &script_heard(&w, CSL_MSG_STUDY_ANSWER)->u.study_answer;
    assert_false(a->accepted);
    assert_non_null(strstr(a->reason, "delta"));
    assert_null(csl_agent_ledger(w.agent));
    script_stop(&w);
    w.policy.allows_large_delta = true;
    start_enrolled();
    assert_true(script_round(&w, 1, 0, NULL));
}

static void test_agent_privacy__mode_not_allowed__declined(void **state)
{
    (void)state;
    w.policy.refuses_privacy[CSL_PRIVACY_LOCAL] = true;
    script_start(&w);
    script_offer(&w);
    const struct csl_msg_study_answer *a = &script_heard(&w, CSL_MSG_STUDY_ANSWER)->u.study_answer;
    assert_false(a->accepted);
    assert_string_equal(a->reason, "this site does not allow privacy mode local");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_script, close_script)
    const struct CMUnitTest tests[] = {
        T(test_agent_privacy__whole_study__every_update_charged_before_it_leaves),
        T(test_pitfall_14__same_task_again__identical_bytes_and_no_new_charge),
        T(test_pitfall_14__same_round_with_another_model__charged_again),
        T(test_pitfall_02__rounds_repeated_skipped_and_reversed__within_the_study),
        T(test_pitfall_02__study_offered_again_and_again__within_the_study),
        T(test_pitfall_02__round_beyond_the_plan__refused),
        T(test_agent_privacy__budget_below_one_round__nothing_trained),
        T(test_agent_privacy__budget_for_two_rounds__third_not_trained),
        T(test_agent_privacy__no_budget_covers_the_patients__nothing_trained),
        T(test_agent_privacy__more_groups_than_a_few__the_strictest_holds),
        T(test_pitfall_25__another_study_spent_before__counts),
        T(test_pitfall_25__deltas_of_studies_add_up),
        T(test_agent_privacy__refused_round_asked_again_and_again__one_entry_each),
        T(test_agent_privacy__training_diverged__stays_spent),
        T(test_pitfall_34__training_cancelled__reservation_given_back),
        cmocka_unit_test(test_pitfall_35__budget_exhausted__same_refusal_for_other_records),
        T(test_pitfall_09__wire_capture__no_loss_metric_or_count),
        T(test_pitfall_09__without_privacy__capture_finds_them),
        T(test_pitfall_24__delta_not_below_one_over_patients__declined),
        T(test_agent_privacy__mode_not_allowed__declined),
    };
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
