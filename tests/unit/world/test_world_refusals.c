/* A site that breaks the protocol, one way at a time, beside two honest ones. In each case: the
 * site sees the documented code (docs/protocol.md), the honest sites' rounds close, and the
 * released model is to the last bit the one of a run in which the site declined that round's task,
 * or, where the protocol lets it try again and it then behaves, the one of a run in which it always
 * behaved. */
#include "tests/unit/world/rogue.h"

#include "base/log.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum model { GOOD, WITHOUT, NEVER }; /* always behaved; declined ROGUE_ROUND; never enrolled */
enum place { IN_BULK, IN_REFUSED, IN_CLOSED };

struct row {
    enum rogue_when when;
    void (*strike)(struct rogue *r, const struct csl_message *m);
    enum place place;
    enum csl_code code;
    enum model silent, retried; /* the model, by what the site does afterwards */
};

static struct fixture fixture;
static struct rogue_result reference[3];

static struct csl_study *study_with(const char *model)
{
    char yaml[1024];
    struct csl_study *s = NULL;
    struct csl_err err = {.code = CSL_OK};
    snprintf(
        yaml, sizeof(yaml),
        "study: refusals\nquestion: Is this patient ill?\n"
        "domains:\n  - id: illness\n    modality: tabular\n"
        "    task: {kind: binary, label: ill, positive: 1}\n"
        "    features: [first, second]\n    scaling: constants\n    model: {%s}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 3}}\n"
        "rounds: %d\naggregation: {strategy: fedavg}\n"
        "sites: {minimum: %d, round_deadline: 1h}\n",
        model, ROGUE_ROUNDS, HONEST);
    if (csl_study_parse(&s, "refusals.yaml", CSL_SPAN(yaml, strlen(yaml)), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}

static bool has_seen(const struct rogue_seen *seen, enum csl_code code)
{
    for (uint32_t i = 0; i < seen->count; i++)
        if (seen->codes[i] == code)
            return true;
    return false;
}

static const struct rogue_seen *seen_at(const struct rogue_result *r, enum place place)
{
    return place == IN_BULK ? &r->bulk : place == IN_REFUSED ? &r->refused : &r->closed;
}

static void assert_outcome(const struct rogue_result *r, enum model expected)
{
    static const uint64_t rounds[] = {ROGUE_ROUNDS, ROGUE_ROUNDS - 1, 0};
    for (uint32_t i = 0; i < HONEST; i++)
        assert_int_equal(r->rounds[i], ROGUE_ROUNDS);
    assert_int_equal(r->rounds[HONEST], rounds[expected]);
    assert_memory_equal(r->model, reference[expected].model, CSL_DIGEST_BYTES);
}

static void test_row(void **state)
{
    const struct row *row = *state;
    struct rogue_plan plan = {.when = row->when, .strike = row->strike};
    struct rogue_result r;
    plan.after = AFTER_SILENT;
    rogue_run(&fixture, &plan, &r);
    assert_true(has_seen(seen_at(&r, row->place), row->code));
    assert_outcome(&r, row->silent);
    plan.after = AFTER_RETRY;
    rogue_run(&fixture, &plan, &r);
    assert_true(has_seen(seen_at(&r, row->place), row->code));
    assert_outcome(&r, row->retried);
    if (row->retried == WITHOUT) /* it tried, and was told that the round goes on without it */
        assert_true(has_seen(&r.refused, CSL_E_STATE));
}

/* --- uploads --- */

static void truncated(struct rogue *r, const struct csl_message *m)
{
    struct rogue_upload u = rogue_upload_of(r, m);
    u.n -= sizeof(float);
    rogue_upload(r, &u);
}

static void oversized(struct rogue *r, const struct csl_message *m)
{
    uint8_t longer[64] = {0};
    struct rogue_upload u = rogue_upload_of(r, m);
    assert_true(u.n + 8 <= sizeof(longer));
    memcpy(longer, u.bytes, (size_t)u.n);
    u.bytes = longer;
    u.n += 8;
    rogue_upload(r, &u);
}

/* Announced with its own digest, so that only the value is wrong. */
static void announce_value(struct rogue *r, float value)
{
    rogue_make_values(r, r->round);
    r->values[r->update_count - 1] = value;
    struct csl_message m = rogue_update(r);
    rogue_send(r, &m);
}

static void nan_value(struct rogue *r, const struct csl_message *m)
{
    (void)m;
    announce_value(r, NAN);
}

static void infinite_value(struct rogue *r, const struct csl_message *m)
{
    (void)m;
    announce_value(r, -INFINITY);
}

static void large_value(struct rogue *r, const struct csl_message *m)
{
    (void)m;
    announce_value(r, 0x1p20f);
}

static void other_bytes(struct rogue *r, const struct csl_message *m)
{
    r->values[0] += 1; /* after the announcement */
    struct rogue_upload u = rogue_upload_of(r, m);
    rogue_upload(r, &u);
}

static void other_digest(struct rogue *r, const struct csl_message *m)
{
    struct rogue_upload u = rogue_upload_of(r, m);
    u.digest[0] ^= 1;
    rogue_upload(r, &u);
}

static void other_total(struct rogue *r, const struct csl_message *m)
{
    uint8_t longer[64] = {0};
    struct rogue_upload u = rogue_upload_of(r, m);
    u.bytes = longer;
    u.n += sizeof(float);
    u.head_total = u.n;
    rogue_upload(r, &u);
}

static void other_offset(struct rogue *r, const struct csl_message *m)
{
    struct rogue_upload u = rogue_upload_of(r, m);
    u.head_offset = sizeof(float);
    rogue_upload(r, &u);
}

/* --- tickets --- */

static void ticket_twice(struct rogue *r, const struct csl_message *m)
{
    struct rogue_upload u = rogue_upload_of(r, m);
    rogue_upload(r, &u);
    rogue_upload(r, &u);
}

static void ticket_after_broken_upload(struct rogue *r, const struct csl_message *m)
{
    struct rogue_upload u = rogue_upload_of(r, m);
    truncated(r, m);
    rogue_upload(r, &u);
}

static void unknown_ticket(struct rogue *r, const struct csl_message *m)
{
    struct rogue_upload u = rogue_upload_of(r, m);
    u.ticket[CSL_TICKET_BYTES - 1] ^= 1;
    rogue_upload(r, &u);
}

static void ticket_of_another_site(struct rogue *r, const struct csl_message *m)
{
    if (!r->has_spied) { /* the other site's grant is on its way */
        r->is_waiting_for_spy = true;
        r->spied_grant = *m;
        return;
    }
    struct rogue_upload u = rogue_upload_of(r, m);
    memcpy(u.ticket, r->spied_ticket, CSL_TICKET_BYTES);
    rogue_upload(r, &u);
}

static void ticket_of_a_download(struct rogue *r, const struct csl_message *m)
{
    struct csl_message request = {.kind = CSL_MSG_MODEL_REQUEST};
    (void)m;
    request.u.model_request.round = r->round - 1;
    rogue_send(r, &request); /* uploads with the ticket it is granted */
}

/* --- announcements --- */

static void announced_size(struct rogue *r, const struct csl_message *m)
{
    (void)m;
    rogue_make_values(r, r->round);
    struct csl_message u = rogue_update(r);
    u.u.update_ready.bytes_total += sizeof(float);
    rogue_send(r, &u);
}

static void announced_patients(struct rogue *r, const struct csl_message *m)
{
    (void)m;
    rogue_make_values(r, r->round);
    struct csl_message u = rogue_update(r);
    u.u.update_ready.blocks[0].patients *= 1000; /* would weigh more */
    rogue_send(r, &u);
}

static void announced_block(struct rogue *r, const struct csl_message *m)
{
    (void)m;
    rogue_make_values(r, r->round);
    struct csl_message u = rogue_update(r);
    u.u.update_ready.blocks[0].block = CSL_BLOCKS_MAX - 1; /* the study has one block */
    rogue_send(r, &u);
}

/* --- messages --- */

static void send_numbered(struct rogue *r, struct csl_message *m, uint64_t sequence)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_msg bytes;
    m->sequence = sequence;
    if (csl_message_encode(m, &bytes, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    rogue_send_bytes(r, bytes.p, bytes.n);
    csl_msg_release(&bytes);
}

static void message_replayed(struct rogue *r, const struct csl_message *m)
{
    (void)m;
    rogue_make_values(r, r->round);
    struct csl_message u = rogue_update(r);
    rogue_send(r, &u);
    send_numbered(r, &u, r->sequence);
}

static void message_skipped(struct rogue *r, const struct csl_message *m)
{
    struct csl_message ping = {.kind = CSL_MSG_PING};
    (void)m;
    send_numbered(r, &ping, r->sequence + 2);
}

static void message_undecodable(struct rogue *r, const struct csl_message *m)
{
    static const uint8_t noise[] = {0xff, 0x13, 0x00, 0x80, 0x42};
    (void)m;
    rogue_send_bytes(r, noise, sizeof(noise));
}

static void message_of_the_wrong_direction(struct rogue *r, const struct csl_message *m)
{
    struct csl_message ended = {.kind = CSL_MSG_STUDY_ENDED};
    (void)m;
    ended.u.study_ended.released = true;
    rogue_send(r, &ended);
}

static void messages_without_end(struct rogue *r, const struct csl_message *m)
{
    struct csl_message ping = {.kind = CSL_MSG_PING};
    (void)m;
    for (uint32_t i = 0; i < CSL_OUTBOX_MESSAGES; i++)
        rogue_send(r, &ping);
}

static void hello_twice(struct rogue *r, const struct csl_message *m)
{
    struct csl_message hello = {.kind = CSL_MSG_HELLO};
    (void)m;
    hello.u.hello.protocol_version = CSL_PROTOCOL_VERSION;
    rogue_send(r, &hello);
}

static void other_version(struct rogue *r, const struct csl_message *m)
{
    struct csl_message hello = {.kind = CSL_MSG_HELLO};
    (void)m;
    hello.u.hello.protocol_version = CSL_PROTOCOL_VERSION + 1;
    rogue_send(r, &hello);
}

static void update_out_of_order(struct rogue *r, const struct csl_message *m)
{
    (void)m;
    r->round = 1;
    rogue_announce(r);
}

static void answer_with(struct rogue *r, uint32_t block, uint64_t patients, uint8_t flip)
{
    struct csl_message m = {.kind = CSL_MSG_STUDY_ANSWER};
    struct csl_msg_study_answer *a = &m.u.study_answer;
    memcpy(a->study_digest, r->study->digest, CSL_DIGEST_BYTES);
    a->study_digest[0] ^= flip;
    a->accepted = patients > 0;
    a->block_count = patients > 0 ? 1 : 0;
    a->blocks[0] = (struct csl_block_count){.block = block, .patients = patients};
    rogue_send(r, &m);
}

static void answer_of_a_lacking_block(struct rogue *r, const struct csl_message *m)
{
    (void)m;
    answer_with(r, 1, 18, 0);
}

static void answer_about_another_study(struct rogue *r, const struct csl_message *m)
{
    (void)m;
    answer_with(r, 0, 18, 1);
}

static void answer_changed(struct rogue *r, const struct csl_message *m)
{
    (void)m;
    answer_with(r, 0, 180, 0);
}

/* --- the runs everything is compared with --- */

static void decline_the_task(struct rogue *r, const struct csl_message *m)
{
    struct csl_message failed = {.kind = CSL_MSG_TASK_FAILED};
    (void)m;
    failed.u.task_failed.round = r->round;
    failed.u.task_failed.code = CSL_E_UNSUPPORTED;
    rogue_send(r, &failed);
}

static void decline_the_study(struct rogue *r, const struct csl_message *m)
{
    (void)m;
    answer_with(r, 0, 0, 0);
}

static int open_all(void **state)
{
    static const struct rogue_plan plans[] = {
        [GOOD] = {.strike = NULL},
        [WITHOUT] = {AT_TASK, AFTER_SILENT, decline_the_task},
        [NEVER] = {AT_OFFER, AFTER_SILENT, decline_the_study},
    };
    (void)state;
    fixture_open(&fixture, "fedavg", ROGUE_ROUNDS);
    csl_study_free(fixture.study);
    fixture.study = study_with("kind: linear");
    for (size_t i = 0; i < 3; i++)
        rogue_run(&fixture, &plans[i], &reference[i]);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    fixture_close(&fixture);
    return 0;
}

/* Otherwise the comparisons below would compare nothing. */
static void test_world_refusals__references__differ(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_outcome(&reference[i], (enum model)i);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(reference[i].model, reference[j].model, CSL_DIGEST_BYTES);
    }
    assert_int_equal(reference[NEVER].membership, CSL_MEMBER_DECLINED);
}

static void largest_value(struct rogue *r, const struct csl_message *m)
{
    (void)m;
    announce_value(r, nextafterf(0x1p20f, 0));
}

static void test_world_refusals__largest_value__counts(void **state)
{
    struct rogue_plan plan = {AT_TASK, AFTER_RETRY, largest_value};
    struct rogue_result r;
    (void)state;
    rogue_run(&fixture, &plan, &r);
    assert_int_equal(r.refused.count, 0);
    assert_int_equal(r.rounds[HONEST], ROGUE_ROUNDS);
}

/* The grant of the second announcement takes over while the first upload, which is poisoned, is on
 * its way; what becomes of the first must not fall back on the second. */
static void poisoned_then_replaced(struct rogue *r, const struct csl_message *m)
{
    float *last = &r->values[r->update_count - 1], good = *last;
    *last = NAN;
    struct rogue_upload u = rogue_upload_of(r, m);
    rogue_upload(r, &u);
    *last = good;
    struct csl_message again = rogue_update(r);
    rogue_send(r, &again);
}

static void test_world_refusals__poisoned_upload_was_replaced__the_newer_one_counts(void **state)
{
    struct rogue_plan plan = {AT_GRANT, AFTER_RETRY, poisoned_then_replaced};
    struct rogue_result r;
    (void)state;
    rogue_run(&fixture, &plan, &r);
    assert_true(has_seen(&r.bulk, CSL_E_INVAL));
    assert_int_equal(r.refused.count, 0);
    assert_outcome(&r, GOOD);
}

/* All bytes of a poisoned update, and then the link breaks: what waits in the spool for a resume
 * must have been looked at, or the digest alone would bring it into the sum. */
static void poison_the_tail(struct rogue *r, const struct csl_message *m)
{
    (void)m;
    r->breaks_left = 1;
    announce_value(r, NAN);
}

static void test_world_refusals__poison_in_the_tail_and_a_broken_link__never_counts(void **state)
{
    struct rogue_plan plan = {AT_TASK, AFTER_STUBBORN, poison_the_tail};
    struct rogue_plan decline = {AT_TASK, AFTER_SILENT, decline_the_task};
    struct rogue_result r, without;
    struct fixture large = fixture; /* the same records */
    (void)state;
    /* An update of one whole spool buffer and a part of another, so that a transfer resumes. */
    large.study = study_with("kind: mlp, hidden: [300, 300]");
    assert_true(large.study->schema.parameters * sizeof(float) > 300 * 1024);
    rogue_run(&large, &decline, &without);
    rogue_run(&large, &plan, &r);
    csl_study_free(large.study);
    assert_int_equal(r.bulk.codes[1], CSL_E_UNAVAIL); /* codes[0]: round 1 */
    assert_int_equal(r.bulk.codes[2], CSL_E_INVAL);   /* resumed: from the beginning, please */
    assert_int_equal(r.bulk.codes[3], CSL_E_INVAL);   /* whole: refused */
    assert_int_equal(r.refused.codes[0], CSL_E_INVAL);
    assert_int_equal(r.rounds[HONEST], ROGUE_ROUNDS - 1);
    assert_memory_equal(r.model, without.model, CSL_DIGEST_BYTES);
}

static const struct {
    const char *name;
    struct row row;
} rows[] = {
#define ROW(name, ...)                                                                             \
    {                                                                                              \
        "test_world_refusals__" name,                                                              \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
    ROW("upload_truncated__proto", AT_GRANT, truncated, IN_BULK, CSL_E_PROTO, WITHOUT, GOOD),
    ROW("upload_oversized__proto", AT_GRANT, oversized, IN_BULK, CSL_E_PROTO, WITHOUT, GOOD),
    ROW("value_nan__inval", AT_TASK, nan_value, IN_BULK, CSL_E_INVAL, WITHOUT, WITHOUT),
    ROW("value_nan__refused", AT_TASK, nan_value, IN_REFUSED, CSL_E_INVAL, WITHOUT, WITHOUT),
    ROW("value_infinite__inval", AT_TASK, infinite_value, IN_BULK, CSL_E_INVAL, WITHOUT, WITHOUT),
    ROW("value_too_large__inval", AT_TASK, large_value, IN_BULK, CSL_E_INVAL, WITHOUT, WITHOUT),
    ROW("bytes_not_as_announced__corrupt", AT_GRANT, other_bytes, IN_BULK, CSL_E_CORRUPT, WITHOUT,
        WITHOUT),
    ROW("bytes_not_as_announced__refused", AT_GRANT, other_bytes, IN_REFUSED, CSL_E_CORRUPT,
        WITHOUT, WITHOUT),
    ROW("digest_wrong__corrupt", AT_GRANT, other_digest, IN_BULK, CSL_E_CORRUPT, WITHOUT, WITHOUT),
    ROW("head_with_another_total__proto", AT_GRANT, other_total, IN_BULK, CSL_E_PROTO, WITHOUT,
        GOOD),
    ROW("head_with_another_offset__proto", AT_GRANT, other_offset, IN_BULK, CSL_E_PROTO, WITHOUT,
        GOOD),
    ROW("ticket_replayed__denied", AT_GRANT, ticket_twice, IN_BULK, CSL_E_DENIED, GOOD, GOOD),
    ROW("ticket_of_a_broken_upload__denied", AT_GRANT, ticket_after_broken_upload, IN_BULK,
        CSL_E_DENIED, WITHOUT, GOOD),
    ROW("ticket_unknown__denied", AT_GRANT, unknown_ticket, IN_BULK, CSL_E_DENIED, WITHOUT, GOOD),
    ROW("ticket_of_another_site__denied", AT_GRANT, ticket_of_another_site, IN_BULK, CSL_E_DENIED,
        WITHOUT, GOOD),
    ROW("ticket_of_a_download__denied", AT_TASK, ticket_of_a_download, IN_BULK, CSL_E_DENIED,
        WITHOUT, GOOD),
    ROW("announced_size_wrong__inval", AT_TASK, announced_size, IN_REFUSED, CSL_E_INVAL, WITHOUT,
        WITHOUT),
    ROW("announced_patients_wrong__inval", AT_TASK, announced_patients, IN_REFUSED, CSL_E_INVAL,
        WITHOUT, WITHOUT),
    ROW("announced_block_lacking__inval", AT_TASK, announced_block, IN_REFUSED, CSL_E_INVAL,
        WITHOUT, WITHOUT),
    ROW("message_replayed__proto", AT_TASK, message_replayed, IN_CLOSED, CSL_E_PROTO, WITHOUT,
        GOOD),
    ROW("message_out_of_sequence__proto", AT_TASK, message_skipped, IN_CLOSED, CSL_E_PROTO, WITHOUT,
        GOOD),
    ROW("message_undecodable__proto", AT_TASK, message_undecodable, IN_CLOSED, CSL_E_PROTO, WITHOUT,
        GOOD),
    ROW("message_of_the_wrong_direction__proto", AT_TASK, message_of_the_wrong_direction, IN_CLOSED,
        CSL_E_PROTO, WITHOUT, GOOD),
    ROW("messages_faster_than_they_are_heard__limit", AT_TASK, messages_without_end, IN_CLOSED,
        CSL_E_LIMIT, WITHOUT, GOOD),
    ROW("hello_twice__proto", AT_TASK, hello_twice, IN_CLOSED, CSL_E_PROTO, WITHOUT, GOOD),
    ROW("hello_of_another_version__refused", AT_OPENED, other_version, IN_REFUSED,
        CSL_E_UNSUPPORTED, GOOD, GOOD),
    ROW("update_before_hello__proto", AT_OPENED, update_out_of_order, IN_CLOSED, CSL_E_PROTO, GOOD,
        GOOD),
    ROW("update_of_a_stranger__proto", AT_OFFER, update_out_of_order, IN_CLOSED, CSL_E_PROTO, GOOD,
        GOOD),
    ROW("answer_of_a_lacking_block__inval", AT_OFFER, answer_of_a_lacking_block, IN_REFUSED,
        CSL_E_INVAL, NEVER, GOOD),
    ROW("answer_about_another_study__inval", AT_OFFER, answer_about_another_study, IN_REFUSED,
        CSL_E_INVAL, NEVER, GOOD),
    ROW("answer_changed_in_training__state", AT_TASK, answer_changed, IN_REFUSED, CSL_E_STATE,
        WITHOUT, GOOD),
#undef ROW
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

int main(void)
{
    struct CMUnitTest tests[ROWS + 4] = {
        cmocka_unit_test(test_world_refusals__references__differ),
        cmocka_unit_test(test_world_refusals__largest_value__counts),
        cmocka_unit_test(test_world_refusals__poisoned_upload_was_replaced__the_newer_one_counts),
        cmocka_unit_test(test_world_refusals__poison_in_the_tail_and_a_broken_link__never_counts),
    };
    struct row state[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        state[i] = rows[i].row;
        tests[4 + i] = (struct CMUnitTest){
            .name = rows[i].name, .test_func = test_row, .initial_state = &state[i]};
    }
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    return cmocka_run_group_tests(tests, open_all, close_all);
}
