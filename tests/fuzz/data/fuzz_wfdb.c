/* WFDB: a header, a NUL, and the bytes of every signal file. Any bytes end in an error that names
 * the place, or in samples that are numbers or missing. */
#include "base/check.h"
#include "site-agent/data/wfdb.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <string.h>

#define WINDOW 64

static void check_header(const struct csl_wfdb_header *h)
{
    CSL_ASSERT(h->signal_count >= 1 && h->signal_count <= CSL_WFDB_SIGNALS_MAX);
    CSL_ASSERT(h->samples >= 1 && h->samples <= CSL_WFDB_SAMPLES_MAX);
    CSL_ASSERT(h->sampling_rate_hz > 0.0 && isfinite(h->sampling_rate_hz));
    for (uint32_t i = 0; i < h->signal_count; i++) {
        CSL_ASSERT(fabs(h->signals[i].gain) > 0.0 && isfinite(h->signals[i].gain));
        CSL_ASSERT(strchr(h->signals[i].file, '/') == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static float values[WINDOW * CSL_WFDB_SIGNALS_MAX];
    struct csl_err err = {.code = CSL_OK};
    struct csl_wfdb_header h;
    const uint8_t *nul = size == 0 ? NULL : memchr(data, 0, size);
    size_t text = nul == NULL ? size : (size_t)(nul - data);
    struct csl_span file = {nul == NULL ? data : nul + 1, nul == NULL ? 0 : size - text - 1};
    enum csl_code code = csl_wfdb_header_read(&h, "h", CSL_SPAN(data, text), &err);
    if (code != CSL_OK) {
        CSL_ASSERT(err.code == code && code != CSL_E_BUG && strncmp(err.msg, "h:", 2) == 0);
        return 0;
    }
    check_header(&h);
    for (uint32_t i = 0; i < h.signal_count; i += csl_wfdb_group(&h, i)) {
        code =
            csl_wfdb_samples(&h, i, "d", file, size % 3, WINDOW, values + i, h.signal_count, &err);
        CSL_ASSERT(code == CSL_OK || code == CSL_E_CORRUPT);
        for (size_t k = 0; code == CSL_OK && k < WINDOW; k++)
            CSL_ASSERT(!isinf(values[k * h.signal_count + i]));
    }
    return 0;
}
