/* Embeddings and dropout, for both CPU backends. */
#include "site-agent/training/compute/cpu.h"
#include "site-agent/training/compute/philox.h"

#include <string.h>

/* The ids of one row of a bag: all of its places in the list of ids. */
static void bag_range(const uint32_t *offsets, uint64_t row, uint64_t *from, uint64_t *to)
{
    *from = offsets != NULL ? offsets[row] : row;
    *to = offsets != NULL ? offsets[row + 1] : row + 1;
}

/* How many of ids [from, to) stand for a row of the table; what a mean divides by. */
static uint64_t bag_count(const struct csl_bag *b, const uint32_t *ids, uint64_t from, uint64_t to)
{
    uint64_t count = 0;
    for (uint64_t i = from; i < to; i++)
        count += csl_cpu__bucket(b, ids[i]) < b->buckets ? 1 : 0;
    return count;
}

static const uint32_t *offsets_of(const struct csl_bag *b, struct csl_view offsets)
{
    return offsets.buf != NULL ? csl_cpu__u32(offsets, b->rows * b->positions + 1) : NULL;
}

static const uint32_t *ids_of(const struct csl_bag *b, struct csl_view ids, const uint32_t *offsets)
{
    uint64_t last = b->rows * b->positions;
    return csl_cpu__u32(ids, offsets != NULL ? offsets[last] : last);
}

void csl_cpu__bag_forward(struct csl_dev *d, const struct csl_bag *b, struct csl_view ids,
                          struct csl_view offsets, struct csl_view table, struct csl_view y)
{
    (void)d;
    const uint32_t *po = offsets_of(b, offsets), *pi = ids_of(b, ids, po);
    const float *pt = csl_cpu__f32(table, b->buckets * b->dim);
    float *py = csl_cpu__f32(y, b->rows * b->positions * b->dim);
    for (uint64_t r = 0; r < b->rows * b->positions; r++) {
        uint64_t from, to;
        bag_range(po, r, &from, &to);
        uint64_t count = bag_count(b, pi, from, to);
        for (uint64_t c = 0; c < b->dim; c++) {
            double sum = 0;
            for (uint64_t i = from; i < to; i++) {
                uint64_t bucket = csl_cpu__bucket(b, pi[i]);
                sum += bucket < b->buckets ? (double)pt[bucket * b->dim + c] : 0;
            }
            py[r * b->dim + c] = (float)(b->is_mean && count > 0 ? sum / (double)count : sum);
        }
    }
}

void csl_cpu__bag_grad(struct csl_dev *d, const struct csl_bag *b, struct csl_view ids,
                       struct csl_view offsets, struct csl_view grad_out, float beta,
                       struct csl_view grad_table)
{
    (void)d;
    const uint32_t *po = offsets_of(b, offsets), *pi = ids_of(b, ids, po);
    const float *pg = csl_cpu__f32(grad_out, b->rows * b->positions * b->dim);
    uint64_t size = b->buckets * b->dim;
    float *to_table = csl_cpu__f32(grad_table, size);
    for (uint64_t i = 0; i < size; i++)
        to_table[i] = beta == 0.0f ? 0.0f : beta * to_table[i];
    for (uint64_t r = 0; r < b->rows * b->positions; r++) {
        uint64_t from, to;
        bag_range(po, r, &from, &to);
        float share = b->is_mean ? 1.0f / (float)bag_count(b, pi, from, to) : 1.0f;
        for (uint64_t i = from; i < to; i++) {
            uint64_t bucket = csl_cpu__bucket(b, pi[i]);
            for (uint64_t c = 0; bucket < b->buckets && c < b->dim; c++)
                to_table[bucket * b->dim + c] += share * pg[r * b->dim + c];
        }
    }
}

/* One unit: the first id of each bucket collects the gradient of all of them. */
static double unit_norm(const struct csl_bag *b, const uint32_t *ids, const uint32_t *offsets,
                        const float *g, uint64_t first, uint64_t last)
{
    double total = 0;
    uint64_t from, end, unused;
    if (first == last)
        return 0;
    bag_range(offsets, first, &from, &unused);
    bag_range(offsets, last - 1, &unused, &end);
    for (uint64_t i = from; i < end; i++) {
        uint64_t bucket = csl_cpu__bucket(b, ids[i]);
        bool is_first = bucket < b->buckets;
        for (uint64_t j = from; is_first && j < i; j++)
            is_first = csl_cpu__bucket(b, ids[j]) != bucket;
        for (uint64_t c = 0; is_first && c < b->dim; c++) {
            double sum = 0;
            for (uint64_t r = first; r < last; r++) {
                uint64_t at, to;
                bag_range(offsets, r, &at, &to);
                uint64_t hits = 0;
                for (uint64_t j = at; j < to; j++)
                    hits += csl_cpu__bucket(b, ids[j]) == bucket ? 1 : 0;
                if (hits == 0)
                    continue;
                double share =
                    b->is_mean ? (double)hits / (double)bag_count(b, ids, at, to) : (double)hits;
                sum += share * (double)g[r * b->dim + c];
            }
            total += sum * sum;
        }
    }
    return total;
}

void csl_cpu__bag_norms(struct csl_dev *d, const struct csl_bag *b, const struct csl_units *u,
                        struct csl_view ids, struct csl_view offsets, struct csl_view grad_out,
                        struct csl_view norms)
{
    (void)d;
    const uint32_t *po = offsets_of(b, offsets), *pi = ids_of(b, ids, po);
    const float *pg = csl_cpu__f32(grad_out, b->rows * b->positions * b->dim);
    double *to = csl_cpu__f64(norms, u->count);
    for (uint64_t n = 0; n < u->count; n++)
        to[n] +=
            unit_norm(b, pi, po, pg, u->first[n] * b->positions, u->first[n + 1] * b->positions);
}

/* Keep (row, col)? A number below rate * 2^32 drops it. */
static uint64_t threshold_of(const struct csl_dropout *o)
{
    CSL_ASSERT(o->rate >= 0 && o->rate < 1);
    return (uint64_t)(o->rate * 0x1p32);
}

static void draw(const struct csl_dropout *o, uint32_t row, uint64_t block, uint32_t out[4])
{
    const uint32_t counter[4] = {(uint32_t)block, row, o->stream, (uint32_t)(block >> 32)};
    csl_philox(counter, o->seed, out);
}

/* Blocks of four values of one row; y may be x. */
CSL_CLONES static void drop_blocks(const struct csl_dropout *o, uint32_t row, uint64_t blocks,
                                   const float *x, float *y)
{
    const uint32_t threshold = (uint32_t)threshold_of(o), stream = o->stream;
    const uint64_t seed = o->seed;
    const float up = (float)(1 / (1 - o->rate));
    CSL_IVDEP
    for (uint64_t b = 0; b < blocks; b++) {
        const uint32_t counter[4] = {(uint32_t)b, row, stream, (uint32_t)(b >> 32)};
        uint32_t word[4];
        csl_philox(counter, seed, word);
        const float kept[4] = {up * x[4 * b], up * x[4 * b + 1], up * x[4 * b + 2],
                               up * x[4 * b + 3]}; /* read first: no branch */
        y[4 * b] = word[0] < threshold ? 0.0f : kept[0];
        y[4 * b + 1] = word[1] < threshold ? 0.0f : kept[1];
        y[4 * b + 2] = word[2] < threshold ? 0.0f : kept[2];
        y[4 * b + 3] = word[3] < threshold ? 0.0f : kept[3];
    }
}

void csl_cpu__dropout(struct csl_dev *d, const struct csl_dropout *o, struct csl_view x,
                      struct csl_view y)
{
    (void)d;
    const float *px = csl_cpu__f32(x, o->rows * o->cols);
    const uint32_t *row_ids = o->row_ids.buf != NULL ? csl_cpu__u32(o->row_ids, o->rows) : NULL;
    float *py = csl_cpu__f32(y, o->rows * o->cols);
    float up = (float)(1 / (1 - o->rate));
    for (uint64_t r = 0; r < o->rows; r++, px += o->cols, py += o->cols) {
        uint32_t row = row_ids != NULL ? row_ids[r] : (uint32_t)r, word[4];
        drop_blocks(o, row, o->cols / 4, px, py);
        draw(o, row, o->cols / 4, word);
        for (uint64_t c = o->cols / 4 * 4; c < o->cols; c++)
            py[c] = word[c % 4] < threshold_of(o) ? 0.0f : up * px[c];
    }
}

void csl_cpu__drop_modalities(struct csl_dev *d, const struct csl_dropout *o, struct csl_view x,
                              struct csl_view y)
{
    (void)d;
    const uint8_t *px = csl_cpu__u8(x, o->rows * o->cols);
    const uint32_t *row_ids = o->row_ids.buf != NULL ? csl_cpu__u32(o->row_ids, o->rows) : NULL;
    uint8_t *py = csl_cpu__u8(y, o->rows * o->cols);
    uint64_t threshold = threshold_of(o);
    for (uint64_t r = 0; r < o->rows; r++) {
        uint32_t row = row_ids != NULL ? row_ids[r] : (uint32_t)r, word[4];
        uint64_t kept = 0;
        for (uint64_t c = 0; c < o->cols; c++) {
            draw(o, row, c / 4, word);
            kept += px[r * o->cols + c] != 0 && word[c % 4] >= threshold ? 1 : 0;
        }
        for (uint64_t c = 0; c < o->cols; c++) {
            uint8_t present = px[r * o->cols + c] != 0 ? 1 : 0;
            draw(o, row, c / 4, word);
            py[r * o->cols + c] = kept > 0 && word[c % 4] < threshold ? 0 : present;
        }
    }
}

void csl_cpu__copy_cols(struct csl_dev *d, uint64_t rows, uint64_t cols, struct csl_view from,
                        uint64_t from_stride, struct csl_view to, uint64_t to_stride)
{
    (void)d;
    if (rows == 0)
        return;
    const float *in = csl_cpu__f32(from, (rows - 1) * from_stride + cols);
    float *out = csl_cpu__f32(to, (rows - 1) * to_stride + cols);
    for (uint64_t r = 0; r < rows; r++)
        memmove(out + r * to_stride, in + r * from_stride, (size_t)cols * sizeof(float));
}
