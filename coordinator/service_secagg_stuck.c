/* Attempts that do not get on: who is left out, when an attempt is given up, and the next one.
 *
 *     keys        too few shares, or too few ready        -> next attempt: nobody sent anything
 *     uploads     too few (the core says so), or more lost
 *                 than a sparse graph bears                -> the sites are asked to abandon
 *     votes       not enough after a fifth of the round    -> the sites are asked to abandon
 *     abandoned   t_g votes say so                         -> next attempt, with the certificate
 *     last        the fifth of a round is over             -> the study is aborted, and says why
 *     given up    neither side has t_g votes after a round -> the service fails and says so
 *     opening     too few shares after a round             -> the service fails and says so
 *
 * Whoever voted for the sum cannot vote against it: sites that are missing at that point decide by
 * coming back, and nothing else can. A failed service that is started again waits again. */
#include "coordinator/service_secagg.h"
#include "coordinator/service_secagg_audit.h"
#include "coordinator/service_secagg_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define NO_DEADLINE_NS (3600 * CSL_NS_PER_S) /* of a round that has none: votes still end */

static uint64_t round_ns(const struct csl_service *s)
{
    uint64_t wait = s->study->round_deadline_ms * CSL_NS_PER_MS;
    return wait == 0 ? NO_DEADLINE_NS : wait;
}

/* --- certificates and attempts --- */

void csl_service_secagg_keep_certificate__(struct csl_service *s, struct csl_span bytes)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_err err = {.code = CSL_OK};
    if (g->is_over || g->certificate_count >= CSL_SECAGG_ATTEMPTS_MAX)
        return; /* it is told once more at every resumption */
    if (csl_msg_copy(&g->certificates[g->certificate_count], bytes, &err) != CSL_OK) {
        csl_service_fail__(s, &err);
        return;
    }
    g->certificate_count++;
    g->is_over = true;
    csl_log(CSL_LOG_WARN, "secagg.abandoned", CSL_U64("round", g->round),
            CSL_U64("attempt", g->attempt));
}

void csl_service_secagg_forget_certificates__(struct csl_service_secagg *g)
{
    for (uint32_t i = 0; i < g->certificate_count; i++)
        csl_msg_release(&g->certificates[i]);
    g->certificate_count = 0;
}

void csl_service_secagg_next_attempt__(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    bool is_same = g->due_round == g->round && g->attempt > 0;
    if (!is_same)
        csl_service_secagg_forget_certificates__(g);
    csl_service_audit_set_aside__(s);
    csl_secagg_coordinator_free(g->fsm);
    g->fsm = NULL;
    g->round = g->due_round;
    g->due_round = 0;
    g->opened_ns = g->stage_ns = s->now_ns;
    g->stage_seen = CSL_SECAGG_STAGE_NEW;
    g->wants_close = g->is_released = g->is_closed = g->has_root = false;
    g->is_short = g->has_given_up = g->is_over = g->is_reopening = false;
    memset(g->manifests, 0, s->site_count * sizeof(*g->manifests));
    g->attempt = is_same ? (uint16_t)(g->attempt + 1) : 1;
}

void csl_service_secagg_start_over__(struct csl_service *s, const char *why)
{
    struct csl_service_secagg *g = s->secagg;
    g->is_over = true;
    csl_log(CSL_LOG_WARN, "secagg.started_over", CSL_U64("round", g->round),
            CSL_U64("attempt", g->attempt), CSL_STR("why", why));
}

/* --- who is left out --- */

void csl_service_secagg_leave_out__(struct csl_service *s)
{
    const struct csl_service_secagg *g = s->secagg;
    enum csl_secagg_stage stage = csl_secagg_coordinator_stage(g->fsm);
    if (stage != CSL_SECAGG_STAGE_SHARING && stage < CSL_SECAGG_STAGE_UPLOADING)
        return;
    for (uint32_t i = 0; i < s->site_count; i++) {
        struct csl_coord_event ev = {.site_index = i, .round = g->round};
        bool is_sender =
            stage == CSL_SECAGG_STAGE_UPLOADING
                ? csl_secagg_coordinator_takes_part(g->fsm, csl_service_secagg_number__(s, i))
                : csl_secagg_coordinator_is_survivor(g->fsm, csl_service_secagg_number__(s, i));
        if (!csl_coord_site(s->core, i)->in_cohort)
            continue;
        ev.kind = CSL_CE_ABSENT;
        if (!csl_secagg_coordinator_is_member(g->fsm, csl_service_secagg_number__(s, i)))
            csl_service_answer__(s, &ev);
        ev.kind = CSL_CE_SILENT;
        if (stage >= CSL_SECAGG_STAGE_UPLOADING && !is_sender)
            csl_service_answer__(s, &ev);
    }
}

/* --- after a restart --- */

void csl_service_secagg_go_on__(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_secagg_config *same = csl_alloc(sizeof(*same));
    struct csl_err err = {.code = CSL_OK};
    enum csl_code code = CSL_OK;
    if (same == NULL)
        code = CSL_FAIL(&err, CSL_E_NOMEM, "no memory to go on with a round");
    if (code == CSL_OK) {
        csl_service_secagg_describe__(s, same);
        if (memcmp(same->model_hash, g->config.model_hash, 32) != 0 ||
            memcmp(same->plan_hash, g->config.plan_hash, 32) != 0 ||
            memcmp(same->weights_hash, g->config.weights_hash, 32) != 0)
            code = CSL_FAIL(&err, CSL_E_CORRUPT,
                            "secure_aggregation: the journal of round %llu is of another model, "
                            "study or cohort than the state beside it",
                            (unsigned long long)g->round);
    }
    csl_free(same);
    if (code != CSL_OK) {
        csl_service_fail__(s, &err);
        return;
    }
    g->opened_ns = g->stage_ns = g->gave_up_ns = s->now_ns;
    g->is_closed = g->wants_close = false;
    csl_log(CSL_LOG_INFO, "secagg.restored", CSL_U64("round", g->round),
            CSL_U64("attempt", g->attempt),
            CSL_U64("stage", (uint64_t)csl_secagg_coordinator_stage(g->fsm)));
    csl_service_secagg_leave_out__(s);
}

/* --- giving up --- */

static bool may_be_given_up(enum csl_secagg_stage stage)
{
    return stage >= CSL_SECAGG_STAGE_SHARING && stage <= CSL_SECAGG_STAGE_VOTING;
}

static void ask_to_abandon(struct csl_service *s)
{
    struct csl_err err = {.code = CSL_OK};
    if (csl_service_secagg_step__(
            s, &(struct csl_secagg_coordinator_event){.kind = CSL_SECAGG_CE_GIVE_UP}, &err) !=
        CSL_OK)
        csl_service_fail__(s, &err);
}

static void give_up(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_err err = {.code = CSL_OK};
    if (csl_service_secagg_record_given_up__(s, &err) != CSL_OK) {
        csl_service_fail__(s, &err);
        return;
    }
    g->has_given_up = true;
    g->gave_up_ns = s->now_ns;
    csl_log(CSL_LOG_WARN, "secagg.given_up", CSL_U64("round", g->round),
            CSL_U64("attempt", g->attempt),
            CSL_U64("stage", (uint64_t)csl_secagg_coordinator_stage(g->fsm)));
    ask_to_abandon(s);
}

void csl_service_secagg_remind__(struct csl_service *s)
{
    const struct csl_service_secagg *g = s->secagg;
    if (g->has_given_up && may_be_given_up(csl_secagg_coordinator_stage(g->fsm)))
        ask_to_abandon(s);
}

static void fail(struct csl_service *s, const char *what)
{
    const struct csl_service_secagg *g = s->secagg;
    struct csl_err err = {.code = CSL_OK};
    if (csl_service_only_evaluates__(s)) { /* the model is there, and its figures are not */
        csl_service_evaluation_end__(s);
        return;
    }
    (void)CSL_FAIL(&err, CSL_E_STATE,
                   "secure_aggregation: round %llu, attempt %u: %s; more sites have to come back. "
                   "Started again, the coordinator goes on from here",
                   (unsigned long long)g->round, g->attempt, what);
    csl_service_fail__(s, &err);
}

void csl_service_secagg_short__(struct csl_service *s)
{
    if (s->config.is_unmasked) /* a plain sum has no votes that could give it up */
        fail(s, "too few sites sent their update");
    else
        s->secagg->is_short = true;
}

/* UINT64_MAX: this stage is not waited for here. */
static uint64_t deadline_ns(const struct csl_service *s, enum csl_secagg_stage stage)
{
    const struct csl_service_secagg *g = s->secagg;
    if (g->has_given_up && may_be_given_up(stage))
        return g->gave_up_ns + round_ns(s);
    if (stage == CSL_SECAGG_STAGE_VOTING)
        return g->stage_ns + round_ns(s) / 5;
    return stage == CSL_SECAGG_STAGE_UNMASKING ? g->stage_ns + round_ns(s) : UINT64_MAX;
}

static bool is_late(struct csl_service *s, enum csl_secagg_stage stage)
{
    struct csl_service_secagg *g = s->secagg;
    if (s->now_ns < deadline_ns(s, stage))
        return false;
    if (stage == CSL_SECAGG_STAGE_UNMASKING)
        fail(s, "the sum has its votes, and too few sites open it");
    else if (g->has_given_up)
        fail(s, "neither the sum nor its abandoning has the votes");
    else
        give_up(s);
    return true;
}

/* The core opens the round again; after the last attempt it ends the study, for which it waits as
 * it does for a round that is being committed. */
static void reopen(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    g->is_reopening = true;
    if (g->attempt >= CSL_SECAGG_ATTEMPTS_MAX) {
        snprintf(g->no_more, sizeof(g->no_more),
                 "secure_aggregation: %d attempts of round %llu were given up; this log and "
                 "those of the sites say why",
                 CSL_SECAGG_ATTEMPTS_MAX, (unsigned long long)g->round);
        csl_service_answer__(s,
                             &(struct csl_coord_event){.kind = CSL_CE_ABORT, .reason = g->no_more});
    }
    csl_service_answer__(s, &(struct csl_coord_event){.kind = CSL_CE_REOPEN, .round = g->round});
}

bool csl_service_secagg_unstick__(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    if (g->fsm == NULL || s->failure.code != CSL_OK)
        return false;
    enum csl_secagg_stage stage = csl_secagg_coordinator_stage(g->fsm);
    if (g->is_over && !g->is_reopening) {
        reopen(s);
        return true;
    }
    if (stage != g->stage_seen)
        g->stage_ns = s->now_ns;
    g->stage_seen = stage;
    bool is_short = g->is_short && stage == CSL_SECAGG_STAGE_UPLOADING;
    g->is_short = g->is_short && stage < CSL_SECAGG_STAGE_UPLOADING;
    if (is_short && !g->has_given_up) {
        give_up(s);
        return true;
    }
    return is_late(s, stage);
}

uint64_t csl_service_secagg_patience_ns__(const struct csl_service *s)
{
    uint64_t at = deadline_ns(s, csl_secagg_coordinator_stage(s->secagg->fsm));
    return at > s->now_ns ? at : s->now_ns + 1;
}
