#include "coordinator/core/coord_internal.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static const char *const state_names[] = {"created",    "open",     "training",
                                          "evaluating", "released", "aborted"};

const char *csl_study_state_name(enum csl_study_state s)
{
    CSL_ASSERT((size_t)s < sizeof(state_names) / sizeof(state_names[0]));
    return state_names[s];
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct csl_coord_site *)a)->id, ((const struct csl_coord_site *)b)->id);
}

enum csl_code csl_coord_new(struct csl_coord **out, const struct csl_coord_config *config,
                            struct csl_err *err)
{
    if (config->roster_count == 0 || config->roster_count > CSL_SITES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "the roster has %u sites; 1 to %d would be right",
                        config->roster_count, CSL_SITES_MAX);
    if (config->roster_count < config->study->aggregation.buffer.updates)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "a round of the study takes %u updates but the roster has %u sites; enrol "
                        "more sites or lower aggregation.buffer.updates",
                        config->study->aggregation.buffer.updates, config->roster_count);
    if (config->roster_count < config->study->minimum_sites)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "the study needs %u sites but the roster has %u; enrol more sites or lower "
                        "sites.minimum",
                        config->study->minimum_sites, config->roster_count);
    const struct csl_strategy_ops *strategy =
        csl_strategy_find(config->study->aggregation.strategy);
    if (strategy == NULL)
        return CSL_FAIL(err, CSL_E_INVAL, "no strategy is called '%s'",
                        config->study->aggregation.strategy);
    struct csl_coord *c = csl_alloc(sizeof(*c));
    if (c == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the study");
    c->config = *config;
    c->study = config->study;
    c->strategy = strategy;
    c->site_count = config->roster_count;
    c->deadline_ns = UINT64_MAX;
    c->sites = csl_alloc_array(c->site_count, sizeof(*c->sites));
    c->order = csl_alloc_array(c->site_count, sizeof(*c->order));
    c->conns = csl_alloc_array(c->site_count, sizeof(*c->conns));
    if (c->sites == NULL || c->order == NULL || c->conns == NULL) {
        csl_coord_free(c);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u sites", config->roster_count);
    }
    for (uint32_t i = 0; i < c->site_count; i++)
        csl_str_copy(c->sites[i].id, sizeof(c->sites[i].id), config->roster[i]);
    qsort(c->sites, c->site_count, sizeof(*c->sites), by_id);
    for (uint32_t i = 1; i < c->site_count; i++) {
        if (strcmp(c->sites[i - 1].id, c->sites[i].id) == 0) {
            enum csl_code code =
                CSL_FAIL(err, CSL_E_INVAL, "site '%s' is twice in the roster", c->sites[i].id);
            csl_coord_free(c);
            return code;
        }
    }
    c->config.roster = NULL; /* copied; the caller's memory may go */
    if (c->study->fairness.domains.kind != CSL_DOMAIN_WEIGHTS_NONE) {
        enum csl_code code = csl_weigher_new(&c->weigher, c->study, c->site_count, err);
        if (code != CSL_OK) {
            csl_coord_free(c);
            return code;
        }
    }
    *out = c;
    return CSL_OK;
}

void csl_coord_free(struct csl_coord *c)
{
    if (c == NULL)
        return;
    csl_free(c->sites);
    csl_free(c->order);
    csl_free(c->conns);
    csl_weigher_free(c->weigher);
    csl_free(c);
}

void csl_coord_restore(struct csl_coord *c, const struct csl_coord_snapshot *s)
{
    c->state = s->state;
    c->rounds_done = s->rounds_done;
    c->phase = s->is_evaluating ? CSL_PHASE_EVALUATE : CSL_PHASE_COLLECT;
}

enum csl_code csl_coord_restore_member(struct csl_coord *c, const char *site_id,
                                       enum csl_membership m, uint32_t block_count,
                                       const struct csl_block_count *blocks,
                                       uint64_t rounds_contributed, struct csl_err *err)
{
    uint32_t i = csl_coord_find_site(c, site_id);
    if (i == UINT32_MAX)
        return CSL_FAIL(
            err, CSL_E_NOTFOUND,
            "the stored state knows site '%s', which is not in the roster any more; put it "
            "back (it may be inactive) or start a new study",
            site_id);
    if (block_count > CSL_BLOCKS_MAX)
        return CSL_FAIL(err, CSL_E_CORRUPT, "stored state of site '%s' has %u blocks", site_id,
                        block_count);
    if (m == CSL_MEMBER_ACCEPTED && !csl_coord_blocks_fit__(c, block_count, blocks))
        return CSL_FAIL(err, CSL_E_CORRUPT, "stored blocks of site '%s' are not of this study",
                        site_id);
    struct csl_coord_site *s = &c->sites[i];
    s->membership = m;
    s->block_count = block_count;
    s->rounds_contributed = rounds_contributed;
    if (block_count > 0)
        memcpy(s->blocks, blocks, block_count * sizeof(*blocks));
    csl_coord_enrol__(c, i);
    return CSL_OK;
}

enum csl_code csl_coord_restore_evaluation(struct csl_coord *c, const char *site_id, uint64_t round,
                                           const struct csl_eval_block *block, struct csl_err *err)
{
    uint32_t i = csl_coord_find_site(c, site_id);
    if (i == UINT32_MAX || c->sites[i].membership != CSL_MEMBER_ACCEPTED ||
        block->block >= c->study->domain_count)
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "stored evaluation of site '%s', which is not a member or of another model",
                        site_id);
    if (c->weigher != NULL && round <= c->rounds_done)
        csl_weigher_report(c->weigher, round, i, block);
    return CSL_OK;
}

void csl_coord_publish(struct csl_coord *c, uint64_t round, const struct csl_weigher_sum *sums,
                       double sigma)
{
    if (c->weigher != NULL)
        csl_weigher_publish(c->weigher, round, sums, sigma);
}

void csl_coord_set_priors(struct csl_coord *c, const double *prior_loss)
{
    memcpy(c->prior_loss, prior_loss, c->study->domain_count * sizeof(c->prior_loss[0]));
}

void csl_coord_set_group_weights(struct csl_coord *c, const double *log_weights)
{
    memcpy(c->group_log_weight, log_weights,
           csl_study_published_groups(c->study) * sizeof(*log_weights));
}

const struct csl_weights_table *csl_coord_weights(const struct csl_coord *c)
{
    return c->weigher != NULL ? csl_weigher_table(c->weigher) : NULL;
}

void csl_coord_enrol__(struct csl_coord *c, uint32_t site)
{
    const struct csl_coord_site *s = &c->sites[site];
    bool is_member = s->membership == CSL_MEMBER_ACCEPTED;
    if (c->weigher != NULL)
        csl_weigher_enrol(c->weigher, site, is_member ? s->block_count : 0, s->blocks);
}

enum csl_code csl_coord_restore_update(struct csl_coord *c, const char *site_id,
                                       const struct csl_coord_update *u, struct csl_err *err)
{
    uint32_t i = csl_coord_find_site(c, site_id);
    if (i == UINT32_MAX || c->sites[i].membership != CSL_MEMBER_ACCEPTED)
        return CSL_FAIL(err, CSL_E_CORRUPT, "stored update of site '%s', which is not a member",
                        site_id);
    bool is_buffered = csl_coord_is_buffered__(c);
    bool is_current = is_buffered ? c->state == CSL_STUDY_TRAINING && u->round <= c->rounds_done + 1
                                  : u->round == c->rounds_done + 1;
    if (!is_current || u->round == 0 || c->state == CSL_STUDY_RELEASED ||
        c->state == CSL_STUDY_ABORTED)
        return CSL_OK; /* of a round, or a study, that is over */
    if (!csl_coord_update_fits__(c, &c->sites[i], u->round, u->block_count, u->blocks,
                                 u->bytes_total))
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "the stored update of site '%s' does not have the blocks and size of its "
                        "enrolment",
                        site_id);
    c->sites[i].update = *u;
    c->sites[i].task_round = is_buffered ? u->round : 0;
    /* open_round folds it again */
    c->sites[i].progress = is_buffered ? CSL_SITE_RECEIVED : CSL_SITE_SENDING;
    return CSL_OK;
}

void csl_coord_set_model(struct csl_coord *c, const uint8_t digest[CSL_DIGEST_BYTES],
                         uint64_t bytes)
{
    memcpy(c->model_digest, digest, CSL_DIGEST_BYTES);
    memcpy(c->evaluated_digest, digest, CSL_DIGEST_BYTES);
    c->model_bytes = bytes;
}

void csl_coord_set_evaluated(struct csl_coord *c, const uint8_t digest[CSL_DIGEST_BYTES])
{
    memcpy(c->evaluated_digest, digest, CSL_DIGEST_BYTES);
}

void csl_coord_start(struct csl_coord *c, uint64_t now_ns, const struct csl_coord_out *out)
{
    c->out = out;
    c->now_ns = c->opened_ns = now_ns;
    c->started_version = c->rounds_done;
    if (c->state == CSL_STUDY_CREATED) {
        c->state = CSL_STUDY_OPEN;
        csl_coord_save_study__(c);
    }
    if (c->state == CSL_STUDY_TRAINING || c->state == CSL_STUDY_EVALUATING) {
        if (c->phase == CSL_PHASE_EVALUATE)
            csl_coord_open_evaluation__(c);
        else if (c->state == CSL_STUDY_EVALUATING)
            csl_coord_open_last__(c);
        else
            csl_coord_open_round__(c);
    } else if (c->state == CSL_STUDY_OPEN) {
        c->deadline_ns = now_ns + c->config.open_wait_ns;
        csl_coord_maybe_start__(c);
    } else {
        csl_coord_emit__(c, &(struct csl_coord_action){.kind = CSL_CA_FINISHED});
    }
    c->out = NULL;
}

void csl_coord_emit__(struct csl_coord *c, const struct csl_coord_action *a)
{
    CSL_ASSERT(c->out != NULL);
    c->out->emit(c->out->ctx, a);
}

void csl_coord_send__(struct csl_coord *c, uint32_t site, const struct csl_message *m)
{
    if (c->sites[site].conn == 0)
        return; /* it will be told again when it is back */
    csl_coord_emit__(c, &(struct csl_coord_action){.kind = CSL_CA_SEND,
                                                   .site_index = site,
                                                   .conn = c->sites[site].conn,
                                                   .message = *m});
}

void csl_coord_save_study__(struct csl_coord *c)
{
    csl_coord_emit__(
        c, &(struct csl_coord_action){.kind = CSL_CA_SAVE_STUDY, .round = c->rounds_done});
}

void csl_coord_refuse__(struct csl_coord *c, uint32_t site, enum csl_code code, const char *reason)
{
    struct csl_coord_site *s = &c->sites[site];
    struct csl_message m = {.kind = CSL_MSG_REFUSED};
    m.u.refused.code = code;
    csl_str_copy(m.u.refused.reason, sizeof(m.u.refused.reason), reason);
    csl_str_copy(s->last_error, sizeof(s->last_error), reason);
    csl_coord_send__(c, site, &m);
}

static uint32_t site_of_conn(const struct csl_coord *c, csl_conn conn)
{
    for (uint32_t i = 0; i < c->site_count; i++)
        if (c->conns[i] == conn)
            return i;
    return UINT32_MAX;
}

static void set_conn(struct csl_coord *c, uint32_t site, csl_conn conn)
{
    c->conns[site] = c->sites[site].conn = conn;
    c->sites[site].has_greeted = false;
}

static void on_opened(struct csl_coord *c, const struct csl_coord_event *ev)
{
    uint32_t i = csl_coord_find_site(c, ev->site_id);
    if (i == UINT32_MAX) { /* authenticated, but not of this study */
        csl_coord_emit__(c, &(struct csl_coord_action){
                                .kind = CSL_CA_DROP, .conn = ev->conn, .code = CSL_E_DENIED});
        return;
    }
    struct csl_coord_site *s = &c->sites[i];
    if (s->conn != 0) /* the newer session wins: the older one is a half-open link */
        csl_coord_emit__(c, &(struct csl_coord_action){
                                .kind = CSL_CA_DROP, .conn = s->conn, .code = CSL_E_CANCELLED});
    set_conn(c, i, ev->conn);
}

static void on_closed(struct csl_coord *c, const struct csl_coord_event *ev)
{
    uint32_t i = site_of_conn(c, ev->conn);
    if (i == UINT32_MAX)
        return;
    set_conn(c, i, 0);
}

/* An answer about round r of site i that is still of interest. */
static bool is_current(const struct csl_coord *c, const struct csl_coord_event *ev)
{
    bool is_open =
        csl_coord_is_buffered__(c) ? c->state == CSL_STUDY_TRAINING : c->phase == CSL_PHASE_COLLECT;
    return csl_coord_is_running__(c) && is_open && ev->site_index < c->site_count &&
           ev->round == csl_coord_task_round__(c, ev->site_index) &&
           c->sites[ev->site_index].in_cohort;
}

static void on_received(struct csl_coord *c, const struct csl_coord_event *ev)
{
    if (!is_current(c, ev) || c->sites[ev->site_index].progress != CSL_SITE_SENDING)
        return;
    if (csl_coord_is_buffered__(c)) {
        c->sites[ev->site_index].progress = CSL_SITE_RECEIVED;
        csl_coord_fill_buffer__(c);
        return;
    }
    c->sites[ev->site_index].progress = CSL_SITE_FOLDING;
    csl_coord_emit__(c, &(struct csl_coord_action){
                            .kind = CSL_CA_FOLD, .site_index = ev->site_index, .round = ev->round});
}

/* The bytes were complete and wrong, so sending them again cannot help: the site is out of this
 * round, and is told why. */
static void put_out(struct csl_coord *c, const struct csl_coord_event *ev)
{
    c->sites[ev->site_index].progress = CSL_SITE_FAILED;
    csl_coord_refuse__(c, ev->site_index, ev->code,
                       ev->reason != NULL ? ev->reason : csl_code_text(ev->code));
    csl_coord_maybe_close__(c);
}

static void on_folded(struct csl_coord *c, const struct csl_coord_event *ev)
{
    struct csl_coord_site *s = &c->sites[ev->site_index];
    CSL_ASSERT(s->progress == CSL_SITE_FOLDING);
    if (!csl_coord_is_running__(c)) { /* aborted meanwhile */
        s->progress = CSL_SITE_IDLE;
        return;
    }
    if (c->must_reopen) { /* of the attempt that is over */
        s->progress = CSL_SITE_IDLE;
        csl_coord_maybe_reopen__(c);
        return;
    }
    if (ev->code == CSL_E_CORRUPT) { /* a spool lost with the power: ask again */
        s->progress = CSL_SITE_TASKED;
        csl_coord_task_site__(c, ev->site_index);
        csl_coord_fill_buffer__(c); /* there is room again */
        return;
    }
    if (ev->code != CSL_OK) { /* masked words that their manifest did not promise */
        put_out(c, ev);
        return;
    }
    s->progress = CSL_SITE_HELD;
    csl_coord_emit__(c, &(struct csl_coord_action){.kind = CSL_CA_SAVE_UPDATE,
                                                   .site_index = ev->site_index,
                                                   .round = s->update.round});
    struct csl_message m = {.kind = CSL_MSG_UPDATE_ACCEPTED};
    m.u.update_accepted.round = s->update.round;
    memcpy(m.u.update_accepted.digest, s->update.digest, CSL_DIGEST_BYTES);
    csl_coord_send__(c, ev->site_index, &m);
    csl_coord_maybe_close__(c);
}

static void on_rejected(struct csl_coord *c, const struct csl_coord_event *ev)
{
    if (!is_current(c, ev) || c->sites[ev->site_index].progress != CSL_SITE_SENDING)
        return;
    if (ev->code == CSL_E_AGAIN) { /* a resumed transfer: once more, from its beginning */
        c->sites[ev->site_index].progress = CSL_SITE_TASKED;
        csl_coord_task_site__(c, ev->site_index);
        return;
    }
    put_out(c, ev);
}

/* Nothing of the site is in the sum: what is folded or held is never given up here. */
static void on_left_out(struct csl_coord *c, const struct csl_coord_event *ev)
{
    if (!is_current(c, ev))
        return;
    struct csl_coord_site *s = &c->sites[ev->site_index];
    if (s->progress == CSL_SITE_FOLDING || s->progress == CSL_SITE_HELD)
        return;
    s->progress = ev->kind == CSL_CE_ABSENT ? CSL_SITE_IDLE : CSL_SITE_FAILED;
    s->in_cohort = ev->kind != CSL_CE_ABSENT;
    csl_coord_maybe_close__(c);
}

static void on_reopen(struct csl_coord *c, const struct csl_coord_event *ev)
{
    if (!csl_coord_is_running__(c) || c->phase == CSL_PHASE_EVALUATE ||
        ev->round != c->rounds_done + 1)
        return; /* aborted meanwhile */
    c->must_reopen = true;
    csl_coord_maybe_reopen__(c);
}

static void on_aggregated(struct csl_coord *c, const struct csl_coord_event *ev)
{
    CSL_ASSERT(c->state == CSL_STUDY_TRAINING && c->phase == CSL_PHASE_AGGREGATE);
    CSL_ASSERT(ev->round == c->rounds_done + 1);
    csl_coord_set_model(c, ev->digest, ev->bytes);
    if (ev->evaluated_digest != NULL)
        csl_coord_set_evaluated(c, ev->evaluated_digest);
    for (uint32_t i = 0; i < c->site_count; i++) {
        if (c->sites[i].progress != CSL_SITE_HELD)
            continue;
        c->sites[i].rounds_contributed++;
        c->sites[i].progress = CSL_SITE_IDLE;
    }
    c->rounds_done = ev->round;
    if (c->abort_reason == NULL)
        c->abort_reason = ev->reason;
    if (c->abort_reason != NULL) {
        c->phase = CSL_PHASE_COLLECT;
        csl_coord_abort__(c, c->abort_reason);
        return;
    }
    csl_coord_after_model__(c);
}

static void on_evaluated(struct csl_coord *c, const struct csl_coord_event *ev)
{
    if (c->state == CSL_STUDY_EVALUATING && c->phase != CSL_PHASE_EVALUATE &&
        ev->round == c->rounds_done + 1) { /* else aborted meanwhile */
        csl_coord_set_model(c, ev->digest, ev->bytes);
        csl_coord_set_evaluated(c, ev->evaluated_digest);
        if (ev->reason != NULL)
            csl_coord_abort__(c, ev->reason);
        else
            csl_coord_end_last__(c);
    }
}

static void on_judged(struct csl_coord *c, const struct csl_coord_event *ev)
{
    CSL_ASSERT(c->is_judging && c->phase == CSL_PHASE_EVALUATE && ev->round == c->rounds_done);
    c->is_judging = false;
    csl_coord_set_model(c, ev->digest, ev->bytes);
    csl_coord_set_evaluated(c, ev->evaluated_digest);
    if (c->abort_reason == NULL)
        c->abort_reason = ev->reason;
    if (c->abort_reason != NULL)
        csl_coord_abort__(c, c->abort_reason);
    else
        csl_coord_end_evaluation__(c);
}

void csl_coord_step(struct csl_coord *c, const struct csl_coord_event *ev,
                    const struct csl_coord_out *out)
{
    CSL_ASSERT(ev->now_ns >= c->now_ns);
    c->now_ns = ev->now_ns;
    c->out = out;
    uint32_t site;
    switch (ev->kind) {
    case CSL_CE_TICK:
        if (c->state == CSL_STUDY_OPEN)
            csl_coord_maybe_start__(c);
        else
            csl_coord_maybe_close__(c);
        break;
    case CSL_CE_OPENED:
        on_opened(c, ev);
        break;
    case CSL_CE_CLOSED:
        on_closed(c, ev);
        break;
    case CSL_CE_MESSAGE:
        site = site_of_conn(c, ev->conn);
        if (site != UINT32_MAX)
            csl_coord_message__(c, site, ev);
        break;
    case CSL_CE_RECEIVED:
        on_received(c, ev);
        break;
    case CSL_CE_REJECTED:
        on_rejected(c, ev);
        break;
    case CSL_CE_FOLDED:
        on_folded(c, ev);
        break;
    case CSL_CE_AGGREGATED:
        on_aggregated(c, ev);
        break;
    case CSL_CE_EVALUATED:
        on_evaluated(c, ev);
        break;
    case CSL_CE_JUDGED:
        on_judged(c, ev);
        break;
    case CSL_CE_ABSENT:
    case CSL_CE_SILENT:
        on_left_out(c, ev);
        break;
    case CSL_CE_REOPEN:
        on_reopen(c, ev);
        break;
    case CSL_CE_ABORT:
        csl_coord_abort__(c, ev->reason);
        break;
    }
    c->out = NULL;
}

uint64_t csl_coord_wakeup_ns(const struct csl_coord *c)
{
    return c->deadline_ns;
}

enum csl_study_state csl_coord_state(const struct csl_coord *c)
{
    return c->state;
}

enum csl_phase csl_coord_phase(const struct csl_coord *c)
{
    return c->phase;
}

uint64_t csl_coord_rounds_done(const struct csl_coord *c)
{
    return c->rounds_done;
}

uint32_t csl_coord_site_count(const struct csl_coord *c)
{
    return c->site_count;
}

const struct csl_coord_site *csl_coord_site(const struct csl_coord *c, uint32_t index)
{
    CSL_ASSERT(index < c->site_count);
    return &c->sites[index];
}

uint32_t csl_coord_find_site(const struct csl_coord *c, const char *id)
{
    uint32_t low = 0, high = c->site_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(id, c->sites[middle].id);
        if (order == 0)
            return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return UINT32_MAX;
}
