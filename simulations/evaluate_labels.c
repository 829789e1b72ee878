/* simulations/evaluate_labels.c - the labels of a domain that predicts several at once, each as a
 * binary task. */
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "simulations/evaluate.h"

#include "base/banned.h"

/* The known answers of one label at all sites. */
struct column {
    float *scores;
    uint8_t *answers;
    uint64_t count;
};

/* False: the site knows none. */
static bool add_site(struct column *c, const struct csl_examples *e, const float *scores,
                     uint32_t label)
{
    uint64_t before = c->count;
    for (size_t i = 0; scores != NULL && i < e->records; i++) {
        size_t at = i * e->answer_count + label;
        if (e->answer_known[at] == 0)
            continue;
        c->scores[c->count] = scores[at];
        c->answers[c->count++] = e->answer[at];
    }
    return c->count > before;
}

static enum csl_code add_label(struct csl_result *r, const struct csl_sim_data *d,
                               const struct csl_predictions *p, uint32_t domain, uint32_t label,
                               struct column *c, uint64_t seed, struct csl_err *err)
{
    struct csl_result_label out = {.domain = domain};
    const struct csl_domain *what = &d->study->domains[domain];
    CSL_ASSERT(csl_str_copy(out.name, sizeof(out.name), what->labels[label]));
    c->count = 0;
    for (uint32_t s = 0; s < d->site_count; s++)
        out.sites += add_site(c, &d->sites[s]->domains[domain][CSL_SPLIT_TEST],
                              p->cells[(size_t)s * p->domain_count + domain], label);
    enum csl_code code =
        csl_evaluate_binary(c->scores, c->answers, c->count, 0.5, seed, &out.metrics, err);
    return code == CSL_OK ? csl_result_add_label(r, &out, err) : code;
}

static enum csl_code add_domain(struct csl_result *r, const struct csl_sim_data *d,
                                const struct csl_predictions *p, uint32_t domain, uint64_t seed,
                                struct csl_err *err)
{
    size_t records = 0;
    for (uint32_t s = 0; s < d->site_count; s++)
        records += d->sites[s]->domains[domain][CSL_SPLIT_TEST].records;
    struct column c = {.scores = csl_alloc_array(records, sizeof(*c.scores)),
                       .answers = csl_alloc_array(records, 1)};
    enum csl_code code = CSL_OK;
    if (c.scores == NULL || c.answers == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory to join %zu predictions", records);
    for (uint32_t k = 0; k < d->study->domains[domain].label_count && code == CSL_OK; k++)
        code = add_label(r, d, p, domain, k, &c, seed, err);
    csl_free(c.scores);
    csl_free(c.answers);
    return code;
}

enum csl_code csl_evaluate_by_label(struct csl_result *r, const struct csl_sim_data *d,
                                    const struct csl_predictions *p, uint64_t seed,
                                    struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t k = 0; k < d->study->domain_count && code == CSL_OK; k++)
        if (d->study->domains[k].task == CSL_TASK_LABELS)
            code = add_domain(r, d, p, k, seed, err);
    return code;
}
