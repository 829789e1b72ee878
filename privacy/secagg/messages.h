/* privacy/secagg/messages.h - M1 to M14 of the protocol FSA-1 (M0 is config.h), as canonical bytes:
 * a header {type u8, version u8, ctx or session id [32], site u32} and fields in fixed order,
 * integers little-endian; README.md gives the layouts. A signed message ends in the signature of
 * its body; a carrier holds what others signed and has none.
 *
 * Decoding copies little and allocates nothing: a view borrows the bytes it was read from. Refused:
 * an unknown type or version, a wrong length, bytes after the end, ids that do not ascend, unused
 * bits, counts beyond the limits. A decoded message is well-formed, nothing more: who signed it and
 * whether it fits the session are for the machines (site.h, coordinator.h). Any thread. */
#ifndef CSL_SECAGG_MESSAGES_H
#define CSL_SECAGG_MESSAGES_H
#include "base/buf.h"
#include "privacy/crypto/group.h"
#include "privacy/crypto/seal.h"
#include "privacy/crypto/sign.h"
#include "privacy/secagg/set.h"

enum csl_secagg_type {
    CSL_SECAGG_CONFIG = 0,     /* M0: csl_secagg_config_decode */
    CSL_SECAGG_ADVERTISE = 1,  /* M1: site, signed; ctx */
    CSL_SECAGG_ROUND_KEYS = 2, /* M2: coordinator, signed; ctx: U1 is closed */
    CSL_SECAGG_SHARES = 3,     /* M3: site, signed but for the sealed shares; sid from here on */
    CSL_SECAGG_DELIVERY = 4,   /* M4: carrier of M3s, to the site in the header */
    CSL_SECAGG_ACK = 5,        /* M5: site, signed */
    CSL_SECAGG_READY = 6,      /* M6: site, signed */
    CSL_SECAGG_SENDERS = 7,    /* M7: coordinator, signed: U2 is closed */
    CSL_SECAGG_MANIFEST = 8,   /* M8: site, signed */
    CSL_SECAGG_SURVIVORS = 9,  /* M9: coordinator, signed: U3 is closed */
    CSL_SECAGG_VOTE = 10,      /* M10: site, signed */
    CSL_SECAGG_QUORUM = 11,    /* M11: carrier of votes for T */
    CSL_SECAGG_UNMASK = 12,    /* M12: site, signed */
    CSL_SECAGG_RESULT = 13,    /* M13: coordinator, signed, with the quorum's votes */
    CSL_SECAGG_AUDIT = 14,     /* M14: site, signed: asks for chunks (audit.h) */
    /* M3, M4 and M7 of graph 1 (graph.h), and M7r */
    CSL_SECAGG_SPARSE_SHARES = 15,
    CSL_SECAGG_SPARSE_DELIVERY = 16,
    CSL_SECAGG_SPARSE_SENDERS = 17,
    CSL_SECAGG_REVEAL = 18,    /* M7r: site, signed: its r, and its shares of others' */
    CSL_SECAGG_SEEDS = 19,     /* M7r: coordinator, signed: every r of U2 */
    CSL_SECAGG_DISPUTE = 20,   /* carrier of one M5 that complains, to the dealer in the header */
    CSL_SECAGG_OPENING = 21,   /* site, signed: the dealer's answer (M5d) */
    CSL_SECAGG_GIVE_UP = 22,   /* coordinator, signed: asks for votes to abandon */
    CSL_SECAGG_ABANDONED = 23, /* carrier of votes to abandon: the certificate */
    CSL_SECAGG_AUDITED = 24,   /* carrier of what was opened: the answer to one chunk of M14, */
    CSL_SECAGG_AUDIT_UPLOAD = 25,   /* followed by that chunk of every upload in the sum */
    CSL_SECAGG_SPARSE_AUDITED = 26, /* CSL_SECAGG_AUDITED of graph 1 */
    CSL_SECAGG_EPOCH_COMMIT = 30,   /* site, signed; hash of the roster for an id: epoch.h */
    CSL_SECAGG_EPOCH_REVEAL = 31
};

enum {
    CSL_SECAGG_HEADER_BYTES = 38,
    CSL_SECAGG_ADVERTISE_BYTES = CSL_SECAGG_HEADER_BYTES + 128 + CSL_SIGN_SIGNATURE_BYTES,
    CSL_SECAGG_MANIFEST_BLOCKS_MAX = 65,
    CSL_SECAGG_AUDIT_CHUNKS_MAX = 64,         /* in one M14 */
    CSL_SECAGG_BLOCK_CHUNKS_MAX = 1 << 15,    /* CSL_SECAGG_ENTRIES_MAX words of 64 bits */
    CSL_SECAGG_MESSAGE_BYTES_MAX = 128 << 20, /* M4 of 1024 sites */
    CSL_SECAGG_VOTE_FOR = 1,                  /* T */
    CSL_SECAGG_VOTE_ABANDON = 2
};

struct csl_secagg_advertise { /* M1 */
    struct csl_point mask_key;
    uint8_t channel_key[32], nonce[32], head[32];
};
struct csl_secagg_round_keys {  /* M2 */
    uint32_t quorum, threshold; /* t_g, t_s */
    uint8_t graph_seed[32];     /* zero: complete graph */
    uint32_t count;             /* n1 */
    const uint8_t *advertised;  /* [count] M1, whole, ascending by site */
};
struct csl_secagg_shares { /* M3; the commitments follow each other: Cb, Cs, and Cr of graph 1 */
    uint32_t threshold;
    const struct csl_point *b, *s, *r; /* [threshold]; r: NULL but in graph 1 */
    uint32_t sealed_count;             /* M3: of the share peers in U1 ascending; 1 inside M4 */
    const uint8_t *sealed; /* [sealed_count][CSL_SEAL_BYTES, or CSL_SEAL3_BYTES with r] */
};
struct csl_secagg_delivery { /* M4 */
    uint32_t threshold, count;
    const uint8_t *dealers; /* [count]: ascending; csl_secagg_delivery_at */
};
struct csl_secagg_ack { /* M5: places in U1 */
    uint32_t count;     /* n1 */
    struct csl_secagg_set accepted, complaints;
};
struct csl_secagg_ready { /* M6: places in the list of blocks */
    uint32_t block_count;
    struct csl_secagg_set blocks;
};
struct csl_secagg_senders { /* M7 */
    uint32_t count, block_count;
    struct csl_secagg_set members;
    const uint8_t *block_bits; /* [block_count][set_bytes(count)]; csl_secagg_block_set */
    uint8_t commitments[32];   /* com */
    const uint8_t *dealings;   /* graph 1: [members][64] dealing hash, r B; else NULL */
    uint32_t opening_count;
    const uint8_t *openings; /* [opening_count] OPENING, whole, ascending by (dealer, receiver) */
};
struct csl_secagg_reveal { /* M7r */
    const struct csl_scalar *r;
    uint32_t count;
    const struct csl_scalar *shares; /* [count] of r of the share peers in U2 ascending; 0: none */
};
struct csl_secagg_seeds { /* M7r */
    uint32_t count;
    const struct csl_scalar *r; /* [count] of U2 ascending */
};
struct csl_secagg_manifest_block {
    uint64_t entries; /* 0, and all else zero: not sent */
    uint32_t chunks;
    uint8_t root[32];
};
struct csl_secagg_manifest { /* M8 */
    uint8_t senders[32];     /* SHA-256 of the body of M7 */
    uint8_t plain[32];       /* SHA-256(salt || encoded plaintext), or zero: no audit of sites */
    uint32_t block_count;
    struct csl_secagg_manifest_block blocks[CSL_SECAGG_MANIFEST_BLOCKS_MAX];
};
struct csl_secagg_survivors { /* M9 */
    uint32_t count, block_count;
    struct csl_secagg_set members;
    const uint8_t *block_bits; /* as in M7 */
    const uint8_t *roots;      /* [members][32] ascending: SHA-256 of the bodies of M8 */
};
struct csl_secagg_vote { /* M10 */
    uint8_t choice;
    uint8_t transcript[32]; /* T; zero when abandoning */
};
struct csl_secagg_votes {   /* M11 and the certificate */
    uint8_t transcript[32]; /* zero in a certificate */
    uint32_t count;
    const uint8_t *votes; /* [count]: site u32, signature[64]; ascending */
};
struct csl_secagg_unmask { /* M12 */
    uint8_t transcript[32];
    uint32_t count;
    const struct csl_scalar *shares; /* [count], of U2 ascending: of b_j in U3, of s_j elsewhere */
};
struct csl_secagg_result { /* M13 */
    uint8_t previous_head[32], result_root[32], model_hash[32], head[32];
    struct csl_secagg_votes quorum; /* with T */
};
struct csl_secagg_audit_request { /* M14 */
    uint32_t count;               /* 1 to CSL_SECAGG_AUDIT_CHUNKS_MAX */
    const uint8_t *chunks;        /* [count]: place of the block u32, chunk u32; ascending */
};
struct csl_secagg_audited {
    uint8_t transcript[32];
    uint32_t block, chunk;
    uint32_t count, threshold;           /* of U2; of the commitments */
    const struct csl_scalar *secrets;    /* [count] of U2 ascending: b_j in U3, s_j elsewhere */
    const struct csl_point *commitments; /* [count][2 threshold]: Cb_j, Cs_j; [3]: and Cr_j */
    const struct csl_scalar *r;          /* [count] of M7r, graph 1 only: else NULL */
    uint32_t block_count;
    const uint8_t *roots; /* [block_count][32] of the sum; csl_secagg_result_root */
    uint32_t chunk_count;
    const uint8_t *hashes; /* [chunk_count][32] SHA-256 of the block's chunks of the sum */
};
struct csl_secagg_audit_upload {
    uint32_t block, chunk;
    struct csl_span manifest; /* an M8, whole: says whose */
    uint32_t chunk_count;
    const uint8_t *hashes; /* [chunk_count][32] of the chunks of that upload's block */
    struct csl_span words; /* the chunk, as it was uploaded */
};
struct csl_secagg_epoch_value {
    uint8_t value[32]; /* the commitment, or r */
};
struct csl_secagg_dispute {
    struct csl_span ack; /* an M5, whole */
};
struct csl_secagg_opening {
    uint32_t receiver; /* site */
    struct csl_seal_shares shares;
};

struct csl_secagg_message {
    uint8_t type;
    uint8_t id[32]; /* ctx of M1 and M2, else the session id */
    uint32_t site;  /* who says it; of M4 and disputes whom it is for; 0: the coordinator */
    struct csl_span whole, body;
    const uint8_t *signature; /* of the body; NULL: a carrier */
    union {
        struct csl_secagg_advertise advertise;
        struct csl_secagg_round_keys round_keys;
        struct csl_secagg_shares shares;
        struct csl_secagg_delivery delivery;
        struct csl_secagg_ack ack;
        struct csl_secagg_ready ready;
        struct csl_secagg_senders senders;
        struct csl_secagg_manifest manifest;
        struct csl_secagg_survivors survivors;
        struct csl_secagg_vote vote;
        struct csl_secagg_votes votes;
        struct csl_secagg_unmask unmask;
        struct csl_secagg_result result;
        struct csl_secagg_reveal reveal;
        struct csl_secagg_seeds seeds;
        struct csl_secagg_audit_request audit;
        struct csl_secagg_audited audited;
        struct csl_secagg_audit_upload audit_upload;
        struct csl_secagg_epoch_value epoch;
        struct csl_secagg_dispute dispute;
        struct csl_secagg_opening opening;
    } u;
};

/* CSL_E_PROTO; CSL_E_LIMIT: longer than CSL_SECAGG_MESSAGE_BYTES_MAX. `out` borrows `bytes`. */
enum csl_code csl_secagg_decode(struct csl_secagg_message *out, struct csl_span bytes,
                                struct csl_err *err) CSL_MUST_CHECK;
/* Appends the canonical bytes of m: header, body, signature by `key` (NULL for carriers). Of M3 and
 * within M4 the sealed shares follow the signature. whole, body and signature of m are ignored.
 * The result is one that decodes, or it is a mistake of ours (assertion). CSL_E_NOMEM. */
enum csl_code csl_secagg_encode(const struct csl_secagg_message *m, const struct csl_sign_key *key,
                                struct csl_buf *out, struct csl_err *err) CSL_MUST_CHECK;
/* Ed25519 over "FSA1 sig" || type || SHA-256(body); false for a carrier. */
bool csl_secagg_is_signed(const struct csl_secagg_message *m,
                          const uint8_t key[CSL_SIGN_PUBLIC_BYTES]) CSL_MUST_CHECK;

/* Parts of a decoded message, which are themselves well-formed. */
void csl_secagg_advertised_at(const struct csl_secagg_round_keys *k, uint32_t place,
                              struct csl_secagg_message *out);
void csl_secagg_delivery_at(const struct csl_secagg_message *delivery, uint32_t index,
                            struct csl_secagg_message *out); /* an M3 with one sealed share */
void csl_secagg_opening_at(const struct csl_secagg_senders *s, uint32_t index,
                           struct csl_secagg_message *out);
void csl_secagg_audit_at(const struct csl_secagg_audit_request *a, uint32_t index, uint32_t *block,
                         uint32_t *chunk);
void csl_secagg_block_set(const uint8_t *block_bits, uint32_t count, uint32_t block,
                          struct csl_secagg_set *out);
/* The vote of `site` in session `id` as the message that its signature covers, and the signature's
 * place in `votes`. */
bool csl_secagg_vote_is_signed(const uint8_t id[32], uint32_t site, uint8_t choice,
                               const uint8_t transcript[32], const uint8_t *signature,
                               const uint8_t key[CSL_SIGN_PUBLIC_BYTES]) CSL_MUST_CHECK;
static inline uint32_t csl_secagg_opening_bytes(void)
{
    return CSL_SECAGG_HEADER_BYTES + 4 + 64 + CSL_SIGN_SIGNATURE_BYTES;
}

#endif
