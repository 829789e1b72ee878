/* What a round is about, as the sites sign it: M0 of the protocol. */
#include "coordinator/service_secagg_internal.h"

#include "base/check.h"
#include "privacy/crypto/rng.h"
#include "privacy/secagg/choice.h"
#include "privacy/secagg/graph_bound.h"

#include <string.h>

static bool sends(const struct csl_service *s, uint32_t index, uint32_t block)
{
    if (index == CSL_SECAGG_NOWHERE || !csl_coord_site(s->core, index)->in_cohort)
        return false;
    return csl_service_secagg_knows__(csl_coord_site(s->core, index), block);
}

static void describe_blocks(struct csl_service *s, struct csl_secagg_config *c)
{
    const struct csl_schema *schema = &s->study->schema;
    const struct csl_secagg_choice choice = csl_secagg_choice_of(s->study);
    c->block_count = schema->block_count;
    c->scalar_count = schema->block_count + 1; /* weights of the blocks, and the loss */
    for (uint32_t b = 0; b < schema->block_count; b++) {
        c->blocks[b] =
            (struct csl_secagg_block){.id = b, .sites_min = s->study->secagg.minimum_sites};
        enum csl_code code = csl_secagg_plan_block(&choice, schema->blocks[b].count,
                                                   c->roster_count, &c->blocks[b], NULL);
        CSL_ASSERT(code == CSL_OK); /* csl_service_secagg_check_size__ */
        for (uint32_t i = 0; i < c->roster_count; i++) {
            bool is_eligible = sends(s, s->secagg->sites[i], b);
            if (is_eligible)
                csl_secagg_set_put(&c->blocks[b].eligible, i);
            s->secagg->weights[(size_t)i * schema->block_count + b] = is_eligible ? 1 : 0;
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
    uint32_t losses = s->study->secagg.losses_max, rings = c->block_count + 1, degree = 2, most = 0;
    for (uint32_t b = 0; b <= c->block_count; b++) {
        uint32_t n =
            b < c->block_count ? csl_secagg_set_count(&c->blocks[b].eligible) : cohort_of(s);
        most = n > most ? n : most;
    }
    uint32_t least =
        c->sites_min > CSL_SECAGG_COMPLETE_MAX ? c->sites_min : CSL_SECAGG_COMPLETE_MAX + 1;
    for (uint32_t n = least; n <= most; n++) {
        uint32_t needed = csl_secagg_mask_degree(n, c->colluding, losses, rings);
        degree = needed > degree ? needed : degree;
    }
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
    memcpy(c->model_hash, s->broadcast_digest, sizeof(c->model_hash));
    memcpy(c->plan_hash, s->study->digest, sizeof(c->plan_hash));
    memcpy(c->previous_head, s->secagg->head, sizeof(c->previous_head));
    c->sites_min = s->study->secagg.minimum_sites;
    c->colluding = s->study->secagg.colluding;
    c->roster_count = csl_service_secagg_rows__(s);
    describe_blocks(s, c);
    describe_graphs(s, c);
    csl_secagg_weights_hash(s->secagg->weights, c->roster_count, c->block_count, c->weights_hash);
    struct csl_rng rng;
    csl_rng_init_os(&rng);
    csl_rng_bytes(&rng, c->nonce, sizeof(c->nonce));
    csl_rng_wipe(&rng);
}
