/* Pitfall 30: nothing branches on a secret or takes it for an address. Run under valgrind's
 * memcheck, which reports both for memory that is marked undefined; the secrets are. What may be
 * branched on is a verdict ("this share does not fit"), and ct_secrets.supp names each function
 * that does so. Counts as passed only under valgrind: alone it says nothing. */
#include "privacy/crypto/init.h"
#include "privacy/crypto/prg.h"
#include "privacy/crypto/seal.h"
#include "privacy/crypto/secret.h"
#include "privacy/crypto/vss.h"

#include <stdio.h>
#include <valgrind/memcheck.h>

enum { THRESHOLD = 3, SITES = 5 };

#define SECRET(x) (void)VALGRIND_MAKE_MEM_UNDEFINED(&(x), sizeof(x))
#define PUBLIC(x) (void)VALGRIND_MAKE_MEM_DEFINED(&(x), sizeof(x))

static int failed;
#define EXPECT(call)                                                                               \
    do {                                                                                           \
        enum csl_code code_ = (call);                                                              \
        PUBLIC(code_);                                                                             \
        failed += code_ != CSL_OK;                                                                 \
    } while (0)

static const uint8_t sid[32] = {7};

static void shares_of(uint8_t z[32], struct csl_scalar f[THRESHOLD],
                      struct csl_point commitments[THRESHOLD], struct csl_scalar shares[SITES])
{
    static const uint32_t indices[THRESHOLD] = {4, 0, 2};
    struct csl_scalar weights[THRESHOLD], held[THRESHOLD], secret;
    EXPECT(csl_vss_polynomial(z, "mask", THRESHOLD, f, NULL));
    EXPECT(csl_vss_commit(f, THRESHOLD, commitments, NULL));
    for (size_t k = 0; k < THRESHOLD; k++)
        PUBLIC(commitments[k]);
    EXPECT(csl_vss_deal(f, THRESHOLD, SITES, shares, NULL));
    EXPECT(csl_vss_verify(&shares[1], 1, commitments, THRESHOLD, NULL));
    EXPECT(csl_vss_weights(indices, THRESHOLD, weights, NULL));
    for (size_t i = 0; i < THRESHOLD; i++)
        held[i] = shares[indices[i]];
    EXPECT(csl_vss_reconstruct(weights, held, THRESHOLD, commitments, &secret, NULL));
    failed += !csl_secret_equal(&secret, &f[0], sizeof(secret));
}

static void masks_of(const struct csl_scalar *s, const struct csl_point *S)
{
    static uint64_t words[2048];
    static struct csl_scalar two = {{2}};
    struct csl_point peer;
    uint8_t prk[32], key[CSL_PRG_KEY_BYTES];
    struct csl_prg *p = NULL;
    EXPECT(csl_point_base(&two, &peer, NULL));
    EXPECT(csl_agree_mask(1, s, S, 2, &peer, sid, prk, NULL));
    EXPECT(csl_prg_mask_key(prk, 1, 2, 0, 0, key, NULL));
    EXPECT(csl_agree_self(s, sid, prk, NULL));
    EXPECT(csl_prg_self_key(prk, 1, 0, 0, key, NULL));
    EXPECT(csl_prg_new(&p, NULL));
    if (p != NULL)
        csl_prg_add(p, key, words, 2048, CSL_PRG_SUBTRACT);
    csl_prg_free(p);
}

static void channel_of(uint8_t z[32], const struct csl_scalar shares[SITES])
{
    static const uint8_t peer[32] = {9};
    const struct csl_seal_context context = {.from = 1, .to = 2};
    const struct csl_seal_shares sent = {shares[1], shares[2]};
    uint8_t e[32], public_key[32], prk[32], sealed[CSL_SEAL_BYTES];
    struct csl_seal_key key, again;
    struct csl_seal_shares opened;
    EXPECT(csl_agree_channel_keys(z, "channel", 0, e, public_key, NULL));
    PUBLIC(public_key);
    EXPECT(csl_agree_channel(1, e, public_key, 2, peer, sid, prk, NULL));
    EXPECT(csl_seal_key_derive(prk, 1, 2, &key, NULL));
    again = key;
    EXPECT(csl_seal_share(&key, &context, &sent, sealed, NULL));
    PUBLIC(sealed);
    EXPECT(csl_seal_open(&again, &context, sealed, &opened, NULL));
    uint8_t sealed3[CSL_SEAL3_BYTES];
    struct csl_scalar third;
    EXPECT(csl_seal_key_derive(prk, 1, 2, &key, NULL));
    again = key;
    EXPECT(csl_seal_share3(&key, &context, &sent, &shares[3], sealed3, NULL));
    PUBLIC(sealed3);
    EXPECT(csl_seal_open3(&again, &context, sealed3, &opened, &third, NULL));
}

int main(void)
{
    uint8_t z[32] = {3};
    struct csl_scalar f[THRESHOLD], shares[SITES];
    struct csl_point commitments[THRESHOLD];
    EXPECT(csl_crypto_init(NULL));
    if (RUNNING_ON_VALGRIND == 0) {
        (void)fprintf(stderr, "ct_secrets: run under valgrind\n");
        return 2;
    }
    SECRET(z);
    shares_of(z, f, commitments, shares);
    masks_of(&f[0], &commitments[0]);
    channel_of(z, shares);
    PUBLIC(failed);
    return failed != 0;
}
