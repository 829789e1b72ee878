#include "privacy/secagg/policy.h"

uint32_t csl_secagg_quorum(uint32_t n1, uint32_t colluding)
{
    return (uint32_t)(((uint64_t)n1 + colluding) / 2 + 1);
}

uint32_t csl_secagg_openings_max(uint32_t threshold, uint32_t colluding)
{
    if (threshold <= colluding)
        return 0;
    uint32_t room = threshold - 1 - colluding;
    return room < colluding ? room : colluding;
}

enum csl_code csl_secagg_policy_check(const struct csl_secagg_policy *p, struct csl_err *err)
{
    if (p->honest_min < 2 || p->survivors_min < 2)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "a sum of %u honest sites, of %u in all, could be one site's; at least 2 "
                        "would be right",
                        p->honest_min, p->survivors_min);
    if (p->effective_min < (uint64_t)p->colluding + p->honest_min)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "%u effective contributors beside %u colluding sites; %u would be right",
                        p->effective_min, p->colluding, p->colluding + p->honest_min);
    if (p->weight_share_max_permille == 0 || p->weight_share_max_permille > 1000 ||
        p->effective_min > CSL_SECAGG_SITES_MAX || p->survivors_min > CSL_SECAGG_SITES_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "a weight share of %u permille, or too many sites",
                        p->weight_share_max_permille);
    return CSL_OK;
}

/* Weights are at most 2^20 and sites at most 2^10: no product below exceeds 2^60. */
static enum csl_code check_weights(const struct csl_secagg_policy *p,
                                   const struct csl_secagg_config *c, const uint32_t *weights,
                                   uint32_t block, const struct csl_secagg_set *members,
                                   uint32_t *contributors, struct csl_err *err)
{
    uint64_t sum = 0, squares = 0, largest = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->roster_count; i++) {
        uint64_t w = weights[(size_t)i * c->block_count + block];
        if (!csl_secagg_set_has(members, i) || w == 0)
            continue;
        if (w > CSL_SECAGG_WEIGHT_MAX)
            return CSL_FAIL(err, CSL_E_DENIED, "a weight above %d", CSL_SECAGG_WEIGHT_MAX);
        sum += w;
        squares += w * w;
        largest = w > largest ? w : largest;
        n++;
    }
    if (sum == 0)
        return CSL_FAIL(err, CSL_E_DENIED, "block %u: the weights of all sites in it are 0",
                        c->blocks[block].id);
    if (largest * 1000 > sum * p->weight_share_max_permille ||
        sum * sum < squares * p->effective_min)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "block %u: the weights single out sites: fewer than %u count, or one has "
                        "more than %u permille",
                        c->blocks[block].id, p->effective_min, p->weight_share_max_permille);
    *contributors = n;
    return CSL_OK;
}

enum csl_code csl_secagg_policy_check_config(const struct csl_secagg_policy *p,
                                             const struct csl_secagg_config *c,
                                             const uint32_t *weights, struct csl_err *err)
{
    if (c->colluding < p->colluding || c->sites_min < p->survivors_min)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the round assumes %u colluding sites and %u in the sum; this site asks "
                        "for at least %u and %u",
                        c->colluding, c->sites_min, p->colluding, p->survivors_min);
    for (uint32_t b = 0; b < c->block_count; b++) {
        uint32_t contributors;
        if (csl_secagg_set_count(&c->blocks[b].eligible) == 0)
            continue; /* nobody may send it, so that no sum of it is ever opened */
        if (c->blocks[b].sites_min < (uint64_t)c->colluding + p->honest_min)
            return CSL_FAIL(err, CSL_E_DENIED,
                            "block %u may be summed over %u sites; this site asks for %u",
                            c->blocks[b].id, c->blocks[b].sites_min, c->colluding + p->honest_min);
        enum csl_code code =
            check_weights(p, c, weights, b, &c->blocks[b].eligible, &contributors, err);
        if (code != CSL_OK)
            return code;
    }
    return CSL_OK;
}

enum csl_code csl_secagg_policy_check_block(const struct csl_secagg_policy *p,
                                            const struct csl_secagg_config *c,
                                            const uint32_t *weights, uint32_t block,
                                            const struct csl_secagg_set *members,
                                            struct csl_err *err)
{
    uint32_t n = csl_secagg_set_count(members);
    if (n == 0)
        return CSL_OK;
    uint32_t least = c->sites_min;
    if (block < c->block_count) {
        least = c->blocks[block].sites_min;
        enum csl_code code = check_weights(p, c, weights, block, members, &n, err);
        if (code != CSL_OK)
            return code;
    }
    if (n < least || n < (uint64_t)c->colluding + p->honest_min)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "block %u would be summed over %u sites; at least %u, and %u beyond the "
                        "%u that may collude, would be right",
                        csl_secagg_block_id(c, block), n, least, p->honest_min, c->colluding);
    return CSL_OK;
}

enum csl_code csl_secagg_policy_check_count(const struct csl_secagg_policy *p,
                                            const struct csl_secagg_config *c, uint32_t quorum,
                                            uint32_t count, struct csl_err *err)
{
    if (count < quorum || count < p->survivors_min || count < c->sites_min ||
        count < (uint64_t)c->colluding + p->honest_min)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "%u sites; at least the quorum of %u, the minima of %u and %u, and %u "
                        "beyond the %u that may collude would be right",
                        count, quorum, c->sites_min, p->survivors_min, p->honest_min, c->colluding);
    return CSL_OK;
}
