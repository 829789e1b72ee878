/* The functions with a plain struct for a state: it needs no memory of its own, so starting cannot
 * fail and nothing has to be released. Since OpenSSL 3.0 they are marked as deprecated in favour of
 * contexts on the heap; they run the same code. */
#define OPENSSL_API_COMPAT 10100
#include "privacy/crypto/sha256.h"

#include "base/check.h"

#include <openssl/sha.h>

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct csl_sha256),
               "struct csl_sha256 must hold OpenSSL's state");
_Static_assert(SHA256_DIGEST_LENGTH == CSL_SHA256_BYTES, "32 bytes");

static SHA256_CTX *state_of(struct csl_sha256 *h)
{
    return (SHA256_CTX *)(void *)h->state;
}

void csl_sha256_init(struct csl_sha256 *h)
{
    CSL_ASSERT(SHA256_Init(state_of(h)) == 1);
}

void csl_sha256_update(struct csl_sha256 *h, const void *p, size_t n)
{
    CSL_ASSERT(SHA256_Update(state_of(h), p, n) == 1);
}

void csl_sha256_final(struct csl_sha256 *h, uint8_t out[CSL_SHA256_BYTES])
{
    CSL_ASSERT(SHA256_Final(out, state_of(h)) == 1);
}

void csl_sha256_digest(const void *p, size_t n, uint8_t out[CSL_SHA256_BYTES])
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, p, n);
    csl_sha256_final(&h, out);
}
