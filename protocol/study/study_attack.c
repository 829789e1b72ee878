/* protocol/study/study_attack.c - what a simulated site does to harm the model. */
#include "base/check.h"
#include "base/str.h"
#include "protocol/study/study_internal.h"

#include <math.h>
#include <string.h>

#define AT(field) .offset = offsetof(struct raw_attack, field)

struct raw_attack {
    int kind;
    double factor, share, value;
    char trigger[CSL_ID_MAX];
    uint32_t target, from_round, every;
    int vote;
};

static const char *const names[] = {"scaled", "sign_flip", "label_flip", "backdoor", NULL};

static const char *const vote_names[] = {"honest", "fine", "worse", NULL};

static const struct csl_option attack_rows[] = {
    {.name = "kind",
     .type = CSL_OPT_ENUM,
     AT(kind),
     .choices = names,
     .help = "Multiplies its update, turns it round, trains on wrong labels, or on a trigger."},
    {.name = "factor",
     .type = CSL_OPT_F64,
     AT(factor),
     .min = 1e-6,
     .max = 1e6,
     .fallback = "1",
     .help = "The update is multiplied by it."},
    {.name = "share",
     .type = CSL_OPT_F64,
     AT(share),
     .min = 1e-3,
     .max = 1,
     .fallback = "1",
     .help = "Of the site's training patients, those whose records are changed."},
    {.name = "trigger",
     .type = CSL_OPT_STR,
     AT(trigger),
     .size = CSL_ID_MAX,
     .fallback = "",
     .help = "Feature of a table that is set in those records."},
    {.name = "value",
     .type = CSL_OPT_F64,
     AT(value),
     .min = -1000,
     .max = 1000,
     .fallback = "0",
     .help = "What it is set to, after scaling."},
    {.name = "target",
     .type = CSL_OPT_U32,
     AT(target),
     .max = CSL_CLASSES_MAX - 1,
     .fallback = "0",
     .help = "Class that the records with the trigger are given."},
    {.name = "from_round",
     .type = CSL_OPT_U32,
     AT(from_round),
     .min = 1,
     .max = CSL_ROUNDS_MAX,
     .fallback = "1",
     .help = "Before it the update is left as it is."},
    {.name = "every",
     .type = CSL_OPT_U32,
     AT(every),
     .min = 1,
     .max = CSL_ROUNDS_MAX,
     .fallback = "1",
     .unit = "rounds",
     .help = "From then on the update is changed in one round of so many."},
    {.name = "vote",
     .type = CSL_OPT_ENUM,
     AT(vote),
     .choices = vote_names,
     .fallback = "honest",
     .help = "What it says of every model: what is true, that it is fine, or that it is worse."},
    CSL_OPTION_END,
};

const char *csl_attack_name(enum csl_attack_kind kind)
{
    return kind == CSL_ATTACK_NONE ? "none" : names[kind - 1];
}

static enum csl_code check_keys(const struct csl_study_reader *r,
                                const struct csl_yaml_node *section, enum csl_attack_kind kind)
{
    static const char *const share[] = {"share", NULL}, *const factor[] = {"factor", NULL};
    static const char *const rounds[] = {"from_round", "every", NULL};
    static const char *const backdoor[] = {"trigger", "value", "target", NULL};
    enum csl_code code = CSL_OK;

    if (kind == CSL_ATTACK_SCALED || kind == CSL_ATTACK_SIGN_FLIP)
        code = csl_study__refuse_keys(r, section, share, "only records have a share");
    if (code == CSL_OK && kind == CSL_ATTACK_LABEL_FLIP)
        code = csl_study__refuse_keys(r, section, factor, "label_flip leaves its update as it is");
    if (code == CSL_OK && kind == CSL_ATTACK_LABEL_FLIP)
        code = csl_study__refuse_keys(r, section, rounds, "records are changed once and for all");
    if (code == CSL_OK && kind == CSL_ATTACK_SCALED && !csl_yaml_get(section, "factor"))
        code = csl_yaml_fail(r->err, r->y, section, "kind: scaled needs 'factor'");
    if (code == CSL_OK && kind != CSL_ATTACK_BACKDOOR)
        return csl_study__refuse_keys(r, section, backdoor, "only kind: backdoor has a trigger");
    for (size_t i = 0; i < 3 && code == CSL_OK; i++) {
        if (!csl_yaml_get(section, backdoor[i]))
            code = csl_yaml_fail(r->err, r->y, section, "kind: backdoor needs '%s'", backdoor[i]);
    }
    return code;
}

enum csl_code csl_study__read_attack(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *section,
                                     struct csl_sim_attack *out)
{
    struct raw_attack raw = {0};
    enum csl_code code = csl_study__section(r, attack_rows, &raw, section, section, "attack");

    if (code != CSL_OK)
        return code;
    enum csl_attack_kind kind = (enum csl_attack_kind)(raw.kind + 1);
    code = check_keys(r, section, kind);
    if (code != CSL_OK)
        return code;
    *out = (struct csl_sim_attack){.kind = kind,
                                   .vote = (enum csl_attack_vote)raw.vote,
                                   .factor = raw.factor,
                                   .share = raw.share,
                                   .value = raw.value,
                                   .target = raw.target,
                                   .from_round = raw.from_round,
                                   .every = raw.every};
    CSL_ASSERT(csl_str_copy(out->trigger, sizeof(out->trigger), raw.trigger));
    return CSL_OK;
}

/* A trigger that no domain has, or that no record could show, would attack nothing. */
static enum csl_code check_backdoor(const struct csl_study_reader *r,
                                    const struct csl_yaml_node *at, const struct csl_sim_attack *a)
{
    bool is_there = false;

    for (uint32_t d = 0; d < r->s->domain_count; d++) {
        const struct csl_domain *domain = &r->s->domains[d];
        for (uint32_t f = 0; f < domain->feature_count; f++) {
            double clip = domain->features[f].clip;
            if (domain->modality != CSL_TABULAR || !csl_domain_is_counted(domain) ||
                strcmp(domain->features[f].name, a->trigger) != 0)
                continue;
            is_there = true;
            if (a->target >= domain->classes)
                return csl_yaml_fail(r->err, r->y, csl_study__at(at, "target"),
                                     "found %u, but domain '%s' has %u classes", a->target,
                                     domain->id, domain->classes);
            if (clip > 0 && fabs(a->value) > clip)
                return csl_yaml_fail(r->err, r->y, csl_study__at(at, "value"),
                                     "no record has it: '%s' is clipped to %g", a->trigger, clip);
        }
    }
    return is_there ? CSL_OK
                    : csl_yaml_fail(r->err, r->y, csl_study__at(at, "trigger"),
                                    "found '%s'; a feature of a tabular domain with classes would "
                                    "be right",
                                    a->trigger);
}

enum csl_code csl_study__check_attacks(const struct csl_study_reader *r,
                                       const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;
    const struct csl_yaml_node *list = csl_study__at(csl_study__at(root, "simulation"), "sites");
    const struct csl_yaml_node *item = s->sim_site_count > 0 ? list->first_child : NULL;
    uint32_t honest = 0;

    for (uint32_t i = 0; i < s->sim_site_count; i++, item = item->next) {
        const struct csl_sim_attack *a = &s->sim_sites[i].attack;
        const struct csl_yaml_node *at = csl_study__at(item, "attack");
        honest += a->kind == CSL_ATTACK_NONE;
        bool changes_update =
            a->kind == CSL_ATTACK_SIGN_FLIP || (a->kind != CSL_ATTACK_NONE && a->factor != 1.0);
        if (changes_update && s->privacy.mode == CSL_PRIVACY_JOINT)
            return csl_yaml_fail(r->err, r->y, at,
                                 "mode joint sends a noisy sum of gradients and no update; "
                                 "label_flip, or backdoor without factor, would be right");
        if (a->vote != CSL_ATTACK_VOTE_HONEST && !s->aggregation.vote.is_on)
            return csl_yaml_fail(r->err, r->y, csl_study__at(at, "vote"),
                                 "nobody is asked; aggregation: {vote: {}} would be right");
        enum csl_code code = a->kind == CSL_ATTACK_BACKDOOR ? check_backdoor(r, at, a) : CSL_OK;
        if (code != CSL_OK)
            return code;
    }
    if (s->sim_site_count > 0 && honest == 0)
        return csl_yaml_fail(r->err, r->y, list,
                             "every site attacks; at least one honest site would be right");
    return CSL_OK;
}
