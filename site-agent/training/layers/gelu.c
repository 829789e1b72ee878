#include "site-agent/training/layers/inside.h"

static void forward(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                    struct csl_view y)
{
    uint64_t count = p->rows * l->in;
    p->ops->gelu(p->dev, csl_layer__part(x, count), csl_layer__part(y, count));
}

static void grad_input(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                       struct csl_view grad_out, struct csl_view grad_in)
{
    uint64_t count = p->rows * l->in;
    p->ops->gelu_backward(p->dev, csl_layer__part(x, count), csl_layer__part(grad_out, count),
                          csl_layer__part(grad_in, count));
}

static const struct csl_layer_ops ops = {
    .name = "gelu", .forward = forward, .grad_input = grad_input};

struct csl_layer csl_layer_make_gelu(uint64_t width)
{
    return (struct csl_layer){.ops = &ops, .in = width, .out = width};
}
