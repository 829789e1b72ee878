/* protocol/study/evaluation.h - evaluations under masks: in a study with secure aggregation and
 * without privacy the sites' counts of test patients are summed as one more block for each domain,
 * beside the update of the round that begins with the model that is judged. The model of the last
 * round is judged in one further round that trains nothing.
 *
 * Words of the block of a domain, 64 bits each (privacy/secagg/scalar.h): the vector of counts of
 * aggregation/evaluate/sums.h with CSL_EVALUATION_BINS bins, for survival and several labels the
 * three words sites (1), patients and records; then the counts by patient group, where the study
 * lists groups; then the loss summed over records. Its id is the domain's place plus the number of
 * model blocks.
 *
 * Counts by patient group (aggregation/evaluate/group_sums.h) are of the study's attributes and
 * their listed values, in its order. An evaluation without masks has the same vector. Any thread.
 * SOURCE: docs/decisions/0011-evaluations-under-masks.md. */
#ifndef CSL_STUDY_EVALUATION_H
#define CSL_STUDY_EVALUATION_H
#include "base/limits.h"
#include "protocol/study/study.h"

#define CSL_EVALUATION_BINS CSL_SCORE_BINS

struct csl_group_plan;
struct csl_err;

bool csl_study_sums_evaluations(const struct csl_study *s);
/* The task of the round (from 1) judges the model that it begins with. */
bool csl_study_is_evaluated_in(const struct csl_study *s, uint64_t round);
/* The round after the last that trains. */
bool csl_study_only_evaluates_in(const struct csl_study *s, uint64_t round);
/* Ids of blocks: those of the model, then the domains' evaluations if there are any. */
uint32_t csl_study_block_ids(const struct csl_study *s);
uint32_t csl_study_evaluation_block(const struct csl_study *s, uint32_t domain);
uint64_t csl_study_evaluation_words(const struct csl_study *s, uint32_t domain);
/* Counts by patient group of a domain; 0: none leaves a site. At most CSL_GROUP_COUNTS_MAX. */
uint32_t csl_study_group_counts(const struct csl_study *s, uint32_t domain);
/* Of a domain that has such counts. */
void csl_study_group_plan(const struct csl_study *s, uint32_t domain, struct csl_group_plan *out);
/* CSL_E_INVAL: these cannot be what one site counted of so many records of the domain, or are not
 * as many as the study says (none without records). confusion: [2, 2] of a binary domain, by label
 * and decision, or NULL. */
enum csl_code csl_study_check_groups(const struct csl_study *s, uint32_t domain,
                                     const uint32_t *counts, uint32_t count, uint64_t records,
                                     const uint64_t *confusion, struct csl_err *err) CSL_MUST_CHECK;
/* Of all blocks a round can have, without scalars: an upper bound. */
uint64_t csl_study_words_max(const struct csl_study *s);

#endif
