#include "site-agent/training/layers/inside.h"

static struct csl_conv shape_of(const struct csl_layer *l, const struct csl_pass *p)
{
    return (struct csl_conv){.rows = p->rows, .outputs = l->outputs, .window = &l->as.window};
}

static uint64_t weights_of(const struct csl_layer *l)
{
    return l->outputs * csl_window_taps(&l->as.window) * l->as.window.channels;
}

static void forward(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                    struct csl_view y)
{
    struct csl_conv c = shape_of(l, p);
    struct csl_view bias = {0};
    if (l->has_bias)
        bias = csl_layer__params(p->weights, l->bias, l->outputs);
    p->ops->conv_forward(p->dev, &c, x, csl_layer__params(p->weights, l->weight, weights_of(l)),
                         bias, y);
}

static void grad_input(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                       struct csl_view grad_out, struct csl_view grad_in)
{
    (void)x;
    struct csl_conv c = shape_of(l, p);
    p->ops->conv_grad_input(p->dev, &c, csl_layer__params(p->weights, l->weight, weights_of(l)),
                            grad_out, grad_in);
}

static void grad_params(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                        struct csl_view grad_out, struct csl_view scale, float beta)
{
    struct csl_conv c = shape_of(l, p);
    csl_layer__scale(l, p, scale, grad_out);
    p->ops->conv_grad_weight(p->dev, &c, x, grad_out, beta,
                             csl_layer__params(p->gradient, l->weight, weights_of(l)));
    if (l->has_bias)
        p->ops->sum_rows(p->dev, p->rows * csl_window_positions_out(c.window), l->outputs, grad_out,
                         beta, csl_layer__params(p->gradient, l->bias, l->outputs));
}

static void norms(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                  struct csl_view grad_out, const struct csl_units *u, struct csl_view norms)
{
    struct csl_conv c = shape_of(l, p);
    p->ops->conv_norms(p->dev, &c, l->has_bias, u, x, grad_out, norms);
}

static const struct csl_layer_ops frozen = {
    .name = "conv (frozen)", .forward = forward, .grad_input = grad_input};
static const struct csl_layer_ops ops = {.name = "conv",
                                         .forward = forward,
                                         .grad_input = grad_input,
                                         .grad_params = grad_params,
                                         .norms = norms,
                                         .frozen = &frozen};

struct csl_layer csl_layer_make_conv(const struct csl_window *w, uint64_t outputs,
                                     struct csl_place at)
{
    return (struct csl_layer){.ops = &ops,
                              .in = csl_window_positions_in(w) * w->channels,
                              .out = csl_window_positions_out(w) * outputs,
                              .weight = at.weight,
                              .bias = at.bias,
                              .has_bias = at.has_bias,
                              .positions = csl_window_positions_in(w),
                              .outputs = outputs,
                              .as.window = *w};
}
