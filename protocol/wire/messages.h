/* protocol/wire/messages.h - the control messages as plain structs. wire/messages.c turns them into
 * consilium.v1 protobuf bytes and back (protobuf-c appears there and in codec.c only).
 *
 * Decoding is bounded: input at most CSL_MSG_BYTES_MAX, heap at most CSL_MSG_HEAP_MAX, every
 * repeated field at most the maximum written beside it, unknown fields and unknown enum values
 * refused (CSL_E_PROTO). All storage is inside the struct or one owned block; csl_message_release
 * frees it. */
#ifndef CSL_WIRE_MESSAGES_H
#define CSL_WIRE_MESSAGES_H
#include "base/bytes.h"
#include "base/limits.h"
#include "privacy/crypto/hash.h"

#define CSL_PROTOCOL_VERSION 1u
#define CSL_TICKET_BYTES     16
/* Ledger heads travel as opaque text (privacy/ledger/checkpoint.h), keys and signatures as
 * Ed25519's bytes; all zero or "": none. */
#define CSL_HEAD_TEXT_MAX          512 /* with NUL */
#define CSL_LEDGER_KEY_BYTES       32
#define CSL_COUNTERSIGNATURE_BYTES 64
/* A proof that one head continues another (privacy/ledger/merkle.h): hashes in their order. */
#define CSL_LEDGER_PROOF_MAX  64
#define CSL_LEDGER_HASH_BYTES 32

enum csl_message_kind {
    /* site -> coordinator */
    CSL_MSG_HELLO = 1,
    CSL_MSG_STUDY_ANSWER,
    CSL_MSG_MODEL_REQUEST,
    CSL_MSG_UPDATE_READY,
    CSL_MSG_EVALUATION,
    CSL_MSG_TASK_FAILED,
    CSL_MSG_PING,
    CSL_MSG_SECAGG, /* of secure aggregation, from the site */
    /* coordinator -> site */
    CSL_MSG_STUDY_OFFER,
    CSL_MSG_TASK,
    CSL_MSG_MODEL_GRANT,
    CSL_MSG_UPDATE_GRANT,
    CSL_MSG_UPDATE_ACCEPTED,
    CSL_MSG_EVALUATION_ACCEPTED,
    CSL_MSG_STUDY_ENDED,
    CSL_MSG_REFUSED,
    CSL_MSG_DRAIN,
    CSL_MSG_SECAGG_TO_SITE,
    CSL_MSG_PONG
};

struct csl_msg_hello { /* first message on a session */
    uint32_t protocol_version;
    char software[CSL_ID_MAX];
    uint8_t study_digest[CSL_DIGEST_BYTES]; /* of the study this site accepted before; zero: none */
};
struct csl_msg_study_offer {
    uint8_t study_digest[CSL_DIGEST_BYTES];
    struct csl_msg manifest; /* YAML bytes, <= CSL_MANIFEST_BYTES_MAX; owned */
};
struct csl_block_count {
    uint32_t block;    /* index in the schema */
    uint64_t patients; /* training patients the site has for it */
};
struct csl_msg_study_answer {
    uint8_t study_digest[CSL_DIGEST_BYTES];
    bool accepted;
    char reason[192]; /* public text of a refusal; printable UTF-8 */
    uint32_t block_count;
    struct csl_block_count
        blocks[CSL_BLOCKS_MAX]; /* ascending by block; those the site has data for */
};
enum csl_task_type { CSL_TASK_TRAIN = 1, CSL_TASK_EVALUATE = 2 };
struct csl_domain_weight {
    double log_weight; /* finite */
    double patients;   /* of the domain in the federation; 0: not told */
};
struct csl_msg_task {
    enum csl_task_type type;
    uint64_t round;                         /* train: 1..rounds, and rounds + 1 where evaluations
                                               are sums (study/evaluation.h); evaluate: round of
                                               the model */
    uint64_t seed;                          /* of the study run: labels every random stream */
    uint8_t model_digest[CSL_DIGEST_BYTES]; /* of the broadcast bytes below */
    uint64_t model_bytes;                   /* broadcast_vectors * P * 4 */
    uint64_t deadline_ms;                   /* from now, for information; 0: none */
    char ledger_head[CSL_HEAD_TEXT_MAX];    /* the newest of this site that is remembered; "" */
    /* A study with fairness.domain_weights, to train: of every domain, by its index. */
    uint64_t weights_round; /* of the model that they come from */
    uint32_t weight_count;  /* 0: none, or CSL_DOMAINS_MAX at most */
    struct csl_domain_weight weights[CSL_DOMAINS_MAX];
    /* A study with statistics, to train: of every domain the loss of the predictor that knows the
     * federation's classes and nothing else; 0: not known, and the site counts its classes. */
    uint32_t prior_count; /* 0: none, or CSL_DOMAINS_MAX at most */
    double prior_loss[CSL_DOMAINS_MAX];
    /* A study whose weights of patient groups come from published statistics, to train: logarithms,
     * of every published value of every attribute, in the study's order. */
    uint32_t group_count; /* 0: none, or CSL_GROUP_WEIGHTS_MAX at most */
    double group_log_weight[CSL_GROUP_WEIGHTS_MAX];
};
struct csl_msg_model_request {
    uint64_t round;
};
struct csl_msg_model_grant {
    uint64_t round;
    uint8_t ticket[CSL_TICKET_BYTES];
};
struct csl_msg_update_ready {
    uint64_t round;
    uint64_t bytes_total;             /* update_vectors * (parameters of the listed blocks) * 4 */
    uint8_t digest[CSL_DIGEST_BYTES]; /* SHA-256 of the update bytes */
    uint32_t block_count;
    struct csl_block_count blocks[CSL_BLOCKS_MAX]; /* ascending; patients trained on */
    double train_loss; /* mean over the round's local steps; finite; 0 in a study with privacy */
    char ledger_head[CSL_HEAD_TEXT_MAX]; /* of the site's ledger after the charge; "" */
    uint8_t ledger_key[CSL_LEDGER_KEY_BYTES];
    /* From the head that the coordinator remembers (the last Task, or the announcement before this
     * one on the session) to ledger_head; none: there is none, or it is this one. */
    uint32_t ledger_proof_count;
    uint8_t ledger_proof[CSL_LEDGER_PROOF_MAX][CSL_LEDGER_HASH_BYTES];
};
struct csl_msg_update_grant {
    uint64_t round;
    uint8_t ticket[CSL_TICKET_BYTES]; /* single use */
    uint64_t offset;                  /* send from here: what the coordinator holds already */
};
struct csl_msg_update_accepted {
    uint64_t round;
    uint8_t digest[CSL_DIGEST_BYTES];
    uint8_t countersignature[CSL_COUNTERSIGNATURE_BYTES]; /* over the head that was announced */
    uint8_t ledger_key[CSL_LEDGER_KEY_BYTES];             /* of who countersigned */
};
struct csl_eval_block { /* one domain of one site; counts of validation or test patients */
    uint32_t block;
    uint64_t examples;
    double loss_sum;
    uint64_t true_positive, false_positive, true_negative, false_negative; /* binary only */
    uint32_t metric_count;
    struct csl_eval_metric {
        char name[CSL_ID_MAX];
        double value, low, high;
    } metrics[12];
    uint32_t bin_count; /* 0 or 2 * CSL_SCORE_BINS: label 0 bins, then label 1 bins */
    uint64_t bins[2 * CSL_SCORE_BINS];
    /* What weights of domains come from (fairness.domain_weights); judged 0: not told, and the rest
     * is none. Of validation patients, or of training patients where there are none. */
    uint64_t judged;
    double judged_loss;                 /* each patient's mean loss, added up; finite, >= 0 */
    uint32_t class_count;               /* 0, or the task's classes; 2 for binary */
    double class_mass[CSL_CLASSES_MAX]; /* patients of each class, by the share of their records */
    /* Counts by patient group (study/evaluation.h); 0: none. */
    uint32_t group_count;
    uint32_t groups[CSL_GROUP_COUNTS_MAX];
};
/* On the model of the round, of a study with aggregation.vote that is not under masks. */
enum csl_msg_vote { CSL_VOTE_NONE, CSL_VOTE_FINE, CSL_VOTE_WORSE };
struct csl_msg_evaluation {
    uint64_t round;
    enum csl_msg_vote vote;
    uint32_t block_count;
    struct csl_eval_block *blocks; /* [block_count], owned; <= CSL_DOMAINS_MAX */
};
struct csl_msg_evaluation_accepted {
    uint64_t round;
};
struct csl_msg_task_failed {
    uint64_t round;
    enum csl_code code;
    char reason[192]; /* public text: never data */
};
struct csl_msg_study_ended {
    bool released; /* false: aborted */
    uint64_t round;
    uint8_t model_digest[CSL_DIGEST_BYTES];
    char reason[192];
};
struct csl_msg_refused {
    enum csl_code code;
    char reason[192];
};
struct csl_msg_secagg {  /* both directions; protocol/wire/parts.h cuts and puts together */
    struct csl_msg body; /* canonical bytes of privacy/secagg, 1 to CSL_SECAGG_BYTES_MAX; owned */
    uint32_t offset, total; /* where in a message of `total` bytes it begins */
};
struct csl_msg_ping {
    uint64_t nonce;
};

struct csl_message {
    enum csl_message_kind kind;
    uint64_t sequence; /* per session and direction, from 1, no gaps: replay and loss are errors */
    union {
        struct csl_msg_hello hello;
        struct csl_msg_study_offer study_offer;
        struct csl_msg_study_answer study_answer;
        struct csl_msg_task task;
        struct csl_msg_model_request model_request;
        struct csl_msg_model_grant model_grant;
        struct csl_msg_update_ready update_ready;
        struct csl_msg_update_grant update_grant;
        struct csl_msg_update_accepted update_accepted;
        struct csl_msg_evaluation evaluation;
        struct csl_msg_evaluation_accepted evaluation_accepted;
        struct csl_msg_task_failed task_failed;
        struct csl_msg_study_ended study_ended;
        struct csl_msg_refused refused;
        struct csl_msg_secagg secagg;
        struct csl_msg_ping ping, pong; /* DRAIN carries nothing */
    } u;
};

enum csl_direction { CSL_TO_COORDINATOR, CSL_TO_SITE };

/* What a task tells sites to multiply by and to judge by: weights of domains and losses of priors,
 * in the bytes that M0 of a masked round binds, so that all sites of a sum were told the same.
 * False, out untouched: it tells none. SHA-256("consilium factors" || le64 weights_round || le32
 * count, {log_weight, patients} || le32 count, {prior_loss}), and with weights of groups || le32
 * count, {group_log_weight}; numbers as the le64 of their bits. */
bool csl_task_factors(const struct csl_msg_task *t, uint8_t out[CSL_DIGEST_BYTES]);

/* Encodes *m (checked against the same limits) into a fresh *out. */
enum csl_code csl_message_encode(const struct csl_message *m, struct csl_msg *out,
                                 struct csl_err *err) CSL_MUST_CHECK;
/* A message of the other direction, out-of-range values, non-finite numbers, unsorted or duplicate
 * blocks, text that is not printable UTF-8 or holds a NUL: CSL_E_PROTO naming the field. *out is
 * valid only on CSL_OK. */
enum csl_code csl_message_decode(struct csl_message *out, enum csl_direction direction,
                                 struct csl_span bytes, struct csl_err *err) CSL_MUST_CHECK;
void csl_message_release(struct csl_message *m);
const char *csl_message_kind_name(enum csl_message_kind kind); /* "UPDATE_READY" */

#endif
