#include "protocol/study/evaluation.h"

#include "aggregation/evaluate/sums.h"
#include "base/check.h"

bool csl_study_sums_evaluations(const struct csl_study *s)
{
    return s->secagg.is_on && s->privacy.mode == CSL_PRIVACY_NONE;
}

bool csl_study_is_evaluated_in(const struct csl_study *s, uint64_t round)
{
    uint64_t model = round - 1;
    if (!csl_study_sums_evaluations(s) || round < 2 || model > s->rounds)
        return false;
    /* An average of rounds is judged when it is what a round begins with: after the last. */
    bool is_averaged = s->aggregation.averaging.kind != CSL_AVERAGING_NONE;
    return model == s->rounds ||
           (!is_averaged && s->evaluate_every > 0 && model % s->evaluate_every == 0);
}

bool csl_study_only_evaluates_in(const struct csl_study *s, uint64_t round)
{
    return csl_study_sums_evaluations(s) && round > s->rounds;
}

uint32_t csl_study_block_ids(const struct csl_study *s)
{
    return s->schema.block_count + (csl_study_sums_evaluations(s) ? s->domain_count : 0);
}

uint32_t csl_study_evaluation_block(const struct csl_study *s, uint32_t domain)
{
    CSL_ASSERT(domain < s->domain_count);
    return s->schema.block_count + domain;
}

uint64_t csl_study_evaluation_words(const struct csl_study *s, uint32_t domain)
{
    const struct csl_domain *d = &s->domains[domain];
    if (!csl_domain_is_counted(d))
        return 4;
    uint32_t classes = d->task == CSL_TASK_BINARY ? 2 : d->classes;
    return csl_sums_count(classes, CSL_EVALUATION_BINS) + 1;
}

uint32_t csl_study_scalars(const struct csl_study *s)
{
    return s->schema.block_count + 1 + (s->aggregation.vote.is_on ? 2 : 0);
}

uint64_t csl_study_words_max(const struct csl_study *s)
{
    uint64_t words = s->schema.parameters;
    for (uint32_t d = 0; csl_study_sums_evaluations(s) && d < s->domain_count; d++)
        words += csl_study_evaluation_words(s, d);
    return words;
}
