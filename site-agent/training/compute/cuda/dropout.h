/* site-agent/training/compute/cuda/dropout.h - dropout by counter. */
#ifndef CSL_CUDA_DROPOUT_H
#define CSL_CUDA_DROPOUT_H
#include "site-agent/training/compute/cuda/device.h"
#include "site-agent/training/compute/philox.h"

struct drop {
    uint64_t rows, cols, seed;
    uint32_t stream, threshold; /* a number below it drops */
    const uint32_t *row_ids;
};

static struct drop drop_of(const struct csl_dropout *o)
{
    struct drop v;
    ASSERT(o->rate >= 0 && o->rate < 1);
    v.rows = o->rows;
    v.cols = o->cols;
    v.seed = o->seed;
    v.stream = o->stream;
    v.threshold = (uint32_t)(o->rate * 4294967296.0);
    v.row_ids = csl_u32_or_none(o->row_ids, o->rows);
    return v;
}

/* Four numbers for columns 4 block ... 4 block + 3 of a row. */
DEVICE void csl_draw(const struct drop *o, uint64_t row, uint64_t block, uint32_t *word)
{
    uint32_t id = o->row_ids != NULL ? o->row_ids[row] : (uint32_t)row;
    const uint32_t counter[4] = {(uint32_t)block, id, o->stream, (uint32_t)(block >> 32)};
    csl_philox(counter, o->seed, word);
}

KERNEL void k_dropout(struct drop o, float up, const float *x, float *y)
{
    uint64_t blocks = (o.cols + 3) / 4;
    ELEMENTS (i, o.rows * blocks) {
        uint32_t word[4];
        uint64_t row = i / blocks, first = i % blocks * 4;
        csl_draw(&o, row, i % blocks, word);
        for (unsigned k = 0; k < 4; k++) {
            uint64_t at = row * o.cols + first + k;
            if (first + k < o.cols)
                y[at] = word[k] < o.threshold ? 0.0f : up * x[at];
        }
    }
}
static void op_dropout(struct csl_dev *d, const struct csl_dropout *o, struct csl_view x,
                       struct csl_view y)
{
    struct drop v = drop_of(o);
    uint64_t n = o->rows * o->cols;
    csl_dev_begin(d, "dropout");
    LAUNCH(d, csl_blocks(o->rows * ((o->cols + 3) / 4)), k_dropout, v, (float)(1 / (1 - o->rate)),
           csl_f32(x, n), csl_f32(y, n));
}

KERNEL void k_drop_modalities(struct drop o, const uint8_t *x, uint8_t *y)
{
    ELEMENTS (r, o.rows) {
        uint32_t word[4];
        uint64_t kept = 0;
        for (uint64_t c = 0; c < o.cols; c++) {
            csl_draw(&o, r, c / 4, word);
            kept += x[r * o.cols + c] != 0 && word[c % 4] >= o.threshold ? 1 : 0;
        }
        for (uint64_t c = 0; c < o.cols; c++) {
            csl_draw(&o, r, c / 4, word);
            bool is_there = x[r * o.cols + c] != 0;
            y[r * o.cols + c] =
                is_there && !(kept > 0 && word[c % 4] < o.threshold) ? (uint8_t)1 : (uint8_t)0;
        }
    }
}
static void op_drop_modalities(struct csl_dev *d, const struct csl_dropout *o, struct csl_view x,
                               struct csl_view y)
{
    struct drop v = drop_of(o);
    uint64_t n = o->rows * o->cols;
    csl_dev_begin(d, "drop_modalities");
    LAUNCH(d, csl_blocks(o->rows), k_drop_modalities, v, csl_u8(x, n), csl_u8(y, n));
}

#endif
