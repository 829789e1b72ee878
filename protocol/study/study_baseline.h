/* protocol/study/study_baseline.h - training of one site, or of all records in one place, that a
 * simulation does beside the study's own. Part of study.h. */
#ifndef CSL_STUDY_BASELINE_H
#define CSL_STUDY_BASELINE_H
#include "protocol/study/study_schedule.h"

#include <stdbool.h>
#include <stdint.h>

enum csl_optimizer_kind {
    CSL_OPT_KIND_SGD,
    CSL_OPT_KIND_MOMENTUM,
    CSL_OPT_KIND_ADAM,
    CSL_OPT_KIND_ADAMW /* Adam whose weight decay acts on the weights, not on the gradient
                          (Loshchilov and Hutter 2019) */
};
struct csl_baseline { /* pooled and local-only training, for comparison; simulations only */
    bool enabled;
    enum csl_optimizer_kind optimizer;
    double learning_rate, l2, weight_decay;
    struct csl_schedule schedule; /* over all steps of all epochs */
    uint32_t batch_patients;      /* 0: full */
    uint32_t epochs;
};

/* What each site makes of the released model for itself: from its parameters, on the site's own
 * training patients. Simulations only. */
enum csl_personal_method {
    CSL_PERSONAL_WHOLE, /* every parameter */
    CSL_PERSONAL_HEAD,  /* the last layer of each domain; the rest stays as released */
    CSL_PERSONAL_DITTO, /* every parameter, with lambda / 2 * ||v - w||^2 added to the loss, w as
                           released (Li et al. 2021, arXiv 2012.04221, equation Ditto) */
    CSL_PERSONAL_COUNT
};
struct csl_study_personal {
    bool is_on; /* the rest is 0 without */
    bool methods[CSL_PERSONAL_COUNT];
    double lambda; /* ditto; else 0 */
    struct csl_baseline training;
};

const char *csl_personal_name(enum csl_personal_method m); /* "whole", "head", "ditto" */

#endif
