/* Messages of secure aggregation in parts: what is cut comes together again, and nothing else. */
#include "base/mem.h"
#include "protocol/wire/parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define PART CSL_SECAGG_BYTES_MAX
#define FULL (2 * PART + 1000) /* three parts */

static uint8_t *bytes; /* [CSL_SECAGG_WHOLE_MAX + 1] */

static struct csl_msg_secagg cut(size_t whole, size_t at)
{
    struct csl_msg_secagg m;
    struct csl_err err;
    assert_int_equal(csl_parts_cut(&m, CSL_SPAN(bytes, whole), at, &err), CSL_OK);
    return m;
}

/* The part of a message of `whole` bytes that begins at `at`; *out as csl_parts_take leaves it. */
static enum csl_code give(struct csl_parts *p, size_t whole, size_t at, uint64_t bytes_max,
                          size_t *out)
{
    struct csl_msg_secagg m = cut(whole, at);
    struct csl_span got = CSL_SPAN(NULL, 0);
    enum csl_code code = csl_parts_take(p, &m, bytes_max, &got, NULL);
    *out = got.n;
    if (got.n > 0)
        assert_memory_equal(got.p, bytes, got.n);
    csl_msg_release(&m.body);
    return code;
}

static void test_parts__any_length__comes_together(void **state)
{
    static const size_t lengths[] = {1,    2,        PART - 1, PART,
                                     FULL, PART + 1, 2 * PART, CSL_SECAGG_WHOLE_MAX};
    struct csl_parts p = {.total = 0};
    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t n = lengths[i], got = 0;
        for (size_t at = 0; at < n; at += PART) {
            assert_int_equal(got, 0); /* not before the last part */
            assert_int_equal(give(&p, n, at, n, &got), CSL_OK);
        }
        assert_int_equal(got, n);
    }
    csl_parts_clear(&p);
}

static void test_parts__too_long_to_send__is_refused(void **state)
{
    struct csl_msg_secagg m;
    (void)state;
    assert_int_equal(csl_parts_cut(&m, CSL_SPAN(bytes, CSL_SECAGG_WHOLE_MAX + 1), 0, NULL),
                     CSL_E_LIMIT);
}

static void test_parts__one_missing_doubled_or_early__is_refused(void **state)
{
    static const size_t second[] = {0, 2 * (size_t)PART}; /* where byte PART was due */
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct csl_parts p = {.total = 0};
        size_t got;
        assert_int_equal(give(&p, FULL, 0, FULL, &got), CSL_OK);
        assert_int_equal(give(&p, FULL, second[i], FULL, &got), CSL_E_PROTO);
        assert_null(p.bytes.p); /* nothing is kept of it */
        assert_int_equal(give(&p, FULL, PART, FULL, &got), CSL_E_PROTO);
    }
    struct csl_parts p = {.total = 0};
    size_t got;
    assert_int_equal(give(&p, FULL, PART, FULL, &got), CSL_E_PROTO); /* without a beginning */
    csl_parts_clear(&p);
}

static void test_parts__another_message_in_the_middle__is_refused(void **state)
{
    static const size_t other[] = {1, FULL - 1, PART + 1}; /* short, and as long as that */
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct csl_parts p = {.total = 0};
        size_t got;
        assert_int_equal(give(&p, FULL, 0, FULL, &got), CSL_OK);
        assert_int_equal(give(&p, other[i], 0, FULL, &got), CSL_E_PROTO);
        assert_int_equal(got, 0);
    }
    for (size_t i = 1; i < 3; i++) { /* a later part, of a message of another length */
        struct csl_parts p = {.total = 0};
        size_t got;
        assert_int_equal(give(&p, FULL, 0, FULL, &got), CSL_OK);
        assert_int_equal(give(&p, other[i], PART, FULL, &got), CSL_E_PROTO);
        assert_int_equal(got, 0);
    }
}

/* Pitfall 40: a claim costs no memory before it was compared with what the study allows. */
static void test_parts__claim_beyond_the_study__costs_nothing(void **state)
{
    struct csl_parts p = {.total = 0};
    struct csl_msg_secagg m = cut(CSL_SECAGG_WHOLE_MAX, 0);
    struct csl_span got;
    (void)state;
    (void)csl_mem_fail_after(0);
    assert_int_equal(csl_parts_take(&p, &m, FULL, &got, NULL), CSL_E_LIMIT);
    assert_int_equal(csl_mem_fail_after(0), 0);
    assert_null(p.bytes.p);
    csl_msg_release(&m.body);
    size_t n;
    assert_int_equal(give(&p, FULL, 0, FULL - 1, &n), CSL_E_LIMIT);
    assert_int_equal(give(&p, 2, 0, 1, &n), CSL_E_LIMIT);
    assert_int_equal(give(&p, 2, 0, 2, &n), CSL_OK);
}

/* And a claim within it costs what came, not what was claimed: at most twice, as buffers grow. */
static void test_parts__claim_within_the_study__costs_what_came(void **state)
{
    struct csl_parts p = {.total = 0};
    size_t got;
    (void)state;
    assert_int_equal(give(&p, CSL_SECAGG_WHOLE_MAX, 0, CSL_SECAGG_WHOLE_MAX, &got), CSL_OK);
    assert_in_range(p.bytes.capacity, PART, 2 * PART + 1);
    csl_parts_clear(&p);
    assert_null(p.bytes.p);
}

static void test_parts__session_over_in_the_middle__begins_anew(void **state)
{
    struct csl_parts p = {.total = 0};
    size_t got;
    (void)state;
    assert_int_equal(give(&p, FULL, 0, FULL, &got), CSL_OK);
    assert_int_equal(give(&p, FULL, PART, FULL, &got), CSL_OK);
    csl_parts_clear(&p);
    for (size_t at = 0; at < FULL; at += PART)
        assert_int_equal(give(&p, FULL, at, FULL, &got), CSL_OK);
    assert_int_equal(got, FULL);
    csl_parts_clear(&p);
}

static void test_parts__no_memory__is_an_error_and_nothing_is_held(void **state)
{
    struct csl_parts p = {.total = 0};
    struct csl_msg_secagg m = cut(FULL, 0);
    struct csl_span got;
    (void)state;
    (void)csl_mem_fail_after(1);
    assert_int_equal(csl_parts_take(&p, &m, FULL, &got, NULL), CSL_E_NOMEM);
    (void)csl_mem_fail_after(0);
    assert_null(p.bytes.p);
    assert_int_equal(p.total, 0);
    csl_msg_release(&m.body);
}

static void refuse(struct csl_msg_secagg m)
{
    struct csl_message message = {.kind = CSL_MSG_SECAGG_TO_SITE, .sequence = 1, .u.secagg = m};
    struct csl_msg out;
    assert_int_equal(csl_message_encode(&message, &out, NULL), CSL_E_INVAL);
}

/* A message has one way to be cut. */
static void test_parts__not_as_messages_are_cut__is_no_message(void **state)
{
    (void)state;
    refuse((struct csl_msg_secagg){{bytes, 10}, 0, 0});
    refuse((struct csl_msg_secagg){{bytes, 10}, 0, 11});
    refuse((struct csl_msg_secagg){{bytes, 10}, 0, 9});
    refuse((struct csl_msg_secagg){{bytes, 0}, 0, 1});
    refuse((struct csl_msg_secagg){{bytes, 10}, 10, 20});
    refuse((struct csl_msg_secagg){{bytes, 10}, PART, 10});
    refuse((struct csl_msg_secagg){{bytes, PART - 1}, 0, FULL});
    refuse((struct csl_msg_secagg){{bytes, PART}, 2 * PART, FULL});
    refuse((struct csl_msg_secagg){{bytes, PART}, 0, CSL_SECAGG_WHOLE_MAX + 1});
    struct csl_message m = {
        .kind = CSL_MSG_SECAGG, .sequence = 1, .u.secagg = {{bytes, PART}, 0, FULL}};
    struct csl_msg out;
    assert_int_equal(csl_message_encode(&m, &out, NULL), CSL_OK);
    csl_msg_release(&out);
}

static int set_up(void **state)
{
    (void)state;
    bytes = csl_alloc(CSL_SECAGG_WHOLE_MAX + 1);
    for (size_t i = 0; bytes != NULL && i <= CSL_SECAGG_WHOLE_MAX; i++)
        bytes[i] = (uint8_t)(i % 251);
    return bytes == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    csl_free(bytes);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts__any_length__comes_together),
        cmocka_unit_test(test_parts__too_long_to_send__is_refused),
        cmocka_unit_test(test_parts__one_missing_doubled_or_early__is_refused),
        cmocka_unit_test(test_parts__another_message_in_the_middle__is_refused),
        cmocka_unit_test(test_parts__claim_beyond_the_study__costs_nothing),
        cmocka_unit_test(test_parts__claim_within_the_study__costs_what_came),
        cmocka_unit_test(test_parts__session_over_in_the_middle__begins_anew),
        cmocka_unit_test(test_parts__no_memory__is_an_error_and_nothing_is_held),
        cmocka_unit_test(test_parts__not_as_messages_are_cut__is_no_message),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
