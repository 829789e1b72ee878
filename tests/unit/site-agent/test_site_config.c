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
    assert_int_equal(c.training_threads, 1);
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
               "\n  minimum_sites: 5\n  strategies: [fedavg, scaffold]\nbackend: "
               "cpu-ref\ntraining_threads: 2\n"
               "reconnect: {minimum: 50ms, maximum: 1s}\n");
    assert_int_equal(c.policy.approval, CSL_APPROVAL_AUTOMATIC);
    assert_int_equal(c.policy.approved_count, 1);
    assert_int_equal(c.policy.approved[0][1], 1);
    assert_int_equal(c.policy.approved[0][31], 0xff);
    assert_int_equal(c.policy.minimum_sites, 5);
    assert_int_equal(c.policy.strategy_count, 2);
    assert_string_equal(c.policy.strategies[1], "scaffold");
    assert_string_equal(csl_site_backends[c.backend], "cpu-ref");
    assert_int_equal(c.training_threads, 2);
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

/* --- privacy --- */

static void test_site_config__privacy_not_mentioned__cautious_defaults(void **state)
{
    static const struct csl_ledger_policy none;
    (void)state;
    read_whole("");
    assert_true(c.policy.refuses_privacy[CSL_PRIVACY_NONE]); /* only where the file names it */
    assert_false(c.policy.refuses_privacy[CSL_PRIVACY_LOCAL]);
    assert_false(c.policy.refuses_privacy[CSL_PRIVACY_SITE]);
    assert_string_equal(c.policy.cohort, "records");
    assert_false(c.policy.allows_large_delta);
    assert_int_equal(c.policy.ledger.budget_count, 0); /* so that nothing is spent unasked */
    assert_int_equal(c.policy.ledger.composition, CSL_LEDGER_BASIC);
    assert_memory_not_equal(c.policy.ledger.digest, none.digest, CSL_DIGEST_BYTES);
}

static void test_site_config__privacy_rows__read(void **state)
{
    (void)state;
    read_whole("policy:\n  privacy_modes: [none, local]\n  cohort: ward\n"
               "  allow_large_delta: true\n  budgets:\n"
               "    - {epsilon: 2.5, delta: 1e-4}\n"
               "    - {cohort: ward, group: sex=f, epsilon: 1, delta: 1e-5, window_days: 365}\n");
    assert_false(c.policy.refuses_privacy[CSL_PRIVACY_NONE]);
    assert_false(c.policy.refuses_privacy[CSL_PRIVACY_LOCAL]);
    assert_true(c.policy.refuses_privacy[CSL_PRIVACY_SITE]);
    assert_string_equal(c.policy.cohort, "ward");
    assert_true(c.policy.allows_large_delta);
    const struct csl_ledger_policy *l = &c.policy.ledger;
    assert_int_equal(l->budget_count, 2);
    assert_string_equal(l->budgets[0].cohort, "*");
    assert_string_equal(l->budgets[0].group, "");
    assert_true(l->budgets[0].epsilon == 2.5 && l->budgets[0].delta == 1e-4);
    assert_int_equal(l->budgets[0].window_s, 0);
    assert_string_equal(l->budgets[1].cohort, "ward");
    assert_string_equal(l->budgets[1].group, "sex=f");
    assert_int_equal(l->budgets[1].window_s, 365 * 86400);
    assert_null(c.policy_rows.budgets); /* nothing borrows from the file that was read */
    assert_null(c.policy_rows.privacy_modes);
}

/* The ledger names the policy by this digest: whatever it says about privacy changes it. */
static void test_site_config__another_privacy_policy__another_digest(void **state)
{
    static const char *const texts[] = {
        "",
        "policy: {cohort: ward}\n",
        "policy: {privacy_modes: [local]}\n",
        "policy: {allow_large_delta: true}\n",
        "policy: {budgets: [{epsilon: 1, delta: 1e-5}]}\n",
        "policy: {budgets: [{epsilon: 1.0000000000000002, delta: 1e-5}]}\n",
        "policy: {budgets: [{epsilon: 1, delta: 1e-5, window_days: 1}]}\n",
        "policy: {budgets: [{cohort: ward, epsilon: 1, delta: 1e-5}]}\n",
        "policy: {budgets: [{group: a=b, epsilon: 1, delta: 1e-5}]}\n",
        "policy: {masked_only: true}\n",
        "policy: {masked_colluding: 0}\n",
        "policy: {masked_colluding: 1}\n",
        "policy: {masked_minimum_sites: 4}\n",
        "policy: {masked_minimum_honest: 3}\n",
        "policy: {masked_largest_share: 400}\n",
        "policy: {masked_audit_chunks: 1}\n",
        "policy: {masked_audit_chunks: 2}\n"};
    enum { N = sizeof(texts) / sizeof(texts[0]) };
    uint8_t digests[N][CSL_DIGEST_BYTES];
    (void)state;
    for (size_t i = 0; i < N; i++) {
        read_whole(texts[i]);
        memcpy(digests[i], c.policy.ledger.digest, CSL_DIGEST_BYTES);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(digests[i], digests[k], CSL_DIGEST_BYTES);
        read_whole(texts[i]); /* and nothing else does */
        assert_memory_equal(digests[i], c.policy.ledger.digest, CSL_DIGEST_BYTES);
    }
}

/* The five lines of `whole` come first: line 6 is the first of the policy. */
static void test_site_config__privacy_rows_wrong__refused_with_line_and_column(void **state)
{
    static const struct {
        const char *text, *place, *why;
    } rows[] = {
        {"policy: {privacy_modes: [local, jointly]}\n", ":6:33", "none, local, site or joint"},
        {"policy:\n  privacy_modes: local\n", ":7:18", "a list of at most"},
        {"policy: {privacy_modes: [[local]]}\n", ":6:26", "plain text"},
        {"policy:\n  cohort: two words\n", ":7:11", "cohort"},
        {"policy:\n  allow_large_delta: perhaps\n", ":7:22", "allow_large_delta"},
        {"policy:\n  budgets: 3\n", ":7:12", "a list of at most"},
        {"policy:\n  budgets:\n    - 3\n", ":8:7", "{epsilon: 1, delta: 1e-5}"},
        {"policy:\n  budgets:\n    - {delta: 1e-5}\n", ":8:7", "epsilon"},
        {"policy:\n  budgets:\n    - {epsilon: 1}\n", ":8:7", "delta"},
        {"policy:\n  budgets:\n    - {epsilon: -1, delta: 0}\n", ":8:17", "epsilon"},
        {"policy:\n  budgets:\n    - {epsilon: nan, delta: 0}\n", ":8:17", "epsilon"},
        {"policy:\n  budgets:\n    - {epsilon: 1, delta: 1}\n", ":8:27", "delta"},
        {"policy:\n  budgets:\n    - {epsilon: 1, delta: 0, window_days: -1}\n", ":8:43",
         "window_days"},
        {"policy:\n  budgets:\n    - {epsilon: 1, delta: 0, sum: 1}\n", ":8:30", "sum"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_refused(rows[i].text, rows[i].place);
        assert_refused(rows[i].text, rows[i].why);
    }
}

static void test_site_config__too_many_budgets__refused(void **state)
{
    struct csl_buf b;
    (void)state;
    csl_buf_init(&b, 65536);
    csl_buf_str(&b, "policy:\n  budgets:\n");
    for (int i = 0; i <= CSL_LEDGER_BUDGETS_MAX; i++)
        csl_buf_str(&b, "    - {epsilon: 1, delta: 0}\n");
    assert_refused(csl_buf_text(&b), "a list of at most");
    csl_buf_release(&b);
}

/* Names that the ledger could not write down must not come through. */
static void test_site_config__budget_of_no_cohort_or_group__refused(void **state)
{
    (void)state;
    assert_refused("policy:\n  budgets:\n    - {cohort: two words, epsilon: 1, delta: 0}\n",
                   "cohort");
    assert_refused("policy:\n  budgets:\n    - {group: female, epsilon: 1, delta: 0}\n", "group");
    assert_refused("policy:\n  budgets:\n    - {group: a = b, epsilon: 1, delta: 0}\n", "group");
}

/* --- secure aggregation --- */

static void test_site_config__masks_not_mentioned__a_third_and_three_sites(void **state)
{
    (void)state;
    read_whole("");
    assert_string_equal(c.secagg.key, "");
    assert_false(c.policy.masked_only);
    assert_false(c.policy.masked.has_colluding);
    assert_int_equal(c.policy.masked.minimum_sites, 3);
    assert_int_equal(c.policy.masked.minimum_honest, 2);
    assert_int_equal(c.policy.masked.largest_share_permille, 500);
    assert_int_equal(c.policy.masked.audit_chunks, 0);
}

static void test_site_config__masks__keys_and_floors_read(void **state)
{
    char expected[CSL_PATH_MAX];
    (void)state;
    read_whole("secure_aggregation: {key: s.key, roster: /etc/f.roster, root: f.pub}\n"
               "policy: {masked_only: true, noised_statistics_only: true, masked_colluding: 2, "
               "masked_minimum_sites: 6,\n"
               "  masked_minimum_honest: 3, masked_largest_share: 250, masked_audit_chunks: 8}\n");
    snprintf(expected, sizeof(expected), "%s/s.key", dir);
    assert_string_equal(c.secagg.key, expected);
    assert_string_equal(c.secagg.roster, "/etc/f.roster");
    snprintf(expected, sizeof(expected), "%s/f.pub", dir);
    assert_string_equal(c.secagg.root, expected);
    assert_true(c.policy.masked_only && c.policy.masked.has_colluding);
    assert_true(c.policy.refuses_exact_statistics);
    assert_int_equal(c.policy.masked.colluding, 2);
    assert_int_equal(c.policy.masked.minimum_sites, 6);
    assert_int_equal(c.policy.masked.minimum_honest, 3);
    assert_int_equal(c.policy.masked.largest_share_permille, 250);
    assert_int_equal(c.policy.masked.audit_chunks, 8);
}

static void test_site_config__masks_wrong__refused(void **state)
{
    (void)state;
    assert_refused("policy: {masked_colluding: few}\n", "third, or a whole number");
    assert_refused("policy: {masked_colluding: -1}\n", "third, or a whole number");
    assert_refused("policy: {masked_colluding: 1024}\n", "third, or a whole number");
    assert_refused("policy: {masked_minimum_sites: 1}\n", "masked_minimum_sites");
    assert_refused("policy: {masked_minimum_honest: 1}\n", "masked_minimum_honest");
    assert_refused("policy: {masked_largest_share: 0}\n", "masked_largest_share");
    assert_refused("policy: {masked_audit_chunks: 65}\n", "masked_audit_chunks");
    assert_refused("secure_aggregation: {key: s.key, roster: f.roster}\n", "root");
    assert_refused("secure_aggregation: {roster: f.roster, root: f.pub}\n", "key");
}

/* Built without CSL_TEST_SEEDS, as a released program is. */
static void test_site_config__seed_of_the_noise__not_in_a_released_program(void **state)
{
    (void)state;
    assert_refused("test_only_noise_seed: 1\n", "test_only_noise_seed");
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

/* An agent knows its own ledger only: the help must not promise that two of them share a budget. */
static void test_site_config__help__says_that_two_agents_spend_twice(void **state)
{
    struct csl_buf b;
    (void)state;
    csl_buf_init(&b, 65536);
    csl_option_help_keys(csl_site_options, &b);
    const char *cohort = strstr(csl_buf_text(&b), "policy.cohort");
    assert_non_null(cohort);
    const char *next = strstr(cohort, "policy.budgets"), *twice = strstr(cohort, "twice");
    assert_true(next != NULL && twice != NULL && twice < next);
    csl_buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_site_config__only_what_is_required__cautious_defaults),
        cmocka_unit_test(test_site_config__policy__read_and_checked),
        cmocka_unit_test(test_site_config__policy_wrong__refused),
        cmocka_unit_test(test_site_config__privacy_not_mentioned__cautious_defaults),
        cmocka_unit_test(test_site_config__privacy_rows__read),
        cmocka_unit_test(test_site_config__another_privacy_policy__another_digest),
        cmocka_unit_test(test_site_config__privacy_rows_wrong__refused_with_line_and_column),
        cmocka_unit_test(test_site_config__too_many_budgets__refused),
        cmocka_unit_test(test_site_config__budget_of_no_cohort_or_group__refused),
        cmocka_unit_test(test_site_config__masks_not_mentioned__a_third_and_three_sites),
        cmocka_unit_test(test_site_config__masks__keys_and_floors_read),
        cmocka_unit_test(test_site_config__masks_wrong__refused),
        cmocka_unit_test(test_site_config__seed_of_the_noise__not_in_a_released_program),
        cmocka_unit_test(test_site_config__unknown_key__refused_by_name),
        cmocka_unit_test(test_site_config__tls_missing__refused),
        cmocka_unit_test(test_site_config__printed_defaults__parse_back),
        cmocka_unit_test(test_site_config__help__says_that_two_agents_spend_twice),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
