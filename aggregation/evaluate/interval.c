#include "aggregation/evaluate/interval.h"

#include "base/mem.h"
#include "privacy/crypto/rng.h"

#include <math.h>
#include <stdlib.h>

#define Z           CSL_EVALUATE__Z
#define DEFINED_MIN 100 /* resamples a percentile is taken from, at least */

/* p need not be a multiple of 1 / n. */
static void wilson(double p, double n, double *low, double *high)
{
    double z2 = Z * Z / n;
    double centre = (p + z2 / 2) / (1 + z2);
    double half = Z / (1 + z2) * sqrt(p * (1 - p) / n + z2 / (4 * n));
    *low = fmin(p, fmax(0.0, centre - half));
    *high = fmax(p, fmin(1.0, centre + half));
}

void csl_evaluate__add_proportion(struct csl_metrics *out, const char *name, uint64_t hits,
                                  uint64_t n)
{
    if (n == 0)
        return;
    double p = (double)hits / (double)n, low, high;
    wilson(p, (double)n, &low, &high);
    csl_evaluate__add(out, name, p, low, high, "wilson");
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear between order statistics (Hyndman and Fan's type 7). */
static double percentile(const double *sorted, uint32_t count, double fraction)
{
    double at = fraction * (double)(count - 1);
    uint32_t below = (uint32_t)at;
    if (below + 1 >= count)
        return sorted[count - 1];
    return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

static void draw_patients(struct csl_rng *rng, uint32_t *draws, uint64_t n)
{
    csl_rng_bytes(rng, draws, n * sizeof(*draws));
    /* 32 random bits scaled to n: uneven by less than n / 2^32, far below the bootstrap's own error
     */
    for (uint64_t i = 0; i < n; i++)
        draws[i] = (uint32_t)(((uint64_t)draws[i] * n) >> 32);
}

static void spread_of(double *values, struct csl_evaluate__spread *spread)
{
    uint32_t defined = 0;
    for (uint32_t i = 0; i < CSL_EVALUATE__RESAMPLES; i++)
        if (!isnan(values[i]))
            values[defined++] = values[i];
    *spread = (struct csl_evaluate__spread){.defined = defined};
    if (defined == 0)
        return;
    qsort(values, defined, sizeof(*values), by_value);
    spread->low = percentile(values, defined, 0.025);
    spread->high = percentile(values, defined, 0.975);
}

enum csl_code csl_evaluate__bootstrap(csl_evaluate__measure *measure, void *context, uint64_t n,
                                      uint64_t seed, uint32_t count, double *values,
                                      struct csl_evaluate__spread *spreads, struct csl_err *err)
{
    uint32_t *draws = csl_alloc_array(n, sizeof(*draws));
    double *resampled = csl_alloc_array((size_t)count * CSL_EVALUATE__RESAMPLES, sizeof(double));
    if (draws == NULL || resampled == NULL) {
        csl_free(draws);
        csl_free(resampled);
        return CSL_FAIL(err, CSL_E_NOMEM, "resamples of %llu patients", (unsigned long long)n);
    }
    double row[CSL_EVALUATE__MEASURES];
    for (uint64_t i = 0; i < n; i++)
        draws[i] = (uint32_t)i;
    measure(context, draws, n, row);
    for (uint32_t k = 0; k < count; k++)
        values[k] = row[k];
    struct csl_rng rng;
    csl_rng_init_label(&rng, seed, "evaluate.bootstrap", 0, 0, 0);
    for (uint32_t r = 0; r < CSL_EVALUATE__RESAMPLES; r++) {
        draw_patients(&rng, draws, n);
        measure(context, draws, n, row);
        for (uint32_t k = 0; k < count; k++)
            resampled[k * CSL_EVALUATE__RESAMPLES + r] = row[k];
    }
    for (uint32_t k = 0; k < count; k++)
        spread_of(resampled + k * CSL_EVALUATE__RESAMPLES, &spreads[k]);
    csl_free(draws);
    csl_free(resampled);
    return CSL_OK;
}

void csl_evaluate__add_spread(struct csl_metrics *out, const char *name, double value,
                              const struct csl_evaluate__spread *spread, uint64_t smallest)
{
    if (isnan(value))
        return;
    double low = value, high = value;
    if (spread->defined >= DEFINED_MIN && spread->low < spread->high) {
        csl_evaluate__add(out, name, value, spread->low, spread->high, "bootstrap");
    } else if (smallest > 0) {
        wilson(value, (double)smallest, &low, &high);
        csl_evaluate__add(out, name, value, low, high, "wilson");
    } else {
        csl_evaluate__add(out, name, value, low, high, NULL);
    }
}

void csl_evaluate__add_basic(struct csl_metrics *out, const char *name, double value,
                             const struct csl_evaluate__spread *spread,
                             const struct csl_evaluate__spread *noise)
{
    if (isnan(value))
        return;
    if (spread->defined < DEFINED_MIN || !(spread->low < spread->high)) {
        csl_evaluate__add(out, name, value, value, value, NULL);
        return;
    }
    double low = fmin(1.0, fmax(0.0, 2 * value - spread->high));
    double high = fmin(1.0, fmax(0.0, 2 * value - spread->low));
    if (value <= noise->high)
        low = 0;
    if (!(low < high)) { /* a value of 0 by luck, for one */
        low = fmin(low, spread->low);
        high = spread->high;
    }
    csl_evaluate__add(out, name, value, low, high, "bootstrap-basic");
}

double csl_evaluate__ece(const double gaps[CSL_EVALUATE__ECE_BINS],
                         const double all[CSL_EVALUATE__ECE_BINS], uint64_t n, double *noise)
{
    double sum = 0, away = 0;
    for (uint32_t b = 0; b < CSL_EVALUATE__ECE_BINS; b++) {
        sum += fabs(gaps[b]);
        away += fabs(gaps[b] - all[b]);
    }
    *noise = away / (double)n;
    return sum / (double)n;
}

static int by_score(const void *a, const void *b)
{
    const struct csl_evaluate__scored *x = a, *y = b;
    return (x->score > y->score) - (x->score < y->score);
}

bool csl_evaluate__auc(const float *scores, size_t stride, const uint8_t *labels, uint8_t positive,
                       uint64_t n, struct csl_evaluate__scored *work, double share,
                       double *influence, double *auc)
{
    uint64_t positives = 0;
    for (uint64_t i = 0; i < n; i++) {
        work[i] = (struct csl_evaluate__scored){scores[i * stride], (uint32_t)i};
        positives += labels[i] == positive;
    }
    uint64_t negatives = n - positives;
    if (positives == 0 || negatives == 0)
        return false;
    qsort(work, n, sizeof(*work), by_score);
    double pairs = (double)positives * (double)negatives;
    uint64_t below_pos = 0, below_neg = 0, twice = 0;
    for (uint64_t first = 0, end; first < n; first = end) { /* one group of equal scores */
        uint64_t pos = 0;
        for (end = first; end < n && !(work[end].score > work[first].score); end++)
            pos += labels[work[end].index] == positive;
        uint64_t neg = end - first - pos;
        /* of the other side: how many each member of the group beats, ties half, doubled */
        uint64_t beaten = 2 * below_neg + neg;
        uint64_t beaten_by = 2 * (positives - below_pos) - pos;
        for (uint64_t k = first; k < end; k++) {
            uint32_t i = work[k].index;
            uint64_t wins = labels[i] == positive ? beaten : beaten_by;
            influence[i] += share * 0.5 * (double)wins / pairs;
        }
        twice += pos * beaten;
        below_pos += pos;
        below_neg += neg;
    }
    *auc = 0.5 * (double)twice / pairs;
    return true;
}

uint32_t csl_evaluate__count_classes(const uint8_t *labels, uint64_t n, uint32_t classes,
                                     uint64_t *sizes, uint64_t *smallest)
{
    for (uint32_t c = 0; c < classes; c++)
        sizes[c] = 0;
    for (uint64_t i = 0; i < n; i++)
        sizes[labels[i]]++;
    uint32_t present = 0;
    *smallest = n;
    for (uint32_t c = 0; c < classes; c++) {
        if (sizes[c] == 0)
            continue;
        present++;
        *smallest = sizes[c] < *smallest ? sizes[c] : *smallest;
    }
    return present;
}

const char *csl_evaluate__auc_limits(double auc, double variance, uint64_t smallest, double *low,
                                     double *high)
{
    double inside = auc * (1 - auc);
    /* 1e-24: the rounding left over when all components of a side are equal */
    if (smallest == 1 || inside <= 0 || variance < 1e-24) {
        wilson(auc, (double)smallest, low, high);
        return "wilson";
    }
    double logit = log(auc / (1 - auc)), half = Z * sqrt(variance) / inside;
    *low = fmin(auc, 1 / (1 + exp(half - logit)));
    *high = fmax(auc, 1 / (1 + exp(-half - logit)));
    return "delong";
}

void csl_evaluate__add_auc(struct csl_metrics *out, double auc, const uint8_t *labels, uint64_t n,
                           uint32_t classes, const double *influence)
{
    uint64_t sizes[CSL_CLASSES_MAX], smallest;
    double mean[CSL_CLASSES_MAX] = {0}, squares[CSL_CLASSES_MAX] = {0}, variance = 0;
    if (csl_evaluate__count_classes(labels, n, classes, sizes, &smallest) < 2)
        return;
    for (uint64_t i = 0; i < n; i++)
        mean[labels[i]] += influence[i] / (double)sizes[labels[i]];
    for (uint64_t i = 0; i < n; i++) {
        double off = influence[i] - mean[labels[i]];
        squares[labels[i]] += off * off;
    }
    for (uint32_t c = 0; c < classes; c++)
        if (sizes[c] > 1)
            variance += squares[c] * (double)sizes[c] / (double)(sizes[c] - 1);
    double low, high;
    const char *method = csl_evaluate__auc_limits(auc, variance, smallest, &low, &high);
    csl_evaluate__add(out, "auc", auc, low, high, method);
}

uint32_t csl_evaluate__ece_bin(double confidence)
{
    double at = confidence * CSL_EVALUATE__ECE_BINS;
    if (!(at > 0))
        return 0;
    return at < CSL_EVALUATE__ECE_BINS ? (uint32_t)at : CSL_EVALUATE__ECE_BINS - 1;
}

double csl_evaluate__log_loss(double p)
{
    return -log(fmin(fmax(p, CSL_EVALUATE__CLIP), 1 - CSL_EVALUATE__CLIP));
}

enum csl_code csl_evaluate__check_size(uint64_t n, struct csl_err *err)
{
    if (n > INT32_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "%llu examples in one evaluation; at most %d",
                        (unsigned long long)n, INT32_MAX);
    return CSL_OK;
}
