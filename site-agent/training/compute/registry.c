#include "base/log.h"
#include "site-agent/training/compute/compute.h"
#include "site-agent/training/compute/cuda/load.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#define BACKENDS 3

/* One small and one large product, so that both the loops and the library are asked. */
#define TEST_SMALL  13
#define TEST_LARGE  67
#define TEST_VALUES ((size_t)TEST_LARGE * TEST_LARGE)

static float test_value(uint64_t i)
{
    return (float)((i * UINT64_C(2654435761) >> 7) % 2003) / 1001.0f - 1.0f;
}

/* c = a b^T, then one sgd step with c as the gradient of a. */
static enum csl_code run_case(const struct csl_compute_ops *ops, uint64_t size, float *out,
                              struct csl_err *err)
{
    struct csl_dev *dev = NULL;
    struct csl_cbuf *a = NULL, *b = NULL, *c = NULL;
    uint64_t n = size * size, bytes = n * sizeof(float);
    for (uint64_t i = 0; i < n; i++)
        out[i] = test_value(i);
    enum csl_code code = ops->open(0, &dev, err);
    if (code == CSL_OK)
        code = ops->alloc(dev, bytes, &a, err);
    if (code == CSL_OK)
        code = ops->alloc(dev, bytes, &b, err);
    if (code == CSL_OK)
        code = ops->alloc(dev, bytes, &c, err);
    if (code == CSL_OK) {
        struct csl_view va = {a, 0, n}, vb = {b, 0, n}, vc = {c, 0, n};
        struct csl_gemm g = {.m = size, .n = size, .k = size, .is_b_transposed = true, .alpha = 1};
        struct csl_update u = {.kind = CSL_UPDATE_SGD, .rate = 0.5, .l2 = 0.25};
        ops->put(dev, a, 0, out, bytes);
        ops->put(dev, b, 0, out, bytes);
        ops->gemm_f32(dev, &g, va, vb, vc);
        ops->relu(dev, vc, vc);
        u.weights = va;
        u.gradient = vc;
        ops->update(dev, &u);
        ops->get(dev, out, a, 0, bytes);
        code = ops->sync(dev, err);
    }
    ops->free(c);
    ops->free(b);
    ops->free(a);
    ops->close(dev);
    return code;
}

enum csl_code csl_compute_self_test(const struct csl_compute_ops *ops, struct csl_err *err)
{
    static const uint64_t sizes[] = {TEST_SMALL, TEST_LARGE};
    if (ops->abi != CSL_COMPUTE_ABI || ops->size != sizeof(*ops))
        return CSL_FAIL(err, CSL_E_BUG, "compute backend %s has table version %u, expected %u",
                        ops->name, ops->abi, CSL_COMPUTE_ABI);
    float want[TEST_VALUES], have[TEST_VALUES];
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        enum csl_code code = run_case(csl_compute_cpu_ref(), sizes[s], want, err);
        if (code == CSL_OK)
            code = run_case(ops, sizes[s], have, err);
        if (code != CSL_OK)
            return code;
        /* The worst rounding of a float32 sum of `size` products of magnitude 1. */
        float allowed = (float)sizes[s] * 1.2e-7f * (float)sizes[s];
        for (uint64_t i = 0; i < sizes[s] * sizes[s]; i++)
            if (!(fabsf(have[i] - want[i]) <= allowed))
                return CSL_FAIL(
                    err, CSL_E_BUG,
                    "compute backend %s differs from cpu-ref: element %llu of a product "
                    "of size %llu is %.9g, expected %.9g",
                    ops->name, (unsigned long long)i, (unsigned long long)sizes[s], (double)have[i],
                    (double)want[i]);
    }
    return CSL_OK;
}

/* err says why not; an empty text when there is simply none. */
static bool has_device(const struct csl_compute_ops *ops, struct csl_err *err)
{
    uint32_t devices = 0;
    return ops != NULL && ops->probe(&devices, err) == CSL_OK && devices > 0;
}

/* Asked once per process and backend: a simulation opens a trainer for each of thousands of sites.
 */
static bool is_trusted(const struct csl_compute_ops *ops, size_t index)
{
    enum { UNKNOWN, PASSED, FAILED };
    static _Atomic int verdicts[BACKENDS];
    if (ops == csl_compute_cpu_ref())
        return true;
    int verdict = atomic_load(&verdicts[index]);
    if (verdict == UNKNOWN) {
        struct csl_err why = {0};
        bool is_good = has_device(ops, &why) && csl_compute_self_test(ops, &why) == CSL_OK;
        verdict = is_good ? PASSED : FAILED;
        if (!is_good && why.code != CSL_OK)
            csl_log_err(CSL_LOG_WARN, "compute.self_test_failed", &why);
        atomic_store(&verdicts[index], verdict);
    }
    return verdict == PASSED;
}

/* A backend that was asked for by name: found, or why not. */
static enum csl_code find_named(const char *name, const struct csl_compute_ops *ops,
                                const struct csl_compute_ops **out, struct csl_err *err)
{
    struct csl_err why = {0};
    bool is_cuda = strcmp(name, "cuda") == 0;
    const char *missing = is_cuda ? csl_cuda_refusal() : "not in this build";
    if (ops == NULL || !has_device(ops, &why))
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "compute backend %s: %s; auto or cpu-ref always works", name,
                        ops == NULL          ? missing
                        : why.msg[0] != '\0' ? why.msg
                                             : "no device found");
    if (is_cuda && csl_compute_self_test(ops, &why) != CSL_OK)
        return CSL_FAIL(err, why.code, "compute backend %s: %s; auto or cpu-ref always works", name,
                        why.msg);
    *out = ops;
    return CSL_OK;
}

enum csl_code csl_compute_find(const char *name, const struct csl_compute_ops **out,
                               struct csl_err *err)
{
    const struct {
        const char *name;
        const struct csl_compute_ops *ops;
    } fastest_first[BACKENDS] = {
        {"cuda", csl_compute_cuda()},
        {"cpu-dnnl", csl_compute_cpu_dnnl()},
        {"cpu-ref", csl_compute_cpu_ref()},
    };
    bool is_auto = strcmp(name, "auto") == 0;
    for (size_t i = 0; i < BACKENDS; i++) {
        const struct csl_compute_ops *ops = fastest_first[i].ops;
        if (is_auto) {
            if (ops != NULL && is_trusted(ops, i)) {
                *out = ops;
                return CSL_OK;
            }
        } else if (strcmp(name, fastest_first[i].name) == 0) {
            return find_named(name, ops, out, err);
        }
    }
    return CSL_FAIL(err, CSL_E_INVAL,
                    "no compute backend \"%s\"; known: auto, cpu-ref, cpu-dnnl, cuda", name);
}
