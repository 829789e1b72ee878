#include "site-agent/data/multimodal.h"

#include "base/mem.h"

#include <string.h>

#include "base/banned.h"

struct append {
    struct csl_multimodal *to;
    uint32_t have, more; /* records */
    bool has_failed;
};

/* Items of `each` bytes a record; NULL stays NULL. */
static void *joined(struct append *a, void *old, const void *more, size_t each)
{
    size_t count = (size_t)a->have + a->more;
    if (more == NULL || a->has_failed || (a->have > 0 && old == NULL))
        return old;
    uint8_t *all = csl_alloc_array(count, each);
    if (all == NULL) {
        a->has_failed = true;
        return old;
    }
    if (a->have > 0)
        memcpy(all, old, a->have * each);
    if (a->more > 0)
        memcpy(all + a->have * each, more, a->more * each);
    a->to->bytes += a->more * each;
    csl_free(old);
    return all;
}

static void append_input(struct append *a, struct csl_inputs *to, const struct csl_inputs *more)
{
    to->x = joined(a, to->x, more->x, to->width * sizeof(*to->x));
    to->tokens = joined(a, to->tokens, more->tokens, to->width * sizeof(*to->tokens));
    to->known = joined(a, to->known, more->known, to->width);
    to->length = joined(a, to->length, more->length, sizeof(*to->length));
    to->available = joined(a, to->available, more->available, 1);
}

static void append_target(struct append *a, struct csl_targets *to, const struct csl_targets *more)
{
    to->value = joined(a, to->value, more->value, to->labels * sizeof(*to->value));
    to->time = joined(a, to->time, more->time, sizeof(*to->time));
    to->event = joined(a, to->event, more->event, 1);
}

enum csl_code csl_multimodal_append(struct csl_multimodal *to, const struct csl_multimodal *more,
                                    struct csl_err *err)
{
    if (to->input_count != more->input_count || to->target_count != more->target_count)
        return CSL_FAIL(err, CSL_E_INVAL, "records of another study");
    for (int s = 0; s < CSL_SPLIT_COUNT; s++) {
        struct csl_multimodal_split *t = &to->splits[s];
        const struct csl_multimodal_split *m = &more->splits[s];
        struct append a = {to, t->records, m->records, false};
        for (uint32_t i = 0; i < to->input_count; i++)
            append_input(&a, &t->inputs[i], &m->inputs[i]);
        for (uint32_t i = 0; i < to->target_count; i++)
            append_target(&a, &t->targets[i], &m->targets[i]);
        csl_free(t->group);
        t->group = NULL;
        t->patient = joined(&a, t->patient, m->patient, sizeof(*t->patient));
        if (a.has_failed)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the records of several sites");
        for (uint32_t r = 0; r < m->records; r++)
            t->patient[t->records + r] += t->patients;
        t->records += m->records;
        t->patients += m->patients;
    }
    return CSL_OK;
}
