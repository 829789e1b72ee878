/* site-agent/training/optimiser.h - from the numbers of a study to one optimiser step after
 * another. */
#ifndef CSL_OPTIMISER_H
#define CSL_OPTIMISER_H
#include "protocol/study/study.h"
#include "site-agent/training/compute/compute.h"

/* As torch.optim: momentum without damping or Nesterov; Adam with bias correction and epsilon added
 * to the square root, with decay AdamW. The rate of a step may be set in `update` before it
 * (schedule.h). */
struct csl_optimiser {
    struct csl_update update; /* its views are filled by the owner, who zeroes the moments */
    double power1, power2;    /* beta^t */
};
struct csl_optimiser_config {
    enum csl_optimizer_kind kind;
    double learning_rate, momentum, beta1, beta2, epsilon, l2, decay;
};
void csl_optimiser_init(struct csl_optimiser *o, const struct csl_optimiser_config *c);
void csl_optimiser_step(struct csl_optimiser *o, const struct csl_compute_ops *ops,
                        struct csl_dev *dev);
/* How many moment vectors the kind keeps: 0, 1 or 2. */
uint32_t csl_optimiser_moments(enum csl_optimizer_kind kind);

#endif
