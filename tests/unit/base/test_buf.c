/* Byte runs, hexadecimal, and the growable buffer. */
#include "base/buf.h"
#include "base/le.h"
#include "base/mem.h"
#include "tests/unit/base/fixture.h"

#include <string.h>

static void test_hex__round_trip__is_identity(void **state)
{
    (void)state;
    const uint8_t raw[] = {0x00, 0x0f, 0xa5, 0xff};
    uint8_t back[4];
    char text[9];
    csl_hex(raw, sizeof(raw), text);
    assert_string_equal(text, "000fa5ff");
    assert_true(csl_unhex("000FA5fF", back, 4));
    assert_memory_equal(raw, back, 4);
}

static void test_unhex__anything_else__is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",   "0",    "00",   "000", "00000",
                                        "0g", "0x00", " 000", "00 0"};
    uint8_t out[2];
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_false(csl_unhex(wrong[i], out, 2));
}

static void test_span_equal__lengths_and_bytes__both_count(void **state)
{
    (void)state;
    assert_true(csl_span_equal(span_of("ab"), span_of("ab")));
    assert_false(csl_span_equal(span_of("ab"), span_of("ac")));
    assert_false(csl_span_equal(span_of("ab"), span_of("a")));
    assert_true(csl_span_equal(CSL_SPAN(NULL, 0), span_of("")));
}

static void test_buf__appends_of_every_kind__concatenate(void **state)
{
    (void)state;
    struct csl_buf b;
    csl_buf_init(&b, 1000);
    assert_string_equal(csl_buf_text(&b), "");
    csl_buf_str(&b, "n=");
    csl_buf_printf(&b, "%d;", 42);
    csl_buf_append(&b, "", 0);
    csl_buf_u8(&b, 1);
    csl_buf_le16(&b, 0x0302);
    csl_buf_le32(&b, 0x07060504);
    csl_buf_le64(&b, 0x0f0e0d0c0b0a0908);
    assert_int_equal(csl_buf_status(&b, NULL), CSL_OK);
    assert_int_equal(b.n, 20);
    assert_memory_equal(b.p, "n=42;", 5);
    for (uint8_t i = 1; i <= 15; i++)
        assert_int_equal(b.p[4 + i], i);
    assert_int_equal(csl_load_le64(b.p + 12), 0x0f0e0d0c0b0a0908);
    struct csl_msg m = csl_buf_take(&b);
    assert_int_equal(m.n, 20);
    assert_int_equal(b.n, 0);
    csl_msg_release(&m);
    csl_buf_release(&b);
}

static void test_buf__one_byte_over_maximum__is_poisoned_for_good(void **state)
{
    (void)state;
    struct csl_buf b;
    struct csl_err err;
    csl_buf_init(&b, 5);
    csl_buf_str(&b, "12345");
    assert_int_equal(csl_buf_status(&b, &err), CSL_OK);
    csl_buf_str(&b, "6");
    csl_buf_str(&b, "");
    assert_int_equal(csl_buf_status(&b, &err), CSL_E_LIMIT);
    assert_string_equal(csl_buf_text(&b), "12345");
    csl_buf_release(&b);
}

/* Any single allocation may fail: the status says so, nothing is lost, nothing leaks. */
static void test_buf__each_allocation_fails__status_is_nomem(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct csl_buf b;
        csl_buf_init(&b, 1 << 16);
        csl_mem_fail_after(n);
        for (int i = 0; i < 1000; i++)
            csl_buf_printf(&b, "%d,", i);
        uint64_t asked = csl_mem_fail_after(0);
        enum csl_code code = csl_buf_status(&b, NULL);
        csl_buf_release(&b);
        if (asked < n) {
            assert_int_equal(code, CSL_OK);
            assert_true(n > 3);
            break;
        }
        assert_int_equal(code, CSL_E_NOMEM);
    }
}

static void test_msg_copy__of_bytes_and_of_nothing__owns_them(void **state)
{
    (void)state;
    struct csl_msg m, empty;
    assert_int_equal(csl_msg_copy(&m, span_of("abc"), NULL), CSL_OK);
    assert_int_equal(csl_msg_copy(&empty, CSL_SPAN(NULL, 0), NULL), CSL_OK);
    assert_true(csl_span_equal(csl_msg_span(&m), span_of("abc")));
    csl_msg_release(&m);
    csl_msg_release(&m);
    csl_msg_release(&empty);
    assert_null(m.p);
    csl_mem_fail_after(1);
    assert_int_equal(csl_msg_copy(&m, span_of("abc"), NULL), CSL_E_NOMEM);
    csl_mem_fail_after(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hex__round_trip__is_identity),
        cmocka_unit_test(test_unhex__anything_else__is_refused),
        cmocka_unit_test(test_span_equal__lengths_and_bytes__both_count),
        cmocka_unit_test(test_buf__appends_of_every_kind__concatenate),
        cmocka_unit_test(test_buf__one_byte_over_maximum__is_poisoned_for_good),
        cmocka_unit_test(test_buf__each_allocation_fails__status_is_nomem),
        cmocka_unit_test(test_msg_copy__of_bytes_and_of_nothing__owns_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
