#include "aggregation/strategy/steps.h"

#include <math.h>

double csl_fedbuff_weight(uint64_t staleness)
{
    return 1 / sqrt(1 + (double)staleness);
}
