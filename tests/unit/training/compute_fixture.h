/* tests/unit/training/compute_fixture.h - the same operation on a backend and on cpu-ref. */
#ifndef CSL_TEST_COMPUTE_FIXTURE_H
#define CSL_TEST_COMPUTE_FIXTURE_H
#include "tests/unit/training/backends.h"

#define FLOATS 70000

/* One device with one buffer: floats at 0, wider items from `wide` on. */
struct bench {
    const struct csl_compute_ops *ops;
    struct csl_dev *dev;
    struct csl_cbuf *floats, *wide;
};

void bench_open(struct bench *b, const struct csl_compute_ops *ops);
void bench_close(struct bench *b);
struct csl_view at(const struct bench *b, uint64_t first, uint64_t count);
struct csl_view wide_at(const struct bench *b, uint64_t first, uint64_t count);
/* The same pseudo-random floats in [-1, 1) in every buffer; the wide one is 0. */
void fill(struct bench *b);
/* Valid until the call after the next one. */
const float *read_floats(struct bench *b, uint64_t first, uint64_t count);
/* |a - b| <= allowed * (1 + |b|) for every element */
void assert_near(struct bench *a, struct bench *b, uint64_t first, uint64_t count, double allowed,
                 const char *what);
/* Runs the operations on both backends from equal contents and compares the whole buffer. */
#define COMPARE(allowed, what, ...)                                                                \
    do {                                                                                           \
        for (int which = 0; which < 2; which++) {                                                  \
            struct bench *b = which == 0 ? &have : &want;                                          \
            fill(b);                                                                               \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
        assert_near(&have, &want, 0, FLOATS, allowed, what);                                       \
    } while (0)

#endif
