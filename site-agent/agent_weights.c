/* Weights of domains (fairness.domain_weights): what a site checks of a table before it trains. In
 * a plain sum the coordinator multiplies, so that this finds a table that breaks what the study
 * says, and not a coordinator that announces one table and uses another. Under masks the site
 * multiplies itself, and M0 binds the table (csl_task_factors). */
#include "site-agent/agent_secagg.h"

#include "aggregation/weights/check.h"
#include "protocol/study/evaluation.h"
#include "site-agent/training/fused.h"
#include "site-agent/training/group_shares.h"

#include <math.h>
#include <string.h>

/* Where the study has no bound: no honest weight gets there (e^64), and the sum of products with
 * numbers of patients is finite. */
#define CAP_NONE 6.235149080811617e27
#define MASS_ONE 1024 /* a mass under masks is a whole number of these parts of a patient */

static bool is_of_study(const struct csl_study *s, const struct csl_msg_task *t)
{
    const struct csl_study_domain_weights *w = &s->fairness.domains;
    bool is_due = w->every > 0 ? t->weights_round % w->every == 0 : t->weights_round == 0;
    if (s->secagg.is_on) /* of the round in which statistics were published; 0: none were yet */
        is_due = t->weights_round == 0 || csl_study_published_in(s, t->weights_round) > 0;
    return t->weight_count == s->domain_count && t->weights_round < t->round && is_due;
}

/* The weights before, where they are known: they were shown to this process, or all were 1. */
static void fill_before(const struct csl_agent *a, const struct csl_msg_task *t,
                        struct csl_weights_line *lines)
{
    const struct csl_study_domain_weights *w = &a->study->fairness.domains;
    bool is_same = a->seen_weights.count > 0 && a->seen_weights.round == t->weights_round;
    bool is_next =
        a->seen_weights.count > 0 && a->seen_weights.round + w->every == t->weights_round;
    bool is_first = !is_same && t->weights_round <= (a->study->secagg.is_on ? 1 : w->every);
    for (uint32_t d = 0; d < t->weight_count; d++) {
        lines[d].log_lambda = t->weights[d].log_weight;
        lines[d].patients = t->weights[d].patients;
        lines[d].is_domain_new = is_first;
        lines[d].log_lambda_before =
            is_same || is_next ? a->seen_weights.log_weight[d] : lines[d].log_lambda;
    }
}

/* Not under masks: a published number is of the sum that was opened, and a site does not know
 * whether it was in that. */
static enum csl_code check_own(const struct csl_agent *a, const struct csl_msg_task *t,
                               struct csl_err *err)
{
    uint32_t most = a->study->fairness.domains.largest_site;
    for (uint32_t d = 0; d < t->weight_count; d++) {
        uint64_t own = csl_dataset_block_patients(a->data, d);
        double counted = most > 0 && own > most ? (double)most : (double)own;
        if (t->weights[d].patients > 0 && t->weights[d].patients < counted)
            return CSL_FAIL(err, CSL_E_INVAL,
                            "domain %s has fewer patients in the table than at this site",
                            a->study->domains[d].id);
    }
    return CSL_OK;
}

/* Weights of groups by published statistics: within the cap of the rule, and of the values of an
 * attribute no two further apart than it allows; who is of no value counts by 1. */
static enum csl_code check_groups(const struct csl_agent *a, const struct csl_msg_task *t,
                                  struct csl_err *err)
{
    const struct csl_study *s = a->study;
    double most = 2 * log(s->fairness.weights.cap) + 1e-9;
    uint32_t count = csl_study_weighs_published(s) ? csl_study_published_groups(s) : 0;
    bool is_within = t->group_count == count;
    for (uint32_t k = 0, i = 0; is_within && i < count; k++) {
        double least = 0, largest = 0;
        for (uint32_t end = i + s->statistics.value_count[k]; i < end; i++) {
            least = fmin(least, t->group_log_weight[i]);
            largest = fmax(largest, t->group_log_weight[i]);
        }
        is_within = largest - least <= most;
    }
    return is_within ? CSL_OK
                     : CSL_FAIL(err, CSL_E_INVAL,
                                "the weights of patient groups in the task are not what the study "
                                "says");
}

enum csl_code csl_agent_check_weights__(struct csl_agent *a, const struct csl_msg_task *t,
                                        struct csl_err *err)
{
    const struct csl_study_domain_weights *w = &a->study->fairness.domains;
    struct csl_weights_line lines[CSL_DOMAINS_MAX];
    enum csl_code code = check_groups(a, t, err);
    if (code != CSL_OK)
        return code;
    if (w->kind == CSL_DOMAIN_WEIGHTS_NONE && t->weight_count == 0)
        return CSL_OK;
    if (w->kind == CSL_DOMAIN_WEIGHTS_NONE || !is_of_study(a->study, t))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "the weights of domains in the task are not what the study says");
    bool is_same = a->seen_weights.count > 0 && a->seen_weights.round == t->weights_round;
    const struct csl_weights_limits limits = {.cap = w->cap < CAP_NONE ? w->cap : CAP_NONE,
                                              .step_max = is_same ? 1e-9 : log(w->step_max),
                                              .group_cap = 1,
                                              .product_max = CAP_NONE,
                                              .patients_max =
                                                  w->largest_site > 0 ? w->largest_site : 1,
                                              .effective_min = w->effective_sites};
    fill_before(a, t, lines);
    code = csl_weights_check(&limits, t->weight_count, lines, err);
    if (code == CSL_OK && !a->study->secagg.is_on)
        code = check_own(a, t, err);
    if (code != CSL_OK)
        return code;
    a->seen_weights.round = t->weights_round;
    a->seen_weights.count = t->weight_count;
    for (uint32_t d = 0; d < t->weight_count; d++)
        a->seen_weights.log_weight[d] = t->weights[d].log_weight;
    return CSL_OK;
}

/* The mean share of the site's domains that read the block's input. */
static double joint_share(const struct csl_agent *a, const struct csl_msg_task *t, uint32_t block)
{
    const struct csl_study *s = a->study;
    double weights[CSL_DOMAINS_MAX], sum = 0;
    uint32_t count = 0;
    if (block < s->domain_count)
        return 1;
    for (uint32_t d = 0; d < t->weight_count; d++)
        weights[d] = exp(t->weights[d].log_weight);
    for (uint32_t d = 0; d < t->weight_count; d++) {
        uint32_t input = csl_study_input_of(s, block);
        if (csl_dataset_block_patients(a->data, d) == 0 ||
            !csl_domain_has_input(&s->domains[d], input))
            continue;
        sum += csl_fused_share(s, weights, d, input);
        count++;
    }
    return count > 0 ? sum / count : 1;
}

/* Of public numbers alone: all patients of the site, and which domains it has. */
static double joint_mass(const struct csl_agent *a, const struct csl_msg_task *t, uint32_t block,
                         double patients)
{
    double share = joint_share(a, t, block);
    if (t->group_count > 0)
        share *= csl_group_share_of_mean(a->study, t->group_log_weight);
    return fmax(round(patients * share * MASS_ONE), 1) / MASS_ONE;
}

double csl_agent_mass__(const struct csl_agent *a, const struct csl_msg_task *t, uint32_t block,
                        double patients)
{
    const struct csl_study *s = a->study;
    double most = s->fairness.domains.largest_site, mass = 0, all = 0;
    if (most > 0 && patients > most)
        patients = most;
    if (s->privacy.mode == CSL_PRIVACY_JOINT)
        return joint_mass(a, t, block, patients);
    if (t->weight_count == 0 || block < s->domain_count)
        return patients;
    uint32_t input = csl_study_input_of(s, block);
    for (uint32_t d = 0; d < t->weight_count; d++) {
        double own = (double)csl_dataset_block_patients(a->data, d);
        if (!csl_domain_has_input(&s->domains[d], input))
            continue;
        own = most > 0 && own > most ? most : own;
        mass += own * exp(t->weights[d].log_weight);
        all += own;
    }
    return all > 0 ? round(patients * (mass / all) * MASS_ONE) / MASS_ONE : patients;
}
