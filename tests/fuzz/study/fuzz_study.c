/* A study file comes from whoever leads the study and is read by the coordinator and every site:
 * any bytes end in an error that names a place, or in a study whose invariants hold. */
#include "base/buf.h"
#include "base/check.h"
#include "protocol/study/study.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* What is read by a domain itself or by an input of the study. */
static void check_values(const struct csl_domain *d)
{
    CSL_ASSERT(d->model != CSL_MODEL_MULTIMODAL && d->fusion.input_count == 0);
    CSL_ASSERT(d->model == CSL_MODEL_BAG || (d->model == CSL_MODEL_MLP) == (d->hidden_count > 0));
    CSL_ASSERT((d->modality == CSL_TABULAR || d->modality == CSL_EHR_SERIES) ==
               (d->feature_count > 0));
    CSL_ASSERT((d->modality == CSL_TEXT) == (d->model == CSL_MODEL_BAG));
    CSL_ASSERT((d->model == CSL_MODEL_CNN1D || d->model == CSL_MODEL_CNN2D) ==
               (d->sizes.stages > 0));
    CSL_ASSERT((d->model == CSL_MODEL_TRANSFORMER) == (d->sizes.patch > 0));
    CSL_ASSERT(!d->scatters || (d->modality == CSL_IMAGE2D && !d->augment.is_on &&
                                d->shape[2] % CSL_SCATTERING_PATHS == 0));
    for (uint32_t i = 0; i < d->feature_count; i++)
        CSL_ASSERT(d->features[i].scale > 0 && d->features[i].clip >= 0);
}

static void check_domain(const struct csl_study *s, const struct csl_domain *d)
{
    CSL_ASSERT(d->width >= 1 && d->outputs >= 1 && d->outputs <= CSL_CLASSES_MAX);
    CSL_ASSERT((d->model == CSL_MODEL_COX) == (d->task == CSL_TASK_SURVIVAL));
    CSL_ASSERT(d->scale > 0);
    CSL_ASSERT((s->input_count > 0) == (d->fusion.input_count > 0));
    CSL_ASSERT(s->input_count > 0 || d->block_kind == CSL_BLOCK_SHARED);
    for (uint32_t i = 0; i < d->fusion.input_count; i++)
        CSL_ASSERT(d->fusion.inputs[i] < s->input_count &&
                   s->inputs[d->fusion.inputs[i]].outputs == d->sizes.width);
    if (s->input_count == 0)
        check_values(d);
}

/* Something is sent, or nobody would learn anything of anybody. */
static void check_blocks(const struct csl_study *s)
{
    uint32_t sent = 0, adapters = 0;
    for (uint32_t i = 0; i < s->input_count; i++) {
        adapters += s->inputs[i].adapter.rank > 0;
        CSL_ASSERT(s->inputs[i].adapter.rank == 0 || s->inputs[i].block_kind == CSL_BLOCK_FROZEN);
    }
    for (uint32_t b = 0; b < s->schema.block_count; b++)
        sent += s->schema.blocks[b].kind == CSL_BLOCK_SHARED;
    CSL_ASSERT(s->schema.block_count == s->domain_count + s->input_count + adapters && sent > 0);
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
    for (uint32_t i = 0; i < s->domain_count; i++)
        check_domain(s, &s->domains[i]);
    for (uint32_t i = 0; i < s->input_count; i++)
        check_values(&s->inputs[i]);
    check_blocks(s);
    const struct csl_study_domain_weights *w = &s->fairness.domains;
    CSL_ASSERT(w->kind == CSL_DOMAIN_WEIGHTS_NONE ||
               (w->cap >= 1 && w->step_max > 1 && w->alpha <= 1 && s->input_count > 0));
    CSL_ASSERT(s->local.learning_rate > 0 && (s->local.steps > 0) != (s->local.epochs > 0) &&
               s->rounds > 0);
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
