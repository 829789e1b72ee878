#include "privacy/secagg/site_internal.h"

#include "base/check.h"
#include "base/mem.h"

/* ---- M2 ---- */

static enum csl_code check_own(struct csl_secagg_site *s, const struct csl_secagg_message *m,
                               struct csl_err *err)
{
    const struct csl_secagg_advertise *a = &m->u.advertise, *own = &s->at.own;
    if (csl_point_equal(&a->mask_key, &own->mask_key) &&
        memcmp(a->channel_key, own->channel_key, 32) == 0 &&
        memcmp(a->nonce, own->nonce, 32) == 0 && memcmp(a->head, own->head, 32) == 0)
        return CSL_OK;
    /* Its signature was found good: it was made here, in a time that the journal lost. */
    csl_secagg__site_suspend(s, NULL,
                             "this site signed other keys for this round: its state was "
                             "rolled back, or its identity key is in other hands");
    return CSL_FAIL(err, CSL_E_DENIED, "other keys of this site");
}

static enum csl_code check_advertised(struct csl_secagg_site *s, const struct csl_secagg_message *m,
                                      uint32_t row, struct csl_err *err)
{
    const struct csl_secagg_roster *roster = s->setup.roster;
    const struct csl_secagg_advertise *a = &m->u.advertise;
    if (row == UINT32_MAX || !roster->sites[row].is_active)
        return CSL_FAIL(err, CSL_E_DENIED, "site %u is not an active site of the roster", m->site);
    if (!csl_secagg_is_signed(m, roster->sites[row].key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "the keys of site %u are not signed by it", m->site);
    if (!csl_point_is_valid(&a->mask_key) || !csl_agree_channel_key_is_valid(a->channel_key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "site %u has keys that are none", m->site);
    if (memcmp(a->head, s->at.config.previous_head, 32) != 0)
        return CSL_FAIL(err, CSL_E_DENIED, "site %u knows another ledger", m->site);
    return m->site == s->setup.site ? check_own(s, m, err) : CSL_OK;
}

static enum csl_code check_unique(const struct csl_secagg_round_keys *k, struct csl_err *err)
{
    for (uint32_t i = 0; i < k->count; i++) {
        const uint8_t *a = k->advertised + (size_t)i * CSL_SECAGG_ADVERTISE_BYTES;
        for (uint32_t j = 0; j < i; j++) {
            const uint8_t *b = k->advertised + (size_t)j * CSL_SECAGG_ADVERTISE_BYTES;
            if (memcmp(a + CSL_SECAGG_HEADER_BYTES, b + CSL_SECAGG_HEADER_BYTES, 32) == 0 ||
                memcmp(a + CSL_SECAGG_HEADER_BYTES + 32, b + CSL_SECAGG_HEADER_BYTES + 32, 32) == 0)
                return CSL_FAIL(err, CSL_E_CRYPTO, "two sites have the same key");
        }
    }
    return CSL_OK;
}

static enum csl_code check_round_keys(struct csl_secagg_site *s, const struct csl_secagg_message *m,
                                      uint32_t *ids, uint32_t *rows, struct csl_err *err)
{
    static const uint8_t zero[32];
    const struct csl_secagg_round_keys *k = &m->u.round_keys;
    const struct csl_secagg_config *c = &s->at.config;
    uint32_t quorum = csl_secagg_quorum(k->count, c->colluding);
    if (k->count < c->sites_min || k->count > c->roster_count || quorum > k->count)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "%u sites; at least %u, and more than the %u that may collude, are needed",
                        k->count, c->sites_min, c->colluding);
    if (k->quorum != quorum || k->threshold != csl_secagg_graph_threshold(c, quorum))
        return CSL_FAIL(err, CSL_E_DENIED,
                        "quorum %u and threshold %u; %u and %u follow from %u sites of which %u "
                        "may collude",
                        k->quorum, k->threshold, quorum, csl_secagg_graph_threshold(c, quorum),
                        k->count, c->colluding);
    if (memcmp(k->graph_seed, c->graph == 0 ? zero : s->setup.epoch_seed, 32) != 0)
        return CSL_FAIL(err, c->graph == 0 ? CSL_E_UNSUPPORTED : CSL_E_DENIED,
                        "another seed of the share graph than the roster's sites drew");
    bool is_in = false;
    for (uint32_t i = 0; i < k->count; i++) {
        struct csl_secagg_message one;
        csl_secagg_advertised_at(k, i, &one);
        ids[i] = one.site;
        rows[i] = csl_secagg_roster_find(s->setup.roster, one.site);
        enum csl_code code = check_advertised(s, &one, rows[i], err);
        if (code != CSL_OK)
            return code;
        is_in = is_in || one.site == s->setup.site;
    }
    if (!is_in)
        return CSL_FAIL(err, CSL_E_DENIED, "the round was closed without this site");
    return check_unique(k, err);
}

static enum csl_code deal(struct csl_secagg_attempt *a, uint32_t threshold,
                          struct csl_point *commitments, struct csl_err *err)
{
    enum csl_code code = csl_vss_polynomial(a->z, CSL_SECAGG_LABEL_SELF, threshold, a->b, err);
    if (code == CSL_OK)
        code = csl_vss_polynomial(a->z, CSL_SECAGG_LABEL_MASK, threshold, a->s, err);
    if (code == CSL_OK)
        code = csl_vss_commit(a->b, threshold, commitments, err);
    if (code == CSL_OK)
        code = csl_vss_commit(a->s, threshold, commitments + threshold, err);
    CSL_ASSERT(code != CSL_OK || csl_point_equal(commitments + threshold, &a->own.mask_key));
    if (code == CSL_OK && a->r != NULL)
        code = csl_vss_polynomial(a->z, CSL_SECAGG_LABEL_GRAPH, threshold, a->r, err);
    if (code == CSL_OK && a->r != NULL)
        code = csl_vss_commit(a->r, threshold, commitments + (size_t)2 * threshold, err);
    return code;
}

void csl_secagg__site_dealing(const struct csl_secagg_attempt *a, struct csl_secagg_shares *out)
{
    size_t t = a->threshold;
    *out = (struct csl_secagg_shares){.threshold = a->threshold,
                                      .b = a->own_commitments,
                                      .s = a->own_commitments + t,
                                      .r = a->r != NULL ? a->own_commitments + 2 * t : NULL};
}

static void begin_session(struct csl_secagg_site *s)
{
    struct csl_secagg_attempt *a = &s->at;
    struct csl_secagg_shares own;
    struct csl_secagg_ring ring;
    bool is_sparse = a->config.graph != 0;
    a->n1 = a->keys.view.u.round_keys.count;
    a->votes_min = a->keys.view.u.round_keys.quorum;
    a->threshold = a->keys.view.u.round_keys.threshold;
    csl_secagg_sid(&a->keys.view, a->sid);
    a->place = csl_secagg__place(a->n1, a->ids, s->setup.site);
    CSL_ASSERT(a->place < a->n1);
    csl_secagg__site_dealing(a, &own);
    csl_secagg_shares_hash(&own, a->dealings[a->place]);
    if (is_sparse)
        csl_secagg_share_graph(&ring, s->setup.epoch_seed, s->setup.roster, a->config.share_degree);
    csl_secagg_share_peers(is_sparse ? &ring : NULL, a->n1, a->rows, a->place, &a->peers);
    csl_secagg_set_put(&a->dealers, a->place);
    csl_secagg_set_put(&a->accepted, a->place);
}

enum csl_code csl_secagg__site_round_keys(struct csl_secagg_site *s,
                                          const struct csl_secagg_message *m, struct csl_err *err)
{
    struct csl_secagg_attempt *a = &s->at;
    if (csl_secagg__is_kept(&a->keys, m))
        return csl_secagg__site_send_shares(s, err);
    if (memcmp(m->id, a->ctx, 32) != 0)
        return CSL_FAIL(err, CSL_E_STATE, "keys of another round");
    if (!csl_secagg_is_signed(m, s->setup.roster->coordinator_key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "not signed by the coordinator");
    if (a->keys.bytes.p != NULL)
        return CSL_FAIL(err, CSL_E_STATE, "another list of keys than the one accepted before");
    uint32_t n = m->u.round_keys.count;
    uint32_t *ids = csl_alloc_array(n, sizeof(*ids)), *rows = csl_alloc_array(n, sizeof(*rows));
    uint8_t(*dealings)[32] = csl_alloc_array(n, sizeof(*dealings));
    struct csl_point *commitments = csl_alloc_array((size_t)3 * n, sizeof(*commitments));
    enum csl_code code = CSL_OK;
    if (ids == NULL || rows == NULL || dealings == NULL || commitments == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u sites", n);
    if (code == CSL_OK)
        code = check_round_keys(s, m, ids, rows, err);
    if (code == CSL_OK)
        code = deal(a, m->u.round_keys.threshold, commitments, err);
    if (code == CSL_OK)
        code = csl_secagg__keep(&a->keys, m, err);
    if (code != CSL_OK) {
        csl_free(ids);
        csl_free(rows);
        csl_free(dealings);
        csl_free(commitments);
        return code;
    }
    csl_secagg__site_journal(s, CSL_SECAGG_SJ_MESSAGE, m->whole);
    a->ids = ids;
    a->rows = rows;
    a->dealings = dealings;
    a->own_commitments = commitments;
    begin_session(s);
    return csl_secagg__site_send_shares(s, err);
}

/* PRKe between this site and the one at `place`. */
static enum csl_code channel_key(const struct csl_secagg_attempt *a, uint32_t own, uint32_t place,
                                 uint8_t prk[CSL_AGREE_KEY_BYTES], struct csl_err *err)
{
    struct csl_secagg_message peer;
    csl_secagg_advertised_at(&a->keys.view.u.round_keys, place, &peer);
    return csl_agree_channel(own, a->e, a->own.channel_key, peer.site, peer.u.advertise.channel_key,
                             a->sid, prk, err);
}

static enum csl_code own_shares(const struct csl_secagg_attempt *a, uint32_t place,
                                struct csl_seal_shares *out, struct csl_err *err)
{
    enum csl_code code = csl_vss_share(a->b, a->threshold, place, &out->b, err);
    return code == CSL_OK ? csl_vss_share(a->s, a->threshold, place, &out->s, err) : code;
}

/* out: CSL_SEAL3_BYTES in graph 1, else CSL_SEAL_BYTES. */
static enum csl_code seal_for(const struct csl_secagg_site *s, uint32_t place, uint8_t *out,
                              struct csl_err *err)
{
    const struct csl_secagg_attempt *a = &s->at;
    struct csl_seal_context context = {.from = s->setup.site, .to = a->ids[place]};
    struct csl_seal_shares shares;
    struct csl_scalar third;
    struct csl_seal_key key;
    uint8_t prk[CSL_AGREE_KEY_BYTES];
    memcpy(context.sid, a->sid, 32);
    memcpy(context.commitments, a->dealings[a->place], 32);
    enum csl_code code = channel_key(a, s->setup.site, place, prk, err);
    if (code == CSL_OK)
        code = csl_seal_key_derive(prk, context.from, context.to, &key, err);
    if (code == CSL_OK)
        code = own_shares(a, place, &shares, err);
    if (code == CSL_OK && a->r != NULL)
        code = csl_vss_share(a->r, a->threshold, place, &third, err);
    if (code == CSL_OK)
        code = a->r != NULL ? csl_seal_share3(&key, &context, &shares, &third, out, err)
                            : csl_seal_share(&key, &context, &shares, out, err);
    csl_wipe(prk, sizeof(prk));
    csl_wipe(&key, sizeof(key));
    csl_wipe(&shares, sizeof(shares));
    csl_wipe(&third, sizeof(third));
    return code;
}

enum csl_code csl_secagg__site_send_shares(struct csl_secagg_site *s, struct csl_err *err)
{
    const struct csl_secagg_attempt *a = &s->at;
    if (s->is_restoring)
        return CSL_OK;
    bool is_sparse = a->r != NULL;
    size_t bytes = is_sparse ? (size_t)CSL_SEAL3_BYTES : (size_t)CSL_SEAL_BYTES;
    uint8_t *sealed = csl_alloc_array(a->n1, bytes);
    if (sealed == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u shares", a->n1);
    enum csl_code code = CSL_OK;
    uint32_t n = 0;
    for (uint32_t i = 0; code == CSL_OK && i < a->n1; i++)
        if (csl_secagg_set_has(&a->peers, i))
            code = seal_for(s, i, sealed + bytes * n++, err);
    if (code == CSL_OK) {
        struct csl_secagg_message m = {.type = is_sparse ? CSL_SECAGG_SPARSE_SHARES
                                                         : CSL_SECAGG_SHARES};
        csl_secagg__site_dealing(a, &m.u.shares);
        m.u.shares.sealed_count = n;
        m.u.shares.sealed = sealed;
        memcpy(m.id, a->sid, 32);
        code = csl_secagg__site_send(s, &m, err);
    }
    csl_free(sealed);
    return code;
}

/* ---- M4, M5, disputes, M6 ---- */

/* CSL_E_CRYPTO: the dealer's fault, to complain about. */
static enum csl_code open_dealt(const struct csl_secagg_site *s,
                                const struct csl_secagg_message *dealer, uint32_t place,
                                const uint8_t dealing[32], struct csl_seal_shares *out,
                                struct csl_scalar *third, struct csl_err *err)
{
    const struct csl_secagg_attempt *a = &s->at;
    struct csl_seal_context context = {.from = dealer->site, .to = s->setup.site};
    struct csl_seal_key key;
    uint8_t prk[CSL_AGREE_KEY_BYTES];
    struct csl_secagg_message keys;
    memcpy(context.sid, a->sid, 32);
    memcpy(context.commitments, dealing, 32);
    csl_secagg_advertised_at(&a->keys.view.u.round_keys, place, &keys);
    if (!csl_point_equal(&dealer->u.shares.s[0], &keys.u.advertise.mask_key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "site %u shares another key than it advertised",
                        dealer->site);
    enum csl_code code = channel_key(a, s->setup.site, place, prk, err);
    if (code == CSL_OK)
        code = csl_seal_key_derive(prk, context.from, context.to, &key, err);
    const uint8_t *sealed = dealer->u.shares.sealed;
    if (code == CSL_OK)
        code = a->r != NULL ? csl_seal_open3(&key, &context, sealed, out, third, err)
                            : csl_seal_open(&key, &context, sealed, out, err);
    if (code == CSL_OK)
        code = csl_vss_verify(&out->b, a->place, dealer->u.shares.b, a->threshold, err);
    if (code == CSL_OK)
        code = csl_vss_verify(&out->s, a->place, dealer->u.shares.s, a->threshold, err);
    if (code == CSL_OK && a->r != NULL)
        code = csl_vss_verify(third, a->place, dealer->u.shares.r, a->threshold, err);
    csl_wipe(prk, sizeof(prk));
    csl_wipe(&key, sizeof(key));
    return code;
}

static enum csl_code check_delivery(const struct csl_secagg_site *s,
                                    const struct csl_secagg_message *m, struct csl_err *err)
{
    for (uint32_t i = 0; i < m->u.delivery.count; i++) {
        struct csl_secagg_message dealer;
        csl_secagg_delivery_at(m, i, &dealer);
        uint32_t place = csl_secagg__place(s->at.n1, s->at.ids, dealer.site);
        if (!csl_secagg_set_has(&s->at.peers, place))
            return CSL_FAIL(err, CSL_E_PROTO, "shares of site %u, which deals none to us",
                            dealer.site);
        if (!csl_secagg_is_signed(&dealer, csl_secagg__site_key(s, place)))
            return CSL_FAIL(err, CSL_E_CRYPTO, "the commitments of site %u are not signed by it",
                            dealer.site);
    }
    return CSL_OK;
}

enum csl_code csl_secagg__site_delivery(struct csl_secagg_site *s,
                                        const struct csl_secagg_message *m, struct csl_err *err)
{
    struct csl_secagg_attempt *a = &s->at;
    if (csl_secagg__is_kept(&a->delivery, m))
        return csl_secagg__site_send_ack(s, err);
    if (a->delivery.bytes.p != NULL)
        return CSL_FAIL(err, CSL_E_STATE, "other shares than those delivered before");
    if (m->site != s->setup.site || m->u.delivery.threshold != a->threshold ||
        (m->type == CSL_SECAGG_SPARSE_DELIVERY) != (a->config.graph != 0))
        return CSL_FAIL(err, CSL_E_PROTO, "shares for another site, or of another threshold");
    enum csl_code code = check_delivery(s, m, err);
    struct csl_secagg_set dealers = a->dealers, accepted = a->accepted, complaints = {{0}};
    for (uint32_t i = 0; code == CSL_OK && i < m->u.delivery.count; i++) {
        struct csl_secagg_message dealer;
        struct csl_seal_shares shares;
        struct csl_scalar third;
        csl_secagg_delivery_at(m, i, &dealer);
        uint32_t place = csl_secagg__place(a->n1, a->ids, dealer.site);
        csl_secagg_shares_hash(&dealer.u.shares, a->dealings[place]);
        csl_secagg_set_put(&dealers, place);
        code = open_dealt(s, &dealer, place, a->dealings[place], &shares, &third, err);
        if (code == CSL_OK) {
            a->received[place] = shares;
            if (a->r != NULL)
                a->received_r[place] = third;
            csl_secagg_set_put(&accepted, place);
        } else if (code != CSL_E_NOMEM) {
            csl_secagg_set_put(&complaints, place);
            code = CSL_OK;
        }
        csl_wipe(&shares, sizeof(shares));
        csl_wipe(&third, sizeof(third));
    }
    if (code == CSL_OK)
        code = csl_secagg__keep(&a->delivery, m, err);
    if (code != CSL_OK)
        return code;
    a->dealers = dealers;
    a->accepted = accepted;
    a->complaints = complaints;
    csl_secagg__site_journal(s, CSL_SECAGG_SJ_MESSAGE, m->whole);
    return csl_secagg__site_send_ack(s, err);
}

static enum csl_code send_ready(struct csl_secagg_site *s, struct csl_err *err)
{
    const struct csl_secagg_attempt *a = &s->at;
    struct csl_secagg_message m = {
        .type = CSL_SECAGG_READY,
        .u.ready = {.block_count = csl_secagg_block_total(&a->config), .blocks = a->blocks}};
    memcpy(m.id, a->sid, 32);
    return csl_secagg__site_send(s, &m, err);
}

enum csl_code csl_secagg__site_send_ack(struct csl_secagg_site *s, struct csl_err *err)
{
    const struct csl_secagg_attempt *a = &s->at;
    struct csl_secagg_message m = {
        .type = CSL_SECAGG_ACK,
        .u.ack = {.count = a->n1, .accepted = a->accepted, .complaints = a->complaints}};
    memcpy(m.id, a->sid, 32);
    enum csl_code code = csl_secagg__site_send(s, &m, err);
    return code == CSL_OK && a->is_trained ? send_ready(s, err) : code;
}

static enum csl_code check_dispute(struct csl_secagg_site *s, const struct csl_secagg_message *m,
                                   uint32_t *receiver, struct csl_err *err)
{
    const struct csl_secagg_attempt *a = &s->at;
    struct csl_secagg_message ack;
    enum csl_code code = csl_secagg_decode(&ack, m->u.dispute.ack, err);
    if (code != CSL_OK)
        return code;
    uint32_t place = csl_secagg__place(a->n1, a->ids, ack.site);
    if (m->site != s->setup.site || ack.type != CSL_SECAGG_ACK ||
        !csl_secagg_set_has(&a->peers, place) || memcmp(ack.id, a->sid, 32) != 0 ||
        ack.u.ack.count != a->n1 || !csl_secagg_set_has(&ack.u.ack.complaints, a->place))
        return CSL_FAIL(err, CSL_E_PROTO, "a dispute that is none with this site");
    if (!csl_secagg_is_signed(&ack, csl_secagg__site_key(s, place)))
        return CSL_FAIL(err, CSL_E_CRYPTO, "the complaint is not signed by site %u", ack.site);
    uint32_t max = csl_secagg_graph_openings(&a->config, csl_secagg_roster_active(s->setup.roster),
                                             a->threshold);
    if (!csl_secagg_set_has(&a->opened, place)) {
        if (a->senders.bytes.p != NULL || a->vote != 0)
            return CSL_FAIL(err, CSL_E_STATE, "a dispute after the senders were fixed");
        if (csl_secagg_set_count(&a->opened) >= max)
            return CSL_FAIL(err, CSL_E_DENIED,
                            "%u of this site's shares are public; one more, with those of %u "
                            "colluding sites, could give its secrets away",
                            max, a->config.colluding);
    }
    *receiver = place;
    return CSL_OK;
}

enum csl_code csl_secagg__site_dispute(struct csl_secagg_site *s,
                                       const struct csl_secagg_message *m, struct csl_err *err)
{
    struct csl_secagg_attempt *a = &s->at;
    uint32_t receiver = 0;
    struct csl_secagg_message reply = {.type = CSL_SECAGG_OPENING};
    enum csl_code code = check_dispute(s, m, &receiver, err);
    if (code == CSL_OK)
        code = own_shares(a, receiver, &reply.u.opening.shares, err);
    if (code != CSL_OK)
        return code;
    if (!csl_secagg_set_has(&a->opened, receiver))
        csl_secagg__site_journal(s, CSL_SECAGG_SJ_MESSAGE, m->whole);
    csl_secagg_set_put(&a->opened, receiver);
    memcpy(reply.id, a->sid, 32);
    reply.u.opening.receiver = a->ids[receiver];
    return csl_secagg__site_send(s, &reply, err);
}

enum csl_code csl_secagg__site_trained(struct csl_secagg_site *s,
                                       const struct csl_secagg_set *blocks, struct csl_err *err)
{
    struct csl_secagg_attempt *a = &s->at;
    struct csl_secagg_set all = *blocks;
    if (!a->exists || a->keys.bytes.p == NULL)
        return CSL_FAIL(err, CSL_E_STATE, "no session to train for");
    for (uint32_t b = 0; b < CSL_SECAGG_SITES_MAX; b++)
        if (csl_secagg_set_has(blocks, b) &&
            (b >= a->config.block_count ||
             !csl_secagg_set_has(&a->config.blocks[b].eligible, s->row)))
            return CSL_FAIL(err, CSL_E_DENIED, "block %u is not for this site", b);
    if (a->config.scalar_count > 0)
        csl_secagg_set_put(&all, a->config.block_count);
    if (csl_secagg_set_count(&all) == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "no block is sent");
    if (a->is_trained && !csl_secagg_set_equal(&all, &a->blocks))
        return CSL_FAIL(err, CSL_E_STATE, "other blocks than were announced");
    if (!a->is_trained)
        csl_secagg__site_journal(s, CSL_SECAGG_SJ_TRAINED,
                                 CSL_SPAN(blocks->bits, sizeof(blocks->bits)));
    a->is_trained = true;
    a->blocks = all;
    return a->delivery.bytes.p != NULL ? send_ready(s, err) : CSL_OK;
}
