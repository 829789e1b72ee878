#include "privacy/secagg/coordinator_internal.h"

#include "base/check.h"

/* (C1) from SHARING on the quorum is t_g of n1 and the absolute c, and lies above c; the threshold
 * is the same on the complete graph (C2) U3 is within U2, U2 within the dealers, and neither is
 * below the quorum once fixed (C3) a quorum and a certificate exclude each other, and each has t_g
 * votes (C4) in U3 are exactly those of U2 whose vector was complete before it was fixed (C5)
 * secrets are known from RELEASED on, and one of each member of U2 */
void csl_secagg_coordinator_check(const struct csl_secagg_coordinator *c)
{
    if (c->stage < CSL_SECAGG_STAGE_SHARING)
        return;
    CSL_ASSERT(c->votes_min == csl_secagg_quorum(c->n1, c->config.colluding)); /* (C1) */
    CSL_ASSERT(c->votes_min > c->config.colluding && c->votes_min <= c->n1);
    CSL_ASSERT(c->threshold == csl_secagg_graph_threshold(&c->config, c->votes_min));
    CSL_ASSERT(csl_secagg_set_within(&c->u3, &c->u2)); /* (C2) */
    CSL_ASSERT(csl_secagg_set_within(&c->u2, &c->dealers));
    CSL_ASSERT(c->senders.p == NULL || csl_secagg_set_count(&c->u2) >= c->votes_min);
    CSL_ASSERT(c->survivors.p == NULL || csl_secagg_set_count(&c->u3) >= c->votes_min);
    uint32_t votes_for = csl_secagg__count_votes(c, CSL_SECAGG_VOTE_FOR);
    uint32_t votes_against = csl_secagg__count_votes(c, CSL_SECAGG_VOTE_ABANDON);
    CSL_ASSERT(c->quorum.p == NULL || c->certificate.p == NULL); /* (C3) */
    CSL_ASSERT((c->quorum.p != NULL) <= (votes_for >= c->votes_min));
    CSL_ASSERT((c->certificate.p != NULL) <= (votes_against >= c->votes_min));
    CSL_ASSERT(votes_for + votes_against <= c->n1);
    for (uint32_t i = 0; c->survivors.p != NULL && i < c->n1; i++) /* (C4) */
        CSL_ASSERT(csl_secagg_set_has(&c->u3, i) == c->members[c->rows[i]].is_received);
    bool is_released = c->stage == CSL_SECAGG_STAGE_RELEASED || c->stage == CSL_SECAGG_STAGE_DONE;
    CSL_ASSERT(!is_released || (c->secrets != NULL && c->quorum.p != NULL)); /* (C5) */
    CSL_ASSERT((c->stage == CSL_SECAGG_STAGE_DONE) == (c->result.p != NULL));
}
