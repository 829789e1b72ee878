#include "coordinator/service_secagg.h"
#include "coordinator/service_secagg_audit.h"
#include "coordinator/service_secagg_internal.h"
#include "coordinator/service_vote.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"
#include "privacy/secagg/bounds.h"
#include "privacy/secagg/coordinator.h"
#include "privacy/secagg/policy.h"

#include <stdio.h>
#include <string.h>

#define NO_SITE UINT32_MAX

/* --- life --- */

static enum csl_code allocate(struct csl_service_secagg *g, struct csl_service *s,
                              struct csl_err *err)
{
    g->places = csl_alloc_array(s->site_count, sizeof(*g->places));
    g->sites = csl_alloc_array(csl_service_secagg_rows__(s), sizeof(*g->sites));
    g->weights = csl_alloc_array(
        (size_t)csl_service_secagg_rows__(s) * csl_study_block_ids(s->study), sizeof(*g->weights));
    g->joined = csl_alloc_array(s->site_count, sizeof(*g->joined));
    g->manifests = csl_alloc_array(s->site_count, sizeof(*g->manifests));
    g->mean = csl_alloc_array((size_t)s->study->schema.parameters, sizeof(*g->mean));
    g->words = csl_alloc_array(CSL_PRG_CHUNK_WORDS, sizeof(*g->words));
    g->sum = csl_alloc_array(CSL_PRG_CHUNK_WORDS, sizeof(*g->sum));
    if (g->joined == NULL || g->weights == NULL || g->manifests == NULL || g->mean == NULL ||
        g->words == NULL || g->sum == NULL || g->places == NULL || g->sites == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for secure aggregation over %u sites",
                        s->site_count);
    enum csl_code code = csl_service_evaluation_new__(s, err);
    return code == CSL_OK ? csl_service_statistics_new__(s, err) : code;
}

enum csl_code csl_service_open_secagg__(struct csl_service *s, struct csl_err *err)
{
    if (!s->study->secagg.is_on)
        return CSL_OK;
    const struct csl_secagg_roster *roster = s->config.secagg_roster;
    bool is_unmasked = s->config.is_unmasked;
    if (!is_unmasked && (s->config.secagg_key == NULL || roster == NULL))
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "the study has secure_aggregation, and this coordinator has no keys for "
                        "it; a section secure_aggregation (key, roster, root) would be right");
    enum csl_code code = csl_service_secagg_check_size__(s, err);
    if (code != CSL_OK)
        return code;
    s->secagg = csl_alloc(sizeof(*s->secagg));
    if (s->secagg == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for secure aggregation");
    const struct csl_secagg_shape shape = csl_service_secagg_shape__(s);
    s->secagg->bytes_from_site = csl_secagg_bytes_from_site(&shape);
    if (shape.is_sparse)
        csl_log(CSL_LOG_INFO, "secagg.graph", CSL_U64("share_degree", shape.share_degree),
                CSL_U64("share_threshold", shape.share_threshold),
                CSL_U64("losses_max", s->study->secagg.losses_max));
    s->secagg->only_site = NO_SITE;
    code = allocate(s->secagg, s, err);
    if (code == CSL_OK)
        code = csl_service_audit_open__(s, err);
    if (code == CSL_OK)
        code = csl_service_secagg_match__(s, err);
    if (code == CSL_OK && !is_unmasked)
        code = csl_service_secagg_restore__(s, err);
    return code;
}

void csl_service_free_secagg__(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    if (g == NULL)
        return;
    csl_service_audit_free__(s);
    csl_secagg_coordinator_free(g->fsm);
    csl_secagg_journal_close(g->journal);
    for (uint32_t i = 0; i < CSL_SECAGG_RESULTS_KEPT; i++)
        csl_msg_release(&g->results[i]);
    csl_free(g->places);
    csl_free(g->sites);
    csl_service_secagg_forget_certificates__(g);
    csl_service_evaluation_free__(g);
    csl_service_statistics_free__(g);
    csl_free(g->joined);
    csl_free(g->weights);
    csl_free(g->manifests);
    csl_free(g->mean);
    csl_free(g->words);
    csl_free(g->sum);
    csl_free(g);
    s->secagg = NULL;
}

/* --- what the protocol asks for --- */

/* As the site reads it: 0, length of M0, M0, weights; or 1 and any other message. */
void csl_service_secagg_tell__(struct csl_service *s, uint32_t site, struct csl_span bytes)
{
    const struct csl_service_secagg *g = s->secagg;
    struct csl_message m = {.kind = CSL_MSG_SECAGG_TO_SITE};
    struct csl_buf b;
    struct csl_err err = {.code = CSL_OK};
    bool is_elsewhere = g->only_site != NO_SITE && g->only_site != site;
    if (s->io[site].conn == 0 || !csl_coord_site(s->core, site)->has_greeted || is_elsewhere ||
        s->failure.code != CSL_OK)
        return;
    csl_buf_init(&b, CSL_SECAGG_WHOLE_MAX);
    bool is_config = bytes.p[0] == CSL_SECAGG_CONFIG;
    csl_buf_u8(&b, is_config ? 0 : 1);
    if (is_config)
        csl_buf_le32(&b, (uint32_t)bytes.n);
    csl_buf_append(&b, bytes.p, bytes.n);
    for (size_t i = 0; is_config && i < csl_service_secagg_table__(s); i++)
        csl_buf_le32(&b, g->weights[i]);
    enum csl_code code = csl_buf_status(&b, &err);
    for (size_t at = 0; code == CSL_OK && at < b.n; at += CSL_SECAGG_BYTES_MAX) {
        code = csl_parts_cut(&m.u.secagg, CSL_SPAN(b.p, b.n), at, &err);
        if (code == CSL_OK)
            csl_service_send__(s, site, &m);
        csl_message_release(&m);
    }
    if (code != CSL_OK)
        csl_service_fail__(s, &err);
    csl_buf_release(&b);
}

static void on_action(void *ctx, const struct csl_secagg_coordinator_action *a)
{
    struct csl_service *s = ctx;
    uint32_t site = csl_service_secagg_site__(s, a->site);
    if (s->failure.code != CSL_OK)
        return; /* after a record that was not written nothing more may happen */
    switch (a->kind) {
    case CSL_SECAGG_CA_JOURNAL:
        csl_service_secagg_record__(s, a);
        break;
    case CSL_SECAGG_CA_SEND:
        if (a->bytes.p[0] == CSL_SECAGG_RESULT)
            csl_service_secagg_keep_result__(s, a->bytes);
        if (site != CSL_SECAGG_NOWHERE) /* another study's sites are in the roster too */
            csl_service_secagg_tell__(s, site, a->bytes);
        break;
    case CSL_SECAGG_CA_RELEASE:
        s->secagg->is_released = true;
        break;
    case CSL_SECAGG_CA_NAME:
    case CSL_SECAGG_CA_ALARM:
        csl_log(
            CSL_LOG_WARN, "secagg.fault",
            CSL_STR("site", site == CSL_SECAGG_NOWHERE ? "" : csl_coord_site(s->core, site)->id),
            CSL_STR("what", a->text));
        break;
    case CSL_SECAGG_CA_CERTIFICATE:
        csl_service_secagg_keep_certificate__(s, a->bytes);
        break;
    case CSL_SECAGG_CA_RECEIVE: /* the upload is announced and granted as every other */
        break;
    }
}

enum csl_code csl_service_secagg_step__(struct csl_service *s,
                                        const struct csl_secagg_coordinator_event *ev,
                                        struct csl_err *err)
{
    const struct csl_secagg_coordinator_out out = {s, on_action};
    if (s->failure.code != CSL_OK) {
        *err = s->failure;
        return s->failure.code;
    }
    return csl_secagg_coordinator_step(s->secagg->fsm, ev, &out, err);
}

void csl_service_secagg_resume__(struct csl_service *s)
{
    const struct csl_secagg_coordinator_out out = {s, on_action};
    csl_secagg_coordinator_resume(s->secagg->fsm, &out);
}

/* --- a round begins --- */

enum csl_code csl_service_secagg_machine__(const struct csl_service *s,
                                           struct csl_secagg_coordinator **out, struct csl_err *err)
{
    const struct csl_secagg_coordinator_setup setup = {.key = s->config.secagg_key,
                                                       .roster = s->config.secagg_roster,
                                                       .epoch_seed = s->config.secagg_epoch_seed,
                                                       .memory = CSL_SECRET_MAY_SWAP};
    return csl_secagg_coordinator_new(out, &setup, err);
}

static void begin(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_err err = {.code = CSL_OK};
    csl_service_secagg_next_attempt__(s);
    if (s->failure.code != CSL_OK)
        return; /* the audit of the last sum could not be set aside */
    if (csl_service_only_evaluates__(s) && g->attempt > CSL_SECAGG_EVALUATION_ATTEMPTS) {
        csl_service_evaluation_end__(s);
        return;
    }
    csl_service_secagg_describe__(s, &g->config);
    enum csl_code code = csl_service_secagg_check_floors__(s, false, &err);
    if (code == CSL_OK && !s->config.is_unmasked)
        code = csl_service_secagg_machine__(s, &g->fsm, &err);
    if (code == CSL_OK && g->fsm != NULL)
        code = csl_service_secagg_step__(s,
                                         &(struct csl_secagg_coordinator_event){
                                             .kind = CSL_SECAGG_CE_OPEN, .config = &g->config},
                                         &err);
    if (code != CSL_OK)
        csl_service_fail__(s, &err);
}

/* The tasks of the round leave first: a site joins for the model that its task names. */
void csl_service_secagg_open_round__(struct csl_service *s, uint64_t round)
{
    struct csl_service_secagg *g = s->secagg;
    bool is_done = g->fsm != NULL && g->round == round && csl_service_only_evaluates__(s) &&
                   csl_secagg_coordinator_stage(g->fsm) == CSL_SECAGG_STAGE_DONE;
    if (is_done) /* before a restart; its figures are stored */
        csl_service_evaluation_end__(s);
    else if (g->fsm == NULL || g->round != round || g->is_reopening)
        g->due_round = round;
    else if (!g->is_over) /* else it is reopened first */
        csl_service_secagg_go_on__(s);
}

/* --- messages --- */

static void take_message(struct csl_service *s, uint32_t site, struct csl_span bytes)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_err err = {.code = CSL_OK};
    struct csl_secagg_message m;
    if (s->is_finished)
        return;                           /* what it led to would not be written down any more */
    if (bytes.p[0] == CSL_SECAGG_AUDIT) { /* may be about the round before this one */
        csl_service_audit_ask__(s, site, bytes);
        return;
    }
    if (g->fsm == NULL)
        return; /* of a round that nobody collects any more */
    enum csl_code code = csl_service_secagg_step__(
        s,
        &(struct csl_secagg_coordinator_event){.kind = CSL_SECAGG_CE_MESSAGE,
                                               .site = csl_service_secagg_number__(s, site),
                                               .bytes = bytes},
        &err);
    bool is_taken = code == CSL_OK && csl_secagg_decode(&m, bytes, NULL) == CSL_OK;
    /* It knows the head of this round. Said again later it may come from an old journal. */
    if (is_taken && m.type == CSL_SECAGG_ADVERTISE &&
        csl_secagg_coordinator_stage(g->fsm) == CSL_SECAGG_STAGE_OPEN)
        g->joined[site] = g->result_count;
    if (is_taken && m.type == CSL_SECAGG_MANIFEST)
        g->manifests[site] = m.u.manifest;
    if (code == CSL_E_NOMEM) /* the machine may be half way; a restart reads its journal */
        csl_service_fail__(s, &err);
    else if (code != CSL_OK)
        csl_service_log_site__(s, site, &s->io[site].refusals, CSL_LOG_INFO, "secagg.refused",
                               err.msg);
}

enum csl_code csl_service_secagg_part__(struct csl_service *s, uint32_t site,
                                        const struct csl_msg_secagg *part)
{
    struct csl_span whole;
    struct csl_err err;
    enum csl_code code =
        csl_parts_take(&s->io[site].parts, part, s->secagg->bytes_from_site, &whole, &err);
    if (code != CSL_OK)
        csl_service_log_site__(s, site, &s->io[site].bad_messages, CSL_LOG_WARN, "site.bad_message",
                               err.msg);
    else if (whole.n > 0)
        take_message(s, site, whole);
    return code;
}

static void resume_for(struct csl_service *s, struct csl_secagg_coordinator *fsm, uint32_t site)
{
    const struct csl_secagg_coordinator_out out = {s, on_action};
    s->secagg->only_site = site;
    csl_secagg_coordinator_resume(fsm, &out);
    s->secagg->only_site = NO_SITE;
}

/* Results that it may not know. In a study with audits also who was in the last sum, before its
 * result: else it could check nothing. */
static void tell_past(struct csl_service *s, uint32_t site)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_secagg_coordinator *past = csl_service_audit_machine__(s);
    uint64_t oldest =
        g->result_count > CSL_SECAGG_RESULTS_KEPT ? g->result_count - CSL_SECAGG_RESULTS_KEPT : 0;
    uint64_t end = g->result_count - (past != NULL && g->result_count > 0);
    if (g->audit != NULL && g->audit->told[site] == s->io[site].conn)
        return;
    for (uint64_t i = g->joined[site] > oldest ? g->joined[site] : oldest; i < end; i++)
        csl_service_secagg_tell__(s, site, csl_msg_span(&g->results[i % CSL_SECAGG_RESULTS_KEPT]));
    if (past != NULL)
        resume_for(s, past, site);
    if (g->audit != NULL)
        g->audit->told[site] = s->io[site].conn;
}

void csl_service_secagg_greet__(struct csl_service *s, uint32_t site)
{
    struct csl_service_secagg *g = s->secagg;
    if (!csl_coord_site(s->core, site)->has_greeted)
        return;
    tell_past(s, site);
    if (g->fsm == NULL || g->fsm == csl_service_audit_machine__(s))
        return;
    resume_for(s, g->fsm, site);
    g->only_site = site;
    csl_service_secagg_remind__(s);
    g->only_site = NO_SITE;
}

/* What frees the site's update for another attempt comes before the task to send it again; and in a
 * study with audits the result before a task on the model that was made of it. */
void csl_service_secagg_brief__(struct csl_service *s, uint32_t site)
{
    const struct csl_service_secagg *g = s->secagg;
    if (g->audit != NULL)
        tell_past(s, site);
    for (uint32_t i = 0; i < g->certificate_count; i++)
        csl_service_secagg_tell__(s, site, csl_msg_span(&g->certificates[i]));
}

/* --- the sum --- */

static void release(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_err err = {.code = CSL_OK};
    uint8_t root[32];
    g->is_released = false;
    bool is_last = csl_service_only_evaluates__(s);
    enum csl_code code = csl_service_secagg_open_sum__(s, root, &err);
    if (code == CSL_OK && is_last)
        code = csl_service_judge_last__(s, &err);
    if (code == CSL_OK)
        code = csl_service_audit_begin__(s, &err);
    if (code == CSL_OK && !s->config.is_unmasked)
        code = csl_service_secagg_record_root__(s, root, &err);
    if (code != CSL_OK) {
        csl_service_fail__(s, &err);
        return;
    }
    if (!s->config.is_unmasked)
        csl_service_secagg_log_sum__(s);
    csl_service_evaluation_save__(s);
    csl_service_statistics_save__(s);
    if (!is_last)
        csl_service_aggregate__(s, g->round);
    if (s->failure.code == CSL_OK && !s->config.is_unmasked)
        csl_service_secagg_result__(s);
    if (s->failure.code == CSL_OK && is_last)
        csl_service_evaluation_end__(s);
}

/* --- when a stage closes --- */

static bool collects(enum csl_secagg_stage stage)
{
    return stage == CSL_SECAGG_STAGE_OPEN || stage == CSL_SECAGG_STAGE_SHARING ||
           stage == CSL_SECAGG_STAGE_PREPARING || stage == CSL_SECAGG_STAGE_SEEDING;
}

/* Keys and shares by two fifths of the round's time, trained by four fifths; what is left is for
 * the uploads. A site that trained and does not say its r is in the sum all the same: the others
 * put it together, so it is waited for no longer. */
static uint64_t stage_deadline_ns(const struct csl_service *s, enum csl_secagg_stage stage)
{
    uint64_t fifth = s->study->round_deadline_ms * CSL_NS_PER_MS / 5;
    if (fifth == 0)
        return UINT64_MAX;
    uint64_t fifths = stage == CSL_SECAGG_STAGE_OPEN      ? 1
                      : stage == CSL_SECAGG_STAGE_SHARING ? 2
                                                          : 4;
    return s->secagg->opened_ns + fifths * fifth;
}

static uint64_t round_end_ns(const struct csl_service *s)
{
    uint64_t wait = s->study->round_deadline_ms * CSL_NS_PER_MS;
    return wait == 0 ? UINT64_MAX : s->secagg->opened_ns + wait;
}

/* Somebody who can still say the message of the stage has not said it. */
static bool is_awaited(const struct csl_service *s)
{
    const struct csl_service_secagg *g = s->secagg;
    bool is_open = csl_secagg_coordinator_stage(g->fsm) == CSL_SECAGG_STAGE_OPEN;
    for (uint32_t i = 0; i < s->site_count; i++) {
        const struct csl_coord_site *site = csl_coord_site(s->core, i);
        bool takes_part =
            is_open ? site->in_cohort
                    : csl_secagg_coordinator_takes_part(g->fsm, csl_service_secagg_number__(s, i));
        if (takes_part && site->progress != CSL_SITE_FAILED &&
            !csl_secagg_coordinator_is_ready(g->fsm, csl_service_secagg_number__(s, i)))
            return true;
    }
    return false;
}

/* Nobody's keys are lost with the process: it says who did not come, and waits again when it is
 * started again. */
static void fail_opening(struct csl_service *s, const struct csl_err *why)
{
    const struct csl_service_secagg *g = s->secagg;
    char missing[CSL_ERR_MSG_MAX / 2] = "";
    struct csl_err err = {.code = CSL_OK};
    for (uint32_t i = 0; i < s->site_count; i++) {
        const struct csl_coord_site *site = csl_coord_site(s->core, i);
        size_t n = strlen(missing);
        if (site->in_cohort &&
            !csl_secagg_coordinator_is_ready(g->fsm, csl_service_secagg_number__(s, i)))
            snprintf(missing + n, sizeof(missing) - n, "%s%s", n == 0 ? "" : ", ", site->id);
    }
    (void)CSL_FAIL(&err, why->code,
                   "secure_aggregation: round %llu: %s; missing: %s. Started again, the "
                   "coordinator waits for them",
                   (unsigned long long)g->round, why->msg, missing);
    csl_service_fail__(s, &err);
}

static bool close_stage(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_err err = {.code = CSL_OK};
    enum csl_secagg_stage stage = csl_secagg_coordinator_stage(g->fsm);
    bool is_waiting = is_awaited(s);
    if (is_waiting && s->now_ns < stage_deadline_ns(s, stage))
        return false;
    if (csl_service_secagg_step__(
            s, &(struct csl_secagg_coordinator_event){.kind = CSL_SECAGG_CE_CLOSE}, &err) ==
        CSL_OK) {
        csl_service_secagg_leave_out__(s);
        return true;
    }
    if (is_waiting && s->now_ns < round_end_ns(s))
        return false;
    /* Too few, and nobody else can come: those that are left may be a quorum by themselves. */
    bool is_hopeless = stage == CSL_SECAGG_STAGE_OPEN || err.code != CSL_E_DENIED;
    if (is_hopeless && csl_service_only_evaluates__(s))
        csl_service_evaluation_end__(s);
    else if (stage == CSL_SECAGG_STAGE_OPEN && err.code == CSL_E_DENIED)
        fail_opening(s, &err);
    else if (is_hopeless)
        csl_service_fail__(s, &err);
    else
        csl_service_secagg_start_over__(s, err.msg);
    return false;
}

void csl_service_secagg_close__(struct csl_service *s)
{
    s->secagg->wants_close = s->secagg->is_closed = true;
}

static void close_uploads(struct csl_service *s)
{
    struct csl_err err = {.code = CSL_OK};
    s->secagg->wants_close = false;
    if (!s->config.is_unmasked &&
        csl_secagg_coordinator_stage(s->secagg->fsm) != CSL_SECAGG_STAGE_UPLOADING)
        return; /* before a restart */
    if (s->secagg->has_given_up)
        return; /* a set of survivors would only split the votes */
    if (!s->config.is_unmasked && csl_service_evaluation_is_thin__(s)) {
        csl_service_secagg_short__(s); /* the sites would not vote for it */
        return;
    }
    enum csl_code code = csl_service_secagg_check_floors__(s, true, &err);
    if (s->config.is_unmasked)
        s->secagg->is_released = code == CSL_OK; /* nobody has to vote on what is seen anyway */
    else if (code == CSL_OK)
        code = csl_service_secagg_step__(
            s, &(struct csl_secagg_coordinator_event){.kind = CSL_SECAGG_CE_CLOSE}, &err);
    if (code == CSL_E_DENIED) /* more lost than the graph bears: no site would vote for the rest */
        csl_service_secagg_short__(s);
    else if (code != CSL_OK)
        csl_service_fail__(s, &err);
}

bool csl_service_secagg_pump__(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    bool did = false;
    if (s->is_finished)
        return false;
    did = csl_service_audit_pump__(s);
    if (g->due_round != 0) {
        begin(s);
        did = true;
    }
    while (g->fsm != NULL && s->failure.code == CSL_OK && !g->is_over &&
           collects(csl_secagg_coordinator_stage(g->fsm)) && close_stage(s))
        did = true;
    if (g->wants_close && s->failure.code == CSL_OK) {
        close_uploads(s);
        did = true;
    }
    if (g->is_released && g->is_closed && s->failure.code == CSL_OK) {
        release(s);
        did = true;
    }
    return csl_service_secagg_unstick__(s) || did;
}

static uint64_t round_wakeup_ns(const struct csl_service *s)
{
    const struct csl_service_secagg *g = s->secagg;
    if (g->fsm == NULL)
        return UINT64_MAX;
    if (!collects(csl_secagg_coordinator_stage(g->fsm)))
        return csl_service_secagg_patience_ns__(s);
    uint64_t at = stage_deadline_ns(s, csl_secagg_coordinator_stage(g->fsm));
    if (at <= s->now_ns) /* it was tried then, and is tried again with every message */
        at = round_end_ns(s);
    return at > s->now_ns ? at : UINT64_MAX;
}

uint64_t csl_service_secagg_wakeup_ns__(const struct csl_service *s)
{
    uint64_t round = round_wakeup_ns(s), audit = csl_service_audit_wakeup_ns__(s);
    return audit < round ? audit : round;
}
