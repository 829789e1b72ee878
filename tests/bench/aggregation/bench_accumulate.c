/* How fast the accumulator folds float32 input, beside a plain copy of the same bytes in the same
 * run. Prints figures; they depend on the machine and its load, so none of them fails the program.
 */
#include "aggregation/accumulate.h"
#include "base/clock.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SLICE = 65536, REPEATS = 7 }; /* 256 KiB of float32 per call */

static double seconds_since(uint64_t start_ns)
{
    return (double)(csl_clock_monotonic_ns() - start_ns) * 1e-9;
}

static void measure(const char *label, uint64_t parameters)
{
    struct csl_schema *schema = csl_alloc(sizeof(*schema));
    struct csl_accumulator *acc = NULL;
    float *x = csl_alloc_array(parameters, sizeof(*x));
    float *y = csl_alloc_array(parameters, sizeof(*y));
    assert_true(schema != NULL && x != NULL && y != NULL);
    csl_schema_init(schema);
    assert_int_equal(csl_schema_add_block(schema, "a", CSL_BLOCK_SHARED, NULL), CSL_OK);
    assert_int_equal(csl_schema_add_tensor(schema, "w", 1, &parameters, CSL_INIT_UNIFORM, 1, NULL),
                     CSL_OK);
    assert_int_equal(csl_schema_seal(schema, NULL), CSL_OK);
    assert_int_equal(csl_accumulator_new(&acc, schema, 1, NULL), CSL_OK);
    csl_schema_init_parameters(schema, 1, x);
    double bytes = (double)parameters * 4, fold_s = 1e9, copy_s = 1e9;
    for (int r = 0; r < REPEATS; r++) {
        uint64_t start = csl_clock_monotonic_ns();
        assert_int_equal(csl_accumulator_begin(acc, 0, 0.125, NULL), CSL_OK);
        for (uint64_t at = 0; at < parameters; at += SLICE) {
            uint64_t n = parameters - at < SLICE ? parameters - at : SLICE;
            assert_int_equal(csl_accumulator_add(acc, 0, 0, at, x + at, n, 0.125, NULL), CSL_OK);
        }
        double s = seconds_since(start);
        fold_s = s < fold_s ? s : fold_s;
        start = csl_clock_monotonic_ns();
        memcpy(y, x, (size_t)bytes);
        s = seconds_since(start);
        copy_s = s < copy_s ? s : copy_s;
        x[r] += y[parameters - 1] * 0.5F; /* keeps the copy alive */
    }
    printf("%-28s fold %6.2f GB/s of float32 input, memcpy %6.2f GB/s, ratio %.2f\n", label,
           bytes / fold_s * 1e-9, bytes / copy_s * 1e-9, copy_s / fold_s);
    csl_accumulator_free(acc);
    csl_free(y);
    csl_free(x);
    csl_free(schema);
}

static void bench_accumulate__cache_and_memory__printed(void **state)
{
    (void)state;
    assert_int_equal(csl_crypto_init(NULL), CSL_OK);
    measure("10,000 parameters", 10000);
    measure("100,000 parameters", 100000);
    measure("25,000,000 parameters", 25000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bench_accumulate__cache_and_memory__printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
