/* The JSON writer and reader. */
#include "base/json.h"
#include "base/mem.h"
#include "tests/unit/base/fixture.h"

#include <math.h>
#include <string.h>

static void write_example(struct csl_json *j)
{
    csl_json_object(j);
    csl_json_put_str(j, "name", "a\"b\\c\n\x01\xc3\xa9\xff");
    csl_json_put_u64(j, "big", UINT64_MAX);
    csl_json_key(j, "list");
    csl_json_array(j);
    csl_json_i64(j, -1);
    csl_json_f64(j, 0.1);
    csl_json_f64(j, (double)NAN);
    csl_json_null(j);
    csl_json_array(j);
    csl_json_end(j);
    csl_json_end(j);
    csl_json_put_bool(j, "yes", true);
    csl_json_put_f64(j, "one", 1);
    csl_json_key(j, "empty");
    csl_json_object(j);
    csl_json_end(j);
    csl_json_end(j);
}

static void test_json__written_plain__is_exact(void **state)
{
    (void)state;
    struct csl_buf b;
    struct csl_json j;
    csl_buf_init(&b, 4096);
    csl_json_init(&j, &b, false);
    write_example(&j);
    assert_string_equal(csl_buf_text(&b),
                        "{\"name\":\"a\\\"b\\\\c\\n\\u0001\xc3\xa9\\ufffd\","
                        "\"big\":18446744073709551615,\"list\":[-1,0.1,null,null,[]],"
                        "\"yes\":true,\"one\":1,\"empty\":{}}");
    csl_buf_release(&b);
}

static void test_json__written_pretty__is_indented(void **state)
{
    (void)state;
    struct csl_buf b;
    struct csl_json j;
    csl_buf_init(&b, 4096);
    csl_json_init(&j, &b, true);
    csl_json_object(&j);
    csl_json_key(&j, "a");
    csl_json_array(&j);
    csl_json_u64(&j, 1);
    csl_json_u64(&j, 2);
    csl_json_end(&j);
    csl_json_end(&j);
    assert_string_equal(csl_buf_text(&b), "{\n  \"a\": [\n    1,\n    2\n  ]\n}\n");
    csl_buf_release(&b);
}

static void value_without_key(void *arg)
{
    csl_json_object(arg);
    csl_json_u64(arg, 1);
}
static void key_in_array(void *arg)
{
    csl_json_array(arg);
    csl_json_key(arg, "k");
}
static void end_after_key(void *arg)
{
    csl_json_object(arg);
    csl_json_key(arg, "k");
    csl_json_end(arg);
}
static void end_of_nothing(void *arg)
{
    csl_json_end(arg);
}
static void too_deep(void *arg)
{
    for (int i = 0; i < 33; i++)
        csl_json_array(arg);
}

static void test_json__misused__aborts(void **state)
{
    (void)state;
    void (*const wrong[])(void *) = {value_without_key, key_in_array, end_after_key, end_of_nothing,
                                     too_deep};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct csl_buf b;
        struct csl_json j;
        csl_buf_init(&b, 4096);
        csl_json_init(&j, &b, false);
        assert_true(aborts(wrong[i], &j));
        csl_buf_release(&b);
    }
}

static void test_json__parsed__gives_every_value_in_file_order(void **state)
{
    (void)state;
    struct csl_json_doc *d;
    const char *text = "{\"z\": [1, 2.5, -3, \"t\"], \"a\": true, \"m\": {\"n\": null}}";
    assert_int_equal(csl_json_parse(&d, "f.json", span_of(text), NULL), CSL_OK);
    const struct csl_json_value *root = csl_json_root(d), *list = csl_json_get(root, "z");
    uint64_t u = 9;
    double f = 9;
    bool b = false;
    const char *s = NULL, *key = NULL;
    assert_int_equal(csl_json_count(root), 3);
    assert_int_equal(csl_json_count(list), 4);
    assert_true(csl_json_as_u64(csl_json_at(list, 0), &u) && u == 1);
    assert_false(csl_json_as_u64(csl_json_at(list, 1), &u));
    assert_false(csl_json_as_u64(csl_json_at(list, 2), &u));
    assert_true(csl_json_as_f64(csl_json_at(list, 2), &f) && f < -2.9 && f > -3.1);
    assert_true(csl_json_as_str(csl_json_at(list, 3), &s));
    assert_string_equal(s, "t");
    assert_null(csl_json_at(list, 4));
    assert_ptr_equal(csl_json_member_at(root, 0, &key), list);
    assert_string_equal(key, "z");
    assert_true(csl_json_as_bool(csl_json_member_at(root, 1, &key), &b) && b);
    assert_string_equal(key, "a");
    assert_null(csl_json_member_at(root, 3, &key));
    assert_null(csl_json_get(root, "nothing"));
    assert_null(csl_json_get(NULL, "nothing"));
    assert_null(csl_json_get(list, "z"));
    assert_false(csl_json_as_str(NULL, &s));
    assert_int_equal(csl_json_count(csl_json_member_at(root, 1, NULL)), 0);
    csl_json_free(d);
    csl_json_free(NULL);
}

static void test_json__bad_text__is_refused_with_place(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "{",
                                        "{\"a\":1,\"a\":2}",
                                        "{\"a\":1} x",
                                        "[1,]",
                                        "{a:1}",
                                        "[NaN]",
                                        "[\"\xff\"]",
                                        "[\"\\u0000\"]",
                                        "1",
                                        "[1e999]",
                                        "[99999999999999999999]"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct csl_json_doc *d = NULL;
        struct csl_err err;
        assert_int_equal(csl_json_parse(&d, "f.json", span_of(wrong[i]), &err), CSL_E_INVAL);
        assert_null(d);
        assert_memory_equal(err.msg, "f.json:", 7);
    }
}

static void test_json__each_allocation_fails__is_nomem_without_leaks(void **state)
{
    (void)state;
    const char *text = "{\"a\": [1, 2.5, \"text\"], \"b\": {\"c\": true}}";
    for (uint64_t n = 1;; n++) {
        struct csl_json_doc *d = NULL;
        struct csl_err err;
        csl_mem_fail_after(n);
        enum csl_code code = csl_json_parse(&d, "f.json", span_of(text), &err);
        uint64_t asked = csl_mem_fail_after(0);
        if (asked < n) {
            assert_int_equal(code, CSL_OK);
            assert_true(n > 5);
            csl_json_free(d);
            break;
        }
        /* jansson does not always tell want of memory from a bad text: an error it is. */
        assert_int_not_equal(code, CSL_OK);
        assert_null(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json__written_plain__is_exact),
        cmocka_unit_test(test_json__written_pretty__is_indented),
        cmocka_unit_test(test_json__misused__aborts),
        cmocka_unit_test(test_json__parsed__gives_every_value_in_file_order),
        cmocka_unit_test(test_json__bad_text__is_refused_with_place),
        cmocka_unit_test(test_json__each_allocation_fails__is_nomem_without_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
