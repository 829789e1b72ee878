#include "aggregation/vote.h"

#include "base/check.h"

#include <math.h>

bool csl_vote_is_worse(double before, double after, double tolerance)
{
    CSL_ASSERT(tolerance >= 0);
    if (!isfinite(before) || !isfinite(after))
        return isfinite(before);
    return after > before + tolerance * fabs(before);
}

struct csl_vote_verdict csl_vote_judge(struct csl_vote *v, uint64_t worse, uint64_t voters)
{
    CSL_ASSERT(worse <= voters);
    struct csl_vote_verdict out = {.worse = worse, .voters = voters};
    out.is_counted = v->is_on_trial && voters >= v->config.voters_min;
    out.is_rejected = out.is_counted && (double)worse > v->config.worse_max * (double)voters;
    v->is_on_trial = false;
    if (out.is_rejected)
        v->rejected_in_a_row++;
    else if (out.is_counted)
        v->rejected_in_a_row = 0;
    return out;
}

bool csl_vote_is_shut(const struct csl_vote *v)
{
    return v->rejected_in_a_row >= v->config.rejected_max;
}
