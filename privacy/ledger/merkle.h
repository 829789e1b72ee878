/* privacy/ledger/merkle.h - Merkle tree hashing of RFC 6962 section 2.1 (SHA-256; leaf 0x00, node
 * 0x01), and its inclusion and consistency proofs with the verification of RFC 9162 sections
 * 2.1.3.2 and 2.1.4.2. Any thread. */
#ifndef CSL_LEDGER_MERKLE_H
#define CSL_LEDGER_MERKLE_H
#include "privacy/crypto/sha256.h"

#define CSL_MERKLE_PROOF_MAX 64

void csl_merkle_leaf(const void *p, size_t n, uint8_t out[CSL_SHA256_BYTES]);

/* A growing tree, by its frontier: node[k] is the root of a full subtree of 2^k leaves where bit k
 * of size is set. Start from all zeros. */
struct csl_merkle {
    uint64_t size;
    uint8_t node[64][CSL_SHA256_BYTES];
};
void csl_merkle_add(struct csl_merkle *t, const uint8_t leaf[CSL_SHA256_BYTES]);
void csl_merkle_root(const struct csl_merkle *t, uint8_t out[CSL_SHA256_BYTES]);

/* The same with memory for the roots of the last sizes, CSL_MERKLE_RECENT of them. */
#define CSL_MERKLE_STRIDE    64
#define CSL_MERKLE_SNAPSHOTS 32
#define CSL_MERKLE_RECENT    (CSL_MERKLE_STRIDE * (CSL_MERKLE_SNAPSHOTS - 1))
struct csl_merkle_recent {
    struct csl_merkle tree;
    struct csl_merkle snapshots[CSL_MERKLE_SNAPSHOTS]; /* of sizes that the stride divides */
    uint8_t leaves[CSL_MERKLE_STRIDE * CSL_MERKLE_SNAPSHOTS][CSL_SHA256_BYTES]; /* ring */
};
void csl_merkle_recent_add(struct csl_merkle_recent *t, const uint8_t leaf[CSL_SHA256_BYTES]);
/* False: a size that lies ahead or too far back. */
bool csl_merkle_recent_root(const struct csl_merkle_recent *t, uint64_t size,
                            uint8_t out[CSL_SHA256_BYTES]) CSL_MUST_CHECK;

/* Proofs. Leaves are asked for in runs of ascending order; about `size` leaf reads in all. */
typedef enum csl_code (*csl_merkle_read)(void *ctx, uint64_t index, uint8_t leaf[CSL_SHA256_BYTES],
                                         struct csl_err *err);
/* CSL_E_INVAL: index >= size. */
enum csl_code csl_merkle_prove_inclusion(csl_merkle_read read, void *ctx, uint64_t index,
                                         uint64_t size,
                                         uint8_t hashes[CSL_MERKLE_PROOF_MAX][CSL_SHA256_BYTES],
                                         size_t *count, struct csl_err *err) CSL_MUST_CHECK;
/* CSL_E_INVAL: old_size > size. Empty when old_size is 0 or size. */
enum csl_code csl_merkle_prove_consistency(csl_merkle_read read, void *ctx, uint64_t old_size,
                                           uint64_t size,
                                           uint8_t hashes[CSL_MERKLE_PROOF_MAX][CSL_SHA256_BYTES],
                                           size_t *count, struct csl_err *err) CSL_MUST_CHECK;
bool csl_merkle_verify_inclusion(const uint8_t leaf[CSL_SHA256_BYTES], uint64_t index,
                                 uint64_t size, const uint8_t (*hashes)[CSL_SHA256_BYTES],
                                 size_t count, const uint8_t root[CSL_SHA256_BYTES]) CSL_MUST_CHECK;
bool csl_merkle_verify_consistency(uint64_t old_size, const uint8_t old_root[CSL_SHA256_BYTES],
                                   uint64_t size, const uint8_t root[CSL_SHA256_BYTES],
                                   const uint8_t (*hashes)[CSL_SHA256_BYTES],
                                   size_t count) CSL_MUST_CHECK;

#endif
