/* A site's configuration file. */
#include "base/buf.h"
#include "site-agent/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DIGEST_TEXT "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eFF"

static char dir[64], path[CSL_PATH_MAX];
static struct csl_site_config c;

static const char whole[] = "site: aarhus\ncoordinator: \"hub.example.org:7443\"\n"
                            "records: ../records.h5\nstate: state\n"
                            "tls: {key: k.pem, chain: c.pem, roots: /etc/r.pem, "
                            "trust_domain: example.org}\n";

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/csl-config-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(path, sizeof(path), "%s/site.yaml", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static enum csl_code read_text(const char *text, struct csl_err *err)
{
    if (csl_file_write_atomic(path, CSL_SPAN(text, strlen(text)), 0600, err) != CSL_OK)
        fail_msg("%s", err->msg);
    return csl_site_config_read(&c, path, err);
}

static void read_whole(const char *more)
{
    struct csl_err err = {.code = CSL_OK};
    char text[4096];
    snprintf(text, sizeof(text), "%s%s", whole, more);
    if (read_text(text, &err) != CSL_OK)
        fail_msg("%s", err.msg);
}

static void assert_refused(const char *more, const char *expected)
{
    struct csl_err err;
    char text[8192];
    snprintf(text, sizeof(text), "%s%s", whole, more);
    memset(&c, 0x5a, sizeof(c));
    assert_int_equal(read_text(text, &err), CSL_E_INVAL);
    if (strstr(err.msg, expected) == NULL)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < sizeof(c); i++) /* nothing is written on failure */
        assert_int_equal(((const uint8_t *)&c)[i], 0x5a);
}

static void test_site_config__only_what_is_required__cautious_defaults(void **state)
{
    char expected[CSL_PATH_MAX];
    (void)state;
    read_whole("");
    assert_int_equal(c.policy.approval, CSL_APPROVAL_REQUIRED);
    assert_int_equal(c.policy.approved_count, 0); /* so that no study runs unasked */
    assert_int_equal(c.policy.minimum_sites, 2);
    assert_int_equal(c.policy.strategy_count, 0);
    assert_string_equal(csl_site_backends[c.backend], "auto");
    assert_int_equal(c.reconnect.minimum_ms, 1000);
    assert_int_equal(c.reconnect.maximum_ms, 300000);
    assert_string_equal(c.http_proxy, "");
    snprintf(expected, sizeof(expected), "%s/../records.h5", dir);
    assert_string_equal(c.records, expected);
    snprintf(expected, sizeof(expected), "%s/k.pem", dir);
    assert_string_equal(c.tls.key, expected);
    assert_string_equal(c.tls.roots, "/etc/r.pem");
}

static void test_site_config__policy__read_and_checked(void **state)
{
    (void)state;
    read_whole("policy:\n  approval: automatic\n  approved_studies:\n    - " DIGEST_TEXT
               "\n  minimum_sites: 5\n  strategies: [fedavg, scaffold]\nbackend: cpu-ref\n"
               "reconnect: {minimum: 50ms, maximum: 1s}\n");
    assert_int_equal(c.policy.approval, CSL_APPROVAL_AUTOMATIC);
    assert_int_equal(c.policy.approved_count, 1);
    assert_int_equal(c.policy.approved[0][1], 1);
    assert_int_equal(c.policy.approved[0][31], 0xff);
    assert_int_equal(c.policy.minimum_sites, 5);
    assert_int_equal(c.policy.strategy_count, 2);
    assert_string_equal(c.policy.strategies[1], "scaffold");
    assert_string_equal(csl_site_backends[c.backend], "cpu-ref");
    assert_int_equal(c.reconnect.minimum_ms, 50);
    assert_null(c.policy_rows.strategies); /* nothing borrows from the file that was read */
}

static void test_site_config__policy_wrong__refused(void **state)
{
    struct csl_buf b;
    (void)state;
    assert_refused("policy: {approved_studies: [0102]}\n", "64 hexadecimal digits");
    assert_refused("policy: {approved_studies: 7}\n", "a list of at most");
    assert_refused("policy: {strategies: [[fedavg]]}\n", "plain text");
    assert_refused("policy: {minimum_sites: 0}\n", "minimum_sites");
    csl_buf_init(&b, 65536);
    csl_buf_str(&b, "policy: {strategies: [");
    for (int i = 0; i <= CSL_POLICY_LIST_MAX; i++)
        csl_buf_printf(&b, "s%d, ", i);
    csl_buf_str(&b, "]}\n");
    assert_refused(csl_buf_text(&b), "a list of at most");
    csl_buf_release(&b);
    assert_refused("policy: {strategies: "
                   "[a123456789012345678901234567890123456789012345678901234567890123456789]}\n",
                   "a shorter name");
}

static void test_site_config__unknown_key__refused_by_name(void **state)
{
    (void)state;
    assert_refused("recrods: here\n", "recrods");
    assert_refused("policy: {aproval: automatic}\n", "aproval");
}

static void test_site_config__tls_missing__refused(void **state)
{
    struct csl_err err;
    (void)state;
    assert_int_equal(read_text("site: aarhus\ncoordinator: \"h:1\"\nrecords: r\nstate: s\n", &err),
                     CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "section tls"));
}

static void test_site_config__printed_defaults__parse_back(void **state)
{
    static struct csl_site_config plain;
    struct csl_buf b;
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    read_whole("");
    plain = c;
    csl_buf_init(&b, 65536);
    csl_buf_str(&b, whole);
    csl_option_default_yaml(csl_site_options, &b);
    if (read_text(csl_buf_text(&b), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    for (const struct csl_option *row = csl_site_options; row->name != NULL; row++)
        assert_non_null(strstr(csl_buf_text(&b), row->name));
    csl_buf_release(&b);
    assert_string_equal(c.server_name, plain.server_name);
    assert_string_equal(c.http_proxy, plain.http_proxy);
    assert_int_equal(c.backend, plain.backend);
    assert_int_equal(c.policy.approval, plain.policy.approval);
    assert_int_equal(c.policy.minimum_sites, plain.policy.minimum_sites);
    assert_int_equal(c.policy.approved_count, 0);
    assert_int_equal(c.policy.strategy_count, 0);
    assert_int_equal(c.reconnect.minimum_ms, plain.reconnect.minimum_ms);
    assert_int_equal(c.reconnect.maximum_ms, plain.reconnect.maximum_ms);
    assert_int_equal(c.log.format, plain.log.format);
    assert_int_equal(c.log.level, plain.log.level);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_site_config__only_what_is_required__cautious_defaults),
        cmocka_unit_test(test_site_config__policy__read_and_checked),
        cmocka_unit_test(test_site_config__policy_wrong__refused),
        cmocka_unit_test(test_site_config__unknown_key__refused_by_name),
        cmocka_unit_test(test_site_config__tls_missing__refused),
        cmocka_unit_test(test_site_config__printed_defaults__parse_back),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
