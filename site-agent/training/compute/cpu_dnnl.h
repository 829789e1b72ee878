/* site-agent/training/compute/cpu_dnnl.h - what the files of the fast CPU backend share: float32
 * loops that a compiler can vectorise, sums in a fixed order, double where a sum is long. */
#ifndef CSL_COMPUTE_CPU_DNNL_H
#define CSL_COMPUTE_CPU_DNNL_H
#include "site-agent/training/compute/cpu.h"

#include <string.h>

#define CSL_DNNL_TILE 262144u /* floats of unfolded positions or of their products: 1 MB */

/* gemm_f32 on rows lda, ldb and ldc apart (of the matrices as stored). False: the library had no
 * memory; c is undefined. */
bool csl_dnnl__gemm(const struct csl_gemm *g, const float *a, uint64_t lda, const float *b,
                    uint64_t ldb, float *c, uint64_t ldc) CSL_MUST_CHECK;
double csl_dnnl__sumsq(const float *x, uint64_t n); /* in eight lanes of double */
/* sum: [cols] += the rows of x: [rows, cols] */
void csl_dnnl__add_rows(uint64_t rows, uint64_t cols, const float *x, float *sum);

/* cpu_dnnl_primitive.c: a convolution of one row, made once and kept by the device. NULL: it cannot
 * be made. */
enum csl_dnnl__pass { CSL_DNNL_FORWARD, CSL_DNNL_BACK_TO_INPUT, CSL_DNNL_BACK_TO_WEIGHT };
struct csl_dnnl__conv;
struct csl_dnnl__conv *csl_dnnl__conv_of(struct csl_dev *d, const struct csl_conv *c,
                                         enum csl_dnnl__pass pass, bool has_bias);
/* Weights [outputs, kernel..., channels] into the library's own order, before rows are run; back to
 * weight: out of it. False: the library failed. */
bool csl_dnnl__conv_take_weights(struct csl_dev *d, struct csl_dnnl__conv *c,
                                 const float *w) CSL_MUST_CHECK;
bool csl_dnnl__conv_give_weights(struct csl_dev *d, struct csl_dnnl__conv *c,
                                 float *w) CSL_MUST_CHECK;
/* The weights in the library's own order; padding is 0. Rows of back to weight overwrite them. */
float *csl_dnnl__conv_values(struct csl_dnnl__conv *c, uint64_t *floats);
/* One row of input and output, of which the pass writes one or none. bias: forward with a bias. */
bool csl_dnnl__conv_row(struct csl_dev *d, struct csl_dnnl__conv *c, const float *x,
                        const float *bias, const float *y) CSL_MUST_CHECK;

/* exp within 2 ulp, without a branch (Cephes, Moshier 1989); 0 below -87; NaN stays. */
static inline float csl_dnnl__exp(float x)
{
    float capped = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    float n = capped * 1.44269504f + 12582912.0f; /* rounds: 1.5 * 2^23 leaves no fraction */
    float whole = n - 12582912.0f;
    float r = capped - whole * 0.693359375f + whole * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits;
    float power;
    memcpy(&bits, &n, sizeof(bits));
    bits = (bits + 127u) << 23; /* the low bits of n are the exponent */
    memcpy(&power, &bits, sizeof(power));
    return x < -87.0f ? 0.0f : p * power;
}

void csl_dnnl__gelu(struct csl_dev *d, struct csl_view x, struct csl_view y);
void csl_dnnl__gelu_backward(struct csl_dev *d, struct csl_view x, struct csl_view grad_out,
                             struct csl_view grad_in);
void csl_dnnl__linear_norms(struct csl_dev *d, const struct csl_linear *l,
                            const struct csl_units *u, struct csl_view x, struct csl_view grad_out,
                            struct csl_view norms);
void csl_dnnl__conv_forward(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                            struct csl_view w, struct csl_view bias, struct csl_view y);
void csl_dnnl__conv_grad_input(struct csl_dev *d, const struct csl_conv *c, struct csl_view w,
                               struct csl_view grad_out, struct csl_view grad_in);
void csl_dnnl__conv_grad_weight(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                                struct csl_view grad_out, float beta, struct csl_view grad_w);
void csl_dnnl__conv_norms(struct csl_dev *d, const struct csl_conv *c, bool has_bias,
                          const struct csl_units *u, struct csl_view x, struct csl_view grad_out,
                          struct csl_view norms);
void csl_dnnl__norm_forward(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                            struct csl_view gain, struct csl_view shift, struct csl_view y,
                            struct csl_view stats);
void csl_dnnl__norm_grad_input(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                               struct csl_view gain, struct csl_view stats,
                               struct csl_view grad_out, struct csl_view grad_in);
void csl_dnnl__norm_grad_params(struct csl_dev *d, const struct csl_norm *n, struct csl_view x,
                                struct csl_view stats, struct csl_view grad_out, float beta,
                                struct csl_view grad_gain, struct csl_view grad_shift);
void csl_dnnl__norm_norms(struct csl_dev *d, const struct csl_norm *n, const struct csl_units *u,
                          struct csl_view x, struct csl_view stats, struct csl_view grad_out,
                          struct csl_view norms);
void csl_dnnl__bag_norms(struct csl_dev *d, const struct csl_bag *b, const struct csl_units *u,
                         struct csl_view ids, struct csl_view offsets, struct csl_view grad_out,
                         struct csl_view norms);
void csl_dnnl__attention(struct csl_dev *d, const struct csl_attention *a, struct csl_view qkv,
                         struct csl_view mask, struct csl_view probs, struct csl_view y);
void csl_dnnl__attention_backward(struct csl_dev *d, const struct csl_attention *a,
                                  struct csl_view qkv, struct csl_view probs,
                                  struct csl_view grad_out, struct csl_view grad_qkv);

#endif
