/* The sites' votes on a model, and going back to the last accepted one (aggregation/vote.h,
 * docs/decisions/0016). In the open they come with the evaluation of the model; under masks their
 * sums are scalars of the round that begins with it. */
#include "coordinator/service_vote.h"
#include "coordinator/service_gate.h"
#include "coordinator/service_secagg.h"

#include "base/check.h"
#include "base/mem.h"

#include <string.h>

enum csl_code csl_service_new_vote__(struct csl_service *s, struct csl_err *err)
{
    const struct csl_study_vote *asked = &s->study->aggregation.vote;
    struct csl_service_gate *g = s->gate;
    size_t n = (size_t)s->study->schema.parameters;
    if (!asked->is_on)
        return CSL_OK;
    CSL_ASSERT(!s->strategy->one_site_per_round && !s->strategy->keeps_mixture);
    g->votes = true;
    g->vote.config = (struct csl_vote_config){.worse_max = asked->worse_max,
                                              .voters_min = asked->minimum_sites,
                                              .rejected_max = asked->rejected_max};
    g->accepted = csl_alloc_array(n, sizeof(*g->accepted));
    bool has_all = g->accepted != NULL;
    for (uint32_t v = 0; has_all && v < s->strategy->state_vectors; v++) {
        g->accepted_state[v] = csl_alloc_array(n, sizeof(*g->accepted_state[v]));
        has_all = g->accepted_state[v] != NULL;
    }
    return has_all ? CSL_OK : CSL_FAIL(err, CSL_E_NOMEM, "no memory for the last accepted model");
}

void csl_service_keep_accepted__(struct csl_service *s)
{
    struct csl_service_gate *g = s->gate;
    size_t bytes = (size_t)s->study->schema.parameters * sizeof(*s->global);
    memcpy(g->accepted, s->global, bytes);
    for (uint32_t v = 0; v < s->strategy->state_vectors; v++)
        memcpy(g->accepted_state[v], s->state[v], bytes);
}

void csl_service_begin_trial__(struct csl_service *s, bool is_applied)
{
    if (s->gate == NULL || !s->gate->votes)
        return;
    if (is_applied)
        csl_service_keep_accepted__(s);
    s->gate->vote.is_on_trial = is_applied;
}

bool csl_service_is_on_trial__(const struct csl_service *s)
{
    return s->gate != NULL && s->gate->votes && s->gate->vote.is_on_trial;
}

bool csl_service_was_taken_back__(const struct csl_service *s, uint64_t round)
{
    if (s->gate == NULL || !s->gate->votes || s->gate->rejected_count == 0)
        return false;
    const struct csl_round_rejection *r = csl_service_newest_rejection__(s->gate);
    return r->is_by_vote && r->round == round;
}

/* A download of the model that is gone breaks off, although the round's number is the same. */
static void go_back(struct csl_service *s)
{
    const struct csl_service_gate *g = s->gate;
    size_t bytes = (size_t)s->study->schema.parameters * sizeof(*s->global);
    csl_mutex_lock(&s->model_lock);
    memcpy(s->global, g->accepted, bytes);
    for (uint32_t v = 0; v < s->strategy->state_vectors; v++)
        memcpy(s->state[v], g->accepted_state[v], bytes);
    s->edition++;
    csl_service_digest_broadcast__(s);
    csl_mutex_unlock(&s->model_lock);
}

/* round: whose model it is. */
static bool stands(struct csl_service *s, uint64_t round, uint64_t worse, uint64_t voters)
{
    struct csl_vote *vote = &s->gate->vote;
    struct csl_vote_verdict v = csl_vote_judge(vote, worse, voters);
    csl_log(CSL_LOG_INFO, "round.voted", CSL_U64("round", round), CSL_U64("worse", worse),
            CSL_U64("voters", voters),
            CSL_STR("verdict", v.is_rejected  ? "worse"
                               : v.is_counted ? "stands"
                                              : "too few votes"));
    if (!v.is_rejected)
        return true;
    struct csl_round_rejection r = {
        .round = round, .is_by_vote = true, .worse = (uint32_t)worse, .voters = (uint32_t)voters};
    go_back(s);
    csl_service_note_rejection__(s, &r, vote->rejected_in_a_row);
    return false;
}

bool csl_service_base_stands__(struct csl_service *s, uint64_t round)
{
    uint64_t worse = 0, voters = 0;
    if (s->secagg == NULL || !csl_service_is_on_trial__(s))
        return true;
    csl_service_secagg_votes__(s, &worse, &voters);
    return stands(s, round - 1, worse, voters);
}

/* The rules' state first: what it says of the round tells a restart which checkpoint holds. */
static enum csl_code keep_verdict(struct csl_service *s, uint64_t round, bool is_back,
                                  struct csl_err *err)
{
    return is_back ? csl_service_checkpoint__(s, round, err)
                   : csl_service_save_gate__(s, round, err);
}

enum csl_code csl_service_judge_last__(struct csl_service *s, struct csl_err *err)
{
    if (!csl_service_is_on_trial__(s)) /* or it was judged before a restart */
        return CSL_OK;
    bool is_back = !csl_service_base_stands__(s, s->version + 1);
    return keep_verdict(s, s->version, is_back, err);
}

void csl_service_judge__(struct csl_service *s, uint64_t round)
{
    uint64_t worse = 0, voters = 0;
    struct csl_err err = {.code = CSL_OK};
    for (uint32_t i = 0; i < s->site_count; i++) {
        const struct csl_coord_site *site = csl_coord_site(s->core, i);
        bool votes = site->progress == CSL_SITE_DONE && site->vote != CSL_VOTE_NONE;
        voters += votes;
        worse += votes && site->vote == CSL_VOTE_WORSE;
    }
    if (csl_service_is_on_trial__(s)) {
        bool is_back = !stands(s, round, worse, voters);
        if (keep_verdict(s, round, is_back, &err) != CSL_OK) {
            csl_service_fail__(s, &err); /* the phase begins again after a restart */
            return;
        }
    }
    csl_service_answer__(s, &(struct csl_coord_event){.kind = CSL_CE_JUDGED,
                                                      .round = round,
                                                      .digest = s->broadcast_digest,
                                                      .evaluated_digest = s->evaluated_digest,
                                                      .reason = csl_service_gate_end__(s),
                                                      .bytes = csl_service_broadcast_bytes__(s)});
}
