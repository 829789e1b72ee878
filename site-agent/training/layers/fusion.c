#include "site-agent/training/layers/inside.h"

static struct csl_fusion shape_of(const struct csl_layer *l, const struct csl_pass *p)
{
    struct csl_fusion f = l->as.fusion;
    f.rows = p->rows;
    return f;
}

static struct csl_view params_of(const struct csl_layer *l, struct csl_cbuf *flat)
{
    const struct csl_fusion *f = &l->as.fusion;
    return csl_layer__params(flat, l->weight, f->modalities * f->width + f->modalities + f->width);
}

static void forward(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                    struct csl_view y)
{
    struct csl_fusion f = shape_of(l, p);
    p->ops->fusion(p->dev, &f, x, p->mask, params_of(l, p->weights), y, p->saved);
}

static void grad_input(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                       struct csl_view grad_out, struct csl_view grad_in)
{
    struct csl_fusion f = shape_of(l, p);
    p->ops->fusion_grad_input(p->dev, &f, x, p->saved, params_of(l, p->weights), grad_out, grad_in);
}

static void grad_params(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                        struct csl_view grad_out, struct csl_view scale, float beta)
{
    struct csl_fusion f = shape_of(l, p);
    csl_layer__scale(l, p, scale, grad_out);
    p->ops->fusion_grad_params(p->dev, &f, x, p->saved, grad_out, beta, params_of(l, p->gradient));
}

static void norms(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                  struct csl_view grad_out, const struct csl_units *u, struct csl_view norms)
{
    struct csl_fusion f = shape_of(l, p);
    p->ops->fusion_norms(p->dev, &f, u, x, p->saved, grad_out, norms);
}

static const struct csl_layer_ops frozen = {
    .name = "fusion (frozen)", .forward = forward, .grad_input = grad_input};
static const struct csl_layer_ops ops = {.name = "fusion",
                                         .forward = forward,
                                         .grad_input = grad_input,
                                         .grad_params = grad_params,
                                         .norms = norms,
                                         .frozen = &frozen};

struct csl_layer csl_layer_make_fusion(uint64_t modalities, uint64_t width, uint64_t weight)
{
    return (struct csl_layer){.ops = &ops,
                              .in = modalities * width,
                              .out = width,
                              .weight = weight,
                              .positions = modalities,
                              .saved = modalities * 2, /* shares and room for their gradient */
                              .as.fusion = {.modalities = modalities, .width = width}};
}
