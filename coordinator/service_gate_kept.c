/* What is kept of the rules that a round has to pass: a file beside the checkpoint of the round it
 * belongs to, so that a restart judges as the process before it would have; and the status. */
#include "coordinator/service_gate.h"

#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FORMAT     "consilium.gate/1"
#define FILE_BYTES ((size_t)1024 * 1024)

static uint32_t block_count(const struct csl_service *s)
{
    return s->study->schema.block_count;
}

static enum csl_code path_of(const struct csl_service *s, uint64_t round, char path[CSL_PATH_MAX],
                             struct csl_err *err)
{
    char name[64];
    snprintf(name, sizeof(name), "gate-%llu.json", (unsigned long long)round);
    return csl_path_join(path, CSL_PATH_MAX, s->config.state_dir, name, err);
}

/* Infinities, which JSON has not, are left out. */
static void put_norm(const struct csl_service *s, struct csl_json *j,
                     const struct csl_gate_verdict *v)
{
    csl_json_put_str(j, "block", s->study->schema.blocks[v->block].name);
    if (isfinite(v->norm))
        csl_json_put_f64(j, "norm", v->norm);
    if (isfinite(v->limit))
        csl_json_put_f64(j, "limit", v->limit);
    csl_json_put_str(j, "by", v->is_by_bound ? "bound" : "history");
}

static void put_rejected(const struct csl_service *s, struct csl_json *j)
{
    const struct csl_service_gate *g = s->gate;
    uint64_t n = g->rejected_count;
    csl_json_array(j);
    for (uint64_t i = n > CSL_GATE_REJECTED_KEPT ? n - CSL_GATE_REJECTED_KEPT : 0; i < n; i++) {
        const struct csl_round_rejection *r = &g->rejected[i % CSL_GATE_REJECTED_KEPT];
        csl_json_object(j);
        csl_json_put_u64(j, "round", r->round);
        if (r->is_by_vote) {
            csl_json_put_str(j, "by", "vote");
            csl_json_put_u64(j, "worse", r->worse);
            csl_json_put_u64(j, "voters", r->voters);
        } else {
            put_norm(s, j, &r->norm);
        }
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
    if (s->gate->rule != NULL)
        csl_json_put_u64(j, "rejected_in_a_row", s->gate->rule->rejected_in_a_row);
    if (s->gate->votes)
        csl_json_put_u64(j, "voted_down_in_a_row", s->gate->vote.rejected_in_a_row);
    csl_json_key(j, "rounds");
    put_rejected(s, j);
    csl_json_end(j);
}

static void put_norms(const struct csl_service *s, struct csl_json *j)
{
    csl_json_key(j, "blocks");
    csl_json_object(j);
    for (uint32_t b = 0; b < block_count(s); b++) {
        const struct csl_gate_history *h = &s->gate->rule->blocks[b];
        csl_json_key(j, s->study->schema.blocks[b].name);
        csl_json_array(j);
        for (uint32_t i = 0; i < h->count; i++)
            csl_json_f64(j, h->norms[i]);
        csl_json_end(j);
    }
    csl_json_end(j);
    csl_json_put_u64(j, "rejected_in_a_row", s->gate->rule->rejected_in_a_row);
}

static void put_vote(const struct csl_vote *v, struct csl_json *j)
{
    csl_json_key(j, "vote");
    csl_json_object(j);
    csl_json_put_bool(j, "is_on_trial", v->is_on_trial);
    csl_json_put_u64(j, "rejected_in_a_row", v->rejected_in_a_row);
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
    if (s->gate->rule != NULL)
        put_norms(s, &j);
    if (s->gate->votes)
        put_vote(&s->gate->vote, &j);
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

static bool take_vote(const struct csl_json_value *v, struct csl_round_rejection *out)
{
    uint64_t worse = 0, voters = 0;
    if (!csl_json_as_u64(csl_json_get(v, "worse"), &worse) ||
        !csl_json_as_u64(csl_json_get(v, "voters"), &voters) || worse > voters ||
        voters > UINT32_MAX)
        return false;
    out->is_by_vote = true;
    out->worse = (uint32_t)worse;
    out->voters = (uint32_t)voters;
    return true;
}

static bool take_norm(const struct csl_service *s, const struct csl_json_value *v, const char *by,
                      struct csl_gate_verdict *out)
{
    const char *name = "";
    const struct csl_json_value *norm = csl_json_get(v, "norm"), *limit = csl_json_get(v, "limit");
    *out = (struct csl_gate_verdict){.is_rejected = true, .norm = HUGE_VAL, .limit = HUGE_VAL};
    out->is_by_bound = strcmp(by, "bound") == 0;
    return csl_json_as_str(csl_json_get(v, "block"), &name) && take_block(s, name, &out->block) &&
           (norm == NULL || csl_json_as_f64(norm, &out->norm)) &&
           (limit == NULL || csl_json_as_f64(limit, &out->limit));
}

static bool take_rejected(const struct csl_service *s, const struct csl_json_value *v,
                          struct csl_round_rejection *out)
{
    const char *by = "";
    *out = (struct csl_round_rejection){.round = 0};
    if (!csl_json_as_u64(csl_json_get(v, "round"), &out->round) ||
        !csl_json_as_str(csl_json_get(v, "by"), &by))
        return false;
    return strcmp(by, "vote") == 0 ? take_vote(v, out) : take_norm(s, v, by, &out->norm);
}

static bool take_rule(const struct csl_service *s, const struct csl_json_value *root)
{
    struct csl_gate *rule = s->gate->rule;
    const struct csl_json_value *blocks = csl_json_get(root, "blocks");
    uint64_t in_a_row = 0;
    if (!csl_json_as_u64(csl_json_get(root, "rejected_in_a_row"), &in_a_row) ||
        in_a_row > s->gate->rejected_count)
        return false;
    rule->rejected_in_a_row = (uint32_t)in_a_row;
    for (uint32_t b = 0; b < block_count(s); b++)
        if (!take_norms(rule, b, csl_json_get(blocks, s->study->schema.blocks[b].name)))
            return false;
    return true;
}

static bool take_trial(struct csl_service_gate *g, const struct csl_json_value *v)
{
    uint64_t in_a_row = 0;
    if (v == NULL || !csl_json_as_bool(csl_json_get(v, "is_on_trial"), &g->vote.is_on_trial) ||
        !csl_json_as_u64(csl_json_get(v, "rejected_in_a_row"), &in_a_row) ||
        in_a_row > g->rejected_count)
        return false;
    g->vote.rejected_in_a_row = (uint32_t)in_a_row;
    return true;
}

static bool take(struct csl_service *s, const struct csl_json_value *root, uint64_t round)
{
    struct csl_service_gate *g = s->gate;
    const struct csl_json_value *rejected = csl_json_get(root, "rejected");
    const char *format = "";
    uint64_t found = 0, kept = csl_json_count(rejected), most = CSL_GATE_REJECTED_KEPT;
    if (!csl_json_as_str(csl_json_get(root, "format"), &format) || strcmp(format, FORMAT) != 0 ||
        !csl_json_as_u64(csl_json_get(root, "round"), &found) || found != round ||
        !csl_json_as_u64(csl_json_get(root, "rejected_count"), &g->rejected_count) ||
        g->rejected_count > round || kept != (g->rejected_count < most ? g->rejected_count : most))
        return false;
    for (uint64_t i = 0; i < kept; i++)
        if (!take_rejected(s, csl_json_at(rejected, (size_t)i),
                           &g->rejected[(g->rejected_count - kept + i) % most]))
            return false;
    return (g->rule == NULL || take_rule(s, root)) &&
           (!g->votes || take_trial(g, csl_json_get(root, "vote")));
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
