/* site-agent/agent_secagg.h - internal to the agent: its half of secure aggregation
 * (privacy/secagg/site.h). An update that was trained is kept as plain words until the senders of
 * the round are known; then it is masked into the file that may leave, written down and charged,
 * and only then the core hears that it was trained. Core thread, but for the two on the worker.
 *
 * What was decided is in a journal in the state folder (agent_secagg_journal.c), and an agent that
 * restarts goes on where it was:
 *
 *     found at the start                     what is done
 *     words, not told to the protocol        told, and not trained again
 *     told, words there                      as if nothing had been
 *     told, words lost or changed            the site votes for abandoning; other words are never
 *                                            put under masks that may have been used
 *     M7 accepted, manifest not signed       masked again: the same words and masks, the same file;
 *                                            charged again only if the first charge is not there
 *     manifest signed                        that file may leave, and no other
 *     abandoned                              the file may not leave any more, the words wait for
 *                                            the next attempt; they are charged once
 *     voted, revealed                        the same bytes again when asked
 *
 * In a study with audits (secure_aggregation.audit_chunks) a site works on no model before it has
 * checked that many chunks, drawn after the result, of the sum that the model was made of
 * (agent_secagg_audit.c). A sum that does not check stops this site like a journal that was set
 * back; one that nobody answers for within the deadline of a round costs the next model. What has
 * to be checked first does not go by the numbers of rounds: an update that may be in a sum has to
 * have its result before this site works on another model, or joins a round on one.
 *
 * Without a state folder all of it is in memory. A site that finds a signature of its own that its
 * journal does not know was set back to an earlier state, nobody can tell by how many rounds: it
 * takes no part in the study any more. It says so with every task until an administrator makes the
 * file `secagg-confirmed` in the state folder and starts it again; then the words that lie there
 * are deleted. Nothing that the study reserved is given back. Other studies are not concerned.
 *
 * Errors. What the coordinator sent wrong is logged (ten lines a minute) and dropped, or ends the
 * session; the transport's back-off (transport.h) bounds how often that can be. A record, row or
 * charge that cannot be made durable fails the agent (csl_agent_fail__), and nothing more happens:
 * a restart goes on from what is on disk. Ownership: events, tasks and messages are borrowed for
 * the call; what is kept of them is copied, and is the agent's until csl_agent_free_secagg__. */
#ifndef CSL_AGENT_SECAGG_H
#define CSL_AGENT_SECAGG_H
#include "site-agent/agent_internal.h"

/* For the study that was just opened. Nothing to do where it has no masks. CSL_E_DENIED: there are
 * no keys, or the floors of this site are above the study; CSL_E_STATE: a journal as an earlier
 * version named it; CSL_E_CORRUPT, CSL_E_IO: the journal; CSL_E_NOMEM. The study is then closed. */
enum csl_code csl_agent_open_secagg__(struct csl_agent *a, struct csl_err *err) CSL_MUST_CHECK;
void csl_agent_free_secagg__(struct csl_agent *a);
/* The study that was opened last is declined: a journal that never held anything goes again. */
void csl_agent_secagg_discard__(struct csl_agent *a);
/* The study ended: no attempt will want plain words or secrets any more. */
void csl_agent_secagg_end__(struct csl_agent *a);
bool csl_agent_masks__(const struct csl_agent *a); /* the accepted study does */

/* At a start, once the core is there. */
void csl_agent_secagg_start__(struct csl_agent *a);
/* After every event: what became possible. */
void csl_agent_secagg_follow__(struct csl_agent *a);
/* A part that is not the one due, or of a message too long for the study, ends the session. */
void csl_agent_secagg_part__(struct csl_agent *a, const struct csl_msg_secagg *part);
/* The update's words are durable. */
void csl_agent_secagg_trained__(struct csl_agent *a, const struct csl_agent_event *e);
/* What was trained and the core has not heard of is for nothing. */
void csl_agent_secagg_cancel__(struct csl_agent *a);
/* The words of this task's update are here: it is not trained again. */
bool csl_agent_secagg_holds__(const struct csl_agent *a, const struct csl_msg_task *task);
/* Of the words that are here; 0: none. */
uint64_t csl_agent_secagg_words_round__(const struct csl_agent *a);
uint64_t csl_agent_secagg_words_run__(const struct csl_agent *a);
/* What is known of them; words_round is not 0. */
const struct csl_outbox *csl_agent_secagg_words__(const struct csl_agent *a);
/* Rows of the roster that a sum can be over. */
uint32_t csl_agent_secagg_sites__(const struct csl_agent *a);
/* Off the disk; that they were charged stays known. A study with masks is open. */
void csl_agent_secagg_drop_words__(struct csl_agent *a);
/* A charge of that round and attempt is about the words that are here, or were, whatever masks they
 * are under. */
bool csl_agent_secagg_covers__(const struct csl_agent *a, uint64_t round, uint32_t attempt);
/* The same, and they are here. */
bool csl_agent_secagg_waits__(const struct csl_agent *a, uint64_t round, uint32_t attempt);
bool csl_agent_secagg_is_suspended__(const struct csl_agent *a);
/* Why the study's rounds are not trained here; public. NULL: they are. */
const char *csl_agent_secagg_why_not__(const struct csl_agent *a);

/* Before work on a task begins, whatever its number. CSL_OK: it may. CSL_E_AGAIN: it is begun once
 * the published sum that this site has part in was checked; csl_agent_start_work__ is called then.
 * CSL_E_STATE: not at all, and *reason, public, says why: a sum did not check, or this is the first
 * model to train on after one that nobody answered for. What the agent could not make durable: its
 * failure. */
enum csl_code csl_agent_audit_gate__(struct csl_agent *a, const struct csl_msg_task *task,
                                     const char **reason) CSL_MUST_CHECK;
uint64_t csl_agent_audit_wakeup_ns__(const struct csl_agent *a);
void csl_agent_audit_end__(struct csl_agent *a); /* the study ended */

/* The domains that this site can evaluate, among the blocks of its answer to a study. */
void csl_agent_secagg_count_tests__(const struct csl_agent *a, struct csl_msg_study_answer *answer);

/* On the worker: writes the words of one update, and fills in what its outbox tells, the digest of
 * these words among it. `sum` in mode
 * joint, else `update`; global: the model that the round begins with, which is judged where it is
 * due. A domain that cannot be judged is left out. CSL_E_INVAL: a value too large for the words, or
 * nothing to send. */
enum csl_code csl_agent_secagg_store__(struct csl_agent *a, const struct csl_msg_task *task,
                                       const float *global, const float *update, const int64_t *sum,
                                       const struct csl_train_report *report,
                                       struct csl_outbox *out, struct csl_err *err) CSL_MUST_CHECK;

#endif
