/* The functions with a plain struct for a state: it needs no memory of its own, so starting cannot
 * fail and nothing has to be released. Since OpenSSL 3.0 they are marked as deprecated in favour of
 * contexts on the heap; they run the same code. */
#define OPENSSL_API_COMPAT 10100
#include "privacy/crypto/bulk_hash.h"

#include "base/check.h"

#include <openssl/sha.h>

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct csl_bulk_hash),
               "struct csl_bulk_hash must hold OpenSSL's state");
_Static_assert(SHA256_DIGEST_LENGTH == CSL_DIGEST_BYTES, "a bulk digest has the size of a digest");

static SHA256_CTX *state_of(struct csl_bulk_hash *h)
{
    return (SHA256_CTX *)(void *)h->state;
}

void csl_bulk_hash_init(struct csl_bulk_hash *h)
{
    CSL_ASSERT(SHA256_Init(state_of(h)) == 1);
}

void csl_bulk_hash_update(struct csl_bulk_hash *h, const void *p, size_t n)
{
    CSL_ASSERT(SHA256_Update(state_of(h), p, n) == 1);
}

void csl_bulk_hash_final(struct csl_bulk_hash *h, uint8_t out[CSL_DIGEST_BYTES])
{
    CSL_ASSERT(SHA256_Final(out, state_of(h)) == 1);
}

void csl_bulk_digest(const void *p, size_t n, uint8_t out[CSL_DIGEST_BYTES])
{
    struct csl_bulk_hash h;
    csl_bulk_hash_init(&h);
    csl_bulk_hash_update(&h, p, n);
    csl_bulk_hash_final(&h, out);
}
