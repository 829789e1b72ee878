#include "privacy/secagg/graph.h"

#include "base/check.h"
#include "base/le.h"
#include "base/mem.h"
#include "privacy/crypto/sha256.h"
#include "privacy/secagg/messages.h"
#include "privacy/secagg/policy.h"

#include <stdlib.h>

struct ranked {
    uint8_t key[32];
    uint16_t place;
};

static int by_key(const void *a, const void *b)
{
    return memcmp(((const struct ranked *)a)->key, ((const struct ranked *)b)->key, 32);
}

static void make_ring(struct csl_secagg_ring *r, const uint8_t seed[32], uint32_t n,
                      const uint32_t *ids, const struct csl_secagg_set *members, uint32_t degree)
{
    struct ranked ranked[CSL_SECAGG_SITES_MAX];
    CSL_ASSERT(n <= CSL_SECAGG_SITES_MAX && degree % 2 == 0);
    memset(r, 0, sizeof(*r));
    r->degree = degree;
    r->members = *members;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t id[4];
        struct csl_sha256 h;
        if (!csl_secagg_set_has(members, i))
            continue;
        csl_store_le32(id, ids[i]);
        csl_sha256_init(&h);
        csl_sha256_update(&h, seed, 32);
        csl_sha256_update(&h, id, sizeof(id));
        csl_sha256_final(&h, ranked[r->count].key);
        ranked[r->count++].place = (uint16_t)i;
    }
    qsort(ranked, r->count, sizeof(*ranked), by_key);
    for (uint32_t i = 0; i < r->count; i++) {
        r->order[i] = ranked[i].place;
        r->position[ranked[i].place] = (uint16_t)i;
    }
}

void csl_secagg_mask_graph(struct csl_secagg_ring *r, const uint8_t mask_seed[32], uint32_t n,
                           const uint32_t *ids, const struct csl_secagg_set *senders,
                           uint32_t degree)
{
    bool is_complete = csl_secagg_set_count(senders) <= CSL_SECAGG_COMPLETE_MAX;
    make_ring(r, mask_seed, n, ids, senders, is_complete ? CSL_SECAGG_COMPLETE_MAX : degree);
}

void csl_secagg_share_graph(struct csl_secagg_ring *r, const uint8_t epoch_seed[32],
                            const struct csl_secagg_roster *roster, uint32_t degree)
{
    struct csl_secagg_set active = {{0}};
    uint32_t ids[CSL_SECAGG_SITES_MAX];
    for (uint32_t i = 0; i < roster->count; i++) {
        ids[i] = roster->sites[i].id;
        if (roster->sites[i].is_active)
            csl_secagg_set_put(&active, i);
    }
    make_ring(r, epoch_seed, roster->count, ids, &active, degree);
}

bool csl_secagg_ring_is_linked(const struct csl_secagg_ring *r, uint32_t a, uint32_t b)
{
    if (a == b || !csl_secagg_set_has(&r->members, a) || !csl_secagg_set_has(&r->members, b))
        return false;
    uint32_t i = r->position[a], j = r->position[b];
    uint32_t apart = i < j ? j - i : i - j;
    return apart <= r->degree / 2 || r->count - apart <= r->degree / 2;
}

void csl_secagg_ring_peers(const struct csl_secagg_ring *r, uint32_t place,
                           struct csl_secagg_set *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < r->count; i++)
        if (csl_secagg_ring_is_linked(r, place, r->order[i]))
            csl_secagg_set_put(out, r->order[i]);
}

void csl_secagg_share_peers(const struct csl_secagg_ring *r, uint32_t n1, const uint32_t *rows,
                            uint32_t place, struct csl_secagg_set *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < n1; i++)
        if (i != place && (r == NULL || csl_secagg_ring_is_linked(r, rows[place], rows[i])))
            csl_secagg_set_put(out, i);
}

struct csl_secagg_ring *csl_secagg_mask_rings(const uint8_t mask_seed[32], uint32_t n1,
                                              const uint32_t *ids, const uint8_t *block_bits,
                                              uint32_t block_count, uint32_t degree)
{
    struct csl_secagg_ring *rings = csl_alloc_array(block_count, sizeof(*rings));
    for (uint32_t b = 0; rings != NULL && b < block_count; b++) {
        struct csl_secagg_set senders;
        csl_secagg_block_set(block_bits, n1, b, &senders);
        csl_secagg_mask_graph(&rings[b], mask_seed, n1, ids, &senders, degree);
    }
    return rings;
}

struct csl_secagg_set csl_secagg_linked_blocks(const struct csl_secagg_ring *rings,
                                               const struct csl_secagg_set *blocks, uint32_t a,
                                               uint32_t b)
{
    struct csl_secagg_set linked = {{0}};
    if (rings == NULL)
        return *blocks;
    for (uint32_t i = 0; i < CSL_SECAGG_MANIFEST_BLOCKS_MAX; i++)
        if (csl_secagg_set_has(blocks, i) && csl_secagg_ring_is_linked(&rings[i], a, b))
            csl_secagg_set_put(&linked, i);
    return linked;
}

uint32_t csl_secagg_graph_threshold(const struct csl_secagg_config *c, uint32_t quorum)
{
    return c->graph == 0 ? quorum : c->share_threshold;
}

uint32_t csl_secagg_graph_openings(const struct csl_secagg_config *c, uint32_t active,
                                   uint32_t threshold)
{
    if (c->graph == 0)
        return csl_secagg_openings_max(threshold, c->colluding);
    uint32_t least = csl_secagg_share_threshold(active, c->colluding, c->share_degree);
    uint32_t room = threshold > least ? threshold - least : 0;
    return room < c->colluding ? room : c->colluding;
}

void csl_secagg_mask_seed(const uint8_t sid[32], uint32_t n1, const struct csl_secagg_set *members,
                          const uint8_t *reveals, uint8_t out[32])
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, "FSA1 mg", 7);
    csl_sha256_update(&h, sid, 32);
    csl_sha256_update(&h, members->bits, csl_secagg_set_bytes(n1));
    csl_sha256_update(&h, reveals, (size_t)32 * csl_secagg_set_count(members));
    csl_sha256_final(&h, out);
}

enum csl_code csl_secagg_graph_check_shares(uint32_t n, uint32_t colluding, uint32_t degree,
                                            uint32_t threshold, uint32_t attempt,
                                            struct csl_err *err)
{
    if (n < 2 || n > CSL_SECAGG_SITES_MAX || degree == 0 || degree % 2 != 0 || degree >= n ||
        threshold > degree)
        return CSL_FAIL(err, CSL_E_DENIED, "a share graph of degree %u, threshold %u, %u sites",
                        degree, threshold, n);
    uint32_t least = csl_secagg_share_threshold(n, colluding, degree);
    if (threshold < least)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "threshold %u of %u share peers; with %u of %u sites colluding %u would "
                        "be right",
                        threshold, degree, colluding, n, least);
    if (attempt > CSL_SECAGG_ATTEMPTS_MAX)
        return CSL_FAIL(err, CSL_E_DENIED, "attempt %u; at most %d draws of a graph in a round",
                        attempt, CSL_SECAGG_ATTEMPTS_MAX);
    return CSL_OK;
}

static bool is_sparse(const struct csl_secagg_set *senders)
{
    return csl_secagg_set_count(senders) > CSL_SECAGG_COMPLETE_MAX;
}

/* Different rings among the blocks: each is one more that could be unlucky. */
static uint32_t count_rings(const struct csl_secagg_set *senders, uint32_t block_count)
{
    uint32_t rings = 0;
    for (uint32_t b = 0; b < block_count; b++) {
        bool is_new = is_sparse(&senders[b]);
        for (uint32_t i = 0; i < b; i++)
            is_new = is_new && !csl_secagg_set_equal(&senders[i], &senders[b]);
        rings += is_new ? 1 : 0;
    }
    return rings;
}

enum csl_code csl_secagg_graph_check_losses(const struct csl_secagg_set *senders,
                                            uint32_t block_count,
                                            const struct csl_secagg_set *survivors,
                                            uint32_t colluding, uint32_t degree,
                                            uint32_t losses_max, struct csl_err *err)
{
    uint32_t rings = count_rings(senders, block_count);
    for (uint32_t b = 0; b < block_count; b++) {
        uint32_t n = csl_secagg_set_count(&senders[b]), safe;
        if (!is_sparse(&senders[b]))
            continue;
        if (degree % 2 != 0 || !csl_secagg_losses_max(n, colluding, degree, rings, &safe) ||
            safe < losses_max)
            return CSL_FAIL(err, CSL_E_DENIED,
                            "block %u: %u masks a site do not keep %u senders together when %u of "
                            "%u colluding choose %u to be lost",
                            b, degree, n, colluding, n, losses_max);
        struct csl_secagg_set left = csl_secagg_set_both(&senders[b], survivors);
        uint32_t lost = n - csl_secagg_set_count(&left);
        if (lost > losses_max)
            return CSL_FAIL(err, CSL_E_DENIED,
                            "block %u lost %u senders; above %u the rest may be in pieces, whose "
                            "sums the coordinator would see",
                            b, lost, losses_max);
    }
    return CSL_OK;
}
