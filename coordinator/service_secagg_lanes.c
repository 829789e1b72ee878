/* The sum of a block that was sent in lanes, back to floats: the words come chunk by chunk, and a
 * slice of the encoding may lie across two of them. */
#include "coordinator/service_secagg_internal.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "privacy/secagg/block_plan.h"

#include <math.h>
#include <string.h>

#define SLICE_WORDS_MAX (1 << (CSL_ROTATION_LOG2 - 1)) /* two lanes or more in a word */

struct csl_service_lanes {
    struct csl_encoding encoding;
    uint32_t contributors;
    double divisor;
    float *out; /* [count], the block's place in the mean */
    uint64_t slice;
    size_t have, outside;
    uint64_t pending[SLICE_WORDS_MAX]; /* [have] of the slice that is due */
};

/* The vectors were weighed with weight / cap, the scalars hold the weights themselves. */
static double divisor_of(const struct csl_study *study, double weight)
{
    double cap = csl_study_mass_cap(study);
    return cap > 0 ? weight / cap : weight;
}

/* Each vector is at most clip_l2 long before it is weighed, and rounding moves no coefficient by
 * more than a unit: a sum of n with weights w is at most clip_l2 * sum w + n unit
 * sqrt(coefficients) long, and the divisor is sum w. The rest is for float32. */
static double bound_of(const struct csl_service_lanes *l)
{
    const struct csl_encoding *e = &l->encoding;
    if (!(e->clip_l2 > 0))
        return HUGE_VAL;
    double rounding = (double)l->contributors * e->unit * sqrt((double)e->coefficients);
    return (e->clip_l2 + rounding / l->divisor) * (1 + 1e-5);
}

enum csl_code csl_service_lanes_open__(struct csl_service *s, uint32_t block, uint32_t contributors,
                                       double weight, struct csl_service_lanes **out,
                                       struct csl_err *err)
{
    const struct csl_secagg_config *c = &s->secagg->config;
    const struct csl_block_spec *b = &s->study->schema.blocks[block];
    struct csl_service_lanes *l = csl_alloc(sizeof(*l));
    if (l == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to decode a sum");
    l->contributors = contributors;
    l->divisor = divisor_of(s->study, weight);
    l->out = s->secagg->mean + b->first;
    enum csl_code code =
        csl_secagg_plan_encoding(&c->blocks[block], b->count, c->roster_count, c->plan_hash,
                                 c->model_hash, c->round, &l->encoding, err);
    if (code != CSL_OK) {
        csl_free(l);
        return code;
    }
    s->secagg->bounds[block] = bound_of(l);
    *out = l;
    return CSL_OK;
}

static enum csl_code decode_slice(struct csl_service_lanes *l, struct csl_err *err)
{
    size_t outside = 0;
    float *out = l->out + (l->slice << l->encoding.rotation.size_log2);
    enum csl_code code = csl_encoding_decode(&l->encoding, l->slice, l->pending, l->contributors,
                                             l->divisor, out, &outside, err);
    l->outside += outside;
    l->slice++;
    l->have = 0;
    return code;
}

enum csl_code csl_service_lanes_add__(struct csl_service_lanes *l, const uint64_t *words, size_t n,
                                      struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    while (code == CSL_OK && n > 0) {
        size_t due = csl_encoding_slice_words(&l->encoding, l->slice) - l->have;
        size_t part = n < due ? n : due;
        CSL_ASSERT(l->have + part <= SLICE_WORDS_MAX);
        memcpy(l->pending + l->have, words, part * sizeof(*words));
        l->have += part;
        words += part;
        n -= part;
        if (part == due)
            code = decode_slice(l, err);
    }
    return code;
}

void csl_service_lanes_close__(struct csl_service *s, uint32_t block, struct csl_service_lanes *l)
{
    if (l != NULL && l->outside > 0)
        csl_log(CSL_LOG_WARN, "secagg.outside", CSL_U64("round", s->secagg->round),
                CSL_STR("domain", s->study->schema.blocks[block].name),
                CSL_U64("lanes", l->outside));
    csl_free(l);
}
