/* The losses of both CPU backends. Log-sum-exp everywhere, so that no logit overflows. */
#include "site-agent/training/compute/cpu.h"

#include <math.h>

static double softplus_neg_abs(double z)
{
    return log1p(exp(-fabs(z)));
}

/* -y log s(z) - (1 - y) log(1 - s(z)) = max(z, 0) - y z + log(1 + exp(-|z|)) */
static double logistic(const struct csl_loss *l)
{
    const float *logits = csl_cpu__f32(l->logits, l->rows);
    const uint8_t *labels = csl_cpu__u8(l->labels, l->rows);
    const float *weights = l->weights.buf != NULL ? csl_cpu__f32(l->weights, l->rows) : NULL;
    float *grad = l->grad.buf != NULL ? csl_cpu__f32(l->grad, l->rows) : NULL;
    double total = 0;
    for (uint64_t r = 0; r < l->rows; r++) {
        double z = (double)logits[r], y = (double)labels[r];
        double weight = weights != NULL ? (double)weights[r] : 1.0;
        total += weight * ((z > 0 ? z : 0 * z) - y * z + softplus_neg_abs(z));
        if (grad == NULL)
            continue;
        double e = exp(-fabs(z)); /* never overflows */
        double p = z >= 0 ? 1 / (1 + e) : e / (1 + e);
        grad[r] = (float)(l->scale * weight * (p - y));
    }
    return total;
}

static double softmax(const struct csl_loss *l)
{
    uint64_t k = l->outputs;
    const float *logits = csl_cpu__f32(l->logits, l->rows * k);
    const uint8_t *labels = csl_cpu__u8(l->labels, l->rows);
    const float *weights = l->weights.buf != NULL ? csl_cpu__f32(l->weights, l->rows) : NULL;
    float *grad = l->grad.buf != NULL ? csl_cpu__f32(l->grad, l->rows * k) : NULL;
    double total = 0;
    for (uint64_t r = 0; r < l->rows; r++) {
        const float *z = logits + r * k;
        CSL_ASSERT(labels[r] < k);
        double most = (double)z[0], sum = 0, poison = 0;
        for (uint64_t c = 1; c < k; c++)
            if ((double)z[c] > most)
                most = (double)z[c];
        for (uint64_t c = 0; c < k; c++) {
            sum += exp((double)z[c] - most);
            poison += 0 * (double)z[c]; /* NaN when the logit is not finite */
        }
        double lse = most + log(sum) + poison;
        double weight = weights != NULL ? (double)weights[r] : 1.0;
        total += weight * (lse - (double)z[labels[r]]);
        for (uint64_t c = 0; grad != NULL && c < k; c++)
            grad[r * k + c] = (float)(l->scale * weight *
                                      (exp((double)z[c] - lse) - (c == labels[r] ? 1.0 : 0.0)));
    }
    return total;
}

/* log(exp(a) + exp(b)); a may be -infinity (an empty sum). */
static double log_add(double a, double b)
{
    if (isinf(a) && a < 0)
        return b;
    double most = a > b ? a : b;
    return most + log1p(exp(-fabs(a - b)));
}

/* Positions run by falling time, so the risk set of position i is the prefix up to the end of its
 * ties. Pass 1 leaves log sum_{risk set} in scratch; pass 2 walks back collecting, for each record,
 * the events whose risk set holds it. All in logs: no factor can overflow. */
static double cox(const struct csl_loss *l)
{
    const float *logits = csl_cpu__f32(l->logits, l->rows);
    const uint8_t *events = csl_cpu__u8(l->labels, l->rows);
    const float *weights = l->weights.buf != NULL ? csl_cpu__f32(l->weights, l->rows) : NULL;
    const uint32_t *order = csl_cpu__u32(l->order, l->rows);
    const uint32_t *tie_end = csl_cpu__u32(l->tie_end, l->rows);
    double *lse = csl_cpu__f64(l->scratch, l->rows);
    double running = -HUGE_VAL, total = 0;
    for (uint64_t i = 0; i < l->rows; i++) {
        uint32_t r = order[i];
        double log_weight = weights != NULL ? log((double)weights[r]) : 0.0;
        running = log_add(running, (double)logits[r] + log_weight);
        lse[i] = running;
    }
    double poison = 0 * running; /* NaN when a logit was not finite, event or not */
    double hazard = -HUGE_VAL;   /* log sum over later events of weight / risk sum */
    float *grad = l->grad.buf != NULL ? csl_cpu__f32(l->grad, l->rows) : NULL;
    for (uint64_t end = l->rows; end > 0;) {
        uint64_t first = end; /* the group of tied records [first, end) */
        while (first > 0 && tie_end[first - 1] == end)
            first--;
        CSL_ASSERT(first < end);
        for (uint64_t i = first; i < end; i++) {
            uint32_t r = order[i];
            if (events[r] == 0)
                continue;
            double weight = weights != NULL ? (double)weights[r] : 1.0;
            total += weight * (lse[end - 1] - (double)logits[r]);
            hazard = log_add(hazard, log(weight) - lse[end - 1]);
        }
        for (uint64_t i = first; grad != NULL && i < end; i++) {
            uint32_t r = order[i];
            double weight = weights != NULL ? (double)weights[r] : 1.0;
            double expected = weight * exp((double)logits[r] + hazard);
            grad[r] = (float)(l->scale * (expected - (events[r] != 0 ? weight : 0.0)));
        }
        end = first;
    }
    return total + poison;
}

void csl_cpu__loss(struct csl_dev *d, const struct csl_loss *l)
{
    (void)d;
    double total = 0;
    switch (l->kind) {
    case CSL_LOSS_LOGISTIC:
        CSL_ASSERT(l->outputs == 1);
        total = logistic(l);
        break;
    case CSL_LOSS_SOFTMAX:
        total = softmax(l);
        break;
    case CSL_LOSS_COX:
        CSL_ASSERT(l->outputs == 1);
        total = cox(l);
        break;
    }
    *csl_cpu__f64(l->loss, 1) = l->scale * total;
}
