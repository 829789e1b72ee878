/* The CUDA plug-in as a file that may be missing or wrong: refused in words, never a crash. Runs on
 * machines with and without CUDA; the plug-ins are this test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "site-agent/training/compute/cuda/load.h"

#include <string.h>

#define ANY_LIBRARY "libc.so.6" /* in place of a driver, where the driver is not what is tested */

static void assert_refused(const char *driver, const char *path, enum csl_code code,
                           const char *words)
{
    const struct csl_compute_ops *const untouched = csl_compute_cpu_ref();
    const struct csl_compute_ops *ops = untouched;
    struct csl_err err = {0};
    assert_int_equal(csl_cuda_load(driver, path, &ops, &err), code);
    assert_ptr_equal(ops, untouched);
    if (strstr(err.msg, words) == NULL)
        fail_msg("found \"%s\", without \"%s\"", err.msg, words);
}

static void test_load__no_file__is_not_found(void **state)
{
    (void)state;
    assert_refused(ANY_LIBRARY, CSL_TEST_PLUGINS "/libnot_there.so", CSL_E_NOTFOUND,
                   "not installed");
}

static void test_load__no_driver__is_said_before_the_plugin_is_touched(void **state)
{
    (void)state;
    assert_refused("libcsl-no-such-driver.so.1", CSL_TEST_PLUGINS "/libcsl_plugin_refuses.so",
                   CSL_E_UNSUPPORTED, "no NVIDIA driver");
}

static void test_load__file_that_is_no_library__is_refused(void **state)
{
    (void)state;
    assert_refused(ANY_LIBRARY, "CMakeLists.txt", CSL_E_UNSUPPORTED, "cannot be loaded");
}

static void test_load__library_that_is_no_plugin__is_refused(void **state)
{
    (void)state;
    assert_refused(ANY_LIBRARY, CSL_TEST_PLUGINS "/libcsl_plugin_nameless.so", CSL_E_UNSUPPORTED,
                   "no plug-in of Consilium");
}

static void test_load__plugin_of_another_version__is_refused(void **state)
{
    (void)state;
    assert_refused(ANY_LIBRARY, CSL_TEST_PLUGINS "/libcsl_plugin_other_abi.so", CSL_E_UNSUPPORTED,
                   "another version");
    assert_refused(ANY_LIBRARY, CSL_TEST_PLUGINS "/libcsl_plugin_refuses.so", CSL_E_UNSUPPORTED,
                   "another version");
}

static void test_plugin_path__of_this_program__ends_beside_it(void **state)
{
    (void)state;
    char path[4096], small[8];
    struct csl_err err = {0};
    assert_int_equal(csl_cuda_plugin_path(path, sizeof(path), &err), CSL_OK);
    assert_true(path[0] == '/');
    size_t n = strlen(path), tail = strlen(CSL_CUDA_PLUGIN_FILE);
    assert_true(n > tail && path[n - tail - 1] == '/');
    assert_string_equal(path + n - tail, CSL_CUDA_PLUGIN_FILE);
    assert_int_equal(csl_cuda_plugin_path(small, sizeof(small), &err), CSL_E_LIMIT);
}

/* Whatever this machine has, both answers are of one mind. */
static void test_cuda__on_this_machine__is_there_or_says_why_not(void **state)
{
    (void)state;
    const struct csl_compute_ops *ops = NULL;
    struct csl_err err = {0};
    enum csl_code code = csl_compute_find("cuda", &ops, &err);
    if (csl_compute_cuda() == NULL) {
        assert_int_equal(code, CSL_E_UNSUPPORTED);
        assert_true(csl_cuda_refusal()[0] != '\0');
        assert_non_null(strstr(err.msg, "auto or cpu-ref always works"));
    } else {
        assert_string_equal(csl_cuda_refusal(), "");
        assert_true(code == CSL_OK ? ops == csl_compute_cuda() : err.msg[0] != '\0');
    }
    assert_int_equal(csl_compute_find("auto", &ops, &err), CSL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load__no_file__is_not_found),
        cmocka_unit_test(test_load__no_driver__is_said_before_the_plugin_is_touched),
        cmocka_unit_test(test_load__file_that_is_no_library__is_refused),
        cmocka_unit_test(test_load__library_that_is_no_plugin__is_refused),
        cmocka_unit_test(test_load__plugin_of_another_version__is_refused),
        cmocka_unit_test(test_plugin_path__of_this_program__ends_beside_it),
        cmocka_unit_test(test_cuda__on_this_machine__is_there_or_says_why_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
