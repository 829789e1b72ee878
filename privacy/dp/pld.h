/* privacy/dp/pld.h - privacy-loss distributions of one step on a grid.
 *
 * The loss line is cut into cells, each with its mass under P and under Q. From the cells come, for
 * either direction,
 *   - an upper distribution: every cell's mass is spread to the two grid points about it so that
 * the masses under P and Q are kept ("connect the dots", Doroshenko et al. 2022). A mean-preserving
 *     spread of the likelihood ratio dominates, also after composition;
 *   - a lower distribution: cells are merged (post-processing) until the ratio of the merged masses
 *     is a grid point. What merging leaves over is rounded down.
 * What rounding errors of the masses could do is moved to the safe side, cell by cell. One thread.
 */
#ifndef CSL_DP_PLD_H
#define CSL_DP_PLD_H
#include "privacy/dp/pair.h"

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define CSL_DP_CELLS_MAX (1 << 22)

enum csl_dp_direction { CSL_DP_REMOVE, CSL_DP_ADD };

struct csl_dp_cells {
    double base, width;        /* cell i: losses from base + i * width to base + (i + 1) * width */
    size_t count;              /* even */
    double *p, *q;             /* masses */
    double *p_error, *q_error; /* bounds on their absolute errors */
    double p_low, q_low;       /* masses below the cells */
    double p_high, q_high;     /* masses above the cells */
};

/* The cells of a pair; what lies beyond them has at most about `tail` under P above and under Q
 * below. CSL_E_LIMIT: more than CSL_DP_CELLS_MAX cells; CSL_E_NOMEM. */
enum csl_code csl_dp_cells_of_pair(struct csl_dp_cells *out, const struct csl_dp_pair *pair,
                                   double width, double tail, struct csl_err *err) CSL_MUST_CHECK;
/* The cells of a finite pair: outcome i has loss[i] (ascending) and mass[i] under P, and
 * mass[i] e^-loss[i] under Q; rest under P has an infinite loss. */
enum csl_code csl_dp_cells_of_atoms(struct csl_dp_cells *out, const double *loss,
                                    const double *mass, size_t count, double width,
                                    struct csl_err *err) CSL_MUST_CHECK;
void csl_dp_cells_release(struct csl_dp_cells *c);

struct csl_dp_pld {
    double first, step; /* loss of mass[0], and the grid: twice the width of the cells */
    size_t count;
    double *mass;
    double infinity; /* mass of an infinite loss; 0 for a lower distribution */
};
enum csl_code csl_dp_pld_upper(struct csl_dp_pld *out, const struct csl_dp_cells *cells,
                               enum csl_dp_direction direction, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_dp_pld_lower(struct csl_dp_pld *out, const struct csl_dp_cells *cells,
                               enum csl_dp_direction direction, struct csl_err *err) CSL_MUST_CHECK;
void csl_dp_pld_release(struct csl_dp_pld *d);

#endif
