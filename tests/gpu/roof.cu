/* The two rates everything else is a fraction of, on this card: a copy from device memory to device
 * memory, and cuBLAS' float32 product as the backend calls it. Prints "GB_S GFLOP_S". */
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <stdio.h>

#define COPY_BYTES ((size_t)1 << 30)
#define SIDE       8192
#define REPEATS    7

static bool is_good(cudaError_t e)
{
    if (e != cudaSuccess)
        fprintf(stderr, "roof: %s\n", cudaGetErrorString(e));
    return e == cudaSuccess;
}

int main(void)
{
    float *a = NULL, *b = NULL, one = 1, zero = 0, ms, copy_ms = 1e9f, product_ms = 1e9f;
    cudaEvent_t start, end;
    cublasHandle_t blas;
    if (!is_good(cudaMalloc((void **)&a, COPY_BYTES)) ||
        !is_good(cudaMalloc((void **)&b, COPY_BYTES)) || !is_good(cudaMemset(a, 0, COPY_BYTES)) ||
        !is_good(cudaEventCreate(&start)) || !is_good(cudaEventCreate(&end)))
        return 1;
    if (cublasCreate(&blas) != CUBLAS_STATUS_SUCCESS ||
        cublasSetMathMode(blas, CUBLAS_PEDANTIC_MATH) != CUBLAS_STATUS_SUCCESS)
        return 1;
    for (int i = 0; i <= 2 * REPEATS; i++) {
        bool is_copy = i % 2 == 0;
        cudaEventRecord(start);
        if (is_copy)
            cudaMemcpyAsync(b, a, COPY_BYTES, cudaMemcpyDeviceToDevice);
        else if (cublasSgemm(blas, CUBLAS_OP_T, CUBLAS_OP_N, SIDE, SIDE, SIDE, &one, a, SIDE, a,
                             SIDE, &zero, b, SIDE) != CUBLAS_STATUS_SUCCESS)
            return 1;
        cudaEventRecord(end);
        if (!is_good(cudaEventSynchronize(end)) || !is_good(cudaEventElapsedTime(&ms, start, end)))
            return 1;
        if (is_copy && i > 0 && ms < copy_ms)
            copy_ms = ms;
        if (!is_copy && i > 1 && ms < product_ms)
            product_ms = ms;
    }
    printf("%.1f %.1f\n", 2 * (double)COPY_BYTES / copy_ms * 1e-6,
           2.0 * SIDE * SIDE * SIDE / product_ms * 1e-6);
    return 0;
}
