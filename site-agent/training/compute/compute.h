/* site-agent/training/compute/compute.h - the only door to oneDNN and CUDA.
 *
 * cpu_ref.c is always built and is the definition of every operation; the others are checked
 * against it element by element (tests/unit/training/test_compute.c). Exact operations (copies,
 * add, encode, decode) agree bit for bit on every backend, the rest to a stated number of ulps; on
 * one backend the same calls give the same bits.
 *
 * Matrices are row-major and dense. Operations are queued in order and may return before they are
 * done; they cannot fail in the caller's hands: the first failure since the last sync is sync's
 * answer. put has read the host's memory when it returns. One thread per device. */
#ifndef CSL_COMPUTE_H
#define CSL_COMPUTE_H
#include "site-agent/training/compute/params.h"
#ifdef __cplusplus
extern "C" {
#endif
#define CSL_COMPUTE_ABI 3u

struct csl_dev; /* one device and one ordered queue of work */

struct csl_compute_ops {
    uint32_t abi, size; /* CSL_COMPUTE_ABI, sizeof(struct csl_compute_ops) */
    const char *name;   /* "cpu-ref", "cpu-dnnl", "cuda" */

    enum csl_code (*probe)(uint32_t *devices,
                           struct csl_err *err); /* none found is CSL_OK with 0 */
    enum csl_code (*open)(uint32_t index, struct csl_dev **out, struct csl_err *err);
    void (*close)(struct csl_dev *d); /* NULL allowed; its buffers are freed before */
    enum csl_code (*alloc)(struct csl_dev *d, uint64_t bytes, struct csl_cbuf **out,
                           struct csl_err *err);
    void (*free)(struct csl_cbuf *b); /* zeroes first; NULL allowed */

    /* Copies; `at` in bytes. put_rows packs rows[0..count) of a host table, or the first `count`
     * rows when `rows` is NULL. */
    void (*put)(struct csl_dev *d, struct csl_cbuf *dst, uint64_t at, const void *src,
                uint64_t bytes);
    void (*put_rows)(struct csl_dev *d, struct csl_cbuf *dst, uint64_t at, const void *table,
                     uint64_t row_bytes, const uint32_t *rows, uint64_t count);
    void (*get)(struct csl_dev *d, void *dst, const struct csl_cbuf *src, uint64_t at,
                uint64_t bytes); /* after sync the bytes are there */

    void (*add_u64)(struct csl_dev *d, struct csl_view acc,
                    struct csl_view x); /* mod 2^64, exact */
    void (*encode_u64)(
        struct csl_dev *d, struct csl_view f32_in, double scale,
        struct csl_view u64_out); /* two's complement of rint(x * scale), |.| < 2^63 */
    void (*decode_f32)(struct csl_dev *d, struct csl_view u64_in, double scale,
                       struct csl_view f32_out); /* signed value / scale */
    void (*zero)(struct csl_dev *d, struct csl_view f32_out);
    void (*axpy_f32)(struct csl_dev *d, float a, struct csl_view x,
                     struct csl_view y); /* y += a x */
    /* Sum of squares in double into the f64 view: blocks of 4096 elements, then pairwise. */
    void (*sumsq_f32)(struct csl_dev *d, struct csl_view x, struct csl_view f64_out);

    void (*gemm_f32)(struct csl_dev *d, const struct csl_gemm *g, struct csl_view a,
                     struct csl_view b, struct csl_view c);
    /* x: [rows, cols]; bias: [cols]; x += bias in every row */
    void (*add_bias)(struct csl_dev *d, uint64_t rows, uint64_t cols, struct csl_view bias,
                     struct csl_view x);
    /* sum: [cols] = beta * sum + the sum of x: [rows, cols] over rows */
    void (*sum_rows)(struct csl_dev *d, uint64_t rows, uint64_t cols, struct csl_view x, float beta,
                     struct csl_view sum);
    /* y: [rows, cols] = scale_r * x_r; scale: [rows] */
    void (*scale_rows)(struct csl_dev *d, uint64_t rows, uint64_t cols, struct csl_view scale,
                       struct csl_view x, struct csl_view y);
    void (*relu)(struct csl_dev *d, struct csl_view x,
                 struct csl_view y); /* max(x, 0); NaN stays; y may be x */
    /* grad_in = grad_out where x > 0, else 0 */
    void (*relu_backward)(struct csl_dev *d, struct csl_view x, struct csl_view grad_out,
                          struct csl_view grad_in);
    /* y = x (1 + erf(x / sqrt 2)) / 2 (Hendrycks and Gimpel 2016); y may be x */
    void (*gelu)(struct csl_dev *d, struct csl_view x, struct csl_view y);
    void (*gelu_backward)(struct csl_dev *d, struct csl_view x, struct csl_view grad_out,
                          struct csl_view grad_in); /* grad_in may be grad_out */
    /* to[r * to_stride + c] = from[r * from_stride + c] for r < rows, c < cols: joins and cuts the
     * rows of modalities. The views begin at the first element that is read or written. */
    void (*copy_cols)(struct csl_dev *d, uint64_t rows, uint64_t cols, struct csl_view from,
                      uint64_t from_stride, struct csl_view to, uint64_t to_stride);

    /* Squared norms of units: norms: f64 [units]; norms[u] += |sum over the unit's rows and
     * positions of grad_out_i x_i^T|^2, with a bias also + |sum of grad_out_i|^2. cpu-ref forms the
     * gradient in double. Others take the cheaper of sum_ij (x_i . x_j)(g_i . g_j) over the T
     * positions of the unit, T^2 (in + out) products, and the gradient itself, T in out (Bu et al.
     * 2023, "Differentially private optimization on large model at small cost"); products in
     * float32, the last sum in double. */
    void (*linear_norms)(struct csl_dev *d, const struct csl_linear *l, const struct csl_units *u,
                         struct csl_view x, struct csl_view grad_out, struct csl_view norms);

    /* x: [rows, in..., channels], w: [outputs, kernel..., channels], y: [rows, out..., outputs].
     * y = the correlation of x with w, plus bias: [outputs] or none; y is not x. */
    void (*conv_forward)(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                         struct csl_view w, struct csl_view bias, struct csl_view y);
    void (*conv_grad_input)(struct csl_dev *d, const struct csl_conv *c, struct csl_view w,
                            struct csl_view grad_out, struct csl_view grad_in);
    /* grad_w = beta * grad_w + the sum over rows and positions */
    void (*conv_grad_weight)(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                             struct csl_view grad_out, float beta, struct csl_view grad_w);
    /* as linear_norms on the unfolded input: in = kernel... * channels */
    void (*conv_norms)(struct csl_dev *d, const struct csl_conv *c, bool has_bias,
                       const struct csl_units *u, struct csl_view x, struct csl_view grad_out,
                       struct csl_view norms);
    /* y, argmax: [rows, out..., channels]; argmax: u32, the input position of the first largest;
     * NaN wins. Backward adds in float32 in the order of the output positions. */
    void (*pool_max)(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                     struct csl_view y, struct csl_view argmax);
    void (*pool_max_backward)(struct csl_dev *d, const struct csl_conv *c, struct csl_view argmax,
                              struct csl_view grad_out, struct csl_view grad_in);
    /* the mean over the window's positions that are not padding */
    void (*pool_average)(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                         struct csl_view y);
    void (*pool_average_backward)(struct csl_dev *d, const struct csl_conv *c,
                                  struct csl_view grad_out, struct csl_view grad_in);
    /* mask: u8 [rows, positions] or none; y: [rows, channels], 0 when nothing is present */
    void (*mean)(struct csl_dev *d, const struct csl_mean *m, struct csl_view x,
                 struct csl_view mask, struct csl_view y);
    void (*mean_backward)(struct csl_dev *d, const struct csl_mean *m, struct csl_view mask,
                          struct csl_view grad_out, struct csl_view grad_in);

    /* gain, shift: [channels]; stats: f32 [rows, tokens, groups, 2], mean and 1 / sqrt(variance +
     * epsilon); y = (x - mean) * stat * gain + shift; y may be x only when nothing goes back */
    void (*norm_forward)(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                         struct csl_view gain, struct csl_view shift, struct csl_view y,
                         struct csl_view stats);
    void (*norm_grad_input)(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                            struct csl_view gain, struct csl_view stats, struct csl_view grad_out,
                            struct csl_view grad_in);
    void (*norm_grad_params)(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                             struct csl_view stats, struct csl_view grad_out, float beta,
                             struct csl_view grad_gain, struct csl_view grad_shift);
    void (*norm_norms)(struct csl_dev *d, const struct csl_norm *n, const struct csl_units *u,
                       struct csl_view x, struct csl_view stats, struct csl_view grad_out,
                       struct csl_view norms);

    void (*bag_forward)(struct csl_dev *d, const struct csl_bag *b, struct csl_view ids,
                        struct csl_view offsets, struct csl_view table, struct csl_view y);
    void (*bag_grad)(struct csl_dev *d, const struct csl_bag *b, struct csl_view ids,
                     struct csl_view offsets, struct csl_view grad_out, float beta,
                     struct csl_view grad_table);
    /* norms[u] += |gradient of the table by the unit's rows|^2: ids of one bucket add up first */
    void (*bag_norms)(struct csl_dev *d, const struct csl_bag *b, const struct csl_units *u,
                      struct csl_view ids, struct csl_view offsets, struct csl_view grad_out,
                      struct csl_view norms);

    /* probs: f32 [rows, heads, positions, positions]; y: [rows, positions, width] */
    void (*attention)(struct csl_dev *d, const struct csl_attention *a, struct csl_view qkv,
                      struct csl_view mask, struct csl_view probs, struct csl_view y);
    void (*attention_backward)(struct csl_dev *d, const struct csl_attention *a,
                               struct csl_view qkv, struct csl_view probs, struct csl_view grad_out,
                               struct csl_view grad_qkv);
    /* params: gate, gate_bias and empty one after another */
    void (*fusion)(struct csl_dev *d, const struct csl_fusion *f, struct csl_view x,
                   struct csl_view available, struct csl_view params, struct csl_view y,
                   struct csl_view shares);
    void (*fusion_grad_input)(struct csl_dev *d, const struct csl_fusion *f, struct csl_view x,
                              struct csl_view shares, struct csl_view params,
                              struct csl_view grad_out, struct csl_view grad_in);
    void (*fusion_grad_params)(struct csl_dev *d, const struct csl_fusion *f, struct csl_view x,
                               struct csl_view shares, struct csl_view grad_out, float beta,
                               struct csl_view grad_params);
    void (*fusion_norms)(struct csl_dev *d, const struct csl_fusion *f, const struct csl_units *u,
                         struct csl_view x, struct csl_view shares, struct csl_view grad_out,
                         struct csl_view norms);

    void (*dropout)(struct csl_dev *d, const struct csl_dropout *o, struct csl_view x,
                    struct csl_view y); /* y may be x */
    /* The same decisions on u8 x, y: [rows, cols], 1 present (Neverova et al. 2016, ModDrop): what
     * is dropped is absent in y; a row that would lose all it has keeps all. y may be x. */
    void (*drop_modalities)(struct csl_dev *d, const struct csl_dropout *o, struct csl_view x,
                            struct csl_view y);

    void (*loss)(struct csl_dev *d, const struct csl_loss *l);
    void (*update)(struct csl_dev *d, const struct csl_update *u);

    enum csl_code (*sync)(struct csl_dev *d, struct csl_err *err); /* waits; first failure */
    /* Where the host reads the buffer in place, after a sync. NULL: it cannot on this backend. */
    const void *(*host)(const struct csl_cbuf *b);
};

const struct csl_compute_ops *csl_compute_cpu_ref(void);
const struct csl_compute_ops *csl_compute_cpu_dnnl(void); /* NULL when built without oneDNN */
/* Of libconsilium_cuda.so, loaded at the first call (cuda/load.h); NULL: no driver or no plug-in */
const struct csl_compute_ops *csl_compute_cuda(void);

/* "auto", "cpu-ref", "cpu-dnnl" or "cuda". "auto" takes the fastest backend that is built, finds a
 * device and passes the self-test; one that fails is logged (WARN) and passed over. CSL_E_INVAL: no
 * such name; CSL_E_UNSUPPORTED: not built or no device. Any thread. */
enum csl_code csl_compute_find(const char *name, const struct csl_compute_ops **out,
                               struct csl_err *err) CSL_MUST_CHECK;
/* Compares a few operations with cpu-ref; about a millisecond. CSL_E_BUG when they differ. */
enum csl_code csl_compute_self_test(const struct csl_compute_ops *ops,
                                    struct csl_err *err) CSL_MUST_CHECK;
#ifdef __cplusplus
}
#endif
#endif
