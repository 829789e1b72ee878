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

uint64_t csl_secagg_bytes_to_site(uint32_t sites, uint32_t colluding, uint32_t blocks)
{
    uint64_t n = sites, t = csl_secagg_quorum(sites, colluding), set = csl_secagg_set_bytes(sites);
    uint64_t config = blocks * (36 + set + 4 * n) + 16 * ((uint64_t)blocks + 1);
    uint64_t keys = n * CSL_SECAGG_ADVERTISE_BYTES;
    uint64_t delivery =
        n * (CSL_SECAGG_HEADER_BYTES + 4 + 2 * 32 * t + CSL_SIGN_SIGNATURE_BYTES + CSL_SEAL_BYTES);
    uint64_t openings = n * csl_secagg_openings_max((uint32_t)t, colluding);
    uint64_t senders = (blocks + 1) * set + openings * csl_secagg_opening_bytes();
    return FIXED_BYTES + larger(larger(config, keys), larger(delivery, senders));
}

uint64_t csl_secagg_bytes_of_audit(uint32_t sites, uint32_t colluding, uint32_t blocks,
                                   uint64_t entries)
{
    uint64_t chunks = entries / CSL_PRG_CHUNK_WORDS + 2; /* a rotation may round up */
    uint64_t n = sites, t = csl_secagg_quorum(sites, colluding), hashes = 32 * chunks;
    uint64_t answer = n * 32 * (1 + 2 * t) + 32 * ((uint64_t)blocks + 1) + hashes;
    uint64_t manifest =
        CSL_SECAGG_HEADER_BYTES + CSL_SIGN_SIGNATURE_BYTES + 68 + 44 * ((uint64_t)blocks + 1);
    return FIXED_BYTES + larger(answer, manifest + hashes + 8 * (uint64_t)CSL_PRG_CHUNK_WORDS);
}

uint64_t csl_secagg_bytes_from_site(uint32_t sites, uint32_t colluding, uint32_t blocks)
{
    uint64_t shares =
        2 * 32 * (uint64_t)csl_secagg_quorum(sites, colluding) + (uint64_t)sites * CSL_SEAL_BYTES;
    return FIXED_BYTES + larger(shares, 44 * ((uint64_t)blocks + 1));
}
