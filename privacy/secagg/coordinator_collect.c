#include "privacy/secagg/coordinator_internal.h"

#include "base/check.h"
#include "base/mem.h"

struct said { /* one message on its way in */
    const struct csl_secagg_message *m;
    uint32_t row, place; /* place in U1: UINT32_MAX before M2, or not in it */
};

static enum csl_code check_advertise(const struct csl_secagg_coordinator *c, const struct said *x,
                                     struct csl_err *err)
{
    const struct csl_secagg_advertise *a = &x->m->u.advertise;
    if (c->stage != CSL_SECAGG_STAGE_OPEN)
        return CSL_FAIL(err, CSL_E_STATE, "the list of keys is closed");
    if (memcmp(a->head, c->config.previous_head, 32) != 0)
        return CSL_FAIL(err, CSL_E_DENIED, "site %u knows another ledger", x->m->site);
    if (!csl_point_is_valid(&a->mask_key) || !csl_agree_channel_key_is_valid(a->channel_key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "site %u has keys that are none", x->m->site);
    for (uint32_t i = 0; i < c->setup.roster->count; i++) {
        const struct csl_msg *other = &c->members[i].said[CSL_SECAGG_ADVERTISE];
        if (other->p != NULL &&
            (memcmp(other->p + CSL_SECAGG_HEADER_BYTES, a->mask_key.bytes, 32) == 0 ||
             memcmp(other->p + CSL_SECAGG_HEADER_BYTES + 32, a->channel_key, 32) == 0))
            return CSL_FAIL(err, CSL_E_CRYPTO, "site %u has the key of another", x->m->site);
    }
    return CSL_OK;
}

static enum csl_code check_shares(const struct csl_secagg_coordinator *c, const struct said *x,
                                  struct csl_err *err)
{
    const struct csl_secagg_shares *s = &x->m->u.shares;
    struct csl_secagg_message own;
    if (c->stage != CSL_SECAGG_STAGE_SHARING)
        return CSL_FAIL(err, CSL_E_STATE, "shares are not collected now");
    if (s->threshold != c->threshold || (s->r != NULL) != (c->config.graph != 0) ||
        s->sealed_count != csl_secagg_set_count(&c->peers[x->place]))
        return CSL_FAIL(err, CSL_E_PROTO, "shares of threshold %u for %u sites", s->threshold,
                        s->sealed_count);
    bool is_known = csl_secagg__said(c, x->place, CSL_SECAGG_ADVERTISE, &own);
    if (!is_known || !csl_point_equal(&s->s[0], &own.u.advertise.mask_key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "site %u shares another key than it advertised",
                        x->m->site);
    enum csl_code code = csl_vss_check_commitments(s->b, s->threshold, err);
    if (code == CSL_OK)
        code = csl_vss_check_commitments(s->s, s->threshold, err);
    return code == CSL_OK && s->r != NULL ? csl_vss_check_commitments(s->r, s->threshold, err)
                                          : code;
}

static enum csl_code check_ack(const struct csl_secagg_coordinator *c, const struct said *x,
                               struct csl_err *err)
{
    const struct csl_secagg_ack *a = &x->m->u.ack;
    struct csl_secagg_set all = a->accepted, told = c->peers[x->place];
    csl_secagg_set_put(&told, x->place);
    told = csl_secagg_set_both(&told, &c->dealers);
    for (uint32_t i = 0; i < CSL_SECAGG_SET_BYTES; i++)
        all.bits[i] |= a->complaints.bits[i];
    if (c->stage != CSL_SECAGG_STAGE_PREPARING)
        return CSL_FAIL(err, CSL_E_STATE, "acknowledgements are not collected now");
    if (a->count != c->n1 || !csl_secagg_set_has(&c->dealers, x->place) ||
        csl_secagg_set_has(&a->complaints, x->place) || !csl_secagg_set_equal(&all, &told))
        return CSL_FAIL(err, CSL_E_PROTO, "site %u speaks of other dealers than it was told of",
                        x->m->site);
    return CSL_OK;
}

static enum csl_code check_ready(const struct csl_secagg_coordinator *c, const struct said *x,
                                 struct csl_err *err)
{
    const struct csl_secagg_ready *r = &x->m->u.ready;
    if (c->stage != CSL_SECAGG_STAGE_PREPARING || !csl_secagg_set_has(&c->dealers, x->place))
        return CSL_FAIL(err, CSL_E_STATE, "site %u is ready too early or too late", x->m->site);
    if (r->block_count != csl_secagg_block_total(&c->config))
        return CSL_FAIL(err, CSL_E_PROTO, "%u blocks", r->block_count);
    for (uint32_t b = 0; b < r->block_count; b++) {
        bool is_sent = csl_secagg_set_has(&r->blocks, b);
        bool may_be =
            b == c->config.block_count || csl_secagg_set_has(&c->config.blocks[b].eligible, x->row);
        if ((is_sent && !may_be) || (!is_sent && b == c->config.block_count))
            return CSL_FAIL(err, CSL_E_PROTO,
                            "site %u sends a block that is not for it, or no "
                            "scalars",
                            x->m->site);
    }
    return CSL_OK;
}

static enum csl_code check_reveal(const struct csl_secagg_coordinator *c, const struct said *x,
                                  struct csl_err *err)
{
    const struct csl_secagg_reveal *s = &x->m->u.reveal;
    struct csl_secagg_message dealt;
    struct csl_point is;
    if (c->stage != CSL_SECAGG_STAGE_SEEDING || !csl_secagg_set_has(&c->u2, x->place))
        return CSL_FAIL(err, CSL_E_STATE, "site %u draws no graph now", x->m->site);
    bool is_dealt = csl_secagg__said(c, x->place, CSL_SECAGG_SHARES, &dealt);
    CSL_ASSERT(is_dealt);
    struct csl_secagg_set held = csl_secagg_set_both(&c->peers[x->place], &c->u2);
    if (s->count != csl_secagg_set_count(&held))
        return CSL_FAIL(err, CSL_E_PROTO, "site %u reveals %u shares", x->m->site, s->count);
    if (csl_point_base(s->r, &is, NULL) != CSL_OK || !csl_point_equal(&is, &dealt.u.shares.r[0]))
        return CSL_FAIL(err, CSL_E_CRYPTO, "site %u did not commit to that r", x->m->site);
    return CSL_OK;
}

static enum csl_code check_manifest(const struct csl_secagg_coordinator *c, const struct said *x,
                                    struct csl_err *err)
{
    const struct csl_secagg_manifest *s = &x->m->u.manifest;
    struct csl_secagg_message ready, senders;
    uint8_t hash[32];
    if (c->stage != CSL_SECAGG_STAGE_UPLOADING || !csl_secagg_set_has(&c->u2, x->place))
        return CSL_FAIL(err, CSL_E_STATE, "the manifest of site %u is late, or of no sender",
                        x->m->site);
    enum csl_code code = csl_secagg_decode(&senders, csl_msg_span(&c->senders), err);
    bool is_ready = csl_secagg__said(c, x->place, CSL_SECAGG_READY, &ready);
    CSL_ASSERT(code == CSL_OK && is_ready);
    csl_secagg_body_hash(&senders, hash);
    if (memcmp(hash, s->senders, 32) != 0 || s->block_count != csl_secagg_block_total(&c->config))
        return CSL_FAIL(err, CSL_E_PROTO, "site %u was told of other senders", x->m->site);
    for (uint32_t b = 0; b < s->block_count && b < CSL_SECAGG_MANIFEST_BLOCKS_MAX; b++) {
        bool is_sent = csl_secagg_set_has(&ready.u.ready.blocks, b);
        if (s->blocks[b].entries != (is_sent ? csl_secagg_block_entries(&c->config, b) : 0) ||
            s->blocks[b].chunks != (is_sent ? csl_secagg_block_chunks(&c->config, b) : 0))
            return CSL_FAIL(err, CSL_E_PROTO, "site %u sends other blocks than it announced",
                            x->m->site);
    }
    return CSL_OK;
}

static enum csl_code check_vote(const struct csl_secagg_coordinator *c, const struct said *x,
                                struct csl_err *err)
{
    const struct csl_secagg_vote *v = &x->m->u.vote;
    if (v->choice == CSL_SECAGG_VOTE_ABANDON)
        return CSL_OK;
    if (c->stage < CSL_SECAGG_STAGE_VOTING || !csl_secagg_set_has(&c->u3, x->place))
        return CSL_FAIL(err, CSL_E_STATE, "site %u has no vote on a sum", x->m->site);
    if (memcmp(v->transcript, c->transcript, 32) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "site %u voted for another transcript", x->m->site);
    return CSL_OK;
}

static enum csl_code check_unmask(const struct csl_secagg_coordinator *c, const struct said *x,
                                  struct csl_err *err)
{
    const struct csl_secagg_unmask *s = &x->m->u.unmask;
    struct csl_secagg_message vote;
    struct csl_secagg_set revealed = csl_secagg__revealed(c, x->place);
    if (c->stage != CSL_SECAGG_STAGE_UNMASKING)
        return CSL_FAIL(err, CSL_E_STATE, "shares are not wanted now");
    if (!csl_secagg__said(c, x->place, CSL_SECAGG_VOTE, &vote) ||
        vote.u.vote.choice != CSL_SECAGG_VOTE_FOR ||
        memcmp(s->transcript, c->transcript, 32) != 0 ||
        s->count != csl_secagg_set_count(&revealed))
        return CSL_FAIL(err, CSL_E_PROTO, "site %u reveals for another transcript", x->m->site);
    return CSL_OK;
}

static enum csl_code check(const struct csl_secagg_coordinator *c, const struct said *x,
                           struct csl_err *err)
{
    switch ((int)x->m->type) {
    case CSL_SECAGG_ADVERTISE:
        return check_advertise(c, x, err);
    case CSL_SECAGG_SHARES:
    case CSL_SECAGG_SPARSE_SHARES:
        return check_shares(c, x, err);
    case CSL_SECAGG_ACK:
        return check_ack(c, x, err);
    case CSL_SECAGG_READY:
        return check_ready(c, x, err);
    case CSL_SECAGG_REVEAL:
        return check_reveal(c, x, err);
    case CSL_SECAGG_MANIFEST:
        return check_manifest(c, x, err);
    case CSL_SECAGG_VOTE:
        return check_vote(c, x, err);
    case CSL_SECAGG_UNMASK:
        return check_unmask(c, x, err);
    default:
        return CSL_FAIL(err, CSL_E_PROTO, "a message of type %u to the coordinator", x->m->type);
    }
}

/* ---- openings ---- */

static enum csl_code keep_opening(struct csl_secagg_coordinator *c, const struct said *x,
                                  uint32_t receiver, struct csl_err *err)
{
    struct csl_msg bytes = {0};
    if (c->opening_count == c->opening_capacity) {
        uint32_t capacity = c->opening_capacity == 0 ? 8 : 2 * c->opening_capacity;
        struct csl_secagg_opened *grown = csl_realloc_array(c->openings, capacity, sizeof(*grown));
        if (grown == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for openings");
        c->openings = grown;
        c->opening_capacity = capacity;
    }
    enum csl_code code = csl_msg_copy(&bytes, x->m->whole, err);
    if (code != CSL_OK)
        return code;
    csl_secagg__coordinator_journal(c, CSL_SECAGG_CJ_INPUT, x->m->whole);
    uint32_t at = c->opening_count++;
    for (; at > 0 &&
           (c->openings[at - 1].dealer > x->place ||
            (c->openings[at - 1].dealer == x->place && c->openings[at - 1].receiver > receiver));
         at--)
        c->openings[at] = c->openings[at - 1];
    c->openings[at] = (struct csl_secagg_opened){x->place, receiver, bytes};
    return CSL_OK;
}

static enum csl_code opening(struct csl_secagg_coordinator *c, const struct said *x,
                             struct csl_err *err)
{
    const struct csl_secagg_opening *o = &x->m->u.opening;
    struct csl_secagg_message ack, dealt;
    uint32_t receiver = csl_secagg__coordinator_place(c, o->receiver);
    if (c->stage != CSL_SECAGG_STAGE_PREPARING || receiver == UINT32_MAX ||
        !csl_secagg_set_has(&c->dealers, x->place) ||
        !csl_secagg__said(c, receiver, CSL_SECAGG_ACK, &ack) ||
        !csl_secagg_set_has(&ack.u.ack.complaints, x->place))
        return CSL_FAIL(err, CSL_E_STATE, "nobody complained about site %u", x->m->site);
    for (uint32_t i = 0; i < c->opening_count; i++)
        if (c->openings[i].dealer == x->place && c->openings[i].receiver == receiver)
            return CSL_OK;
    bool is_dealt = csl_secagg__said(c, x->place, CSL_SECAGG_SHARES, &dealt);
    CSL_ASSERT(is_dealt);
    enum csl_code code =
        csl_vss_verify(&o->shares.b, receiver, dealt.u.shares.b, c->threshold, err);
    if (code == CSL_OK)
        code = csl_vss_verify(&o->shares.s, receiver, dealt.u.shares.s, c->threshold, err);
    if (code == CSL_E_CRYPTO)
        csl_secagg__coordinator_name(c, x->m->site,
                                     "opened shares that do not fit its "
                                     "commitments");
    return code == CSL_OK ? keep_opening(c, x, receiver, err) : code;
}

/* ---- all of it ---- */

/* What a site that repeats itself has not heard: the one message that follows on what it said. More
 * would make it repeat more, and so on without end. */
static enum csl_code answer(struct csl_secagg_coordinator *c, const struct said *x,
                            struct csl_err *err)
{
    struct csl_secagg_coordinator_action a = {.kind = CSL_SECAGG_CA_RECEIVE, .site = x->m->site};
    const struct csl_msg *next = NULL;
    bool is_sender = csl_secagg_set_has(&c->u2, x->place);
    switch ((int)x->m->type) {
    case CSL_SECAGG_ADVERTISE:
        next = x->place != UINT32_MAX ? &c->keys : NULL;
        break;
    case CSL_SECAGG_SHARES:
    case CSL_SECAGG_SPARSE_SHARES:
        return c->stage == CSL_SECAGG_STAGE_PREPARING ? csl_secagg__coordinator_tell(c, x->row, err)
                                                      : CSL_OK;
    case CSL_SECAGG_READY:
        next = is_sender ? &c->senders : NULL;
        break;
    case CSL_SECAGG_REVEAL:
        next = &c->seeds;
        break;
    case CSL_SECAGG_MANIFEST:
        next = &c->survivors;
        if (c->stage == CSL_SECAGG_STAGE_UPLOADING && !c->members[x->row].is_received)
            csl_secagg__coordinator_emit(c, &a);
        break;
    case CSL_SECAGG_VOTE:
        next = is_sender ? &c->quorum : NULL;
        break;
    case CSL_SECAGG_UNMASK:
        next = &c->result;
        break;
    default:
        break;
    }
    if (c->stage == CSL_SECAGG_STAGE_ABANDONED)
        next = &c->certificate;
    if (next != NULL && next->p != NULL)
        csl_secagg__coordinator_send(c, x->m->site, next);
    return CSL_OK;
}

static enum csl_code repeated(struct csl_secagg_coordinator *c, const struct said *x,
                              const struct csl_msg *kept, struct csl_err *err)
{
    if (csl_span_equal(csl_msg_span(kept), x->m->whole))
        return answer(c, x, err);
    csl_secagg__coordinator_name(c, x->m->site, "signed two different messages of one kind");
    return CSL_FAIL(err, CSL_E_STATE, "site %u said something else before", x->m->site);
}

static enum csl_code after(struct csl_secagg_coordinator *c, const struct said *x,
                           struct csl_err *err)
{
    struct csl_secagg_coordinator_action a = {.kind = CSL_SECAGG_CA_RECEIVE, .site = x->m->site};
    enum csl_code code = CSL_OK;
    bool is_late;
    switch ((int)x->m->type) {
    case CSL_SECAGG_ACK:
        for (uint32_t i = 0; code == CSL_OK && i < c->n1; i++)
            if (csl_secagg_set_has(&x->m->u.ack.complaints, i))
                code = csl_secagg__coordinator_send_disputes(c, i, err);
        return code;
    case CSL_SECAGG_MANIFEST:
        csl_secagg__coordinator_emit(c, &a);
        return CSL_OK;
    case CSL_SECAGG_VOTE:
        is_late = c->quorum.p != NULL || c->certificate.p != NULL;
        code = csl_secagg__coordinator_count(c, err);
        return code == CSL_OK && is_late ? answer(c, x, err) : code;
    case CSL_SECAGG_UNMASK:
        return csl_secagg__coordinator_reconstruct(c, err);
    default:
        return CSL_OK;
    }
}

static enum csl_code accept(struct csl_secagg_coordinator *c, const struct said *x,
                            struct csl_err *err)
{
    CSL_ASSERT(x->m->type < CSL_SECAGG_SAID_MAX);
    uint8_t slot = x->m->type == CSL_SECAGG_SPARSE_SHARES ? CSL_SECAGG_SHARES : x->m->type;
    struct csl_msg *kept = &c->members[x->row].said[slot];
    if (kept->p != NULL)
        return repeated(c, x, kept, err);
    /* Others opened the sum before: its shares are of no use, and it has not heard the result. */
    bool is_late = c->stage == CSL_SECAGG_STAGE_RELEASED || c->stage == CSL_SECAGG_STAGE_DONE;
    if (is_late && x->m->type == CSL_SECAGG_UNMASK && csl_secagg_set_has(&c->u3, x->place))
        return answer(c, x, err);
    enum csl_code code = check(c, x, err);
    if (code == CSL_OK)
        code = csl_msg_copy(kept, x->m->whole, err);
    if (code != CSL_OK)
        return code;
    csl_secagg__coordinator_journal(c, CSL_SECAGG_CJ_INPUT, x->m->whole);
    return after(c, x, err);
}

enum csl_code csl_secagg__coordinator_message(struct csl_secagg_coordinator *c, uint32_t from,
                                              struct csl_span bytes, struct csl_err *err)
{
    struct csl_secagg_message m;
    enum csl_code code = csl_secagg_decode(&m, bytes, err);
    if (code != CSL_OK)
        return code;
    if (m.site != from) {
        struct csl_secagg_coordinator_action a = {
            .kind = CSL_SECAGG_CA_ALARM, .site = from, .text = "it spoke in another site's name"};
        csl_secagg__coordinator_emit(c, &a);
        return CSL_FAIL(err, CSL_E_UNAUTH, "site %u sent a message of site %u", from, m.site);
    }
    struct said x = {.m = &m, .row = csl_secagg_roster_find(c->setup.roster, m.site)};
    if (c->stage == CSL_SECAGG_STAGE_NEW || x.row == UINT32_MAX ||
        !c->setup.roster->sites[x.row].is_active)
        return CSL_FAIL(err, CSL_E_DENIED, "site %u has no part in this", m.site);
    bool is_first = m.type == CSL_SECAGG_ADVERTISE;
    if (memcmp(m.id, is_first ? c->ctx : c->sid, 32) != 0)
        return CSL_FAIL(err, CSL_E_STATE, "a message of another round or session");
    x.place = csl_secagg__coordinator_place(c, m.site);
    if (!is_first && x.place == UINT32_MAX)
        return CSL_FAIL(err, CSL_E_DENIED, "site %u came too late for this session", m.site);
    if (!csl_secagg_is_signed(&m, c->setup.roster->sites[x.row].key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "not signed by site %u", m.site);
    if (m.type == CSL_SECAGG_OPENING)
        return opening(c, &x, err);
    if (m.type >= CSL_SECAGG_SAID_MAX)
        return CSL_FAIL(err, CSL_E_PROTO, "a message of type %u to the coordinator", m.type);
    return accept(c, &x, err);
}
