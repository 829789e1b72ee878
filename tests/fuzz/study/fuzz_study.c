/* A study file comes from whoever leads the study and is read by the coordinator and every site:
 * any bytes end in an error that names a place, or in a study whose invariants hold. */
#include "base/buf.h"
#include "base/check.h"
#include "protocol/study/study.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* A domain that reads inputs of the study; these are checked by themselves. */
static void check_fused(const struct csl_study *s, const struct csl_domain *d)
{
    CSL_ASSERT(d->model == CSL_MODEL_MULTIMODAL && d->fusion.input_count > 0);
    CSL_ASSERT(d->outputs >= 1 && d->outputs <= CSL_CLASSES_MAX);
    for (uint32_t i = 0; i < d->fusion.input_count; i++)
        CSL_ASSERT(d->fusion.inputs[i] < s->input_count);
}

static void check_domain(const struct csl_domain *d)
{
    CSL_ASSERT(d->width >= 1 && d->width <= CSL_FEATURES_MAX);
    CSL_ASSERT(d->outputs >= 1);
    CSL_ASSERT((d->model == CSL_MODEL_COX) == (d->task == CSL_TASK_SURVIVAL));
    CSL_ASSERT(d->model == CSL_MODEL_BAG || (d->model == CSL_MODEL_MLP) == (d->hidden_count > 0));
    CSL_ASSERT((d->modality == CSL_TABULAR || d->modality == CSL_EHR_SERIES) ==
               (d->feature_count > 0));
    CSL_ASSERT((d->modality == CSL_TEXT) == (d->model == CSL_MODEL_BAG));
    CSL_ASSERT((d->model == CSL_MODEL_CNN1D || d->model == CSL_MODEL_CNN2D) ==
               (d->sizes.stages > 0));
    CSL_ASSERT((d->model == CSL_MODEL_TRANSFORMER) == (d->sizes.patch > 0));
    CSL_ASSERT(d->scale > 0);
    for (uint32_t i = 0; i < d->feature_count; i++)
        CSL_ASSERT(d->features[i].scale > 0 && d->features[i].clip >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csl_study *s = NULL, *again = NULL;
    struct csl_err err = {.code = CSL_OK};
    struct csl_buf b;

    if (csl_study_parse(&s, "f.yaml", CSL_SPAN(data, size), &err) != CSL_OK) {
        CSL_ASSERT(s == NULL && err.code != CSL_OK && err.code != CSL_E_BUG);
        CSL_ASSERT(strncmp(err.msg, "f.yaml", 6) == 0);
        return 0;
    }
    for (uint32_t i = 0; i < s->input_count; i++)
        check_domain(&s->inputs[i]);
    for (uint32_t i = 0; i < s->domain_count; i++) {
        if (s->input_count > 0) {
            check_fused(s, &s->domains[i]);
            continue;
        }
        check_domain(&s->domains[i]);
        CSL_ASSERT(s->domains[i].outputs <= CSL_CLASSES_MAX);
    }
    CSL_ASSERT(s->schema.block_count == s->domain_count + s->input_count);
    const struct csl_study_domain_weights *w = &s->fairness.domains;
    CSL_ASSERT(w->kind == CSL_DOMAIN_WEIGHTS_NONE ||
               (w->cap >= 1 && w->step_max > 1 && w->alpha <= 1 && s->input_count > 0));
    CSL_ASSERT(s->local.learning_rate > 0 && s->local.steps > 0 && s->rounds > 0);
    CSL_ASSERT(s->participant_count == 0 || s->minimum_sites <= s->participant_count);
    csl_buf_init(&b, 16u << 20);
    csl_study_explain(s, &b);
    CSL_ASSERT(csl_buf_status(&b, NULL) == CSL_OK);
    csl_buf_release(&b);
    CSL_ASSERT(csl_study_parse(&again, "g.yaml", csl_msg_span(&s->manifest), &err) == CSL_OK);
    CSL_ASSERT(memcmp(s->digest, again->digest, CSL_DIGEST_BYTES) == 0);
    csl_study_free(again);
    csl_study_free(s);
    return 0;
}
