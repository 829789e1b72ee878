/* site-agent/training/compute/compute.h - the only door to oneDNN and CUDA.
 * cpu_ref.c is always built and is the definition of every operation; the
 * others are checked against it element by element (tests/unit/test_compute.c). */
#ifndef CSL_COMPUTE_H
#define CSL_COMPUTE_H
#include "base/bytes.h"
#include "base/err.h"
#ifdef __cplusplus
extern "C" {
#endif
#define CSL_COMPUTE_ABI 1u

struct csl_dev;  /* one device and one ordered queue of work */
struct csl_cbuf; /* memory of that device, 256-byte aligned */

struct csl_view { /* `count` elements from element `first` of `buf` */
    struct csl_cbuf *buf;
    uint64_t first, count;
};

struct csl_compute_ops {
    uint32_t abi, size; /* CSL_COMPUTE_ABI, sizeof(struct csl_compute_ops) */
    const char *name;   /* "cpu-ref", "cpu-dnnl", "cuda" */

    enum csl_code (*probe)(uint32_t *devices, struct csl_err *err); /* none found is CSL_OK with 0 */
    enum csl_code (*open)(uint32_t index, struct csl_dev **out, struct csl_err *err);
    void (*close)(struct csl_dev *d);
    enum csl_code (*alloc)(struct csl_dev *d, uint64_t bytes, struct csl_cbuf **out,
                          struct csl_err *err);
    void (*free)(struct csl_cbuf *b); /* zeroes first */

    /* Everything below is queued in order on d and may return before it is done. */
    enum csl_code (*put)(struct csl_dev *d, struct csl_cbuf *dst, uint64_t at, const void *src,
                        uint64_t bytes);
    enum csl_code (*get)(struct csl_dev *d, void *dst, const struct csl_cbuf *src, uint64_t at,
                        uint64_t bytes);
    enum csl_code (*add_u64)(struct csl_dev *d, struct csl_view acc,
                            struct csl_view x); /* mod 2^64, exact */
    enum csl_code (*axpy_f32)(struct csl_dev *d, float a, struct csl_view x, struct csl_view y);
    enum csl_code (*sumsq_f32)(struct csl_dev *d, struct csl_view x,
                              double *out); /* fixed reduction tree */
    enum csl_code (*encode_u64)(struct csl_dev *d, struct csl_view f32_in, double scale,
                               struct csl_view u64_out);
    enum csl_code (*decode_f32)(struct csl_dev *d, struct csl_view u64_in, double scale,
                               struct csl_view f32_out);
    enum csl_code (*gemm_f32)(struct csl_dev *d, uint64_t m, uint64_t n, uint64_t k, float alpha,
                             struct csl_view a, struct csl_view b, float beta, struct csl_view c);
    enum csl_code (*sync)(struct csl_dev *d,
                         struct csl_err *err); /* first failure since the last sync */
};

const struct csl_compute_ops *csl_compute_cpu_ref(void);
const struct csl_compute_ops *csl_compute_cpu_dnnl(void); /* NULL when built without oneDNN */
const struct csl_compute_ops *csl_compute_cuda(void);     /* NULL when built without CUDA */
#ifdef __cplusplus
}
#endif
#endif
