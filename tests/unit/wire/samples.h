/* tests/unit/wire/samples.h - one valid message of each kind, and comparison field by field. */
#ifndef CSL_TESTS_WIRE_SAMPLES_H
#define CSL_TESTS_WIRE_SAMPLES_H
#include "protocol/wire/messages.h"

/* Values drawn from *random (SplitMix64), all valid; release with csl_message_release. */
void sample_message(struct csl_message *m, enum csl_message_kind kind, uint64_t *random);
/* The largest message of a kind that has one: STUDY_OFFER, STUDY_ANSWER, UPDATE_READY, EVALUATION.
 */
void sample_largest(struct csl_message *m, enum csl_message_kind kind);
enum csl_direction sample_direction(enum csl_message_kind kind);
uint64_t sample_random(uint64_t *random);
/* NULL: equal; otherwise the name of the first field that differs. */
const char *sample_difference(const struct csl_message *a, const struct csl_message *b);

#endif
