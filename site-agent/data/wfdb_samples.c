#include "site-agent/data/wfdb.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

struct decoder { /* one signal on its way through the file */
    int32_t value;
    uint16_t sum;
};

/* Bytes of `count` samples in a row; 212 packs two into three. */
static uint64_t bytes_of(uint32_t format, uint64_t count)
{
    if (format == 212)
        return count / 2 * 3 + (count % 2 != 0 ? 2 : 0);
    return format == 16 ? 2 * count : count;
}

/* Sample number `index` of the file, counted over all its signals. */
static int32_t digital(uint32_t format, const uint8_t *p, uint64_t index, int32_t before)
{
    uint32_t v;
    switch (format) {
    case 16:
        return (int16_t)((uint32_t)p[2 * index] | (uint32_t)p[2 * index + 1] << 8);
    case 80:
        return (int32_t)p[index] - 128;
    case 8: /* first differences */
        return (int32_t)((uint32_t)before + (uint32_t)(int32_t)(int8_t)p[index]);
    default:
        break;
    }
    p += index / 2 * 3; /* 212: low byte, both high halves, low byte */
    v = index % 2 == 0 ? ((p[1] & 0x0fu) << 8 | p[0]) : ((p[1] & 0xf0u) << 4 | p[2]);
    return v >= 0x800 ? (int32_t)v - 0x1000 : (int32_t)v;
}

static bool is_unknown(uint32_t format, int32_t v)
{
    return (format == 16 && v == -32768) || (format == 212 && v == -2048) ||
           (format == 80 && v == -128);
}

static enum csl_code check_sums(const struct csl_wfdb_header *h, uint32_t first, uint32_t signals,
                                const struct decoder *d, const char *name, struct csl_err *err)
{
    for (uint32_t i = 0; i < signals; i++)
        if (h->signals[first + i].has_checksum && h->signals[first + i].checksum != d[i].sum)
            return CSL_FAIL(err, CSL_E_CORRUPT,
                            "%s: signal %u does not have the checksum of the header", name,
                            first + i + 1);
    return CSL_OK;
}

enum csl_code csl_wfdb_samples(const struct csl_wfdb_header *h, uint32_t first, const char *name,
                               struct csl_span bytes, uint64_t start, uint64_t count, float *to,
                               size_t stride, struct csl_err *err)
{
    struct decoder d[CSL_WFDB_SIGNALS_MAX] = {{0, 0}};
    const struct csl_wfdb_signal *signals = &h->signals[first];
    uint32_t n = csl_wfdb_group(h, first), format = signals[0].format;
    uint64_t wanted = bytes_of(format, h->samples * n);
    CSL_ASSERT(first < h->signal_count && stride >= n);
    if (bytes.n < signals[0].offset || bytes.n - signals[0].offset < wanted)
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "%s: %zu bytes; %llu behind an offset of %llu would be right", name,
                        bytes.n, (unsigned long long)wanted, (unsigned long long)signals[0].offset);
    for (uint64_t k = 0; k < count; k++)
        for (uint32_t i = 0; i < n; i++)
            to[k * stride + i] = NAN;
    for (uint32_t i = 0; i < n; i++)
        d[i].value = signals[i].has_initial ? signals[i].initial : 0;
    const uint8_t *p = bytes.p + signals[0].offset;
    for (uint64_t k = 0; k < h->samples; k++) {
        for (uint32_t i = 0; i < n; i++) {
            /* signal(5): the first difference is from the initial value */
            d[i].value = digital(format, p, k * n + i, d[i].value);
            d[i].sum = (uint16_t)(d[i].sum + (uint32_t)d[i].value);
            if (k == 0 && signals[i].has_initial && format != 8 && d[i].value != signals[i].initial)
                return CSL_FAIL(err, CSL_E_CORRUPT,
                                "%s: signal %u does not begin with the value of the header", name,
                                first + i + 1);
            if (k >= start && k - start < count && !is_unknown(format, d[i].value))
                to[(k - start) * stride + i] =
                    (float)(((double)d[i].value - signals[i].baseline) / signals[i].gain);
        }
    }
    return check_sums(h, first, n, d, name, err);
}
