/* protocol/study/study_rounds_internal.h - the keys of section 'aggregation' that have a file of
 * their own: what becomes of a round's sum. For the readers of parts, as study_internal.h. */
#ifndef CSL_STUDY_ROUNDS_INTERNAL_H
#define CSL_STUDY_ROUNDS_INTERNAL_H
#include "protocol/study/study_internal.h"

/* study_strategy.c: strategies that see single updates; nothing to say of the others. */
bool csl_study__sees_updates(const char *strategy);
/* Of each block and round, for what the strategy promises; with fewer the block stays as it is. */
uint64_t csl_study__updates_needed(const struct csl_aggregation *a);
enum csl_code csl_study__check_strategy_keys(const struct csl_study_reader *r,
                                             const struct csl_yaml_node *section,
                                             const char *strategy);
enum csl_code csl_study__check_strategy_weights(const struct csl_study_reader *r,
                                                const struct csl_yaml_node *section);
enum csl_code csl_study__check_strategy(const struct csl_study_reader *r,
                                        const struct csl_yaml_node *root);
/* study_averaging.c: the key `averaging` of `parent`, absent or not; once all is read, that there
 * are rounds to average. */
enum csl_code csl_study__read_averaging(const struct csl_study_reader *r,
                                        const struct csl_yaml_node *parent,
                                        const struct csl_yaml_node *section);
enum csl_code csl_study__check_averaging(const struct csl_study_reader *r,
                                         const struct csl_yaml_node *root);
void csl_study__explain_averaging(const struct csl_study *s, struct csl_buf *out);
/* study_gate.c: the key `gate` of `parent`, absent or not; and what forbids it in the rest of the
 * study (called once all is read). */
enum csl_code csl_study__read_gate(const struct csl_study_reader *r,
                                   const struct csl_yaml_node *parent,
                                   const struct csl_yaml_node *section);
enum csl_code csl_study__check_gate(const struct csl_study_reader *r,
                                    const struct csl_yaml_node *root);
void csl_study__explain_gate(const struct csl_study *s, struct csl_buf *out);
/* study_vote.c: likewise */
enum csl_code csl_study__read_vote(const struct csl_study_reader *r,
                                   const struct csl_yaml_node *parent,
                                   const struct csl_yaml_node *section);
enum csl_code csl_study__check_vote(const struct csl_study_reader *r,
                                    const struct csl_yaml_node *root);
void csl_study__explain_vote(const struct csl_study *s, struct csl_buf *out);
/* study_buffer.c: the key `buffer`, likewise. */
enum csl_code csl_study__read_buffer(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *parent,
                                     const struct csl_yaml_node *section);
enum csl_code csl_study__check_buffer(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *root);
void csl_study__explain_buffer(const struct csl_study *s, struct csl_buf *out);

#endif
