/* protocol/study/study_check.c - contradictions between the sections of a study. */
#include "protocol/study/evaluation.h"
#include "protocol/study/study_rounds_internal.h"

#include <string.h>

const char *const csl_study__strategies[] = {
    "fedavg",     "fedprox",    "fednova",          "fedavgm",      "fedadam",
    "fedyogi",    "fedadagrad", "scaffold",         "cyclic",       "qffl",
    "term",       "afl",        "median",           "trimmed-mean", "krum",
    "multi-krum", "bulyan",     "geometric-median", "fedbuff",      NULL};

/* Section `key` of `mapping`, or the mapping itself. */
static const struct csl_yaml_node *find(const struct csl_yaml_node *root, const char *section,
                                        const char *key)
{
    const struct csl_yaml_node *at = csl_study__at(root, section);

    return at->kind == CSL_YAML_MAPPING ? csl_study__at(at, key) : at;
}

static enum csl_code check_fednova(const struct csl_study_reader *r,
                                   const struct csl_yaml_node *local)
{
    const struct csl_study *s = r->s;
    const struct csl_schedule *schedule = &s->local.schedule;

    if (strcmp(s->aggregation.strategy, "fednova") != 0) {
        static const char *const keys[] = {"effective_steps", NULL};
        return csl_study__refuse_keys(r, local, keys, "only strategy: fednova has it");
    }
    if (s->local.epochs == 0)
        return csl_yaml_fail(r->err, r->y, csl_study__at(local, "steps"),
                             "every site makes as many steps, and fednova would be fedavg; "
                             "'epochs' in place of 'steps' would be right");
    if (!(s->local.effective_steps > 0))
        return csl_yaml_fail(r->err, r->y, csl_study__at(local, "effective_steps"),
                             "strategy fednova needs 'effective_steps' above 0: to how many steps "
                             "each site's update is brought");
    if (s->local.optimizer != CSL_OPT_KIND_SGD && s->local.optimizer != CSL_OPT_KIND_MOMENTUM)
        return csl_yaml_fail(r->err, r->y, csl_study__at(local, "optimizer"),
                             "adam's steps have no size of their own to be brought to another; "
                             "sgd or momentum would be right with strategy fednova");
    if (!csl_schedule_is_flat(schedule))
        return csl_yaml_fail(r->err, r->y, csl_study__at(local, "schedule"),
                             "steps of different rates are not brought to another number in this "
                             "version; a constant rate would be right with strategy fednova");
    return CSL_OK;
}

/* Epochs give sites different numbers of steps, which what follows does not know of. */
static enum csl_code check_epochs(const struct csl_study_reader *r,
                                  const struct csl_yaml_node *local)
{
    const struct csl_study *s = r->s;
    const struct csl_yaml_node *at = csl_study__at(local, "epochs");

    if (s->local.epochs > 0 && s->privacy.mode != CSL_PRIVACY_NONE)
        return csl_yaml_fail(r->err, r->y, at,
                             "the noise of a study with privacy is made for a number of steps that "
                             "all sites share; 'steps' would be right");
    if (s->local.epochs > 0 && strcmp(s->aggregation.strategy, "scaffold") == 0)
        return csl_yaml_fail(r->err, r->y, at,
                             "scaffold's control is a mean over steps that all sites share; "
                             "'steps' would be right");
    if (s->local.epochs > 0 && s->input_count > 0)
        return csl_yaml_fail(r->err, r->y, at,
                             "studies with inputs train by steps in this version; 'steps' would "
                             "be right");
    return check_fednova(r, local);
}

static enum csl_code check_local(const struct csl_study_reader *r, const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;
    const struct csl_yaml_node *local = find(root, "training", "local");
    bool is_fedprox = strcmp(s->aggregation.strategy, "fedprox") == 0;

    if (is_fedprox && !(s->local.proximal_mu > 0))
        return csl_yaml_fail(r->err, r->y, csl_study__at(local, "proximal_mu"),
                             "strategy fedprox needs a 'proximal_mu' above 0; without it fedavg "
                             "would be right");
    if (!is_fedprox && csl_yaml_get(local, "proximal_mu"))
        return csl_yaml_fail(r->err, r->y, csl_study__at(local, "proximal_mu"),
                             "has no effect with strategy %s; strategy: fedprox would be right",
                             s->aggregation.strategy);
    if (strcmp(s->aggregation.strategy, "scaffold") == 0 && s->local.optimizer != CSL_OPT_KIND_SGD)
        return csl_yaml_fail(
            r->err, r->y, csl_study__at(local, "optimizer"),
            "strategy scaffold corrects plain gradient steps; optimizer: sgd would "
            "be right");
    return check_epochs(r, local);
}

static bool has_weight(const struct csl_aggregation *a, const char *site)
{
    for (uint32_t i = 0; i < a->given_count; i++) {
        if (strcmp(a->given[i].site, site) == 0)
            return true;
    }
    return false;
}

static enum csl_code check_weights(const struct csl_study_reader *r,
                                   const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;
    const struct csl_yaml_node *weights = find(root, "aggregation", "weights");

    if (s->aggregation.weights != CSL_WEIGHTS_GIVEN)
        return CSL_OK;
    for (uint32_t i = 0; i < s->participant_count; i++) {
        if (!has_weight(&s->aggregation, s->participants[i]))
            return csl_yaml_fail(r->err, r->y, weights,
                                 "participant '%s' has no weight; one for every participant would "
                                 "be right",
                                 s->participants[i]);
    }
    for (uint32_t i = 0; i < s->sim_site_count; i++) {
        if (!has_weight(&s->aggregation, s->sim_sites[i].id))
            return csl_yaml_fail(r->err, r->y, weights,
                                 "simulated site '%s' has no weight; one for every site would be "
                                 "right",
                                 s->sim_sites[i].id);
    }
    return CSL_OK;
}

static bool is_simulated(const struct csl_study *s, const char *site)
{
    for (uint32_t i = 0; i < s->sim_site_count; i++) {
        if (strcmp(s->sim_sites[i].id, site) == 0)
            return true;
    }
    return false;
}

static enum csl_code check_simulation(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;

    if (s->external_site_count > 0 && csl_study_has_kind(s, CSL_BLOCK_LOCAL))
        return csl_yaml_fail(r->err, r->y, find(root, "simulation", "external"),
                             "a site that never trains has no local blocks of its own to be judged "
                             "with; no external sites would be right");
    if (s->sim_site_count == 0)
        return CSL_OK;
    if (s->minimum_sites > s->sim_site_count)
        return csl_yaml_fail(r->err, r->y, find(root, "sites", "minimum"),
                             "found %u, but the simulation has %u sites; no round could close",
                             s->minimum_sites, s->sim_site_count);
    for (uint32_t i = 0; i < s->participant_count; i++) {
        if (!is_simulated(s, s->participants[i]))
            return csl_yaml_fail(r->err, r->y, find(root, "sites", "participants"),
                                 "the simulation has no site '%s' and would wait for it forever",
                                 s->participants[i]);
    }
    return CSL_OK;
}

/* Evaluations under masks are blocks of their own in the table of a round. */
static enum csl_code check_evaluations(const struct csl_study_reader *r,
                                       const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;
    uint32_t kinds = 1u + csl_study_sums_evaluations(s) + s->statistics.is_on;
    uint32_t blocks = kinds * s->domain_count + s->input_count;

    if (kinds == 1)
        return CSL_OK;
    for (uint32_t i = 0; i < s->input_count; i++)
        blocks += s->inputs[i].adapter.rank > 0;
    if (csl_study_sums_evaluations(s) && s->aggregation.averaging.kind != CSL_AVERAGING_NONE &&
        s->evaluate_every > 0)
        return csl_yaml_fail(r->err, r->y, find(root, "evaluation", "every"),
                             "found %u, but under masks an average of rounds is judged after the "
                             "last round only; 0 would be right",
                             s->evaluate_every);
    if (blocks > CSL_BLOCKS_MAX)
        return csl_yaml_fail(
            r->err, r->y, csl_study__at(root, "domains"),
            "a masked round of %u domains and %u inputs has %u blocks, evaluations, "
            "statistics and adapters among them; at most %d would be right",
            s->domain_count, s->input_count, blocks, CSL_BLOCKS_MAX);
    return CSL_OK;
}

enum csl_code csl_study__check(const struct csl_study_reader *r, const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;
    enum csl_code code = check_local(r, root);

    if (code == CSL_OK)
        code = csl_study__check_fusion(r, root);
    if (code == CSL_OK)
        code = check_weights(r, root);
    if (code == CSL_OK)
        code = check_simulation(r, root);
    if (code == CSL_OK)
        code = csl_study__check_attacks(r, root);
    if (code == CSL_OK)
        code = csl_study__check_strategy(r, root);
    if (code == CSL_OK)
        code = csl_study__check_buffer(r, root);
    if (code == CSL_OK)
        code = csl_study__check_averaging(r, root);
    if (code == CSL_OK)
        code = csl_study__check_privacy(r, root);
    if (code == CSL_OK)
        code = csl_study__check_groups(r, root);
    if (code == CSL_OK)
        code = csl_study__check_group_weights(r, root);
    if (code == CSL_OK)
        code = csl_study__check_domain_weights(r, root);
    if (code == CSL_OK)
        code = csl_study__check_gate(r, root);
    if (code == CSL_OK)
        code = csl_study__check_statistics(r, root);
    if (code == CSL_OK)
        code = csl_study__check_vote(r, root);
    if (code == CSL_OK)
        code = check_evaluations(r, root);
    if (code == CSL_OK && s->evaluate_every > s->rounds)
        code = csl_yaml_fail(r->err, r->y, find(root, "evaluation", "every"),
                             "found %u, but the study has %u rounds; 0 evaluates at the end only",
                             s->evaluate_every, s->rounds);
    return code;
}
