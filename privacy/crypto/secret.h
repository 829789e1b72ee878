/* privacy/crypto/secret.h - memory for keys: guard pages on both sides, kept out of swap, core
 * files and children (libsodium sodium_malloc and sodium_mlock; madvise(2)).
 *
 * One arena per attempt or task: each takes at least four pages, so keys are carved out of it, not
 * given one each. After fork() the child reads zeros (MADV_WIPEONFORK), and csl_secret_is_intact
 * says so. One thread. Needs csl_crypto_init. */
#ifndef CSL_CRYPTO_SECRET_H
#define CSL_CRYPTO_SECRET_H
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum { CSL_SECRET_BYTES_MAX = 64 << 20 }; /* of one arena */

struct csl_secret;

enum csl_secret_policy {
    CSL_SECRET_MAY_SWAP, /* take what the system gives; csl_secret_is_locked tells */
    CSL_SECRET_MUST_LOCK /* refuse to work in memory that could be swapped out */
};

/* Room for `bytes`, all zero. CSL_E_NOMEM; CSL_E_LIMIT: more than CSL_SECRET_BYTES_MAX, or memory
 * cannot be locked (RLIMIT_MEMLOCK) and the policy is CSL_SECRET_MUST_LOCK; CSL_E_INVAL: 0 bytes;
 * CSL_E_UNSUPPORTED: the kernel cannot keep it from core files or children. */
enum csl_code csl_secret_new(struct csl_secret **out, size_t bytes, enum csl_secret_policy policy,
                             struct csl_err *err) CSL_MUST_CHECK;
void csl_secret_free(struct csl_secret *s); /* wiped first; NULL allowed */

/* Zeroed, aligned for any type; NULL when the room is used up. Lives until wipe or free. */
void *csl_secret_alloc(struct csl_secret *s, size_t bytes) CSL_MUST_CHECK;
void csl_secret_wipe(struct csl_secret *s); /* everything in it; the room is free again */
bool csl_secret_is_locked(const struct csl_secret *s); /* what mlock(2) answered */
bool csl_secret_is_intact(const struct csl_secret *s); /* false in a child of the process */

/* No core files and no ptrace by others, for the whole process, from now on: PR_SET_DUMPABLE 0 and
 * RLIMIT_CORE 0. CSL_E_IO. */
enum csl_code csl_secret_harden_process(struct csl_err *err) CSL_MUST_CHECK;

/* For secrets outside an arena (on the stack, say): zeros that the compiler does not remove. */
void csl_wipe(void *p, size_t bytes);
/* In constant time: the only comparison for tags, roots and secrets. */
bool csl_secret_equal(const void *a, const void *b, size_t bytes) CSL_MUST_CHECK;

#endif
