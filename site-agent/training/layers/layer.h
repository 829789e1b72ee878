/* site-agent/training/layers/layer.h - one layer of a model: a function of a [rows, in] activation
 * and of a range of the parameter vector.
 *
 * The backward pass is two operations, because private training runs them apart: grad_input walks
 * the whole model once and leaves every layer's grad_out in the arena; only then are the per-row
 * factors known with which grad_params forms the sums. Layers hold no memory and no state. */
#ifndef CSL_LAYER_H
#define CSL_LAYER_H
#include "site-agent/training/compute/compute.h"

/* Where a layer computes. */
struct csl_pass {
    const struct csl_compute_ops *ops;
    struct csl_dev *dev;
    struct csl_cbuf *weights;  /* f32 [P], the flat vector of the study's schema */
    struct csl_cbuf *gradient; /* f32 [P], the same layout */
    uint64_t rows;             /* records in the batch */
};

struct csl_layer;
struct csl_layer_ops {
    const char *name;
    /* y: [rows, out] from x: [rows, in] */
    void (*forward)(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                    struct csl_view y);
    /* grad_in: [rows, in] from grad_out: [rows, out] */
    void (*grad_input)(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                       struct csl_view grad_out, struct csl_view grad_in);
    /* gradient = beta * gradient + sum_r scale_r * d loss_r / d parameters. scale: f32 [rows] or
     * none (all 1); with a scale, grad_out is overwritten by scale_r * grad_out_r. NULL: the layer
     * has no parameters. */
    void (*grad_params)(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                        struct csl_view grad_out, struct csl_view scale, float beta);
};

struct csl_layer {
    const struct csl_layer_ops *ops;
    uint64_t in, out; /* width of a row */
    uint64_t weight;  /* linear: first element of weight [out, in] in the flat vector */
    uint64_t bias;    /* linear: first element of bias [out]; only with has_bias */
    bool has_bias;
};

extern const struct csl_layer_ops csl_layer_linear; /* y = x W^T + b */
extern const struct csl_layer_ops csl_layer_relu;

#endif
