/* A coordinator that cheats, continued: rosters, rolled-back sites, limits, time and history. */
#include "tests/unit/secagg/attack.h"

#include "base/le.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct world w;

static int after_each(void **state)
{
    (void)state;
    world_remove(&w);
    return 0;
}

static void finish(void)
{
    world_run(&w);
    assert_int_equal(csl_secagg_coordinator_stage(w.coordinator), CSL_SECAGG_STAGE_RELEASED);
    assert_true(world_sum_is_exact(&w));
}

static void test_secagg_pitfall_34__roster_not_the_roots__refused(void **state)
{
    struct csl_secagg_roster r;
    struct csl_buf out;
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_NEW);
    const uint8_t *root = w.root.public_key;
    csl_buf_init(&out, 1 << 20);
    assert_int_equal(csl_secagg_roster_encode(&w.roster, &w.coordinator_key, &out, NULL), CSL_OK);
    struct csl_span bytes = CSL_SPAN(out.p, out.n); /* signed by the coordinator */
    assert_int_equal(csl_secagg_roster_decode(&r, bytes, root, 1, NULL), CSL_E_CRYPTO);
    csl_buf_release(&out);
    w.roster.sites[2].is_active = false;
    csl_buf_init(&out, 1 << 20);
    assert_int_equal(csl_secagg_roster_encode(&w.roster, &w.root, &out, NULL), CSL_OK);
    bytes = CSL_SPAN(out.p, out.n);
    assert_int_equal(csl_secagg_roster_decode(&r, bytes, root, 2, NULL), CSL_E_DENIED);
    assert_int_equal(csl_secagg_roster_decode(&r, bytes, root, 1, NULL), CSL_OK);
    struct csl_secagg_site_setup setup = {
        .site = w.sites[2].id, .key = &w.sites[2].key, .roster = &r, .policy = w.sites[2].policy};
    struct csl_secagg_site *machine;
    assert_int_equal(csl_secagg_site_new(&machine, &setup, NULL), CSL_E_DENIED); /* revoked */
    csl_buf_release(&out);
    struct csl_secagg_config c = w.config; /* and a round of another roster */
    c.attempt = 2;
    c.roster_hash[0] ^= 1;
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
}

/* A site set back to each earlier state of its journal, shown what it signed since. */
static void test_secagg_pitfall_35__journal_rolled_back__site_notices_and_stops(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_PREPARING);
    struct csl_msg senders = attack_hold(&w, CSL_SECAGG_SENDERS, w.sites[0].id);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(attack_tell(&w, i, &senders), CSL_OK);
    world_run(&w);
    struct csl_msg survivors = attack_hold(&w, CSL_SECAGG_SURVIVORS, w.sites[0].id);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(attack_tell(&w, i, &survivors), CSL_OK);
    while (attack_find(&w, CSL_SECAGG_QUORUM, w.sites[0].id) == NULL)
        world_deliver(&w, 0);
    struct csl_msg quorum = attack_hold(&w, CSL_SECAGG_QUORUM, w.sites[0].id);
    assert_true(csl_secagg_site_phase(w.sites[0].machine) == CSL_SECAGG_VOTED);
    world_restart_site(&w, &w.sites[0], 2); /* before its keys were closed */
    assert_int_equal(attack_tell(&w, 0, &quorum), CSL_E_STATE);
    csl_msg_release(&senders);
    csl_msg_release(&survivors);
    csl_msg_release(&quorum);
    /* The result carries the votes: the site finds its own, which it never cast as it knows. */
    for (uint32_t i = 1; i < 5; i++)
        world_restart_site(&w, &w.sites[i], UINT32_MAX);
    world_nudge(&w);
    w.sites[0].is_dead = true;
    world_run(&w);
    w.sites[0].is_dead = false;
    assert_true(world_sum_is_exact(&w));
    struct csl_msg result = attack_hold(&w, CSL_SECAGG_RESULT, w.sites[0].id);
    assert_int_equal(attack_tell(&w, 0, &result), CSL_E_DENIED);
    assert_true(csl_secagg_site_is_suspended(w.sites[0].machine));
    assert_int_equal(w.sites[0].alarms, 1);
    assert_int_equal(attack_tell(&w, 0, &result), CSL_E_STATE);
    struct csl_secagg_site_event confirmed = {.kind = CSL_SECAGG_SE_CONFIRMED};
    assert_int_equal(world_step_site(&w, &w.sites[0], &confirmed), CSL_OK);
    assert_false(csl_secagg_site_is_suspended(w.sites[0].machine));
    /* It takes no part any more, after a restart too, and is not alarmed again. */
    world_restart_site(&w, &w.sites[0], UINT32_MAX);
    assert_false(csl_secagg_site_is_suspended(w.sites[0].machine));
    assert_true(csl_secagg_site_is_out(w.sites[0].machine));
    assert_int_equal(attack_tell(&w, 0, &result), CSL_E_DENIED);
    assert_int_equal(w.sites[0].alarms, 1);
    csl_msg_release(&result);
}

/* The journal is from before the manifest was signed, and what became of the update is withheld: in
 * the lost time it may have gone into a sum. Once it is confirmed no round is joined. */
static void test_secagg_pitfall_35__confirmed_before_its_manifest__update_is_burned(void **state)
{
    struct csl_secagg_site_event confirmed = {.kind = CSL_SECAGG_SE_CONFIRMED};
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_OPEN);
    struct csl_msg keys = attack_hold(&w, CSL_SECAGG_ROUND_KEYS, w.sites[0].id);
    struct csl_msg m0 = {0};
    assert_int_equal(csl_msg_copy(&m0, csl_msg_span(&w.journal.items[0].bytes), NULL), CSL_OK);
    world_restart_site(&w, &w.sites[0], 0);
    w.book_count = 0; /* as above: its first M1 was another */
    assert_int_equal(attack_tell(&w, 0, &m0), CSL_OK);
    assert_int_equal(attack_tell(&w, 0, &keys), CSL_E_DENIED);
    assert_true(csl_secagg_site_is_suspended(w.sites[0].machine));
    assert_int_equal(world_step_site(&w, &w.sites[0], &confirmed), CSL_OK);
    for (int restarts = 0; restarts < 2; restarts++) {
        assert_false(csl_secagg_site_is_suspended(w.sites[0].machine));
        assert_true(csl_secagg_site_phase(w.sites[0].machine) == CSL_SECAGG_IDLE);
        struct csl_secagg_config c = w.config;
        c.attempt = 2;
        assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
        c.model_hash[0] ^= 1; /* no attempt of the round, on whatever model */
        assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
        c = w.config;
        c.round++; /* and no other round */
        assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
        world_restart_site(&w, &w.sites[0], UINT32_MAX);
    }
    csl_msg_release(&keys);
    csl_msg_release(&m0);
}

/* A whole round of new updates; *result: what the sites heard of it. */
static void whole_round(uint64_t round, struct csl_msg *result)
{
    if (round > 1) {
        world_train(&w);
        world_open(&w, round, 1);
    }
    world_run_to(&w, CSL_SECAGG_STAGE_RELEASED);
    assert_true(world_sum_is_exact(&w));
    const struct parcel *p = attack_find(&w, CSL_SECAGG_RESULT, w.sites[0].id);
    assert_non_null(p);
    assert_int_equal(csl_msg_copy(result, csl_msg_span(&p->bytes), NULL), CSL_OK);
    world_run(&w);
}

static void roll_back(struct world_site *s, uint32_t records)
{
    for (uint32_t i = records; i < s->journal.count; i++)
        csl_msg_release(&s->journal.items[i].bytes);
    s->journal.count = records;
    world_restart_site(&w, s, UINT32_MAX);
}

/* c + 2 of five sites are restored from one backup, two rounds old, which comes to light with the
 * first of these rounds and is confirmed. Then the coordinator leads them through the second once
 * more, on its old model: their updates would be in two sums, whose difference is that of the other
 * two. */
static void test_secagg_pitfall_35__several_sites_rounds_ago__in_no_second_sum(void **state)
{
    const struct csl_secagg_site_event confirmed = {.kind = CSL_SECAGG_SE_CONFIRMED};
    const struct csl_secagg_site_event forget = {.kind = CSL_SECAGG_SE_FORGET};
    enum { RESTORED = 3 };
    struct csl_msg results[3] = {{0}};
    uint32_t records[RESTORED];
    uint8_t head[32];
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_NEW);
    whole_round(1, &results[0]);
    for (uint32_t i = 0; i < RESTORED; i++)
        records[i] = w.sites[i].journal.count;
    whole_round(2, &results[1]);
    memcpy(head, w.config.previous_head, sizeof(head)); /* which round 3 follows */
    whole_round(3, &results[2]);
    assert_int_equal(w.releases, 3);
    for (uint32_t i = 0; i < RESTORED; i++) {
        roll_back(&w.sites[i], records[i]);
        assert_int_equal(attack_tell(&w, i, &results[1]), CSL_E_DENIED);
        assert_true(csl_secagg_site_is_suspended(w.sites[i].machine));
        assert_int_equal(world_step_site(&w, &w.sites[i], &confirmed), CSL_OK);
        (void)attack_tell(&w, i, &results[1]);
        if (i > 0) { /* as the agent does; and the record alone is enough too */
            assert_int_equal(world_step_site(&w, &w.sites[i], &forget), CSL_OK);
            world_restart_site(&w, &w.sites[i], UINT32_MAX);
        }
    }
    w.sites[3].is_dead = w.sites[4].is_dead = true;
    memcpy(w.config.previous_head, head, sizeof(head));
    world_open(&w, 3, 1);
    do
        world_run(&w);
    while (csl_secagg_coordinator_stage(w.coordinator) < CSL_SECAGG_STAGE_RELEASED &&
           world_close(&w) == CSL_OK);
    assert_int_equal(w.releases, 3);
    for (uint32_t i = 0; i < RESTORED; i++) {
        assert_true(csl_secagg_site_phase(w.sites[i].machine) == CSL_SECAGG_IDLE);
        struct csl_secagg_config c = w.config; /* nor in a round that never was */
        c.round = 4;
        c.model_hash[0] ^= 1;
        assert_int_equal(attack_offer(&w, &w.sites[i], &c, w.weights), CSL_E_DENIED);
    }
    /* A new study has a journal of its own. */
    roll_back(&w.sites[0], 0);
    struct csl_secagg_config c = w.config;
    c.round = 1;
    c.plan_hash[0] ^= 1;
    memset(c.previous_head, 0, sizeof(c.previous_head));
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_OK);
    for (uint32_t i = 0; i < 3; i++)
        csl_msg_release(&results[i]);
}

/* Forgotten in the middle: no secret is left, nothing more is signed, and what was sent is not sent
 * in another attempt. */
static void test_secagg_threat__attempt_forgotten__update_is_burned(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_UPLOADING);
    struct csl_msg survivors = attack_hold(&w, CSL_SECAGG_SURVIVORS, w.sites[0].id);
    struct csl_secagg_site_event forget = {.kind = CSL_SECAGG_SE_FORGET};
    assert_true(csl_secagg_site_phase(w.sites[0].machine) == CSL_SECAGG_UPLOADED);
    assert_int_equal(world_step_site(&w, &w.sites[0], &forget), CSL_OK);
    for (int restarts = 0; restarts < 2; restarts++) {
        assert_true(csl_secagg_site_phase(w.sites[0].machine) == CSL_SECAGG_IDLE);
        assert_null(csl_secagg_site_sid(w.sites[0].machine));
        assert_int_equal(attack_tell(&w, 0, &survivors), CSL_E_STATE);
        struct csl_secagg_config c = w.config;
        assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
        c.attempt = 2;
        assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
        world_restart_site(&w, &w.sites[0], UINT32_MAX);
    }
    csl_msg_release(&survivors);
}

/* Rolled back to before its M1, the site makes other keys; M2 shows it the first ones. */
static void test_secagg_pitfall_35__other_keys_of_its_own__site_notices_and_stops(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_OPEN);
    struct csl_msg keys = attack_hold(&w, CSL_SECAGG_ROUND_KEYS, w.sites[0].id);
    struct csl_msg m0 = {0};
    assert_int_equal(csl_msg_copy(&m0, csl_msg_span(&w.journal.items[0].bytes), NULL), CSL_OK);
    world_restart_site(&w, &w.sites[0], 0);
    w.book_count = 0; /* the monitor forgets too: two M1 of one ctx are what is looked for */
    assert_int_equal(attack_tell(&w, 0, &m0), CSL_OK);
    assert_int_equal(attack_tell(&w, 0, &keys), CSL_E_DENIED);
    assert_true(csl_secagg_site_is_suspended(w.sites[0].machine));
    csl_msg_release(&keys);
    csl_msg_release(&m0);
}

static void test_secagg_pitfall_36__sparse_graph_of_few_sites__refused(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_OPEN);
    struct csl_secagg_config c = w.config;
    struct csl_buf out;
    csl_buf_init(&out, CSL_SECAGG_CONFIG_BYTES_MAX);
    c.graph = 2;
    assert_int_equal(csl_secagg_config_encode(&c, &w.coordinator_key, &out, NULL),
                     CSL_E_UNSUPPORTED);
    c.graph = 1;
    assert_int_equal(csl_secagg_config_encode(&c, &w.coordinator_key, &out, NULL), CSL_E_INVAL);
    c.graph = 0;
    c.mask_degree = 96; /* beside a complete graph */
    assert_int_equal(csl_secagg_config_encode(&c, &w.coordinator_key, &out, NULL), CSL_E_INVAL);
    c.mask_degree = 0;
    assert_int_equal(csl_secagg_config_encode(&c, &w.coordinator_key, &out, NULL), CSL_OK);
    /* After header, federation, round, attempt, suite, five digests, n_min and c. */
    size_t graph = 38 + 16 + 8 + 2 + 2 + 160 + 4 + 4;
    out.p[graph] = 1;
    assert_int_equal(csl_secagg_config_decode(&c, CSL_SPAN(out.p, out.n), NULL), CSL_E_PROTO);
    out.p[graph] = 2;
    assert_int_equal(csl_secagg_config_decode(&c, CSL_SPAN(out.p, out.n), NULL), CSL_E_UNSUPPORTED);
    csl_buf_release(&out);
    struct csl_msg keys = attack_hold(&w, CSL_SECAGG_ROUND_KEYS, w.sites[0].id);
    struct csl_secagg_message m = attack_view(&keys);
    m.u.round_keys.graph_seed[0] = 1;
    struct csl_msg seeded = attack_forge(&m, &w.coordinator_key);
    assert_int_equal(attack_tell(&w, 0, &seeded), CSL_E_UNSUPPORTED);
    csl_msg_release(&keys);
    csl_msg_release(&seeded);
}

static void test_secagg_pitfall_38__thresholds_too_low__refused(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_NEW);
    for (uint32_t c = 0; c < 40; c++) /* t_g > c and 2 t_g > n1 + c wherever a quorum exists */
        for (uint32_t n1 = c + 1; n1 <= 3 * c + 10; n1++) {
            uint32_t t = csl_secagg_quorum(n1, c);
            assert_true(t > c && 2 * t > n1 + c && t <= n1);
            assert_true(c + csl_secagg_openings_max(t, c) < t);
        }
    struct csl_secagg_policy p = w.sites[0].policy;
    assert_int_equal(csl_secagg_policy_check(&p, NULL), CSL_OK);
    p.honest_min = 1;
    assert_int_equal(csl_secagg_policy_check(&p, NULL), CSL_E_INVAL);
    p = w.sites[0].policy;
    p.effective_min = p.colluding + 1;
    assert_int_equal(csl_secagg_policy_check(&p, NULL), CSL_E_INVAL);
    struct csl_secagg_config c = w.config;
    c.attempt = 2;
    c.colluding = 0; /* fewer than this site assumes */
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
    c = w.config;
    c.attempt = 2;
    c.blocks[1].sites_min = 1;
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
}

/* Counts of 4 billion in every place of every message, one 32-bit word after the other: refused
 * before anything is allocated for them. */
static void test_secagg_pitfall_40__counts_of_four_billion__refused_without_memory(void **state)
{
    struct csl_secagg_message m;
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_OPEN);
    struct csl_msg keys = attack_hold(&w, CSL_SECAGG_ROUND_KEYS, w.sites[0].id);
    uint32_t refused = 0;
    (void)csl_mem_fail_after(0);
    for (size_t i = CSL_SECAGG_HEADER_BYTES; i + 4 <= keys.n; i++) {
        uint8_t kept[4];
        memcpy(kept, keys.p + i, 4);
        memset(keys.p + i, 0xff, 4);
        refused += csl_secagg_decode(&m, csl_msg_span(&keys), NULL) != CSL_OK ? 1 : 0;
        memcpy(keys.p + i, kept, 4);
    }
    assert_int_equal(csl_mem_fail_after(0), 0);
    assert_true(refused >= 12); /* both thresholds and the count, and around them */
    csl_msg_release(&keys);
}

/* Numbers that overflow when they are multiplied. */
static void test_secagg_pitfall_39__lengths_that_overflow__refused(void **state)
{
    static const uint32_t counts[] = {0x7fffffff, 0xffffffff, 0x33333334, 0x10000000, 1025};
    struct csl_secagg_message m;
    uint8_t bytes[256];
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_NEW);
    for (uint8_t type = 1; type < 30; type++)
        for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++)
            for (size_t n = CSL_SECAGG_HEADER_BYTES; n <= sizeof(bytes); n += 7)
                for (size_t at = CSL_SECAGG_HEADER_BYTES; at + 4 <= n && at < 120; at += 4) {
                    memset(bytes, 0, sizeof(bytes));
                    bytes[0] = type;
                    bytes[1] = CSL_SECAGG_VERSION;
                    csl_store_le32(bytes + at, counts[k]);
                    if (csl_secagg_decode(&m, CSL_SPAN(bytes, n), NULL) == CSL_OK)
                        assert_true(m.body.n <= n && m.body.p == bytes);
                }
    struct csl_secagg_config c = w.config;
    c.blocks[0].entries = CSL_SECAGG_ENTRIES_MAX; /* the largest block there may be */
    c.blocks[0].lane_bits = 64;
    assert_true(csl_secagg_block_words(&c, 0) == CSL_SECAGG_ENTRIES_MAX);
    assert_int_equal(csl_secagg_block_chunks(&c, 0), 32768);
    struct csl_buf out;
    csl_buf_init(&out, CSL_SECAGG_CONFIG_BYTES_MAX);
    c.blocks[0].entries++;
    assert_int_equal(csl_secagg_config_encode(&c, &w.coordinator_key, &out, NULL), CSL_E_INVAL);
    csl_buf_release(&out);
}

/* No clock reaches the machines: an old message that still fits is answered, whenever it comes. */
static void test_secagg_pitfall_42__message_after_a_long_time__same_answer(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_UPLOADING);
    struct csl_msg survivors = attack_hold(&w, CSL_SECAGG_SURVIVORS, w.sites[0].id);
    for (uint32_t i = 0; i < 50; i++) {
        world_nudge(&w);
        attack_swallow(&w, CSL_SECAGG_SURVIVORS);
        world_run(&w);
    }
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(attack_tell(&w, i, &survivors), CSL_OK);
    finish();
    csl_msg_release(&survivors);
}

static void test_secagg_pitfall_43__message_on_another_sites_connection__refused(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_UPLOADING);
    struct csl_secagg_message vote = {.type = CSL_SECAGG_VOTE,
                                      .site = w.sites[1].id,
                                      .u.vote = {.choice = CSL_SECAGG_VOTE_ABANDON}};
    memcpy(vote.id, csl_secagg_site_sid(w.sites[0].machine), 32);
    struct csl_msg m = attack_forge(&vote, &w.sites[1].key);
    assert_int_equal(world_tell_coordinator(&w, w.sites[0].id, csl_msg_span(&m)), CSL_E_UNAUTH);
    assert_int_equal(w.alarms, 1);
    csl_msg_release(&m);
}

static void test_secagg_pitfall_50__new_round_on_an_old_model__refused(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_VOTING);
    finish();
    world_run(&w);
    struct csl_secagg_config c = w.config; /* previous_head is the new one */
    c.round = 2;
    c.attempt = 1;
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
    c.model_hash[0] ^= 1;
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_OK);
    world_restart_site(&w, &w.sites[0], UINT32_MAX);
    c.round = 3;
    c.model_hash[0] ^= 1; /* and it is remembered over rounds and restarts */
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
}

/* With noise for each round the next may be on the same model; the same round may not, nor one that
 * the site contributed to before it went back. */
static void test_secagg_pitfall_50__repeats_allowed__each_round_once(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_NEW);
    w.sites[0].repeats_models = true;
    world_restart_site(&w, &w.sites[0], UINT32_MAX);
    world_run_to(&w, CSL_SECAGG_STAGE_VOTING);
    finish();
    world_run(&w);
    struct csl_secagg_config c = w.config;
    c.attempt = 2;
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
    c.round = 2;
    c.attempt = 1;
    assert_int_equal(attack_offer(&w, &w.sites[1], &c, w.weights), CSL_E_DENIED);
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_OK);
    csl_secagg_site_check(w.sites[0].machine);
    world_restart_site(&w, &w.sites[0], UINT32_MAX);
    assert_int_equal(attack_offer(&w, &w.sites[0], &w.config, w.weights), CSL_E_DENIED);
}

/* Whatever its model: the update of the first attempt may still come to be in a sum. */
static void test_secagg_threat__second_attempt_without_a_certificate__refused(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_UPLOADING);
    struct csl_secagg_config c = w.config;
    c.attempt = 2;
    c.model_hash[0] ^= 1;
    assert_int_equal(csl_secagg_site_update(w.sites[0].machine), CSL_SECAGG_UPDATE_PENDING);
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
    c.round = 2; /* in the next round, on another model, the old update is given up */
    c.attempt = 1;
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_OK);
    c.round = 3;
    c.model_hash[0] ^= 1; /* and never made again */
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
}

static void test_secagg_threat__round_after_an_unknown_ledger_head__refused(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_NEW);
    struct csl_secagg_config c = w.config;
    c.round = 2;
    c.previous_head[31] ^= 1;
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
    c.previous_head[31] ^= 1;
    assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_OK);
}

int main(void)
{
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
#define TEST(f) cmocka_unit_test_teardown(f, after_each)
    const struct CMUnitTest tests[] = {
        TEST(test_secagg_pitfall_34__roster_not_the_roots__refused),
        TEST(test_secagg_pitfall_35__journal_rolled_back__site_notices_and_stops),
        TEST(test_secagg_pitfall_35__other_keys_of_its_own__site_notices_and_stops),
        TEST(test_secagg_pitfall_35__confirmed_before_its_manifest__update_is_burned),
        TEST(test_secagg_pitfall_35__several_sites_rounds_ago__in_no_second_sum),
        TEST(test_secagg_threat__attempt_forgotten__update_is_burned),
        TEST(test_secagg_pitfall_36__sparse_graph_of_few_sites__refused),
        TEST(test_secagg_pitfall_38__thresholds_too_low__refused),
        TEST(test_secagg_pitfall_39__lengths_that_overflow__refused),
        TEST(test_secagg_pitfall_40__counts_of_four_billion__refused_without_memory),
        TEST(test_secagg_pitfall_42__message_after_a_long_time__same_answer),
        TEST(test_secagg_pitfall_43__message_on_another_sites_connection__refused),
        TEST(test_secagg_threat__second_attempt_without_a_certificate__refused),
        TEST(test_secagg_threat__round_after_an_unknown_ledger_head__refused),
        TEST(test_secagg_pitfall_50__new_round_on_an_old_model__refused),
        TEST(test_secagg_pitfall_50__repeats_allowed__each_round_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
