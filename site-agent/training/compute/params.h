/* site-agent/training/compute/params.h - the shapes that the operations of compute.h take.
 *
 * Activations are [rows, positions, channels], channels last; a position is a token, a sample in
 * time, a pixel or a voxel. */
#ifndef CSL_COMPUTE_PARAMS_H
#define CSL_COMPUTE_PARAMS_H
#include "base/bytes.h"
#include "base/err.h"
#ifdef __cplusplus
extern "C" {
#endif

struct csl_cbuf; /* memory of a device, 256-byte aligned, zero when allocated */

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

/* Unit u (a patient) is the rows first[u] .. first[u + 1] - 1 of the batch; none is allowed. */
struct csl_units {
    uint64_t count;
    const uint32_t *first; /* [count + 1], host memory, ascending; read before the call returns */
};

/* x: [rows, positions, in], grad_out: [rows, positions, out] of y = x W^T + b. */
struct csl_linear {
    uint64_t positions, in, out;
    bool has_bias;
};

/* A box that moves over (depth, height, width); of a signal or an image the unused leading axes
 * have size 1. Padding is zero for convolutions and absent for pools. */
struct csl_window {
    uint64_t channels;
    uint64_t in[3], kernel[3], stride[3], pad[3];
    uint64_t out[3]; /* csl_window_init */
};
/* out[i] = (in[i] + 2 pad[i] - kernel[i]) / stride[i] + 1. CSL_E_INVAL: a size is 0, a window holds
 * nothing but padding, or it does not fit; CSL_E_LIMIT: a product of sizes beyond 2^31. */
enum csl_code csl_window_init(struct csl_window *w, struct csl_err *err) CSL_MUST_CHECK;
static inline uint64_t csl_window_positions_in(const struct csl_window *w)
{
    return w->in[0] * w->in[1] * w->in[2];
}
static inline uint64_t csl_window_positions_out(const struct csl_window *w)
{
    return w->out[0] * w->out[1] * w->out[2];
}
static inline uint64_t csl_window_taps(const struct csl_window *w)
{
    return w->kernel[0] * w->kernel[1] * w->kernel[2];
}
/* A convolution, or with outputs unused a pool. Weights: [outputs, kernel..., channels]. */
struct csl_conv {
    uint64_t rows, outputs;
    const struct csl_window *window;
};

/* A row is [tokens, positions, channels]; mean and variance are of each token and group of
 * channels / groups channels, over the positions. Layer norm: positions 1, groups 1. Group norm (Wu
 * and He 2018): tokens 1. */
struct csl_norm {
    uint64_t rows, tokens, positions, channels, groups;
    double epsilon;
};

/* Row (r, position) of y: [rows, positions, dim] is the sum or mean over its ids of rows of table:
 * [buckets, dim]; without ids it is 0. ids: u32. offsets: u32 [rows * positions + 1] into ids, or
 * none: one id each. A hashed id is a uniform 32-bit hash of a word and stands for row (id *
 * buckets) >> 32 (Weinberger et al. 2009); any other id from `buckets` on stands for nothing. */
struct csl_bag {
    uint64_t rows, positions, dim, buckets;
    bool is_hashed, is_mean;
};

/* Heads of softmax(q k^T / sqrt(width / heads)) v (Vaswani et al. 2017). qkv: [rows, positions, 3,
 * width], heads side by side. mask: u8 [rows, positions], 0 absent, or none; an absent position
 * attends to nothing (its output is 0) and nothing attends to it; its values are finite. */
struct csl_attention {
    uint64_t rows, positions, heads, width;
};

/* A mean over the present ones of `positions` positions. */
struct csl_mean {
    uint64_t rows, positions, channels;
};

/* y_r = sum_m share_m x_m over the modalities present in the row, share = softmax over them of
 * gate_m . x_m + gate_bias_m; without any y_r = empty, a learned constant. x: [rows, modalities,
 * width]; available: u8 [rows, modalities] or none (all); gate: [modalities, width]; gate_bias:
 * [modalities]; empty: [width]. shares: f32 [rows, modalities, 2]: the share, exactly 0 where
 * absent, and room for its gradient. */
struct csl_fusion {
    uint64_t rows, modalities, width;
};

/* Inverted dropout (Srivastava et al. 2014): y = 0 with probability rate, else x / (1 - rate).
 * Element c of row r is decided by Philox (philox.h) at (seed, stream, row id, c), so that the same
 * call on a gradient is the backward pass. row_ids: u32 [rows] or none (the place in the batch).
 * Under privacy give ids of records, else one patient's mask depends on who else was drawn. */
struct csl_dropout {
    uint64_t rows, cols;
    double rate; /* 0 <= rate < 1 */
    uint64_t seed;
    uint32_t stream;
    struct csl_view row_ids;
};

enum csl_loss_kind {
    CSL_LOSS_LOGISTIC, /* -log p(label), p = sigmoid(logit); outputs 1 */
    CSL_LOSS_SOFTMAX,  /* -log softmax(logits)[label] */
    CSL_LOSS_COX, /* negative partial log-likelihood, Breslow ties, risk sets inside these rows */
    CSL_LOSS_MULTILABEL, /* mean over the row's known labels of the logistic loss of each */
    CSL_LOSS_SQUARED,    /* mean over the row's known targets of (logit - target)^2 */
    CSL_LOSS_HAZARD /* discrete-time survival, sigmoid(logit k) = P(event in interval k | alive) */
};
/* loss = scale * sum_r weight_r * loss_r, and its gradient by the logits. For Cox, loss_r = event_r
 * * (log sum_{j: t_j >= t_r} weight_j exp(logit_j) - logit_r). Not finite when a logit is not. What
 * is not known adds nothing and its gradient is exactly 0, whatever the logit.
 *
 * gamma > 0 (softmax, multilabel; Lin et al. 2017): each -log p becomes (1 - p)^gamma * -log p.
 * map (softmax): the labels of this site are sums of the study's classes, p(label) = sum_k
 * map[label, k] softmax_k; each row of the map has a 1. Hazard (Gensheimer and Narasimhan 2019):
 * label j, event 1: -log h_j - sum_{k < j} log(1 - h_k); event 0, seen alive at the end of interval
 * j - 1 (j = outputs: to the end): - sum_{k < j} log(1 - h_k). */
struct csl_loss {
    enum csl_loss_kind kind;
    uint64_t rows, outputs;
    double scale;
    struct csl_view logits; /* f32 [rows, outputs] */
    struct csl_view
        labels; /* u8 [rows]; Cox: 1 event, 0 censored; multilabel: u8 [rows, outputs] */
    struct csl_view weights; /* f32 [rows], > 0; none: all 1 */
    struct csl_view order;   /* Cox: u32 [rows], rows by falling time; else none */
    struct csl_view
        tie_end; /* Cox: u32 [rows], one past the last position of `order` with the same time */
    struct csl_view scratch; /* Cox: f64 [rows] */
    struct csl_view grad;    /* out: f32 [rows, outputs]; none: not wanted */
    struct csl_view loss;    /* out: f64 [1] */
    /* u8, 1 known, or none: all. Multilabel and squared: [rows, outputs]; Cox: none; else [rows] */
    struct csl_view known;
    struct csl_view targets; /* squared: f32 [rows, outputs] */
    struct csl_view events;  /* hazard: u8 [rows] */
    struct csl_view map;     /* softmax: u8 [label_classes, outputs] of 0 and 1, or none */
    uint64_t label_classes;  /* with a map */
    double gamma;
};

enum csl_update_kind { CSL_UPDATE_SGD, CSL_UPDATE_MOMENTUM, CSL_UPDATE_ADAM };
/* One optimiser step on `weights` with g = gradient + l2 * w + proximal * (w - anchor) +
 * correction, after w -= rate * decay * w (with adam: AdamW, Loshchilov and Hutter 2019):
 *   sgd       w -= rate * g
 *   momentum  m = momentum * m + g; w -= rate * m
 *   adam      m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
 *             w -= rate / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + epsilon)
 * All terms of g see the weights from before the decay. */
struct csl_update {
    enum csl_update_kind kind;
    double rate, momentum, beta1, beta2, epsilon, l2, proximal, decay;
    double correction1, correction2;    /* adam: 1 - beta1^t and 1 - beta2^t, t counts from 1 */
    struct csl_view weights, gradient;  /* f32 [n]; the gradient may be used as scratch */
    struct csl_view anchor, correction; /* f32 [n] or none */
    struct csl_view moment1, moment2;   /* f32 [n] or none, as the kind needs */
};
#ifdef __cplusplus
}
#endif
#endif
