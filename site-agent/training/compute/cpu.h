/* site-agent/training/compute/cpu.h - what the CPU backends share: host memory as device memory,
 * and the operations that the fast backend takes unchanged from the reference. */
#ifndef CSL_COMPUTE_CPU_H
#define CSL_COMPUTE_CPU_H
#include "base/check.h"
#include "site-agent/training/compute/compute.h"

struct csl_dev {
    uint32_t index;
};
struct csl_cbuf {
    uint8_t *bytes;
    uint64_t size;
};

/* Bounds are ours to keep: a view that leaves its buffer is a bug of the caller. */
static inline void *csl_cpu__at(struct csl_view v, uint64_t need, uint64_t item_bytes)
{
    CSL_ASSERT(v.buf != NULL && need <= v.count);
    CSL_ASSERT((v.first + need) * item_bytes <= v.buf->size);
    return v.buf->bytes + v.first * item_bytes;
}
static inline float *csl_cpu__f32(struct csl_view v, uint64_t need)
{
    return csl_cpu__at(v, need, sizeof(float));
}
static inline double *csl_cpu__f64(struct csl_view v, uint64_t need)
{
    return csl_cpu__at(v, need, sizeof(double));
}
static inline uint64_t *csl_cpu__u64(struct csl_view v, uint64_t need)
{
    return csl_cpu__at(v, need, sizeof(uint64_t));
}
static inline uint32_t *csl_cpu__u32(struct csl_view v, uint64_t need)
{
    return csl_cpu__at(v, need, sizeof(uint32_t));
}
static inline uint8_t *csl_cpu__u8(struct csl_view v, uint64_t need)
{
    return csl_cpu__at(v, need, 1);
}

/* cpu_ref.c */
enum csl_code csl_cpu__probe(uint32_t *devices, struct csl_err *err);
enum csl_code csl_cpu__open(uint32_t index, struct csl_dev **out, struct csl_err *err);
void csl_cpu__close(struct csl_dev *d);
enum csl_code csl_cpu__alloc(struct csl_dev *d, uint64_t bytes, struct csl_cbuf **out,
                             struct csl_err *err);
void csl_cpu__free(struct csl_cbuf *b);
void csl_cpu__put(struct csl_dev *d, struct csl_cbuf *dst, uint64_t at, const void *src,
                  uint64_t bytes);
void csl_cpu__put_rows(struct csl_dev *d, struct csl_cbuf *dst, uint64_t at, const void *table,
                       uint64_t row_bytes, const uint32_t *rows, uint64_t count);
void csl_cpu__get(struct csl_dev *d, void *dst, const struct csl_cbuf *src, uint64_t at,
                  uint64_t bytes);
void csl_cpu__add_u64(struct csl_dev *d, struct csl_view acc, struct csl_view x);
void csl_cpu__encode_u64(struct csl_dev *d, struct csl_view f32_in, double scale,
                         struct csl_view u64_out);
void csl_cpu__decode_f32(struct csl_dev *d, struct csl_view u64_in, double scale,
                         struct csl_view f32_out);
void csl_cpu__zero(struct csl_dev *d, struct csl_view f32_out);
void csl_cpu__sumsq_f32(struct csl_dev *d, struct csl_view x, struct csl_view f64_out);
void csl_cpu__add_bias(struct csl_dev *d, uint64_t rows, uint64_t cols, struct csl_view bias,
                       struct csl_view x);
void csl_cpu__scale_rows(struct csl_dev *d, uint64_t rows, uint64_t cols, struct csl_view scale,
                         struct csl_view x, struct csl_view y);
void csl_cpu__relu(struct csl_dev *d, struct csl_view x, struct csl_view y);
void csl_cpu__relu_backward(struct csl_dev *d, struct csl_view x, struct csl_view grad_out,
                            struct csl_view grad_in);
enum csl_code csl_cpu__sync(struct csl_dev *d, struct csl_err *err);
/* cpu_loss.c; double throughout */
void csl_cpu__loss(struct csl_dev *d, const struct csl_loss *l);

/* The rows of a CPU backend's table that are the reference's; loops as good as any other. */
#define CSL_CPU_SHARED_OPS                                                                         \
    .abi = CSL_COMPUTE_ABI, .size = sizeof(struct csl_compute_ops), .probe = csl_cpu__probe,       \
    .open = csl_cpu__open, .close = csl_cpu__close, .alloc = csl_cpu__alloc,                       \
    .free = csl_cpu__free, .put = csl_cpu__put, .put_rows = csl_cpu__put_rows,                     \
    .get = csl_cpu__get, .add_u64 = csl_cpu__add_u64, .encode_u64 = csl_cpu__encode_u64,           \
    .decode_f32 = csl_cpu__decode_f32, .zero = csl_cpu__zero, .sumsq_f32 = csl_cpu__sumsq_f32,     \
    .add_bias = csl_cpu__add_bias, .scale_rows = csl_cpu__scale_rows, .relu = csl_cpu__relu,       \
    .relu_backward = csl_cpu__relu_backward, .sync = csl_cpu__sync, .loss = csl_cpu__loss

#endif
