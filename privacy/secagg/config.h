/* privacy/secagg/config.h - M0 RoundConfig of the protocol FSA-1: what one attempt of one round is
 * about. Canonical bytes and their signature by the coordinator; README.md gives the layout.
 *
 * Refused here: an unknown version, suite or graph, parameters of sparse graphs that cannot be, or
 * beside a complete one, wrong length, trailing bytes, block ids that do not ascend, lanes that are
 * not offered, levels that can overflow a lane, thresholds of zero. Whether the numbers suit a site
 * is its policy's question (policy.h). Any thread. */
#ifndef CSL_SECAGG_CONFIG_H
#define CSL_SECAGG_CONFIG_H
#include "base/buf.h"
#include "base/limits.h"
#include "privacy/crypto/sha256.h"
#include "privacy/crypto/sign.h"
#include "privacy/secagg/set.h"

enum {
    CSL_SECAGG_VERSION = 1,
    CSL_SECAGG_SUITE = 1, /* ristretto255, X25519, Ed25519, HKDF-SHA256, AES-256-CTR */
    CSL_SECAGG_SCALARS_MAX = 256,
    CSL_SECAGG_CONFIG_BLOCKS_MAX = CSL_BLOCKS_MAX,
    CSL_SECAGG_CONFIG_BYTES_MAX = 32 * 1024,
    CSL_SECAGG_WEIGHT_MAX = 1 << 20 /* so that (sum of weights)^2 stays below 2^60 */
};
/* The scalars travel as one more block of 64-bit lanes, of every site. */
#define CSL_SECAGG_SCALAR_BLOCK_ID UINT32_MAX
#define CSL_SECAGG_ENTRIES_MAX     (UINT64_C(1) << 32)

struct csl_secagg_block {
    uint32_t id;       /* ascending; below CSL_SECAGG_SCALAR_BLOCK_ID */
    uint64_t entries;  /* as encoded, padding among them: a multiple of 2^rotation_log2 */
    uint8_t lane_bits; /* 10, 12, 16, 21, 32 or 64 */
    uint32_t levels;   /* Q: an entry is at most Q; 0 for 64-bit lanes */
    int64_t clip_q32;  /* > 0 */
    uint8_t rotation_log2;
    uint32_t sites_min;             /* in the sum */
    struct csl_secagg_set eligible; /* places in the roster */
};
struct csl_secagg_scalar {
    uint8_t name_hash[8];
    int64_t scale_q32;
};
struct csl_secagg_config {
    uint8_t federation_id[16];
    uint64_t round;   /* from 1 */
    uint16_t attempt; /* from 1 */
    uint16_t suite;
    uint8_t roster_hash[32], model_hash[32], plan_hash[32], previous_head[32], weights_hash[32];
    uint32_t sites_min; /* n_min, of U1 and of the sum */
    uint32_t colluding; /* c, absolute */
    uint8_t graph;      /* 0 complete; 1 the two sparse ones (graph.h), from 129 sites on */
    uint32_t share_degree, share_threshold, mask_degree, losses_max; /* k_s, t_k, k, D_post; or 0 */
    uint32_t roster_count;
    uint32_t block_count;
    struct csl_secagg_block blocks[CSL_SECAGG_CONFIG_BLOCKS_MAX];
    uint32_t scalar_count;
    struct csl_secagg_scalar scalars[CSL_SECAGG_SCALARS_MAX];
    uint8_t nonce[32];
};

/* Body and signature. CSL_E_INVAL: what a reader would refuse; CSL_E_NOMEM. */
enum csl_code csl_secagg_config_encode(const struct csl_secagg_config *c,
                                       const struct csl_sign_key *coordinator, struct csl_buf *out,
                                       struct csl_err *err) CSL_MUST_CHECK;
/* CSL_E_PROTO: not canonical; CSL_E_UNSUPPORTED: suite or graph; CSL_E_LIMIT. The signature is not
 * looked at: csl_secagg_config_is_signed. */
enum csl_code csl_secagg_config_decode(struct csl_secagg_config *out, struct csl_span bytes,
                                       struct csl_err *err) CSL_MUST_CHECK;
bool csl_secagg_config_is_signed(
    struct csl_span bytes, const uint8_t coordinator_key[CSL_SIGN_PUBLIC_BYTES]) CSL_MUST_CHECK;
/* ctx = SHA-256("FSA1 ctx" || body). `bytes` was decoded. */
void csl_secagg_config_ctx(struct csl_span bytes, uint8_t ctx[32]);

/* Blocks to mask: those of the table, then the scalars when there are any. */
uint32_t csl_secagg_block_total(const struct csl_secagg_config *c);
uint32_t csl_secagg_block_id(const struct csl_secagg_config *c, uint32_t index);
/* The reverse, of the table only; UINT32_MAX: it has no such block. */
uint32_t csl_secagg_block_index(const struct csl_secagg_config *c, uint32_t id);
uint64_t csl_secagg_block_entries(const struct csl_secagg_config *c, uint32_t index);
uint64_t csl_secagg_block_words(const struct csl_secagg_config *c, uint32_t index); /* u64 */
/* Of one row. Where it is rotated, every slice of 2^rotation_log2 entries begins a word of its own.
 */
uint64_t csl_secagg_row_words(const struct csl_secagg_block *b);
uint32_t csl_secagg_block_chunks(const struct csl_secagg_config *c, uint32_t index); /* of 1 MiB */
/* Words of one chunk: all but the last have CSL_PRG_CHUNK_WORDS. chunk < csl_secagg_block_chunks.
 */
size_t csl_secagg_chunk_words(const struct csl_secagg_config *c, uint32_t index, uint64_t chunk);

/* weights[place in roster][block of the table], row by row, each at most CSL_SECAGG_WEIGHT_MAX.
 * SHA-256("FSA1 weights" || le32 rows || le32 columns || le32 weights ...). */
void csl_secagg_weights_hash(const uint32_t *weights, uint32_t roster_count, uint32_t block_count,
                             uint8_t out[32]);
/* The same with what else sites multiply by, as its digest: whoever agrees on the hash agrees on
 * it. SHA-256("FSA1 factors" || hash || digest). */
void csl_secagg_weights_bind(uint8_t hash[32], const uint8_t factors_digest[32]);

#endif
