/* Whole studies on sparse graphs (FSA-1/k) over 131 sites: losses in every phase, restarts in every
 * phase of the coordinator and of sites, audits, and what a coordinator may try with the graphs.
 * The costly functions of cryptography are ideal ones (tests/property/secagg/oracle.h). */
#include "base/le.h"
#include "base/log.h"
#include "coordinator/service_secagg_internal.h"
#include "tests/property/secagg/oracle.h"
#include "tests/unit/world/masked_internal.h"
#include "tests/unit/world/masked_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLES "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define MASKS(more)                                                                                \
    "secure_aggregation: {protocol: fsa-1, colluding: 10, minimum_sites: 100, graph: sparse, "     \
    "losses_max: 8" more "}\n"
enum { LEAST = 100, LOST = 20, LOST_MORE = 2 };

static struct fixture fixture;

static struct masked_plan plan_of(uint32_t rounds)
{
    return (struct masked_plan){.rounds = rounds,
                                .minimum_sites = LEAST,
                                .keyless_site = MASKED_NONE,
                                .chunk_bytes = 1 << 16,
                                .judges_last = true,
                                .sections = SAMPLES MASKS("")};
}

/* The last round's, as its sites signed it: the one that judges the last model. */
static struct csl_secagg_config agreed;

static void note_config(void)
{
    const struct csl_service_secagg *s = masked_w.service->secagg;
    if (s != NULL)
        agreed = s->config;
}

static void run(const struct masked_plan *plan, struct masked_result *out)
{
    struct masked_plan p = *plan;
    p.at_end = note_config;
    oracle_reset();
    oracle_use(true);
    masked_run(&fixture, &p, out);
    oracle_use(false);
    oracle_reset();
    if (out->code != CSL_OK)
        fail_msg("%s", out->reason);
    assert_int_equal(out->rounds, plan->rounds);
    if (plan->is_unmasked)
        return;
    assert_int_equal(agreed.graph, 1);
    assert_true(agreed.share_degree < MASKED_SITES / 2);
    assert_true(agreed.mask_degree < MASKED_SITES - 2);
}

static void assert_same(const struct masked_result *a, const struct masked_result *b)
{
    assert_int_equal(a->parameters, b->parameters);
    assert_memory_equal(a->model, b->model, a->parameters * sizeof(float));
}

static bool is_lost(uint32_t i)
{
    return i >= LOST && i <= LOST + LOST_MORE;
}

/* --- losses --- */

static void test_world_secagg_sparse__nobody_lost__model_as_without_masks(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result masked, plain;
    (void)state;
    run(&plan, &masked);
    plan.is_unmasked = true;
    run(&plan, &plain);
    assert_same(&masked, &plain);
    masked_release(&masked);
    masked_release(&plain);
}

/* Three sites in the first of two rounds; they stay away. Until their uploads are there they are in
 * no sum, later in that one. The plain study loses them before anything, or after it had all. */
static void check_losses(enum masked_loss when, bool is_in_sum)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result masked, plain;
    plan.lost_round = 1;
    plan.lost_site = LOST;
    plan.lost_more = LOST_MORE;
    plan.lost_when = when;
    run(&plan, &masked);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(masked.site_rounds[i], !is_lost(i) ? 2 : is_in_sum ? 1 : 0);
    assert_int_equal(masked.abandoned, 0);
    plan.is_unmasked = true;
    plan.lost_when = is_in_sum ? LOST_HELD : LOST_ANNOUNCED;
    run(&plan, &plain);
    assert_same(&masked, &plain);
    masked_release(&masked);
    masked_release(&plain);
}

static void test_world_secagg_sparse__lost_before_the_keys__sum_of_the_others(void **state)
{
    (void)state;
    check_losses(LOST_TASKED, false);
}

/* The r of the three is put together from their peers' shares; nobody has their vectors. */
static void test_world_secagg_sparse__lost_before_r_is_told__sum_of_the_others(void **state)
{
    (void)state;
    check_losses(LOST_SEEDING, false);
}

static void test_world_secagg_sparse__lost_before_the_upload__sum_of_the_others(void **state)
{
    (void)state;
    check_losses(LOST_ANNOUNCED, false);
}

static void test_world_secagg_sparse__lost_before_the_vote__in_the_sum(void **state)
{
    (void)state;
    check_losses(LOST_HELD, true);
}

static void test_world_secagg_sparse__lost_after_the_vote__in_the_sum(void **state)
{
    (void)state;
    check_losses(LOST_VOTED, true);
}

/* More than losses_max once M7 is closed: no sum of the others, who may be in pieces. The attempt
 * is given up by their votes, and the next one is without those that are lost. */
static void check_too_many(enum masked_loss when, uint32_t lost)
{
    struct masked_plan plan = plan_of(1);
    struct masked_result r, plain;
    plan.lost_round = 1;
    plan.lost_site = LOST;
    plan.lost_more = lost - 1;
    plan.lost_when = when;
    run(&plan, &r);
    assert_int_equal(r.abandoned, 1);
    assert_int_equal(agreed.attempt, 1); /* of the round that only judges */
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r.site_rounds[i], i < LOST || i >= LOST + lost);
    plan.is_unmasked = true;
    plan.lost_when = LOST_ANNOUNCED;
    run(&plan, &plain);
    assert_same(&r, &plain);
    masked_release(&r);
    masked_release(&plain);
}

static void test_world_secagg_sparse__more_lost_than_allowed__second_attempt(void **state)
{
    (void)state;
    check_too_many(LOST_ANNOUNCED, 9);
}

/* As many as minimum_sites allows, before their r is told. */
static void test_world_secagg_sparse__many_lost_before_r_is_told__second_attempt(void **state)
{
    (void)state;
    check_too_many(LOST_SEEDING, MASKED_SITES - LEAST);
}

/* --- restarts --- */

static void check_restarts(enum masked_staged who)
{
    enum {
        ALL = 1 << CSL_SECAGG_STAGE_OPEN | 1 << CSL_SECAGG_STAGE_SHARING |
              1 << CSL_SECAGG_STAGE_PREPARING | 1 << CSL_SECAGG_STAGE_SEEDING |
              1 << CSL_SECAGG_STAGE_UPLOADING | 1 << CSL_SECAGG_STAGE_VOTING |
              1 << CSL_SECAGG_STAGE_UNMASKING
    };
    struct masked_plan plan = plan_of(2);
    struct masked_result calm, r;
    run(&plan, &calm);
    plan.staged_round = 1;
    plan.staged = who;
    run(&plan, &r);
    assert_int_equal(r.stages & ALL, ALL);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r.site_rounds[i], 2);
    assert_same(&calm, &r);
    masked_release(&calm);
    masked_release(&r);
}

static void test_world_secagg_sparse__coordinator_restarted_in_every_stage__same_bits(void **state)
{
    (void)state;
    check_restarts(STAGED_SERVICE);
}

static void test_world_secagg_sparse__sites_restarted_in_every_stage__same_bits(void **state)
{
    (void)state;
    check_restarts(STAGED_SITES);
}

/* --- a coordinator that cheats --- */

enum { VICTIM = 7, SECOND = 8, SAID_MAX = 32 };

/* What is said instead, in the first attempt of the first round; signed anew with the coordinator's
 * key. */
static struct {
    uint8_t type;
    void (*alter)(struct csl_secagg_message *m);
    bool is_for_all;
    uint32_t told;           /* messages that were altered */
    uint32_t said[SAID_MAX]; /* by the victim, or by all, in the attempt that is altered */
} cheat;
static struct csl_scalar values[MASKED_SITES];
static uint8_t bits[4 * CSL_SECAGG_SET_BYTES], roots[MASKED_SITES][32];

static void replace(struct csl_message *m, const struct csl_buf *bytes)
{
    struct csl_err err = {.code = CSL_OK};
    csl_msg_release(&m->u.secagg.body);
    masked_must(csl_msg_copy(&m->u.secagg.body, CSL_SPAN(bytes->p, bytes->n), &err), &err);
    m->u.secagg.total = (uint32_t)bytes->n;
}

static bool is_first_attempt(void)
{
    const struct csl_service_secagg *s = masked_w.service->secagg;
    return csl_coord_rounds_done(csl_service_core(masked_w.service)) == 0 && s->attempt == 1;
}

static bool say_something_else(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    struct csl_span body = csl_msg_span(&m->u.secagg.body);
    struct csl_err err = {.code = CSL_OK};
    struct csl_secagg_message s;
    struct csl_buf out;
    if (!is_first_attempt() || m->u.secagg.offset != 0 || body.n < 2 ||
        (site != VICTIM && !cheat.is_for_all))
        return false;
    if (to == CSL_TO_COORDINATOR) {
        assert_true(body.p[0] < SAID_MAX);
        cheat.said[body.p[0]]++;
        return false;
    }
    if (body.p[0] != 1 || body.p[1] != cheat.type)
        return false;
    assert_int_equal(m->u.secagg.total, body.n);
    masked_must(csl_secagg_decode(&s, CSL_SPAN(body.p + 1, body.n - 1), &err), &err);
    cheat.alter(&s);
    csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
    csl_buf_u8(&out, 1);
    masked_must(csl_secagg_encode(&s, &masked_w.federation.coordinator, &out, &err), &err);
    replace(m, &out);
    csl_buf_release(&out);
    cheat.told++;
    return true;
}

static void run_cheated(uint8_t type, void (*alter)(struct csl_secagg_message *m), bool is_for_all,
                        struct masked_result *out)
{
    struct masked_plan plan = plan_of(1);
    memset(&cheat, 0, sizeof(cheat));
    cheat.type = type;
    cheat.alter = alter;
    cheat.is_for_all = is_for_all;
    plan.meddle = say_something_else;
    run(&plan, out);
    assert_true(cheat.told > 0);
}

/* The sum of all but so many from the victim on. */
static void assert_sum(struct masked_result *r, uint32_t lost)
{
    struct masked_plan plan = plan_of(1);
    struct masked_result plain;
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r->site_rounds[i], i < VICTIM || i >= VICTIM + lost);
    plan.is_unmasked = true;
    plan.lost_round = lost > 0;
    plan.lost_site = VICTIM;
    plan.lost_more = lost - 1;
    plan.lost_when = LOST_ANNOUNCED;
    run(&plan, &plain);
    assert_same(r, &plain);
    masked_release(&plain);
    masked_release(r);
}

/* M0: shares of another threshold for one, the complete graph for another. 0, length, M0, weights.
 */
static bool offer_another_graph(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    static struct csl_secagg_config c;
    struct csl_span body = csl_msg_span(&m->u.secagg.body);
    struct csl_err err = {.code = CSL_OK};
    struct csl_buf out;
    if ((site != VICTIM && site != SECOND) || body.n < 5)
        return false;
    if (to == CSL_TO_COORDINATOR) {
        cheat.said[CSL_SECAGG_ADVERTISE]++; /* whatever it is */
        return false;
    }
    if (body.p[0] != 0)
        return false;
    assert_int_equal(m->u.secagg.total, body.n);
    size_t n = csl_load_le32(body.p + 1);
    masked_must(csl_secagg_config_decode(&c, CSL_SPAN(body.p + 5, n), &err), &err);
    c.share_threshold++;
    if (site == SECOND) {
        c.share_degree = c.share_threshold = c.mask_degree = c.losses_max = 0;
        c.graph = 0;
    }
    csl_buf_init(&out, CSL_SECAGG_WHOLE_MAX);
    csl_buf_append(&out, body.p, 5);
    masked_must(csl_secagg_config_encode(&c, &masked_w.federation.coordinator, &out, &err), &err);
    assert_int_equal(out.n, 5 + n);
    csl_buf_append(&out, body.p + 5 + n, body.n - 5 - n);
    replace(m, &out);
    csl_buf_release(&out);
    cheat.told++;
    return true;
}

static void test_secagg_pitfall_36__study_other_graph_offered__no_word_from_it(void **state)
{
    struct masked_plan plan = plan_of(1);
    struct masked_result r;
    (void)state;
    memset(&cheat, 0, sizeof(cheat));
    plan.meddle = offer_another_graph;
    run(&plan, &r);
    assert_true(cheat.told >= 2);
    assert_int_equal(cheat.said[CSL_SECAGG_ADVERTISE], 0);
    assert_sum(&r, 2);
}

static void other_share_graph(struct csl_secagg_message *m)
{
    m->u.round_keys.graph_seed[31] ^= 1;
}

static void test_secagg_pitfall_36__study_other_share_graph__no_shares_from_it(void **state)
{
    struct masked_result r;
    (void)state;
    run_cheated(CSL_SECAGG_ROUND_KEYS, other_share_graph, false, &r);
    assert_int_equal(cheat.said[CSL_SECAGG_SPARSE_SHARES], 0);
    assert_int_equal(cheat.said[CSL_SECAGG_MANIFEST], 0);
    assert_sum(&r, 1);
}

static void other_seed(struct csl_secagg_message *m)
{
    memcpy(values, m->u.seeds.r, sizeof(*values) * m->u.seeds.count);
    values[3] = values[4];
    m->u.seeds.r = values;
}

static void test_secagg_pitfall_36__study_other_r__no_masks_from_it(void **state)
{
    struct masked_result r;
    (void)state;
    run_cheated(CSL_SECAGG_SEEDS, other_seed, false, &r);
    assert_true(cheat.said[CSL_SECAGG_REVEAL] > 0);
    assert_int_equal(cheat.said[CSL_SECAGG_MANIFEST], 0);
    assert_sum(&r, 1);
}

/* So many of U3 are said to be lost. */
static void leave_out(struct csl_secagg_message *m, uint32_t count)
{
    struct csl_secagg_survivors *u3 = &m->u.survivors;
    uint32_t bytes = csl_secagg_set_bytes(u3->count);
    memcpy(bits, u3->block_bits, (size_t)bytes * u3->block_count);
    memcpy(roots, u3->roots, (size_t)32 * csl_secagg_set_count(&u3->members));
    for (uint32_t i = u3->count; count > 0 && i-- > 0; count--) {
        assert_true(csl_secagg_set_has(&u3->members, i));
        u3->members.bits[i / 8] &= (uint8_t) ~(1U << i % 8);
        for (uint32_t b = 0; b < u3->block_count; b++)
            bits[b * bytes + i / 8] &= (uint8_t) ~(1U << i % 8);
    }
    u3->block_bits = bits;
    u3->roots = roots[0];
}

static void other_set(struct csl_secagg_message *m)
{
    leave_out(m, 1);
}

/* It votes for what it was shown, which has no quorum, and opens nothing. */
static void test_world_secagg_sparse__another_set_for_one_site__it_opens_nothing(void **state)
{
    struct masked_result r;
    (void)state;
    run_cheated(CSL_SECAGG_SURVIVORS, other_set, false, &r);
    assert_true(cheat.said[CSL_SECAGG_VOTE] > 0);
    assert_int_equal(cheat.said[CSL_SECAGG_UNMASK], 0);
    assert_sum(&r, 0);
}

static void set_in_pieces(struct csl_secagg_message *m)
{
    leave_out(m, 9);
}

/* Nobody votes, so nobody opens anything; they abandon it, and the next attempt is honest. */
static void test_secagg_pitfall_37__study_too_many_said_lost__nothing_is_opened(void **state)
{
    struct masked_result r;
    (void)state;
    run_cheated(CSL_SECAGG_SURVIVORS, set_in_pieces, true, &r);
    assert_true(cheat.said[CSL_SECAGG_VOTE] > 0); /* to abandon */
    assert_int_equal(cheat.said[CSL_SECAGG_UNMASK], 0);
    assert_int_equal(r.abandoned, 1);
    assert_int_equal(agreed.attempt, 1); /* of the round that only judges */
    assert_sum(&r, 0);
}

/* --- audits --- */

static size_t r_at; /* of the answer to the victim, of which parts are on their way; 0: none */

/* One is given another r than M7 has, and the other another word of an upload. */
static bool lie(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    struct csl_msg *body = &m->u.secagg.body;
    size_t from = m->u.secagg.offset;
    if (to != CSL_TO_SITE || (site != VICTIM && site != SECOND))
        return false;
    bool is_first = from == 0 && body->n > CSL_SECAGG_HEADER_BYTES + 60 && body->p[0] == 1;
    if (site == SECOND) {
        if (!is_first || body->p[1] != CSL_SECAGG_AUDIT_UPLOAD)
            return false;
        body->p[body->n - 1] ^= 1;
        return true;
    }
    if (is_first && body->p[1] == CSL_SECAGG_SPARSE_AUDITED) {
        const uint8_t *counts = body->p + 1 + CSL_SECAGG_HEADER_BYTES + 40;
        size_t count = csl_load_le32(counts), threshold = csl_load_le32(counts + 4);
        r_at = 1 + CSL_SECAGG_HEADER_BYTES + 48 + 32 * count * (1 + 3 * threshold);
    }
    if (r_at == 0 || r_at < from || r_at >= from + body->n)
        return false;
    body->p[r_at - from] ^= 1;
    r_at = 0;
    return true;
}

static void test_world_secagg_sparse__audits__honest_pass_and_lies_are_caught(void **state)
{
    struct masked_plan plan = plan_of(1);
    struct masked_result r;
    (void)state;
    plan.sections = SAMPLES MASKS(", audit_chunks: 1");
    plan.lost_round = 1;
    plan.lost_site = LOST;
    plan.lost_when = LOST_ANNOUNCED;
    plan.meddle = lie;
    r_at = 0;
    masked_log_begin();
    run(&plan, &r);
    masked_log_end();
    assert_int_equal(masked_logged("secagg.audit_passed"), MASKED_SITES - 3);
    assert_int_equal(masked_logged("secagg.audit_failed"), 2);
    assert_int_equal(masked_logged("secagg.audit_refused"), 0);
    masked_release(&r);
}

static int set_up(void **state)
{
    (void)state;
    masked_open(&fixture);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_close(&fixture);
    return 0;
}

int main(void)
{
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_secagg_sparse__nobody_lost__model_as_without_masks),
        cmocka_unit_test(test_world_secagg_sparse__lost_before_the_keys__sum_of_the_others),
        cmocka_unit_test(test_world_secagg_sparse__lost_before_r_is_told__sum_of_the_others),
        cmocka_unit_test(test_world_secagg_sparse__lost_before_the_upload__sum_of_the_others),
        cmocka_unit_test(test_world_secagg_sparse__lost_before_the_vote__in_the_sum),
        cmocka_unit_test(test_world_secagg_sparse__lost_after_the_vote__in_the_sum),
        cmocka_unit_test(test_world_secagg_sparse__more_lost_than_allowed__second_attempt),
        cmocka_unit_test(test_world_secagg_sparse__many_lost_before_r_is_told__second_attempt),
        cmocka_unit_test(test_world_secagg_sparse__coordinator_restarted_in_every_stage__same_bits),
        cmocka_unit_test(test_world_secagg_sparse__sites_restarted_in_every_stage__same_bits),
        cmocka_unit_test(test_secagg_pitfall_36__study_other_graph_offered__no_word_from_it),
        cmocka_unit_test(test_secagg_pitfall_36__study_other_share_graph__no_shares_from_it),
        cmocka_unit_test(test_secagg_pitfall_36__study_other_r__no_masks_from_it),
        cmocka_unit_test(test_world_secagg_sparse__another_set_for_one_site__it_opens_nothing),
        cmocka_unit_test(test_secagg_pitfall_37__study_too_many_said_lost__nothing_is_opened),
        cmocka_unit_test(test_world_secagg_sparse__audits__honest_pass_and_lies_are_caught),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
