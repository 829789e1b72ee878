#include "aggregation/weights/groups.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define SKILL_EXCESS 1e-9

void csl_group_rule_default(struct csl_group_rule *out)
{
    *out = (struct csl_group_rule){
        .alpha = 0.5, .beta = 1, .cap = 2, .skill_min = 0.05, .patients_min = 30};
}

static bool same_levels(const struct csl_stratum *a, const struct csl_stratum *b,
                        uint32_t attributes)
{
    return memcmp(a->level, b->level, attributes) == 0;
}

static enum csl_code check_stratum(uint32_t attributes, const struct csl_stratum *strata,
                                   uint32_t index, struct csl_err *err)
{
    const struct csl_stratum *s = &strata[index];
    for (uint32_t a = 0; a < attributes; a++)
        if (s->level[a] > CSL_GROUP_LEVELS_MAX)
            return CSL_FAIL(err, CSL_E_INVAL, "stratum %u: level %u; 0 to %d would be right", index,
                            s->level[a], CSL_GROUP_LEVELS_MAX);
    if (!isfinite(s->patients) || !isfinite(s->skill_sum) || s->patients < 0 || s->skill_sum < 0 ||
        s->skill_sum > s->patients * (1 + SKILL_EXCESS))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "stratum %u: %g patients with a skill of %g in sum; finite, not negative "
                        "and no more skill than patients would be right",
                        index, s->patients, s->skill_sum);
    for (uint32_t i = 0; i < index; i++)
        if (same_levels(&strata[i], s, attributes))
            return CSL_FAIL(err, CSL_E_INVAL, "stratum %u is stratum %u again", index, i);
    return CSL_OK;
}

static enum csl_code check(const struct csl_group_rule *r, uint32_t attributes,
                           const struct csl_stratum *strata, uint32_t count, struct csl_err *err)
{
    if (!(r->alpha >= 0 && r->alpha <= 1 && r->beta >= 0 && r->beta <= 4 && r->cap >= 1 &&
          r->skill_min >= 1e-3 && r->skill_min <= 1 && r->patients_min >= 1))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "group weights: alpha %g, beta %g, cap %g, skill_min %g, patients_min %g; "
                        "0 to 1, 0 to 4, at least 1, .001 to 1, at least 1 would be right",
                        r->alpha, r->beta, r->cap, r->skill_min, r->patients_min);
    if (attributes == 0 || attributes > CSL_GROUP_ATTRIBUTES_MAX || count > CSL_STRATA_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "%u strata of %u attributes; at most %d of 1 to %d",
                        count, attributes, CSL_STRATA_MAX, CSL_GROUP_ATTRIBUTES_MAX);
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < count; i++)
        code = check_stratum(attributes, strata, i, err);
    return code;
}

struct sums {
    double patients, skill;
};
/* Groups of one kind (all intersections, or the levels of one attribute) that are large enough. */
struct family {
    double groups;
    struct sums all;
};

static void take(struct family *f, const struct sums *group, double patients_min)
{
    if (group->patients < patients_min)
        return;
    f->groups++;
    f->all.patients += group->patients;
    f->all.skill += group->skill;
}

static double skill_of(const struct csl_group_rule *r, const struct sums *s)
{
    double mu = s->skill / s->patients;
    return mu < r->skill_min ? r->skill_min : mu > 1 ? 1 : mu;
}

/* ln v of a group that is large enough. */
static double log_weight(const struct csl_group_rule *r, const struct family *f,
                         const struct sums *group)
{
    double bound = log(r->cap);
    double x = -r->alpha * (log(group->patients) - log(f->all.patients) + log(f->groups)) -
               r->beta * (log(skill_of(r, group)) - log(skill_of(r, &f->all)));
    return x < -bound ? -bound : x > bound ? bound : x;
}

static bool is_whole(const struct csl_stratum *s, uint32_t attributes)
{
    for (uint32_t a = 0; a < attributes; a++)
        if (s->level[a] == 0)
            return false;
    return true;
}

struct marginals {
    struct sums level[CSL_GROUP_ATTRIBUTES_MAX][CSL_GROUP_LEVELS_MAX + 1];
    struct family attribute[CSL_GROUP_ATTRIBUTES_MAX];
};

static void fill_marginals(const struct csl_group_rule *r, uint32_t attributes,
                           const struct csl_stratum *strata, uint32_t count, struct marginals *m)
{
    memset(m, 0, sizeof(*m));
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t a = 0; a < attributes; a++) {
            m->level[a][strata[i].level[a]].patients += strata[i].patients;
            m->level[a][strata[i].level[a]].skill += strata[i].skill_sum;
        }
    for (uint32_t a = 0; a < attributes; a++)
        for (uint32_t l = 1; l <= CSL_GROUP_LEVELS_MAX; l++)
            take(&m->attribute[a], &m->level[a][l], r->patients_min);
}

static double from_marginals(const struct csl_group_rule *r, uint32_t attributes,
                             const struct marginals *m, const struct csl_stratum *s,
                             enum csl_group_source *source)
{
    double sum = 0, known = 0;
    for (uint32_t a = 0; a < attributes; a++) {
        const struct sums *level = &m->level[a][s->level[a]];
        if (s->level[a] == 0 || level->patients < r->patients_min)
            continue;
        sum += log_weight(r, &m->attribute[a], level);
        known++;
    }
    *source = known > 0 ? CSL_GROUP_MARGINALS : CSL_GROUP_NONE;
    return known > 0 ? sum / known : 0;
}

enum csl_code csl_group_weights(const struct csl_group_rule *rule, uint32_t attributes,
                                const struct csl_stratum *strata, uint32_t count, double *weight,
                                enum csl_group_source *source, struct csl_err *err)
{
    enum csl_code code = check(rule, attributes, strata, count, err);
    if (code != CSL_OK)
        return code;
    struct family whole = {0};
    struct marginals m;
    double patients = 0, total = 0;
    fill_marginals(rule, attributes, strata, count, &m);
    for (uint32_t i = 0; i < count; i++) {
        patients += strata[i].patients;
        if (is_whole(&strata[i], attributes))
            take(&whole, &(struct sums){strata[i].patients, strata[i].skill_sum},
                 rule->patients_min);
    }
    if (!(patients > 0))
        return CSL_FAIL(err, CSL_E_STATE, "group weights of no patients");
    for (uint32_t i = 0; i < count; i++) {
        const struct csl_stratum *s = &strata[i];
        enum csl_group_source from = CSL_GROUP_OWN;
        double x = is_whole(s, attributes) && s->patients >= rule->patients_min
                       ? log_weight(rule, &whole, &(struct sums){s->patients, s->skill_sum})
                       : from_marginals(rule, attributes, &m, s, &from);
        weight[i] = exp(x);
        total += weight[i] * s->patients;
        if (source != NULL)
            source[i] = from;
    }
    for (uint32_t i = 0; i < count; i++)
        weight[i] *= patients / total;
    return CSL_OK;
}
