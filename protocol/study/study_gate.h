/* protocol/study/study_gate.h - what a round's sum has to pass before it changes the model; part of
 * the digest. The rule itself: aggregation/gate.h. */
#ifndef CSL_STUDY_GATE_H
#define CSL_STUDY_GATE_H
#include <stdbool.h>
#include <stdint.h>

struct csl_study_gate {
    bool is_on;            /* the rest is 0 without */
    double factor;         /* > 1: of the median norm, beyond which a round is not applied */
    uint32_t window;       /* accepted rounds of the median */
    uint32_t rejected_max; /* so many rejected rounds in a row abort the study */
};

#endif
