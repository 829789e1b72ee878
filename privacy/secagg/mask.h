/* privacy/secagg/mask.h - masks of the protocol FSA-1 on vectors of 64-bit words modulo 2^64,
 * block by block and chunk by chunk of 1 MiB, so that a vector of any length passes through.
 *
 * A site adds its self mask and, for every other sender of the block, the pairwise mask: added by
 * the lower id, subtracted by the higher. The coordinator takes from the sum over U3 what is left
 * in it: the self masks of U3, and the pairwise masks between each lost site and the survivors.
 * Both are a list of streams; csl_secagg_site_masks and csl_secagg_coordinator_masks make it.
 * Pairwise keys live in secret memory until free. A list may be used by several threads at once,
 * each with a csl_prg of its own. */
#ifndef CSL_SECAGG_MASK_H
#define CSL_SECAGG_MASK_H
#include "privacy/crypto/prg.h"
#include "privacy/crypto/secret.h"
#include "privacy/crypto/sha256.h"
#include "privacy/secagg/set.h"

struct csl_secagg_masks;

/* Room for `capacity` streams. CSL_E_NOMEM; CSL_E_LIMIT: CSL_SECRET_MUST_LOCK and too little may be
 * locked. */
enum csl_code csl_secagg_masks_new(struct csl_secagg_masks **out, uint32_t capacity,
                                   enum csl_secret_policy policy,
                                   struct csl_err *err) CSL_MUST_CHECK;
void csl_secagg_masks_free(struct csl_secagg_masks *m);
/* One more stream: the self mask of `site`, or the mask of two sites in either order. `blocks` are
 * the places in the list of blocks where it is applied. */
void csl_secagg_masks_self(struct csl_secagg_masks *m, const uint8_t prk[32], uint32_t site,
                           enum csl_prg_sign sign, const struct csl_secagg_set *blocks);
void csl_secagg_masks_pair(struct csl_secagg_masks *m, const uint8_t prk[32], uint32_t site,
                           uint32_t peer, enum csl_prg_sign sign,
                           const struct csl_secagg_set *blocks);
uint32_t csl_secagg_masks_count(const struct csl_secagg_masks *m);

/* Applies all streams of a block (by place and by id) to one chunk of it: words number chunk *
 * CSL_PRG_CHUNK_WORDS on. CSL_E_NOMEM: some streams may have been applied, the words are useless.
 */
enum csl_code csl_secagg_masks_apply(const struct csl_secagg_masks *m, struct csl_prg *prg,
                                     uint32_t block, uint32_t block_id, uint64_t chunk,
                                     uint64_t *words, size_t count,
                                     struct csl_err *err) CSL_MUST_CHECK;

/* The root of a block in a manifest: SHA-256 over the SHA-256 of each chunk, in order. */
struct csl_secagg_root {
    struct csl_sha256 hash;
};
void csl_secagg_root_init(struct csl_secagg_root *r);
void csl_secagg_root_add(struct csl_secagg_root *r, const uint64_t *chunk, size_t count);
void csl_secagg_root_final(struct csl_secagg_root *r, uint8_t out[32]);
/* The same from the SHA-256 of each chunk: hashes[count][32]. */
void csl_secagg_root_of(const uint8_t *hashes, uint32_t count, uint8_t out[32]);
/* result_root of M13 = SHA-256("FSA1 sum" || le32 blocks || the root of each block of the sum, in
 * the order of the list, zeros for a block that is not in the result). */
void csl_secagg_result_root(const uint8_t *roots, uint32_t block_count, uint8_t out[32]);

#endif
