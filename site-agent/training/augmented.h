/* site-agent/training/augmented.h - training inputs on their way to the device, changed as the
 * study says (data/augment.h). Of a study that changes nothing nothing is held. */
#ifndef CSL_TRAINING_AUGMENTED_H
#define CSL_TRAINING_AUGMENTED_H
#include "site-agent/data/augment.h"
#include "site-agent/training/model.h"

struct csl_augmented {
    const struct csl_domain *domain; /* or input; borrowed */
    float *room;                     /* rows of the domain's width; NULL: it changes nothing */
};
/* CSL_E_NOMEM. */
enum csl_code csl_augmented_open(struct csl_augmented *a, const struct csl_domain *d,
                                 struct csl_err *err) CSL_MUST_CHECK;
void csl_augmented_close(struct csl_augmented *a); /* also of a zero one */
static inline bool csl_augmented_is_on(const struct csl_augmented *a)
{
    return a->room != NULL;
}
/* Records rows[0..count) of x [.., width] to dst, from float `first` on. step: seed, site and round
 * of what they are changed by; patient: [..] of the records. Only where it is on. */
void csl_augmented_put(const struct csl_augmented *a, const struct csl_compute_ops *ops,
                       struct csl_dev *dev, struct csl_view dst, const float *x,
                       const uint32_t *patient, const uint32_t *rows, uint64_t count,
                       const struct csl_augment_label *step);

#endif
