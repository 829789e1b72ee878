#include "privacy/secagg/coordinator_internal.h"

#include "base/check.h"
#include "base/mem.h"

/* Signs, adopts (which journals) and tells everybody. */
static enum csl_code decide(struct csl_secagg_coordinator *c, struct csl_secagg_message *m,
                            struct csl_err *err)
{
    struct csl_buf out;
    csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
    enum csl_code code = csl_secagg_encode(m, c->setup.key, &out, err);
    if (code == CSL_OK)
        code = csl_secagg__coordinator_adopt(c, CSL_SPAN(out.p, out.n), err);
    csl_buf_release(&out);
    return code == CSL_OK ? csl_secagg__coordinator_tell_all(c, err) : code;
}

/* ---- M2 ---- */

static enum csl_code close_keys(struct csl_secagg_coordinator *c, struct csl_err *err)
{
    uint32_t n = 0;
    uint8_t *advertised = csl_alloc_array(c->setup.roster->count, CSL_SECAGG_ADVERTISE_BYTES);
    if (advertised == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the keys of all sites");
    for (uint32_t i = 0; i < c->setup.roster->count; i++) {
        const struct csl_msg *m = &c->members[i].said[CSL_SECAGG_ADVERTISE];
        if (m->p != NULL)
            memcpy(advertised + (size_t)CSL_SECAGG_ADVERTISE_BYTES * n++, m->p,
                   CSL_SECAGG_ADVERTISE_BYTES);
    }
    uint32_t quorum = csl_secagg_quorum(n, c->config.colluding);
    enum csl_code code = CSL_OK;
    uint32_t threshold = csl_secagg_graph_threshold(&c->config, quorum);
    if (n < c->config.sites_min || quorum > n || threshold > n) {
        code = CSL_FAIL(err, CSL_E_DENIED, "%u sites; at least %u and a quorum of %u are needed", n,
                        c->config.sites_min, quorum);
    } else {
        struct csl_secagg_message m = {
            .type = CSL_SECAGG_ROUND_KEYS,
            .u.round_keys = {
                .quorum = quorum, .threshold = threshold, .count = n, .advertised = advertised}};
        memcpy(m.id, c->ctx, 32);
        if (c->config.graph != 0)
            memcpy(m.u.round_keys.graph_seed, c->setup.epoch_seed, 32);
        code = decide(c, &m, err);
    }
    csl_free(advertised);
    return code;
}

static enum csl_code adopt_keys(struct csl_secagg_coordinator *c,
                                const struct csl_secagg_message *m, struct csl_err *err)
{
    struct csl_secagg_ring ring;
    bool is_sparse = c->config.graph != 0;
    c->n1 = m->u.round_keys.count;
    c->votes_min = m->u.round_keys.quorum;
    c->threshold = m->u.round_keys.threshold;
    for (uint32_t i = 0; i < c->n1; i++) {
        struct csl_secagg_message one;
        csl_secagg_advertised_at(&m->u.round_keys, i, &one);
        c->ids[i] = one.site;
        c->rows[i] = csl_secagg_roster_find(c->setup.roster, one.site);
        CSL_ASSERT(c->rows[i] != UINT32_MAX);
    }
    c->peers = csl_alloc_array(c->n1, sizeof(*c->peers));
    if (c->peers == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the share graph");
    if (is_sparse)
        csl_secagg_share_graph(&ring, c->setup.epoch_seed, c->setup.roster, c->config.share_degree);
    for (uint32_t i = 0; i < c->n1; i++)
        csl_secagg_share_peers(is_sparse ? &ring : NULL, c->n1, c->rows, i, &c->peers[i]);
    csl_secagg_sid(m, c->sid);
    c->stage = CSL_SECAGG_STAGE_SHARING;
    return CSL_OK;
}

/* ---- M4 ---- */

void csl_secagg__coordinator_begin_delivery(struct csl_secagg_coordinator *c)
{
    for (uint32_t i = 0; i < c->n1; i++)
        if (c->members[c->rows[i]].said[CSL_SECAGG_SHARES].p != NULL)
            csl_secagg_set_put(&c->dealers, i);
    c->stage = CSL_SECAGG_STAGE_PREPARING;
}

static enum csl_code close_shares(struct csl_secagg_coordinator *c, struct csl_err *err)
{
    uint32_t n = csl_secagg_coordinator_ready_count(c);
    if (n < c->votes_min || n < c->config.sites_min)
        return CSL_FAIL(err, CSL_E_DENIED, "%u dealers; the quorum is %u, the minimum %u", n,
                        c->votes_min, c->config.sites_min);
    csl_secagg__coordinator_journal(c, CSL_SECAGG_CJ_DELIVER, CSL_SPAN(NULL, 0));
    csl_secagg__coordinator_begin_delivery(c);
    return csl_secagg__coordinator_tell_all(c, err);
}

enum csl_code csl_secagg__coordinator_send_delivery(struct csl_secagg_coordinator *c,
                                                    uint32_t place, struct csl_err *err)
{
    struct csl_buf dealers, out;
    csl_buf_init(&dealers, CSL_SECAGG_MESSAGE_BYTES_MAX);
    csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
    bool is_sparse = c->config.graph != 0;
    size_t bytes_sealed = is_sparse ? (size_t)CSL_SEAL3_BYTES : (size_t)CSL_SEAL_BYTES;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n1; i++) {
        struct csl_secagg_message dealt;
        if (!csl_secagg_set_has(&c->peers[place], i) || !csl_secagg_set_has(&c->dealers, i) ||
            !csl_secagg__said(c, i, CSL_SECAGG_SHARES, &dealt))
            continue;
        /* Of the dealer's peers ascending, the one at `place`. */
        size_t sealed = csl_secagg_set_rank(&c->peers[i], place);
        csl_buf_append(&dealers, dealt.body.p, dealt.body.n);
        csl_buf_append(&dealers, dealt.signature, CSL_SIGN_SIGNATURE_BYTES);
        csl_buf_append(&dealers, dealt.u.shares.sealed + sealed * bytes_sealed, bytes_sealed);
        n++;
    }
    struct csl_secagg_message m = {
        .type = is_sparse ? CSL_SECAGG_SPARSE_DELIVERY : CSL_SECAGG_DELIVERY,
        .site = c->ids[place],
        .u.delivery = {.threshold = c->threshold, .count = n, .dealers = dealers.p}};
    memcpy(m.id, c->sid, 32);
    enum csl_code code = csl_buf_status(&dealers, err);
    if (code == CSL_OK)
        code = csl_secagg_encode(&m, NULL, &out, err);
    struct csl_msg bytes = csl_buf_take(&out);
    if (code == CSL_OK)
        csl_secagg__coordinator_send(c, c->ids[place], &bytes);
    csl_msg_release(&bytes);
    csl_buf_release(&dealers);
    return code;
}

enum csl_code csl_secagg__coordinator_send_disputes(struct csl_secagg_coordinator *c,
                                                    uint32_t dealer, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < c->n1; i++) {
        struct csl_secagg_message ack;
        if (!csl_secagg__said(c, i, CSL_SECAGG_ACK, &ack) ||
            !csl_secagg_set_has(&ack.u.ack.complaints, dealer))
            continue;
        struct csl_secagg_message m = {
            .type = CSL_SECAGG_DISPUTE, .site = c->ids[dealer], .u.dispute = {.ack = ack.whole}};
        struct csl_buf out;
        memcpy(m.id, c->sid, 32);
        csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
        code = csl_secagg_encode(&m, NULL, &out, err);
        struct csl_msg bytes = csl_buf_take(&out);
        if (code == CSL_OK)
            csl_secagg__coordinator_send(c, c->ids[dealer], &bytes);
        csl_msg_release(&bytes);
    }
    return code;
}

/* ---- M7 ---- */

static bool is_opened(const struct csl_secagg_coordinator *c, uint32_t dealer, uint32_t receiver)
{
    for (uint32_t i = 0; i < c->opening_count; i++)
        if (c->openings[i].dealer == dealer && c->openings[i].receiver == receiver)
            return true;
    return false;
}

/* Ready, acknowledged, and with no complaint that is not answered: too many complaints, whoever is
 * right, would make too many shares public. */
static void choose_senders(const struct csl_secagg_coordinator *c, struct csl_secagg_set *u2)
{
    uint32_t max = csl_secagg_graph_openings(&c->config, csl_secagg_roster_active(c->setup.roster),
                                             c->threshold);
    memset(u2, 0, sizeof(*u2));
    for (uint32_t i = 0; i < c->n1; i++) {
        const struct csl_msg *said = c->members[c->rows[i]].said;
        if (said[CSL_SECAGG_ACK].p != NULL && said[CSL_SECAGG_READY].p != NULL)
            csl_secagg_set_put(u2, i);
    }
    const struct csl_secagg_set candidates = *u2;
    for (uint32_t dealer = 0; dealer < c->n1; dealer++) {
        uint32_t complaints = 0;
        bool is_silent = false;
        for (uint32_t i = 0; i < c->n1; i++) {
            struct csl_secagg_message ack;
            if (!csl_secagg__said(c, i, CSL_SECAGG_ACK, &ack) ||
                !csl_secagg_set_has(&ack.u.ack.complaints, dealer))
                continue;
            complaints++;
            is_silent =
                is_silent || (csl_secagg_set_has(&candidates, i) && !is_opened(c, dealer, i));
        }
        if (complaints > max || is_silent)
            u2->bits[dealer / 8] = (uint8_t)(u2->bits[dealer / 8] & ~(1u << (dealer % 8)));
    }
}

static void write_blocks(const struct csl_secagg_coordinator *c, const struct csl_secagg_set *of,
                         struct csl_buf *out)
{
    for (uint32_t b = 0; b < csl_secagg_block_total(&c->config); b++) {
        struct csl_secagg_set block = {{0}};
        for (uint32_t i = 0; i < c->n1; i++) {
            struct csl_secagg_message ready;
            if (csl_secagg_set_has(of, i) && csl_secagg__said(c, i, CSL_SECAGG_READY, &ready) &&
                csl_secagg_set_has(&ready.u.ready.blocks, b))
                csl_secagg_set_put(&block, i);
        }
        csl_buf_append(out, block.bits, csl_secagg_set_bytes(c->n1));
    }
}

static void commit(const struct csl_secagg_coordinator *c, const struct csl_secagg_set *u2,
                   uint8_t com[32], struct csl_buf *dealings)
{
    uint8_t hashes[CSL_SECAGG_SITES_MAX][32];
    for (uint32_t i = 0; i < c->n1; i++) {
        struct csl_secagg_message dealt;
        if (!csl_secagg_set_has(u2, i) || !csl_secagg__said(c, i, CSL_SECAGG_SHARES, &dealt))
            continue;
        csl_secagg_shares_hash(&dealt.u.shares, hashes[i]);
        if (dealt.u.shares.r != NULL) {
            csl_buf_append(dealings, hashes[i], 32);
            csl_buf_append(dealings, dealt.u.shares.r[0].bytes, 32);
        }
    }
    csl_secagg_com(c->sid, c->n1, c->ids, (const uint8_t(*)[32])hashes, u2, com);
}

static enum csl_code close_senders(struct csl_secagg_coordinator *c, struct csl_err *err)
{
    struct csl_secagg_message m = {.type = c->config.graph != 0 ? CSL_SECAGG_SPARSE_SENDERS
                                                                : CSL_SECAGG_SENDERS};
    struct csl_secagg_senders *s = &m.u.senders;
    choose_senders(c, &s->members);
    uint32_t n = csl_secagg_set_count(&s->members);
    if (n < c->votes_min || n < c->config.sites_min)
        return CSL_FAIL(err, CSL_E_DENIED, "%u senders; the quorum is %u, the minimum %u", n,
                        c->votes_min, c->config.sites_min);
    struct csl_buf blocks, openings, dealings;
    csl_buf_init(&dealings, CSL_SECAGG_MESSAGE_BYTES_MAX);
    csl_buf_init(&blocks, CSL_SECAGG_MESSAGE_BYTES_MAX);
    csl_buf_init(&openings, CSL_SECAGG_MESSAGE_BYTES_MAX);
    write_blocks(c, &s->members, &blocks);
    for (uint32_t i = 0; i < c->opening_count; i++) {
        const struct csl_secagg_opened *o = &c->openings[i];
        if (!csl_secagg_set_has(&s->members, o->dealer) ||
            !csl_secagg_set_has(&s->members, o->receiver))
            continue;
        csl_buf_append(&openings, o->opening.p, o->opening.n);
        s->opening_count++;
    }
    commit(c, &s->members, s->commitments, &dealings);
    memcpy(m.id, c->sid, 32);
    s->count = c->n1;
    s->block_count = csl_secagg_block_total(&c->config);
    s->block_bits = blocks.p;
    s->openings = openings.p;
    s->dealings = dealings.p;
    enum csl_code code = csl_buf_status(&blocks, err);
    if (code == CSL_OK)
        code = csl_buf_status(&openings, err);
    if (code == CSL_OK)
        code = csl_buf_status(&dealings, err);
    if (code == CSL_OK)
        code = csl_secagg__coordinator_check_losses(c, s, &s->members, err);
    if (code == CSL_OK)
        code = decide(c, &m, err);
    csl_buf_release(&blocks);
    csl_buf_release(&openings);
    csl_buf_release(&dealings);
    return code;
}

/* ---- M7r ---- */

static enum csl_code close_seeds(struct csl_secagg_coordinator *c, struct csl_err *err)
{
    struct csl_scalar r[CSL_SECAGG_SITES_MAX];
    struct csl_secagg_message m;
    enum csl_code code = csl_secagg__coordinator_close_seeds(c, &m, r, err);
    return code == CSL_OK ? decide(c, &m, err) : code;
}

/* ---- M9 ---- */

static enum csl_code close_uploads(struct csl_secagg_coordinator *c, struct csl_err *err)
{
    struct csl_secagg_message m = {.type = CSL_SECAGG_SURVIVORS};
    struct csl_secagg_survivors *s = &m.u.survivors;
    struct csl_buf blocks, roots;
    csl_buf_init(&blocks, CSL_SECAGG_MESSAGE_BYTES_MAX);
    csl_buf_init(&roots, CSL_SECAGG_MESSAGE_BYTES_MAX);
    for (uint32_t i = 0; i < c->n1; i++) {
        struct csl_secagg_message manifest;
        uint8_t root[32];
        if (!c->members[c->rows[i]].is_received ||
            !csl_secagg__said(c, i, CSL_SECAGG_MANIFEST, &manifest))
            continue;
        csl_secagg_body_hash(&manifest, root);
        csl_buf_append(&roots, root, sizeof(root));
        csl_secagg_set_put(&s->members, i);
    }
    write_blocks(c, &s->members, &blocks);
    memcpy(m.id, c->sid, 32);
    s->count = c->n1;
    s->block_count = csl_secagg_block_total(&c->config);
    s->block_bits = blocks.p;
    s->roots = roots.p;
    uint32_t n = csl_secagg_set_count(&s->members);
    enum csl_code code = CSL_OK;
    if (n < c->votes_min || n < c->config.sites_min)
        code = CSL_FAIL(err, CSL_E_DENIED, "%u vectors; the quorum is %u, the minimum %u", n,
                        c->votes_min, c->config.sites_min);
    struct csl_secagg_message senders;
    if (code == CSL_OK)
        code = csl_secagg_decode(&senders, csl_msg_span(&c->senders), err);
    if (code == CSL_OK)
        code = csl_secagg__coordinator_check_losses(c, &senders.u.senders, &s->members, err);
    if (code == CSL_OK)
        code = csl_buf_status(&blocks, err);
    if (code == CSL_OK)
        code = csl_buf_status(&roots, err);
    if (code == CSL_OK)
        code = decide(c, &m, err);
    csl_buf_release(&blocks);
    csl_buf_release(&roots);
    return code;
}

/* Where the decision is kept; NULL: not one of this stage. */
static struct csl_msg *decision(struct csl_secagg_coordinator *c, uint8_t type)
{
    uint8_t senders = c->config.graph != 0 ? CSL_SECAGG_SPARSE_SENDERS : CSL_SECAGG_SENDERS;
    if (type == CSL_SECAGG_ROUND_KEYS && c->stage == CSL_SECAGG_STAGE_OPEN)
        return &c->keys;
    if (type == senders && c->stage == CSL_SECAGG_STAGE_PREPARING)
        return &c->senders;
    if (type == CSL_SECAGG_SEEDS && c->stage == CSL_SECAGG_STAGE_SEEDING)
        return &c->seeds;
    if (type == CSL_SECAGG_SURVIVORS && c->stage == CSL_SECAGG_STAGE_UPLOADING)
        return &c->survivors;
    return NULL;
}

enum csl_code csl_secagg__coordinator_adopt(struct csl_secagg_coordinator *c, struct csl_span bytes,
                                            struct csl_err *err)
{
    struct csl_secagg_message m;
    enum csl_code code = csl_secagg_decode(&m, bytes, err);
    if (code != CSL_OK)
        return code;
    struct csl_msg *kept = decision(c, m.type);
    if (kept == NULL)
        return CSL_FAIL(err, CSL_E_STATE, "a decision of type %u in stage %d", m.type,
                        (int)c->stage);
    code = csl_msg_copy(kept, bytes, err);
    if (code != CSL_OK)
        return code;
    csl_secagg__coordinator_journal(c, CSL_SECAGG_CJ_DECISION, bytes);
    switch ((int)m.type) {
    case CSL_SECAGG_ROUND_KEYS:
        return adopt_keys(c, &m, err);
    case CSL_SECAGG_SEEDS:
        csl_secagg_mask_seed(c->sid, c->n1, &c->u2, m.u.seeds.r->bytes, c->mask_seed);
        c->stage = CSL_SECAGG_STAGE_UPLOADING;
        return CSL_OK;
    case CSL_SECAGG_SURVIVORS:
        c->u3 = m.u.survivors.members;
        csl_secagg_transcript(&m, c->com, &c->u2, c->ids, c->transcript);
        c->stage = CSL_SECAGG_STAGE_VOTING;
        return CSL_OK;
    default: /* M7 */
        c->u2 = m.u.senders.members;
        csl_secagg_bound_com(&m, c->com);
        c->stage = c->config.graph != 0 ? CSL_SECAGG_STAGE_SEEDING : CSL_SECAGG_STAGE_UPLOADING;
        return CSL_OK;
    }
}

enum csl_code csl_secagg__coordinator_close(struct csl_secagg_coordinator *c, struct csl_err *err)
{
    switch (c->stage) {
    case CSL_SECAGG_STAGE_OPEN:
        return close_keys(c, err);
    case CSL_SECAGG_STAGE_SHARING:
        return close_shares(c, err);
    case CSL_SECAGG_STAGE_PREPARING:
        return close_senders(c, err);
    case CSL_SECAGG_STAGE_SEEDING:
        return close_seeds(c, err);
    case CSL_SECAGG_STAGE_UPLOADING:
        return close_uploads(c, err);
    case CSL_SECAGG_STAGE_NEW:
    case CSL_SECAGG_STAGE_VOTING:
    case CSL_SECAGG_STAGE_UNMASKING:
    case CSL_SECAGG_STAGE_RELEASED:
    case CSL_SECAGG_STAGE_DONE:
    case CSL_SECAGG_STAGE_ABANDONED:
    default:
        return CSL_FAIL(err, CSL_E_STATE, "nothing is collected that could be closed");
    }
}
