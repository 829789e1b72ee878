/* site-agent/training/compute/cpu.h - what the CPU backends share: host memory as device memory,
 * and the operations that the fast backend takes unchanged from the reference. */
#ifndef CSL_COMPUTE_CPU_H
#define CSL_COMPUTE_CPU_H
#include "base/check.h"
#include "base/clones.h"
#include "site-agent/training/compute/compute.h"

struct csl_dev {
    uint32_t index;
    void *scratch; /* of the fast backend: one operation's */
    uint64_t scratch_bytes;
    void *library; /* of the fast backend: what it keeps between calls */
    void (*library_free)(void *library);
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
const void *csl_cpu__host(const struct csl_cbuf *b);
/* Room for `bytes` until the next call; contents are lost. NULL: no memory, and the caller takes
 * the definition instead, which needs none. */
void *csl_cpu__scratch(struct csl_dev *d, uint64_t bytes);
void csl_cpu__drop_scratch(struct csl_dev *d);

static inline uint64_t csl_cpu__bucket(const struct csl_bag *b, uint32_t id)
{
    return b->is_hashed ? (uint64_t)id * b->buckets >> 32 : id;
}
/* cpu_ref_conv.c (pools), cpu_ref_attention.c (means), cpu_fusion.c, cpu_embed.c: of both backends
 */
void csl_cpu__copy_cols(struct csl_dev *d, uint64_t rows, uint64_t cols, struct csl_view from,
                        uint64_t from_stride, struct csl_view to, uint64_t to_stride);
void csl_cpu__pool_max(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                       struct csl_view y, struct csl_view argmax);
void csl_cpu__pool_max_backward(struct csl_dev *d, const struct csl_conv *c, struct csl_view argmax,
                                struct csl_view grad_out, struct csl_view grad_in);
void csl_cpu__pool_average(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                           struct csl_view y);
void csl_cpu__pool_average_backward(struct csl_dev *d, const struct csl_conv *c,
                                    struct csl_view grad_out, struct csl_view grad_in);
void csl_cpu__mean(struct csl_dev *d, const struct csl_mean *m, struct csl_view x,
                   struct csl_view mask, struct csl_view y);
void csl_cpu__mean_backward(struct csl_dev *d, const struct csl_mean *m, struct csl_view mask,
                            struct csl_view grad_out, struct csl_view grad_in);
void csl_cpu__bag_forward(struct csl_dev *d, const struct csl_bag *b, struct csl_view ids,
                          struct csl_view offsets, struct csl_view table, struct csl_view y);
void csl_cpu__bag_grad(struct csl_dev *d, const struct csl_bag *b, struct csl_view ids,
                       struct csl_view offsets, struct csl_view grad_out, float beta,
                       struct csl_view grad_table);
void csl_cpu__fusion(struct csl_dev *d, const struct csl_fusion *f, struct csl_view x,
                     struct csl_view available, struct csl_view params, struct csl_view y,
                     struct csl_view shares);
void csl_cpu__fusion_grad_input(struct csl_dev *d, const struct csl_fusion *f, struct csl_view x,
                                struct csl_view shares, struct csl_view params,
                                struct csl_view grad_out, struct csl_view grad_in);
void csl_cpu__fusion_grad_params(struct csl_dev *d, const struct csl_fusion *f, struct csl_view x,
                                 struct csl_view shares, struct csl_view grad_out, float beta,
                                 struct csl_view grad_params);
void csl_cpu__fusion_norms(struct csl_dev *d, const struct csl_fusion *f, const struct csl_units *u,
                           struct csl_view x, struct csl_view shares, struct csl_view grad_out,
                           struct csl_view norms);
void csl_cpu__dropout(struct csl_dev *d, const struct csl_dropout *o, struct csl_view x,
                      struct csl_view y);
void csl_cpu__drop_modalities(struct csl_dev *d, const struct csl_dropout *o, struct csl_view x,
                              struct csl_view y);
/* the definitions, which the fast backend falls back on */
void csl_cpu__linear_norms(struct csl_dev *d, const struct csl_linear *l, const struct csl_units *u,
                           struct csl_view x, struct csl_view grad_out, struct csl_view norms);
void csl_cpu__conv_forward(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                           struct csl_view w, struct csl_view bias, struct csl_view y);
void csl_cpu__conv_grad_input(struct csl_dev *d, const struct csl_conv *c, struct csl_view w,
                              struct csl_view grad_out, struct csl_view grad_in);
void csl_cpu__conv_grad_weight(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                               struct csl_view grad_out, float beta, struct csl_view grad_w);
void csl_cpu__conv_norms(struct csl_dev *d, const struct csl_conv *c, bool has_bias,
                         const struct csl_units *u, struct csl_view x, struct csl_view grad_out,
                         struct csl_view norms);
void csl_cpu__norm_forward(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                           struct csl_view gain, struct csl_view shift, struct csl_view y,
                           struct csl_view stats);
void csl_cpu__norm_grad_input(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                              struct csl_view gain, struct csl_view stats, struct csl_view grad_out,
                              struct csl_view grad_in);
void csl_cpu__norm_grad_params(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                               struct csl_view stats, struct csl_view grad_out, float beta,
                               struct csl_view grad_gain, struct csl_view grad_shift);
void csl_cpu__norm_norms(struct csl_dev *d, const struct csl_norm *n, const struct csl_units *u,
                         struct csl_view x, struct csl_view stats, struct csl_view grad_out,
                         struct csl_view norms);
void csl_cpu__bag_norms(struct csl_dev *d, const struct csl_bag *b, const struct csl_units *u,
                        struct csl_view ids, struct csl_view offsets, struct csl_view grad_out,
                        struct csl_view norms);
void csl_cpu__attention(struct csl_dev *d, const struct csl_attention *a, struct csl_view qkv,
                        struct csl_view mask, struct csl_view probs, struct csl_view y);
void csl_cpu__attention_backward(struct csl_dev *d, const struct csl_attention *a,
                                 struct csl_view qkv, struct csl_view probs,
                                 struct csl_view grad_out, struct csl_view grad_qkv);
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
    .relu_backward = csl_cpu__relu_backward, .sync = csl_cpu__sync, .host = csl_cpu__host,         \
    .loss = csl_cpu__loss, .copy_cols = csl_cpu__copy_cols, .pool_max = csl_cpu__pool_max,         \
    .pool_max_backward = csl_cpu__pool_max_backward, .pool_average = csl_cpu__pool_average,        \
    .pool_average_backward = csl_cpu__pool_average_backward, .mean = csl_cpu__mean,                \
    .mean_backward = csl_cpu__mean_backward, .bag_forward = csl_cpu__bag_forward,                  \
    .bag_grad = csl_cpu__bag_grad, .fusion = csl_cpu__fusion,                                      \
    .fusion_grad_input = csl_cpu__fusion_grad_input,                                               \
    .fusion_grad_params = csl_cpu__fusion_grad_params, .fusion_norms = csl_cpu__fusion_norms,      \
    .dropout = csl_cpu__dropout, .drop_modalities = csl_cpu__drop_modalities

#endif
