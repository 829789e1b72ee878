/* Examining a study: the manifest, this site's policy, this site's records. */
#include "site-agent/agent_secagg.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

void csl_agent_close_study__(struct csl_agent *a)
{
    csl_canaries_free(a->canaries);
    a->canaries = NULL;
    csl_privacy_plan_release(&a->plan);
    csl_agent_close_statistics__(a);
    csl_trainer_free(a->trainer);
    csl_dataset_free(a->data);
    csl_study_free(a->study);
    csl_free(a->initial);
    a->initial = NULL;
    a->trainer = NULL;
    a->data = NULL;
    a->study = NULL;
}

enum csl_code csl_agent_open_study__(struct csl_agent *a, struct csl_span manifest,
                                     struct csl_err *err)
{
    csl_agent_secagg_cancel__(a);
    csl_agent_close_study__(a);
    enum csl_code code = csl_study_parse(&a->study, "study", manifest, err);
    if (code == CSL_OK)
        code = csl_policy_check(&a->policy, a->study, err);
    if (code == CSL_OK) {
        a->strategy = csl_strategy_find(a->study->aggregation.strategy);
        if (a->strategy == NULL)
            code = CSL_FAIL(err, CSL_E_UNSUPPORTED, "this site does not know the strategy %s",
                            a->study->aggregation.strategy);
    }
    if (code == CSL_OK)
        code = csl_agent_own_open__(a, err);
    if (code == CSL_OK)
        code = csl_dataset_load(&a->data, a->record_path, a->study, err);
    if (code == CSL_OK && a->config.tamper != NULL)
        a->config.tamper->data(a->config.tamper->ctx, a->data);
    if (code == CSL_OK)
        code = csl_trainer_new(&a->trainer, a->study, a->config.backend, err);
    if (code == CSL_OK)
        csl_trainer_use_threads(a->trainer, a->config.training_threads);
    if (code == CSL_OK)
        code = csl_agent_open_privacy__(a, err);
    if (code == CSL_OK)
        code = csl_agent_open_statistics__(a, err);
    if (code == CSL_OK)
        code = csl_agent_open_secagg__(a, err);
    if (code != CSL_OK)
        csl_agent_close_study__(a);
    return code;
}

static void count_patients(const struct csl_agent *a, struct csl_msg_study_answer *answer)
{
    for (uint32_t b = 0; b < a->study->schema.block_count; b++) {
        uint64_t patients = csl_dataset_block_patients(a->data, b);
        if (!csl_agent_shares__(a, b))
            continue;
        answer->blocks[answer->block_count].block = b;
        /* mode site hides the site, and with it how many patients it has; under masks counts are
         * words of the sum */
        bool is_secret = a->study->privacy.mode == CSL_PRIVACY_SITE || csl_agent_masks__(a);
        answer->blocks[answer->block_count++].patients = is_secret ? 1 : patients;
    }
}

/* What may be told: the policy's reason was written to be shown; anything about files or records is
 * not the coordinator's business. */
static const char *public_reason(const struct csl_err *err)
{
    return err->code == CSL_E_DENIED || err->code == CSL_E_UNSUPPORTED
               ? err->msg
               : "this site's records do not fit the study; its administrator knows why";
}

/* With the study that was accepted, this one or the one before: a study that was declined does not
 * take its place. Only now it is known which study's words wait, and what nobody will ask for. */
static void go_on(struct csl_agent *a, bool is_accepted)
{
    struct csl_err err = {.code = CSL_OK};
    enum csl_code code = a->failure.code;
    if (code == CSL_OK && !is_accepted && a->memory.has_study) {
        code = csl_agent_open_study__(a, csl_msg_span(&a->memory.manifest), &err);
        if (code == CSL_OK)
            code = csl_agent_register__(a, &err);
    }
    if (code == CSL_OK)
        code = csl_agent_close_reservations__(a, 0, &err);
    if (code != CSL_OK && a->failure.code == CSL_OK)
        csl_agent_fail__(a, &err);
}

void csl_agent_consider__(struct csl_agent *a, const struct csl_msg_study_offer *offer)
{
    if (a->has_work) { /* the worker uses the study we have: stop it, and be offered this one again
                        */
        atomic_store(&a->is_cancelled, true);
        a->config.transport->ops->drop(a->config.transport, a->conn, CSL_E_STATE);
        return;
    }
    struct csl_agent_event *e = csl_agent_event_new__(CSL_SE_DECIDED);
    struct csl_msg_study_answer answer = {.accepted = false};
    memcpy(answer.study_digest, offer->study_digest, CSL_DIGEST_BYTES);
    struct csl_err err = {.code = CSL_OK};
    uint64_t words = csl_agent_secagg_words_round__(a);
    enum csl_code code = csl_agent_open_study__(a, csl_msg_span(&offer->manifest), &err);
    if (code == CSL_OK && memcmp(a->study->digest, offer->study_digest, CSL_DIGEST_BYTES) != 0)
        code = CSL_FAIL(&err, CSL_E_DENIED, "the study's digest is not the one that was offered");
    if (code == CSL_OK) {
        count_patients(a, &answer);
        if (answer.block_count == 0)
            code = CSL_FAIL(&err, CSL_E_DENIED,
                            "this site has no training patients for a block that is sent");
        csl_agent_secagg_count_tests__(a, &answer);
    }
    struct csl_site_memory fresh = {.has_study = true};
    if (code == CSL_OK) /* last: a study that is declined leaves nothing in the ledger */
        code = csl_agent_register__(a, &err);
    if (code == CSL_OK)
        code = csl_msg_copy(&fresh.manifest, csl_msg_span(&offer->manifest), &err);
    if (code == CSL_OK) {
        memcpy(fresh.study_digest, offer->study_digest, CSL_DIGEST_BYTES);
        bool is_same = a->memory.has_study &&
                       memcmp(a->memory.study_digest, fresh.study_digest, CSL_DIGEST_BYTES) == 0;
        if (is_same) { /* the coordinator forgot us; our outbox still stands */
            fresh.outbox = a->memory.outbox;
            fresh.control_round = a->memory.control_round;
            fresh.control_run = a->memory.control_run;
        }
        if (!is_same && words != 0) { /* of the study whose place it takes */
            char plain[CSL_ID_MAX];
            csl_agent_blob_name__(plain, "plain", words);
            csl_blob_remove(a->blobs, plain);
        }
        csl_site_memory_release(&a->memory);
        a->memory = fresh;
        code = csl_agent_save__(a, &err);
        if (code != CSL_OK)
            csl_agent_fail__(a, &err); /* what cannot be remembered cannot be promised */
    }
    if (code == CSL_OK) {
        answer.accepted = true;
        csl_log(CSL_LOG_INFO, "study.accepted", CSL_STR("site", a->site_id),
                CSL_STR("study", a->study->id));
    } else {
        answer.block_count = 0;
        csl_str_copy(answer.reason, sizeof(answer.reason), public_reason(&err));
        csl_log_err(CSL_LOG_WARN, "study.declined", &err);
        bool is_accepted_one =
            a->memory.has_study &&
            memcmp(a->memory.study_digest, offer->study_digest, CSL_DIGEST_BYTES) == 0;
        if (!is_accepted_one)
            csl_agent_secagg_discard__(a);
    }
    go_on(a, answer.accepted);
    if (e == NULL) {
        (void)CSL_FAIL(&err, CSL_E_NOMEM, "no memory to answer a study");
        csl_agent_fail__(a, &err);
        return;
    }
    e->answer = answer;
    csl_agent_post__(a, e);
}
