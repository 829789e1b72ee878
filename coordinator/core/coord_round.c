#include "coordinator/core/coord_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/str.h"
#include "privacy/crypto/rng.h"
#include "privacy/secagg/policy.h"

#include <string.h>

/* --- weights --- */

/* A smaller one is nothing in a sum of units of 2^-40. */
#define WEIGHT_LEAST 0x1p-39

static double given_weight(const struct csl_study *study, const char *site)
{
    for (uint32_t i = 0; i < study->aggregation.given_count; i++)
        if (strcmp(study->aggregation.given[i].site, site) == 0)
            return study->aggregation.given[i].weight;
    return 0; /* a site without a given weight does not count */
}

/* Before division by the cohort's total. */
static double raw_weight(const struct csl_coord *c, uint32_t site, uint32_t block)
{
    const struct csl_coord_site *s = &c->sites[site];
    if (!s->in_cohort)
        return 0;
    for (uint32_t i = 0; i < s->block_count; i++) {
        if (s->blocks[i].block != block)
            continue;
        switch (c->study->aggregation.weights) {
        case CSL_WEIGHTS_SAMPLES:
            return c->weigher != NULL
                       ? csl_weigher_mass(c->weigher, site, block, s->blocks[i].patients)
                       : (double)s->blocks[i].patients;
        case CSL_WEIGHTS_EQUAL:
            return s->blocks[i].patients > 0 ? 1 : 0;
        case CSL_WEIGHTS_GIVEN:
            return s->blocks[i].patients > 0 ? given_weight(c->study, s->id) : 0;
        }
    }
    return 0;
}

double csl_coord_weight(const struct csl_coord *c, uint32_t site_index, uint32_t block)
{
    CSL_ASSERT(site_index < c->site_count && block < CSL_BLOCKS_MAX);
    double total = c->block_weight[block];
    double weight = total > 0 ? raw_weight(c, site_index, block) / total : 0;
    weight *= csl_coord_discount__(c, site_index);
    return weight < WEIGHT_LEAST ? 0 : weight;
}

static void fix_weights(struct csl_coord *c)
{
    for (uint32_t b = 0; b < c->study->schema.block_count; b++) {
        c->block_weight[b] = 0;
        for (uint32_t i = 0; i < c->site_count; i++)
            c->block_weight[b] += raw_weight(c, i, b);
    }
}

/* --- who takes part --- */

uint32_t csl_coord_held__(const struct csl_coord *c)
{
    uint32_t held = 0;
    for (uint32_t i = 0; i < c->site_count; i++)
        held += c->sites[i].progress == CSL_SITE_HELD;
    return held;
}

static uint32_t members(const struct csl_coord *c, enum csl_membership m)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->site_count; i++)
        count += c->sites[i].membership == m;
    return count;
}

/* One round needs this many updates: one site alone when the strategy visits them in turn; under
 * masks as many as have to vote before a sum is opened. */
static uint32_t quorum(const struct csl_coord *c)
{
    uint32_t vote = 0;
    for (uint32_t i = 0; c->study->secagg.is_on && i < c->site_count; i++)
        vote += c->sites[i].in_cohort;
    if (c->study->secagg.is_on)
        vote = csl_secagg_quorum(vote, c->study->secagg.colluding);
    if (vote > c->study->minimum_sites)
        return vote;
    return c->strategy->one_site_per_round ? 1 : c->study->minimum_sites;
}

static bool participants_accepted(const struct csl_coord *c)
{
    for (uint32_t i = 0; i < c->study->participant_count; i++) {
        uint32_t site = csl_coord_find_site(c, c->study->participants[i]);
        if (site == UINT32_MAX || c->sites[site].membership != CSL_MEMBER_ACCEPTED)
            return false;
    }
    return true;
}

void csl_coord_maybe_start__(struct csl_coord *c)
{
    CSL_ASSERT(c->state == CSL_STUDY_OPEN);
    uint32_t accepted = members(c, CSL_MEMBER_ACCEPTED);
    uint32_t declined = members(c, CSL_MEMBER_DECLINED);
    bool all_answered = accepted + declined == c->site_count;
    bool waited = c->now_ns - c->opened_ns >= c->config.open_wait_ns;
    if (waited) /* from now on nothing but an answer can make a difference */
        c->deadline_ns = UINT64_MAX;
    bool fills = accepted >= c->study->aggregation.buffer.updates;
    if (accepted < c->study->minimum_sites || !fills || !participants_accepted(c)) {
        /* Else the door stays open: hospitals approve a study after they have first been asked. */
        if (all_answered && c->config.is_rehearsal)
            csl_coord_abort__(c, "too few sites accepted the study");
        return;
    }
    if (!all_answered && !waited)
        return;
    c->state = CSL_STUDY_TRAINING;
    c->phase = CSL_PHASE_COLLECT;
    csl_coord_save_study__(c);
    csl_coord_open_round__(c);
}

/* Cyclic: round r goes to position (r - 1) mod n of the permutation labelled by its cycle, so that
 * a restart in the middle of a cycle finds the same site; past those that failed in this round. */
static void choose_one(struct csl_coord *c, uint64_t round)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->site_count; i++)
        if (c->sites[i].membership == CSL_MEMBER_ACCEPTED)
            c->order[n++] = i;
    CSL_ASSERT(n > 0 && c->skipped < n);
    struct csl_rng rng;
    csl_rng_init_label(&rng, c->config.seed, "cyclic", (round - 1) / n, 0, 0);
    csl_rng_shuffle_u32(&rng, c->order, n);
    c->sites[c->order[(round - 1 + c->skipped) % n]].in_cohort = true;
}

static void set_deadline(struct csl_coord *c)
{
    uint64_t wait = c->study->round_deadline_ms * CSL_NS_PER_MS;
    c->deadline_ns = wait == 0 ? UINT64_MAX : c->now_ns + wait;
    c->has_warned_deadline = false;
}

bool csl_coord_is_running__(const struct csl_coord *c)
{
    return c->state == CSL_STUDY_TRAINING || c->state == CSL_STUDY_EVALUATING;
}

bool csl_coord_is_judged(const struct csl_coord *c, uint32_t domain)
{
    uint32_t block = csl_study_evaluation_block(c->study, domain), n = 0;
    for (uint32_t i = 0; i < c->site_count; i++)
        for (uint32_t k = 0; k < c->sites[i].block_count; k++)
            n += c->sites[i].membership == CSL_MEMBER_ACCEPTED &&
                 c->sites[i].blocks[k].block == block;
    return n >= c->study->secagg.minimum_sites;
}

static bool can_judge(const struct csl_coord *c, const struct csl_coord_site *s, const bool *judged)
{
    uint32_t of_model = c->study->schema.block_count;
    for (uint32_t k = 0; k < s->block_count; k++)
        if (s->blocks[k].block >= of_model && judged[s->blocks[k].block - of_model])
            return true;
    return false;
}

static void choose_cohort(struct csl_coord *c)
{
    bool trains = c->state == CSL_STUDY_TRAINING, judged[CSL_DOMAINS_MAX] = {false};
    for (uint32_t d = 0; !trains && d < c->study->domain_count; d++)
        judged[d] = csl_coord_is_judged(c, d);
    for (uint32_t i = 0; i < c->site_count; i++) {
        struct csl_coord_site *s = &c->sites[i];
        s->in_cohort = !c->strategy->one_site_per_round && s->membership == CSL_MEMBER_ACCEPTED &&
                       (trains || can_judge(c, s, judged));
    }
}

void csl_coord_open_round__(struct csl_coord *c)
{
    CSL_ASSERT(csl_coord_is_running__(c));
    uint64_t round = c->rounds_done + 1;
    bool is_buffered = csl_coord_is_buffered__(c);
    c->phase = CSL_PHASE_COLLECT;
    choose_cohort(c);
    for (uint32_t i = 0; i < c->site_count; i++) {
        struct csl_coord_site *s = &c->sites[i];
        if (!is_buffered &&
            s->update.round != round) { /* else: restored, its spool is folded again below */
            s->progress = CSL_SITE_IDLE;
            s->update = (struct csl_coord_update){.round = 0};
        }
    }
    if (c->strategy->one_site_per_round)
        choose_one(c, round);
    if (c->weigher != NULL)
        csl_weigher_catch_up(c->weigher, c->rounds_done);
    fix_weights(c);
    set_deadline(c);
    csl_coord_emit__(c, &(struct csl_coord_action){.kind = CSL_CA_OPEN_ROUND, .round = round});
    if (is_buffered) {
        csl_coord_open_buffer__(c);
        return;
    }
    for (uint32_t i = 0; i < c->site_count; i++) {
        struct csl_coord_site *s = &c->sites[i];
        if (!s->in_cohort)
            continue;
        if (s->progress == CSL_SITE_SENDING) {
            s->progress = CSL_SITE_FOLDING;
            csl_coord_emit__(c, &(struct csl_coord_action){
                                    .kind = CSL_CA_FOLD, .site_index = i, .round = round});
            continue;
        }
        s->progress = CSL_SITE_TASKED;
        csl_coord_task_site__(c, i);
    }
}

void csl_coord_open_evaluation__(struct csl_coord *c)
{
    c->phase = CSL_PHASE_EVALUATE;
    set_deadline(c);
    for (uint32_t i = 0; i < c->site_count; i++) {
        struct csl_coord_site *s = &c->sites[i];
        s->in_cohort = s->membership == CSL_MEMBER_ACCEPTED;
        s->progress = s->in_cohort ? CSL_SITE_TASKED : CSL_SITE_IDLE;
        s->vote = CSL_VOTE_NONE;
        if (s->in_cohort)
            csl_coord_task_site__(c, i);
    }
    fix_weights(c);
}

static void put_weights(const struct csl_coord *c, struct csl_msg_task *t)
{
    const struct csl_weights_table *table = csl_coord_weights(c);
    if (table == NULL)
        return;
    t->weights_round = table->round;
    t->weight_count = table->count;
    for (uint32_t d = 0; d < table->count; d++)
        t->weights[d] =
            (struct csl_domain_weight){table->rows[d].log_weight, table->rows[d].patients};
}

void csl_coord_put_factors(const struct csl_coord *c, struct csl_msg_task *t)
{
    put_weights(c, t);
    if (csl_study_weighs_published(c->study)) {
        t->group_count = csl_study_published_groups(c->study);
        memcpy(t->group_log_weight, c->group_log_weight, sizeof(c->group_log_weight));
    }
    if (csl_study_published_in(c->study, t->round) == 0)
        return;
    t->prior_count = c->study->domain_count;
    memcpy(t->prior_loss, c->prior_loss, sizeof(c->prior_loss));
}

void csl_coord_task_site__(struct csl_coord *c, uint32_t site)
{
    const struct csl_coord_site *s = &c->sites[site];
    if (!csl_coord_is_running__(c) || !s->in_cohort || !s->has_greeted)
        return; /* after the end everybody was told of it, and it is final */
    struct csl_message m = {.kind = CSL_MSG_TASK};
    bool evaluates = c->phase == CSL_PHASE_EVALUATE;
    m.u.task.type = evaluates ? CSL_TASK_EVALUATE : CSL_TASK_TRAIN;
    m.u.task.round = evaluates ? c->rounds_done : csl_coord_task_round__(c, site);
    m.u.task.seed = c->config.seed;
    m.u.task.model_bytes = c->model_bytes;
    m.u.task.deadline_ms = c->study->round_deadline_ms;
    bool is_judged = evaluates || csl_study_only_evaluates_in(c->study, m.u.task.round);
    const uint8_t *trained = csl_coord_is_buffered__(c) ? s->task_digest : c->model_digest;
    memcpy(m.u.task.model_digest, is_judged ? c->evaluated_digest : trained, CSL_DIGEST_BYTES);
    if (!evaluates)
        csl_coord_put_factors(c, &m.u.task);
    csl_coord_send__(c, site, &m);
}

static void finish(struct csl_coord *c, enum csl_study_state state, const char *reason)
{
    c->state = state;
    c->deadline_ns = UINT64_MAX;
    for (uint32_t i = 0; i < c->site_count; i++) /* (I5) */
        if (c->sites[i].progress == CSL_SITE_TASKED || c->sites[i].progress == CSL_SITE_SENDING)
            c->sites[i].progress = CSL_SITE_IDLE;
    csl_coord_save_study__(c);
    struct csl_message m = {.kind = CSL_MSG_STUDY_ENDED};
    m.u.study_ended.released = state == CSL_STUDY_RELEASED;
    m.u.study_ended.round = c->rounds_done;
    memcpy(m.u.study_ended.model_digest, c->evaluated_digest, CSL_DIGEST_BYTES);
    csl_str_copy(m.u.study_ended.reason, sizeof(m.u.study_ended.reason), reason);
    for (uint32_t i = 0; i < c->site_count; i++)
        if (c->sites[i].has_greeted)
            csl_coord_send__(c, i, &m);
    csl_coord_emit__(
        c, &(struct csl_coord_action){.kind = CSL_CA_FINISHED,
                                      .reason = state == CSL_STUDY_ABORTED ? reason : NULL});
}

/* A round that is being committed is committed first: what the study row says never goes back (I4).
 */
void csl_coord_abort__(struct csl_coord *c, const char *reason)
{
    if (c->state == CSL_STUDY_RELEASED || c->state == CSL_STUDY_ABORTED)
        return;
    if (c->is_judging || (c->state == CSL_STUDY_TRAINING && c->phase == CSL_PHASE_AGGREGATE))
        c->abort_reason = reason;
    else
        finish(c, CSL_STUDY_ABORTED, reason);
}

struct csl_coord_snapshot csl_coord_after(const struct csl_study *study, uint64_t rounds_done)
{
    bool is_last = rounds_done == study->rounds;
    uint32_t every = study->evaluate_every;
    return (struct csl_coord_snapshot){
        .state = is_last ? CSL_STUDY_EVALUATING : CSL_STUDY_TRAINING,
        .rounds_done = rounds_done,
        .is_evaluating = !csl_study_sums_evaluations(study) && !study->census.is_on &&
                         (is_last || (every > 0 && rounds_done % every == 0))};
}

void csl_coord_after_model__(struct csl_coord *c)
{
    c->skipped = 0;
    struct csl_coord_snapshot next = csl_coord_after(c->study, c->rounds_done);
    bool evaluates = next.is_evaluating;
    c->state = next.state;
    c->phase = evaluates ? CSL_PHASE_EVALUATE : CSL_PHASE_COLLECT;
    csl_coord_emit__(
        c, &(struct csl_coord_action){.kind = CSL_CA_FORGET_UPDATES, .round = c->rounds_done});
    if (evaluates)
        csl_coord_open_evaluation__(c);
    else if (c->state == CSL_STUDY_EVALUATING)
        csl_coord_open_last__(c);
    else
        csl_coord_open_round__(c);
}

/* Without enough sites for any domain's sum the model is released as it is; and of statistics no
 * site is sent the sum, whose small counts are hidden where it is published. */
void csl_coord_open_last__(struct csl_coord *c)
{
    uint32_t count = 0;
    if (c->study->census.is_on) {
        finish(c, CSL_STUDY_RELEASED, "");
        return;
    }
    choose_cohort(c);
    for (uint32_t i = 0; i < c->site_count; i++)
        count += c->sites[i].in_cohort;
    if (count > 0 && count >= quorum(c))
        csl_coord_open_round__(c);
    else
        finish(c, CSL_STUDY_RELEASED, "");
}

void csl_coord_end_last__(struct csl_coord *c)
{
    for (uint32_t i = 0; i < c->site_count; i++)
        if (c->sites[i].progress == CSL_SITE_HELD)
            c->sites[i].progress = CSL_SITE_DONE;
    finish(c, CSL_STUDY_RELEASED, "");
}

static bool is_folding(const struct csl_coord *c)
{
    for (uint32_t i = 0; i < c->site_count; i++)
        if (c->sites[i].progress == CSL_SITE_FOLDING)
            return true;
    return false;
}

void csl_coord_maybe_reopen__(struct csl_coord *c)
{
    if (!c->must_reopen || is_folding(c))
        return;
    c->must_reopen = false;
    for (uint32_t i = 0; i < c->site_count; i++) {
        c->sites[i].progress = CSL_SITE_IDLE;
        c->sites[i].update = (struct csl_coord_update){.round = 0};
    }
    c->phase = CSL_PHASE_COLLECT;
    csl_coord_emit__(
        c, &(struct csl_coord_action){.kind = CSL_CA_FORGET_UPDATES, .round = c->rounds_done + 1});
    if (c->abort_reason != NULL)
        csl_coord_abort__(c, c->abort_reason);
    else
        csl_coord_open_round__(c);
}

/* Under masks the sites have to agree before an attempt may be given up: not for us to say. */
static void fall_short(struct csl_coord *c)
{
    set_deadline(c);
    c->has_warned_deadline = true;
    csl_coord_emit__(c,
                     &(struct csl_coord_action){.kind = CSL_CA_SHORT, .round = c->rounds_done + 1});
}

static void close_collect(struct csl_coord *c, uint32_t held)
{
    if (held == 0 && c->strategy->one_site_per_round &&
        c->skipped + 1 < members(c, CSL_MEMBER_ACCEPTED)) {
        c->skipped++; /* one site that cannot must not end the study: its successor's turn */
        csl_coord_open_round__(c);
        return;
    }
    if (held < quorum(c) && c->study->secagg.is_on) {
        fall_short(c);
        return;
    }
    if (held < quorum(c)) {
        csl_coord_abort__(c, "too few sites delivered an update of this round");
        return;
    }
    c->phase = CSL_PHASE_AGGREGATE;
    c->deadline_ns = UINT64_MAX;
    csl_coord_emit__(
        c, &(struct csl_coord_action){.kind = CSL_CA_AGGREGATE, .round = c->rounds_done + 1});
}

void csl_coord_end_evaluation__(struct csl_coord *c)
{
    if (c->state == CSL_STUDY_EVALUATING) {
        finish(c, CSL_STUDY_RELEASED, "");
        return;
    }
    c->phase = CSL_PHASE_COLLECT;
    csl_coord_save_study__(c);
    csl_coord_open_round__(c);
}

static void close_evaluate(struct csl_coord *c)
{
    if (!c->study->aggregation.vote.is_on) {
        csl_coord_end_evaluation__(c);
        return;
    }
    c->is_judging = true;
    c->deadline_ns = UINT64_MAX;
    csl_coord_emit__(c, &(struct csl_coord_action){.kind = CSL_CA_JUDGE, .round = c->rounds_done});
}

void csl_coord_maybe_close__(struct csl_coord *c)
{
    if (!csl_coord_is_running__(c) || c->phase == CSL_PHASE_AGGREGATE || c->must_reopen ||
        c->is_judging)
        return;
    uint32_t pending = 0, held = 0;
    for (uint32_t i = 0; i < c->site_count; i++) {
        const struct csl_coord_site *s = &c->sites[i];
        if (s->progress == CSL_SITE_FOLDING)
            return; /* its answer comes back here */
        held += s->progress == CSL_SITE_HELD;
        pending +=
            s->in_cohort && (s->progress == CSL_SITE_TASKED || s->progress == CSL_SITE_SENDING);
    }
    bool is_late = c->now_ns >= c->deadline_ns;
    bool is_full = csl_coord_is_buffered__(c) && c->phase == CSL_PHASE_COLLECT &&
                   held >= c->study->aggregation.buffer.updates;
    if (pending > 0 && !is_late && !is_full)
        return;
    if (c->phase == CSL_PHASE_EVALUATE) {
        close_evaluate(c);
        return;
    }
    if (pending > 0 && held < quorum(c) && c->study->secagg.is_on) {
        fall_short(c);
        return;
    }
    if (pending > 0 && held < quorum(c)) { /* one site's bad day must not end the study: wait on */
        c->deadline_ns = c->now_ns + c->study->round_deadline_ms * CSL_NS_PER_MS;
        c->has_warned_deadline = true;
        return;
    }
    close_collect(c, held);
}
