#include "site-agent/training/group_shares.h"

#include "base/check.h"
#include "protocol/study/evaluation.h"

#include <math.h>

/* Logarithms: of the patient's weight, and of the largest there could be. */
static void add_up(const struct csl_study *s, const double *log_weights, const uint8_t *group,
                   double *own, double *most)
{
    const double *at = log_weights;
    double attributes = csl_study_published_attributes(s);
    CSL_ASSERT(attributes > 0);
    *own = *most = 0;
    for (uint32_t k = 0; k < s->fairness.attribute_count; k++) {
        uint32_t count = s->statistics.value_count[k];
        double largest = 0; /* of a value that is not known */
        for (uint32_t v = 0; v < count; v++)
            largest = fmax(largest, at[v]);
        if (group != NULL && group[k] > 0 && group[k] <= count)
            *own += at[group[k] - 1] / attributes;
        *most += largest / attributes;
        at += count;
    }
}

double csl_group_share(const struct csl_study *s, const double *log_weights, const uint8_t *group)
{
    double own, most;
    add_up(s, log_weights, group, &own, &most);
    return fmin(exp(own - most), 1); /* they are the same sums where they are equal, but for that */
}

double csl_group_share_of_mean(const struct csl_study *s, const double *log_weights)
{
    return csl_group_share(s, log_weights, NULL);
}
