/* site-agent/training/compute/cuda/loss.h - losses: a row each in double, then their sum in a fixed
 * tree. Log-sum-exp everywhere, so that no logit overflows. */
#ifndef CSL_CUDA_LOSS_H
#define CSL_CUDA_LOSS_H
#include "site-agent/training/compute/cuda/reduce.h"

struct loss_at {
    uint64_t rows, outputs, classes;
    double scale, gamma;
    const float *logits, *weights, *targets;
    const uint8_t *labels, *known, *events, *map;
    const uint32_t *order, *tie_end;
    double *lse;
    float *grad;
};

DEVICE double csl_softplus_neg_abs(double z)
{
    return log1p(exp(-fabs(z)));
}
/* log(1 + exp(z)); NaN when z is not finite */
DEVICE double csl_softplus(double z)
{
    return (z > 0 ? z : 0 * z) + csl_softplus_neg_abs(z) + 0 * z;
}
DEVICE double csl_sigmoid(double z)
{
    double e = exp(-fabs(z)); /* never overflows */
    return z >= 0 ? 1 / (1 + e) : e / (1 + e);
}
DEVICE double csl_weight(const struct loss_at *l, uint64_t row)
{
    return l->weights != NULL ? (double)l->weights[row] : 1.0;
}
DEVICE bool csl_is_known(const struct loss_at *l, uint64_t i)
{
    return l->known == NULL || l->known[i] != 0;
}
DEVICE void csl_put_grad(const struct loss_at *l, uint64_t i, double g)
{
    if (l->grad != NULL)
        l->grad[i] = (float)g;
}

KERNEL void k_logistic(struct loss_at l, double *losses)
{
    ELEMENTS (r, l.rows) {
        double z = (double)l.logits[r], y = (double)l.labels[r], weight = csl_weight(&l, r);
        bool is_known = csl_is_known(&l, r);
        double loss = weight * ((z > 0 ? z : 0 * z) - y * z + csl_softplus_neg_abs(z));
        losses[r] = is_known ? loss : 0;
        csl_put_grad(&l, r, is_known ? l.scale * weight * (csl_sigmoid(z) - y) : 0);
    }
}

/* Log-sum-exp of the logits that `chosen` marks (NULL: all). */
DEVICE double csl_log_sum(const float *z, const uint8_t *chosen, uint64_t k)
{
    double most = -HUGE_VAL, sum = 0, poison = 0;
    for (uint64_t c = 0; c < k; c++)
        if ((chosen == NULL || chosen[c] != 0) && (double)z[c] > most)
            most = (double)z[c];
    for (uint64_t c = 0; c < k; c++) {
        sum += chosen == NULL || chosen[c] != 0 ? exp((double)z[c] - most) : 0;
        poison += 0 * (double)z[c]; /* NaN when the logit is not finite */
    }
    return most + log(sum) + poison;
}

/* -(1 - p)^gamma log p of log p, and its derivative by log p; log p / (1 - p) tends to -1. */
DEVICE double csl_focal(double log_p, double gamma, double *derivative)
{
    double q = -expm1(log_p), factor = gamma > 0 ? pow(q, gamma) : 1;
    double ratio = q > 0 ? log_p / q : -1;
    *derivative = gamma * factor * exp(log_p) * ratio - factor;
    return -factor * log_p + 0 * log_p;
}

/* With log p = lse(chosen) - lse(all): d log p / d z_k = softmax within the chosen - softmax. A
 * label out of range makes the loss not a number. */
KERNEL void k_softmax_loss(struct loss_at l, double *losses)
{
    ELEMENTS (r, l.rows) {
        uint64_t k = l.outputs;
        const float *z = l.logits + r * k;
        bool has_label = csl_is_known(&l, r), is_right = l.labels[r] < l.classes;
        const uint8_t *chosen = l.map != NULL && is_right ? l.map + l.labels[r] * k : NULL;
        double all = csl_log_sum(z, NULL, k), part = (double)NAN, slope = 0;
        if (is_right)
            part = chosen != NULL ? csl_log_sum(z, chosen, k) : (double)z[l.labels[r]];
        double weight = csl_weight(&l, r), loss = weight * csl_focal(part - all, l.gamma, &slope);
        losses[r] = has_label ? loss : 0;
        for (uint64_t c = 0; c < k; c++) {
            bool is_chosen = chosen != NULL ? chosen[c] != 0 : c == l.labels[r];
            double within = is_chosen ? exp((double)z[c] - part) : 0;
            double g = l.scale * weight * slope * (within - exp((double)z[c] - all));
            csl_put_grad(&l, r * k + c, has_label ? g : 0);
        }
    }
}

DEVICE double csl_known_in(const struct loss_at *l, uint64_t row)
{
    double known = 0;
    for (uint64_t i = row * l->outputs; i < (row + 1) * l->outputs; i++)
        known += csl_is_known(l, i) ? 1 : 0;
    return known;
}

/* One label with s = z for 1 and -z for 0, q = sigmoid(-s): q^gamma softplus(-s). */
KERNEL void k_multilabel(struct loss_at l, double *losses)
{
    ELEMENTS (r, l.rows) {
        double known = csl_known_in(&l, r), weight = csl_weight(&l, r), total = 0;
        for (uint64_t i = r * l.outputs; i < (r + 1) * l.outputs; i++) {
            double sign = l.labels[i] != 0 ? 1 : -1, s = sign * (double)l.logits[i], g = 0;
            if (csl_is_known(&l, i)) {
                double q = csl_sigmoid(-s), factor = l.gamma > 0 ? pow(q, l.gamma) : 1;
                double surprise = csl_softplus(-s);
                total += weight / known * factor * surprise;
                g = sign * factor * (-l.gamma * (1 - q) * surprise - q) * weight / known;
            }
            csl_put_grad(&l, i, l.scale * g);
        }
        losses[r] = total;
    }
}

KERNEL void k_squared(struct loss_at l, double *losses)
{
    ELEMENTS (r, l.rows) {
        double known = csl_known_in(&l, r), weight = csl_weight(&l, r), total = 0;
        for (uint64_t i = r * l.outputs; i < (r + 1) * l.outputs; i++) {
            double off = csl_is_known(&l, i) ? (double)l.logits[i] - (double)l.targets[i] : 0;
            total += off != 0 ? weight / known * off * off : 0;
            csl_put_grad(&l, i, off != 0 ? l.scale * weight / known * 2 * off : 0);
        }
        losses[r] = total;
    }
}

KERNEL void k_hazard(struct loss_at l, double *losses)
{
    ELEMENTS (r, l.rows) {
        bool has_label = csl_is_known(&l, r), has_event = has_label && l.events[r] != 0;
        uint64_t last = has_label ? l.labels[r] : 0; /* intervals lived through */
        double weight = csl_weight(&l, r), total = 0;
        if (last + (has_event ? 1 : 0) > l.outputs)
            total = (double)NAN;
        for (uint64_t c = 0; c < l.outputs; c++) {
            double z = (double)l.logits[r * l.outputs + c], g = 0;
            if (c < last) {
                total += weight * csl_softplus(z);
                g = weight * csl_sigmoid(z);
            } else if (c == last && has_event) {
                total += weight * csl_softplus(-z);
                g = -weight * csl_sigmoid(-z);
            }
            csl_put_grad(&l, r * l.outputs + c, l.scale * g);
        }
        losses[r] = total;
    }
}

#endif
