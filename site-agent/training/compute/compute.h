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
#include "base/bytes.h"
#include "base/err.h"
#ifdef __cplusplus
extern "C" {
#endif
#define CSL_COMPUTE_ABI 1u

struct csl_dev;  /* one device and one ordered queue of work */
struct csl_cbuf; /* memory of that device, 256-byte aligned, zero when allocated */

/* `count` elements from element `first` of `buf`; each operation says of which type. buf NULL:
 * none. */
struct csl_view {
    struct csl_cbuf *buf;
    uint64_t first, count;
};

/* c: [m, n] = alpha * op(a): [m, k] * op(b): [k, n] + beta * c. beta 0 does not read c. */
struct csl_gemm {
    uint64_t m, n, k;
    bool is_a_transposed; /* a is stored [k, m] */
    bool is_b_transposed; /* b is stored [n, k] */
    float alpha, beta;
};

enum csl_loss_kind {
    CSL_LOSS_LOGISTIC, /* -log p(label), p = sigmoid(logit); outputs 1 */
    CSL_LOSS_SOFTMAX,  /* -log softmax(logits)[label] */
    CSL_LOSS_COX /* negative partial log-likelihood, Breslow ties, risk sets inside these rows */
};
/* loss = scale * sum_r weight_r * loss_r, and its gradient by the logits. For Cox, loss_r = event_r
 * * (log sum_{j: t_j >= t_r} weight_j exp(logit_j) - logit_r). Not finite when a logit is not. */
struct csl_loss {
    enum csl_loss_kind kind;
    uint64_t rows, outputs;
    double scale;
    struct csl_view logits;  /* f32 [rows, outputs] */
    struct csl_view labels;  /* u8 [rows]; Cox: 1 event, 0 censored */
    struct csl_view weights; /* f32 [rows], > 0; none: all 1 */
    struct csl_view order;   /* Cox: u32 [rows], rows by falling time; else none */
    struct csl_view
        tie_end; /* Cox: u32 [rows], one past the last position of `order` with the same time */
    struct csl_view scratch; /* Cox: f64 [rows] */
    struct csl_view grad;    /* out: f32 [rows, outputs]; none: not wanted */
    struct csl_view loss;    /* out: f64 [1] */
};

enum csl_update_kind { CSL_UPDATE_SGD, CSL_UPDATE_MOMENTUM, CSL_UPDATE_ADAM };
/* One optimiser step on `weights` with g = gradient + l2 * w + proximal * (w - anchor) +
 * correction: sgd       w -= rate * g momentum  m = momentum * m + g; w -= rate * m adam      m =
 * beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; w -= rate / (1 - beta1^t) * m / (sqrt(v /
 * (1 - beta2^t)) + epsilon) */
struct csl_update {
    enum csl_update_kind kind;
    double rate, momentum, beta1, beta2, epsilon, l2, proximal;
    double correction1, correction2;    /* adam: 1 - beta1^t and 1 - beta2^t, t counts from 1 */
    struct csl_view weights, gradient;  /* f32 [n]; the gradient may be used as scratch */
    struct csl_view anchor, correction; /* f32 [n] or none */
    struct csl_view moment1, moment2;   /* f32 [n] or none, as the kind needs */
};

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
    void (*loss)(struct csl_dev *d, const struct csl_loss *l);
    void (*update)(struct csl_dev *d, const struct csl_update *u);

    enum csl_code (*sync)(struct csl_dev *d, struct csl_err *err); /* waits; first failure */
};

const struct csl_compute_ops *csl_compute_cpu_ref(void);
const struct csl_compute_ops *csl_compute_cpu_dnnl(void); /* NULL when built without oneDNN */
const struct csl_compute_ops *csl_compute_cuda(void);     /* NULL when built without CUDA */

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
