/* oneDNN's sgemm where it pays, loops a compiler can vectorise elsewhere; float32 sums in a fixed
 * order. Always one thread: two threads of oneDNN's OpenMP runtime on a busy machine are slower,
 * and many sites may train side by side in one process. */
#include "site-agent/training/compute/cpu_dnnl.h"

#include <math.h>

#if defined(CSL_HAVE_DNNL)
#include <oneapi/dnnl/dnnl.h>

/* Below this many multiply-adds a call of dnnl_sgemm costs more than the product itself. */
#define SMALL_GEMM 1024u
#define LANES      8u

/* From the OpenMP runtime that oneDNN is linked with; the setting belongs to the calling thread. */
void omp_set_num_threads(int count);

static float dot(const float *restrict a, const float *restrict b, uint64_t n)
{
    float lane[LANES] = {0};
    uint64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (uint64_t l = 0; l < LANES; l++)
            lane[l] += a[i + l] * b[i + l];
    float tail = 0;
    for (; i < n; i++)
        tail += a[i] * b[i];
    float low = (lane[0] + lane[4]) + (lane[2] + lane[6]);
    float high = (lane[1] + lane[5]) + (lane[3] + lane[7]);
    return (low + high) + tail;
}

static void add_scaled(float *restrict to, float a, const float *restrict from, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        to[i] += a * from[i];
}

CSL_CLONES static void gemm_small(const struct csl_gemm *g, const float *a, uint64_t lda,
                                  const float *b, uint64_t ldb, float *c, uint64_t ldc)
{
    for (uint64_t i = 0; i < g->m; i++) {
        float *row = c + i * ldc;
        if (!g->is_a_transposed && g->is_b_transposed) {
            for (uint64_t j = 0; j < g->n; j++) {
                float old = g->beta == 0.0f ? 0.0f : g->beta * row[j];
                row[j] = g->alpha * dot(a + i * lda, b + j * ldb, g->k) + old;
            }
            continue;
        }
        for (uint64_t j = 0; j < g->n; j++)
            row[j] = g->beta == 0.0f ? 0.0f : g->beta * row[j];
        for (uint64_t p = 0; p < g->k; p++) {
            float left = g->alpha * (g->is_a_transposed ? a[p * lda + i] : a[i * lda + p]);
            if (!g->is_b_transposed)
                add_scaled(row, left, b + p * ldb, g->n);
            else
                for (uint64_t j = 0; j < g->n; j++)
                    row[j] += left * b[j * ldb + p];
        }
    }
}

bool csl_dnnl__gemm(const struct csl_gemm *g, const float *a, uint64_t lda, const float *b,
                    uint64_t ldb, float *c, uint64_t ldc)
{
    if (g->m * g->n * g->k <= SMALL_GEMM) {
        gemm_small(g, a, lda, b, ldb, c, ldc);
        return true;
    }
    omp_set_num_threads(1);
    return dnnl_sgemm(g->is_a_transposed ? 'T' : 'N', g->is_b_transposed ? 'T' : 'N',
                      (dnnl_dim_t)g->m, (dnnl_dim_t)g->n, (dnnl_dim_t)g->k, g->alpha, a,
                      (dnnl_dim_t)lda, b, (dnnl_dim_t)ldb, g->beta, c,
                      (dnnl_dim_t)ldc) == dnnl_success;
}

static void gemm_f32(struct csl_dev *d, const struct csl_gemm *g, struct csl_view a,
                     struct csl_view b, struct csl_view c)
{
    bool is_done = csl_dnnl__gemm(g, csl_cpu__f32(a, g->m * g->k), g->is_a_transposed ? g->m : g->k,
                                  csl_cpu__f32(b, g->k * g->n), g->is_b_transposed ? g->k : g->n,
                                  csl_cpu__f32(c, g->m * g->n), g->n);
    if (!is_done) /* out of memory inside: the definition still gives the answer */
        csl_compute_cpu_ref()->gemm_f32(d, g, a, b, c);
}

CSL_CLONES double csl_dnnl__sumsq(const float *x, uint64_t n)
{
    double lane[LANES] = {0}, tail = 0;
    uint64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (uint64_t l = 0; l < LANES; l++)
            lane[l] += (double)x[i + l] * (double)x[i + l];
    for (; i < n; i++)
        tail += (double)x[i] * (double)x[i];
    double low = (lane[0] + lane[4]) + (lane[2] + lane[6]);
    double high = (lane[1] + lane[5]) + (lane[3] + lane[7]);
    return (low + high) + tail;
}

CSL_CLONES void csl_dnnl__add_rows(uint64_t rows, uint64_t cols, const float *x, float *sum)
{
    for (uint64_t r = 0; r < rows; r++)
        add_scaled(sum, 1.0f, x + r * cols, cols);
}

static void axpy_f32(struct csl_dev *d, float a, struct csl_view x, struct csl_view y)
{
    (void)d;
    add_scaled(csl_cpu__f32(y, x.count), a, csl_cpu__f32(x, x.count), x.count);
}

static void sum_rows(struct csl_dev *d, uint64_t rows, uint64_t cols, struct csl_view x, float beta,
                     struct csl_view sum)
{
    (void)d;
    const float *v = csl_cpu__f32(x, rows * cols);
    float *s = csl_cpu__f32(sum, cols);
    for (uint64_t c = 0; c < cols; c++)
        s[c] = beta == 0.0f ? 0.0f : beta * s[c];
    csl_dnnl__add_rows(rows, cols, v, s);
}

/* g = gradient + l2 * w + proximal * (w - anchor) + correction, written over the gradient so that
 * each term is one loop without a branch inside. */
static void add_terms(const struct csl_update *u, const float *restrict w, float *restrict g)
{
    uint64_t n = u->weights.count;
    if (u->l2 > 0)
        add_scaled(g, (float)u->l2, w, n);
    if (u->anchor.buf != NULL) {
        const float *restrict anchor = csl_cpu__f32(u->anchor, n);
        float pull = (float)u->proximal;
        for (uint64_t i = 0; i < n; i++)
            g[i] += pull * (w[i] - anchor[i]);
    }
    if (u->correction.buf != NULL)
        add_scaled(g, 1.0f, csl_cpu__f32(u->correction, n), n);
}

CSL_CLONES static void adam(const struct csl_update *u, float *restrict w, const float *restrict g,
                            float *restrict m, float *restrict v)
{
    float b1 = (float)u->beta1, b2 = (float)u->beta2;
    float c1 = (float)(1 - u->beta1), c2 = (float)(1 - u->beta2);
    float rate = (float)(u->rate / u->correction1), epsilon = (float)u->epsilon;
    float root = (float)(1.0 / sqrt(u->correction2));
    for (uint64_t i = 0; i < u->weights.count; i++) {
        m[i] = b1 * m[i] + c1 * g[i];
        v[i] = b2 * v[i] + c2 * g[i] * g[i];
        w[i] -= rate * m[i] / (sqrtf(v[i]) * root + epsilon);
    }
}

static void update(struct csl_dev *d, const struct csl_update *u)
{
    (void)d;
    uint64_t n = u->weights.count;
    float *restrict w = csl_cpu__f32(u->weights, n);
    float *restrict g = csl_cpu__f32(u->gradient, n);
    float rate = (float)u->rate, momentum = (float)u->momentum;
    add_terms(u, w, g);
    if (u->decay > 0)
        for (uint64_t i = 0; i < n; i++)
            w[i] -= (float)(u->rate * u->decay) * w[i];
    switch (u->kind) {
    case CSL_UPDATE_SGD:
        add_scaled(w, -rate, g, n);
        break;
    case CSL_UPDATE_MOMENTUM: {
        float *restrict m = csl_cpu__f32(u->moment1, n);
        for (uint64_t i = 0; i < n; i++) {
            m[i] = momentum * m[i] + g[i];
            w[i] -= rate * m[i];
        }
        break;
    }
    case CSL_UPDATE_ADAM:
        adam(u, w, g, csl_cpu__f32(u->moment1, n), csl_cpu__f32(u->moment2, n));
        break;
    }
}

const struct csl_compute_ops *csl_compute_cpu_dnnl(void)
{
    static const struct csl_compute_ops ops = {
        CSL_CPU_SHARED_OPS,
        .name = "cpu-dnnl",
        .axpy_f32 = axpy_f32,
        .gemm_f32 = gemm_f32,
        .sum_rows = sum_rows,
        .update = update,
        .gelu = csl_dnnl__gelu,
        .gelu_backward = csl_dnnl__gelu_backward,
        .linear_norms = csl_dnnl__linear_norms,
        .conv_forward = csl_dnnl__conv_forward,
        .conv_grad_input = csl_dnnl__conv_grad_input,
        .conv_grad_weight = csl_dnnl__conv_grad_weight,
        .conv_norms = csl_dnnl__conv_norms,
        .norm_forward = csl_dnnl__norm_forward,
        .norm_grad_input = csl_dnnl__norm_grad_input,
        .norm_grad_params = csl_dnnl__norm_grad_params,
        .norm_norms = csl_dnnl__norm_norms,
        .bag_norms = csl_dnnl__bag_norms,
        .attention = csl_dnnl__attention,
        .attention_backward = csl_dnnl__attention_backward,
    };
    return &ops;
}
#else
const struct csl_compute_ops *csl_compute_cpu_dnnl(void)
{
    return NULL;
}
#endif
