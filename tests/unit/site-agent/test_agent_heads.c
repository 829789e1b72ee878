/* Heads of a site's ledger between the agent and a coordinator that remembers: a ledger that was
 * rolled back, replaced or copied trains nothing. The coordinator's memory is the real one. */
#include "tests/unit/site-agent/script.h"

#include "base/log.h"
#include "base/str.h"
#include "coordinator/heads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct script_study whole = {
    .name = "private", .epsilon = 2, .delta = SCRIPT_DELTA, .rounds = 6};
static struct script w;
static struct csl_heads *heads;
static char backup_dir[CSL_PATH_MAX];

static int open_script(void **state)
{
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    script_open(&w, &whole);
    fixture_path(&w.f, "backup", backup_dir);
    script_must(csl_heads_open(&heads, NULL, (const char(*)[CSL_ID_MAX])w.f.ids, 1, &err), &err);
    script_start(&w);
    script_enrol(&w);
    return 0;
}

static int close_script(void **state)
{
    (void)state;
    csl_heads_close(heads);
    script_close(&w);
    return 0;
}

static struct csl_msg_update_ready announced(uint64_t round, float model)
{
    struct csl_message m = script_task(&w, CSL_TASK_TRAIN, round, model);
    script_say(&w, &m);
    if (w.heard[0].kind == CSL_MSG_MODEL_REQUEST)
        script_grant_model(&w, round - 1);
    return script_heard(&w, CSL_MSG_UPDATE_READY)->u.update_ready;
}

/* What the coordinator makes of an announcement. */
static enum csl_code offer(const struct csl_msg_update_ready *u,
                           uint8_t countersignature[CSL_COUNTERSIGNATURE_BYTES],
                           struct csl_err *err)
{
    const struct csl_heads_claim claim = {.text = u->ledger_head,
                                          .key = u->ledger_key,
                                          .proof = u->ledger_proof,
                                          .proof_count = u->ledger_proof_count};
    return csl_heads_offer(heads, 0, &claim, countersignature, err);
}

/* A round as a coordinator that remembers: shows what it has, keeps and countersigns what comes. */
static struct csl_msg_update_ready remembered_round(uint64_t round, float model)
{
    struct csl_err err = {.code = CSL_OK};
    w.head_text = csl_heads_last(heads, 0);
    struct csl_msg_update_ready u = announced(round, model);
    struct csl_message done = {.kind = CSL_MSG_UPDATE_ACCEPTED};
    struct csl_msg_update_accepted *a = &done.u.update_accepted;
    script_must(offer(&u, a->countersignature, &err), &err);
    memcpy(a->ledger_key, csl_heads_public_key(heads), sizeof(a->ledger_key));
    a->round = round;
    memcpy(a->digest, u.digest, CSL_DIGEST_BYTES);
    script_grant_update(&w, round, 0);
    script_say(&w, &done);
    w.head_text = csl_heads_last(heads, 0);
    return u;
}

/* A new round is refused, before its model is even trained on. */
static void assert_refused(uint64_t round, float model)
{
    struct csl_msg_task_failed failed = {.code = CSL_OK};
    uint32_t reserved = script_count(&w, CSL_LEDGER_RESERVE);
    uint32_t released = w.released_count;
    char blob[CSL_ID_MAX];
    assert_false(script_round(&w, round, model, &failed));
    assert_int_equal(failed.code, CSL_E_STATE);
    assert_string_equal(failed.reason, csl_code_text(CSL_E_STATE)); /* no more than the kind */
    snprintf(blob, sizeof(blob), "update-%llu", (unsigned long long)round);
    assert_false(script_has_blob(&w, blob));
    assert_int_equal(script_count(&w, CSL_LEDGER_RESERVE), reserved);
    assert_int_equal(w.released_count, released);
}

static void test_agent_heads__rounds_with_memory__countersigned(void **state)
{
    (void)state;
    for (uint64_t r = 1; r <= 3; r++) {
        struct csl_msg_update_ready u = remembered_round(r, (float)r);
        struct csl_checkpoint head;
        struct csl_err err = {.code = CSL_OK};
        script_must(csl_checkpoint_read(&head, CSL_SPAN(u.ledger_head, strlen(u.ledger_head)),
                                        u.ledger_key, &err),
                    &err);
        struct csl_ledger_entry e; /* the head that was announced covers the charge */
        script_must(csl_ledger_read(csl_agent_ledger(w.agent), head.size - 1, &e, &err), &err);
        assert_int_equal(e.kind, CSL_LEDGER_CHARGE);
        assert_memory_equal(e.u.charge.update_digest, u.digest, CSL_DIGEST_BYTES);
        assert_int_equal(script_count(&w, CSL_LEDGER_COUNTERSIGN), r);
    }
}

/* --- from which head the proof goes --- */

static void assert_taken(const struct csl_msg_update_ready *u)
{
    struct csl_err err = {.code = CSL_OK};
    uint8_t countersignature[CSL_SIGN_SIGNATURE_BYTES];
    script_must(offer(u, countersignature, &err), &err);
}

/* The task was sent before the announcement that it crossed had come: what was announced since is
 * what the coordinator holds when it reads the next one. */
static void test_agent_heads__task_that_crossed_an_announcement__proof_from_the_later(void **state)
{
    (void)state;
    (void)remembered_round(1, 0);
    char old_head[CSL_CHECKPOINT_TEXT_MAX];
    csl_str_copy(old_head, sizeof(old_head), csl_heads_last(heads, 0));
    struct csl_msg_update_ready u = announced(2, 1);
    assert_true(u.ledger_proof_count > 0);
    assert_taken(&u);
    w.head_text = old_head;
    u = announced(3, 2);
    assert_taken(&u);
}

/* What the agent remembered of the session is gone with it; the task shows what is held. */
static void test_agent_heads__restarted_or_refused__proof_from_what_the_task_shows(void **state)
{
    (void)state;
    (void)remembered_round(1, 0);
    struct csl_msg_update_ready u = announced(2, 1); /* lost: the coordinator never reads it */
    script_stop(&w);
    script_start(&w);
    w.head_text = csl_heads_last(heads, 0);
    u = announced(2, 1);
    assert_taken(&u);
    u = announced(3, 2); /* and this one it refuses, for whatever reason */
    struct csl_message no = {.kind = CSL_MSG_REFUSED};
    no.u.refused.code = CSL_E_STATE;
    script_say(&w, &no);
    w.head_text = csl_heads_last(heads, 0);
    u = announced(4, 3);
    assert_taken(&u);
}

static void test_agent_heads__same_announcement_again__nothing_to_prove(void **state)
{
    (void)state;
    w.head_text = csl_heads_last(heads, 0);
    struct csl_msg_update_ready u = announced(1, 0);
    assert_int_equal(u.ledger_proof_count, 0); /* nothing is remembered */
    assert_taken(&u);
    for (int i = 0; i < 2; i++) {
        w.head_text = csl_heads_last(heads, 0);
        u = announced(1, 0);
        assert_int_equal(u.ledger_proof_count, 0);
        assert_taken(&u);
    }
}

static void test_agent_heads__countersignature_of_something_else__not_stored(void **state)
{
    struct csl_message done = {.kind = CSL_MSG_UPDATE_ACCEPTED};
    struct csl_msg_update_accepted *a = &done.u.update_accepted;
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    struct csl_msg_update_ready u = announced(1, 0);
    script_must(offer(&u, a->countersignature, &err), &err);
    memcpy(a->ledger_key, csl_heads_public_key(heads), sizeof(a->ledger_key));
    a->countersignature[3] ^= 1;
    a->round = 1;
    memcpy(a->digest, u.digest, CSL_DIGEST_BYTES);
    script_grant_update(&w, 1, 0);
    script_say(&w, &done);
    assert_int_equal(script_count(&w, CSL_LEDGER_COUNTERSIGN), 0);
    assert_false(csl_agent_is_finished(w.agent));
}

/* --- what the coordinator shows is not this ledger --- */

static void foreign_head(char out[CSL_CHECKPOINT_TEXT_MAX], uint64_t size)
{
    struct csl_sign_key key;
    struct csl_checkpoint c = {.size = size};
    snprintf(c.origin, sizeof(c.origin), "consilium-ledger/%s", w.f.ids[0]);
    csl_sign_keygen(&key);
    csl_checkpoint_sign(&c, &key);
    csl_checkpoint_write(&c, key.public_key, out);
    csl_sign_wipe(&key);
}

static void test_pitfall_33__head_of_another_key__nothing_trained_until_it_is_right(void **state)
{
    char foreign[CSL_CHECKPOINT_TEXT_MAX];
    (void)state;
    (void)remembered_round(1, 0);
    foreign_head(foreign, 2);
    w.head_text = foreign;
    assert_refused(2, 1);
    assert_refused(2, 2);
    w.head_text = csl_heads_last(heads, 0);
    (void)remembered_round(2, 1);
    assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 2);
}

static void test_pitfall_33__memory_removed_by_the_operator__trains_again(void **state)
{
    char foreign[CSL_CHECKPOINT_TEXT_MAX];
    (void)state;
    (void)remembered_round(1, 0);
    foreign_head(foreign, 2);
    w.head_text = foreign;
    assert_refused(2, 1);
    w.head_text = NULL; /* what the refusal tells the operators to do */
    (void)announced(2, 1);
}

static void test_pitfall_33__head_is_no_checkpoint__nothing_trained(void **state)
{
    (void)state;
    w.head_text = "garbage";
    assert_refused(1, 0);
    w.head_text = csl_heads_last(heads, 0);
    assert_string_equal(w.head_text, "");
}

static void delete_ledger(void)
{
    static const char *const files[] = {"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.key",
                                        "ledger.head"};
    script_stop(&w);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[CSL_PATH_MAX + 32];
        snprintf(path, sizeof(path), "%s/%s", w.state_dir, files[i]);
        (void)remove(path);
    }
    script_start(&w); /* with a fresh key, and nothing spent */
}

static void test_pitfall_33__ledger_deleted__nothing_trained(void **state)
{
    (void)state;
    (void)remembered_round(1, 0);
    delete_ledger();
    assert_refused(2, 1);
    assert_refused(1, 1);
    assert_refused(1, 0); /* the update that is still stored is not charged any more */
}

/* Before a coordinator that remembers nothing, a fresh ledger is as good as any; the update that is
 * stored is not in it, though, and does not leave. */
static void test_pitfall_33__ledger_deleted_and_no_memory__trained_and_charged_anew(void **state)
{
    (void)state;
    struct csl_msg_update_ready first = announced(1, 0);
    delete_ledger();
    struct csl_msg_update_ready second = announced(1, 0); /* the guard sees its charge */
    assert_memory_not_equal(first.digest, second.digest, CSL_DIGEST_BYTES);
    assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 1);
}

/* --- backups --- */

static void restore(const char *from)
{
    fixture_remove(w.state_dir);
    script_copy_state(&w, from, w.state_dir);
}

static void test_pitfall_33__backup_of_one_round_earlier__nothing_trained(void **state)
{
    struct csl_err err = {.code = CSL_OK};
    uint8_t signature[CSL_SIGN_SIGNATURE_BYTES];
    (void)state;
    (void)remembered_round(1, 0);
    script_stop(&w);
    script_copy_state(&w, w.state_dir, backup_dir);
    script_start(&w);
    (void)remembered_round(2, 1);
    script_stop(&w);
    restore(backup_dir);
    script_start(&w);
    assert_refused(2, 2); /* the same round with other data would be a second release */
    assert_refused(3, 2);
    assert_non_null(csl_ledger_trouble(csl_agent_ledger(w.agent)));
    script_stop(&w); /* a restart does not make it forget: the coordinator shows the head again */
    script_start(&w);
    assert_refused(3, 2);
    struct csl_checkpoint head; /* nor does the coordinator take the old head back */
    char text[CSL_CHECKPOINT_TEXT_MAX];
    csl_ledger_head(csl_agent_ledger(w.agent), &head);
    csl_checkpoint_write(&head, csl_ledger_public_key(csl_agent_ledger(w.agent)), text);
    const struct csl_heads_claim claim = {.text = text,
                                          .key = csl_ledger_public_key(csl_agent_ledger(w.agent))};
    assert_int_equal(csl_heads_offer(heads, 0, &claim, signature, &err), CSL_E_STATE);
}

static void test_pitfall_33__operator_gives_the_head_up__counted_and_trains_again(void **state)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_checkpoint newest;
    struct csl_ledger_spent all;
    (void)state;
    (void)remembered_round(1, 0);
    script_stop(&w);
    script_copy_state(&w, w.state_dir, backup_dir);
    script_start(&w);
    struct csl_msg_update_ready u = remembered_round(2, 1);
    script_must(csl_checkpoint_read(&newest, CSL_SPAN(u.ledger_head, strlen(u.ledger_head)),
                                    u.ledger_key, &err),
                &err);
    script_stop(&w);
    restore(backup_dir);
    script_start(&w);
    assert_refused(3, 2);
    script_must(csl_ledger_recover(csl_agent_ledger(w.agent), newest.size, newest.root, 2,
                                   SCRIPT_DELTA, &err),
                &err);
    assert_refused(3, 2); /* the coordinator remembers what was given up, and there is no proof */
    w.head_text = NULL;   /* until its operator has agreed */
    struct csl_msg_task_failed failed;
    if (!script_round(&w, 3, 2, &failed))
        fail_msg("%s", failed.reason);
    csl_ledger_spent_by_cohort(csl_agent_ledger(w.agent), "*", 0, &all);
    assert_true(all.epsilon > 2); /* what was lost counts */
}

/* Stopped when the update is trained, and nothing but its reservation is durable. */
static void train_and_stop(uint64_t round, float model)
{
    uint32_t reserved = script_count(&w, CSL_LEDGER_RESERVE);
    struct csl_message m = script_task(&w, CSL_TASK_TRAIN, round, model);
    w.heard_count = 0;
    w.head_text = csl_heads_last(heads, 0);
    script_send(&w, &m);
    for (int i = 0; i < 100 && script_count(&w, CSL_LEDGER_RESERVE) == reserved; i++) {
        script_deliver(&w);
        (void)csl_agent_pump(w.agent, csl_inproc_now_ns(w.net));
    }
    assert_int_equal(script_count(&w, CSL_LEDGER_RESERVE), reserved + 1);
    script_stop(&w);
}

/* The folder is from when round 2 was trained and its update had not left. Restored after it did:
 * what was reserved is not given back, neither at the start nor once the head is given up. */
static void test_pitfall_33__backup_made_while_training__reservation_stays_spent(void **state)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_checkpoint newest;
    struct csl_ledger_open_reservation open[2];
    (void)state;
    (void)remembered_round(1, 0);
    double one = script_spent(&w);
    train_and_stop(2, 0);
    script_copy_state(&w, w.state_dir, backup_dir);
    script_start(&w);
    struct csl_msg_update_ready u = remembered_round(2, 0);
    double two = script_spent(&w);
    assert_true(two > one);
    script_must(csl_checkpoint_read(&newest, CSL_SPAN(u.ledger_head, strlen(u.ledger_head)),
                                    u.ledger_key, &err),
                &err);
    script_stop(&w);
    restore(backup_dir);
    script_start(&w); /* before the coordinator has said a word */
    assert_int_equal(csl_ledger_open_reservations(csl_agent_ledger(w.agent), open, 2), 1);
    assert_true(script_spent(&w) == two);
    assert_refused(3, 0);
    assert_true(script_spent(&w) == two);
    script_must(csl_ledger_recover(csl_agent_ledger(w.agent), newest.size, newest.root, 0, 0, &err),
                &err);
    script_stop(&w);
    script_start(&w);
    w.head_text = NULL; /* the coordinator's operator has agreed */
    (void)announced(3, 1);
    assert_int_equal(csl_ledger_open_reservations(csl_agent_ledger(w.agent), open, 2), 0);
    assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 2); /* of rounds 1 and 3 */
    assert_true(script_spent(&w) > two);                      /* and what round 2 had reserved */
}

/* While the first agent has gone on, a copy of its folder of one round ago is started elsewhere. */
static void test_pitfall_33__backup_started_as_a_second_agent__nothing_trained(void **state)
{
    char first[CSL_PATH_MAX];
    (void)state;
    (void)remembered_round(1, 0);
    script_stop(&w);
    script_copy_state(&w, w.state_dir, backup_dir);
    script_start(&w);
    (void)remembered_round(2, 1);
    script_stop(&w);
    csl_str_copy(first, sizeof(first), w.state_dir);
    csl_str_copy(w.state_dir, sizeof(w.state_dir), backup_dir);
    script_start(&w);
    assert_refused(3, 2);
    script_stop(&w);
    csl_str_copy(w.state_dir, sizeof(w.state_dir), first); /* the first is still good */
    script_start(&w);
    (void)remembered_round(3, 2);
    assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 3);
}

/* Both start from one state and both go on: the second to announce is not countersigned and, at its
 * next task, meets a head that it does not have. */
static void test_pitfall_33__two_agents_of_one_state__only_one_goes_on(void **state)
{
    struct csl_err err = {.code = CSL_OK};
    uint8_t signature[CSL_SIGN_SIGNATURE_BYTES];
    (void)state;
    (void)remembered_round(1, 0);
    script_stop(&w);
    script_copy_state(&w, w.state_dir, backup_dir);
    script_start(&w);
    char old_head[CSL_CHECKPOINT_TEXT_MAX]; /* both were tasked before either answered */
    csl_str_copy(old_head, sizeof(old_head), csl_heads_last(heads, 0));
    (void)remembered_round(2, 1);
    script_stop(&w);
    csl_str_copy(w.state_dir, sizeof(w.state_dir), backup_dir);
    script_start(&w);
    w.head_text = old_head;
    struct csl_msg_update_ready u = announced(2, 2);
    assert_int_equal(offer(&u, signature, &err), CSL_E_STATE);
    w.head_text = csl_heads_last(heads, 0);
    assert_refused(3, 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_script, close_script)
    const struct CMUnitTest tests[] = {
        T(test_agent_heads__rounds_with_memory__countersigned),
        T(test_agent_heads__task_that_crossed_an_announcement__proof_from_the_later),
        T(test_agent_heads__restarted_or_refused__proof_from_what_the_task_shows),
        T(test_agent_heads__same_announcement_again__nothing_to_prove),
        T(test_agent_heads__countersignature_of_something_else__not_stored),
        T(test_pitfall_33__head_of_another_key__nothing_trained_until_it_is_right),
        T(test_pitfall_33__memory_removed_by_the_operator__trains_again),
        T(test_pitfall_33__head_is_no_checkpoint__nothing_trained),
        T(test_pitfall_33__ledger_deleted__nothing_trained),
        T(test_pitfall_33__ledger_deleted_and_no_memory__trained_and_charged_anew),
        T(test_pitfall_33__backup_of_one_round_earlier__nothing_trained),
        T(test_pitfall_33__operator_gives_the_head_up__counted_and_trains_again),
        T(test_pitfall_33__backup_made_while_training__reservation_stays_spent),
        T(test_pitfall_33__backup_started_as_a_second_agent__nothing_trained),
        T(test_pitfall_33__two_agents_of_one_state__only_one_goes_on),
    };
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
