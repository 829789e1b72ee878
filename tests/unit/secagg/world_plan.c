#include "base/check.h"
#include "base/mem.h"
#include "privacy/secagg/graph.h"
#include "tests/unit/secagg/world.h"

#include <stdio.h>

static void make_key(struct world *w, struct csl_sign_key *key)
{
    uint8_t seed[CSL_SIGN_SEED_BYTES];
    csl_rng_bytes(&w->rng, seed, sizeof(seed));
    csl_sign_from_seed(key, seed);
}

/* *last: the number of the row before. */
static struct csl_secagg_roster_site *next_row(struct world *w, const struct world_plan *plan,
                                               uint32_t *last)
{
    struct csl_secagg_roster_site *row = &w->roster.sites[w->roster.count++];
    *last += 1 + (plan->has_sparse_ids ? (uint32_t)csl_rng_below(&w->rng, 1000) : 0);
    row->id = *last;
    (void)snprintf(row->name, CSL_ID_MAX, "site-%u", *last);
    return row;
}

static void make_roster(struct world *w, const struct world_plan *plan)
{
    uint32_t id = 0, revoked = plan->revoked;
    struct csl_sign_key gone;
    make_key(w, &w->root);
    make_key(w, &w->coordinator_key);
    w->roster.epoch = 1;
    memcpy(w->roster.coordinator_key, w->coordinator_key.public_key, 32);
    for (uint32_t i = 0; i < plan->n;) {
        bool is_revoked = revoked > 0 && csl_rng_below(&w->rng, revoked + plan->n - i) < revoked;
        struct csl_sign_key *key = is_revoked ? &gone : &w->sites[i].key;
        struct csl_secagg_roster_site *row = next_row(w, plan, &id);
        make_key(w, key);
        memcpy(row->key, key->public_key, 32);
        if (is_revoked) {
            revoked--;
            continue;
        }
        row->is_active = true;
        w->sites[i].id = id;
        w->sites[i++].fuse = WORLD_NEVER;
    }
    while (revoked-- > 0) {
        make_key(w, &gone);
        memcpy(next_row(w, plan, &id)->key, gone.public_key, 32);
    }
    csl_sign_wipe(&gone);
    struct csl_buf out;
    csl_buf_init(&out, 1 << 20);
    CSL_ASSERT(csl_secagg_roster_encode(&w->roster, &w->root, &out, NULL) == CSL_OK);
    CSL_ASSERT(csl_secagg_roster_decode(&w->roster, CSL_SPAN(out.p, out.n), w->root.public_key, 1,
                                        NULL) == CSL_OK);
    csl_buf_release(&out);
}

static void make_config(struct world *w, const struct world_plan *plan)
{
    static const uint8_t lanes[] = {10, 12, 16, 21, 32, 64};
    struct csl_secagg_config *c = &w->config;
    memcpy(c->federation_id, w->roster.federation_id, 16);
    c->suite = CSL_SECAGG_SUITE;
    memcpy(c->roster_hash, w->roster.hash, 32);
    c->sites_min = plan->colluding + 2;
    c->colluding = plan->colluding;
    c->roster_count = w->roster.count;
    c->block_count = plan->blocks;
    for (uint32_t b = 0; b < plan->blocks; b++) {
        struct csl_secagg_block *k = &c->blocks[b];
        k->id = b * 3 + 1;
        k->entries = 1 + csl_rng_below(&w->rng, plan->entries_max);
        k->lane_bits = lanes[csl_rng_below(&w->rng, sizeof(lanes))];
        k->levels = 1;
        k->clip_q32 = 1;
        k->sites_min = plan->colluding + 2;
        for (uint32_t i = 0; i < w->roster.count; i++)
            if (w->roster.sites[i].is_active)
                csl_secagg_set_put(&k->eligible, i);
    }
    c->scalar_count = plan->scalars;
    w->weights = csl_alloc_array((size_t)w->roster.count * plan->blocks + 1, sizeof(*w->weights));
    CSL_ASSERT(w->weights != NULL);
    for (uint32_t i = 0; i < w->roster.count * plan->blocks; i++)
        w->weights[i] = w->roster.sites[i / plan->blocks].is_active ? 1000 : 0;
    csl_secagg_weights_hash(w->weights, w->roster.count, plan->blocks, c->weights_hash);
    memset(c->plan_hash, 7, 32);
}

/* Masks with 96 others. */
static void make_graphs(struct world *w, const struct world_plan *plan)
{
    struct csl_secagg_config *c = &w->config;
    csl_rng_bytes(&w->rng, w->epoch_seed, sizeof(w->epoch_seed));
    c->graph = 1;
    c->share_degree = plan->share_degree;
    c->share_threshold = plan->share_threshold;
    if (plan->share_degree == 0)
        CSL_ASSERT(csl_secagg_share_parameters(plan->n, plan->colluding, plan->n / 10,
                                               &c->share_degree, &c->share_threshold));
    c->mask_degree = 96;
    CSL_ASSERT(csl_secagg_losses_max(plan->n, plan->colluding, c->mask_degree, plan->blocks + 1,
                                     &c->losses_max));
}

void world_describe(struct world *w, const struct world_plan *plan)
{
    make_roster(w, plan);
    make_config(w, plan);
    if (plan->has_sparse_graphs)
        make_graphs(w, plan);
}
