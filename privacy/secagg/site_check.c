#include "privacy/secagg/site_internal.h"

#include "base/check.h"

void csl_secagg_site_check(const struct csl_secagg_site *s)
{
    const struct csl_secagg_attempt *a = &s->at;
    uint8_t digest[32];
    if (!a->exists) {
        CSL_ASSERT(a->keys.bytes.p == NULL && a->vote == 0 && !a->is_masked);
        return;
    }
    CSL_ASSERT(s->last_round == a->config.round && s->last_attempt == a->config.attempt);
    CSL_ASSERT(csl_secret_is_intact(a->memory));
    if (a->delivery.bytes.p != NULL || a->is_trained || a->vote != 0)
        CSL_ASSERT(a->keys.bytes.p != NULL);
    if (a->keys.bytes.p != NULL) {
        CSL_ASSERT(a->votes_min == csl_secagg_quorum(a->n1, a->config.colluding));
        CSL_ASSERT(a->votes_min > a->config.colluding && a->votes_min <= a->n1);
        CSL_ASSERT(a->threshold == csl_secagg_graph_threshold(&a->config, a->votes_min));
        CSL_ASSERT(a->ids[a->place] == s->setup.site);
        /* Public and colluding shares together never reach the threshold. */
        CSL_ASSERT(csl_secagg_set_count(&a->opened) <=
                   csl_secagg_graph_openings(&a->config, csl_secagg_roster_active(s->setup.roster),
                                             a->threshold));
        CSL_ASSERT(a->config.graph != 0 ||
                   csl_secagg_set_count(&a->opened) + a->config.colluding < a->threshold);
    }
    if (a->senders.bytes.p != NULL)
        CSL_ASSERT(a->delivery.bytes.p != NULL && a->is_trained);
    if (a->is_masked) /* (I1) */
        CSL_ASSERT(a->senders.bytes.p != NULL && a->update != CSL_SECAGG_UPDATE_FREE &&
                   (a->config.graph == 0 || a->seeds.bytes.p != NULL));
    else
        CSL_ASSERT(a->update == CSL_SECAGG_UPDATE_FREE);
    if (a->vote != 0) { /* (I2): the vote is in the list that is never forgotten */
        csl_secagg__vote_digest(a->sid, a->vote, a->voted, digest);
        CSL_ASSERT(csl_secagg__digests_have(&s->votes, digest));
    }
    if (a->vote == CSL_SECAGG_VOTE_FOR) {
        CSL_ASSERT(a->is_masked && a->survivors.bytes.p != NULL);
        CSL_ASSERT(memcmp(a->voted, a->transcript, 32) == 0); /* (I3) */
        CSL_ASSERT(csl_secagg_set_has(&a->survivors.view.u.survivors.members, a->place));
    }
    if (a->quorum.bytes.p != NULL) { /* (I4) */
        CSL_ASSERT(a->quorum.view.u.votes.count >= a->votes_min && !a->is_certified);
        CSL_ASSERT(memcmp(a->quorum.view.u.votes.transcript, a->transcript, 32) == 0);
    }
    csl_secagg__pair_digest(s, &a->config, digest); /* (I5) */
    bool is_bound =
        a->update == CSL_SECAGG_UPDATE_PENDING || a->update == CSL_SECAGG_UPDATE_INCLUDED;
    CSL_ASSERT(csl_secagg__digests_have(&s->contributed, digest) == is_bound);
}
