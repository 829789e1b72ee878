/* Rows of the threat table (design, section 7) on the coordinator that no numbered pitfall covers:
 * what one site is told differs from what is true, or from what the others are told. */
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

/* Tells site 0 what the test made of a message, signed again by the coordinator. */
static enum csl_code tell_forged(const struct csl_secagg_message *m)
{
    struct csl_msg forged = attack_forge(m, &w.coordinator_key);
    enum csl_code code = attack_tell(&w, 0, &forged);
    csl_msg_release(&forged);
    return code;
}

static void test_secagg_threat__message_not_signed_by_the_coordinator__refused(void **state)
{
    static const uint8_t types[] = {CSL_SECAGG_ROUND_KEYS, CSL_SECAGG_SENDERS,
                                    CSL_SECAGG_SURVIVORS};
    static const enum csl_secagg_stage stages[] = {
        CSL_SECAGG_STAGE_OPEN, CSL_SECAGG_STAGE_PREPARING, CSL_SECAGG_STAGE_UPLOADING};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        attack_begin(&w, 5, 1, stages[i]);
        struct csl_msg m = attack_hold(&w, types[i], w.sites[0].id);
        m.p[m.n - 1] ^= 1;
        assert_int_equal(attack_tell(&w, 0, &m), CSL_E_CRYPTO);
        m.p[m.n - 1] ^= 1;
        assert_int_equal(attack_tell(&w, 0, &m), CSL_OK);
        csl_msg_release(&m);
        world_remove(&w);
    }
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_UPLOADING);
    struct csl_secagg_message m = {.type = CSL_SECAGG_GIVE_UP};
    memcpy(m.id, csl_secagg_site_sid(w.sites[0].machine), 32);
    struct csl_msg forged = attack_forge(&m, &w.sites[1].key);
    assert_int_equal(attack_tell(&w, 0, &forged), CSL_E_CRYPTO);
    assert_int_equal(tell_forged(&m), CSL_OK);
    csl_msg_release(&forged);
}

static void test_secagg_threat__commitments_that_others_do_not_have__refused(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_PREPARING);
    struct csl_msg senders = attack_hold(&w, CSL_SECAGG_SENDERS, w.sites[0].id);
    struct csl_secagg_message m = attack_view(&senders);
    m.u.senders.commitments[0] ^= 1;
    assert_int_equal(tell_forged(&m), CSL_E_DENIED);
    csl_msg_release(&senders);
}

static void test_secagg_threat__sender_whose_share_is_missing__refused(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_OPEN);
    assert_int_equal(world_close(&w), CSL_OK);
    world_run(&w);
    assert_int_equal(world_close(&w), CSL_OK); /* M4s are on their way */
    const struct parcel *p = attack_find(&w, CSL_SECAGG_DELIVERY, w.sites[0].id);
    assert_non_null(p);
    p->bytes.p[p->bytes.n - 1] ^= 1; /* the share that the last site sealed for site 0 */
    while (w.queued > 0)
        if (w.queue[0].kind == PARCEL_MESSAGE && w.queue[0].bytes.p[0] == CSL_SECAGG_OPENING)
            world_drop(&w, 0);
        else
            world_deliver(&w, 0);
    uint32_t ids[5];
    uint8_t hashes[5][32];
    for (uint32_t i = 0; i < 5; i++)
        ids[i] = w.sites[i].id;
    struct csl_msg senders = attack_hold(&w, CSL_SECAGG_SENDERS, w.sites[1].id);
    struct csl_secagg_message m = attack_view(&senders);
    assert_false(csl_secagg_set_has(&m.u.senders.members, 4)); /* the honest coordinator's view */
    uint8_t blocks[8];
    memcpy(blocks, m.u.senders.block_bits, m.u.senders.block_count);
    csl_secagg_set_put(&m.u.senders.members, 4);
    for (uint32_t b = 0; b < m.u.senders.block_count; b++)
        blocks[b] = (uint8_t)(blocks[b] | 1u << 4);
    m.u.senders.block_bits = blocks;
    /* com of all five, so that nothing else is wrong */
    struct csl_secagg_message dealt;
    for (uint32_t i = 0; i < 5; i++)
        for (uint32_t k = 0; k < w.journal.count; k++)
            if (w.journal.items[k].record == CSL_SECAGG_CJ_INPUT &&
                csl_secagg_decode(&dealt, csl_msg_span(&w.journal.items[k].bytes), NULL) ==
                    CSL_OK &&
                dealt.type == CSL_SECAGG_SHARES && dealt.site == ids[i])
                csl_secagg_shares_hash(&dealt.u.shares, hashes[i]);
    csl_secagg_com(m.id, 5, ids, (const uint8_t(*)[32])hashes, &m.u.senders.members,
                   m.u.senders.commitments);
    struct csl_msg forged = attack_forge(&m, &w.coordinator_key);
    assert_int_equal(attack_tell(&w, 0, &forged), CSL_E_DENIED);
    assert_int_equal(attack_tell(&w, 1, &forged), CSL_OK); /* which has that share */
    csl_msg_release(&senders);
    csl_msg_release(&forged);
}

/* Site 4 deals shares for site 0 that are right in themselves, of a secret key that it did not
 * advertise. Threshold 4. */
static void deal_another_key(struct csl_secagg_message *dealer, struct csl_point commitments[8],
                             uint8_t sealed[CSL_SEAL_BYTES])
{
    static const uint8_t z[32] = {42};
    struct csl_scalar b[4], s[4];
    struct csl_seal_context context = {.from = w.sites[4].id, .to = w.sites[0].id};
    struct csl_seal_shares shares;
    struct csl_seal_key key;
    struct csl_secagg_message receiver;
    uint8_t e[32], public_key[32], prk[32];
    const uint8_t *own_z =
        w.sites[4].journal.items[1].bytes.p; /* the record of the configuration */
    assert_int_equal(dealer->u.shares.threshold, 4);
    assert_int_equal(w.sites[4].journal.items[1].record, CSL_SECAGG_SJ_CONFIG);
    assert_int_equal(csl_vss_polynomial(z, "b", 4, b, NULL), CSL_OK);
    assert_int_equal(csl_vss_polynomial(z, "s", 4, s, NULL), CSL_OK);
    assert_int_equal(csl_vss_commit(b, 4, commitments, NULL), CSL_OK);
    assert_int_equal(csl_vss_commit(s, 4, commitments + 4, NULL), CSL_OK);
    assert_int_equal(csl_vss_share(b, 4, 0, &shares.b, NULL), CSL_OK);
    assert_int_equal(csl_vss_share(s, 4, 0, &shares.s, NULL), CSL_OK);
    for (uint32_t i = 0; i < w.journal.count; i++) /* M1 of the receiver */
        if (w.journal.items[i].bytes.n == CSL_SECAGG_ADVERTISE_BYTES &&
            csl_secagg_decode(&receiver, csl_msg_span(&w.journal.items[i].bytes), NULL) == CSL_OK &&
            receiver.site == context.to)
            break;
    assert_int_equal(csl_agree_channel_keys(own_z, "e", 0, e, public_key, NULL), CSL_OK);
    assert_int_equal(csl_agree_channel(context.from, e, public_key, context.to,
                                       receiver.u.advertise.channel_key, dealer->id, prk, NULL),
                     CSL_OK);
    memcpy(context.sid, dealer->id, 32);
    const struct csl_secagg_shares dealt = {.threshold = 4, .b = commitments, .s = commitments + 4};
    csl_secagg_shares_hash(&dealt, context.commitments);
    assert_int_equal(csl_seal_key_derive(prk, context.from, context.to, &key, NULL), CSL_OK);
    assert_int_equal(csl_seal_share(&key, &context, &shares, sealed, NULL), CSL_OK);
    dealer->u.shares.b = commitments;
    dealer->u.shares.s = commitments + 4;
}

static void test_secagg_threat__shares_of_another_key_than_advertised__complaint(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_OPEN);
    assert_int_equal(world_close(&w), CSL_OK);
    world_run(&w);
    struct csl_msg delivery = attack_hold(&w, CSL_SECAGG_DELIVERY, w.sites[0].id);
    struct csl_secagg_message m = attack_view(&delivery), dealer;
    uint8_t all[4096];
    size_t each = CSL_SECAGG_HEADER_BYTES + 4 + 64 * (size_t)m.u.delivery.threshold +
                  CSL_SIGN_SIGNATURE_BYTES + CSL_SEAL_BYTES;
    assert_true(4 * each <= sizeof(all));
    memcpy(all, m.u.delivery.dealers, 4 * each);
    csl_secagg_delivery_at(&m, 3, &dealer); /* the corrupted last site */
    struct csl_point commitments[8];
    uint8_t sealed[CSL_SEAL_BYTES];
    deal_another_key(&dealer, commitments, sealed);
    struct csl_msg forged = attack_forge(&dealer, &w.sites[4].key);
    memcpy(all + 3 * each, forged.p, each - CSL_SEAL_BYTES); /* M3's own count is not in M4 */
    memcpy(all + 4 * each - CSL_SEAL_BYTES, sealed, CSL_SEAL_BYTES);
    m.u.delivery.dealers = all;
    struct csl_msg bad = attack_forge(&m, NULL);
    assert_int_equal(attack_tell(&w, 0, &bad), CSL_OK);
    const struct parcel *p = attack_find(&w, CSL_SECAGG_ACK, 0);
    assert_non_null(p);
    struct csl_secagg_message ack = attack_view(&p->bytes);
    assert_true(csl_secagg_set_has(&ack.u.ack.complaints, 4));
    assert_int_equal(csl_secagg_set_count(&ack.u.ack.complaints), 1);
    csl_msg_release(&delivery);
    csl_msg_release(&forged);
    csl_msg_release(&bad);
}

static void test_secagg_threat__survivors_that_are_not_so__no_vote(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_UPLOADING);
    struct csl_msg survivors = attack_hold(&w, CSL_SECAGG_SURVIVORS, w.sites[0].id);
    struct csl_secagg_message m = attack_view(&survivors);
    uint8_t roots[5 * 32], blocks[8];
    memcpy(roots, m.u.survivors.roots, sizeof(roots));
    memcpy(blocks, m.u.survivors.block_bits, m.u.survivors.block_count);
    m.u.survivors.roots = roots;
    roots[0] ^= 1; /* another upload of this site */
    assert_int_equal(tell_forged(&m), CSL_E_DENIED);
    roots[0] ^= 1;
    m.u.survivors.block_bits = blocks;
    blocks[0] = 0x0f; /* a block summed without one of its senders */
    assert_int_equal(tell_forged(&m), CSL_E_DENIED);
    m.u.survivors.members.bits[0] = 0x07; /* three sites; the quorum is four */
    blocks[0] = blocks[1] = blocks[2] = 0x07;
    assert_int_equal(tell_forged(&m), CSL_E_DENIED);
    assert_int_equal(monitor_count(&w, CSL_SECAGG_VOTE, w.sites[0].id), 0);
    assert_int_equal(attack_tell(&w, 0, &survivors), CSL_OK);
    assert_int_equal(monitor_count(&w, CSL_SECAGG_VOTE, w.sites[0].id), 1);
    csl_msg_release(&survivors);
}

/* More corrupted sites than assumed: both quorums exist. Whichever a site saw first stands. */
static void test_secagg_threat__quorum_after_a_certificate__nothing_is_revealed(void **state)
{
    static const uint32_t four[] = {1, 2, 3, 4};
    uint8_t transcript[32];
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_PREPARING);
    struct csl_msg u2 = attack_hold(&w, CSL_SECAGG_SENDERS, w.sites[0].id);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(attack_tell(&w, i, &u2), CSL_OK);
    world_run(&w);
    struct csl_msg u3 = attack_hold(&w, CSL_SECAGG_SURVIVORS, w.sites[0].id);
    attack_transcript(&w, &u2, &u3, transcript);
    const uint8_t *sid = csl_secagg_site_sid(w.sites[0].machine);
    struct csl_msg t = attack_votes(&w, sid, CSL_SECAGG_VOTE_FOR, transcript, four, 4);
    struct csl_msg a = attack_votes(&w, sid, CSL_SECAGG_VOTE_ABANDON, transcript, four, 4);
    assert_int_equal(attack_tell(&w, 0, &u3), CSL_OK);
    assert_int_equal(attack_tell(&w, 0, &a), CSL_OK);
    assert_int_equal(csl_secagg_site_update(w.sites[0].machine), CSL_SECAGG_UPDATE_ABANDONED);
    assert_int_equal(attack_tell(&w, 0, &t), CSL_E_STATE);
    world_restart_site(&w, &w.sites[0], UINT32_MAX);
    assert_int_equal(attack_tell(&w, 0, &t), CSL_E_STATE);
    assert_int_equal(monitor_count(&w, CSL_SECAGG_UNMASK, 0), 0);
    csl_msg_release(&u2);
    csl_msg_release(&u3);
    csl_msg_release(&t);
    csl_msg_release(&a);
}

static void test_secagg_threat__asked_to_give_up_after_a_vote__the_same_vote_again(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_UPLOADING);
    struct csl_msg survivors = attack_hold(&w, CSL_SECAGG_SURVIVORS, w.sites[0].id);
    assert_int_equal(attack_tell(&w, 0, &survivors), CSL_OK);
    attack_swallow(&w, CSL_SECAGG_VOTE);
    struct csl_secagg_message m = {.type = CSL_SECAGG_GIVE_UP};
    memcpy(m.id, csl_secagg_site_sid(w.sites[0].machine), 32);
    assert_int_equal(tell_forged(&m), CSL_OK);
    const struct parcel *p = attack_find(&w, CSL_SECAGG_VOTE, 0);
    assert_non_null(p);
    assert_int_equal(attack_view(&p->bytes).u.vote.choice, CSL_SECAGG_VOTE_FOR);
    assert_int_equal(csl_secagg_site_phase(w.sites[0].machine), CSL_SECAGG_VOTED);
    csl_msg_release(&survivors);
}

/* A file finished after the session was abandoned: it stays, and the update stays free. */
static void test_secagg_threat__file_masked_after_the_certificate__no_manifest(void **state)
{
    static const uint32_t four[] = {1, 2, 3, 4};
    uint8_t none[32] = {0};
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_PREPARING);
    struct csl_msg u2 = attack_hold(&w, CSL_SECAGG_SENDERS, w.sites[0].id);
    assert_int_equal(attack_tell(&w, 0, &u2), CSL_OK);
    struct csl_msg a = attack_votes(&w, csl_secagg_site_sid(w.sites[0].machine),
                                    CSL_SECAGG_VOTE_ABANDON, none, four, 4);
    world_mask(&w.sites[0]);
    assert_int_equal(attack_tell(&w, 0, &a), CSL_OK);
    assert_int_equal(csl_secagg_site_phase(w.sites[0].machine), CSL_SECAGG_CLOSED);
    struct csl_secagg_site_event ev = {.kind = CSL_SECAGG_SE_MASKED, .masked = &w.sites[0].masked};
    assert_int_equal(world_step_site(&w, &w.sites[0], &ev), CSL_E_STATE);
    assert_int_equal(csl_secagg_site_update(w.sites[0].machine), CSL_SECAGG_UPDATE_FREE);
    csl_msg_release(&u2);
    csl_msg_release(&a);
}

int main(void)
{
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
#define TEST(f) cmocka_unit_test_teardown(f, after_each)
    const struct CMUnitTest tests[] = {
        TEST(test_secagg_threat__message_not_signed_by_the_coordinator__refused),
        TEST(test_secagg_threat__commitments_that_others_do_not_have__refused),
        TEST(test_secagg_threat__sender_whose_share_is_missing__refused),
        TEST(test_secagg_threat__shares_of_another_key_than_advertised__complaint),
        TEST(test_secagg_threat__survivors_that_are_not_so__no_vote),
        TEST(test_secagg_threat__asked_to_give_up_after_a_vote__the_same_vote_again),
        TEST(test_secagg_threat__file_masked_after_the_certificate__no_manifest),
        TEST(test_secagg_threat__quorum_after_a_certificate__nothing_is_revealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
