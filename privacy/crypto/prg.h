/* privacy/crypto/prg.h - mask streams: AES-256 in counter mode (NIST SP 800-38A, section 6.5;
 * OpenSSL), added to or subtracted from 64-bit words modulo 2^64.
 *
 * Stream of a key of 44 bytes, key32 || iv12: the AES-256 key stream over the counter blocks
 * iv12 || be32(2 + i), i = 0, 1, ... Word w is the little-endian integer of its bytes 8 w to
 * 8 w + 7. The counter starts at 2 because AES-256-GCM (NIST SP 800-38D, section 7.1) enciphers
 * from there: the same bits come out of either, and csl_prg_new takes the faster on this machine.
 *
 * A key serves one stream, one block and one chunk of at most CSL_PRG_CHUNK_WORDS words, and is
 * derived by HKDF as the protocol FSA-1 says:
 *   mask  HKDF-Expand(PRKm, "FSA1 mask" || le32 lo || le32 hi || le32 block || le64 chunk, 44)
 *   self  HKDF-Expand(PRKb, "FSA1 self" || le32 site || le32 block || le64 chunk, 44)
 * PRKm and PRKb are those of privacy/crypto/agree.h. The site with the lower id adds the mask, the
 * one with the higher id subtracts it; the self mask is added. */
#ifndef CSL_CRYPTO_PRG_H
#define CSL_CRYPTO_PRG_H
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CSL_PRG_KEY_BYTES = 44,
    CSL_PRG_CHUNK_BYTES = 1 << 20,
    CSL_PRG_CHUNK_WORDS = CSL_PRG_CHUNK_BYTES / 8
};

enum csl_prg_sign { CSL_PRG_ADD, CSL_PRG_SUBTRACT };

/* One stream over one chunk. Secret: wiped by whoever filled it in (privacy/crypto/secret.h). */
struct csl_prg_stream {
    uint8_t key[CSL_PRG_KEY_BYTES];
    enum csl_prg_sign sign;
};

/* lo < hi, else CSL_E_INVAL. Key untouched on failure; CSL_E_NOMEM. Any thread. */
enum csl_code csl_prg_mask_key(const uint8_t prk[32], uint32_t lo, uint32_t hi, uint32_t block,
                               uint64_t chunk, uint8_t out[CSL_PRG_KEY_BYTES],
                               struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_prg_self_key(const uint8_t prk[32], uint32_t site, uint32_t block, uint64_t chunk,
                               uint8_t out[CSL_PRG_KEY_BYTES], struct csl_err *err) CSL_MUST_CHECK;

/* The cipher contexts and the scratch of one thread; they hold the keys they were given last until
 * csl_prg_free. The first one made in a process runs csl_prg_self_test and times both ciphers,
 * which takes some milliseconds. CSL_E_NOMEM; CSL_E_UNSUPPORTED: this OpenSSL has no AES-256-CTR;
 * CSL_E_CRYPTO: the self test failed. */
struct csl_prg;
enum csl_code csl_prg_new(struct csl_prg **out, struct csl_err *err) CSL_MUST_CHECK;
void csl_prg_free(struct csl_prg *p); /* keys and scratch wiped; NULL allowed */

/* words[w] += or -= stream word w, for w < count <= CSL_PRG_CHUNK_WORDS. */
void csl_prg_add(struct csl_prg *p, const uint8_t key[CSL_PRG_KEY_BYTES], uint64_t *words,
                 size_t count, enum csl_prg_sign sign);
/* The same for n streams in one pass: in slices that stay in the first cache, so that the words
 * cross the memory bus once for every 32 streams. Any n. */
void csl_prg_add_streams(struct csl_prg *p, const struct csl_prg_stream *streams, size_t n,
                         uint64_t *words, size_t count);
/* "AES-256-CTR" or "AES-256-GCM": what csl_prg_new chose. A static string. */
const char *csl_prg_cipher(const struct csl_prg *p);

/* Known answers for this process's OpenSSL and processor: counter mode and Galois/counter mode
 * against single AES blocks over every length from 16 to 8192 bytes in steps of 16, at
 * several offsets, and over one chunk (a compiler has broken a key stream at some
 * lengths before: openssl pull request 32883). CSL_E_CRYPTO: refuse to start. */
enum csl_code csl_prg_self_test(struct csl_err *err) CSL_MUST_CHECK;

#endif
