/* protocol/study/study_aggregation.h - section 'aggregation' of a study, as study.h has it. */
#ifndef CSL_STUDY_AGGREGATION_H
#define CSL_STUDY_AGGREGATION_H
#include "aggregation/tensor/averaging.h"
#include "base/limits.h"
#include "protocol/study/study_buffer.h"
#include "protocol/study/study_gate.h"
#include "protocol/study/study_vote.h"

#include <stdint.h>

enum csl_weights_kind { CSL_WEIGHTS_SAMPLES, CSL_WEIGHTS_EQUAL, CSL_WEIGHTS_GIVEN };

struct csl_given_weight {
    char site[CSL_ID_MAX];
    double weight; /* > 0 */
};

struct csl_aggregation {
    char strategy[CSL_ID_MAX]; /* name in aggregation/strategy/table.c */
    double server_learning_rate, momentum, beta1, beta2, tau;
    /* Of strategies that see single updates (aggregation/strategy/strategy.h); 0 with the others */
    double fairness_q, tilt, trim, mixture_rate;
    uint32_t byzantine, keep;
    enum csl_weights_kind weights;
    struct csl_given_weight *given; /* [given_count], owned by the study */
    uint32_t given_count;
    struct csl_averaging averaging; /* of what is evaluated and released */
    struct csl_study_gate gate;
    struct csl_study_vote vote;
    struct csl_study_buffer buffer; /* strategy fedbuff; 0 with the others */
};

#endif
