/* coordinator/core/choice.h - what a study says of the words under masks, as privacy/secagg takes
 * it. */
#ifndef CSL_COORD_CORE_CHOICE_H
#define CSL_COORD_CORE_CHOICE_H
#include "privacy/secagg/block_plan.h"
#include "protocol/study/evaluation.h"
#include "protocol/study/study.h"

static inline struct csl_secagg_choice csl_coord_choice(const struct csl_study *s)
{
    return (struct csl_secagg_choice){.lane_bits = s->secagg.lane_bits,
                                      .clip = s->secagg.clip_norm,
                                      .is_rotated = s->secagg.is_rotated};
}

#endif
