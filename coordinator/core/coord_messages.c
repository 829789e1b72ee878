#include "coordinator/core/coord_internal.h"

#include "base/check.h"
#include "base/str.h"
#include "privacy/secagg/choice.h"
#include "protocol/study/evaluation.h"

#include <string.h>

static void offer_study(struct csl_coord *c, uint32_t site)
{
    struct csl_message m = {.kind = CSL_MSG_STUDY_OFFER};
    memcpy(m.u.study_offer.study_digest, c->study->digest, CSL_DIGEST_BYTES);
    m.u.study_offer.manifest = c->study->manifest; /* borrowed for the action */
    csl_coord_send__(c, site, &m);
}

static void tell_end(struct csl_coord *c, uint32_t site)
{
    struct csl_message m = {.kind = CSL_MSG_STUDY_ENDED};
    m.u.study_ended.released = c->state == CSL_STUDY_RELEASED;
    m.u.study_ended.round = c->rounds_done;
    memcpy(m.u.study_ended.model_digest, c->evaluated_digest, CSL_DIGEST_BYTES);
    csl_coord_send__(c, site, &m);
}

/* Where a site that has just come (back) stands. */
static void bring_up_to_date(struct csl_coord *c, uint32_t site)
{
    struct csl_coord_site *s = &c->sites[site];
    bool is_over = c->state == CSL_STUDY_RELEASED || c->state == CSL_STUDY_ABORTED;
    if (is_over) {
        tell_end(c, site);
        return;
    }
    if (s->progress == CSL_SITE_SENDING)
        s->progress = CSL_SITE_TASKED; /* its ticket died with the session; it announces again */
    if (s->progress == CSL_SITE_TASKED)
        csl_coord_task_site__(c, site);
}

static void on_hello(struct csl_coord *c, uint32_t site, const struct csl_msg_hello *h)
{
    struct csl_coord_site *s = &c->sites[site];
    if (h->protocol_version != CSL_PROTOCOL_VERSION) {
        csl_coord_refuse__(c, site, CSL_E_UNSUPPORTED,
                           "protocol version is not supported; this coordinator speaks version 1");
        csl_coord_emit__(c, &(struct csl_coord_action){
                                .kind = CSL_CA_DROP, .conn = s->conn, .code = CSL_E_UNSUPPORTED});
        return;
    }
    s->has_greeted = true;
    bool knows_study = memcmp(h->study_digest, c->study->digest, CSL_DIGEST_BYTES) == 0;
    if (s->membership == CSL_MEMBER_ACCEPTED && knows_study)
        bring_up_to_date(c, site);
    else if (c->state == CSL_STUDY_RELEASED || c->state == CSL_STUDY_ABORTED)
        tell_end(c, site);
    else
        offer_study(c, site);
}

/* Blocks are sorted and unique already (messages.h); what remains is this study's business. */
bool csl_coord_blocks_fit__(const struct csl_coord *c, uint32_t count,
                            const struct csl_block_count *blocks)
{
    for (uint32_t i = 0; i < count; i++) {
        if (blocks[i].block >= csl_study_block_ids(c->study) || blocks[i].patients == 0 ||
            csl_study_is_statistic(c->study, blocks[i].block)) /* who trains a domain has them */
            return false;
        if (blocks[i].block < c->study->schema.block_count &&
            c->study->schema.blocks[blocks[i].block].kind != CSL_BLOCK_SHARED)
            return false;
    }
    return count > 0 && blocks[0].block < c->study->schema.block_count;
}

static bool has_enrolled_with(const struct csl_coord_site *s, uint32_t count,
                              const struct csl_block_count *blocks)
{
    bool is_same = s->block_count == count;
    for (uint32_t i = 0; is_same && i < count; i++)
        is_same =
            s->blocks[i].block == blocks[i].block && s->blocks[i].patients == blocks[i].patients;
    return is_same;
}

static void on_answer(struct csl_coord *c, uint32_t site, const struct csl_msg_study_answer *a)
{
    struct csl_coord_site *s = &c->sites[site];
    if (memcmp(a->study_digest, c->study->digest, CSL_DIGEST_BYTES) != 0) {
        csl_coord_refuse__(c, site, CSL_E_INVAL, "this answer is about another study");
        return;
    }
    if (a->accepted && !csl_coord_blocks_fit__(c, a->block_count, a->blocks)) {
        csl_coord_refuse__(
            c, site, CSL_E_INVAL,
            "an accepting site must have training patients for a block of the study, and blocks "
            "that are frozen or local are not sent");
        return;
    }
    bool was_member = s->membership == CSL_MEMBER_ACCEPTED;
    bool has_changed =
        was_member && (!a->accepted || !has_enrolled_with(s, a->block_count, a->blocks));
    if (c->state != CSL_STUDY_OPEN && (!was_member || has_changed)) {
        csl_coord_refuse__(c, site, CSL_E_STATE,
                           was_member
                               ? "the cohort was fixed when training began; restore the records "
                                 "this site enrolled with"
                               : "enrolment is closed: training has begun");
        return;
    }
    if (!was_member || has_changed) {
        s->membership = a->accepted ? CSL_MEMBER_ACCEPTED : CSL_MEMBER_DECLINED;
        s->block_count = a->accepted ? a->block_count : 0;
        memcpy(s->blocks, a->blocks, s->block_count * sizeof(s->blocks[0]));
        csl_str_copy(s->last_error, sizeof(s->last_error), a->accepted ? "" : a->reason);
        csl_coord_enrol__(c, site);
        csl_coord_emit__(
            c, &(struct csl_coord_action){.kind = CSL_CA_SAVE_MEMBER, .site_index = site});
    }
    if (c->state == CSL_STUDY_OPEN)
        csl_coord_maybe_start__(c);
    else
        bring_up_to_date(c, site);
}

/* A domain's statistics come from the sites that enrolled with the domain. */
static bool has_enrolled_block(const struct csl_coord *c, const struct csl_coord_site *s,
                               const struct csl_block_count *b)
{
    if (csl_study_is_statistic(c->study, b->block)) {
        uint32_t domain = csl_study_counted_domain(c->study, b->block);
        for (uint32_t i = 0; i < s->block_count; i++)
            if (s->blocks[i].block == domain)
                return b->patients == 1;
        return false;
    }
    for (uint32_t i = 0; i < s->block_count; i++)
        if (s->blocks[i].block == b->block)
            return s->blocks[i].patients == b->patients;
    return false;
}

/* Every block of the model that the site enrolled with, or none after the last round; of its
 * evaluations those that it could make, where it is their turn. */
static bool has_blocks_of_round(const struct csl_coord *c, const struct csl_coord_site *s,
                                uint64_t round, uint32_t count,
                                const struct csl_block_count *blocks)
{
    uint32_t of_model = c->study->schema.block_count, due = 0, found = 0;
    bool trains = !csl_study_only_evaluates_in(c->study, round);
    for (uint32_t i = 0; i < s->block_count; i++)
        due += trains && s->blocks[i].block < of_model;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = blocks[i].block;
        bool is_model = id < of_model;
        if (!is_model &&
            (id >= csl_study_block_ids(c->study) || !csl_study_is_counted_in(c->study, id, round)))
            return false;
        if ((is_model && !trains) || !has_enrolled_block(c, s, &blocks[i]))
            return false;
        found += is_model;
    }
    return found == due && count > 0;
}

static uint64_t words_of(const struct csl_study *study, uint32_t count,
                         const struct csl_block_count *blocks)
{
    const struct csl_secagg_choice choice = csl_secagg_choice_of(study);
    uint32_t of_model = study->schema.block_count;
    uint64_t words = csl_study_scalars(study);
    for (uint32_t i = 0; i < count; i++)
        words += blocks[i].block < of_model
                     ? csl_secagg_plan_words(&choice, study->schema.blocks[blocks[i].block].count)
                     : csl_study_counted_words(study, blocks[i].block);
    return words;
}

/* The cohort's weights were fixed by what the sites enrolled with. */
bool csl_coord_update_fits__(const struct csl_coord *c, const struct csl_coord_site *s,
                             uint64_t round, uint32_t block_count,
                             const struct csl_block_count *blocks, uint64_t bytes_total)
{
    bool is_right = csl_study_sums_evaluations(c->study) || c->study->statistics.is_on
                        ? has_blocks_of_round(c, s, round, block_count, blocks)
                        : has_enrolled_with(s, block_count, blocks);
    uint64_t elements = 0;
    if (!is_right)
        return false;
    if (c->study->secagg.is_on)
        return bytes_total == words_of(c->study, block_count, blocks) * sizeof(uint64_t);
    for (uint32_t i = 0; i < block_count; i++)
        elements += c->study->schema.blocks[blocks[i].block].count;
    return bytes_total == elements * c->strategy->update_vectors * sizeof(float);
}

/* It is out of this round: what it announced must not be in the sum. */
static void fail_update(struct csl_coord *c, uint32_t site, enum csl_code code, const char *reason)
{
    c->sites[site].progress = CSL_SITE_FAILED;
    csl_coord_refuse__(c, site, code, reason);
    csl_coord_maybe_close__(c);
}

/* `vouched`: that a head of the site's ledger which continues the last one covers the charge. */
static void on_update_ready(struct csl_coord *c, uint32_t site,
                            const struct csl_msg_update_ready *u, enum csl_code vouched)
{
    struct csl_coord_site *s = &c->sites[site];
    bool is_collecting = csl_coord_is_running__(c) && c->phase == CSL_PHASE_COLLECT;
    if (c->study->secagg.is_on && c->phase == CSL_PHASE_AGGREGATE &&
        u->round == c->rounds_done + 1 && s->progress != CSL_SITE_HELD) {
        /* the votes take a while, and a task would be answered by the same announcement */
        csl_coord_refuse__(c, site, CSL_E_STATE, "the sum of this round is being opened");
        return;
    }
    if (csl_coord_is_buffered__(c) && c->state == CSL_STUDY_TRAINING)
        is_collecting = true; /* also while a buffer is aggregated: it is for the next one */
    if (!is_collecting || u->round != csl_coord_task_round__(c, site) || !s->in_cohort) {
        csl_coord_task_site__(
            c, site); /* a round that is over, or not its turn: says what is current */
        return;
    }
    if (s->progress == CSL_SITE_FOLDING || s->progress == CSL_SITE_RECEIVED)
        return;                         /* the acknowledgement is on its way */
    if (s->progress == CSL_SITE_HELD) { /* the acknowledgement was lost */
        struct csl_message m = {.kind = CSL_MSG_UPDATE_ACCEPTED};
        m.u.update_accepted.round = u->round;
        memcpy(m.u.update_accepted.digest, s->update.digest, CSL_DIGEST_BYTES);
        csl_coord_send__(c, site, &m);
        return;
    }
    if (s->progress == CSL_SITE_FAILED) {
        csl_coord_refuse__(c, site, CSL_E_STATE,
                           "this site's update of the round was refused before");
        return;
    }
    if (vouched != CSL_OK) {
        fail_update(c, site, vouched,
                    "the head of this site's privacy ledger is not one that continues the head the "
                    "coordinator remembers");
        return;
    }
    if (!csl_coord_update_fits__(c, s, u->round, u->block_count, u->blocks, u->bytes_total)) {
        fail_update(c, site, CSL_E_INVAL,
                    "the update does not have the blocks, patients and size of this site's "
                    "enrolment");
        return;
    }
    s->progress = CSL_SITE_SENDING;
    s->update = (struct csl_coord_update){.round = u->round,
                                          .bytes_total = u->bytes_total,
                                          .train_loss = u->train_loss,
                                          .block_count = u->block_count};
    memcpy(s->update.digest, u->digest, CSL_DIGEST_BYTES);
    memcpy(s->update.blocks, u->blocks, u->block_count * sizeof(u->blocks[0]));
    csl_coord_emit__(c, &(struct csl_coord_action){.kind = CSL_CA_GRANT_UPDATE,
                                                   .site_index = site,
                                                   .round = u->round,
                                                   .conn = s->conn});
}

static void on_model_request(struct csl_coord *c, uint32_t site,
                             const struct csl_msg_model_request *r)
{
    if (csl_coord_is_buffered__(c) && c->state == CSL_STUDY_TRAINING) {
        csl_coord_give_model__(c, site, r->round);
        return;
    }
    bool is_sum = c->study->census.is_on && r->round > 0; /* nobody's but the coordinator's */
    if (r->round != c->rounds_done || !c->sites[site].in_cohort || is_sum ||
        c->phase == CSL_PHASE_AGGREGATE) {
        csl_coord_task_site__(c, site);
        return;
    }
    csl_coord_emit__(c, &(struct csl_coord_action){.kind = CSL_CA_GRANT_MODEL,
                                                   .site_index = site,
                                                   .round = r->round,
                                                   .conn = c->sites[site].conn});
}

/* Why a site's report of a domain is no evaluation of this study; NULL: it may be one. */
static const char *refuse_report(const struct csl_coord *c, const struct csl_eval_block *b)
{
    const uint64_t confusion[] = {b->true_negative, b->false_positive, b->false_negative,
                                  b->true_positive};
    struct csl_err err = {.code = CSL_OK};
    if (b->block >= c->study->domain_count)
        return "evaluation of a domain the study lacks";
    bool is_binary = c->study->domains[b->block].task == CSL_TASK_BINARY;
    if (csl_study_check_groups(c->study, b->block, b->groups, b->group_count, b->examples,
                               is_binary ? confusion : NULL, &err) != CSL_OK)
        return "counts by patient group that cannot be those of the study";
    return NULL;
}

static void on_evaluation(struct csl_coord *c, uint32_t site, const struct csl_msg_evaluation *e)
{
    struct csl_coord_site *s = &c->sites[site];
    bool is_current = c->phase == CSL_PHASE_EVALUATE && e->round == c->rounds_done && s->in_cohort;
    if (is_current && s->progress == CSL_SITE_TASKED) {
        for (uint32_t i = 0; i < e->block_count; i++) {
            const char *why = refuse_report(c, &e->blocks[i]);
            if (why != NULL) {
                csl_coord_refuse__(c, site, CSL_E_INVAL, why);
                return;
            }
        }
        for (uint32_t i = 0; c->weigher != NULL && i < e->block_count; i++)
            csl_weigher_report(c->weigher, e->round, site, &e->blocks[i]);
        csl_coord_emit__(c, &(struct csl_coord_action){.kind = CSL_CA_SAVE_EVALUATION,
                                                       .site_index = site,
                                                       .round = e->round,
                                                       .evaluation = e});
        s->progress = CSL_SITE_DONE;
        s->vote = e->vote;
    }
    struct csl_message m = {.kind = CSL_MSG_EVALUATION_ACCEPTED};
    m.u.evaluation_accepted.round = e->round;
    csl_coord_send__(c, site, &m);
    if (is_current)
        csl_coord_maybe_close__(c);
}

static void on_task_failed(struct csl_coord *c, uint32_t site, const struct csl_msg_task_failed *f)
{
    struct csl_coord_site *s = &c->sites[site];
    csl_str_copy(s->last_error, sizeof(s->last_error), f->reason);
    uint64_t current =
        c->phase == CSL_PHASE_EVALUATE ? c->rounds_done : csl_coord_task_round__(c, site);
    bool is_working = s->progress == CSL_SITE_TASKED || s->progress == CSL_SITE_SENDING;
    if (f->round != current || !s->in_cohort || !is_working)
        return;
    s->progress = CSL_SITE_FAILED;
    csl_coord_maybe_close__(c);
}

void csl_coord_message__(struct csl_coord *c, uint32_t site, const struct csl_coord_event *ev)
{
    const struct csl_message *m = ev->message;
    struct csl_coord_site *s = &c->sites[site];
    if (m->kind == CSL_MSG_PING) {
        struct csl_message pong = {.kind = CSL_MSG_PONG};
        pong.u.pong.nonce = m->u.ping.nonce;
        csl_coord_send__(c, site, &pong);
        return;
    }
    bool is_early = m->kind != CSL_MSG_HELLO && !s->has_greeted;
    bool is_stranger = m->kind != CSL_MSG_HELLO && m->kind != CSL_MSG_STUDY_ANSWER &&
                       s->membership != CSL_MEMBER_ACCEPTED;
    if (is_early || is_stranger || (m->kind == CSL_MSG_HELLO && s->has_greeted)) {
        csl_coord_emit__(c, &(struct csl_coord_action){
                                .kind = CSL_CA_DROP, .conn = s->conn, .code = CSL_E_PROTO});
        return;
    }
    switch ((int)m->kind) {
    case CSL_MSG_HELLO:
        on_hello(c, site, &m->u.hello);
        break;
    case CSL_MSG_STUDY_ANSWER:
        on_answer(c, site, &m->u.study_answer);
        break;
    case CSL_MSG_MODEL_REQUEST:
        on_model_request(c, site, &m->u.model_request);
        break;
    case CSL_MSG_UPDATE_READY:
        on_update_ready(c, site, &m->u.update_ready, ev->code);
        break;
    case CSL_MSG_EVALUATION:
        on_evaluation(c, site, &m->u.evaluation);
        break;
    case CSL_MSG_TASK_FAILED:
        on_task_failed(c, site, &m->u.task_failed);
        break;
    default: /* the decoder lets only messages of this direction through */
        CSL_ASSERT(false);
    }
}
