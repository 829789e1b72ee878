#include "privacy/secagg/site_internal.h"

#include "base/check.h"
#include "base/le.h"
#include "base/mem.h"

static void settle(struct csl_secagg_site *s, enum csl_secagg_update update)
{
    uint8_t pair[32];
    s->at.update = update;
    csl_secagg__pair_digest(s, &s->at.config, pair);
    if (update == CSL_SECAGG_UPDATE_EXCLUDED || update == CSL_SECAGG_UPDATE_ABANDONED)
        csl_secagg__digests_remove(&s->contributed, pair);
    csl_secagg__site_emit(s, CSL_SECAGG_SA_SETTLED, CSL_SECAGG_SJ_MESSAGE, CSL_SPAN(NULL, 0), NULL);
}

/* ---- masks and manifest ---- */

static enum csl_code add_pair(const struct csl_secagg_site *s, const struct csl_secagg_ring *rings,
                              struct csl_secagg_masks *masks, uint32_t place, struct csl_err *err)
{
    const struct csl_secagg_attempt *a = &s->at;
    const struct csl_secagg_senders *k = &a->senders.view.u.senders;
    struct csl_secagg_set blocks = {{0}};
    for (uint32_t b = 0; b < k->block_count; b++) {
        struct csl_secagg_set senders;
        csl_secagg_block_set(k->block_bits, k->count, b, &senders);
        if (csl_secagg_set_has(&senders, place) && csl_secagg_set_has(&senders, a->place))
            csl_secagg_set_put(&blocks, b);
    }
    blocks = csl_secagg_linked_blocks(rings, &blocks, a->place, place);
    if (rings != NULL && csl_secagg_set_count(&blocks) == 0)
        return CSL_OK;
    struct csl_secagg_message peer;
    uint8_t prk[CSL_AGREE_KEY_BYTES];
    csl_secagg_advertised_at(&a->keys.view.u.round_keys, place, &peer);
    enum csl_code code = csl_agree_mask(s->setup.site, &a->s[0], &a->own.mask_key, peer.site,
                                        &peer.u.advertise.mask_key, a->sid, prk, err);
    if (code == CSL_OK)
        csl_secagg_masks_pair(masks, prk, s->setup.site, peer.site,
                              s->setup.site < peer.site ? CSL_PRG_ADD : CSL_PRG_SUBTRACT, &blocks);
    csl_wipe(prk, sizeof(prk));
    return code;
}

enum csl_code csl_secagg_site_masks(const struct csl_secagg_site *s, struct csl_secagg_masks **out,
                                    struct csl_err *err)
{
    const struct csl_secagg_attempt *a = &s->at;
    if (csl_secagg_site_phase(s) != CSL_SECAGG_MASKING)
        return CSL_FAIL(err, CSL_E_STATE, "masks are given out before the manifest, and only then");
    const struct csl_secagg_set *members = &a->senders.view.u.senders.members;
    const struct csl_secagg_senders *k = &a->senders.view.u.senders;
    struct csl_secagg_masks *masks = NULL;
    struct csl_secagg_ring *rings = NULL;
    uint8_t prk[CSL_AGREE_KEY_BYTES];
    if (a->config.graph != 0) {
        rings = csl_secagg_mask_rings(a->mask_seed, a->n1, a->ids, k->block_bits, k->block_count,
                                      a->config.mask_degree);
        if (rings == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u blocks", k->block_count);
    }
    enum csl_code code =
        csl_secagg_masks_new(&masks, csl_secagg_set_count(members), s->setup.memory, err);
    if (code != CSL_OK) {
        csl_free(rings);
        return code;
    }
    code = csl_agree_self(&a->b[0], a->sid, prk, err);
    if (code == CSL_OK)
        csl_secagg_masks_self(masks, prk, s->setup.site, CSL_PRG_ADD, &a->blocks);
    csl_wipe(prk, sizeof(prk));
    for (uint32_t i = 0; code == CSL_OK && i < a->n1; i++)
        if (i != a->place && csl_secagg_set_has(members, i))
            code = add_pair(s, rings, masks, i, err);
    csl_free(rings);
    if (code != CSL_OK) {
        csl_secagg_masks_free(masks);
        return code;
    }
    *out = masks;
    return CSL_OK;
}

static void manifest(const struct csl_secagg_attempt *a, const struct csl_secagg_masked *masked,
                     struct csl_secagg_message *m)
{
    memset(m, 0, sizeof(*m));
    m->type = CSL_SECAGG_MANIFEST;
    memcpy(m->id, a->sid, 32);
    csl_secagg_body_hash(&a->senders.view, m->u.manifest.senders);
    memcpy(m->u.manifest.plain, masked->plain, 32);
    m->u.manifest.block_count = masked->block_count;
    memcpy(m->u.manifest.blocks, masked->blocks, sizeof(masked->blocks));
}

enum csl_code csl_secagg__site_send_manifest(struct csl_secagg_site *s, struct csl_err *err)
{
    struct csl_secagg_message m;
    manifest(&s->at, &s->at.masked, &m);
    enum csl_code code = csl_secagg__site_send(s, &m, err);
    if (code == CSL_OK)
        csl_secagg__site_emit(s, CSL_SECAGG_SA_UPLOAD, CSL_SECAGG_SJ_MASKED, CSL_SPAN(NULL, 0),
                              NULL);
    return code;
}

static enum csl_code check_masked(const struct csl_secagg_attempt *a,
                                  const struct csl_secagg_masked *masked, struct csl_err *err)
{
    static const struct csl_secagg_manifest_block none;
    if (masked->block_count != csl_secagg_block_total(&a->config))
        return CSL_FAIL(err, CSL_E_INVAL, "%u blocks", masked->block_count);
    for (uint32_t b = 0; b < masked->block_count; b++) {
        const struct csl_secagg_manifest_block *k = &masked->blocks[b];
        bool is_right = csl_secagg_set_has(&a->blocks, b)
                            ? k->entries == csl_secagg_block_entries(&a->config, b) &&
                                  k->chunks == csl_secagg_block_chunks(&a->config, b)
                            : k->entries == 0 && k->chunks == 0 &&
                                  memcmp(k->root, none.root, sizeof(none.root)) == 0;
        if (!is_right)
            return CSL_FAIL(err, CSL_E_INVAL, "block %u is not what was announced",
                            csl_secagg_block_id(&a->config, b));
    }
    return CSL_OK;
}

static bool same_masked(const struct csl_secagg_masked *a, const struct csl_secagg_masked *b)
{
    bool is_same = a->block_count == b->block_count && memcmp(a->plain, b->plain, 32) == 0;
    for (uint32_t i = 0; is_same && i < a->block_count; i++)
        is_same = memcmp(a->blocks[i].root, b->blocks[i].root, 32) == 0;
    return is_same;
}

/* root_i: the digest of the manifest's body. */
static enum csl_code manifest_root(const struct csl_secagg_site *s,
                                   const struct csl_secagg_masked *masked, uint8_t root[32],
                                   struct csl_err *err)
{
    struct csl_secagg_message m;
    struct csl_buf out;
    manifest(&s->at, masked, &m);
    m.site = s->setup.site;
    csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
    enum csl_code code = csl_secagg_encode(&m, NULL, &out, err);
    if (code == CSL_OK)
        csl_sha256_digest(out.p, out.n, root);
    csl_buf_release(&out);
    return code;
}

enum csl_code csl_secagg__site_masked(struct csl_secagg_site *s,
                                      const struct csl_secagg_masked *masked, struct csl_err *err)
{
    struct csl_secagg_attempt *a = &s->at;
    uint8_t pair[32];
    if (a->is_masked && same_masked(&a->masked, masked))
        return csl_secagg__site_send_manifest(s, err);
    if (csl_secagg_site_phase(s) != CSL_SECAGG_MASKING)
        return CSL_FAIL(err, CSL_E_STATE,
                        "a manifest is signed once: the file it names is the only one that may "
                        "leave");
    enum csl_code code = check_masked(a, masked, err);
    if (code == CSL_OK)
        code = manifest_root(s, masked, a->root, err);
    csl_secagg__pair_digest(s, &a->config, pair);
    if (code == CSL_OK)
        code = csl_secagg__digests_add(&s->contributed, pair, err);
    if (code != CSL_OK)
        return code;
    csl_secagg__site_journal(s, CSL_SECAGG_SJ_MASKED, CSL_SPAN(masked, sizeof(*masked)));
    a->masked = *masked;
    a->is_masked = true;
    settle(s, CSL_SECAGG_UPDATE_PENDING);
    return csl_secagg__site_send_manifest(s, err);
}

/* ---- M9, M10 ---- */

static enum csl_code check_survivors(const struct csl_secagg_attempt *a,
                                     const struct csl_secagg_survivors *k, struct csl_err *err)
{
    const struct csl_secagg_senders *senders = &a->senders.view.u.senders;
    if (k->count != a->n1 || k->block_count != senders->block_count ||
        !csl_secagg_set_within(&k->members, &senders->members))
        return CSL_FAIL(err, CSL_E_PROTO, "survivors that are not among the senders");
    for (uint32_t b = 0; b < k->block_count; b++) {
        struct csl_secagg_set sent, summed;
        csl_secagg_block_set(senders->block_bits, k->count, b, &sent);
        csl_secagg_block_set(k->block_bits, k->count, b, &summed);
        sent = csl_secagg_set_both(&sent, &k->members);
        if (!csl_secagg_set_equal(&sent, &summed))
            return CSL_FAIL(err, CSL_E_DENIED,
                            "block %u is summed over others than its surviving senders", b);
    }
    return CSL_OK;
}

static bool own_root_is_in(const struct csl_secagg_attempt *a, const struct csl_secagg_survivors *k)
{
    uint32_t before = 0;
    for (uint32_t i = 0; i < a->place; i++)
        before += csl_secagg_set_has(&k->members, i) ? 1 : 0;
    return a->is_masked && memcmp(k->roots + (size_t)32 * before, a->root, 32) == 0;
}

static enum csl_code check_floors(const struct csl_secagg_site *s, struct csl_err *err)
{
    const struct csl_secagg_attempt *a = &s->at;
    const struct csl_secagg_survivors *k = &a->survivors.view.u.survivors;
    enum csl_code code = csl_secagg_policy_check_count(&s->setup.policy, &a->config, a->votes_min,
                                                       csl_secagg_set_count(&k->members), err);
    if (code == CSL_OK)
        code = csl_secagg__site_check_losses(a, &k->members, err);
    for (uint32_t b = 0; code == CSL_OK && b < k->block_count; b++) {
        struct csl_secagg_set places, rows = {{0}};
        csl_secagg_block_set(k->block_bits, k->count, b, &places);
        for (uint32_t i = 0; i < a->n1; i++)
            if (csl_secagg_set_has(&places, i))
                csl_secagg_set_put(&rows, a->rows[i]);
        code =
            csl_secagg_policy_check_block(&s->setup.policy, &a->config, a->weights, b, &rows, err);
    }
    return code;
}

enum csl_code csl_secagg__site_set_vote(struct csl_secagg_site *s, uint8_t choice,
                                        const uint8_t transcript[32], struct csl_err *err)
{
    struct csl_secagg_attempt *a = &s->at;
    uint8_t digest[32];
    if (a->vote != 0 ||
        (choice == CSL_SECAGG_VOTE_FOR &&
         (a->survivors.bytes.p == NULL || memcmp(transcript, a->transcript, 32) != 0)))
        return CSL_FAIL(err, CSL_E_STATE, "a second vote, or one for an unknown transcript");
    csl_secagg__vote_digest(a->sid, choice, transcript, digest);
    enum csl_code code = csl_secagg__digests_add(&s->votes, digest, err);
    if (code != CSL_OK)
        return code;
    uint8_t record[33] = {choice};
    memcpy(record + 1, transcript, 32);
    csl_secagg__site_journal(s, CSL_SECAGG_SJ_VOTE, CSL_SPAN(record, sizeof(record)));
    a->vote = choice;
    memcpy(a->voted, transcript, 32);
    return CSL_OK;
}

enum csl_code csl_secagg__site_send_vote(struct csl_secagg_site *s, struct csl_err *err)
{
    const struct csl_secagg_attempt *a = &s->at;
    struct csl_secagg_message m = {.type = CSL_SECAGG_VOTE, .u.vote = {.choice = a->vote}};
    memcpy(m.id, a->sid, 32);
    memcpy(m.u.vote.transcript, a->voted, 32);
    return csl_secagg__site_send(s, &m, err);
}

static enum csl_code consider(struct csl_secagg_site *s, struct csl_err *err)
{
    struct csl_secagg_attempt *a = &s->at;
    const struct csl_secagg_survivors *k = &a->survivors.view.u.survivors;
    if (s->is_restoring || a->vote == CSL_SECAGG_VOTE_ABANDON ||
        !csl_secagg_set_has(&k->members, a->place))
        return CSL_OK; /* kept to understand a quorum, should there be one */
    if (!own_root_is_in(a, k))
        return CSL_FAIL(err, CSL_E_DENIED, "the survivors name another upload of this site");
    enum csl_code code = check_floors(s, err);
    if (code != CSL_OK)
        return code;
    csl_secagg__site_journal(s, CSL_SECAGG_SJ_MESSAGE, csl_msg_span(&a->survivors.bytes));
    code = csl_secagg__site_set_vote(s, CSL_SECAGG_VOTE_FOR, a->transcript, err);
    return code == CSL_OK ? csl_secagg__site_send_vote(s, err) : code;
}

enum csl_code csl_secagg__site_survivors(struct csl_secagg_site *s,
                                         const struct csl_secagg_message *m, struct csl_err *err)
{
    struct csl_secagg_attempt *a = &s->at;
    if (csl_secagg__is_kept(&a->survivors, m))
        return a->vote == CSL_SECAGG_VOTE_FOR ? csl_secagg__site_send_vote(s, err)
                                              : consider(s, err);
    if (a->vote == CSL_SECAGG_VOTE_FOR || a->quorum.bytes.p != NULL || a->is_certified)
        return CSL_FAIL(err, CSL_E_STATE, "other survivors than those voted on");
    if (a->senders.bytes.p == NULL)
        return CSL_FAIL(err, CSL_E_STATE, "survivors before the senders");
    if (!csl_secagg_is_signed(m, s->setup.roster->coordinator_key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "not signed by the coordinator");
    enum csl_code code = check_survivors(a, &m->u.survivors, err);
    if (code == CSL_OK)
        code = csl_secagg__keep(&a->survivors, m, err);
    if (code != CSL_OK)
        return code;
    uint8_t com[32];
    csl_secagg_bound_com(&a->senders.view, com);
    csl_secagg_transcript(&a->survivors.view, com, &a->senders.view.u.senders.members, a->ids,
                          a->transcript);
    return consider(s, err);
}

enum csl_code csl_secagg__site_give_up(struct csl_secagg_site *s, struct csl_err *err)
{
    static const uint8_t none[32];
    struct csl_secagg_attempt *a = &s->at;
    if (!a->exists || a->keys.bytes.p == NULL)
        return CSL_FAIL(err, CSL_E_STATE, "no session to abandon");
    enum csl_code code = CSL_OK;
    if (a->vote == 0)
        code = csl_secagg__site_set_vote(s, CSL_SECAGG_VOTE_ABANDON, none, err);
    return code == CSL_OK ? csl_secagg__site_send_vote(s, err) : code;
}

/* ---- M11, M12, certificate ---- */

/* A valid vote of this site that it does not know of: cast in a time that its journal lost. */
static bool is_strange(const struct csl_secagg_site *s, const uint8_t sid[32], uint8_t choice,
                       const struct csl_secagg_votes *v, uint32_t i, uint8_t digest[32])
{
    const uint8_t *p = v->votes + (size_t)i * (4 + CSL_SIGN_SIGNATURE_BYTES);
    csl_secagg__vote_digest(sid, choice, v->transcript, digest);
    return csl_load_le32(p) == s->setup.site && !csl_secagg__digests_have(&s->votes, digest) &&
           csl_secagg_vote_is_signed(sid, s->setup.site, choice, v->transcript, p + 4,
                                     s->setup.key->public_key);
}

/* At least t_g votes for `choice`, each by a site of `voters`, all of them valid. */
static enum csl_code check_votes(struct csl_secagg_site *s, const struct csl_secagg_votes *v,
                                 uint8_t choice, const struct csl_secagg_set *voters,
                                 struct csl_err *err)
{
    const struct csl_secagg_attempt *a = &s->at;
    if (v->count < a->votes_min)
        return CSL_FAIL(err, CSL_E_DENIED, "%u votes; the quorum is %u", v->count, a->votes_min);
    for (uint32_t i = 0; i < v->count; i++) {
        const uint8_t *p = v->votes + (size_t)i * (4 + CSL_SIGN_SIGNATURE_BYTES);
        uint32_t site = csl_load_le32(p);
        uint32_t place = csl_secagg__place(a->n1, a->ids, site);
        if (place == UINT32_MAX || (voters != NULL && !csl_secagg_set_has(voters, place)))
            return CSL_FAIL(err, CSL_E_DENIED, "a vote of site %u, which has none", site);
        if (!csl_secagg_vote_is_signed(a->sid, site, choice, v->transcript, p + 4,
                                       csl_secagg__site_key(s, place)))
            return CSL_FAIL(err, CSL_E_CRYPTO, "a vote that site %u did not sign", site);
        uint8_t digest[32];
        if (is_strange(s, a->sid, choice, v, i, digest)) {
            csl_secagg__site_suspend(s, digest,
                                     "a vote of this site that its journal does not know");
            return CSL_FAIL(err, CSL_E_DENIED, "this site's journal was rolled back");
        }
    }
    return CSL_OK;
}

enum csl_code csl_secagg__site_send_unmask(struct csl_secagg_site *s, struct csl_err *err)
{
    const struct csl_secagg_attempt *a = &s->at;
    const struct csl_secagg_set *senders = &a->senders.view.u.senders.members;
    const struct csl_secagg_set *survivors = &a->survivors.view.u.survivors.members;
    CSL_ASSERT(a->vote == CSL_SECAGG_VOTE_FOR && memcmp(a->voted, a->transcript, 32) == 0);
    struct csl_scalar shares[CSL_SECAGG_SITES_MAX];
    uint32_t n = 0;
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < a->n1; i++) {
        if (!csl_secagg_set_has(senders, i) || (i != a->place && !csl_secagg_set_has(&a->peers, i)))
            continue;
        bool is_self_mask = csl_secagg_set_has(survivors, i);
        if (i == a->place)
            code = csl_vss_share(is_self_mask ? a->b : a->s, a->threshold, i, &shares[n], err);
        else
            shares[n] = is_self_mask ? a->received[i].b : a->received[i].s;
        n++;
    }
    if (code == CSL_OK) {
        struct csl_secagg_message m = {.type = CSL_SECAGG_UNMASK,
                                       .u.unmask = {.count = n, .shares = shares}};
        memcpy(m.id, a->sid, 32);
        memcpy(m.u.unmask.transcript, a->transcript, 32);
        code = csl_secagg__site_send(s, &m, err);
    }
    csl_wipe(shares, sizeof(shares));
    return code;
}

enum csl_code csl_secagg__site_quorum(struct csl_secagg_site *s, const struct csl_secagg_message *m,
                                      struct csl_err *err)
{
    struct csl_secagg_attempt *a = &s->at;
    if (a->survivors.bytes.p == NULL || a->is_certified ||
        memcmp(m->u.votes.transcript, a->transcript, 32) != 0)
        return CSL_FAIL(err, CSL_E_STATE, "a quorum on a transcript that this site does not have");
    const struct csl_secagg_set *survivors = &a->survivors.view.u.survivors.members;
    enum csl_code code = check_votes(s, &m->u.votes, CSL_SECAGG_VOTE_FOR, survivors, err);
    if (code != CSL_OK)
        return code;
    if (a->quorum.bytes.p == NULL) {
        bool is_in = csl_secagg_set_has(survivors, a->place);
        code = csl_secagg__keep(&a->quorum, m, err);
        if (code != CSL_OK)
            return code;
        if (a->vote != CSL_SECAGG_VOTE_FOR)
            csl_secagg__site_journal(s, CSL_SECAGG_SJ_MESSAGE, csl_msg_span(&a->survivors.bytes));
        csl_secagg__site_journal(s, CSL_SECAGG_SJ_MESSAGE, m->whole);
        if (a->update == CSL_SECAGG_UPDATE_PENDING)
            settle(s, is_in ? CSL_SECAGG_UPDATE_INCLUDED : CSL_SECAGG_UPDATE_EXCLUDED);
    }
    return a->vote == CSL_SECAGG_VOTE_FOR ? csl_secagg__site_send_unmask(s, err) : CSL_OK;
}

enum csl_code csl_secagg__site_abandoned(struct csl_secagg_site *s,
                                         const struct csl_secagg_message *m, struct csl_err *err)
{
    struct csl_secagg_attempt *a = &s->at;
    if (a->is_certified)
        return CSL_OK;
    enum csl_code code = check_votes(s, &m->u.votes, CSL_SECAGG_VOTE_ABANDON, NULL, err);
    if (code != CSL_OK)
        return code;
    if (a->quorum.bytes.p != NULL) {
        csl_secagg__site_suspend(s, NULL,
                                 "quorums for a sum and for abandoning it: more sites than "
                                 "assumed sign whatever they are asked");
        return CSL_FAIL(err, CSL_E_DENIED, "two quorums of one session");
    }
    csl_secagg__site_journal(s, CSL_SECAGG_SJ_MESSAGE, m->whole);
    a->is_certified = true;
    if (a->update == CSL_SECAGG_UPDATE_PENDING)
        settle(s, CSL_SECAGG_UPDATE_ABANDONED);
    return CSL_OK;
}

/* ---- M13 ---- */

enum csl_code csl_secagg__site_result(struct csl_secagg_site *s, const struct csl_secagg_message *m,
                                      struct csl_err *err)
{
    const struct csl_secagg_result *r = &m->u.result;
    uint8_t head[32];
    if (!csl_secagg_is_signed(m, s->setup.roster->coordinator_key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "not signed by the coordinator");
    csl_secagg_head(r->previous_head, r->quorum.transcript, r->result_root, r->model_hash, head);
    if (memcmp(head, r->head, 32) != 0)
        return CSL_FAIL(err, CSL_E_PROTO, "a ledger head that does not follow from the result");
    for (uint32_t i = 0; i < r->quorum.count; i++) {
        uint8_t digest[32];
        if (is_strange(s, m->id, CSL_SECAGG_VOTE_FOR, &r->quorum, i, digest)) {
            csl_secagg__site_suspend(s, digest,
                                     "a result that this site voted for and does not know");
            return CSL_FAIL(err, CSL_E_DENIED, "this site's journal was rolled back");
        }
    }
    if (memcmp(s->head, r->head, 32) == 0)
        return CSL_OK;
    if (memcmp(s->head, r->previous_head, 32) != 0)
        return CSL_FAIL(err, CSL_E_STATE, "a result that does not follow the last one known here");
    csl_secagg__site_journal(s, CSL_SECAGG_SJ_MESSAGE, m->whole);
    memcpy(s->head, r->head, 32);
    return CSL_OK;
}

bool csl_secagg_site_received(const struct csl_secagg_site *s, struct csl_secagg_site_received *out)
{
    const struct csl_secagg_attempt *a = &s->at;
    if (!a->exists || a->keys.bytes.p == NULL || a->senders.bytes.p == NULL ||
        a->survivors.bytes.p == NULL)
        return false;
    *out = (struct csl_secagg_site_received){.config = csl_msg_span(&a->config_bytes),
                                             .keys = csl_msg_span(&a->keys.bytes),
                                             .senders = csl_msg_span(&a->senders.bytes),
                                             .survivors = csl_msg_span(&a->survivors.bytes)};
    return true;
}
