/* site-agent/training/private_release.h - one noisy sum of DP-SGD, whatever the model: who is drawn
 * for a step, the canaries of a rehearsal, the noise, and the count of what was released. Between
 * draw and finish the caller adds the clipped contributions of the drawn patients to `sum`. */
#ifndef CSL_TRAINING_PRIVATE_RELEASE_H
#define CSL_TRAINING_PRIVATE_RELEASE_H
#include "site-agent/training/train.h"

struct csl_release {
    const struct csl_private_domain *plan;
    struct csl_private_run *run;
    struct csl_canaries *canaries; /* of the plan's first domain; NULL: none here */
    size_t count;                  /* parameters */
    float *gradient;               /* [count] room for a canary's; borrowed */
    uint32_t *chosen;              /* [patients] drawn in this step, ascending */
    size_t drawn;                  /* of `chosen` */
    int64_t *sum;                  /* [count] grid units */
    /* with canaries: */
    uint32_t *drawn_canaries; /* [canaries] */
    int64_t *real;            /* [count] the sum before them */
    double *scored;           /* [count] */
};

/* Plan and run are borrowed, and `gradient`: [count]. Close also after a failure. */
enum csl_code csl_release__open(struct csl_release *r, const struct csl_private_domain *plan,
                                struct csl_private_run *run, size_t count, float *gradient,
                                struct csl_err *err) CSL_MUST_CHECK;
void csl_release__close(struct csl_release *r);
/* The patients of the next step, each with the plan's rate; the sum begins at zero. */
enum csl_code csl_release__draw(struct csl_release *r, struct csl_err *err) CSL_MUST_CHECK;
/* Discrete noise onto `sum`: [count], which may be another's than the release's own. */
enum csl_code csl_release__add_noise(const struct csl_release *r, int64_t *sum,
                                     struct csl_err *err) CSL_MUST_CHECK;
/* Canaries, then noise if the caller has not added it already; the sum counts as released. */
enum csl_code csl_release__finish(struct csl_release *r, bool has_noise,
                                  struct csl_err *err) CSL_MUST_CHECK;

#endif
