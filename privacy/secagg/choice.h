/* privacy/secagg/choice.h - what a study says of the words under masks, as block_plan.h takes it:
 * one reading for sites and coordinator, which plan the same words or have no round. */
#ifndef CSL_SECAGG_CHOICE_H
#define CSL_SECAGG_CHOICE_H
#include "privacy/secagg/block_plan.h"
#include "protocol/study/study.h"

static inline struct csl_secagg_choice csl_secagg_choice_of(const struct csl_study *s)
{
    return (struct csl_secagg_choice){.lane_bits = s->secagg.lane_bits,
                                      .clip = s->secagg.clip_norm,
                                      .is_rotated = s->secagg.is_rotated};
}

#endif
