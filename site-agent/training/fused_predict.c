#include "base/mem.h"
#include "site-agent/training/fused.h"

#define ROWS_AT_ONCE 256u

/* Only what the domain needs runs, without its truth: fused.c's rows and masks serve as they are.
 */
static enum csl_code open_view(struct csl_fused *f, struct csl_trainer *t, uint32_t domain,
                               const struct csl_examples *e, struct csl_err *err)
{
    const struct csl_domain_fusion *fusion = &t->study->domains[domain].fusion;
    struct csl_fused_domain *to = &f->domains[domain];
    uint32_t rows = e->of->records;
    *f = (struct csl_fused){.t = t,
                            .split = e->of,
                            .pass = {.ops = t->ops,
                                     .dev = t->dev,
                                     .weights = t->vectors[CSL_V_WEIGHTS],
                                     .gradient = t->vectors[CSL_V_GRADIENT]}};
    f->runs[domain] = true;
    to->answers = (uint32_t)t->nets[domain].answers;
    to->known = csl_alloc_array(rows, to->answers);
    to->label = csl_alloc_array(rows, to->answers);
    to->mask = csl_alloc_array(rows, fusion->input_count);
    to->weights = csl_alloc_array(rows, sizeof(*to->weights));
    if (to->known == NULL || to->label == NULL || to->mask == NULL || to->weights == NULL) {
        csl_fused_close(f);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u records", rows);
    }
    for (uint32_t i = 0; i < fusion->input_count; i++) {
        uint32_t input = fusion->inputs[i];
        bool is_absent = (e->absent >> input & 1) != 0;
        f->runs[t->study->domain_count + input] = !is_absent;
        for (uint32_t r = 0; r < rows; r++)
            to->mask[(size_t)r * fusion->input_count + i] =
                is_absent ? 0 : e->of->inputs[input].available[r];
    }
    return CSL_OK;
}

enum csl_code csl_trainer__fused_logits(struct csl_trainer *t, uint32_t domain,
                                        const struct csl_examples *e, float *out,
                                        struct csl_err *err)
{
    const struct csl_net *n = &t->nets[domain];
    struct csl_fused f;
    enum csl_code code = open_view(&f, t, domain, e, err);
    if (code != CSL_OK)
        return code;
    uint64_t most =
        csl_fused_rows_at_once(&f, e->records < ROWS_AT_ONCE ? e->records : ROWS_AT_ONCE);
    code = csl_fused_fit(&f, most, err);
    for (uint64_t at = 0; code == CSL_OK && at < e->records; at += most) {
        uint64_t count = e->records - at < most ? e->records - at : most;
        csl_fused_load(&f, e->row + at, count);
        csl_fused_forward(&f);
        struct csl_view logits = t->works[domain].activation[n->layer_count];
        t->ops->get(t->dev, out + at * n->outputs, logits.buf, logits.first * sizeof(float),
                    count * n->outputs * sizeof(float));
    }
    if (code == CSL_OK)
        code = t->ops->sync(t->dev, err);
    csl_fused_close(&f);
    return code;
}
