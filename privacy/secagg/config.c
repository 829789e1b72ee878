#include "privacy/secagg/config.h"

#include "base/le.h"
#include "privacy/crypto/prg.h"
#include "privacy/secagg/wire.h"

#include <string.h>

enum { HEADER_BYTES = 38, TYPE_CONFIG = 0 };

static void write_block(struct csl_buf *out, const struct csl_secagg_block *b, uint32_t roster)
{
    csl_buf_le32(out, b->id);
    csl_buf_le64(out, b->entries);
    csl_buf_u8(out, b->lane_bits);
    csl_buf_le32(out, b->levels);
    csl_buf_le64(out, (uint64_t)b->clip_q32);
    csl_buf_u8(out, b->rotation_log2);
    csl_buf_le32(out, b->sites_min);
    csl_buf_append(out, b->eligible.bits, csl_secagg_set_bytes(roster));
}

static void write_body(struct csl_buf *out, const struct csl_secagg_config *c)
{
    static const uint8_t zero[32];
    csl_buf_u8(out, TYPE_CONFIG);
    csl_buf_u8(out, CSL_SECAGG_VERSION);
    csl_buf_append(out, zero, sizeof(zero));
    csl_buf_le32(out, 0);
    csl_buf_append(out, c->federation_id, sizeof(c->federation_id));
    csl_buf_le64(out, c->round);
    csl_buf_le16(out, c->attempt);
    csl_buf_le16(out, c->suite);
    csl_buf_append(out, c->roster_hash, 32);
    csl_buf_append(out, c->model_hash, 32);
    csl_buf_append(out, c->plan_hash, 32);
    csl_buf_append(out, c->previous_head, 32);
    csl_buf_append(out, c->weights_hash, 32);
    csl_buf_le32(out, c->sites_min);
    csl_buf_le32(out, c->colluding);
    csl_buf_u8(out, c->graph);
    csl_buf_le32(out, c->share_degree);
    csl_buf_le32(out, c->share_threshold);
    csl_buf_le32(out, c->mask_degree);
    csl_buf_le32(out, c->losses_max);
    csl_buf_le32(out, c->roster_count);
    csl_buf_le32(out, c->block_count);
    for (uint32_t i = 0; i < c->block_count; i++)
        write_block(out, &c->blocks[i], c->roster_count);
    csl_buf_le32(out, c->scalar_count);
    for (uint32_t i = 0; i < c->scalar_count; i++) {
        csl_buf_append(out, c->scalars[i].name_hash, 8);
        csl_buf_le64(out, (uint64_t)c->scalars[i].scale_q32);
    }
    csl_buf_append(out, c->nonce, 32);
}

static void read_block(struct csl_secagg_reader *r, struct csl_secagg_block *b, uint32_t roster)
{
    b->id = csl_secagg__u32(r);
    b->entries = csl_secagg__u64(r);
    b->lane_bits = csl_secagg__u8(r);
    b->levels = csl_secagg__u32(r);
    b->clip_q32 = (int64_t)csl_secagg__u64(r);
    b->rotation_log2 = csl_secagg__u8(r);
    b->sites_min = csl_secagg__u32(r);
    csl_secagg__get_set(r, roster, &b->eligible);
}

static void read_header(struct csl_secagg_reader *r)
{
    static const uint8_t zero[32];
    uint8_t id[32];
    if (csl_secagg__u8(r) != TYPE_CONFIG)
        csl_secagg__fault(r, "not a round configuration");
    if (csl_secagg__u8(r) != CSL_SECAGG_VERSION)
        csl_secagg__fault(r, "an unknown version");
    csl_secagg__get(r, id, 32);
    if (csl_secagg__u32(r) != 0 || memcmp(id, zero, 32) != 0)
        csl_secagg__fault(r, "a context before there is one");
}

static void read_body(struct csl_secagg_reader *r, struct csl_secagg_config *c)
{
    read_header(r);
    csl_secagg__get(r, c->federation_id, sizeof(c->federation_id));
    c->round = csl_secagg__u64(r);
    c->attempt = csl_secagg__u16(r);
    c->suite = csl_secagg__u16(r);
    csl_secagg__get(r, c->roster_hash, 32);
    csl_secagg__get(r, c->model_hash, 32);
    csl_secagg__get(r, c->plan_hash, 32);
    csl_secagg__get(r, c->previous_head, 32);
    csl_secagg__get(r, c->weights_hash, 32);
    c->sites_min = csl_secagg__u32(r);
    c->colluding = csl_secagg__u32(r);
    c->graph = csl_secagg__u8(r);
    c->share_degree = csl_secagg__u32(r);
    c->share_threshold = csl_secagg__u32(r);
    c->mask_degree = csl_secagg__u32(r);
    c->losses_max = csl_secagg__u32(r);
    c->roster_count = csl_secagg__u32(r);
    if (c->roster_count == 0 || c->roster_count > CSL_SECAGG_SITES_MAX)
        csl_secagg__fault(r, "the number of sites");
    c->block_count = csl_secagg__u32(r);
    if (c->block_count > CSL_SECAGG_CONFIG_BLOCKS_MAX)
        csl_secagg__fault(r, "the number of blocks");
    for (uint32_t i = 0; r->fault == NULL && i < c->block_count; i++)
        read_block(r, &c->blocks[i], c->roster_count);
    c->scalar_count = csl_secagg__u32(r);
    if (c->scalar_count > CSL_SECAGG_SCALARS_MAX)
        csl_secagg__fault(r, "the number of scalars");
    for (uint32_t i = 0; r->fault == NULL && i < c->scalar_count; i++) {
        csl_secagg__get(r, c->scalars[i].name_hash, 8);
        c->scalars[i].scale_q32 = (int64_t)csl_secagg__u64(r);
    }
    csl_secagg__get(r, c->nonce, 32);
}

static const char *block_fault(const struct csl_secagg_config *c, uint32_t i)
{
    const struct csl_secagg_block *b = &c->blocks[i];
    if (b->id == CSL_SECAGG_SCALAR_BLOCK_ID || (i > 0 && b->id <= c->blocks[i - 1].id))
        return "block ids that do not ascend";
    if (b->entries == 0 || b->entries > CSL_SECAGG_ENTRIES_MAX || b->rotation_log2 > 16 ||
        b->entries % (UINT64_C(1) << b->rotation_log2) != 0)
        return "the entries of a block";
    if (b->lane_bits != 10 && b->lane_bits != 12 && b->lane_bits != 16 && b->lane_bits != 21 &&
        b->lane_bits != 32 && b->lane_bits != 64)
        return "the lane of a block";
    if (b->lane_bits < 64 &&
        (b->levels == 0 || b->levels > ((UINT64_C(1) << b->lane_bits) - 1) / c->roster_count))
        return "levels of which the sum over all sites does not fit its lane";
    if (b->clip_q32 <= 0 || b->sites_min == 0)
        return "the clip or the minimum of a block";
    return NULL;
}

static bool is_graph_possible(const struct csl_secagg_config *c)
{
    if (c->graph == 0)
        return (c->share_degree | c->share_threshold | c->mask_degree | c->losses_max) == 0;
    return c->roster_count > CSL_SECAGG_COMPLETE_MAX && c->share_degree < c->roster_count &&
           c->share_degree % 2 == 0 && c->share_threshold > 0 &&
           c->share_threshold <= c->share_degree && c->mask_degree > 0 && c->mask_degree % 2 == 0 &&
           c->mask_degree <= CSL_SECAGG_SITES_MAX;
}

static enum csl_code check(const struct csl_secagg_config *c, enum csl_code code,
                           struct csl_err *err)
{
    if (c->suite != CSL_SECAGG_SUITE)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED, "cipher suite %u; %d is known", c->suite,
                        CSL_SECAGG_SUITE);
    if (c->graph > 1)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED, "graph %u; 0 and 1 are known", c->graph);
    if (c->roster_count == 0 || c->roster_count > CSL_SECAGG_SITES_MAX ||
        c->block_count > CSL_SECAGG_CONFIG_BLOCKS_MAX || c->scalar_count > CSL_SECAGG_SCALARS_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "%u sites, %u blocks, %u scalars", c->roster_count,
                        c->block_count, c->scalar_count);
    if (c->round == 0 || c->attempt == 0 || c->sites_min == 0 ||
        c->block_count + c->scalar_count == 0)
        return CSL_FAIL(err, code, "round, attempt, minimum and contents are counted from 1");
    if (!is_graph_possible(c))
        return CSL_FAIL(err, code, "graph %u of %u sites with shares %u of %u, masks %u, losses %u",
                        c->graph, c->roster_count, c->share_threshold, c->share_degree,
                        c->mask_degree, c->losses_max);
    if (c->colluding >= c->roster_count)
        return CSL_FAIL(err, code, "%u colluding sites of %u", c->colluding, c->roster_count);
    for (uint32_t i = 0; i < c->block_count; i++) {
        const char *fault = block_fault(c, i);
        if (fault != NULL)
            return CSL_FAIL(err, code, "block %u: %s", c->blocks[i].id, fault);
    }
    return CSL_OK;
}

enum csl_code csl_secagg_config_encode(const struct csl_secagg_config *c,
                                       const struct csl_sign_key *coordinator, struct csl_buf *out,
                                       struct csl_err *err)
{
    enum csl_code code = check(c, CSL_E_INVAL, err);
    if (code != CSL_OK)
        return code;
    size_t start = out->n;
    write_body(out, c);
    csl_secagg__append_signature(out, start, TYPE_CONFIG, coordinator);
    return csl_buf_status(out, err);
}

enum csl_code csl_secagg_config_decode(struct csl_secagg_config *out, struct csl_span bytes,
                                       struct csl_err *err)
{
    if (bytes.n > CSL_SECAGG_CONFIG_BYTES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "a round configuration of %zu bytes; at most %d", bytes.n,
                        CSL_SECAGG_CONFIG_BYTES_MAX);
    struct csl_secagg_reader r = {.bytes = bytes};
    struct csl_secagg_config c = {0};
    read_body(&r, &c);
    (void)csl_secagg__take(&r, CSL_SIGN_SIGNATURE_BYTES);
    enum csl_code code = csl_secagg__end(&r, "the round configuration", err);
    if (code == CSL_OK)
        code = check(&c, CSL_E_PROTO, err);
    if (code == CSL_OK)
        *out = c;
    return code;
}

bool csl_secagg_config_is_signed(struct csl_span bytes,
                                 const uint8_t coordinator_key[CSL_SIGN_PUBLIC_BYTES])
{
    if (bytes.n <= HEADER_BYTES + CSL_SIGN_SIGNATURE_BYTES)
        return false;
    size_t n = bytes.n - CSL_SIGN_SIGNATURE_BYTES;
    return csl_secagg__verify(coordinator_key, TYPE_CONFIG, CSL_SPAN(bytes.p, n), bytes.p + n);
}

void csl_secagg_config_ctx(struct csl_span bytes, uint8_t ctx[32])
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, "FSA1 ctx", 8);
    csl_sha256_update(&h, bytes.p, bytes.n - CSL_SIGN_SIGNATURE_BYTES);
    csl_sha256_final(&h, ctx);
}

uint32_t csl_secagg_block_total(const struct csl_secagg_config *c)
{
    return c->block_count + (c->scalar_count > 0 ? 1 : 0);
}

uint32_t csl_secagg_block_id(const struct csl_secagg_config *c, uint32_t index)
{
    return index < c->block_count ? c->blocks[index].id : CSL_SECAGG_SCALAR_BLOCK_ID;
}

uint32_t csl_secagg_block_index(const struct csl_secagg_config *c, uint32_t id)
{
    for (uint32_t i = 0; i < c->block_count; i++)
        if (c->blocks[i].id == id)
            return i;
    return UINT32_MAX;
}

uint64_t csl_secagg_block_entries(const struct csl_secagg_config *c, uint32_t index)
{
    return index < c->block_count ? c->blocks[index].entries : c->scalar_count;
}

uint64_t csl_secagg_row_words(const struct csl_secagg_block *b)
{
    uint64_t lanes = UINT64_C(64) / b->lane_bits, slice = UINT64_C(1) << b->rotation_log2;
    if (b->rotation_log2 == 0)
        return (b->entries + lanes - 1) / lanes;
    return (b->entries >> b->rotation_log2) * ((slice + lanes - 1) / lanes);
}

uint64_t csl_secagg_block_words(const struct csl_secagg_config *c, uint32_t index)
{
    return index < c->block_count ? csl_secagg_row_words(&c->blocks[index]) : c->scalar_count;
}

uint32_t csl_secagg_block_chunks(const struct csl_secagg_config *c, uint32_t index)
{
    uint64_t words = csl_secagg_block_words(c, index);
    return (uint32_t)((words + CSL_PRG_CHUNK_WORDS - 1) / CSL_PRG_CHUNK_WORDS);
}

size_t csl_secagg_chunk_words(const struct csl_secagg_config *c, uint32_t index, uint64_t chunk)
{
    uint64_t left = csl_secagg_block_words(c, index) - chunk * (uint64_t)CSL_PRG_CHUNK_WORDS;
    return left < CSL_PRG_CHUNK_WORDS ? (size_t)left : (size_t)CSL_PRG_CHUNK_WORDS;
}

void csl_secagg_weights_hash(const uint32_t *weights, uint32_t roster_count, uint32_t block_count,
                             uint8_t out[32])
{
    struct csl_sha256 h;
    uint8_t le[8];
    csl_sha256_init(&h);
    csl_sha256_update(&h, "FSA1 weights", 12);
    csl_store_le32(le, roster_count);
    csl_store_le32(le + 4, block_count);
    csl_sha256_update(&h, le, 8);
    for (size_t i = 0; i < (size_t)roster_count * block_count; i++) {
        csl_store_le32(le, weights[i]);
        csl_sha256_update(&h, le, 4);
    }
    csl_sha256_final(&h, out);
}

void csl_secagg_weights_bind(uint8_t hash[32], const uint8_t factors_digest[32])
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, "FSA1 factors", 12);
    csl_sha256_update(&h, hash, 32);
    csl_sha256_update(&h, factors_digest, 32);
    csl_sha256_final(&h, hash);
}
