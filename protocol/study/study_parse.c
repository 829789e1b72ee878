/* protocol/study/study_parse.c - from the bytes of a study file to a struct: the top level and the
 * helpers of the parts. */
#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "protocol/study/study_internal.h"

#include <stdio.h>
#include <string.h>

struct raw_study {
    char id[CSL_ID_MAX], question[256];
    uint32_t rounds;
    const struct csl_yaml_node *inputs, *domains, *model, *training, *aggregation, *privacy, *sites,
        *evaluation, *baselines, *personal, *simulation;
    const struct csl_yaml_node *secure_aggregation, *fairness, *statistics, *release, *census;
};

#define NODE(field, key, text)                                                                     \
    {                                                                                              \
        .name = key, .type = CSL_OPT_NODE, .offset = offsetof(struct raw_study, field),            \
        .help = text                                                                               \
    }

#define NAME_ROWS                                                                                  \
    {.name = "study",                                                                              \
     .type = CSL_OPT_ID,                                                                           \
     .offset = offsetof(struct raw_study, id),                                                     \
     .help = "Name of the study."},                                                                \
    {                                                                                              \
        .name = "question", .type = CSL_OPT_STR, .offset = offsetof(struct raw_study, question),   \
        .size = sizeof(((struct raw_study *)0)->question), .fallback = "",                         \
        .help = "The clinical question, in one sentence."                                          \
    }

static const struct csl_option study_rows[] = {
    NAME_ROWS,
    NODE(inputs, "inputs", "What several domains read, each with an encoder; one block each."),
    NODE(domains, "domains", "What is predicted from which data; one model block each."),
    NODE(model, "model", "Model of every domain that names none itself."),
    NODE(training, "training", "How a site trains in one round."),
    {.name = "rounds",
     .type = CSL_OPT_U32,
     .offset = offsetof(struct raw_study, rounds),
     .min = 1,
     .max = CSL_ROUNDS_MAX,
     .help = "Rounds of training."},
    NODE(aggregation, "aggregation", "How the sites' updates become the next model."),
    NODE(privacy, "privacy", "Noise that protects single patients."),
    NODE(sites, "sites", "Who takes part and how long a round waits."),
    NODE(evaluation, "evaluation", "When the model is evaluated."),
    NODE(baselines, "baselines", "Local and pooled training for comparison; simulations only."),
    NODE(personal, "personalisation",
         "What each site makes of the released model for itself; simulations only."),
    NODE(simulation, "simulation", "Where simulated sites get their records."),
    NODE(secure_aggregation, "secure_aggregation", "Sums under masks, so that no update is seen."),
    NODE(fairness, "fairness", "Patient groups whose quality is looked at by itself."),
    NODE(statistics, "statistics",
         "Counts of patients and the model's skill, summed under masks every so many rounds."),
    NODE(release, "release", "What a model must reach before it is handed out."),
    CSL_OPTION_END,
};

/* With a section 'census'. */
static const struct csl_option census_rows[] = {
    NAME_ROWS,
    NODE(census, "census", "Statistics of the data in place of a model."),
    NODE(domains, "domains", "Which data; the features with their ranges."),
    NODE(privacy, "privacy", "Noise that protects single patients."),
    NODE(sites, "sites", "Who takes part and how long the round waits."),
    NODE(simulation, "simulation", "Where simulated sites get their records."),
    NODE(secure_aggregation, "secure_aggregation", "Sums under masks, so that no site is seen."),
    CSL_OPTION_END,
};

static const struct csl_option evaluation_rows[] = {
    {.name = "every",
     .type = CSL_OPT_U32,
     .offset = 0,
     .max = CSL_ROUNDS_MAX,
     .fallback = "0",
     .unit = "rounds",
     .help = "Evaluate after every so many rounds; 0: only at the end."},
    CSL_OPTION_END,
};

const struct csl_yaml_node *csl_study__at(const struct csl_yaml_node *mapping, const char *key)
{
    const struct csl_yaml_node *value = csl_yaml_get(mapping, key);

    return value ? value : mapping;
}

static const char *kind_text(const struct csl_yaml_node *n)
{
    static const char *const texts[] = {"a single value", "a list", "a mapping"};

    return texts[n->kind];
}

enum csl_code csl_study__section(const struct csl_study_reader *r, const struct csl_option *rows,
                                 void *target, const struct csl_yaml_node *parent,
                                 const struct csl_yaml_node *section, const char *key)
{
    if (section && section->kind != CSL_YAML_MAPPING)
        return csl_yaml_fail(r->err, r->y, section,
                             "found %s; a mapping of keys to values would be right",
                             kind_text(section));
    for (const struct csl_option *row = rows; !section && row->name; row++) {
        bool is_required =
            !row->fallback && row->type != CSL_OPT_NODE && row->type != CSL_OPT_SECTION;
        if (is_required)
            return csl_yaml_fail(r->err, r->y, parent,
                                 "section '%s' is missing; at least '%s' must be said there", key,
                                 row->name);
    }
    return csl_option_read_yaml(rows, target, r->y, section, r->err);
}

enum csl_code csl_study__found(const struct csl_study_reader *r, const struct csl_yaml_node *at,
                               const char *expected)
{
    char shown[64];

    if (at->kind != CSL_YAML_SCALAR)
        return csl_yaml_fail(r->err, r->y, at, "found %s; %s would be right", kind_text(at),
                             expected);
    csl_str_escape(shown, sizeof(shown), at->text, strlen(at->text));
    return csl_yaml_fail(r->err, r->y, at, "found '%s'; %s would be right", shown, expected);
}

enum csl_code csl_study__check_list(const struct csl_study_reader *r,
                                    const struct csl_yaml_node *list, uint32_t least, uint32_t most,
                                    const char *items)
{
    if (list->kind != CSL_YAML_SEQUENCE)
        return csl_yaml_fail(r->err, r->y, list, "found %s; a list of %s would be right",
                             kind_text(list), items);
    if (list->child_count >= least && list->child_count <= most)
        return CSL_OK;
    if (least == most)
        return csl_yaml_fail(r->err, r->y, list, "found %u %s; %u would be right",
                             list->child_count, items, least);
    return csl_yaml_fail(r->err, r->y, list, "found %u %s; %u to %u would be right",
                         list->child_count, items, least, most);
}

enum csl_code csl_study__u32_list(const struct csl_study_reader *r,
                                  const struct csl_yaml_node *list, uint32_t least, uint32_t most,
                                  uint32_t max, uint32_t *values, uint32_t *count)
{
    enum csl_code code = csl_study__check_list(r, list, least, most, "whole numbers");
    uint32_t n = 0;

    if (code != CSL_OK)
        return code;
    for (const struct csl_yaml_node *item = list->first_child; item; item = item->next) {
        uint64_t v = 0;
        if (item->kind != CSL_YAML_SCALAR || !csl_parse_u64(item->text, &v) || v < 1 || v > max) {
            char expected[64];
            snprintf(expected, sizeof(expected), "a whole number from 1 to %u", max);
            return csl_study__found(r, item, expected);
        }
        values[n++] = (uint32_t)v;
    }
    *count = n;
    return CSL_OK;
}

enum csl_code csl_study__refuse_keys(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *mapping, const char *const *keys,
                                     const char *why)
{
    for (; mapping && *keys; keys++) {
        const struct csl_yaml_node *value = csl_yaml_get(mapping, *keys);
        if (value)
            return csl_yaml_fail(r->err, r->y, value, "has no effect here: %s", why);
    }
    return CSL_OK;
}

enum csl_code csl_study__id(const struct csl_study_reader *r, const struct csl_yaml_node *item,
                            char out[CSL_ID_MAX])
{
    if (item->kind != CSL_YAML_SCALAR || !csl_id_valid(item->text))
        return csl_study__found(r, item,
                                "the name of a site, 1 to 63 of a-z 0-9 . _ - and a letter or "
                                "digit first,");
    CSL_ASSERT(csl_str_copy(out, CSL_ID_MAX, item->text));
    return CSL_OK;
}

/* What is asked of which data: a model and how it is trained, or statistics. */
static enum csl_code read_question(const struct csl_study_reader *r,
                                   const struct csl_yaml_node *root, const struct raw_study *raw)
{
    enum csl_code code = CSL_OK;

    r->s->rounds = raw->rounds;
    if (raw->census) {
        code = csl_study__read_census(r, root, raw->census);
        return code == CSL_OK ? csl_study__read_domains(r, root, raw->domains, NULL) : code;
    }
    code = csl_study__read_inputs(r, raw->inputs);
    if (code == CSL_OK)
        code = csl_study__read_domains(r, root, raw->domains, raw->model);
    if (code == CSL_OK)
        code = csl_study__read_training(r, root, raw->training);
    if (code == CSL_OK)
        code = csl_study__read_aggregation(r, root, raw->aggregation);
    return code;
}

static enum csl_code read_root(const struct csl_study_reader *r, const struct csl_yaml_node *root)
{
    struct raw_study raw = {0};
    bool is_counted = csl_yaml_get(root, "census") != NULL;
    enum csl_code code =
        csl_option_read_yaml(is_counted ? census_rows : study_rows, &raw, r->y, root, r->err);

    if (code != CSL_OK)
        return code;
    CSL_ASSERT(csl_str_copy(r->s->id, sizeof(r->s->id), raw.id));
    CSL_ASSERT(csl_str_copy(r->s->question, sizeof(r->s->question), raw.question));
    code = read_question(r, root, &raw);
    if (code == CSL_OK)
        code = csl_study__read_privacy(r, root, raw.privacy);
    if (code == CSL_OK)
        code = csl_study__read_secagg(r, root, raw.secure_aggregation);
    if (code == CSL_OK)
        code = csl_study__read_fairness(r, root, raw.fairness);
    if (code == CSL_OK)
        code = csl_study__read_statistics(r, root, raw.statistics);
    if (code == CSL_OK)
        code = csl_study__read_release(r, root, raw.release);
    if (code == CSL_OK)
        code = csl_study__read_sites(r, root, raw.sites);
    if (code == CSL_OK)
        code = csl_study__section(r, evaluation_rows, &r->s->evaluate_every, root, raw.evaluation,
                                  "evaluation");
    if (code == CSL_OK && raw.baselines)
        code = csl_study__read_baselines(r, root, raw.baselines, "baselines", &r->s->baseline);
    if (code == CSL_OK)
        code = csl_study__read_personal(r, root, raw.personal);
    if (code == CSL_OK)
        code = csl_study__read_simulation(r, root, raw.simulation);
    if (code == CSL_OK)
        code = csl_study__check(r, root);
    if (code == CSL_OK)
        code = csl_study__build_schema(r, root);
    return code;
}

enum csl_code csl_study_parse(struct csl_study **out, const char *name, struct csl_span yaml,
                              struct csl_err *err)
{
    struct csl_study_reader r = {.err = err};
    struct csl_yaml *y = NULL;
    enum csl_code code;

    if (yaml.n > CSL_MANIFEST_BYTES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "%s: %zu bytes; a study of at most %u would be right",
                        name, yaml.n, CSL_MANIFEST_BYTES_MAX);
    code = csl_yaml_parse(&y, name, yaml, err);
    if (code != CSL_OK)
        return code;
    r.y = y;
    r.s = csl_alloc(sizeof(*r.s));
    code = r.s ? read_root(&r, csl_yaml_root(y))
               : CSL_FAIL(err, CSL_E_NOMEM, "%s: no memory for the study", name);
    csl_yaml_free(y);
    if (code == CSL_OK)
        code = csl_study__digest(r.s, err);
    if (code == CSL_OK)
        code = csl_msg_copy(&r.s->manifest, yaml, err);
    if (code != CSL_OK) {
        csl_study_free(r.s);
        return code;
    }
    *out = r.s;
    return CSL_OK;
}

enum csl_code csl_study_read(struct csl_study **out, const char *path, struct csl_err *err)
{
    struct csl_msg bytes = {0};
    enum csl_code code = csl_file_read(&bytes, path, CSL_MANIFEST_BYTES_MAX, err);

    if (code != CSL_OK)
        return code;
    code = csl_study_parse(out, path, csl_msg_span(&bytes), err);
    csl_msg_release(&bytes);
    return code;
}

void csl_study_free(struct csl_study *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->domain_count; i++) {
        csl_free(s->domains[i].features);
        csl_free(s->domains[i].labels);
    }
    for (uint32_t i = 0; i < s->input_count; i++)
        csl_free(s->inputs[i].features);
    csl_free(s->inputs);
    csl_free(s->domains);
    csl_free(s->aggregation.given);
    csl_free(s->participants);
    csl_free(s->sim_sites);
    csl_free(s->external_sites);
    csl_msg_release(&s->manifest);
    csl_free(s);
}

const struct csl_domain *csl_study_find_domain(const struct csl_study *s, const char *id)
{
    for (uint32_t i = 0; i < s->domain_count; i++) {
        if (strcmp(s->domains[i].id, id) == 0)
            return &s->domains[i];
    }
    return NULL;
}
