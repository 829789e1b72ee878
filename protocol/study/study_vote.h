/* protocol/study/study_vote.h - what the sites' votes on a model have to say before it is the base
 * of more rounds; part of the digest. The rule itself: aggregation/vote.h. */
#ifndef CSL_STUDY_VOTE_H
#define CSL_STUDY_VOTE_H
#include <stdbool.h>
#include <stdint.h>

struct csl_study_vote {
    bool is_on;             /* the rest is 0 without */
    double worse_max;       /* in [0, 1): of the votes, beyond which the model is not kept */
    double tolerance;       /* of a site's loss, by which it may grow */
    uint32_t minimum_sites; /* with fewer votes there is no verdict */
    uint32_t rejected_max;  /* so many rejected models in a row abort the study */
};

#endif
