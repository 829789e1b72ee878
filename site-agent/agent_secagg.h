/* site-agent/agent_secagg.h - internal to the agent: its half of secure aggregation
 * (privacy/secagg/site.h). An update that was trained is kept as plain words until the senders of
 * the round are known; then it is masked into the file that may leave, written down and charged,
 * and only then the core hears that it was trained. Core thread, but for the two on the worker.
 *
 * The journal of the protocol is in memory: an agent that restarts has forgotten the
 * chain of results and sits out the rest of the study. Only simulations have the keys it takes. */
#ifndef CSL_AGENT_SECAGG_H
#define CSL_AGENT_SECAGG_H
#include "site-agent/agent_internal.h"

/* For the study that was just opened. CSL_E_DENIED: the study wants it and there are no keys. */
enum csl_code csl_agent_open_secagg__(struct csl_agent *a, struct csl_err *err) CSL_MUST_CHECK;
void csl_agent_free_secagg__(struct csl_agent *a);
bool csl_agent_masks__(const struct csl_agent *a); /* the accepted study does */

/* A part that is not the one due, or of a message too long for the study, ends the session. */
void csl_agent_secagg_part__(struct csl_agent *a, const struct csl_msg_secagg *part);
/* The update's words are durable. */
void csl_agent_secagg_trained__(struct csl_agent *a, const struct csl_agent_event *e);
/* What was trained and did not leave is for nothing. */
void csl_agent_secagg_cancel__(struct csl_agent *a);

/* On the worker: writes the words of one update, and fills in what its outbox tells. `sum` in mode
 * joint, else `update`. CSL_E_INVAL: a value too large for the words. */
enum csl_code csl_agent_secagg_store__(struct csl_agent *a, const struct csl_msg_task *task,
                                       const float *update, const int64_t *sum,
                                       const struct csl_train_report *report,
                                       struct csl_outbox *out, struct csl_err *err) CSL_MUST_CHECK;

#endif
