/* site-agent/training/compute/cuda/table.h - devices, buffers and copies, and the table of
 * operations. */
#ifndef CSL_CUDA_TABLE_H
#define CSL_CUDA_TABLE_H
#include "site-agent/training/compute/cuda/attention.h"
#include "site-agent/training/compute/cuda/bag.h"
#include "site-agent/training/compute/cuda/basic.h"
#include "site-agent/training/compute/cuda/conv.h"
#include "site-agent/training/compute/cuda/dropout.h"
#include "site-agent/training/compute/cuda/fusion.h"
#include "site-agent/training/compute/cuda/loss_cox.h"
#include "site-agent/training/compute/cuda/normalise.h"
#include "site-agent/training/compute/cuda/pool.h"

static void dev_close(struct csl_dev *d)
{
    if (d == NULL)
        return;
    csl_run_use(d);
    for (unsigned i = 0; i < CSL_SLOTS; i++)
        csl_run_free(d, d->slot[i], d->slot_bytes[i]);
    csl_run_close(d);
    csl_cuda_host->free(d);
}

static enum csl_code dev_open(uint32_t index, struct csl_dev **out, struct csl_err *err)
{
    struct csl_dev *d = (struct csl_dev *)csl_cuda_host->alloc(sizeof(*d));
    if (d == NULL)
        return REFUSE(err, CSL_E_NOMEM, "no memory for a compute device");
    enum csl_code code = csl_run_open(d, index, err);
    if (code != CSL_OK) {
        dev_close(d);
        return code;
    }
    *out = d;
    return CSL_OK;
}

static enum csl_code buf_alloc(struct csl_dev *d, uint64_t bytes, struct csl_cbuf **out,
                               struct csl_err *err)
{
    struct csl_cbuf *b = (struct csl_cbuf *)csl_cuda_host->alloc(sizeof(*b));
    csl_run_use(d);
    if (b != NULL) {
        b->dev = d;
        b->size = bytes;
        b->bytes = csl_run_alloc(d, bytes > 0 ? bytes : 1);
    }
    if (b == NULL || b->bytes == NULL) {
        csl_cuda_host->free(b);
        return REFUSE(err, CSL_E_NOMEM, "no memory for a compute buffer of %llu bytes on %s",
                      (unsigned long long)bytes, CSL_RUN_NAME);
    }
    *out = b;
    return CSL_OK;
}

static void buf_free(struct csl_cbuf *b)
{
    if (b == NULL)
        return;
    csl_run_use(b->dev);
    csl_run_free(b->dev, b->bytes, b->size > 0 ? b->size : 1);
    csl_cuda_host->free(b);
}

static void op_put(struct csl_dev *d, struct csl_cbuf *dst, uint64_t at, const void *src,
                   uint64_t bytes)
{
    ASSERT(at + bytes <= dst->size);
    csl_dev_begin(d, "put");
    csl_send(d, dst->bytes + at, src, bytes);
}

static void op_put_rows(struct csl_dev *d, struct csl_cbuf *dst, uint64_t at, const void *table,
                        uint64_t row_bytes, const uint32_t *rows, uint64_t count)
{
    const uint8_t *from = (const uint8_t *)table;
    ASSERT(at + row_bytes * count <= dst->size);
    csl_dev_begin(d, "put_rows");
    if (rows == NULL || row_bytes > CSL_STAGE_BYTES) {
        for (uint64_t r = 0; rows != NULL && r < count; r++)
            csl_send(d, dst->bytes + at + r * row_bytes, from + rows[r] * row_bytes, row_bytes);
        if (rows == NULL)
            csl_send(d, dst->bytes + at, table, row_bytes * count);
        return;
    }
    uint64_t each = row_bytes > 0 ? CSL_STAGE_BYTES / row_bytes : count;
    for (uint64_t r = 0, n; row_bytes > 0 && r < count; r += n) {
        uint8_t *stage = csl_run_stage(d);
        n = count - r < each ? count - r : each;
        for (uint64_t i = 0; i < n; i++)
            memcpy(stage + i * row_bytes, from + rows[r + i] * row_bytes, (size_t)row_bytes);
        csl_run_stage_send(d, dst->bytes + at + r * row_bytes, n * row_bytes);
    }
}

/* Waits: the bytes are there on return. */
static void op_get(struct csl_dev *d, void *dst, const struct csl_cbuf *src, uint64_t at,
                   uint64_t bytes)
{
    ASSERT(at + bytes <= src->size);
    csl_dev_begin(d, "get");
    for (uint64_t done = 0; done < bytes;) {
        uint64_t n = bytes - done < CSL_STAGE_BYTES ? bytes - done : CSL_STAGE_BYTES;
        memcpy((uint8_t *)dst + done, csl_run_fetch(d, src->bytes + at + done, n), (size_t)n);
        done += n;
    }
}

static enum csl_code dev_sync(struct csl_dev *d, struct csl_err *err)
{
    const char *first = d->first_op, *last = d->op;
    csl_run_use(d);
    csl_run_wait(d); /* a fault found only now is some operation's since the last sync */
    enum csl_code code = d->failed;
    bool is_late = code != CSL_OK && d->failed_op == NULL;
    d->first_op = d->op = NULL;
    d->failed = CSL_OK;
    if (is_late)
        return REFUSE(err, code, "compute backend %s: %s in one of the operations from %s to %s",
                      CSL_RUN_NAME, d->failure, first != NULL ? first : "open",
                      last != NULL ? last : "open");
    if (code != CSL_OK)
        return REFUSE(err, code, "compute backend %s: %s in %s", CSL_RUN_NAME, d->failure,
                      d->failed_op);
    return CSL_OK;
}

static const struct csl_compute_ops csl_cuda_ops = {
    .abi = CSL_COMPUTE_ABI,
    .size = sizeof(struct csl_compute_ops),
    .name = CSL_RUN_NAME,
    .probe = csl_run_probe,
    .open = dev_open,
    .close = dev_close,
    .alloc = buf_alloc,
    .free = buf_free,
    .put = op_put,
    .put_rows = op_put_rows,
    .get = op_get,
    .add_u64 = op_add_u64,
    .encode_u64 = op_encode_u64,
    .decode_f32 = op_decode_f32,
    .zero = op_zero,
    .axpy_f32 = op_axpy_f32,
    .sumsq_f32 = op_sumsq_f32,
    .gemm_f32 = op_gemm_f32,
    .add_bias = op_add_bias,
    .sum_rows = op_sum_rows,
    .scale_rows = op_scale_rows,
    .relu = op_relu,
    .relu_backward = op_relu_backward,
    .gelu = op_gelu,
    .gelu_backward = op_gelu_backward,
    .copy_cols = op_copy_cols,
    .linear_norms = op_linear_norms,
    .conv_forward = op_conv_forward,
    .conv_grad_input = op_conv_grad_input,
    .conv_grad_weight = op_conv_grad_weight,
    .conv_norms = op_conv_norms,
    .pool_max = op_pool_max,
    .pool_max_backward = op_pool_max_backward,
    .pool_average = op_pool_average,
    .pool_average_backward = op_pool_average_backward,
    .mean = op_mean,
    .mean_backward = op_mean_backward,
    .norm_forward = op_norm_forward,
    .norm_grad_input = op_norm_grad_input,
    .norm_grad_params = op_norm_grad_params,
    .norm_norms = op_norm_norms,
    .bag_forward = op_bag_forward,
    .bag_grad = op_bag_grad,
    .bag_norms = op_bag_norms,
    .attention = op_attention,
    .attention_backward = op_attention_backward,
    .fusion = op_fusion,
    .fusion_grad_input = op_fusion_grad_input,
    .fusion_grad_params = op_fusion_grad_params,
    .fusion_norms = op_fusion_norms,
    .dropout = op_dropout,
    .drop_modalities = op_drop_modalities,
    .loss = op_loss,
    .update = op_update,
    .sync = dev_sync,
    .host = NULL,
};

#endif
