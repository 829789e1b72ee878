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
/* Ids of blocks: those of the model, then the domains' evaluations and the domains' statistics if
 * there are any. */
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
/* Words of the scalars that a site sends under masks: the weight of every block, the loss, and with
 * a vote whether it voted, and whether it found the model worse that the round begins with. */
uint32_t csl_study_scalars(const struct csl_study *s);
/* Of all blocks a round can have, without scalars: an upper bound. */
uint64_t csl_study_words_max(const struct csl_study *s);

/* Statistics (study_statistics.h): one more block for each domain in round 1 and after every
 * `every` rounds, over the training patients of sites that train the domain.
 *
 * Words, 64 bits each, two's complement, in units of 1 / CSL_PUBLICATION_ONE patient
 * (aggregation/weights/publication.h): patients; their skill under the model that the round begins
 * with; the same two for each value of each published attribute, in the study's order; then, of a
 * counted domain, patients of each class by the share of their records. A patient is in the skills
 * or in the classes, never in both: while the task says no loss of the prior the skills are 0, and
 * else the classes. With noise every word carries it, the zeros too. So one patient moves a
 * domain's words by at most sqrt(2 (A + 1)) (L2, in patients), A = csl_study_published_attributes.
 * SOURCE: docs/decisions/0014-published-statistics.md. */
uint32_t csl_study_publications(const struct csl_study *s);                 /* in all; 0: none */
uint32_t csl_study_published_in(const struct csl_study *s, uint64_t round); /* from 1; 0: none */
uint64_t csl_study_publication_round(const struct csl_study *s, uint64_t publication);
uint32_t csl_study_published_attributes(const struct csl_study *s);
uint32_t csl_study_published_groups(const struct csl_study *s); /* values of all of them */
/* fairness.weights of a study in mode joint: by the published statistics of each group, which are
 * noised and charged, and not by what a site knows of its own patients. */
bool csl_study_weighs_published(const struct csl_study *s);
/* Value i of those that the study lists for attribute k of section fairness, for evaluations
 * (`fairness.groups`), statistics (`statistics.groups`) or both, which then list the same; NULL
 * behind the last. */
const char *csl_study_group_value(const struct csl_study *s, uint32_t k, uint32_t i);
uint32_t csl_study_published_classes(const struct csl_study *s, uint32_t domain);
/* Under which the site's ledger has them: a plan of its own beside that of the updates. */
void csl_study_statistics_digest(const struct csl_study *s, uint8_t out[CSL_DIGEST_BYTES]);
uint32_t csl_study_statistics_block(const struct csl_study *s, uint32_t domain);
uint64_t csl_study_statistics_words(const struct csl_study *s, uint32_t domain);

/* Of a block behind those of the model, either kind: id >= schema.block_count. */
bool csl_study_is_statistic(const struct csl_study *s, uint32_t id);
uint32_t csl_study_counted_domain(const struct csl_study *s, uint32_t id);
uint64_t csl_study_counted_words(const struct csl_study *s, uint32_t id);
bool csl_study_is_counted_in(const struct csl_study *s, uint32_t id, uint64_t round);

#endif
