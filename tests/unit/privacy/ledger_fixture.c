#include "tests/unit/privacy/ledger_fixture.h"

#include "base/str.h"
#include "privacy/crypto/init.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum csl_code zcdp_price(const struct csl_dp_event *events, size_t count, double delta,
                         double *epsilon, struct csl_err *err)
{
    double rho = 0;
    for (size_t i = 0; i < count; i++) {
        if (events[i].mechanism != CSL_DP_GAUSSIAN || events[i].sampler != CSL_DP_FULL_BATCH)
            return CSL_FAIL(err, CSL_E_UNSUPPORTED, "only full-batch Gaussian events have a price");
        rho +=
            (double)events[i].steps / (2 * events[i].noise_multiplier * events[i].noise_multiplier);
    }
    *epsilon = rho + 2 * sqrt(rho * log(1 / delta));
    return CSL_OK;
}

double zcdp_epsilon(double steps, double delta)
{
    double rho = steps / (2 * SIGMA * SIGMA);
    return rho + 2 * sqrt(rho * log(1 / delta));
}

void must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("%s: %s", csl_code_name(code), err->msg);
}

static uint64_t clock_of(void *ctx)
{
    return ((const struct world *)ctx)->now_s;
}

void world_make(struct world *w)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    memset(w, 0, sizeof(*w));
    assert_int_equal(csl_crypto_init(NULL), CSL_OK);
    snprintf(w->dir, sizeof(w->dir), "%.40s/csl-ledger-XXXXXX", base);
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->path, sizeof(w->path), "%s/ledger.db", w->dir);
    snprintf(w->key, sizeof(w->key), "%s/ledger.key", w->dir);
    snprintf(w->head, sizeof(w->head), "%s/ledger.head", w->dir);
    snprintf(w->out, sizeof(w->out), "%s/ledger.export", w->dir);
    w->now_s = 1000000000;
    w->config = (struct csl_ledger_config){.path = w->path,
                                           .key_path = w->key,
                                           .head_path = w->head,
                                           .site = "north",
                                           .price = zcdp_price,
                                           .now_s = clock_of,
                                           .now_ctx = w};
}

static void remove_file(const struct world *w, const char *name)
{
    char path[CSL_PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    unlink(path);
}

void world_remove(struct world *w)
{
    static const char *const names[] = {
        "ledger.db",  "ledger.db-wal", "ledger.db-shm",   "ledger.key",      "ledger.head",
        "copy.db",    "copy.db-wal",   "copy.db-shm",     "ledger.head.tmp", "ledger.export",
        "other.head", "other.export",  "other.export.tmp"};
    world_close(w);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        remove_file(w, names[i]);
    assert_int_equal(rmdir(w->dir), 0);
}

enum csl_code world_try_open(struct world *w)
{
    world_close(w);
    w->err = (struct csl_err){.code = CSL_OK};
    return csl_ledger_open(&w->l, &w->config, &w->err);
}

void world_open(struct world *w)
{
    must(world_try_open(w), &w->err);
}

void world_close(struct world *w)
{
    csl_ledger_close(w->l);
    w->l = NULL;
}

void world_export(struct world *w)
{
    must(csl_ledger_export(w->l, w->out, &w->err), &w->err);
}

static void copy_one(const char *from, const char *to)
{
    struct csl_msg bytes = {.n = 0};
    struct csl_err err = {.code = CSL_OK};
    enum csl_code code = csl_file_read(&bytes, from, 64 << 20, &err);
    if (code == CSL_E_NOTFOUND) {
        unlink(to);
        return;
    }
    must(code, &err);
    must(csl_file_write_atomic(to, csl_msg_span(&bytes), 0600, &err), &err);
    csl_msg_release(&bytes);
}

void copy_file(const char *from, const char *to)
{
    char from_wal[CSL_PATH_MAX + 8], to_wal[CSL_PATH_MAX + 8];
    copy_one(from, to);
    snprintf(from_wal, sizeof(from_wal), "%s-wal", from);
    snprintf(to_wal, sizeof(to_wal), "%s-wal", to);
    copy_one(from_wal, to_wal);
    snprintf(to_wal, sizeof(to_wal), "%s-shm", to);
    unlink(to_wal);
}

struct csl_ledger_study study_number(uint32_t n, uint64_t steps)
{
    struct csl_ledger_study s = {.cohort = "ward",
                                 .event_count = 1,
                                 .rounds = 100,
                                 .delta = DELTA,
                                 .clip = 1.5,
                                 .normaliser = 64};
    s.events[0] = (struct csl_dp_event){.mechanism = CSL_DP_GAUSSIAN,
                                        .sampler = CSL_DP_FULL_BATCH,
                                        .noise_multiplier = SIGMA,
                                        .sampling_rate = 1,
                                        .steps = steps};
    csl_digest(&n, sizeof(n), s.digest);
    csl_digest("ward patients", 13, s.cohort_digest);
    return s;
}

struct csl_ledger_request request_of(const struct csl_ledger_study *s, uint64_t round,
                                     uint32_t attempt)
{
    struct csl_ledger_request r = {.round = round,
                                   .attempt = attempt,
                                   .event_count = s->event_count,
                                   .clip = s->clip,
                                   .normaliser = s->normaliser};
    memcpy(r.study_digest, s->digest, sizeof(r.study_digest));
    memcpy(r.cohort, s->cohort, sizeof(r.cohort));
    memcpy(r.events, s->events, sizeof(r.events));
    return r;
}

struct csl_ledger_charge charge_of(const struct csl_ledger_request *r,
                                   const struct csl_ledger_study *s)
{
    struct csl_ledger_charge c = {.round = r->round,
                                  .attempt = r->attempt,
                                  .event_count = r->event_count,
                                  .clip = r->clip,
                                  .normaliser = r->normaliser,
                                  .cohort_band = csl_ledger_band(120),
                                  .software = "sha256:0123456789abcdef",
                                  .is_rehearsal = s->is_rehearsal};
    uint64_t what[2] = {r->round, r->attempt};
    memcpy(c.study_digest, s->digest, sizeof(c.study_digest));
    memcpy(c.events, r->events, sizeof(c.events));
    memcpy(c.cohort_digest, s->cohort_digest, sizeof(c.cohort_digest));
    csl_digest(what, sizeof(what), c.update_digest);
    return c;
}

struct csl_ledger_policy policy_of(double epsilon, double delta, uint64_t window_s)
{
    struct csl_ledger_policy p = {.composition = CSL_LEDGER_BASIC, .budget_count = 1};
    p.budgets[0] = (struct csl_ledger_budget){
        .cohort = "ward", .epsilon = epsilon, .delta = delta, .window_s = window_s};
    csl_digest("policy", 6, p.digest);
    return p;
}

uint64_t run_round(struct world *w, const struct csl_ledger_study *s, uint64_t round,
                   uint32_t attempt)
{
    struct csl_ledger_request r = request_of(s, round, attempt);
    struct csl_ledger_charge c = charge_of(&r, s);
    uint64_t reservation = 0;
    must(csl_ledger_register(w->l, s, &w->err), &w->err);
    must(csl_ledger_reserve(w->l, &r, &reservation, &w->err), &w->err);
    must(csl_ledger_charge(w->l, reservation, &c, &w->err), &w->err);
    must(csl_ledger_settle(w->l, reservation, true, &w->err), &w->err);
    return reservation;
}

void world_register(struct world *w, const struct csl_ledger_study *s)
{
    must(csl_ledger_register(w->l, s, &w->err), &w->err);
}

enum csl_code world_reserve(struct world *w, const struct csl_ledger_study *s, uint64_t round,
                            uint32_t attempt, uint64_t *reservation)
{
    struct csl_ledger_request r = request_of(s, round, attempt);
    return csl_ledger_reserve(w->l, &r, reservation, &w->err);
}

struct csl_ledger_entry world_last(struct world *w)
{
    struct csl_ledger_entry e;
    must(csl_ledger_read(w->l, csl_ledger_size(w->l) - 1, &e, &w->err), &w->err);
    return e;
}

struct csl_ledger_spent world_spent(struct world *w, const struct csl_ledger_study *s)
{
    struct csl_ledger_spent out;
    must(csl_ledger_spent_by_study(w->l, s->digest, &out, &w->err), &w->err);
    return out;
}
