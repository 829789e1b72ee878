/* What a coordinator can ask about test patients: the M0 of a round is changed on the way and
 * signed again with the coordinator's key, or a task is another one. */
#include "tests/unit/world/masked_internal.h"

#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"
#include "privacy/secagg/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLES  "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define MASKS    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
#define FOUR     "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 4}\n"
#define JOINT    "privacy: {mode: joint, epsilon: 2, delta: 1e-3, clip: 1, sampling_rate: 0.5}\n"
#define LOCAL    "privacy: {mode: local, epsilon: 2, delta: 1e-3, clip: 1}\n"
#define COUNTED  "statistics: {every: 2, epsilon: 1, delta: 1e-3}\n" /* in rounds 1 and 3 */
#define ONE_STEP "{optimizer: sgd, learning_rate: 0.5, batch_patients: full, steps: 1}"
#define WORDS    (2 + 4 + 2 * 256 + 1) /* of the evaluation of two classes */

enum { VICTIM = 2 };

static struct fixture fixture;
static uint32_t weights[CSL_SECAGG_SITES_MAX * 4]; /* [row][block] of the M0 that is made */

/* What becomes of the M0 of `round`, and what was seen of it. */
static struct {
    void (*change)(struct csl_secagg_config *c);
    uint64_t round;
    uint32_t changed, followed, followed_by_victim;
    bool is_open; /* such an M0 was sent, and sites could follow */
    bool has_factors;
    uint8_t factors[CSL_DIGEST_BYTES]; /* of the newest task, which M0 binds */
} asked;

static struct masked_plan plan_of(uint32_t rounds)
{
    return (struct masked_plan){.rounds = rounds,
                                .minimum_sites = 3,
                                .keyless_site = MASKED_NONE,
                                .meddles_with_all = true,
                                .sections = SAMPLES MASKS};
}

/* 0, length of M0, M0, the table of weights: 1 for who is asked for a block. */
static void put_config(struct csl_secagg_config *c, struct csl_message *m)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_buf out;
    uint8_t head[5] = {0};
    for (uint32_t i = 0; i < c->roster_count; i++)
        for (uint32_t b = 0; b < c->block_count; b++)
            weights[i * c->block_count + b] = csl_secagg_set_has(&c->blocks[b].eligible, i);
    csl_secagg_weights_hash(weights, c->roster_count, c->block_count, c->weights_hash);
    if (asked.has_factors)
        csl_secagg_weights_bind(c->weights_hash, asked.factors);
    csl_buf_init(&out, 1 << 20);
    csl_buf_append(&out, head, sizeof(head));
    masked_must(csl_secagg_config_encode(c, &masked_w.federation.coordinator, &out, &err), &err);
    csl_store_le32(out.p + 1, (uint32_t)(out.n - sizeof(head)));
    for (uint32_t i = 0; i < c->roster_count * c->block_count; i++) {
        uint8_t le[4];
        csl_store_le32(le, weights[i]);
        csl_buf_append(&out, le, sizeof(le));
    }
    csl_msg_release(&m->u.secagg.body);
    masked_must(csl_msg_copy(&m->u.secagg.body, CSL_SPAN(out.p, out.n), &err), &err);
    m->u.secagg.total = (uint32_t)out.n;
    csl_buf_release(&out);
}

static bool change_config(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    struct csl_secagg_config c;
    const struct csl_msg *body = &m->u.secagg.body;
    if (to == CSL_TO_SITE && m->kind == CSL_MSG_TASK)
        asked.has_factors = csl_task_factors(&m->u.task, asked.factors);
    if (to == CSL_TO_COORDINATOR && m->kind == CSL_MSG_SECAGG && asked.is_open) {
        asked.followed++;
        asked.followed_by_victim += site == VICTIM;
    }
    if (to == CSL_TO_COORDINATOR || m->kind != CSL_MSG_SECAGG_TO_SITE || body->n < 5 ||
        body->p[0] != 0)
        return false;
    uint32_t n = csl_load_le32(body->p + 1);
    assert_true(m->u.secagg.offset == 0 && m->u.secagg.total == body->n);
    assert_int_equal(csl_secagg_config_decode(&c, CSL_SPAN(body->p + 5, n), NULL), CSL_OK);
    asked.is_open = c.round == asked.round;
    if (!asked.is_open)
        return false;
    asked.changed++;
    asked.change(&c);
    put_config(&c, m);
    return true;
}

static void run_asking(struct masked_plan *plan, uint64_t round,
                       void (*change)(struct csl_secagg_config *c), struct masked_result *r)
{
    memset(&asked, 0, sizeof(asked));
    asked.change = change;
    asked.round = round;
    plan->meddle = change_config;
    masked_run(&fixture, plan, r);
    assert_true(asked.changed > 0); /* else the test does not test */
}

/* --- the changes --- */

static void same(struct csl_secagg_config *c)
{
    (void)c;
}

static struct csl_secagg_block *last_row(struct csl_secagg_config *c)
{
    return &c->blocks[c->block_count - 1];
}

static void fewer_sites(struct csl_secagg_config *c)
{
    last_row(c)->sites_min--;
}

static void fewer_sites_in_the_model(struct csl_secagg_config *c)
{
    c->blocks[0].sites_min--; /* still two more than may collude */
}

static void fewer_words(struct csl_secagg_config *c)
{
    last_row(c)->entries--;
}

static void narrow_words(struct csl_secagg_config *c)
{
    last_row(c)->lane_bits = 32;
    last_row(c)->levels = 512;
}

static void unknown_domain(struct csl_secagg_config *c)
{
    last_row(c)->id++;
}

static void block_of_the_model(struct csl_secagg_config *c)
{
    last_row(c)->id = 0;
}

static void another_row(struct csl_secagg_config *c)
{
    struct csl_secagg_block row = *last_row(c);
    row.id++;
    row.entries = WORDS;
    c->blocks[c->block_count++] = row;
}

/* Of the statistics of a study with privacy, which has no evaluations. */
static void statistic_again(struct csl_secagg_config *c)
{
    struct csl_secagg_block row = *last_row(c);
    row.id = 1;
    row.entries = 2 + 2;
    c->blocks[c->block_count++] = row;
}

/* The rows of the roster are in the order of the names, and so are the sites of these tests. */
static void without_the_victim(struct csl_secagg_config *c)
{
    struct csl_secagg_set all = last_row(c)->eligible;
    memset(&last_row(c)->eligible, 0, sizeof(all));
    for (uint32_t i = 0; i < c->roster_count; i++)
        if (i != VICTIM && csl_secagg_set_has(&all, i))
            csl_secagg_set_put(&last_row(c)->eligible, i);
}

/* --- the tests --- */

/* The models of two rounds are judged in the second and in the third, which trains nothing. */
static void test_world_secagg_asked__evaluation_of_other_words__no_site_joins(void **state)
{
    static const struct {
        uint64_t round;
        void (*change)(struct csl_secagg_config *c);
    } rows[] = {
        {2, fewer_sites},    {2, fewer_words},        {2, narrow_words},
        {2, unknown_domain}, {2, another_row},        {1, another_row}, /* not due */
        {3, fewer_sites},    {3, fewer_words},        {3, narrow_words},
        {3, unknown_domain}, {3, block_of_the_model},
    };
    struct masked_plan plan = plan_of(2);
    struct masked_result r;
    (void)state;
    for (uint64_t round = 1; round <= 3; round++) {
        run_asking(&plan, round, same, &r); /* signed again, and the same */
        assert_int_equal(r.code, CSL_OK);
        assert_int_equal(r.evaluation_count, 2);
        assert_true(asked.followed > 0);
        masked_release(&r);
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        run_asking(&plan, rows[i].round, rows[i].change, &r);
        if (asked.followed != 0)
            fail_msg("row %zu: %u messages follow", i, asked.followed);
        assert_int_equal(r.evaluation_count, rows[i].round == 3 ? 1 : 0);
        masked_release(&r);
    }
}

/* One of the model, in a study that opens sums of four. */
static void
test_world_secagg_asked__model_over_fewer_sites_than_the_study__no_site_joins(void **state)
{
    struct masked_plan plan = plan_of(1);
    struct masked_result r;
    (void)state;
    plan.minimum_sites = 4;
    plan.sections = SAMPLES FOUR;
    run_asking(&plan, 1, same, &r);
    assert_int_equal(r.code, CSL_OK);
    assert_true(asked.followed > 0);
    masked_release(&r);
    run_asking(&plan, 1, fewer_sites_in_the_model, &r);
    assert_int_equal(asked.followed, 0);
    masked_release(&r);
}

/* Of two domains that ask the same, a sum with a site and one without it. */
static void test_world_secagg_asked__one_site_left_out_of_a_domain__it_does_not_join(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result r;
    (void)state;
    plan.has_third = true;
    run_asking(&plan, 2, without_the_victim, &r);
    assert_true(asked.followed > 0);
    assert_int_equal(asked.followed_by_victim, 0);
    masked_release(&r);
}

/* With privacy no evaluation is priced, so none may be in a sum, whatever M0 says. */
static void test_world_secagg_asked__evaluation_beside_privacy__no_site_joins(void **state)
{
    static const char *const sections[] = {SAMPLES MASKS JOINT, SAMPLES MASKS LOCAL};
    struct masked_result r;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct masked_plan plan = plan_of(2);
        plan.local = ONE_STEP;
        plan.sections = sections[i];
        run_asking(&plan, 2, same, &r);
        assert_int_equal(r.code, CSL_OK);
        assert_true(asked.followed > 0);
        assert_int_equal(r.plain.n, 2 * MASKED_SITES * (MASKED_PARAMETERS + 2) * sizeof(uint64_t));
        masked_release(&r);
        run_asking(&plan, 2, another_row, &r);
        assert_int_equal(asked.followed, 0);
        assert_int_equal(r.evaluation_count, 0);
        masked_release(&r);
    }
}

/* Nothing is counted but what the study says, when it says so, over as many sites. */
static void test_world_secagg_asked__statistics_of_other_words__no_site_joins(void **state)
{
    static const struct {
        uint64_t round;
        void (*change)(struct csl_secagg_config *c);
    } rows[] = {{1, fewer_sites},    {1, fewer_words}, {1, narrow_words},
                {1, unknown_domain}, {1, another_row}, {2, statistic_again}}; /* not due */
    struct masked_plan plan = plan_of(2);
    struct masked_result r;
    (void)state;
    plan.local = ONE_STEP;
    plan.sections = SAMPLES MASKS JOINT COUNTED;
    for (uint64_t round = 1; round <= 2; round++) {
        run_asking(&plan, round, same, &r);
        assert_int_equal(r.code, CSL_OK);
        assert_int_equal(r.published_count, 1);
        assert_true(asked.followed > 0);
        masked_release(&r);
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        run_asking(&plan, rows[i].round, rows[i].change, &r);
        if (asked.followed != 0)
            fail_msg("row %zu: %u messages follow", i, asked.followed);
        masked_release(&r);
    }
    run_asking(&plan, 1, without_the_victim, &r);
    assert_true(asked.followed > 0);
    assert_int_equal(asked.followed_by_victim, 0);
    masked_release(&r);
}

/* --- the task of studies without masks --- */

static uint32_t answers, told;

/* Once, in place of the second round's task. */
static bool ask_to_evaluate(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    if (to == CSL_TO_COORDINATOR && m->kind == CSL_MSG_EVALUATION) {
        answers++;
        told += m->u.evaluation.block_count;
    }
    if (to == CSL_TO_COORDINATOR || site != VICTIM || m->kind != CSL_MSG_TASK ||
        m->u.task.type != CSL_TASK_TRAIN || m->u.task.round != 2)
        return false;
    m->u.task.type = CSL_TASK_EVALUATE;
    m->u.task.round = 1;
    return true;
}

static void check_task(const char *sections, bool tells)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result r;
    plan.local = ONE_STEP;
    plan.sections = sections;
    plan.meddle = ask_to_evaluate;
    answers = told = 0;
    masked_run(&fixture, &plan, &r);
    assert_true(answers > 0);
    assert_true((told > 0) == tells);
    assert_true((r.counts_told > 0) == tells);
    masked_release(&r);
}

static void test_world_secagg_asked__task_to_evaluate__tells_nothing(void **state)
{
    (void)state;
    check_task(SAMPLES MASKS, false);
    check_task(SAMPLES MASKS JOINT, false);
    check_task(SAMPLES MASKS LOCAL, false);
    check_task(SAMPLES, true); /* where there is neither, it does */
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
        cmocka_unit_test(test_world_secagg_asked__evaluation_of_other_words__no_site_joins),
        cmocka_unit_test(
            test_world_secagg_asked__model_over_fewer_sites_than_the_study__no_site_joins),
        cmocka_unit_test(test_world_secagg_asked__one_site_left_out_of_a_domain__it_does_not_join),
        cmocka_unit_test(test_world_secagg_asked__statistics_of_other_words__no_site_joins),
        cmocka_unit_test(test_world_secagg_asked__evaluation_beside_privacy__no_site_joins),
        cmocka_unit_test(test_world_secagg_asked__task_to_evaluate__tells_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
