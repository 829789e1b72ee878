/* Properties of the codec over random messages; the seed is fixed, so that a failure repeats. */
#include "base/mem.h"
#include "tests/unit/wire/samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_messages__random__survive_the_round_trip(void **state)
{
    (void)state;
    uint64_t random = 2024;
    for (int i = 0; i < 17 * 120; i++) {
        enum csl_message_kind kind = (enum csl_message_kind)(1 + i % 17);
        struct csl_message m, back;
        struct csl_msg bytes, again;
        struct csl_err err = {0};
        sample_message(&m, kind, &random);
        if (csl_message_encode(&m, &bytes, &err) != CSL_OK)
            fail_msg("encode %s: %s", csl_message_kind_name(kind), err.msg);
        if (csl_message_decode(&back, sample_direction(kind), csl_msg_span(&bytes), &err) != CSL_OK)
            fail_msg("decode %s: %s", csl_message_kind_name(kind), err.msg);
        const char *difference = sample_difference(&m, &back);
        if (difference != NULL)
            fail_msg("%s: %s differs", csl_message_kind_name(kind), difference);
        assert_int_equal(csl_message_encode(&back, &again, NULL), CSL_OK);
        assert_true(csl_span_equal(csl_msg_span(&bytes), csl_msg_span(&again)));
        csl_msg_release(&again);
        csl_msg_release(&bytes);
        csl_message_release(&m);
        csl_message_release(&back);
    }
}

/* Whatever a changed message decodes to can be encoded again and is then stable. */
static void check_stable(struct csl_span bytes, enum csl_direction direction)
{
    struct csl_message m, back;
    struct csl_msg again;
    if (csl_message_decode(&m, direction, bytes, NULL) != CSL_OK)
        return;
    assert_int_equal(csl_message_encode(&m, &again, NULL), CSL_OK);
    assert_int_equal(csl_message_decode(&back, direction, csl_msg_span(&again), NULL), CSL_OK);
    assert_null(sample_difference(&m, &back));
    csl_message_release(&m);
    csl_message_release(&back);
    csl_msg_release(&again);
}

static void test_messages__cut_at_every_byte__never_crash(void **state)
{
    (void)state;
    uint64_t random = 7;
    for (int kind = 1; kind <= 17; kind++) {
        struct csl_message m;
        struct csl_msg bytes;
        do {
            sample_message(&m, (enum csl_message_kind)kind, &random);
            assert_int_equal(csl_message_encode(&m, &bytes, NULL), CSL_OK);
            csl_message_release(&m);
            if (bytes.n <= 4096)
                break;
            csl_msg_release(&bytes);
        } while (true);
        for (size_t n = 0; n < bytes.n; n++) {
            /* An exact copy on the heap, so that reading past the end is seen by a sanitizer. */
            struct csl_msg cut = {0};
            assert_int_equal(csl_msg_copy(&cut, CSL_SPAN(bytes.p, n), NULL), CSL_OK);
            check_stable(csl_msg_span(&cut), CSL_TO_COORDINATOR);
            check_stable(csl_msg_span(&cut), CSL_TO_SITE);
            csl_msg_release(&cut);
        }
        csl_msg_release(&bytes);
    }
}

static void test_messages__bit_flips__never_crash(void **state)
{
    (void)state;
    uint64_t random = 99;
    for (int i = 0; i < 17 * 600; i++) {
        enum csl_message_kind kind = (enum csl_message_kind)(1 + i % 17);
        struct csl_message m;
        struct csl_msg bytes;
        sample_message(&m, kind, &random);
        assert_int_equal(csl_message_encode(&m, &bytes, NULL), CSL_OK);
        csl_message_release(&m);
        size_t window = bytes.n < 300 ? bytes.n : 300; /* where the structure is */
        for (uint64_t flips = 1 + sample_random(&random) % 3; flips > 0; flips--) {
            uint64_t bit = sample_random(&random) % (8 * window);
            bytes.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
        check_stable(csl_msg_span(&bytes), sample_direction(kind));
        csl_msg_release(&bytes);
    }
}

/* Every allocation that can fail, fails once: NOMEM or LIMIT, nothing leaks, nothing is written. */
static void test_messages__each_allocation_fails__is_reported(void **state)
{
    (void)state;
    uint64_t random = 3;
    for (int kind = 1; kind <= 17; kind++) {
        struct csl_message m;
        struct csl_msg bytes = {0};
        sample_message(&m, (enum csl_message_kind)kind, &random);
        enum csl_code code = CSL_E_NOMEM;
        for (uint64_t n = 1; code != CSL_OK; n++) {
            csl_mem_fail_after(n);
            code = csl_message_encode(&m, &bytes, NULL);
            csl_mem_fail_after(0);
            assert_true(code == CSL_OK || (code == CSL_E_NOMEM && bytes.p == NULL));
        }
        code = CSL_E_NOMEM;
        for (uint64_t n = 1; code != CSL_OK; n++) {
            struct csl_message back = {0};
            csl_mem_fail_after(n);
            code = csl_message_decode(&back, sample_direction(m.kind), csl_msg_span(&bytes), NULL);
            csl_mem_fail_after(0);
            assert_true(code == CSL_OK ||
                        ((code == CSL_E_NOMEM || code == CSL_E_LIMIT) && (int)back.kind == 0));
            if (code == CSL_OK)
                csl_message_release(&back);
        }
        csl_msg_release(&bytes);
        csl_message_release(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages__random__survive_the_round_trip),
        cmocka_unit_test(test_messages__cut_at_every_byte__never_crash),
        cmocka_unit_test(test_messages__bit_flips__never_crash),
        cmocka_unit_test(test_messages__each_allocation_fails__is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
