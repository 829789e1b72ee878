/* Everything that parties send, seen before it leaves. */
#include "tests/unit/world/masked_internal.h"

#include "base/mem.h"
#include "privacy/ledger/ledger.h"
#include "privacy/secagg/messages.h"
#include "protocol/study/evaluation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static bool read_blob(uint32_t site, const char *kind, uint64_t round, struct csl_msg *out)
{
    char name[128], path[CSL_PATH_MAX];
    snprintf(name, sizeof(name), "run/%s/blobs/%s-%llu", masked_ids[site], kind,
             (unsigned long long)round);
    fixture_path(masked_w.f, name, path);
    return csl_file_read(out, path, 16 << 20, NULL) == CSL_OK;
}

/* What must not be found in what was sent. */
void masked_note_plain(uint32_t site)
{
    const struct csl_site *core = csl_agent_core(masked_w.sites[site].agent);
    struct csl_msg bytes = {NULL, 0};
    uint64_t round = core->task.round;
    if (!core->has_task || core->task.type != CSL_TASK_TRAIN ||
        masked_w.sites[site].plain_round == round ||
        !read_blob(site,
                   masked_w.study->secagg.is_on && !masked_w.plan->is_unmasked ? "plain" : "update",
                   round, &bytes))
        return;
    masked_w.sites[site].plain_round = round;
    struct masked_result *r = masked_w.result;
    assert_true(r->plain_count < sizeof(r->plains) / sizeof(r->plains[0]));
    r->plains[r->plain_count++] =
        (struct masked_plain){.site = site, .round = round, .at = r->plain.n};
    csl_buf_append(&r->plain, bytes.p, bytes.n);
    csl_msg_release(&bytes);
}

/* --- what sites send --- */

static uint32_t site_of(const struct csl_transport *t)
{
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        if (masked_w.sites[i].transport == t)
            return i;
    fail_msg("a transport of no site");
    return 0;
}

/* Nothing about a round leaves before the ledger holds it. */
static void check_charged(uint32_t site, uint64_t round)
{
    struct csl_ledger_spent spent;
    struct csl_ledger *l = csl_agent_ledger(masked_w.sites[site].agent);
    if (masked_w.study->privacy.mode == CSL_PRIVACY_NONE)
        return;
    if (l == NULL || csl_ledger_spent_by_study(l, masked_w.study->digest, &spent, NULL) != CSL_OK ||
        spent.charges < round)
        masked_w.result->uncharged++;
    struct csl_ledger_charge c;
    uint8_t statistics[CSL_DIGEST_BYTES];
    uint32_t publication = csl_study_published_in(masked_w.study, round);
    csl_study_statistics_digest(masked_w.study, statistics);
    if (publication > 0 && !masked_w.plan->may_leave_out &&
        !(l != NULL && csl_ledger_find_charge(l, statistics, publication, &c)))
        masked_w.result->uncharged++;
}

static bool lies(uint32_t site, uint64_t round)
{
    const struct masked_plan *p = masked_w.plan;
    return p->lying_round != 0 && round == p->lying_round && site >= p->lying_site &&
           site <= p->lying_site + p->lying_more &&
           !(p->lies_once && masked_w.sites[site].has_lied);
}

/* The digest of the bytes that it will send instead. */
static void lie(uint32_t site, struct csl_msg_update_ready *u)
{
    struct csl_msg bytes = {NULL, 0};
    assert_true(read_blob(site, "update", u->round, &bytes));
    bytes.p[0] ^= 1;
    csl_sha256_digest(bytes.p, bytes.n, u->digest);
    csl_msg_release(&bytes);
    masked_w.sites[site].lied_round = u->round;
}

static void check_signed_once(uint32_t site, const struct csl_secagg_message *m)
{
    struct masked_signature fresh = {
        .site = site,
        .type = (uint8_t)m->type,
        .round = csl_coord_rounds_done(csl_service_core(masked_w.service)) + 1};
    memcpy(fresh.id, m->id, sizeof(fresh.id));
    csl_sha256_digest(m->whole.p, m->whole.n, fresh.digest);
    for (uint32_t i = 0; i < masked_w.signature_count; i++) {
        const struct masked_signature *s = &masked_w.signatures[i];
        if (s->site == site && s->type == fresh.type && memcmp(s->id, fresh.id, 32) == 0 &&
            memcmp(s->digest, fresh.digest, sizeof(fresh.digest)) != 0)
            fail_msg("schedule %llu: site %u signed two messages of type %u in one session",
                     (unsigned long long)masked_w.plan->schedule, site, fresh.type);
    }
    if (masked_w.signature_count == masked_w.signature_capacity) {
        masked_w.signature_capacity = 2 * masked_w.signature_capacity + 64;
        masked_w.signatures = csl_realloc_array(masked_w.signatures, masked_w.signature_capacity,
                                                sizeof(*masked_w.signatures));
        assert_non_null(masked_w.signatures);
    }
    masked_w.signatures[masked_w.signature_count++] = fresh;
}

/* That of the session's first message: shares leave while its round is open, a manifest may be said
 * again when the core has another task. */
static uint64_t round_of(uint32_t site, const struct csl_secagg_message *m)
{
    for (uint32_t i = 0; i < masked_w.signature_count; i++)
        if (masked_w.signatures[i].site == site &&
            memcmp(masked_w.signatures[i].id, m->id, sizeof(m->id)) == 0)
            return masked_w.signatures[i].round;
    fail_msg("a manifest that was not looked at");
    return 0;
}

static void look_at_secagg(uint32_t site, struct csl_span body)
{
    struct csl_secagg_message s;
    struct csl_err err = {.code = CSL_OK};
    masked_must(csl_secagg_decode(&s, body, &err), &err);
    if (s.type != CSL_SECAGG_OPENING) /* one for every complaint */
        check_signed_once(site, &s);
    uint64_t done = csl_coord_rounds_done(csl_service_core(masked_w.service));
    if (s.type == CSL_SECAGG_AUDIT) {
        masked_w.result->requests++;
        masked_w.has_asked |= done == masked_w.plan->audit_restart_round &&
                              (masked_w.sites[site].is_lost || !masked_w.plan->restarts_for_late);
    }
    if (s.type == CSL_SECAGG_VOTE)
        masked_w.sites[site].voted_round =
            csl_coord_rounds_done(csl_service_core(masked_w.service)) + 1;
    if (s.type == CSL_SECAGG_MANIFEST)
        check_charged(site, round_of(site, &s));
}

static void look_at(uint32_t site, struct csl_message *m)
{
    const struct csl_block_count *blocks = NULL;
    uint32_t count = 0;
    switch ((int)m->kind) {
    case CSL_MSG_STUDY_ANSWER:
        blocks = m->u.study_answer.blocks;
        count = m->u.study_answer.block_count;
        break;
    case CSL_MSG_UPDATE_READY:
        check_charged(site, m->u.update_ready.round);
        blocks = m->u.update_ready.blocks;
        count = m->u.update_ready.block_count;
        masked_w.result->losses_told += m->u.update_ready.train_loss != 0;
        if (lies(site, m->u.update_ready.round))
            lie(site, &m->u.update_ready);
        break;
    case CSL_MSG_EVALUATION:
        masked_w.result->counts_told += m->u.evaluation.block_count > 0;
        break;
    case CSL_MSG_SECAGG:
        look_at_secagg(site, csl_msg_span(&m->u.secagg.body));
        break;
    default:
        break;
    }
    for (uint32_t i = 0; i < count; i++)
        masked_w.result->counts_told += blocks[i].patients > 1;
}

static void meddle(enum csl_direction to, uint32_t site, struct csl_msg *bytes)
{
    struct csl_message m;
    struct csl_err mistake = {.code = CSL_OK};
    if (masked_w.plan->meddle == NULL)
        return;
    masked_must(csl_message_decode(&m, to, csl_msg_span(bytes), &mistake), &mistake);
    bool is_secagg = m.kind == CSL_MSG_SECAGG || m.kind == CSL_MSG_SECAGG_TO_SITE;
    if ((is_secagg || masked_w.plan->meddles_with_all) && masked_w.plan->meddle(to, site, &m)) {
        csl_msg_release(bytes);
        masked_must(csl_message_encode(&m, bytes, &mistake), &mistake);
    }
    csl_message_release(&m);
}

enum csl_code masked_seen_send(struct csl_transport *t, csl_conn c, struct csl_msg *take_m,
                               struct csl_err *err)
{
    uint32_t site = site_of(t);
    struct csl_message m;
    struct csl_err mistake = {.code = CSL_OK};
    masked_must(csl_message_decode(&m, CSL_TO_COORDINATOR, csl_msg_span(take_m), &mistake),
                &mistake);
    if (dying_is_dead(site)) { /* after a write that failed nothing follows from it */
        assert_true(m.kind != CSL_MSG_SECAGG && m.kind != CSL_MSG_UPDATE_READY);
        csl_message_release(&m);
        csl_msg_release(take_m);
        return CSL_OK;
    }
    look_at(site, &m);
    uint64_t ready = m.kind == CSL_MSG_UPDATE_READY ? m.u.update_ready.round : 0;
    bool is_away =
        ready != 0 && ready == masked_w.plan->away_round && site == masked_w.plan->away_site;
    if (is_away) {
        m.kind = CSL_MSG_TASK_FAILED;
        m.u.task_failed = (struct csl_msg_task_failed){.round = ready, .code = CSL_E_UNSUPPORTED};
    }
    if (is_away || (ready != 0 && lies(site, ready))) {
        csl_msg_release(take_m);
        masked_must(csl_message_encode(&m, take_m, &mistake), &mistake);
    }
    csl_message_release(&m);
    meddle(CSL_TO_COORDINATOR, site, take_m);
    csl_buf_append(&masked_w.result->sent, take_m->p, take_m->n);
    return masked_w.sites[site].inner->send(t, c, take_m, err);
}

struct seen_source {
    struct csl_bulk_source inner;
    struct csl_sha256 hash;
    bool is_lie, is_first;
    uint32_t site;
};

static enum csl_code seen_read(void *self, uint8_t *buffer, size_t capacity, size_t *n,
                               struct csl_err *err)
{
    struct seen_source *s = self;
    enum csl_code code = s->inner.read(s->inner.self, buffer, capacity, n, err);
    if (code != CSL_OK)
        return code;
    if (s->is_lie && s->is_first && *n > 0)
        buffer[0] ^= 1;
    s->is_first = s->is_first && *n == 0;
    csl_sha256_update(&s->hash, buffer, *n);
    csl_buf_append(&masked_w.result->sent, buffer, *n);
    return CSL_OK;
}

static enum csl_code seen_digest(void *self, uint8_t out[32], struct csl_err *err)
{
    struct seen_source *s = self;
    enum csl_code code = s->inner.digest(s->inner.self, out, err);
    if (code == CSL_OK && s->is_lie) {
        csl_sha256_final(&s->hash, out);
        masked_w.sites[s->site].has_lied = true;
    }
    return code;
}

static void seen_close(void *self)
{
    struct seen_source *s = self;
    s->inner.close(s->inner.self);
    csl_free(s);
}

enum csl_code masked_seen_upload(struct csl_transport *t, uint64_t bulk_id,
                                 const struct csl_bulk_head *head,
                                 const struct csl_bulk_source *source, struct csl_err *err)
{
    uint32_t site = site_of(t);
    struct masked_party *p = &masked_w.sites[site];
    uint64_t round = csl_coord_site(csl_service_core(masked_w.service), site)->update.round;
    struct seen_source *s = csl_alloc(sizeof(*s));
    assert_non_null(s);
    *s = (struct seen_source){.inner = *source,
                              .site = site,
                              .is_first = true,
                              .is_lie = p->lied_round != 0 && lies(site, round)};
    csl_sha256_init(&s->hash);
    check_charged(site, round);
    masked_w.result->uploads++;
    struct csl_bulk_source seen = {s, seen_read, seen_digest, seen_close};
    enum csl_code code = p->inner->upload(t, bulk_id, head, &seen, err);
    if (code != CSL_OK)
        csl_free(s);
    return code;
}

/* 1, and a message of the protocol. */
static void look_at_certificate(const struct csl_message *m)
{
    struct csl_span body = csl_msg_span(&m->u.secagg.body);
    struct csl_secagg_message s;
    masked_w.result->answers += m->kind == CSL_MSG_SECAGG_TO_SITE && body.n > 1 && body.p[0] == 1 &&
                                body.p[1] == CSL_SECAGG_AUDITED;
    if (m->kind != CSL_MSG_SECAGG_TO_SITE || body.n < 2 || body.p[0] != 1 ||
        body.p[1] != CSL_SECAGG_ABANDONED ||
        csl_secagg_decode(&s, CSL_SPAN(body.p + 1, body.n - 1), NULL) != CSL_OK)
        return;
    for (uint32_t i = 0; i < masked_w.result->abandoned; i++)
        if (memcmp(masked_w.certified[i], s.id, sizeof(s.id)) == 0)
            return;
    assert_true(masked_w.result->abandoned < 8);
    memcpy(masked_w.certified[masked_w.result->abandoned++], s.id, sizeof(s.id));
}

enum csl_code masked_heard_send(struct csl_transport *t, csl_conn c, struct csl_msg *take_m,
                                struct csl_err *err)
{
    struct csl_message m;
    assert_int_equal(csl_message_decode(&m, CSL_TO_SITE, csl_msg_span(take_m), err), CSL_OK);
    if (dying_is_dead(MASKED_SERVICE))
        fail_msg("a dead coordinator says %s", csl_message_kind_name(m.kind));
    look_at_certificate(&m);
    csl_message_release(&m);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        if (csl_coord_site(csl_service_core(masked_w.service), i)->conn == c)
            meddle(CSL_TO_SITE, i, take_m);
    return masked_w.server_inner->send(t, c, take_m, err);
}

/* --- what the coordinator says of sums --- */

/* After a restart the same may be said again. */
void masked_heard_evaluation(void *ctx, const char *site_id, const struct csl_msg_evaluation *e)
{
    struct masked_result *r = ctx;
    for (uint32_t i = 0; site_id[0] == '\0' && i < e->block_count; i++) {
        uint32_t n = 0;
        while (n < r->evaluation_count && (r->evaluations[n].round != e->round ||
                                           r->evaluations[n].block.block != e->blocks[i].block))
            n++;
        if (n == r->evaluation_count) {
            r->evaluations =
                csl_realloc_array(r->evaluations, ++r->evaluation_count, sizeof(*r->evaluations));
            assert_non_null(r->evaluations);
        } else {
            assert_memory_equal(&r->evaluations[n].block, &e->blocks[i], sizeof(e->blocks[i]));
        }
        r->evaluations[n].round = e->round;
        r->evaluations[n].block = e->blocks[i];
    }
}

/* The same. */
void masked_heard_published(void *ctx, const struct csl_published *p)
{
    struct masked_result *r = ctx;
    for (uint32_t i = 0; i < r->published_count; i++) {
        if (r->published[i].round != p->round || r->published[i].domain != p->domain)
            continue;
        assert_memory_equal(&r->published[i], p, sizeof(*p));
        return;
    }
    r->published = csl_realloc_array(r->published, ++r->published_count, sizeof(*r->published));
    assert_non_null(r->published);
    r->published[r->published_count - 1] = *p;
}
