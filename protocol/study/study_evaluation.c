#include "protocol/study/evaluation.h"

#include "aggregation/evaluate/group_sums.h"
#include "base/check.h"
#include "base/mem.h"

#include <string.h>

bool csl_study_sums_evaluations(const struct csl_study *s)
{
    return s->secagg.is_on && s->privacy.mode == CSL_PRIVACY_NONE && !s->census.is_on;
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

static uint32_t classes_of(const struct csl_domain *d)
{
    return d->task == CSL_TASK_BINARY ? 2 : d->classes;
}

void csl_study_group_plan(const struct csl_study *s, uint32_t domain, struct csl_group_plan *out)
{
    const struct csl_study_fairness *f = &s->fairness;
    _Static_assert(CSL_FAIRNESS_ATTRIBUTES_MAX <= CSL_SUM_ATTRIBUTES_MAX &&
                       CSL_FAIRNESS_VALUES_MAX <= CSL_SUM_GROUPS_MAX,
                   "a study's groups can be counted");
    *out = (struct csl_group_plan){.classes = classes_of(&s->domains[domain]),
                                   .attribute_count = f->attribute_count};
    memcpy(out->values, f->value_count, sizeof(f->value_count));
}

uint32_t csl_study_group_counts(const struct csl_study *s, uint32_t domain)
{
    struct csl_group_plan plan;
    bool has_groups = s->privacy.mode == CSL_PRIVACY_NONE && s->fairness.attribute_count > 0 &&
                      s->fairness.value_count[0] > 0;
    if (!has_groups || !csl_domain_is_counted(&s->domains[domain]))
        return 0;
    csl_study_group_plan(s, domain, &plan);
    return (uint32_t)csl_group_sums_count(&plan);
}

/* Of one site: at one site, or none. */
static enum csl_code check_counts(const struct csl_group_plan *plan, uint64_t *counts,
                                  uint64_t records, const uint64_t *confusion, struct csl_err *err)
{
    struct csl_sums all = {.counts = NULL};
    enum csl_code code = csl_sums_init(&all, plan->classes, 0, err);
    if (code == CSL_OK)
        code = csl_group_sums_total(plan, counts, &all, err);
    if (code == CSL_OK && csl_sums_sites(&all) > 1)
        code = CSL_FAIL(err, CSL_E_INVAL, "groups at more sites than one");
    if (code == CSL_OK && csl_sums_records(&all) != records)
        code = CSL_FAIL(err, CSL_E_INVAL, "groups of %llu records; %llu would be right",
                        (unsigned long long)csl_sums_records(&all), (unsigned long long)records);
    if (code == CSL_OK && confusion != NULL &&
        memcmp(csl_sums_confusion(&all), confusion, 4 * sizeof(*confusion)) != 0)
        code = CSL_FAIL(err, CSL_E_INVAL, "groups with other right and wrong answers than all");
    if (code == CSL_OK)
        code = csl_group_sums_check(plan, counts, &all, err);
    csl_sums_release(&all);
    return code;
}

enum csl_code csl_study_check_groups(const struct csl_study *s, uint32_t domain,
                                     const uint32_t *counts, uint32_t count, uint64_t records,
                                     const uint64_t *confusion, struct csl_err *err)
{
    uint32_t due = records > 0 ? csl_study_group_counts(s, domain) : 0;
    struct csl_group_plan plan;
    if (count != due)
        return CSL_FAIL(err, CSL_E_INVAL, "%u counts by patient group; %u would be right", count,
                        due);
    if (due == 0)
        return CSL_OK;
    uint64_t *wide = csl_alloc_array(count, sizeof(*wide));
    if (wide == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u counts", count);
    for (uint32_t i = 0; i < count; i++)
        wide[i] = counts[i];
    csl_study_group_plan(s, domain, &plan);
    enum csl_code code = check_counts(&plan, wide, records, confusion, err);
    csl_free(wide);
    return code;
}

uint64_t csl_study_evaluation_words(const struct csl_study *s, uint32_t domain)
{
    const struct csl_domain *d = &s->domains[domain];
    if (!csl_domain_is_counted(d))
        return 4;
    return csl_sums_count(classes_of(d), CSL_EVALUATION_BINS) + csl_study_group_counts(s, domain) +
           1;
}

uint32_t csl_study_scalars(const struct csl_study *s)
{
    return s->schema.block_count + 1 + (s->aggregation.vote.is_on ? 2 : 0);
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

_Static_assert(CSL_FAIRNESS_ATTRIBUTES_MAX *CSL_STATISTICS_VALUES_MAX == CSL_GROUP_WEIGHTS_MAX,
               "a task tells a weight of every value");

bool csl_study_weighs_published(const struct csl_study *s)
{
    return s->fairness.weights.is_on && s->privacy.mode == CSL_PRIVACY_JOINT;
}

const char *csl_study_group_value(const struct csl_study *s, uint32_t k, uint32_t i)
{
    if (i < s->fairness.value_count[k])
        return s->fairness.values[k][i];
    return i < s->statistics.value_count[k] ? s->statistics.values[k][i] : NULL;
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
