/* A coordinator that cheats, continued: bytes, policy, time and history. */
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

static void test_secagg_pitfall_15__ids_far_apart__exact_sum(void **state)
{
    (void)state;
    struct world_plan plan = {.n = 9,
                              .colluding = 3,
                              .blocks = 2,
                              .scalars = 1,
                              .entries_max = 50,
                              .has_sparse_ids = true};
    world_make(&w, 15, &plan);
    world_open(&w, 1, 1);
    world_run_to(&w, CSL_SECAGG_STAGE_UPLOADING);
    w.sites[0].is_dead = w.sites[4].is_dead = true; /* the lowest id and one in the middle */
    world_run_to(&w, CSL_SECAGG_STAGE_VOTING);
    finish();
}

static void test_secagg_pitfall_18__blocks_of_different_sites__each_sum_exact(void **state)
{
    (void)state;
    struct world_plan plan = {.n = 9, .colluding = 1, .blocks = 4, .scalars = 2, .entries_max = 30};
    world_make(&w, 18, &plan);
    for (uint32_t i = 0; i < 9; i++) {
        memset(&w.sites[i].blocks, 0, sizeof(w.sites[i].blocks));
        for (uint32_t b = 0; b < 4; b++) /* 9, 7, 5 and 0 senders */
            if (b < 3 && i >= 2 * b)
                csl_secagg_set_put(&w.sites[i].blocks, b);
    }
    world_open(&w, 1, 1);
    world_run_to(&w, CSL_SECAGG_STAGE_UPLOADING);
    w.sites[8].is_dead = true;
    world_run_to(&w, CSL_SECAGG_STAGE_VOTING);
    finish();
    assert_false(csl_secagg_coordinator_is_in_block(w.coordinator, w.sites[0].id, 1));
    assert_true(csl_secagg_coordinator_is_in_block(w.coordinator, w.sites[5].id, 2));
}

/* One block has a single sender: nobody signs that sum. */
static void test_secagg_threat__block_of_one_site__no_quorum(void **state)
{
    (void)state;
    struct world_plan plan = {.n = 5, .colluding = 1, .blocks = 2, .entries_max = 30};
    world_make(&w, 19, &plan);
    for (uint32_t i = 1; i < 5; i++) {
        memset(&w.sites[i].blocks, 0, sizeof(w.sites[i].blocks));
        csl_secagg_set_put(&w.sites[i].blocks, 0);
    }
    world_open(&w, 1, 1);
    world_run_to(&w, CSL_SECAGG_STAGE_VOTING);
    world_run(&w);
    assert_int_equal(csl_secagg_coordinator_stage(w.coordinator), CSL_SECAGG_STAGE_VOTING);
    assert_int_equal(monitor_count(&w, CSL_SECAGG_VOTE, 0), 0);
}

static void test_secagg_pitfall_19__weights_that_single_out__refused(void **state)
{
    static const uint32_t tables[][5] = {
        {1, 0, 0, 0, 0}, {1000000, 1, 1, 1, 1}, {0, 0, 0, 0, 0}, {1000, 1000, 1, 1, 1}};
    uint32_t weights[10];
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_NEW);
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        struct csl_secagg_config c = w.config;
        c.attempt = (uint16_t)(2 + t);
        for (uint32_t i = 0; i < 10; i++)
            weights[i] = tables[t][i / 2];
        assert_int_equal(attack_offer(&w, &w.sites[1], &c, weights), CSL_E_DENIED);
    }
}

static void test_secagg_pitfall_20__plain_scalars__nowhere_in_the_traffic(void **state)
{
    (void)state;
    struct world_plan plan = {.n = 5, .colluding = 1, .blocks = 1, .scalars = 3, .entries_max = 9};
    world_make(&w, 20, &plan);
    w.records_traffic = true;
    world_open(&w, 1, 1);
    world_run_to(&w, CSL_SECAGG_STAGE_VOTING);
    finish();
    assert_true(w.traffic.n > 1000 && w.traffic.status == CSL_OK);
    for (uint32_t i = 0; i < 5; i++)
        for (uint32_t k = 0; k < 3; k++) /* 64 random bits: found by chance below 2^-40 */
            for (size_t at = 0; at + 8 <= w.traffic.n; at++)
                assert_true(csl_load_le64(w.traffic.p + at) != w.sites[i].x.block[1][k]);
}

/* Seven sites, c = 2: t_g = 5. Two may be lost at any time; the third ends the attempt, and those
 * that are left certify that. */
static void lose(uint32_t count, enum csl_secagg_stage stage)
{
    attack_begin(&w, 7, 2, stage);
    for (uint32_t i = 0; i < count; i++)
        w.sites[i * 3].is_dead = true;
    bool is_closed = true;
    while (is_closed && csl_secagg_coordinator_stage(w.coordinator) < CSL_SECAGG_STAGE_VOTING) {
        is_closed = world_close(&w) == CSL_OK;
        world_run(&w);
    }
    world_run(&w);
    if (count <= 2) {
        finish();
        return;
    }
    assert_true(csl_secagg_coordinator_stage(w.coordinator) <= CSL_SECAGG_STAGE_VOTING);
    assert_int_equal(monitor_count(&w, CSL_SECAGG_UNMASK, 0), 0);
}

static void
test_secagg_pitfall_21__losses_up_to_the_quorum_and_beyond__exact_or_nothing(void **state)
{
    (void)state;
    for (enum csl_secagg_stage s = CSL_SECAGG_STAGE_SHARING; s <= CSL_SECAGG_STAGE_VOTING; s++) {
        for (uint32_t lost = 2; lost <= 3; lost++) {
            lose(lost, s);
            world_remove(&w);
        }
    }
    attack_begin(&w, 7, 2, CSL_SECAGG_STAGE_UPLOADING); /* given up: certified by the five left */
    w.sites[0].is_dead = w.sites[1].is_dead = true;
    struct csl_secagg_coordinator_event ev = {.kind = CSL_SECAGG_CE_GIVE_UP};
    assert_int_equal(world_step_coordinator(&w, &ev), CSL_OK);
    world_run(&w);
    assert_int_equal(csl_secagg_coordinator_stage(w.coordinator), CSL_SECAGG_STAGE_ABANDONED);
    assert_int_equal(csl_secagg_site_update(w.sites[6].machine), CSL_SECAGG_UPDATE_ABANDONED);
}

static void test_secagg_pitfall_22__every_message_twice_and_backwards__exact_sum(void **state)
{
    (void)state;
    struct world_plan plan = {.n = 5, .colluding = 1, .blocks = 2, .scalars = 1, .entries_max = 20};
    world_make(&w, 22, &plan);
    world_open(&w, 1, 1);
    while (csl_secagg_coordinator_stage(w.coordinator) < CSL_SECAGG_STAGE_RELEASED) {
        for (uint32_t i = 0; w.queued > 0; i++) {
            struct parcel last = w.queue[w.queued - 1];
            if (i % 3 != 2) /* it stays, and comes again */
                world_push(&w, last.kind, last.from, last.to, csl_msg_span(&last.bytes));
            world_deliver(&w, w.queued - 1);
            if (i > 4000)
                break;
        }
        world_run(&w);
        if (csl_secagg_coordinator_stage(w.coordinator) < CSL_SECAGG_STAGE_VOTING)
            assert_int_equal(world_close(&w), CSL_OK);
    }
    assert_true(world_sum_is_exact(&w));
}

static void test_secagg_pitfall_24__crash_between_decision_and_sending__same_bytes(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_UPLOADING);
    struct csl_msg first = attack_hold(&w, CSL_SECAGG_SURVIVORS, w.sites[0].id);
    world_restart_coordinator(&w);
    struct csl_msg second = attack_hold(&w, CSL_SECAGG_SURVIVORS, w.sites[0].id);
    assert_true(csl_span_equal(csl_msg_span(&first), csl_msg_span(&second)));
    csl_msg_release(&first);
    csl_msg_release(&second);
}

static void
test_secagg_pitfall_25__site_gone_in_the_middle_of_its_upload__not_in_the_sum(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_PREPARING);
    assert_int_equal(world_close(&w), CSL_OK);
    while (w.queued > 0) { /* its manifest comes, its vector does not */
        if (w.queue[0].kind == PARCEL_UPLOAD && w.queue[0].from == w.sites[2].id)
            world_drop(&w, 0);
        else
            world_deliver(&w, 0);
    }
    world_run_to(&w, CSL_SECAGG_STAGE_VOTING);
    finish();
    assert_false(csl_secagg_coordinator_is_survivor(w.coordinator, w.sites[2].id));
    world_run(&w); /* the site learns that its update is free */
    assert_int_equal(csl_secagg_site_update(w.sites[2].machine), CSL_SECAGG_UPDATE_EXCLUDED);
    world_restart_site(&w, &w.sites[2], UINT32_MAX);
    assert_int_equal(csl_secagg_site_update(w.sites[2].machine), CSL_SECAGG_UPDATE_EXCLUDED);
}

static void test_secagg_pitfall_26__manifest_after_the_survivors__refused(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_PREPARING);
    assert_int_equal(world_close(&w), CSL_OK);
    struct csl_msg late = {0};
    while (w.queued > 0) {
        struct parcel *p = &w.queue[0];
        if (p->from == w.sites[1].id && p->kind == PARCEL_MESSAGE &&
            p->bytes.p[0] == CSL_SECAGG_MANIFEST) {
            late = p->bytes;
            p->bytes = (struct csl_msg){0};
            world_drop(&w, 0);
        } else {
            world_deliver(&w, 0);
        }
    }
    assert_int_equal(world_close(&w), CSL_OK);
    assert_int_equal(world_tell_coordinator(&w, w.sites[1].id, csl_msg_span(&late)), CSL_E_STATE);
    finish();
    assert_false(csl_secagg_coordinator_is_survivor(w.coordinator, w.sites[1].id));
    csl_msg_release(&late);
}

/* Each byte of the configuration changed for one site only, under the coordinator's signature: it
 * is refused, or that site's keys are of another ctx and belong to no list with the others. */
static void test_secagg_pitfall_27__one_byte_of_the_round_differs__no_common_session(void **state)
{
    struct csl_secagg_config c;
    uint8_t ctx[32], other[32];
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_NEW);
    struct csl_buf out;
    csl_buf_init(&out, CSL_SECAGG_CONFIG_BYTES_MAX);
    assert_int_equal(csl_secagg_config_encode(&w.config, &w.coordinator_key, &out, NULL), CSL_OK);
    csl_secagg_config_ctx(CSL_SPAN(out.p, out.n), ctx);
    for (size_t i = 0; i < out.n - CSL_SIGN_SIGNATURE_BYTES; i++) {
        out.p[i] ^= 1;
        assert_false(
            csl_secagg_config_is_signed(CSL_SPAN(out.p, out.n), w.coordinator_key.public_key));
        if (csl_secagg_config_decode(&c, CSL_SPAN(out.p, out.n), NULL) == CSL_OK) {
            csl_secagg_config_ctx(CSL_SPAN(out.p, out.n), other);
            assert_memory_not_equal(ctx, other, 32);
        }
        out.p[i] ^= 1;
    }
    csl_buf_release(&out);
    c = w.config;
    c.attempt = 2;
    c.model_hash[5] ^= 1; /* another model than the site received is refused at once */
    struct csl_secagg_site_event ev = {0};
    uint8_t secret[32] = {0};
    csl_buf_init(&out, CSL_SECAGG_CONFIG_BYTES_MAX);
    assert_int_equal(csl_secagg_config_encode(&c, &w.coordinator_key, &out, NULL), CSL_OK);
    ev = (struct csl_secagg_site_event){.kind = CSL_SECAGG_SE_CONFIG,
                                        .bytes = CSL_SPAN(out.p, out.n),
                                        .weights = w.weights,
                                        .model_hash = w.config.model_hash,
                                        .plan_hash = w.config.plan_hash,
                                        .secret = secret};
    assert_int_equal(world_step_site(&w, &w.sites[0], &ev), CSL_E_DENIED);
    csl_buf_release(&out);
}

/* A signature is good for its own type only, and by its own key. */
static void test_secagg_pitfall_28__signature_of_another_type__refused(void **state)
{
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_PREPARING);
    struct csl_secagg_message ready = {
        .type = CSL_SECAGG_READY, .site = w.sites[0].id, .u.ready = {.block_count = 3}};
    memcpy(ready.id, csl_secagg_site_sid(w.sites[0].machine), 32);
    struct csl_msg m = attack_forge(&ready, &w.sites[0].key);
    struct csl_secagg_message view = attack_view(&m);
    assert_true(csl_secagg_is_signed(&view, w.sites[0].key.public_key));
    assert_false(csl_secagg_is_signed(&view, w.sites[1].key.public_key));
    for (uint8_t type = 0; type < 30; type++) {
        view.type = type; /* the body keeps its bytes; the signed prefix changes */
        assert_int_equal(csl_secagg_is_signed(&view, w.sites[0].key.public_key),
                         type == CSL_SECAGG_READY);
    }
    csl_msg_release(&m);
    struct csl_msg keys = attack_hold(&w, CSL_SECAGG_SENDERS, w.sites[0].id);
    struct csl_secagg_message senders = attack_view(&keys);
    struct csl_msg forged = attack_forge(&senders, &w.sites[1].key); /* not the coordinator's */
    assert_int_equal(attack_tell(&w, 0, &forged), CSL_E_CRYPTO);
    csl_msg_release(&keys);
    csl_msg_release(&forged);
}

/* Every message of a round: no byte more, no byte less, no other version. */
static void test_secagg_pitfall_29__bytes_added_or_missing__refused(void **state)
{
    struct csl_secagg_message m;
    uint32_t types = 0;
    (void)state;
    struct world_plan plan = {.n = 4, .colluding = 0, .blocks = 1, .scalars = 1, .entries_max = 9};
    world_make(&w, 29, &plan);
    world_open(&w, 1, 1);
    while (csl_secagg_coordinator_stage(w.coordinator) < CSL_SECAGG_STAGE_RELEASED) {
        if (w.queued == 0)
            assert_int_equal(world_close(&w), CSL_OK);
        struct parcel *p = &w.queue[0];
        uint8_t bytes[8192];
        if (p->kind == PARCEL_MESSAGE && p->bytes.p[0] != CSL_SECAGG_CONFIG) {
            size_t n = p->bytes.n;
            assert_true(n < sizeof(bytes));
            memcpy(bytes, p->bytes.p, n);
            bytes[n] = 0;
            types |= UINT32_C(1) << bytes[0];
            assert_int_equal(csl_secagg_decode(&m, CSL_SPAN(bytes, n), NULL), CSL_OK);
            assert_int_equal(csl_secagg_decode(&m, CSL_SPAN(bytes, n + 1), NULL), CSL_E_PROTO);
            assert_int_equal(csl_secagg_decode(&m, CSL_SPAN(bytes, n - 1), NULL), CSL_E_PROTO);
            bytes[1] = 2;
            assert_int_equal(csl_secagg_decode(&m, CSL_SPAN(bytes, n), NULL), CSL_E_PROTO);
        }
        world_deliver(&w, 0);
    }
    assert_int_equal(types, 0x1ffe); /* M1 to M12 were seen */
}

int main(void)
{
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
#define TEST(f) cmocka_unit_test_teardown(f, after_each)
    const struct CMUnitTest tests[] = {
        TEST(test_secagg_pitfall_15__ids_far_apart__exact_sum),
        TEST(test_secagg_pitfall_18__blocks_of_different_sites__each_sum_exact),
        TEST(test_secagg_threat__block_of_one_site__no_quorum),
        TEST(test_secagg_pitfall_19__weights_that_single_out__refused),
        TEST(test_secagg_pitfall_20__plain_scalars__nowhere_in_the_traffic),
        TEST(test_secagg_pitfall_22__every_message_twice_and_backwards__exact_sum),
        TEST(test_secagg_pitfall_24__crash_between_decision_and_sending__same_bytes),
        TEST(test_secagg_pitfall_25__site_gone_in_the_middle_of_its_upload__not_in_the_sum),
        TEST(test_secagg_pitfall_21__losses_up_to_the_quorum_and_beyond__exact_or_nothing),
        TEST(test_secagg_pitfall_26__manifest_after_the_survivors__refused),
        TEST(test_secagg_pitfall_27__one_byte_of_the_round_differs__no_common_session),
        TEST(test_secagg_pitfall_28__signature_of_another_type__refused),
        TEST(test_secagg_pitfall_29__bytes_added_or_missing__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
