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

static uint32_t first_statistic(const struct csl_study *s)
{
    return s->schema.block_count + (csl_study_sums_evaluations(s) ? s->domain_count : 0);
}

uint32_t csl_study_block_ids(const struct csl_study *s)
{
    return first_statistic(s) + (s->statistics.is_on ? s->domain_count : 0);
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

uint64_t csl_study_words_max(const struct csl_study *s)
{
    uint64_t words = s->schema.parameters;
    for (uint32_t id = s->schema.block_count; id < csl_study_block_ids(s); id++)
        words += csl_study_counted_words(s, id);
    return words;
}

/* --- statistics --- */

uint32_t csl_study_publications(const struct csl_study *s)
{
    return s->statistics.is_on ? (s->rounds - 1) / s->statistics.every + 1 : 0;
}

uint32_t csl_study_published_in(const struct csl_study *s, uint64_t round)
{
    bool is_due = s->statistics.is_on && round > 0 && round <= s->rounds &&
                  (round - 1) % s->statistics.every == 0;
    return is_due ? (uint32_t)((round - 1) / s->statistics.every) + 1 : 0;
}

uint64_t csl_study_publication_round(const struct csl_study *s, uint64_t publication)
{
    CSL_ASSERT(s->statistics.is_on && publication > 0);
    return (publication - 1) * s->statistics.every + 1;
}

uint32_t csl_study_published_attributes(const struct csl_study *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < CSL_FAIRNESS_ATTRIBUTES_MAX; i++)
        n += s->statistics.value_count[i] > 0;
    return n;
}

uint32_t csl_study_published_groups(const struct csl_study *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < CSL_FAIRNESS_ATTRIBUTES_MAX; i++)
        n += s->statistics.value_count[i];
    return n;
}

uint32_t csl_study_published_classes(const struct csl_study *s, uint32_t domain)
{
    return csl_domain_is_counted(&s->domains[domain]) ? s->domains[domain].classes : 0;
}

void csl_study_statistics_digest(const struct csl_study *s, uint8_t out[CSL_DIGEST_BYTES])
{
    static const char label[] = "consilium statistics";
    struct csl_hash h;
    csl_hash_init(&h);
    csl_hash_update(&h, label, sizeof(label));
    csl_hash_update(&h, s->digest, CSL_DIGEST_BYTES);
    csl_hash_final(&h, out);
}

uint32_t csl_study_statistics_block(const struct csl_study *s, uint32_t domain)
{
    CSL_ASSERT(s->statistics.is_on && domain < s->domain_count);
    return first_statistic(s) + domain;
}

uint64_t csl_study_statistics_words(const struct csl_study *s, uint32_t domain)
{
    return 2 * ((uint64_t)csl_study_published_groups(s) + 1) +
           csl_study_published_classes(s, domain);
}

/* --- either --- */

bool csl_study_is_statistic(const struct csl_study *s, uint32_t id)
{
    return s->statistics.is_on && id >= first_statistic(s);
}

uint32_t csl_study_counted_domain(const struct csl_study *s, uint32_t id)
{
    CSL_ASSERT(id >= s->schema.block_count && id < csl_study_block_ids(s));
    return id - (csl_study_is_statistic(s, id) ? first_statistic(s) : s->schema.block_count);
}

uint64_t csl_study_counted_words(const struct csl_study *s, uint32_t id)
{
    uint32_t domain = csl_study_counted_domain(s, id);
    return csl_study_is_statistic(s, id) ? csl_study_statistics_words(s, domain)
                                         : csl_study_evaluation_words(s, domain);
}

bool csl_study_is_counted_in(const struct csl_study *s, uint32_t id, uint64_t round)
{
    CSL_ASSERT(id >= s->schema.block_count && id < csl_study_block_ids(s));
    return csl_study_is_statistic(s, id) ? csl_study_published_in(s, round) > 0
                                         : csl_study_is_evaluated_in(s, round);
}
