/* The fast transform against its definition as a matrix. Fixed seeds. */
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"
#include "privacy/secagg/rotation.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { SIZE_MAX_ = 1 << CSL_ROTATION_LOG2_MAX };

static struct csl_rotation rotation_of(uint32_t size_log2)
{
    struct csl_rotation r = {.size_log2 = size_log2};
    for (uint8_t i = 0; i < 32; i++)
        r.key[i] = (uint8_t)(7 * i);
    return r;
}

static void draw(float *x, size_t n, uint64_t seed)
{
    struct csl_rng r;
    csl_rng_init_label(&r, seed, "rotation", 0, 0, 0);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)csl_rng_normal(&r);
}

/* y = H D x / sqrt(n), entry by entry, in double. */
static void slow_forward(const struct csl_rotation *r, uint64_t block, const float *x, double *y)
{
    size_t n = (size_t)1 << r->size_log2;
    uint8_t signs[SIZE_MAX_ / 8];
    struct csl_rng stream;
    csl_rng_init_key(&stream, r->key, "secagg/rotation", block, 0);
    csl_rng_bytes(&stream, signs, n / 8);
    for (size_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (size_t j = 0; j < n; j++) {
            unsigned minus = signs[j / 8] >> (j % 8) & 1;
            minus ^= (unsigned)__builtin_popcountll(i & j) & 1;
            sum += minus != 0 ? -(double)x[j] : (double)x[j];
        }
        y[i] = sum / sqrt((double)n);
    }
}

static void test_rotation__every_size__is_the_matrix(void **state)
{
    (void)state;
    static float x[SIZE_MAX_], y[SIZE_MAX_];
    static double expected[SIZE_MAX_];
    for (uint32_t size = CSL_ROTATION_LOG2_MIN; size <= CSL_ROTATION_LOG2; size++) {
        struct csl_rotation r = rotation_of(size);
        size_t n = (size_t)1 << size;
        draw(x, n, size);
        memcpy(y, x, sizeof(x));
        csl_rotation_forward(&r, 3, y);
        slow_forward(&r, 3, x, expected);
        double error = 0.0, norm = 0.0;
        for (size_t i = 0; i < n; i++) {
            error += ((double)y[i] - expected[i]) * ((double)y[i] - expected[i]);
            norm += expected[i] * expected[i];
        }
        assert_true(sqrt(error / norm) < 0x1p-20);
    }
}

static void test_rotation__inverse__returns_the_vector_and_the_norm_stays(void **state)
{
    (void)state;
    static float x[SIZE_MAX_], y[SIZE_MAX_];
    for (uint32_t size = CSL_ROTATION_LOG2_MIN; size <= CSL_ROTATION_LOG2_MAX; size++) {
        struct csl_rotation r = rotation_of(size);
        size_t n = (size_t)1 << size;
        double before = 0.0, after = 0.0, error = 0.0;
        draw(x, n, 100 + size);
        memcpy(y, x, sizeof(x));
        csl_rotation_forward(&r, size, y);
        for (size_t i = 0; i < n; i++) {
            before += (double)x[i] * (double)x[i];
            after += (double)y[i] * (double)y[i];
        }
        csl_rotation_inverse(&r, size, y);
        for (size_t i = 0; i < n; i++)
            error += ((double)y[i] - (double)x[i]) * ((double)y[i] - (double)x[i]);
        assert_true(fabs(sqrt(after / before) - 1.0) < 0x1p-20);
        assert_true(sqrt(error / before) < 0x1p-20);
    }
}

static void test_rotation__one_large_entry__is_spread_evenly(void **state)
{
    (void)state;
    static float x[SIZE_MAX_];
    struct csl_rotation r = rotation_of(CSL_ROTATION_LOG2);
    x[1234] = 64.0F;
    csl_rotation_forward(&r, 0, x);
    for (size_t i = 0; i < 1 << CSL_ROTATION_LOG2; i++)
        assert_true(fabsf(x[i]) == 1.0F);
}

/* In a block of 2^12, how many signs two streams have in common is Binomial(4096, 1/2), sd 32: off
 * by more than 200 with probability below 1e-9. */
static void test_rotation__other_block_or_key__other_signs(void **state)
{
    (void)state;
    static float a[SIZE_MAX_], b[SIZE_MAX_], c[SIZE_MAX_];
    struct csl_rotation r = rotation_of(CSL_ROTATION_LOG2), other = r;
    other.key[31] ^= 1;
    size_t n = (size_t)1 << CSL_ROTATION_LOG2;
    a[0] = b[0] = c[0] = 1.0F; /* the inverse of a unit vector shows the signs */
    csl_rotation_inverse(&r, 0, a);
    csl_rotation_inverse(&r, 1, b);
    csl_rotation_inverse(&other, 0, c);
    int64_t same_block = 0, same_key = 0;
    for (size_t i = 0; i < n; i++) {
        same_block += a[i] == b[i];
        same_key += a[i] == c[i];
    }
    assert_true(same_block > 2048 - 200 && same_block < 2048 + 200);
    assert_true(same_key > 2048 - 200 && same_key < 2048 + 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rotation__every_size__is_the_matrix),
        cmocka_unit_test(test_rotation__inverse__returns_the_vector_and_the_norm_stays),
        cmocka_unit_test(test_rotation__one_large_entry__is_spread_evenly),
        cmocka_unit_test(test_rotation__other_block_or_key__other_signs),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
