/* protocol/study/study_augment.h - small random changes of training inputs that a study asks for;
 * what each means is in site-agent/data/augment.h. */
#ifndef CSL_STUDY_AUGMENT_H
#define CSL_STUDY_AUGMENT_H
#include <stdbool.h>
#include <stdint.h>

struct csl_study_augment {
    bool is_on;          /* the rest is 0 without */
    uint32_t shift;      /* pixels in each direction, or samples */
    bool may_mirror;     /* image2d */
    double brightness;   /* image2d; scaled units */
    double gain;         /* signal; [0, 1) */
    double noise;        /* signal; scaled units */
    double lead_dropout; /* signal; [0, 1) */
    double dropout;      /* tabular, ehr_series, embedding; [0, 1) */
};

#endif
