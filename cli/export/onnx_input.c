/* cli/export/onnx_input.c - raw values as a site's record files have them, and what is said of
 * them.
 */
#include "cli/export/onnx_input.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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
static enum csl_code feature_constant(struct csl_onnx_net *o, const char *name, size_t offset,
                                      double other, double (*change)(double), struct csl_err *err)
{
    const struct csl_domain *d = o->domain;
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
    csl_onnx__constant(o->graph, name, CSL_ONNX_DOUBLE, 1, shape, values);
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

static enum csl_code add_constants(struct csl_onnx_net *o, struct csl_err *err)
{
    const struct csl_domain *d = o->domain;
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
        csl_onnx__constant(o->graph, "scaling.centre", CSL_ONNX_DOUBLE, 0, NULL, &d->centre);
        csl_onnx__constant(o->graph, "scaling.scale", CSL_ONNX_DOUBLE, 0, NULL, &d->scale);
    }
    csl_onnx__add(o, "Sub", "scaling.centre", NULL, "centred");
    csl_onnx__add(o, "Div", "scaling.scale", NULL, "scaled");
    return code;
}

static enum csl_code add_clip(struct csl_onnx_net *o, struct csl_err *err)
{
    const struct csl_domain *d = o->domain;
    size_t clip = offsetof(struct csl_feature, clip);
    bool is_clipped = false;
    for (uint32_t k = 0; k < d->feature_count; k++)
        is_clipped = is_clipped || d->features[k].clip > 0;
    if (!is_clipped)
        return CSL_OK;
    enum csl_code code = feature_constant(o, "scaling.lowest", clip, 0, lowest, err);
    if (code == CSL_OK)
        code = feature_constant(o, "scaling.highest", clip, 0, highest, err);
    csl_onnx__add(o, "Max", "scaling.lowest", NULL, "cut_below");
    csl_onnx__add(o, "Min", "scaling.highest", NULL, "cut");
    return code;
}

enum csl_code csl_onnx__scaling(struct csl_onnx_net *o, struct csl_err *err)
{
    const double zero = 0;
    if (o->domain->modality == CSL_TEXT)
        return CSL_OK;
    csl_onnx__add_with(o, "Cast", "to", CSL_ONNX_DOUBLE, "raw");
    enum csl_code code = add_constants(o, err);
    if (code != CSL_OK)
        return code;
    const struct csl_onnx_node missing = {.op = "IsNaN", .inputs = {"raw"}, .output = "is_missing"};
    csl_onnx__node(o->graph, &missing);
    csl_onnx__constant(o->graph, "scaling.missing", CSL_ONNX_DOUBLE, 0, NULL, &zero);
    const struct csl_onnx_node known = {
        .op = "Where", .inputs = {"is_missing", "scaling.missing", o->value}, .output = "known"};
    csl_onnx__node(o->graph, &known);
    snprintf(o->value, sizeof(o->value), "known");
    code = add_clip(o, err);
    csl_onnx__add_with(o, "Cast", "to", CSL_ONNX_FLOAT, "input");
    if (o->domain->modality != CSL_TABULAR && !csl_onnx__is_spatial(o->domain))
        csl_onnx__add_with(o, "Flatten", "axis", 1, "row");
    return code;
}

/* --- what people and programs read --- */

const char *csl_onnx__scaling_text(const struct csl_domain *d)
{
    return d->scaling == CSL_SCALING_SITE
               ? "site: the input must be standardised before it comes here, (x - mean) / standard "
                 "deviation of the training patients of the place where the model is used; those "
                 "constants are not in this file"
               : "constants: the input is raw; centre and scale are in this file";
}

void csl_onnx__describe(const struct csl_domain *d, struct csl_buf *b)
{
    if (d->modality == CSL_TEXT) {
        csl_buf_printf(b,
                       "Ids from 1 to %u of words and of runs of up to %u words, hashed as sites "
                       "do (site-agent/data/text.h); 0 is padding.",
                       d->shape[1] - 1, d->shape[2]);
        return;
    }
    csl_buf_printf(b, "Scaling by %s. A missing value is NaN.", csl_onnx__scaling_text(d));
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

void csl_onnx__list_features(const struct csl_domain *d, struct csl_json *j)
{
    csl_json_array(j);
    for (uint32_t k = 0; k < d->feature_count; k++) {
        const struct csl_feature *f = &d->features[k];
        csl_json_object(j);
        csl_json_put_str(j, "name", f->name);
        csl_json_put_str(j, "unit", f->unit);
        if (d->scaling == CSL_SCALING_CONSTANTS) {
            csl_json_put_f64(j, "centre", f->centre);
            csl_json_put_f64(j, "scale", f->scale);
        }
        csl_json_put_f64(j, "clip", f->clip);
        csl_json_end(j);
    }
    csl_json_end(j);
}

const char *csl_onnx__input_name(const struct csl_domain *d)
{
    return inputs[d->modality].name;
}

void csl_onnx__declare(const struct csl_domain *d, const char *name, const char *doc,
                       struct csl_onnx_graph *g)
{
    struct csl_onnx_value v = {.name = name,
                               .doc = doc,
                               .type = d->modality == CSL_TEXT ? CSL_ONNX_INT64 : CSL_ONNX_FLOAT,
                               .rank = inputs[d->modality].rank};
    for (uint32_t i = 0; i < v.rank; i++)
        v.shape[i] = d->modality == CSL_TABULAR ? d->feature_count : d->shape[i];
    csl_onnx__input(g, &v);
}
