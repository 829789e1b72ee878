#include "base/check.h"
#include "site-agent/training/layers/inside.h"

/* What is kept is decided by counters, so the way back asks again instead of remembering. */
static void pass_on(const struct csl_layer *l, const struct csl_pass *p, struct csl_view from,
                    struct csl_view to)
{
    struct csl_dropout o = l->as.dropout;
    o.rows = p->rows;
    o.seed = p->seed;
    o.row_ids = p->row_ids;
    if (p->is_training && o.rate > 0)
        p->ops->dropout(p->dev, &o, from, to);
    else
        p->ops->copy_cols(p->dev, p->rows, l->in, from, l->in, to, l->in);
}

static void grad_input(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                       struct csl_view grad_out, struct csl_view grad_in)
{
    (void)x;
    pass_on(l, p, grad_out, grad_in);
}

static const struct csl_layer_ops ops = {
    .name = "dropout", .forward = pass_on, .grad_input = grad_input};

struct csl_layer csl_layer_make_dropout(uint64_t width, double rate, uint32_t stream)
{
    CSL_ASSERT(rate >= 0 && rate < 1);
    return (struct csl_layer){.ops = &ops,
                              .in = width,
                              .out = width,
                              .as.dropout = {.cols = width, .rate = rate, .stream = stream}};
}
