/* protocol/study/study_release.c - the sections 'fairness' and 'release': whose quality is looked
 * at by itself, and what a model must reach before it is handed out. */
#include "base/check.h"
#include "base/str.h"
#include "protocol/study/study_internal.h"

#include <string.h>

struct raw_fairness {
    const struct csl_yaml_node *attributes, *groups, *weights, *domain_weights;
    uint32_t minimum_group, minimum_sites;
};
#define AT(field) .offset = offsetof(struct raw_fairness, field)

static const struct csl_option fairness_rows[] = {
    {.name = "attributes",
     .type = CSL_OPT_NODE,
     AT(attributes),
     .help = "Names of attributes of patients in the record files, such as sex and age_band."},
    {.name = "groups",
     .type = CSL_OPT_NODE,
     AT(groups),
     .help = "Values of every attribute, such as {sex: [female, male]}: sites count test patients "
             "by them in what they report of an evaluation; absent: they report no group."},
    {.name = "minimum_group",
     .type = CSL_OPT_U32,
     AT(minimum_group),
     .min = 10,
     .max = 1000000,
     .fallback = "30",
     .unit = "patients",
     .help = "A group with fewer test patients in the whole federation is not shown."},
    {.name = "minimum_sites",
     .type = CSL_OPT_U32,
     AT(minimum_sites),
     .min = 3,
     .max = CSL_SITES_MAX,
     .fallback = "3",
     .unit = "sites",
     .help = "A group whose test patients are at fewer sites is not shown."},
    {.name = "weights",
     .type = CSL_OPT_NODE,
     AT(weights),
     .help = "How much patients of small groups and groups the model does badly by count more in a "
             "site's own training; absent: all alike."},
    {.name = "domain_weights",
     .type = CSL_OPT_NODE,
     AT(domain_weights),
     .help = "How much rare or difficult domains count more on inputs that several domains read; "
             "absent: by patients."},
    CSL_OPTION_END,
};

struct raw_release {
    struct csl_study_release r;
    int card, collapsed;
};
#undef AT
#define AT(field) .offset = offsetof(struct raw_release, field)
#define TEXT(field)                                                                                \
    .offset = offsetof(struct raw_release, field), .size = sizeof(((struct raw_release *)0)->field)

static const char *const cards[] = {"optional", "required", NULL};
static const char *const collapsed[] = {"allow", "refuse", NULL};

static const struct csl_option release_rows[] = {
    {.name = "minimum_auc",
     .type = CSL_OPT_F64,
     AT(r.minimum_auc),
     .min = 0,
     .max = 1,
     .fallback = "0",
     .help = "AUC (C-index for survival) of every domain over the test records of all sites."},
    {.name = "worst_group_floor",
     .type = CSL_OPT_F64,
     AT(r.worst_group_floor),
     .min = 0,
     .max = 1,
     .fallback = "0",
     .help = "AUC of the worst patient group of every domain; needs section fairness."},
    {.name = "collapsed_class",
     .type = CSL_OPT_ENUM,
     AT(collapsed),
     .choices = collapsed,
     .fallback = "refuse",
     .help = "Whether a class with a sensitivity or specificity below .05 blocks the release."},
    {.name = "model_card",
     .type = CSL_OPT_ENUM,
     AT(card),
     .choices = cards,
     .fallback = "required",
     .help = "Whether an empty mandatory item of the model card blocks the release."},
    {.name = "intended_use",
     .type = CSL_OPT_STR,
     TEXT(r.intended_use),
     .fallback = "",
     .help = "Who may use the model for what, in plain words; mandatory in a model card."},
    {.name = "not_for",
     .type = CSL_OPT_STR,
     TEXT(r.not_for),
     .fallback = "",
     .help = "What the model must not be used for; mandatory in a model card."},
    CSL_OPTION_END,
};

/* A section for domain weights alone. */
static enum csl_code check_no_groups(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *section)
{
    static const char *const keys[] = {"groups", "minimum_group", "minimum_sites", "weights", NULL};
    return csl_study__refuse_keys(r, section, keys, "without attributes there are no groups");
}

enum csl_code csl_study__read_fairness(const struct csl_study_reader *r,
                                       const struct csl_yaml_node *root,
                                       const struct csl_yaml_node *section)
{
    struct raw_fairness raw = {0};
    struct csl_study_fairness *f = &r->s->fairness;
    if (section == NULL)
        return CSL_OK;
    enum csl_code code = csl_study__section(r, fairness_rows, &raw, root, section, "fairness");
    if (code != CSL_OK)
        return code;
    code = csl_study__read_domain_weights(r, section, raw.domain_weights);
    if (code != CSL_OK)
        return code;
    if (raw.attributes == NULL && raw.domain_weights != NULL)
        return check_no_groups(r, section);
    if (raw.attributes == NULL)
        return csl_yaml_fail(r->err, r->y, section,
                             "key 'attributes' is missing; a list such as [sex, age_band] would be "
                             "right");
    code = csl_study__check_list(r, raw.attributes, 1, CSL_FAIRNESS_ATTRIBUTES_MAX, "attributes");
    if (code != CSL_OK)
        return code;
    f->minimum_group = raw.minimum_group;
    f->minimum_sites = raw.minimum_sites;
    for (const struct csl_yaml_node *n = raw.attributes->first_child; n; n = n->next) {
        if (n->kind != CSL_YAML_SCALAR || !csl_id_valid(n->text))
            return csl_study__found(r, n, "the name of an attribute such as sex");
        for (uint32_t i = 0; i < f->attribute_count; i++) {
            if (strcmp(f->attributes[i], n->text) == 0)
                return csl_study__found(r, n, "each attribute once");
        }
        CSL_ASSERT(csl_str_copy(f->attributes[f->attribute_count++], CSL_ID_MAX, n->text));
    }
    code = csl_study__read_groups(r, raw.groups);
    return code == CSL_OK ? csl_study__read_group_weights(r, section, raw.weights) : code;
}

enum csl_code csl_study__read_release(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *root,
                                      const struct csl_yaml_node *section)
{
    struct raw_release raw = {0};
    if (section == NULL)
        return CSL_OK;
    enum csl_code code = csl_study__section(r, release_rows, &raw, root, section, "release");
    if (code != CSL_OK)
        return code;
    if (raw.r.worst_group_floor > 0 && r->s->fairness.attribute_count == 0)
        return csl_yaml_fail(r->err, r->y, csl_study__at(section, "worst_group_floor"),
                             "without patient groups there is no worst one; a section 'fairness' "
                             "with attributes would be right");
    for (uint32_t d = 0; d < r->s->domain_count && raw.r.worst_group_floor > 0; d++)
        if (!csl_domain_is_counted(&r->s->domains[d]))
            return csl_yaml_fail(r->err, r->y, csl_study__at(section, "worst_group_floor"),
                                 "patient groups of a %s domain (%s) are not measured in "
                                 "this version; leaving it out would be right",
                                 csl_task_name(r->s->domains[d].task), r->s->domains[d].id);
    raw.r.is_on = true;
    raw.r.needs_card = raw.card == 1;
    raw.r.refuses_collapsed = raw.collapsed == 1;
    r->s->release = raw.r;
    return CSL_OK;
}

void csl_study__explain_release(const struct csl_study *s, struct csl_buf *out)
{
    const struct csl_study_fairness *f = &s->fairness;
    const struct csl_study_release *r = &s->release;
    if (f->attribute_count > 0) {
        csl_buf_str(out, "Whose quality is looked at by itself\n  Patients by ");
        for (uint32_t i = 0; i < f->attribute_count; i++)
            csl_buf_printf(out, "%s%s", i ? ", " : "", f->attributes[i]);
        csl_buf_printf(out,
                       ", where a group has at least %u test patients at %u sites. A "
                       "simulation adds up counts and\n    histograms of scores of every site; no "
                       "single score enters.\n",
                       f->minimum_group, f->minimum_sites);
    }
    csl_study__explain_groups(s, out);
    csl_study__explain_group_weights(s, out);
    csl_study__explain_domain_weights(s, out);
    if (!r->is_on)
        return;
    csl_buf_str(out, "What a model must reach before it is handed out\n");
    if (r->minimum_auc > 0)
        csl_buf_printf(out, "  An AUC (C-index for survival) of %g in every domain.\n",
                       r->minimum_auc);
    if (r->worst_group_floor > 0)
        csl_buf_printf(out, "  An AUC of %g in the worst patient group of every domain.\n",
                       r->worst_group_floor);
    if (r->refuses_collapsed)
        csl_buf_str(out, "  No class with a sensitivity or specificity below .05.\n");
    if (r->needs_card)
        csl_buf_str(out, "  A model card without an empty mandatory item.\n");
}
