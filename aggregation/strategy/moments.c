#include "aggregation/strategy/moments.h"

#include <math.h>

void csl_strategy__moments(const struct csl_strategy_config *c, uint64_t count, const float *mean,
                           float *global, float *const *state,
                           double (*second)(const struct csl_strategy_config *c, double v,
                                            double squared))
{
    float *m = state[0], *v = state[1];
    for (uint64_t i = 0; i < count; i++) {
        double d = (double)mean[i];
        m[i] = (float)(c->beta1 * (double)m[i] + (1.0 - c->beta1) * d);
        v[i] = (float)second(c, (double)v[i], d * d);
        double step = c->server_learning_rate * (double)m[i] / (sqrt((double)v[i]) + c->tau);
        global[i] = (float)((double)global[i] + step);
    }
}
