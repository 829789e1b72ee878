#include "privacy/secagg/rotation.h"

#include "base/check.h"
#include "base/clones.h"
#include "privacy/crypto/rng.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define LABEL "secagg/rotation"

/* Three stages of the transform at once, on eight values. */
static inline __attribute__((always_inline)) void butterfly8(float *x, size_t h)
{
    float a0 = x[0] + x[h], a1 = x[0] - x[h];
    float a2 = x[2 * h] + x[3 * h], a3 = x[2 * h] - x[3 * h];
    float a4 = x[4 * h] + x[5 * h], a5 = x[4 * h] - x[5 * h];
    float a6 = x[6 * h] + x[7 * h], a7 = x[6 * h] - x[7 * h];
    float b0 = a0 + a2, b1 = a1 + a3, b2 = a0 - a2, b3 = a1 - a3;
    float b4 = a4 + a6, b5 = a5 + a7, b6 = a4 - a6, b7 = a5 - a7;
    x[0] = b0 + b4;
    x[h] = b1 + b5;
    x[2 * h] = b2 + b6;
    x[3 * h] = b3 + b7;
    x[4 * h] = b0 - b4;
    x[5 * h] = b1 - b5;
    x[6 * h] = b2 - b6;
    x[7 * h] = b3 - b7;
}

/* x := H x, without the scaling. n = 2^k, k >= 3. The stages commute; those of stride 1, 2 and 4
 * come first, three more at a time while there are three, then the rest one by one. */
CSL_CLONES
static void transform(float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i += 8)
        butterfly8(x + i, 1);
    size_t h = 8;
    for (; h * 8 <= n; h *= 8) {
        for (size_t i = 0; i < n; i += 8 * h) {
            CSL_IVDEP
            for (size_t j = 0; j < h; j++)
                butterfly8(x + i + j, h);
        }
    }
    for (; h < n; h *= 2) {
        for (size_t i = 0; i < n; i += 2 * h) {
            CSL_IVDEP
            for (size_t j = i; j < i + h; j++) {
                float a = x[j], b = x[j + h];
                x[j] = a + b;
                x[j + h] = a - b;
            }
        }
    }
}

/* x[i] *= +-scale, the sign from bit i. */
CSL_CLONES
static void multiply_signs(float *restrict x, const uint8_t *restrict signs, size_t n, float scale)
{
    for (size_t i = 0; i < n / 8; i++) {
        for (unsigned k = 0; k < 8; k++) {
            uint32_t sign = ((uint32_t)signs[i] << (31 - k)) & UINT32_C(0x80000000), bits;
            float y = x[8 * i + k] * scale;
            memcpy(&bits, &y, sizeof(bits));
            bits ^= sign;
            memcpy(&x[8 * i + k], &bits, sizeof(bits));
        }
    }
}

static size_t size_of(const struct csl_rotation *r)
{
    CSL_ASSERT(r->size_log2 >= CSL_ROTATION_LOG2_MIN && r->size_log2 <= CSL_ROTATION_LOG2_MAX);
    return (size_t)1 << r->size_log2;
}

static void apply_signs(const struct csl_rotation *r, uint64_t block, float *x, size_t n)
{
    uint8_t signs[(1 << CSL_ROTATION_LOG2_MAX) / 8];
    struct csl_rng stream;
    csl_rng_init_key(&stream, r->key, LABEL, block, 0);
    csl_rng_bytes(&stream, signs, n / 8);
    multiply_signs(x, signs, n, (float)(1.0 / sqrt((double)n)));
}

void csl_rotation_forward(const struct csl_rotation *r, uint64_t block, float *x)
{
    size_t n = size_of(r);
    apply_signs(r, block, x, n);
    transform(x, n);
}

void csl_rotation_inverse(const struct csl_rotation *r, uint64_t block, float *x)
{
    size_t n = size_of(r);
    transform(x, n);
    apply_signs(r, block, x, n);
}
