#include "site-agent/training/layers/inside.h"

/* A row is `positions` tokens of `in` values; all tokens of the batch are rows of one product. */
struct sizes {
    uint64_t tokens, in, out;
};

static struct sizes sizes_of(const struct csl_layer *l, const struct csl_pass *p)
{
    uint64_t n = csl_layer__positions(l);
    return (struct sizes){p->rows * n, l->in / n, l->out / n};
}

static void forward(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                    struct csl_view y)
{
    struct sizes s = sizes_of(l, p);
    struct csl_gemm g = {.m = s.tokens, .n = s.out, .k = s.in, .is_b_transposed = true, .alpha = 1};
    p->ops->gemm_f32(p->dev, &g, x, csl_layer__params(p->weights, l->weight, s.out * s.in), y);
    if (l->has_bias)
        p->ops->add_bias(p->dev, s.tokens, s.out, csl_layer__params(p->weights, l->bias, s.out), y);
}

static void grad_input(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                       struct csl_view grad_out, struct csl_view grad_in)
{
    (void)x;
    struct sizes s = sizes_of(l, p);
    struct csl_gemm g = {.m = s.tokens, .n = s.in, .k = s.out, .alpha = 1};
    p->ops->gemm_f32(p->dev, &g, grad_out, csl_layer__params(p->weights, l->weight, s.out * s.in),
                     grad_in);
}

static void grad_params(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                        struct csl_view grad_out, struct csl_view scale, float beta)
{
    struct sizes s = sizes_of(l, p);
    csl_layer__scale(l, p, scale, grad_out);
    struct csl_gemm g = {
        .m = s.out, .n = s.in, .k = s.tokens, .is_a_transposed = true, .alpha = 1, .beta = beta};
    p->ops->gemm_f32(p->dev, &g, grad_out, x,
                     csl_layer__params(p->gradient, l->weight, s.out * s.in));
    if (l->has_bias)
        p->ops->sum_rows(p->dev, s.tokens, s.out, grad_out, beta,
                         csl_layer__params(p->gradient, l->bias, s.out));
}

static void norms(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                  struct csl_view grad_out, const struct csl_units *u, struct csl_view norms)
{
    uint64_t n = csl_layer__positions(l);
    struct csl_linear shape = {
        .positions = n, .in = l->in / n, .out = l->out / n, .has_bias = l->has_bias};
    p->ops->linear_norms(p->dev, &shape, u, x, grad_out, norms);
}

static const struct csl_layer_ops frozen = {
    .name = "linear (frozen)", .forward = forward, .grad_input = grad_input};
const struct csl_layer_ops csl_layer_linear = {.name = "linear",
                                               .forward = forward,
                                               .grad_input = grad_input,
                                               .grad_params = grad_params,
                                               .norms = norms,
                                               .frozen = &frozen};

struct csl_layer csl_layer_make_linear(uint64_t positions, uint64_t in, uint64_t out,
                                       struct csl_place at)
{
    return (struct csl_layer){.ops = &csl_layer_linear,
                              .in = positions * in,
                              .out = positions * out,
                              .weight = at.weight,
                              .bias = at.bias,
                              .has_bias = at.has_bias,
                              .positions = positions};
}

void csl_layer_freeze(struct csl_layer *l)
{
    if (l->ops->frozen != NULL)
        l->ops = l->ops->frozen;
}
