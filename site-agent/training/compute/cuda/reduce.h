/* site-agent/training/compute/cuda/reduce.h - sums in two steps: pieces of fixed size, then the
 * pieces in a fixed order. The answer depends on the length alone. */
#ifndef CSL_CUDA_REDUCE_H
#define CSL_CUDA_REDUCE_H
#include "site-agent/training/compute/cuda/device.h"

#define PIECE 4096u

static inline uint64_t csl_pieces(uint64_t n)
{
    return (n + PIECE - 1) / PIECE;
}

/* pieces[s, p] = the sum of a b over piece p of segment s of `length` elements; one block each */
KERNEL void k_dot_pieces(const float *a, const float *b, uint64_t length, uint64_t count,
                         double *pieces)
{
    SHARED(double, part, CSL_THREADS);
    uint64_t from = BLOCK % count * PIECE, end = from + PIECE < length ? from + PIECE : length;
    const float *x = a + BLOCK / count * length, *y = b + BLOCK / count * length;
    PHASE (t) {
        double sum = 0;
        for (uint64_t i = from + t; i < end; i += CSL_THREADS)
            sum += (double)x[i] * (double)y[i];
        part[t] = sum;
    }
    double total = csl_block_sum(part);
    PHASE (t) {
        if (t == 0)
            pieces[BLOCK] = total;
    }
}

/* out[s] = scale * the sum of pieces[s, ...], or added to out[s] when it is above 0; a block each
 */
KERNEL void k_sum_pieces(const double *pieces, uint64_t count, double scale, bool is_added,
                         double *out)
{
    SHARED(double, part, CSL_THREADS);
    PHASE (t) {
        double sum = 0;
        for (uint64_t i = t; i < count; i += CSL_THREADS)
            sum += pieces[BLOCK * count + i];
        part[t] = sum;
    }
    double total = scale * csl_block_sum(part);
    PHASE (t) {
        if (t == 0 && !is_added)
            out[BLOCK] = total;
        else if (t == 0 && !(total <= 0)) /* rounding may leave less than nothing; NaN stays */
            out[BLOCK] += total;
    }
}

/* out[s] += the sum of a b over segment s */
static void csl_add_dots(struct csl_dev *d, uint64_t segments, uint64_t length, const float *a,
                         const float *b, double *out)
{
    uint64_t count = csl_pieces(length);
    double *pieces = csl_room_f64(d, CSL_SLOT_C, segments * count);
    if (pieces == NULL)
        return;
    LAUNCH(d, segments * count, k_dot_pieces, a, b, length, count, pieces);
    LAUNCH(d, segments, k_sum_pieces, pieces, count, 1.0, true, out);
}

static void op_sumsq_f32(struct csl_dev *d, struct csl_view x, struct csl_view f64_out)
{
    uint64_t n = x.count, count = csl_pieces(n);
    const float *v = csl_f32(x, n);
    double *out = csl_f64(f64_out, 1);
    csl_dev_begin(d, "sumsq_f32");
    double *pieces = csl_room_f64(d, CSL_SLOT_C, count);
    if (pieces == NULL)
        return;
    LAUNCH(d, count, k_dot_pieces, v, v, n, count, pieces);
    LAUNCH(d, 1, k_sum_pieces, pieces, count, 1.0, false, out);
}

/* ---- sums over rows ---- */

/* Rows of one piece: about the square root of all, so that both steps are short. */
static inline uint64_t csl_piece_rows(uint64_t rows)
{
    uint64_t n = 32;
    while (n * n < rows)
        n *= 2;
    return n;
}

/* pieces[p, c] = the sum over the p-th piece of rows */
KERNEL void k_column_pieces(const float *x, uint64_t rows, uint64_t cols, uint64_t piece_rows,
                            uint64_t count, double *pieces)
{
    ELEMENTS (i, count * cols) {
        uint64_t from = i / cols * piece_rows;
        uint64_t end = from + piece_rows < rows ? from + piece_rows : rows;
        double sum = 0;
        for (uint64_t r = from; r < end; r++)
            sum += (double)x[r * cols + i % cols];
        pieces[i] = sum;
    }
}

/* out[c] = beta out[c] + the sum of pieces[..., c] */
KERNEL void k_column_sums(const double *pieces, uint64_t count, uint64_t cols, float beta,
                          float *out)
{
    ELEMENTS (c, cols) {
        double sum = beta == 0.0f ? 0.0 : (double)beta * (double)out[c];
        for (uint64_t p = 0; p < count; p++)
            sum += pieces[p * cols + c];
        out[c] = (float)sum;
    }
}

static void op_sum_rows(struct csl_dev *d, uint64_t rows, uint64_t cols, struct csl_view x,
                        float beta, struct csl_view sum)
{
    const float *v = csl_f32(x, rows * cols);
    float *out = csl_f32(sum, cols);
    uint64_t piece_rows = csl_piece_rows(rows), count = (rows + piece_rows - 1) / piece_rows;
    csl_dev_begin(d, "sum_rows");
    double *pieces = csl_room_f64(d, CSL_SLOT_C, count * cols);
    if (pieces == NULL)
        return;
    LAUNCH(d, csl_blocks(count * cols), k_column_pieces, v, rows, cols, piece_rows, count, pieces);
    LAUNCH(d, csl_blocks(cols), k_column_sums, pieces, count, cols, beta, out);
}

#endif
