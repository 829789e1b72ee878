/* coordinator/service_secagg.h - internal to the service: the coordinator's half of secure
 * aggregation (privacy/secagg/coordinator.h) around one study's rounds. Updates arrive as words
 * under masks through the same uploads; when the round closes, the sites vote, open the masks of
 * the sum, and the sum becomes the strategy's mean. Core thread.
 *
 * What was decided is in a journal in the state folder (service_secagg_journal.c), one for the
 * attempt that is open, and the chain of results in a file of its own. A service that restarts goes
 * on with the round where it was: the same lists, the same votes; uploads that are held are checked
 * again; a sum that was opened is opened again; a result whose model was committed is told.
 *
 * An attempt that does not get on is given up (service_secagg_stuck.c): the sites vote for
 * abandoning it, and with the certificate the round is opened once more; after five attempts the
 * study is aborted. When neither the sum nor its end has the votes, or the votes are there and too
 * few sites open the sum, the service fails after a while and says so; started again it waits
 * again. Without a state folder all of it is in memory. */
#ifndef CSL_COORD_SERVICE_SECAGG_H
#define CSL_COORD_SERVICE_SECAGG_H
#include "coordinator/service_internal.h"

/* Nothing to do, and s->secagg stays NULL, without secure aggregation in the study.
 * CSL_E_UNSUPPORTED: the study has it, and there are no keys; CSL_E_INVAL: one of its sites is not
 * in the signed roster, or is revoked there, and is not refused anyway. */
enum csl_code csl_service_open_secagg__(struct csl_service *s, struct csl_err *err) CSL_MUST_CHECK;
void csl_service_free_secagg__(struct csl_service *s);

/* The calls below: only where s->secagg is not NULL. */
void csl_service_secagg_open_round__(struct csl_service *s, uint64_t round);
/* What a site said, or a part of it. CSL_E_PROTO, CSL_E_LIMIT, CSL_E_NOMEM: its session must end.
 */
enum csl_code csl_service_secagg_part__(struct csl_service *s, uint32_t site,
                                        const struct csl_msg_secagg *part) CSL_MUST_CHECK;
/* A site is back: what was said to it in this round is said again. */
void csl_service_secagg_greet__(struct csl_service *s, uint32_t site);
/* Before the site is tasked. */
void csl_service_secagg_brief__(struct csl_service *s, uint32_t site);
/* Its whole upload is here and has its digest. CSL_E_INVAL: not what its manifest promised;
 * CSL_E_STATE: late. */
enum csl_code csl_service_secagg_received__(struct csl_service *s, uint32_t site,
                                            struct csl_err *err) CSL_MUST_CHECK;
/* The upload is held, and its row durable: it may be in the sum. */
void csl_service_secagg_held__(struct csl_service *s, uint32_t site);
/* Too few updates, and nobody else sends one or the time is up. */
void csl_service_secagg_short__(struct csl_service *s);
/* The core closes the round: vote, open, and csl_service_aggregate__ follow by themselves. */
void csl_service_secagg_close__(struct csl_service *s);
/* The study is released or aborted, and that is durable. No audit is answered any more, and what is
 * on disk about the last attempt and the last audit is destroyed (csl_secagg_journal_erase); a
 * service that dies before is told of the end again when it starts. The results stay. */
void csl_service_secagg_end__(struct csl_service *s);
bool csl_service_secagg_pump__(struct csl_service *s); /* false: nothing to do now */
uint64_t csl_service_secagg_wakeup_ns__(const struct csl_service *s);

/* Of the sum that was opened last: mean update of [first, first + n) of a block, and whether any
 * site was in it; the mean training loss, 0 where losses are not told. */
void csl_service_secagg_mean__(const struct csl_service *s, uint32_t block, uint64_t first,
                               uint64_t n, float *out);
bool csl_service_secagg_has_block__(const struct csl_service *s, uint32_t block);
/* No mean of clipped updates of the block is longer; HUGE_VAL: they were not clipped. */
double csl_service_secagg_bound__(const struct csl_service *s, uint32_t block);
/* Of the sum that was opened, on the model that its round began with; none: they make no sense. */
void csl_service_secagg_votes__(const struct csl_service *s, uint64_t *worse, uint64_t *voters);
double csl_service_secagg_loss__(const struct csl_service *s);
/* Sites in the block of the model that has the fewest of them, of those in the sum. */
uint32_t csl_service_secagg_fewest__(const struct csl_service *s);

/* CSL_E_LIMIT: one message cannot hold the shares of so many sites, or a lane their sum. */
enum csl_code csl_service_secagg_check_size__(const struct csl_service *s,
                                              struct csl_err *err) CSL_MUST_CHECK;
/* Sites refuse a round whole if one of its blocks is summed over fewer sites than the study's
 * minimum, and without their votes the round would never end. CSL_E_STATE, naming the domain: so
 * few know it (before the round), or so few sent it (is_closing: of the updates held). */
enum csl_code csl_service_secagg_check_floors__(const struct csl_service *s, bool is_closing,
                                                struct csl_err *err) CSL_MUST_CHECK;

#endif
