/* A coordinator whose secagg.results is not what it wrote: it does not start, and says which file
 * it was, what it found there, and what would be right. */
#include "coordinator/service.h"
#include "privacy/crypto/sha256.h"
#include "simulations/federation.h"
#include "tests/unit/world/masked.h"

#include "base/file.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLES "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define MASKS   "secure_aggregation: {protocol: fsa-1, colluding: 0, minimum_sites: 3}\n"

static struct fixture fixture;

/* One start with that file in the state folder. */
static enum csl_code start(const struct csl_buf *file, char path[CSL_PATH_MAX], struct csl_err *err)
{
    static const char ids[3][CSL_ID_MAX] = {"a", "b", "c"};
    struct masked_plan plan = {.rounds = 2, .minimum_sites = 3, .sections = SAMPLES MASKS};
    struct csl_inproc_config net = {.seed = 1};
    struct csl_inproc *inproc = NULL;
    struct csl_transport *server = NULL;
    struct csl_service *service = NULL;
    struct csl_study *study = masked_study(&plan);
    struct csl_sim_federation federation;
    char dir[CSL_PATH_MAX];
    fixture_path(&fixture, "state", dir);
    fixture_path(&fixture, "state/secagg.results", path);
    assert_int_equal(csl_inproc_new(&inproc, &net, err), CSL_OK);
    assert_int_equal(csl_inproc_server(inproc, &server, err), CSL_OK);
    assert_int_equal(csl_sim_federation_make(&federation, study, ids, 3, err), CSL_OK);
    assert_int_equal(csl_dir_make(dir, err), CSL_OK);
    assert_int_equal(csl_file_write_atomic(path, CSL_SPAN(file->p, file->n), 0600, err), CSL_OK);
    struct csl_service_config c = {.study = study,
                                   .roster = ids,
                                   .roster_count = 3,
                                   .seed = 7,
                                   .open_wait_ms = 60000,
                                   .state_dir = dir,
                                   .secagg_key = &federation.coordinator,
                                   .secagg_roster = &federation.roster,
                                   .transport = server};
    enum csl_code code = csl_service_new(&service, &c, err);
    csl_service_free(service);
    csl_sim_federation_release(&federation);
    server->ops->stop(server, 0);
    server->ops->free(server);
    csl_inproc_free(inproc);
    csl_study_free(study);
    fixture_remove(dir);
    return code;
}

static void seal(struct csl_buf *file)
{
    uint8_t digest[CSL_SHA256_BYTES];
    csl_sha256_digest(file->p, file->n, digest);
    csl_buf_append(file, digest, sizeof(digest));
}

static void check_refused(struct csl_buf *file, const char *found, const char *right)
{
    struct csl_err err = {.code = CSL_OK};
    char path[CSL_PATH_MAX];
    assert_int_equal(start(file, path, &err), CSL_E_CORRUPT);
    if (strstr(err.msg, path) == NULL || strstr(err.msg, found) == NULL ||
        strstr(err.msg, right) == NULL)
        fail_msg("%s", err.msg);
    csl_buf_release(file);
}

static void test_world_secagg_results__not_as_written__says_file_found_and_right(void **state)
{
    struct csl_buf file;
    (void)state;
    csl_buf_init(&file, 4096);
    csl_buf_str(&file, "abc");
    check_refused(&file, "3 bytes", "as it was written");
    csl_buf_init(&file, 4096);
    csl_buf_le64(&file, 0);
    seal(&file);
    file.p[3] ^= 1;
    check_refused(&file, "40 bytes", "as it was written");
}

static void test_world_secagg_results__cut_or_other_results__says_file_found_and_right(void **state)
{
    struct csl_buf file;
    (void)state;
    csl_buf_init(&file, 4096);
    csl_buf_le64(&file, 2);
    csl_buf_le32(&file, 7); /* and nothing after it */
    seal(&file);
    check_refused(&file, "ends within result 1", "2 of them would be right");
    csl_buf_init(&file, 4096);
    csl_buf_le64(&file, 1);
    csl_buf_le32(&file, 7);
    csl_buf_str(&file, "no M13.");
    seal(&file);
    check_refused(&file, "result 1 of 1 is no result", "M13");
}

/* Else the tests above would not test what they say. */
static void test_world_secagg_results__none_yet__starts(void **state)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_buf file;
    char path[CSL_PATH_MAX];
    (void)state;
    csl_buf_init(&file, 4096);
    csl_buf_le64(&file, 0);
    seal(&file);
    if (start(&file, path, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_buf_release(&file);
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
        cmocka_unit_test(test_world_secagg_results__not_as_written__says_file_found_and_right),
        cmocka_unit_test(
            test_world_secagg_results__cut_or_other_results__says_file_found_and_right),
        cmocka_unit_test(test_world_secagg_results__none_yet__starts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
