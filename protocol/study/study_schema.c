/* protocol/study/study_schema.c - the tensors of a study's model: one block per domain, tensors
 * named "<domain>.<tensor>".
 *
 *   linear, cox   weight [outputs, width], then bias [outputs] if the model has one
 *   mlp           layer<i>.weight [out, in], layer<i>.bias [out], i = 0..hidden_count
 *
 * Values start uniform within 1/sqrt(inputs of the layer), weights and biases alike, as
 * torch.nn.Linear does (torch/nn/modules/linear.py, reset_parameters). */
#include "protocol/study/study_internal.h"

#include <math.h>
#include <stdio.h>

/* prefix: "" or "layer<i>." */
static enum csl_code add_layer(struct csl_schema *schema, const char *domain, const char *prefix,
                               uint64_t inputs, uint64_t outputs, bool has_bias,
                               struct csl_err *err)
{
    const uint64_t shape[2] = {outputs, inputs};
    float bound = (float)(1.0 / sqrt((double)inputs));
    char name[2 * CSL_ID_MAX];
    enum csl_code code;

    snprintf(name, sizeof(name), "%s.%sweight", domain, prefix);
    code = csl_schema_add_tensor(schema, name, 2, shape, CSL_INIT_UNIFORM, bound, err);
    if (code != CSL_OK || !has_bias)
        return code;
    snprintf(name, sizeof(name), "%s.%sbias", domain, prefix);
    return csl_schema_add_tensor(schema, name, 1, shape, CSL_INIT_UNIFORM, bound, err);
}

static enum csl_code add_domain(struct csl_schema *schema, const struct csl_domain *d,
                                struct csl_err *err)
{
    enum csl_code code = csl_schema_add_block(schema, d->id, CSL_BLOCK_SHARED, err);
    uint64_t inputs = d->width;

    if (code != CSL_OK)
        return code;
    if (d->model != CSL_MODEL_MLP)
        return add_layer(schema, d->id, "", inputs, d->outputs, d->has_bias, err);
    for (uint32_t i = 0; i <= d->hidden_count && code == CSL_OK; i++) {
        uint64_t outputs = i < d->hidden_count ? d->hidden[i] : d->outputs;
        char prefix[24];
        snprintf(prefix, sizeof(prefix), "layer%u.", i);
        code = add_layer(schema, d->id, prefix, inputs, outputs, true, err);
        inputs = outputs;
    }
    return code;
}

enum csl_code csl_study__build_schema(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *root)
{
    struct csl_study *s = r->s;
    struct csl_err cause = {0};
    enum csl_code code = CSL_OK;

    csl_schema_init(&s->schema);
    for (uint32_t i = 0; i < s->domain_count && code == CSL_OK; i++)
        code = add_domain(&s->schema, &s->domains[i], &cause);
    if (code == CSL_OK)
        code = csl_schema_seal(&s->schema, &cause);
    if (code != CSL_OK)
        return csl_yaml_fail(r->err, r->y, csl_study__at(root, "domains"), "%s", cause.msg);
    return CSL_OK;
}
