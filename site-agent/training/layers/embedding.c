#include "site-agent/training/layers/inside.h"

static struct csl_bag shape_of(const struct csl_layer *l, const struct csl_pass *p)
{
    struct csl_bag b = l->as.bag;
    b.rows = p->rows;
    return b;
}

static void forward(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                    struct csl_view y)
{
    struct csl_bag b = shape_of(l, p);
    p->ops->bag_forward(p->dev, &b, x, p->offsets,
                        csl_layer__params(p->weights, l->weight, b.buckets * b.dim), y);
}

static void grad_params(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                        struct csl_view grad_out, struct csl_view scale, float beta)
{
    struct csl_bag b = shape_of(l, p);
    csl_layer__scale(l, p, scale, grad_out);
    p->ops->bag_grad(p->dev, &b, x, p->offsets, grad_out, beta,
                     csl_layer__params(p->gradient, l->weight, b.buckets * b.dim));
}

static void norms(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                  struct csl_view grad_out, const struct csl_units *u, struct csl_view norms)
{
    struct csl_bag b = shape_of(l, p);
    p->ops->bag_norms(p->dev, &b, u, x, p->offsets, grad_out, norms);
}

static const struct csl_layer_ops frozen = {.name = "embedding (frozen)", .forward = forward};
static const struct csl_layer_ops ops = {.name = "embedding",
                                         .forward = forward,
                                         .grad_params = grad_params,
                                         .norms = norms,
                                         .frozen = &frozen};

struct csl_layer csl_layer_make_embedding(const struct csl_bag *bag, uint64_t weight)
{
    return (struct csl_layer){.ops = &ops,
                              .in = bag->positions,
                              .out = bag->positions * bag->dim,
                              .weight = weight,
                              .positions = bag->positions,
                              .as.bag = *bag};
}
