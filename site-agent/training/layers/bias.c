#include "site-agent/training/layers/inside.h"

static void forward(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                    struct csl_view y)
{
    p->ops->copy_cols(p->dev, p->rows, l->out, x, l->in, y, l->out);
    p->ops->add_bias(p->dev, p->rows, l->out, csl_layer__params(p->weights, l->weight, l->out), y);
}

static void grad_input(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                       struct csl_view grad_out, struct csl_view grad_in)
{
    (void)x;
    p->ops->copy_cols(p->dev, p->rows, l->out, grad_out, l->out, grad_in, l->in);
}

static void grad_params(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                        struct csl_view grad_out, struct csl_view scale, float beta)
{
    (void)x;
    csl_layer__scale(l, p, scale, grad_out);
    p->ops->sum_rows(p->dev, p->rows, l->out, grad_out, beta,
                     csl_layer__params(p->gradient, l->weight, l->out));
}

static void norms(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                  struct csl_view grad_out, const struct csl_units *u, struct csl_view norms)
{
    const struct csl_linear shape = {.positions = 1, .in = 0, .out = l->out, .has_bias = true};
    p->ops->linear_norms(p->dev, &shape, u, x, grad_out, norms);
}

static const struct csl_layer_ops frozen = {
    .name = "bias (frozen)", .forward = forward, .grad_input = grad_input};
static const struct csl_layer_ops ops = {.name = "bias",
                                         .forward = forward,
                                         .grad_input = grad_input,
                                         .grad_params = grad_params,
                                         .norms = norms,
                                         .frozen = &frozen};

struct csl_layer csl_layer_make_bias(uint64_t width, uint64_t weight)
{
    return (struct csl_layer){.ops = &ops, .in = width, .out = width, .weight = weight};
}
