#include "site-agent/training/fused.h"

#define ROWS_AT_ONCE 256u

/* Only what the domain needs runs, without its truth: fused.c's rows and masks serve as they are.
 */
static enum csl_code open_view(struct csl_fused *f, struct csl_trainer *t, uint32_t domain,
                               const struct csl_examples *e, struct csl_err *err)
{
    const struct csl_domain_fusion *fusion = &t->study->domains[domain].fusion;
    csl_fused_begin(f, t, e->of);
    f->runs[domain] = true;
    for (uint32_t i = 0; i < fusion->input_count; i++) {
        uint32_t input = fusion->inputs[i];
        f->runs[t->study->domain_count + input] = (e->absent >> input & 1) == 0;
    }
    enum csl_code code = csl_fused_open_domain(f, domain, e->absent, err);
    if (code != CSL_OK)
        csl_fused_close(f);
    return code;
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
