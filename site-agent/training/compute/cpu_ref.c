/* The definition of every operation: plain loops, sums and products in double, one rounding at the
 * end of each element. */
#include "site-agent/training/compute/cpu.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

#define SUMSQ_BLOCK 4096
#define SQRT_HALF   0.70710678118654752440

enum csl_code csl_cpu__probe(uint32_t *devices, struct csl_err *err)
{
    (void)err;
    *devices = 1;
    return CSL_OK;
}

enum csl_code csl_cpu__open(uint32_t index, struct csl_dev **out, struct csl_err *err)
{
    struct csl_dev *d = csl_alloc(sizeof(*d));
    if (d == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a compute device");
    d->index = index;
    *out = d;
    return CSL_OK;
}

void csl_cpu__close(struct csl_dev *d)
{
    if (d == NULL)
        return;
    csl_cpu__drop_scratch(d);
    if (d->library != NULL)
        d->library_free(d->library);
    csl_free(d);
}

/* Patients' values have been there: they do not outlive the device. */
static void wipe(void *bytes, uint64_t size)
{
    memset(bytes, 0, (size_t)size);
    __asm__ volatile("" : : "r"(bytes) : "memory"); /* the zeroing is not a dead store */
}

void csl_cpu__drop_scratch(struct csl_dev *d)
{
    if (d->scratch != NULL)
        wipe(d->scratch, d->scratch_bytes);
    csl_free(d->scratch);
    d->scratch = NULL;
    d->scratch_bytes = 0;
}

void *csl_cpu__scratch(struct csl_dev *d, uint64_t bytes)
{
    if (bytes <= d->scratch_bytes)
        return d->scratch;
    csl_cpu__drop_scratch(d);
    d->scratch = csl_alloc_aligned(256, (size_t)bytes);
    d->scratch_bytes = d->scratch != NULL ? bytes : 0;
    return d->scratch;
}

enum csl_code csl_cpu__alloc(struct csl_dev *d, uint64_t bytes, struct csl_cbuf **out,
                             struct csl_err *err)
{
    (void)d;
    struct csl_cbuf *b = csl_alloc(sizeof(*b));
    if (b != NULL) {
        b->bytes = csl_alloc_aligned(256, (size_t)bytes);
        b->size = bytes;
    }
    if (b == NULL || b->bytes == NULL) {
        csl_free(b);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a compute buffer of %llu bytes",
                        (unsigned long long)bytes);
    }
    *out = b;
    return CSL_OK;
}

void csl_cpu__free(struct csl_cbuf *b)
{
    if (b == NULL)
        return;
    wipe(b->bytes, b->size);
    csl_free(b->bytes);
    csl_free(b);
}

void csl_cpu__put(struct csl_dev *d, struct csl_cbuf *dst, uint64_t at, const void *src,
                  uint64_t bytes)
{
    (void)d;
    CSL_ASSERT(at + bytes <= dst->size);
    memcpy(dst->bytes + at, src, (size_t)bytes);
}

void csl_cpu__put_rows(struct csl_dev *d, struct csl_cbuf *dst, uint64_t at, const void *table,
                       uint64_t row_bytes, const uint32_t *rows, uint64_t count)
{
    if (rows == NULL) {
        csl_cpu__put(d, dst, at, table, row_bytes * count);
        return;
    }
    CSL_ASSERT(at + row_bytes * count <= dst->size);
    const uint8_t *from = table;
    for (uint64_t r = 0; r < count; r++)
        memcpy(dst->bytes + at + r * row_bytes, from + rows[r] * row_bytes, (size_t)row_bytes);
}

void csl_cpu__get(struct csl_dev *d, void *dst, const struct csl_cbuf *src, uint64_t at,
                  uint64_t bytes)
{
    (void)d;
    CSL_ASSERT(at + bytes <= src->size);
    memcpy(dst, src->bytes + at, (size_t)bytes);
}

void csl_cpu__add_u64(struct csl_dev *d, struct csl_view acc, struct csl_view x)
{
    (void)d;
    uint64_t *a = csl_cpu__u64(acc, x.count);
    const uint64_t *b = csl_cpu__u64(x, x.count);
    for (uint64_t i = 0; i < x.count; i++)
        a[i] += b[i]; /* modulo 2^64 */
}

void csl_cpu__encode_u64(struct csl_dev *d, struct csl_view f32_in, double scale,
                         struct csl_view u64_out)
{
    (void)d;
    const float *in = csl_cpu__f32(f32_in, f32_in.count);
    uint64_t *out = csl_cpu__u64(u64_out, f32_in.count);
    for (uint64_t i = 0; i < f32_in.count; i++)
        out[i] = (uint64_t)llrint((double)in[i] * scale);
}

void csl_cpu__decode_f32(struct csl_dev *d, struct csl_view u64_in, double scale,
                         struct csl_view f32_out)
{
    (void)d;
    const uint64_t *in = csl_cpu__u64(u64_in, u64_in.count);
    float *out = csl_cpu__f32(f32_out, u64_in.count);
    for (uint64_t i = 0; i < u64_in.count; i++)
        out[i] = (float)((double)(int64_t)in[i] / scale);
}

void csl_cpu__zero(struct csl_dev *d, struct csl_view f32_out)
{
    (void)d;
    memset(csl_cpu__f32(f32_out, f32_out.count), 0, (size_t)f32_out.count * sizeof(float));
}

static void axpy_f32(struct csl_dev *d, float a, struct csl_view x, struct csl_view y)
{
    (void)d;
    const float *from = csl_cpu__f32(x, x.count);
    float *to = csl_cpu__f32(y, x.count);
    for (uint64_t i = 0; i < x.count; i++)
        to[i] = (float)((double)to[i] + (double)a * (double)from[i]);
}

/* Pairwise over blocks without recursion: partial[l] holds a finished sum of 2^l blocks; a new
 * block carries upwards like a binary counter, so the tree depends on the length alone. */
void csl_cpu__sumsq_f32(struct csl_dev *d, struct csl_view x, struct csl_view f64_out)
{
    (void)d;
    const float *v = csl_cpu__f32(x, x.count);
    double partial[64] = {0};
    uint64_t blocks = 0;
    for (uint64_t at = 0; at < x.count; at += SUMSQ_BLOCK, blocks++) {
        uint64_t end = x.count - at < SUMSQ_BLOCK ? x.count : at + SUMSQ_BLOCK;
        double sum = 0;
        for (uint64_t i = at; i < end; i++)
            sum += (double)v[i] * (double)v[i];
        unsigned level = 0;
        for (uint64_t carry = blocks; (carry & 1) != 0; carry >>= 1)
            sum += partial[level++];
        partial[level] = sum;
    }
    double total = 0;
    for (unsigned level = 0; level < 64; level++)
        if ((blocks >> level & 1) != 0)
            total += partial[level];
    *csl_cpu__f64(f64_out, 1) = total;
}

static void gemm_f32(struct csl_dev *d, const struct csl_gemm *g, struct csl_view a,
                     struct csl_view b, struct csl_view c)
{
    (void)d;
    const float *pa = csl_cpu__f32(a, g->m * g->k);
    const float *pb = csl_cpu__f32(b, g->k * g->n);
    float *pc = csl_cpu__f32(c, g->m * g->n);
    uint64_t a_row = g->is_a_transposed ? 1 : g->k, a_step = g->is_a_transposed ? g->m : 1;
    uint64_t b_col = g->is_b_transposed ? g->k : 1, b_step = g->is_b_transposed ? 1 : g->n;
    for (uint64_t i = 0; i < g->m; i++) {
        for (uint64_t j = 0; j < g->n; j++) {
            const float *x = pa + i * a_row, *y = pb + j * b_col;
            double sum = 0;
            for (uint64_t p = 0; p < g->k; p++)
                sum += (double)x[p * a_step] * (double)y[p * b_step];
            double old = g->beta == 0.0f ? 0.0 : (double)g->beta * (double)pc[i * g->n + j];
            pc[i * g->n + j] = (float)((double)g->alpha * sum + old);
        }
    }
}

void csl_cpu__add_bias(struct csl_dev *d, uint64_t rows, uint64_t cols, struct csl_view bias,
                       struct csl_view x)
{
    (void)d;
    const float *b = csl_cpu__f32(bias, cols);
    float *v = csl_cpu__f32(x, rows * cols);
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < cols; c++)
            v[r * cols + c] += b[c];
}

static void sum_rows(struct csl_dev *d, uint64_t rows, uint64_t cols, struct csl_view x, float beta,
                     struct csl_view sum)
{
    (void)d;
    const float *v = csl_cpu__f32(x, rows * cols);
    float *s = csl_cpu__f32(sum, cols);
    for (uint64_t c = 0; c < cols; c++) {
        double total = beta == 0.0f ? 0.0 : (double)beta * (double)s[c];
        for (uint64_t r = 0; r < rows; r++)
            total += (double)v[r * cols + c];
        s[c] = (float)total;
    }
}

void csl_cpu__scale_rows(struct csl_dev *d, uint64_t rows, uint64_t cols, struct csl_view scale,
                         struct csl_view x, struct csl_view y)
{
    (void)d;
    const float *s = csl_cpu__f32(scale, rows);
    const float *v = csl_cpu__f32(x, rows * cols);
    float *out = csl_cpu__f32(y, rows * cols);
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < cols; c++)
            out[r * cols + c] = s[r] * v[r * cols + c];
}

CSL_CLONES static void relu(uint64_t n, const float *x, float *y)
{
    CSL_IVDEP
    for (uint64_t i = 0; i < n; i++)
        y[i] = x[i] < 0.0f ? 0.0f : x[i];
}

CSL_CLONES static void relu_backward(uint64_t n, const float *x, const float *g, float *out)
{
    CSL_IVDEP
    for (uint64_t i = 0; i < n; i++) {
        float passed = g[i];
        out[i] = x[i] > 0.0f ? passed : 0.0f;
    }
}

void csl_cpu__relu(struct csl_dev *d, struct csl_view x, struct csl_view y)
{
    (void)d;
    relu(x.count, csl_cpu__f32(x, x.count), csl_cpu__f32(y, x.count));
}

void csl_cpu__relu_backward(struct csl_dev *d, struct csl_view x, struct csl_view grad_out,
                            struct csl_view grad_in)
{
    (void)d;
    relu_backward(x.count, csl_cpu__f32(x, x.count), csl_cpu__f32(grad_out, x.count),
                  csl_cpu__f32(grad_in, x.count));
}

/* x Phi(x), Phi the distribution function of the standard normal. */
static void gelu(struct csl_dev *d, struct csl_view x, struct csl_view y)
{
    (void)d;
    const float *v = csl_cpu__f32(x, x.count);
    float *out = csl_cpu__f32(y, x.count);
    for (uint64_t i = 0; i < x.count; i++)
        out[i] = (float)((double)v[i] * 0.5 * erfc((double)v[i] * -SQRT_HALF));
}

static void gelu_backward(struct csl_dev *d, struct csl_view x, struct csl_view grad_out,
                          struct csl_view grad_in)
{
    (void)d;
    const float *v = csl_cpu__f32(x, x.count);
    const float *g = csl_cpu__f32(grad_out, x.count);
    float *out = csl_cpu__f32(grad_in, x.count);
    for (uint64_t i = 0; i < x.count; i++) {
        double z = (double)v[i], density = exp(-0.5 * z * z) * 0.3989422804014327;
        out[i] = (float)((double)g[i] * (0.5 * erfc(z * -SQRT_HALF) + z * density));
    }
}

static void update(struct csl_dev *d, const struct csl_update *u)
{
    (void)d;
    uint64_t n = u->weights.count;
    float *w = csl_cpu__f32(u->weights, n);
    const float *grad = csl_cpu__f32(u->gradient, n);
    const float *anchor = u->anchor.buf != NULL ? csl_cpu__f32(u->anchor, n) : NULL;
    const float *shift = u->correction.buf != NULL ? csl_cpu__f32(u->correction, n) : NULL;
    float *m = u->kind != CSL_UPDATE_SGD ? csl_cpu__f32(u->moment1, n) : NULL;
    float *v = u->kind == CSL_UPDATE_ADAM ? csl_cpu__f32(u->moment2, n) : NULL;
    for (uint64_t i = 0; i < n; i++) {
        double wi = (double)w[i], g = (double)grad[i] + u->l2 * wi;
        if (anchor != NULL)
            g += u->proximal * (wi - (double)anchor[i]);
        if (shift != NULL)
            g += (double)shift[i];
        wi -= u->rate * u->decay * wi;
        if (m == NULL) {
            w[i] = (float)(wi - u->rate * g);
        } else if (v == NULL) {
            m[i] = (float)(u->momentum * (double)m[i] + g);
            w[i] = (float)(wi - u->rate * (double)m[i]);
        } else {
            double b1 = u->beta1, b2 = u->beta2;
            m[i] = (float)(b1 * (double)m[i] + (1.0 - b1) * g);
            v[i] = (float)(b2 * (double)v[i] + (1.0 - b2) * g * g);
            double scale = sqrt((double)v[i] / u->correction2) + u->epsilon;
            w[i] = (float)(wi - u->rate / u->correction1 * (double)m[i] / scale);
        }
    }
}

enum csl_code csl_cpu__sync(struct csl_dev *d, struct csl_err *err)
{
    (void)d;
    (void)err;
    return CSL_OK;
}

const void *csl_cpu__host(const struct csl_cbuf *b)
{
    return b->bytes;
}

const struct csl_compute_ops *csl_compute_cpu_ref(void)
{
    static const struct csl_compute_ops ops = {
        CSL_CPU_SHARED_OPS,
        .name = "cpu-ref",
        .axpy_f32 = axpy_f32,
        .gemm_f32 = gemm_f32,
        .sum_rows = sum_rows,
        .update = update,
        .gelu = gelu,
        .gelu_backward = gelu_backward,
        .linear_norms = csl_cpu__linear_norms,
        .conv_forward = csl_cpu__conv_forward,
        .conv_grad_input = csl_cpu__conv_grad_input,
        .conv_grad_weight = csl_cpu__conv_grad_weight,
        .conv_norms = csl_cpu__conv_norms,
        .norm_forward = csl_cpu__norm_forward,
        .norm_grad_input = csl_cpu__norm_grad_input,
        .norm_grad_params = csl_cpu__norm_grad_params,
        .norm_norms = csl_cpu__norm_norms,
        .bag_norms = csl_cpu__bag_norms,
        .attention = csl_cpu__attention,
        .attention_backward = csl_cpu__attention_backward,
    };
    return &ops;
}
