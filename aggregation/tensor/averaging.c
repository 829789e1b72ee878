#include "aggregation/tensor/averaging.h"

#include <string.h>

double csl_averaging_share(const struct csl_averaging *a, uint64_t round)
{
    if (a->kind == CSL_AVERAGING_NONE || round <= a->from_round)
        return 1;
    double even = 1.0 / (double)(round - a->from_round + 1), least = 1.0 - a->decay;
    return a->kind == CSL_AVERAGING_EMA && even < least ? least : even;
}

void csl_averaging_add(const struct csl_averaging *a, uint64_t round, uint64_t count,
                       const float *model, float *average)
{
    double share = csl_averaging_share(a, round);
    if (share >= 1) {
        memcpy(average, model, count * sizeof(*average));
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        double old = (double)average[i];
        average[i] = (float)(old + share * ((double)model[i] - old));
    }
}
