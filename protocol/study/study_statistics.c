/* protocol/study/study_statistics.c - the section 'statistics': what is counted and published, how
 * often, and for what price. */
#include "base/check.h"
#include "base/str.h"
#include "protocol/study/evaluation.h"
#include "protocol/study/study_internal.h"

#include <stddef.h>
#include <string.h>

struct raw_statistics {
    uint32_t every;
    double epsilon, delta;
    const struct csl_yaml_node *groups;
};
#define AT(field) .offset = offsetof(struct raw_statistics, field)

static const struct csl_option statistics_rows[] = {
    {.name = "every",
     .type = CSL_OPT_U32,
     AT(every),
     .min = 1,
     .max = CSL_ROUNDS_MAX,
     .unit = "rounds",
     .help = "Published in round 1 and then after every so many rounds."},
    {.name = "epsilon",
     .type = CSL_OPT_F64,
     AT(epsilon),
     .min = 0,
     .max = 100,
     .fallback = "0",
     .help = "What all publications of the study together cost a patient at a site."},
    {.name = "delta",
     .type = CSL_OPT_F64,
     AT(delta),
     .min = 0,
     .max = 0.1,
     .fallback = "0",
     .help = "Probability with which that promise may fail."},
    {.name = "groups",
     .type = CSL_OPT_NODE,
     AT(groups),
     .help = "Attributes of section fairness whose groups are counted, each with its values."},
    CSL_OPTION_END,
};

static bool is_value(const struct csl_yaml_node *n)
{
    size_t length = n->kind == CSL_YAML_SCALAR ? strlen(n->text) : 0;
    if (length == 0 || length >= CSL_STATISTICS_VALUE_BYTES)
        return false;
    for (const char *c = n->text; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e)
            return false;
    return true;
}

static enum csl_code read_values(const struct csl_study_reader *r, const struct csl_yaml_node *list,
                                 uint32_t attribute)
{
    struct csl_study_statistics *t = &r->s->statistics;
    uint32_t *count = &t->value_count[attribute];
    enum csl_code code =
        csl_study__check_list(r, list, 1, CSL_STATISTICS_VALUES_MAX, "values of the attribute");
    if (code != CSL_OK)
        return code;
    for (const struct csl_yaml_node *n = list->first_child; n; n = n->next) {
        if (!is_value(n))
            return csl_study__found(r, n, "a value as the record files have it, 1 to 31 letters,");
        for (uint32_t v = 0; v < *count; v++)
            if (strcmp(t->values[attribute][v], n->text) == 0)
                return csl_study__found(r, n, "each value once");
        CSL_ASSERT(
            csl_str_copy(t->values[attribute][(*count)++], CSL_STATISTICS_VALUE_BYTES, n->text));
    }
    return CSL_OK;
}

/* Sites know one list of values for an attribute. */
static bool is_that_of_fairness(const struct csl_study *s, uint32_t attribute)
{
    uint32_t count = s->fairness.value_count[attribute];
    bool is_same = count == 0 || count == s->statistics.value_count[attribute];
    for (uint32_t v = 0; is_same && v < count; v++)
        is_same = strcmp(s->fairness.values[attribute][v], s->statistics.values[attribute][v]) == 0;
    return is_same;
}

static enum csl_code read_groups(const struct csl_study_reader *r, const struct csl_yaml_node *node)
{
    const struct csl_study_fairness *f = &r->s->fairness;
    uint32_t known = 0;
    if (node == NULL)
        return CSL_OK;
    if (node->kind != CSL_YAML_MAPPING)
        return csl_study__found(r, node, "a mapping such as {sex: [female, male]}");
    for (uint32_t i = 0; i < f->attribute_count; i++) {
        const struct csl_yaml_node *list = csl_yaml_get(node, f->attributes[i]);
        enum csl_code code = list != NULL ? read_values(r, list, i) : CSL_OK;
        if (code == CSL_OK && list != NULL && !is_that_of_fairness(r->s, i))
            code = csl_yaml_fail(r->err, r->y, list,
                                 "other values than section fairness lists in 'groups' of '%s'; "
                                 "the same in the same order would be right",
                                 f->attributes[i]);
        if (code != CSL_OK)
            return code;
        known += list != NULL;
    }
    if (known != node->child_count)
        return csl_yaml_fail(r->err, r->y, node,
                             "found %u attributes, of which section fairness lists %u; attributes "
                             "that it lists would be right",
                             node->child_count, known);
    return CSL_OK;
}

/* Exact where the study promises nothing; else with a price. */
static enum csl_code check_price(const struct csl_study_reader *r,
                                 const struct csl_yaml_node *section,
                                 const struct csl_study_statistics *t)
{
    static const char *const price[] = {"epsilon", "delta", NULL};
    if (r->s->privacy.mode == CSL_PRIVACY_NONE)
        return csl_study__refuse_keys(r, section, price,
                                      "privacy mode none promises nothing, and the sums are exact");
    if (t->epsilon > 0 && t->delta > 0)
        return CSL_OK;
    return csl_yaml_fail(r->err, r->y, section,
                         "found epsilon %g and delta %g; both above 0 would be right: in a study "
                         "with privacy statistics carry noise and are charged",
                         t->epsilon, t->delta);
}

enum csl_code csl_study__read_statistics(const struct csl_study_reader *r,
                                         const struct csl_yaml_node *root,
                                         const struct csl_yaml_node *section)
{
    struct raw_statistics raw = {0};
    struct csl_study_statistics *t = &r->s->statistics;
    if (section == NULL)
        return CSL_OK;
    enum csl_code code = csl_study__section(r, statistics_rows, &raw, root, section, "statistics");
    if (code != CSL_OK)
        return code;
    t->is_on = true;
    t->every = raw.every;
    t->epsilon = raw.epsilon;
    t->delta = raw.delta;
    code = check_price(r, section, t);
    return code == CSL_OK ? read_groups(r, raw.groups) : code;
}

enum csl_code csl_study__check_statistics(const struct csl_study_reader *r,
                                          const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;
    const struct csl_yaml_node *at = csl_study__at(root, "statistics");
    if (!s->statistics.is_on)
        return CSL_OK;
    if (!s->secagg.is_on)
        return csl_yaml_fail(r->err, r->y, at,
                             "statistics are sums under masks; a section secure_aggregation, or no "
                             "statistics, would be right");
    if (s->privacy.mode == CSL_PRIVACY_SITE)
        return csl_yaml_fail(r->err, r->y, at,
                             "mode site hides whole sites, and the noise of statistics is made for "
                             "patients; mode joint or local would be right");
    if (s->statistics.every > s->rounds)
        return csl_yaml_fail(r->err, r->y, csl_study__at(at, "every"),
                             "found %u, but the study has %u rounds", s->statistics.every,
                             s->rounds);
    if (csl_study_publications(s) > CSL_STATISTICS_PUBLICATIONS_MAX)
        return csl_yaml_fail(r->err, r->y, csl_study__at(at, "every"),
                             "found %u, that is %u publications in %u rounds; at most %d would be "
                             "right",
                             s->statistics.every, csl_study_publications(s), s->rounds,
                             CSL_STATISTICS_PUBLICATIONS_MAX);
    return CSL_OK;
}

/* --- in words --- */

void csl_study__explain_statistics(const struct csl_study *s, struct csl_buf *out)
{
    const struct csl_study_statistics *t = &s->statistics;
    uint32_t groups = csl_study_published_attributes(s);
    if (!t->is_on)
        return;
    csl_buf_printf(out,
                   "  Every %u round%s, first in round 1 and %u time%s in all, it sees for each "
                   "domain the sum over at least %u sites of\n    the number of training patients "
                   "and of how well the model does by them (per patient between 0 and 1; the "
                   "first\n    time, of the patients of each class)",
                   t->every, csl_str_plural(t->every), csl_study_publications(s),
                   csl_str_plural(csl_study_publications(s)), s->secagg.minimum_sites);
    for (uint32_t i = 0; groups > 0 && i < s->fairness.attribute_count; i++) {
        if (t->value_count[i] == 0)
            continue;
        csl_buf_printf(out, "; the same by %s (", s->fairness.attributes[i]);
        for (uint32_t v = 0; v < t->value_count[i]; v++)
            csl_buf_printf(out, "%s%s", v ? ", " : "", t->values[i][v]);
        csl_buf_str(out, ")");
    }
    csl_buf_str(out,
                t->epsilon > 0
                    ? ".\n    These sums carry noise, of which every site adds a share before "
                      "its masks.\n"
                    : ".\n    These sums are exact: two of them whose sites differ in one tell "
                      "what that site has.\n");
}

void csl_study__explain_statistics_price(const struct csl_study *s, struct csl_buf *out)
{
    const struct csl_study_statistics *t = &s->statistics;
    char epsilon[32], delta[32], both[32];
    if (!t->is_on || !(t->epsilon > 0))
        return;
    csl_str_f64(epsilon, sizeof(epsilon), t->epsilon);
    csl_str_f64(delta, sizeof(delta), t->delta);
    csl_buf_printf(
        out,
        "  The %u publications of statistics together cost at most epsilon %s at delta "
        "%s more, under an entry of their\n    own in the site's ledger for each; all of "
        "it is reserved before the first.\n",
        csl_study_publications(s), epsilon, delta);
    if (!(s->privacy.epsilon > 0))
        return;
    csl_str_f64(both, sizeof(both), t->epsilon + s->privacy.epsilon);
    csl_str_f64(delta, sizeof(delta), t->delta + s->privacy.delta);
    csl_buf_printf(out, "  Updates and statistics together: at most epsilon %s at delta %s.\n",
                   both, delta);
}
