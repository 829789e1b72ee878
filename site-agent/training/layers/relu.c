#include "site-agent/training/layers/inside.h"

static void forward(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                    struct csl_view y)
{
    uint64_t count = p->rows * l->in;
    p->ops->relu(p->dev, csl_layer__part(x, count), csl_layer__part(y, count));
}

static void grad_input(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                       struct csl_view grad_out, struct csl_view grad_in)
{
    uint64_t count = p->rows * l->in;
    p->ops->relu_backward(p->dev, csl_layer__part(x, count), csl_layer__part(grad_out, count),
                          csl_layer__part(grad_in, count));
}

const struct csl_layer_ops csl_layer_relu = {
    .name = "relu", .forward = forward, .grad_input = grad_input};

struct csl_layer csl_layer_make_relu(uint64_t width)
{
    return (struct csl_layer){.ops = &csl_layer_relu, .in = width, .out = width};
}
