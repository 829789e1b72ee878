/* What the folders of the coordinator and of the sites still hold of secure aggregation when a
 * study is over, or an audit cannot be restored: nothing that opens anything. */
#include "base/clock.h"
#include "base/le.h"
#include "base/log.h"
#include "coordinator/service_secagg_audit.h"
#include "privacy/secagg/messages.h"
#include "tests/unit/world/masked_internal.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SAMPLES "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define MASKS(more)                                                                                \
    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3" more "}\n"
#define VICTIM 1u

static struct fixture fixture;
static struct {
    uint64_t abort_round; /* 0: never; else when the first M8 of that round is heard */
    bool was_aborted, was_looked_at;
    bool damages_audit; /* when the victim asks about round 2 */
    uint32_t hashes;    /* blobs of uploads' hashes when round 3 was opened once more */
    bool was_reopened;
} act;

static struct masked_plan plan_of(const char *sections, uint32_t rounds)
{
    return (struct masked_plan){
        .rounds = rounds, .minimum_sites = 3, .keyless_site = MASKED_NONE, .sections = sections};
}

static void path_in(const char *name, char out[CSL_PATH_MAX])
{
    char relative[160];
    snprintf(relative, sizeof(relative), "run/coordinator/%s", name);
    fixture_path(&fixture, relative, out);
}

static bool is_kept(const char *name)
{
    char path[CSL_PATH_MAX];
    path_in(name, path);
    return csl_file_exists(path);
}

/* Names in the spool that begin so. */
static uint32_t spooled(const char *prefix)
{
    char path[CSL_PATH_MAX];
    uint32_t n = 0;
    path_in("spool", path);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    closedir(d);
    return n;
}

/* The folder is there, as the study left it. */
static void look(void)
{
    act.was_looked_at = true;
    assert_true(is_kept("state.db"));
    assert_true(is_kept("secagg.results"));
    assert_false(is_kept("secagg.journal") || is_kept("secagg.journal.key"));
    assert_false(is_kept("secagg-audit.journal") || is_kept("secagg-audit.journal.key"));
    assert_int_equal(spooled("sum-") + spooled("hash-"), 0);
}

static void test_world_secagg_end__released__nothing_is_kept(void **state)
{
    static const char *const sections[] = {SAMPLES MASKS(""), SAMPLES MASKS(", audit_chunks: 2")};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct masked_plan plan = plan_of(sections[i], 2);
        struct masked_result r;
        memset(&act, 0, sizeof(act));
        plan.at_end = look;
        masked_run(&fixture, &plan, &r);
        assert_int_equal(r.code, CSL_OK);
        assert_true(act.was_looked_at);
        masked_release(&r);
    }
}

/* Where a site keeps the key of its journal. */
static void site_key(uint32_t site, char out[CSL_PATH_MAX])
{
    char hex[2 * CSL_DIGEST_BYTES + 1], name[512];
    csl_hex(masked_w.study->digest, CSL_DIGEST_BYTES, hex);
    snprintf(name, sizeof(name), "run/%s/secagg-%s.journal.key", masked_ids[site], hex);
    fixture_path(&fixture, name, out);
}

static struct csl_msg site_keys[MASKED_SITES];

static void note_site_keys(void)
{
    char key[CSL_PATH_MAX];
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        site_key(i, key);
        assert_int_equal(csl_file_read(&site_keys[i], key, 64, NULL), CSL_OK);
    }
}

/* What seals the secrets of the attempt that was open is another key than then. */
static void look_at_sites(void)
{
    char key[CSL_PATH_MAX];
    look();
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        struct csl_msg after = {NULL, 0};
        site_key(i, key);
        assert_int_equal(csl_file_read(&after, key, 64, NULL), CSL_OK);
        assert_int_equal(after.n, site_keys[i].n);
        assert_memory_not_equal(after.p, site_keys[i].p, after.n);
        csl_msg_release(&after);
        csl_msg_release(&site_keys[i]);
    }
}

static uint64_t done(void)
{
    return csl_coord_rounds_done(csl_service_core(masked_w.service));
}

static bool abort_study(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    const struct csl_msg *body = &m->u.secagg.body;
    (void)site;
    if (to != CSL_TO_COORDINATOR || body->p[0] != CSL_SECAGG_MANIFEST || act.was_aborted ||
        done() + 1 != act.abort_round)
        return false;
    assert_true(is_kept("secagg.journal") && is_kept("secagg.journal.key"));
    act.was_aborted = true;
    note_site_keys();
    csl_service_abort(masked_w.service, "the test says so");
    return false;
}

static void test_world_secagg_end__aborted__nothing_is_kept(void **state)
{
    struct masked_plan plan = plan_of(SAMPLES MASKS(", audit_chunks: 2"), 3);
    struct masked_result r;
    (void)state;
    memset(&act, 0, sizeof(act));
    act.abort_round = 2;
    plan.meddle = abort_study;
    plan.at_end = look_at_sites;
    masked_run(&fixture, &plan, &r);
    assert_int_equal(r.code, CSL_E_CANCELLED);
    assert_true(act.was_aborted && act.was_looked_at);
    masked_release(&r);
}

/* Its bytes stay where they are under another name. */
static void hold_key(void)
{
    char key[CSL_PATH_MAX], held[CSL_PATH_MAX];
    path_in("secagg-audit.journal.key", key);
    path_in("held", held);
    assert_int_equal(link(key, held), 0);
}

static struct csl_msg before;

static bool damage_audit(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    char path[CSL_PATH_MAX];
    if (to != CSL_TO_COORDINATOR || site != VICTIM || !act.damages_audit ||
        m->u.secagg.body.p[0] != CSL_SECAGG_AUDIT || done() != 2)
        return false;
    act.damages_audit = false;
    hold_key();
    path_in("held", path);
    assert_int_equal(csl_file_read(&before, path, 64, NULL), CSL_OK);
    path_in("secagg-audit.journal", path);
    assert_int_equal(truncate(path, 40), 0);
    return false;
}

static void look_at_key(void)
{
    struct csl_msg after = {NULL, 0};
    char path[CSL_PATH_MAX];
    path_in("held", path);
    assert_int_equal(csl_file_read(&after, path, 64, NULL), CSL_OK);
    assert_int_equal(after.n, before.n);
    assert_memory_not_equal(before.p, after.p, before.n);
    csl_msg_release(&after);
    look();
}

/* The site comes back when the next round is open, asks, and the coordinator that starts again
 * cannot read what was set aside. */
static void test_world_secagg_end__audit_lost_at_a_start__key_was_written_over(void **state)
{
    struct masked_plan plan = plan_of(SAMPLES MASKS(", audit_chunks: 2"), 3);
    struct masked_result r;
    (void)state;
    memset(&act, 0, sizeof(act));
    act.damages_audit = true;
    plan.lost_round = plan.audit_restart_round = 2;
    plan.lost_site = VICTIM;
    plan.lost_when = LOST_VOTED;
    plan.back_ns = 5 * 60 * CSL_NS_PER_S;
    plan.restarts_for_late = true;
    plan.meddle = damage_audit;
    plan.at_end = look_at_key;
    masked_run(&fixture, &plan, &r);
    assert_int_equal(r.code, CSL_OK);
    assert_true(masked_w.was_killed && act.was_looked_at);
    csl_msg_release(&before);
    masked_release(&r);
}

/* 0, le32 length, M0. */
static bool count_hashes(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    const struct csl_msg *body = &m->u.secagg.body;
    struct csl_secagg_config c;
    (void)site;
    if (to != CSL_TO_SITE || body->p[0] != 0 || act.was_reopened)
        return false;
    assert_int_equal(
        csl_secagg_config_decode(&c, CSL_SPAN(body->p + 5, csl_load_le32(body->p + 1)), NULL),
        CSL_OK);
    act.was_reopened = c.round == 3 && c.attempt == 2;
    if (act.was_reopened)
        act.hashes = spooled("hash-");
    return false;
}

/* The updates of an attempt that was given up are forgotten; what answers about the sum before are
 * made of is not: of each upload the hashes of block, evaluation and scalars. */
static void test_world_secagg_end__attempt_abandoned__hashes_of_the_last_sum_stay(void **state)
{
    struct masked_plan plan = plan_of(SAMPLES MASKS(", audit_chunks: 2"), 3);
    struct masked_result r;
    (void)state;
    memset(&act, 0, sizeof(act));
    plan.lying_round = 3;
    plan.lying_site = VICTIM;
    plan.lying_more = 1;
    plan.lies_once = true;
    plan.meddle = count_hashes;
    masked_run(&fixture, &plan, &r);
    assert_int_equal(r.code, CSL_OK);
    assert_true(act.was_reopened);
    assert_int_equal(act.hashes, MASKED_SITES * 3);
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
        cmocka_unit_test(test_world_secagg_end__released__nothing_is_kept),
        cmocka_unit_test(test_world_secagg_end__aborted__nothing_is_kept),
        cmocka_unit_test(test_world_secagg_end__audit_lost_at_a_start__key_was_written_over),
        cmocka_unit_test(test_world_secagg_end__attempt_abandoned__hashes_of_the_last_sum_stay),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
