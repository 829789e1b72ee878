/* Rows of the threat table (design, section 7), continued: who counts as a site, certificates that
 * are none, and everything said before, said again. */
#include "tests/unit/secagg/attack.h"

#include "base/check.h"
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

/* M2 in which the last place belongs to `site`, under `key`, with what the last site advertised. */
static struct csl_msg put_last(const struct csl_msg *keys, uint32_t site,
                               const struct csl_sign_key *key)
{
    uint8_t all[5 * CSL_SECAGG_ADVERTISE_BYTES];
    struct csl_secagg_message m = attack_view(keys), one;
    memcpy(all, m.u.round_keys.advertised, sizeof(all));
    csl_secagg_advertised_at(&m.u.round_keys, 4, &one);
    one.site = site;
    struct csl_msg advertised = attack_forge(&one, key);
    memcpy(all + 4 * CSL_SECAGG_ADVERTISE_BYTES, advertised.p, CSL_SECAGG_ADVERTISE_BYTES);
    csl_msg_release(&advertised);
    m.u.round_keys.advertised = all;
    return attack_forge(&m, &w.coordinator_key);
}

/* A site that the coordinator invented: its keys are right, but the root did not sign for it. */
static void test_secagg_threat__sybil_in_the_list_of_keys__refused(void **state)
{
    struct csl_sign_key sybil;
    static const uint8_t seed[CSL_SIGN_SEED_BYTES] = {5};
    (void)state;
    csl_sign_from_seed(&sybil, seed);
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_OPEN);
    struct csl_msg keys = attack_hold(&w, CSL_SECAGG_ROUND_KEYS, w.sites[0].id);
    struct csl_msg invented = put_last(&keys, w.sites[4].id + 7, &sybil);
    struct csl_msg posing = put_last(&keys, w.sites[4].id, &sybil); /* as a site there is */
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_not_equal(attack_tell(&w, i, &invented), CSL_OK);
        assert_int_equal(attack_tell(&w, i, &posing), CSL_E_CRYPTO);
        assert_int_equal(monitor_count(&w, CSL_SECAGG_SHARES, w.sites[i].id), 0);
        assert_int_equal(attack_tell(&w, i, &keys), CSL_OK); /* the refusals had their reason */
    }
    csl_msg_release(&keys);
    csl_msg_release(&invented);
    csl_msg_release(&posing);
}

/* The roster lists the site, as revoked. */
static void test_secagg_threat__revoked_site_in_the_list_of_keys__refused(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_OPEN);
    struct csl_msg keys = attack_hold(&w, CSL_SECAGG_ROUND_KEYS, w.sites[0].id);
    w.roster.sites[4].is_active = false; /* what every machine here reads */
    for (uint32_t i = 0; i < 4; i++)
        assert_int_not_equal(attack_tell(&w, i, &keys), CSL_OK);
    w.roster.sites[4].is_active = true;
    assert_int_equal(attack_tell(&w, 0, &keys), CSL_OK);
    csl_msg_release(&keys);
}

/* The coordinator puts a key of its own in the place of site 3's, and cannot sign for it. */
static void test_secagg_threat__key_of_a_site_swapped__refused(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_OPEN);
    struct csl_msg keys = attack_hold(&w, CSL_SECAGG_ROUND_KEYS, w.sites[0].id);
    struct csl_secagg_message m = attack_view(&keys);
    for (size_t key = 0; key < 2; key++) { /* of masks, of the channel */
        static const struct csl_scalar known = {{77}};
        uint8_t all[5 * CSL_SECAGG_ADVERTISE_BYTES];
        struct csl_point own;
        assert_int_equal(csl_point_base(&known, &own, NULL), CSL_OK);
        memcpy(all, m.u.round_keys.advertised, sizeof(all));
        memcpy(all + 3 * CSL_SECAGG_ADVERTISE_BYTES + CSL_SECAGG_HEADER_BYTES + 32 * key, own.bytes,
               32);
        struct csl_secagg_message swapped = m;
        swapped.u.round_keys.advertised = all;
        struct csl_msg forged = attack_forge(&swapped, &w.coordinator_key);
        for (uint32_t i = 0; i < 5; i++)
            assert_int_equal(attack_tell(&w, i, &forged), CSL_E_CRYPTO);
        csl_msg_release(&forged);
    }
    csl_msg_release(&keys);
}

/* "The attempt failed, send it again": without t_g signatures that say so the update stays where it
 * is. */
static void test_secagg_threat__certificate_that_is_none__update_stays_pending(void **state)
{
    static const uint32_t four[] = {1, 2, 3, 4}, twice[] = {1, 2, 3, 3};
    uint8_t none[32] = {0}, other[32] = {9};
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_UPLOADING);
    const uint8_t *sid = csl_secagg_site_sid(w.sites[0].machine);
    struct csl_msg bad[] = {attack_votes(&w, sid, CSL_SECAGG_VOTE_ABANDON, none, four, 3),
                            attack_votes(&w, sid, CSL_SECAGG_VOTE_ABANDON, none, twice, 4),
                            attack_votes(&w, other, CSL_SECAGG_VOTE_ABANDON, none, four, 4),
                            attack_votes(&w, sid, CSL_SECAGG_VOTE_FOR, other, four, 4),
                            attack_votes(&w, sid, CSL_SECAGG_VOTE_ABANDON, none, four, 4),
                            attack_votes(&w, sid, CSL_SECAGG_VOTE_ABANDON, none, four, 4)};
    memcpy(bad[2].p + 2, sid, 32);   /* votes of another session in this one's envelope */
    bad[4].p[bad[4].n - 1] ^= 1;     /* one of four does not verify */
    bad[5].p[bad[5].n - 68] ^= 0x40; /* one of four is of no site */
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct csl_secagg_config c = w.config;
        c.attempt = (uint16_t)(2 + i);
        assert_int_not_equal(attack_tell(&w, 0, &bad[i]), CSL_OK);
        assert_int_equal(csl_secagg_site_update(w.sites[0].machine), CSL_SECAGG_UPDATE_PENDING);
        assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
        csl_msg_release(&bad[i]);
    }
    struct csl_msg right = attack_votes(&w, sid, CSL_SECAGG_VOTE_ABANDON, none, four, 4);
    assert_int_equal(attack_tell(&w, 0, &right), CSL_OK);
    assert_int_equal(csl_secagg_site_update(w.sites[0].machine), CSL_SECAGG_UPDATE_ABANDONED);
    csl_msg_release(&right);
}

/* Too few for the quorum from the absolute c, however the coordinator gets there. */
static void test_secagg_threat__tiny_cohort__nobody_shares_or_votes(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_NEW);
    for (uint32_t least = 0; least < 3; least++) {
        struct csl_secagg_config c = w.config;
        c.attempt = (uint16_t)(2 + least);
        c.sites_min = 1;
        c.blocks[0].sites_min = c.blocks[1].sites_min = least == 0 ? 1 : 2;
        assert_int_equal(attack_offer(&w, &w.sites[0], &c, w.weights), CSL_E_DENIED);
    }
    world_remove(&w);
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_OPEN);
    struct csl_msg keys = attack_hold(&w, CSL_SECAGG_ROUND_KEYS, w.sites[0].id);
    for (uint32_t n = 1; n <= 2; n++) { /* t_g of two sites with c = 1 is two: still below n_min */
        struct csl_secagg_message m = attack_view(&keys);
        m.u.round_keys.count = n;
        m.u.round_keys.quorum = m.u.round_keys.threshold = csl_secagg_quorum(n, 1);
        if (m.u.round_keys.threshold > n)
            m.u.round_keys.quorum = m.u.round_keys.threshold = n;
        struct csl_msg forged = attack_forge(&m, &w.coordinator_key);
        assert_int_equal(attack_tell(&w, 0, &forged), CSL_E_DENIED);
        csl_msg_release(&forged);
    }
    assert_int_equal(monitor_count(&w, CSL_SECAGG_SHARES, 0), 0);
    csl_msg_release(&keys);
}

/* ---- replays ---- */

enum { KEPT_MAX = 512 };
static struct parcel kept[KEPT_MAX];
static uint32_t kept_count;

static void keep_queue(void)
{
    for (uint32_t i = 0; i < w.queued; i++) {
        if (w.queue[i].kind != PARCEL_MESSAGE)
            continue;
        CSL_ASSERT(kept_count < KEPT_MAX);
        kept[kept_count] = w.queue[i];
        kept[kept_count].bytes = (struct csl_msg){0};
        CSL_ASSERT(csl_msg_copy(&kept[kept_count++].bytes, csl_msg_span(&w.queue[i].bytes), NULL) ==
                   CSL_OK);
    }
}

/* Everything of the first attempt, to whom it was for; what is said in reply is dropped, and the
 * monitor has seen it: nothing of a site may differ from what it said before. */
static void replay(void)
{
    enum csl_secagg_stage stage = csl_secagg_coordinator_stage(w.coordinator);
    uint32_t shares = monitor_count(&w, CSL_SECAGG_SHARES, 0);
    uint32_t votes = monitor_count(&w, CSL_SECAGG_VOTE, 0);
    uint32_t reveals = monitor_count(&w, CSL_SECAGG_UNMASK, 0);
    for (uint32_t i = 0; i < kept_count; i++) {
        struct csl_span bytes = csl_msg_span(&kept[i].bytes);
        if (kept[i].to == 0) {
            assert_int_not_equal(world_tell_coordinator(&w, kept[i].from, bytes), CSL_OK);
            assert_int_equal(csl_secagg_coordinator_stage(w.coordinator), stage);
            continue;
        }
        struct world_site *s = world_site(&w, kept[i].to);
        enum csl_secagg_phase phase = csl_secagg_site_phase(s->machine);
        (void)world_tell_site(&w, s, bytes);
        assert_int_equal(csl_secagg_site_phase(s->machine), phase);
        assert_false(csl_secagg_site_is_suspended(s->machine));
    }
    assert_int_equal(monitor_count(&w, CSL_SECAGG_SHARES, 0), shares);
    assert_int_equal(monitor_count(&w, CSL_SECAGG_VOTE, 0), votes);
    assert_int_equal(monitor_count(&w, CSL_SECAGG_UNMASK, 0), reveals);
}

static void test_secagg_threat__all_of_an_earlier_round_again__changes_nothing(void **state)
{
    (void)state;
    struct world_plan plan = {.n = 4, .colluding = 1, .blocks = 1, .scalars = 1, .entries_max = 9};
    world_make(&w, 36, &plan);
    kept_count = 0;
    world_open(&w, 1, 1);
    while (csl_secagg_coordinator_stage(w.coordinator) < CSL_SECAGG_STAGE_RELEASED) {
        if (w.queued == 0)
            assert_int_equal(world_close(&w), CSL_OK);
        keep_queue();
        uint32_t batch = w.queued;
        while (batch-- > 0)
            world_deliver(&w, 0);
    }
    finish();
    keep_queue();
    world_run(&w);
    uint32_t types = 0;
    for (uint32_t i = 0; i < kept_count; i++)
        types |= UINT32_C(1) << kept[i].bytes.p[0];
    assert_int_equal(types & 0x3fff, 0x3fff); /* M0 to M13 */
    world_train(&w);
    world_open(&w, 2, 1);
    for (int stage = CSL_SECAGG_STAGE_OPEN; stage <= CSL_SECAGG_STAGE_VOTING; stage++) {
        world_run_to(&w, (enum csl_secagg_stage)stage);
        world_run(&w);
        replay();
        while (w.queued > 0)
            world_drop(&w, 0);
    }
    assert_true(world_sum_is_exact(&w));
    for (uint32_t i = 0; i < kept_count; i++)
        csl_msg_release(&kept[i].bytes);
}

int main(void)
{
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
#define TEST(f) cmocka_unit_test_teardown(f, after_each)
    const struct CMUnitTest tests[] = {
        TEST(test_secagg_threat__sybil_in_the_list_of_keys__refused),
        TEST(test_secagg_threat__revoked_site_in_the_list_of_keys__refused),
        TEST(test_secagg_threat__key_of_a_site_swapped__refused),
        TEST(test_secagg_threat__certificate_that_is_none__update_stays_pending),
        TEST(test_secagg_threat__tiny_cohort__nobody_shares_or_votes),
        TEST(test_secagg_threat__all_of_an_earlier_round_again__changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
