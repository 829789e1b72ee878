#include "site-agent/training/statistics.h"

#include "aggregation/weights/publication.h"
#include "base/mem.h"
#include "protocol/study/evaluation.h"

#include <string.h>

/* Adds a patient, and its part of the skill, to the totals and to its groups. */
static void add_patient(const struct csl_study *s, const struct csl_examples *e, uint32_t patient,
                        uint64_t skill, uint64_t *words)
{
    const struct csl_study_statistics *t = &s->statistics;
    uint32_t attributes = s->fairness.attribute_count;
    uint64_t *at = words + 2;
    words[0] += CSL_PUBLICATION_ONE;
    words[1] += skill;
    for (uint32_t k = 0; k < attributes; at += (size_t)2 * t->value_count[k++]) {
        uint32_t group = e->group != NULL ? e->group[(size_t)patient * attributes + k] : 0;
        if (group == 0 || t->value_count[k] == 0)
            continue;
        at[(size_t)2 * (group - 1)] += CSL_PUBLICATION_ONE;
        at[(size_t)2 * (group - 1) + 1] += skill;
    }
}

/* Of each patient at most CSL_PUBLICATION_ONE over all classes: its share of each rounded down. */
static enum csl_code add_classes(const struct csl_examples *e, uint32_t classes, uint64_t *words,
                                 struct csl_err *err)
{
    uint32_t *records = csl_alloc_array((size_t)e->patients * (classes + 1), sizeof(*records));
    if (records == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to count %u patients", e->patients);
    for (uint32_t r = 0; r < e->records; r++) {
        uint32_t *of = records + (size_t)e->patient[r] * (classes + 1);
        of[classes]++;
        if (e->label[r] < classes)
            of[e->label[r]]++;
    }
    for (uint32_t p = 0; p < e->patients; p++) {
        const uint32_t *of = records + (size_t)p * (classes + 1);
        for (uint32_t k = 0; k < classes && of[classes] > 0; k++)
            words[k] += (uint64_t)of[k] * CSL_PUBLICATION_ONE / of[classes];
    }
    csl_free(records);
    return CSL_OK;
}

enum csl_code csl_statistics_count(const struct csl_study *study, uint32_t domain,
                                   const struct csl_examples *e, const double *losses,
                                   double prior_loss, uint64_t *words, struct csl_err *err)
{
    size_t count = (size_t)csl_study_statistics_words(study, domain);
    uint32_t classes = csl_study_published_classes(study, domain);
    memset(words, 0, count * sizeof(*words));
    for (uint32_t p = 0; p < e->patients; p++) {
        int64_t skill = losses != NULL ? csl_publication_skill(losses[p], prior_loss) : 0;
        add_patient(study, e, p, (uint64_t)skill, words);
    }
    if (losses != NULL || classes == 0)
        return CSL_OK;
    return add_classes(e, classes, words + count - classes, err);
}
