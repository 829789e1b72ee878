/* What a study says of the words of an update: how they are encoded, and that a round is of just
 * those words. */
#include "site-agent/agent_secagg_internal.h"

#include "privacy/secagg/choice.h"

static enum csl_code plan_row(const struct csl_agent *a, uint32_t block,
                              struct csl_secagg_block *row, struct csl_err *err)
{
    const struct csl_secagg_choice choice = csl_secagg_choice_of(a->study);
    *row = (struct csl_secagg_block){.id = block};
    return csl_secagg_plan_block(&choice, a->study->schema.blocks[block].count,
                                 csl_agent_secagg_sites__(a), row, err);
}

uint32_t csl_agent_secagg_sites__(const struct csl_agent *a)
{
    return a->config.unmasked_sites > 0 ? a->config.unmasked_sites
                                        : a->config.secagg->roster->count;
}

enum csl_code csl_agent_secagg_check_lanes__(const struct csl_agent *a, struct csl_err *err)
{
    uint32_t sites = csl_agent_secagg_sites__(a), bits = csl_study_lane_bits(sites);
    if (a->study->secagg.lane_bits >= bits)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_DENIED,
                    "lanes of %u bits leave the roster's %u sites fewer than %d steps; %u would be "
                    "right",
                    a->study->secagg.lane_bits, sites, CSL_STUDY_LEVELS_MIN, bits);
}

enum csl_code csl_agent_secagg_check_blocks__(const struct csl_agent *a,
                                              const struct csl_secagg_config *c,
                                              struct csl_err *err)
{
    uint32_t blocks = a->study->schema.block_count;
    uint32_t trained = csl_study_only_evaluates_in(a->study, c->round) ? 0 : blocks;
    bool is_same = c->block_count >= trained && c->scalar_count == csl_study_scalars(a->study);
    for (uint32_t b = trained; is_same && b < c->block_count; b++) {
        enum csl_code code = csl_agent_secagg_check_evaluation__(a, c, b, err);
        if (code != CSL_OK)
            return code;
    }
    for (uint32_t b = 0; is_same && b < trained; b++) {
        struct csl_secagg_block row;
        enum csl_code code = plan_row(a, b, &row, err);
        if (code != CSL_OK)
            return code;
        is_same = c->blocks[b].id == b && csl_secagg_plan_equals(&c->blocks[b], &row) &&
                  c->blocks[b].sites_min >= a->study->secagg.minimum_sites;
    }
    if (!is_same)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the round has other blocks, or other words for them, than the study, or "
                        "sums them over fewer sites");
    /* The masks' degree depends on who is there, and is checked against the senders. */
    const struct csl_secagg_shape *shape = &a->secagg->shape;
    if (c->graph != shape->is_sparse || c->share_degree != shape->share_degree ||
        c->share_threshold != shape->share_threshold ||
        c->losses_max != (shape->is_sparse ? a->study->secagg.losses_max : 0))
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the round is on another graph than the study has on this roster");
    return CSL_OK;
}

enum csl_code csl_agent_secagg_encoding__(const struct csl_agent *a,
                                          const struct csl_msg_task *task, uint32_t block,
                                          struct csl_encoding *out, struct csl_err *err)
{
    struct csl_secagg_block row;
    enum csl_code code = plan_row(a, block, &row, err);
    if (code != CSL_OK)
        return code;
    return csl_secagg_plan_encoding(&row, a->study->schema.blocks[block].count,
                                    csl_agent_secagg_sites__(a), a->study->digest,
                                    task->model_digest, task->round, out, err);
}

/* From the operating system, but for a simulation that wants to be repeated. */
void csl_agent_secagg_coins__(const struct csl_agent *a, const struct csl_msg_task *task,
                              uint32_t block, uint8_t coins[32])
{
    struct csl_rng rng;
    if (a->config.noise_seed == NULL)
        csl_rng_init_os(&rng);
    else
        csl_rng_init_named(&rng, *a->config.noise_seed, "rehearsal/coins", a->site_id,
                           task->round << 16 | block);
    csl_rng_bytes(&rng, coins, 32);
    csl_rng_wipe(&rng);
}
