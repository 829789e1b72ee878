/* site-agent/training/compute/cuda/kernel.h - one source for kernels, compiled twice: by nvcc for
 * the GPU, and by a C compiler that runs blocks and threads as loops, so that every kernel runs
 * under sanitizers on a machine without a GPU.
 *
 *     KERNEL void sum(const float *x, uint64_t n, double *out)
 *     {
 *         SHARED(double, part, CSL_THREADS);
 *         PHASE(t)
 *         {
 *             part[t] = ...;
 *         }
 *         double total = csl_block_sum(part);
 *
 * A phase is what all threads of a block do between two barriers, and each begins with one: a
 * forgotten barrier cannot be written. Rules: shared memory is touched only inside phases; what is
 * declared outside is equal in all threads of the block; no return, break or goto leaves a phase.
 * What one thread of a phase writes, no other thread of that phase reads: the C build can run
 * threads and blocks backwards (csl_emulation_backwards), which must change no bit.
 *
 * No atomics, no warp operations; nvcc runs with --fmad=false: sums have one order on both. */
#ifndef CSL_CUDA_KERNEL_H
#define CSL_CUDA_KERNEL_H
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#define CSL_THREADS    256u
#define CSL_BLOCKS_MAX 65536u /* of kernels over elements; more elements loop */

#ifdef __CUDACC__
#define KERNEL                static __global__
#define DEVICE                static __device__ inline
#define SHARED(type, name, n) __shared__ type name[n]
#define BARRIER()             __syncthreads()
#define BLOCK                 ((uint64_t)blockIdx.x)
DEVICE unsigned csl_phase(void)
{
    __syncthreads();
    return threadIdx.x;
}
#define PHASE(t) for (unsigned t = csl_phase(), t##_left = 1; t##_left != 0; t##_left = 0)
#define ELEMENTS(i, n)                                                                             \
    for (uint64_t i = BLOCK * CSL_THREADS + threadIdx.x; i < (n);                                  \
         i += (uint64_t)gridDim.x * CSL_THREADS)
#define LAUNCH(d, blocks, kernel, ...)                                                             \
    do {                                                                                           \
        uint64_t blocks_ = (blocks);                                                               \
        if (blocks_ > 0)                                                                           \
            kernel<<<(unsigned)blocks_, CSL_THREADS, 0, (d)->run.stream>>>(__VA_ARGS__);           \
        csl_run_check(d);                                                                          \
    } while (0)
#else
#define KERNEL                static
#define DEVICE                static inline
#define SHARED(type, name, n) type name[n]
#define BARRIER()             ((void)0)
struct csl_emulation {
    uint64_t block, blocks;
};
static _Thread_local struct csl_emulation csl_emulation;
extern bool csl_emulation_backwards; /* tests only: set while no device is open */
static inline uint64_t csl_emulated(uint64_t i, uint64_t n)
{
    return csl_emulation_backwards ? n - 1 - i : i;
}
#define BLOCK                 csl_emulation.block
#define PHASE(t)                                                                                   \
    for (unsigned t##_i = 0, t = (unsigned)csl_emulated(0, CSL_THREADS); t##_i < CSL_THREADS;      \
         t##_i++, t = (unsigned)csl_emulated(t##_i, CSL_THREADS))
#define ELEMENTS(i, n)                                                                             \
    for (unsigned i##_t = 0; i##_t < CSL_THREADS; i##_t++)                                         \
        for (uint64_t i = BLOCK * CSL_THREADS + csl_emulated(i##_t, CSL_THREADS); i < (n);         \
             i += csl_emulation.blocks * CSL_THREADS)
#define LAUNCH(d, count, kernel, ...)                                                              \
    do {                                                                                           \
        (void)(d);                                                                                 \
        csl_emulation.blocks = (count);                                                            \
        for (uint64_t b_ = 0; b_ < csl_emulation.blocks; b_++) {                                   \
            csl_emulation.block = csl_emulated(b_, csl_emulation.blocks);                          \
            kernel(__VA_ARGS__);                                                                   \
        }                                                                                          \
    } while (0)
#endif

/* Blocks for a kernel over n elements. */
static inline uint64_t csl_blocks(uint64_t n)
{
    uint64_t blocks = (n + CSL_THREADS - 1) / CSL_THREADS;
    return blocks < CSL_BLOCKS_MAX ? blocks : CSL_BLOCKS_MAX;
}

/* The sum of all values of a block, in a tree that depends on nothing; v: [CSL_THREADS], lost.
 * Every thread has the result. */
DEVICE double csl_block_sum(double *v)
{
    for (unsigned half = CSL_THREADS / 2; half > 0; half /= 2)
        PHASE (t) {
            if (t < half)
                v[t] += v[t + half];
        }
    BARRIER();
    return v[0];
}

/* The largest; what is not a number is passed over. */
DEVICE double csl_block_max(double *v)
{
    for (unsigned half = CSL_THREADS / 2; half > 0; half /= 2)
        PHASE (t) {
            if (t < half && v[t + half] > v[t])
                v[t] = v[t + half];
        }
    BARRIER();
    return v[0];
}

#endif
