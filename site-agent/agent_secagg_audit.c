/* The audit of a published sum by this site: which chunks, the answer, and what follows from it.
 *
 *     result --> ASKING --all chunks check----> NONE         work goes on
 *                       --one does not--------> FAILED       no task until confirmed
 *                       --a round's time ends-> UNANSWERED   the next model is refused, once
 *
 * None of it goes by the numbers of rounds, which the coordinator chooses. An update that may be in
 * a sum has to have its result before any other model is worked on, and a model is refused by its
 * digest, under whatever number it comes.
 *
 * The chunks are drawn by the operating system's generator once the result is here, so that nobody
 * knew them when the sum was published. They are written down before they are asked for: a site
 * that starts again asks for the same ones. */
#include "site-agent/agent_secagg_internal.h"

#include "base/clock.h"
#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/rng.h"
#include "protocol/study/evaluation.h"

#include <stdlib.h>
#include <string.h>

#define NO_DEADLINE_NS (3600 * CSL_NS_PER_S) /* of a round that has none */

_Static_assert((int)CSL_SECAGG_AUDIT_CHUNKS_MAX == (int)CSL_SECAGG_AUDITS_MAX, "one M14");

static struct csl_agent_audit *audit_of(const struct csl_agent *a)
{
    return a->secagg != NULL && csl_agent_masks__(a) ? &a->secagg->audit : NULL;
}

/* --- which chunks --- */

/* Chunks of each block that anybody sent; their sum. */
static uint64_t count_chunks(const struct csl_secagg_config *c,
                             const struct csl_secagg_survivors *u3, uint32_t *counts)
{
    uint64_t total = 0;
    for (uint32_t b = 0; b < csl_secagg_block_total(c); b++) {
        struct csl_secagg_set senders;
        csl_secagg_block_set(u3->block_bits, u3->count, b, &senders);
        counts[b] = csl_secagg_set_count(&senders) > 0 ? csl_secagg_block_chunks(c, b) : 0;
        total += counts[b];
    }
    return total;
}

static int ascending(const void *left, const void *right)
{
    uint64_t a, b;
    memcpy(&a, left, sizeof(a));
    memcpy(&b, right, sizeof(b));
    return (a > b) - (a < b);
}

/* `count` different numbers below total, ascending; total if there are not so many. */
static uint32_t draw(uint64_t total, uint32_t count, uint64_t *out)
{
    struct csl_rng rng;
    count = total < count ? (uint32_t)total : count;
    csl_rng_init_os(&rng);
    for (uint32_t n = 0; n < count;) {
        bool is_new = true;
        out[n] = total == count ? n : csl_rng_below(&rng, total);
        for (uint32_t k = 0; k < n; k++)
            is_new = is_new && out[k] != out[n];
        n += is_new;
    }
    csl_rng_wipe(&rng);
    qsort(out, count, sizeof(*out), ascending);
    return count;
}

static void choose(struct csl_agent_audit *u, const struct csl_secagg_config *c,
                   const struct csl_secagg_survivors *u3, uint32_t count)
{
    uint32_t counts[CSL_SECAGG_MANIFEST_BLOCKS_MAX], block = 0;
    uint64_t drawn[CSL_SECAGG_AUDITS_MAX], before = 0;
    u->count = draw(count_chunks(c, u3, counts), count, drawn);
    for (uint32_t i = 0; i < u->count; i++) {
        for (; drawn[i] - before >= counts[block]; block++)
            before += counts[block];
        csl_store_le32(u->chunks + (size_t)8 * i, block);
        csl_store_le32(u->chunks + (size_t)8 * i + 4, (uint32_t)(drawn[i] - before));
    }
}

static void chunk_at(const struct csl_agent_audit *u, uint32_t *block, uint32_t *chunk)
{
    *block = csl_load_le32(u->chunks + (size_t)8 * u->item);
    *chunk = csl_load_le32(u->chunks + (size_t)8 * u->item + 4);
}

static enum csl_code copy_session(struct csl_agent *a, struct csl_agent_audit *u,
                                  struct csl_span result, struct csl_err *err)
{
    struct csl_secagg_site_received r;
    struct csl_secagg_message survivors;
    if (!csl_secagg_site_received(a->secagg->fsm, &r))
        return CSL_FAIL(err, CSL_E_NOTFOUND, "this site was not told who is in the sum");
    const struct csl_span said[] = {r.config, r.keys, r.senders, r.survivors, result};
    enum csl_code code = csl_secagg_decode(&survivors, r.survivors, err);
    for (size_t i = 0; code == CSL_OK && i < CSL_AUDIT_MESSAGES; i++)
        code = csl_msg_copy(&u->said[i], said[i], err);
    if (code != CSL_OK)
        return code;
    const struct csl_secagg_config *c = csl_secagg_site_config(a->secagg->fsm);
    u->round = c->round;
    choose(u, c, &survivors.u.survivors, a->study->secagg.audit_chunks);
    return u->count > 0 ? CSL_OK : CSL_FAIL(err, CSL_E_NOTFOUND, "nothing is in the sum");
}

static bool has_result(const struct csl_agent_audit *u)
{
    return u->said[CSL_AUDIT_M13].n > 0;
}

static bool is_about(const struct csl_agent_audit *u, const uint8_t sid[32])
{
    return sid != NULL && memcmp(u->session, sid, sizeof(u->session)) == 0;
}

/* --- what follows --- */

static void go_on(struct csl_agent *a)
{
    struct csl_agent_audit *u = &a->secagg->audit;
    bool was_deferred = u->is_deferred;
    u->is_deferred = false;
    if (was_deferred && a->core.is_working && a->core.has_task && !a->has_work)
        csl_agent_start_work__(a, &a->core.task); /* which asks the gate again */
}

static void end_with(struct csl_agent *a, enum csl_agent_audit_state state)
{
    struct csl_agent_audit *u = &a->secagg->audit;
    bool was_deferred = u->is_deferred;
    if (state == CSL_AUDIT_NONE)
        csl_agent_audit_clear__(u);
    csl_secagg_audit_free(u->verifier);
    u->verifier = NULL;
    u->state = state;
    u->is_deferred = was_deferred;
    csl_agent_audit_save__(a);
    if (a->failure.code == CSL_OK)
        go_on(a);
}

/* What failed, and where; never a value. */
static void fail_audit(struct csl_agent *a, const struct csl_err *why)
{
    struct csl_agent_audit *u = &a->secagg->audit;
    uint32_t block, chunk;
    chunk_at(u, &block, &chunk);
    csl_log(CSL_LOG_ERROR, "secagg.audit_failed", CSL_STR("site", a->site_id),
            CSL_U64("round", u->round), CSL_U64("block", block), CSL_U64("chunk", chunk),
            CSL_STR("why", why->msg),
            CSL_STR("remedy", "see docs/secure-aggregation.md; this site takes no part until a "
                              "file secagg-confirmed is in the state folder at a start"));
    csl_str_copy(a->core.last_error, sizeof(a->core.last_error),
                 "the published sum of a round is not the sum of its uploads");
    end_with(a, CSL_AUDIT_FAILED);
}

static void miss_audit(struct csl_agent *a)
{
    struct csl_agent_audit *u = &a->secagg->audit;
    csl_log(CSL_LOG_WARN, "secagg.audit_unanswered", CSL_STR("site", a->site_id),
            CSL_U64("round", u->round), CSL_U64("checked", u->item), CSL_U64("asked", u->count));
    csl_str_copy(a->core.last_error, sizeof(a->core.last_error),
                 "the coordinator did not answer for the published sum of a round");
}

static bool may_be_in_sum(const struct csl_agent *a)
{
    enum csl_secagg_update update = csl_secagg_site_update(a->secagg->fsm);
    return update == CSL_SECAGG_UPDATE_PENDING || update == CSL_SECAGG_UPDATE_INCLUDED;
}

/* It sent its update, and was never told who is in the sum: as good as no answer. */
static void miss_survivors(struct csl_agent *a, uint64_t round, const uint8_t sid[32])
{
    struct csl_agent_audit *u = &a->secagg->audit;
    csl_agent_audit_clear__(u);
    u->round = round;
    memcpy(u->session, sid, sizeof(u->session));
    miss_audit(a);
    end_with(a, CSL_AUDIT_UNANSWERED);
}

/* The coordinator keeps what answers are made of until it opens the next sum, and no longer. */
void csl_agent_audit_overtaken__(struct csl_agent *a, const uint8_t sid[32])
{
    struct csl_agent_audit *u = &a->secagg->audit;
    if (u->state != CSL_AUDIT_ASKING || !has_result(u) || is_about(u, sid))
        return;
    miss_audit(a);
    end_with(a, CSL_AUDIT_UNANSWERED);
}

void csl_agent_audit_begin__(struct csl_agent *a, struct csl_span result)
{
    struct csl_agent_audit *u = &a->secagg->audit, fresh = {.state = CSL_AUDIT_ASKING};
    struct csl_err err = {.code = CSL_OK};
    const struct csl_secagg_config *c = csl_secagg_site_config(a->secagg->fsm);
    const uint8_t *sid = csl_secagg_site_sid(a->secagg->fsm);
    if (a->study->secagg.audit_chunks == 0 || c == NULL || sid == NULL ||
        u->state == CSL_AUDIT_FAILED ||
        csl_study_only_evaluates_in(a->study, c->round) || /* the study is over with this sum */
        (u->state != CSL_AUDIT_NONE && is_about(u, sid) && has_result(u)))
        return; /* a restart came between this and the end of the session */
    enum csl_code code = copy_session(a, &fresh, result, &err);
    if (code == CSL_OK) {
        if (u->state == CSL_AUDIT_ASKING && !is_about(u, sid))
            miss_audit(a); /* a whole round went by, in which this site trained nothing */
        fresh.is_deferred = u->is_deferred;
        memcpy(fresh.session, sid, sizeof(fresh.session));
        csl_agent_audit_clear__(u);
        *u = fresh;
        csl_agent_audit_save__(a);
        return;
    }
    csl_agent_audit_clear__(&fresh);
    if (code == CSL_E_NOMEM)
        csl_agent_fail__(a, &err);
    else if (may_be_in_sum(a))
        miss_survivors(a, c->round, sid);
    else
        csl_agent_audit_overtaken__(a, sid); /* it had no part in that round */
}

/* --- the answer --- */

static enum csl_code check(struct csl_agent *a, struct csl_span bytes, struct csl_err *err)
{
    struct csl_agent_audit *u = &a->secagg->audit;
    const struct csl_secagg_audit_session session = {
        .roster = a->config.secagg->roster,
        .config = csl_msg_span(&u->said[CSL_AUDIT_M0]),
        .keys = csl_msg_span(&u->said[CSL_AUDIT_M2]),
        .senders = csl_msg_span(&u->said[CSL_AUDIT_M7]),
        .survivors = csl_msg_span(&u->said[CSL_AUDIT_M9]),
        .result = csl_msg_span(&u->said[CSL_AUDIT_M13]),
        .memory = CSL_SECRET_MAY_SWAP};
    uint32_t block, chunk;
    enum csl_code code = CSL_OK;
    chunk_at(u, &block, &chunk);
    if (u->verifier == NULL)
        code = csl_secagg_audit_new(&u->verifier, &session, block, chunk, err);
    if (code == CSL_OK)
        code = csl_secagg_audit_take(u->verifier, bytes, err);
    if (code != CSL_OK || !csl_secagg_audit_is_complete(u->verifier))
        return code;
    code = csl_secagg_audit_finish(u->verifier, err);
    csl_secagg_audit_free(u->verifier);
    u->verifier = NULL;
    u->item += code == CSL_OK;
    return code;
}

/* Of another session: what is left of an answer that came too late. */
static bool is_of_session(const struct csl_agent_audit *u, struct csl_span bytes)
{
    struct csl_secagg_message result, m;
    return csl_secagg_decode(&result, csl_msg_span(&u->said[CSL_AUDIT_M13]), NULL) == CSL_OK &&
           (csl_secagg_decode(&m, bytes, NULL) != CSL_OK || memcmp(result.id, m.id, 32) == 0);
}

void csl_agent_audit_take__(struct csl_agent *a, struct csl_span bytes)
{
    struct csl_agent_audit *u = &a->secagg->audit;
    struct csl_err err = {.code = CSL_OK};
    if (u->state != CSL_AUDIT_ASKING || !has_result(u) || a->conn == 0 || u->asked_on != a->conn ||
        !is_of_session(u, bytes))
        return;
    enum csl_code code = check(a, bytes, &err);
    if (code == CSL_E_NOMEM || code == CSL_E_LIMIT) {
        csl_agent_fail__(a, &err); /* says nothing about the sum; a start asks again */
    } else if (code != CSL_OK) {
        fail_audit(a, &err);
    } else if (u->item == u->count) {
        csl_log(CSL_LOG_INFO, "secagg.audit_passed", CSL_STR("site", a->site_id),
                CSL_U64("round", u->round), CSL_U64("chunks", u->count));
        end_with(a, CSL_AUDIT_NONE);
    }
}

/* --- asking --- */

/* The coordinator has greeted and knows the study to be accepted. */
static bool is_heard(const struct csl_agent *a)
{
    enum csl_site_state state = a->core.state;
    return a->conn != 0 && a->core.conn == a->conn && state != CSL_SITE_AWAY &&
           state != CSL_SITE_GREETING && state != CSL_SITE_CONSIDERING && state != CSL_SITE_ENDED;
}

static void ask(struct csl_agent *a)
{
    struct csl_agent_audit *u = &a->secagg->audit;
    const struct csl_agent_keys *keys = a->config.secagg;
    struct csl_secagg_message result, m = {.type = CSL_SECAGG_AUDIT};
    struct csl_err err = {.code = CSL_OK};
    struct csl_buf out;
    uint32_t place = 0;
    csl_buf_init(&out, CSL_SECAGG_BYTES_MAX);
    enum csl_code code = csl_secagg_decode(&result, csl_msg_span(&u->said[CSL_AUDIT_M13]), &err);
    if (code == CSL_OK)
        code = csl_secagg_roster_member(keys->roster, a->site_id, &place, &err);
    if (code == CSL_OK) {
        memcpy(m.id, result.id, sizeof(m.id));
        m.site = keys->roster->sites[place].id;
        m.u.audit = (struct csl_secagg_audit_request){.count = u->count, .chunks = u->chunks};
        code = csl_secagg_encode(&m, keys->key, &out, &err);
    }
    csl_secagg_audit_free(u->verifier);
    u->verifier = NULL;
    u->item = 0; /* the answer begins anew */
    u->asked_on = a->conn;
    if (code == CSL_OK)
        csl_agent_secagg_send__(a, CSL_SPAN(out.p, out.n));
    else
        csl_agent_fail__(a, &err);
    csl_buf_release(&out);
}

void csl_agent_audit_follow__(struct csl_agent *a)
{
    struct csl_agent_audit *u = audit_of(a);
    if (u == NULL || u->state != CSL_AUDIT_ASKING || a->failure.code != CSL_OK)
        return;
    uint64_t wait = a->study->round_deadline_ms * CSL_NS_PER_MS;
    if (u->deadline_ns == 0)
        u->deadline_ns = a->now_ns + (wait == 0 ? NO_DEADLINE_NS : wait);
    if (a->now_ns >= u->deadline_ns) {
        miss_audit(a);
        end_with(a, CSL_AUDIT_UNANSWERED);
    } else if (has_result(u) && is_heard(a) && u->asked_on != a->conn) {
        ask(a);
    }
}

uint64_t csl_agent_audit_wakeup_ns__(const struct csl_agent *a)
{
    const struct csl_agent_audit *u = audit_of(a);
    bool is_running = u != NULL && u->state == CSL_AUDIT_ASKING && u->deadline_ns != 0;
    return is_running && a->failure.code == CSL_OK ? u->deadline_ns : UINT64_MAX;
}

void csl_agent_audit_end__(struct csl_agent *a)
{
    const struct csl_agent_audit *u = audit_of(a);
    if (u != NULL && u->state == CSL_AUDIT_ASKING)
        miss_audit(a);
}

/* --- work --- */

/* Its update may be in a sum, of whose result nothing was heard, and another model is there: made
 * of that sum, whatever the coordinator calls the round. An audit that has no question yet. */
static bool awaits_result(const struct csl_agent *a, const struct csl_msg_task *task)
{
    const struct csl_secagg_config *c = csl_secagg_site_config(a->secagg->fsm);
    return a->study->secagg.audit_chunks > 0 && c != NULL && may_be_in_sum(a) &&
           !is_about(&a->secagg->audit, csl_secagg_site_sid(a->secagg->fsm)) &&
           memcmp(c->model_hash, task->model_digest, CSL_DIGEST_BYTES) != 0;
}

static bool is_refused(const struct csl_agent_audit *u, const struct csl_msg_task *task)
{
    return !u->has_refused || memcmp(u->refused, task->model_digest, CSL_DIGEST_BYTES) == 0;
}

bool csl_agent_audit_refuses__(const struct csl_agent *a, const struct csl_msg_task *task)
{
    const struct csl_agent_audit *u = audit_of(a);
    if (u == NULL)
        return false;
    switch (u->state) {
    case CSL_AUDIT_FAILED:
        return true;
    case CSL_AUDIT_ASKING: /* another session would take the place of the one that is asked about */
        return !has_result(u);
    case CSL_AUDIT_UNANSWERED:
        return is_refused(u, task) || awaits_result(a, task);
    case CSL_AUDIT_NONE:
        break;
    }
    return awaits_result(a, task);
}

static void await_result(struct csl_agent *a)
{
    struct csl_agent_audit *u = &a->secagg->audit;
    csl_agent_audit_clear__(u);
    u->state = CSL_AUDIT_ASKING;
    u->round = csl_secagg_site_config(a->secagg->fsm)->round;
    memcpy(u->session, csl_secagg_site_sid(a->secagg->fsm), sizeof(u->session));
    csl_agent_audit_save__(a);
}

/* The first model after an audit that nobody answered: it may be made of that sum. */
static enum csl_code refuse_model(struct csl_agent *a, const struct csl_msg_task *task,
                                  const char **reason)
{
    struct csl_agent_audit *u = &a->secagg->audit;
    if (!u->has_refused) {
        u->has_refused = true;
        memcpy(u->refused, task->model_digest, sizeof(u->refused));
        csl_agent_audit_save__(a);
    }
    *reason = "the coordinator did not answer for the published sum of the round before";
    return CSL_E_STATE;
}

enum csl_code csl_agent_audit_gate__(struct csl_agent *a, const struct csl_msg_task *task,
                                     const char **reason)
{
    struct csl_agent_audit *u = audit_of(a);
    bool trains = task->type == CSL_TASK_TRAIN;
    if (u == NULL)
        return CSL_OK;
    if (u->state == CSL_AUDIT_FAILED) {
        *reason = "this site found that a published sum is not the sum of its uploads; its "
                  "administrator has to confirm before it takes part again";
        return CSL_E_STATE;
    }
    if (u->state != CSL_AUDIT_ASKING && awaits_result(a, task))
        await_result(a);
    if (a->failure.code != CSL_OK)
        return a->failure.code;
    if (u->state == CSL_AUDIT_ASKING) {
        u->is_deferred = true;
        return CSL_E_AGAIN;
    }
    if (u->state == CSL_AUDIT_UNANSWERED && trains && is_refused(u, task))
        return refuse_model(a, task, reason);
    return CSL_OK; /* of an evaluation nothing leaves */
}

void csl_agent_audit_cancel__(struct csl_agent *a)
{
    struct csl_agent_audit *u = &a->secagg->audit;
    if (!u->is_deferred || !a->core.is_working || a->has_work)
        return;
    bool trains = a->core.task.type == CSL_TASK_TRAIN;
    struct csl_agent_event *e = csl_agent_event_new__(trains ? CSL_SE_TRAINED : CSL_SE_EVALUATED);
    u->is_deferred = false;
    if (e != NULL) {
        e->ev.round = a->core.task.round;
        e->ev.code = CSL_E_CANCELLED;
    }
    csl_agent_post__(a, e);
}
