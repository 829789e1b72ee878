/* aggregation/weights/groups.h - how much a patient counts in a site's own loss, by patient group.
 *
 *   v_g = clip( (pi_g G)^-alpha (mu_g / mu)^-beta, 1/c, c ),  v_i = v_g(i) n / sum_j v_g(j)
 *
 * pi_g: share of group g among the patients of groups that are large enough, G: how many those are,
 * mu_g: mean skill of the group, mu: of those groups together. SOURCE: FairGRPO (Dai et al. 2025,
 * arXiv 2510.19893), alpha 1/2, beta 1, no cap; c = 2 is what a study should use.
 *
 * A group is an intersection of attributes (age band x sex). One below patients_min, or with an
 * attribute that is not known, takes the geometric mean of the weights that its known attributes
 * have on their own (each by the formula above over that attribute's levels); with none large
 * enough it counts 1. Where a site has no attribute, clusters.h can stand in as the only one: for
 * performance alone, no evidence of fairness.
 *
 * The mean over patients is 1, v lies in [c^-2, c^2], two patients differ by at most c^2. With
 * gradients clipped per patient the sensitivity is (clipping norm) (largest v), unless v multiplies
 * the gradient before it is clipped. Doubles, log domain, sums in the order given. Any thread. */
#ifndef CSL_WEIGHTS_GROUPS_H
#define CSL_WEIGHTS_GROUPS_H
#include "base/err.h"

#include <stdint.h>

#define CSL_GROUP_ATTRIBUTES_MAX 4
#define CSL_GROUP_LEVELS_MAX     16 /* of one attribute, without "not known" */
#define CSL_STRATA_MAX           1024

struct csl_group_rule {
    double alpha;        /* [0, 1] */
    double beta;         /* [0, 4] */
    double cap;          /* c >= 1; HUGE_VAL: none */
    double skill_min;    /* in [.001, 1] */
    double patients_min; /* a smaller group takes its attributes' weights; >= 1, 30 is right */
};
/* All patients of one combination of levels. */
struct csl_stratum {
    uint8_t level[CSL_GROUP_ATTRIBUTES_MAX]; /* 1..CSL_GROUP_LEVELS_MAX; 0: not known */
    double patients;                         /* >= 0 */
    double skill_sum;                        /* over them, of a skill in [0, 1] */
};
enum csl_group_source {
    CSL_GROUP_OWN,       /* weight of the intersection */
    CSL_GROUP_MARGINALS, /* of known attributes */
    CSL_GROUP_NONE       /* 1 before normalisation */
};

/* FairGRPO's exponents with cap 2, groups of 30. */
void csl_group_rule_default(struct csl_group_rule *out);
/* weight, source (or NULL): [count], in the order of strata. CSL_E_INVAL: the rule, a number that
 * is not finite or negative, more skill than patients, a level out of range, a stratum twice;
 * CSL_E_LIMIT: attributes is 0 or too many, too many strata; CSL_E_STATE: no patient at all. */
enum csl_code csl_group_weights(const struct csl_group_rule *rule, uint32_t attributes,
                                const struct csl_stratum *strata, uint32_t count, double *weight,
                                enum csl_group_source *source, struct csl_err *err) CSL_MUST_CHECK;

#endif
