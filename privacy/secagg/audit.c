#include "privacy/secagg/audit.h"

#include "base/check.h"
#include "base/le.h"
#include "base/mem.h"
#include "privacy/secagg/derive.h"
#include "privacy/secagg/policy.h"
#include "privacy/secagg/remaining.h"

struct csl_secagg_audit {
    struct csl_secagg_config config;
    uint32_t block, chunk;
    uint8_t sid[32], com[32], transcript[32], result_root[32];
    uint8_t senders_hash[32]; /* of the body of M7: T binds it only through the manifests */
    uint32_t n1;
    uint32_t *ids;                 /* [n1] */
    struct csl_point *mask_keys;   /* [n1] */
    uint8_t (*uploads)[32];        /* [n1] of U3: SHA-256 of the body of M8 */
    uint8_t (*dealings)[64];       /* [n1] of U2, graph 1 only: as in M7 */
    struct csl_secagg_set *blocks; /* [n1] of U2: the audited block, or none */
    struct csl_secagg_set senders, survivors;
    struct csl_secagg_set summed, seen; /* of the block: U3, and whose upload came */
    enum csl_secret_policy memory;
    struct csl_secagg_masks *masks; /* NULL: not answered yet */
    uint8_t published[32];          /* SHA-256 of the chunk of the sum */
    uint64_t *sum;                  /* of the uploads that came */
    uint64_t *words;
};

static enum csl_code decode_as(struct csl_secagg_message *m, struct csl_span bytes, uint8_t type,
                               struct csl_err *err)
{
    enum csl_code code = csl_secagg_decode(m, bytes, err);
    if (code == CSL_OK && m->type != type)
        code = CSL_FAIL(err, CSL_E_PROTO, "a message of type %u; %u would be right", m->type, type);
    return code;
}

/* M0 and M2: ctx, sid, who is in U1. */
static enum csl_code take_keys(struct csl_secagg_audit *a, const struct csl_secagg_audit_session *k,
                               struct csl_err *err)
{
    struct csl_secagg_message keys;
    uint8_t ctx[32];
    enum csl_code code = csl_secagg_config_decode(&a->config, k->config, err);
    if (code == CSL_OK)
        code = decode_as(&keys, k->keys, CSL_SECAGG_ROUND_KEYS, err);
    if (code != CSL_OK)
        return code;
    csl_secagg_config_ctx(k->config, ctx);
    if (memcmp(a->config.roster_hash, k->roster->hash, 32) != 0 || memcmp(keys.id, ctx, 32) != 0)
        return CSL_FAIL(err, CSL_E_PROTO, "keys of another round, or a round of another roster");
    if (!csl_secagg_config_is_signed(k->config, k->roster->coordinator_key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "the configuration is not signed by the coordinator");
    a->n1 = keys.u.round_keys.count;
    a->ids = csl_alloc_array(a->n1, sizeof(*a->ids));
    a->mask_keys = csl_alloc_array(a->n1, sizeof(*a->mask_keys));
    a->uploads = csl_alloc_array(a->n1, sizeof(*a->uploads));
    a->blocks = csl_alloc_array(a->n1, sizeof(*a->blocks));
    a->dealings = csl_alloc_array(a->n1, sizeof(*a->dealings));
    if (a->ids == NULL || a->mask_keys == NULL || a->uploads == NULL || a->blocks == NULL ||
        a->dealings == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u sites", a->n1);
    for (uint32_t i = 0; i < a->n1; i++) {
        struct csl_secagg_message one;
        csl_secagg_advertised_at(&keys.u.round_keys, i, &one);
        a->ids[i] = one.site;
        a->mask_keys[i] = one.u.advertise.mask_key;
    }
    csl_secagg_sid(&keys, a->sid);
    return CSL_OK;
}

/* M7 and M9: U2, U3, the blocks, T. */
static enum csl_code take_survivors(struct csl_secagg_audit *a,
                                    const struct csl_secagg_audit_session *k, struct csl_err *err)
{
    struct csl_secagg_message senders, survivors;
    bool is_sparse = a->config.graph != 0;
    enum csl_code code = decode_as(&senders, k->senders,
                                   is_sparse ? CSL_SECAGG_SPARSE_SENDERS : CSL_SECAGG_SENDERS, err);
    if (code == CSL_OK)
        code = decode_as(&survivors, k->survivors, CSL_SECAGG_SURVIVORS, err);
    if (code != CSL_OK)
        return code;
    const struct csl_secagg_senders *u2 = &senders.u.senders;
    const struct csl_secagg_survivors *u3 = &survivors.u.survivors;
    uint32_t total = csl_secagg_block_total(&a->config);
    if (memcmp(senders.id, a->sid, 32) != 0 || memcmp(survivors.id, a->sid, 32) != 0 ||
        u2->count != a->n1 || u3->count != a->n1 || u2->block_count != total ||
        u3->block_count != total || !csl_secagg_set_within(&u3->members, &u2->members))
        return CSL_FAIL(err, CSL_E_PROTO, "senders or survivors of another session");
    a->senders = u2->members;
    a->survivors = u3->members;
    memcpy(a->com, u2->commitments, 32);
    csl_secagg_body_hash(&senders, a->senders_hash);
    uint8_t bound[32];
    csl_secagg_bound_com(&senders, bound);
    csl_secagg_transcript(&survivors, bound, &a->senders, a->ids, a->transcript);
    csl_secagg_block_set(u3->block_bits, a->n1, a->block, &a->summed);
    struct csl_secagg_set sent;
    csl_secagg_block_set(u2->block_bits, a->n1, a->block, &sent);
    const uint8_t *root = u3->roots, *dealing = u2->dealings;
    for (uint32_t i = 0; i < a->n1; i++) {
        if (is_sparse && csl_secagg_set_has(&a->senders, i)) {
            memcpy(a->dealings[i], dealing, sizeof(*a->dealings));
            dealing += sizeof(*a->dealings);
        }
        if (csl_secagg_set_has(&sent, i))
            csl_secagg_set_put(&a->blocks[i], a->block);
        if (csl_secagg_set_has(&a->survivors, i)) {
            memcpy(a->uploads[i], root, 32);
            root += 32;
        }
    }
    return CSL_OK;
}

static uint32_t place_of(const struct csl_secagg_audit *a, uint32_t site)
{
    for (uint32_t i = 0; i < a->n1; i++)
        if (a->ids[i] == site)
            return i;
    return UINT32_MAX;
}

/* M13: t_g sites of U3 voted for this T, and the coordinator signed the result. */
static enum csl_code take_result(struct csl_secagg_audit *a,
                                 const struct csl_secagg_audit_session *k, struct csl_err *err)
{
    struct csl_secagg_message m;
    enum csl_code code = decode_as(&m, k->result, CSL_SECAGG_RESULT, err);
    if (code != CSL_OK)
        return code;
    const struct csl_secagg_votes *v = &m.u.result.quorum;
    if (memcmp(m.id, a->sid, 32) != 0 || memcmp(v->transcript, a->transcript, 32) != 0)
        return CSL_FAIL(err, CSL_E_PROTO, "a result of another transcript");
    if (!csl_secagg_is_signed(&m, k->roster->coordinator_key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "the result is not signed by the coordinator");
    if (v->count < csl_secagg_quorum(a->n1, a->config.colluding))
        return CSL_FAIL(err, CSL_E_CRYPTO, "a result with %u votes", v->count);
    for (uint32_t i = 0; i < v->count; i++) {
        const uint8_t *p = v->votes + (size_t)i * (4 + CSL_SIGN_SIGNATURE_BYTES);
        uint32_t site = csl_load_le32(p), row = csl_secagg_roster_find(k->roster, site);
        uint32_t place = place_of(a, site);
        if (place == UINT32_MAX || row == UINT32_MAX || !csl_secagg_set_has(&a->survivors, place) ||
            !csl_secagg_vote_is_signed(a->sid, site, CSL_SECAGG_VOTE_FOR, v->transcript, p + 4,
                                       k->roster->sites[row].key))
            return CSL_FAIL(err, CSL_E_CRYPTO, "a vote that is none of site %u", site);
    }
    memcpy(a->result_root, m.u.result.result_root, 32);
    return CSL_OK;
}

enum csl_code csl_secagg_audit_new(struct csl_secagg_audit **out,
                                   const struct csl_secagg_audit_session *session, uint32_t block,
                                   uint32_t chunk, struct csl_err *err)
{
    struct csl_secagg_audit *a = csl_alloc(sizeof(*a));
    if (a == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for an audit");
    a->block = block;
    a->chunk = chunk;
    a->memory = session->memory;
    enum csl_code code = take_keys(a, session, err);
    if (code == CSL_OK && (block >= csl_secagg_block_total(&a->config) ||
                           chunk >= csl_secagg_block_chunks(&a->config, block)))
        code = CSL_FAIL(err, CSL_E_INVAL, "there is no chunk %u of block %u", chunk, block);
    if (code == CSL_OK)
        code = take_survivors(a, session, err);
    if (code == CSL_OK)
        code = take_result(a, session, err);
    if (code == CSL_OK && csl_secagg_set_count(&a->summed) == 0)
        code = CSL_FAIL(err, CSL_E_INVAL, "nobody sent block %u", block);
    if (code == CSL_OK) {
        a->sum = csl_alloc_array(CSL_PRG_CHUNK_WORDS, sizeof(*a->sum));
        a->words = csl_alloc_array(CSL_PRG_CHUNK_WORDS, sizeof(*a->words));
        if (a->sum == NULL || a->words == NULL)
            code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for a chunk");
    }
    if (code != CSL_OK) {
        csl_secagg_audit_free(a);
        return code;
    }
    *out = a;
    return CSL_OK;
}

void csl_secagg_audit_free(struct csl_secagg_audit *a)
{
    if (a == NULL)
        return;
    csl_secagg_masks_free(a->masks);
    csl_free(a->ids);
    csl_free(a->mask_keys);
    csl_free(a->uploads);
    csl_free(a->dealings);
    csl_free(a->blocks);
    csl_free(a->sum);
    csl_free(a->words);
    csl_free(a);
}

/* Each secret is what its commitment says, and the commitments are those of T. by_place and hashes:
 * [n1]. */
static enum csl_code check_secrets(const struct csl_secagg_audit *a,
                                   const struct csl_secagg_audited *m, struct csl_scalar *by_place,
                                   uint8_t (*hashes)[32], struct csl_err *err)
{
    uint32_t index = 0, polynomials = m->r != NULL ? 3 : 2;
    uint8_t com[32];
    for (uint32_t i = 0; i < a->n1; i++) {
        struct csl_point actual;
        if (!csl_secagg_set_has(&a->senders, i))
            continue;
        const struct csl_point *b = m->commitments + (size_t)polynomials * m->threshold * index;
        const struct csl_secagg_shares dealt = {.threshold = m->threshold,
                                                .b = b,
                                                .s = b + m->threshold,
                                                .r = m->r != NULL ? b + 2 * m->threshold : NULL};
        csl_secagg_shares_hash(&dealt, hashes[i]);
        if (m->r != NULL && memcmp(hashes[i], a->dealings[i], 32) != 0)
            return CSL_FAIL(err, CSL_E_CRYPTO, "other commitments than the quorum signed");
        by_place[i] = m->secrets[index++];
        bool is_self_mask = csl_secagg_set_has(&a->survivors, i);
        if (csl_point_base(&by_place[i], &actual, NULL) != CSL_OK ||
            !csl_point_equal(&actual, is_self_mask ? dealt.b : dealt.s))
            return CSL_FAIL(err, CSL_E_CRYPTO, "a secret of site %u that is not the one it dealt",
                            a->ids[i]);
    }
    csl_secagg_com(a->sid, a->n1, a->ids, (const uint8_t(*)[32])hashes, &a->senders, com);
    if (memcmp(com, a->com, 32) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "other commitments than the quorum signed");
    return CSL_OK;
}

/* The graphs on which the sites of this T masked: M7, which T binds, says what each r is. rings: by
 * place of the block, of which only the audited one is drawn. */
static enum csl_code draw_rings(const struct csl_secagg_audit *a,
                                const struct csl_secagg_audited *m, struct csl_secagg_ring *rings,
                                struct csl_err *err)
{
    struct csl_secagg_set sent = {{0}};
    uint8_t seed[32];
    uint32_t index = 0;
    for (uint32_t i = 0; i < a->n1; i++) {
        struct csl_point is;
        if (!csl_secagg_set_has(&a->senders, i))
            continue;
        if (csl_point_base(&m->r[index++], &is, NULL) != CSL_OK ||
            memcmp(is.bytes, a->dealings[i] + 32, 32) != 0)
            return CSL_FAIL(err, CSL_E_CRYPTO, "an r that site %u did not commit to", a->ids[i]);
        if (csl_secagg_set_has(&a->blocks[i], a->block))
            csl_secagg_set_put(&sent, i);
    }
    csl_secagg_mask_seed(a->sid, a->n1, &a->senders, m->r->bytes, seed);
    csl_secagg_mask_graph(&rings[a->block], seed, a->n1, a->ids, &sent, a->config.mask_degree);
    return CSL_OK;
}

static enum csl_code open_masks(struct csl_secagg_audit *a, const struct csl_secagg_audited *m,
                                struct csl_err *err)
{
    struct csl_scalar *secrets = csl_alloc_array(a->n1, sizeof(*secrets));
    uint8_t(*hashes)[32] = csl_alloc_array(a->n1, sizeof(*hashes));
    struct csl_secagg_ring *rings =
        m->r != NULL ? csl_alloc_array(a->block + 1, sizeof(*rings)) : NULL;
    enum csl_code code = CSL_OK;
    if (secrets == NULL || hashes == NULL || (m->r != NULL && rings == NULL))
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u sites", a->n1);
    if (code == CSL_OK)
        code = check_secrets(a, m, secrets, hashes, err);
    if (code == CSL_OK && m->r != NULL)
        code = draw_rings(a, m, rings, err);
    const struct csl_secagg_remaining r = {.sid = a->sid,
                                           .n1 = a->n1,
                                           .ids = a->ids,
                                           .mask_keys = a->mask_keys,
                                           .senders = &a->senders,
                                           .survivors = &a->survivors,
                                           .blocks = a->blocks,
                                           .rings = rings,
                                           .secrets = secrets,
                                           .memory = a->memory};
    if (code == CSL_OK)
        code = csl_secagg__remaining_masks(&r, &a->masks, err);
    if (secrets != NULL)
        csl_wipe(secrets, sizeof(*secrets) * a->n1);
    csl_free(secrets);
    csl_free(hashes);
    csl_free(rings);
    return code;
}

static enum csl_code take_answer(struct csl_secagg_audit *a, const struct csl_secagg_audited *m,
                                 struct csl_err *err)
{
    uint8_t root[32], result[32];
    if (a->masks != NULL)
        return CSL_FAIL(err, CSL_E_STATE, "a second answer");
    if (memcmp(m->transcript, a->transcript, 32) != 0 || m->block != a->block ||
        m->chunk != a->chunk || m->count != csl_secagg_set_count(&a->senders) ||
        m->threshold !=
            csl_secagg_graph_threshold(&a->config, csl_secagg_quorum(a->n1, a->config.colluding)) ||
        (m->r != NULL) != (a->config.graph != 0) ||
        m->block_count != csl_secagg_block_total(&a->config) ||
        m->chunk_count != csl_secagg_block_chunks(&a->config, a->block))
        return CSL_FAIL(err, CSL_E_PROTO, "an answer to another question");
    csl_secagg_root_of(m->hashes, m->chunk_count, root);
    csl_secagg_result_root(m->roots, m->block_count, result);
    if (memcmp(root, m->roots + (size_t)32 * a->block, 32) != 0 ||
        memcmp(result, a->result_root, 32) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "another sum than the result announced");
    enum csl_code code = open_masks(a, m, err);
    if (code == CSL_OK)
        memcpy(a->published, m->hashes + (size_t)32 * a->chunk, 32);
    return code;
}

static enum csl_code take_upload(struct csl_secagg_audit *a,
                                 const struct csl_secagg_audit_upload *m, struct csl_err *err)
{
    struct csl_secagg_message manifest;
    uint8_t digest[32], hash[32], root[32];
    enum csl_code code = decode_as(&manifest, m->manifest, CSL_SECAGG_MANIFEST, err);
    if (code != CSL_OK)
        return code;
    size_t n = csl_secagg_chunk_words(&a->config, a->block, a->chunk);
    uint32_t place = place_of(a, manifest.site);
    if (a->masks == NULL || csl_secagg_set_has(&a->seen, place))
        return CSL_FAIL(err, CSL_E_STATE, "an upload before the answer, or for the second time");
    if (!csl_secagg_set_has(&a->summed, place) || m->block != a->block || m->chunk != a->chunk ||
        m->chunk_count != csl_secagg_block_chunks(&a->config, a->block) ||
        m->words.n != n * sizeof(uint64_t) || manifest.u.manifest.block_count <= a->block)
        return CSL_FAIL(err, CSL_E_PROTO, "an upload that is not in this chunk of the sum");
    csl_secagg_body_hash(&manifest, digest);
    csl_secagg_root_of(m->hashes, m->chunk_count, root);
    csl_sha256_digest(m->words.p, m->words.n, hash);
    if (memcmp(digest, a->uploads[place], 32) != 0 ||
        memcmp(hash, m->hashes + (size_t)32 * a->chunk, 32) != 0 ||
        memcmp(root, manifest.u.manifest.blocks[a->block].root, 32) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "not what site %u uploaded", manifest.site);
    if (memcmp(manifest.u.manifest.senders, a->senders_hash, 32) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "site %u masked against other senders", manifest.site);
    memcpy(a->words, m->words.p, m->words.n);
    for (size_t i = 0; i < n; i++)
        a->sum[i] += a->words[i]; /* modulo 2^64 */
    csl_secagg_set_put(&a->seen, place);
    return CSL_OK;
}

enum csl_code csl_secagg_audit_take(struct csl_secagg_audit *a, struct csl_span bytes,
                                    struct csl_err *err)
{
    struct csl_secagg_message m;
    enum csl_code code = csl_secagg_decode(&m, bytes, err);
    if (code != CSL_OK)
        return code;
    if (memcmp(m.id, a->sid, 32) != 0 ||
        (m.type != CSL_SECAGG_AUDITED && m.type != CSL_SECAGG_SPARSE_AUDITED &&
         m.type != CSL_SECAGG_AUDIT_UPLOAD))
        return CSL_FAIL(err, CSL_E_PROTO, "a message of type %u that answers nothing", m.type);
    return m.type == CSL_SECAGG_AUDIT_UPLOAD ? take_upload(a, &m.u.audit_upload, err)
                                             : take_answer(a, &m.u.audited, err);
}

bool csl_secagg_audit_is_complete(const struct csl_secagg_audit *a)
{
    return a->masks != NULL && csl_secagg_set_equal(&a->seen, &a->summed);
}

enum csl_code csl_secagg_audit_finish(struct csl_secagg_audit *a, struct csl_err *err)
{
    struct csl_prg *prg;
    uint8_t hash[32];
    if (!csl_secagg_audit_is_complete(a))
        return CSL_FAIL(err, CSL_E_STATE, "%u of %u uploads came", csl_secagg_set_count(&a->seen),
                        csl_secagg_set_count(&a->summed));
    size_t n = csl_secagg_chunk_words(&a->config, a->block, a->chunk);
    enum csl_code code = csl_prg_new(&prg, err);
    if (code != CSL_OK)
        return code;
    code =
        csl_secagg_masks_apply(a->masks, prg, a->block, csl_secagg_block_id(&a->config, a->block),
                               a->chunk, a->sum, n, err);
    csl_prg_free(prg);
    if (code != CSL_OK)
        return code;
    csl_sha256_digest(a->sum, n * sizeof(*a->sum), hash);
    if (memcmp(hash, a->published, 32) != 0)
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "chunk %u of block %u of the published sum is not the sum of the uploads",
                        a->chunk, a->block);
    return CSL_OK;
}
