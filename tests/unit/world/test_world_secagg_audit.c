/* Audits of published sums in whole studies: honest coordinators pass and change nothing, others
 * are found out by every site that asks for the part they altered, and nothing more is told than
 * that. */
#include "base/clock.h"
#include "base/log.h"
#include "coordinator/service_secagg_audit.h"
#include "privacy/secagg/mask.h"
#include "privacy/secagg/messages.h"
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
    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3" more "}\n"
#define CHUNKS 2 /* of each sum: one block, and the scalars */

static struct fixture fixture;

static struct masked_plan plan_of(uint32_t rounds)
{
    return (struct masked_plan){.rounds = rounds,
                                .minimum_sites = 3,
                                .keyless_site = MASKED_NONE,
                                .judges_last = true, /* two chunks in every sum that is audited */
                                .sections = SAMPLES MASKS(", audit_chunks: 2")};
}

static void run(const struct masked_plan *plan, struct masked_result *out)
{
    masked_log_begin();
    masked_run(&fixture, plan, out);
    masked_log_end();
}

static void assert_released(const struct masked_plan *plan, const struct masked_result *r)
{
    if (r->code != CSL_OK)
        fail_msg("%s", r->reason);
    assert_int_equal(r->rounds, plan->rounds);
}

/* --- an honest coordinator --- */

static void test_world_secagg_audit__honest__all_pass_and_same_model(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result calm, r;
    (void)state;
    plan.sections = SAMPLES MASKS("");
    run(&plan, &calm);
    assert_int_equal(calm.requests, 0);
    plan = plan_of(3);
    run(&plan, &r);
    assert_released(&plan, &r);
    assert_int_equal(r.requests, 3 * MASKED_SITES); /* the last round's too */
    assert_int_equal(r.answers, 3 * MASKED_SITES * CHUNKS);
    assert_int_equal(masked_logged("secagg.audit_passed"), 3 * MASKED_SITES);
    assert_int_equal(masked_logged("secagg.audit_refused"), 0);
    assert_memory_equal(calm.model, r.model, r.parameters * sizeof(float));
    masked_release(&calm);
    masked_release(&r);
}

/* One chunk of two: either may be drawn. */
static void test_world_secagg_audit__fewer_chunks_than_there_are__as_many_as_asked(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result r;
    (void)state;
    plan.sections = SAMPLES MASKS(", audit_chunks: 1");
    run(&plan, &r);
    assert_released(&plan, &r);
    assert_int_equal(r.answers, 3 * MASKED_SITES);
    assert_int_equal(masked_logged("secagg.audit_passed"), 3 * MASKED_SITES);
    masked_release(&r);
}

/* Blocks that not all sites send: an upload holds them one after the other. */
static void test_world_secagg_audit__two_blocks_and_a_lost_site__all_pass(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result r;
    (void)state;
    plan.sections = SAMPLES MASKS(", audit_chunks: 8");
    plan.domain = "severe";
    plan.lost_round = 2;
    plan.lost_site = 1;
    plan.lost_when = LOST_ANNOUNCED;
    run(&plan, &r);
    assert_released(&plan, &r);
    assert_int_equal(masked_logged("secagg.audit_passed"), 3 * MASKED_SITES - 2);
    masked_release(&r);
}

static void test_world_secagg_audit__bad_weather__all_pass_and_same_model(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result calm, r;
    (void)state;
    run(&plan, &calm);
    plan.cut_probability = 0.01;
    plan.jitter_ns = 5 * CSL_NS_PER_MS;
    for (plan.schedule = 1; plan.schedule <= 12; plan.schedule++) {
        run(&plan, &r);
        assert_released(&plan, &r);
        assert_int_equal(masked_logged("secagg.audit_passed"), 3 * MASKED_SITES);
        assert_int_equal(masked_logged("secagg.audit_refused"), 0);
        assert_memory_equal(calm.model, r.model, r.parameters * sizeof(float));
        masked_release(&r);
    }
    masked_release(&calm);
}

/* Five chunks of a block and one of scalars, each in messages of several parts, to five sites at
 * once: more than an outbox holds if nobody waited for room. */
static void test_world_secagg_audit__large_model__answers_wait_for_room(void **state)
{
    struct masked_plan plan = plan_of(1);
    struct masked_result r;
    (void)state;
    plan.sections = SAMPLES MASKS(", audit_chunks: 8");
    plan.model = "{kind: mlp, hidden: [40000, 15]}";
    plan.local = "{optimizer: sgd, learning_rate: 0.001, batch_patients: 4, steps: 1}";
    plan.chunk_bytes = 1 << 18;
    run(&plan, &r);
    assert_released(&plan, &r);
    assert_true(r.parameters > 5 * CSL_PRG_CHUNK_WORDS);
    assert_int_equal(r.answers, MASKED_SITES * 7);
    assert_int_equal(masked_logged("secagg.audit_passed"), MASKED_SITES);
    assert_int_equal(masked_logged("site.outbox_full"), 0);
    masked_release(&r);
}

/* --- a coordinator that is started again --- */

static void test_world_secagg_audit__restart_before_the_answer__all_pass(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result r;
    (void)state;
    for (plan.audit_restart_round = 1; plan.audit_restart_round <= 3; plan.audit_restart_round++) {
        run(&plan, &r);
        assert_released(&plan, &r);
        assert_true(masked_w.was_killed);
        assert_int_equal(masked_logged("secagg.audit_passed"), 3 * MASKED_SITES);
        masked_release(&r);
    }
}

/* The site comes back when the next round is open. What it asks for is in what was set aside. */
static void late(bool restarts)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result r;
    plan.lost_round = 2;
    plan.lost_site = 1;
    plan.lost_when = LOST_VOTED;
    plan.back_ns = 5 * 60 * CSL_NS_PER_S;
    plan.audit_restart_round = restarts ? 2 : 0;
    plan.restarts_for_late = true;
    run(&plan, &r);
    assert_released(&plan, &r);
    assert_int_equal(masked_w.was_killed, restarts);
    assert_int_equal(masked_logged("secagg.audit_passed"), 3 * MASKED_SITES);
    assert_int_equal(masked_logged("secagg.audit_lost"), 0);
    masked_release(&r);
}

static void test_world_secagg_audit__asked_in_the_next_round__answered(void **state)
{
    (void)state;
    late(false);
}

static void test_world_secagg_audit__restart_in_the_next_round__answered(void **state)
{
    (void)state;
    late(true);
}

/* --- a coordinator that cheats --- */

static struct {
    uint64_t round; /* in which one word of the sum is another; 0: none */
} cheat;

enum csl_code __real_csl_secagg_masks_apply(const struct csl_secagg_masks *m, struct csl_prg *prg,
                                            uint32_t block, uint32_t block_id, uint64_t chunk,
                                            uint64_t *words, size_t count, struct csl_err *err);
enum csl_code __wrap_csl_secagg_masks_apply(const struct csl_secagg_masks *m, struct csl_prg *prg,
                                            uint32_t block, uint32_t block_id, uint64_t chunk,
                                            uint64_t *words, size_t count, struct csl_err *err);
enum csl_code __wrap_csl_secagg_masks_apply(const struct csl_secagg_masks *m, struct csl_prg *prg,
                                            uint32_t block, uint32_t block_id, uint64_t chunk,
                                            uint64_t *words, size_t count, struct csl_err *err)
{
    enum csl_code code =
        __real_csl_secagg_masks_apply(m, prg, block, block_id, chunk, words, count, err);
    bool is_coordinator = dying_party() == MASKED_SERVICE;
    if (is_coordinator && block == 0 &&
        csl_coord_rounds_done(csl_service_core(masked_w.service)) + 1 == cheat.round)
        words[0] += UINT64_C(1) << 32;
    return code;
}

static void test_world_secagg_audit__one_word_of_the_sum__all_sites_stop(void **state)
{
    struct masked_plan plan = plan_of(4);
    struct masked_result r;
    (void)state;
    cheat.round = 2;
    run(&plan, &r);
    cheat.round = 0;
    assert_int_not_equal(r.code, CSL_OK);
    assert_int_equal(r.rounds, 2);
    assert_int_equal(masked_logged("secagg.audit_passed"), MASKED_SITES);
    assert_int_equal(masked_logged("secagg.audit_failed"), MASKED_SITES);
    assert_int_equal(masked_logged("round=2 block=0 chunk=0"), MASKED_SITES);
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        assert_int_equal(r.site_rounds[i], 2);
        assert_true(r.last_error[i][0] != '\0');
    }
    masked_release(&r);
}

/* Of the last round: the sites say so before the study is over. */
static void test_world_secagg_audit__last_sum_altered__said_before_the_end(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result r;
    (void)state;
    cheat.round = 2;
    run(&plan, &r);
    cheat.round = 0;
    assert_int_equal(masked_logged("secagg.audit_failed"), MASKED_SITES);
    masked_release(&r);
}

#define VICTIM 1u
static struct {
    uint8_t type;
    size_t at; /* of the byte that is changed, from the end if is_last */
    bool is_last;
    uint64_t round; /* only in that round */
} lie;

/* 1, and the message. */
static bool lie_to_victim(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    struct csl_msg *body = &m->u.secagg.body;
    if (to != CSL_TO_SITE || site != VICTIM || body->n < 2 || body->p[0] != 1 ||
        body->p[1] != lie.type ||
        csl_coord_rounds_done(csl_service_core(masked_w.service)) != lie.round)
        return false;
    size_t at = lie.is_last ? body->n - 1 - lie.at : 1 + lie.at;
    assert_true(at < body->n);
    body->p[at] ^= 1;
    return true;
}

static void check_lie(uint8_t type, size_t at, bool is_last)
{
    struct masked_plan plan = plan_of(4);
    struct masked_result r;
    lie.type = type;
    lie.at = at;
    lie.is_last = is_last;
    lie.round = 2;
    plan.meddle = lie_to_victim;
    run(&plan, &r);
    assert_released(&plan, &r);
    assert_int_equal(masked_logged("secagg.audit_failed"), 1);
    assert_int_equal(masked_logged("secagg.audit_passed"), 1 + 4 * (MASKED_SITES - 1));
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r.site_rounds[i], i == VICTIM ? 2 : 4);
    masked_release(&r);
}

static void test_world_secagg_audit__one_word_of_an_upload__that_site_stops(void **state)
{
    (void)state;
    check_lie(CSL_SECAGG_AUDIT_UPLOAD, 7, true);
}

static void test_world_secagg_audit__one_bit_of_a_secret__that_site_stops(void **state)
{
    (void)state; /* header, T, block, chunk, count, threshold, then the secrets */
    check_lie(CSL_SECAGG_AUDITED, CSL_SECAGG_HEADER_BYTES + 32 + 16, false);
}

static void test_world_secagg_audit__stopped__stays_so_until_confirmed(void **state)
{
    struct masked_plan plan = plan_of(6);
    struct masked_result r;
    (void)state;
    lie.type = CSL_SECAGG_AUDIT_UPLOAD;
    lie.at = 7;
    lie.is_last = true;
    lie.round = 2;
    plan.meddle = lie_to_victim;
    plan.restart_site = VICTIM;
    plan.bounced_round = 4;
    run(&plan, &r);
    assert_released(&plan, &r);
    assert_int_equal(r.site_rounds[VICTIM], 2);
    assert_int_equal(masked_logged("secagg.audit_failed"), 2); /* and once more at the start */
    masked_release(&r);
    plan.confirmed_round = 5;
    run(&plan, &r);
    assert_released(&plan, &r);
    assert_true(masked_w.was_bounced && masked_w.was_confirmed);
    assert_true(r.site_rounds[VICTIM] >= 3 && r.site_rounds[VICTIM] <= 4);
    assert_int_equal(masked_logged("secagg.audit_confirmed"), 1);
    masked_release(&r);
}

/* Its request is spoiled, so that the coordinator refuses it and no answer comes: it sits out one
 * round. */
static bool spoil_request(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    struct csl_msg *body = &m->u.secagg.body;
    if (to != CSL_TO_COORDINATOR || site != VICTIM || body->p[0] != CSL_SECAGG_AUDIT ||
        csl_coord_rounds_done(csl_service_core(masked_w.service)) != 2)
        return false;
    body->p[body->n - 1] ^= 1;
    return true;
}

static void test_world_secagg_audit__no_answer__next_round_refused(void **state)
{
    struct masked_plan plan = plan_of(4);
    struct masked_result r;
    (void)state;
    plan.meddle = spoil_request;
    run(&plan, &r);
    assert_released(&plan, &r);
    assert_int_equal(masked_logged("secagg.audit_unanswered"), 1);
    assert_int_equal(masked_logged("secagg.audit_failed"), 0);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r.site_rounds[i], i == VICTIM ? 3 : 4);
    masked_release(&r);
}

/* --- sites that ask for what they may not --- */

static struct {
    bool is_done;
    uint8_t sid[32]; /* of the first round */
} asked;

static void ask(uint32_t site, const uint8_t sid[32], uint32_t count)
{
    const struct csl_agent_keys *keys = csl_sim_federation_site(&masked_w.federation, site);
    uint8_t chunks[2 * 8] = {0};
    struct csl_secagg_message m = {.type = CSL_SECAGG_AUDIT};
    struct csl_buf out;
    struct csl_err err = {.code = CSL_OK};
    uint32_t place;
    masked_must(csl_secagg_roster_member(keys->roster, masked_ids[site], &place, &err), &err);
    chunks[8] = 1; /* the other block */
    memcpy(m.id, sid, sizeof(m.id));
    m.site = keys->roster->sites[place].id;
    m.u.audit = (struct csl_secagg_audit_request){.count = count, .chunks = chunks};
    csl_buf_init(&out, 4096);
    masked_must(csl_secagg_encode(&m, keys->key, &out, &err), &err);
    csl_service_audit_ask__(masked_w.service, site, CSL_SPAN(out.p, out.n));
    csl_buf_release(&out);
}

/* When a site hears the answer of round 2: it asks for too much, for another round, and again. */
static bool ask_for_more(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    struct csl_span body = csl_msg_span(&m->u.secagg.body);
    struct csl_secagg_message s;
    uint64_t done = csl_coord_rounds_done(csl_service_core(masked_w.service));
    if (to != CSL_TO_SITE || body.n < 2 || body.p[0] != 1 ||
        csl_secagg_decode(&s, CSL_SPAN(body.p + 1, body.n - 1), NULL) != CSL_OK)
        return false;
    if (s.type == CSL_SECAGG_RESULT && done == 0) /* it is told before the core closes the round */
        memcpy(asked.sid, s.id, sizeof(asked.sid));
    if (s.type != CSL_SECAGG_AUDITED || done != 2 || asked.is_done)
        return false;
    asked.is_done = true;
    ask(site, s.id, 2);
    ask(site, asked.sid, 1);
    ask(site, s.id, 1);
    return false;
}

static void test_world_secagg_audit__too_much_another_round_twice__refused(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result r;
    (void)state;
    plan.sections = SAMPLES MASKS(", audit_chunks: 1");
    plan.meddle = ask_for_more;
    asked.is_done = false;
    run(&plan, &r);
    assert_released(&plan, &r);
    assert_true(asked.is_done);
    assert_int_equal(masked_logged("secagg.audit_refused"), 3);
    assert_int_equal(masked_logged("2 chunks; at most 1 in this study"), 1);
    assert_int_equal(masked_logged("of another session"), 1);
    assert_int_equal(masked_logged("a second request in one round"), 1);
    assert_int_equal(r.answers, 3 * MASKED_SITES);
    masked_release(&r);
}

/* --- what is told --- */

static struct {
    struct csl_secagg_set senders, survivors; /* of the round that was heard last */
    uint32_t count, answers, uploads;
    bool has_result;
} told;

static bool opens(const struct csl_scalar *secret, const struct csl_point *commitment)
{
    struct csl_point p;
    return csl_point_base(secret, &p, NULL) == CSL_OK && csl_point_equal(&p, commitment);
}

static bool was_sent(struct csl_span words)
{
    const struct csl_buf *sent = &masked_w.result->sent;
    for (size_t at = 0; at + words.n <= sent->n; at++)
        if (memcmp(sent->p + at, words.p, words.n) == 0)
            return true;
    return false;
}

/* Of U3 the self mask's secret and not the mask key, of the lost the mask key and not the other. */
static void check_answer(const struct csl_secagg_audited *m)
{
    uint32_t index = 0;
    assert_int_equal(m->count, csl_secagg_set_count(&told.senders));
    for (uint32_t i = 0; i < told.count; i++) {
        if (!csl_secagg_set_has(&told.senders, i))
            continue;
        const struct csl_point *b = m->commitments + (size_t)2 * m->threshold * index;
        bool is_in = csl_secagg_set_has(&told.survivors, i);
        assert_int_equal(opens(&m->secrets[index], b), is_in);
        assert_int_equal(opens(&m->secrets[index], b + m->threshold), !is_in);
        index++;
    }
    told.answers++;
}

static bool look(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    struct csl_span body = csl_msg_span(&m->u.secagg.body);
    struct csl_secagg_message s;
    (void)site;
    if (to != CSL_TO_SITE || body.n < 2 || body.p[0] != 1 ||
        csl_secagg_decode(&s, CSL_SPAN(body.p + 1, body.n - 1), NULL) != CSL_OK)
        return false;
    if (s.type == CSL_SECAGG_SENDERS) {
        told.senders = s.u.senders.members;
        told.count = s.u.senders.count;
        told.has_result = false;
    }
    if (s.type == CSL_SECAGG_SURVIVORS)
        told.survivors = s.u.survivors.members;
    told.has_result = told.has_result || s.type == CSL_SECAGG_RESULT;
    if (s.type == CSL_SECAGG_AUDITED || s.type == CSL_SECAGG_AUDIT_UPLOAD)
        assert_true(told.has_result);
    if (s.type == CSL_SECAGG_AUDITED)
        check_answer(&s.u.audited);
    if (s.type == CSL_SECAGG_AUDIT_UPLOAD) {
        assert_true(was_sent(s.u.audit_upload.words));
        told.uploads++;
    }
    return false;
}

static void test_secagg_pitfall_51__audits_of_a_study__tell_what_was_promised(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result r;
    (void)state;
    memset(&told, 0, sizeof(told));
    plan.meddle = look;
    plan.chunk_bytes = 1 << 16; /* uploads whole */
    plan.lost_round = 1;
    plan.lost_site = 2;
    plan.lost_when = LOST_ANNOUNCED;
    run(&plan, &r);
    assert_released(&plan, &r);
    enum { LEFT = MASKED_SITES - 1 };
    assert_int_equal(told.answers, 2 * LEFT * CHUNKS);
    assert_int_equal(told.uploads, 2 * LEFT * CHUNKS * LEFT);
    masked_release(&r);
}

/* --- no masks, no audit --- */

static void test_world_secagg_audit__masks_off__no_audit_and_same_model(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result masked, r;
    (void)state;
    run(&plan, &masked);
    plan.is_unmasked = true;
    run(&plan, &r);
    assert_released(&plan, &r);
    assert_int_equal(r.requests, 0);
    assert_int_equal(masked_logged("secagg.audit"), 0);
    assert_memory_equal(masked.model, r.model, r.parameters * sizeof(float));
    masked_release(&masked);
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
        cmocka_unit_test(test_world_secagg_audit__honest__all_pass_and_same_model),
        cmocka_unit_test(test_world_secagg_audit__fewer_chunks_than_there_are__as_many_as_asked),
        cmocka_unit_test(test_world_secagg_audit__two_blocks_and_a_lost_site__all_pass),
        cmocka_unit_test(test_world_secagg_audit__bad_weather__all_pass_and_same_model),
        cmocka_unit_test(test_world_secagg_audit__large_model__answers_wait_for_room),
        cmocka_unit_test(test_world_secagg_audit__restart_before_the_answer__all_pass),
        cmocka_unit_test(test_world_secagg_audit__asked_in_the_next_round__answered),
        cmocka_unit_test(test_world_secagg_audit__restart_in_the_next_round__answered),
        cmocka_unit_test(test_world_secagg_audit__one_word_of_the_sum__all_sites_stop),
        cmocka_unit_test(test_world_secagg_audit__last_sum_altered__said_before_the_end),
        cmocka_unit_test(test_world_secagg_audit__one_word_of_an_upload__that_site_stops),
        cmocka_unit_test(test_world_secagg_audit__one_bit_of_a_secret__that_site_stops),
        cmocka_unit_test(test_world_secagg_audit__stopped__stays_so_until_confirmed),
        cmocka_unit_test(test_world_secagg_audit__no_answer__next_round_refused),
        cmocka_unit_test(test_world_secagg_audit__too_much_another_round_twice__refused),
        cmocka_unit_test(test_secagg_pitfall_51__audits_of_a_study__tell_what_was_promised),
        cmocka_unit_test(test_world_secagg_audit__masks_off__no_audit_and_same_model),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
