#include "privacy/crypto/sha256.h"

#include "base/check.h"

#include <sodium.h>

_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(struct csl_sha256),
               "struct csl_sha256 must hold libsodium's state");

static crypto_hash_sha256_state *state_of(struct csl_sha256 *h)
{
    return (crypto_hash_sha256_state *)(void *)h->state;
}

void csl_sha256_init(struct csl_sha256 *h)
{
    CSL_ASSERT(crypto_hash_sha256_init(state_of(h)) == 0);
}

void csl_sha256_update(struct csl_sha256 *h, const void *p, size_t n)
{
    CSL_ASSERT(crypto_hash_sha256_update(state_of(h), p, n) == 0);
}

void csl_sha256_final(struct csl_sha256 *h, uint8_t out[CSL_SHA256_BYTES])
{
    CSL_ASSERT(crypto_hash_sha256_final(state_of(h), out) == 0);
}
