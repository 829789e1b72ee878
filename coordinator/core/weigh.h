/* coordinator/core/weigh.h - weights of domains in rounds (fairness.domain_weights): statistics of
 * the sites in, a table of weights every so many rounds out, and what a site counts with in a block
 * of the model.
 *
 * Table 0 stands before the first round: of kind balanced it comes from what the sites enrolled
 * with, of the other kinds, and under masks of all, all weights are 1. Table r, for r a multiple of
 * `every` below the last round, comes from the evaluations of the model of round r and holds from
 * round r + 1 on.
 *
 * What it says is a function of the study, of what the sites enrolled with and of the evaluations
 * that were stored, added up in the order of the sites' ids: whoever hands these over again, in any
 * order within a round, has every table again to the last bit. That is how a coordinator comes back
 * after a restart. No I/O, clock or random source. Core thread only. */
#ifndef CSL_COORD_CORE_WEIGH_H
#define CSL_COORD_CORE_WEIGH_H
#include "aggregation/weights/domain.h"
#include "protocol/study/study.h"
#include "protocol/wire/messages.h"

struct csl_weigher;

struct csl_weights_row { /* of one domain */
    double log_weight;
    double patients; /* in the federation; 0: suppressed, so that its sites' numbers are not told */
    double skill;    /* mean, in [0, 1]; NAN: not known */
    enum csl_domain_status status; /* of the statistic; SMALL also before there is one */
};
struct csl_weights_table {
    uint64_t round;
    uint32_t count; /* domains of the study */
    struct csl_weights_row rows[CSL_DOMAINS_MAX];
};

/* study: with domain weights; borrowed. sites: by ascending id, all of the roster. */
enum csl_code csl_weigher_new(struct csl_weigher **out, const struct csl_study *study,
                              uint32_t sites, struct csl_err *err) CSL_MUST_CHECK;
void csl_weigher_free(struct csl_weigher *w);
/* What a site enrolled with, in place of what it said before; count 0: it takes no part. */
void csl_weigher_enrol(struct csl_weigher *w, uint32_t site, uint32_t count,
                       const struct csl_block_count *blocks);
/* One domain of one site's evaluation of the model of `round`, in place of an earlier one. Rounds
 * do not fall from call to call. What does not fit the study or the site's enrolment is left out,
 * and no site's statistic counts as one of more patients than it trains on. */
void csl_weigher_report(struct csl_weigher *w, uint64_t round, uint32_t site,
                        const struct csl_eval_block *b);
/* Under masks: a publication of statistics that was opened in `round` (coordinator/published.h), in
 * place of reports: sums [domains of the study]; those without a skill are not has_skill. The table
 * that it makes has its round and holds from the next one on; one that was made already stays.
 * sigma: of the noise in each sum, in patients. Rounds ascend. */
struct csl_weigher_sum {
    struct csl_domain_statistic statistic;
    uint32_t sites;
    bool has_skill;
};
void csl_weigher_publish(struct csl_weigher *w, uint64_t round, const struct csl_weigher_sum *sums,
                         double sigma);
/* Makes every table that is due up to `round` and was not made yet. */
void csl_weigher_catch_up(struct csl_weigher *w, uint64_t round);
/* The newest; NULL before catch_up. */
const struct csl_weights_table *csl_weigher_table(const struct csl_weigher *w);
/* Patients of the site's block as they count: at most largest_site, times the mean, over the site's
 * patients, of its domains' weights (aggregation/weights/cells.h). On a domain's own block its
 * weight cancels and is left out. */
double csl_weigher_mass(const struct csl_weigher *w, uint32_t site, uint32_t block,
                        uint64_t patients);

#endif
