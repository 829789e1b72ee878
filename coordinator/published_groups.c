/* Weights of patient groups from published statistics. */
#include "aggregation/weights/groups.h"
#include "coordinator/published.h"
#include "protocol/study/evaluation.h"

#include <math.h>
#include <string.h>

/* Of one attribute, whose first cell is `first`. */
static enum csl_code weigh(const struct csl_study *study, const struct csl_published *newest,
                           uint32_t first, uint32_t values, double *log_weights,
                           struct csl_err *err)
{
    struct csl_stratum strata[CSL_STATISTICS_VALUES_MAX];
    double weight[CSL_STATISTICS_VALUES_MAX];
    uint32_t value_of[CSL_STATISTICS_VALUES_MAX], count = 0;
    struct csl_group_rule rule;
    for (uint32_t v = 0; v < values; v++) {
        struct csl_stratum sum = {.level = {(uint8_t)(v + 1)}};
        for (uint32_t d = 0; d < study->domain_count; d++) {
            const struct csl_domain_statistic *c = &newest[d].cells[first + v];
            if (newest[d].round == 0 || !newest[d].has_skill || c->is_absent)
                continue;
            sum.patients += c->patients;
            sum.skill_sum += c->skill_sum;
        }
        if (!(sum.patients > 0))
            continue;
        strata[count] = sum;
        value_of[count++] = v;
    }
    if (count < 2)
        return CSL_OK;
    csl_group_rule_default(&rule);
    rule.alpha = study->fairness.weights.alpha;
    rule.beta = study->fairness.weights.beta;
    rule.cap = study->fairness.weights.cap;
    rule.patients_min = study->fairness.minimum_group;
    enum csl_code code = csl_group_weights(&rule, 1, strata, count, weight, NULL, err);
    for (uint32_t i = 0; code == CSL_OK && i < count; i++)
        log_weights[value_of[i]] = log(weight[i]);
    return code;
}

enum csl_code csl_published_weigh_groups(const struct csl_study *study,
                                         const struct csl_published *newest, double *log_weights,
                                         struct csl_err *err)
{
    uint32_t at = 0;
    enum csl_code code = CSL_OK;
    memset(log_weights, 0, csl_study_published_groups(study) * sizeof(*log_weights));
    for (uint32_t k = 0; code == CSL_OK && k < study->fairness.attribute_count; k++) {
        uint32_t values = study->statistics.value_count[k];
        code = weigh(study, newest, 1 + at, values, log_weights + at, err);
        at += values;
    }
    return code;
}
