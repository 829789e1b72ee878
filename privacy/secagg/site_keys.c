#include "privacy/secagg/site_internal.h"

#include "base/check.h"
#include "base/le.h"
#include "base/mem.h"

/* What a site asks of a new configuration. Not asked again on a restart. */
static enum csl_code check_fate(const struct csl_secagg_site *s, const struct csl_secagg_config *c,
                                struct csl_err *err)
{
    uint8_t pair[32];
    if (c->round < s->last_round || (c->round == s->last_round && c->attempt <= s->last_attempt))
        return CSL_FAIL(err, CSL_E_DENIED, "round %llu, attempt %u came before",
                        (unsigned long long)c->round, c->attempt);
    if (c->round == s->last_round && s->at.update == CSL_SECAGG_UPDATE_PENDING)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the update of this round was sent in an earlier attempt, and neither a "
                        "certificate that it was abandoned nor a quorum without it was shown");
    if (c->round == s->last_round && s->at.update == CSL_SECAGG_UPDATE_INCLUDED)
        return CSL_FAIL(err, CSL_E_DENIED, "the update of this round is in a sum already");
    csl_secagg__pair_digest(c, pair);
    if (csl_secagg__digests_have(&s->contributed, pair))
        return CSL_FAIL(err, CSL_E_DENIED,
                        "this site contributed to this model and plan before; training again "
                        "would give the same update for another sum");
    if (memcmp(c->previous_head, s->head, 32) != 0)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the round follows a ledger head that this site does not know");
    return CSL_OK;
}

static enum csl_code check_config(const struct csl_secagg_site *s,
                                  const struct csl_secagg_config *c,
                                  const struct csl_secagg_site_event *ev, struct csl_err *err)
{
    uint8_t hash[32];
    if (!csl_secagg_config_is_signed(ev->bytes, s->setup.roster->coordinator_key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "the configuration is not signed by the coordinator");
    enum csl_code code = check_fate(s, c, err);
    if (code != CSL_OK)
        return code;
    if (memcmp(c->model_hash, ev->model_hash, 32) != 0 ||
        memcmp(c->plan_hash, ev->plan_hash, 32) != 0)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the round is of another model or plan than this site received");
    csl_secagg_weights_hash(ev->weights, c->roster_count, c->block_count, hash);
    if (memcmp(c->weights_hash, hash, 32) != 0)
        return CSL_FAIL(err, CSL_E_DENIED, "the table of weights is not the one that is signed");
    return csl_secagg_policy_check_config(&s->setup.policy, c, ev->weights, err);
}

static enum csl_code open_attempt(struct csl_secagg_attempt *a, struct csl_secagg_site *s,
                                  const struct csl_secagg_site_event *ev, struct csl_err *err)
{
    uint32_t n = a->config.roster_count;
    size_t words = (size_t)n * a->config.block_count;
    a->weights = csl_alloc_array(words + 1, sizeof(*a->weights));
    if (a->weights == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the weights");
    if (words > 0)
        memcpy(a->weights, ev->weights, words * sizeof(*a->weights));
    enum csl_code code = csl_msg_copy(&a->config_bytes, ev->bytes, err);
    if (code == CSL_OK)
        code = csl_secret_new(&a->memory, 512 + (size_t)128 * n, s->setup.memory, err);
    if (code != CSL_OK)
        return code;
    a->z = csl_secret_alloc(a->memory, 32);
    a->e = csl_secret_alloc(a->memory, CSL_AGREE_X25519_BYTES);
    a->b = csl_secret_alloc(a->memory, sizeof(*a->b) * n);
    a->s = csl_secret_alloc(a->memory, sizeof(*a->s) * n);
    a->received = csl_secret_alloc(a->memory, sizeof(*a->received) * n);
    CSL_ASSERT(a->z != NULL && a->e != NULL && a->b != NULL && a->s != NULL && a->received != NULL);
    memcpy(a->z, ev->secret, 32);
    csl_secagg_config_ctx(ev->bytes, a->ctx);
    a->exists = true;
    return csl_secagg_derive_advertise(a->z, s->head, a->e, &a->own, err);
}

static enum csl_code journal_snapshot(struct csl_secagg_site *s, struct csl_err *err)
{
    struct csl_buf out;
    csl_buf_init(&out, SIZE_MAX / 2);
    csl_buf_le64(&out, s->last_round);
    csl_buf_le16(&out, s->last_attempt);
    csl_buf_append(&out, s->head, 32);
    csl_buf_u8(&out, s->is_suspended ? 1 : 0);
    csl_buf_le32(&out, s->votes.count);
    csl_buf_append(&out, s->votes.items, (size_t)32 * s->votes.count);
    csl_buf_le32(&out, s->contributed.count);
    csl_buf_append(&out, s->contributed.items, (size_t)32 * s->contributed.count);
    enum csl_code code = csl_buf_status(&out, err);
    if (code == CSL_OK)
        csl_secagg__site_journal(s, CSL_SECAGG_SJ_SNAPSHOT, CSL_SPAN(out.p, out.n));
    csl_buf_release(&out);
    return code;
}

enum csl_code csl_secagg__site_forget(struct csl_secagg_site *s, struct csl_err *err)
{
    enum csl_code code = journal_snapshot(s, err);
    if (code == CSL_OK)
        csl_secagg__attempt_release(&s->at);
    return code;
}

/* z || le32 length || M0 || weights, in one piece of memory that is wiped. */
static enum csl_code journal_config(struct csl_secagg_site *s, const struct csl_secagg_attempt *a,
                                    struct csl_err *err)
{
    size_t words = (size_t)a->config.roster_count * a->config.block_count;
    size_t n = 36 + a->config_bytes.n + 4 * words;
    uint8_t *p = csl_alloc(n);
    if (p == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a record");
    memcpy(p, a->z, 32);
    csl_store_le32(p + 32, (uint32_t)a->config_bytes.n);
    memcpy(p + 36, a->config_bytes.p, a->config_bytes.n);
    for (size_t i = 0; i < words; i++)
        csl_store_le32(p + 36 + a->config_bytes.n + 4 * i, a->weights[i]);
    enum csl_code code = journal_snapshot(s, err);
    if (code == CSL_OK)
        csl_secagg__site_journal(s, CSL_SECAGG_SJ_CONFIG, CSL_SPAN(p, n));
    csl_wipe(p, n);
    csl_free(p);
    return code;
}

enum csl_code csl_secagg__site_send_advertise(struct csl_secagg_site *s, struct csl_err *err)
{
    struct csl_secagg_message m = {.type = CSL_SECAGG_ADVERTISE, .u.advertise = s->at.own};
    memcpy(m.id, s->at.ctx, 32);
    return csl_secagg__site_send(s, &m, err);
}

enum csl_code csl_secagg__site_config(struct csl_secagg_site *s,
                                      const struct csl_secagg_site_event *ev, struct csl_err *err)
{
    struct csl_secagg_attempt a = {0};
    if (s->at.exists && csl_span_equal(csl_msg_span(&s->at.config_bytes), ev->bytes))
        return csl_secagg__site_send_advertise(s, err);
    enum csl_code code = csl_secagg_config_decode(&a.config, ev->bytes, err);
    if (code != CSL_OK)
        return code;
    const struct csl_secagg_roster *roster = s->setup.roster;
    if (memcmp(a.config.roster_hash, roster->hash, 32) != 0 ||
        a.config.roster_count != roster->count ||
        memcmp(a.config.federation_id, roster->federation_id, 16) != 0)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the round is of another roster than the one the root signed for us");
    if (!s->is_restoring)
        code = check_config(s, &a.config, ev, err);
    if (code == CSL_OK)
        code = open_attempt(&a, s, ev, err);
    if (code == CSL_OK && !s->is_restoring)
        code = journal_config(s, &a, err);
    if (code != CSL_OK) {
        csl_secagg__attempt_release(&a);
        return code;
    }
    csl_secagg__attempt_release(&s->at);
    s->at = a;
    s->last_round = a.config.round;
    s->last_attempt = a.config.attempt;
    return csl_secagg__site_send_advertise(s, err);
}

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
    if (k->quorum != quorum || k->threshold != quorum)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "quorum %u and threshold %u; %u for both follows from %u sites of which "
                        "%u may collude",
                        k->quorum, k->threshold, quorum, k->count, c->colluding);
    if (memcmp(k->graph_seed, zero, 32) != 0)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED, "a seed for a sparse graph");
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
    return code;
}

static void begin_session(struct csl_secagg_site *s)
{
    struct csl_secagg_attempt *a = &s->at;
    a->n1 = a->keys.view.u.round_keys.count;
    a->threshold = a->keys.view.u.round_keys.threshold;
    csl_secagg_sid(&a->keys.view, a->sid);
    a->place = csl_secagg__place(a->n1, a->ids, s->setup.site);
    CSL_ASSERT(a->place < a->n1);
    csl_secagg_dealing_hash(a->own_commitments, a->own_commitments + a->threshold, a->threshold,
                            a->dealings[a->place]);
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
    struct csl_point *commitments = csl_alloc_array((size_t)2 * n, sizeof(*commitments));
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

static enum csl_code seal_for(const struct csl_secagg_site *s, uint32_t place,
                              uint8_t out[CSL_SEAL_BYTES], struct csl_err *err)
{
    const struct csl_secagg_attempt *a = &s->at;
    struct csl_seal_context context = {.from = s->setup.site, .to = a->ids[place]};
    struct csl_seal_shares shares;
    struct csl_seal_key key;
    uint8_t prk[CSL_AGREE_KEY_BYTES];
    memcpy(context.sid, a->sid, 32);
    memcpy(context.commitments, a->dealings[a->place], 32);
    enum csl_code code = channel_key(a, s->setup.site, place, prk, err);
    if (code == CSL_OK)
        code = csl_seal_key_derive(prk, context.from, context.to, &key, err);
    if (code == CSL_OK)
        code = own_shares(a, place, &shares, err);
    if (code == CSL_OK)
        code = csl_seal_share(&key, &context, &shares, out, err);
    csl_wipe(prk, sizeof(prk));
    csl_wipe(&key, sizeof(key));
    csl_wipe(&shares, sizeof(shares));
    return code;
}

enum csl_code csl_secagg__site_send_shares(struct csl_secagg_site *s, struct csl_err *err)
{
    const struct csl_secagg_attempt *a = &s->at;
    if (s->is_restoring)
        return CSL_OK;
    uint8_t *sealed = csl_alloc_array(a->n1, CSL_SEAL_BYTES);
    if (sealed == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u shares", a->n1);
    enum csl_code code = CSL_OK;
    uint32_t n = 0;
    for (uint32_t i = 0; code == CSL_OK && i < a->n1; i++)
        if (i != a->place)
            code = seal_for(s, i, sealed + (size_t)CSL_SEAL_BYTES * n++, err);
    if (code == CSL_OK) {
        struct csl_secagg_message m = {.type = CSL_SECAGG_SHARES,
                                       .u.shares = {.threshold = a->threshold,
                                                    .b = a->own_commitments,
                                                    .s = a->own_commitments + a->threshold,
                                                    .sealed_count = n,
                                                    .sealed = sealed}};
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
                                struct csl_err *err)
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
    if (code == CSL_OK)
        code = csl_seal_open(&key, &context, dealer->u.shares.sealed, out, err);
    if (code == CSL_OK)
        code = csl_vss_verify(&out->b, a->place, dealer->u.shares.b, a->threshold, err);
    if (code == CSL_OK)
        code = csl_vss_verify(&out->s, a->place, dealer->u.shares.s, a->threshold, err);
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
        if (place == UINT32_MAX || dealer.site == s->setup.site)
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
    if (m->site != s->setup.site || m->u.delivery.threshold != a->threshold)
        return CSL_FAIL(err, CSL_E_PROTO, "shares for another site, or of another threshold");
    enum csl_code code = check_delivery(s, m, err);
    struct csl_secagg_set dealers = a->dealers, accepted = a->accepted, complaints = {{0}};
    for (uint32_t i = 0; code == CSL_OK && i < m->u.delivery.count; i++) {
        struct csl_secagg_message dealer;
        struct csl_seal_shares shares;
        csl_secagg_delivery_at(m, i, &dealer);
        uint32_t place = csl_secagg__place(a->n1, a->ids, dealer.site);
        csl_secagg_dealing_hash(dealer.u.shares.b, dealer.u.shares.s, a->threshold,
                                a->dealings[place]);
        csl_secagg_set_put(&dealers, place);
        code = open_dealt(s, &dealer, place, a->dealings[place], &shares, err);
        if (code == CSL_OK) {
            a->received[place] = shares;
            csl_secagg_set_put(&accepted, place);
        } else if (code != CSL_E_NOMEM) {
            csl_secagg_set_put(&complaints, place);
            code = CSL_OK;
        }
        csl_wipe(&shares, sizeof(shares));
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
    if (m->site != s->setup.site || ack.type != CSL_SECAGG_ACK || place == UINT32_MAX ||
        place == a->place || memcmp(ack.id, a->sid, 32) != 0 || ack.u.ack.count != a->n1 ||
        !csl_secagg_set_has(&ack.u.ack.complaints, a->place))
        return CSL_FAIL(err, CSL_E_PROTO, "a dispute that is none with this site");
    if (!csl_secagg_is_signed(&ack, csl_secagg__site_key(s, place)))
        return CSL_FAIL(err, CSL_E_CRYPTO, "the complaint is not signed by site %u", ack.site);
    uint32_t max = csl_secagg_openings_max(a->threshold, a->config.colluding);
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
