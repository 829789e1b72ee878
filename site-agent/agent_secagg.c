#include "site-agent/agent_secagg_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"
#include "privacy/secagg/bounds.h"
#include "privacy/secagg/graph_bound.h"
#include "protocol/study/evaluation.h"

#include <string.h>

bool csl_agent_masks__(const struct csl_agent *a)
{
    return a->study != NULL && a->study->secagg.is_on;
}

static enum csl_code new_site(struct csl_agent *a, struct csl_secagg_site **out,
                              struct csl_err *err)
{
    const struct csl_agent_keys *keys = a->config.secagg;
    struct csl_secagg_site_setup setup = {.key = keys->key,
                                          .roster = keys->roster,
                                          .epoch_seed = keys->epoch_seed,
                                          .memory = CSL_SECRET_MAY_SWAP,
                                          .repeats_models = csl_study_repeats_models(a->study)};
    uint32_t place;
    enum csl_code code = csl_secagg_roster_member(keys->roster, a->site_id, &place, err);
    if (code == CSL_OK)
        code = csl_policy_check_masked(&a->policy, a->study, csl_secagg_roster_active(keys->roster),
                                       &setup.policy, err);
    if (code == CSL_OK)
        code = csl_agent_secagg_check_lanes__(a, err);
    if (code != CSL_OK)
        return code;
    setup.site = keys->roster->sites[place].id;
    return csl_secagg_site_new(out, &setup, err);
}

/* How long a message of the study's rounds can be; declines graphs that cannot be. */
static enum csl_code measure(const struct csl_agent *a, struct csl_secagg_shape *out,
                             uint64_t *bytes, struct csl_err *err)
{
    const struct csl_study_secagg *asked = &a->study->secagg;
    const struct csl_secagg_roster *roster = a->config.secagg->roster;
    uint32_t active = csl_secagg_roster_active(roster);
    struct csl_secagg_shape shape = {.sites = roster->count,
                                     .colluding = asked->colluding,
                                     .blocks = csl_study_block_ids(a->study)};
    shape.is_sparse = asked->is_sparse && active > CSL_SECAGG_COMPLETE_MAX;
    if (shape.is_sparse && a->config.secagg->epoch_seed == NULL)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the study has sparse graphs, and this site has no seed for them; "
                        "secure_aggregation.epoch with the file of `consilium enrol epoch close` "
                        "for its roster would be right");
    if (shape.is_sparse && !csl_secagg_share_plan(active, asked->colluding, asked->minimum_sites,
                                                  &shape.share_degree, &shape.share_threshold))
        return CSL_FAIL(err, CSL_E_DENIED,
                        "no sparse graph of %u sites keeps secrets from %u colluding ones and "
                        "opens a sum of minimum_sites %u",
                        active, asked->colluding, asked->minimum_sites);
    *out = shape;
    *bytes = csl_secagg_bytes_to_site(&shape);
    uint64_t audit = csl_secagg_bytes_of_audit(&shape, csl_study_words_max(a->study));
    if (asked->audit_chunks > 0 && audit > *bytes)
        *bytes = audit;
    return CSL_OK;
}

enum csl_code csl_agent_open_secagg__(struct csl_agent *a, struct csl_err *err)
{
    struct csl_agent_secagg *g = a->secagg;
    if (!csl_agent_masks__(a) || a->config.unmasked_sites > 0)
        return CSL_OK;
    if (a->config.secagg == NULL)
        return CSL_FAIL(err, CSL_E_DENIED, "this site has no keys for secure aggregation");
    if (g != NULL && memcmp(g->study_digest, a->study->digest, CSL_DIGEST_BYTES) == 0)
        return CSL_OK; /* what was contributed to it stays known */
    csl_agent_free_secagg__(a);
    g = csl_alloc(sizeof(*g));
    if (g == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for secure aggregation");
    memcpy(g->study_digest, a->study->digest, CSL_DIGEST_BYTES);
    enum csl_code code = measure(a, &g->shape, &g->bytes_max, err);
    if (code == CSL_OK)
        code = new_site(a, &g->fsm, err);
    a->secagg = g;
    if (code == CSL_OK)
        code = csl_agent_secagg_restore__(a, err);
    if (code != CSL_OK)
        csl_agent_free_secagg__(a);
    return code;
}

void csl_agent_free_secagg__(struct csl_agent *a)
{
    if (a->secagg == NULL)
        return;
    csl_agent_audit_clear__(&a->secagg->audit);
    csl_secagg_site_free(a->secagg->fsm);
    csl_secagg_journal_close(a->secagg->journal);
    csl_free(a->secagg);
    a->secagg = NULL;
}

void csl_agent_secagg_discard__(struct csl_agent *a)
{
    if (a->secagg != NULL && a->secagg->is_fresh) {
        csl_secagg_journal_destroy(a->secagg->journal);
        a->secagg->journal = NULL;
        csl_agent_free_secagg__(a);
    }
}

void csl_agent_secagg_end__(struct csl_agent *a)
{
    struct csl_agent_secagg *g = a->secagg;
    csl_agent_audit_end__(a);
    if (g == NULL)
        return;
    csl_agent_secagg_drop_words__(a);
    /* No sum of the attempt that may be open is opened any more: its secrets have no use. */
    if (csl_agent_masks__(a) && csl_secagg_site_config(g->fsm) != NULL &&
        !csl_secagg_site_is_suspended(g->fsm))
        (void)csl_agent_secagg_step__(
            a, &(struct csl_secagg_site_event){.kind = CSL_SECAGG_SE_FORGET});
}

/* --- the protocol --- */

/* Without memory the rest is left out: the coordinator ends the session over the gap, and asks
 * again. */
void csl_agent_secagg_send__(struct csl_agent *a, struct csl_span bytes)
{
    struct csl_message m = {.kind = CSL_MSG_SECAGG};
    for (size_t at = 0; a->conn != 0 && at < bytes.n; at += CSL_SECAGG_BYTES_MAX) {
        if (csl_parts_cut(&m.u.secagg, bytes, at, NULL) != CSL_OK)
            return;
        csl_agent_send__(a, &m);
        csl_message_release(&m);
    }
}

static void on_action(void *ctx, const struct csl_secagg_site_action *action)
{
    struct csl_agent *a = ctx;
    if (a->failure.code != CSL_OK)
        return; /* after a record that was not written nothing more may happen */
    switch (action->kind) {
    case CSL_SECAGG_SA_JOURNAL:
        csl_agent_secagg_record__(a, action);
        break;
    case CSL_SECAGG_SA_SEND:
        csl_agent_secagg_send__(a, action->bytes);
        break;
    case CSL_SECAGG_SA_MASK:
        a->secagg->must_mask = true;
        break;
    case CSL_SECAGG_SA_UPLOAD:
        a->secagg->may_leave = true;
        break;
    case CSL_SECAGG_SA_SETTLED:
        a->secagg->is_settled = true;
        break;
    case CSL_SECAGG_SA_ALARM:
        csl_log(CSL_LOG_ERROR, "secagg.alarm", CSL_STR("site", a->site_id),
                CSL_STR("what", action->text));
        break;
    }
}

/* Whoever is at the other end can send as many as it likes; no more than these are worth a line. */
static void log_refusal(struct csl_agent *a, enum csl_log_level level, const struct csl_err *err)
{
    uint32_t unsaid;
    bool is_said = csl_log_quota_take(&a->secagg->refusals, a->now_ns, &unsaid);
    if (unsaid > 0)
        csl_log(level, "secagg.refused_more", CSL_STR("site", a->site_id),
                CSL_U64("messages", unsaid));
    if (is_said)
        csl_log_err(level, "secagg.refused", err);
}

enum csl_code csl_agent_secagg_step__(struct csl_agent *a, const struct csl_secagg_site_event *ev)
{
    const struct csl_secagg_site_out out = {a, on_action};
    struct csl_err err = {.code = CSL_OK};
    if (a->failure.code != CSL_OK)
        return a->failure.code;
    enum csl_code code = csl_secagg_site_step(a->secagg->fsm, ev, &out, &err);
    if (code == CSL_E_NOMEM) /* the machine may be half way; a restart reads its journal */
        csl_agent_fail__(a, &err);
    else if (code != CSL_OK)
        log_refusal(a, CSL_LOG_INFO, &err);
    return code;
}

static void give_up(struct csl_agent *a)
{
    csl_log(CSL_LOG_WARN, "secagg.gave_up", CSL_STR("site", a->site_id));
    (void)csl_agent_secagg_step__(a,
                                  &(struct csl_secagg_site_event){.kind = CSL_SECAGG_SE_GIVE_UP});
}

void csl_agent_secagg_drop_words__(struct csl_agent *a)
{
    char plain[CSL_ID_MAX];
    if (a->secagg->update.outbox.round == 0)
        return;
    csl_agent_blob_name__(plain, "plain", a->secagg->update.outbox.round);
    csl_blob_remove(a->blobs, plain);
    a->secagg->has_words = false;
}

/* It said that it is ready, and may have masked: only those words will do, and no others. */
static bool needs_words(const struct csl_agent_secagg *g)
{
    enum csl_secagg_phase phase = csl_secagg_site_phase(g->fsm);
    return g->is_told && (phase == CSL_SECAGG_KEYED || phase == CSL_SECAGG_DEALT ||
                          phase == CSL_SECAGG_WAITING || phase == CSL_SECAGG_MASKING);
}

/* --- one update --- */

/* The words were trained on the model that M0 of the current attempt binds, and weighed by its
 * table. Round numbers alone would let a coordinator open the same round on another model, and put
 * this update into a sum that the others' trained differently. */
static bool fits_words(const struct csl_agent_secagg *g)
{
    const struct csl_secagg_config *c = csl_secagg_site_config(g->fsm);
    const struct csl_outbox *o = &g->update.outbox;
    return c != NULL && o->round == c->round &&
           memcmp(o->model_digest, c->model_hash, CSL_DIGEST_BYTES) == 0 &&
           csl_secagg_site_binds(g->fsm, g->update.has_factors ? g->update.factors : NULL);
}

/* The session exists once its keys are closed; before that the update waits. */
static void tell_trained(struct csl_agent *a)
{
    struct csl_agent_secagg *g = a->secagg;
    const struct csl_secagg_config *c = csl_secagg_site_config(g->fsm);
    struct csl_secagg_site_event ev = {.kind = CSL_SECAGG_SE_TRAINED};
    enum csl_secagg_phase phase = csl_secagg_site_phase(g->fsm);
    if (!g->has_words || g->is_told || !fits_words(g) ||
        (phase != CSL_SECAGG_KEYED && phase != CSL_SECAGG_DEALT))
        return;
    for (uint32_t i = 0; i < g->update.outbox.block_count; i++) {
        uint32_t index = csl_agent_secagg_index__(a, c, g->update.outbox.blocks[i].block);
        if (index != UINT32_MAX)
            csl_secagg_set_put(&ev.blocks, index);
    }
    g->is_told = csl_agent_secagg_step__(a, &ev) == CSL_OK;
}

/* The same words and the same masks make the same file, so a crash before MASKED is written down
 * costs nothing but work. Row and charge come before anything of it leaves: the manifest too is
 * about the masked words only. */
static void mask(struct csl_agent *a)
{
    struct csl_agent_secagg *g = a->secagg;
    struct csl_secagg_masked masked;
    struct csl_agent_event e = g->update;
    struct csl_err err;
    g->must_mask = false;
    if (csl_secagg_site_phase(g->fsm) != CSL_SECAGG_MASKING || !fits_words(g))
        return;
    enum csl_code code = csl_agent_secagg_mask__(a, &e.outbox, &masked, &err);
    if (code == CSL_E_CORRUPT) {
        csl_log_err(CSL_LOG_ERROR, "secagg.words_lost", &err);
        csl_agent_secagg_drop_words__(a);
        give_up(a);
        return;
    }
    if (code != CSL_OK) {
        csl_agent_fail__(a, &err);
        return;
    }
    csl_agent_remember_update__(a, &e);
    if (a->failure.code == CSL_OK)
        (void)csl_agent_secagg_step__(
            a, &(struct csl_secagg_site_event){.kind = CSL_SECAGG_SE_MASKED, .masked = &masked});
}

/* Of an attempt that was abandoned: the file must not leave any more, the words may again. */
static void withdraw(struct csl_agent *a)
{
    struct csl_err err = {.code = CSL_OK};
    uint64_t round = a->memory.outbox.round;
    if (round == 0 || round != csl_secagg_site_config(a->secagg->fsm)->round)
        return;
    a->memory.outbox = (struct csl_outbox){.round = 0};
    if (csl_agent_save__(a, &err) != CSL_OK)
        csl_agent_fail__(a, &err);
    else
        csl_agent_step__(a, &(struct csl_site_event){
                                .kind = CSL_SE_WITHDRAWN, .round = round, .now_ns = a->now_ns});
}

static void settle(struct csl_agent *a)
{
    struct csl_agent_secagg *g = a->secagg;
    enum csl_secagg_update update = csl_secagg_site_update(g->fsm);
    g->is_settled = false;
    if (update == CSL_SECAGG_UPDATE_ABANDONED)
        withdraw(a);
    if (update == CSL_SECAGG_UPDATE_INCLUDED || update == CSL_SECAGG_UPDATE_EXCLUDED)
        csl_agent_secagg_drop_words__(a);
}

/* The core hears that it was trained when the manifest is signed, and not before. */
static void let_leave(struct csl_agent *a)
{
    const struct csl_outbox *row = &a->memory.outbox;
    const struct csl_secagg_config *c = csl_secagg_site_config(a->secagg->fsm);
    a->secagg->may_leave = false;
    bool is_known = a->core.outbox.round == row->round &&
                    memcmp(a->core.outbox.digest, row->digest, CSL_DIGEST_BYTES) == 0;
    if (c != NULL && row->round == c->round && !is_known)
        csl_agent_step__(a, &(struct csl_site_event){.kind = CSL_SE_TRAINED,
                                                     .round = row->round,
                                                     .outbox = row,
                                                     .now_ns = a->now_ns});
}

void csl_agent_secagg_follow__(struct csl_agent *a)
{
    struct csl_agent_secagg *g = a->secagg;
    if (g == NULL || !csl_agent_masks__(a) || a->failure.code != CSL_OK)
        return;
    if (g->is_settled)
        settle(a);
    tell_trained(a);
    if (g->must_mask && g->has_words && !a->core.is_uploading) /* the file may be under way */
        mask(a);
    if (g->may_leave && a->failure.code == CSL_OK)
        let_leave(a);
    csl_agent_audit_follow__(a);
}

void csl_agent_secagg_start__(struct csl_agent *a)
{
    struct csl_agent_secagg *g = a->secagg;
    const struct csl_secagg_site_out out = {a, on_action};
    if (g == NULL || !csl_agent_masks__(a))
        return;
    g->must_resume = a->conn == 0; /* once more when somebody hears it */
    if (needs_words(g) && !g->has_words)
        give_up(a);
    g->is_settled = true;
    csl_secagg_site_resume(g->fsm, &out);
    csl_agent_secagg_follow__(a);
}

/* --- messages --- */

static bool is_other_attempt(const struct csl_agent_secagg *g, const struct csl_secagg_config *than)
{
    const struct csl_secagg_config *c = csl_secagg_site_config(g->fsm);
    return c == NULL || c->round != than->round || c->attempt != than->attempt;
}

/* Nothing of an earlier attempt is waited for, and words of an earlier round are of no use. */
static void begin_attempt(struct csl_agent *a)
{
    struct csl_agent_secagg *g = a->secagg;
    g->is_told = g->must_mask = g->may_leave = g->is_settled = false;
    if (!fits_words(g))
        csl_agent_secagg_drop_words__(a);
}

static void offer_config(struct csl_agent *a, const struct csl_secagg_config *c,
                         struct csl_span bytes, const uint32_t *weights)
{
    uint8_t secret[32], factors[CSL_DIGEST_BYTES];
    struct csl_rng rng;
    bool has_factors = csl_task_factors(&a->core.task, factors);
    bool is_new = is_other_attempt(a->secagg, c);
    csl_rng_init_os(&rng);
    csl_rng_bytes(&rng, secret, sizeof(secret));
    csl_rng_wipe(&rng);
    a->secagg->opening_round = c->round;
    memcpy(a->secagg->opening_model, a->core.task.model_digest, CSL_DIGEST_BYTES);
    enum csl_code code = csl_agent_secagg_step__(
        a, &(struct csl_secagg_site_event){.kind = CSL_SECAGG_SE_CONFIG,
                                           .bytes = bytes,
                                           .weights = weights,
                                           .model_hash = a->core.task.model_digest,
                                           .plan_hash = a->study->digest,
                                           .factors = has_factors ? factors : NULL,
                                           .secret = secret});
    csl_wipe(secret, sizeof(secret));
    if (code == CSL_OK && is_new)
        begin_attempt(a);
}

/* 0, length of M0, M0, the table of weights. */
static void take_config(struct csl_agent *a, struct csl_span body)
{
    struct csl_secagg_config c;
    struct csl_err err;
    if (body.n < 4 || csl_load_le32(body.p) > body.n - 4)
        return;
    struct csl_span bytes = CSL_SPAN(body.p + 4, csl_load_le32(body.p));
    if (csl_secagg_config_decode(&c, bytes, &err) != CSL_OK ||
        csl_agent_secagg_check_blocks__(a, &c, &err) != CSL_OK) {
        log_refusal(a, CSL_LOG_WARN, &err);
        return;
    }
    const struct csl_msg_task *task = &a->core.task;
    size_t table = (size_t)c.roster_count * c.block_count;
    bool is_ours = a->core.has_task && task->type == CSL_TASK_TRAIN && task->round == c.round &&
                   !csl_agent_audit_refuses__(a, task);
    if (!is_ours || (body.n - 4 - bytes.n) != table * sizeof(uint32_t))
        return; /* not the round this site was asked to train */
    uint32_t *weights = csl_alloc_array(table, sizeof(*weights));
    if (weights == NULL)
        return;
    for (size_t i = 0; i < table; i++)
        weights[i] = csl_load_le32(bytes.p + bytes.n + 4 * i);
    offer_config(a, &c, bytes, weights);
    csl_free(weights);
}

/* The result of its own session ends it: the secrets have no use any more. */
static void take_protocol(struct csl_agent *a, struct csl_span bytes)
{
    struct csl_agent_secagg *g = a->secagg;
    struct csl_secagg_message m;
    if (csl_agent_secagg_step__(a, &(struct csl_secagg_site_event){.kind = CSL_SECAGG_SE_MESSAGE,
                                                                   .bytes = bytes}) != CSL_OK ||
        bytes.p[0] != CSL_SECAGG_RESULT || csl_secagg_decode(&m, bytes, NULL) != CSL_OK)
        return;
    const uint8_t *sid = csl_secagg_site_sid(g->fsm);
    if (sid == NULL || memcmp(sid, m.id, 32) != 0) {
        csl_agent_audit_overtaken__(a, m.id);
        return;
    }
    settle(a);
    csl_agent_secagg_drop_words__(a);
    csl_agent_audit_begin__(a, bytes);
    g->opening_round = 0;
    g->is_told = g->must_mask = g->may_leave = false;
    (void)csl_agent_secagg_step__(a, &(struct csl_secagg_site_event){.kind = CSL_SECAGG_SE_FORGET});
}

static void take_message(struct csl_agent *a, struct csl_span body)
{
    if (body.n < 2 || body.p[0] > 1)
        return;
    if (a->secagg->must_resume)
        csl_agent_secagg_start__(a);
    struct csl_span rest = CSL_SPAN(body.p + 1, body.n - 1);
    if (body.p[0] == 0)
        take_config(a, rest);
    else if (rest.p[0] == CSL_SECAGG_AUDITED || rest.p[0] == CSL_SECAGG_SPARSE_AUDITED ||
             rest.p[0] == CSL_SECAGG_AUDIT_UPLOAD)
        csl_agent_audit_take__(a, rest);
    else
        take_protocol(a, rest);
}

void csl_agent_secagg_part__(struct csl_agent *a, const struct csl_msg_secagg *part)
{
    struct csl_span whole;
    struct csl_err err;
    if (a->secagg == NULL || !csl_agent_masks__(a))
        return;
    enum csl_code code = csl_parts_take(&a->parts, part, a->secagg->bytes_max, &whole, &err);
    if (code == CSL_OK) {
        take_message(a, whole);
        return;
    }
    csl_log_err(CSL_LOG_WARN, "coordinator.bad_message", &err);
    a->config.transport->ops->drop(a->config.transport, a->conn, code);
}

/* --- around training --- */

bool csl_agent_secagg_holds__(const struct csl_agent *a, const struct csl_msg_task *task)
{
    const struct csl_agent_secagg *g = a->secagg;
    uint8_t factors[CSL_DIGEST_BYTES] = {0};
    (void)csl_task_factors(task, factors);
    return g != NULL && csl_agent_masks__(a) && g->has_words &&
           g->update.outbox.round == task->round &&
           memcmp(g->update.outbox.model_digest, task->model_digest, CSL_DIGEST_BYTES) == 0 &&
           memcmp(g->update.factors, factors, CSL_DIGEST_BYTES) == 0;
}

uint64_t csl_agent_secagg_words_round__(const struct csl_agent *a)
{
    const struct csl_agent_secagg *g = a->secagg;
    return g != NULL && g->has_words ? g->update.outbox.round : 0;
}

uint64_t csl_agent_secagg_words_run__(const struct csl_agent *a)
{
    const struct csl_agent_secagg *g = a->secagg;
    return g != NULL && g->has_words ? g->update.run : 0;
}

const struct csl_outbox *csl_agent_secagg_words__(const struct csl_agent *a)
{
    return &a->secagg->update.outbox;
}

bool csl_agent_secagg_covers__(const struct csl_agent *a, uint64_t round, uint32_t attempt)
{
    const struct csl_agent_secagg *g = a->secagg;
    return g != NULL && csl_agent_masks__(a) && g->update.outbox.round == round &&
           g->ledger_attempt == attempt;
}

bool csl_agent_secagg_waits__(const struct csl_agent *a, uint64_t round, uint32_t attempt)
{
    return csl_agent_secagg_covers__(a, round, attempt) && a->secagg->has_words;
}

bool csl_agent_secagg_is_suspended__(const struct csl_agent *a)
{
    return a->secagg != NULL && csl_agent_masks__(a) &&
           csl_secagg_site_is_suspended(a->secagg->fsm);
}

const char *csl_agent_secagg_why_not__(const struct csl_agent *a)
{
    if (csl_agent_secagg_is_suspended__(a))
        return "this site found a signature of its own that it does not remember; its "
               "administrator has to look";
    if (a->secagg != NULL && csl_agent_masks__(a) && csl_secagg_site_is_out(a->secagg->fsm))
        return "this site was set back to an earlier state, and takes no part in this study any "
               "more; a new study would be right";
    return NULL;
}

/* The words are what leaves: nothing waits for the senders to be known. */
static void tell_unmasked(struct csl_agent *a, const struct csl_agent_event *e)
{
    struct csl_site_event ev = e->ev;
    csl_agent_remember_update__(a, e);
    ev.outbox = &e->outbox;
    if (a->failure.code == CSL_OK)
        csl_agent_step__(a, &ev);
}

static void abandon_words(struct csl_agent *a)
{
    csl_agent_secagg_drop_words__(a);
    if (needs_words(a->secagg))
        give_up(a);
    struct csl_agent_event *e = csl_agent_event_new__(CSL_SE_TRAINED);
    if (e != NULL) {
        e->ev.round = a->secagg->update.outbox.round;
        e->ev.code = CSL_E_CANCELLED;
    }
    csl_agent_post__(a, e);
}

void csl_agent_secagg_trained__(struct csl_agent *a, const struct csl_agent_event *e)
{
    struct csl_agent_secagg *g = a->secagg;
    if (a->config.unmasked_sites > 0) {
        tell_unmasked(a, e);
        return;
    }
    g->update = *e;
    g->update.bytes = (struct csl_msg){NULL, 0};
    g->update.evaluation.blocks = NULL;
    memcpy(g->words_digest, e->outbox.digest, CSL_DIGEST_BYTES);
    g->ledger_attempt = a->reserved_attempt;
    g->has_words = true;
    csl_agent_secagg_record_words__(a);
    /* Another task came while they were written, or other words of the round, of before a restart,
     * were charged as what these were reserved: of one charge only one noise may leave. */
    bool is_other = a->core.has_task && !csl_agent_secagg_holds__(a, &a->core.task);
    if (is_other || a->is_reservation_charged ||
        csl_agent_repeats_statistics__(a, &g->update.outbox))
        abandon_words(a);
}

void csl_agent_secagg_cancel__(struct csl_agent *a)
{
    struct csl_agent_secagg *g = a->secagg;
    if (g != NULL)
        csl_agent_audit_cancel__(a);
    /* Words that the core does not wait for belong to an attempt whose fate is open. */
    if (g == NULL || !a->core.is_working || a->has_work ||
        !csl_agent_secagg_holds__(a, &a->core.task))
        return;
    abandon_words(a);
}
