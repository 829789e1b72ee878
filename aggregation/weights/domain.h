/* aggregation/weights/domain.h - how much a domain (modality x task) counts: rare and difficult
 * ones more, within bounds.
 *
 *   ln lambda_d = clip( -alpha (ln N_d - mean ln N) - beta (ln mu_d - mean ln mu), -ln c, ln c )
 *
 * N_d: patients of the domain in the federation; mu_d in [skill_min, 1]: how well the model does
 * there, 1 for no loss, of the same patients or of validation patients; both are federation totals,
 * never of one site. A site multiplies its
 * weight by lambda_d. SOURCE of the form: domain-aware relative policy optimisation, DRPO (QoQ-Med,
 * Dai et al. 2025, arXiv 2506.00711), in relative form with a cap. Uncapped it is unsafe as a
 * weight of supervised updates: a domain that cannot be learned keeps its weight (README.md).
 *
 * What holds (tests/property/aggregation): the weight of a domain against another one's does not
 * rise with its patients or its skill; with alpha <= 1 its weight times patients does not fall with
 * its patients, so hiding data gains nothing (both without shrinkage); lambda stays in [1/c, c].
 *
 * Doubles, in the log domain, sums in the order of the domains' ids: the same bits on one C
 * library. No state but the caller's. Any thread. */
#ifndef CSL_WEIGHTS_DOMAIN_H
#define CSL_WEIGHTS_DOMAIN_H
#include "base/err.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

/* All fields are read; HUGE_VAL stands for "no bound". */
struct csl_domain_rule {
    double alpha;     /* rarity; [0, 1] */
    double beta;      /* difficulty; [0, 4] */
    double cap;       /* c >= 1 of lambda; HUGE_VAL: none */
    double skill_min; /* mu_min, in [.001, 1] */
    /* Within a domain, by site (cells.h); 0, 0: sites of a domain count by their patients. */
    double cell_alpha, cell_beta, cell_cap;
    /* Guards over time. */
    double shrinkage;     /* tau >= 0 patients: mu = (S + tau * overall mu) / (N + tau),
                             N: the patients of S */
    double smoothing;     /* share of a new value in ln lambda, (0, 1]; 1: no memory */
    double step_max;      /* largest change of ln lambda per publication; HUGE_VAL: none */
    double patients_min;  /* fewer: the domain's lambda goes to 1; >= 1 */
    double noise_std;     /* standard deviation of the noise in each N_d and S_d; >= 0 */
    uint32_t gate_rounds; /* a domain whose skill has not risen by more than two standard errors in
                             so many rounds goes to 1; 0: never */
};

enum csl_domain_preset {
    CSL_DOMAINS_FEDAVG,   /* lambda = 1 */
    CSL_DOMAINS_BALANCED, /* every domain the same total: alpha 1, beta 0, no cap; a baseline */
    CSL_DOMAINS_WEIGHTED, /* alpha 1/2, beta 1, cap 2, all guards: what a study should use */
    CSL_DOMAINS_DRPO      /* literal, two levels: alpha 1, beta 2 over domains, 1/2 and 1 over the
                             cells (sites or clusters) of a domain; no cap, no guard; for reference */
};
void csl_domain_rule_preset(enum csl_domain_preset preset, struct csl_domain_rule *out);
/* CSL_E_INVAL names the field and what would be right. alpha > 1 is refused: a site would then gain
 * weight by hiding patients. */
enum csl_code csl_domain_rule_check(const struct csl_domain_rule *rule,
                                    struct csl_err *err) CSL_MUST_CHECK;

/* Sums over the federation, noised or not. */
struct csl_domain_statistic {
    double patients;  /* N_d */
    double skill_sum; /* S_d: sum over patients of a skill in [0, 1] */
    double judged;    /* how many patients S_d is of, where not all of N_d; 0: all */
    bool is_absent;   /* suppressed or not opened: the numbers are not read */
};
/* What is kept between publications; zeros before the first one: lambda = 1. */
struct csl_domain_memory {
    double log_lambda;
    bool has_moved; /* a statistic was used before: smoothing begins with the second */
    bool has_reference;
    double reference_skill, reference_variance; /* when the skill last rose */
    uint64_t reference_round;
};
enum csl_domain_status {
    CSL_DOMAIN_USED,
    CSL_DOMAIN_STALLED, /* used, and its skill does not rise: lambda goes to 1 */
    CSL_DOMAIN_SMALL,   /* absent or too few patients: lambda goes to 1 */
    CSL_DOMAIN_REJECTED /* not finite, negative or impossible: lambda stays what it was */
};
/* One publication: statistics and memory [count], by the domains' ids in ascending order; status
 * [count] or NULL. round: of the model that the skills are of; it does not fall from call to call.
 * CSL_E_INVAL: the rule is refused; CSL_E_LIMIT: count is 0 or above CSL_DOMAINS_MAX. */
enum csl_code csl_domain_update(const struct csl_domain_rule *rule, uint64_t round, uint32_t count,
                                const struct csl_domain_statistic *statistics,
                                struct csl_domain_memory *memory, enum csl_domain_status *status,
                                struct csl_err *err) CSL_MUST_CHECK;

#endif
