/* The bytes of an update with privacy: only those that were charged leave, whatever happens to the
 * file and whatever is asked while they are under way. */
#include "tests/unit/site-agent/script.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct script_study whole = {
    .name = "private", .epsilon = 2, .delta = SCRIPT_DELTA, .rounds = 3};
static struct script w;

static int open_script(void **state)
{
    (void)state;
    script_open(&w, &whole);
    script_start(&w);
    script_enrol(&w);
    return 0;
}

static int close_script(void **state)
{
    (void)state;
    script_close(&w);
    return 0;
}

static void announce_round(uint64_t round, float model)
{
    struct csl_message m = script_task(&w, CSL_TASK_TRAIN, round, model);
    script_say(&w, &m);
    if (w.heard[0].kind == CSL_MSG_MODEL_REQUEST)
        script_grant_model(&w, round - 1);
    (void)script_heard(&w, CSL_MSG_UPDATE_READY);
}

static void test_agent_upload__update_changed_on_disk__never_leaves(void **state)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_msg bytes = {NULL, 0};
    char path[CSL_PATH_MAX + 32];
    (void)state;
    announce_round(1, 0);
    snprintf(path, sizeof(path), "%s/blobs/update-1", w.state_dir);
    script_must(csl_file_read(&bytes, path, 256, &err), &err);
    bytes.p[bytes.n - 1] ^= 1; /* even the last byte: it is looked at before the first leaves */
    script_must(csl_file_write_atomic(path, csl_msg_span(&bytes), 0600, &err), &err);
    csl_msg_release(&bytes);
    script_grant_update(&w, 1, 0);
    assert_int_equal(w.uploads, 0);
    script_stop(&w);
    script_start(&w);
    struct csl_message m = script_task(&w, CSL_TASK_TRAIN, 1, 0);
    script_say(&w, &m);
    script_grant_update(&w, 1, 0);
    assert_int_equal(w.uploads, 0);
    assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 1);
}

/* Says m when an upload was begun and its bytes have not left. With is_busy the agent looks only
 * when the upload is over, and finds both. */
static void interrupt_upload(uint64_t round, struct csl_message *m, bool is_busy)
{
    struct csl_message grant = {.kind = CSL_MSG_UPDATE_GRANT};
    uint32_t before = w.uploads;
    grant.u.update_grant.round = round;
    script_send(&w, &grant);
    while (w.uploads == before) {
        assert_true(csl_inproc_step(w.net, UINT64_MAX));
        csl_agent_pump(w.agent, csl_inproc_now_ns(w.net));
    }
    assert_int_equal(w.uploaded_bytes, 0);
    w.heard_count = 0;
    script_send(&w, m);
    if (is_busy)
        script_deliver(&w);
    script_run(&w);
}

static void check_next_round(bool is_busy)
{
    announce_round(1, 0);
    struct csl_message next = script_task(&w, CSL_TASK_TRAIN, 2, 0); /* the model is here */
    interrupt_upload(1, &next, is_busy);
    assert_false(csl_agent_is_finished(w.agent)); /* it did not fail */
    assert_int_equal(script_heard(&w, CSL_MSG_UPDATE_READY)->u.update_ready.round, 2);
    script_grant_update(&w, 2, 0);
    assert_int_equal(w.released_count, 2);
    assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 2);
}

static void test_agent_upload__next_round_asked_during_an_upload__both_charged(void **state)
{
    (void)state;
    check_next_round(false);
}

static void test_agent_upload__next_round_asked_as_an_upload_ends__both_charged(void **state)
{
    (void)state;
    check_next_round(true);
}

static void test_agent_upload__same_round_anew_during_its_upload__bytes_not_mixed(void **state)
{
    (void)state;
    announce_round(1, 1);
    struct csl_message look =
        script_task(&w, CSL_TASK_EVALUATE, 0, 0); /* the other model is here */
    script_say(&w, &look);
    script_grant_model(&w, 0);
    announce_round(1, 1);
    struct csl_message again = script_task(&w, CSL_TASK_TRAIN, 1, 0);
    interrupt_upload(1, &again, false);
    (void)script_heard(&w, CSL_MSG_UPDATE_READY);
    script_grant_update(&w, 1, 0);
    assert_int_equal(w.released_count, 2); /* the guard hashed what left */
    assert_int_equal(script_count(&w, CSL_LEDGER_CHARGE), 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_script, close_script)
    const struct CMUnitTest tests[] = {
        T(test_agent_upload__update_changed_on_disk__never_leaves),
        T(test_agent_upload__next_round_asked_during_an_upload__both_charged),
        T(test_agent_upload__next_round_asked_as_an_upload_ends__both_charged),
        T(test_agent_upload__same_round_anew_during_its_upload__bytes_not_mixed),
    };
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
