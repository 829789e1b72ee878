/* site-agent/agent_secagg_internal.h - shared by the agent's secure-aggregation files only. */
#ifndef CSL_AGENT_SECAGG_INTERNAL_H
#define CSL_AGENT_SECAGG_INTERNAL_H
#include "privacy/secagg/encode.h"
#include "privacy/secagg/journal.h"
#include "privacy/secagg/site.h"
#include "site-agent/agent_secagg.h"

struct csl_agent_secagg {
    struct csl_secagg_site *fsm;
    struct csl_secagg_journal *journal; /* NULL: in memory */
    uint8_t study_digest[CSL_DIGEST_BYTES];
    /* The update that was trained last. Its plain words stay until it is known whether they are in
     * a sum: an attempt that was abandoned is followed by one that sends them under other masks. */
    struct csl_agent_event update; /* outbox.round 0: none */
    bool has_words;
    uint8_t words_digest[CSL_DIGEST_BYTES];
    uint32_t
        ledger_attempt;     /* what they were reserved and are charged as; once, whatever happens */
    uint64_t opening_round; /* of the M0 that is being looked at */
    bool is_told;           /* the protocol knows that it was trained */
    bool must_mask, may_leave, is_settled, must_resume;
};

/* agent_secagg.c */
enum csl_code csl_agent_secagg_step__(struct csl_agent *a, const struct csl_secagg_site_event *ev);

/* agent_secagg_journal.c. Without a state folder nothing is written and nothing restored. */
enum csl_code csl_agent_secagg_restore__(struct csl_agent *a, struct csl_err *err) CSL_MUST_CHECK;
/* Fails the agent where it cannot be made durable: nothing more happens then. */
void csl_agent_secagg_record__(struct csl_agent *a, const struct csl_secagg_site_action *action);
void csl_agent_secagg_record_words__(struct csl_agent *a);

/* agent_secagg_mask.c. outbox in: of the plain words; out: with the digest of the masked file,
 * which is durable. CSL_E_CORRUPT: the words on disk are not the ones that were trained. */
enum csl_code csl_agent_secagg_mask__(struct csl_agent *a, struct csl_outbox *outbox,
                                      struct csl_secagg_masked *masked,
                                      struct csl_err *err) CSL_MUST_CHECK;
bool csl_agent_secagg_has_plain__(const struct csl_agent *a, const struct csl_outbox *words,
                                  const uint8_t digest[CSL_DIGEST_BYTES]);

/* agent_secagg_lanes.c. sites: rows of the roster that a sum can be over. */
uint32_t csl_agent_secagg_sites__(const struct csl_agent *a);
/* CSL_E_DENIED: the study's lanes are too narrow for them. */
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

#endif
