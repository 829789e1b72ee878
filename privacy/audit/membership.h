/* privacy/audit/membership.h - membership inference, as a picture for people: whoever holds the
 * model calls everybody a member whose loss is low. How often is that right, and what does the
 * promise allow at most? A weak attack proves nothing; one that beats the bound disproves the
 * promise.
 *
 * SOURCE: Yeom et al. 2018 (loss threshold); Clopper and Pearson 1934; Kairouz, Oh, Viswanath 2015
 * (the bound). Runs at one site on that site's data only. Any thread. */
#ifndef CSL_AUDIT_MEMBERSHIP_H
#define CSL_AUDIT_MEMBERSHIP_H
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct csl_membership {
    double threshold; /* a loss below it is called a member; chosen on the outsiders alone */
    uint64_t true_positives, members;
    uint64_t false_positives, outsiders;
    double tpr;                  /* true_positives / members */
    double tpr_lower, tpr_upper; /* Clopper-Pearson, two-sided at `confidence` */
    double fpr_upper;            /* Clopper-Pearson, one-sided at `confidence` */
};

/* The threshold that at most `fpr` of the outsiders pass, and what it does to the members.
 * CSL_E_INVAL: no losses, one not finite, fpr or confidence not in (0, 1); CSL_E_NOMEM. */
enum csl_code csl_membership_attack(const double *member_loss, size_t members,
                                    const double *outsider_loss, size_t outsiders, double fpr,
                                    double confidence, struct csl_membership *out,
                                    struct csl_err *err) CSL_MUST_CHECK;

/* The highest true positive rate that any attack has at `fpr` if the mechanism is (epsilon[i],
 * delta[i])-DP for all i: min over i of e^epsilon fpr + delta and 1 - e^-epsilon (1 - fpr - delta),
 * at most 1. */
double csl_membership_bound(const double *epsilon, const double *delta, size_t count, double fpr);

/* The smallest share at which at least `hits` of `trials` has probability 1 - confidence, and the
 * largest for at most `hits`: Clopper-Pearson, one-sided, rounded outwards. hits <= trials, trials
 * >= 1. */
double csl_clopper_pearson_lower(uint64_t hits, uint64_t trials, double confidence);
double csl_clopper_pearson_upper(uint64_t hits, uint64_t trials, double confidence);

#endif
