/* site-agent/training/compute/cuda/run_gpu.cuh - one device of CUDA: one stream, cuBLAS, plain
 * allocations, a pinned staging area in two halves. The card's settings are never touched. */
#ifndef CSL_CUDA_RUN_GPU_CUH
#define CSL_CUDA_RUN_GPU_CUH
#include "site-agent/training/compute/cuda/plugin.h"

#include <cublas_v2.h>
#include <cuda_runtime.h>

#define CSL_RUN_NAME    "cuda"
#define CSL_STAGE_BYTES (UINT64_C(1) << 20)
#define CSL_CHUNK_BYTES (UINT64_C(256) << 20)

struct csl_run {
    int index;
    bool has_stream;
    cudaStream_t stream;
    cublasHandle_t blas;
    uint8_t *stage; /* two halves of CSL_STAGE_BYTES */
    cudaEvent_t sent[2];
    unsigned half;
};
static void csl_run_check(struct csl_dev *d);
#include "site-agent/training/compute/cuda/device.h"

/* What the kernels are compiled for: sm_90, and PTX for what follows. */
#define COMPUTE_MAJOR_MIN 9

static void csl_run_fail(struct csl_dev *d, cudaError_t e)
{
    if (e != cudaSuccess)
        csl_dev_fail(d, e == cudaErrorMemoryAllocation ? CSL_E_NOMEM : CSL_E_IO,
                     cudaGetErrorString(e));
}

/* After a launch: what could not even be queued. */
static void csl_run_check(struct csl_dev *d)
{
    csl_run_fail(d, cudaGetLastError());
}

static enum csl_code csl_run_probe(uint32_t *devices, struct csl_err *err)
{
    int count = 0; /* not written when the driver is missing or too old */
    cudaError_t e = cudaGetDeviceCount(&count);
    if (e != cudaSuccess && e != cudaErrorNoDevice)
        return REFUSE(err, CSL_E_UNSUPPORTED, "the CUDA driver does not answer: %s (error %d)",
                      cudaGetErrorString(e), (int)e);
    *devices = e == cudaSuccess && count > 0 ? (uint32_t)count : 0;
    return CSL_OK;
}

static cudaError_t open_stream(struct csl_run *r)
{
    cudaError_t e = cudaSetDevice(r->index);
    if (e == cudaSuccess)
        e = cudaStreamCreateWithFlags(&r->stream, cudaStreamNonBlocking);
    r->has_stream = e == cudaSuccess;
    if (e == cudaSuccess)
        e = cudaHostAlloc((void **)&r->stage, 2 * CSL_STAGE_BYTES, cudaHostAllocDefault);
    for (unsigned i = 0; i < 2 && e == cudaSuccess; i++)
        e = cudaEventCreateWithFlags(&r->sent[i], cudaEventDisableTiming);
    return e;
}

static enum csl_code csl_run_open(struct csl_dev *d, uint32_t index, struct csl_err *err)
{
    struct csl_run *r = &d->run;
    int major = 0;
    r->index = (int)index;
    cudaError_t e = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, r->index);
    if (e == cudaSuccess && major < COMPUTE_MAJOR_MIN)
        return REFUSE(err, CSL_E_UNSUPPORTED,
                      "GPU %u has compute capability %d; at least %d would be right", index, major,
                      COMPUTE_MAJOR_MIN);
    if (e == cudaSuccess)
        e = open_stream(r);
    if (e != cudaSuccess) {
        (void)cudaGetLastError(); /* not the next device's */
        return REFUSE(err, e == cudaErrorMemoryAllocation ? CSL_E_NOMEM : CSL_E_IO,
                      "GPU %u cannot be opened: %s", index, cudaGetErrorString(e));
    }
    cublasStatus_t s = cublasCreate(&r->blas);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = cublasSetStream(r->blas, r->stream);
    if (s == CUBLAS_STATUS_SUCCESS) /* float32 throughout: no TF32 */
        s = cublasSetMathMode(r->blas, CUBLAS_PEDANTIC_MATH);
    if (s != CUBLAS_STATUS_SUCCESS)
        return REFUSE(err, s == CUBLAS_STATUS_ALLOC_FAILED ? CSL_E_NOMEM : CSL_E_IO,
                      "cuBLAS cannot be opened on GPU %u: %s", index, cublasGetStatusString(s));
    return CSL_OK;
}

/* Also after an opening that failed half way. */
static void csl_run_close(struct csl_dev *d)
{
    struct csl_run *r = &d->run;
    if (r->has_stream)
        (void)cudaStreamSynchronize(r->stream);
    if (r->blas != NULL)
        (void)cublasDestroy(r->blas);
    for (unsigned i = 0; i < 2; i++)
        if (r->sent[i] != NULL)
            (void)cudaEventDestroy(r->sent[i]);
    if (r->stage != NULL) { /* patients' values have been there */
        memset(r->stage, 0, 2 * CSL_STAGE_BYTES);
        (void)cudaFreeHost(r->stage);
    }
    if (r->has_stream)
        (void)cudaStreamDestroy(r->stream);
    (void)cudaGetLastError();
}

/* CUDA's current device is the calling thread's. */
static void csl_run_use(struct csl_dev *d)
{
    csl_run_fail(d, cudaSetDevice(d->run.index));
}

/* A fault that is seen only here belongs to no operation that can be named: failed_op stays NULL.
 */
static void csl_run_wait(struct csl_dev *d)
{
    bool is_first = d->failed == CSL_OK;
    csl_run_fail(d, cudaStreamSynchronize(d->run.stream));
    if (is_first)
        d->failed_op = NULL;
}

static uint8_t *csl_run_alloc(struct csl_dev *d, uint64_t bytes)
{
    void *p = NULL;
    cudaError_t e = cudaMalloc(&p, (size_t)bytes);
    if (e != cudaSuccess) {
        (void)cudaGetLastError(); /* the caller reports it */
        return NULL;
    }
    csl_run_zero(d, p, bytes);
    return (uint8_t *)p;
}

static void csl_run_zero(struct csl_dev *d, void *p, uint64_t bytes)
{
    if (bytes > 0)
        csl_run_fail(d, cudaMemsetAsync(p, 0, (size_t)bytes, d->run.stream));
}

static void csl_run_free(struct csl_dev *d, uint8_t *p, uint64_t bytes)
{
    if (p == NULL)
        return;
    csl_run_zero(d, p, bytes);
    csl_run_fail(d, cudaStreamSynchronize(d->run.stream)); /* the zeroes are there first */
    csl_run_fail(d, cudaFree(p));
}

static uint8_t *csl_run_stage(struct csl_dev *d)
{
    struct csl_run *r = &d->run;
    r->half = 1 - r->half;
    csl_run_fail(d, cudaEventSynchronize(r->sent[r->half])); /* done when it was never sent */
    return r->stage + r->half * CSL_STAGE_BYTES;
}

static void csl_run_stage_send(struct csl_dev *d, void *to, uint64_t bytes)
{
    struct csl_run *r = &d->run;
    const uint8_t *from = r->stage + r->half * CSL_STAGE_BYTES;
    csl_run_fail(d, cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyHostToDevice, r->stream));
    csl_run_fail(d, cudaEventRecord(r->sent[r->half], r->stream));
}

static const void *csl_run_fetch(struct csl_dev *d, const void *from, uint64_t bytes)
{
    struct csl_run *r = &d->run;
    uint8_t *to = csl_run_stage(d);
    csl_run_fail(d, cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDeviceToHost, r->stream));
    csl_run_fail(d, cudaStreamSynchronize(r->stream));
    return to;
}

/* cuBLAS counts columns first: the transposed product. */
static void csl_run_multiply(struct csl_dev *d, const struct csl_product *p)
{
    cublasOperation_t a = p->is_a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasOperation_t b = p->is_b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    int64_t m = (int64_t)p->m, n = (int64_t)p->n, k = (int64_t)p->k;
    int64_t a_ld = (int64_t)p->a_ld, b_ld = (int64_t)p->b_ld, c_ld = (int64_t)p->c_ld;
    cublasStatus_t s;
    if (p->batch == 1)
        s = cublasSgemm_64(d->run.blas, b, a, n, m, k, &p->alpha, p->b, b_ld, p->a, a_ld, &p->beta,
                           p->c, c_ld);
    else
        s = cublasSgemmStridedBatched_64(
            d->run.blas, b, a, n, m, k, &p->alpha, p->b, b_ld, (long long)p->b_step, p->a, a_ld,
            (long long)p->a_step, &p->beta, p->c, c_ld, (long long)p->c_step, (int64_t)p->batch);
    if (s != CUBLAS_STATUS_SUCCESS)
        csl_dev_fail(d, s == CUBLAS_STATUS_ALLOC_FAILED ? CSL_E_NOMEM : CSL_E_IO,
                     cublasGetStatusString(s));
}

#endif
