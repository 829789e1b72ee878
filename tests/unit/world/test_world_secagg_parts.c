/* Parts of messages that nobody should send, in the middle of a masked round: the session ends, the
 * next one says everything again, and the model is the same to the last bit. */
#include "tests/unit/world/masked.h"

#include "base/log.h"
#include "base/mem.h"
#include "protocol/wire/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { VICTIM = 2 };

static struct fixture fixture;
static struct {
    enum csl_direction to;
    uint32_t at; /* which of the victim's messages */
    bool claims; /* a first part of the longest message there may be; else a part not due */
    uint32_t seen;
    bool has_struck;
} strike;

static bool meddle(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    if (site != VICTIM || to != strike.to || strike.has_struck || strike.seen++ != strike.at)
        return false;
    strike.has_struck = true;
    struct csl_msg_secagg *s = &m->u.secagg;
    assert_int_equal(s->offset, 0); /* five sites: every message is one part */
    assert_int_equal(s->total, s->body.n);
    if (!strike.claims) {
        s->offset = CSL_SECAGG_BYTES_MAX;
        s->total += CSL_SECAGG_BYTES_MAX;
        return true;
    }
    csl_msg_release(&s->body);
    *s = (struct csl_msg_secagg){{csl_alloc(CSL_SECAGG_BYTES_MAX), CSL_SECAGG_BYTES_MAX},
                                 .total = CSL_SECAGG_WHOLE_MAX};
    assert_non_null(s->body.p);
    return true;
}

static struct masked_plan plan_of(void)
{
    return (struct masked_plan){
        .rounds = 2,
        .minimum_sites = 3,
        .keyless_site = MASKED_NONE,
        .sections = "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
                    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"};
}

/* Of the messages of a round: early ones and, of the longer list, late ones. */
static void check(enum csl_direction to, bool claims)
{
    struct masked_plan plan = plan_of();
    struct masked_result honest, struck;
    masked_run(&fixture, &plan, &honest);
    assert_int_equal(honest.code, CSL_OK);
    assert_int_equal(honest.sessions, MASKED_SITES);
    plan.meddle = meddle;
    for (uint32_t at = 0; at < 8; at++) {
        memset(&strike, 0, sizeof(strike));
        strike.to = to;
        strike.at = at;
        strike.claims = claims;
        masked_run(&fixture, &plan, &struck);
        assert_true(strike.has_struck);
        if (struck.code != CSL_OK)
            fail_msg("message %u: %s", at, struck.reason);
        assert_int_equal(struck.sessions, MASKED_SITES + 1);
        assert_int_equal(struck.contributions[0], MASKED_SITES);
        assert_int_equal(struck.contributions[1], MASKED_SITES);
        assert_memory_equal(struck.model, honest.model, honest.parameters * sizeof(float));
        masked_release(&struck);
    }
    masked_release(&honest);
}

static void test_world_secagg_parts__not_due_at_the_site__same_bits(void **state)
{
    (void)state;
    check(CSL_TO_SITE, false);
}

static void test_world_secagg_parts__not_due_at_the_coordinator__same_bits(void **state)
{
    (void)state;
    check(CSL_TO_COORDINATOR, false);
}

static void test_world_secagg_parts__claim_at_the_site__same_bits(void **state)
{
    (void)state;
    check(CSL_TO_SITE, true);
}

static void test_world_secagg_parts__claim_at_the_coordinator__same_bits(void **state)
{
    (void)state;
    check(CSL_TO_COORDINATOR, true);
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
        cmocka_unit_test(test_world_secagg_parts__not_due_at_the_site__same_bits),
        cmocka_unit_test(test_world_secagg_parts__not_due_at_the_coordinator__same_bits),
        cmocka_unit_test(test_world_secagg_parts__claim_at_the_site__same_bits),
        cmocka_unit_test(test_world_secagg_parts__claim_at_the_coordinator__same_bits),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
