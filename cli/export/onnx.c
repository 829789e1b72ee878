/* cli/export/onnx.c - one domain's network as an ONNX graph. The layers are those the sites train
 * with (csl_net_init), so that what is exported is what was trained. */
#include "base/check.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/export/export.h"
#include "cli/export/onnx_layers.h"
#include "cli/export/out_file.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_BYTES_MAX ((size_t)INT32_MAX) /* a protobuf message */
#define DOC_BYTES_MAX     (1u << 20)          /* every named feature with its constants */

struct onnx {
    struct csl_onnx_net n;
    const struct csl_study *study;
    struct csl_buf input_doc, features;
    char labels[CSL_LABEL_TEXT_MAX]; /* what the domain predicts */
    char output_doc[CSL_LABEL_TEXT_MAX + 256];
};

/* How the input of a modality is called, its axes after the record's, and what they are. */
static const struct {
    const char *name;
    uint32_t rank;
    const char *axes; /* NULL: one, of features or values */
} inputs[CSL_MODALITY_COUNT] = {
    [CSL_TABULAR] = {"features", 1, NULL},
    [CSL_IMAGE2D] = {"image", 3, "record, row, column, channel"},
    [CSL_SIGNAL] = {"signal", 2, "record, sample, channel"},
    [CSL_EHR_SERIES] = {"series", 2, "record, step, feature"},
    [CSL_TEXT] = {"tokens", 1, NULL},
    [CSL_EMBEDDING] = {"embedding", 1, NULL},
    [CSL_IMAGE3D] = {"volume", 4, "record, slice, row, column, channel"},
};

/* --- from raw values to inputs: the steps of csl_examples_scale__ --- */

/* One float64 of every input along the last axis, by offset in csl_feature; `other` for those that
 * are no values of a feature (a mask, a time, a count). */
static enum csl_code feature_constant(struct onnx *o, const char *name, size_t offset, double other,
                                      double (*change)(double), struct csl_err *err)
{
    const struct csl_domain *d = o->n.domain;
    bool is_series = d->modality == CSL_EHR_SERIES;
    uint32_t count = is_series ? d->shape[1] : d->feature_count;
    const uint64_t shape[1] = {count};
    double *values = csl_alloc_array(count, sizeof(*values));
    if (values == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u constants", count);
    for (uint32_t k = 0; k < count; k++) {
        const struct csl_feature *f = &d->features[k % d->feature_count];
        memcpy(&values[k], (const char *)f + offset, sizeof(values[k]));
        if (!csl_domain_is_value(d, k))
            values[k] = other;
        if (change != NULL)
            values[k] = change(values[k]);
    }
    csl_onnx__constant(&o->n.graph, name, CSL_ONNX_DOUBLE, 1, shape, values);
    csl_free(values);
    return CSL_OK;
}

/* A feature that is not clipped has clip 0. */
static double lowest(double clip)
{
    return clip > 0 ? -clip : -HUGE_VAL;
}

static double highest(double clip)
{
    return clip > 0 ? clip : HUGE_VAL;
}

static enum csl_code add_constants(struct onnx *o, struct csl_err *err)
{
    const struct csl_domain *d = o->n.domain;
    enum csl_code code = CSL_OK;
    if (d->scaling == CSL_SCALING_SITE)
        return CSL_OK;
    if (d->feature_count > 0) { /* along the last axis */
        code = feature_constant(o, "scaling.centre", offsetof(struct csl_feature, centre), 0, NULL,
                                err);
        if (code == CSL_OK)
            code = feature_constant(o, "scaling.scale", offsetof(struct csl_feature, scale),
                                    d->measured_scale, NULL, err);
    } else {
        csl_onnx__constant(&o->n.graph, "scaling.centre", CSL_ONNX_DOUBLE, 0, NULL, &d->centre);
        csl_onnx__constant(&o->n.graph, "scaling.scale", CSL_ONNX_DOUBLE, 0, NULL, &d->scale);
    }
    csl_onnx__add(&o->n, "Sub", "scaling.centre", NULL, "centred");
    csl_onnx__add(&o->n, "Div", "scaling.scale", NULL, "scaled");
    return code;
}

static enum csl_code add_clip(struct onnx *o, struct csl_err *err)
{
    const struct csl_domain *d = o->n.domain;
    size_t clip = offsetof(struct csl_feature, clip);
    bool is_clipped = false;
    for (uint32_t k = 0; k < d->feature_count; k++)
        is_clipped = is_clipped || d->features[k].clip > 0;
    if (!is_clipped)
        return CSL_OK;
    enum csl_code code = feature_constant(o, "scaling.lowest", clip, 0, lowest, err);
    if (code == CSL_OK)
        code = feature_constant(o, "scaling.highest", clip, 0, highest, err);
    csl_onnx__add(&o->n, "Max", "scaling.lowest", NULL, "cut_below");
    csl_onnx__add(&o->n, "Min", "scaling.highest", NULL, "cut");
    return code;
}

static enum csl_code add_scaling(struct onnx *o, struct csl_err *err)
{
    const double zero = 0;
    csl_onnx__add_with(&o->n, "Cast", "to", CSL_ONNX_DOUBLE, "raw");
    enum csl_code code = add_constants(o, err);
    if (code != CSL_OK)
        return code;
    const struct csl_onnx_node missing = {.op = "IsNaN", .inputs = {"raw"}, .output = "is_missing"};
    csl_onnx__node(&o->n.graph, &missing);
    csl_onnx__constant(&o->n.graph, "scaling.missing", CSL_ONNX_DOUBLE, 0, NULL, &zero);
    const struct csl_onnx_node known = {
        .op = "Where", .inputs = {"is_missing", "scaling.missing", o->n.value}, .output = "known"};
    csl_onnx__node(&o->n.graph, &known);
    snprintf(o->n.value, sizeof(o->n.value), "known");
    code = add_clip(o, err);
    csl_onnx__add_with(&o->n, "Cast", "to", CSL_ONNX_FLOAT, "input");
    if (o->n.domain->modality != CSL_TABULAR && o->n.domain->sizes.stages == 0)
        csl_onnx__add_with(&o->n, "Flatten", "axis", 1, "row");
    return code;
}

/* --- from logits to what is predicted; also says what it is --- */

static void add_prediction(struct onnx *o)
{
    const struct csl_domain *d = o->n.domain;
    csl_domain_label_text(d, o->labels, sizeof(o->labels));
    switch (d->task) {
    case CSL_TASK_BINARY:
        csl_onnx__add(&o->n, "Sigmoid", NULL, NULL, "probability");
        snprintf(o->output_doc, sizeof(o->output_doc), "Probability that %s is 1%s%s.", d->label,
                 d->positive[0] ? ", which means: " : "", d->positive);
        return;
    case CSL_TASK_CLASSES:
        csl_onnx__add_with(&o->n, "Softmax", "axis", 1, "probabilities");
        snprintf(o->output_doc, sizeof(o->output_doc),
                 "Probabilities of the classes 0 to %u of %s, in this order.", d->classes - 1,
                 d->label);
        return;
    case CSL_TASK_LABELS:
        csl_onnx__add(&o->n, "Sigmoid", NULL, NULL, "probabilities");
        snprintf(o->output_doc, sizeof(o->output_doc),
                 "Probability that each of these labels is 1, in this order: %s.", o->labels);
        return;
    case CSL_TASK_SURVIVAL:
    case CSL_TASK_KIND_COUNT:
        break;
    }
    csl_onnx__add(&o->n, "Identity", NULL, NULL, "log_hazard_ratio");
    snprintf(o->output_doc, sizeof(o->output_doc),
             "Linear predictor of a Cox model of %s: the logarithm of the hazard, up to a constant "
             "that is the same for all patients. Larger: at higher risk.",
             d->label);
}

/* --- what people and programs read --- */

static const char *scaling_text(const struct csl_domain *d)
{
    return d->scaling == CSL_SCALING_SITE
               ? "site: the input must be standardised before it comes here, (x - mean) / standard "
                 "deviation of the training patients of the place where the model is used; those "
                 "constants are not in this file"
               : "constants: the input is raw; centre and scale are in this file";
}

static void describe_input(struct onnx *o)
{
    const struct csl_domain *d = o->n.domain;
    struct csl_buf *b = &o->input_doc;
    csl_buf_printf(b, "Scaling by %s. A missing value is NaN.", scaling_text(d));
    if (inputs[d->modality].axes != NULL)
        csl_buf_printf(b, " Axes: %s.", inputs[d->modality].axes);
    for (uint32_t k = 0; k < d->feature_count; k++) {
        const struct csl_feature *f = &d->features[k];
        csl_buf_printf(b, "%s%s", k == 0 ? " Features, in this order: " : ", ", f->name);
        if (f->unit[0])
            csl_buf_printf(b, " [%s]", f->unit);
    }
    if (d->missing != CSL_MISSING_CENTRE)
        csl_buf_printf(b, "; then in the same order 1 where measured, else 0%s",
                       d->missing == CSL_MISSING_MASK_AND_DELTA
                           ? "; then steps since the last measurement, over all steps"
                           : "");
    if (d->windows > 0)
        csl_buf_printf(b,
                       "; of each window of %u steps / %u first all means, then all smallest, "
                       "largest, first and last values, and the part of the steps measured",
                       d->steps, d->windows);
}

/* The features once more as JSON, for programs. */
static void list_features(struct onnx *o)
{
    const struct csl_domain *d = o->n.domain;
    struct csl_json j;
    csl_json_init(&j, &o->features, false);
    csl_json_array(&j);
    for (uint32_t k = 0; k < d->feature_count; k++) {
        const struct csl_feature *f = &d->features[k];
        csl_json_object(&j);
        csl_json_put_str(&j, "name", f->name);
        csl_json_put_str(&j, "unit", f->unit);
        if (d->scaling == CSL_SCALING_CONSTANTS) {
            csl_json_put_f64(&j, "centre", f->centre);
            csl_json_put_f64(&j, "scale", f->scale);
        }
        csl_json_put_f64(&j, "clip", f->clip);
        csl_json_end(&j);
    }
    csl_json_end(&j);
}

static void put_digest(struct csl_buf *out, const char *key, const uint8_t digest[CSL_DIGEST_BYTES])
{
    char hex[2 * CSL_DIGEST_BYTES + 1];
    csl_hex(digest, CSL_DIGEST_BYTES, hex);
    csl_onnx__metadata(out, key, hex);
}

static void put_metadata(void *ctx, struct csl_buf *out)
{
    const struct onnx *o = ctx;
    char round[24];
    snprintf(round, sizeof(round), "%" PRIu64, o->n.model->info.round);
    csl_onnx__metadata(out, "consilium.study", o->study->id);
    put_digest(out, "consilium.study_digest", o->study->digest);
    put_digest(out, "consilium.schema_digest", o->n.model->schema->digest);
    put_digest(out, "consilium.model_digest", o->n.model->digest);
    csl_onnx__metadata(out, "consilium.round", round);
    csl_onnx__metadata(out, "consilium.domain", o->n.domain->id);
    csl_onnx__metadata(out, "consilium.label", o->labels);
    csl_onnx__metadata(out, "consilium.scaling", scaling_text(o->n.domain));
    if (o->n.domain->feature_count > 0)
        csl_onnx__metadata(out, "consilium.features", csl_buf_text(&o->features));
}

static void put_model(struct onnx *o, struct csl_buf *out)
{
    const struct csl_domain *d = o->n.domain;
    struct csl_onnx_model m = {
        .name = d->id,
        .doc = o->study->question,
        .input = {.name = inputs[d->modality].name, .doc = csl_buf_text(&o->input_doc)},
        .output = {.name = o->n.value, .doc = o->output_doc, .rank = 1, .shape = {d->outputs}},
        .put_metadata = put_metadata,
        .ctx = o};
    m.input.rank = inputs[d->modality].rank;
    for (uint32_t i = 0; i < m.input.rank; i++)
        m.input.shape[i] = d->modality == CSL_TABULAR ? d->feature_count : d->shape[i];
    csl_onnx__model(out, &o->n.graph, &m);
}

/* --- the whole --- */

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
    describe_input(o);
    list_features(o);
    enum csl_code code = add_scaling(o, err);
    if (code == CSL_OK)
        code = csl_onnx__layers(&o->n, err);
    if (code != CSL_OK)
        return code;
    add_prediction(o);
    put_model(o, out);
    const struct csl_buf *parts[] = {&o->input_doc, &o->features, &o->n.graph.nodes,
                                     &o->n.graph.constants, out};
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
    CSL_ASSERT(domain < study->domain_count);
    struct onnx o = {.n = {.model = m, .domain = &study->domains[domain]}, .study = study};
    struct csl_buf out;
    enum csl_code code = check_model(m, study, err);
    if (code == CSL_OK && o.n.domain->fusion.input_count > 0)
        code = CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "domain %s reads several inputs, which has no ONNX form here; --format "
                        "safetensors would be right",
                        o.n.domain->id);
    if (code == CSL_OK)
        code = csl_net_init(&o.n.net, study, domain, err);
    if (code != CSL_OK)
        return code;
    snprintf(o.n.value, sizeof(o.n.value), "%s", inputs[o.n.domain->modality].name);
    csl_buf_init(&o.input_doc, DOC_BYTES_MAX);
    csl_buf_init(&o.features, DOC_BYTES_MAX);
    csl_buf_init(&out, MESSAGE_BYTES_MAX);
    csl_onnx__init(&o.n.graph, MESSAGE_BYTES_MAX);
    code = build(&o, &out, err);
    if (code == CSL_OK)
        code = write_file(path, &out, err);
    csl_onnx__release(&o.n.graph);
    csl_buf_release(&out);
    csl_buf_release(&o.features);
    csl_buf_release(&o.input_doc);
    return code;
}
