#include "aggregation/statistics/vector_internal.h"

#include "base/check.h"

#include <math.h>

#define ENTRIES_BESIDE_BINS 5

size_t csl_statistics_words(const struct csl_statistics_shape *shape)
{
    return 1 + (size_t)shape->questions * shape->answers +
           (size_t)shape->features * (shape->bins + ENTRIES_BESIDE_BINS);
}

uint64_t csl_statistics_sensitivity2(const struct csl_statistics_shape *shape)
{
    return 1 + (uint64_t)shape->questions + 3 * (uint64_t)shape->features;
}

bool csl_statistics_range_is_valid(const struct csl_statistics_range *r)
{
    return r->low < r->high && isfinite(r->high - r->low);
}

bool csl_statistics_is_count(const struct csl_statistics_shape *shape, size_t entry)
{
    size_t first = 1 + (size_t)shape->questions * shape->answers;
    size_t of_feature = shape->bins + ENTRIES_BESIDE_BINS;
    return entry < first || (entry - first) % of_feature < of_feature - 2;
}

struct csl_statistics_feature_at csl_statistics__at(const struct csl_statistics_shape *shape,
                                                    uint32_t feature)
{
    size_t first = 1 + (size_t)shape->questions * shape->answers +
                   (size_t)feature * (shape->bins + ENTRIES_BESIDE_BINS);
    size_t above = first + 2 + shape->bins;
    return (struct csl_statistics_feature_at){.missing = first,
                                              .below = first + 1,
                                              .bins = first + 2,
                                              .above = above,
                                              .sum = above + 1,
                                              .squares = above + 2};
}

static void add_value(const struct csl_statistics_shape *shape,
                      const struct csl_statistics_range *r, uint32_t feature, double v, int64_t *to)
{
    struct csl_statistics_feature_at at = csl_statistics__at(shape, feature);
    if (isnan(v)) {
        to[at.missing] += CSL_STATISTICS_ONE;
        return;
    }
    double part = (fmin(fmax(v, r->low), r->high) - r->low) / (r->high - r->low); /* [0, 1] */
    uint32_t bin = (uint32_t)(part * (double)shape->bins);
    size_t entry = at.bins + (bin < shape->bins ? bin : shape->bins - 1);
    if (v < r->low)
        entry = at.below;
    else if (v > r->high)
        entry = at.above;
    to[entry] += CSL_STATISTICS_ONE;
    int64_t s = llrint((2 * part - 1) * CSL_STATISTICS_ONE);
    CSL_ASSERT(s >= -CSL_STATISTICS_ONE && s <= CSL_STATISTICS_ONE);
    to[at.sum] += s;
    /* Of the rounded value, so that squares never are below what its mean allows. */
    to[at.squares] += (s * s + CSL_STATISTICS_ONE / 2) / CSL_STATISTICS_ONE;
}

void csl_statistics_add(const struct csl_statistics_shape *shape,
                        const struct csl_statistics_range *ranges, const uint32_t *answer,
                        const double *value, int64_t *to)
{
    to[0] += CSL_STATISTICS_ONE;
    for (uint32_t q = 0; q < shape->questions; q++)
        if (answer[q] < shape->answers)
            to[1 + (size_t)q * shape->answers + answer[q]] += CSL_STATISTICS_ONE;
    for (uint32_t f = 0; f < shape->features; f++)
        add_value(shape, &ranges[f], f, value[f], to);
}
