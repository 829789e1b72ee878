#include "site-agent/training/layers/layer.h"

static struct csl_view weight_of(const struct csl_layer *l, struct csl_cbuf *flat)
{
    return (struct csl_view){flat, l->weight, l->out * l->in};
}

static struct csl_view bias_of(const struct csl_layer *l, struct csl_cbuf *flat)
{
    return (struct csl_view){flat, l->bias, l->out};
}

static void forward(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                    struct csl_view y)
{
    struct csl_gemm g = {
        .m = p->rows, .n = l->out, .k = l->in, .is_b_transposed = true, .alpha = 1};
    p->ops->gemm_f32(p->dev, &g, x, weight_of(l, p->weights), y);
    if (l->has_bias)
        p->ops->add_bias(p->dev, p->rows, l->out, bias_of(l, p->weights), y);
}

static void grad_input(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                       struct csl_view grad_out, struct csl_view grad_in)
{
    (void)x;
    struct csl_gemm g = {.m = p->rows, .n = l->in, .k = l->out, .alpha = 1};
    p->ops->gemm_f32(p->dev, &g, grad_out, weight_of(l, p->weights), grad_in);
}

static void grad_params(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                        struct csl_view grad_out, struct csl_view scale, float beta)
{
    if (scale.buf != NULL)
        p->ops->scale_rows(p->dev, p->rows, l->out, scale, grad_out, grad_out);
    struct csl_gemm g = {
        .m = l->out, .n = l->in, .k = p->rows, .is_a_transposed = true, .alpha = 1, .beta = beta};
    p->ops->gemm_f32(p->dev, &g, grad_out, x, weight_of(l, p->gradient));
    if (l->has_bias)
        p->ops->sum_rows(p->dev, p->rows, l->out, grad_out, beta, bias_of(l, p->gradient));
}

const struct csl_layer_ops csl_layer_linear = {
    .name = "linear", .forward = forward, .grad_input = grad_input, .grad_params = grad_params};
