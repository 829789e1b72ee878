/* Whole attempts of FSA-1/k (graph 1) of 140 and 200 sites, and what a coordinator may try with the
 * graphs. Costly functions are answered from a book of earlier results (oracle.h). */
#include "base/check.h"
#include "privacy/crypto/init.h"
#include "privacy/secagg/bounds.h"
#include "privacy/secagg/graph.h"
#include "tests/property/secagg/oracle.h"
#include "tests/unit/secagg/audited.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MOST = 200, N = 140 };
static struct world w;

static void begin_with(uint32_t n, bool has_sparse_blocks, uint64_t seed,
                       enum csl_secagg_stage stage)
{
    const struct world_plan plan = {.n = n,
                                    .colluding = n / 10,
                                    .blocks = 2,
                                    .scalars = 1,
                                    .entries_max = 20,
                                    .has_sparse_blocks = has_sparse_blocks,
                                    .has_sparse_ids = true,
                                    .has_sparse_graphs = true};
    oracle_reset();
    world_make(&w, seed, &plan);
    world_open(&w, 1, 1);
    if (stage > CSL_SECAGG_STAGE_OPEN)
        world_run_to(&w, stage);
}

/* Two blocks of about a hundred senders, complete, and the scalars of all, sparse. */
static void begin(uint64_t seed, enum csl_secagg_stage stage)
{
    begin_with(N, true, seed, stage);
}

static void finish(void)
{
    world_run(&w);
    assert_int_equal(csl_secagg_coordinator_stage(w.coordinator), CSL_SECAGG_STAGE_RELEASED);
    assert_true(world_sum_is_exact(&w));
}

/* The last message of the coordinator's that its journal holds. */
static struct csl_msg decided(void)
{
    struct csl_msg m = {0};
    const struct entry *e = &w.journal.items[w.journal.count - 1];
    assert_int_equal(e->record, CSL_SECAGG_CJ_DECISION);
    assert_int_equal(csl_msg_copy(&m, csl_msg_span(&e->bytes), NULL), CSL_OK);
    return m;
}

static enum csl_code tell_forged(uint32_t index, const struct csl_secagg_message *m)
{
    struct csl_msg forged = attack_forge(m, &w.coordinator_key);
    enum csl_code code = attack_tell(&w, index, &forged);
    csl_msg_release(&forged);
    return code;
}

static void test_secagg_sparse__all_sites__exact_sum(void **state)
{
    (void)state;
    begin_with(MOST, true, 1, CSL_SECAGG_STAGE_VOTING);
    assert_true(w.config.share_degree < MOST / 2 && w.config.mask_degree < MOST / 2);
    finish();
    assert_int_equal(monitor_count(&w, CSL_SECAGG_REVEAL, 0), MOST);
    assert_int_equal(w.named + w.alarms, 0);
    /* What a receiver makes room for is enough, and not much more. */
    const struct csl_secagg_shape shape = {.sites = MOST,
                                           .colluding = w.config.colluding,
                                           .blocks = w.config.block_count,
                                           .is_sparse = true,
                                           .share_degree = w.config.share_degree,
                                           .share_threshold = w.config.share_threshold};
    assert_in_range(w.longest[0], csl_secagg_bytes_to_site(&shape) * 4 / 5,
                    csl_secagg_bytes_to_site(&shape));
    assert_in_range(w.longest[1], csl_secagg_bytes_from_site(&shape) * 4 / 5,
                    csl_secagg_bytes_from_site(&shape));
    world_remove(&w);
}

/* One before its r is out, some while uploading, some after the vote; and everybody restarts. */
static void test_secagg_sparse__losses_in_every_phase__exact_sum(void **state)
{
    (void)state;
    begin_with(MOST, true, 2, CSL_SECAGG_STAGE_SEEDING);
    w.sites[7].is_dead = w.sites[8].is_dead = true;
    world_run(&w);
    assert_int_equal(monitor_count(&w, CSL_SECAGG_REVEAL, w.sites[7].id), 0);
    world_restart_coordinator(&w);
    for (uint32_t i = 0; i < MOST; i++)
        if (!w.sites[i].is_dead)
            world_restart_site(&w, &w.sites[i], UINT32_MAX);
    world_run(&w);
    assert_int_equal(world_close(&w), CSL_OK); /* the r of the two is put together */
    assert_int_equal(csl_secagg_coordinator_stage(w.coordinator), CSL_SECAGG_STAGE_UPLOADING);
    w.sites[50].is_dead = w.sites[120].is_dead = w.sites[121].is_dead = true;
    world_run(&w);
    world_restart_coordinator(&w);
    world_run_to(&w, CSL_SECAGG_STAGE_VOTING);
    for (uint32_t i = 0; i < MOST; i += 3)
        if (!w.sites[i].is_dead)
            world_restart_site(&w, &w.sites[i], UINT32_MAX);
    while (csl_secagg_coordinator_stage(w.coordinator) == CSL_SECAGG_STAGE_VOTING)
        world_deliver(&w, 0);
    for (uint32_t i = 0; i < 5; i++)
        w.sites[60 + 25 * i].is_dead = true;
    finish();
    for (uint32_t i = 0; i < MOST; i++)
        assert_true(csl_secagg_coordinator_is_survivor(w.coordinator, w.sites[i].id) ==
                    (i != 7 && i != 8 && i != 50 && i != 120 && i != 121));
    world_remove(&w);
}

static void test_secagg_sparse__a_wrong_share_of_r__named_and_done_without(void **state)
{
    struct csl_secagg_set held;
    struct csl_secagg_ring ring;
    uint32_t rows[N];
    (void)state;
    begin(3, CSL_SECAGG_STAGE_SEEDING);
    w.sites[7].is_dead = true;
    for (uint32_t i = 0; i < N; i++)
        rows[i] = i;
    csl_secagg_share_graph(&ring, w.epoch_seed, &w.roster, w.config.share_degree);
    csl_secagg_share_peers(&ring, N, rows, 7, &held);
    uint32_t liar = 0;
    while (!csl_secagg_set_has(&held, liar))
        liar++;
    while (attack_find(&w, CSL_SECAGG_REVEAL, 0) == NULL)
        world_deliver(&w, 0);
    struct csl_msg m = {0};
    for (uint32_t i = 0; m.p == NULL; i++) { /* until the liar's comes */
        if (i == w.queued) {
            world_deliver(&w, 0);
            i = 0;
        }
        if (w.queue[i].from == w.sites[liar].id && w.queue[i].bytes.n > 0 &&
            w.queue[i].bytes.p[0] == CSL_SECAGG_REVEAL) {
            assert_int_equal(csl_msg_copy(&m, csl_msg_span(&w.queue[i].bytes), NULL), CSL_OK);
            world_drop(&w, i);
        }
    }
    struct csl_secagg_message view = attack_view(&m);
    struct csl_scalar shares[N];
    memcpy(shares, view.u.reveal.shares, sizeof(*shares) * view.u.reveal.count);
    struct csl_secagg_set peers;
    csl_secagg_share_peers(&ring, N, rows, liar, &peers);
    shares[csl_secagg_set_rank(&peers, 7)] = shares[csl_secagg_set_rank(&peers, 7) == 0 ? 1 : 0];
    view.u.reveal.shares = shares;
    struct csl_msg forged = attack_forge(&view, &w.sites[liar].key);
    assert_int_equal(world_tell_coordinator(&w, w.sites[liar].id, csl_msg_span(&forged)), CSL_OK);
    world_run(&w);
    assert_int_equal(world_close(&w), CSL_OK);
    assert_int_equal(w.named, 1);
    csl_msg_release(&forged);
    csl_msg_release(&m);
    world_run_to(&w, CSL_SECAGG_STAGE_VOTING);
    finish();
    world_remove(&w);
}

/* Masks on rings of 140 senders, one of them lost: the auditor draws the rings itself. */
static void test_secagg_sparse__audit__honest_passes_one_word_is_caught(void **state)
{
    const struct world_plan plan = {.n = N,
                                    .colluding = N / 10,
                                    .blocks = 2,
                                    .scalars = 2,
                                    .entries_max = 20,
                                    .has_sparse_ids = true,
                                    .has_sparse_graphs = true};
    struct audited a;
    (void)state;
    oracle_reset();
    audited_release_plan(&a, &plan, 9);
    a.sum[1][0] ^= 1;
    audited_publish(&a);
    assert_int_equal(audited_verify(&a, 0, 0), CSL_OK);
    assert_int_equal(audited_verify(&a, 1, 0), CSL_E_CORRUPT);
    assert_int_equal(audited_verify(&a, 2, 0), CSL_OK);
    audited_unmake(&a);
}

/* ---- seeds (36) ---- */

static void test_secagg_pitfall_36__another_seed_of_the_share_graph__refused(void **state)
{
    (void)state;
    begin(4, CSL_SECAGG_STAGE_OPEN);
    world_run(&w);
    assert_int_equal(world_close(&w), CSL_OK);
    struct csl_msg keys = decided();
    struct csl_secagg_message m = attack_view(&keys);
    m.u.round_keys.graph_seed[31] ^= 1;
    assert_int_equal(tell_forged(0, &m), CSL_E_DENIED);
    m = attack_view(&keys);
    m.u.round_keys.threshold--;
    assert_int_equal(tell_forged(0, &m), CSL_E_DENIED);
    assert_int_equal(attack_tell(&w, 0, &keys), CSL_OK);
    csl_msg_release(&keys);
    world_remove(&w);
}

static void test_secagg_pitfall_36__configuration__bounds_and_attempts_of_the_site(void **state)
{
    (void)state;
    begin(5, CSL_SECAGG_STAGE_NEW);
    struct csl_secagg_config c = w.config;
    c.round = 2;
    c.attempt = 6;
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
    c.attempt = 1;
    c.share_threshold--;
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
    c.share_threshold++;
    w.config.graph = 0; /* a site that took no part in a ceremony */
    world_restart_site(&w, &w.sites[0], 0);
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_UNSUPPORTED);
    w.config.graph = 1;
    world_restart_site(&w, &w.sites[0], 0);
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_OK);
    world_remove(&w);
}

static void test_secagg_pitfall_36__r__stays_until_the_senders_are_closed(void **state)
{
    (void)state;
    begin(6, CSL_SECAGG_STAGE_PREPARING);
    world_run(&w);
    struct csl_secagg_message early = {.type = CSL_SECAGG_SEEDS};
    struct csl_scalar r[N] = {{{0}}};
    early.u.seeds.count = N;
    early.u.seeds.r = r;
    memcpy(early.id, csl_secagg_coordinator_sid(w.coordinator), 32);
    assert_int_equal(tell_forged(0, &early), CSL_E_STATE);
    world_nudge(&w);
    world_run(&w);
    assert_int_equal(monitor_count(&w, CSL_SECAGG_REVEAL, 0), 0);
    assert_int_equal(world_close(&w), CSL_OK);
    struct csl_msg senders = decided();
    struct csl_secagg_message m = attack_view(&senders);
    uint8_t dealings[N][64];
    memcpy(dealings, m.u.senders.dealings, sizeof(dealings)); /* for one site another r */
    memcpy(dealings[0] + 32, dealings[1] + 32, 32);
    m.u.senders.dealings = dealings[0];
    assert_int_equal(tell_forged(0, &m), CSL_E_DENIED);
    memcpy(dealings, attack_view(&senders).u.senders.dealings, sizeof(dealings));
    dealings[5][0] ^= 1; /* another dealing: com does not follow */
    assert_int_equal(tell_forged(0, &m), CSL_E_DENIED);
    assert_int_equal(monitor_count(&w, CSL_SECAGG_REVEAL, 0), 0);
    assert_int_equal(attack_tell(&w, 0, &senders), CSL_OK);
    assert_int_equal(monitor_count(&w, CSL_SECAGG_REVEAL, w.sites[0].id), 1);
    csl_msg_release(&senders);
    world_remove(&w);
}

static void test_secagg_pitfall_36__other_r_than_committed__no_site_masks(void **state)
{
    (void)state;
    begin_with(N, false, 7, CSL_SECAGG_STAGE_SEEDING);
    world_run(&w);
    assert_int_equal(world_close(&w), CSL_OK);
    struct csl_msg seeds = decided();
    attack_swallow(&w, CSL_SECAGG_SEEDS);
    world_run(&w);
    struct csl_secagg_message m = attack_view(&seeds);
    struct csl_scalar r[N];
    memcpy(r, m.u.seeds.r, sizeof(r));
    m.u.seeds.r = r;
    r[3] = r[4];
    assert_int_equal(tell_forged(0, &m), CSL_E_CRYPTO);
    r[3] = attack_view(&seeds).u.seeds.r[3];
    m.u.seeds.count--;
    assert_int_equal(tell_forged(0, &m), CSL_E_PROTO);
    assert_int_equal(csl_secagg_site_phase(w.sites[0].machine), CSL_SECAGG_SEEDING);
    struct csl_secagg_masks *masks;
    assert_int_equal(csl_secagg_site_masks(w.sites[0].machine, &masks, NULL), CSL_E_STATE);
    assert_int_equal(attack_tell(&w, 0, &seeds), CSL_OK);
    assert_int_equal(csl_secagg_site_phase(w.sites[0].machine), CSL_SECAGG_MASKING);
    assert_int_equal(csl_secagg_site_masks(w.sites[0].machine, &masks, NULL), CSL_OK);
    assert_int_equal(csl_secagg_masks_count(masks), 1 + w.config.mask_degree);
    csl_secagg_masks_free(masks);
    csl_msg_release(&seeds);
    world_remove(&w);
}

/* Only its share peers know what a site committed to. Who is told of another r of it goes along,
 * and then signs another T than the others: a quorum has one graph. */
static void test_secagg_pitfall_36__another_graph_for_one_site__another_transcript(void **state)
{
    struct csl_secagg_ring ring;
    struct csl_scalar other, r[N];
    uint8_t dealings[N][64], z[32] = {1};
    (void)state;
    begin_with(N, false, 11, CSL_SECAGG_STAGE_PREPARING);
    world_run(&w);
    csl_secagg_share_graph(&ring, w.epoch_seed, &w.roster, w.config.share_degree);
    uint32_t far = 1;
    while (csl_secagg_ring_is_linked(&ring, 0, far))
        far++;
    assert_int_equal(world_close(&w), CSL_OK);
    struct csl_msg senders = decided();
    struct csl_secagg_message m = attack_view(&senders);
    assert_int_equal(csl_secagg_set_count(&m.u.senders.members), N);
    memcpy(dealings, m.u.senders.dealings, sizeof(dealings));
    assert_int_equal(csl_scalar_derive(z, "r", 0, &other, NULL), CSL_OK);
    struct csl_point is;
    assert_int_equal(csl_point_base(&other, &is, NULL), CSL_OK);
    memcpy(dealings[far] + 32, is.bytes, 32);
    m.u.senders.dealings = dealings[0];
    assert_int_equal(tell_forged(0, &m), CSL_OK);
    world_run(&w);
    assert_int_equal(world_close(&w), CSL_OK);
    struct csl_msg seeds = decided();
    struct csl_secagg_message s = attack_view(&seeds);
    memcpy(r, s.u.seeds.r, sizeof(r));
    r[far] = other;
    s.u.seeds.r = r;
    assert_int_equal(tell_forged(0, &s), CSL_OK);
    world_run(&w); /* the honest coordinator takes no manifest with another M7 */
    struct csl_msg forged = attack_forge(&m, &w.coordinator_key);
    const struct csl_secagg_message true_m7 = attack_view(&senders),
                                    false_m7 = attack_view(&forged);
    uint8_t one[32], two[32];
    csl_secagg_bound_com(&true_m7, one);
    csl_secagg_bound_com(&false_m7, two);
    assert_memory_not_equal(one, two, 32);
    assert_int_equal(world_close(&w), CSL_OK);
    assert_false(csl_secagg_coordinator_is_survivor(w.coordinator, w.sites[0].id));
    finish();
    csl_msg_release(&forged);
    csl_msg_release(&senders);
    csl_msg_release(&seeds);
    world_remove(&w);
}

/* ---- losses (37) ---- */

/* To UPLOADING, with a lower D_post than the degree carries. */
static void begin_capped(uint64_t seed, uint32_t losses_max)
{
    begin(seed, CSL_SECAGG_STAGE_NEW);
    w.config.losses_max = losses_max;
    world_open(&w, 2, 1);
    world_run_to(&w, CSL_SECAGG_STAGE_UPLOADING);
}

/* The honest coordinator does not close U3, and no site votes for one that it is shown. */
static void test_secagg_pitfall_37__losses_above_the_bound__no_vote_and_abandoned(void **state)
{
    (void)state;
    begin_capped(8, 11);
    uint32_t most = w.config.losses_max;
    for (uint32_t i = 0; i < most; i++)
        w.sites[3 * i + 1].is_dead = true;
    world_run(&w); /* all vectors but theirs are here */
    struct world_site *victim = &w.sites[0];
    assert_int_equal(world_close(&w), CSL_OK);
    struct csl_msg survivors = decided();
    attack_swallow(&w, CSL_SECAGG_SURVIVORS);
    struct csl_secagg_message m = attack_view(&survivors);
    /* One survivor more is said to be lost. */
    uint8_t bits[3 * CSL_SECAGG_SET_BYTES], roots[N][32];
    uint32_t last = N - 1, bytes = csl_secagg_set_bytes(N);
    assert_true(csl_secagg_set_has(&m.u.survivors.members, last));
    memcpy(bits, m.u.survivors.block_bits, (size_t)bytes * m.u.survivors.block_count);
    memcpy(roots, m.u.survivors.roots, (size_t)32 * csl_secagg_set_count(&m.u.survivors.members));
    m.u.survivors.members.bits[last / 8] &= (uint8_t) ~(1U << last % 8);
    for (uint32_t b = 0; b < m.u.survivors.block_count; b++)
        bits[b * bytes + last / 8] &= (uint8_t) ~(1U << last % 8);
    m.u.survivors.block_bits = bits;
    m.u.survivors.roots = roots[0];
    assert_int_equal(tell_forged(0, &m), CSL_E_DENIED);
    assert_int_equal(csl_secagg_site_phase(victim->machine), CSL_SECAGG_UPLOADED); /* no vote */
    assert_int_equal(attack_tell(&w, 0, &survivors), CSL_OK); /* as many as allowed: it votes */
    assert_int_equal(csl_secagg_site_phase(victim->machine), CSL_SECAGG_VOTED);
    csl_msg_release(&survivors);
    world_remove(&w);

    begin_capped(9, 11);
    for (uint32_t i = 0; i <= w.config.losses_max; i++)
        w.sites[3 * i + 1].is_dead = true;
    world_run(&w);
    assert_int_equal(world_close(&w), CSL_E_DENIED);
    struct csl_secagg_coordinator_event up = {.kind = CSL_SECAGG_CE_GIVE_UP};
    assert_int_equal(world_step_coordinator(&w, &up), CSL_OK);
    world_run(&w);
    assert_int_equal(csl_secagg_coordinator_stage(w.coordinator), CSL_SECAGG_STAGE_ABANDONED);
    world_remove(&w);
}

/* D_post of the configuration is what the degree carries for the senders there are, or no masks. */
static void test_secagg_pitfall_37__degree_too_small_for_the_senders__refused(void **state)
{
    (void)state;
    begin(10, CSL_SECAGG_STAGE_NEW);
    w.config.mask_degree = 16;
    world_open(&w, 2, 1);
    world_run_to(&w, CSL_SECAGG_STAGE_PREPARING);
    world_run(&w);
    assert_int_equal(world_close(&w), CSL_E_DENIED);
    assert_int_equal(csl_secagg_coordinator_stage(w.coordinator), CSL_SECAGG_STAGE_PREPARING);
    world_remove(&w);
}

int main(void)
{
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
    oracle_use(true);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secagg_sparse__all_sites__exact_sum),
        cmocka_unit_test(test_secagg_sparse__losses_in_every_phase__exact_sum),
        cmocka_unit_test(test_secagg_sparse__audit__honest_passes_one_word_is_caught),
        cmocka_unit_test(test_secagg_sparse__a_wrong_share_of_r__named_and_done_without),
        cmocka_unit_test(test_secagg_pitfall_36__another_seed_of_the_share_graph__refused),
        cmocka_unit_test(test_secagg_pitfall_36__configuration__bounds_and_attempts_of_the_site),
        cmocka_unit_test(test_secagg_pitfall_36__r__stays_until_the_senders_are_closed),
        cmocka_unit_test(test_secagg_pitfall_36__other_r_than_committed__no_site_masks),
        cmocka_unit_test(test_secagg_pitfall_36__another_graph_for_one_site__another_transcript),
        cmocka_unit_test(test_secagg_pitfall_37__losses_above_the_bound__no_vote_and_abandoned),
        cmocka_unit_test(test_secagg_pitfall_37__degree_too_small_for_the_senders__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
