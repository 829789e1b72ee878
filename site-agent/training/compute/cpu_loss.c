/* The losses of both CPU backends. Log-sum-exp everywhere, so that no logit overflows. */
#include "site-agent/training/compute/cpu.h"

#include <math.h>
#include <string.h>

static double softplus_neg_abs(double z)
{
    return log1p(exp(-fabs(z)));
}

/* log(1 + exp(z)); NaN when z is not finite */
static double softplus(double z)
{
    return (z > 0 ? z : 0 * z) + softplus_neg_abs(z) + 0 * z;
}

static double sigmoid(double z)
{
    double e = exp(-fabs(z)); /* never overflows */
    return z >= 0 ? 1 / (1 + e) : e / (1 + e);
}

static double weight_of(const struct csl_loss *l, uint64_t row)
{
    return l->weights.buf != NULL ? (double)csl_cpu__f32(l->weights, l->rows)[row] : 1.0;
}

/* Is label i of `count` known? */
static bool is_known(const struct csl_loss *l, uint64_t i, uint64_t count)
{
    return l->known.buf == NULL || csl_cpu__u8(l->known, count)[i] != 0;
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
        if (!is_known(l, r, l->rows)) {
            if (grad != NULL)
                grad[r] = 0;
            continue;
        }
        double z = (double)logits[r], y = (double)labels[r];
        double weight = weights != NULL ? (double)weights[r] : 1.0;
        total += weight * ((z > 0 ? z : 0 * z) - y * z + softplus_neg_abs(z));
        if (grad == NULL)
            continue;
        grad[r] = (float)(l->scale * weight * (sigmoid(z) - y));
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
        if (!is_known(l, r, l->rows)) {
            if (grad != NULL)
                memset(grad + r * k, 0, (size_t)k * sizeof(float));
            continue;
        }
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

/* Log-sum-exp of the logits that `chosen` marks (NULL: all). */
static double log_sum(const float *z, const uint8_t *chosen, uint64_t k)
{
    double most = -HUGE_VAL, sum = 0, poison = 0;
    for (uint64_t c = 0; c < k; c++)
        if ((chosen == NULL || chosen[c] != 0) && (double)z[c] > most)
            most = (double)z[c];
    for (uint64_t c = 0; c < k; c++) {
        sum += chosen == NULL || chosen[c] != 0 ? exp((double)z[c] - most) : 0;
        poison += 0 * (double)z[c];
    }
    return most + log(sum) + poison;
}

/* -(1 - p)^gamma log p of log p, and its derivative by log p: gamma (1 - p)^(gamma - 1) p log p -
 * (1
 * - p)^gamma, where log p / (1 - p) tends to -1. */
static double focal(double log_p, double gamma, double *derivative)
{
    double q = -expm1(log_p), factor = gamma > 0 ? pow(q, gamma) : 1;
    double ratio = q > 0 ? log_p / q : -1;
    *derivative = gamma * factor * exp(log_p) * ratio - factor;
    return -factor * log_p + 0 * log_p;
}

/* With log p = lse(chosen) - lse(all): d log p / d z_k = softmax within the chosen - softmax. */
static double softmax_merged(const struct csl_loss *l)
{
    uint64_t k = l->outputs, classes = l->map.buf != NULL ? l->label_classes : k;
    const float *logits = csl_cpu__f32(l->logits, l->rows * k);
    const uint8_t *labels = csl_cpu__u8(l->labels, l->rows);
    const uint8_t *map = l->map.buf != NULL ? csl_cpu__u8(l->map, classes * k) : NULL;
    float *grad = l->grad.buf != NULL ? csl_cpu__f32(l->grad, l->rows * k) : NULL;
    double total = 0;
    for (uint64_t r = 0; r < l->rows; r++) {
        const float *z = logits + r * k;
        bool has_label = is_known(l, r, l->rows);
        const uint8_t *chosen = has_label && map != NULL ? map + labels[r] * k : NULL;
        double weight = weight_of(l, r), all = 0, part = 0, slope = 0;
        if (has_label) {
            CSL_ASSERT(labels[r] < classes);
            all = log_sum(z, NULL, k);
            part = chosen != NULL ? log_sum(z, chosen, k) : (double)z[labels[r]];
            total += weight * focal(part - all, l->gamma, &slope);
        }
        for (uint64_t c = 0; grad != NULL && c < k; c++) {
            bool is_chosen = chosen != NULL ? chosen[c] != 0 : c == labels[r];
            double within = is_chosen ? exp((double)z[c] - part) : 0;
            double g = l->scale * weight * slope * (within - exp((double)z[c] - all));
            grad[r * k + c] = has_label ? (float)g : 0.0f;
        }
    }
    return total;
}

/* One label of a row with s = z for 1 and -z for 0, log p = -softplus(-s), q = 1 - p = sigmoid(-s):
 * q^gamma softplus(-s), by s: q^gamma (gamma p log p - q). */
static double multilabel(const struct csl_loss *l)
{
    uint64_t k = l->outputs, count = l->rows * k;
    const float *logits = csl_cpu__f32(l->logits, count);
    const uint8_t *labels = csl_cpu__u8(l->labels, count);
    float *grad = l->grad.buf != NULL ? csl_cpu__f32(l->grad, count) : NULL;
    double total = 0;
    for (uint64_t r = 0; r < l->rows; r++) {
        double known = 0, weight = weight_of(l, r);
        for (uint64_t i = r * k; i < (r + 1) * k; i++)
            known += is_known(l, i, count) ? 1 : 0;
        for (uint64_t i = r * k; i < (r + 1) * k; i++) {
            double sign = labels[i] != 0 ? 1 : -1, s = sign * (double)logits[i], g = 0;
            if (is_known(l, i, count)) {
                double q = sigmoid(-s), factor = l->gamma > 0 ? pow(q, l->gamma) : 1;
                double surprise = softplus(-s);
                total += weight / known * factor * surprise;
                g = sign * factor * (-l->gamma * (1 - q) * surprise - q) * weight / known;
            }
            if (grad != NULL)
                grad[i] = (float)(l->scale * g);
        }
    }
    return total;
}

static double squared(const struct csl_loss *l)
{
    uint64_t k = l->outputs, count = l->rows * k;
    const float *logits = csl_cpu__f32(l->logits, count);
    const float *targets = csl_cpu__f32(l->targets, count);
    float *grad = l->grad.buf != NULL ? csl_cpu__f32(l->grad, count) : NULL;
    double total = 0;
    for (uint64_t r = 0; r < l->rows; r++) {
        double known = 0, weight = weight_of(l, r);
        for (uint64_t i = r * k; i < (r + 1) * k; i++)
            known += is_known(l, i, count) ? 1 : 0;
        for (uint64_t i = r * k; i < (r + 1) * k; i++) {
            double off = is_known(l, i, count) ? (double)logits[i] - (double)targets[i] : 0;
            total += off != 0 ? weight / known * off * off : 0;
            if (grad != NULL)
                grad[i] = off != 0 ? (float)(l->scale * weight / known * 2 * off) : 0.0f;
        }
    }
    return total;
}

static double hazard(const struct csl_loss *l)
{
    uint64_t k = l->outputs;
    const float *logits = csl_cpu__f32(l->logits, l->rows * k);
    const uint8_t *labels = csl_cpu__u8(l->labels, l->rows);
    const uint8_t *events = csl_cpu__u8(l->events, l->rows);
    float *grad = l->grad.buf != NULL ? csl_cpu__f32(l->grad, l->rows * k) : NULL;
    double total = 0;
    for (uint64_t r = 0; r < l->rows; r++) {
        bool has_label = is_known(l, r, l->rows), has_event = has_label && events[r] != 0;
        uint64_t last = has_label ? labels[r] : 0; /* intervals lived through */
        double weight = weight_of(l, r);
        CSL_ASSERT(last + (has_event ? 1 : 0) <= k);
        for (uint64_t c = 0; c < k; c++) {
            double z = (double)logits[r * k + c], g = 0;
            if (c < last) {
                total += weight * softplus(z);
                g = weight * sigmoid(z);
            } else if (c == last && has_event) {
                total += weight * softplus(-z);
                g = -weight * sigmoid(-z);
            }
            if (grad != NULL)
                grad[r * k + c] = (float)(l->scale * g);
        }
    }
    return total;
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
        total = l->map.buf != NULL || l->gamma > 0 ? softmax_merged(l) : softmax(l);
        break;
    case CSL_LOSS_MULTILABEL:
        total = multilabel(l);
        break;
    case CSL_LOSS_SQUARED:
        total = squared(l);
        break;
    case CSL_LOSS_HAZARD:
        total = hazard(l);
        break;
    case CSL_LOSS_COX:
        CSL_ASSERT(l->outputs == 1 && l->known.buf == NULL);
        total = cox(l);
        break;
    }
    *csl_cpu__f64(l->loss, 1) = l->scale * total;
}
