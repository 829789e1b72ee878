/* privacy/secagg/derive.h - what the protocol FSA-1 computes from its messages: identifiers that
 * bind a session together, and the secrets of one attempt, all of them from one z of 32 random
 * bytes. Byte for byte as in README.md. Keys between two sites are those of
 * privacy/crypto/agree.h. Any thread. */
#ifndef CSL_SECAGG_DERIVE_H
#define CSL_SECAGG_DERIVE_H
#include "privacy/crypto/vss.h"
#include "privacy/secagg/messages.h"

/* sid = SHA-256("FSA1 sid" || ctx || le32 n1 || for i in U1: le32 i || SHA-256(body of M1_i) ||
 * graph_seed). */
void csl_secagg_sid(const struct csl_secagg_message *round_keys, uint8_t sid[32]);
/* SHA-256(Cb || Cs), in graph 1 of Cb || Cs || Cr: one dealer's commitments (M3), in the associated
 * data of its shares and in com. */
void csl_secagg_shares_hash(const struct csl_secagg_shares *s, uint8_t out[32]);
/* com = SHA-256("FSA1 com" || sid || for i in U2: le32 i || dealing_hash_i). ids and hashes are of
 * all of U1, by place. */
void csl_secagg_com(const uint8_t sid[32], uint32_t count, const uint32_t *ids,
                    const uint8_t (*hashes)[32], const struct csl_secagg_set *members,
                    uint8_t com[32]);
/* What T has for com: com, and in graph 1 the SHA-256 of the body of M7, so that all who sign a T
 * have the same blocks and the same r committed to, and with them the same mask graphs. */
void csl_secagg_bound_com(const struct csl_secagg_message *senders, uint8_t com[32]);
/* T = SHA-256("FSA1 T" || sid || com || bitmap U2 || bitmap U3 || for i in U3: le32 i || root_i ||
 * for each block: bitmap). The message is M9; ids are of U1, by place. */
void csl_secagg_transcript(const struct csl_secagg_message *survivors, const uint8_t com[32],
                           const struct csl_secagg_set *senders, const uint32_t *ids,
                           uint8_t transcript[32]);
/* SHA-256 of a body: root_i of M8, and what M8 says of M7. */
void csl_secagg_body_hash(const struct csl_secagg_message *m, uint8_t out[32]);
/* head = SHA-256("FSA1 head" || previous || T || result root || model hash). */
void csl_secagg_head(const uint8_t previous[32], const uint8_t transcript[32],
                     const uint8_t result_root[32], const uint8_t model_hash[32], uint8_t head[32]);

/* The labels of csl_scalar_derive and csl_vss_polynomial: s is index 0 of "s", b of "b"; the higher
 * coefficients of the two polynomials follow; "e" is the share channel's, "n" the nonce of M1. */
#define CSL_SECAGG_LABEL_MASK    "s"
#define CSL_SECAGG_LABEL_SELF    "b"
#define CSL_SECAGG_LABEL_CHANNEL "e"
#define CSL_SECAGG_LABEL_NONCE   "n"
#define CSL_SECAGG_LABEL_GRAPH   "r" /* what this site adds to the seed of the mask graph */

/* M1 of z, unsigned, and the secret of its channel key, which is the caller's to wipe.
 * CSL_E_CRYPTO: z gives a zero scalar (2^-252); CSL_E_NOMEM. */
enum csl_code csl_secagg_derive_advertise(const uint8_t z[32], const uint8_t head[32],
                                          uint8_t channel_secret[CSL_AGREE_X25519_BYTES],
                                          struct csl_secagg_advertise *out,
                                          struct csl_err *err) CSL_MUST_CHECK;

#endif
