/* When the plain words of an update go from a site's disk, and what its journal and its ledger keep
 * of them. */
#include "coordinator/service_internal.h"
#include "privacy/dp/account.h"
#include "privacy/ledger/ledger.h"
#include "privacy/secagg/messages.h"
#include "tests/unit/world/masked_internal.h"

#include "base/log.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLES  "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define MASKS    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
#define JOINT    "privacy: {mode: joint, epsilon: 2, delta: 1e-3, clip: 1, sampling_rate: 0.5}\n"
#define ONE_STEP "{optimizer: sgd, learning_rate: 0.5, batch_patients: full, steps: 1}"

enum { VICTIM = 4 };

static struct fixture fixture;

static struct {
    uint32_t looked, found; /* at what the test is about */
    bool has_swapped, has_answered;
    struct csl_study *other;
    double epsilon;
    uint8_t words_model[CSL_DIGEST_BYTES];
} seen;

static struct masked_plan plan_of(uint32_t rounds)
{
    memset(&seen, 0, sizeof(seen));
    return (struct masked_plan){.rounds = rounds,
                                .minimum_sites = 3,
                                .keyless_site = MASKED_NONE,
                                .sections = SAMPLES MASKS};
}

/* Of five sites four are needed, and the uploads of two are refused. */
static struct masked_plan lying_plan(uint32_t rounds)
{
    struct masked_plan plan = plan_of(rounds);
    plan.lying_round = 2;
    plan.lying_site = 1;
    plan.lying_more = 1;
    return plan;
}

static bool has_plain(uint32_t site, uint64_t round)
{
    char name[400], path[CSL_PATH_MAX];
    snprintf(name, sizeof(name), "run/%s/blobs/plain-%llu", masked_ids[site],
             (unsigned long long)round);
    fixture_path(&fixture, name, path);
    return csl_file_exists(path);
}

/* --- the end of a study --- */

/* In place of the certificate that would abandon the second round's attempt, whose fate is open for
 * the victim: another message. */
static bool replace_certificate(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    bool is_due = to == CSL_TO_SITE && site == VICTIM && m->kind == CSL_MSG_SECAGG_TO_SITE &&
                  !seen.has_swapped && m->u.secagg.body.n > 2 && m->u.secagg.body.p[0] == 1 &&
                  m->u.secagg.body.p[1] == CSL_SECAGG_ABANDONED;
    if (!is_due)
        return false;
    seen.has_swapped = true;
    seen.looked += has_plain(VICTIM, 2) ? 1 : 0;
    uint64_t sequence = m->sequence;
    csl_message_release(m);
    *m = (struct csl_message){.sequence = sequence};
    return true;
}

static bool end_study(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    if (!replace_certificate(to, site, m))
        return false;
    m->kind = CSL_MSG_STUDY_ENDED;
    m->u.study_ended.round = 2;
    csl_str_copy(m->u.study_ended.reason, sizeof(m->u.study_ended.reason), "aborted");
    return true;
}

static void look_at_end(void)
{
    seen.found += has_plain(VICTIM, 2) ? 1 : 0;
}

static void test_world_secagg_words__study_aborted_while_fate_is_open__gone(void **state)
{
    struct masked_plan plan = lying_plan(3);
    struct masked_result r;
    (void)state;
    plan.meddle = end_study;
    plan.meddles_with_all = true;
    plan.at_end = look_at_end;
    masked_run(&fixture, &plan, &r);
    assert_int_equal(seen.looked, 1); /* else the test does not test */
    assert_int_equal(seen.found, 0);
    masked_release(&r);
}

/* Another study takes its place. */
static bool offer_another(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    struct csl_err err = {.code = CSL_OK};
    if (seen.has_swapped && to == CSL_TO_COORDINATOR && site == VICTIM &&
        m->kind == CSL_MSG_STUDY_ANSWER && !seen.has_answered) {
        assert_true(m->u.study_answer.accepted);
        seen.has_answered = true;
        seen.found += has_plain(VICTIM, 2) ? 1 : 0;
    }
    if (!replace_certificate(to, site, m))
        return false;
    m->kind = CSL_MSG_STUDY_OFFER;
    memcpy(m->u.study_offer.study_digest, seen.other->digest, CSL_DIGEST_BYTES);
    masked_must(csl_msg_copy(&m->u.study_offer.manifest, csl_msg_span(&seen.other->manifest), &err),
                &err);
    return true;
}

static void test_world_secagg_words__another_study_is_accepted__gone(void **state)
{
    struct masked_plan other = plan_of(1), plan = lying_plan(3);
    struct masked_result r;
    (void)state;
    seen.other = masked_study(&other);
    plan.meddle = offer_another;
    plan.meddles_with_all = true;
    masked_run(&fixture, &plan, &r);
    assert_int_equal(seen.looked, 1); /* else the test does not test */
    assert_true(seen.has_answered);
    assert_int_equal(seen.found, 0);
    csl_study_free(seen.other);
    masked_release(&r);
}

/* --- a confirmed rollback --- */

static bool look_when_confirmed(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    if (to == CSL_TO_COORDINATOR && m->kind == CSL_MSG_HELLO && site == 2) {
        if (masked_w.was_rolled_back && !masked_w.was_confirmed && has_plain(2, 2)) {
            struct csl_ledger_spent spent;
            struct csl_err err = {.code = CSL_OK};
            masked_must(csl_ledger_spent_by_study(csl_agent_ledger(masked_w.sites[2].agent),
                                                  masked_w.study->digest, &spent, &err),
                        &err);
            seen.epsilon = spent.epsilon; /* of one round charged and one reserved */
            seen.looked++;
        }
        if (masked_w.was_confirmed)
            seen.found += has_plain(2, 2) ? 1 : 0;
    }
    return false;
}

/* The whole folder is of a time when the update of round 2 was trained and reserved, and not yet
 * masked. It left since: what was reserved stays spent although its words are deleted. */
static void test_world_secagg_words__confirmed_rollback__gone_and_spent(void **state)
{
    struct masked_plan plan = plan_of(6);
    struct masked_result r;
    (void)state;
    plan.local = ONE_STEP;
    plan.sections = SAMPLES MASKS JOINT;
    plan.restart_round = 2;
    plan.restart_site = 2;
    plan.rolled_back_round = 3;
    plan.rolls_back_all = true;
    plan.meddle = look_when_confirmed;
    plan.meddles_with_all = true;
    plan.confirmed_round = 5;
    masked_run(&fixture, &plan, &r);
    assert_int_equal(r.code, CSL_OK);
    assert_true(seen.looked > 0); /* else the test does not test */
    assert_int_equal(seen.found, 0);
    assert_int_equal(r.charges[2], 1);
    assert_true(seen.epsilon > 0 && r.epsilon[2] >= seen.epsilon);
    masked_release(&r);
}

/* --- a copy from before the words were in the journal --- */

static bool look_at_reservations(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    struct csl_ledger_open_reservation open[2];
    struct csl_ledger_spent spent;
    struct csl_err err = {.code = CSL_OK};
    struct csl_ledger *l = site == 2 ? csl_agent_ledger(masked_w.sites[2].agent) : NULL;
    if (to != CSL_TO_COORDINATOR || m->kind != CSL_MSG_HELLO || l == NULL ||
        !masked_w.has_restarted)
        return false;
    masked_must(csl_ledger_spent_by_study(l, masked_w.study->digest, &spent, &err), &err);
    if (!masked_w.was_rolled_back) {
        seen.epsilon = spent.epsilon; /* of one round charged and one reserved */
        seen.looked += csl_ledger_open_reservations(l, open, 2) == 1 ? 1 : 0;
    } else if (spent.epsilon < seen.epsilon)
        seen.found++; /* given back before the coordinator said anything */
    return false;
}

static void test_world_secagg_words__copied_while_training__reservation_stays_spent(void **state)
{
    struct masked_plan plan = plan_of(4);
    struct masked_result r;
    (void)state;
    plan.local = ONE_STEP;
    plan.sections = SAMPLES MASKS JOINT;
    plan.restart_round = 2;
    plan.restart_site = 2;
    plan.rolled_back_round = 3;
    plan.rolls_back_all = plan.copies_early = true;
    plan.meddle = look_at_reservations;
    plan.meddles_with_all = true;
    masked_run(&fixture, &plan, &r);
    assert_int_equal(r.code, CSL_OK);
    assert_int_equal(seen.looked, 1); /* else the test does not test */
    assert_int_equal(seen.found, 0);
    assert_int_equal(r.site_rounds[2], 2); /* the second with what it had reserved before */
    assert_int_equal(r.charges[2], 1);     /* as the restored ledger knows */
    assert_true(seen.epsilon > 0 && r.epsilon[2] == seen.epsilon);
    masked_release(&r);
}

/* --- a study that is offered while words wait for their masks --- */

/* After a restart with the words there, the task that is repeated is replaced by an offer. */
static void replace_task(enum csl_direction to, uint32_t site, struct csl_message *m,
                         const uint8_t digest[CSL_DIGEST_BYTES])
{
    struct csl_err err = {.code = CSL_OK};
    if (to != CSL_TO_SITE || site != 2 || m->kind != CSL_MSG_TASK || !masked_w.has_restarted ||
        seen.has_swapped)
        return;
    seen.has_swapped = true;
    seen.looked += has_plain(2, 2) ? 1 : 0;
    uint64_t sequence = m->sequence;
    csl_message_release(m);
    *m = (struct csl_message){.sequence = sequence, .kind = CSL_MSG_STUDY_OFFER};
    memcpy(m->u.study_offer.study_digest, digest, CSL_DIGEST_BYTES);
    masked_must(
        csl_msg_copy(&m->u.study_offer.manifest, csl_msg_span(&masked_w.study->manifest), &err),
        &err);
}

static bool offer_again(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    bool had_swapped = seen.has_swapped;
    replace_task(to, site, m, masked_w.study->digest);
    return seen.has_swapped && !had_swapped;
}

/* The site declines, and stays with the study that it has; the coordinator hears another answer. */
static bool offer_with_another_digest(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    static const uint8_t none[CSL_DIGEST_BYTES];
    bool had_swapped = seen.has_swapped;
    struct csl_msg_study_answer *answer = &m->u.study_answer;
    if (to == CSL_TO_COORDINATOR && site == 2 && m->kind == CSL_MSG_STUDY_ANSWER && had_swapped) {
        assert_false(answer->accepted);
        seen.has_answered = true;
        *answer = (struct csl_msg_study_answer){
            .accepted = true, .block_count = 1, .blocks = {{.block = 0, .patients = 1}}};
        memcpy(answer->study_digest, masked_w.study->digest, CSL_DIGEST_BYTES);
        return true;
    }
    replace_task(to, site, m, none);
    return seen.has_swapped && !had_swapped;
}

/* What the words were reserved stays reserved: charged once, when they are masked. Given back, the
 * masked words would have no reservation at this start and at every one after it. */
static void check_offered(bool (*meddle)(enum csl_direction, uint32_t, struct csl_message *))
{
    struct masked_plan plan = plan_of(3);
    struct masked_result r;
    plan.local = ONE_STEP;
    plan.sections = SAMPLES MASKS JOINT;
    plan.restart_round = 2;
    plan.restart_site = 2;
    plan.rolls_back_all = true; /* restarted once the journal has the words; never set back */
    plan.bounced_round = 3;     /* a failed agent is started again */
    plan.meddle = meddle;
    plan.meddles_with_all = true;
    masked_run(&fixture, &plan, &r);
    if (r.code != CSL_OK)
        fail_msg("%s", r.reason);
    assert_true(seen.has_swapped);
    assert_int_equal(seen.looked, 1); /* else the test does not test */
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        assert_int_equal(r.site_rounds[i], 3);
        assert_int_equal(r.charges[i], 3);
    }
    assert_int_equal(r.uncharged, 0);
    assert_true(r.epsilon[2] == r.epsilon[0]);
    masked_release(&r);
}

static void test_world_secagg_words__same_study_offered_after_a_restart__charged_once(void **state)
{
    (void)state;
    check_offered(offer_again);
}

static void test_world_secagg_words__offer_declined_after_a_restart__charged_once(void **state)
{
    (void)state;
    check_offered(offer_with_another_digest);
    assert_true(seen.has_answered);
}

/* --- an operator at the ledger while words wait --- */

static uint64_t no_time(void *ctx)
{
    (void)ctx;
    return 0; /* the ledger's own is later */
}

/* `consilium ledger stop`, or only what it closes. */
static void operate(bool stops)
{
    struct csl_ledger *l = NULL;
    struct csl_ledger_open_reservation open[2];
    struct csl_err err = {.code = CSL_OK};
    static const char *const names[] = {"ledger.db", "ledger.key", "ledger.head"};
    char path[3][CSL_PATH_MAX], name[128];
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "run/%s/%s", masked_ids[2], names[i]);
        fixture_path(&fixture, name, path[i]);
    }
    const struct csl_ledger_config c = {.path = path[0],
                                        .key_path = path[1],
                                        .head_path = path[2],
                                        .site = masked_ids[2],
                                        .price = csl_account_epsilon,
                                        .now_s = no_time};
    masked_must(csl_ledger_open(&l, &c, &err), &err);
    seen.looked += has_plain(2, 2) ? 1 : 0;
    assert_int_equal(csl_ledger_open_reservations(l, open, 2), 1);
    if (stops)
        masked_must(csl_ledger_stop(l, masked_w.study->digest, CSL_LEDGER_STOP_OPERATOR, &err),
                    &err);
    else
        masked_must(csl_ledger_settle(l, open[0].reservation, true, &err), &err);
    csl_ledger_close(l);
}

static void stop_study(void)
{
    operate(true);
}

static void close_reservation(void)
{
    operate(false);
}

/* Words that cannot be charged are given up: no agent that fails at every start. */
static void check_operated(void (*while_down)(void), uint64_t rounds)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result r;
    plan.local = ONE_STEP;
    plan.sections = SAMPLES MASKS JOINT;
    plan.restart_round = 2;
    plan.restart_site = 2;
    plan.rolls_back_all = true; /* restarted once the journal has the words; never set back */
    plan.while_down = while_down;
    masked_run(&fixture, &plan, &r);
    if (r.code != CSL_OK)
        fail_msg("%s", r.reason);
    assert_int_equal(seen.looked, 1); /* else the test does not test */
    assert_int_equal(r.site_rounds[2], rounds);
    assert_int_equal(r.charges[2], rounds);
    assert_int_equal(r.site_rounds[0], 3);
    assert_int_equal(r.uncharged, 0);
    if (rounds == 1)
        assert_non_null(strstr(r.last_error[2], "does not allow the round"));
    masked_release(&r);
}

static void test_world_secagg_words__study_stopped_while_they_wait__given_up(void **state)
{
    (void)state;
    check_operated(stop_study, 1);
}

static void test_world_secagg_words__reservation_closed_while_they_wait__given_up(void **state)
{
    (void)state;
    check_operated(close_reservation, 2);
}

/* --- journals --- */

static uint32_t count_in(const struct csl_msg *bytes, const uint8_t *digest)
{
    uint32_t count = 0;
    for (size_t i = 0; i + CSL_DIGEST_BYTES <= bytes->n; i++)
        count += memcmp(bytes->p + i, digest, CSL_DIGEST_BYTES) == 0;
    return count;
}

static void read_journal(uint32_t site, struct csl_msg *out)
{
    char hex[2 * CSL_DIGEST_BYTES + 1], name[160], path[CSL_PATH_MAX];
    struct csl_err err = {.code = CSL_OK};
    csl_hex(masked_w.study->digest, CSL_DIGEST_BYTES, hex);
    snprintf(name, sizeof(name), "run/%s/secagg-%s.journal", masked_ids[site], hex);
    fixture_path(&fixture, name, path);
    masked_must(csl_file_read(out, path, 16 << 20, &err), &err);
}

/* Once the first attempt was abandoned the model is another one. */
static bool swap_model(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    struct csl_service *s = masked_w.service;
    struct csl_msg bytes = {NULL, 0};
    bool is_secagg = m->kind == CSL_MSG_SECAGG || m->kind == CSL_MSG_SECAGG_TO_SITE;
    if (to == CSL_TO_SITE && is_secagg && !seen.has_swapped && m->u.secagg.body.n > 2 &&
        m->u.secagg.body.p[0] == 1 && m->u.secagg.body.p[1] == CSL_SECAGG_ABANDONED) {
        seen.has_swapped = true;
        memcpy(seen.words_model, csl_agent_core(masked_w.sites[VICTIM].agent)->task.model_digest,
               CSL_DIGEST_BYTES);
        read_journal(VICTIM, &bytes);
        seen.looked = count_in(&bytes, seen.words_model);
        csl_msg_release(&bytes);
        for (uint64_t i = 0; i < s->study->schema.parameters; i++)
            s->global[i] += 1.0f;
        csl_service_digest_broadcast__(s);
        csl_coord_set_model(s->core, s->broadcast_digest, csl_service_broadcast_bytes__(s));
    }
    if (to == CSL_TO_COORDINATOR && m->kind == CSL_MSG_SECAGG && site == VICTIM &&
        seen.has_swapped && m->u.secagg.body.n > 0 &&
        m->u.secagg.body.p[0] == CSL_SECAGG_ADVERTISE) {
        read_journal(VICTIM, &bytes);
        seen.found += count_in(&bytes, seen.words_model);
        csl_msg_release(&bytes);
    }
    return false;
}

/* The next attempt's M0 is of another model: words of the first are not beside it, where a restart
 * would find them and what they were reserved as. */
static void test_world_secagg_words__next_attempt_of_another_model__not_in_journal(void **state)
{
    struct masked_plan plan = lying_plan(2);
    struct masked_result r;
    (void)state;
    plan.lies_once = true;
    plan.meddle = swap_model;
    plan.meddles_with_all = true;
    masked_run(&fixture, &plan, &r);
    assert_true(seen.has_swapped && seen.looked > 0);
    assert_int_equal(seen.found, 0);
    masked_release(&r);
}

/* A journal as earlier versions named it is not passed over. */
static void test_world_secagg_words__journal_of_the_old_name__declined(void **state)
{
    struct masked_plan plan = plan_of(1);
    struct masked_result r;
    struct csl_err err = {.code = CSL_OK};
    struct csl_study *study = masked_study(&plan);
    char hex[17], name[160], path[CSL_PATH_MAX];
    static char lines[1 << 16];
    (void)state;
    fixture_path(&fixture, "run", path);
    masked_must(csl_dir_make(path, &err), &err);
    snprintf(name, sizeof(name), "run/%s", masked_ids[VICTIM]);
    fixture_path(&fixture, name, path);
    masked_must(csl_dir_make(path, &err), &err);
    csl_hex(study->digest, 8, hex);
    snprintf(name, sizeof(name), "run/%s/secagg-%s.journal", masked_ids[VICTIM], hex);
    fixture_path(&fixture, name, path);
    masked_must(csl_file_write_atomic(path, CSL_SPAN("", 0), 0600, &err), &err);
    FILE *log = fmemopen(lines, sizeof(lines) - 1, "w");
    assert_non_null(log);
    csl_log_setup(log, CSL_LOG_LOGFMT, CSL_LOG_WARN);
    masked_run(&fixture, &plan, &r);
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    fclose(log);
    char full[2 * CSL_DIGEST_BYTES + 1];
    csl_hex(study->digest, CSL_DIGEST_BYTES, full);
    assert_int_equal(r.code, CSL_OK);
    assert_int_equal(r.site_rounds[VICTIM], 0);
    assert_int_equal(r.site_rounds[0], 1);
    assert_non_null(strstr(lines, path)); /* what it found, and what it wants */
    assert_non_null(strstr(lines, full));
    csl_study_free(study);
    masked_release(&r);
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
        cmocka_unit_test(test_world_secagg_words__study_aborted_while_fate_is_open__gone),
        cmocka_unit_test(test_world_secagg_words__another_study_is_accepted__gone),
        cmocka_unit_test(test_world_secagg_words__confirmed_rollback__gone_and_spent),
        cmocka_unit_test(test_world_secagg_words__copied_while_training__reservation_stays_spent),
        cmocka_unit_test(test_world_secagg_words__same_study_offered_after_a_restart__charged_once),
        cmocka_unit_test(test_world_secagg_words__offer_declined_after_a_restart__charged_once),
        cmocka_unit_test(test_world_secagg_words__study_stopped_while_they_wait__given_up),
        cmocka_unit_test(test_world_secagg_words__reservation_closed_while_they_wait__given_up),
        cmocka_unit_test(test_world_secagg_words__next_attempt_of_another_model__not_in_journal),
        cmocka_unit_test(test_world_secagg_words__journal_of_the_old_name__declined),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
