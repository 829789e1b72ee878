#include "base/check.h"
#include "site-agent/training/layers/inside.h"

static struct csl_norm shape_of(const struct csl_layer *l, const struct csl_pass *p)
{
    struct csl_norm n = l->as.norm;
    n.rows = p->rows;
    return n;
}

static void forward(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                    struct csl_view y)
{
    struct csl_norm n = shape_of(l, p);
    p->ops->norm_forward(p->dev, &n, x, csl_layer__params(p->weights, l->weight, n.channels),
                         csl_layer__params(p->weights, l->bias, n.channels), y, p->saved);
}

static void grad_input(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                       struct csl_view grad_out, struct csl_view grad_in)
{
    struct csl_norm n = shape_of(l, p);
    p->ops->norm_grad_input(p->dev, &n, x, csl_layer__params(p->weights, l->weight, n.channels),
                            p->saved, grad_out, grad_in);
}

static void grad_params(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                        struct csl_view grad_out, struct csl_view scale, float beta)
{
    struct csl_norm n = shape_of(l, p);
    csl_layer__scale(l, p, scale, grad_out);
    p->ops->norm_grad_params(p->dev, &n, x, p->saved, grad_out, beta,
                             csl_layer__params(p->gradient, l->weight, n.channels),
                             csl_layer__params(p->gradient, l->bias, n.channels));
}

static void norms(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                  struct csl_view grad_out, const struct csl_units *u, struct csl_view norms)
{
    struct csl_norm n = shape_of(l, p);
    p->ops->norm_norms(p->dev, &n, u, x, p->saved, grad_out, norms);
}

static const struct csl_layer_ops frozen = {
    .name = "norm (frozen)", .forward = forward, .grad_input = grad_input};
static const struct csl_layer_ops ops = {.name = "norm",
                                         .forward = forward,
                                         .grad_input = grad_input,
                                         .grad_params = grad_params,
                                         .norms = norms,
                                         .frozen = &frozen};

static struct csl_layer make(const struct csl_norm *n, uint64_t gain, uint64_t shift)
{
    uint64_t width = n->tokens * n->positions * n->channels;
    CSL_ASSERT(n->groups > 0 && n->channels % n->groups == 0);
    return (struct csl_layer){.ops = &ops,
                              .in = width,
                              .out = width,
                              .weight = gain,
                              .bias = shift,
                              .has_bias = true,
                              .positions = n->tokens * n->positions,
                              .saved = n->tokens * n->groups * 2, /* mean and 1 / deviation */
                              .as.norm = *n};
}

struct csl_layer csl_layer_make_layer_norm(uint64_t tokens, uint64_t channels, double epsilon,
                                           uint64_t gain, uint64_t shift)
{
    const struct csl_norm n = {
        .tokens = tokens, .positions = 1, .channels = channels, .groups = 1, .epsilon = epsilon};
    return make(&n, gain, shift);
}

struct csl_layer csl_layer_make_group_norm(uint64_t positions, uint64_t channels, uint64_t groups,
                                           double epsilon, uint64_t gain, uint64_t shift)
{
    const struct csl_norm n = {.tokens = 1,
                               .positions = positions,
                               .channels = channels,
                               .groups = groups,
                               .epsilon = epsilon};
    return make(&n, gain, shift);
}
