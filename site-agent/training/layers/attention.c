#include "base/check.h"
#include "site-agent/training/layers/inside.h"

static void forward(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                    struct csl_view y)
{
    struct csl_attention a = l->as.attention;
    a.rows = p->rows;
    p->ops->attention(p->dev, &a, x, p->mask, p->saved, y);
}

static void grad_input(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                       struct csl_view grad_out, struct csl_view grad_in)
{
    struct csl_attention a = l->as.attention;
    a.rows = p->rows;
    p->ops->attention_backward(p->dev, &a, x, p->saved, grad_out, grad_in);
}

static const struct csl_layer_ops ops = {
    .name = "attention", .forward = forward, .grad_input = grad_input};

struct csl_layer csl_layer_make_attention(uint64_t positions, uint64_t heads, uint64_t width)
{
    CSL_ASSERT(heads > 0 && width % heads == 0);
    return (struct csl_layer){
        .ops = &ops,
        .in = positions * 3 * width,
        .out = positions * width,
        .positions = positions,
        .saved = heads * positions * positions, /* the probabilities */
        .as.attention = {.positions = positions, .heads = heads, .width = width}};
}
