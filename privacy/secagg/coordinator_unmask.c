#include "privacy/secagg/coordinator_internal.h"

#include "base/check.h"
#include "base/mem.h"
#include "privacy/secagg/remaining.h"

/* M11 or the certificate: every vote for `choice`. */
static enum csl_code collect_votes(const struct csl_secagg_coordinator *c, uint8_t choice,
                                   struct csl_buf *out, uint32_t *count, struct csl_err *err)
{
    *count = 0;
    for (uint32_t i = 0; i < c->n1; i++) {
        struct csl_secagg_message vote;
        if (!csl_secagg__said(c, i, CSL_SECAGG_VOTE, &vote) || vote.u.vote.choice != choice)
            continue;
        csl_buf_le32(out, vote.site);
        csl_buf_append(out, vote.signature, CSL_SIGN_SIGNATURE_BYTES);
        (*count)++;
    }
    return csl_buf_status(out, err);
}

static enum csl_code write_votes(struct csl_secagg_coordinator *c, uint8_t choice,
                                 struct csl_msg *out, struct csl_err *err)
{
    struct csl_secagg_message m = {.type = choice == CSL_SECAGG_VOTE_FOR ? CSL_SECAGG_QUORUM
                                                                         : CSL_SECAGG_ABANDONED};
    struct csl_buf votes, bytes;
    csl_buf_init(&votes, CSL_SECAGG_MESSAGE_BYTES_MAX);
    csl_buf_init(&bytes, CSL_SECAGG_MESSAGE_BYTES_MAX);
    memcpy(m.id, c->sid, 32);
    if (choice == CSL_SECAGG_VOTE_FOR)
        memcpy(m.u.votes.transcript, c->transcript, 32);
    enum csl_code code = collect_votes(c, choice, &votes, &m.u.votes.count, err);
    m.u.votes.votes = votes.p;
    if (code == CSL_OK)
        code = csl_secagg_encode(&m, NULL, &bytes, err);
    if (code == CSL_OK)
        *out = csl_buf_take(&bytes);
    csl_buf_release(&bytes);
    csl_buf_release(&votes);
    return code;
}

enum csl_code csl_secagg__coordinator_count(struct csl_secagg_coordinator *c, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    if (c->stage == CSL_SECAGG_STAGE_VOTING &&
        csl_secagg__count_votes(c, CSL_SECAGG_VOTE_FOR) >= c->votes_min) {
        code = write_votes(c, CSL_SECAGG_VOTE_FOR, &c->quorum, err);
        if (code != CSL_OK)
            return code;
        c->stage = CSL_SECAGG_STAGE_UNMASKING;
        return csl_secagg__coordinator_tell_all(c, err);
    }
    if (c->stage >= CSL_SECAGG_STAGE_SHARING && c->stage <= CSL_SECAGG_STAGE_VOTING &&
        csl_secagg__count_votes(c, CSL_SECAGG_VOTE_ABANDON) >= c->votes_min) {
        code = write_votes(c, CSL_SECAGG_VOTE_ABANDON, &c->certificate, err);
        if (code != CSL_OK)
            return code;
        c->stage = CSL_SECAGG_STAGE_ABANDONED;
        struct csl_secagg_coordinator_action a = {.kind = CSL_SECAGG_CA_CERTIFICATE,
                                                  .bytes = csl_msg_span(&c->certificate)};
        csl_secagg__coordinator_emit(c, &a);
        code = csl_secagg__coordinator_tell_all(c, err);
    }
    return code;
}

/* ---- M12 ---- */

/* Places of the first t_s sites that hold shares of a member, answered and were not caught. */
static uint32_t responders(const struct csl_secagg_coordinator *c, uint32_t member,
                           uint32_t *places)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n1 && n < c->threshold; i++) {
        const struct csl_secagg_member *m = &c->members[c->rows[i]];
        if (m->said[CSL_SECAGG_UNMASK].p != NULL && !m->has_lied &&
            (i == member || csl_secagg_set_has(&c->peers[i], member)))
            places[n++] = i;
    }
    return n;
}

static bool is_enough(const struct csl_secagg_coordinator *c)
{
    uint32_t places[CSL_SECAGG_SITES_MAX];
    for (uint32_t i = 0; i < c->n1; i++)
        if (csl_secagg_set_has(&c->u2, i) && responders(c, i, places) < c->threshold)
            return false;
    return true;
}

/* The shares of one member's secret, in the order of `places`. */
static void gather(const struct csl_secagg_coordinator *c, const uint32_t *places, uint32_t n,
                   uint32_t member, struct csl_scalar *shares)
{
    for (uint32_t i = 0; i < n; i++) {
        struct csl_secagg_message m;
        struct csl_secagg_set revealed = csl_secagg__revealed(c, places[i]);
        uint32_t index = csl_secagg_set_rank(&revealed, member);
        bool is_there = csl_secagg__said(c, places[i], CSL_SECAGG_UNMASK, &m);
        CSL_ASSERT(is_there && index < m.u.unmask.count);
        shares[i] = m.u.unmask.shares[index];
    }
}

static uint32_t name_liars(struct csl_secagg_coordinator *c, const uint32_t *places, uint32_t n,
                           const struct csl_scalar *shares, const struct csl_point *commitments)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (csl_vss_verify(&shares[i], places[i], commitments, c->threshold, NULL) != CSL_E_CRYPTO)
            continue;
        c->members[c->rows[places[i]]].has_lied = true;
        csl_secagg__coordinator_name(c, c->ids[places[i]],
                                     "revealed a share that does not fit "
                                     "the commitments");
        found++;
    }
    return found;
}

/* CSL_E_AGAIN: liars were named, others have to stand in for them. */
static enum csl_code reconstruct_one(struct csl_secagg_coordinator *c, const uint32_t *places,
                                     const struct csl_scalar *weights, uint32_t member,
                                     struct csl_err *err)
{
    struct csl_scalar shares[CSL_SECAGG_SITES_MAX];
    struct csl_secagg_message dealt;
    bool is_dealt = csl_secagg__said(c, member, CSL_SECAGG_SHARES, &dealt);
    CSL_ASSERT(is_dealt);
    const struct csl_point *commitments =
        csl_secagg_set_has(&c->u3, member) ? dealt.u.shares.b : dealt.u.shares.s;
    gather(c, places, c->threshold, member, shares);
    enum csl_code code = csl_vss_reconstruct(weights, shares, c->threshold, &commitments[0],
                                             &c->secrets[member], err);
    if (code == CSL_E_CRYPTO) {
        uint32_t found = name_liars(c, places, c->threshold, shares, commitments);
        code = found > 0 ? CSL_E_AGAIN : CSL_E_BUG;
    }
    csl_wipe(shares, sizeof(shares));
    return code;
}

static enum csl_code reconstruct_all(struct csl_secagg_coordinator *c, struct csl_err *err)
{
    struct csl_scalar weights[CSL_SECAGG_SITES_MAX];
    uint32_t places[CSL_SECAGG_SITES_MAX], last[CSL_SECAGG_SITES_MAX];
    enum csl_code code = CSL_OK;
    bool is_first = true;
    for (uint32_t i = 0; code == CSL_OK && i < c->n1; i++) {
        if (!csl_secagg_set_has(&c->u2, i))
            continue;
        uint32_t n = responders(c, i, places);
        CSL_ASSERT(n == c->threshold);
        /* On the complete graph the same sites answer for all. */
        if (is_first || memcmp(places, last, n * sizeof(*places)) != 0)
            code = csl_vss_weights(places, n, weights, err);
        memcpy(last, places, n * sizeof(*places));
        is_first = false;
        if (code == CSL_OK)
            code = reconstruct_one(c, places, weights, i, err);
    }
    return code;
}

enum csl_code csl_secagg__coordinator_reconstruct(struct csl_secagg_coordinator *c,
                                                  struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    if (!is_enough(c))
        return CSL_OK;
    if (c->memory == NULL) {
        code = csl_secret_new(&c->memory, 64 + sizeof(*c->secrets) * c->n1, c->setup.memory, err);
        if (code != CSL_OK)
            return code;
        c->secrets = csl_secret_alloc(c->memory, sizeof(*c->secrets) * c->n1);
        CSL_ASSERT(c->secrets != NULL);
    }
    do {
        if (!is_enough(c))
            return CSL_OK; /* more answers are needed */
        code = reconstruct_all(c, err);
    } while (code == CSL_E_AGAIN);
    if (code != CSL_OK)
        return code;
    c->stage = CSL_SECAGG_STAGE_RELEASED;
    struct csl_secagg_coordinator_action a = {.kind = CSL_SECAGG_CA_RELEASE};
    csl_secagg__coordinator_emit(c, &a);
    return CSL_OK;
}

/* ---- what is left in the sum ---- */

static enum csl_code remaining(const struct csl_secagg_coordinator *c, struct csl_point *keys,
                               struct csl_secagg_set *blocks, struct csl_secagg_masks **out,
                               struct csl_err *err)
{
    for (uint32_t i = 0; i < c->n1; i++) {
        struct csl_secagg_message advertise, ready;
        if (!csl_secagg_set_has(&c->u2, i))
            continue;
        bool is_known = csl_secagg__said(c, i, CSL_SECAGG_ADVERTISE, &advertise) &&
                        csl_secagg__said(c, i, CSL_SECAGG_READY, &ready);
        CSL_ASSERT(is_known);
        keys[i] = advertise.u.advertise.mask_key;
        blocks[i] = ready.u.ready.blocks;
    }
    struct csl_secagg_ring *rings = NULL;
    if (c->config.graph != 0) {
        struct csl_secagg_message m;
        enum csl_code decoded = csl_secagg_decode(&m, csl_msg_span(&c->senders), NULL);
        CSL_ASSERT(decoded == CSL_OK);
        rings = csl_secagg_mask_rings(c->mask_seed, c->n1, c->ids, m.u.senders.block_bits,
                                      m.u.senders.block_count, c->config.mask_degree);
        if (rings == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the mask graphs");
    }
    const struct csl_secagg_remaining r = {.sid = c->sid,
                                           .n1 = c->n1,
                                           .ids = c->ids,
                                           .mask_keys = keys,
                                           .senders = &c->u2,
                                           .survivors = &c->u3,
                                           .blocks = blocks,
                                           .rings = rings,
                                           .secrets = c->secrets,
                                           .memory = c->setup.memory};
    enum csl_code code = csl_secagg__remaining_masks(&r, out, err);
    csl_free(rings);
    return code;
}

enum csl_code csl_secagg_coordinator_masks(const struct csl_secagg_coordinator *c,
                                           struct csl_secagg_masks **out, struct csl_err *err)
{
    if (c->stage != CSL_SECAGG_STAGE_RELEASED && c->stage != CSL_SECAGG_STAGE_DONE)
        return CSL_FAIL(err, CSL_E_STATE, "the sum is not released");
    struct csl_point *keys = csl_alloc_array(c->n1, sizeof(*keys));
    struct csl_secagg_set *blocks = csl_alloc_array(c->n1, sizeof(*blocks));
    enum csl_code code = keys == NULL || blocks == NULL
                             ? CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u sites", c->n1)
                             : remaining(c, keys, blocks, out, err);
    csl_free(keys);
    csl_free(blocks);
    return code;
}

enum csl_code csl_secagg__coordinator_result(struct csl_secagg_coordinator *c, struct csl_err *err)
{
    struct csl_secagg_message quorum, m = {.type = CSL_SECAGG_RESULT};
    struct csl_secagg_result *r = &m.u.result;
    struct csl_buf out;
    enum csl_code code = csl_secagg_decode(&quorum, csl_msg_span(&c->quorum), err);
    CSL_ASSERT(code == CSL_OK);
    memcpy(m.id, c->sid, 32);
    r->quorum = quorum.u.votes;
    memcpy(r->previous_head, c->config.previous_head, 32);
    memcpy(r->result_root, c->result_root, 32);
    memcpy(r->model_hash, c->model_hash, 32);
    csl_secagg_head(r->previous_head, c->transcript, r->result_root, r->model_hash, r->head);
    csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
    code = csl_secagg_encode(&m, c->setup.key, &out, err);
    if (code == CSL_OK)
        c->result = csl_buf_take(&out);
    csl_buf_release(&out);
    return code;
}
