#include "aggregation/strategy/updates.h"

#include <math.h>
#include <stddef.h>

void csl_updates_measure(uint32_t rows_count, const float *const *rows, uint64_t count,
                         double *norms2, double *distances2)
{
    for (uint32_t a = 0; a < rows_count; a++) {
        double norm2 = 0;
        for (uint64_t i = 0; i < count; i++)
            norm2 += (double)rows[a][i] * (double)rows[a][i];
        norms2[a] += norm2;
        for (uint32_t b = 0; b < a; b++) {
            double distance2 = 0;
            for (uint64_t i = 0; i < count; i++) {
                double d = (double)rows[a][i] - (double)rows[b][i];
                distance2 += d * d;
            }
            distances2[(size_t)a * rows_count + b] += distance2;
            distances2[(size_t)b * rows_count + a] += distance2;
        }
    }
}

void csl_strategy_combine(const struct csl_strategy_ops *ops, const struct csl_strategy_config *c,
                          uint32_t rows_count, const double *coefficients, const float *const *rows,
                          const float **kept_rows, uint64_t count, float *scratch, float *mean)
{
    uint32_t kept = 0;
    for (uint32_t a = 0; a < rows_count; a++)
        if (coefficients[a] > 0)
            kept_rows[kept++] = rows[a];
    if (ops->combine != NULL) {
        ops->combine(c, kept, kept_rows, count, scratch, mean);
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        double sum = 0;
        for (uint32_t a = 0; a < rows_count; a++)
            if (coefficients[a] > 0)
                sum += coefficients[a] * (double)rows[a][i];
        mean[i] = (float)sum;
    }
}

void csl_strategy__apply(const struct csl_strategy_config *c, uint64_t round, uint64_t count,
                         const float *const *mean, float *global, float *const *state)
{
    (void)round;
    (void)state;
    csl_strategy__step(c->server_learning_rate, count, mean[0], global);
}

enum csl_code csl_strategy__choose_all(const struct csl_strategy_config *c,
                                       const struct csl_updates *u, double *coefficients,
                                       struct csl_err *err)
{
    (void)c;
    (void)err;
    for (uint32_t a = 0; a < u->count; a++)
        coefficients[a] = 1 / (double)u->count;
    return CSL_OK;
}

/* Shell's, with Ciura's gaps: no memory, no recursion, and short lists are what there is. */
void csl_strategy__sort(float *values, uint32_t count)
{
    static const uint32_t gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1};
    for (size_t g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++)
        for (uint32_t i = gaps[g]; i < count; i++) {
            float value = values[i];
            uint32_t at = i;
            for (; at >= gaps[g] && values[at - gaps[g]] > value; at -= gaps[g])
                values[at] = values[at - gaps[g]];
            values[at] = value;
        }
}

double csl_strategy__median_sorted(const float *sorted, uint32_t count)
{
    double high = (double)sorted[count / 2];
    return count % 2 == 1 ? high : ((double)sorted[count / 2 - 1] + high) / 2;
}

enum csl_code csl_strategy__closest_mean(double reference, const float *sorted, uint32_t count,
                                         uint32_t closest, double *mean, struct csl_err *err)
{
    if (closest == 0 || closest > count)
        return CSL_FAIL(err, CSL_E_INVAL, "the %u nearest of %u values", closest, count);
    uint32_t first = 0;
    while (first + closest < count && fabs((double)sorted[first + closest] - reference) <
                                          fabs((double)sorted[first] - reference))
        first++;
    double sum = 0;
    for (uint32_t i = first; i < first + closest; i++)
        sum += (double)sorted[i];
    *mean = sum / closest;
    return CSL_OK;
}

/* The sum of the `nearest` smallest of [count], which are reordered. */
static double smallest_sum(double *values, uint32_t count, uint32_t nearest)
{
    double sum = 0;
    for (uint32_t k = 0; k < nearest && k < count; k++) {
        uint32_t least = k;
        for (uint32_t i = k + 1; i < count; i++)
            least = values[i] < values[least] ? i : least;
        double value = values[least];
        values[least] = values[k];
        values[k] = value;
        sum += value;
    }
    return sum;
}

void csl_strategy__krum_scores(const struct csl_updates *u, const bool *is_left, uint32_t byzantine,
                               double *scores)
{
    double distances[CSL_STRATEGY_UPDATES_MAX];
    uint32_t left = 0;
    for (uint32_t a = 0; a < u->count; a++)
        left += is_left[a];
    uint32_t nearest = left > byzantine + 2 ? left - byzantine - 2 : 1;
    for (uint32_t a = 0; a < u->count; a++) {
        uint32_t others = 0;
        for (uint32_t b = 0; b < u->count; b++)
            if (is_left[b] && b != a)
                distances[others++] = u->distances2[(size_t)a * u->count + b];
        scores[a] = is_left[a] ? smallest_sum(distances, others, nearest) : HUGE_VAL;
    }
}

uint32_t csl_strategy__least(const double *scores, uint32_t count)
{
    uint32_t least = 0;
    for (uint32_t a = 1; a < count; a++)
        least = scores[a] < scores[least] ? a : least;
    return least;
}
