#include "tests/unit/training/compute_fixture.h"

#include "privacy/crypto/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

void bench_open(struct bench *b, const struct csl_compute_ops *ops)
{
    uint32_t devices = 0;
    *b = (struct bench){.ops = ops};
    assert_int_equal(ops->abi, CSL_COMPUTE_ABI);
    assert_int_equal(ops->size, sizeof(struct csl_compute_ops));
    assert_int_equal(ops->probe(&devices, NULL), CSL_OK);
    assert_true(devices >= 1);
    assert_int_equal(ops->open(0, &b->dev, NULL), CSL_OK);
    assert_int_equal(ops->alloc(b->dev, FLOATS * sizeof(float), &b->floats, NULL), CSL_OK);
    assert_int_equal(ops->alloc(b->dev, FLOATS * sizeof(double), &b->wide, NULL), CSL_OK);
}

void bench_close(struct bench *b)
{
    assert_int_equal(b->ops->sync(b->dev, NULL), CSL_OK);
    b->ops->free(b->floats);
    b->ops->free(b->wide);
    b->ops->free(NULL);
    b->ops->close(b->dev);
}

struct csl_view at(const struct bench *b, uint64_t first, uint64_t count)
{
    return (struct csl_view){b->floats, first, count};
}

struct csl_view wide_at(const struct bench *b, uint64_t first, uint64_t count)
{
    return (struct csl_view){b->wide, first, count};
}

/* The same pseudo-random floats in [-1, 1) in every buffer. */
void fill(struct bench *b)
{
    static float values[FLOATS];
    struct csl_rng rng;
    csl_rng_init_label(&rng, 1, "test/compute", 0, 0, 0);
    for (size_t i = 0; i < FLOATS; i++)
        values[i] = (float)(2 * csl_rng_uniform(&rng) - 1);
    b->ops->put(b->dev, b->floats, 0, values, sizeof(values));
    b->ops->zero(b->dev, (struct csl_view){b->wide, 0, 2 * FLOATS});
}

const float *read_floats(struct bench *b, uint64_t first, uint64_t count)
{
    static float values[2][FLOATS];
    static int turn;
    float *v = values[turn ^= 1];
    b->ops->get(b->dev, v, b->floats, first * sizeof(float), count * sizeof(float));
    assert_int_equal(b->ops->sync(b->dev, NULL), CSL_OK);
    return v;
}

void assert_near(struct bench *a, struct bench *b, uint64_t first, uint64_t count, double allowed,
                 const char *what)
{
    const float *x = read_floats(a, first, count), *y = read_floats(b, first, count);
    for (uint64_t i = 0; i < count; i++)
        if (!(fabs((double)x[i] - (double)y[i]) <= allowed * (1 + fabs((double)y[i]))))
            fail_msg("%s: element %llu is %.9g, cpu-ref has %.9g", what, (unsigned long long)i,
                     (double)x[i], (double)y[i]);
}
