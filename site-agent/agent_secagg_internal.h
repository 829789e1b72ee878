/* site-agent/agent_secagg_internal.h - shared by the agent's secure-aggregation files only. */
#ifndef CSL_AGENT_SECAGG_INTERNAL_H
#define CSL_AGENT_SECAGG_INTERNAL_H
#include "base/log.h"
#include "privacy/secagg/audit.h"
#include "privacy/secagg/bounds.h"
#include "privacy/secagg/encode.h"
#include "privacy/secagg/journal.h"
#include "privacy/secagg/site.h"
#include "protocol/study/evaluation.h"
#include "site-agent/agent_secagg.h"

/* Whether the sum of a round that this site has part in is what was published
 * (agent_secagg_audit.c). On disk beside the journal until it is over. */
enum csl_agent_audit_state {
    CSL_AUDIT_NONE,
    CSL_AUDIT_ASKING,    /* nothing is worked on before the answer */
    CSL_AUDIT_FAILED,    /* nothing is, until an administrator confirms */
    CSL_AUDIT_UNANSWERED /* the next model is not trained on, once */
};
enum { /* what an audit takes, as it was received */
       CSL_AUDIT_M0,
       CSL_AUDIT_M2,
       CSL_AUDIT_M7,
       CSL_AUDIT_M9,
       CSL_AUDIT_M13,
       CSL_AUDIT_MESSAGES
};
struct csl_agent_audit {
    enum csl_agent_audit_state state;
    uint64_t round;                    /* as the coordinator numbered it; for the log */
    uint8_t session[CSL_DIGEST_BYTES]; /* whose sum it is about; zeros: not known */
    bool has_refused;                  /* of an audit that was not answered */
    uint8_t refused[CSL_DIGEST_BYTES]; /* the model that was, on which no task is begun */
    struct csl_msg said[CSL_AUDIT_MESSAGES];
    uint32_t count, item;                      /* of the chunks; checked so far */
    uint8_t chunks[CSL_SECAGG_AUDITS_MAX * 8]; /* as in M14 */
    struct csl_secagg_audit *verifier;         /* of chunk `item`; NULL: nothing of it came */
    csl_conn asked_on;                         /* 0: not asked */
    uint64_t deadline_ns;                      /* 0: not running yet */
    bool is_deferred; /* the core's task waits for the answer, and the core takes it for work */
};

struct csl_agent_secagg {
    struct csl_secagg_site *fsm;
    struct csl_secagg_journal *journal; /* NULL: in memory */
    uint8_t study_digest[CSL_DIGEST_BYTES];
    /* The update that was trained last. Its plain words stay until it is known whether they are in
     * a sum: an attempt that was abandoned is followed by one that sends them under other masks. */
    struct csl_agent_event update; /* outbox.round 0: none */
    bool has_words;
    uint8_t words_digest[CSL_DIGEST_BYTES];
    /* What they were reserved and are charged as; once, whatever happens. */
    uint32_t ledger_attempt;
    uint64_t opening_round;                  /* of the M0 that is being looked at */
    uint8_t opening_model[CSL_DIGEST_BYTES]; /* the one it has to be of */
    bool is_told;                            /* the protocol knows that it was trained */
    bool must_mask;
    bool may_leave;
    bool is_settled;
    bool must_resume;
    bool is_fresh;                 /* the journal had no record when it was opened */
    struct csl_log_quota refusals; /* lines about messages */
    struct csl_secagg_shape shape; /* of the study on this roster, and so of every round */
    uint64_t bytes_max;            /* of one message */
    struct csl_agent_audit audit;
};

/* agent_secagg.c */
enum csl_code csl_agent_secagg_step__(struct csl_agent *a, const struct csl_secagg_site_event *ev);

/* agent_secagg_journal.c. Without a state folder nothing is written and nothing restored. */
enum csl_code csl_agent_secagg_restore__(struct csl_agent *a, struct csl_err *err) CSL_MUST_CHECK;
/* Fails the agent where it cannot be made durable: nothing more happens then. */
void csl_agent_secagg_record__(struct csl_agent *a, const struct csl_secagg_site_action *action);
void csl_agent_secagg_record_words__(struct csl_agent *a);
/* PREFIX, the study's whole digest, ENDING in the state folder. */
enum csl_code csl_agent_secagg_path__(const struct csl_agent *a, const char *prefix,
                                      const char *ending, char out[CSL_PATH_MAX],
                                      struct csl_err *err) CSL_MUST_CHECK;
/* CSL_E_STATE: there is one as earlier versions named it; says that it belongs to `path`. */
enum csl_code csl_agent_secagg_refuse_old__(const struct csl_agent *a, const char *prefix,
                                            const char *ending, const char *path,
                                            struct csl_err *err) CSL_MUST_CHECK;

/* agent_secagg_audit.c. begin: M13 of the attempt's own session came; before it is forgotten. */
void csl_agent_audit_begin__(struct csl_agent *a, struct csl_span result);
void csl_agent_audit_take__(struct csl_agent *a, struct csl_span bytes);
void csl_agent_audit_follow__(struct csl_agent *a);
void csl_agent_audit_cancel__(struct csl_agent *a); /* the task that was deferred is for nothing */
/* Another session's M13 came: what is still asked about an earlier sum is not answered any more. */
void csl_agent_audit_overtaken__(struct csl_agent *a, const uint8_t sid[32]);
/* No round on the model of this task is joined. */
bool csl_agent_audit_refuses__(const struct csl_agent *a, const struct csl_msg_task *task);
void csl_agent_secagg_send__(struct csl_agent *a, struct csl_span bytes); /* agent_secagg.c */

/* agent_secagg_audit_kept.c. save: the state, so that it outlives a restart; NONE: no file. */
void csl_agent_audit_save__(struct csl_agent *a);
enum csl_code csl_agent_audit_restore__(struct csl_agent *a, struct csl_err *err) CSL_MUST_CHECK;
void csl_agent_audit_clear__(struct csl_agent_audit *u); /* in memory */

/* agent_secagg_mask.c. outbox in: of the plain words; out: with the digest of the masked file,
 * which is durable. CSL_E_CORRUPT: the words on disk are not the ones that were trained. */
enum csl_code csl_agent_secagg_mask__(struct csl_agent *a, struct csl_outbox *outbox,
                                      struct csl_secagg_masked *masked,
                                      struct csl_err *err) CSL_MUST_CHECK;
bool csl_agent_secagg_has_plain__(const struct csl_agent *a, const struct csl_outbox *words,
                                  const uint8_t digest[CSL_DIGEST_BYTES]);

/* agent_secagg_lanes.c. CSL_E_DENIED: the study's lanes are too narrow for the roster's sites. */
enum csl_code csl_agent_secagg_check_lanes__(const struct csl_agent *a,
                                             struct csl_err *err) CSL_MUST_CHECK;
/* CSL_E_DENIED: M0 is of other words than the study's, which this site makes. */
enum csl_code csl_agent_secagg_check_blocks__(const struct csl_agent *a,
                                              const struct csl_secagg_config *c,
                                              struct csl_err *err) CSL_MUST_CHECK;
/* Of a study with lanes below 64 bits. */
enum csl_code csl_agent_secagg_encoding__(const struct csl_agent *a,
                                          const struct csl_msg_task *task, uint32_t block,
                                          struct csl_encoding *out,
                                          struct csl_err *err) CSL_MUST_CHECK;
void csl_agent_secagg_coins__(const struct csl_agent *a, const struct csl_msg_task *task,
                              uint32_t block, uint8_t coins[32]);

/* agent_secagg_evaluate.c. On the worker: words [csl_study_evaluation_words] of one domain, of
 * which the site has test patients. */
enum csl_code csl_agent_secagg_judge__(struct csl_agent *a, uint32_t domain, const float *global,
                                       uint64_t *words, struct csl_err *err) CSL_MUST_CHECK;
/* Where the block stands in M0; UINT32_MAX: the round does not ask this site for it. */
uint32_t csl_agent_secagg_index__(const struct csl_agent *a, const struct csl_secagg_config *c,
                                  uint32_t id);
/* CSL_E_DENIED: the row is of no evaluation that is due, of other words than this site makes, of
 * too few sites, or leaves this one out. */
enum csl_code csl_agent_secagg_check_evaluation__(const struct csl_agent *a,
                                                  const struct csl_secagg_config *c, uint32_t index,
                                                  struct csl_err *err) CSL_MUST_CHECK;

#endif
