/* protocol/study/study_buffer.h - when a study's asynchronous rounds close; part of the digest.
 * Nguyen et al., AISTATS 2022, arXiv 2106.06639, Algorithm 1. */
#ifndef CSL_STUDY_BUFFER_H
#define CSL_STUDY_BUFFER_H
#include <stdint.h>

struct csl_study_buffer {   /* 0: the study's rounds are not asynchronous */
    uint32_t updates;       /* a round closes when so many are held */
    uint32_t staleness_max; /* rounds that an update's model may be behind the newest */
};

#endif
