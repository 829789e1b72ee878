#include "tests/unit/coordinator/harness.h"

#include "aggregation/strategy/strategy.h"
#include "base/buf.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

const char h_ids[H_SITES][CSL_ID_MAX] = {"aa", "bb", "cc", "dd"};
/* The roster arrives in any order. */
static const char roster[H_SITES][CSL_ID_MAX] = {"cc", "aa", "dd", "bb"};

static void record(void *ctx, const struct csl_coord_action *a)
{
    struct harness *h = ctx;
    assert_true(h->count < H_LOG_MAX);
    struct h_entry *e = &h->log[h->count++];
    e->a = *a;
    e->a.evaluation = NULL; /* borrowed until the step returns */
    if (a->kind == CSL_CA_SAVE_EVALUATION)
        e->eval_block = a->evaluation->block_count > 0 ? a->evaluation->blocks[0].block : 0;
    if (a->kind == CSL_CA_OPEN_ROUND)
        memset(h->folds, 0, sizeof(h->folds));
    if (a->kind == CSL_CA_FOLD)
        h->folds[a->site_index]++;
    if (a->kind == CSL_CA_FOLD || a->kind == CSL_CA_AGGREGATE) {
        assert_true(h->pending_count < H_LOG_MAX);
        h->pending[h->pending_count++] = (struct h_pending){a->kind, a->site_index, a->round};
    }
}

static void new_core(struct harness *h)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_coord_config config = {.study = h->study,
                                      .roster = roster,
                                      .roster_count = H_SITES,
                                      .seed = 7,
                                      .open_wait_ns = H_WAIT_NS,
                                      .is_rehearsal = h->is_rehearsal};
    if (csl_coord_new(&h->c, &config, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    uint8_t digest[CSL_DIGEST_BYTES] = {1};
    csl_coord_set_model(h->c, digest, 24);
    memset(h->conn, 0, sizeof(h->conn));
    h->pending_count = 0;
}

static void put_trained(struct csl_buf *b, const struct h_study *s)
{
    csl_buf_printf(b, "study: core\nquestion: Does the core hold?\ndomains:\n");
    for (int d = 0; d < 2; d++)
        csl_buf_printf(b,
                       "  - id: d%d\n    modality: tabular\n"
                       "    task: {kind: binary, label: ill, positive: 1}\n"
                       "    features: [one, two]\n    scaling: constants\n"
                       "    model: {kind: linear}\n",
                       d);
    csl_buf_printf(b,
                   "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: full, "
                   "steps: 1}}\nrounds: %u\naggregation: {strategy: %s%s%s%s}\n"
                   "sites: {minimum: %u, round_deadline: 1s%s%s}\nevaluation: {every: %u}\n",
                   s->rounds == 0 ? 2 : s->rounds, s->strategy == NULL ? "fedavg" : s->strategy,
                   s->weights == NULL ? "" : ", weights: {", s->weights == NULL ? "" : s->weights,
                   s->weights == NULL ? "" : "}", s->minimum == 0 ? 2 : s->minimum,
                   s->participants == NULL ? "" : ", participants: ",
                   s->participants == NULL ? "" : s->participants, s->evaluate_every);
}

static void put_counted(struct csl_buf *b, const struct h_study *s)
{
    csl_buf_printf(b, "study: core\ncensus: {}\ndomains:\n");
    for (int d = 0; d < 2; d++)
        csl_buf_printf(b,
                       "  - {id: d%d, modality: tabular, task: {kind: binary, label: ill},\n"
                       "     features: [{name: one, range: [0, 1]}]}\n",
                       d);
    csl_buf_printf(b, "sites: {minimum: %u, round_deadline: 1s}\n", s->minimum);
}

void h_open(struct harness *h, const struct h_study *s)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_buf b;
    *h = (struct harness){.out = {h, record}, .is_rehearsal = s->is_rehearsal};
    csl_buf_init(&b, 65536);
    if (s->is_counted)
        put_counted(&b, s);
    else
        put_trained(&b, s);
    if (s->has_masks)
        csl_buf_printf(&b,
                       "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: %u}\n",
                       s->minimum);
    const char *text = csl_buf_text(&b);
    if (csl_study_parse(&h->study, "core.yaml", CSL_SPAN(text, strlen(text)), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_buf_release(&b);
    new_core(h);
}

void h_reopen(struct harness *h)
{
    csl_coord_free(h->c);
    new_core(h);
    h_forget(h);
}

void h_close(struct harness *h)
{
    csl_coord_free(h->c);
    csl_study_free(h->study);
}

void h_forget(struct harness *h)
{
    h->count = 0;
}

/* (I3): whoever is HELD was folded exactly once since the round (re)opened. */
static void check(const struct harness *h)
{
    csl_coord_check(h->c);
    for (uint32_t i = 0; i < H_SITES; i++)
        if (h_progress(h, i) == CSL_SITE_HELD)
            assert_int_equal(h->folds[i], 1);
}

bool h_answer_one(struct harness *h)
{
    if (h->pending_count == 0)
        return false;
    struct h_pending p = h->pending[0];
    memmove(h->pending, h->pending + 1, --h->pending_count * sizeof(p));
    uint8_t digest[CSL_DIGEST_BYTES] = {(uint8_t)(p.round + 1)};
    struct csl_coord_event ev = {.now_ns = h->now_ns, .site_index = p.site, .round = p.round};
    ev.kind = p.kind == CSL_CA_FOLD ? CSL_CE_FOLDED : CSL_CE_AGGREGATED;
    ev.digest = digest;
    ev.bytes = 24;
    csl_coord_step(h->c, &ev, &h->out);
    check(h);
    return true;
}

static void answer_all(struct harness *h)
{
    while (!h->is_manual && h_answer_one(h))
        continue;
}

void h_start(struct harness *h)
{
    csl_coord_start(h->c, h->now_ns, &h->out);
    check(h);
    answer_all(h);
}

void h_step(struct harness *h, struct csl_coord_event ev)
{
    ev.now_ns = h->now_ns;
    csl_coord_step(h->c, &ev, &h->out);
    check(h);
    answer_all(h);
}

void h_connect(struct harness *h, uint32_t site)
{
    h->conn[site] = ++h->last_conn;
    h_step(h, (struct csl_coord_event){
                  .kind = CSL_CE_OPENED, .conn = h->conn[site], .site_id = h_ids[site]});
}

void h_disconnect(struct harness *h, uint32_t site)
{
    h_step(h, (struct csl_coord_event){.kind = CSL_CE_CLOSED, .conn = h->conn[site]});
    h->conn[site] = 0;
}

void h_say(struct harness *h, uint32_t site, const struct csl_message *m)
{
    h_step(h,
           (struct csl_coord_event){.kind = CSL_CE_MESSAGE, .conn = h->conn[site], .message = m});
}

void h_hello(struct harness *h, uint32_t site, bool knows_study)
{
    struct csl_message m = {.kind = CSL_MSG_HELLO};
    m.u.hello.protocol_version = CSL_PROTOCOL_VERSION;
    if (knows_study)
        memcpy(m.u.hello.study_digest, h->study->digest, CSL_DIGEST_BYTES);
    h_say(h, site, &m);
}

void h_answer(struct harness *h, uint32_t site, bool accepted, uint64_t patients)
{
    struct csl_message m = {.kind = CSL_MSG_STUDY_ANSWER};
    struct csl_msg_study_answer *a = &m.u.study_answer;
    memcpy(a->study_digest, h->study->digest, CSL_DIGEST_BYTES);
    a->accepted = accepted;
    a->block_count = accepted ? 1 : 0;
    a->blocks[0].patients = patients;
    h_say(h, site, &m);
}

void h_join(struct harness *h, uint32_t site, uint64_t patients)
{
    h_connect(h, site);
    h_hello(h, site, false);
    h_answer(h, site, true, patients);
}

struct csl_message h_update(const struct harness *h, uint32_t site, uint64_t round)
{
    const struct csl_coord_site *s = csl_coord_site(h->c, site);
    struct csl_message m = {.kind = CSL_MSG_UPDATE_READY};
    struct csl_msg_update_ready *u = &m.u.update_ready;
    uint64_t elements = 0;
    u->round = round;
    u->block_count = s->block_count;
    for (uint32_t i = 0; i < s->block_count; i++) {
        u->blocks[i] = s->blocks[i];
        elements += h->study->schema.blocks[s->blocks[i].block].count;
    }
    const struct csl_strategy_ops *strategy = csl_strategy_find(h->study->aggregation.strategy);
    u->bytes_total = elements * sizeof(float) * strategy->update_vectors;
    if (h->study->secagg.is_on) /* words, and one for each block and for the loss */
        u->bytes_total = (elements + h->study->schema.block_count + 1) * sizeof(uint64_t);
    u->digest[0] = (uint8_t)(round * H_SITES + site);
    u->train_loss = 0.5;
    return m;
}

void h_deliver(struct harness *h, uint32_t site, uint64_t round)
{
    struct csl_message m = h_update(h, site, round);
    h_say(h, site, &m);
    h_step(h,
           (struct csl_coord_event){.kind = CSL_CE_RECEIVED, .site_index = site, .round = round});
}

void h_evaluate(struct harness *h, uint32_t site, uint64_t round)
{
    struct csl_eval_block block = {.block = 0, .examples = 3};
    struct csl_message m = {.kind = CSL_MSG_EVALUATION};
    m.u.evaluation =
        (struct csl_msg_evaluation){.round = round, .block_count = 1, .blocks = &block};
    h_say(h, site, &m);
}

void h_fail(struct harness *h, uint32_t site, uint64_t round)
{
    struct csl_message m = {.kind = CSL_MSG_TASK_FAILED};
    m.u.task_failed.round = round;
    m.u.task_failed.code = CSL_E_IO;
    h_say(h, site, &m);
}

void h_tick(struct harness *h, uint64_t by_ns)
{
    h->now_ns += by_ns;
    h_step(h, (struct csl_coord_event){.kind = CSL_CE_TICK});
}

uint64_t h_round_ns(const struct harness *h)
{
    return h->study->round_deadline_ms * CSL_NS_PER_MS;
}

uint32_t h_actions(const struct harness *h, enum csl_coord_action_kind kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < h->count; i++)
        n += h->log[i].a.kind == kind;
    return n;
}

const struct csl_coord_action *h_last(const struct harness *h, enum csl_coord_action_kind kind)
{
    for (uint32_t i = h->count; i > 0; i--)
        if (h->log[i - 1].a.kind == kind)
            return &h->log[i - 1].a;
    return NULL;
}

const struct csl_message *h_told(const struct harness *h, uint32_t site, enum csl_message_kind kind)
{
    for (uint32_t i = h->count; i > 0; i--) {
        const struct csl_coord_action *a = &h->log[i - 1].a;
        if (a->kind == CSL_CA_SEND && a->site_index == site && a->message.kind == kind)
            return &a->message;
    }
    return NULL;
}

uint32_t h_told_count(const struct harness *h, enum csl_message_kind kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < h->count; i++)
        n += h->log[i].a.kind == CSL_CA_SEND && h->log[i].a.message.kind == kind;
    return n;
}

enum csl_site_progress h_progress(const struct harness *h, uint32_t site)
{
    return csl_coord_site(h->c, site)->progress;
}
