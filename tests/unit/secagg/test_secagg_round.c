/* One attempt of FSA-1 from M0 to M13, without trouble. */
#include "privacy/crypto/init.h"
#include "tests/unit/secagg/attack.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct world_plan five = {
    .n = 5, .colluding = 1, .blocks = 3, .scalars = 2, .entries_max = 40, .has_sparse_ids = true};

static void test_secagg_round__all_sites__exact_sum(void **state)
{
    struct world w;
    (void)state;
    world_make(&w, 1, &five);
    world_open(&w, 1, 1);
    world_run_to(&w, CSL_SECAGG_STAGE_VOTING);
    world_run(&w);
    assert_int_equal(csl_secagg_coordinator_stage(w.coordinator), CSL_SECAGG_STAGE_RELEASED);
    assert_true(world_sum_is_exact(&w));
    world_run(&w);
    assert_int_equal(csl_secagg_coordinator_stage(w.coordinator), CSL_SECAGG_STAGE_DONE);
    for (uint32_t i = 0; i < w.n; i++) {
        assert_int_equal(csl_secagg_site_update(w.sites[i].machine), CSL_SECAGG_UPDATE_INCLUDED);
        world_restart_site(&w, &w.sites[i], UINT32_MAX); /* and it stays so */
        assert_int_equal(csl_secagg_site_update(w.sites[i].machine), CSL_SECAGG_UPDATE_INCLUDED);
        assert_int_equal(csl_secagg_site_phase(w.sites[i].machine), CSL_SECAGG_REVEALED);
    }
    world_remove(&w);
}

static void test_secagg_round__site_lost_while_uploading__its_masks_are_taken_off(void **state)
{
    struct world w;
    (void)state;
    world_make(&w, 2, &five);
    world_open(&w, 1, 1);
    world_run_to(&w, CSL_SECAGG_STAGE_UPLOADING);
    w.sites[2].is_dead = true;
    world_run_to(&w, CSL_SECAGG_STAGE_VOTING);
    world_run(&w);
    assert_int_equal(csl_secagg_coordinator_stage(w.coordinator), CSL_SECAGG_STAGE_RELEASED);
    assert_false(csl_secagg_coordinator_is_survivor(w.coordinator, w.sites[2].id));
    assert_true(world_sum_is_exact(&w));
    world_remove(&w);
}

/* The others opened the sum without it: what it says is of no use, and it is told how it ended. */
static void test_secagg_round__shares_after_the_result__that_site_hears_it(void **state)
{
    struct world w;
    (void)state;
    world_make(&w, 5, &five);
    world_open(&w, 1, 1);
    world_run_to(&w, CSL_SECAGG_STAGE_VOTING);
    struct csl_msg late = {0};
    const uint32_t id = w.sites[3].id;
    for (uint32_t i = 0; w.queued > 0;) {
        const struct parcel *p = &w.queue[0];
        bool is_late = p->from == id && p->kind == PARCEL_MESSAGE && p->bytes.n > 0 &&
                       p->bytes.p[0] == CSL_SECAGG_UNMASK;
        if (is_late && i++ == 0)
            assert_int_equal(csl_msg_copy(&late, csl_msg_span(&p->bytes), NULL), CSL_OK);
        if (is_late)
            world_drop(&w, 0);
        else
            world_deliver(&w, 0);
    }
    assert_non_null(late.p);
    assert_true(world_sum_is_exact(&w));
    attack_swallow(&w, CSL_SECAGG_RESULT);
    world_run(&w);
    assert_int_equal(csl_secagg_coordinator_stage(w.coordinator), CSL_SECAGG_STAGE_DONE);
    uint32_t records = w.journal.count;
    assert_int_equal(world_tell_coordinator(&w, id, csl_msg_span(&late)), CSL_OK);
    assert_int_equal(w.journal.count, records); /* it is not kept */
    assert_non_null(attack_find(&w, CSL_SECAGG_RESULT, id));
    world_run(&w);
    assert_int_equal(csl_secagg_site_update(w.sites[3].machine), CSL_SECAGG_UPDATE_INCLUDED);
    csl_msg_release(&late);
    world_remove(&w);
}

/* More than one chunk of 1 MiB: chunk numbers enter the keys and the roots. */
static void test_secagg_round__block_of_three_chunks__exact_sum(void **state)
{
    struct world w;
    (void)state;
    struct world_plan plan = {.n = 3, .colluding = 0, .blocks = 1, .entries_max = 1};
    world_make(&w, 3, &plan);
    w.config.blocks[0].lane_bits = 64;
    w.config.blocks[0].entries = 2 * CSL_PRG_CHUNK_WORDS + 5;
    world_train(&w);
    world_open(&w, 1, 1);
    world_run_to(&w, CSL_SECAGG_STAGE_VOTING);
    world_run(&w);
    assert_int_equal(csl_secagg_block_chunks(&w.config, 0), 3);
    assert_true(world_sum_is_exact(&w));
    world_remove(&w);
}

/* Whichever allocation of the machines fails, a restart from the journal goes on. */
static void test_secagg_round__an_allocation_fails__restart_and_exact_sum(void **state)
{
    struct world w;
    uint64_t restarts = 0;
    bool is_through = false;
    (void)state;
    struct world_plan plan = {.n = 3, .colluding = 0, .blocks = 1, .scalars = 1, .entries_max = 9};
    for (uint64_t k = 1; !is_through; k += 3) {
        world_make(&w, 4, &plan);
        world_open(&w, 1, 1);
        w.fail_in = k;
        for (uint32_t i = 0;
             csl_secagg_coordinator_stage(w.coordinator) != CSL_SECAGG_STAGE_RELEASED; i++) {
            assert_true(i < 50);
            world_run(&w);
            if (csl_secagg_coordinator_stage(w.coordinator) < CSL_SECAGG_STAGE_VOTING)
                (void)world_close(&w);
            world_nudge(&w);
        }
        is_through = w.fail_in > 0; /* there were not that many */
        w.fail_in = 0;
        assert_true(world_sum_is_exact(&w));
        restarts += w.restarts;
        world_remove(&w);
    }
    assert_true(restarts > 50);
}

int main(void)
{
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secagg_round__all_sites__exact_sum),
        cmocka_unit_test(test_secagg_round__site_lost_while_uploading__its_masks_are_taken_off),
        cmocka_unit_test(test_secagg_round__shares_after_the_result__that_site_hears_it),
        cmocka_unit_test(test_secagg_round__block_of_three_chunks__exact_sum),
        cmocka_unit_test(test_secagg_round__an_allocation_fails__restart_and_exact_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
