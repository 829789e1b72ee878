/* This site's vote on a model: its validation patients under it, against the same patients under
 * the model that the last round this site trained in began with (docs/decisions/0016). */
#include "site-agent/agent_internal.h"

#include "aggregation/vote.h"
#include "base/log.h"
#include "base/mem.h"

#include <string.h>

/* Of the model that the training of a round began with. A file of its own, because the same round
 * may be trained anew after a restart: it has the same loss then. */
static void name_of(char out[CSL_ID_MAX], uint64_t round)
{
    csl_agent_blob_name__(out, "judged", round);
}

static enum csl_code judge_domain(struct csl_agent *a, uint32_t domain, const float *parameters,
                                  double *sum, uint64_t *records, struct csl_err *err)
{
    struct csl_examples e = csl_agent_examples__(a, domain, CSL_SPLIT_VALIDATION);
    double loss = 0;
    if (e.records == 0)
        return CSL_OK;
    float *scores =
        csl_alloc_array((size_t)e.records * a->study->domains[domain].outputs, sizeof(*scores));
    if (scores == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to judge %u records", e.records);
    enum csl_code code =
        csl_trainer_predict_always(a->trainer, domain, &e, parameters, scores, &loss, err);
    csl_free(scores);
    *sum += loss * e.records;
    *records += e.records;
    return code;
}

/* Mean over the validation records of all domains; false: there are none. */
static bool judge(struct csl_agent *a, const float *parameters, double *loss)
{
    struct csl_err err = {.code = CSL_OK};
    enum csl_code code = CSL_OK;
    double sum = 0;
    uint64_t records = 0;
    for (uint32_t d = 0; code == CSL_OK && d < a->study->domain_count; d++)
        code = judge_domain(a, d, parameters, &sum, &records, &err);
    if (code != CSL_OK) /* it costs the site its vote, and not its update */
        csl_log_err(CSL_LOG_WARN, "vote.failed", &err);
    if (code != CSL_OK || records == 0)
        return false;
    *loss = sum / (double)records;
    return true;
}

static bool recall(const struct csl_agent *a, uint64_t round, double *loss)
{
    char name[CSL_ID_MAX];
    name_of(name, round);
    return round > 0 && csl_blob_size(a->blobs, name) == sizeof(*loss) &&
           csl_blob_read(a->blobs, name, 0, (uint8_t *)loss, sizeof(*loss), NULL) == CSL_OK;
}

enum csl_code csl_agent_judge_base__(struct csl_agent *a, uint64_t round, const float *parameters,
                                     struct csl_err *err)
{
    char name[CSL_ID_MAX];
    double loss = 0;
    if (!a->study->aggregation.vote.is_on || !judge(a, parameters, &loss))
        return CSL_OK;
    name_of(name, round);
    csl_blob_remove(a->blobs, name);
    enum csl_code code =
        csl_blob_write(a->blobs, name, 0, CSL_SPAN((const uint8_t *)&loss, sizeof(loss)), err);
    return code == CSL_OK ? csl_blob_sync(a->blobs, name, err) : code;
}

static enum csl_msg_vote vote(const struct csl_agent *a, uint64_t round, double before,
                              double after)
{
    bool is_worse = csl_vote_is_worse(before, after, a->study->aggregation.vote.tolerance);
    if (a->config.tamper != NULL && a->config.tamper->vote != NULL)
        a->config.tamper->vote(a->config.tamper->ctx, round, &is_worse);
    return is_worse ? CSL_VOTE_WORSE : CSL_VOTE_FINE;
}

enum csl_msg_vote csl_agent_vote__(struct csl_agent *a, uint64_t round, const float *parameters)
{
    double before = 0, after = 0;
    if (!a->study->aggregation.vote.is_on || !recall(a, round, &before) ||
        !judge(a, parameters, &after))
        return CSL_VOTE_NONE;
    return vote(a, round, before, after);
}

enum csl_msg_vote csl_agent_vote_on_base__(const struct csl_agent *a, uint64_t round)
{
    double before = 0, after = 0;
    if (!a->study->aggregation.vote.is_on || !recall(a, round - 1, &before) ||
        !recall(a, round, &after))
        return CSL_VOTE_NONE;
    return vote(a, round - 1, before, after);
}
