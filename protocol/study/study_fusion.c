/* protocol/study/study_fusion.c - several modalities in one study: domains that read its inputs,
 * and the inputs' encoders. */
#include "base/check.h"
#include "base/str.h"
#include "protocol/study/study_internal.h"

#include <string.h>

const char *csl_study__noun(const struct csl_study_reader *r, const struct csl_domain *d)
{
    for (uint32_t i = 0; i < r->s->input_count; i++)
        if (d == &r->s->inputs[i])
            return "input";
    return "domain";
}

enum csl_code csl_study__check_reads(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *domain, bool is_fused)
{
    if (is_fused && r->s->input_count == 0)
        return csl_yaml_fail(r->err, r->y, csl_study__at(domain, "inputs"),
                             "the study has no section 'inputs' that names them");
    if (!is_fused && r->s->input_count > 0)
        return csl_yaml_fail(r->err, r->y, domain,
                             "a study with 'inputs' has domains that read them; 'inputs', the list "
                             "of those this domain reads, in place of a modality would be right");
    return CSL_OK;
}

static enum csl_code find_input(const struct csl_study_reader *r, const struct csl_yaml_node *item,
                                uint32_t *index)
{
    for (uint32_t i = 0; item->kind == CSL_YAML_SCALAR && i < r->s->input_count; i++) {
        if (strcmp(r->s->inputs[i].id, item->text) != 0)
            continue;
        *index = i;
        return CSL_OK;
    }
    return csl_study__found(r, item, "the id of an input of the study");
}

/* They stand in the order of the study's inputs, however the domain lists them. */
enum csl_code csl_study__read_fused(const struct csl_study_reader *r,
                                    const struct csl_yaml_node *list, struct csl_domain *d)
{
    bool is_read[CSL_STUDY_INPUTS_MAX] = {false};
    enum csl_code code = csl_study__check_list(r, list, 1, CSL_STUDY_INPUTS_MAX, "inputs, by id");
    uint64_t width = 0;

    for (const struct csl_yaml_node *item = list->first_child; code == CSL_OK && item;
         item = item->next) {
        uint32_t index = 0;
        code = find_input(r, item, &index);
        if (code == CSL_OK && is_read[index])
            code = csl_yaml_fail(r->err, r->y, item, "input '%s' is listed twice", item->text);
        is_read[index] = true;
    }
    if (code != CSL_OK)
        return code;
    for (uint32_t i = 0; i < r->s->input_count; i++) {
        if (!is_read[i])
            continue;
        d->fusion.inputs[d->fusion.input_count++] = i;
        width += r->s->inputs[i].width;
    }
    d->scale = 1;
    d->width = (uint32_t)width; /* at most CSL_STUDY_INPUTS_MAX * CSL_FEATURES_MAX */
    return CSL_OK;
}

enum csl_code csl_study__read_encoder(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *input,
                                      const struct csl_yaml_node *section, struct csl_domain *d)
{
    enum csl_code code;

    if (!section)
        return csl_yaml_fail(r->err, r->y, input,
                             "input '%s' has no encoder; for example encoder: {kind: linear} would "
                             "be right",
                             d->id);
    d->task = CSL_TASK_BINARY; /* of no meaning, but that it is not survival */
    d->classes = 2;
    code = csl_study__read_model(r, input, section, NULL, d);
    if (code == CSL_OK && !d->has_bias)
        code = csl_yaml_fail(r->err, r->y, csl_study__at(section, "bias"),
                             "an encoder always has one; leaving the key out would be right");
    return code;
}

/* Its encoder's last layer gives what the domains that read it fuse. */
static enum csl_code give_width(const struct csl_study_reader *r, const struct csl_yaml_node *at,
                                struct csl_domain *input, const struct csl_domain *d)
{
    if (input->outputs != 0 && input->outputs != d->sizes.width)
        return csl_yaml_fail(r->err, r->y, at,
                             "domain '%s' fuses values of width %u, another domain those of input "
                             "'%s' of width %u; one width for all that share an input would be "
                             "right",
                             d->id, d->sizes.width, input->id, input->outputs);
    input->outputs = d->sizes.width;
    return CSL_OK;
}

bool csl_domain_has_input(const struct csl_domain *d, uint32_t input)
{
    for (uint32_t i = 0; i < d->fusion.input_count; i++)
        if (d->fusion.inputs[i] == input)
            return true;
    return false;
}

bool csl_study_has_kind(const struct csl_study *s, enum csl_block_kind kind)
{
    for (uint32_t i = 0; i < s->domain_count; i++)
        if (s->domains[i].block_kind == kind)
            return true;
    for (uint32_t i = 0; i < s->input_count; i++)
        if (s->inputs[i].block_kind == kind)
            return true;
    return false;
}

static bool has_adapter(const struct csl_study *s)
{
    for (uint32_t i = 0; i < s->input_count; i++)
        if (s->inputs[i].adapter.rank > 0)
            return true;
    return false;
}

/* Blocks that stay where they are, against what the rest of the study needs of all blocks. */
static enum csl_code check_kinds(const struct csl_study_reader *r, const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;
    bool has_local = csl_study_has_kind(s, CSL_BLOCK_LOCAL);

    if (!has_local && !csl_study_has_kind(s, CSL_BLOCK_FROZEN))
        return CSL_OK;
    if (!csl_study_has_kind(s, CSL_BLOCK_SHARED) && !has_adapter(s))
        return csl_yaml_fail(r->err, r->y, csl_study__at(root, "domains"),
                             "every block of the model is frozen or local, so that a round would "
                             "send nothing; train: all for one of them at least would be right");
    if (strcmp(s->aggregation.strategy, "scaffold") == 0)
        return csl_yaml_fail(r->err, r->y, csl_study__at(root, "aggregation"),
                             "strategy scaffold corrects every block by a control that the "
                             "coordinator has, which it has of no frozen or local block; fedavg "
                             "would be right");
    if (has_local && s->privacy.mode == CSL_PRIVACY_SITE)
        return csl_yaml_fail(r->err, r->y, csl_study__at(root, "privacy"),
                             "mode site noises what leaves, and a local block, which is not "
                             "noised, would shape every later update; mode local, which noises "
                             "its steps too, would be right");
    if (has_local && s->privacy.mode == CSL_PRIVACY_JOINT)
        return csl_yaml_fail(r->err, r->y, csl_study__at(root, "privacy"),
                             "a site of mode joint has a share of the noise only, and a local "
                             "block, which no other site's share reaches, would shape every later "
                             "gradient; mode local would be right");
    if (has_local && s->personal.is_on)
        return csl_yaml_fail(r->err, r->y, csl_study__at(root, "personalisation"),
                             "a study with local blocks has a model of each site's own already; "
                             "no section personalisation would be right");
    return CSL_OK;
}

enum csl_code csl_study__check_fusion(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *root)
{
    struct csl_study *s = r->s;
    const struct csl_yaml_node *inputs = csl_study__at(root, "inputs");
    const struct csl_yaml_node *domains = csl_study__at(root, "domains");
    enum csl_code code = CSL_OK;

    if (s->input_count == 0)
        return CSL_OK;
    const struct csl_yaml_node *item = domains->first_child;
    for (uint32_t i = 0; i < s->domain_count; i++, item = item->next)
        for (uint32_t k = 0; k < s->domains[i].fusion.input_count && code == CSL_OK; k++)
            code = give_width(r, csl_study__at(item, "model"),
                              &s->inputs[s->domains[i].fusion.inputs[k]], &s->domains[i]);
    item = inputs->first_child;
    for (uint32_t i = 0; i < s->input_count && code == CSL_OK; i++, item = item->next)
        if (s->inputs[i].outputs == 0)
            code = csl_yaml_fail(r->err, r->y, item,
                                 "input '%s' is read by no domain; leaving it out would be right",
                                 s->inputs[i].id);
    return code == CSL_OK ? check_kinds(r, root) : code;
}
