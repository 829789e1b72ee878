/* coordinator/service_vote.h - votes on a model (service_vote.c). Core thread. Nothing to do in a
 * study without a vote. begin_trial: of the round that is closed, before its sum is applied, if it
 * is. base_stands: the sites' votes under masks on the model that the round began with; false: the
 * model was taken back. judge_last: of the last model, durably, before its sum is recorded. judge:
 * what JUDGE asks for, with its answer. */
#ifndef CSL_COORD_SERVICE_VOTE_H
#define CSL_COORD_SERVICE_VOTE_H
#include "coordinator/service_internal.h"

enum csl_code csl_service_new_vote__(struct csl_service *s, struct csl_err *err) CSL_MUST_CHECK;
void csl_service_begin_trial__(struct csl_service *s, bool is_applied);
bool csl_service_base_stands__(struct csl_service *s, uint64_t round);
enum csl_code csl_service_judge_last__(struct csl_service *s, struct csl_err *err) CSL_MUST_CHECK;
void csl_service_judge__(struct csl_service *s, uint64_t round);
/* At a start: the model is on trial, and this is the one before it; or the model of the round was
 * taken back, so that the one before it holds. */
void csl_service_keep_accepted__(struct csl_service *s);
bool csl_service_is_on_trial__(const struct csl_service *s);
bool csl_service_was_taken_back__(const struct csl_service *s, uint64_t round);

#endif
