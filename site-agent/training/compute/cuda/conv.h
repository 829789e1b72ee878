/* site-agent/training/compute/cuda/conv.h - convolutions as products with the unfolded input, in
 * pieces of output positions that fit the work area. */
#ifndef CSL_CUDA_CONV_H
#define CSL_CUDA_CONV_H
#include "site-agent/training/compute/cuda/unit_norms.h"
#include "site-agent/training/compute/cuda/window.h"

/* columns: [count, taps, channels], the inputs under the windows at output positions first...; a
 * position counts through the rows. */
KERNEL void k_unfold(struct window32 w, const float *x, uint64_t first, uint64_t count,
                     float *columns)
{
    uint32_t wide = w.taps * w.channels;
    ELEMENTS (i, count * wide) {
        uint64_t position = first + i / wide;
        uint32_t item = (uint32_t)(i % wide), source;
        const float *row = x + position / w.positions_out * w.positions_in * w.channels;
        bool is_inside =
            csl_input_of(&w, (uint32_t)(position % w.positions_out), item / w.channels, &source);
        columns[i] = is_inside ? row[(uint64_t)source * w.channels + item % w.channels] : 0.0f;
    }
}

/* Adds what the columns of positions first..first + count hold of each input of the rows. */
KERNEL void k_fold(struct window32 w, const float *columns, uint64_t first, uint64_t count,
                   uint64_t row, uint64_t values, float *grad_in)
{
    uint32_t each = w.positions_in * w.channels;
    ELEMENTS (i, values) {
        uint64_t r = row + i / each;
        uint32_t item = (uint32_t)(i % each), position;
        double sum = (double)grad_in[row * each + i];
        for (uint32_t tap = 0; tap < w.taps; tap++) {
            bool is_there = csl_output_of(&w, item / w.channels, tap, &position);
            uint64_t at = r * w.positions_out + position;
            if (is_there && at >= first && at - first < count)
                sum +=
                    (double)columns[((at - first) * w.taps + tap) * w.channels + item % w.channels];
        }
        grad_in[row * each + i] = (float)sum;
    }
}

/* A window of one position is a linear layer: the input is its own unfolding. */
static bool is_linear(const struct window32 *w)
{
    bool is_same = w->taps == 1;
    for (unsigned i = 0; i < 3; i++)
        is_same = is_same && w->stride[i] == 1 && w->pad[i] == 0;
    return is_same;
}

struct conv {
    struct window32 w;
    uint64_t wide, positions, at_once; /* columns; output positions of all rows, and of a piece */
};

static struct conv conv_of(const struct csl_conv *c)
{
    struct conv v;
    v.w = csl_window32(c->window);
    v.wide = (uint64_t)v.w.taps * v.w.channels;
    v.positions = c->rows * v.w.positions_out;
    v.at_once = CSL_CHUNK_BYTES / (v.wide * sizeof(float)) + 1;
    if (is_linear(&v.w) || v.at_once > v.positions)
        v.at_once = v.positions > 0 ? v.positions : 1;
    return v;
}

/* The columns of `count` positions; NULL: no memory. */
static const float *unfold(struct csl_dev *d, const struct conv *v, const float *x, uint64_t first,
                           uint64_t count)
{
    if (is_linear(&v->w))
        return x + first * v->wide;
    float *columns = csl_room_f32(d, CSL_SLOT_COLUMNS, v->at_once * v->wide);
    if (columns != NULL)
        LAUNCH(d, csl_blocks(count * v->wide), k_unfold, v->w, x, first, count, columns);
    return columns;
}

KERNEL void k_spread(uint64_t n, uint64_t cols, const float *bias, float *y)
{
    ELEMENTS (i, n)
        y[i] = bias[i % cols];
}

static void op_conv_forward(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                            struct csl_view w, struct csl_view bias, struct csl_view y)
{
    struct conv v = conv_of(c);
    const float *px = csl_f32(x, c->rows * v.w.positions_in * v.w.channels);
    const float *pw = csl_f32(w, c->outputs * v.wide), *pb = csl_f32_or_none(bias, c->outputs);
    float *py = csl_f32(y, v.positions * c->outputs);
    csl_dev_begin(d, "conv_forward");
    if (pb != NULL)
        LAUNCH(d, csl_blocks(v.positions * c->outputs), k_spread, v.positions * c->outputs,
               c->outputs, pb, py);
    for (uint64_t at = 0; at < v.positions; at += v.at_once) {
        uint64_t count = v.positions - at < v.at_once ? v.positions - at : v.at_once;
        const float *columns = unfold(d, &v, px, at, count);
        struct csl_gemm g = {count, c->outputs, v.wide, false, true, 1, pb != NULL ? 1.0f : 0.0f};
        if (columns == NULL)
            return;
        csl_multiply_dense(d, &g, columns, pw, py + at * c->outputs);
    }
}

static void op_conv_grad_input(struct csl_dev *d, const struct csl_conv *c, struct csl_view w,
                               struct csl_view grad_out, struct csl_view grad_in)
{
    struct conv v = conv_of(c);
    uint64_t each = (uint64_t)v.w.positions_in * v.w.channels, values = c->rows * each;
    const float *pw = csl_f32(w, c->outputs * v.wide);
    const float *pg = csl_f32(grad_out, v.positions * c->outputs);
    float *to = csl_f32(grad_in, values);
    csl_dev_begin(d, "conv_grad_input");
    if (!is_linear(&v.w))
        csl_run_zero(d, to, values * sizeof(float));
    for (uint64_t at = 0; at < v.positions; at += v.at_once) {
        uint64_t count = v.positions - at < v.at_once ? v.positions - at : v.at_once;
        uint64_t row = at / v.w.positions_out;
        uint64_t rows = (at + count - 1) / v.w.positions_out + 1 - row;
        struct csl_gemm g = {count, v.wide, c->outputs, false, false, 1, 0};
        float *columns =
            is_linear(&v.w) ? to : csl_room_f32(d, CSL_SLOT_COLUMNS, v.at_once * v.wide);
        if (columns == NULL)
            return;
        csl_multiply_dense(d, &g, pg + at * c->outputs, pw, columns);
        if (columns != to)
            LAUNCH(d, csl_blocks(rows * each), k_fold, v.w, columns, at, count, row, rows * each,
                   to);
    }
}

/* grad_w = beta grad_w + the sum over `count` positions from `first` on */
static void weight_gradient(struct csl_dev *d, const struct conv *v, uint64_t outputs,
                            const float *x, const float *g, uint64_t first, uint64_t count,
                            float beta, float *grad_w)
{
    struct csl_gemm none = {outputs, v->wide, 0, true, false, 1, beta};
    if (count == 0)
        csl_multiply_dense(d, &none, g, x, grad_w);
    for (uint64_t at = first; at < first + count; at += v->at_once) {
        uint64_t left = first + count - at, n = left < v->at_once ? left : v->at_once;
        const float *columns = unfold(d, v, x, at, n);
        struct csl_gemm p = {outputs, v->wide, n, true, false, 1, at == first ? beta : 1.0f};
        if (columns == NULL)
            return;
        csl_multiply_dense(d, &p, g + at * outputs, columns, grad_w);
    }
}

static void op_conv_grad_weight(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                                struct csl_view grad_out, float beta, struct csl_view grad_w)
{
    struct conv v = conv_of(c);
    const float *px = csl_f32(x, c->rows * v.w.positions_in * v.w.channels);
    const float *pg = csl_f32(grad_out, v.positions * c->outputs);
    float *to = csl_f32(grad_w, c->outputs * v.wide);
    csl_dev_begin(d, "conv_grad_weight");
    weight_gradient(d, &v, c->outputs, px, pg, 0, v.positions, beta, to);
}

static void op_conv_norms(struct csl_dev *d, const struct csl_conv *c, bool has_bias,
                          const struct csl_units *u, struct csl_view x, struct csl_view grad_out,
                          struct csl_view norms)
{
    struct conv v = conv_of(c);
    const float *px = csl_f32(x, c->rows * v.w.positions_in * v.w.channels);
    const float *pg = csl_f32(grad_out, v.positions * c->outputs);
    double *to = csl_f64(norms, u->count);
    struct csl_linear l = {v.w.positions_out, v.wide, c->outputs, has_bias};
    csl_dev_begin(d, "conv_norms");
    for (uint64_t n = 0, equal; n < u->count; n += equal) {
        uint64_t first = u->first[n] * l.positions;
        uint64_t each = (u->first[n + 1] - u->first[n]) * l.positions;
        const float *g = pg + first * c->outputs;
        equal = csl_equal_units(u, n);
        if (each == 0)
            continue;
        if (each <= v.at_once) {
            equal = equal * each <= v.at_once ? equal : v.at_once / each;
            const float *columns = unfold(d, &v, px, first, equal * each);
            if (columns == NULL)
                return;
            csl_norms_of_equal(d, &l, equal, each, columns, g, to + n);
            continue;
        }
        equal = 1; /* its columns do not fit at once: its gradient, piece by piece */
        float *gradient = csl_room_f32(d, CSL_SLOT_A, c->outputs * v.wide);
        if (gradient == NULL)
            return;
        weight_gradient(d, &v, c->outputs, px, pg, first, each, 0, gradient);
        csl_add_dots(d, 1, c->outputs * v.wide, gradient, gradient, to + n);
        if (has_bias)
            LAUNCH(d, 1, k_norms_of_bias, g, each, c->outputs, to + n);
    }
}

#endif
