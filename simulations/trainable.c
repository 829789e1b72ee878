/* simulations/trainable.c - from which examples a model could learn anything. */
#include "simulations/evaluate.h"

#include "base/banned.h"

/* Some label has both answers. */
static bool has_both_answers(const struct csl_examples *e)
{
    for (uint32_t k = 0; k < e->answer_count; k++) {
        bool seen[2] = {false, false};
        for (size_t i = k; i < (size_t)e->records * e->answer_count; i += e->answer_count)
            if (e->answer_known[i] != 0)
                seen[e->answer[i]] = true;
        if (seen[0] && seen[1])
            return true;
    }
    return false;
}

const char *csl_sim_refuse_training(const struct csl_domain *d, const struct csl_examples *e)
{
    bool has_event = false;
    if (e->records == 0)
        return "it has no training patient with a known label";
    if (d->task == CSL_TASK_LABELS)
        return has_both_answers(e) ? NULL : "its training patients all have the same labels";
    for (uint32_t i = 0; i < e->records; i++) {
        has_event = has_event || e->label[i] != 0;
        if (d->task != CSL_TASK_SURVIVAL && e->label[i] != e->label[0])
            return NULL;
    }
    if (d->task != CSL_TASK_SURVIVAL)
        return "its training patients all have the same label";
    return has_event ? NULL : "none of its training patients has an event";
}

bool csl_sim_trainable(const struct csl_sim_data *d, uint32_t site, bool *wanted,
                       const char **reason)
{
    bool any = false;
    *reason = "it has no training patient with a known label";
    for (uint32_t k = 0; k < d->study->domain_count; k++) {
        const struct csl_examples *e = &d->sites[site]->domains[k][CSL_SPLIT_TRAIN];
        const char *why = csl_sim_refuse_training(&d->study->domains[k], e);
        wanted[k] = why == NULL;
        any = any || why == NULL;
        if (why != NULL && e->records > 0)
            *reason = why;
    }
    return any;
}
