/* The sparse graphs of FSA-1/k: rings, what a site asks of them, and the seed of a roster's epoch.
 */
#include "base/check.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"
#include "privacy/secagg/epoch.h"
#include "privacy/secagg/graph.h"
#include "privacy/secagg/mask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { SITES = 200, BLOCKS = 3, WORDS = 5 };

static void first(struct csl_secagg_set *s, uint32_t from, uint32_t to)
{
    memset(s, 0, sizeof(*s));
    for (uint32_t i = from; i < to; i++)
        csl_secagg_set_put(s, i);
}

static void make_ids(uint32_t *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        ids[i] = 7 + 3 * i;
}

/* ---- rings ---- */

static void test_graph__ring__every_member_has_its_degree_and_peers_are_mutual(void **state)
{
    struct csl_secagg_ring r;
    struct csl_secagg_set members, peers, back;
    uint32_t ids[SITES];
    uint8_t seed[32] = {1};
    (void)state;
    make_ids(ids, SITES);
    first(&members, 11, 171);
    csl_secagg_mask_graph(&r, seed, SITES, ids, &members, 96);
    for (uint32_t i = 0; i < SITES; i++) {
        csl_secagg_ring_peers(&r, i, &peers);
        assert_int_equal(csl_secagg_set_count(&peers), i < 11 || i >= 171 ? 0 : 96);
        assert_true(csl_secagg_set_within(&peers, &members));
        assert_false(csl_secagg_set_has(&peers, i));
        for (uint32_t j = 0; j < SITES; j++) {
            csl_secagg_ring_peers(&r, j, &back);
            assert_true(csl_secagg_set_has(&peers, j) == csl_secagg_set_has(&back, i));
        }
    }
}

static void test_graph__up_to_128_senders__complete(void **state)
{
    struct csl_secagg_ring r;
    struct csl_secagg_set members, peers;
    uint32_t ids[SITES];
    uint8_t seed[32] = {1};
    (void)state;
    make_ids(ids, SITES);
    for (uint32_t n = 127; n <= 129; n++) {
        first(&members, 0, n);
        csl_secagg_mask_graph(&r, seed, SITES, ids, &members, 4);
        for (uint32_t i = 0; i < n; i++) {
            csl_secagg_ring_peers(&r, i, &peers);
            assert_int_equal(csl_secagg_set_count(&peers), n <= 128 ? n - 1 : 4);
        }
    }
}

/* Whom a block's ring links depends on its own senders and the seed, and on nothing else. */
static void test_graph__same_senders_same_seed__same_ring(void **state)
{
    struct csl_secagg_ring a, b;
    struct csl_secagg_set members;
    uint32_t ids[SITES];
    uint8_t seed[32] = {1};
    (void)state;
    make_ids(ids, SITES);
    first(&members, 0, 150);
    csl_secagg_mask_graph(&a, seed, SITES, ids, &members, 96);
    csl_secagg_mask_graph(&b, seed, SITES, ids, &members, 96);
    assert_memory_equal(&a, &b, sizeof(a));
    seed[31] ^= 1;
    csl_secagg_mask_graph(&b, seed, SITES, ids, &members, 96);
    assert_memory_not_equal(a.order, b.order, sizeof(a.order));
}

/* On a sample: SHA-256(seed || le32 id) ascends along the ring, as the design has it. */
static void test_graph__order__ascends_by_the_digest(void **state)
{
    struct csl_secagg_ring r;
    struct csl_secagg_set members;
    uint32_t ids[SITES];
    uint8_t bytes[36] = {9}, last[32] = {0}, digest[32];
    (void)state;
    make_ids(ids, SITES);
    first(&members, 0, SITES);
    csl_secagg_mask_graph(&r, bytes, SITES, ids, &members, 96);
    assert_int_equal(r.count, SITES);
    for (uint32_t i = 0; i < SITES; i++) {
        uint32_t id = ids[r.order[i]];
        bytes[32] = (uint8_t)id;
        bytes[33] = (uint8_t)(id >> 8);
        csl_sha256_digest(bytes, sizeof(bytes), digest);
        assert_true(memcmp(last, digest, 32) < 0);
        memcpy(last, digest, 32);
    }
}

static void prk_of(uint32_t a, uint32_t b, uint8_t prk[32])
{
    uint32_t pair[2] = {a < b ? a : b, a < b ? b : a};
    csl_sha256_digest(pair, sizeof(pair), prk);
}

/* The masks of one site against those of `others` it is linked with, block by block. */
static struct csl_secagg_masks *masks_of(const struct csl_secagg_ring *rings, const uint32_t *ids,
                                         uint32_t place, const struct csl_secagg_set *others,
                                         bool is_taken_off)
{
    struct csl_secagg_masks *m;
    assert_int_equal(csl_secagg_masks_new(&m, SITES, CSL_SECRET_MAY_SWAP, NULL), CSL_OK);
    for (uint32_t i = 0; i < SITES; i++) {
        struct csl_secagg_set blocks = {{0}};
        uint8_t prk[32];
        for (uint32_t b = 0; b < BLOCKS; b++)
            if (csl_secagg_set_has(others, i) && csl_secagg_ring_is_linked(&rings[b], place, i))
                csl_secagg_set_put(&blocks, b);
        if (csl_secagg_set_count(&blocks) == 0)
            continue;
        prk_of(ids[place], ids[i], prk);
        bool is_added = (ids[place] < ids[i]) != is_taken_off;
        csl_secagg_masks_pair(m, prk, ids[place], ids[i], is_added ? CSL_PRG_ADD : CSL_PRG_SUBTRACT,
                              &blocks);
    }
    return m;
}

static void apply(struct csl_secagg_masks *m, struct csl_prg *prg, uint64_t words[BLOCKS][WORDS])
{
    for (uint32_t b = 0; b < BLOCKS; b++)
        assert_int_equal(csl_secagg_masks_apply(m, prg, b, b + 1, 0, words[b], WORDS, NULL),
                         CSL_OK);
    csl_secagg_masks_free(m);
}

/* Pairwise masks cancel in every block's own ring, two of them sparse, one complete; what is left
 * of the lost is taken off by their links with the survivors. 200 sites, 11 lost.
 */
static void test_graph__masks_of_200_sites__exact_sum_of_every_block(void **state)
{
    struct csl_secagg_ring rings[BLOCKS];
    struct csl_secagg_set senders[BLOCKS], survivors;
    uint64_t sum[BLOCKS][WORDS] = {{0}}, plain[BLOCKS][WORDS] = {{0}};
    uint32_t ids[SITES];
    uint8_t seed[32] = {5};
    struct csl_prg *prg;
    struct csl_rng rng;
    (void)state;
    csl_rng_init_label(&rng, 1, "graph masks", 0, 0, 0);
    make_ids(ids, SITES);
    first(&senders[0], 0, SITES);
    first(&senders[1], 30, 180);
    first(&senders[2], 50, 150);
    first(&survivors, 0, SITES);
    for (uint32_t i = 0; i < 11; i++)
        survivors.bits[(3 + 17 * i) / 8] &= (uint8_t) ~(1U << (3 + 17 * i) % 8);
    assert_int_equal(csl_secagg_graph_check_losses(senders, BLOCKS, &survivors, 40, 96, 11, NULL),
                     CSL_OK);
    for (uint32_t b = 0; b < BLOCKS; b++)
        csl_secagg_mask_graph(&rings[b], seed, SITES, ids, &senders[b], 96);
    assert_int_equal(csl_prg_new(&prg, NULL), CSL_OK);
    for (uint32_t i = 0; i < SITES; i++) {
        uint64_t words[BLOCKS][WORDS];
        csl_rng_bytes(&rng, words, sizeof(words));
        if (!csl_secagg_set_has(&survivors, i)) { /* of its secret key the pairs are known */
            apply(masks_of(rings, ids, i, &survivors, false), prg, sum);
            continue;
        }
        for (uint32_t b = 0; b < BLOCKS; b++)
            for (uint32_t k = 0; k < WORDS; k++)
                plain[b][k] += csl_secagg_set_has(&senders[b], i) ? words[b][k] : 0;
        apply(masks_of(rings, ids, i, &senders[0], false), prg, words);
        for (uint32_t b = 0; b < BLOCKS; b++)
            for (uint32_t k = 0; k < WORDS; k++)
                sum[b][k] += csl_secagg_set_has(&senders[b], i) ? words[b][k] : 0;
    }
    assert_memory_equal(sum, plain, sizeof(sum));
    csl_prg_free(prg);
}

/* ---- seeds and limits (36) ---- */

static void test_secagg_pitfall_36__mask_seed__binds_session_senders_and_every_reveal(void **state)
{
    struct csl_secagg_set members, fewer;
    uint8_t sid[32] = {1}, reveals[10][32], seed[32], other[32];
    (void)state;
    for (uint32_t i = 0; i < 10; i++)
        memset(reveals[i], (int)i, 32);
    first(&members, 0, 10);
    first(&fewer, 0, 9);
    csl_secagg_mask_seed(sid, 20, &members, reveals[0], seed);
    csl_secagg_mask_seed(sid, 20, &fewer, reveals[0], other);
    assert_memory_not_equal(seed, other, 32);
    sid[0] = 2;
    csl_secagg_mask_seed(sid, 20, &members, reveals[0], other);
    assert_memory_not_equal(seed, other, 32);
    sid[0] = 1;
    for (uint32_t i = 0; i < 10; i++) {
        reveals[i][31] ^= 1;
        csl_secagg_mask_seed(sid, 20, &members, reveals[0], other);
        assert_memory_not_equal(seed, other, 32);
        reveals[i][31] ^= 1;
    }
}

static void test_secagg_pitfall_36__sixth_attempt_of_a_round__refused(void **state)
{
    (void)state;
    assert_int_equal(csl_secagg_graph_check_shares(1000, 333, 120, 87, 5, NULL), CSL_OK);
    assert_int_equal(csl_secagg_graph_check_shares(1000, 333, 120, 87, 6, NULL), CSL_E_DENIED);
}

struct ceremony {
    struct csl_sign_key root, coordinator, keys[4];
    struct csl_secagg_roster roster;
    struct csl_secagg_epoch epoch;
    uint8_t r[4][32];
};

/* Four sites, the third of them revoked. */
static void make_ceremony(struct ceremony *c)
{
    struct csl_rng rng;
    struct csl_buf out;
    uint8_t seed[CSL_SIGN_SEED_BYTES];
    memset(c, 0, sizeof(*c));
    csl_rng_init_label(&rng, 3, "ceremony", 0, 0, 0);
    csl_rng_bytes(&rng, seed, sizeof(seed));
    csl_sign_from_seed(&c->root, seed);
    csl_rng_bytes(&rng, seed, sizeof(seed));
    csl_sign_from_seed(&c->coordinator, seed);
    memcpy(c->roster.coordinator_key, c->coordinator.public_key, 32);
    c->roster.count = 4;
    for (uint32_t i = 0; i < 4; i++) {
        csl_rng_bytes(&rng, seed, sizeof(seed));
        csl_sign_from_seed(&c->keys[i], seed);
        csl_rng_bytes(&rng, c->r[i], 32);
        c->roster.sites[i].id = 10 + i;
        (void)snprintf(c->roster.sites[i].name, CSL_ID_MAX, "site-%u", 10 + i);
        c->roster.sites[i].is_active = i != 2;
        memcpy(c->roster.sites[i].key, c->keys[i].public_key, 32);
    }
    csl_buf_init(&out, 4096);
    assert_int_equal(csl_secagg_roster_encode(&c->roster, &c->root, &out, NULL), CSL_OK);
    assert_int_equal(
        csl_secagg_roster_decode(&c->roster, CSL_SPAN(out.p, out.n), c->root.public_key, 0, NULL),
        CSL_OK);
    csl_buf_release(&out);
    csl_secagg_epoch_init(&c->epoch, &c->roster);
}

static enum csl_code commit_as(struct ceremony *c, uint32_t i, const uint8_t r[32], uint32_t key)
{
    struct csl_buf out;
    struct csl_err err;
    csl_buf_init(&out, 4096);
    assert_int_equal(
        csl_secagg_epoch_commit(&c->epoch, c->roster.sites[i].id, r, &c->keys[key], &out, NULL),
        CSL_OK);
    enum csl_code code = csl_secagg_epoch_take(&c->epoch, CSL_SPAN(out.p, out.n), &err);
    csl_buf_release(&out);
    return code;
}

/* A reveal as somebody writes it who keeps to no rule. */
static enum csl_code reveal_as(struct ceremony *c, uint32_t i, const uint8_t r[32], uint32_t key)
{
    struct csl_secagg_message m = {.type = CSL_SECAGG_EPOCH_REVEAL, .site = c->roster.sites[i].id};
    struct csl_buf out;
    struct csl_err err;
    memcpy(m.id, c->roster.hash, 32);
    memcpy(m.u.epoch.value, r, 32);
    csl_buf_init(&out, 4096);
    assert_int_equal(csl_secagg_encode(&m, &c->keys[key], &out, NULL), CSL_OK);
    enum csl_code code = csl_secagg_epoch_take(&c->epoch, CSL_SPAN(out.p, out.n), &err);
    csl_buf_release(&out);
    return code;
}

static void test_secagg_pitfall_36__own_r__stays_until_all_have_committed(void **state)
{
    struct ceremony c;
    struct csl_buf out;
    (void)state;
    make_ceremony(&c);
    csl_buf_init(&out, 4096);
    assert_int_equal(commit_as(&c, 0, c.r[0], 0), CSL_OK);
    assert_int_equal(commit_as(&c, 1, c.r[1], 1), CSL_OK);
    assert_int_equal(csl_secagg_epoch_reveal(&c.epoch, 10, c.r[0], &c.keys[0], &out, NULL),
                     CSL_E_STATE);
    assert_int_equal(reveal_as(&c, 1, c.r[1], 1), CSL_E_STATE); /* nor is another's heard */
    assert_int_equal(commit_as(&c, 3, c.r[3], 3), CSL_OK);
    assert_int_equal(csl_secagg_epoch_reveal(&c.epoch, 10, c.r[3], &c.keys[0], &out, NULL),
                     CSL_E_CRYPTO);
    assert_int_equal(out.n, 0);
    assert_int_equal(csl_secagg_epoch_reveal(&c.epoch, 10, c.r[0], &c.keys[0], &out, NULL), CSL_OK);
    assert_int_equal(csl_secagg_epoch_take(&c.epoch, CSL_SPAN(out.p, out.n), NULL), CSL_OK);
    csl_buf_release(&out);
}

static void test_secagg_pitfall_36__another_r_than_committed__refused(void **state)
{
    struct ceremony c;
    uint8_t other[32] = {1};
    (void)state;
    make_ceremony(&c);
    assert_int_equal(commit_as(&c, 0, c.r[0], 0), CSL_OK);
    assert_int_equal(commit_as(&c, 0, other, 0), CSL_E_DENIED);  /* two values */
    assert_int_equal(commit_as(&c, 0, c.r[0], 0), CSL_OK);       /* a repeat */
    assert_int_equal(commit_as(&c, 1, c.r[1], 3), CSL_E_CRYPTO); /* signed by another */
    assert_int_equal(commit_as(&c, 2, c.r[2], 2), CSL_E_DENIED); /* revoked */
    assert_int_equal(commit_as(&c, 1, c.r[1], 1), CSL_OK);
    assert_int_equal(commit_as(&c, 3, c.r[3], 3), CSL_OK);
    assert_int_equal(reveal_as(&c, 0, other, 0), CSL_E_CRYPTO);
    assert_int_equal(reveal_as(&c, 0, c.r[0], 0), CSL_OK);
    assert_int_equal(reveal_as(&c, 3, c.r[0], 3), CSL_E_CRYPTO); /* a copy of another's */
    assert_int_equal(reveal_as(&c, 1, c.r[1], 0), CSL_E_CRYPTO);
    c.roster.hash[0] ^= 1;
    assert_int_equal(reveal_as(&c, 1, c.r[1], 1), CSL_E_CRYPTO); /* committed for another roster */
}

static void test_secagg_pitfall_36__a_reveal_is_missing__no_seed(void **state)
{
    static const uint32_t orders[2][3] = {{0, 1, 3}, {3, 0, 1}};
    struct ceremony c;
    uint8_t seeds[2][32], seed[32];
    (void)state;
    for (uint32_t k = 0; k < 2; k++) {
        make_ceremony(&c);
        for (uint32_t i = 0; i < 3; i++)
            assert_int_equal(commit_as(&c, orders[k][i], c.r[orders[k][i]], orders[k][i]), CSL_OK);
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(csl_secagg_epoch_seed(&c.epoch, seed, NULL), CSL_E_STATE);
            assert_int_equal(reveal_as(&c, orders[k][i], c.r[orders[k][i]], orders[k][i]), CSL_OK);
        }
        assert_int_equal(csl_secagg_epoch_seed(&c.epoch, seeds[k], NULL), CSL_OK);
    }
    assert_memory_equal(seeds[0], seeds[1], 32); /* whatever the order */
}

static void test_graph__share_graph__over_the_active_sites_of_the_roster(void **state)
{
    struct ceremony c;
    struct csl_secagg_ring r;
    struct csl_secagg_set peers;
    uint8_t seed[32] = {4};
    (void)state;
    make_ceremony(&c);
    csl_secagg_share_graph(&r, seed, &c.roster, 2);
    csl_secagg_ring_peers(&r, 0, &peers);
    assert_int_equal(r.count, 3);
    assert_true(csl_secagg_set_has(&peers, 1) && csl_secagg_set_has(&peers, 3));
    assert_false(csl_secagg_set_has(&peers, 2));
}

/* ---- what a site asks ---- */

static void test_graph__share_thresholds__below_the_bound_refused(void **state)
{
    (void)state;
    assert_int_equal(csl_secagg_graph_check_shares(1000, 333, 120, 87, 1, NULL), CSL_OK);
    assert_int_equal(csl_secagg_graph_check_shares(1000, 333, 120, 86, 1, NULL), CSL_E_DENIED);
    assert_int_equal(csl_secagg_graph_check_shares(1000, 334, 120, 87, 1, NULL), CSL_E_DENIED);
    assert_int_equal(csl_secagg_graph_check_shares(1000, 400, 120, 87, 1, NULL), CSL_E_DENIED);
    assert_int_equal(csl_secagg_graph_check_shares(1000, 333, 121, 90, 1, NULL), CSL_E_DENIED);
    assert_int_equal(csl_secagg_graph_check_shares(1000, 333, 0, 0, 1, NULL), CSL_E_DENIED);
    assert_int_equal(csl_secagg_graph_check_shares(1000, 333, 120, 121, 1, NULL), CSL_E_DENIED);
    assert_int_equal(csl_secagg_graph_check_shares(100, 33, 100, 60, 1, NULL), CSL_E_DENIED);
}

static void test_secagg_pitfall_37__more_losses_than_allowed__refused(void **state)
{
    struct csl_secagg_set senders[2], all, left;
    (void)state;
    first(&all, 0, 1000);
    first(&senders[0], 0, 1000);
    first(&senders[1], 0, 1000);
    assert_int_equal(csl_secagg_graph_check_losses(senders, 1, &all, 333, 160, 29, NULL), CSL_OK);
    /* Two blocks of the same senders have one ring: nothing more is asked. */
    assert_int_equal(csl_secagg_graph_check_losses(senders, 2, &all, 333, 160, 29, NULL), CSL_OK);
    first(&left, 0, 971);
    assert_int_equal(csl_secagg_graph_check_losses(senders, 2, &left, 333, 160, 29, NULL), CSL_OK);
    first(&left, 0, 970);
    assert_int_equal(csl_secagg_graph_check_losses(senders, 2, &left, 333, 160, 29, NULL),
                     CSL_E_DENIED);
    /* A D_post that the degree does not carry, before anybody is lost. */
    assert_int_equal(csl_secagg_graph_check_losses(senders, 1, &all, 333, 160, 30, NULL),
                     CSL_E_DENIED);
    assert_int_equal(csl_secagg_graph_check_losses(senders, 1, &all, 333, 128, 29, NULL),
                     CSL_E_DENIED);
    assert_int_equal(csl_secagg_graph_check_losses(senders, 1, &all, 333, 159, 29, NULL),
                     CSL_E_DENIED);
    assert_int_equal(csl_secagg_graph_check_losses(senders, 1, &all, 333, 2, 0, NULL),
                     CSL_E_DENIED);
}

/* c is absolute: of a U2 closed with few honest sites the same c is the larger part. */
static void test_secagg_pitfall_37__few_honest_senders__the_actual_number_decides(void **state)
{
    struct csl_secagg_set senders, block;
    (void)state;
    first(&senders, 0, 1000);
    assert_int_equal(csl_secagg_graph_check_losses(&senders, 1, &senders, 333, 160, 29, NULL),
                     CSL_OK);
    first(&senders, 0, 668);
    assert_int_equal(csl_secagg_graph_check_losses(&senders, 1, &senders, 333, 160, 29, NULL),
                     CSL_E_DENIED);
    first(&block, 0, 128); /* complete: as many as the floors allow */
    first(&senders, 0, 60);
    assert_int_equal(csl_secagg_graph_check_losses(&block, 1, &senders, 40, 160, 29, NULL), CSL_OK);
}

/* A block's own senders count, not those of the whole vector. */
static void test_secagg_pitfall_37__losses_of_one_block__refused(void **state)
{
    struct csl_secagg_set senders[2], left;
    uint32_t most;
    (void)state;
    first(&senders[0], 0, 1000);
    first(&senders[1], 0, 300);
    assert_true(csl_secagg_losses_max(300, 100, 160, 2, &most));
    assert_in_range(most, 20, 60);
    first(&left, most, 1000); /* all that were lost sent the small block */
    assert_int_equal(csl_secagg_graph_check_losses(senders, 2, &left, 100, 160, most, NULL),
                     CSL_OK);
    first(&left, most + 1, 1000);
    assert_int_equal(csl_secagg_graph_check_losses(senders, 2, &left, 100, 160, most, NULL),
                     CSL_E_DENIED);
}

/* A sum of as few as the study allows can be opened, whenever the others went. */
static void test_graph__share_plan__bears_all_that_may_be_missing(void **state)
{
    static const uint32_t rows[][3] = {{200, 66, 185}, {200, 20, 150}, {400, 40, 300}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t n = rows[i][0], c = rows[i][1], least = rows[i][2], degree, threshold;
        assert_true(csl_secagg_share_plan(n, c, least, &degree, &threshold));
        assert_true(degree < n && threshold >= csl_secagg_share_threshold(n, c, degree));
        assert_true(csl_secagg_share_is_live(n, n - least, degree, threshold));
    }
    uint32_t degree, threshold; /* as many colluding as would open it: no graph does both */
    assert_false(csl_secagg_share_plan(200, 100, 101, &degree, &threshold));
}

static void test_graph__mask_degree__smallest_that_allows_the_losses(void **state)
{
    static const uint32_t rows[][3] = {{200, 66, 5}, {160, 50, 35}, {400, 40, 10}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t n = rows[i][0], c = rows[i][1], losses = rows[i][2], safe = 0;
        uint32_t k = csl_secagg_mask_degree(n, n, c, losses, 2);
        assert_true(csl_secagg_losses_max(n, c, k, 2, &safe) && safe >= losses);
        assert_true(!csl_secagg_losses_max(n, c, k - 2, 2, &safe) || safe < losses);
    }
    /* Of many numbers of senders, the largest that one of them needs; of more losses than a
     * complete graph has senders, the complete one. */
    uint32_t most = 0, all = csl_secagg_mask_degree(129, 160, 40, 20, 2);
    for (uint32_t n = 129; n <= 160; n++) {
        uint32_t k = csl_secagg_mask_degree(n, n, 40, 20, 2);
        most = k > most ? k : most;
    }
    assert_int_equal(all, most);
    assert_int_equal(csl_secagg_mask_degree(129, 129, 40, 130, 2), 128);
}

int main(void)
{
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_graph__share_plan__bears_all_that_may_be_missing),
        cmocka_unit_test(test_graph__mask_degree__smallest_that_allows_the_losses),
        cmocka_unit_test(test_graph__ring__every_member_has_its_degree_and_peers_are_mutual),
        cmocka_unit_test(test_graph__up_to_128_senders__complete),
        cmocka_unit_test(test_graph__same_senders_same_seed__same_ring),
        cmocka_unit_test(test_graph__order__ascends_by_the_digest),
        cmocka_unit_test(test_graph__masks_of_200_sites__exact_sum_of_every_block),
        cmocka_unit_test(test_graph__share_graph__over_the_active_sites_of_the_roster),
        cmocka_unit_test(test_graph__share_thresholds__below_the_bound_refused),
        cmocka_unit_test(test_secagg_pitfall_36__mask_seed__binds_session_senders_and_every_reveal),
        cmocka_unit_test(test_secagg_pitfall_36__sixth_attempt_of_a_round__refused),
        cmocka_unit_test(test_secagg_pitfall_36__own_r__stays_until_all_have_committed),
        cmocka_unit_test(test_secagg_pitfall_36__another_r_than_committed__refused),
        cmocka_unit_test(test_secagg_pitfall_36__a_reveal_is_missing__no_seed),
        cmocka_unit_test(test_secagg_pitfall_37__more_losses_than_allowed__refused),
        cmocka_unit_test(test_secagg_pitfall_37__few_honest_senders__the_actual_number_decides),
        cmocka_unit_test(test_secagg_pitfall_37__losses_of_one_block__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
