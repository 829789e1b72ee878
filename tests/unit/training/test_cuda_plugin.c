/* The plug-in that nvcc built: it loads without a driver, and says that there is none. Exit status
 * 77 (skipped) when it was not built. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "site-agent/training/compute/cuda/load.h"

#include <stdio.h>
#include <string.h>

static char plugin[4096];

/* Any library stands in for the driver, so that the plug-in is loaded on every machine. */
static void test_plugin__stand_in_driver__loads_and_answers_politely(void **state)
{
    (void)state;
    const struct csl_compute_ops *ops = NULL;
    struct csl_err err = {0};
    uint32_t devices = 0;
    enum csl_code code = csl_cuda_load("libc.so.6", plugin, &ops, &err);
    if (code != CSL_OK)
        fail_msg("%s", err.msg);
    assert_string_equal(ops->name, "cuda");
    assert_int_equal(ops->abi, CSL_COMPUTE_ABI);
    assert_int_equal(ops->size, sizeof(*ops));
    code = ops->probe(&devices, &err);
    assert_true(code == CSL_OK || code == CSL_E_UNSUPPORTED);
    if (code == CSL_OK && devices > 0)
        return; /* a GPU: test_compute and the others run on it */
    assert_int_equal(devices, 0);
    if (code != CSL_OK)
        assert_non_null(strstr(err.msg, "CUDA driver"));
    struct csl_dev *untouched = (struct csl_dev *)(void *)&devices, *dev = untouched;
    assert_int_not_equal(ops->open(0, &dev, &err), CSL_OK);
    assert_ptr_equal(dev, untouched);
    assert_non_null(strstr(err.msg, "GPU 0 cannot be opened"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plugin__stand_in_driver__loads_and_answers_politely),
    };
    FILE *f = NULL;
    if (csl_cuda_plugin_path(plugin, sizeof(plugin), NULL) == CSL_OK)
        f = fopen(plugin, "rb");
    if (f == NULL) {
        printf("SKIPPED: no CUDA plug-in in this build (no nvcc, or CSL_CUDA=OFF)\n");
        return 77;
    }
    fclose(f);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
