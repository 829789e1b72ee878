/* protocol/study/study_strategy.c - strategies that see single updates: their settings, and what
 * they forbid elsewhere in the study. */
#include "protocol/study/study_rounds_internal.h"

#include <string.h>

enum reads { READS_UPDATES = 1, READS_LOSSES = 2 };

static const struct trait {
    const char *name;
    enum reads reads;
    bool is_unweighted;   /* every site counts the same */
    const char *needs[2]; /* settings that have to be stated */
} traits[] = {
    {"qffl", READS_LOSSES, false, {"fairness_q"}},
    {"term", READS_LOSSES, false, {"tilt"}},
    {"afl", READS_LOSSES, false, {"mixture_rate"}},
    {"median", READS_UPDATES, true, {NULL}},
    {"trimmed-mean", READS_UPDATES, true, {"trim"}},
    {"krum", READS_UPDATES, true, {"byzantine"}},
    {"multi-krum", READS_UPDATES, true, {"byzantine", "keep"}},
    {"bulyan", READS_UPDATES, true, {"byzantine"}},
    {"geometric-median", READS_UPDATES, false, {NULL}},
};

static const struct trait *find_trait(const char *strategy)
{
    for (size_t i = 0; i < sizeof(traits) / sizeof(traits[0]); i++)
        if (strcmp(traits[i].name, strategy) == 0)
            return &traits[i];
    return NULL;
}

static bool needs_key(const struct trait *t, const char *key)
{
    for (size_t i = 0; t != NULL && i < 2 && t->needs[i] != NULL; i++)
        if (strcmp(t->needs[i], key) == 0)
            return true;
    return false;
}

bool csl_study__sees_updates(const char *strategy)
{
    return find_trait(strategy) != NULL;
}

/* Keys are refused where nothing reads them, and never guessed where something does. */
enum csl_code csl_study__check_strategy_keys(const struct csl_study_reader *r,
                                             const struct csl_yaml_node *section,
                                             const char *strategy)
{
    static const char *const keys[] = {"fairness_q", "tilt",      "mixture_rate",
                                       "trim",       "byzantine", "keep"};
    const struct trait *t = find_trait(strategy);

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        bool is_there = csl_yaml_get(section, keys[i]) != NULL;
        if (is_there && !needs_key(t, keys[i]))
            return csl_yaml_fail(r->err, r->y, csl_study__at(section, keys[i]),
                                 "has no effect with strategy %s", strategy);
        if (!is_there && needs_key(t, keys[i]))
            return csl_yaml_fail(r->err, r->y, section, "strategy %s needs '%s'", strategy,
                                 keys[i]);
    }
    return CSL_OK;
}

enum csl_code csl_study__check_strategy_weights(const struct csl_study_reader *r,
                                                const struct csl_yaml_node *section)
{
    struct csl_aggregation *a = &r->s->aggregation;
    const struct trait *t = find_trait(a->strategy);

    if (t == NULL || !t->is_unweighted)
        return CSL_OK;
    if (csl_yaml_get(section, "weights") != NULL && a->weights != CSL_WEIGHTS_EQUAL)
        return csl_yaml_fail(r->err, r->y, csl_study__at(section, "weights"),
                             "strategy %s counts every site the same, or one could claim to be "
                             "many; {kind: equal} would be right",
                             a->strategy);
    a->weights = CSL_WEIGHTS_EQUAL;
    return CSL_OK;
}

uint64_t csl_study__updates_needed(const struct csl_aggregation *a)
{
    if (strcmp(a->strategy, "krum") == 0)
        return 2 * (uint64_t)a->byzantine + 3;
    if (strcmp(a->strategy, "bulyan") == 0)
        return 4 * (uint64_t)a->byzantine + 3;
    if (strcmp(a->strategy, "multi-krum") != 0)
        return 1;
    uint64_t all = 2 * (uint64_t)a->byzantine + 3, kept = (uint64_t)a->keep + a->byzantine;
    return kept > all ? kept : all;
}

static enum csl_code check_masks(const struct csl_study_reader *r,
                                 const struct csl_yaml_node *strategy, const struct trait *t)
{
    if (!r->s->secagg.is_on)
        return CSL_OK;
    if (t->reads == READS_LOSSES)
        return csl_yaml_fail(r->err, r->y, strategy,
                             "%s multiplies each update by a factor of its site's loss, which "
                             "sites do not do inside their masks; fedavg, or no "
                             "secure_aggregation, would be right",
                             t->name);
    return csl_yaml_fail(r->err, r->y, strategy,
                         "%s has to see single updates, and masks hide them from everybody; "
                         "fedavg with secure_aggregation.encoding.clip_norm, which bounds what "
                         "one site can do, or no secure_aggregation, would be right",
                         t->name);
}

enum csl_code csl_study__check_strategy(const struct csl_study_reader *r,
                                        const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;
    const struct trait *t = find_trait(s->aggregation.strategy);
    const struct csl_yaml_node *strategy =
        csl_study__at(csl_study__at(root, "aggregation"), "strategy");

    if (t == NULL)
        return CSL_OK;
    enum csl_code code = check_masks(r, strategy, t);
    if (code != CSL_OK)
        return code;
    if (t->reads == READS_LOSSES && s->privacy.mode != CSL_PRIVACY_NONE)
        return csl_yaml_fail(r->err, r->y, strategy,
                             "%s needs the sites' training losses, which they keep to themselves "
                             "in a study with privacy; fedavg would be right",
                             t->name);
    uint64_t needed = csl_study__updates_needed(&s->aggregation);
    if (s->minimum_sites < needed)
        return csl_yaml_fail(r->err, r->y, strategy,
                             "%s needs %llu updates for what it promises, but a round may close "
                             "with sites.minimum %u",
                             t->name, (unsigned long long)needed, s->minimum_sites);
    return CSL_OK;
}
