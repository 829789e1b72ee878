#include "privacy/crypto/hash.h"

#include "base/check.h"

#include <sodium.h>

_Static_assert(sizeof(crypto_generichash_state) <= sizeof(struct csl_hash),
               "struct csl_hash must hold libsodium's state");

static crypto_generichash_state *state_of(struct csl_hash *h)
{
    return (crypto_generichash_state *)(void *)h->state;
}

void csl_hash_init(struct csl_hash *h)
{
    CSL_ASSERT(crypto_generichash_init(state_of(h), NULL, 0, CSL_DIGEST_BYTES) == 0);
}

void csl_hash_update(struct csl_hash *h, const void *p, size_t n)
{
    CSL_ASSERT(crypto_generichash_update(state_of(h), p, n) == 0);
}

void csl_hash_final(struct csl_hash *h, uint8_t out[CSL_DIGEST_BYTES])
{
    CSL_ASSERT(crypto_generichash_final(state_of(h), out, CSL_DIGEST_BYTES) == 0);
}

void csl_digest(const void *p, size_t n, uint8_t out[CSL_DIGEST_BYTES])
{
    CSL_ASSERT(crypto_generichash(out, CSL_DIGEST_BYTES, p, n, NULL, 0) == 0);
}
