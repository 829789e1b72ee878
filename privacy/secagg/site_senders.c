#include "privacy/secagg/site_internal.h"

#include "base/check.h"
#include "base/mem.h"

/* ---- M7 ---- */

/* What a dealer of this site, or itself, committed to. */
static void dealing_of(const struct csl_secagg_attempt *a, uint32_t place,
                       struct csl_secagg_shares *out)
{
    csl_secagg__site_dealing(a, out);
    for (uint32_t i = 0; place != a->place && i < a->delivery.view.u.delivery.count; i++) {
        struct csl_secagg_message dealer;
        csl_secagg_delivery_at(&a->delivery.view, i, &dealer);
        if (dealer.site == a->ids[place])
            *out = dealer.u.shares;
    }
}

static enum csl_code check_opening(struct csl_secagg_site *s,
                                   const struct csl_secagg_message *opening,
                                   const struct csl_secagg_set *members,
                                   struct csl_secagg_set *opened_to_us, struct csl_err *err)
{
    struct csl_secagg_attempt *a = &s->at;
    struct csl_secagg_shares dealt;
    uint32_t dealer = csl_secagg__place(a->n1, a->ids, opening->site);
    uint32_t receiver = csl_secagg__place(a->n1, a->ids, opening->u.opening.receiver);
    bool is_ours = csl_secagg_set_has(&a->dealers, dealer);
    if (dealer == UINT32_MAX || receiver == UINT32_MAX || dealer == receiver ||
        !csl_secagg_set_has(members, dealer) || (!is_ours && a->config.graph == 0))
        return CSL_FAIL(err, CSL_E_PROTO, "an opening of site %u for %u", opening->site,
                        opening->u.opening.receiver);
    if (!csl_secagg_is_signed(opening, csl_secagg__site_key(s, dealer)))
        return CSL_FAIL(err, CSL_E_CRYPTO, "an opening not signed by site %u", opening->site);
    if (!is_ours) /* no share peer: what it dealt is not known here, and for others to check */
        return CSL_OK;
    dealing_of(a, dealer, &dealt);
    const struct csl_seal_shares *shares = &opening->u.opening.shares;
    enum csl_code code = csl_vss_verify(&shares->b, receiver, dealt.b, a->threshold, err);
    if (code == CSL_OK)
        code = csl_vss_verify(&shares->s, receiver, dealt.s, a->threshold, err);
    if (code == CSL_OK && receiver == a->place) {
        a->received[dealer] = *shares; /* the only one that fits the commitments */
        csl_secagg_set_put(opened_to_us, dealer);
    }
    return code;
}

static enum csl_code check_openings(struct csl_secagg_site *s, const struct csl_secagg_senders *k,
                                    struct csl_secagg_set *opened_to_us, struct csl_err *err)
{
    uint32_t max = csl_secagg_graph_openings(
        &s->at.config, csl_secagg_roster_active(s->setup.roster), s->at.threshold);
    uint32_t dealer = 0, count = 0;
    for (uint32_t i = 0; i < k->opening_count; i++) {
        struct csl_secagg_message opening;
        csl_secagg_opening_at(k, i, &opening);
        count = opening.site == dealer ? count + 1 : 1;
        dealer = opening.site;
        if (count > max)
            return CSL_FAIL(err, CSL_E_DENIED, "more than %u shares of site %u are public", max,
                            dealer);
        enum csl_code code = check_opening(s, &opening, &k->members, opened_to_us, err);
        if (code != CSL_OK)
            return code;
    }
    return CSL_OK;
}

static enum csl_code check_sender_blocks(const struct csl_secagg_site *s,
                                         const struct csl_secagg_senders *k, struct csl_err *err)
{
    const struct csl_secagg_attempt *a = &s->at;
    for (uint32_t b = 0; b < k->block_count; b++) {
        struct csl_secagg_set senders;
        csl_secagg_block_set(k->block_bits, k->count, b, &senders);
        if (csl_secagg_set_has(&senders, a->place) != csl_secagg_set_has(&a->blocks, b))
            return CSL_FAIL(err, CSL_E_DENIED, "other blocks of this site than it announced");
        if (b == a->config.block_count) {
            if (!csl_secagg_set_equal(&senders, &k->members))
                return CSL_FAIL(err, CSL_E_DENIED, "a sender without the scalars");
            continue;
        }
        for (uint32_t i = 0; i < a->n1; i++)
            if (csl_secagg_set_has(&senders, i) &&
                !csl_secagg_set_has(&a->config.blocks[b].eligible, a->rows[i]))
                return CSL_FAIL(err, CSL_E_DENIED, "site %u sends a block that is not for it",
                                a->ids[i]);
    }
    return CSL_OK;
}

/* In graph 1 M7 tells all dealing hashes; those that this site knows must be among them. So com is
 * of what everybody holds who holds any, and each r is fixed before the first is revealed. */
static enum csl_code take_dealings(const struct csl_secagg_attempt *a,
                                   const struct csl_secagg_senders *k, uint8_t (*hashes)[32],
                                   struct csl_err *err)
{
    const uint8_t *p = k->dealings;
    for (uint32_t i = 0; i < a->n1; i++) {
        struct csl_secagg_shares dealt;
        if (!csl_secagg_set_has(&k->members, i))
            continue;
        memcpy(hashes[i], p, 32);
        if (csl_secagg_set_has(&a->dealers, i)) {
            dealing_of(a, i, &dealt);
            if (memcmp(a->dealings[i], p, 32) != 0 || memcmp(dealt.r[0].bytes, p + 32, 32) != 0)
                return CSL_FAIL(err, CSL_E_DENIED, "others were told of another dealing of site %u",
                                a->ids[i]);
        }
        p += 64;
    }
    return CSL_OK;
}

static enum csl_code check_commitments(const struct csl_secagg_attempt *a,
                                       const struct csl_secagg_senders *k, struct csl_err *err)
{
    uint8_t com[32], told[CSL_SECAGG_SITES_MAX][32];
    const uint8_t(*hashes)[32] = (const uint8_t(*)[32])a->dealings;
    if (a->config.graph != 0) {
        enum csl_code code = take_dealings(a, k, told, err);
        if (code != CSL_OK)
            return code;
        hashes = (const uint8_t(*)[32])told;
    }
    csl_secagg_com(a->sid, a->n1, a->ids, hashes, &k->members, com);
    if (memcmp(com, k->commitments, 32) != 0)
        return CSL_FAIL(err, CSL_E_DENIED, "others were dealt other commitments");
    return CSL_OK;
}

/* Of every block and of the vector as a whole. */
static enum csl_code check_losses(const struct csl_secagg_attempt *a,
                                  const struct csl_secagg_senders *k,
                                  const struct csl_secagg_set *survivors, struct csl_err *err)
{
    struct csl_secagg_set senders[CSL_SECAGG_MANIFEST_BLOCKS_MAX + 1];
    for (uint32_t b = 0; b < k->block_count; b++)
        csl_secagg_block_set(k->block_bits, k->count, b, &senders[b]);
    senders[k->block_count] = k->members;
    return csl_secagg_graph_check_losses(senders, k->block_count + 1, survivors,
                                         a->config.colluding, a->config.mask_degree,
                                         a->config.losses_max, err);
}

enum csl_code csl_secagg__site_check_losses(const struct csl_secagg_attempt *a,
                                            const struct csl_secagg_set *survivors,
                                            struct csl_err *err)
{
    if (a->config.graph == 0)
        return CSL_OK;
    return check_losses(a, &a->senders.view.u.senders, survivors, err);
}

static enum csl_code check_senders(struct csl_secagg_site *s, const struct csl_secagg_message *m,
                                   struct csl_secagg_set *opened_to_us, struct csl_err *err)
{
    struct csl_secagg_attempt *a = &s->at;
    const struct csl_secagg_senders *k = &m->u.senders;
    if (k->count != a->n1 || k->block_count != csl_secagg_block_total(&a->config) ||
        (m->type == CSL_SECAGG_SPARSE_SENDERS) != (a->config.graph != 0))
        return CSL_FAIL(err, CSL_E_PROTO, "senders of %u sites and %u blocks", k->count,
                        k->block_count);
    if (!csl_secagg_set_has(&k->members, a->place))
        return CSL_FAIL(err, CSL_E_DENIED, "the senders were fixed without this site");
    enum csl_code code = csl_secagg_policy_check_count(&s->setup.policy, &a->config, a->votes_min,
                                                       csl_secagg_set_count(&k->members), err);
    if (code == CSL_OK && a->config.graph != 0)
        code = check_losses(a, k, &k->members, err);
    if (code == CSL_OK || s->is_restoring)
        code = check_sender_blocks(s, k, err);
    if (code == CSL_OK)
        code = check_openings(s, k, opened_to_us, err);
    if (code != CSL_OK)
        return code;
    for (uint32_t i = 0; i < a->n1; i++)
        if (csl_secagg_set_has(&k->members, i) && csl_secagg_set_has(&a->peers, i) &&
            !csl_secagg_set_has(&a->accepted, i) && !csl_secagg_set_has(opened_to_us, i))
            return CSL_FAIL(err, CSL_E_DENIED, "this site has no valid share of site %u",
                            a->ids[i]);
    return check_commitments(a, k, err);
}

/* ---- M7r ---- */

enum csl_code csl_secagg__site_send_reveal(struct csl_secagg_site *s, struct csl_err *err)
{
    const struct csl_secagg_attempt *a = &s->at;
    struct csl_scalar shares[CSL_SECAGG_SITES_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < a->n1; i++)
        if (csl_secagg_set_has(&a->senders.view.u.senders.members, i) &&
            csl_secagg_set_has(&a->peers, i))
            shares[n++] = a->received_r[i];
    struct csl_secagg_message m = {.type = CSL_SECAGG_REVEAL,
                                   .u.reveal = {.r = &a->r[0], .count = n, .shares = shares}};
    memcpy(m.id, a->sid, 32);
    return csl_secagg__site_send(s, &m, err);
}

static enum csl_code check_seeds(const struct csl_secagg_attempt *a,
                                 const struct csl_secagg_seeds *k, struct csl_err *err)
{
    const struct csl_secagg_senders *senders = &a->senders.view.u.senders;
    if (k->count != csl_secagg_set_count(&senders->members))
        return CSL_FAIL(err, CSL_E_PROTO, "%u values of r", k->count);
    for (uint32_t i = 0; i < k->count; i++) {
        struct csl_point is;
        if (csl_point_base(&k->r[i], &is, NULL) != CSL_OK ||
            memcmp(is.bytes, senders->dealings + (size_t)64 * i + 32, 32) != 0)
            return CSL_FAIL(err, CSL_E_CRYPTO, "an r that its site did not commit to");
    }
    return CSL_OK;
}

enum csl_code csl_secagg__site_seeds(struct csl_secagg_site *s, const struct csl_secagg_message *m,
                                     struct csl_err *err)
{
    struct csl_secagg_attempt *a = &s->at;
    if (csl_secagg__is_kept(&a->seeds, m))
        return csl_secagg__site_senders(s, &a->senders.view, err); /* what M7 would say now */
    if (csl_secagg_site_phase(s) != CSL_SECAGG_SEEDING)
        return CSL_FAIL(err, CSL_E_STATE, "the graph was drawn before, or is not drawn now");
    if (!csl_secagg_is_signed(m, s->setup.roster->coordinator_key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "not signed by the coordinator");
    enum csl_code code = check_seeds(a, &m->u.seeds, err);
    if (code == CSL_OK)
        code = csl_secagg__keep(&a->seeds, m, err);
    if (code != CSL_OK)
        return code;
    csl_secagg_mask_seed(a->sid, a->n1, &a->senders.view.u.senders.members, m->u.seeds.r->bytes,
                         a->mask_seed);
    csl_secagg__site_journal(s, CSL_SECAGG_SJ_MESSAGE, m->whole);
    csl_secagg__site_emit(s, CSL_SECAGG_SA_MASK, CSL_SECAGG_SJ_MASKED, CSL_SPAN(NULL, 0), NULL);
    return CSL_OK;
}

enum csl_code csl_secagg__site_senders(struct csl_secagg_site *s,
                                       const struct csl_secagg_message *m, struct csl_err *err)
{
    struct csl_secagg_attempt *a = &s->at;
    struct csl_secagg_set opened_to_us = {{0}};
    if (csl_secagg__is_kept(&a->senders, m)) {
        if (a->is_masked)
            return csl_secagg__site_send_manifest(s, err);
        if (csl_secagg_site_phase(s) == CSL_SECAGG_SEEDING)
            return csl_secagg__site_send_reveal(s, err);
        if (csl_secagg_site_phase(s) == CSL_SECAGG_MASKING)
            csl_secagg__site_emit(s, CSL_SECAGG_SA_MASK, CSL_SECAGG_SJ_MASKED, CSL_SPAN(NULL, 0),
                                  NULL);
        return CSL_OK;
    }
    if (csl_secagg_site_phase(s) != CSL_SECAGG_WAITING)
        return CSL_FAIL(err, CSL_E_STATE, "other senders than accepted before, or not now");
    if (!csl_secagg_is_signed(m, s->setup.roster->coordinator_key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "not signed by the coordinator");
    enum csl_code code = check_senders(s, m, &opened_to_us, err);
    if (code == CSL_OK)
        code = csl_secagg__keep(&a->senders, m, err);
    if (code != CSL_OK)
        return code;
    for (uint32_t i = 0; i < CSL_SECAGG_SET_BYTES; i++)
        a->accepted.bits[i] |= opened_to_us.bits[i];
    csl_secagg__site_journal(s, CSL_SECAGG_SJ_MESSAGE, m->whole);
    if (a->config.graph != 0)
        return csl_secagg__site_send_reveal(s, err);
    csl_secagg__site_emit(s, CSL_SECAGG_SA_MASK, CSL_SECAGG_SJ_MASKED, CSL_SPAN(NULL, 0), NULL);
    return CSL_OK;
}
