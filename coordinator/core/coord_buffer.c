/* Rounds of a study that is buffered (study.h): a round closes when its buffer is full, and only
 * the sites whose updates are in it are tasked anew. The others carry on from the model they have,
 * and deliver into a later buffer. Nguyen et al., AISTATS 2022, arXiv 2106.06639, Algorithm 1.
 *
 * A site is never tasked twice with the same round: an update is made once for each round that it
 * is labelled by, so that its noise is its own and what it costs is counted once. */
#include "coordinator/core/coord_internal.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

bool csl_coord_is_buffered__(const struct csl_coord *c)
{
    return csl_study_is_buffered(c->study);
}

uint64_t csl_coord_task_round__(const struct csl_coord *c, uint32_t site)
{
    return csl_coord_is_buffered__(c) ? c->sites[site].task_round : c->rounds_done + 1;
}

static uint64_t staleness(const struct csl_coord *c, uint64_t round)
{
    CSL_ASSERT(round > 0 && round <= c->rounds_done + 1);
    return c->rounds_done + 1 - round;
}

uint64_t csl_coord_staleness(const struct csl_coord *c, uint32_t site)
{
    CSL_ASSERT(site < c->site_count);
    uint64_t round = csl_coord_is_buffered__(c) ? c->sites[site].update.round : 0;
    return round == 0 ? 0 : staleness(c, round);
}

bool csl_coord_is_busy(const struct csl_coord *c, uint32_t site)
{
    CSL_ASSERT(site < c->site_count);
    enum csl_site_progress p = c->sites[site].progress;
    return csl_coord_is_buffered__(c) && c->state == CSL_STUDY_TRAINING &&
           (p == CSL_SITE_TASKED || p == CSL_SITE_SENDING || p == CSL_SITE_RECEIVED);
}

double csl_coord_discount__(const struct csl_coord *c, uint32_t site)
{
    return 1 / sqrt(1 + (double)csl_coord_staleness(c, site));
}

double csl_coord_freshness(const struct csl_coord *c, uint32_t block)
{
    double before = 0, after = 0;
    for (uint32_t i = 0; i < c->site_count; i++) {
        if (c->sites[i].progress != CSL_SITE_HELD)
            continue;
        double weight = csl_coord_weight(c, i, block);
        before += weight / csl_coord_discount__(c, i);
        after += weight;
    }
    return before > 0 ? after / before : 1;
}

static bool is_too_old(const struct csl_coord *c, uint64_t round)
{
    return staleness(c, round) > c->study->aggregation.buffer.staleness_max;
}

/* The newest model. */
static void assign(struct csl_coord *c, uint32_t site)
{
    struct csl_coord_site *s = &c->sites[site];
    s->progress = CSL_SITE_TASKED;
    s->update = (struct csl_coord_update){.round = 0};
    s->task_round = c->rounds_done + 1;
    memcpy(s->task_digest, c->model_digest, CSL_DIGEST_BYTES);
    csl_coord_emit__(c, &(struct csl_coord_action){
                            .kind = CSL_CA_SAVE_TASK, .site_index = site, .round = s->task_round});
    csl_coord_task_site__(c, site);
}

/* Of those that wait for room the oldest first: none waits for ever behind faster ones. */
static uint32_t next_received(const struct csl_coord *c)
{
    uint32_t next = UINT32_MAX;
    for (uint32_t i = 0; i < c->site_count; i++) {
        const struct csl_coord_site *s = &c->sites[i];
        if (s->progress == CSL_SITE_RECEIVED &&
            (next == UINT32_MAX || s->update.round < c->sites[next].update.round))
            next = i;
    }
    return next;
}

void csl_coord_fill_buffer__(struct csl_coord *c)
{
    uint32_t used = 0, next;
    if (!csl_coord_is_buffered__(c) || c->state != CSL_STUDY_TRAINING ||
        c->phase != CSL_PHASE_COLLECT)
        return;
    for (uint32_t i = 0; i < c->site_count; i++)
        used += c->sites[i].progress == CSL_SITE_HELD || c->sites[i].progress == CSL_SITE_FOLDING;
    for (; used < c->study->aggregation.buffer.updates && (next = next_received(c)) != UINT32_MAX;
         used++) {
        c->sites[next].progress = CSL_SITE_FOLDING;
        csl_coord_emit__(c, &(struct csl_coord_action){.kind = CSL_CA_FOLD,
                                                       .site_index = next,
                                                       .round = c->rounds_done + 1});
    }
}

void csl_coord_open_buffer__(struct csl_coord *c)
{
    for (uint32_t i = 0; i < c->site_count; i++) {
        const struct csl_coord_site *s = &c->sites[i];
        bool is_sending = s->progress == CSL_SITE_SENDING || s->progress == CSL_SITE_RECEIVED;
        if (!s->in_cohort || (csl_coord_is_busy(c, i) && !is_too_old(c, s->task_round)))
            continue;
        if (is_sending)
            csl_coord_refuse__(c, i, CSL_E_STATE,
                               "the update is of a model that is older than the study allows");
        assign(c, i);
    }
    csl_coord_fill_buffer__(c);
}

/* The service keeps what sites are busy with, but not over a restart. */
void csl_coord_give_model__(struct csl_coord *c, uint32_t site, uint64_t version)
{
    const struct csl_coord_site *s = &c->sites[site];
    if (!s->in_cohort || s->progress != CSL_SITE_TASKED)
        return; /* its update is here: it gets the newest model when the round closes */
    bool is_its = version + 1 == s->task_round;
    if (is_its && version >= c->started_version)
        csl_coord_emit__(c, &(struct csl_coord_action){.kind = CSL_CA_GRANT_MODEL,
                                                       .site_index = site,
                                                       .round = version,
                                                       .conn = s->conn});
    else if (is_its && c->phase == CSL_PHASE_COLLECT)
        assign(c, site);
    else
        csl_coord_task_site__(c, site);
}

enum csl_code csl_coord_restore_task(struct csl_coord *c, const char *site_id, uint64_t round,
                                     const uint8_t digest[CSL_DIGEST_BYTES], struct csl_err *err)
{
    uint32_t i = csl_coord_find_site(c, site_id);
    if (i == UINT32_MAX || c->sites[i].membership != CSL_MEMBER_ACCEPTED)
        return CSL_FAIL(err, CSL_E_CORRUPT, "stored task of site '%s', which is not a member",
                        site_id);
    if (!csl_coord_is_buffered__(c) || c->state != CSL_STUDY_TRAINING)
        return CSL_OK;
    struct csl_coord_site *s = &c->sites[i];
    bool is_held = s->progress == CSL_SITE_RECEIVED;
    if (round == 0 || round > c->rounds_done + 1 || (is_held && round != s->update.round))
        return CSL_FAIL(err, CSL_E_CORRUPT, "the stored task of site '%s' is of another round",
                        site_id);
    s->task_round = round;
    memcpy(s->task_digest, digest, CSL_DIGEST_BYTES);
    if (!is_held)
        s->progress = CSL_SITE_TASKED;
    return CSL_OK;
}
