/* protocol/study/study_groups.c - fairness.groups: which values of the attributes test patients are
 * counted by, in evaluations that leave a site. Sites have to count the same groups in the same
 * order, so the study names them. */
#include "base/check.h"
#include "base/str.h"
#include "protocol/study/evaluation.h"
#include "protocol/study/study_internal.h"

#include <string.h>

static uint32_t find_attribute(const struct csl_study_fairness *f, const char *name)
{
    uint32_t a = 0;
    while (a < f->attribute_count && strcmp(f->attributes[a], name) != 0)
        a++;
    return a;
}

static bool is_value(const char *text)
{
    size_t n = 0;
    while ((unsigned char)text[n] >= 0x20 && text[n] != 0x7f)
        n++;
    return n > 0 && n < CSL_FAIRNESS_VALUE_BYTES && text[n] == 0;
}

static enum csl_code read_values(const struct csl_study_reader *r, const struct csl_yaml_node *list,
                                 uint32_t a)
{
    struct csl_study_fairness *f = &r->s->fairness;
    enum csl_code code =
        csl_study__check_list(r, list, 2, CSL_FAIRNESS_VALUES_MAX, "values of the attribute");
    if (code != CSL_OK)
        return code;
    for (const struct csl_yaml_node *n = list->first_child; n != NULL; n = n->next) {
        if (n->kind != CSL_YAML_SCALAR || !is_value(n->text))
            return csl_study__found(r, n, "a value of the attribute, of at most 31 bytes");
        for (uint32_t v = 0; v < f->value_count[a]; v++)
            if (strcmp(f->values[a][v], n->text) == 0)
                return csl_study__found(r, n, "each value once");
        CSL_ASSERT(
            csl_str_copy(f->values[a][f->value_count[a]++], CSL_FAIRNESS_VALUE_BYTES, n->text));
    }
    return CSL_OK;
}

enum csl_code csl_study__read_groups(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *section)
{
    const struct csl_study_fairness *f = &r->s->fairness;
    if (section == NULL)
        return CSL_OK;
    if (section->kind != CSL_YAML_MAPPING)
        return csl_study__found(r, section, "lists of values such as {sex: [female, male]}");
    for (const struct csl_yaml_node *n = section->first_child; n != NULL; n = n->next) {
        uint32_t a = find_attribute(f, n->key);
        if (a == f->attribute_count)
            return csl_yaml_fail(r->err, r->y, n, "no attribute of the list 'attributes'");
        enum csl_code code = read_values(r, n, a);
        if (code != CSL_OK)
            return code;
    }
    for (uint32_t a = 0; a < f->attribute_count; a++)
        if (f->value_count[a] == 0)
            return csl_yaml_fail(r->err, r->y, section,
                                 "the values of '%s' are missing; those of every attribute would "
                                 "be right",
                                 f->attributes[a]);
    return CSL_OK;
}

static enum csl_code check_room(const struct csl_study_reader *r, const struct csl_yaml_node *at)
{
    const struct csl_study *s = r->s;
    uint32_t sum = 0;
    for (uint32_t d = 0; d < s->domain_count; d++) {
        uint32_t n = csl_study_group_counts(s, d);
        sum += n;
        if (n > CSL_GROUP_COUNTS_MAX)
            return csl_yaml_fail(r->err, r->y, at,
                                 "domain %s would have %u counts by patient group (%u classes: %u "
                                 "for each value and for patients of no value); at most %d, so "
                                 "fewer values, would be right",
                                 s->domains[d].id, n, s->domains[d].classes,
                                 2 + s->domains[d].classes * s->domains[d].classes,
                                 CSL_GROUP_COUNTS_MAX);
    }
    if (sum > CSL_GROUP_COUNTS_STUDY)
        return csl_yaml_fail(r->err, r->y, at,
                             "an evaluation would have %u counts by patient group; at most %d in "
                             "all domains together, so fewer values, would be right",
                             sum, CSL_GROUP_COUNTS_STUDY);
    return sum > 0 ? CSL_OK
                   : csl_yaml_fail(r->err, r->y, at,
                                   "patient groups are counted in domains of one label or of "
                                   "classes, and this study has none; leaving the key out would "
                                   "be right");
}

enum csl_code csl_study__check_groups(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;
    if (s->fairness.attribute_count == 0 || s->fairness.value_count[0] == 0)
        return CSL_OK;
    const struct csl_yaml_node *at = csl_study__at(csl_study__at(root, "fairness"), "groups");
    if (s->privacy.mode != CSL_PRIVACY_NONE)
        return csl_yaml_fail(r->err, r->y, at,
                             "with privacy no count of test patients leaves a site, because "
                             "nothing noises it and no ledger is charged for it; privacy mode "
                             "none, or no groups, would be right");
    if (s->input_count > 0)
        return csl_yaml_fail(r->err, r->y, at,
                             "patients of studies with inputs are not counted by group in this "
                             "version; leaving the key out would be right");
    return check_room(r, at);
}

void csl_study__explain_groups(const struct csl_study *s, struct csl_buf *out)
{
    const struct csl_study_fairness *f = &s->fairness;
    if (f->attribute_count == 0)
        return;
    if (f->value_count[0] == 0) {
        csl_buf_str(out, "    A site over the network reports no group.\n");
        return;
    }
    csl_buf_str(out, "  With each evaluation a site counts its test patients, and the right and "
                     "wrong answers of each class, by\n   ");
    for (uint32_t a = 0; a < f->attribute_count; a++) {
        csl_buf_printf(out, "%s %s (", a > 0 ? "," : "", f->attributes[a]);
        for (uint32_t v = 0; v < f->value_count[a]; v++)
            csl_buf_printf(out, "%s%s", v > 0 ? ", " : "", f->values[a][v]);
        csl_buf_str(out, ")");
    }
    csl_buf_str(out, s->secagg.is_on
                         ? ".\n    The coordinator sees the sums over the sites, of small groups "
                           "too, and shows those of groups as above.\n"
                         : ".\n    The coordinator sees each site's counts, of small groups too, "
                           "and shows the sums of groups as above.\n");
}
