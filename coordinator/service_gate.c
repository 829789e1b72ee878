/* A round's sum before the strategy sees it: norms of its mean update, the gate's verdict
 * (aggregation/gate.h), and what is kept of both. The state lies beside the checkpoint of the round
 * it belongs to, so that a restart judges as the process before it would have. */
#include "coordinator/service_secagg.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FORMAT        "consilium.gate/1"
#define FILE_BYTES    ((size_t)1024 * 1024)
#define REJECTED_KEPT 256 /* of the newest rounds, what was wrong with them */

struct rejected {
    uint64_t round;
    struct csl_gate_verdict verdict;
};
struct csl_service_gate {
    struct csl_gate *rule;
    double *norms, *bounds; /* [block_count] of the round that is judged */
    float *slice;           /* [CSL_SERVICE_SLICE] */
    uint64_t rejected_count;
    struct rejected rejected[REJECTED_KEPT]; /* the newest; number i at i % REJECTED_KEPT */
    char reason[CSL_SERVICE_REASON_MAX];
};

static uint32_t block_count(const struct csl_service *s)
{
    return s->study->schema.block_count;
}

enum csl_code csl_service_new_gate__(struct csl_service *s, struct csl_err *err)
{
    const struct csl_study_gate *asked = &s->study->aggregation.gate;
    if (!asked->is_on)
        return CSL_OK;
    CSL_ASSERT(s->strategy->choose == NULL && s->strategy->update_vectors == 1);
    const struct csl_gate_config c = {
        .factor = asked->factor, .window = asked->window, .rejected_max = asked->rejected_max};
    s->gate = csl_alloc(sizeof(*s->gate));
    if (s->gate == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the gate");
    s->gate->norms = csl_alloc_array(block_count(s), sizeof(*s->gate->norms));
    s->gate->bounds = csl_alloc_array(block_count(s), sizeof(*s->gate->bounds));
    s->gate->slice = csl_alloc_array(CSL_SERVICE_SLICE, sizeof(*s->gate->slice));
    if (s->gate->norms == NULL || s->gate->bounds == NULL || s->gate->slice == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the gate");
    return csl_gate_new(&s->gate->rule, &c, block_count(s), err);
}

void csl_service_free_gate__(struct csl_service *s)
{
    if (s->gate == NULL)
        return;
    csl_gate_free(s->gate->rule);
    csl_free(s->gate->norms);
    csl_free(s->gate->bounds);
    csl_free(s->gate->slice);
    csl_free(s->gate);
    s->gate = NULL;
}

/* --- the verdict --- */

/* In one order, so that every start adds up the same. */
static double norm_of(struct csl_service *s, uint32_t block)
{
    uint64_t all = s->study->schema.blocks[block].count;
    float *slice = s->gate->slice;
    double sum = 0;
    for (uint64_t first = 0; first < all; first += CSL_SERVICE_SLICE) {
        uint64_t n = all - first < CSL_SERVICE_SLICE ? all - first : CSL_SERVICE_SLICE;
        csl_service_mean__(s, 0, block, first, n, slice);
        for (uint64_t i = 0; i < n; i++)
            sum += (double)slice[i] * (double)slice[i];
    }
    return sqrt(sum);
}

static void measure(struct csl_service *s)
{
    for (uint32_t b = 0; b < block_count(s); b++) {
        bool has_sum = csl_service_has_sum__(s, b);
        s->gate->norms[b] = has_sum ? norm_of(s, b) : -1;
        s->gate->bounds[b] =
            has_sum && s->secagg != NULL ? csl_service_secagg_bound__(s, b) : HUGE_VAL;
    }
}

static void describe(const struct csl_service *s, const struct rejected *r, char *out, size_t n)
{
    const struct csl_gate_verdict *v = &r->verdict;
    char norm[40] = "no number", limit[40];
    if (isfinite(v->norm))
        snprintf(norm, sizeof(norm), "%.4g", v->norm);
    snprintf(limit, sizeof(limit), "%.4g", v->limit);
    snprintf(out, n, "round %llu, block %.40s: norm of the mean update %s; at most %s (%s)",
             (unsigned long long)r->round, s->study->schema.blocks[v->block].name, norm,
             isfinite(v->limit) ? limit : "any number",
             v->is_by_bound ? "of clipped updates" : "of the rounds before");
}

static struct rejected *newest(struct csl_service_gate *g)
{
    return &g->rejected[(g->rejected_count - 1) % REJECTED_KEPT];
}

static void note(struct csl_service *s, uint64_t round, const struct csl_gate_verdict *v)
{
    struct csl_service_gate *g = s->gate;
    char text[CSL_SERVICE_REASON_MAX];
    g->rejected_count++;
    *newest(g) = (struct rejected){round, *v};
    describe(s, newest(g), text, sizeof(text));
    csl_log(CSL_LOG_WARN, "round.rejected", CSL_U64("round", round),
            CSL_U64("in_a_row", g->rule->rejected_in_a_row), CSL_STR("why", text));
    if (s->config.observer.rejected != NULL)
        s->config.observer.rejected(s->config.observer.ctx, round, v);
}

bool csl_service_passes_gate__(struct csl_service *s, uint64_t round)
{
    if (s->gate == NULL)
        return true;
    measure(s);
    struct csl_gate_verdict v = csl_gate_judge(s->gate->rule, s->gate->norms, s->gate->bounds);
    if (v.is_rejected)
        note(s, round, &v);
    return !v.is_rejected;
}

const char *csl_service_gate_end__(struct csl_service *s)
{
    struct csl_service_gate *g = s->gate;
    if (g == NULL || !csl_gate_is_shut(g->rule))
        return NULL;
    char text[CSL_SERVICE_REASON_MAX - 32];
    describe(s, newest(g), text, sizeof(text));
    snprintf(g->reason, sizeof(g->reason), "rounds rejected in a row: %u; %s",
             g->rule->rejected_in_a_row, text);
    return g->reason;
}

/* --- what is kept --- */

static enum csl_code path_of(const struct csl_service *s, uint64_t round, char path[CSL_PATH_MAX],
                             struct csl_err *err)
{
    char name[64];
    snprintf(name, sizeof(name), "gate-%llu.json", (unsigned long long)round);
    return csl_path_join(path, CSL_PATH_MAX, s->config.state_dir, name, err);
}

/* Infinities, which JSON has not, are left out. */
static void put_rejected(const struct csl_service *s, struct csl_json *j)
{
    const struct csl_service_gate *g = s->gate;
    uint64_t first = g->rejected_count > REJECTED_KEPT ? g->rejected_count - REJECTED_KEPT : 0;
    csl_json_array(j);
    for (uint64_t i = first; i < g->rejected_count; i++) {
        const struct rejected *r = &g->rejected[i % REJECTED_KEPT];
        csl_json_object(j);
        csl_json_put_u64(j, "round", r->round);
        csl_json_put_str(j, "block", s->study->schema.blocks[r->verdict.block].name);
        if (isfinite(r->verdict.norm))
            csl_json_put_f64(j, "norm", r->verdict.norm);
        if (isfinite(r->verdict.limit))
            csl_json_put_f64(j, "limit", r->verdict.limit);
        csl_json_put_str(j, "by", r->verdict.is_by_bound ? "bound" : "history");
        csl_json_end(j);
    }
    csl_json_end(j);
}

void csl_service_gate_status__(const struct csl_service *s, struct csl_json *j)
{
    if (s->gate == NULL)
        return;
    csl_json_key(j, "gate");
    csl_json_object(j);
    csl_json_put_u64(j, "rejected", s->gate->rejected_count);
    csl_json_put_u64(j, "rejected_in_a_row", s->gate->rule->rejected_in_a_row);
    csl_json_key(j, "rounds");
    put_rejected(s, j);
    csl_json_end(j);
}

enum csl_code csl_service_save_gate__(struct csl_service *s, uint64_t round, struct csl_err *err)
{
    if (s->gate == NULL || s->store == NULL)
        return CSL_OK;
    char path[CSL_PATH_MAX];
    struct csl_buf out;
    struct csl_json j;
    csl_buf_init(&out, FILE_BYTES);
    csl_json_init(&j, &out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "format", FORMAT);
    csl_json_put_u64(&j, "round", round);
    csl_json_key(&j, "blocks");
    csl_json_object(&j);
    for (uint32_t b = 0; b < block_count(s); b++) {
        const struct csl_gate_history *h = &s->gate->rule->blocks[b];
        csl_json_key(&j, s->study->schema.blocks[b].name);
        csl_json_array(&j);
        for (uint32_t i = 0; i < h->count; i++)
            csl_json_f64(&j, h->norms[i]);
        csl_json_end(&j);
    }
    csl_json_end(&j);
    csl_json_put_u64(&j, "rejected_in_a_row", s->gate->rule->rejected_in_a_row);
    csl_json_put_u64(&j, "rejected_count", s->gate->rejected_count);
    csl_json_key(&j, "rejected");
    put_rejected(s, &j);
    csl_json_end(&j);
    enum csl_code code = csl_buf_status(&out, err);
    if (code == CSL_OK)
        code = path_of(s, round, path, err);
    if (code == CSL_OK)
        code = csl_file_write_atomic(path, CSL_SPAN(out.p, out.n), 0600, err);
    csl_buf_release(&out);
    return code;
}

static bool take_norms(struct csl_gate *g, uint32_t block, const struct csl_json_value *list)
{
    struct csl_gate_history *h = &g->blocks[block];
    size_t n = csl_json_count(list);
    if (list == NULL || n > g->config.window)
        return false;
    h->count = (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        if (!csl_json_as_f64(csl_json_at(list, i), &h->norms[i]) || !(h->norms[i] >= 0) ||
            !isfinite(h->norms[i]))
            return false;
    return true;
}

static bool take_block(const struct csl_service *s, const char *name, uint32_t *block)
{
    for (*block = 0; *block < block_count(s); ++*block)
        if (strcmp(s->study->schema.blocks[*block].name, name) == 0)
            return true;
    return false;
}

static bool take_rejected(struct csl_service *s, const struct csl_json_value *v,
                          struct rejected *out)
{
    const char *name = "", *by = "";
    const struct csl_json_value *norm = csl_json_get(v, "norm"), *limit = csl_json_get(v, "limit");
    struct rejected r = {.verdict = {.is_rejected = true, .norm = HUGE_VAL, .limit = HUGE_VAL}};
    if (!csl_json_as_u64(csl_json_get(v, "round"), &r.round) ||
        !csl_json_as_str(csl_json_get(v, "block"), &name) ||
        !take_block(s, name, &r.verdict.block) || !csl_json_as_str(csl_json_get(v, "by"), &by) ||
        (norm != NULL && !csl_json_as_f64(norm, &r.verdict.norm)) ||
        (limit != NULL && !csl_json_as_f64(limit, &r.verdict.limit)))
        return false;
    r.verdict.is_by_bound = strcmp(by, "bound") == 0;
    *out = r;
    return true;
}

static bool take(struct csl_service *s, const struct csl_json_value *root, uint64_t round)
{
    struct csl_service_gate *g = s->gate;
    const struct csl_json_value *blocks = csl_json_get(root, "blocks");
    const struct csl_json_value *rejected = csl_json_get(root, "rejected");
    const char *format = "";
    uint64_t found = 0, in_a_row = 0, kept = csl_json_count(rejected);
    if (!csl_json_as_str(csl_json_get(root, "format"), &format) || strcmp(format, FORMAT) != 0 ||
        !csl_json_as_u64(csl_json_get(root, "round"), &found) || found != round ||
        !csl_json_as_u64(csl_json_get(root, "rejected_in_a_row"), &in_a_row) ||
        !csl_json_as_u64(csl_json_get(root, "rejected_count"), &g->rejected_count) ||
        g->rejected_count > round || in_a_row > g->rejected_count || kept > REJECTED_KEPT ||
        kept != (g->rejected_count < REJECTED_KEPT ? g->rejected_count : REJECTED_KEPT))
        return false;
    g->rule->rejected_in_a_row = (uint32_t)in_a_row;
    for (uint32_t b = 0; b < block_count(s); b++)
        if (!take_norms(g->rule, b, csl_json_get(blocks, s->study->schema.blocks[b].name)))
            return false;
    for (uint64_t i = 0; i < kept; i++)
        if (!take_rejected(s, csl_json_at(rejected, (size_t)i),
                           &g->rejected[(g->rejected_count - kept + i) % REJECTED_KEPT]))
            return false;
    return true;
}

enum csl_code csl_service_load_gate__(struct csl_service *s, uint64_t round, struct csl_err *err)
{
    if (s->gate == NULL)
        return CSL_OK;
    char path[CSL_PATH_MAX];
    struct csl_json_doc *doc = NULL;
    enum csl_code code = path_of(s, round, path, err);
    if (code == CSL_OK)
        code = csl_json_read(&doc, path, FILE_BYTES, err);
    if (code == CSL_OK && !take(s, csl_json_root(doc), round))
        code = CSL_FAIL(err, CSL_E_CORRUPT, "%s is not the gate's state after round %llu", path,
                        (unsigned long long)round);
    csl_json_free(doc);
    return code;
}

void csl_service_forget_gate__(struct csl_service *s, uint64_t round)
{
    char path[CSL_PATH_MAX];
    if (s->gate != NULL && path_of(s, round, path, NULL) == CSL_OK)
        unlink(path);
}
