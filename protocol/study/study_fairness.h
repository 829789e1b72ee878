/* protocol/study/study_fairness.h - the sections 'fairness' and 'release' of a study: whose quality
 * is looked at, who counts more, and what a model must reach. */
#ifndef CSL_STUDY_FAIRNESS_H
#define CSL_STUDY_FAIRNESS_H
#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

/* Patient groups whose quality is looked at by itself; attribute_count 0: none. */
#define CSL_FAIRNESS_ATTRIBUTES_MAX 4
#define CSL_FAIRNESS_VALUES_MAX     16
#define CSL_FAIRNESS_VALUE_BYTES    32 /* of one, with NUL: as in the record files */
struct csl_study_group_weights {       /* FairGRPO at every site (aggregation/weights/groups.h) */
    bool is_on;                        /* the rest is 0 without */
    double alpha, beta, cap;
};
enum csl_domain_weights_kind {
    CSL_DOMAIN_WEIGHTS_NONE,
    CSL_DOMAIN_WEIGHTS_BALANCED, /* by rarity alone: every domain the same total */
    CSL_DOMAIN_WEIGHTS_DOMAIN,   /* by rarity and difficulty, with a cap and guards */
    CSL_DOMAIN_WEIGHTS_DRPO,     /* literal, in two levels, without a bound: for comparison */
    CSL_DOMAIN_WEIGHTS_COUNT
};
const char *csl_domain_weights_name(enum csl_domain_weights_kind kind); /* "none", "balanced", .. */
/* How much each domain's sites count on the inputs that several domains read
 * (aggregation/weights). HUGE_VAL: no bound. */
struct csl_study_domain_weights {
    enum csl_domain_weights_kind kind; /* NONE: the rest is 0 */
    double alpha, beta, cap, shrinkage, smoothing;
    double step_max;           /* largest factor between two tables; HUGE_VAL: none */
    uint32_t every;            /* rounds between two tables; 0: one, from counts */
    uint32_t minimum_patients; /* of a domain; fewer: weight 1 */
    uint32_t minimum_sites;    /* with the domain; fewer: weight 1 */
    uint32_t gate_rounds;
    uint32_t largest_site;  /* patients that one site counts with in a block; 0: all */
    double effective_sites; /* that a site insists on; 1: any number */
};
struct csl_study_fairness {
    uint32_t attribute_count;
    char attributes[CSL_FAIRNESS_ATTRIBUTES_MAX][CSL_ID_MAX]; /* names in the record files */
    uint32_t minimum_group, minimum_sites; /* fewer test patients or sites: not shown */
    /* Of each attribute the values whose test patients sites count apart in evaluations that leave
     * them (evaluation.h); of all attributes or, 0, of none. */
    uint32_t value_count[CSL_FAIRNESS_ATTRIBUTES_MAX];
    char values[CSL_FAIRNESS_ATTRIBUTES_MAX][CSL_FAIRNESS_VALUES_MAX][CSL_FAIRNESS_VALUE_BYTES];
    struct csl_study_group_weights weights; /* of training patients; needs minimum_group of them */
    struct csl_study_domain_weights domains;
};
struct csl_study_release {                 /* what a model must reach before it is handed out */
    bool is_on;                            /* the rest is 0 without */
    double minimum_auc, worst_group_floor; /* 0: none */
    bool refuses_collapsed, needs_card;
    char intended_use[512], not_for[512]; /* for the model card; "" */
};

#endif
