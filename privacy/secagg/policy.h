/* privacy/secagg/policy.h - the floors below which a site does not take part. They are the site's
 * own: the coordinator may ask for more, never for less. Any thread. */
#ifndef CSL_SECAGG_POLICY_H
#define CSL_SECAGG_POLICY_H
#include "privacy/secagg/config.h"

struct csl_secagg_policy {
    uint32_t colluding;     /* c: how many sites of the roster may work with the coordinator */
    uint32_t survivors_min; /* n_floor: sites in a sum */
    uint32_t honest_min; /* k_anon: sites in a sum beyond c; from 2, or a sum could be one site */
    uint32_t effective_min; /* of each block: (sum w)^2 >= effective_min * sum w^2 over the sum */
    uint32_t weight_share_max_permille; /* largest weight over the sum of weights */
};

/* t_g = floor((n1 + c) / 2) + 1, from the absolute c: two conflicting quorums of n1 sites would
 * need 2 t_g <= (n1 - c) + 2 c votes, and have more. Above n1 when n1 <= c: no quorum exists. */
uint32_t csl_secagg_quorum(uint32_t n1, uint32_t colluding);
/* How many shares of one dealer may become public in disputes: min(c, t_s - 1 - c). With the c that
 * the colluding sites hold there stay fewer than t_s, even when the coordinator spoils sealed
 * shares so that honest sites complain about honest dealers. */
uint32_t csl_secagg_openings_max(uint32_t threshold, uint32_t colluding);

/* CSL_E_INVAL: effective_min < colluding + honest_min (c colluding sites of equal weight would
 * leave fewer than honest_min others that count), honest_min < 2, a share of 0. */
enum csl_code csl_secagg_policy_check(const struct csl_secagg_policy *p,
                                      struct csl_err *err) CSL_MUST_CHECK;
/* CSL_E_DENIED: c, minima or weights of the configuration are below these floors; a block that no
 * site is eligible for has no sum, and is all right. weights:
 * [roster_count][block_count]; only eligible sites count. */
enum csl_code csl_secagg_policy_check_config(const struct csl_secagg_policy *p,
                                             const struct csl_secagg_config *c,
                                             const uint32_t *weights,
                                             struct csl_err *err) CSL_MUST_CHECK;
/* One block of a sum: `members` are places in the roster; block is its index. A block nobody sends
 * is all right: nothing of it is revealed. Sites of weight 0 do not count. CSL_E_DENIED. */
enum csl_code csl_secagg_policy_check_block(const struct csl_secagg_policy *p,
                                            const struct csl_secagg_config *c,
                                            const uint32_t *weights, uint32_t block,
                                            const struct csl_secagg_set *members,
                                            struct csl_err *err) CSL_MUST_CHECK;
/* The sum as a whole: `count` sites in it. CSL_E_DENIED. */
enum csl_code csl_secagg_policy_check_count(const struct csl_secagg_policy *p,
                                            const struct csl_secagg_config *c, uint32_t quorum,
                                            uint32_t count, struct csl_err *err) CSL_MUST_CHECK;

#endif
