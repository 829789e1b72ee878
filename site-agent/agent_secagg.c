#include "site-agent/agent_secagg.h"

#include "base/check.h"
#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"
#include "privacy/secagg/bounds.h"
#include "privacy/secagg/joint.h"
#include "privacy/secagg/scalar.h"
#include "privacy/secagg/site.h"

#include <string.h>

struct csl_agent_secagg {
    struct csl_secagg_site *fsm;
    uint8_t study_digest[CSL_DIGEST_BYTES];
    bool has_update; /* trained, and the core has not heard of it */
    bool is_told;    /* the protocol knows that it was trained */
    bool must_mask, may_leave;
    struct csl_agent_event update;
};

bool csl_agent_masks__(const struct csl_agent *a)
{
    return a->study != NULL && a->study->secagg.is_on;
}

/* The floors are the study's own, and at least two honest sites in every sum. */
static enum csl_code new_site(struct csl_agent *a, struct csl_secagg_site **out,
                              struct csl_err *err)
{
    const struct csl_study_secagg *c = &a->study->secagg;
    const struct csl_secagg_site_setup setup = {
        .site = a->config.secagg->site,
        .key = a->config.secagg->key,
        .roster = a->config.secagg->roster,
        .policy = {.colluding = c->colluding,
                   .survivors_min = c->minimum_sites,
                   .honest_min = 2,
                   .effective_min = c->colluding + 2,
                   .weight_share_max_permille = 1000},
        .memory = CSL_SECRET_MAY_SWAP,
    };
    return csl_secagg_site_new(out, &setup, err);
}

enum csl_code csl_agent_open_secagg__(struct csl_agent *a, struct csl_err *err)
{
    struct csl_agent_secagg *g = a->secagg;
    if (!csl_agent_masks__(a))
        return CSL_OK;
    if (a->config.unmasked_sites > 0)
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
    enum csl_code code = new_site(a, &g->fsm, err);
    if (code == CSL_OK)
        a->secagg = g;
    else
        csl_free(g);
    return code;
}

void csl_agent_free_secagg__(struct csl_agent *a)
{
    if (a->secagg == NULL)
        return;
    csl_secagg_site_free(a->secagg->fsm);
    csl_free(a->secagg);
    a->secagg = NULL;
}

/* --- words --- */

struct words { /* an update on its way into its file */
    struct csl_agent *a;
    char name[CSL_ID_MAX];
    uint64_t at;      /* bytes */
    uint64_t *buffer; /* [CSL_PRG_CHUNK_WORDS] */
    struct csl_sha256 hash;
};

static enum csl_code put_words(struct words *w, size_t count, struct csl_err *err)
{
    struct csl_span s = CSL_SPAN((const uint8_t *)w->buffer, count * sizeof(*w->buffer));
    enum csl_code code = csl_blob_write(w->a->blobs, w->name, w->at, s, err);
    csl_sha256_update(&w->hash, s.p, s.n);
    w->at += s.n;
    return code;
}

static uint32_t sites_of(const struct csl_agent *a)
{
    return a->config.unmasked_sites > 0 ? a->config.unmasked_sites
                                        : a->config.secagg->roster->count;
}

static double unit_of(const struct csl_agent *a, uint32_t block)
{
    for (uint32_t i = 0; i < a->plan.domain_count; i++)
        if (a->plan.domains[i].domain == block) /* one block per domain, in order */
            return a->plan.domains[i].noise.unit;
    CSL_ASSERT(false); /* a block the plan was not made for */
    return 0;
}

static enum csl_code encode(struct words *w, uint32_t block, const float *update,
                            const int64_t *sum, double weight, size_t n, struct csl_err *err)
{
    const struct csl_agent *a = w->a;
    uint32_t sites = sites_of(a);
    if (sum != NULL)
        return csl_joint_encode(a->study->privacy.clip, unit_of(a, block), sites, sum, n, w->buffer,
                                err);
    enum csl_code code = CSL_OK;
    for (size_t i = 0; code == CSL_OK && i < n; i++)
        code = csl_scalar_encode((double)update[i] * weight, sites, &w->buffer[i], err);
    return code;
}

static double weight_of(const struct csl_agent *a, uint32_t block)
{
    bool counts = a->study->aggregation.weights == CSL_WEIGHTS_SAMPLES ||
                  a->study->privacy.mode == CSL_PRIVACY_JOINT; /* patients: the divisor */
    return counts ? (double)csl_dataset_patients(a->data, block, CSL_SPLIT_TRAIN) : 1;
}

static enum csl_code put_block(struct words *w, uint32_t block, const float *update,
                               const int64_t *sum, struct csl_err *err)
{
    const struct csl_block_spec *b = &w->a->study->schema.blocks[block];
    enum csl_code code = CSL_OK;
    for (uint64_t at = 0; code == CSL_OK && at < b->count; at += CSL_PRG_CHUNK_WORDS) {
        uint64_t left = b->count - at;
        size_t n = left < CSL_PRG_CHUNK_WORDS ? (size_t)left : CSL_PRG_CHUNK_WORDS;
        code = encode(w, block, sum != NULL ? NULL : update + b->first + at,
                      sum != NULL ? sum + b->first + at : NULL, weight_of(w->a, block), n, err);
        if (code == CSL_OK)
            code = put_words(w, n, err);
    }
    return code;
}

/* A word for the weight of every block of the study, and one for the loss. */
static enum csl_code put_scalars(struct words *w, const struct csl_train_report *report,
                                 struct csl_err *err)
{
    const struct csl_agent *a = w->a;
    uint32_t blocks = a->study->schema.block_count, sites = sites_of(a);
    double total = 0;
    enum csl_code code = CSL_OK;
    memset(w->buffer, 0, (blocks + 1) * sizeof(*w->buffer));
    for (uint32_t i = 0; code == CSL_OK && i < report->block_count; i++) {
        double weight = weight_of(a, report->blocks[i].block);
        total += weight;
        code = csl_scalar_encode(weight, sites, &w->buffer[report->blocks[i].block], err);
    }
    if (code == CSL_OK)
        code = csl_scalar_encode(report->mean_loss * total, sites, &w->buffer[blocks], err);
    return code == CSL_OK ? put_words(w, blocks + 1, err) : code;
}

enum csl_code csl_agent_secagg_store__(struct csl_agent *a, const struct csl_msg_task *task,
                                       const float *update, const int64_t *sum,
                                       const struct csl_train_report *report,
                                       struct csl_outbox *out, struct csl_err *err)
{
    struct words w = {.a = a};
    bool is_final = a->config.unmasked_sites > 0; /* else what leaves is made of it later */
    csl_agent_blob_name__(w.name, is_final ? "update" : "plain", task->round);
    csl_blob_remove(a->blobs, w.name);
    csl_sha256_init(&w.hash);
    w.buffer = csl_alloc_array(CSL_PRG_CHUNK_WORDS, sizeof(*w.buffer));
    if (w.buffer == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to encode an update");
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < report->block_count; i++)
        code = put_block(&w, report->blocks[i].block, update, sum, err);
    if (code == CSL_OK)
        code = put_scalars(&w, report, err);
    if (code == CSL_OK)
        code = csl_blob_sync(a->blobs, w.name, err);
    csl_wipe(w.buffer, CSL_PRG_CHUNK_WORDS * sizeof(*w.buffer));
    csl_free(w.buffer);
    *out = (struct csl_outbox){
        .round = task->round, .bytes_total = w.at, .block_count = report->block_count};
    if (is_final)
        csl_sha256_final(&w.hash, out->digest);
    memcpy(out->model_digest, task->model_digest, CSL_DIGEST_BYTES);
    for (uint32_t i = 0; i < report->block_count; i++)
        out->blocks[i] = (struct csl_block_count){.block = report->blocks[i].block, .patients = 1};
    return code;
}

/* --- masks --- */

struct masking {
    struct csl_agent *a;
    const struct csl_secagg_config *config;
    struct csl_secagg_masks *masks;
    struct csl_prg *prg;
    char plain[CSL_ID_MAX];
    struct words out;
    struct csl_secagg_masked masked;
};

static enum csl_code mask_block(struct masking *m, uint32_t index, struct csl_err *err)
{
    struct csl_secagg_manifest_block *b = &m->masked.blocks[index];
    uint64_t words = csl_secagg_block_words(m->config, index);
    struct csl_secagg_root root;
    enum csl_code code = CSL_OK;
    csl_secagg_root_init(&root);
    for (uint32_t c = 0; code == CSL_OK && c < csl_secagg_block_chunks(m->config, index); c++) {
        uint64_t left = words - (uint64_t)c * CSL_PRG_CHUNK_WORDS;
        size_t n = left < CSL_PRG_CHUNK_WORDS ? (size_t)left : CSL_PRG_CHUNK_WORDS;
        size_t bytes = n * sizeof(uint64_t);
        code =
            csl_blob_read(m->a->blobs, m->plain, m->out.at, (uint8_t *)m->out.buffer, bytes, err);
        if (code == CSL_OK)
            code = csl_secagg_masks_apply(m->masks, m->prg, index,
                                          csl_secagg_block_id(m->config, index), c, m->out.buffer,
                                          n, err);
        if (code != CSL_OK)
            return code;
        csl_secagg_root_add(&root, m->out.buffer, n);
        code = put_words(&m->out, n, err);
    }
    b->entries = csl_secagg_block_entries(m->config, index);
    b->chunks = csl_secagg_block_chunks(m->config, index);
    csl_secagg_root_final(&root, b->root);
    return code;
}

static enum csl_code mask_all(struct masking *m, struct csl_outbox *outbox, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    csl_sha256_init(&m->out.hash);
    m->masked.block_count = csl_secagg_block_total(m->config);
    for (uint32_t i = 0; code == CSL_OK && i < outbox->block_count; i++)
        code = mask_block(m, outbox->blocks[i].block, err);
    if (code == CSL_OK)
        code = mask_block(m, m->config->block_count, err); /* the scalars */
    if (code == CSL_OK && m->out.at != outbox->bytes_total)
        code = CSL_FAIL(err, CSL_E_BUG, "masked %llu bytes of %llu", (unsigned long long)m->out.at,
                        (unsigned long long)outbox->bytes_total);
    if (code == CSL_OK)
        code = csl_blob_sync(m->a->blobs, m->out.name, err);
    csl_sha256_final(&m->out.hash, outbox->digest);
    return code;
}

/* The plain words become the one file that may leave. */
static enum csl_code mask_update(struct csl_agent *a, struct csl_secagg_masked *masked,
                                 struct csl_err *err)
{
    struct csl_outbox *outbox = &a->secagg->update.outbox;
    struct masking m = {.a = a, .config = csl_secagg_site_config(a->secagg->fsm), .out = {.a = a}};
    csl_agent_blob_name__(m.plain, "plain", outbox->round);
    csl_agent_blob_name__(m.out.name, "update", outbox->round);
    csl_blob_remove(a->blobs, m.out.name);
    m.out.buffer = csl_alloc_array(CSL_PRG_CHUNK_WORDS, sizeof(*m.out.buffer));
    enum csl_code code = csl_secagg_site_masks(a->secagg->fsm, &m.masks, err);
    if (code == CSL_OK && m.out.buffer == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory to mask an update");
    if (code == CSL_OK)
        code = csl_prg_new(&m.prg, err);
    if (code == CSL_OK)
        code = mask_all(&m, outbox, err);
    if (code == CSL_OK)
        csl_blob_remove(a->blobs, m.plain);
    *masked = m.masked;
    csl_prg_free(m.prg);
    csl_secagg_masks_free(m.masks);
    if (m.out.buffer != NULL)
        csl_wipe(m.out.buffer, CSL_PRG_CHUNK_WORDS * sizeof(*m.out.buffer));
    csl_free(m.out.buffer);
    return code;
}

/* --- the protocol --- */

/* Without memory the rest is left out: the coordinator ends the session over the gap, and asks
 * again. */
static void send_parts(struct csl_agent *a, struct csl_span bytes)
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
    switch (action->kind) {
    case CSL_SECAGG_SA_SEND:
        send_parts(a, action->bytes);
        break;
    case CSL_SECAGG_SA_MASK:
        a->secagg->must_mask = true;
        break;
    case CSL_SECAGG_SA_UPLOAD:
        a->secagg->may_leave = true;
        break;
    case CSL_SECAGG_SA_ALARM:
        csl_log(CSL_LOG_ERROR, "secagg.alarm", CSL_STR("site", a->site_id),
                CSL_STR("what", action->text));
        break;
    case CSL_SECAGG_SA_JOURNAL: /* see the header */
    case CSL_SECAGG_SA_SETTLED:
        break;
    }
}

static enum csl_code step(struct csl_agent *a, const struct csl_secagg_site_event *ev)
{
    const struct csl_secagg_site_out out = {a, on_action};
    struct csl_err err = {.code = CSL_OK};
    enum csl_code code = csl_secagg_site_step(a->secagg->fsm, ev, &out, &err);
    if (code != CSL_OK)
        csl_log_err(CSL_LOG_INFO, "secagg.refused", &err);
    return code;
}

/* The session exists once its keys are closed; before that the update waits. */
static void tell_trained(struct csl_agent *a)
{
    struct csl_agent_secagg *g = a->secagg;
    const struct csl_secagg_config *c = csl_secagg_site_config(g->fsm);
    struct csl_secagg_site_event ev = {.kind = CSL_SECAGG_SE_TRAINED};
    if (!g->has_update || g->is_told || c == NULL || c->round != g->update.outbox.round ||
        csl_secagg_site_sid(g->fsm) == NULL)
        return;
    for (uint32_t i = 0; i < g->update.outbox.block_count; i++)
        csl_secagg_set_put(&ev.blocks, g->update.outbox.blocks[i].block);
    g->is_told = step(a, &ev) == CSL_OK;
}

/* Charged before anything of it leaves: the manifest too is about the masked words only. */
static void mask(struct csl_agent *a)
{
    struct csl_agent_secagg *g = a->secagg;
    struct csl_secagg_masked masked;
    struct csl_err err;
    g->must_mask = false;
    if (!g->has_update)
        return; /* it was cancelled, or left before */
    enum csl_code code = mask_update(a, &masked, &err);
    if (code != CSL_OK) {
        csl_agent_fail__(a, &err);
        return;
    }
    csl_agent_remember_update__(a, &g->update);
    if (a->failure.code == CSL_OK)
        (void)step(
            a, &(struct csl_secagg_site_event){.kind = CSL_SECAGG_SE_MASKED, .masked = &masked});
}

static void follow(struct csl_agent *a)
{
    struct csl_agent_secagg *g = a->secagg;
    tell_trained(a);
    if (g->must_mask)
        mask(a);
    if (!g->may_leave || !g->has_update || a->failure.code != CSL_OK)
        return;
    g->may_leave = g->has_update = g->is_told = false;
    struct csl_site_event ev = g->update.ev;
    ev.outbox = &g->update.outbox;
    ev.now_ns = a->now_ns;
    csl_agent_step__(a, &ev);
}

/* 0, length of M0, M0, the table of weights. */
static void take_config(struct csl_agent *a, struct csl_span body)
{
    struct csl_secagg_config c;
    struct csl_err err;
    uint8_t secret[32];
    if (body.n < 4 || csl_load_le32(body.p) > body.n - 4)
        return;
    struct csl_span bytes = CSL_SPAN(body.p + 4, csl_load_le32(body.p));
    if (csl_secagg_config_decode(&c, bytes, &err) != CSL_OK) {
        csl_log_err(CSL_LOG_WARN, "secagg.refused", &err);
        return;
    }
    const struct csl_msg_task *task = &a->core.task;
    size_t table = (size_t)c.roster_count * c.block_count;
    bool is_ours = a->core.has_task && task->type == CSL_TASK_TRAIN && task->round == c.round;
    if (!is_ours || (body.n - 4 - bytes.n) != table * sizeof(uint32_t))
        return; /* not the round this site was asked to train */
    uint32_t *weights = csl_alloc_array(table, sizeof(*weights));
    if (weights == NULL)
        return;
    for (size_t i = 0; i < table; i++)
        weights[i] = csl_load_le32(bytes.p + bytes.n + 4 * i);
    struct csl_rng rng;
    csl_rng_init_os(&rng);
    csl_rng_bytes(&rng, secret, sizeof(secret));
    csl_rng_wipe(&rng);
    (void)step(a, &(struct csl_secagg_site_event){.kind = CSL_SECAGG_SE_CONFIG,
                                                  .bytes = bytes,
                                                  .weights = weights,
                                                  .model_hash = task->model_digest,
                                                  .plan_hash = a->study->digest,
                                                  .secret = secret});
    csl_wipe(secret, sizeof(secret));
    csl_free(weights);
}

static void take_message(struct csl_agent *a, struct csl_span body)
{
    if (body.n < 2 || body.p[0] > 1)
        return;
    struct csl_span rest = CSL_SPAN(body.p + 1, body.n - 1);
    if (body.p[0] == 0)
        take_config(a, rest);
    else
        (void)step(a,
                   &(struct csl_secagg_site_event){.kind = CSL_SECAGG_SE_MESSAGE, .bytes = rest});
    follow(a);
}

void csl_agent_secagg_part__(struct csl_agent *a, const struct csl_msg_secagg *part)
{
    struct csl_span whole;
    struct csl_err err;
    if (a->secagg == NULL || !csl_agent_masks__(a))
        return;
    uint64_t bytes_max = csl_secagg_bytes_to_site(
        a->config.secagg->roster->count, a->study->secagg.colluding, a->study->schema.block_count);
    enum csl_code code = csl_parts_take(&a->parts, part, bytes_max, &whole, &err);
    if (code == CSL_OK) {
        take_message(a, whole);
        return;
    }
    csl_log_err(CSL_LOG_WARN, "coordinator.bad_message", &err);
    a->config.transport->ops->drop(a->config.transport, a->conn, code);
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
    g->has_update = true;
    g->is_told = g->may_leave = false;
    follow(a);
}

void csl_agent_secagg_cancel__(struct csl_agent *a)
{
    struct csl_agent_secagg *g = a->secagg;
    if (g == NULL || !g->has_update)
        return;
    char plain[CSL_ID_MAX];
    csl_agent_blob_name__(plain, "plain", g->update.outbox.round);
    csl_blob_remove(a->blobs, plain);
    struct csl_agent_event *e = csl_agent_event_new__(CSL_SE_TRAINED);
    if (e != NULL) {
        e->ev.round = g->update.outbox.round;
        e->ev.code = CSL_E_CANCELLED;
    }
    g->has_update = g->is_told = g->may_leave = false;
    csl_agent_post__(a, e);
}
