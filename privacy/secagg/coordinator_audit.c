#include "privacy/secagg/audit.h"
#include "privacy/secagg/coordinator_internal.h"

#include "base/check.h"

static bool is_summed(const struct csl_secagg_coordinator *c, uint32_t block)
{
    for (uint32_t i = 0; i < c->n1; i++)
        if (csl_secagg_coordinator_is_in_block(c, c->ids[i], block))
            return true;
    return false;
}

static enum csl_code check_chunk(const struct csl_secagg_coordinator *c, uint32_t block,
                                 uint32_t chunk, struct csl_err *err)
{
    if (c->stage != CSL_SECAGG_STAGE_DONE)
        return CSL_FAIL(err, CSL_E_STATE, "an audit before there is a result");
    if (c->config.colluding == 0)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the round assumes that no site sees what the coordinator sees");
    if (block >= csl_secagg_block_total(&c->config) ||
        chunk >= csl_secagg_block_chunks(&c->config, block) || !is_summed(c, block))
        return CSL_FAIL(err, CSL_E_INVAL, "chunk %u of block %u is in no sum", chunk, block);
    return CSL_OK;
}

enum csl_code csl_secagg_coordinator_audit_check(const struct csl_secagg_coordinator *c,
                                                 uint32_t from, struct csl_span bytes,
                                                 struct csl_secagg_message *out,
                                                 struct csl_err *err)
{
    struct csl_secagg_message m;
    enum csl_code code = csl_secagg_decode(&m, bytes, err);
    if (code != CSL_OK)
        return code;
    if (m.type != CSL_SECAGG_AUDIT)
        return CSL_FAIL(err, CSL_E_PROTO, "a message of type %u", m.type);
    if (c->stage != CSL_SECAGG_STAGE_DONE || memcmp(m.id, c->sid, 32) != 0)
        return CSL_FAIL(err, CSL_E_STATE, "an audit before the result, or of another session");
    if (m.site != from)
        return CSL_FAIL(err, CSL_E_UNAUTH, "site %u sent a message of site %u", from, m.site);
    uint32_t row = csl_secagg_roster_find(c->setup.roster, m.site);
    if (row == UINT32_MAX || !c->setup.roster->sites[row].is_active)
        return CSL_FAIL(err, CSL_E_DENIED, "site %u has no part in this", m.site);
    if (!csl_secagg_is_signed(&m, c->setup.roster->sites[row].key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "not signed by site %u", m.site);
    for (uint32_t i = 0; code == CSL_OK && i < m.u.audit.count; i++) {
        uint32_t block, chunk;
        csl_secagg_audit_at(&m.u.audit, i, &block, &chunk);
        code = check_chunk(c, block, chunk, err);
    }
    if (code == CSL_OK)
        *out = m;
    return code;
}

/* Of U2 ascending: the secret that M12 opened, and the commitments it was checked against. */
static uint32_t write_opened(const struct csl_secagg_coordinator *c, struct csl_buf *secrets,
                             struct csl_buf *commitments)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n1; i++) {
        struct csl_secagg_message dealt;
        if (!csl_secagg_set_has(&c->u2, i))
            continue;
        bool is_dealt = csl_secagg__said(c, i, CSL_SECAGG_SHARES, &dealt);
        CSL_ASSERT(is_dealt);
        csl_buf_append(secrets, c->secrets[i].bytes, 32);
        csl_buf_append(commitments, dealt.u.shares.b, (size_t)32 * c->threshold);
        csl_buf_append(commitments, dealt.u.shares.s, (size_t)32 * c->threshold);
        if (c->config.graph != 0)
            csl_buf_append(commitments, dealt.u.shares.r, (size_t)32 * c->threshold);
        n++;
    }
    return n;
}

enum csl_code csl_secagg_coordinator_audit_answer(const struct csl_secagg_coordinator *c,
                                                  uint32_t block, uint32_t chunk,
                                                  const uint8_t *roots, const uint8_t *hashes,
                                                  struct csl_buf *out, struct csl_err *err)
{
    struct csl_secagg_message seeds, m = {.type = CSL_SECAGG_AUDITED};
    struct csl_secagg_audited *a = &m.u.audited;
    uint8_t root[32], result[32];
    enum csl_code code = check_chunk(c, block, chunk, err);
    if (code != CSL_OK)
        return code;
    memcpy(m.id, c->sid, 32);
    memcpy(a->transcript, c->transcript, 32);
    a->block = block;
    a->chunk = chunk;
    a->threshold = c->threshold;
    a->block_count = csl_secagg_block_total(&c->config);
    a->roots = roots;
    a->chunk_count = csl_secagg_block_chunks(&c->config, block);
    a->hashes = hashes;
    csl_secagg_root_of(hashes, a->chunk_count, root);
    csl_secagg_result_root(roots, a->block_count, result);
    if (memcmp(root, roots + (size_t)32 * block, 32) != 0 ||
        memcmp(result, c->result_root, 32) != 0)
        return CSL_FAIL(err, CSL_E_INVAL, "not the roots of the result that was announced");
    struct csl_buf secrets, commitments;
    csl_buf_init(&secrets, CSL_SECAGG_MESSAGE_BYTES_MAX);
    csl_buf_init(&commitments, CSL_SECAGG_MESSAGE_BYTES_MAX);
    a->count = write_opened(c, &secrets, &commitments);
    a->secrets = (const struct csl_scalar *)secrets.p;
    a->commitments = (const struct csl_point *)commitments.p;
    if (c->config.graph != 0) {
        enum csl_code decoded = csl_secagg_decode(&seeds, csl_msg_span(&c->seeds), NULL);
        CSL_ASSERT(decoded == CSL_OK && seeds.u.seeds.count == a->count);
        m.type = CSL_SECAGG_SPARSE_AUDITED;
        a->r = seeds.u.seeds.r;
    }
    code = csl_buf_status(&secrets, err);
    if (code == CSL_OK)
        code = csl_buf_status(&commitments, err);
    if (code == CSL_OK)
        code = csl_secagg_encode(&m, NULL, out, err);
    csl_buf_release(&secrets);
    csl_buf_release(&commitments);
    return code;
}

enum csl_code csl_secagg_coordinator_audit_upload(const struct csl_secagg_coordinator *c,
                                                  uint32_t site, uint32_t block, uint32_t chunk,
                                                  const uint8_t *hashes, const uint64_t *words,
                                                  struct csl_buf *out, struct csl_err *err)
{
    struct csl_secagg_message manifest, m = {.type = CSL_SECAGG_AUDIT_UPLOAD};
    struct csl_secagg_audit_upload *a = &m.u.audit_upload;
    uint8_t hash[32], root[32];
    enum csl_code code = check_chunk(c, block, chunk, err);
    if (code != CSL_OK)
        return code;
    if (!csl_secagg_coordinator_is_in_block(c, site, block))
        return CSL_FAIL(err, CSL_E_DENIED, "site %u is not in the sum of block %u", site, block);
    bool is_known =
        csl_secagg__said(c, csl_secagg__coordinator_place(c, site), CSL_SECAGG_MANIFEST, &manifest);
    CSL_ASSERT(is_known);
    memcpy(m.id, c->sid, 32);
    a->block = block;
    a->chunk = chunk;
    a->manifest = manifest.whole;
    a->chunk_count = csl_secagg_block_chunks(&c->config, block);
    a->hashes = hashes;
    a->words = CSL_SPAN((const uint8_t *)words,
                        csl_secagg_chunk_words(&c->config, block, chunk) * sizeof(*words));
    csl_sha256_digest(a->words.p, a->words.n, hash);
    csl_secagg_root_of(hashes, a->chunk_count, root);
    if (memcmp(hash, hashes + (size_t)32 * chunk, 32) != 0 ||
        memcmp(root, manifest.u.manifest.blocks[block].root, 32) != 0)
        return CSL_FAIL(err, CSL_E_INVAL, "not what site %u uploaded", site);
    return csl_secagg_encode(&m, NULL, out, err);
}
