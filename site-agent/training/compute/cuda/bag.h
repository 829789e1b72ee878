/* site-agent/training/compute/cuda/bag.h - embeddings. Gradients gather: ids are sorted by bucket
 * and place, so that the ids of one bucket stand together in the order in which they came, and
 * those of one unit inside it. */
#ifndef CSL_CUDA_BAG_H
#define CSL_CUDA_BAG_H
#include "site-agent/training/compute/cuda/reduce.h"

#define NO_KEY UINT64_MAX

struct bag_at {
    struct csl_bag bag;
    const uint32_t *ids, *offsets;
    uint64_t rows, id_max; /* rows times positions; ids there is room for */
};

DEVICE uint64_t csl_bucket(const struct csl_bag *b, uint32_t id)
{
    return b->is_hashed ? (uint64_t)id * b->buckets >> 32 : id;
}
DEVICE uint64_t csl_bag_from(const struct bag_at *at, uint64_t row)
{
    return at->offsets != NULL ? at->offsets[row] : row;
}
/* How many ids of a row stand for a row of the table; what a mean divides by. */
DEVICE uint64_t csl_bag_count(const struct bag_at *at, uint64_t row)
{
    uint64_t count = 0, end = csl_bag_from(at, row + 1);
    for (uint64_t i = csl_bag_from(at, row); i < end; i++)
        count += csl_bucket(&at->bag, at->ids[i]) < at->bag.buckets ? 1 : 0;
    return count;
}
/* The last of `count` ascending bounds that is not above `value`. */
DEVICE uint64_t csl_last_bound(const uint32_t *bounds, uint64_t count, uint64_t value)
{
    uint64_t low = 0, high = count;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (bounds[middle] <= value)
            low = middle;
        else
            high = middle;
    }
    return low;
}
DEVICE uint64_t csl_bag_row(const struct bag_at *at, uint64_t i)
{
    return at->offsets != NULL ? csl_last_bound(at->offsets, at->rows, i) : i;
}

KERNEL void k_bag_forward(struct bag_at at, const float *table, float *y)
{
    uint64_t dim = at.bag.dim;
    ELEMENTS (i, at.rows * dim) {
        uint64_t row = i / dim, count = csl_bag_count(&at, row), end = csl_bag_from(&at, row + 1);
        double sum = 0;
        for (uint64_t j = csl_bag_from(&at, row); j < end; j++) {
            uint64_t bucket = csl_bucket(&at.bag, at.ids[j]);
            sum += bucket < at.bag.buckets ? (double)table[bucket * dim + i % dim] : 0;
        }
        y[i] = (float)(at.bag.is_mean && count > 0 ? sum / (double)count : sum);
    }
}

static struct bag_at bag_at(const struct csl_bag *b, struct csl_view ids, struct csl_view offsets)
{
    struct bag_at at;
    at.bag = *b;
    at.rows = b->rows * b->positions;
    at.offsets = csl_u32_or_none(offsets, at.rows + 1);
    at.id_max = at.offsets != NULL ? ids.count : at.rows; /* the true number is on the device */
    at.ids = csl_u32(ids, at.id_max);
    return at;
}

static void op_bag_forward(struct csl_dev *d, const struct csl_bag *b, struct csl_view ids,
                           struct csl_view offsets, struct csl_view table, struct csl_view y)
{
    struct bag_at at = bag_at(b, ids, offsets);
    csl_dev_begin(d, "bag_forward");
    LAUNCH(d, csl_blocks(at.rows * b->dim), k_bag_forward, at, csl_f32(table, b->buckets * b->dim),
           csl_f32(y, at.rows * b->dim));
}

/* keys: bucket and place of each id that stands for something, the rest above them all */
KERNEL void k_bag_keys(struct bag_at at, uint64_t n, uint64_t *keys)
{
    uint64_t from = csl_bag_from(&at, 0), end = csl_bag_from(&at, at.rows);
    ELEMENTS (i, n) {
        bool is_used = i >= from && i < end && i < at.id_max;
        uint64_t bucket = is_used ? csl_bucket(&at.bag, at.ids[i]) : at.bag.buckets;
        keys[i] = bucket < at.bag.buckets ? bucket << 32 | i : NO_KEY;
    }
}

/* One pass of a bitonic sort (Batcher 1968): pairs `step` apart in runs of `run`; n a power of 2.
 */
KERNEL void k_sort_pass(uint64_t pairs, uint64_t run, uint64_t step, uint64_t *keys)
{
    ELEMENTS (i, pairs) {
        uint64_t low = i / step * 2 * step + i % step, high = low + step;
        uint64_t a = keys[low], b = keys[high];
        bool is_rising = (low & run) == 0, is_wrong = is_rising ? a > b : a < b;
        keys[low] = is_wrong ? b : a;
        keys[high] = is_wrong ? a : b;
    }
}

/* The ids sorted; *n: how many keys. NULL: no memory, or there are none. */
static uint64_t *sorted_keys(struct csl_dev *d, const struct bag_at *at, uint64_t *n)
{
    *n = 1;
    while (*n < at->id_max)
        *n *= 2;
    ASSERT(at->id_max <= UINT32_MAX && at->bag.buckets <= UINT32_MAX);
    uint64_t *keys =
        at->rows > 0 ? (uint64_t *)csl_room(d, CSL_SLOT_A, *n * sizeof(uint64_t)) : NULL;
    if (keys == NULL)
        return NULL;
    LAUNCH(d, csl_blocks(*n), k_bag_keys, *at, *n, keys);
    for (uint64_t run = 2; run <= *n; run *= 2)
        for (uint64_t step = run / 2; step > 0; step /= 2)
            LAUNCH(d, csl_blocks(*n / 2), k_sort_pass, *n / 2, run, step, keys);
    return keys;
}

KERNEL void k_scale_values(uint64_t n, float beta, float *x)
{
    ELEMENTS (i, n)
        x[i] = beta == 0.0f ? 0.0f : beta * x[i];
}

/* A block for each key; the first of its bucket adds what all of them bring, in their order. */
KERNEL void k_bag_grad(struct bag_at at, uint64_t n, const uint64_t *keys, const float *g,
                       float *grad)
{
    uint64_t bucket = keys[BLOCK] >> 32, dim = at.bag.dim;
    bool is_first = keys[BLOCK] != NO_KEY && (BLOCK == 0 || keys[BLOCK - 1] >> 32 != bucket);
    PHASE (t) {
        for (uint64_t c = t; is_first && c < dim; c += CSL_THREADS) {
            float sum = grad[bucket * dim + c];
            for (uint64_t k = BLOCK; k < n && keys[k] >> 32 == bucket && keys[k] != NO_KEY; k++) {
                uint64_t row = csl_bag_row(&at, keys[k] & UINT32_MAX);
                float share = at.bag.is_mean ? 1.0f / (float)csl_bag_count(&at, row) : 1.0f;
                sum += share * g[row * dim + c];
            }
            grad[bucket * dim + c] = sum;
        }
    }
}

static void op_bag_grad(struct csl_dev *d, const struct csl_bag *b, struct csl_view ids,
                        struct csl_view offsets, struct csl_view grad_out, float beta,
                        struct csl_view grad_table)
{
    struct bag_at at = bag_at(b, ids, offsets);
    uint64_t n, values = b->buckets * b->dim;
    const float *pg = csl_f32(grad_out, at.rows * b->dim);
    float *to = csl_f32(grad_table, values);
    csl_dev_begin(d, "bag_grad");
    LAUNCH(d, csl_blocks(values), k_scale_values, values, beta, to);
    const uint64_t *keys = sorted_keys(d, &at, &n);
    if (keys != NULL)
        LAUNCH(d, at.id_max, k_bag_grad, at, n, keys, pg, to);
}

/* As k_bag_grad for each bucket and unit; the square of its length at the place of its first id. */
KERNEL void k_bag_squares(struct bag_at at, uint64_t n, const uint64_t *keys, const uint32_t *first,
                          uint64_t units, const float *g, double *squares)
{
    SHARED(double, part, CSL_THREADS);
    uint64_t dim = at.bag.dim, key = keys[BLOCK], bucket = key >> 32;
    bool is_used = key != NO_KEY;
    uint64_t row = is_used ? csl_bag_row(&at, key & UINT32_MAX) : 0;
    uint64_t unit = csl_last_bound(first, units + 1, row / at.bag.positions);
    uint64_t end = unit < units ? csl_bag_from(&at, first[unit + 1] * at.bag.positions) : 0;
    uint64_t start = unit < units ? csl_bag_from(&at, first[unit] * at.bag.positions) : 0;
    bool has_before = BLOCK > 0 && keys[BLOCK - 1] >> 32 == bucket;
    bool is_first = is_used && (!has_before || (keys[BLOCK - 1] & UINT32_MAX) < start);
    PHASE (t) {
        double total = 0;
        for (uint64_t c = t; is_first && c < dim; c += CSL_THREADS) {
            double sum = 0;
            for (uint64_t k = BLOCK; k < n && keys[k] >> 32 == bucket; k++) {
                if (keys[k] == NO_KEY || (keys[k] & UINT32_MAX) >= end)
                    break;
                uint64_t r = csl_bag_row(&at, keys[k] & UINT32_MAX);
                double share = at.bag.is_mean ? 1 / (double)csl_bag_count(&at, r) : 1;
                sum += share * (double)g[r * dim + c];
            }
            total += sum * sum;
        }
        part[t] = total;
    }
    double all = csl_block_sum(part);
    PHASE (t) {
        if (t == 0 && is_used)
            squares[key & UINT32_MAX] = all;
    }
}

/* norms[u] += the squares at the unit's ids; a block each */
KERNEL void k_bag_norms(struct bag_at at, const uint32_t *first, const double *squares,
                        double *norms)
{
    SHARED(double, part, CSL_THREADS);
    uint64_t end = csl_bag_from(&at, first[BLOCK + 1] * at.bag.positions);
    PHASE (t) {
        double sum = 0;
        uint64_t from = csl_bag_from(&at, first[BLOCK] * at.bag.positions);
        for (uint64_t i = from + t; i < end; i += CSL_THREADS)
            sum += squares[i];
        part[t] = sum;
    }
    double total = csl_block_sum(part);
    PHASE (t) {
        if (t == 0)
            norms[BLOCK] += total;
    }
}

static void op_bag_norms(struct csl_dev *d, const struct csl_bag *b, const struct csl_units *u,
                         struct csl_view ids, struct csl_view offsets, struct csl_view grad_out,
                         struct csl_view norms)
{
    struct bag_at at = bag_at(b, ids, offsets);
    uint64_t n;
    const float *pg = csl_f32(grad_out, at.rows * b->dim);
    double *to = csl_f64(norms, u->count);
    csl_dev_begin(d, "bag_norms");
    const uint32_t *first = csl_units_on_device(d, u);
    const uint64_t *keys = sorted_keys(d, &at, &n);
    double *squares = csl_room_f64(d, CSL_SLOT_B, at.id_max);
    if (first == NULL || keys == NULL || squares == NULL)
        return;
    csl_run_zero(d, squares, at.id_max * sizeof(double));
    LAUNCH(d, at.id_max, k_bag_squares, at, n, keys, first, u->count, pg, squares);
    LAUNCH(d, u->count, k_bag_norms, at, first, squares, to);
}

#endif
