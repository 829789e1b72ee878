#include "site-agent/training/layers/inside.h"

static struct csl_conv shape_of(const struct csl_layer *l, const struct csl_pass *p)
{
    return (struct csl_conv){.rows = p->rows, .window = &l->as.window};
}

static void forward_max(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                        struct csl_view y)
{
    struct csl_conv c = shape_of(l, p);
    p->ops->pool_max(p->dev, &c, x, y, p->saved);
}

static void grad_input_max(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                           struct csl_view grad_out, struct csl_view grad_in)
{
    (void)x;
    struct csl_conv c = shape_of(l, p);
    p->ops->pool_max_backward(p->dev, &c, p->saved, grad_out, grad_in);
}

static void forward_average(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                            struct csl_view y)
{
    struct csl_conv c = shape_of(l, p);
    p->ops->pool_average(p->dev, &c, x, y);
}

static void grad_input_average(const struct csl_layer *l, const struct csl_pass *p,
                               struct csl_view x, struct csl_view grad_out, struct csl_view grad_in)
{
    (void)x;
    struct csl_conv c = shape_of(l, p);
    p->ops->pool_average_backward(p->dev, &c, grad_out, grad_in);
}

static void forward_mean(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                         struct csl_view y)
{
    struct csl_mean m = l->as.mean;
    m.rows = p->rows;
    p->ops->mean(p->dev, &m, x, p->mask, y);
}

static void grad_input_mean(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                            struct csl_view grad_out, struct csl_view grad_in)
{
    (void)x;
    struct csl_mean m = l->as.mean;
    m.rows = p->rows;
    p->ops->mean_backward(p->dev, &m, p->mask, grad_out, grad_in);
}

static const struct csl_layer_ops max_ops = {
    .name = "max pool", .forward = forward_max, .grad_input = grad_input_max};
static const struct csl_layer_ops average_ops = {
    .name = "average pool", .forward = forward_average, .grad_input = grad_input_average};
static const struct csl_layer_ops mean_ops = {
    .name = "mean", .forward = forward_mean, .grad_input = grad_input_mean};

struct csl_layer csl_layer_make_pool_average(const struct csl_window *w)
{
    return (struct csl_layer){.ops = &average_ops,
                              .in = csl_window_positions_in(w) * w->channels,
                              .out = csl_window_positions_out(w) * w->channels,
                              .positions = csl_window_positions_in(w),
                              .as.window = *w};
}

struct csl_layer csl_layer_make_pool_max(const struct csl_window *w)
{
    struct csl_layer l = csl_layer_make_pool_average(w);
    l.ops = &max_ops;
    l.saved = l.out; /* where each maximum was, as u32 */
    return l;
}

struct csl_layer csl_layer_make_mean(uint64_t positions, uint64_t channels)
{
    return (struct csl_layer){.ops = &mean_ops,
                              .in = positions * channels,
                              .out = channels,
                              .positions = positions,
                              .as.mean = {.positions = positions, .channels = channels}};
}
