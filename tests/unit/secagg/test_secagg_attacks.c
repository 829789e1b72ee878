/* A coordinator that cheats, against the machines of the sites: keys, shares and votes. Numbers are
 * those of the pitfalls in the design (section 8). */
#include "tests/unit/secagg/attack.h"

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

static uint32_t reveals(void)
{
    return monitor_count(&w, CSL_SECAGG_UNMASK, 0);
}

/* The same M9 without the last survivor, under the coordinator's signature. */
static struct csl_msg other_survivors(const struct csl_msg *survivors)
{
    struct csl_secagg_message m = attack_view(survivors);
    struct csl_secagg_survivors *s = &m.u.survivors;
    uint32_t bytes = csl_secagg_set_bytes(s->count), last = s->count - 1;
    uint8_t blocks[64];
    assert_true(s->block_count * bytes <= sizeof(blocks));
    memcpy(blocks, s->block_bits, (size_t)s->block_count * bytes);
    s->members.bits[last / 8] = (uint8_t)(s->members.bits[last / 8] & ~(1u << last % 8));
    for (uint32_t b = 0; b < s->block_count; b++)
        blocks[b * bytes + last / 8] = (uint8_t)(blocks[b * bytes + last / 8] & ~(1u << last % 8));
    s->block_bits = blocks;
    return attack_forge(&m, &w.coordinator_key);
}

static void test_secagg_pitfall_01__other_data_after_a_restart__refused(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_UPLOADING);
    struct world_site *s = &w.sites[0];
    struct csl_secagg_masks *masks;
    assert_int_equal(csl_secagg_site_phase(s->machine), CSL_SECAGG_UPLOADED);
    uint32_t first = 0; /* how many records until the manifest is in */
    while (s->journal.items[first++].record != CSL_SECAGG_SJ_MASKED)
        assert_true(first < s->journal.count);
    for (uint32_t records = first; records <= s->journal.count; records++) {
        world_restart_site(&w, s, records);
        s->masked.blocks[0].root[0] ^= 1; /* the model on disk has changed */
        struct csl_secagg_site_event ev = {.kind = CSL_SECAGG_SE_MASKED, .masked = &s->masked};
        assert_int_equal(world_step_site(&w, s, &ev), CSL_E_STATE);
        s->masked.blocks[0].root[0] ^= 1;
        assert_int_equal(csl_secagg_site_masks(s->machine, &masks, NULL), CSL_E_STATE);
    }
    assert_int_equal(monitor_count(&w, CSL_SECAGG_MANIFEST, s->id), 1);
}

static void test_secagg_pitfall_02__second_survivor_set__no_second_kind_of_share(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_UPLOADING);
    struct csl_msg first = attack_hold(&w, CSL_SECAGG_SURVIVORS, w.sites[0].id);
    struct csl_msg second = other_survivors(&first);
    assert_int_equal(attack_tell(&w, 0, &first), CSL_OK);
    assert_int_equal(attack_tell(&w, 0, &second), CSL_E_STATE);
    for (uint32_t i = 1; i < 5; i++)
        assert_int_equal(attack_tell(&w, i, &first), CSL_OK);
    world_run(&w); /* they reveal for the first */
    assert_int_equal(reveals(), 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(attack_tell(&w, i, &second), CSL_E_STATE);
        world_restart_site(&w, &w.sites[i], UINT32_MAX);
        assert_int_equal(attack_tell(&w, i, &second), CSL_E_STATE);
    }
    world_run(&w);
    assert_int_equal(reveals(), 5); /* the monitor asserts that they are the same bytes */
    csl_msg_release(&first);
    csl_msg_release(&second);
}

static void test_secagg_pitfall_03__less_than_a_quorum__nothing_is_revealed(void **state)
{
    static const uint32_t four[] = {0, 1, 2, 3}, twice[] = {0, 1, 2, 2};
    uint8_t transcript[32], other[32] = {9};
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_PREPARING);
    struct csl_msg u2 = attack_hold(&w, CSL_SECAGG_SENDERS, w.sites[0].id);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(attack_tell(&w, i, &u2), CSL_OK);
    world_run(&w);
    struct csl_msg u3 = attack_hold(&w, CSL_SECAGG_SURVIVORS, w.sites[0].id);
    const uint8_t *sid = csl_secagg_site_sid(w.sites[0].machine);
    attack_transcript(&w, &u2, &u3, transcript);
    assert_int_equal(attack_tell(&w, 0, &u3), CSL_OK);
    struct csl_msg few = attack_votes(&w, sid, CSL_SECAGG_VOTE_FOR, transcript, four, 3);
    struct csl_msg doubled = attack_votes(&w, sid, CSL_SECAGG_VOTE_FOR, transcript, twice, 4);
    struct csl_msg foreign = attack_votes(&w, other, CSL_SECAGG_VOTE_FOR, transcript, four, 4);
    struct csl_msg others_t = attack_votes(&w, sid, CSL_SECAGG_VOTE_FOR, other, four, 4);
    struct csl_msg wrong_key = attack_votes(&w, sid, CSL_SECAGG_VOTE_FOR, transcript, four, 4);
    struct csl_msg wrong_type = attack_votes(&w, sid, CSL_SECAGG_VOTE_ABANDON, other, four, 4);
    memcpy(foreign.p + 2, sid, 32); /* votes of another session in this one's envelope */
    wrong_key.p[wrong_key.n - 1] ^= 1;
    assert_int_equal(attack_tell(&w, 0, &few), CSL_E_DENIED);
    assert_int_equal(attack_tell(&w, 0, &doubled), CSL_E_PROTO);
    assert_int_equal(attack_tell(&w, 0, &foreign), CSL_E_CRYPTO);
    assert_int_equal(attack_tell(&w, 0, &others_t), CSL_E_STATE);
    assert_int_equal(attack_tell(&w, 0, &wrong_key), CSL_E_CRYPTO);
    assert_int_equal(reveals(), 0);
    struct csl_msg right = attack_votes(&w, sid, CSL_SECAGG_VOTE_FOR, transcript, four, 4);
    for (uint32_t i = 1; i < 5; i++)
        assert_int_equal(attack_tell(&w, i, &u3), CSL_OK);
    assert_int_equal(attack_tell(&w, 4, &right), CSL_OK); /* so the refusals had their reasons */
    assert_int_equal(reveals(), 1);
    struct csl_msg *all[] = {&u2,    &u3,       &few,       &doubled,   &foreign,
                             &right, &others_t, &wrong_key, &wrong_type};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        csl_msg_release(all[i]);
}

/* A survivor set of which one voter is not a member: its vote counts for nothing. */
static void test_secagg_pitfall_03__votes_from_outside_the_survivors__refused(void **state)
{
    static const uint32_t voters[] = {0, 1, 2, 4};
    uint8_t transcript[32];
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_PREPARING);
    struct csl_msg u2 = attack_hold(&w, CSL_SECAGG_SENDERS, w.sites[0].id);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(attack_tell(&w, i, &u2), CSL_OK);
    world_run(&w);
    struct csl_msg all = attack_hold(&w, CSL_SECAGG_SURVIVORS, w.sites[0].id);
    struct csl_msg u3 = other_survivors(&all);
    attack_transcript(&w, &u2, &u3, transcript);
    struct csl_msg votes = attack_votes(&w, csl_secagg_site_sid(w.sites[0].machine),
                                        CSL_SECAGG_VOTE_FOR, transcript, voters, 4);
    assert_int_equal(attack_tell(&w, 0, &u3), CSL_OK);
    assert_int_equal(attack_tell(&w, 0, &votes), CSL_E_DENIED);
    assert_int_equal(reveals(), 0);
    csl_msg_release(&u2);
    csl_msg_release(&all);
    csl_msg_release(&u3);
    csl_msg_release(&votes);
}

/* What happens to four honest sites of five when the coordinator and the fifth cheat: each votes
 * for T, to abandon, or not yet. Site 4 is corrupted: its key signs whatever is needed. */
static void differ(uint32_t votes)
{
    uint32_t for_t[5], against[5], n_for = 0, n_against = 0;
    uint8_t transcript[32];
    struct csl_secagg_site_event give_up = {.kind = CSL_SECAGG_SE_GIVE_UP};
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_PREPARING);
    struct csl_msg u2 = attack_hold(&w, CSL_SECAGG_SENDERS, w.sites[0].id);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(attack_tell(&w, i, &u2), CSL_OK);
    world_run(&w);
    struct csl_msg u3 = attack_hold(&w, CSL_SECAGG_SURVIVORS, w.sites[0].id);
    attack_transcript(&w, &u2, &u3, transcript);
    for (uint32_t i = 0; i < 4; i++, votes /= 3) {
        if (votes % 3 == 1) {
            assert_int_equal(attack_tell(&w, i, &u3), CSL_OK);
            for_t[n_for++] = i;
        } else if (votes % 3 == 2) {
            assert_int_equal(world_step_site(&w, &w.sites[i], &give_up), CSL_OK);
            against[n_against++] = i;
        }
    }
    for_t[n_for++] = against[n_against++] = 4; /* it votes twice */
    w.corrupted = 1;
    const uint8_t *sid = csl_secagg_site_sid(w.sites[0].machine);
    struct csl_msg t = attack_votes(&w, sid, CSL_SECAGG_VOTE_FOR, transcript, for_t, n_for);
    struct csl_msg a =
        attack_votes(&w, sid, CSL_SECAGG_VOTE_ABANDON, transcript, against, n_against);
    bool is_released = false;
    for (uint32_t i = 0; i < 4; i++) {
        (void)attack_tell(&w, i, &t);
        (void)attack_tell(&w, i, &a);
        is_released =
            is_released || csl_secagg_site_phase(w.sites[i].machine) == CSL_SECAGG_REVEALED;
    }
    /* The second attempt with the same update, offered to everybody. */
    while (w.queued > 0)
        world_drop(&w, 0);
    world_open(&w, 1, 2);
    uint32_t joined = 0;
    for (uint32_t i = 0; i < 4; i++) {
        struct csl_msg m0 = attack_hold(&w, CSL_SECAGG_CONFIG, w.sites[i].id);
        enum csl_code code = attack_tell(&w, i, &m0);
        assert_true(code == CSL_OK || code == CSL_E_DENIED);
        joined += code == CSL_OK ? 1 : 0;
        csl_msg_release(&m0);
        world_nudge(&w);
    }
    assert_false(is_released && joined > 0);
    assert_int_equal(joined, n_against >= 4 ? 4 : 0);
    csl_msg_release(&u2);
    csl_msg_release(&u3);
    csl_msg_release(&t);
    csl_msg_release(&a);
}

static void
test_secagg_pitfall_04__all_votes_of_four_honest_sites__no_two_sums_of_one_x(void **state)
{
    (void)state;
    for (uint32_t votes = 0; votes < 81; votes++) {
        differ(votes);
        if (votes < 80)
            world_remove(&w);
    }
}

/* M2 with fewer sites, or with thresholds that a fraction of U1 would give. */
static enum csl_code tell_shrunk(const struct csl_msg *keys, uint32_t count, uint32_t quorum)
{
    struct csl_secagg_message m = attack_view(keys);
    m.u.round_keys.count = count;
    m.u.round_keys.quorum = m.u.round_keys.threshold = quorum;
    struct csl_msg forged = attack_forge(&m, &w.coordinator_key);
    enum csl_code code = attack_tell(&w, 0, &forged);
    csl_msg_release(&forged);
    return code;
}

static void test_secagg_pitfall_05__list_shrunk_to_the_corrupted__refused(void **state)
{
    (void)state;
    attack_begin(&w, 9, 3, CSL_SECAGG_STAGE_OPEN);
    struct csl_msg keys = attack_hold(&w, CSL_SECAGG_ROUND_KEYS, w.sites[0].id);
    assert_int_equal(tell_shrunk(&keys, 9, 6), CSL_E_DENIED); /* 2/3 of 9; 7 is right */
    assert_int_equal(tell_shrunk(&keys, 5, 4), CSL_E_DENIED); /* from c = 3: 5 */
    assert_int_equal(tell_shrunk(&keys, 4, 3), CSL_E_DENIED); /* fewer than n_min */
    assert_int_equal(tell_shrunk(&keys, 3, 3), CSL_E_DENIED); /* no quorum exists */
    assert_int_equal(attack_tell(&w, 0, &keys), CSL_OK);
    csl_msg_release(&keys);
}

/* Replaces what site `index` advertised, signed by that site's own key, in an M2. */
static struct csl_msg replace_advertised(const struct csl_msg *keys, uint32_t index,
                                         const struct csl_secagg_message *advertised)
{
    uint8_t all[16 * CSL_SECAGG_ADVERTISE_BYTES];
    struct csl_secagg_message m = attack_view(keys);
    size_t n = (size_t)m.u.round_keys.count * CSL_SECAGG_ADVERTISE_BYTES;
    assert_true(n <= sizeof(all));
    memcpy(all, m.u.round_keys.advertised, n);
    struct csl_msg one = attack_forge(advertised, &w.sites[index].key);
    memcpy(all + (size_t)index * CSL_SECAGG_ADVERTISE_BYTES, one.p, one.n);
    csl_msg_release(&one);
    m.u.round_keys.advertised = all;
    return attack_forge(&m, &w.coordinator_key);
}

static void test_secagg_pitfall_06__small_order_and_identity_keys__refused(void **state)
{
    struct csl_secagg_message one;
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_OPEN);
    struct csl_msg keys = attack_hold(&w, CSL_SECAGG_ROUND_KEYS, w.sites[0].id);
    struct csl_secagg_message m = attack_view(&keys);
    csl_secagg_advertised_at(&m.u.round_keys, 3, &one);
    memset(one.u.advertise.mask_key.bytes, 0, 32); /* the identity */
    struct csl_msg identity = replace_advertised(&keys, 3, &one);
    csl_secagg_advertised_at(&m.u.round_keys, 3, &one);
    memset(one.u.advertise.channel_key, 0, 32); /* a point of small order */
    struct csl_msg small = replace_advertised(&keys, 3, &one);
    csl_secagg_advertised_at(&m.u.round_keys, 3, &one);
    memset(one.u.advertise.mask_key.bytes, 0xff, 32); /* not canonical */
    struct csl_msg encoding = replace_advertised(&keys, 3, &one);
    assert_int_equal(attack_tell(&w, 0, &identity), CSL_E_CRYPTO);
    assert_int_equal(attack_tell(&w, 0, &small), CSL_E_CRYPTO);
    assert_int_equal(attack_tell(&w, 0, &encoding), CSL_E_CRYPTO);
    csl_msg_release(&keys);
    csl_msg_release(&identity);
    csl_msg_release(&small);
    csl_msg_release(&encoding);
}

static void test_secagg_pitfall_07__key_of_another_site__refused(void **state)
{
    struct csl_secagg_message one, victim;
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_OPEN);
    struct csl_msg keys = attack_hold(&w, CSL_SECAGG_ROUND_KEYS, w.sites[0].id);
    struct csl_secagg_message m = attack_view(&keys);
    csl_secagg_advertised_at(&m.u.round_keys, 0, &victim);
    csl_secagg_advertised_at(&m.u.round_keys, 3, &one);
    one.u.advertise.mask_key = victim.u.advertise.mask_key;
    struct csl_msg mask = replace_advertised(&keys, 3, &one);
    csl_secagg_advertised_at(&m.u.round_keys, 3, &one);
    memcpy(one.u.advertise.channel_key, victim.u.advertise.channel_key, 32);
    struct csl_msg channel = replace_advertised(&keys, 3, &one);
    csl_secagg_advertised_at(&m.u.round_keys, 3, &one);
    one.u.advertise.mask_key = victim.u.advertise.mask_key;
    one.u.advertise.mask_key.bytes[31] |= 0x80; /* the same key under other bytes */
    struct csl_msg disguised = replace_advertised(&keys, 3, &one);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(attack_tell(&w, i, &mask), CSL_E_CRYPTO);
        assert_int_equal(attack_tell(&w, i, &channel), CSL_E_CRYPTO);
        assert_int_equal(attack_tell(&w, i, &disguised), CSL_E_CRYPTO);
    }
    csl_msg_release(&disguised);
    csl_msg_release(&keys);
    csl_msg_release(&mask);
    csl_msg_release(&channel);
}

static void test_secagg_pitfall_08__own_keys_missing_or_altered__refused(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_OPEN);
    struct csl_msg keys = attack_hold(&w, CSL_SECAGG_ROUND_KEYS, w.sites[0].id);
    struct csl_secagg_message m = attack_view(&keys);
    m.u.round_keys.count = 4; /* without the last site */
    m.u.round_keys.quorum = m.u.round_keys.threshold = 3;
    struct csl_msg missing = attack_forge(&m, &w.coordinator_key);
    m = attack_view(&keys);
    uint8_t all[5 * CSL_SECAGG_ADVERTISE_BYTES];
    memcpy(all, m.u.round_keys.advertised, sizeof(all));
    all[4 * CSL_SECAGG_ADVERTISE_BYTES + 100] ^= 1; /* and the coordinator cannot sign for it */
    m.u.round_keys.advertised = all;
    struct csl_msg altered = attack_forge(&m, &w.coordinator_key);
    assert_int_equal(attack_tell(&w, 3, &keys), CSL_OK);
    assert_int_equal(attack_tell(&w, 3, &missing), CSL_E_STATE); /* one list of keys per round */
    assert_int_equal(attack_tell(&w, 4, &missing), CSL_E_DENIED);
    assert_int_equal(attack_tell(&w, 4, &altered), CSL_E_CRYPTO);
    assert_int_equal(monitor_count(&w, CSL_SECAGG_SHARES, w.sites[4].id), 0);
    csl_msg_release(&keys);
    csl_msg_release(&missing);
    csl_msg_release(&altered);
}

/* ---- dealers ---- */

enum fault { FAULT_SEALED, FAULT_COMMITMENT, FAULT_COMMITMENT_OF_KEY, FAULT_OTHER_KEY };

/* Site 3 deals what does not fit; what does it take until it is out, and who stays in? */
static void deal_badly(enum fault fault)
{
    attack_begin(&w, 7, 2, CSL_SECAGG_STAGE_OPEN);
    assert_int_equal(world_close(&w), CSL_OK);
    while (attack_find(&w, CSL_SECAGG_SHARES, 0) == NULL || w.queue[0].to != 0)
        world_deliver(&w, 0);
    for (uint32_t i = 0; i < w.queued; i++) {
        struct parcel *p = &w.queue[i];
        if (p->kind != PARCEL_MESSAGE || p->from != w.sites[3].id ||
            p->bytes.p[0] != CSL_SECAGG_SHARES)
            continue;
        struct csl_secagg_message m = attack_view(&p->bytes);
        struct csl_point commitments[16];
        uint32_t t = m.u.shares.threshold;
        memcpy(commitments, m.u.shares.b, (size_t)32 * t);
        memcpy(commitments + t, m.u.shares.s, (size_t)32 * t);
        if (fault == FAULT_SEALED) /* the tail of the message: the share of the last site */
            p->bytes.p[p->bytes.n - 1] ^= 1;
        if (fault == FAULT_COMMITMENT)
            commitments[1] = commitments[2];
        if (fault == FAULT_COMMITMENT_OF_KEY)
            commitments[t + 1] = commitments[t + 2];
        if (fault == FAULT_OTHER_KEY)
            commitments[t] = commitments[0];
        m.u.shares.b = commitments;
        m.u.shares.s = commitments + t;
        if (fault != FAULT_SEALED) {
            struct csl_msg forged = attack_forge(&m, &w.sites[3].key);
            csl_msg_release(&p->bytes);
            p->bytes = forged;
        }
    }
    world_run_to(&w, CSL_SECAGG_STAGE_VOTING);
    world_run(&w);
}

static void test_secagg_pitfall_10__one_share_spoiled__opened_and_the_sum_is_exact(void **state)
{
    (void)state;
    deal_badly(FAULT_SEALED);
    assert_int_equal(monitor_count(&w, CSL_SECAGG_OPENING, w.sites[3].id), 1);
    assert_true(csl_secagg_coordinator_is_survivor(w.coordinator, w.sites[3].id));
    assert_true(world_sum_is_exact(&w));
}

static void test_secagg_pitfall_10__commitments_that_fit_nobody__dealer_excluded(void **state)
{
    (void)state;
    deal_badly(FAULT_COMMITMENT);
    assert_false(csl_secagg_coordinator_is_survivor(w.coordinator, w.sites[3].id));
    assert_true(csl_secagg_coordinator_is_survivor(w.coordinator, w.sites[2].id));
    assert_true(world_sum_is_exact(&w));
    /* However many complain, it opened no more than cannot hurt it. */
    assert_true(monitor_count(&w, CSL_SECAGG_OPENING, w.sites[3].id) <=
                csl_secagg_openings_max(5, 2));
}

static void test_secagg_pitfall_10__commitments_of_the_key_fit_nobody__dealer_excluded(void **state)
{
    (void)state;
    deal_badly(FAULT_COMMITMENT_OF_KEY);
    assert_false(csl_secagg_coordinator_is_survivor(w.coordinator, w.sites[3].id));
    assert_true(world_sum_is_exact(&w));
}

static void test_secagg_pitfall_10__shares_of_another_key__dealer_excluded(void **state)
{
    (void)state;
    deal_badly(FAULT_OTHER_KEY);
    assert_false(csl_secagg_coordinator_is_survivor(w.coordinator, w.sites[3].id));
    assert_true(world_sum_is_exact(&w));
}

/* The coordinator spoils sealed shares of an honest dealer for as many honest sites as it likes. */
static void test_secagg_pitfall_10__many_false_disputes__dealer_keeps_its_secret(void **state)
{
    (void)state;
    attack_begin(&w, 7, 2, CSL_SECAGG_STAGE_SHARING);
    uint32_t opened = 0, max = csl_secagg_openings_max(5, 2);
    for (uint32_t i = 1; i < 7; i++) {
        struct csl_secagg_message ack = {
            .type = CSL_SECAGG_ACK, .site = w.sites[i].id, .u.ack = {.count = 7}};
        memcpy(ack.id, csl_secagg_site_sid(w.sites[0].machine), 32);
        csl_secagg_set_put(&ack.u.ack.complaints, 0);
        struct csl_msg complaint = attack_forge(&ack, &w.sites[i].key);
        struct csl_secagg_message m = {.type = CSL_SECAGG_DISPUTE,
                                       .site = w.sites[0].id,
                                       .u.dispute = {.ack = csl_msg_span(&complaint)}};
        memcpy(m.id, ack.id, 32);
        struct csl_msg dispute = attack_forge(&m, NULL);
        enum csl_code code = attack_tell(&w, 0, &dispute);
        assert_int_equal(code, opened < max ? CSL_OK : CSL_E_DENIED);
        opened += code == CSL_OK ? 1 : 0;
        csl_msg_release(&complaint);
        csl_msg_release(&dispute);
    }
    assert_int_equal(opened, max);
    assert_true(opened + 2 < 5); /* with the two colluding ones: fewer than t_s */
}

static void test_secagg_pitfall_11__wrong_share_at_the_end__sender_named_and_sum_exact(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_UPLOADING);
    assert_int_equal(world_close(&w), CSL_OK);
    while (csl_secagg_coordinator_stage(w.coordinator) != CSL_SECAGG_STAGE_UNMASKING)
        world_deliver(&w, 0);
    while (attack_find(&w, CSL_SECAGG_UNMASK, 0) == NULL || w.queue[0].to != 0)
        world_deliver(&w, 0);
    for (uint32_t i = 0; i < w.queued; i++) {
        struct parcel *p = &w.queue[i];
        if (p->from != w.sites[0].id || p->kind != PARCEL_MESSAGE ||
            p->bytes.p[0] != CSL_SECAGG_UNMASK)
            continue;
        struct csl_secagg_message m = attack_view(&p->bytes);
        struct csl_scalar shares[5];
        memcpy(shares, m.u.unmask.shares, sizeof(shares));
        shares[2].bytes[0] ^= 1;
        m.u.unmask.shares = shares;
        struct csl_msg forged = attack_forge(&m, &w.sites[0].key);
        csl_msg_release(&p->bytes);
        p->bytes = forged;
    }
    world_run(&w);
    assert_int_equal(w.named, 1);
    assert_int_equal(csl_secagg_coordinator_stage(w.coordinator), CSL_SECAGG_STAGE_RELEASED);
    assert_true(world_sum_is_exact(&w));
}

int main(void)
{
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
#define TEST(f) cmocka_unit_test_teardown(f, after_each)
    const struct CMUnitTest tests[] = {
        TEST(test_secagg_pitfall_01__other_data_after_a_restart__refused),
        TEST(test_secagg_pitfall_02__second_survivor_set__no_second_kind_of_share),
        TEST(test_secagg_pitfall_03__less_than_a_quorum__nothing_is_revealed),
        TEST(test_secagg_pitfall_03__votes_from_outside_the_survivors__refused),
        TEST(test_secagg_pitfall_04__all_votes_of_four_honest_sites__no_two_sums_of_one_x),
        TEST(test_secagg_pitfall_05__list_shrunk_to_the_corrupted__refused),
        TEST(test_secagg_pitfall_06__small_order_and_identity_keys__refused),
        TEST(test_secagg_pitfall_07__key_of_another_site__refused),
        TEST(test_secagg_pitfall_08__own_keys_missing_or_altered__refused),
        TEST(test_secagg_pitfall_10__one_share_spoiled__opened_and_the_sum_is_exact),
        TEST(test_secagg_pitfall_10__commitments_that_fit_nobody__dealer_excluded),
        TEST(test_secagg_pitfall_10__commitments_of_the_key_fit_nobody__dealer_excluded),
        TEST(test_secagg_pitfall_10__shares_of_another_key__dealer_excluded),
        TEST(test_secagg_pitfall_10__many_false_disputes__dealer_keeps_its_secret),
        TEST(test_secagg_pitfall_11__wrong_share_at_the_end__sender_named_and_sum_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
