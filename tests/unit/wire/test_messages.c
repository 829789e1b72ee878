#include "base/mem.h"
#include "consilium_v1.pb-c.h"
#include "tests/unit/wire/samples.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES(text) ((ProtobufCBinaryData){sizeof(text) - 1, (uint8_t *)(uintptr_t)(text)})
static uint8_t digest_bytes[33] = {1, 2, 3};

static enum csl_code decode(const ProtobufCMessage *p, enum csl_direction direction,
                            struct csl_err *err)
{
    struct csl_message m;
    size_t n = protobuf_c_message_get_packed_size(p);
    uint8_t *bytes = csl_alloc(n);
    assert_non_null(bytes);
    assert_int_equal(protobuf_c_message_pack(p, bytes), n);
    enum csl_code code = csl_message_decode(&m, direction, CSL_SPAN(bytes, n), err);
    if (code == CSL_OK)
        csl_message_release(&m);
    csl_free(bytes);
    return code;
}

static void test_messages__kinds__have_names(void **state)
{
    (void)state;
    for (int kind = 1; kind <= CSL_MSG_PONG; kind++)
        assert_string_not_equal(csl_message_kind_name((enum csl_message_kind)kind), "?");
    assert_string_equal(csl_message_kind_name(CSL_MSG_UPDATE_READY), "UPDATE_READY");
    assert_string_equal(csl_message_kind_name((enum csl_message_kind)0), "?");
    assert_string_equal(csl_message_kind_name((enum csl_message_kind)(CSL_MSG_PONG + 1)), "?");
}

static void test_messages__largest__fit_their_limits(void **state)
{
    (void)state;
    static const enum csl_message_kind kinds[] = {CSL_MSG_STUDY_OFFER, CSL_MSG_STUDY_ANSWER,
                                                  CSL_MSG_UPDATE_READY, CSL_MSG_EVALUATION};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct csl_message m, back;
        struct csl_msg bytes;
        struct csl_err err = {0};
        sample_largest(&m, kinds[i]);
        if (csl_message_encode(&m, &bytes, &err) != CSL_OK)
            fail_msg("%s: %s", csl_message_kind_name(kinds[i]), err.msg);
        assert_true(bytes.n <= CSL_MSG_BYTES_MAX);
        if (csl_message_decode(&back, sample_direction(kinds[i]), csl_msg_span(&bytes), &err) !=
            CSL_OK)
            fail_msg("%s: %s", csl_message_kind_name(kinds[i]), err.msg);
        assert_null(sample_difference(&m, &back));
        csl_msg_release(&bytes);
        csl_message_release(&m);
        csl_message_release(&back);
    }
}

static void test_messages__other_direction__is_refused(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (int kind = 1; kind <= CSL_MSG_PONG; kind++) {
        struct csl_message m, back;
        struct csl_msg bytes;
        sample_message(&m, (enum csl_message_kind)kind, &random);
        enum csl_direction wrong =
            sample_direction(m.kind) == CSL_TO_SITE ? CSL_TO_COORDINATOR : CSL_TO_SITE;
        assert_int_equal(csl_message_encode(&m, &bytes, NULL), CSL_OK);
        assert_int_equal(csl_message_decode(&back, wrong, csl_msg_span(&bytes), NULL), CSL_E_PROTO);
        csl_msg_release(&bytes);
        csl_message_release(&m);
    }
}

static void test_messages__encoding__is_plain_protobuf(void **state)
{
    (void)state;
    struct csl_message m = {.kind = CSL_MSG_UPDATE_GRANT, .sequence = 300};
    m.u.update_grant.round = 5;
    m.u.update_grant.offset = 70000;
    memset(m.u.update_grant.ticket, 0xab, CSL_TICKET_BYTES);
    struct csl_msg bytes;
    assert_int_equal(csl_message_encode(&m, &bytes, NULL), CSL_OK);
    /* field 1 varint 300; field 34, 24 bytes: 1 varint 5, 2 sixteen bytes, 3 varint 70000 */
    uint8_t expected[30];
    assert_true(csl_unhex("08ac02"
                          "920218"
                          "0805"
                          "1210abababababababababababababababab"
                          "18f0a204",
                          expected, sizeof(expected)));
    assert_int_equal(bytes.n, sizeof(expected));
    assert_memory_equal(bytes.p, expected, sizeof(expected));
    csl_msg_release(&bytes);
}

static void test_messages__sizes__are_limited(void **state)
{
    (void)state;
    struct csl_message m;
    uint8_t *large = csl_alloc(CSL_MSG_BYTES_MAX + 1);
    assert_non_null(large);
    assert_int_equal(
        csl_message_decode(&m, CSL_TO_SITE, CSL_SPAN(large, CSL_MSG_BYTES_MAX + 1), NULL),
        CSL_E_LIMIT);
    assert_int_equal(csl_message_decode(&m, CSL_TO_SITE, CSL_SPAN(NULL, 0), NULL), CSL_E_PROTO);
    assert_int_equal(csl_message_decode(&m, CSL_TO_COORDINATOR, CSL_SPAN(NULL, 0), NULL),
                     CSL_E_PROTO);
    csl_free(large);
}

/* 64 KiB of empty unknown fields would be 1.6 MB of heap without a budget. */
static void test_messages__flood_of_fields__meets_the_budget(void **state)
{
    (void)state;
    struct csl_message m;
    enum { N = 65536 };
    uint8_t *flood = csl_alloc(N);
    assert_non_null(flood);
    for (size_t i = 0; i < N; i += 2)
        flood[i] = 0x22; /* field 4, length-delimited, empty */
    uint64_t before = csl_mem_fail_after(0);
    (void)before;
    assert_int_equal(csl_message_decode(&m, CSL_TO_COORDINATOR, CSL_SPAN(flood, N), NULL),
                     CSL_E_LIMIT);
    assert_in_range(csl_mem_fail_after(0), 1, 64); /* blocks of the arena, not one per field */
    assert_int_equal(csl_message_decode(&m, CSL_TO_COORDINATOR, CSL_SPAN(flood, 200), NULL),
                     CSL_E_PROTO);
    csl_free(flood);
}

static void test_messages__unknown_enum_value__is_refused(void **state)
{
    (void)state;
    Consilium__V1__TaskFailed failed = CONSILIUM__V1__TASK_FAILED__INIT;
    Consilium__V1__SiteMessage m = CONSILIUM__V1__SITE_MESSAGE__INIT;
    m.sequence = 1;
    m.body_case = CONSILIUM__V1__SITE_MESSAGE__BODY_TASK_FAILED;
    m.task_failed = &failed;
    for (int code = -1; code < 30; code++) {
        failed.code = (Consilium__V1__Code)code;
        assert_int_equal(decode(&m.base, CSL_TO_COORDINATOR, NULL),
                         code >= 1 && code <= 20 ? CSL_OK : CSL_E_PROTO);
    }
    Consilium__V1__Task task = CONSILIUM__V1__TASK__INIT;
    Consilium__V1__CoordinatorMessage c = CONSILIUM__V1__COORDINATOR_MESSAGE__INIT;
    c.sequence = 1;
    c.body_case = CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_TASK;
    c.task = &task;
    task.round = 1;
    task.model_bytes = 4;
    task.model_digest = (ProtobufCBinaryData){32, digest_bytes};
    for (int type = -1; type < 5; type++) {
        task.type = (Consilium__V1__TaskType)type;
        assert_int_equal(decode(&c.base, CSL_TO_SITE, NULL),
                         type == 1 || type == 2 ? CSL_OK : CSL_E_PROTO);
    }
}

/* The codes' numbers on the wire may never move. */
static void test_messages__codes__keep_their_names(void **state)
{
    (void)state;
    const ProtobufCEnumDescriptor *d = &consilium__v1__code__descriptor;
    assert_int_equal(d->n_values, CSL_E_END + 1);
    for (int code = 1; code <= CSL_E_END; code++) {
        struct csl_message m = {.kind = CSL_MSG_REFUSED, .sequence = 1};
        struct csl_msg bytes;
        char name[32];
        m.u.refused.code = (enum csl_code)code;
        assert_int_equal(csl_message_encode(&m, &bytes, NULL), CSL_OK);
        Consilium__V1__CoordinatorMessage *p =
            consilium__v1__coordinator_message__unpack(NULL, bytes.n, bytes.p);
        assert_non_null(p);
        snprintf(name, sizeof(name), "CODE_%s", csl_code_name(m.u.refused.code));
        assert_string_equal(protobuf_c_enum_descriptor_get_value(d, (int)p->refused->code)->name,
                            name);
        consilium__v1__coordinator_message__free_unpacked(p, NULL);
        csl_msg_release(&bytes);
    }
}

static enum csl_code decode_hello(ProtobufCBinaryData software, size_t digest_length,
                                  uint64_t version, uint64_t sequence)
{
    Consilium__V1__Hello hello = CONSILIUM__V1__HELLO__INIT;
    Consilium__V1__SiteMessage m = CONSILIUM__V1__SITE_MESSAGE__INIT;
    hello.protocol_version = version;
    hello.software = software;
    hello.study_digest = (ProtobufCBinaryData){digest_length, digest_bytes};
    m.sequence = sequence;
    m.body_case = CONSILIUM__V1__SITE_MESSAGE__BODY_HELLO;
    m.hello = &hello;
    return decode(&m.base, CSL_TO_COORDINATOR, NULL);
}

static void test_messages__hello__is_checked_field_by_field(void **state)
{
    (void)state;
    static char long_text[CSL_ID_MAX + 1];
    memset(long_text, 'x', sizeof(long_text));
    ProtobufCBinaryData text = {CSL_ID_MAX - 1, (uint8_t *)long_text};
    assert_int_equal(decode_hello(text, 32, 1, 1), CSL_OK);
    assert_int_equal(decode_hello(BYTES(""), 0, 1, 1), CSL_OK);
    assert_int_equal(decode_hello(text, 31, 1, 1), CSL_E_PROTO);
    assert_int_equal(decode_hello(text, 33, 1, 1), CSL_E_PROTO);
    assert_int_equal(decode_hello(text, 32, 0, 1), CSL_E_PROTO);
    assert_int_equal(decode_hello(text, 32, UINT64_C(0x100000001), 1), CSL_E_PROTO);
    assert_int_equal(decode_hello(text, 32, 1, 0), CSL_E_PROTO);
    text.len = CSL_ID_MAX;
    assert_int_equal(decode_hello(text, 32, 1, 1), CSL_E_PROTO);
}

static void test_messages__text__must_be_printable_utf8(void **state)
{
    (void)state;
    static const struct {
        ProtobufCBinaryData text;
        bool is_good;
    } rows[] = {
        {{3, (uint8_t *)(uintptr_t) "abc"}, true},
        {{4, (uint8_t *)(uintptr_t) "\xf0\x9f\xab\x80"}, true}, /* U+1FAC0 */
        {{3, (uint8_t *)(uintptr_t) "\xe2\x82\xac"}, true},     /* euro */
        {{2, (uint8_t *)(uintptr_t) "\xc3\xa9"}, true},
        {{4, (uint8_t *)(uintptr_t) "\xf4\x8f\xbf\xbd"}, true}, /* U+10FFFD */
        {{3, (uint8_t *)(uintptr_t) "a\0b"}, false},
        {{1, (uint8_t *)(uintptr_t) "\0"}, false},
        {{3, (uint8_t *)(uintptr_t) "a\nb"}, false},
        {{3, (uint8_t *)(uintptr_t) "a\x1b"
                                    "b"},
         false},
        {{1, (uint8_t *)(uintptr_t) "\x7f"}, false},
        {{2, (uint8_t *)(uintptr_t) "\xc2\x85"}, false}, /* C1 control */
        {{1, (uint8_t *)(uintptr_t) "\xff"}, false},
        {{1, (uint8_t *)(uintptr_t) "\x80"}, false},
        {{2, (uint8_t *)(uintptr_t) "\xc0\xaf"}, false},         /* overlong */
        {{3, (uint8_t *)(uintptr_t) "\xe0\x80\xaf"}, false},     /* overlong */
        {{4, (uint8_t *)(uintptr_t) "\xf0\x80\x80\xaf"}, false}, /* overlong */
        {{3, (uint8_t *)(uintptr_t) "\xed\xa0\x80"}, false},     /* surrogate */
        {{4, (uint8_t *)(uintptr_t) "\xf4\x90\x80\x80"}, false}, /* beyond Unicode */
        {{2, (uint8_t *)(uintptr_t) "\xe2\x82"}, false},         /* cut */
        {{3, (uint8_t *)(uintptr_t) "\xe2\x82"
                                    "a"},
         false},
        {{3, (uint8_t *)(uintptr_t) "\xe2\x80\xae"}, false}, /* right-to-left override */
        {{3, (uint8_t *)(uintptr_t) "\xe2\x80\xa8"}, false}, /* line separator */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum csl_code code = decode_hello(rows[i].text, 0, 1, 1);
        if (code != (rows[i].is_good ? CSL_OK : CSL_E_PROTO))
            fail_msg("row %zu: %s", i, csl_code_name(code));
    }
}

static enum csl_code check_encode(const struct csl_message *m)
{
    struct csl_msg bytes = {0};
    enum csl_code code = csl_message_encode(m, &bytes, NULL);
    csl_msg_release(&bytes);
    return code;
}

static void test_messages__blocks__ascend_below_their_maximum(void **state)
{
    (void)state;
    struct csl_message m = {.kind = CSL_MSG_UPDATE_READY, .sequence = 1};
    struct csl_msg_update_ready *u = &m.u.update_ready;
    u->round = 1;
    u->bytes_total = 4;
    u->block_count = 2;
    u->blocks[0] = (struct csl_block_count){3, 1};
    u->blocks[1] = (struct csl_block_count){63, CSL_RECORDS_MAX};
    assert_int_equal(check_encode(&m), CSL_OK);
    u->blocks[0].block = 63;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    u->blocks[0].block = 62;
    u->blocks[1].block = 64;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    u->blocks[1].block = 63;
    u->blocks[1].patients = 0;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    u->blocks[1].patients = CSL_RECORDS_MAX + 1;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    u->block_count = 0;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    u->block_count = CSL_BLOCKS_MAX + 1;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    u->block_count = 1;
    static const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (int i = 0; i < 3; i++) {
        u->train_loss = bad[i];
        assert_int_equal(check_encode(&m), CSL_E_INVAL);
    }
    u->train_loss = 0;
    static const uint64_t sizes[] = {0, 3, 5, UINT64_MAX - 3};
    for (int i = 0; i < 4; i++) {
        u->bytes_total = sizes[i];
        assert_int_equal(check_encode(&m), CSL_E_INVAL);
    }
}

static void test_messages__ledger_proof__whole_hashes_up_to_its_maximum(void **state)
{
    static uint8_t hashes[(CSL_LEDGER_PROOF_MAX + 1) * CSL_LEDGER_HASH_BYTES];
    (void)state;
    for (size_t n = 0; n <= sizeof(hashes); n++) {
        Consilium__V1__UpdateReady ready = CONSILIUM__V1__UPDATE_READY__INIT;
        Consilium__V1__SiteMessage m = CONSILIUM__V1__SITE_MESSAGE__INIT;
        Consilium__V1__BlockCount block = CONSILIUM__V1__BLOCK_COUNT__INIT, *blocks = &block;
        block.patients = 1;
        ready.round = 1;
        ready.bytes_total = 4;
        ready.digest = (ProtobufCBinaryData){32, digest_bytes};
        ready.n_blocks = 1;
        ready.blocks = &blocks;
        ready.ledger_proof = (ProtobufCBinaryData){n, hashes};
        m.sequence = 1;
        m.body_case = CONSILIUM__V1__SITE_MESSAGE__BODY_UPDATE_READY;
        m.update_ready = &ready;
        bool is_good = n % CSL_LEDGER_HASH_BYTES == 0 && n < sizeof(hashes);
        assert_int_equal(decode(&m.base, CSL_TO_COORDINATOR, NULL), is_good ? CSL_OK : CSL_E_PROTO);
    }
    struct csl_message m = {.kind = CSL_MSG_UPDATE_READY, .sequence = 1};
    m.u.update_ready.round = 1;
    m.u.update_ready.bytes_total = 4;
    m.u.update_ready.block_count = 1;
    m.u.update_ready.blocks[0] = (struct csl_block_count){0, 1};
    m.u.update_ready.ledger_proof_count = CSL_LEDGER_PROOF_MAX;
    assert_int_equal(check_encode(&m), CSL_OK);
    m.u.update_ready.ledger_proof_count++;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
}

static enum csl_code decode_answer(Consilium__V1__BlockCount *rows, size_t n)
{
    Consilium__V1__BlockCount *pointers[CSL_BLOCKS_MAX + 2];
    Consilium__V1__StudyAnswer answer = CONSILIUM__V1__STUDY_ANSWER__INIT;
    Consilium__V1__SiteMessage m = CONSILIUM__V1__SITE_MESSAGE__INIT;
    for (size_t i = 0; i < n; i++)
        pointers[i] = &rows[i];
    answer.study_digest = (ProtobufCBinaryData){32, digest_bytes};
    answer.blocks = pointers;
    answer.n_blocks = n;
    m.sequence = 1;
    m.body_case = CONSILIUM__V1__SITE_MESSAGE__BODY_STUDY_ANSWER;
    m.study_answer = &answer;
    return decode(&m.base, CSL_TO_COORDINATOR, NULL);
}

static void test_messages__blocks_from_a_peer__are_checked(void **state)
{
    (void)state;
    Consilium__V1__BlockCount rows[CSL_BLOCKS_MAX + 1];
    for (size_t i = 0; i <= CSL_BLOCKS_MAX; i++) {
        consilium__v1__block_count__init(&rows[i]);
        rows[i].block = i;
        rows[i].patients = 1;
    }
    assert_int_equal(decode_answer(rows, 0), CSL_OK);
    assert_int_equal(decode_answer(rows, CSL_BLOCKS_MAX), CSL_OK);
    assert_int_equal(decode_answer(rows, CSL_BLOCKS_MAX + 1), CSL_E_PROTO);
    rows[1].block = 0; /* duplicate */
    assert_int_equal(decode_answer(rows, 2), CSL_E_PROTO);
    rows[0].block = 5; /* descending */
    assert_int_equal(decode_answer(rows, 2), CSL_E_PROTO);
    rows[0].block = CSL_BLOCKS_MAX;
    assert_int_equal(decode_answer(rows, 1), CSL_E_PROTO);
    rows[0].block = UINT64_C(1) << 32; /* would be 0 if it were cut to 32 bits */
    assert_int_equal(decode_answer(rows, 1), CSL_E_PROTO);
}

static void test_messages__ranges__are_checked_before_sending(void **state)
{
    (void)state;
    struct csl_message m = {.kind = CSL_MSG_TASK, .sequence = 1};
    m.u.task.type = CSL_TASK_TRAIN;
    m.u.task.model_bytes = 4;
    assert_int_equal(check_encode(&m), CSL_E_INVAL); /* train starts at round 1 */
    m.u.task.type = CSL_TASK_EVALUATE;
    assert_int_equal(check_encode(&m), CSL_OK);
    m.u.task.round = CSL_ROUNDS_MAX + 1;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    m.u.task.round = 1;
    m.u.task.deadline_ms = UINT64_MAX;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    m.u.task.deadline_ms = 0;
    m.u.task.weight_count = CSL_DOMAINS_MAX;
    assert_int_equal(check_encode(&m), CSL_OK);
    m.u.task.weight_count = CSL_DOMAINS_MAX + 1;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    m.u.task.weight_count = 2;
    m.u.task.weights[1].patients = -1;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    m.u.task.weights[1] = (struct csl_domain_weight){(double)INFINITY, 1};
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    m.u.task.weight_count = 0;
    m.u.task.prior_count = CSL_DOMAINS_MAX;
    assert_int_equal(check_encode(&m), CSL_OK);
    m.u.task.prior_loss[3] = -1;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    m.u.task.prior_loss[3] = (double)NAN;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    m.u.task.prior_count = CSL_DOMAINS_MAX + 1;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    m.u.task.prior_count = 0;
    m.u.task.group_count = CSL_GROUP_WEIGHTS_MAX;
    assert_int_equal(check_encode(&m), CSL_OK);
    m.u.task.group_log_weight[5] = (double)INFINITY;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    m.u.task.group_log_weight[5] = 0;
    m.u.task.group_count = CSL_GROUP_WEIGHTS_MAX + 1;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    m = (struct csl_message){.kind = CSL_MSG_UPDATE_GRANT, .sequence = 1};
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    m = (struct csl_message){.kind = CSL_MSG_REFUSED, .sequence = 1};
    assert_int_equal(check_encode(&m), CSL_E_INVAL); /* OK is no refusal */
    m.u.refused.code = (enum csl_code)(CSL_E_END + 1);
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    m.u.refused.code = CSL_E_DENIED;
    memset(m.u.refused.reason, 'x', sizeof(m.u.refused.reason)); /* not terminated */
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    m = (struct csl_message){.kind = CSL_MSG_STUDY_OFFER, .sequence = 1};
    assert_int_equal(check_encode(&m), CSL_E_INVAL); /* no manifest */
    m = (struct csl_message){.kind = CSL_MSG_DRAIN};
    assert_int_equal(check_encode(&m), CSL_E_INVAL); /* sequence 0 */
    m.sequence = 1;
    assert_int_equal(check_encode(&m), CSL_OK);
    m.kind = (enum csl_message_kind)(CSL_MSG_PONG + 1);
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
    m.kind = (enum csl_message_kind)0;
    assert_int_equal(check_encode(&m), CSL_E_INVAL);
}

static void test_messages__no_digest_of_a_released_model__is_refused(void **state)
{
    (void)state;
    Consilium__V1__StudyEnded ended = CONSILIUM__V1__STUDY_ENDED__INIT;
    Consilium__V1__CoordinatorMessage c = CONSILIUM__V1__COORDINATOR_MESSAGE__INIT;
    c.sequence = 1;
    c.body_case = CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_STUDY_ENDED;
    c.study_ended = &ended;
    assert_int_equal(decode(&c.base, CSL_TO_SITE, NULL), CSL_OK);
    ended.released = 1;
    assert_int_equal(decode(&c.base, CSL_TO_SITE, NULL), CSL_E_PROTO);
    ended.model_digest = (ProtobufCBinaryData){32, digest_bytes};
    assert_int_equal(decode(&c.base, CSL_TO_SITE, NULL), CSL_OK);
}

static void test_messages__manifest__has_its_maximum(void **state)
{
    (void)state;
    uint8_t *yaml = csl_alloc(CSL_MANIFEST_BYTES_MAX + 1);
    assert_non_null(yaml);
    Consilium__V1__StudyOffer offer = CONSILIUM__V1__STUDY_OFFER__INIT;
    Consilium__V1__CoordinatorMessage c = CONSILIUM__V1__COORDINATOR_MESSAGE__INIT;
    c.sequence = 1;
    c.body_case = CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_STUDY_OFFER;
    c.study_offer = &offer;
    offer.study_digest = (ProtobufCBinaryData){32, digest_bytes};
    assert_int_equal(decode(&c.base, CSL_TO_SITE, NULL), CSL_E_PROTO);
    offer.manifest = (ProtobufCBinaryData){CSL_MANIFEST_BYTES_MAX, yaml};
    assert_int_equal(decode(&c.base, CSL_TO_SITE, NULL), CSL_OK);
    offer.manifest.len++;
    assert_int_equal(decode(&c.base, CSL_TO_SITE, NULL), CSL_E_PROTO);
    csl_free(yaml);
}

static void test_messages__release__accepts_every_kind_twice(void **state)
{
    (void)state;
    uint64_t random = 5;
    csl_message_release(NULL);
    for (int kind = 1; kind <= CSL_MSG_PONG; kind++) {
        struct csl_message m;
        sample_message(&m, (enum csl_message_kind)kind, &random);
        csl_message_release(&m);
        csl_message_release(&m);
    }
}

/* Whatever a site would multiply or judge by differently gives another digest. */
static void test_messages__factors_of_a_task__every_number_counts(void **state)
{
    const struct csl_msg_task base = {.weights_round = 3,
                                      .weight_count = 2,
                                      .weights = {{0.5, 100}, {-0.5, 50}},
                                      .prior_count = 2,
                                      .prior_loss = {0.6, 0.7}};
    struct csl_msg_task t = {.round = 4};
    uint8_t first[CSL_DIGEST_BYTES], digest[CSL_DIGEST_BYTES];
    (void)state;
    assert_false(csl_task_factors(&t, digest)); /* tells none */
    assert_true(csl_task_factors(&base, first));
    t = base;
    t.round = 9; /* no factor */
    assert_true(csl_task_factors(&t, digest));
    assert_memory_equal(first, digest, sizeof(first));
    for (int k = 0; k < 9; k++) {
        t = base;
        t.group_count = k == 7 ? 1 : k == 8 ? 2 : 0;
        t.weights_round += k == 0;
        t.weight_count -= k == 1;
        t.weights[1].log_weight += k == 2 ? 1e-15 : 0;
        t.weights[1].patients += k == 3 ? 1 : 0;
        t.prior_loss[0] += k == 4 ? 1e-15 : 0;
        t.prior_count -= k == 5;
        t.prior_count = k == 6 ? 0 : t.prior_count;
        assert_true(csl_task_factors(&t, digest));
        assert_memory_not_equal(first, digest, sizeof(first));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages__factors_of_a_task__every_number_counts),
        cmocka_unit_test(test_messages__kinds__have_names),
        cmocka_unit_test(test_messages__largest__fit_their_limits),
        cmocka_unit_test(test_messages__other_direction__is_refused),
        cmocka_unit_test(test_messages__encoding__is_plain_protobuf),
        cmocka_unit_test(test_messages__sizes__are_limited),
        cmocka_unit_test(test_messages__flood_of_fields__meets_the_budget),
        cmocka_unit_test(test_messages__unknown_enum_value__is_refused),
        cmocka_unit_test(test_messages__codes__keep_their_names),
        cmocka_unit_test(test_messages__hello__is_checked_field_by_field),
        cmocka_unit_test(test_messages__text__must_be_printable_utf8),
        cmocka_unit_test(test_messages__ledger_proof__whole_hashes_up_to_its_maximum),
        cmocka_unit_test(test_messages__blocks__ascend_below_their_maximum),
        cmocka_unit_test(test_messages__blocks_from_a_peer__are_checked),
        cmocka_unit_test(test_messages__ranges__are_checked_before_sending),
        cmocka_unit_test(test_messages__no_digest_of_a_released_model__is_refused),
        cmocka_unit_test(test_messages__manifest__has_its_maximum),
        cmocka_unit_test(test_messages__release__accepts_every_kind_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
