#include "privacy/secagg/mask.h"

#include "base/check.h"
#include "base/le.h"
#include "base/mem.h"

enum { BATCH = 32 };

struct stream {
    uint8_t prk[32];
    uint32_t lo, hi; /* equal: the self mask */
    enum csl_prg_sign sign;
    struct csl_secagg_set blocks;
};
struct csl_secagg_masks {
    struct csl_secret *memory;
    struct stream *streams; /* in `memory` */
    uint32_t count, capacity;
};

enum csl_code csl_secagg_masks_new(struct csl_secagg_masks **out, uint32_t capacity,
                                   enum csl_secret_policy policy, struct csl_err *err)
{
    struct csl_secagg_masks *m = csl_alloc(sizeof(*m));
    if (m == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u masks", capacity);
    size_t bytes = sizeof(struct stream) * ((size_t)capacity + 1);
    enum csl_code code = csl_secret_new(&m->memory, bytes, policy, err);
    if (code == CSL_OK) {
        m->streams = csl_secret_alloc(m->memory, sizeof(struct stream) * capacity);
        CSL_ASSERT(m->streams != NULL || capacity == 0);
        m->capacity = capacity;
        *out = m;
        return CSL_OK;
    }
    csl_secagg_masks_free(m);
    return code;
}

void csl_secagg_masks_free(struct csl_secagg_masks *m)
{
    if (m == NULL)
        return;
    csl_secret_free(m->memory);
    csl_free(m);
}

static void add(struct csl_secagg_masks *m, const uint8_t prk[32], uint32_t lo, uint32_t hi,
                enum csl_prg_sign sign, const struct csl_secagg_set *blocks)
{
    CSL_ASSERT(m->count < m->capacity);
    struct stream *s = &m->streams[m->count++];
    memcpy(s->prk, prk, sizeof(s->prk));
    s->lo = lo;
    s->hi = hi;
    s->sign = sign;
    s->blocks = *blocks;
}

void csl_secagg_masks_self(struct csl_secagg_masks *m, const uint8_t prk[32], uint32_t site,
                           enum csl_prg_sign sign, const struct csl_secagg_set *blocks)
{
    add(m, prk, site, site, sign, blocks);
}

void csl_secagg_masks_pair(struct csl_secagg_masks *m, const uint8_t prk[32], uint32_t site,
                           uint32_t peer, enum csl_prg_sign sign,
                           const struct csl_secagg_set *blocks)
{
    CSL_ASSERT(site != peer);
    add(m, prk, site < peer ? site : peer, site < peer ? peer : site, sign, blocks);
}

uint32_t csl_secagg_masks_count(const struct csl_secagg_masks *m)
{
    return m->count;
}

static enum csl_code stream_key(const struct stream *s, uint32_t block_id, uint64_t chunk,
                                struct csl_prg_stream *out, struct csl_err *err)
{
    out->sign = s->sign;
    if (s->lo == s->hi)
        return csl_prg_self_key(s->prk, s->lo, block_id, chunk, out->key, err);
    return csl_prg_mask_key(s->prk, s->lo, s->hi, block_id, chunk, out->key, err);
}

enum csl_code csl_secagg_masks_apply(const struct csl_secagg_masks *m, struct csl_prg *prg,
                                     uint32_t block, uint32_t block_id, uint64_t chunk,
                                     uint64_t *words, size_t count, struct csl_err *err)
{
    struct csl_prg_stream batch[BATCH];
    size_t n = 0;
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < m->count; i++) {
        if (!csl_secagg_set_has(&m->streams[i].blocks, block))
            continue;
        code = stream_key(&m->streams[i], block_id, chunk, &batch[n], err);
        if (code == CSL_OK && ++n == BATCH) {
            csl_prg_add_streams(prg, batch, n, words, count);
            n = 0;
        }
    }
    if (code == CSL_OK && n > 0)
        csl_prg_add_streams(prg, batch, n, words, count);
    csl_wipe(batch, sizeof(batch));
    return code;
}

void csl_secagg_root_init(struct csl_secagg_root *r)
{
    csl_sha256_init(&r->hash);
}

void csl_secagg_root_add(struct csl_secagg_root *r, const uint64_t *chunk, size_t count)
{
    uint8_t digest[CSL_SHA256_BYTES];
    csl_sha256_digest(chunk, count * sizeof(*chunk), digest);
    csl_sha256_update(&r->hash, digest, sizeof(digest));
}

void csl_secagg_root_final(struct csl_secagg_root *r, uint8_t out[32])
{
    csl_sha256_final(&r->hash, out);
}

void csl_secagg_root_of(const uint8_t *hashes, uint32_t count, uint8_t out[32])
{
    csl_sha256_digest(hashes, (size_t)32 * count, out);
}

void csl_secagg_result_root(const uint8_t *roots, uint32_t block_count, uint8_t out[32])
{
    struct csl_sha256 h;
    uint8_t count[4];
    csl_store_le32(count, block_count);
    csl_sha256_init(&h);
    csl_sha256_update(&h, "FSA1 sum", 8);
    csl_sha256_update(&h, count, sizeof(count));
    csl_sha256_update(&h, roots, (size_t)32 * block_count);
    csl_sha256_final(&h, out);
}
