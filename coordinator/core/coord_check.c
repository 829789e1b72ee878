#include "coordinator/core/coord_internal.h"

#include "base/check.h"

/* (I7) */
static void check_buffer(const struct csl_coord *c)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < c->site_count; i++) {
        const struct csl_coord_site *s = &c->sites[i];
        bool is_busy = s->progress == CSL_SITE_TASKED || s->progress == CSL_SITE_SENDING ||
                       s->progress == CSL_SITE_RECEIVED;
        used += s->progress == CSL_SITE_HELD || s->progress == CSL_SITE_FOLDING;
        if (is_busy && c->phase == CSL_PHASE_COLLECT)
            CSL_ASSERT(s->task_round > 0 && s->task_round <= c->rounds_done + 1 &&
                       c->rounds_done + 1 - s->task_round <=
                           c->study->aggregation.buffer.staleness_max);
        if (s->progress == CSL_SITE_SENDING || s->progress == CSL_SITE_RECEIVED)
            CSL_ASSERT(s->update.round == s->task_round);
    }
    CSL_ASSERT(used <= c->study->aggregation.buffer.updates);
}

void csl_coord_check(const struct csl_coord *c)
{
    uint64_t current = c->rounds_done + 1;
    bool is_running = c->state == CSL_STUDY_TRAINING || c->state == CSL_STUDY_EVALUATING;
    for (uint32_t i = 0; i < c->site_count; i++) {
        const struct csl_coord_site *s = &c->sites[i];
        CSL_ASSERT(c->conns[i] == s->conn);
        for (uint32_t j = 0; s->conn != 0 && j < i; j++)
            CSL_ASSERT(c->sites[j].conn != s->conn); /* (I1) */
        if (s->progress == CSL_SITE_HELD && c->phase != CSL_PHASE_EVALUATE) {
            CSL_ASSERT(s->update.round == csl_coord_task_round__(c, i)); /* (I2) */
            CSL_ASSERT(s->update.round + csl_coord_staleness(c, i) == current);
            CSL_ASSERT(csl_coord_staleness(c, i) <= c->study->aggregation.buffer.staleness_max);
            CSL_ASSERT(s->membership == CSL_MEMBER_ACCEPTED && s->in_cohort);
        }
        if (s->progress == CSL_SITE_TASKED || s->progress == CSL_SITE_SENDING)
            CSL_ASSERT(is_running || c->state == CSL_STUDY_ABORTED); /* (I5) */
    }
    CSL_ASSERT(c->rounds_done <= c->study->rounds);
    if (csl_coord_is_buffered__(c) && c->state == CSL_STUDY_TRAINING)
        check_buffer(c);
    if (is_running && c->phase == CSL_PHASE_AGGREGATE) {
        uint32_t quorum = c->strategy->one_site_per_round ? 1 : c->study->minimum_sites;
        CSL_ASSERT(csl_coord_held__(c) >= quorum); /* (I6) */
        for (uint32_t i = 0; i < c->site_count; i++)
            CSL_ASSERT(c->sites[i].progress != CSL_SITE_FOLDING);
    }
    if (c->state == CSL_STUDY_RELEASED)
        CSL_ASSERT(c->rounds_done == c->study->rounds);
}
