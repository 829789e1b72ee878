/* What a round is about, as the sites sign it: M0 of the protocol. */
#include "coordinator/service_secagg_internal.h"

#include "base/check.h"
#include "privacy/crypto/rng.h"
#include "privacy/secagg/choice.h"
#include "privacy/secagg/graph_bound.h"
#include "protocol/study/evaluation.h"

#include <string.h>

/* Who trains a domain has its statistics. */
static bool sends(const struct csl_service *s, uint32_t index, uint32_t id)
{
    uint32_t of_model = s->study->schema.block_count;
    bool is_statistic = id >= of_model && csl_study_is_statistic(s->study, id);
    if (index == CSL_SECAGG_NOWHERE || !csl_coord_site(s->core, index)->in_cohort)
        return false;
    return csl_service_secagg_knows__(csl_coord_site(s->core, index),
                                      is_statistic ? csl_study_counted_domain(s->study, id) : id);
}

/* Enough sites are in the cohort for a sum of the block. */
static bool has_senders(const struct csl_service *s, uint32_t id)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->site_count; i++)
        n += sends(s, i, id);
    return n >= s->study->secagg.minimum_sites;
}

/* The model's blocks while it is trained; evaluation and statistics of a domain where they are due.
 * Whoever repeats a round for the second time does without: a site that was lost must not cost the
 * round. Without masks nobody reads what is asked for, and a site sends whatever it counted. */
static bool is_in_round(const struct csl_service *s, uint32_t id)
{
    uint32_t of_model = s->study->schema.block_count;
    uint64_t round = s->secagg->round;
    if (id < of_model)
        return !csl_study_only_evaluates_in(s->study, round);
    if (!csl_study_is_counted_in(s->study, id, round) ||
        s->secagg->attempt > CSL_SECAGG_EVALUATION_ATTEMPTS)
        return false;
    if (s->config.is_unmasked)
        return true;
    return csl_study_is_statistic(s->study, id) ? has_senders(s, id)
                                                : csl_coord_is_judged(s->core, id - of_model);
}

static void describe_row(const struct csl_service *s, uint32_t id, uint32_t roster_count,
                         struct csl_secagg_block *row)
{
    const struct csl_schema *schema = &s->study->schema;
    struct csl_secagg_choice choice = csl_secagg_choice_of(s->study);
    bool is_model = id < schema->block_count;
    if (!is_model)
        choice.lane_bits = 64; /* counts are exact */
    *row = (struct csl_secagg_block){.id = id, .sites_min = s->study->secagg.minimum_sites};
    enum csl_code code = csl_secagg_plan_block(
        &choice, is_model ? schema->blocks[id].count : csl_study_counted_words(s->study, id),
        roster_count, row, NULL);
    CSL_ASSERT(code == CSL_OK); /* csl_service_secagg_check_size__ */
}

static void describe_blocks(struct csl_service *s, struct csl_secagg_config *c)
{
    c->scalar_count = csl_study_scalars(s->study);
    for (uint32_t id = 0; id < csl_study_block_ids(s->study); id++)
        if (is_in_round(s, id))
            describe_row(s, id, c->roster_count, &c->blocks[c->block_count++]);
    for (uint32_t b = 0; b < c->block_count; b++) {
        for (uint32_t i = 0; i < c->roster_count; i++) {
            bool is_eligible = sends(s, s->secagg->sites[i], c->blocks[b].id);
            if (is_eligible)
                csl_secagg_set_put(&c->blocks[b].eligible, i);
            s->secagg->weights[(size_t)i * c->block_count + b] = is_eligible ? 1 : 0;
        }
    }
    for (uint32_t i = 0; i < c->scalar_count; i++)
        c->scalars[i].scale_q32 = INT64_C(1) << 32;
}

static uint32_t cohort_of(const struct csl_service *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->site_count; i++)
        n += csl_coord_site(s->core, i)->in_cohort;
    return n;
}

/* Enough masks for every number of senders that a block may have once some are gone: how many it
 * takes neither grows nor falls with that number. The scalars are everybody's. */
static uint32_t mask_degree(const struct csl_service *s, const struct csl_secagg_config *c)
{
    uint32_t losses = s->study->secagg.losses_max, rings = c->block_count + 1, most = 0;
    for (uint32_t b = 0; b <= c->block_count; b++) {
        uint32_t n =
            b < c->block_count ? csl_secagg_set_count(&c->blocks[b].eligible) : cohort_of(s);
        most = n > most ? n : most;
    }
    uint32_t least =
        c->sites_min > CSL_SECAGG_COMPLETE_MAX ? c->sites_min : CSL_SECAGG_COMPLETE_MAX + 1;
    uint32_t degree = csl_secagg_mask_degree(least, most, c->colluding, losses, rings);
    return degree < CSL_SECAGG_SITES_MAX ? degree : CSL_SECAGG_SITES_MAX;
}

static void describe_graphs(const struct csl_service *s, struct csl_secagg_config *c)
{
    const struct csl_secagg_shape shape = csl_service_secagg_shape__(s);
    if (!shape.is_sparse)
        return;
    c->graph = 1;
    c->share_degree = shape.share_degree;
    c->share_threshold = shape.share_threshold;
    c->losses_max = s->study->secagg.losses_max;
    c->mask_degree = mask_degree(s, c);
}

void csl_service_secagg_describe__(struct csl_service *s, struct csl_secagg_config *c)
{
    const struct csl_secagg_roster *roster = s->config.secagg_roster;
    memset(c, 0, sizeof(*c));
    c->round = s->secagg->round;
    c->attempt = s->secagg->attempt;
    c->suite = CSL_SECAGG_SUITE;
    if (roster != NULL) { /* else there are no keys, and nobody signs anything */
        memcpy(c->federation_id, roster->federation_id, sizeof(c->federation_id));
        memcpy(c->roster_hash, roster->hash, sizeof(c->roster_hash));
    }
    memcpy(c->model_hash, csl_service_task_digest__(s, c->round), sizeof(c->model_hash));
    memcpy(c->plan_hash, s->study->digest, sizeof(c->plan_hash));
    memcpy(c->previous_head, s->secagg->head, sizeof(c->previous_head));
    c->sites_min = s->study->secagg.minimum_sites;
    c->colluding = s->study->secagg.colluding;
    c->roster_count = csl_service_secagg_rows__(s);
    describe_blocks(s, c);
    describe_graphs(s, c);
    csl_secagg_weights_hash(s->secagg->weights, c->roster_count, c->block_count, c->weights_hash);
    struct csl_msg_task task = {.type = CSL_TASK_TRAIN, .round = c->round};
    uint8_t factors[CSL_DIGEST_BYTES];
    csl_coord_put_factors(s->core, &task);
    if (csl_task_factors(&task, factors))
        csl_secagg_weights_bind(c->weights_hash, factors);
    struct csl_rng rng;
    csl_rng_init_os(&rng);
    csl_rng_bytes(&rng, c->nonce, sizeof(c->nonce));
    csl_rng_wipe(&rng);
}
