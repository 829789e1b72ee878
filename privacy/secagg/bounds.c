#include "privacy/secagg/bounds.h"

#include "privacy/crypto/prg.h"
#include "privacy/secagg/messages.h"
#include "privacy/secagg/policy.h"

#define FIXED_BYTES                                                                                \
    1024u /* header, signature, counts and hashes of any message, and the envelope */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t threshold(const struct csl_secagg_shape *s)
{
    return s->is_sparse ? s->share_threshold : csl_secagg_quorum(s->sites, s->colluding);
}

/* M4: the shares of so many dealers. */
static uint64_t delivery(const struct csl_secagg_shape *s)
{
    uint64_t dealers = s->is_sparse ? s->share_degree : s->sites;
    uint64_t polynomials = s->is_sparse ? 3 : 2;
    return dealers * (CSL_SECAGG_HEADER_BYTES + 4 + polynomials * 32 * threshold(s) +
                      CSL_SIGN_SIGNATURE_BYTES + (s->is_sparse ? CSL_SEAL3_BYTES : CSL_SEAL_BYTES));
}

/* M7. On the sparse graph t_k is the least that keeps secrets, so no share may be opened, and every
 * dealer's hash and commitment to r come along. */
static uint64_t senders(const struct csl_secagg_shape *s)
{
    uint64_t sets = ((uint64_t)s->blocks + 1) * csl_secagg_set_bytes(s->sites);
    if (s->is_sparse)
        return sets + 64 * (uint64_t)s->sites;
    return sets + (uint64_t)s->sites *
                      csl_secagg_openings_max((uint32_t)threshold(s), s->colluding) *
                      csl_secagg_opening_bytes();
}

uint64_t csl_secagg_bytes_to_site(const struct csl_secagg_shape *shape)
{
    uint64_t n = shape->sites, set = csl_secagg_set_bytes(shape->sites);
    /* Scalars: a weight for each block, the loss, two of a vote. */
    uint64_t config = shape->blocks * (36 + set + 4 * n) + 16 * ((uint64_t)shape->blocks + 3);
    uint64_t keys = n * CSL_SECAGG_ADVERTISE_BYTES;
    return FIXED_BYTES + larger(larger(config, keys), larger(delivery(shape), senders(shape)));
}

uint64_t csl_secagg_bytes_of_audit(const struct csl_secagg_shape *shape, uint64_t entries)
{
    uint64_t chunks = entries / CSL_PRG_CHUNK_WORDS + 2; /* a rotation may round up */
    uint64_t n = shape->sites, hashes = 32 * chunks, blocks = shape->blocks;
    uint64_t of_one = shape->is_sparse ? 2 + 3 * threshold(shape) : 1 + 2 * threshold(shape);
    uint64_t answer = n * 32 * of_one + 32 * (blocks + 1) + hashes;
    uint64_t manifest = CSL_SECAGG_HEADER_BYTES + CSL_SIGN_SIGNATURE_BYTES + 68 + 44 * (blocks + 1);
    return FIXED_BYTES + larger(answer, manifest + hashes + 8 * (uint64_t)CSL_PRG_CHUNK_WORDS);
}

uint64_t csl_secagg_bytes_from_site(const struct csl_secagg_shape *shape)
{
    uint64_t shares =
        shape->is_sparse
            ? 3 * 32 * threshold(shape) + (uint64_t)shape->share_degree * CSL_SEAL3_BYTES
            : 2 * 32 * threshold(shape) + (uint64_t)shape->sites * CSL_SEAL_BYTES;
    return FIXED_BYTES + larger(shares, 44 * ((uint64_t)shape->blocks + 1));
}
