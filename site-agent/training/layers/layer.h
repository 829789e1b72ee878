/* site-agent/training/layers/layer.h - one layer of a model: a function of a [rows, in] activation
 * and of a range of the parameter vector. layers.h has the list of them.
 *
 * The backward pass is three operations, because private training runs them apart ("book-keeping",
 * Bu et al. 2023): grad_input walks the whole model once and leaves every layer's grad_out in the
 * arena; norms then adds up what each patient's gradient measures, without forming it where that is
 * cheaper; only then are the per-row factors known with which grad_params forms the sums. Layers
 * hold no memory and no state: what forward leaves for the way back lies in the pass's `saved`. */
#ifndef CSL_LAYER_H
#define CSL_LAYER_H
#include "site-agent/training/compute/compute.h"

/* Where a layer computes, and what of the batch it sees beside its input. The second half belongs
 * to the layer at hand: the caller sets what that layer asks for before each call, the same in all
 * calls of one step. */
struct csl_pass {
    const struct csl_compute_ops *ops;
    struct csl_dev *dev;
    struct csl_cbuf *weights;  /* f32 [P], the flat vector of the study's schema */
    struct csl_cbuf *gradient; /* f32 [P], the same layout */
    uint64_t rows;             /* records in the batch */

    struct csl_view saved; /* f32 [rows, l->saved]; none when l->saved is 0 */
    struct csl_view mask;  /* attention, mean: u8 [rows, positions], fusion: u8 [rows, modalities];
                            * 1 present; none: all present */
    struct csl_view offsets; /* embedding bag: u32 [rows * positions + 1] into the ids */
    bool is_training;        /* else dropout lets everything through */
    uint64_t seed;           /* dropout: of (run, site, round, step); the layer adds its stream */
    struct csl_view row_ids; /* dropout: u32 [rows], see struct csl_dropout */
};

struct csl_layer;
struct csl_layer_ops {
    const char *name;
    /* y: [rows, out] from x: [rows, in]; y is not x */
    void (*forward)(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                    struct csl_view y);
    /* grad_in: [rows, in] from grad_out: [rows, out]. NULL: the input is ids, the layer is the
     * first of its model. */
    void (*grad_input)(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                       struct csl_view grad_out, struct csl_view grad_in);
    /* gradient = beta * gradient + sum_r scale_r * d loss_r / d parameters. scale: f32 [rows] or
     * none (all 1); with a scale, grad_out is overwritten by scale_r * grad_out_r. NULL: the layer
     * has no parameters, or is frozen: its range of the gradient is left as it was. */
    void (*grad_params)(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                        struct csl_view grad_out, struct csl_view scale, float beta);
    /* norms: f64 [units]; norms[u] += |sum over the unit's rows of d loss_r / d parameters|^2. Of
     * grad_out as grad_input left it, before any scale. NULL exactly when grad_params is.
     *
     * In float32 a norm is right to about 1e-6 of sum_ij |x_i||x_j||g_i||g_j|, which cancels in the
     * sum of positions that contradict each other: whoever clips by it must not take it for a
     * bound. */
    void (*norms)(const struct csl_layer *l, const struct csl_pass *p, struct csl_view x,
                  struct csl_view grad_out, const struct csl_units *u, struct csl_view norms);
    const struct csl_layer_ops *frozen; /* the same without gradient; NULL: nothing to freeze */
};

/* LoRA (Hu et al. 2022): y += scale * (x A^T) B^T. */
struct csl_lora {
    uint64_t rank;
    uint64_t down, up; /* first elements of A [rank, in] and B [out, rank] */
    double scale;      /* alpha / rank */
};

struct csl_layer {
    const struct csl_layer_ops *ops;
    uint64_t in, out; /* width of a row */
    uint64_t weight;  /* first element of the weights in the flat vector */
    uint64_t bias;    /* first element of the bias; only with has_bias */
    bool has_bias;
    uint64_t positions; /* a row is [positions, in / positions]; 0 counts as 1 */
    uint64_t saved;     /* floats per row that forward leaves for the way back */
    uint64_t outputs;   /* conv: channels of y */
    union {             /* shapes; `rows` is the pass's */
        struct csl_window window;
        struct csl_norm norm;
        struct csl_bag bag;
        struct csl_attention attention;
        struct csl_mean mean;
        struct csl_fusion fusion;
        struct csl_dropout dropout;
        struct csl_lora lora;
    } as;
};

/* The pass of rows [at, at + rows) alone, as when one patient's gradient is formed. The caller cuts
 * x (but not the ids of a bag, which offsets point into) and grad_out himself. */
static inline struct csl_pass csl_pass_part(const struct csl_pass *p, const struct csl_layer *l,
                                            uint64_t at, uint64_t rows)
{
    struct csl_pass part = *p;
    uint64_t positions = l->positions == 0 ? 1 : l->positions;
    part.rows = rows;
    part.saved.first += at * l->saved;
    part.saved.count = rows * l->saved;
    part.mask.first += at * positions;
    part.mask.count = rows * positions;
    part.offsets.first += at * positions;
    part.offsets.count = rows * positions + 1;
    part.row_ids.first += at;
    part.row_ids.count = rows;
    return part;
}

extern const struct csl_layer_ops csl_layer_linear; /* y = x W^T + b */
extern const struct csl_layer_ops csl_layer_relu;

#endif
