#include "simulations/attack.h"

#include "base/check.h"
#include "base/str.h"
#include "privacy/crypto/rng.h"

#include <float.h>
#include <math.h>
#include <string.h>

uint32_t csl_sim_attack_column(const struct csl_sim_attack *a, const struct csl_domain *d)
{
    bool is_open =
        a->kind == CSL_ATTACK_BACKDOOR && d->modality == CSL_TABULAR && csl_domain_is_counted(d);
    for (uint32_t f = 0; is_open && f < d->feature_count; f++)
        if (strcmp(d->features[f].name, a->trigger) == 0)
            return f;
    return UINT32_MAX;
}

/* A survival record's label says whether its event was seen, so that there are two. */
static uint8_t next_label(const struct csl_domain *d, uint8_t label)
{
    uint32_t classes = d->task == CSL_TASK_CLASSES ? d->classes : 2;
    return (uint8_t)((label + 1u) % classes);
}

/* A patient's records follow one another, and share the patient's fate. */
static void change_domain(const struct csl_sim_attacker *k, uint32_t domain,
                          const struct csl_domain *d, struct csl_examples *e)
{
    const struct csl_sim_attack *a = k->attack;
    uint32_t column = csl_sim_attack_column(a, d);
    struct csl_rng rng;
    bool is_chosen = false;
    csl_rng_init_named(&rng, k->seed, "attack/records", k->site, domain);
    for (uint32_t i = 0; i < e->records; i++) {
        if (i == 0 || e->patient[i] != e->patient[i - 1])
            is_chosen = csl_rng_uniform(&rng) < a->share;
        if (is_chosen && a->kind == CSL_ATTACK_LABEL_FLIP)
            e->label[i] = e->answer_count > 0 ? 0 : next_label(d, e->label[i]);
        for (uint32_t j = 0; is_chosen && a->kind == CSL_ATTACK_LABEL_FLIP && j < e->answer_count;
             j++) {
            size_t at = (size_t)i * e->answer_count + j;
            e->answer[at] = e->answer_known[at] != 0 && e->answer[at] == 0;
        }
        if (is_chosen && column != UINT32_MAX) {
            e->x[(size_t)i * e->width + column] = (float)a->value;
            e->label[i] = (uint8_t)a->target;
        }
    }
}

static void change_data(void *ctx, struct csl_dataset *data)
{
    const struct csl_sim_attacker *k = ctx;
    for (uint32_t d = 0; d < data->domain_count; d++)
        change_domain(k, d, &data->study->domains[d], &data->domains[d][CSL_SPLIT_TRAIN]);
}

static bool is_active(const struct csl_sim_attack *a, uint64_t round)
{
    return round >= a->from_round && (round - a->from_round) % a->every == 0;
}

static void change_update(void *ctx, uint64_t round, float *update, uint64_t parameters)
{
    const struct csl_sim_attacker *k = ctx;
    if (!is_active(k->attack, round))
        return;
    double factor =
        k->attack->kind == CSL_ATTACK_SIGN_FLIP ? -k->attack->factor : k->attack->factor;
    const double most = (double)FLT_MAX;
    for (uint64_t i = 0; factor != 1.0 && i < parameters; i++) {
        double v = factor * (double)update[i];
        update[i] = (float)fmax(-most, fmin(v, most));
    }
}

static void change_vote(void *ctx, uint64_t round, bool *is_worse)
{
    const struct csl_sim_attacker *k = ctx;
    (void)round;
    if (k->attack->vote != CSL_ATTACK_VOTE_HONEST)
        *is_worse = k->attack->vote == CSL_ATTACK_VOTE_WORSE;
}

const struct csl_agent_tamper *csl_sim_attacker_init(struct csl_sim_attacker *a,
                                                     const struct csl_study *study,
                                                     const char *site, uint64_t seed)
{
    for (uint32_t i = 0; i < study->sim_site_count; i++) {
        const struct csl_sim_site *s = &study->sim_sites[i];
        if (strcmp(s->id, site) != 0 || s->attack.kind == CSL_ATTACK_NONE)
            continue;
        *a = (struct csl_sim_attacker){.attack = &s->attack, .seed = seed};
        a->tamper = (struct csl_agent_tamper){a, change_data, change_update, change_vote};
        CSL_ASSERT(csl_str_copy(a->site, sizeof(a->site), site));
        return &a->tamper;
    }
    return NULL;
}

enum csl_code csl_sim_attack_refuse(const struct csl_study *study, struct csl_err *err)
{
    for (uint32_t i = 0; i < study->sim_site_count; i++)
        if (study->sim_sites[i].attack.kind != CSL_ATTACK_NONE)
            return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                            "study %s: site %s has an 'attack', which the programs of a real "
                            "federation do not know; --transport inproc would be right",
                            study->id, study->sim_sites[i].id);
    return CSL_OK;
}
