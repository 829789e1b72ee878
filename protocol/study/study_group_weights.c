/* protocol/study/study_group_weights.c - fairness.weights: patients of some groups count more in
 * the training of their own site. */
#include "base/str.h"
#include "protocol/study/evaluation.h"
#include "protocol/study/study_internal.h"

#include <stddef.h>

#define AT(field) .offset = offsetof(struct csl_study_group_weights, field)

static const struct csl_option weight_rows[] = {
    {.name = "alpha",
     .type = CSL_OPT_F64,
     AT(alpha),
     .min = 0,
     .max = 1,
     .fallback = "0.5",
     .help = "How much rarity counts: a group's share of the site's patients to this power, "
             "inverted."},
    {.name = "beta",
     .type = CSL_OPT_F64,
     AT(beta),
     .min = 0,
     .max = 4,
     .fallback = "1",
     .help = "How much difficulty counts: the model's skill for the group to this power, "
             "inverted."},
    {.name = "cap",
     .type = CSL_OPT_F64,
     AT(cap),
     .min = 1,
     .max = 16,
     .fallback = "2",
     .help = "No patient counts more than this squared times another one."},
    CSL_OPTION_END,
};

enum csl_code csl_study__read_group_weights(const struct csl_study_reader *r,
                                            const struct csl_yaml_node *parent,
                                            const struct csl_yaml_node *section)
{
    struct csl_study_group_weights raw = {0};
    if (section == NULL)
        return CSL_OK;
    enum csl_code code = csl_study__section(r, weight_rows, &raw, parent, section, "weights");
    if (code != CSL_OK)
        return code;
    raw.is_on = true;
    r->s->fairness.weights = raw;
    return CSL_OK;
}

/* A patient's weight must not depend on other patients but through what is noised and charged. */
static enum csl_code check_published(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *at)
{
    const struct csl_study *s = r->s;
    if (s->input_count == 0)
        return csl_yaml_fail(r->err, r->y, at,
                             "in mode joint patients are weighed in studies with inputs only, in "
                             "this version; leaving the key out would be right");
    if (csl_study_published_attributes(s) == 0)
        return csl_yaml_fail(r->err, r->y, at,
                             "in mode joint weights come from sums with noise that the sites "
                             "publish; a section 'statistics' with 'groups' would be right");
    return CSL_OK;
}

enum csl_code csl_study__check_group_weights(const struct csl_study_reader *r,
                                             const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;
    if (!s->fairness.weights.is_on)
        return CSL_OK;
    const struct csl_yaml_node *at = csl_study__at(csl_study__at(root, "fairness"), "weights");
    if (s->privacy.mode == CSL_PRIVACY_JOINT)
        return check_published(r, at);
    if (s->privacy.mode != CSL_PRIVACY_NONE)
        return csl_yaml_fail(r->err, r->y, at,
                             "a patient's weight comes from the groups and losses of all patients "
                             "of the site, which nothing noises and no ledger is charged for; "
                             "privacy mode none, mode joint with statistics by group, or no "
                             "weights, would be right");
    if (s->input_count > 0)
        return csl_yaml_fail(r->err, r->y, at,
                             "patients of studies with inputs are not weighed in this version; "
                             "leaving the key out would be right");
    for (uint32_t d = 0; d < s->domain_count; d++)
        if (!csl_domain_is_counted(&s->domains[d]))
            return csl_yaml_fail(r->err, r->y, at,
                                 "patients of a %s domain (%s) are not weighed in this "
                                 "version; leaving the key out would be right",
                                 csl_task_name(s->domains[d].task), s->domains[d].id);
    return CSL_OK;
}

void csl_study__explain_group_weights(const struct csl_study *s, struct csl_buf *out)
{
    const struct csl_study_fairness *f = &s->fairness;
    char text[4][32];

    if (!f->weights.is_on)
        return;
    csl_str_f64(text[0], sizeof(text[0]), f->weights.alpha);
    csl_str_f64(text[1], sizeof(text[1]), f->weights.beta);
    csl_str_f64(text[2], sizeof(text[2]), f->weights.cap);
    csl_str_f64(text[3], sizeof(text[3]), f->weights.cap * f->weights.cap);
    if (csl_study_weighs_published(s)) {
        csl_buf_printf(out,
                       "  In training, patients of a group count the more the fewer they are in "
                       "the federation (exponent %s) and the\n    less skill the model has for "
                       "them (exponent %s), by the published statistics; with the cap of %s no "
                       "patient counts\n    more than %s times another. A patient's clipped "
                       "gradient is multiplied by at most 1, so that nobody counts\n    more than "
                       "the clip, at the same price; the noise then counts for more against it.\n",
                       text[0], text[1], text[2], text[3]);
        return;
    }
    csl_buf_printf(out,
                   "  In the training of a site, patients of a group count the more the smaller "
                   "the group is there (exponent %s)\n    and the less skill the model has for it "
                   "(exponent %s); with the cap of %s no patient counts more than\n    %s times "
                   "another. A group with fewer than %u training patients at the site counts by "
                   "its attributes taken one\n    by one; where none is known, all count alike. "
                   "Groups, their sizes and the weights stay at the site; its\n    update depends "
                   "on them.\n",
                   text[0], text[1], text[2], text[3], f->minimum_group);
}
