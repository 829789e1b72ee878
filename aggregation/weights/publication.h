/* aggregation/weights/publication.h - what publishing the statistics behind the weights costs, and
 * what may be used of them. Unit: one patient at one site. Any thread.
 *
 * Gaussian noise under zero-concentrated differential privacy (Bun and Steinke 2016, Propositions
 * 1.3 and 1.6, Lemma 1.7): T sums of L2 sensitivity Delta with noise sigma are rho-zCDP with rho =
 * T Delta^2 / (2 sigma^2), which is (rho + 2 sqrt(rho ln(1/delta)), delta)-DP. Solved for sigma:
 *     rho = (sqrt(ln(1/delta) + epsilon) - sqrt(ln(1/delta)))^2
 * The discrete Gaussian of the same sigma on integers has the same rho (Canonne, Kamath and Steinke
 * 2020, Theorem 14). privacy/dp/calibrate.h finds about a fifth less noise for the same promise;
 * this closed form is for planning and for the rule of use, and never promises too much. A ledger
 * prices the event itself. */
#ifndef CSL_WEIGHTS_PUBLICATION_H
#define CSL_WEIGHTS_PUBLICATION_H
#include "aggregation/weights/domain.h"

/* One patient in integer units of a sum: a skill is rounded to so many parts. */
#define CSL_PUBLICATION_ONE 1024
/* Below so many standard deviations of the noise a count is not used (lambda = 1). */
#define CSL_PUBLICATION_USABLE 17

struct csl_publication_plan {
    double epsilon, delta; /* for all publications of one study together */
    uint32_t publications; /* T */
    double sensitivity2;   /* square of the L2 sensitivity of one publication, in patients */
};

/* What one patient moves a publication by (protocol/study/evaluation.h, decision 14). n_d and S_d
 * (or, while no prior is known, a class in place of S_d) of the domain a patient is in, and n_gd
 * and S_gd of its group in each of A attributes: 2 (A + 1). A patient in several domains counts
 * once for each. */
double csl_publication_sensitivity2(uint32_t attributes, uint32_t domains_per_patient);
/* CSL_E_INVAL: epsilon or delta out of range, no publication, no sensitivity. sigma in patients. */
enum csl_code csl_publication_noise(const struct csl_publication_plan *plan, double *sigma,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* A patient's part of S_d: clip(1 - loss / prior_loss, 0, 1) in units, at most CSL_PUBLICATION_ONE
 * whatever the numbers are, so the sensitivity does not depend on them; 0 for a loss that is not a
 * number. prior_loss: of the predictor that knows only the classes' frequencies; > 0. */
int64_t csl_publication_skill(double loss, double prior_loss);
/* Marks is_absent what must not be used: counts below CSL_PUBLICATION_USABLE sigma, and sums that
 * fewer than sites_min sites were part of (sites: [count], NULL: known to be enough). */
void csl_publication_suppress(double sigma, uint32_t sites_min, uint32_t count,
                              const uint32_t *sites, struct csl_domain_statistic *statistics);

#endif
