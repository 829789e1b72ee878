#include "site-agent/training/layers/layer.h"

static struct csl_view used(const struct csl_layer *l, const struct csl_pass *p, struct csl_view v)
{
    v.count = p->rows * l->in;
    return v;
}

static void forward(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                    struct csl_view y)
{
    p->ops->relu(p->dev, used(l, p, x), used(l, p, y));
}

static void grad_input(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                       struct csl_view grad_out, struct csl_view grad_in)
{
    p->ops->relu_backward(p->dev, used(l, p, x), used(l, p, grad_out), used(l, p, grad_in));
}

const struct csl_layer_ops csl_layer_relu = {
    .name = "relu", .forward = forward, .grad_input = grad_input, .grad_params = NULL};
