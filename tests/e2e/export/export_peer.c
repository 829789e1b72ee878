/* The C engine, for test_export.py to compare exported files with:
 *
 *   export_peer model STUDY SEED OUT.h5            a model with the study's initial values
 *   export_peer predict STUDY MODEL.h5 DOMAIN      raw float32 records on stdin, scaled as the data
 *                                                  module does (site-scaled domains: standardised
 *                                                  already); predictions as float32 on stdout.
 *                                                  A study with inputs: of each of them 1 where
 *                                                  the record has it, else 0, and its values */
#include "base/mem.h"
#include "base/str.h"
#include "coordinator/model/model_file.h"
#include "site-agent/data/dataset_internal.h"
#include "site-agent/data/multimodal.h"
#include "site-agent/training/train.h"

#include <stdio.h>
#include <string.h>

#define RECORDS_MAX 4096u

/* A trained norm is not the identity that it starts as. */
static void unsettle_norms(const struct csl_schema *s, float *p)
{
    for (uint32_t i = 0; i < s->tensor_count; i++)
        for (uint64_t k = 0; s->tensors[i].init != CSL_INIT_UNIFORM && k < s->tensors[i].count; k++)
            p[s->tensors[i].first + k] += 0.25F * (float)(1 + k % 3);
}

static enum csl_code write_initial(const struct csl_study *study, const char *seed_text,
                                   const char *path, struct csl_err *err)
{
    struct csl_model_info info = {.round = 0};
    uint64_t seed;
    float *p = csl_alloc_array(study->schema.parameters, sizeof(*p));
    enum csl_code code = p != NULL && csl_parse_u64(seed_text, &seed)
                             ? CSL_OK
                             : CSL_FAIL(err, CSL_E_INVAL, "no seed %s", seed_text);
    if (code == CSL_OK) {
        memcpy(info.study, study->id, sizeof(info.study));
        memcpy(info.study_digest, study->digest, CSL_DIGEST_BYTES);
        csl_schema_init_parameters(&study->schema, seed, p);
        unsettle_norms(&study->schema, p);
        code = csl_model_write(path, &study->schema, &info, p, NULL, 0, NULL, err);
    }
    csl_free(p);
    return code;
}

static enum csl_code scale(struct csl_examples *e, const struct csl_domain *d, struct csl_err *err)
{
    struct csl_domain standard = *d;
    struct csl_feature_constants c;
    for (uint32_t k = 0; k < d->feature_count && d->scaling == CSL_SCALING_SITE; k++) {
        standard.features[k].centre = 0; /* the study is this program's own */
        standard.features[k].scale = 1;
    }
    if (d->scaling == CSL_SCALING_SITE)
        standard.scaling = CSL_SCALING_CONSTANTS;
    enum csl_code code = csl_constants_make__(&standard, e, &c, err);
    if (code != CSL_OK)
        return code;
    code = csl_examples_scale__(e, &standard, &c, false, err);
    csl_constants_release__(&c);
    return code;
}

/* The records of one input: [records, width] of `all`, [records, stride], from column `at` on. */
static enum csl_code take_input(const struct csl_domain *d, const float *all, uint32_t records,
                                size_t stride, size_t at, struct csl_inputs *out,
                                struct csl_err *err)
{
    struct csl_examples e = {.records = records, .width = d->width};
    size_t width = d->width;
    e.x = csl_alloc_array(records * width, sizeof(*e.x));
    out->tokens = csl_alloc_array(records * width, sizeof(*out->tokens));
    out->available = csl_alloc_array(records, 1);
    out->x = e.x;
    out->width = d->width;
    if (out->x == NULL || out->tokens == NULL || out->available == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory");
    for (size_t r = 0; r < records; r++) {
        const float *row = all + r * stride + at;
        out->available[r] = row[0] > 0;
        memcpy(e.x + r * width, row + 1, width * sizeof(*row));
        for (size_t k = 0; k < width; k++)
            out->tokens[r * width + k] =
                d->modality == CSL_TEXT && row[1 + k] > 0 ? (uint32_t)row[1 + k] : 0;
    }
    enum csl_code code = scale(&e, d, err);
    if (d->modality != CSL_TEXT) {
        csl_free(out->tokens);
        out->tokens = NULL;
    }
    return code;
}

/* What is read from stdin, [records, of each input 1 + its width]. */
static enum csl_code take_inputs(const struct csl_study *study, struct csl_multimodal_split *out,
                                 struct csl_err *err)
{
    size_t stride = 0, at = 0;
    for (uint32_t i = 0; i < study->input_count; i++)
        stride += 1 + study->inputs[i].width;
    float *all = csl_alloc_array(RECORDS_MAX * stride, sizeof(*all));
    enum csl_code code = all != NULL ? CSL_OK : CSL_FAIL(err, CSL_E_NOMEM, "no memory");
    if (code == CSL_OK)
        out->records = (uint32_t)fread(all, stride * sizeof(*all), RECORDS_MAX, stdin);
    for (uint32_t i = 0; i < study->input_count && code == CSL_OK; i++) {
        code = take_input(&study->inputs[i], all, out->records, stride, at, &out->inputs[i], err);
        at += 1 + study->inputs[i].width;
    }
    csl_free(all);
    return code;
}

static void release_inputs(struct csl_inputs *inputs)
{
    for (uint32_t i = 0; i < CSL_STUDY_INPUTS_MAX; i++) {
        csl_free(inputs[i].x);
        csl_free(inputs[i].tokens);
        csl_free(inputs[i].available);
    }
}

static enum csl_code read_records(const struct csl_study *study, const struct csl_domain *d,
                                  struct csl_multimodal_split *split, struct csl_examples *e,
                                  struct csl_err *err)
{
    e->width = d->width;
    if (study->input_count > 0) {
        enum csl_code code = take_inputs(study, split, err);
        e->of = split;
        e->records = split->records;
        e->row = csl_alloc_array(RECORDS_MAX, sizeof(*e->row));
        for (uint32_t r = 0; e->row != NULL && r < e->records; r++)
            e->row[r] = r;
        return code == CSL_OK && e->row == NULL ? CSL_FAIL(err, CSL_E_NOMEM, "no memory") : code;
    }
    e->x = csl_alloc_array((size_t)RECORDS_MAX * d->width, sizeof(*e->x));
    if (e->x == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory");
    e->records = (uint32_t)fread(e->x, d->width * sizeof(*e->x), RECORDS_MAX, stdin);
    return scale(e, d, err);
}

static enum csl_code predict(const struct csl_study *study, const char *model_path,
                             const char *domain, struct csl_err *err)
{
    struct csl_inputs inputs[CSL_STUDY_INPUTS_MAX] = {{0}};
    struct csl_multimodal_split split = {.inputs = inputs};
    struct csl_model_file m = {.schema = NULL};
    struct csl_trainer *t = NULL;
    const struct csl_domain *d = csl_study_find_domain(study, domain);
    if (d == NULL)
        return CSL_FAIL(err, CSL_E_INVAL, "no domain %s", domain);
    struct csl_examples e = {.records = 0};
    float *out = csl_alloc_array((size_t)RECORDS_MAX * d->outputs, sizeof(*out));
    enum csl_code code = out != NULL ? CSL_OK : CSL_FAIL(err, CSL_E_NOMEM, "no memory");
    if (code == CSL_OK)
        code = read_records(study, d, &split, &e, err);
    if (code == CSL_OK)
        code = csl_model_read(model_path, &study->schema, &m, err);
    if (code == CSL_OK)
        code = csl_trainer_new(&t, study, "cpu-ref", err);
    if (code == CSL_OK)
        code = csl_trainer_predict(t, (uint32_t)(d - study->domains), &e, m.parameters, out, NULL,
                                   err);
    size_t count = (size_t)e.records * d->outputs;
    if (code == CSL_OK && fwrite(out, sizeof(*out), count, stdout) != count)
        code = CSL_FAIL(err, CSL_E_IO, "cannot write");
    csl_trainer_free(t);
    csl_model_file_release(&m);
    release_inputs(inputs);
    csl_free(e.row);
    csl_free(e.x);
    csl_free(out);
    return code;
}

int main(int argc, char **argv)
{
    struct csl_study *study = NULL;
    struct csl_err err = {.code = CSL_OK};
    if (argc != 5)
        return 2;
    enum csl_code code = csl_study_read(&study, argv[2], &err);
    if (code == CSL_OK)
        code = strcmp(argv[1], "model") == 0 ? write_initial(study, argv[3], argv[4], &err)
                                             : predict(study, argv[3], argv[4], &err);
    csl_study_free(study);
    if (code != CSL_OK)
        fprintf(stderr, "export_peer: %s\n", err.msg);
    return code == CSL_OK ? 0 : 1;
}
