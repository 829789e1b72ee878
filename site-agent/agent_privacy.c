/* Privacy of one site: the plan of the accepted study, and the ledger's entries around every
 * update, in this order and no other:
 *
 *     reserve  ->  train  ->  update durable, row durable  ->  charge  ->  announce, upload  ->
 * settle
 *
 * Each step is durable before the next begins. A crash after the charge wastes budget; no crash
 * releases anything uncharged: what is found uncharged at a start is charged before it is
 * announced, or given up. What was reserved comes back only in the process that reserved it. A
 * reservation that is found at a start may be in a state folder from before its update left, and
 * nothing here can tell: it serves the round that it was made for, and is spent once another round
 * begins. All on the core thread. */
#include "site-agent/agent_secagg.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/dp/account.h"
#include "privacy/ledger/merkle.h"
#include "site-agent/data/multimodal.h"

#include <string.h>

#define AUDIT_CONFIDENCE 0.95
#define ATTEMPTS_MAX     1000u /* of one round; a coordinator that asks more often is refused */

static bool has_privacy(const struct csl_agent *a)
{
    return a->study != NULL && a->study->privacy.mode != CSL_PRIVACY_NONE;
}

static uint64_t wall_clock_s(void *ctx)
{
    (void)ctx;
    return csl_clock_unix_ms() / 1000u;
}

/* --- opening --- */

static enum csl_code state_file(const struct csl_agent *a, const char *name, char out[CSL_PATH_MAX],
                                const char **path, struct csl_err *err)
{
    *path = NULL; /* in memory */
    if (a->config.state_dir == NULL)
        return CSL_OK;
    *path = out;
    return csl_path_join(out, CSL_PATH_MAX, a->config.state_dir, name, err);
}

/* The ledger stays open for as long as the agent lives: a study may be exchanged, what was spent
 * stays spent. */
static enum csl_code open_ledger(struct csl_agent *a, struct csl_err *err)
{
    char database[CSL_PATH_MAX], key[CSL_PATH_MAX], head[CSL_PATH_MAX];
    struct csl_ledger_config c = {
        .site = a->site_id, .price = csl_account_epsilon, .now_s = wall_clock_s};
    if (a->ledger != NULL)
        return CSL_OK;
    enum csl_code code = state_file(a, "ledger.db", database, &c.path, err);
    if (code == CSL_OK)
        code = state_file(a, "ledger.key", key, &c.key_path, err);
    if (code == CSL_OK)
        code = state_file(a, "ledger.head", head, &c.head_path, err);
    if (code == CSL_OK)
        code = csl_ledger_open(&a->ledger, &c, err);
    if (code == CSL_OK)
        a->found_size = csl_ledger_size(a->ledger);
    if (code == CSL_OK)
        code = csl_ledger_set_policy(a->ledger, &a->policy.ledger, err);
    if (code != CSL_OK) { /* left open, it would serve the next offer under the budgets before */
        csl_ledger_close(a->ledger);
        a->ledger = NULL;
    }
    return code;
}

static void hash_inputs(struct csl_hash *h, const struct csl_multimodal *m)
{
    const struct csl_multimodal_split *s = &m->splits[CSL_SPLIT_TRAIN];
    for (uint32_t i = 0; i < m->input_count; i++) {
        const struct csl_inputs *in = &s->inputs[i];
        size_t values = (size_t)s->records * in->width;
        csl_hash_update(h, in->available, s->records);
        if (in->x != NULL)
            csl_hash_update(h, in->x, values * sizeof(*in->x));
        if (in->tokens != NULL)
            csl_hash_update(h, in->tokens, values * sizeof(*in->tokens));
    }
}

/* Tells one cohort from another without telling anything about it: keyed by the ledger's secret
 * cohort key, over the training records as the study sees them. */
static void digest_cohort(const struct csl_agent *a, uint8_t out[CSL_DIGEST_BYTES])
{
    struct csl_hash h;
    csl_hash_init(&h);
    csl_hash_update(&h, a->cohort_key, sizeof(a->cohort_key));
    for (uint32_t d = 0; d < a->study->domain_count; d++) {
        const struct csl_examples *e = &a->data->domains[d][CSL_SPLIT_TRAIN];
        csl_hash_update(&h, &e->records, sizeof(e->records));
        if (e->records == 0)
            continue;
        if (e->x != NULL)
            csl_hash_update(&h, e->x, (size_t)e->records * e->width * sizeof(*e->x));
        else
            csl_hash_update(&h, e->row, e->records * sizeof(*e->row));
        csl_hash_update(&h, e->patient, e->records * sizeof(*e->patient));
        csl_hash_update(&h, e->label, e->records);
        if (e->answer_count == 0)
            continue;
        csl_hash_update(&h, e->answer, (size_t)e->records * e->answer_count);
        csl_hash_update(&h, e->answer_known, (size_t)e->records * e->answer_count);
    }
    if (a->data->multimodal != NULL)
        hash_inputs(&h, a->data->multimodal);
    csl_hash_final(&h, out);
}

static enum csl_code load_cohort_key(struct csl_agent *a, struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    const char *file = NULL;
    struct csl_msg bytes = {NULL, 0};
    enum csl_code code = state_file(a, "cohort.key", path, &file, err);
    if (code != CSL_OK)
        return code;
    if (file != NULL && csl_file_exists(file)) {
        code = csl_file_read(&bytes, file, sizeof(a->cohort_key), err);
        if (code == CSL_OK && bytes.n != sizeof(a->cohort_key))
            code = CSL_FAIL(err, CSL_E_CORRUPT, "%s: %zu bytes; %zu would be right", file, bytes.n,
                            sizeof(a->cohort_key));
        if (code == CSL_OK)
            memcpy(a->cohort_key, bytes.p, sizeof(a->cohort_key));
        csl_msg_release(&bytes);
        return code;
    }
    struct csl_rng rng;
    csl_rng_init_os(&rng);
    csl_rng_bytes(&rng, a->cohort_key, sizeof(a->cohort_key));
    csl_rng_wipe(&rng);
    return file == NULL ? CSL_OK
                        : csl_file_write_atomic(
                              file, CSL_SPAN(a->cohort_key, sizeof(a->cohort_key)), 0600, err);
}

enum csl_code csl_agent_register__(struct csl_agent *a, struct csl_err *err)
{
    const struct csl_privacy_plan *p = &a->plan;
    if (!has_privacy(a))
        return CSL_OK;
    struct csl_ledger_study s = {
        .event_count = p->event_count,
        .rounds = a->study->rounds,
        .delta = p->delta,
        .clip = a->study->privacy.clip,
        .normaliser = p->domain_count > 0 ? p->domains[0].expected_batch : 1,
        .is_rehearsal = a->config.noise_seed != NULL,
    };
    if (p->event_count > CSL_LEDGER_EVENTS_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "this site has %u domains of the study, at most %d with "
                        "privacy",
                        p->event_count, CSL_LEDGER_EVENTS_MAX);
    memcpy(s.digest, a->study->digest, sizeof(s.digest));
    memcpy(s.cohort_digest, a->cohort_digest, sizeof(s.cohort_digest));
    csl_str_copy(s.cohort, sizeof(s.cohort), a->policy.cohort);
    csl_privacy_plan_events(p, 1, s.events);
    enum csl_code code = csl_ledger_register(a->ledger, &s, err);
    return code == CSL_OK ? csl_agent_register_statistics__(a, err) : code;
}

static enum csl_code open_audit(struct csl_agent *a, struct csl_err *err)
{
    const struct csl_privacy_plan *p = &a->plan;
    struct csl_rng rng;
    if (a->config.audit_canaries == 0 || p->mode != CSL_PRIVACY_LOCAL)
        return CSL_OK;
    if (a->config.noise_seed == NULL)
        csl_rng_init_os(&rng);
    else
        csl_rng_init_named(&rng, *a->config.noise_seed, "rehearsal/canaries", a->site_id, 0);
    enum csl_code code =
        csl_canaries_new(&a->canaries, &rng, a->config.audit_canaries,
                         (size_t)p->domains[0].parameters, a->study->privacy.clip, err);
    csl_rng_wipe(&rng);
    return code;
}

enum csl_code csl_agent_audit(const struct csl_agent *a, struct csl_audit_result *out,
                              struct csl_err *err)
{
    if (a->canaries == NULL)
        return CSL_FAIL(err, CSL_E_NOTFOUND, "this agent was not audited");
    return csl_canaries_result(a->canaries, a->study->privacy.delta, AUDIT_CONFIDENCE, out, err);
}

enum csl_code csl_agent_open_privacy__(struct csl_agent *a, struct csl_err *err)
{
    uint64_t patients[CSL_BLOCKS_MAX + 1];
    if (!has_privacy(a))
        return CSL_OK;
    for (uint32_t b = 0; b < a->study->schema.block_count; b++)
        patients[b] = csl_dataset_block_patients(a->data, b);
    patients[a->study->schema.block_count] = csl_dataset_patients_at_most(a->data);
    enum csl_code code = csl_policy_check_delta(
        &a->policy, a->study, csl_dataset_patients_at_most(a->data), err); /* above is safe */
    if (code == CSL_OK)
        code = csl_privacy_plan_make(&a->plan, a->study, patients, err);
    if (code == CSL_OK)
        code = load_cohort_key(a, err);
    if (code == CSL_OK)
        code = open_ledger(a, err);
    if (code == CSL_OK)
        code = open_audit(a, err);
    if (code == CSL_OK)
        digest_cohort(a, a->cohort_digest);
    return code;
}

/* --- reservations that are open --- */

/* Trained words that wait for their masks: what they were reserved stays reserved. */
static void keep_reservation(struct csl_agent *a, const struct csl_ledger_open_reservation *r)
{
    a->has_reservation = true;
    a->is_reservation_charged = false;
    a->reservation = r->reservation;
    a->reserved_attempt = r->attempt;
}

/* Of all studies, however many. *out is the caller's, NULL where there are none. */
static enum csl_code list_open(const struct csl_agent *a, struct csl_ledger_open_reservation **out,
                               size_t *count, struct csl_err *err)
{
    *count = csl_ledger_open_reservations(a->ledger, NULL, 0);
    *out = *count == 0 ? NULL : csl_alloc_array(*count, sizeof(**out));
    if (*count > 0 && *out == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %zu reservations", *count);
    (void)csl_ledger_open_reservations(a->ledger, *out, *count);
    return CSL_OK;
}

/* By an earlier process, of whose time this folder may be a copy. */
static bool was_found(const struct csl_agent *a, uint64_t reservation)
{
    return reservation < a->found_size;
}

static enum csl_code close_one(struct csl_agent *a, const struct csl_ledger_open_reservation *r,
                               uint64_t round, struct csl_err *err)
{
    bool is_ours =
        has_privacy(a) && memcmp(r->study_digest, a->study->digest, CSL_DIGEST_BYTES) == 0;
    if (is_ours && csl_agent_secagg_waits__(a, r->round, r->attempt)) {
        keep_reservation(a, r);
        return CSL_OK;
    }
    if (csl_agent_is_of_statistics__(a, r) && csl_agent_awaits_statistics__(a, r->round, round))
        return CSL_OK;
    bool is_found = was_found(a, r->reservation);
    if (is_ours && is_found && (round == 0 || r->round == round))
        return CSL_OK; /* the round may be asked for again */
    return csl_ledger_settle(a->ledger, r->reservation,
                             is_found || csl_agent_secagg_is_suspended__(a), err);
}

/* Words that wait for their masks, were not charged and cannot be: an operator stopped the study or
 * closed what they were reserved. They would fail the agent when they are masked, at every start.
 */
static bool are_words_unpaid(struct csl_agent *a, const struct csl_ledger_open_reservation *open,
                             size_t count)
{
    struct csl_ledger_charge c;
    struct csl_ledger_spent spent;
    uint64_t round = csl_agent_secagg_words_round__(a);
    if (round != 0 && has_privacy(a) &&
        csl_agent_has_unpaid_statistics__(a, csl_agent_secagg_words__(a)))
        return true;
    if (round == 0 || !has_privacy(a) ||
        csl_ledger_spent_by_study(a->ledger, a->study->digest, &spent, NULL) != CSL_OK ||
        (csl_ledger_find_charge(a->ledger, a->study->digest, round, &c) &&
         csl_agent_secagg_covers__(a, round, c.attempt)))
        return false;
    for (size_t i = 0; !spent.is_stopped && i < count; i++)
        if (memcmp(open[i].study_digest, a->study->digest, CSL_DIGEST_BYTES) == 0 &&
            csl_agent_secagg_waits__(a, open[i].round, open[i].attempt))
            return false;
    return true;
}

enum csl_code csl_agent_close_reservations__(struct csl_agent *a, uint64_t round,
                                             struct csl_err *err)
{
    struct csl_ledger_open_reservation *open = NULL;
    size_t count = 0;
    if (a->ledger == NULL || csl_ledger_trouble(a->ledger) != NULL) /* it appends nothing */
        return CSL_OK;
    if (!a->is_reservation_charged)
        a->has_reservation = false;
    enum csl_code code = list_open(a, &open, &count, err);
    if (code == CSL_OK && are_words_unpaid(a, open, count)) {
        csl_log(CSL_LOG_ERROR, "secagg.words_unpaid", CSL_STR("site", a->site_id));
        csl_agent_secagg_drop_words__(a);
    }
    for (size_t i = 0; code == CSL_OK && i < count; i++)
        code = close_one(a, &open[i], round, err);
    csl_free(open);
    return code;
}

/* --- around one update --- */

static struct csl_ledger_request request_of(const struct csl_agent *a, uint64_t round)
{
    struct csl_ledger_request r = {
        .round = round,
        .event_count = a->plan.event_count,
        .clip = a->study->privacy.clip,
        .normaliser = a->plan.domain_count > 0 ? a->plan.domains[0].expected_batch : 1};
    memcpy(r.study_digest, a->study->digest, sizeof(r.study_digest));
    csl_str_copy(r.cohort, sizeof(r.cohort), a->policy.cohort);
    csl_privacy_plan_events(&a->plan, 1, r.events);
    return r;
}

enum csl_code csl_agent_reserve__(struct csl_agent *a, const struct csl_msg_task *task,
                                  struct csl_err *err)
{
    struct csl_ledger_charge last;
    if (!has_privacy(a))
        return CSL_OK;
    if (a->head_trouble != NULL) /* its update would be refused, and what it cost wasted */
        return CSL_FAIL(err, CSL_E_STATE, "%s", a->head_trouble);
    enum csl_code code = csl_agent_close_reservations__(a, task->round, err);
    if (code != CSL_OK) {
        csl_agent_fail__(a, err); /* the ledger must be opened again: a restart does that */
        return code;
    }
    struct csl_ledger_request r = request_of(a, task->round);
    if (csl_ledger_find_charge(a->ledger, a->study->digest, task->round, &last))
        r.attempt = last.attempt + 1; /* charged again: the noise is drawn anew */
    do {
        code = csl_ledger_reserve(a->ledger, &r, &a->reservation, err);
    } while (code == CSL_E_EXISTS && ++r.attempt < ATTEMPTS_MAX);
    a->reserved_attempt = r.attempt;
    a->has_reservation = code == CSL_OK;
    a->is_reservation_charged = false;
    return code;
}

static enum csl_code charge(struct csl_agent *a, const struct csl_outbox *outbox, uint32_t attempt,
                            uint64_t reservation, const struct csl_dp_event *events,
                            bool is_rehearsal, struct csl_err *err)
{
    struct csl_ledger_charge c = {
        .round = outbox->round,
        .attempt = attempt,
        .event_count = a->plan.event_count,
        .clip = a->study->privacy.clip,
        .normaliser = a->plan.domain_count > 0 ? a->plan.domains[0].expected_batch : 1,
        .cohort_band = csl_ledger_band(csl_dataset_patients_at_most(a->data)),
        .software = "consilium-site/0.1.0",
        .is_rehearsal = is_rehearsal};
    memcpy(c.study_digest, a->study->digest, sizeof(c.study_digest));
    memcpy(c.cohort_digest, a->cohort_digest, sizeof(c.cohort_digest));
    memcpy(c.update_digest, outbox->digest, sizeof(c.update_digest));
    memcpy(c.events, events, a->plan.event_count * sizeof(c.events[0]));
    return csl_ledger_charge(a->ledger, reservation, &c, err);
}

enum csl_code csl_agent_charge__(struct csl_agent *a, const struct csl_outbox *outbox,
                                 const struct csl_train_report *report, struct csl_err *err)
{
    if (!has_privacy(a))
        return CSL_OK;
    if (csl_agent_masks__(a) && csl_agent_is_charged__(a, outbox))
        return CSL_OK; /* in an earlier attempt, or before a restart */
    if (!a->has_reservation || report->event_count != a->plan.event_count)
        return CSL_FAIL(err, CSL_E_BUG, "an update of round %llu without a reservation",
                        (unsigned long long)outbox->round);
    enum csl_code code = charge(a, outbox, a->reserved_attempt, a->reservation, report->events,
                                !report->is_noise_secret, err);
    a->is_reservation_charged = code == CSL_OK;
    return code;
}

static void settle(struct csl_agent *a, bool stays_spent)
{
    struct csl_err err = {.code = CSL_OK};
    a->has_reservation = false;
    if (!stays_spent && was_found(a, a->reservation))
        return; /* open, so counted: the round may be asked for again */
    if (csl_ledger_settle(a->ledger, a->reservation, stays_spent, &err) != CSL_OK)
        csl_agent_fail__(a, &err); /* the ledger must be opened again: a restart does that */
}

void csl_agent_settle__(struct csl_agent *a, bool was_released)
{
    /* a charge stays until its update has left; what is not charged cannot leave */
    if (a->has_reservation && a->is_reservation_charged == was_released)
        settle(a, was_released || csl_agent_secagg_is_suspended__(a));
}

void csl_agent_forfeit__(struct csl_agent *a)
{
    if (a->has_reservation && !a->is_reservation_charged)
        settle(a, true);
}

void csl_agent_forfeit_open__(struct csl_agent *a)
{
    struct csl_ledger_open_reservation *open = NULL;
    struct csl_err err = {.code = CSL_OK};
    size_t count = 0;
    if (!has_privacy(a) || csl_ledger_trouble(a->ledger) != NULL) /* then all stay open */
        return;
    enum csl_code code = list_open(a, &open, &count, &err);
    for (size_t i = 0; code == CSL_OK && i < count; i++)
        if (memcmp(open[i].study_digest, a->study->digest, CSL_DIGEST_BYTES) == 0 ||
            csl_agent_is_of_statistics__(a, &open[i]))
            code = csl_ledger_settle(a->ledger, open[i].reservation, true, &err);
    csl_free(open);
    if (code != CSL_OK)
        csl_agent_fail__(a, &err);
}

/* The row of an update is durable, but a crash came before its charge: the whole of what was
 * reserved for it is charged now. */
static enum csl_code charge_outbox(struct csl_agent *a, struct csl_err *err)
{
    struct csl_ledger_open_reservation *open = NULL;
    const struct csl_outbox *outbox = &a->memory.outbox;
    struct csl_dp_event events[CSL_DOMAINS_MAX];
    size_t count = 0;
    enum csl_code code = list_open(a, &open, &count, err);
    csl_privacy_plan_events(&a->plan, 1, events);
    for (size_t i = 0; code == CSL_OK && i < count; i++)
        if (memcmp(open[i].study_digest, a->study->digest, CSL_DIGEST_BYTES) == 0 &&
            outbox->round == open[i].round && !csl_agent_is_charged__(a, outbox))
            code = charge(a, outbox, open[i].attempt, open[i].reservation, events,
                          a->config.noise_seed != NULL, err);
    csl_free(open);
    return code;
}

enum csl_code csl_agent_recover_privacy__(struct csl_agent *a, struct csl_err *err)
{
    if (!has_privacy(a))
        return CSL_OK;
    enum csl_code code = charge_outbox(a, err);
    if (code == CSL_OK) {
        code = csl_agent_charge_statistics__(a, &a->memory.outbox, err);
        if (code == CSL_E_DENIED || code == CSL_E_EXISTS || code == CSL_E_BUDGET)
            code = CSL_OK; /* not to be charged any more: the outbox does not leave */
    }
    return code == CSL_OK ? csl_agent_close_reservations__(a, 0, err) : code;
}

bool csl_agent_is_charged__(struct csl_agent *a, const struct csl_outbox *outbox)
{
    struct csl_ledger_charge c;
    if (!has_privacy(a))
        return true;
    return csl_ledger_find_charge(a->ledger, a->study->digest, outbox->round, &c) &&
           (memcmp(c.update_digest, outbox->digest, CSL_DIGEST_BYTES) == 0 ||
            csl_agent_secagg_covers__(a, outbox->round, c.attempt));
}

/* Without a proof the coordinator refuses the head, which is right when there can be none. */
static void put_proof(struct csl_agent *a, uint64_t size, struct csl_msg_update_ready *u)
{
    struct csl_err err = {.code = CSL_OK};
    size_t count = 0;
    if (csl_ledger_prove_consistency(a->ledger, a->held_size, size, u->ledger_proof, &count,
                                     &err) == CSL_OK)
        u->ledger_proof_count = (uint32_t)count;
    else
        csl_log_err(CSL_LOG_ERROR, "ledger.head_not_proven", &err);
}

void csl_agent_put_head__(struct csl_agent *a, struct csl_message *m)
{
    struct csl_checkpoint head;
    if (m->kind == CSL_MSG_HELLO)
        a->held_size = 0; /* the tasks of this session will show it */
    if (m->kind != CSL_MSG_UPDATE_READY || !has_privacy(a))
        return;
    csl_ledger_head(a->ledger, &head);
    csl_checkpoint_write(&head, csl_ledger_public_key(a->ledger), m->u.update_ready.ledger_head);
    memcpy(m->u.update_ready.ledger_key, csl_ledger_public_key(a->ledger), CSL_LEDGER_KEY_BYTES);
    put_proof(a, head.size, &m->u.update_ready);
    a->announced_size = a->held_size = head.size;
}

/* False: a head that was given up by csl_ledger_recover, which no proof can continue. */
static bool is_continued(struct csl_agent *a, const struct csl_checkpoint *theirs)
{
    uint8_t proof[CSL_MERKLE_PROOF_MAX][CSL_SHA256_BYTES];
    struct csl_checkpoint own;
    struct csl_err err = {.code = CSL_OK};
    size_t count = 0;
    csl_ledger_head(a->ledger, &own);
    return csl_ledger_prove_consistency(a->ledger, theirs->size, own.size, proof, &count, &err) ==
               CSL_OK &&
           csl_merkle_verify_consistency(theirs->size, theirs->root, own.size, own.root,
                                         (const uint8_t(*)[CSL_SHA256_BYTES])proof, count);
}

static void check_remembered(struct csl_agent *a, const char *text)
{
    struct csl_checkpoint theirs;
    struct csl_err err = {.code = CSL_OK};
    a->head_trouble = NULL;
    if (text[0] == '\0') /* nothing is remembered, as before a site's first round */
        return;
    enum csl_code code = csl_checkpoint_read(&theirs, CSL_SPAN(text, strlen(text)),
                                             csl_ledger_public_key(a->ledger), &err);
    if (code == CSL_OK)
        code = csl_ledger_check_peer_head(a->ledger, &theirs, &err);
    /* Behind or beside what is remembered: the ledger itself is in trouble and reserves nothing. Of
     * another key: this ledger is not the one this site had. */
    if (code == CSL_E_CRYPTO || code == CSL_E_PROTO)
        a->head_trouble = "the coordinator remembers a ledger of this site with another key: it "
                          "was deleted or replaced; restore it, or have the coordinator's operator "
                          "remove what is remembered";
    else if (code == CSL_OK && !is_continued(a, &theirs))
        a->head_trouble = "the coordinator remembers the head that this site gave up, and takes "
                          "no update that does not continue it; have the coordinator's operator "
                          "remove what is remembered";
    else if (code == CSL_OK && theirs.size > a->held_size)
        a->held_size = theirs.size; /* less: the task was sent before our last announcement came */
    if (code != CSL_OK)
        csl_log_err(CSL_LOG_ERROR, "ledger.head_differs", &err);
}

static void store_countersignature(struct csl_agent *a, const struct csl_msg_update_accepted *m)
{
    static const uint8_t none[CSL_COUNTERSIGNATURE_BYTES];
    struct csl_err err = {.code = CSL_OK};
    if (memcmp(m->countersignature, none, sizeof(none)) == 0 || a->announced_size == 0)
        return;
    enum csl_code code = csl_ledger_store_countersignature(
        a->ledger, "coordinator", m->ledger_key, a->announced_size, m->countersignature, &err);
    if (code == CSL_E_IO)
        csl_agent_fail__(a, &err);
    else if (code != CSL_OK)
        csl_log_err(CSL_LOG_WARN, "ledger.countersignature_refused", &err);
}

void csl_agent_take_head__(struct csl_agent *a, const struct csl_message *m)
{
    if (!has_privacy(a))
        return;
    if (m->kind == CSL_MSG_REFUSED)
        a->held_size = 0; /* perhaps not what was announced; the next task shows it */
    else if (m->kind == CSL_MSG_TASK)
        check_remembered(a, m->u.task.ledger_head);
    else if (m->kind == CSL_MSG_UPDATE_ACCEPTED)
        store_countersignature(a, &m->u.update_accepted);
}

void csl_agent_close_privacy__(struct csl_agent *a)
{
    csl_ledger_close(a->ledger);
    a->ledger = NULL;
}
