/* A round's sum before the strategy sees it: norms of its mean update and the gate's verdict
 * (aggregation/gate.h); and what is said of rounds that are rejected. */
#include "coordinator/service_gate.h"
#include "coordinator/service_secagg.h"
#include "coordinator/service_vote.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint32_t block_count(const struct csl_service *s)
{
    return s->study->schema.block_count;
}

static enum csl_code new_rule(struct csl_service *s, struct csl_err *err)
{
    const struct csl_study_gate *asked = &s->study->aggregation.gate;
    const struct csl_gate_config c = {
        .factor = asked->factor, .window = asked->window, .rejected_max = asked->rejected_max};
    if (!asked->is_on)
        return CSL_OK;
    CSL_ASSERT(s->strategy->choose == NULL && s->strategy->update_vectors == 1);
    s->gate->norms = csl_alloc_array(block_count(s), sizeof(*s->gate->norms));
    s->gate->bounds = csl_alloc_array(block_count(s), sizeof(*s->gate->bounds));
    s->gate->slice = csl_alloc_array(CSL_SERVICE_SLICE, sizeof(*s->gate->slice));
    if (s->gate->norms == NULL || s->gate->bounds == NULL || s->gate->slice == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the gate");
    return csl_gate_new(&s->gate->rule, &c, block_count(s), err);
}

enum csl_code csl_service_new_gate__(struct csl_service *s, struct csl_err *err)
{
    if (!s->study->aggregation.gate.is_on && !s->study->aggregation.vote.is_on)
        return CSL_OK;
    s->gate = csl_alloc(sizeof(*s->gate));
    if (s->gate == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the gate");
    enum csl_code code = new_rule(s, err);
    return code == CSL_OK ? csl_service_new_vote__(s, err) : code;
}

void csl_service_free_gate__(struct csl_service *s)
{
    if (s->gate == NULL)
        return;
    csl_gate_free(s->gate->rule);
    csl_free(s->gate->norms);
    csl_free(s->gate->bounds);
    csl_free(s->gate->slice);
    csl_free(s->gate->accepted);
    for (uint32_t v = 0; v < CSL_SERVICE_STATE_MAX; v++)
        csl_free(s->gate->accepted_state[v]);
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

static void describe_norm(const struct csl_service *s, const struct csl_round_rejection *r,
                          char *out, size_t n)
{
    const struct csl_gate_verdict *v = &r->norm;
    char norm[40] = "no number", limit[40];
    if (isfinite(v->norm))
        snprintf(norm, sizeof(norm), "%.4g", v->norm);
    snprintf(limit, sizeof(limit), "%.4g", v->limit);
    snprintf(out, n, "round %llu, block %.40s: norm of the mean update %s; at most %s (%s)",
             (unsigned long long)r->round, s->study->schema.blocks[v->block].name, norm,
             isfinite(v->limit) ? limit : "any number",
             v->is_by_bound ? "of clipped updates" : "of the rounds before");
}

static void describe(const struct csl_service *s, const struct csl_round_rejection *r, char *out,
                     size_t n)
{
    if (r->is_by_vote)
        snprintf(out, n,
                 "round %llu: %u of %u sites that voted find its model worse than the one "
                 "before; back to that",
                 (unsigned long long)r->round, r->worse, r->voters);
    else
        describe_norm(s, r, out, n);
}

struct csl_round_rejection *csl_service_newest_rejection__(struct csl_service_gate *g)
{
    return &g->rejected[(g->rejected_count - 1) % CSL_GATE_REJECTED_KEPT];
}

void csl_service_note_rejection__(struct csl_service *s, const struct csl_round_rejection *r,
                                  uint32_t in_a_row)
{
    char text[CSL_SERVICE_REASON_MAX];
    s->gate->rejected_count++;
    *csl_service_newest_rejection__(s->gate) = *r;
    describe(s, r, text, sizeof(text));
    csl_log(CSL_LOG_WARN, "round.rejected", CSL_U64("round", r->round),
            CSL_U64("in_a_row", in_a_row), CSL_STR("why", text));
    if (s->config.observer.rejected != NULL)
        s->config.observer.rejected(s->config.observer.ctx, r);
}

bool csl_service_passes_gate__(struct csl_service *s, uint64_t round)
{
    if (s->gate == NULL || s->gate->rule == NULL)
        return true;
    measure(s);
    struct csl_round_rejection r = {.round = round};
    r.norm = csl_gate_judge(s->gate->rule, s->gate->norms, s->gate->bounds);
    if (r.norm.is_rejected)
        csl_service_note_rejection__(s, &r, s->gate->rule->rejected_in_a_row);
    return !r.norm.is_rejected;
}

const char *csl_service_gate_end__(struct csl_service *s)
{
    struct csl_service_gate *g = s->gate;
    bool is_shut = g != NULL && g->rule != NULL && csl_gate_is_shut(g->rule);
    bool is_voted_down = g != NULL && g->votes && csl_vote_is_shut(&g->vote);
    if (!is_shut && !is_voted_down)
        return NULL;
    char text[CSL_SERVICE_REASON_MAX - 32];
    describe(s, csl_service_newest_rejection__(g), text, sizeof(text));
    snprintf(g->reason, sizeof(g->reason), "rounds rejected in a row: %u; %s",
             is_voted_down ? g->vote.rejected_in_a_row : g->rule->rejected_in_a_row, text);
    return g->reason;
}
