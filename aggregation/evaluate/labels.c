/* aggregation/evaluate/labels.c - several yes/no labels at once: each by itself, and the mean. */
#include "aggregation/evaluate/metrics.h"

#include "base/mem.h"

#include <string.h>

/* The known answers of one label. */
struct column {
    float *scores;
    uint8_t *answers;
    uint64_t count;
};

static void gather(struct column *c, const float *scores, const uint8_t *answers,
                   const uint8_t *known, uint64_t n, uint32_t labels)
{
    c->count = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (known[i * labels] == 0)
            continue;
        c->scores[c->count] = scores[i * labels];
        c->answers[c->count++] = answers[i * labels];
    }
}

/* One label's figures into sums over the labels; divided at the end. */
static void add(struct csl_metrics *sum, uint32_t *counts, const struct csl_metrics *one)
{
    for (uint32_t i = 0; i < one->count; i++) {
        const struct csl_metric *m = &one->items[i];
        uint32_t at = 0;
        while (at < sum->count && strcmp(sum->items[at].name, m->name) != 0)
            at++;
        struct csl_metric *to = &sum->items[at];
        if (at == sum->count) {
            *to = (struct csl_metric){.name = m->name, .method = "label-mean"};
            sum->count++;
        }
        to->value += m->value;
        to->low += m->low;
        to->high += m->high;
        to->method = m->method != NULL ? to->method : NULL;
        counts[at]++;
    }
}

enum csl_code csl_evaluate_labels(const float *scores, const uint8_t *answers, const uint8_t *known,
                                  uint64_t n, uint32_t labels, uint64_t seed,
                                  struct csl_metrics *out, struct csl_metrics *by_label,
                                  struct csl_err *err)
{
    struct csl_metrics mean = {.examples = n};
    struct column c = {.scores = csl_alloc_array((size_t)n, sizeof(*c.scores)),
                       .answers = csl_alloc_array((size_t)n, 1)};
    uint32_t counts[CSL_METRICS_MAX] = {0};
    enum csl_code code = CSL_OK;
    if (c.scores == NULL || c.answers == NULL)
        code =
            CSL_FAIL(err, CSL_E_NOMEM, "no memory to evaluate %llu records", (unsigned long long)n);
    for (uint32_t k = 0; k < labels && code == CSL_OK; k++) {
        struct csl_metrics one = {.count = 0};
        gather(&c, scores + k, answers + k, known + k, n, labels);
        code = csl_evaluate_binary(c.scores, c.answers, c.count, 0.5, seed, &one, err);
        if (code != CSL_OK)
            break;
        add(&mean, counts, &one);
        if (by_label != NULL)
            by_label[k] = one;
    }
    for (uint32_t i = 0; i < mean.count; i++) {
        mean.items[i].value /= counts[i];
        mean.items[i].low = mean.items[i].method != NULL ? mean.items[i].low / counts[i] : 0;
        mean.items[i].high = mean.items[i].method != NULL ? mean.items[i].high / counts[i] : 0;
    }
    if (code == CSL_OK)
        *out = mean;
    csl_free(c.scores);
    csl_free(c.answers);
    return code;
}
