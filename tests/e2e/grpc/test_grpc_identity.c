/* Who is let in, who is kept out, what either is told, and certificates that are renewed. */
#include "harness.h"

#include "base/clock.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(x)  assert_int_equal((x), CSL_OK)
#define OBJECT 1000

static char log_path[] = "/tmp/csl-grpc-log-XXXXXX"; /* what both sides logged */

static long log_end(void)
{
    FILE *f = fopen(log_path, "r");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    long end = ftell(f);
    (void)fclose(f);
    return end;
}

/* Waits until the log from `from` on has a line with both texts; copies it. */
static bool logged(long from, const char *first, const char *second, char *line, int line_bytes)
{
    uint64_t deadline = csl_clock_monotonic_ns() + H_WAIT_MS * CSL_NS_PER_MS;
    bool was_found = false;
    while (!was_found && csl_clock_monotonic_ns() < deadline) {
        FILE *f = fopen(log_path, "r");
        assert_non_null(f);
        assert_int_equal(fseek(f, from, SEEK_SET), 0);
        while (!was_found && fgets(line, line_bytes, f) != NULL)
            was_found = strstr(line, first) != NULL && strstr(line, second) != NULL;
        (void)fclose(f);
        csl_clock_sleep_ms(was_found ? 0 : 20);
    }
    return was_found;
}

struct world {
    struct h_place place;
    struct h_server server;
    struct h_site site;
    long log_from; /* where the log of this test begins */
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->log_from = log_end();
    h_place_make(&w->place);
    h_server_init(&w->server, OBJECT);
    h_server_start(&w->server, &w->place, 0);
    h_site_init(&w->site);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    if (w->site.t != NULL)
        h_site_stop(&w->site, 1000);
    if (w->server.t != NULL)
        h_server_stop(&w->server, 1000);
    h_server_release(&w->server);
    h_place_remove(&w->place);
    free(w);
    return 0;
}

static void join(struct world *w)
{
    h_site_start(&w->site, &w->place, "a", w->server.port);
    assert_true(h_wait(&w->site.log, &w->site.log.opened, 1));
    assert_true(h_wait(&w->server.log, &w->server.log.opened, 1));
}

/* The site never gets in: it has tried (the coordinator or it has logged), but nothing was opened.
 */
static void assert_kept_out(struct world *w, const char *certificate)
{
    struct h_site ok;
    h_site_start(&w->site, &w->place, certificate, w->server.port);
    /* One that is let in proves that the server answers; the other has had as long. */
    h_site_init(&ok);
    h_site_start(&ok, &w->place, "a", w->server.port);
    assert_true(h_wait(&ok.log, &ok.log.opened, 1));
    csl_clock_sleep_ms(
        300); /* several back-offs: nothing to wait for, because nothing must happen */
    h_site_stop(&ok, 1000);
    csl_mutex_lock(&w->server.log.mu);
    assert_int_equal(w->server.log.opened, 1);
    assert_string_equal(w->server.last_site, "a");
    csl_mutex_unlock(&w->server.log.mu);
    csl_mutex_lock(&w->site.log.mu);
    assert_int_equal(w->site.log.opened, 0);
    csl_mutex_unlock(&w->site.log.mu);
}

static void test_identity__expired_certificate__is_kept_out(void **state)
{
    struct world *w = *state;
    h_issue_site(&w->place, "old", "old", -1);
    assert_kept_out(w, "old");
}

static void test_identity__site_not_on_the_roster__is_kept_out_until_it_is(void **state)
{
    struct world *w = *state;
    h_issue_site(&w->place, "b", "b", 5);
    (void)snprintf(w->server.revoked, sizeof(w->server.revoked), "b");
    assert_kept_out(w, "b");
    csl_mutex_lock(&w->server.log.mu);
    w->server.revoked[0] = '\0';
    csl_mutex_unlock(&w->server.log.mu);
    assert_true(h_wait(&w->site.log, &w->site.log.opened, 1));
}

static void test_identity__site_revoked_during_a_session__is_dropped(void **state)
{
    struct world *w = *state;
    join(w);
    csl_mutex_lock(&w->server.log.mu);
    (void)snprintf(w->server.revoked, sizeof(w->server.revoked), "a");
    csl_mutex_unlock(&w->server.log.mu);
    assert_true(h_wait(&w->site.log, &w->site.log.closed, 1));
    assert_int_equal(w->site.log.why, CSL_E_DENIED);
}

static void test_identity__foreign_authority__is_kept_out(void **state)
{
    struct world *w = *state;
    struct h_place other;
    struct csl_grpc_client_config config;
    struct csl_err err;
    struct h_site ok;
    h_place_make(&other);
    h_site_config(&other, "a", w->server.port, &config);
    (void)snprintf(config.tls.roots_path, sizeof(config.tls.roots_path), "%s", w->place.ca_cert);
    OK(csl_grpc_client_new(&w->site.t, &config, &err));
    OK(w->site.t->ops->start(w->site.t, &err));
    h_site_init(&ok);
    h_site_start(&ok, &w->place, "a", w->server.port);
    assert_true(h_wait(&ok.log, &ok.log.opened, 1));
    h_site_stop(&ok, 1000);
    assert_int_equal(w->server.log.opened, 1);
    assert_int_equal(w->site.log.opened, 0);
    h_place_remove(&other);
}

static void test_identity__certificate_of_a_coordinator__opens_no_session(void **state)
{
    struct world *w = *state;
    assert_kept_out(w, "coordinator");
}

static void test_identity__another_trust_domain__is_kept_out(void **state)
{
    struct world *w = *state;
    struct csl_pki_authority ca = {w->place.ca_key, w->place.ca_cert};
    struct csl_err err;
    char key[160], chain[160];
    (void)snprintf(key, sizeof(key), "%s/far.key", w->place.dir);
    (void)snprintf(chain, sizeof(chain), "%s/far.pem", w->place.dir);
    OK(csl_pki_issue_site(&ca, "other.test", "a", 5, key, chain, &err));
    assert_kept_out(w, "far");
}

static void assert_not_talked_to(struct world *w, const char *certificate)
{
    struct csl_grpc_server_config config;
    struct csl_transport *imposter = NULL;
    struct csl_err err;
    h_server_config(&w->place, certificate, 0, &w->server, &config);
    OK(csl_grpc_server_new(&imposter, &config, &err));
    OK(imposter->ops->start(imposter, &err));
    h_site_start(&w->site, &w->place, "a", csl_grpc_server_port(imposter));
    char line[1024];
    assert_true(logged(w->log_from, "event=grpc.cannot_connect", "", line, (int)sizeof(line)));
    assert_int_equal(w->site.log.opened, 0);
    imposter->ops->stop(imposter, 100);
    imposter->ops->free(imposter);
}

static void test_identity__site_posing_as_coordinator__is_not_talked_to(void **state)
{
    struct world *w = *state;
    h_issue_site(&w->place, "evil", "evil", 5);
    assert_not_talked_to(w, "evil");
}

/* The same authority, the right host names, the right purposes: only the SPIFFE id is wrong. */
static void test_identity__coordinator_of_another_domain__is_not_talked_to(void **state)
{
    struct world *w = *state;
    struct csl_pki_authority ca = {w->place.ca_key, w->place.ca_cert};
    struct csl_err err;
    char key[160], chain[160], line[1024];
    (void)snprintf(key, sizeof(key), "%s/far.key", w->place.dir);
    (void)snprintf(chain, sizeof(chain), "%s/far.pem", w->place.dir);
    OK(csl_pki_issue_coordinator(&ca, "other.test", CSL_COORDINATOR_NAMES, 5, key, chain, &err));
    assert_not_talked_to(w, "far");
    assert_true(logged(w->log_from, "event=tls.not_the_coordinator",
                       "spiffe://other.test/coordinator", line, (int)sizeof(line)));
}

static void assert_newcomer_gets_in(struct world *w)
{
    struct h_site late;
    uint32_t before = w->server.log.opened;
    h_site_init(&late);
    h_site_start(&late, &w->place, "a", w->server.port);
    assert_true(h_wait(&late.log, &late.log.opened, 1));
    assert_true(h_wait(&w->server.log, &w->server.log.opened, before + 1));
    h_site_stop(&late, 1000);
}

static void test_identity__server_certificate_renewed__is_used_without_restart(void **state)
{
    struct world *w = *state;
    char key[160], chain[160], spare[160], line[1024];
    (void)snprintf(key, sizeof(key), "%s/coordinator.key", w->place.dir);
    (void)snprintf(chain, sizeof(chain), "%s/coordinator.pem", w->place.dir);
    (void)snprintf(spare, sizeof(spare), "%s/spare.pem", w->place.dir);
    /* A half-written renewal: the new key beside the old certificate. The last good pair stays. */
    assert_int_equal(rename(chain, spare), 0);
    h_issue_coordinator(&w->place, "coordinator", 5);
    assert_int_equal(rename(spare, chain), 0);
    assert_newcomer_gets_in(w);
    assert_true(logged(w->log_from, "event=tls.reload_refused", "belong together", line,
                       (int)sizeof(line)));
    /* A whole pair that is past its end: it would break every handshake. */
    h_issue_coordinator(&w->place, "coordinator", -1);
    assert_newcomer_gets_in(w);
    /* The whole new pair. */
    h_issue_coordinator(&w->place, "coordinator", 5);
    assert_newcomer_gets_in(w);
    assert_true(logged(w->log_from, "event=tls.reloaded", "", line, (int)sizeof(line)));
}

static void test_identity__unfit_server_files__are_refused_at_once(void **state)
{
    struct world *w = *state;
    struct csl_grpc_server_config config;
    struct csl_transport *t = NULL;
    struct csl_err err;
    h_server_config(&w->place, "coordinator", 0, &w->server, &config);
    (void)snprintf(config.tls.key_path, sizeof(config.tls.key_path), "%s/a.key", w->place.dir);
    assert_int_equal(csl_grpc_server_new(&t, &config, &err), CSL_E_CRYPTO);
    assert_null(t);
    h_issue_coordinator(&w->place, "past", -1);
    h_server_config(&w->place, "past", 0, &w->server, &config);
    assert_int_equal(csl_grpc_server_new(&t, &config, &err), CSL_E_CRYPTO);
}

/* ---- what people are told ---- */

static void test_told__refusal__has_the_same_trace_in_both_logs(void **state)
{
    struct world *w = *state;
    char line[1024], trace[64] = "", reason[1024];
    (void)snprintf(w->server.revoked, sizeof(w->server.revoked), "a");
    h_site_start(&w->site, &w->place, "a", w->server.port);
    assert_true(logged(w->log_from, "event=grpc.told", "status=7", line, (int)sizeof(line)));
    const char *at = strstr(line, "trace=");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "%63s", trace), 1);
    assert_int_equal(strlen(trace), strlen("trace=") + 16);
    assert_null(strstr(line, "roster")); /* the reason stays with the coordinator */
    assert_true(logged(w->log_from, "event=grpc.ended", trace, reason, (int)sizeof(reason)));
    assert_non_null(strstr(reason, "not on the roster"));
    assert_true(logged(w->log_from, "event=grpc.refused", "level=error", line, (int)sizeof(line)));
}

static void test_told__third_handshake_that_fails__gives_the_hint(void **state)
{
    struct world *w = *state;
    char line[1024];
    h_issue_site(&w->place, "old", "old", -1);
    h_site_start(&w->site, &w->place, "old", w->server.port);
    assert_true(logged(w->log_from, "event=grpc.cannot_connect", "certificate problem", line,
                       (int)sizeof(line)));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    struct csl_err err;
    int fd = mkstemp(log_path);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");
    if (stream == NULL)
        return 1;
    csl_log_setup(stream, CSL_LOG_LOGFMT, CSL_LOG_DEBUG);
    if (csl_grpc_init(&err) != CSL_OK) {
        (void)fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        T(test_identity__expired_certificate__is_kept_out),
        T(test_identity__site_not_on_the_roster__is_kept_out_until_it_is),
        T(test_identity__site_revoked_during_a_session__is_dropped),
        T(test_identity__foreign_authority__is_kept_out),
        T(test_identity__certificate_of_a_coordinator__opens_no_session),
        T(test_identity__another_trust_domain__is_kept_out),
        T(test_identity__site_posing_as_coordinator__is_not_talked_to),
        T(test_identity__coordinator_of_another_domain__is_not_talked_to),
        T(test_identity__server_certificate_renewed__is_used_without_restart),
        T(test_identity__unfit_server_files__are_refused_at_once),
        T(test_told__refusal__has_the_same_trace_in_both_logs),
        T(test_told__third_handshake_that_fails__gives_the_hint),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    csl_grpc_shutdown();
    (void)fclose(stream);
    if (getenv("CSL_TEST_LOG") == NULL)
        (void)unlink(log_path);
    return failed;
}
