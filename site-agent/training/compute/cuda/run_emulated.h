/* site-agent/training/compute/cuda/run_emulated.h - host memory as the device's, for tests. The
 * staging area and the work areas are small, so that small tests cross their borders. */
#ifndef CSL_CUDA_RUN_EMULATED_H
#define CSL_CUDA_RUN_EMULATED_H
#include "site-agent/training/compute/cuda/plugin.h"

#define CSL_RUN_NAME    "cuda-emulated"
#define CSL_STAGE_BYTES 1000u
#define CSL_CHUNK_BYTES 65536u

struct csl_run {
    uint8_t stage[CSL_STAGE_BYTES];
};
#include "site-agent/training/compute/cuda/device.h"

static enum csl_code csl_run_probe(uint32_t *devices, struct csl_err *err)
{
    (void)err;
    *devices = 1;
    return CSL_OK;
}
static enum csl_code csl_run_open(struct csl_dev *d, uint32_t index, struct csl_err *err)
{
    (void)d;
    return index == 0 ? CSL_OK : REFUSE(err, CSL_E_INVAL, "no device %u", index);
}
static void csl_run_close(struct csl_dev *d)
{
    (void)d;
}
static void csl_run_use(struct csl_dev *d)
{
    (void)d;
}
static void csl_run_wait(struct csl_dev *d)
{
    (void)d;
}
static uint8_t *csl_run_alloc(struct csl_dev *d, uint64_t bytes)
{
    (void)d;
    return csl_cuda_host->alloc((size_t)bytes);
}
static void csl_run_zero(struct csl_dev *d, void *p, uint64_t bytes)
{
    (void)d;
    memset(p, 0, (size_t)bytes);
}
static void csl_run_free(struct csl_dev *d, uint8_t *p, uint64_t bytes)
{
    if (p != NULL)
        csl_run_zero(d, p, bytes);
    csl_cuda_host->free(p);
}
static uint8_t *csl_run_stage(struct csl_dev *d)
{
    return d->run.stage;
}
static void csl_run_stage_send(struct csl_dev *d, void *to, uint64_t bytes)
{
    memcpy(to, d->run.stage, (size_t)bytes);
}
static const void *csl_run_fetch(struct csl_dev *d, const void *from, uint64_t bytes)
{
    memcpy(d->run.stage, from, (size_t)bytes);
    return d->run.stage;
}
static void csl_run_multiply(struct csl_dev *d, const struct csl_product *p)
{
    (void)d;
    uint64_t a_row = p->is_a_transposed ? 1 : p->a_ld, a_next = p->is_a_transposed ? p->a_ld : 1;
    uint64_t b_col = p->is_b_transposed ? p->b_ld : 1, b_next = p->is_b_transposed ? 1 : p->b_ld;
    for (uint64_t i = 0; i < p->batch * p->m * p->n; i++) {
        uint64_t batch = i / (p->m * p->n), row = i / p->n % p->m, col = i % p->n;
        const float *x = p->a + batch * p->a_step + row * a_row;
        const float *y = p->b + batch * p->b_step + col * b_col;
        float *to = p->c + batch * p->c_step + row * p->c_ld + col;
        double sum = 0;
        for (uint64_t k = 0; k < p->k; k++)
            sum += (double)x[k * a_next] * (double)y[k * b_next];
        double old = p->beta == 0.0f ? 0.0 : (double)p->beta * (double)*to;
        *to = (float)((double)p->alpha * sum + old);
    }
}

#endif
