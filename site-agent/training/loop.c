/* The step loop: load a batch, forward, loss, backward, update. */
#include "site-agent/training/trainer.h"

#include "base/check.h"
#include "base/mem.h"

#include <math.h>

struct csl_view csl_trainer__block(const struct csl_trainer *t, enum csl_vector v,
                                   const struct csl_net *n)
{
    return (struct csl_view){t->vectors[v], n->trained.first, n->trained.count};
}

void csl_trainer__put_weights(struct csl_trainer *t, const struct csl_net *n, const float *model)
{
    t->ops->put(t->dev, t->vectors[CSL_V_WEIGHTS], n->first * sizeof(float), model + n->first,
                n->count * sizeof(float));
    if (n->trained.block != n->block) /* an adapter */
        t->ops->put(t->dev, t->vectors[CSL_V_WEIGHTS], n->trained.first * sizeof(float),
                    model + n->trained.first, n->trained.count * sizeof(float));
}

enum csl_code csl_trainer__need(struct csl_trainer *t, enum csl_vector v, struct csl_err *err)
{
    if (t->vectors[v] != NULL)
        return CSL_OK;
    return t->ops->alloc(t->dev, t->study->schema.parameters * sizeof(float), &t->vectors[v], err);
}

enum csl_code csl_trainer__need_order(struct csl_trainer *t, uint64_t rows, struct csl_err *err)
{
    if (rows <= t->host_rows)
        return CSL_OK;
    struct csl_time_key *keys = csl_alloc_array((size_t)rows, sizeof(*keys));
    uint32_t *order = csl_alloc_array((size_t)rows, 2 * sizeof(*order));
    if (keys == NULL || order == NULL) {
        csl_free(keys);
        csl_free(order);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the risk sets of %llu records",
                        (unsigned long long)rows);
    }
    csl_free(t->keys);
    csl_free(t->order);
    t->keys = keys;
    t->order = order;
    t->host_rows = rows;
    return CSL_OK;
}

enum csl_code csl_trainer__need_ids(struct csl_trainer *t, uint64_t rows, uint64_t tokens,
                                    struct csl_err *err)
{
    uint64_t count = rows + 1 + rows * tokens;
    if (rows > UINT32_MAX / tokens) /* an offset into them has 32 bits */
        return CSL_FAIL(err, CSL_E_LIMIT, "a batch of %llu texts of %llu words is too large",
                        (unsigned long long)rows, (unsigned long long)tokens);
    if (count <= t->ids_count)
        return CSL_OK;
    uint32_t *ids = csl_alloc_array((size_t)count, sizeof(*ids));
    if (ids == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a batch of %llu word ids",
                        (unsigned long long)count);
    csl_free(t->ids);
    t->ids = ids;
    t->ids_count = count;
    return CSL_OK;
}

enum csl_code csl_trainer__fit(struct csl_trainer *t, const struct csl_net *n, uint64_t rows,
                               struct csl_err *err)
{
    enum csl_code code = csl_work_fit(&t->work, n, rows, err);
    if (code == CSL_OK && n->tokens > 0)
        code = csl_trainer__need_ids(t, rows, n->tokens, err);
    if (code == CSL_OK && n->loss == CSL_LOSS_COX)
        code = csl_trainer__need_order(t, rows, err);
    return code;
}

/* Ids lie in the examples as whole numbers, 0 where a text is shorter (data/text.h). */
static void put_ids(struct csl_trainer *t, const struct csl_net *n, const float *x,
                    const uint32_t *rows, uint64_t count)
{
    uint32_t *offsets = t->ids, *ids = t->ids + count + 1;
    float end = (float)n->layers[0].as.bag.buckets;
    uint64_t at = 0;
    CSL_ASSERT(count + 1 + count * n->tokens <= t->ids_count);
    for (uint64_t i = 0; i < count; i++) {
        const float *text = x + (rows != NULL ? rows[i] : i) * n->tokens;
        offsets[i] = (uint32_t)at;
        for (uint64_t k = 0; k < n->tokens; k++)
            if (text[k] > 0 && text[k] < end)
                ids[at++] = (uint32_t)text[k];
    }
    offsets[count] = (uint32_t)at;
    t->ops->put(t->dev, t->work.words, t->work.offsets.first * sizeof(uint32_t), offsets,
                (count + 1) * sizeof(uint32_t));
    t->ops->put(t->dev, t->work.words, t->work.activation[0].first * sizeof(uint32_t), ids,
                at * sizeof(uint32_t));
}

void csl_trainer__put_tokens(struct csl_trainer *t, const struct csl_net *n, struct csl_work *w,
                             const uint32_t *table, const uint32_t *rows, uint64_t count)
{
    uint32_t *offsets = t->ids, *ids = t->ids + count + 1;
    uint64_t at = 0, end = n->layers[0].as.bag.buckets;
    CSL_ASSERT(count + 1 + count * n->tokens <= t->ids_count);
    for (uint64_t i = 0; i < count; i++) {
        const uint32_t *text = table + (uint64_t)rows[i] * n->tokens;
        offsets[i] = (uint32_t)at;
        for (uint64_t k = 0; k < n->tokens; k++)
            if (text[k] > 0 && text[k] < end)
                ids[at++] = text[k];
    }
    offsets[count] = (uint32_t)at;
    t->ops->put(t->dev, w->words, w->offsets.first * sizeof(uint32_t), offsets,
                (count + 1) * sizeof(uint32_t));
    t->ops->put(t->dev, w->words, w->activation[0].first * sizeof(uint32_t), ids,
                at * sizeof(uint32_t));
}

void csl_trainer__put_inputs(struct csl_trainer *t, const struct csl_net *n, const float *x,
                             const uint32_t *rows, uint64_t count)
{
    if (n->tokens > 0) {
        put_ids(t, n, x, rows, count);
        return;
    }
    t->ops->put_rows(t->dev, t->work.floats, t->work.activation[0].first * sizeof(float), x,
                     n->layers[0].in * sizeof(float), rows, count);
}

void csl_trainer__put_training(struct csl_trainer *t, const struct csl_net *n,
                               const struct csl_augmented *a, const struct csl_batches *b,
                               const uint32_t *rows, uint64_t count)
{
    const struct csl_augment_label step = {.seed = b->seed, .site = b->site, .round = b->step};
    const struct csl_view to = {t->work.floats, t->work.activation[0].first, 0};
    if (csl_augmented_is_on(a))
        csl_augmented_put(a, t->ops, t->dev, to, b->examples->x, b->examples->patient, rows, count,
                          &step);
    else
        csl_trainer__put_inputs(t, n, b->examples->x, rows, count);
}

void csl_trainer__put_order(struct csl_trainer *t, const struct csl_work *w, const float *time,
                            const uint32_t *rows, uint64_t count)
{
    uint64_t bytes = count * sizeof(uint32_t);
    CSL_ASSERT(count <= t->host_rows);
    csl_risk_order(time, rows, count, t->keys, t->order, t->order + count);
    t->ops->put(t->dev, w->words, w->order.first * sizeof(uint32_t), t->order, bytes);
    t->ops->put(t->dev, w->words, w->tie_end.first * sizeof(uint32_t), t->order + count, bytes);
}

void csl_trainer__put_truth(struct csl_trainer *t, const struct csl_net *n, struct csl_work *w,
                            const struct csl_batches *b, const uint32_t *rows, uint64_t count)
{
    const struct csl_examples *e = b->examples;
    bool has_answers = n->loss == CSL_LOSS_MULTILABEL;
    t->ops->put_rows(t->dev, w->bytes, w->labels.first, has_answers ? e->answer : e->label,
                     n->answers, rows, count);
    if (has_answers)
        t->ops->put_rows(t->dev, w->bytes, w->known.first, e->answer_known, n->answers, rows,
                         count);
    if (b->weights != NULL)
        t->ops->put_rows(t->dev, w->words, w->weights.first * sizeof(float), b->weights,
                         sizeof(float), rows, count);
    if (n->loss != CSL_LOSS_COX)
        return;
    csl_trainer__put_order(t, w, e->time, rows, count);
}

struct csl_loss csl_trainer__loss(const struct csl_net *n, const struct csl_work *w,
                                  const struct csl_batches *b, uint32_t i, uint64_t rows,
                                  uint64_t patients)
{
    struct csl_loss l = {
        .kind = n->loss,
        .rows = rows,
        .outputs = n->outputs,
        .scale = 1.0 / (double)patients,
        .logits = w->activation[i],
        .labels = w->labels,
        .grad = w->gradient[i],
    };
    if (b->weights != NULL)
        l.weights = w->weights;
    if (n->loss == CSL_LOSS_MULTILABEL)
        l.known = w->known;
    if (n->loss == CSL_LOSS_COX) {
        l.order = w->order;
        l.tie_end = w->tie_end;
        l.scratch = w->scratch;
    }
    return l;
}

enum csl_code csl_trainer__optimiser(struct csl_trainer *t, const struct csl_net *n,
                                     const struct csl_optimiser_config *c, struct csl_optimiser *o,
                                     struct csl_err *err)
{
    csl_optimiser_init(o, c);
    o->update.weights = csl_trainer__block(t, CSL_V_WEIGHTS, n);
    o->update.gradient = csl_trainer__block(t, CSL_V_GRADIENT, n);
    uint32_t moments = csl_optimiser_moments(c->kind);
    for (uint32_t m = 0; m < moments; m++) {
        enum csl_vector v = m == 0 ? CSL_V_MOMENT1 : CSL_V_MOMENT2;
        enum csl_code code = csl_trainer__need(t, v, err);
        if (code != CSL_OK)
            return code;
        struct csl_view view = csl_trainer__block(t, v, n);
        t->ops->zero(t->dev, view);
        *(m == 0 ? &o->update.moment1 : &o->update.moment2) = view;
    }
    return CSL_OK;
}

void csl_trainer__update(struct csl_trainer *t, struct csl_loop *loop, uint64_t k)
{
    loop->optimiser.update.rate =
        csl_schedule_rate(&loop->schedule, loop->learning_rate, loop->position + k);
    csl_optimiser_step(&loop->optimiser, t->ops, t->dev);
    loop->batches->step = loop->position + k + 1;
}

/* The losses of steps done - count .. done - 1 come back; the first that is not finite is an error.
 */
static enum csl_code collect(struct csl_trainer *t, struct csl_loop *loop, uint64_t done,
                             uint64_t count, struct csl_err *err)
{
    double losses[CSL_LOSS_SLOTS];
    if (loop->is_loss_secret)
        return t->ops->sync(t->dev, err);
    t->ops->get(t->dev, losses, t->losses, 0, count * sizeof(double));
    enum csl_code code = t->ops->sync(t->dev, err);
    for (uint64_t i = 0; code == CSL_OK && i < count; i++) {
        loop->loss_sum += losses[i];
        if (!isfinite(losses[i]))
            code = CSL_FAIL(
                err, CSL_E_INVAL,
                "%s %llu, domain %s, step %llu of %llu: the loss is not finite; a value "
                "of the data or of the model is not, or the learning rate is too high",
                loop->what, (unsigned long long)loop->number, t->study->domains[loop->domain].id,
                (unsigned long long)(done - count + i + 1), (unsigned long long)loop->steps);
    }
    return code;
}

enum csl_code csl_trainer__check_cancelled(bool (*cancelled)(void *ctx), void *ctx,
                                           const char *what, uint64_t number, uint64_t k,
                                           struct csl_err *err)
{
    if (cancelled == NULL || !cancelled(ctx))
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_CANCELLED, "%s %llu: cancelled at step %llu", what,
                    (unsigned long long)number, (unsigned long long)k + 1);
}

static enum csl_code run_steps(struct csl_trainer *t, struct csl_loop *loop,
                               const struct csl_augmented *augmented, struct csl_err *err)
{
    const struct csl_net *n = &t->nets[loop->domain];
    enum csl_code code = csl_trainer__fit(t, n, loop->batches->rows_max, err);
    if (code != CSL_OK)
        return code;
    struct csl_pass pass = {.ops = t->ops,
                            .dev = t->dev,
                            .weights = t->vectors[CSL_V_WEIGHTS],
                            .gradient = t->vectors[CSL_V_GRADIENT]};
    struct csl_loss loss = {0};
    uint64_t slot = 0;
    for (uint64_t k = 0; k < loop->steps; k++) {
        code = csl_trainer__check_cancelled(loop->cancelled, loop->cancelled_ctx, loop->what,
                                            loop->number, k, err);
        if (code != CSL_OK)
            return code;
        /* a full batch that stays as it is is loaded once */
        if (k == 0 || !loop->batches->is_full || csl_augmented_is_on(augmented)) {
            struct csl_batch b = csl_batches_at(loop->batches, loop->position + k);
            csl_trainer__put_training(t, n, augmented, loop->batches, b.rows, b.count);
            csl_trainer__put_truth(t, n, &t->work, loop->batches, b.rows, b.count);
            pass.rows = b.count;
            loss =
                csl_trainer__loss(n, &t->work, loop->batches, n->layer_count, b.count, b.patients);
        }
        csl_net_forward(n, &pass, &t->work);
        loss.loss = (struct csl_view){t->losses, slot++, 1};
        t->ops->loss(t->dev, &loss);
        csl_net_backward(n, &pass, &t->work);
        csl_trainer__update(t, loop, k);
        if (slot == CSL_LOSS_SLOTS || k + 1 == loop->steps) {
            code = collect(t, loop, k + 1, slot, err);
            if (code != CSL_OK)
                return code;
            slot = 0;
        }
    }
    return CSL_OK;
}

enum csl_code csl_trainer__loop(struct csl_trainer *t, struct csl_loop *loop, struct csl_err *err)
{
    struct csl_augmented augmented;
    enum csl_code code = csl_augmented_open(&augmented, &t->study->domains[loop->domain], err);
    if (code == CSL_OK)
        code = run_steps(t, loop, &augmented, err);
    csl_augmented_close(&augmented);
    return code;
}
