/* site-agent/training/compute/cuda/device.h - a device, its buffers and what all operations of the
 * CUDA backend share. The including file has taken run_gpu.h or run_emulated.h before: they bring
 * struct csl_run and the csl_run_* functions for real and for host memory. */
#ifndef CSL_CUDA_DEVICE_H
#define CSL_CUDA_DEVICE_H
#include "site-agent/training/compute/cuda/kernel.h"
#include "site-agent/training/compute/cuda/plugin.h"

#include <string.h>

/* Scratch memory of one operation, by use, so that an operation may call another. */
enum csl_slot { CSL_SLOT_COLUMNS, CSL_SLOT_A, CSL_SLOT_B, CSL_SLOT_C, CSL_SLOT_UNITS, CSL_SLOTS };

struct csl_dev {
    struct csl_run run;
    uint8_t *slot[CSL_SLOTS];
    uint64_t slot_bytes[CSL_SLOTS];
    const char *first_op, *op; /* queued since the last sync; the latest */
    enum csl_code failed;      /* the first failure since the last sync */
    const char *failed_op;
    char failure[160];
};
struct csl_cbuf {
    struct csl_dev *dev;
    uint8_t *bytes;
    uint64_t size;
};

static const struct csl_cuda_host *csl_cuda_host;

struct csl_product;
static uint8_t *csl_run_alloc(struct csl_dev *d, uint64_t bytes); /* zeroed; NULL: no memory */
static void csl_run_free(struct csl_dev *d, uint8_t *p, uint64_t bytes); /* zeroes first */
static void csl_run_zero(struct csl_dev *d, void *p, uint64_t bytes);
static void csl_run_use(struct csl_dev *d);  /* makes it this thread's device */
static void csl_run_wait(struct csl_dev *d); /* for everything that is queued */
/* A free piece of the staging area; its way to the device; and back, after a wait. */
static uint8_t *csl_run_stage(struct csl_dev *d);
static void csl_run_stage_send(struct csl_dev *d, void *to, uint64_t bytes);
static const void *csl_run_fetch(struct csl_dev *d, const void *from, uint64_t bytes);
static void csl_run_multiply(struct csl_dev *d, const struct csl_product *p); /* k > 0 */

#define REFUSE(err, code, ...)                                                                     \
    (csl_cuda_host->fail((err), (code), 0, __FILE__, __LINE__, __VA_ARGS__), (code))
#define ASSERT(x) ((x) ? (void)0 : csl_cuda_host->assert_failed(#x, __FILE__, __LINE__))

static void csl_dev_fail(struct csl_dev *d, enum csl_code code, const char *what)
{
    if (d->failed != CSL_OK)
        return;
    size_t n = strlen(what) < sizeof(d->failure) - 1 ? strlen(what) : sizeof(d->failure) - 1;
    memcpy(d->failure, what, n);
    d->failure[n] = '\0';
    d->failed = code;
    d->failed_op = d->op != NULL ? d->op : "open";
}

/* Every operation begins here: its name is what sync reports. */
static void csl_dev_begin(struct csl_dev *d, const char *op)
{
    csl_run_use(d);
    d->op = op;
    if (d->first_op == NULL)
        d->first_op = op;
}

/* Bounds are ours to keep: a view that leaves its buffer is a bug of the caller. */
static void *csl_at(struct csl_view v, uint64_t need, uint64_t item_bytes)
{
    ASSERT(v.buf != NULL && need <= v.count);
    ASSERT((v.first + need) * item_bytes <= v.buf->size);
    return v.buf->bytes + v.first * item_bytes;
}
static float *csl_f32(struct csl_view v, uint64_t need)
{
    return (float *)csl_at(v, need, sizeof(float));
}
static double *csl_f64(struct csl_view v, uint64_t need)
{
    return (double *)csl_at(v, need, sizeof(double));
}
static uint64_t *csl_u64(struct csl_view v, uint64_t need)
{
    return (uint64_t *)csl_at(v, need, sizeof(uint64_t));
}
static uint32_t *csl_u32(struct csl_view v, uint64_t need)
{
    return (uint32_t *)csl_at(v, need, sizeof(uint32_t));
}
static uint8_t *csl_u8(struct csl_view v, uint64_t need)
{
    return (uint8_t *)csl_at(v, need, 1);
}
static const uint8_t *csl_u8_or_none(struct csl_view v, uint64_t need)
{
    return v.buf != NULL ? csl_u8(v, need) : NULL;
}
static const uint32_t *csl_u32_or_none(struct csl_view v, uint64_t need)
{
    return v.buf != NULL ? csl_u32(v, need) : NULL;
}
static const float *csl_f32_or_none(struct csl_view v, uint64_t need)
{
    return v.buf != NULL ? csl_f32(v, need) : NULL;
}

/* Room for `bytes` in the slot until the next call for it; contents are lost. NULL: no memory,
 * which sync reports; the operation does nothing. */
static void *csl_room(struct csl_dev *d, enum csl_slot slot, uint64_t bytes)
{
    if (bytes == 0)
        bytes = 1;
    if (bytes > d->slot_bytes[slot]) {
        csl_run_free(d, d->slot[slot], d->slot_bytes[slot]);
        d->slot[slot] = csl_run_alloc(d, bytes);
        d->slot_bytes[slot] = d->slot[slot] != NULL ? bytes : 0;
        if (d->slot[slot] == NULL)
            csl_dev_fail(d, CSL_E_NOMEM, "no memory for a work area");
    }
    return d->slot[slot];
}
static float *csl_room_f32(struct csl_dev *d, enum csl_slot slot, uint64_t count)
{
    return (float *)csl_room(d, slot, count * sizeof(float));
}
static double *csl_room_f64(struct csl_dev *d, enum csl_slot slot, uint64_t count)
{
    return (double *)csl_room(d, slot, count * sizeof(double));
}

/* Host memory to device memory through the staging area; `from` has been read on return. */
static void csl_send(struct csl_dev *d, void *to, const void *from, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes;) {
        uint64_t n = bytes - at < CSL_STAGE_BYTES ? bytes - at : CSL_STAGE_BYTES;
        memcpy(csl_run_stage(d), (const uint8_t *)from + at, (size_t)n);
        csl_run_stage_send(d, (uint8_t *)to + at, n);
        at += n;
    }
}

/* The bounds of units on the device: u32 [count + 1]. */
static const uint32_t *csl_units_on_device(struct csl_dev *d, const struct csl_units *u)
{
    uint64_t bytes = (u->count + 1) * sizeof(uint32_t);
    uint32_t *first = (uint32_t *)csl_room(d, CSL_SLOT_UNITS, bytes);
    if (first != NULL)
        csl_send(d, first, u->first, bytes);
    return first;
}

/* ---- products ---- */

/* c: [m, n] = alpha op(a) op(b) + beta c for each of `batch` matrices, row-major with the distance
 * between rows (ld) and between matrices (step) in elements. */
struct csl_product {
    uint64_t m, n, k;
    bool is_a_transposed, is_b_transposed;
    float alpha, beta;
    const float *a, *b;
    float *c;
    uint64_t a_ld, b_ld, c_ld, a_step, b_step, c_step, batch;
};

KERNEL void scale_matrix(uint64_t m, uint64_t n, uint64_t ld, uint64_t step, uint64_t batch,
                         float beta, float *c)
{
    ELEMENTS (i, batch * m * n) {
        float *to = c + i / (m * n) * step + i / n % m * ld + i % n;
        *to = beta == 0.0f ? 0.0f : beta * *to;
    }
}

static void csl_multiply(struct csl_dev *d, const struct csl_product *p)
{
    uint64_t values = p->batch * p->m * p->n;
    if (values == 0)
        return;
    if (p->k > 0)
        csl_run_multiply(d, p);
    else if (p->beta != 1.0f)
        LAUNCH(d, csl_blocks(values), scale_matrix, p->m, p->n, p->c_ld, p->c_step, p->batch,
               p->beta, p->c);
}

/* One product of dense matrices. */
static void csl_multiply_dense(struct csl_dev *d, const struct csl_gemm *g, const float *a,
                               const float *b, float *c)
{
    struct csl_product p;
    memset(&p, 0, sizeof(p));
    p.m = g->m;
    p.n = g->n;
    p.k = g->k;
    p.is_a_transposed = g->is_a_transposed;
    p.is_b_transposed = g->is_b_transposed;
    p.alpha = g->alpha;
    p.beta = g->beta;
    p.a = a;
    p.b = b;
    p.c = c;
    p.a_ld = g->is_a_transposed ? g->m : g->k;
    p.b_ld = g->is_b_transposed ? g->k : g->n;
    p.c_ld = g->n;
    p.batch = 1;
    csl_multiply(d, &p);
}

#endif
