#include "site-agent/data/series.h"

#include <math.h>

/* Time since the last measurement before step t, or since the start when there was none, as a part
 * of the whole series (the delta of Che et al. 2018, GRU-D, up to that factor). */
static void put_deltas(const struct csl_domain *d, const float *from, uint32_t names,
                       const uint32_t *columns, float *to)
{
    uint32_t n = d->feature_count, steps = d->shape[0];
    for (uint32_t k = 0; k < n; k++) {
        uint32_t since = 0;
        for (uint32_t t = 0; t < steps; t++) {
            to[(size_t)t * d->shape[1] + 2 * n + k] = (float)since / (float)steps;
            since = isnan(from[(size_t)t * names + columns[k]]) ? since + 1 : 1;
        }
    }
}

static void put_steps(const struct csl_domain *d, const float *from, uint32_t names,
                      const uint32_t *columns, float *to)
{
    uint32_t n = d->feature_count;
    for (uint32_t t = 0; t < d->shape[0]; t++) {
        float *row = to + (size_t)t * d->shape[1];
        for (uint32_t k = 0; k < n; k++) {
            row[k] = from[(size_t)t * names + columns[k]];
            if (d->missing != CSL_MISSING_CENTRE)
                row[n + k] = isnan(row[k]) ? 0.0f : 1.0f;
        }
    }
    if (d->missing == CSL_MISSING_MASK_AND_DELTA)
        put_deltas(d, from, names, columns, to);
}

/* Mean, smallest, largest, first and last value of one feature over steps [begin, end), and the
 * part of the steps that has one; to: one value every `stride`. */
static void put_window(const float *from, uint32_t names, uint32_t begin, uint32_t end, float *to,
                       uint32_t stride)
{
    double sum = 0;
    float low = NAN, high = NAN, first = NAN, last = NAN;
    uint32_t count = 0;
    for (uint32_t t = begin; t < end; t++) {
        float v = from[(size_t)t * names];
        if (isnan(v))
            continue;
        first = count == 0 ? v : first;
        low = count == 0 || v < low ? v : low;
        high = count == 0 || v > high ? v : high;
        last = v;
        sum += (double)v;
        count++;
    }
    const float all[CSL_SUMMARY_INPUTS] = {count > 0 ? (float)(sum / (double)count) : NAN,
                                           low,
                                           high,
                                           first,
                                           last,
                                           (float)count / (float)(end - begin)};
    for (uint32_t i = 0; i < CSL_SUMMARY_INPUTS; i++)
        to[(size_t)i * stride] = all[i];
}

void csl_series_inputs(const struct csl_domain *d, const float *from, uint32_t names,
                       const uint32_t *columns, float *to)
{
    if (d->windows == 0) {
        put_steps(d, from, names, columns, to);
        return;
    }
    for (uint32_t w = 0; w < d->windows; w++) {
        uint32_t begin = (uint32_t)((uint64_t)w * d->steps / d->windows);
        uint32_t end = (uint32_t)((uint64_t)(w + 1) * d->steps / d->windows);
        for (uint32_t k = 0; k < d->feature_count; k++)
            put_window(from + columns[k], names, begin, end, to + (size_t)w * d->shape[1] + k,
                       d->feature_count);
    }
}
