/* The error table and the errors that are made from it. */
#include "base/err.h"
#include "tests/unit/base/fixture.h"

#include <errno.h>
#include <string.h>

static void test_err__fail_with_text__fills_every_field(void **state)
{
    (void)state;
    struct csl_err e = {.sys_errno = 99};
    assert_int_equal(CSL_FAIL(&e, CSL_E_LIMIT, "%d of %d", 3, 2), CSL_E_LIMIT);
    assert_int_equal(e.code, CSL_E_LIMIT);
    assert_string_equal(e.msg, "3 of 2");
    assert_int_equal(e.sys_errno, 0);
    assert_non_null(strstr(e.file, "test_err.c"));
    assert_true(e.line > 0);
}

static void test_err__fail_without_place_for_it__returns_code(void **state)
{
    (void)state;
    assert_int_equal(CSL_FAIL(NULL, CSL_E_IO, "%s", "lost"), CSL_E_IO);
}

static void test_err__fail_sys__appends_text_of_errno(void **state)
{
    (void)state;
    struct csl_err e;
    errno = ENOENT;
    (void)CSL_FAIL_SYS(&e, CSL_E_NOTFOUND, "cannot open %s", "x");
    assert_int_equal(e.sys_errno, ENOENT);
    assert_string_equal(e.msg, "cannot open x: No such file or directory");
}

static void test_err__text_too_long__is_cut_and_terminated(void **state)
{
    (void)state;
    char text[2 * CSL_ERR_MSG_MAX];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    struct csl_err e;
    (void)CSL_FAIL(&e, CSL_E_BUG, "%s", text);
    assert_int_equal(strlen(e.msg), CSL_ERR_MSG_MAX - 1);
}

static void test_err__grpc_status__round_trips_to_a_code_of_that_status(void **state)
{
    (void)state;
    for (int status = 0; status <= 16; status++) {
        enum csl_code code = csl_code_from_grpc(status);
        bool has_own_code = status != 2 && status != 10 && status != 11;
        assert_int_equal(csl_code_grpc(code), has_own_code ? status : 13);
    }
    assert_int_equal(csl_code_from_grpc(0), CSL_OK);
    assert_int_equal(csl_code_from_grpc(-1), CSL_E_BUG);
    assert_int_equal(csl_code_from_grpc(17), CSL_E_BUG);
}

static void test_err__table__has_name_and_text_for_every_code(void **state)
{
    (void)state;
    for (int i = 0; i <= CSL_E_END; i++) {
        assert_true(strlen(csl_code_name((enum csl_code)i)) > 0);
        assert_true(strlen(csl_code_text((enum csl_code)i)) > 0);
    }
    assert_string_equal(csl_code_name(CSL_E_LIMIT), "LIMIT");
    assert_string_equal(csl_code_name((enum csl_code)9999), "BUG");
    assert_int_equal(csl_code_retryable(CSL_E_UNAVAIL), 1);
    assert_int_equal(csl_code_retryable(CSL_E_CORRUPT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err__fail_with_text__fills_every_field),
        cmocka_unit_test(test_err__fail_without_place_for_it__returns_code),
        cmocka_unit_test(test_err__fail_sys__appends_text_of_errno),
        cmocka_unit_test(test_err__text_too_long__is_cut_and_terminated),
        cmocka_unit_test(test_err__grpc_status__round_trips_to_a_code_of_that_status),
        cmocka_unit_test(test_err__table__has_name_and_text_for_every_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
