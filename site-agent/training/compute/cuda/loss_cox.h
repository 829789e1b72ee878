/* site-agent/training/compute/cuda/loss_cox.h - the Cox loss, and the choice among all of them. */
#ifndef CSL_CUDA_LOSS_COX_H
#define CSL_CUDA_LOSS_COX_H
#include "site-agent/training/compute/cuda/loss.h"

/* log(exp(a) + exp(b)); a may be -infinity (an empty sum). */
DEVICE double csl_log_add(double a, double b)
{
    if (isinf(a) && a < 0)
        return b;
    return (a > b ? a : b) + log1p(exp(-fabs(a - b)));
}

/* Events of tied records [first, end) into the running hazard, then their gradients. */
DEVICE double csl_cox_ties(const struct loss_at *l, uint64_t first, uint64_t end, double *hazard)
{
    double total = 0;
    for (uint64_t i = first; i < end; i++) {
        uint32_t r = l->order[i];
        double weight = csl_weight(l, r);
        if (l->labels[r] == 0)
            continue;
        total += weight * (l->lse[end - 1] - (double)l->logits[r]);
        *hazard = csl_log_add(*hazard, log(weight) - l->lse[end - 1]);
    }
    for (uint64_t i = first; i < end; i++) {
        uint32_t r = l->order[i];
        double weight = csl_weight(l, r), expected = weight * exp((double)l->logits[r] + *hazard);
        csl_put_grad(l, r, l->scale * (expected - (l->labels[r] != 0 ? weight : 0.0)));
    }
    return total;
}

/* One thread in the order of cpu-ref: prefixes over falling times, then back over the ties. Rows of
 * a batch are a few thousand. */
KERNEL void k_cox(struct loss_at l, double *loss)
{
    PHASE (t) {
        double running = -HUGE_VAL, hazard = -HUGE_VAL, total = 0;
        for (uint64_t i = 0; t == 0 && i < l.rows; i++) {
            uint32_t r = l.order[i];
            running = csl_log_add(running, (double)l.logits[r] + log(csl_weight(&l, r)));
            l.lse[i] = running;
        }
        for (uint64_t end = t == 0 ? l.rows : 0, first; end > 0; end = first) {
            first = end - 1;
            while (first > 0 && l.tie_end[first - 1] == end)
                first--;
            total += csl_cox_ties(&l, first, end, &hazard);
        }
        if (t == 0) /* NaN when a logit was not finite, event or not */
            *loss = l.scale * (total + (l.rows > 0 ? 0 * running : 0));
    }
}

static struct loss_at loss_at(const struct csl_loss *l)
{
    struct loss_at at;
    uint64_t n = l->rows * l->outputs;
    bool is_by_output = l->kind == CSL_LOSS_MULTILABEL || l->kind == CSL_LOSS_SQUARED;
    memset(&at, 0, sizeof(at));
    at.rows = l->rows;
    at.outputs = l->outputs;
    at.classes = l->map.buf != NULL ? l->label_classes : l->outputs;
    at.scale = l->scale;
    at.gamma = l->gamma;
    at.logits = csl_f32(l->logits, n);
    at.weights = csl_f32_or_none(l->weights, l->rows);
    at.known = csl_u8_or_none(l->known, is_by_output ? n : l->rows);
    at.map = csl_u8_or_none(l->map, at.classes * l->outputs);
    if (l->kind == CSL_LOSS_SQUARED)
        at.targets = csl_f32(l->targets, n);
    else
        at.labels = csl_u8(l->labels, l->kind == CSL_LOSS_MULTILABEL ? n : l->rows);
    if (l->kind == CSL_LOSS_HAZARD)
        at.events = csl_u8(l->events, l->rows);
    if (l->kind == CSL_LOSS_COX) {
        ASSERT(l->known.buf == NULL);
        at.order = csl_u32(l->order, l->rows);
        at.tie_end = csl_u32(l->tie_end, l->rows);
        at.lse = csl_f64(l->scratch, l->rows);
    }
    at.grad = l->grad.buf != NULL ? csl_f32(l->grad, n) : NULL;
    ASSERT(l->outputs == 1 || (l->kind != CSL_LOSS_LOGISTIC && l->kind != CSL_LOSS_COX));
    return at;
}

static void op_loss(struct csl_dev *d, const struct csl_loss *l)
{
    struct loss_at at = loss_at(l);
    double *out = csl_f64(l->loss, 1);
    uint64_t blocks = csl_blocks(l->rows);
    csl_dev_begin(d, "loss");
    if (l->kind == CSL_LOSS_COX) {
        LAUNCH(d, 1, k_cox, at, out);
        return;
    }
    double *losses = csl_room_f64(d, CSL_SLOT_A, l->rows);
    if (losses == NULL)
        return;
    if (l->kind == CSL_LOSS_LOGISTIC)
        LAUNCH(d, blocks, k_logistic, at, losses);
    else if (l->kind == CSL_LOSS_SOFTMAX)
        LAUNCH(d, blocks, k_softmax_loss, at, losses);
    else if (l->kind == CSL_LOSS_MULTILABEL)
        LAUNCH(d, blocks, k_multilabel, at, losses);
    else if (l->kind == CSL_LOSS_SQUARED)
        LAUNCH(d, blocks, k_squared, at, losses);
    else
        LAUNCH(d, blocks, k_hazard, at, losses);
    LAUNCH(d, 1, k_sum_pieces, losses, l->rows, l->scale, false, out);
}

#endif
