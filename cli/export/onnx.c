/* cli/export/onnx.c - networks as an ONNX graph. The layers are those the sites train with
 * (csl_net_init), so that what is exported is what was trained. */
#include "base/check.h"
#include "cli/export/export.h"
#include "cli/export/onnx_fusion.h"
#include "cli/export/onnx_input.h"
#include "cli/export/out_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_BYTES_MAX ((size_t)INT32_MAX) /* a protobuf message */
#define DOC_BYTES_MAX     (1u << 20)          /* every named feature with its constants */
#define DOC_MAX           (CSL_LABEL_TEXT_MAX + 256)

struct onnx {
    struct csl_onnx_graph graph;
    const struct csl_model_file *model;
    const struct csl_study *study;
    uint32_t domain;            /* or CSL_EXPORT_ALL_DOMAINS */
    struct csl_buf description; /* JSON: the features of one input, or inputs and domains */
};

/* The model as a study without inputs has it: one domain reads one modality. */
static bool is_single(const struct onnx *o)
{
    return o->study->input_count == 0;
}

static bool is_wanted(const struct onnx *o, uint32_t domain)
{
    return o->domain == CSL_EXPORT_ALL_DOMAINS || o->domain == domain;
}

/* A domain that is wanted reads the input. */
static bool is_read(const struct onnx *o, uint32_t input)
{
    bool found = false;
    for (uint32_t d = 0; d < o->study->domain_count; d++)
        found = found || (is_wanted(o, d) && csl_domain_has_input(&o->study->domains[d], input));
    return found;
}

/* --- from logits to what is predicted; also says what it is --- */

static void add_prediction(struct csl_onnx_net *o, char doc[DOC_MAX])
{
    const struct csl_domain *d = o->domain;
    char labels[CSL_LABEL_TEXT_MAX];
    csl_domain_label_text(d, labels, sizeof(labels));
    switch (d->task) {
    case CSL_TASK_BINARY:
        csl_onnx__add(o, "Sigmoid", NULL, NULL, "probability");
        snprintf(doc, DOC_MAX, "Probability that %s is 1%s%s.", d->label,
                 d->positive[0] ? ", which means: " : "", d->positive);
        return;
    case CSL_TASK_CLASSES:
        csl_onnx__add_with(o, "Softmax", "axis", 1, "probabilities");
        snprintf(doc, DOC_MAX, "Probabilities of the classes 0 to %u of %s, in this order.",
                 d->classes - 1, d->label);
        return;
    case CSL_TASK_LABELS:
        csl_onnx__add(o, "Sigmoid", NULL, NULL, "probabilities");
        snprintf(doc, DOC_MAX, "Probability that each of these labels is 1, in this order: %s.",
                 labels);
        return;
    case CSL_TASK_SURVIVAL:
    case CSL_TASK_KIND_COUNT:
        break;
    }
    csl_onnx__add(o, "Identity", NULL, NULL, "log_hazard_ratio");
    snprintf(doc, DOC_MAX,
             "Linear predictor of a Cox model of %s: the logarithm of the hazard, up to a constant "
             "that is the same for all patients. Larger: at higher risk.",
             d->label);
}

/* An output of the graph: what was made last. */
static void add_output(struct csl_onnx_net *o)
{
    char doc[DOC_MAX];
    add_prediction(o, doc);
    const struct csl_onnx_value v = {.name = o->value,
                                     .doc = doc,
                                     .type = CSL_ONNX_FLOAT,
                                     .rank = 1,
                                     .shape = {o->domain->outputs}};
    csl_onnx__output(o->graph, &v);
}

/* --- the parts --- */

static enum csl_code declare(struct onnx *o, const struct csl_domain *d, const char *name,
                             struct csl_err *err)
{
    if (d->scatters)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "%s is read as scattering coefficients, which have no ONNX form here; "
                        "--format safetensors would be right",
                        d->id);
    struct csl_buf doc;
    csl_buf_init(&doc, DOC_BYTES_MAX);
    csl_onnx__describe(d, &doc);
    csl_onnx__declare(d, name, csl_buf_text(&doc), &o->graph);
    enum csl_code code = csl_buf_status(&doc, err);
    csl_buf_release(&doc);
    return code;
}

static enum csl_code add_single(struct onnx *o, struct csl_err *err)
{
    const struct csl_domain *d = &o->study->domains[o->domain];
    struct csl_onnx_net n = {.graph = &o->graph, .model = o->model, .domain = d};
    struct csl_json features;
    csl_json_init(&features, &o->description, false);
    csl_onnx__list_features(d, &features);
    snprintf(n.value, sizeof(n.value), "%s", csl_onnx__input_name(d));
    enum csl_code code = declare(o, d, n.value, err);
    if (code == CSL_OK)
        code = csl_net_init(&n.net, o->study, o->domain, err);
    if (code == CSL_OK)
        code = csl_onnx__scaling(&n, err);
    if (code == CSL_OK)
        code = csl_onnx__layers(&n, err);
    if (code == CSL_OK)
        add_output(&n);
    return code;
}

/* What a site trains for itself, the model does not have. */
static enum csl_code check_kind(const struct csl_domain *d, const char *block, struct csl_err *err)
{
    if (d->block_kind != CSL_BLOCK_LOCAL)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                    "block %s is local: each site has its own, and this model has the values that "
                    "it began with; --domain with a domain without local parts would be right",
                    block);
}

static enum csl_code add_encoder(struct onnx *o, uint32_t input, struct csl_err *err)
{
    const struct csl_domain *d = &o->study->inputs[input];
    struct csl_onnx_net n = {.graph = &o->graph, .model = o->model, .domain = d};
    char block[CSL_ID_MAX], present[CSL_ONNX_NAME_MAX], doc[2 * CSL_ID_MAX + 128];
    csl_study_input_block(block, d);
    enum csl_code code = check_kind(d, block, err);
    if (code == CSL_OK)
        code = csl_net_init_input(&n.net, o->study, input, err);
    if (code != CSL_OK)
        return code;
    snprintf(n.value, sizeof(n.value), "/%s", d->id);
    code = declare(o, d, n.value, err);
    if (code != CSL_OK)
        return code;
    csl_onnx__presence(present, d);
    snprintf(doc, sizeof(doc),
             "True where the record has %s; where it is false, the values of %s are not used.",
             d->id, d->id);
    const struct csl_onnx_value presence = {
        .name = present, .doc = doc, .type = CSL_ONNX_BOOL, .rank = 1, .shape = {1}};
    csl_onnx__input(&o->graph, &presence);
    snprintf(o->graph.prefix, sizeof(o->graph.prefix), "%s/", block);
    code = csl_onnx__scaling(&n, err);
    if (code == CSL_OK)
        code = csl_onnx__layers(&n, err);
    if (code == CSL_OK)
        csl_onnx__embed(&n);
    return code;
}

static enum csl_code add_head(struct onnx *o, uint32_t domain, struct csl_err *err)
{
    const struct csl_domain *d = &o->study->domains[domain];
    struct csl_onnx_net n = {.graph = &o->graph, .model = o->model, .domain = d};
    enum csl_code code = check_kind(d, d->id, err);
    if (code == CSL_OK)
        code = csl_net_init(&n.net, o->study, domain, err);
    if (code != CSL_OK)
        return code;
    snprintf(o->graph.prefix, sizeof(o->graph.prefix), "%s/", d->id);
    csl_onnx__fuse(&n, o->study);
    code = csl_onnx__layers(&n, err);
    if (code == CSL_OK)
        add_output(&n);
    return code;
}

static void list_inputs(struct onnx *o, struct csl_json *j)
{
    csl_json_array(j);
    for (uint32_t i = 0; i < o->study->input_count; i++) {
        const struct csl_domain *d = &o->study->inputs[i];
        if (!is_read(o, i))
            continue;
        csl_json_object(j);
        csl_json_put_str(j, "input", d->id);
        csl_json_put_str(j, "modality", csl_modality_name(d->modality));
        csl_json_put_str(j, "scaling", csl_onnx__scaling_text(d));
        csl_json_key(j, "features");
        csl_onnx__list_features(d, j);
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void list_domains(struct onnx *o, struct csl_json *j)
{
    csl_json_array(j);
    for (uint32_t d = 0; d < o->study->domain_count; d++) {
        const struct csl_domain_fusion *f = &o->study->domains[d].fusion;
        char labels[CSL_LABEL_TEXT_MAX];
        if (!is_wanted(o, d))
            continue;
        csl_domain_label_text(&o->study->domains[d], labels, sizeof(labels));
        csl_json_object(j);
        csl_json_put_str(j, "domain", o->study->domains[d].id);
        csl_json_put_str(j, "label", labels);
        csl_json_key(j, "inputs");
        csl_json_array(j);
        for (uint32_t i = 0; i < f->input_count; i++)
            csl_json_str(j, o->study->inputs[f->inputs[i]].id);
        csl_json_end(j);
        csl_json_end(j);
    }
    csl_json_end(j);
}

static enum csl_code add_fused(struct onnx *o, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    struct csl_json j;
    for (uint32_t i = 0; i < o->study->input_count && code == CSL_OK; i++)
        if (is_read(o, i))
            code = add_encoder(o, i, err);
    for (uint32_t d = 0; d < o->study->domain_count && code == CSL_OK; d++)
        if (is_wanted(o, d))
            code = add_head(o, d, err);
    csl_json_init(&j, &o->description, false);
    csl_json_object(&j);
    csl_json_key(&j, "inputs");
    list_inputs(o, &j);
    csl_json_key(&j, "domains");
    list_domains(o, &j);
    csl_json_end(&j);
    return code;
}

/* --- the whole --- */

static void put_digest(struct csl_buf *out, const char *key, const uint8_t digest[CSL_DIGEST_BYTES])
{
    char hex[2 * CSL_DIGEST_BYTES + 1];
    csl_hex(digest, CSL_DIGEST_BYTES, hex);
    csl_onnx__metadata(out, key, hex);
}

static void describe_single(const struct onnx *o, struct csl_buf *out)
{
    const struct csl_domain *d = &o->study->domains[o->domain];
    char labels[CSL_LABEL_TEXT_MAX];
    csl_domain_label_text(d, labels, sizeof(labels));
    csl_onnx__metadata(out, "consilium.domain", d->id);
    csl_onnx__metadata(out, "consilium.label", labels);
    csl_onnx__metadata(out, "consilium.scaling", csl_onnx__scaling_text(d));
    if (d->feature_count > 0)
        csl_onnx__metadata(out, "consilium.features", csl_buf_text(&o->description));
}

static void put_metadata(void *ctx, struct csl_buf *out)
{
    const struct onnx *o = ctx;
    char round[24];
    snprintf(round, sizeof(round), "%" PRIu64, o->model->info.round);
    csl_onnx__metadata(out, "consilium.study", o->study->id);
    put_digest(out, "consilium.study_digest", o->study->digest);
    put_digest(out, "consilium.schema_digest", o->model->schema->digest);
    put_digest(out, "consilium.model_digest", o->model->digest);
    csl_onnx__metadata(out, "consilium.round", round);
    if (is_single(o))
        describe_single(o, out);
    else
        csl_onnx__metadata(out, "consilium.parts", csl_buf_text(&o->description));
}

static enum csl_code check_model(const struct csl_model_file *m, const struct csl_study *study,
                                 struct csl_err *err)
{
    if (memcmp(m->info.study_digest, study->digest, CSL_DIGEST_BYTES) == 0 &&
        memcmp(m->schema->digest, study->schema.digest, CSL_DIGEST_BYTES) == 0)
        return CSL_OK;
    char found[2 * CSL_DIGEST_BYTES + 1], wanted[2 * CSL_DIGEST_BYTES + 1];
    csl_hex(study->digest, CSL_DIGEST_BYTES, found);
    csl_hex(m->info.study_digest, CSL_DIGEST_BYTES, wanted);
    return CSL_FAIL(err, CSL_E_INVAL,
                    "found study %s with digest %.16s; the model is of study %s with digest %.16s, "
                    "and the file of that study would be right",
                    study->id, found, m->info.study, wanted);
}

static enum csl_code build(struct onnx *o, struct csl_buf *out, struct csl_err *err)
{
    const struct csl_onnx_model m = {.name = o->domain == CSL_EXPORT_ALL_DOMAINS
                                                 ? o->study->id
                                                 : o->study->domains[o->domain].id,
                                     .doc = o->study->question,
                                     .put_metadata = put_metadata,
                                     .ctx = o};
    enum csl_code code = is_single(o) ? add_single(o, err) : add_fused(o, err);
    if (code != CSL_OK)
        return code;
    csl_onnx__model(out, &o->graph, &m);
    const struct csl_buf *parts[] = {&o->description,  &o->graph.nodes,   &o->graph.constants,
                                     &o->graph.inputs, &o->graph.outputs, out};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && code == CSL_OK; i++)
        code = csl_buf_status(parts[i], err);
    return code;
}

static enum csl_code write_file(const char *path, const struct csl_buf *message,
                                struct csl_err *err)
{
    char tmp[CSL_PATH_MAX];
    FILE *f = NULL;
    enum csl_code code = csl_export__open(path, tmp, &f, err);
    if (code != CSL_OK)
        return code;
    if (fwrite(message->p, 1, message->n, f) != message->n)
        code = CSL_FAIL_SYS(err, CSL_E_IO, "%s: cannot be written", tmp);
    return csl_export__close(path, tmp, f, code, err);
}

enum csl_code csl_export_onnx(const struct csl_model_file *m, const struct csl_study *study,
                              uint32_t domain, const char *path, struct csl_err *err)
{
    CSL_ASSERT(domain < study->domain_count ||
               (domain == CSL_EXPORT_ALL_DOMAINS && study->input_count > 0));
    struct onnx o = {.model = m, .study = study, .domain = domain};
    struct csl_buf out;
    enum csl_code code = check_model(m, study, err);
    if (code != CSL_OK)
        return code;
    csl_buf_init(&o.description, DOC_BYTES_MAX);
    csl_buf_init(&out, MESSAGE_BYTES_MAX);
    csl_onnx__init(&o.graph, MESSAGE_BYTES_MAX);
    code = build(&o, &out, err);
    if (code == CSL_OK)
        code = write_file(path, &out, err);
    csl_onnx__release(&o.graph);
    csl_buf_release(&out);
    csl_buf_release(&o.description);
    return code;
}
