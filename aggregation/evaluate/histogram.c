#include "aggregation/evaluate/interval.h"

#include <stddef.h>

void csl_histogram_add(struct csl_score_histogram *h, const float *scores, const uint8_t *labels,
                       uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        double s = (double)scores[i], at = s * CSL_SCORE_BINS;
        /* A score outside [0, 1], or NaN from a model that diverged, lands in an end bin. */
        size_t bin = at >= CSL_SCORE_BINS ? CSL_SCORE_BINS - 1 : at > 0 ? (size_t)at : 0;
        bool is_positive = labels[i] != 0, decision = s > 0.5;
        h->bins[is_positive][bin]++;
        h->true_positive += is_positive && decision;
        h->false_negative += is_positive && !decision;
        h->false_positive += !is_positive && decision;
        h->true_negative += !is_positive && !decision;
        h->loss_sum += csl_evaluate__log_loss(is_positive ? s : 1 - s);
    }
}

bool csl_histogram_auc(const struct csl_score_histogram *h, double *value, double *bound)
{
    double won = 0, tied = 0, below = 0, positives = 0;
    for (size_t b = 0; b < CSL_SCORE_BINS; b++) {
        double pos = (double)h->bins[1][b], neg = (double)h->bins[0][b];
        won += pos * below;
        tied += pos * neg;
        below += neg;
        positives += pos;
    }
    double pairs = positives * below;
    if (!(pairs > 0))
        return false;
    *value = (won + 0.5 * tied) / pairs;
    *bound = 0.5 * tied / pairs;
    return true;
}
