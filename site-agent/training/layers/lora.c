/* saved: down = scale * x A^T and then back = scale * grad_out B, both [rows, positions, rank].
 * With the scale inside, B's gradient is grad_out^T down and A's is back^T x, as of two linears. */
#include "site-agent/training/layers/inside.h"

struct sizes {
    uint64_t tokens, in, out, rank;
};

static struct sizes sizes_of(const struct csl_layer *l, const struct csl_pass *p)
{
    uint64_t n = csl_layer__positions(l);
    return (struct sizes){p->rows * n, l->in / n, l->out / n, l->as.lora.rank};
}

static struct csl_view down_of(const struct csl_pass *p, const struct sizes *s)
{
    return csl_layer__part(p->saved, s->tokens * s->rank);
}

static struct csl_view back_of(const struct csl_pass *p, const struct sizes *s)
{
    struct csl_view v = down_of(p, s);
    v.first += v.count;
    return v;
}

static void go_down(const struct csl_layer *l, const struct csl_pass *p, const struct sizes *s,
                    struct csl_view x)
{
    struct csl_gemm g = {.m = s->tokens,
                         .n = s->rank,
                         .k = s->in,
                         .is_b_transposed = true,
                         .alpha = (float)l->as.lora.scale};
    p->ops->gemm_f32(p->dev, &g, x, csl_layer__params(p->weights, l->as.lora.down, s->rank * s->in),
                     down_of(p, s));
}

static void forward(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                    struct csl_view y)
{
    struct sizes s = sizes_of(l, p);
    const struct csl_lora *a = &l->as.lora;
    csl_layer_linear.forward(l, p, x, y);
    go_down(l, p, &s, x);
    struct csl_gemm g = {
        .m = s.tokens, .n = s.out, .k = s.rank, .is_b_transposed = true, .alpha = 1, .beta = 1};
    p->ops->gemm_f32(p->dev, &g, down_of(p, &s),
                     csl_layer__params(p->weights, a->up, s.out * s.rank), y);
}

static void go_back(const struct csl_layer *l, const struct csl_pass *p, const struct sizes *s,
                    struct csl_view grad_out)
{
    struct csl_gemm g = {
        .m = s->tokens, .n = s->rank, .k = s->out, .alpha = (float)l->as.lora.scale};
    p->ops->gemm_f32(p->dev, &g, grad_out,
                     csl_layer__params(p->weights, l->as.lora.up, s->out * s->rank), back_of(p, s));
}

static void grad_input(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                       struct csl_view grad_out, struct csl_view grad_in)
{
    struct sizes s = sizes_of(l, p);
    csl_layer_linear.grad_input(l, p, x, grad_out, grad_in);
    go_back(l, p, &s, grad_out);
    struct csl_gemm g = {.m = s.tokens, .n = s.in, .k = s.rank, .alpha = 1, .beta = 1};
    p->ops->gemm_f32(p->dev, &g, back_of(p, &s),
                     csl_layer__params(p->weights, l->as.lora.down, s.rank * s.in), grad_in);
}

static void grad_params(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                        struct csl_view grad_out, struct csl_view scale, float beta)
{
    struct sizes s = sizes_of(l, p);
    csl_layer__scale(l, p, scale, grad_out);
    go_down(l, p, &s, x);
    go_back(l, p, &s, grad_out);
    struct csl_gemm g = {
        .m = s.out, .n = s.rank, .k = s.tokens, .is_a_transposed = true, .alpha = 1, .beta = beta};
    p->ops->gemm_f32(p->dev, &g, grad_out, down_of(p, &s),
                     csl_layer__params(p->gradient, l->as.lora.up, s.out * s.rank));
    g.m = s.rank;
    g.n = s.in;
    p->ops->gemm_f32(p->dev, &g, back_of(p, &s), x,
                     csl_layer__params(p->gradient, l->as.lora.down, s.rank * s.in));
}

static void norms(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                  struct csl_view grad_out, const struct csl_units *u, struct csl_view norms)
{
    struct sizes s = sizes_of(l, p);
    uint64_t n = csl_layer__positions(l);
    struct csl_linear up = {.positions = n, .in = s.rank, .out = s.out};
    struct csl_linear down = {.positions = n, .in = s.in, .out = s.rank};
    go_down(l, p, &s, x);
    go_back(l, p, &s, grad_out);
    p->ops->linear_norms(p->dev, &up, u, down_of(p, &s), grad_out, norms);
    p->ops->linear_norms(p->dev, &down, u, x, back_of(p, &s), norms);
}

static const struct csl_layer_ops frozen = {
    .name = "lora (frozen)", .forward = forward, .grad_input = grad_input};
static const struct csl_layer_ops ops = {.name = "lora",
                                         .forward = forward,
                                         .grad_input = grad_input,
                                         .grad_params = grad_params,
                                         .norms = norms,
                                         .frozen = &frozen};

struct csl_layer csl_layer_make_lora(uint64_t positions, uint64_t in, uint64_t out,
                                     struct csl_place at, const struct csl_lora *lora)
{
    struct csl_layer l = csl_layer_make_linear(positions, in, out, at);
    l.ops = &ops;
    l.saved = 2 * positions * lora->rank;
    l.as.lora = *lora;
    return l;
}
