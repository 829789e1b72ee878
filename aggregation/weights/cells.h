/* aggregation/weights/cells.h - how much each site's update of each domain counts.
 *
 *   p_sd = n_sd lambda_d kappa_sd / sum of the same over all cells
 *   kappa_sd = clip( (n_sd S_d / N_d)^-cell_alpha (mu_sd / mu_d)^-cell_beta, 1/cell_cap, cell_cap )
 *
 * S_d: cells of domain d. A cell is a site's part of a domain; for literal DRPO inside one site it
 * may as well be a cluster. With kappa = 1 and c the cap of lambda, a cell's share against another
 * one's differs from FedAvg's by at most c^2, whatever statistic anybody reports; and the norm of
 * what a site adds is at most (clipping norm) (patients it may count) c, which is what noise has to
 * be scaled by. Doubles, in the log domain, sums in the order of (site, domain). Any thread. */
#ifndef CSL_WEIGHTS_CELLS_H
#define CSL_WEIGHTS_CELLS_H
#include "aggregation/weights/domain.h"

struct csl_cell {
    uint32_t site, domain; /* positions in the sorted lists of ids */
    double patients;       /* n_sd >= 0, capped per site by the caller */
    double skill;          /* mu_sd, read only with cell_beta > 0 */
};

/* ln(n_sd lambda_d kappa_sd), -HUGE_VAL for a cell without patients: what a site may multiply its
 * update by before it is summed, and the weight that is summed beside it. cells: [count] ascending
 * by (site, domain), none twice; log_lambda: [domains]. CSL_E_INVAL: order, a number that is not
 * finite or negative, a domain out of range, the rule. Nothing is written on failure. */
enum csl_code csl_cell_masses(const struct csl_domain_rule *rule, uint32_t domains,
                              const double *log_lambda, const struct csl_cell *cells,
                              uint32_t count, double *log_mass, struct csl_err *err) CSL_MUST_CHECK;
/* Shares that sum to 1 (to 1e-12), from masses. has_block: [domains], which domains use the block
 * of the model in question (a branch of one modality); the others' cells get 0. NULL: all, the
 * shared trunk. CSL_E_STATE: no cell has any weight. */
enum csl_code csl_cell_shares(const struct csl_cell *cells, uint32_t count, const double *log_mass,
                              const bool *has_block, double *share,
                              struct csl_err *err) CSL_MUST_CHECK;
/* 1 / sum of squares: the number of equal contributors that would concentrate weight as much
 * (Kish 1965, Survey Sampling, section 11.7, for shares that sum to 1). */
double csl_effective_number(const double *share, uint32_t count);

#endif
