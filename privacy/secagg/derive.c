#include "privacy/secagg/derive.h"

#include "base/le.h"
#include "privacy/crypto/secret.h"
#include "privacy/crypto/sha256.h"

static void update_le32(struct csl_sha256 *h, uint32_t v)
{
    uint8_t le[4];
    csl_store_le32(le, v);
    csl_sha256_update(h, le, sizeof(le));
}

void csl_secagg_sid(const struct csl_secagg_message *round_keys, uint8_t sid[32])
{
    const struct csl_secagg_round_keys *k = &round_keys->u.round_keys;
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, "FSA1 sid", 8);
    csl_sha256_update(&h, round_keys->id, 32);
    update_le32(&h, k->count);
    for (uint32_t i = 0; i < k->count; i++) {
        struct csl_secagg_message m;
        uint8_t digest[32];
        csl_secagg_advertised_at(k, i, &m);
        csl_secagg_body_hash(&m, digest);
        update_le32(&h, m.site);
        csl_sha256_update(&h, digest, sizeof(digest));
    }
    csl_sha256_update(&h, k->graph_seed, 32);
    csl_sha256_final(&h, sid);
}

void csl_secagg_shares_hash(const struct csl_secagg_shares *s, uint8_t out[32])
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, s->b, (size_t)32 * s->threshold);
    csl_sha256_update(&h, s->s, (size_t)32 * s->threshold);
    if (s->r != NULL)
        csl_sha256_update(&h, s->r, (size_t)32 * s->threshold);
    csl_sha256_final(&h, out);
}

void csl_secagg_com(const uint8_t sid[32], uint32_t count, const uint32_t *ids,
                    const uint8_t (*hashes)[32], const struct csl_secagg_set *members,
                    uint8_t com[32])
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, "FSA1 com", 8);
    csl_sha256_update(&h, sid, 32);
    for (uint32_t i = 0; i < count; i++) {
        if (!csl_secagg_set_has(members, i))
            continue;
        update_le32(&h, ids[i]);
        csl_sha256_update(&h, hashes[i], 32);
    }
    csl_sha256_final(&h, com);
}

void csl_secagg_bound_com(const struct csl_secagg_message *senders, uint8_t com[32])
{
    if (senders->type == CSL_SECAGG_SPARSE_SENDERS)
        csl_secagg_body_hash(senders, com);
    else
        memcpy(com, senders->u.senders.commitments, 32);
}

void csl_secagg_transcript(const struct csl_secagg_message *survivors, const uint8_t com[32],
                           const struct csl_secagg_set *senders, const uint32_t *ids,
                           uint8_t transcript[32])
{
    const struct csl_secagg_survivors *s = &survivors->u.survivors;
    size_t bytes = csl_secagg_set_bytes(s->count);
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, "FSA1 T", 6);
    csl_sha256_update(&h, survivors->id, 32);
    csl_sha256_update(&h, com, 32);
    csl_sha256_update(&h, senders->bits, bytes);
    csl_sha256_update(&h, s->members.bits, bytes);
    uint32_t survivor = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (!csl_secagg_set_has(&s->members, i))
            continue;
        update_le32(&h, ids[i]);
        csl_sha256_update(&h, s->roots + (size_t)32 * survivor++, 32);
    }
    csl_sha256_update(&h, s->block_bits, bytes * s->block_count);
    csl_sha256_final(&h, transcript);
}

void csl_secagg_body_hash(const struct csl_secagg_message *m, uint8_t out[32])
{
    csl_sha256_digest(m->body.p, m->body.n, out);
}

void csl_secagg_head(const uint8_t previous[32], const uint8_t transcript[32],
                     const uint8_t result_root[32], const uint8_t model_hash[32], uint8_t head[32])
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, "FSA1 head", 9);
    csl_sha256_update(&h, previous, 32);
    csl_sha256_update(&h, transcript, 32);
    csl_sha256_update(&h, result_root, 32);
    csl_sha256_update(&h, model_hash, 32);
    csl_sha256_final(&h, head);
}

enum csl_code csl_secagg_derive_advertise(const uint8_t z[32], const uint8_t head[32],
                                          uint8_t channel_secret[CSL_AGREE_X25519_BYTES],
                                          struct csl_secagg_advertise *out, struct csl_err *err)
{
    struct csl_secagg_advertise a;
    struct csl_scalar s, nonce;
    uint8_t e[CSL_AGREE_X25519_BYTES];
    enum csl_code code = csl_scalar_derive(z, CSL_SECAGG_LABEL_MASK, 0, &s, err);
    if (code == CSL_OK)
        code = csl_point_base(&s, &a.mask_key, err);
    if (code == CSL_OK)
        code = csl_agree_channel_keys(z, CSL_SECAGG_LABEL_CHANNEL, 0, e, a.channel_key, err);
    if (code == CSL_OK)
        code = csl_scalar_derive(z, CSL_SECAGG_LABEL_NONCE, 0, &nonce, err);
    if (code == CSL_OK) {
        memcpy(a.nonce, nonce.bytes, 32);
        memcpy(a.head, head, 32);
        memcpy(channel_secret, e, sizeof(e));
        *out = a;
    }
    csl_wipe(&s, sizeof(s));
    csl_wipe(e, sizeof(e));
    return code;
}
