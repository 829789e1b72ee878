/* The coordinator's configuration file. */
#include "base/buf.h"
#include "coordinator/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], path[CSL_PATH_MAX];
static struct csl_coordinator_config c;

static const char whole[] = "study: study.yaml\nroster: ../roster.yaml\nstate: /var/lib/consilium\n"
                            "tls: {key: pki/c.key, chain: pki/c.pem, roots: pki/ca.pem, "
                            "trust_domain: example.org}\n";

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/csl-config-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(path, sizeof(path), "%s/coordinator.yaml", dir);
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
    return csl_coordinator_config_read(&c, path, err);
}

static void read_whole(const char *more)
{
    struct csl_err err = {.code = CSL_OK};
    char text[2048];
    snprintf(text, sizeof(text), "%s%s", whole, more);
    if (read_text(text, &err) != CSL_OK)
        fail_msg("%s", err.msg);
}

static void assert_refused(const char *text, const char *expected)
{
    struct csl_err err;
    memset(&c, 0x5a, sizeof(c));
    assert_int_equal(read_text(text, &err), CSL_E_INVAL);
    if (strstr(err.msg, expected) == NULL)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < sizeof(c); i++) /* nothing is written on failure */
        assert_int_equal(((const uint8_t *)&c)[i], 0x5a);
}

static void test_config__only_what_is_required__defaults(void **state)
{
    (void)state;
    read_whole("");
    assert_string_equal(c.listen, "127.0.0.1:7443");
    assert_int_equal(c.open_wait_ms, 600000);
    assert_int_equal(c.linger_ms, 60000);
    assert_int_equal(c.seed, 0);
    assert_string_equal(c.initial_model, "");
    assert_false(c.has_reflection);
    assert_int_equal(c.log.level, 1);
    assert_string_equal(c.tls.trust_domain, "example.org");
}

static void test_config__paths__relative_to_the_file(void **state)
{
    char expected[CSL_PATH_MAX];
    (void)state;
    read_whole("initial_model: pretrained/w.safetensors\n");
    snprintf(expected, sizeof(expected), "%s/pretrained/w.safetensors", dir);
    assert_string_equal(c.initial_model, expected);
    snprintf(expected, sizeof(expected), "%s/study.yaml", dir);
    assert_string_equal(c.study, expected);
    snprintf(expected, sizeof(expected), "%s/../roster.yaml", dir);
    assert_string_equal(c.roster, expected);
    assert_string_equal(c.state, "/var/lib/consilium");
    snprintf(expected, sizeof(expected), "%s/pki/c.key", dir);
    assert_string_equal(c.tls.key, expected);
    snprintf(expected, sizeof(expected), "%s/pki/ca.pem", dir);
    assert_string_equal(c.tls.roots, expected);
}

static void test_config__everything_said__taken(void **state)
{
    (void)state;
    read_whole("listen: \"0.0.0.0:0\"\nopen_wait: 5s\nlinger: 2h\nseed: 12\nreflection: true\n"
               "secure_aggregation: {key: /k/s.key, roster: /k/f.roster, root: /k/f.pub}\n"
               "log: {format: json, level: error}\n");
    assert_string_equal(c.secagg.key, "/k/s.key");
    assert_string_equal(c.secagg.roster, "/k/f.roster");
    assert_string_equal(c.secagg.root, "/k/f.pub");
    assert_string_equal(c.listen, "0.0.0.0:0");
    assert_int_equal(c.open_wait_ms, 5000);
    assert_int_equal(c.linger_ms, 7200000);
    assert_int_equal(c.seed, 12);
    assert_true(c.has_reflection);
    assert_int_equal(c.log.format, 1);
    assert_int_equal(c.log.level, 3);
}

/* The printed file says what a reader without a file would have got; what is required is in it as a
 * comment. */
static void test_config__printed_defaults__parse_back(void **state)
{
    struct csl_coordinator_config plain;
    struct csl_buf b;
    (void)state;
    read_whole("");
    plain = c;
    csl_buf_init(&b, 65536);
    csl_buf_str(&b, "study: study.yaml\nroster: ../roster.yaml\nstate: /var/lib/consilium\n");
    csl_buf_str(&b, "tls: {key: pki/c.key, chain: pki/c.pem, roots: pki/ca.pem, "
                    "trust_domain: example.org}\n");
    csl_option_default_yaml(csl_coordinator_options, &b);
    struct csl_err err = {.code = CSL_OK};
    if (read_text(csl_buf_text(&b), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    for (const struct csl_option *row = csl_coordinator_options; row->name != NULL; row++)
        assert_non_null(strstr(csl_buf_text(&b), row->name));
    csl_buf_release(&b);
    assert_string_equal(c.listen, plain.listen);
    assert_string_equal(c.tls.chain, plain.tls.chain);
    assert_int_equal(c.open_wait_ms, plain.open_wait_ms);
    assert_int_equal(c.linger_ms, plain.linger_ms);
    assert_int_equal(c.seed, plain.seed);
    assert_int_equal(c.has_reflection, plain.has_reflection);
    assert_int_equal(c.log.format, plain.log.format);
    assert_int_equal(c.log.level, plain.log.level);
}

static void test_config__unknown_key__refused_by_name(void **state)
{
    char text[2048];
    (void)state;
    snprintf(text, sizeof(text), "%slissten: here\n", whole);
    assert_refused(text, "lissten");
    snprintf(text, sizeof(text), "%slog: {colour: blue}\n", whole);
    assert_refused(text, "colour");
}

static void test_config__tls_missing__refused(void **state)
{
    (void)state;
    assert_refused("study: s\nroster: r\nstate: t\n", "section tls");
    assert_refused("study: s\nroster: r\nstate: t\ntls: {key: k, chain: c, roots: r}\n",
                   "trust_domain");
    assert_refused("study: s\nroster: r\nstate: t\n"
                   "tls: {key: \"\", chain: c, roots: r, trust_domain: d}\n",
                   "tls");
}

static void test_config__required_key_missing__refused(void **state)
{
    (void)state;
    assert_refused("roster: r\nstate: t\n", "study");
}

static void test_config__no_file__said_so(void **state)
{
    struct csl_err err;
    (void)state;
    assert_int_equal(csl_coordinator_config_read(&c, path, &err), CSL_E_NOTFOUND);
    assert_non_null(strstr(err.msg, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config__no_file__said_so),
        cmocka_unit_test(test_config__only_what_is_required__defaults),
        cmocka_unit_test(test_config__paths__relative_to_the_file),
        cmocka_unit_test(test_config__everything_said__taken),
        cmocka_unit_test(test_config__printed_defaults__parse_back),
        cmocka_unit_test(test_config__unknown_key__refused_by_name),
        cmocka_unit_test(test_config__tls_missing__refused),
        cmocka_unit_test(test_config__required_key_missing__refused),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
