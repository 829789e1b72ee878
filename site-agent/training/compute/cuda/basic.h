/* site-agent/training/compute/cuda/basic.h - operations element by element. */
#ifndef CSL_CUDA_BASIC_H
#define CSL_CUDA_BASIC_H
#include "site-agent/training/compute/cuda/device.h"

KERNEL void k_add_u64(uint64_t n, const uint64_t *x, uint64_t *acc)
{
    ELEMENTS (i, n)
        acc[i] += x[i]; /* modulo 2^64 */
}
static void op_add_u64(struct csl_dev *d, struct csl_view acc, struct csl_view x)
{
    csl_dev_begin(d, "add_u64");
    LAUNCH(d, csl_blocks(x.count), k_add_u64, x.count, csl_u64(x, x.count), csl_u64(acc, x.count));
}

KERNEL void k_encode(uint64_t n, const float *x, double scale, uint64_t *out)
{
    ELEMENTS (i, n)
        out[i] = (uint64_t)llrint((double)x[i] * scale);
}
static void op_encode_u64(struct csl_dev *d, struct csl_view f32_in, double scale,
                          struct csl_view u64_out)
{
    uint64_t n = f32_in.count;
    csl_dev_begin(d, "encode_u64");
    LAUNCH(d, csl_blocks(n), k_encode, n, csl_f32(f32_in, n), scale, csl_u64(u64_out, n));
}

KERNEL void k_decode(uint64_t n, const uint64_t *x, double scale, float *out)
{
    ELEMENTS (i, n)
        out[i] = (float)((double)(int64_t)x[i] / scale);
}
static void op_decode_f32(struct csl_dev *d, struct csl_view u64_in, double scale,
                          struct csl_view f32_out)
{
    uint64_t n = u64_in.count;
    csl_dev_begin(d, "decode_f32");
    LAUNCH(d, csl_blocks(n), k_decode, n, csl_u64(u64_in, n), scale, csl_f32(f32_out, n));
}

static void op_zero(struct csl_dev *d, struct csl_view f32_out)
{
    csl_dev_begin(d, "zero");
    csl_run_zero(d, csl_f32(f32_out, f32_out.count), f32_out.count * sizeof(float));
}

KERNEL void k_axpy(uint64_t n, float a, const float *x, float *y)
{
    ELEMENTS (i, n)
        y[i] = (float)((double)y[i] + (double)a * (double)x[i]);
}
static void op_axpy_f32(struct csl_dev *d, float a, struct csl_view x, struct csl_view y)
{
    csl_dev_begin(d, "axpy_f32");
    LAUNCH(d, csl_blocks(x.count), k_axpy, x.count, a, csl_f32(x, x.count), csl_f32(y, x.count));
}

static void op_gemm_f32(struct csl_dev *d, const struct csl_gemm *g, struct csl_view a,
                        struct csl_view b, struct csl_view c)
{
    csl_dev_begin(d, "gemm_f32");
    csl_multiply_dense(d, g, csl_f32(a, g->m * g->k), csl_f32(b, g->k * g->n),
                       csl_f32(c, g->m * g->n));
}

KERNEL void k_add_bias(uint64_t n, uint64_t cols, const float *bias, float *x)
{
    ELEMENTS (i, n)
        x[i] += bias[i % cols];
}
static void op_add_bias(struct csl_dev *d, uint64_t rows, uint64_t cols, struct csl_view bias,
                        struct csl_view x)
{
    uint64_t n = rows * cols;
    csl_dev_begin(d, "add_bias");
    LAUNCH(d, csl_blocks(n), k_add_bias, n, cols, csl_f32(bias, cols), csl_f32(x, n));
}

KERNEL void k_scale_rows(uint64_t n, uint64_t cols, const float *scale, const float *x, float *y)
{
    ELEMENTS (i, n)
        y[i] = scale[i / cols] * x[i];
}
static void op_scale_rows(struct csl_dev *d, uint64_t rows, uint64_t cols, struct csl_view scale,
                          struct csl_view x, struct csl_view y)
{
    uint64_t n = rows * cols;
    csl_dev_begin(d, "scale_rows");
    LAUNCH(d, csl_blocks(n), k_scale_rows, n, cols, csl_f32(scale, rows), csl_f32(x, n),
           csl_f32(y, n));
}

KERNEL void k_relu(uint64_t n, const float *x, float *y)
{
    ELEMENTS (i, n)
        y[i] = x[i] < 0.0f ? 0.0f : x[i];
}
static void op_relu(struct csl_dev *d, struct csl_view x, struct csl_view y)
{
    csl_dev_begin(d, "relu");
    LAUNCH(d, csl_blocks(x.count), k_relu, x.count, csl_f32(x, x.count), csl_f32(y, x.count));
}

KERNEL void k_relu_backward(uint64_t n, const float *x, const float *g, float *out)
{
    ELEMENTS (i, n)
        out[i] = x[i] > 0.0f ? g[i] : 0.0f;
}
static void op_relu_backward(struct csl_dev *d, struct csl_view x, struct csl_view grad_out,
                             struct csl_view grad_in)
{
    uint64_t n = x.count;
    csl_dev_begin(d, "relu_backward");
    LAUNCH(d, csl_blocks(n), k_relu_backward, n, csl_f32(x, n), csl_f32(grad_out, n),
           csl_f32(grad_in, n));
}

#define SQRT_HALF 0.70710678118654752440

KERNEL void k_gelu(uint64_t n, const float *x, float *y)
{
    ELEMENTS (i, n)
        y[i] = (float)((double)x[i] * 0.5 * erfc((double)x[i] * -SQRT_HALF));
}
static void op_gelu(struct csl_dev *d, struct csl_view x, struct csl_view y)
{
    csl_dev_begin(d, "gelu");
    LAUNCH(d, csl_blocks(x.count), k_gelu, x.count, csl_f32(x, x.count), csl_f32(y, x.count));
}

KERNEL void k_gelu_backward(uint64_t n, const float *x, const float *g, float *out)
{
    ELEMENTS (i, n) {
        double z = (double)x[i], density = exp(-0.5 * z * z) * 0.3989422804014327;
        out[i] = (float)((double)g[i] * (0.5 * erfc(z * -SQRT_HALF) + z * density));
    }
}
static void op_gelu_backward(struct csl_dev *d, struct csl_view x, struct csl_view grad_out,
                             struct csl_view grad_in)
{
    uint64_t n = x.count;
    csl_dev_begin(d, "gelu_backward");
    LAUNCH(d, csl_blocks(n), k_gelu_backward, n, csl_f32(x, n), csl_f32(grad_out, n),
           csl_f32(grad_in, n));
}

KERNEL void k_copy_cols(uint64_t n, uint64_t cols, const float *from, uint64_t from_stride,
                        float *to, uint64_t to_stride)
{
    ELEMENTS (i, n)
        to[i / cols * to_stride + i % cols] = from[i / cols * from_stride + i % cols];
}
static void op_copy_cols(struct csl_dev *d, uint64_t rows, uint64_t cols, struct csl_view from,
                         uint64_t from_stride, struct csl_view to, uint64_t to_stride)
{
    csl_dev_begin(d, "copy_cols");
    if (rows > 0)
        LAUNCH(d, csl_blocks(rows * cols), k_copy_cols, rows * cols, cols,
               csl_f32(from, (rows - 1) * from_stride + cols), from_stride,
               csl_f32(to, (rows - 1) * to_stride + cols), to_stride);
}

struct update_at {
    float *w, *m, *v;
    const float *grad, *anchor, *shift;
};
KERNEL void k_update(struct csl_update u, uint64_t n, struct update_at at)
{
    ELEMENTS (i, n) {
        double w = (double)at.w[i], g = (double)at.grad[i] + u.l2 * w;
        if (at.anchor != NULL)
            g += u.proximal * (w - (double)at.anchor[i]);
        if (at.shift != NULL)
            g += (double)at.shift[i];
        w -= u.rate * u.decay * w;
        if (at.m == NULL) {
            at.w[i] = (float)(w - u.rate * g);
        } else if (at.v == NULL) {
            at.m[i] = (float)(u.momentum * (double)at.m[i] + g);
            at.w[i] = (float)(w - u.rate * (double)at.m[i]);
        } else {
            at.m[i] = (float)(u.beta1 * (double)at.m[i] + (1.0 - u.beta1) * g);
            at.v[i] = (float)(u.beta2 * (double)at.v[i] + (1.0 - u.beta2) * g * g);
            double scale = sqrt((double)at.v[i] / u.correction2) + u.epsilon;
            at.w[i] = (float)(w - u.rate / u.correction1 * (double)at.m[i] / scale);
        }
    }
}
static void op_update(struct csl_dev *d, const struct csl_update *u)
{
    uint64_t n = u->weights.count;
    struct update_at at;
    csl_dev_begin(d, "update");
    at.w = csl_f32(u->weights, n);
    at.grad = csl_f32(u->gradient, n);
    at.anchor = csl_f32_or_none(u->anchor, n);
    at.shift = csl_f32_or_none(u->correction, n);
    at.m = u->kind != CSL_UPDATE_SGD ? csl_f32(u->moment1, n) : NULL;
    at.v = u->kind == CSL_UPDATE_ADAM ? csl_f32(u->moment2, n) : NULL;
    LAUNCH(d, csl_blocks(n), k_update, *u, n, at);
}

#endif
