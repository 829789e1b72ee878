/* A real agent with real records before a coordinator that says what a test wants, over the
 * in-process transport. */
#include "tests/unit/world/fixture.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "privacy/crypto/bulk_hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HEARD_MAX 32

static struct {
    struct fixture f;
    struct csl_inproc *net;
    struct csl_transport *server, *client;
    struct csl_agent *agent;
    csl_conn conn;
    uint64_t sequence;
    float *model; /* [P] what is served to downloads */
    uint32_t downloads;
    struct csl_message heard[HEARD_MAX]; /* owned contents dropped */
    uint32_t heard_count;
    uint32_t closed_count; /* sessions */
} w;

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("%s", err->msg);
}

/* --- the coordinator --- */

static void on_opened(void *ctx, csl_conn c, const struct csl_peer *peer)
{
    (void)ctx;
    (void)peer;
    w.conn = c;
    w.sequence = 0;
}

static void on_message(void *ctx, csl_conn c, struct csl_msg *take_m)
{
    struct csl_message m;
    struct csl_err err = {.code = CSL_OK};
    (void)ctx;
    (void)c;
    must(csl_message_decode(&m, CSL_TO_COORDINATOR, csl_msg_span(take_m), &err), &err);
    assert_true(w.heard_count < HEARD_MAX);
    w.heard[w.heard_count++] = m;
    csl_message_release(&m);
    csl_msg_release(take_m);
}

static void on_closed(void *ctx, csl_conn c, enum csl_code why)
{
    (void)ctx;
    (void)c;
    (void)why;
    w.closed_count++;
}

struct served {
    uint64_t at;
};

static enum csl_code served_read(void *self, uint8_t *buffer, size_t capacity, size_t *n,
                                 struct csl_err *err)
{
    struct served *s = self;
    uint64_t left = w.f.study->schema.parameters * sizeof(float) - s->at;
    (void)err;
    *n = left < capacity ? (size_t)left : capacity;
    memcpy(buffer, (const uint8_t *)w.model + s->at, *n);
    s->at += *n;
    return CSL_OK;
}

static enum csl_code served_digest(void *self, uint8_t out[32], struct csl_err *err)
{
    (void)self;
    (void)err;
    csl_bulk_digest(w.model, w.f.study->schema.parameters * sizeof(float), out);
    return CSL_OK;
}

static enum csl_code on_download(void *ctx, const struct csl_peer *peer,
                                 const struct csl_bulk_head *head, struct csl_bulk_source *out,
                                 struct csl_err *err)
{
    struct served *s = csl_alloc(sizeof(*s));
    (void)ctx;
    (void)peer;
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory");
    s->at = head->bytes_offset;
    *out = (struct csl_bulk_source){s, served_read, served_digest, csl_free};
    w.downloads++;
    return CSL_OK;
}

/* Everything that follows, until nothing does. */
static void run(void)
{
    bool did = true;
    while (did) {
        did = csl_agent_pump(w.agent, csl_inproc_now_ns(w.net));
        csl_site_check(csl_agent_core(w.agent));
        did = csl_inproc_step(w.net, csl_inproc_now_ns(w.net) + CSL_NS_PER_S / 2) || did;
    }
}

static void say(struct csl_message *m)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_msg bytes;
    m->sequence = ++w.sequence;
    must(csl_message_encode(m, &bytes, &err), &err);
    must(w.server->ops->send(w.server, w.conn, &bytes, &err), &err);
    w.heard_count = 0;
    run();
}

static void offer(const struct csl_study *study)
{
    struct csl_message m = {.kind = CSL_MSG_STUDY_OFFER};
    memcpy(m.u.study_offer.study_digest, study->digest, CSL_DIGEST_BYTES);
    m.u.study_offer.manifest = study->manifest; /* borrowed */
    say(&m);
}

static void task(uint64_t round, float model)
{
    uint64_t bytes = w.f.study->schema.parameters * sizeof(float);
    struct csl_message m = {.kind = CSL_MSG_TASK};
    for (uint64_t i = 0; i < w.f.study->schema.parameters; i++)
        w.model[i] = model;
    m.u.task.type = CSL_TASK_TRAIN;
    m.u.task.round = round;
    m.u.task.seed = 7;
    m.u.task.model_bytes = bytes;
    csl_bulk_digest(w.model, (size_t)bytes, m.u.task.model_digest);
    say(&m);
}

static void grant_model(uint64_t round)
{
    struct csl_message m = {.kind = CSL_MSG_MODEL_GRANT};
    m.u.model_grant.round = round;
    say(&m);
}

/* The only thing that was heard since something was said. */
static const struct csl_message *heard(enum csl_message_kind kind)
{
    assert_int_equal(w.heard_count, 1);
    if (w.heard[0].kind != kind)
        fail_msg("heard %s", csl_message_kind_name(w.heard[0].kind));
    return &w.heard[0];
}

/* --- the world --- */

static struct csl_study *other_study(void)
{
    struct csl_study *s = NULL;
    struct csl_err err = {.code = CSL_OK};
    const struct csl_msg *text = &w.f.study->manifest;
    struct csl_msg copy = {NULL, 0};
    must(csl_msg_copy(&copy, csl_msg_span(text), &err), &err);
    assert_memory_equal(copy.p, "study: fixture\n", 15);
    memcpy(copy.p, "study: another\n", 15);
    uint8_t *rate = copy.p; /* and another step, so that the same task gives another update */
    while (memcmp(rate, "rate: 0.1", 9) != 0)
        rate++;
    rate[8] = '2';
    must(csl_study_parse(&s, "another.yaml", csl_msg_span(&copy), &err), &err);
    csl_msg_release(&copy);
    return s;
}

static void open_agent(const struct csl_site_policy *policy)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_agent_config c = {.site_id = w.f.ids[0],
                                 .record_path = w.f.records[0],
                                 .backend = "cpu-ref",
                                 .policy = policy,
                                 .transport = w.client};
    must(csl_agent_new(&w.agent, &c, &err), &err);
    must(csl_agent_start(w.agent, 0, &err), &err);
    run();
    (void)heard(CSL_MSG_HELLO);
}

static int open_world(void **state)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_inproc_config net = {.seed = 1, .delay_ns = CSL_NS_PER_MS};
    (void)state;
    memset(&w, 0, sizeof(w));
    fixture_open(&w.f, "fedavg", 3);
    w.model = csl_alloc_array(w.f.study->schema.parameters, sizeof(float));
    assert_non_null(w.model);
    must(csl_inproc_new(&w.net, &net, &err), &err);
    must(csl_inproc_server(w.net, &w.server, &err), &err);
    must(csl_inproc_client(w.net, w.f.ids[0], &w.client, &err), &err);
    w.server->up = (struct csl_transport_events){.opened = on_opened,
                                                 .message = on_message,
                                                 .closed = on_closed,
                                                 .download_open = on_download};
    must(w.server->ops->start(w.server, &err), &err);
    return 0;
}

static int close_world(void **state)
{
    struct csl_transport *const both[] = {w.client, w.server};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        both[i]->up = (struct csl_transport_events){.ctx = NULL};
        both[i]->ops->stop(both[i], 0);
        both[i]->ops->free(both[i]);
    }
    csl_agent_free(w.agent);
    csl_inproc_free(w.net);
    csl_free(w.model);
    fixture_close(&w.f);
    return 0;
}

/* --- tests --- */

static void test_agent__study_not_approved__declined_and_nothing_runs(void **state)
{
    static const struct csl_site_policy policy = {.approval = CSL_APPROVAL_REQUIRED};
    (void)state;
    open_agent(&policy);
    offer(w.f.study);
    const struct csl_msg_study_answer *a = &heard(CSL_MSG_STUDY_ANSWER)->u.study_answer;
    assert_false(a->accepted);
    assert_int_equal(a->block_count, 0);
    assert_string_equal(a->reason, "this site has not approved the study");
    task(1, 0); /* whatever the coordinator makes of it */
    grant_model(0);
    assert_int_equal(w.heard_count, 0);
    assert_int_equal(w.downloads, 0);
}

static void test_agent__digest_is_not_the_manifests__declined(void **state)
{
    static const struct csl_site_policy policy = {.approval = CSL_APPROVAL_AUTOMATIC};
    struct csl_study forged = *w.f.study;
    (void)state;
    open_agent(&policy);
    forged.digest[0] ^= 1;
    offer(&forged);
    assert_false(heard(CSL_MSG_STUDY_ANSWER)->u.study_answer.accepted);
}

static void test_agent__accepted__trains_and_announces(void **state)
{
    static const struct csl_site_policy policy = {.approval = CSL_APPROVAL_AUTOMATIC};
    (void)state;
    open_agent(&policy);
    offer(w.f.study);
    const struct csl_msg_study_answer *a = &heard(CSL_MSG_STUDY_ANSWER)->u.study_answer;
    assert_true(a->accepted);
    assert_int_equal(a->block_count, 1);
    assert_int_equal(a->blocks[0].patients, 18);
    task(1, 0);
    assert_int_equal(heard(CSL_MSG_MODEL_REQUEST)->u.model_request.round, 0);
    grant_model(0);
    const struct csl_msg_update_ready *u = &heard(CSL_MSG_UPDATE_READY)->u.update_ready;
    assert_int_equal(u->round, 1);
    assert_int_equal(u->bytes_total, w.f.study->schema.parameters * sizeof(float));
    assert_int_equal(u->blocks[0].patients, 18);
}

static void test_agent__another_study_declined__works_on_for_the_accepted_one(void **state)
{
    static struct csl_site_policy policy = {.approval = CSL_APPROVAL_REQUIRED, .approved_count = 1};
    struct csl_study *other = other_study();
    (void)state;
    memcpy(policy.approved[0], w.f.study->digest, CSL_DIGEST_BYTES);
    open_agent(&policy);
    offer(w.f.study);
    assert_true(heard(CSL_MSG_STUDY_ANSWER)->u.study_answer.accepted);
    offer(other);
    assert_false(heard(CSL_MSG_STUDY_ANSWER)->u.study_answer.accepted);
    csl_study_free(other);
    task(1, 0);
    (void)heard(CSL_MSG_MODEL_REQUEST);
    grant_model(0);
    (void)heard(CSL_MSG_UPDATE_READY);
}

static void train_first_round(float model, uint8_t digest[CSL_DIGEST_BYTES])
{
    task(1, model);
    (void)heard(CSL_MSG_MODEL_REQUEST);
    grant_model(0);
    memcpy(digest, heard(CSL_MSG_UPDATE_READY)->u.update_ready.digest, CSL_DIGEST_BYTES);
}

static void test_agent__study_begun_anew__old_update_stays_here(void **state)
{
    static const struct csl_site_policy policy = {.approval = CSL_APPROVAL_AUTOMATIC};
    uint8_t first[CSL_DIGEST_BYTES], second[CSL_DIGEST_BYTES], again[CSL_DIGEST_BYTES];
    (void)state;
    open_agent(&policy);
    offer(w.f.study);
    train_first_round(0, first);
    offer(w.f.study);             /* a coordinator that lost its state */
    train_first_round(1, second); /* and has another first model now */
    assert_memory_not_equal(first, second, CSL_DIGEST_BYTES);
    task(1, 1); /* the same task: the same update, without training again */
    memcpy(again, heard(CSL_MSG_UPDATE_READY)->u.update_ready.digest, CSL_DIGEST_BYTES);
    assert_memory_equal(second, again, CSL_DIGEST_BYTES);
    assert_int_equal(w.downloads, 2);
}

static void test_agent__another_study_accepted__old_update_stays_here(void **state)
{
    static const struct csl_site_policy policy = {.approval = CSL_APPROVAL_AUTOMATIC};
    struct csl_study *other = other_study();
    uint8_t first[CSL_DIGEST_BYTES], second[CSL_DIGEST_BYTES];
    (void)state;
    open_agent(&policy);
    offer(w.f.study);
    train_first_round(0, first);
    offer(other);
    assert_true(heard(CSL_MSG_STUDY_ANSWER)->u.study_answer.accepted);
    csl_study_free(other);
    task(1, 0); /* even on the same model: it is trained for the study it was accepted for */
    memcpy(second, heard(CSL_MSG_UPDATE_READY)->u.update_ready.digest, CSL_DIGEST_BYTES);
    assert_memory_not_equal(first, second, CSL_DIGEST_BYTES);
}

static void test_agent__model_of_another_size__never_fetched(void **state)
{
    static const struct csl_site_policy policy = {.approval = CSL_APPROVAL_AUTOMATIC};
    struct csl_message m = {.kind = CSL_MSG_TASK};
    (void)state;
    open_agent(&policy);
    offer(w.f.study);
    m.u.task.type = CSL_TASK_TRAIN;
    m.u.task.round = 1;
    m.u.task.model_bytes = UINT64_C(1) << 34;
    m.u.task.model_digest[0] = 1;
    say(&m);
    (void)heard(CSL_MSG_MODEL_REQUEST);
    grant_model(0);
    assert_int_equal(w.downloads, 0);
}

/* While the agent reads its records, say: what it tells itself must not be crowded out. */
static void test_agent__more_messages_than_it_can_keep__gives_the_session_up(void **state)
{
    static const struct csl_site_policy policy = {.approval = CSL_APPROVAL_AUTOMATIC};
    struct csl_message m = {.kind = CSL_MSG_PONG};
    (void)state;
    open_agent(&policy);
    for (uint32_t i = 0; i < 200 && w.closed_count == 0; i++) {
        struct csl_err err = {.code = CSL_OK};
        struct csl_msg bytes;
        m.sequence = ++w.sequence;
        must(csl_message_encode(&m, &bytes, &err), &err);
        must(w.server->ops->send(w.server, w.conn, &bytes, &err), &err);
        while (csl_inproc_step(w.net, csl_inproc_now_ns(w.net) + CSL_NS_PER_MS))
            ;
    }
    assert_int_equal(w.closed_count, 1);
    w.heard_count = 0;
    run();
    (void)heard(CSL_MSG_HELLO);
    offer(w.f.study);
    assert_true(heard(CSL_MSG_STUDY_ANSWER)->u.study_answer.accepted);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        T(test_agent__study_not_approved__declined_and_nothing_runs),
        T(test_agent__digest_is_not_the_manifests__declined),
        T(test_agent__accepted__trains_and_announces),
        T(test_agent__another_study_declined__works_on_for_the_accepted_one),
        T(test_agent__study_begun_anew__old_update_stays_here),
        T(test_agent__another_study_accepted__old_update_stays_here),
        T(test_agent__model_of_another_size__never_fetched),
        T(test_agent__more_messages_than_it_can_keep__gives_the_session_up),
    };
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
