/* tests/unit/training/layer_problem.h - one layer, its definition in double, and what must hold of
 * every layer: values, gradients by central differences, norms of units, clipped sums, frozen
 * twins, empty batches and equal bits. */
#ifndef CSL_TEST_LAYER_PROBLEM_H
#define CSL_TEST_LAYER_PROBLEM_H
#include "site-agent/training/layers/layers.h"

#include <stdbool.h>

#define PROBLEM_ROWS  6u
#define PROBLEM_WIDTH 160u /* of a row, in or out */
#define PROBLEM_W     320u /* parameters, with some in front and behind that belong to others */
#define PROBLEM_FRONT 3u   /* where the layer's own begin */

struct problem {
    struct csl_layer layer;
    uint32_t parameters; /* of the layer, from PROBLEM_FRONT on */
    /* The definition: y: [out] of one row, from p->x and p->w. */
    void (*reference)(const struct problem *p, uint32_t row, double *y);
    double x[PROBLEM_ROWS * PROBLEM_WIDTH], w[PROBLEM_W], up[PROBLEM_ROWS * PROBLEM_WIDTH];
    uint32_t ids[PROBLEM_ROWS * PROBLEM_WIDTH], offsets[PROBLEM_ROWS * PROBLEM_WIDTH + 1];
    uint32_t id_count; /* > 0: the input is ids */
    bool has_offsets;
    uint8_t mask[PROBLEM_ROWS * PROBLEM_WIDTH];
    uint32_t mask_width; /* 0: none */
    uint64_t seed;
    bool is_training;
    uint32_t row_ids[PROBLEM_ROWS];
    bool has_row_ids;
};

/* Normal values for x, w and up, rounded to float so that the layer and its definition start from
 * the same numbers. */
void problem_fill(struct problem *p, uint64_t seed);
/* Asserts all of the above on every CPU backend. */
void problem_check(struct problem *p);

#endif
