/* Whose number is whose: studies under masks of some of the sites of a federation. */
#include "base/log.h"
#include "base/mem.h"
#include "simulations/federation.h"
#include "tests/unit/world/masked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SECTIONS                                                                                   \
    "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"                                  \
    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"

static struct fixture fixture;

static struct masked_plan plan_of(uint32_t rounds)
{
    return (struct masked_plan){
        .rounds = rounds, .minimum_sites = 3, .keyless_site = MASKED_NONE, .sections = SECTIONS};
}

static void test_world_secagg_roster__other_sites_and_numbers__same_bits(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result alone, among;
    (void)state;
    masked_run(&fixture, &plan, &alone);
    plan.has_strangers = true;
    masked_run(&fixture, &plan, &among);
    assert_int_equal(alone.code, CSL_OK);
    assert_int_equal(among.code, CSL_OK);
    assert_int_equal(among.rounds, 3);
    for (uint32_t r = 0; r < 3; r++)
        assert_int_equal(among.contributions[r], MASKED_SITES);
    assert_memory_equal(alone.model, among.model, alone.parameters * sizeof(*alone.model));
    masked_release(&alone);
    masked_release(&among);
}

static void test_world_secagg_roster__lost_among_others__sum_of_the_rest(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result alone, among;
    (void)state;
    plan.lost_round = 1;
    plan.lost_site = 3;
    plan.lost_when = LOST_ANNOUNCED;
    masked_run(&fixture, &plan, &alone);
    plan.has_strangers = true;
    masked_run(&fixture, &plan, &among);
    assert_int_equal(alone.code, CSL_OK);
    assert_int_equal(among.code, CSL_OK);
    assert_int_equal(among.contributions[0], MASKED_SITES - 1);
    assert_memory_equal(alone.model, among.model, alone.parameters * sizeof(*alone.model));
    masked_release(&alone);
    masked_release(&among);
}

/* The administrators' floor, not the study's number: nobody takes part. */
static void test_world_secagg_roster__study_below_the_sites_floors__declined(void **state)
{
    struct masked_plan plan = plan_of(1);
    struct masked_result r;
    (void)state;
    plan.colluding_floor = 2;
    plan.is_rehearsal = true;
    masked_run(&fixture, &plan, &r);
    assert_int_not_equal(r.code, CSL_OK);
    assert_int_equal(r.rounds, 0);
    assert_int_equal(r.uploads, 0);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r.membership[i], CSL_MEMBER_DECLINED);
    masked_release(&r);
}

static enum csl_code open_service(const struct csl_sim_federation *federation,
                                  const struct csl_study *study, const bool *is_refused,
                                  struct csl_err *err)
{
    static const char ids[3][CSL_ID_MAX] = {"a", "b", "c"};
    struct csl_inproc_config net = {.seed = 1};
    struct csl_inproc *inproc = NULL;
    struct csl_transport *server = NULL;
    struct csl_service *service = NULL;
    assert_int_equal(csl_inproc_new(&inproc, &net, NULL), CSL_OK);
    assert_int_equal(csl_inproc_server(inproc, &server, NULL), CSL_OK);
    struct csl_service_config c = {.study = study,
                                   .roster = ids,
                                   .roster_count = 3,
                                   .is_refused = is_refused,
                                   .seed = 7,
                                   .secagg_key = &federation->coordinator,
                                   .secagg_roster = &federation->roster,
                                   .transport = server};
    enum csl_code code = csl_service_new(&service, &c, err);
    server->ops->stop(server, 0);
    csl_service_free(service);
    server->ops->free(server);
    csl_inproc_free(inproc);
    return code;
}

static void test_world_secagg_roster__site_of_the_study_revoked__named_at_the_start(void **state)
{
    static const char ids[3][CSL_ID_MAX] = {"a", "b", "c"};
    static const bool b_is_refused[3] = {false, true, false};
    static struct csl_sim_federation federation;
    struct masked_plan plan = plan_of(1);
    struct csl_study *study = masked_study(&plan);
    struct csl_err err;
    (void)state;
    assert_int_equal(csl_sim_federation_make(&federation, study, ids, 3, &err), CSL_OK);
    assert_int_equal(open_service(&federation, study, NULL, &err), CSL_OK);
    federation.roster.sites[1].is_active = false;
    assert_int_equal(open_service(&federation, study, NULL, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "site b is revoked in"));
    assert_int_equal(open_service(&federation, study, b_is_refused, &err), CSL_OK);
    federation.roster.count = 2;
    assert_int_equal(open_service(&federation, study, b_is_refused, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "site c is not in"));
    csl_sim_federation_release(&federation);
    csl_study_free(study);
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
        cmocka_unit_test(test_world_secagg_roster__other_sites_and_numbers__same_bits),
        cmocka_unit_test(test_world_secagg_roster__lost_among_others__sum_of_the_rest),
        cmocka_unit_test(test_world_secagg_roster__study_below_the_sites_floors__declined),
        cmocka_unit_test(test_world_secagg_roster__site_of_the_study_revoked__named_at_the_start),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
