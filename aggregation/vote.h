/* aggregation/vote.h - do the sites find the model of a round worse than the last accepted one?
 * Each judges both on its own validation patients; what is counted is how many did, and how many of
 * them found it worse. The counts are enough, so that they may come from a sum under masks.
 *
 * A model stays on trial until it is voted on. It is rejected if at least `voters_min` sites voted
 * and more than the share `worse_max` of them found it worse. With fewer votes nothing is known,
 * and it is taken.
 *
 * It does not see what hurts no validation patient: a backdoor, a change that the tolerance covers,
 * however often it comes. One thread. */
#ifndef CSL_VOTE_H
#define CSL_VOTE_H
#include <stdbool.h>
#include <stdint.h>

struct csl_vote_config {
    double worse_max;      /* in [0, 1) */
    uint32_t voters_min;   /* from 1 */
    uint32_t rejected_max; /* from 1 */
};
struct csl_vote {
    struct csl_vote_config config;
    bool is_on_trial;           /* there is a model that nobody has voted on */
    uint32_t rejected_in_a_row; /* with no model between them that was voted for */
};
struct csl_vote_verdict {
    bool is_rejected;
    bool is_counted; /* false: nothing is on trial, or too few votes */
    uint64_t worse, voters;
};

/* What one site says: the mean losses per record of its validation patients under the accepted
 * model and under the one on trial; `tolerance` (>= 0) is the share of the former that the latter
 * may be larger by. A loss that is no number is worse than any. */
bool csl_vote_is_worse(double before, double after, double tolerance);
/* worse <= voters. Takes what the verdict says into the state. */
struct csl_vote_verdict csl_vote_judge(struct csl_vote *v, uint64_t worse, uint64_t voters);
/* So many models in a row were rejected that no more should follow. */
bool csl_vote_is_shut(const struct csl_vote *v);

#endif
