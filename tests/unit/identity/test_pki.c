#include "base/bytes.h"
#include "base/file.h"
#include "base/limits.h"
#include "protocol/identity/pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DOMAIN "fl.test"

struct place {
    char dir[64];
    char ca_key[128], ca_cert[128], key[128], chain[128];
    struct csl_pki_authority ca;
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    (void)snprintf(p->dir, sizeof(p->dir), "/tmp/csl-pki-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    (void)snprintf(p->ca_key, sizeof(p->ca_key), "%s/ca.key", p->dir);
    (void)snprintf(p->ca_cert, sizeof(p->ca_cert), "%s/ca.pem", p->dir);
    (void)snprintf(p->key, sizeof(p->key), "%s/leaf.key", p->dir);
    (void)snprintf(p->chain, sizeof(p->chain), "%s/leaf.pem", p->dir);
    p->ca = (struct csl_pki_authority){p->ca_key, p->ca_cert};
    struct csl_err err;
    assert_int_equal(csl_pki_make_authority(DOMAIN, 30, p->ca_key, p->ca_cert, &err), CSL_OK);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    (void)unlink(p->ca_key);
    (void)unlink(p->ca_cert);
    (void)unlink(p->key);
    (void)unlink(p->chain);
    assert_int_equal(rmdir(p->dir), 0);
    free(p);
    return 0;
}

static struct csl_msg read_file(const char *path)
{
    struct csl_msg m = {0};
    struct csl_err err;
    assert_int_equal(csl_file_read(&m, path, CSL_PEM_BYTES_MAX, &err), CSL_OK);
    return m;
}

static enum csl_code check_files(const char *key, const char *chain, const char *roots,
                                 struct csl_err *err)
{
    struct csl_msg k = read_file(key), c = read_file(chain), r = read_file(roots);
    enum csl_code code =
        csl_pki_check_set(csl_msg_span(&k), csl_msg_span(&c), csl_msg_span(&r), err);
    csl_msg_release(&k);
    csl_msg_release(&c);
    csl_msg_release(&r);
    return code;
}

static void test_pki__site_certificate__carries_its_spiffe_id(void **state)
{
    struct place *p = *state;
    struct csl_err err;
    struct csl_certificate c;
    char id[CSL_ID_MAX];
    assert_int_equal(csl_pki_issue_site(&p->ca, DOMAIN, "cleveland", 30, p->key, p->chain, &err),
                     CSL_OK);
    assert_int_equal(csl_certificate_read(&c, p->chain, &err), CSL_OK);
    assert_string_equal(c.spiffe_id, "spiffe://fl.test/site/cleveland");
    assert_int_equal(csl_spiffe_site(id, c.spiffe_id, DOMAIN, &err), CSL_OK);
    assert_string_equal(id, "cleveland");
    assert_in_range(c.seconds_left, 30 * 86400 - 60, 30 * 86400);
    assert_int_equal(check_files(p->key, p->chain, p->ca_cert, &err), CSL_OK);
}

static void test_pki__every_file_written__is_private(void **state)
{
    struct place *p = *state;
    struct csl_err err;
    assert_int_equal(csl_pki_issue_coordinator(&p->ca, DOMAIN, CSL_COORDINATOR_NAMES, 30, p->key,
                                               p->chain, &err),
                     CSL_OK);
    const char *files[] = {p->ca_key, p->ca_cert, p->key, p->chain};
    for (size_t i = 0; i < 4; i++) {
        struct stat st;
        assert_int_equal(stat(files[i], &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
}

static void test_pki__negative_days__makes_a_certificate_past_its_end(void **state)
{
    struct place *p = *state;
    struct csl_err err;
    struct csl_certificate c;
    assert_int_equal(csl_pki_issue_site(&p->ca, DOMAIN, "a", -2, p->key, p->chain, &err), CSL_OK);
    assert_int_equal(csl_certificate_read(&c, p->chain, &err), CSL_OK);
    assert_in_range(-c.seconds_left, 2 * 86400, 2 * 86400 + 60);
    assert_int_equal(check_files(p->key, p->chain, p->ca_cert, &err), CSL_E_CRYPTO);
    assert_non_null(strstr(err.msg, "expired"));
}

static void test_pki__days_left__are_rounded_down(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds, days;
    } cases[] = {{0, 0}, {86399, 0}, {86400, 1}, {-1, -1}, {-86400, -1}, {-86401, -2}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct csl_certificate c = {.seconds_left = cases[i].seconds};
        assert_int_equal(csl_certificate_days_left(&c), cases[i].days);
    }
}

static void test_pki__foreign_authority__does_not_vouch(void **state)
{
    struct place *p = *state;
    struct csl_err err;
    assert_int_equal(csl_pki_issue_site(&p->ca, DOMAIN, "a", 30, p->key, p->chain, &err), CSL_OK);
    assert_int_equal(csl_pki_make_authority(DOMAIN, 30, p->ca_key, p->ca_cert, &err), CSL_OK);
    assert_int_equal(check_files(p->key, p->chain, p->ca_cert, &err), CSL_E_CRYPTO);
}

static void test_pki__key_of_another_certificate__is_refused(void **state)
{
    struct place *p = *state;
    struct csl_err err;
    assert_int_equal(csl_pki_issue_site(&p->ca, DOMAIN, "a", 30, p->key, p->chain, &err), CSL_OK);
    assert_int_equal(check_files(p->ca_key, p->chain, p->ca_cert, &err), CSL_E_CRYPTO);
}

static void test_pki__two_certificates__have_different_pins(void **state)
{
    struct place *p = *state;
    struct csl_err err;
    uint8_t first[CSL_PIN_BYTES], second[CSL_PIN_BYTES];
    assert_int_equal(csl_pki_issue_site(&p->ca, DOMAIN, "a", 30, p->key, p->chain, &err), CSL_OK);
    assert_int_equal(csl_pki_pin_read(first, p->chain, &err), CSL_OK);
    assert_int_equal(csl_pki_issue_site(&p->ca, DOMAIN, "a", 30, p->key, p->chain, &err), CSL_OK);
    assert_int_equal(csl_pki_pin_read(second, p->chain, &err), CSL_OK);
    assert_memory_not_equal(first, second, CSL_PIN_BYTES);
}

/* A fixed certificate made with the openssl tool (P-256); the pin is what
 *     openssl x509 -in c.pem -pubkey -noout | openssl pkey -pubin -outform der | sha256sum
 * prints for it. */
static const char fixed_pem[] = "-----BEGIN CERTIFICATE-----\n"
                                "MIIBrTCCAVOgAwIBAgIUP7fT/BUqEsPpTEwVSJvjkanaWZwwCgYIKoZIzj0EAwIw\n"
                                "EDEOMAwGA1UEAwwFa25vd24wIBcNMjYxMTIxMDI0OTM1WhgPMjEyNjEwMjgwMjQ5\n"
                                "MzVaMBAxDjAMBgNVBAMMBWtub3duMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"
                                "a2tD7qnK/iVrrHAk3M0KZ6A1j1JSrTjJR7+kTi3HsXtHdmODfo8mVT6jRJYWuMpe\n"
                                "NplERYoGsg9Df2YjqTcY3aOBiDCBhTAdBgNVHQ4EFgQUIBTrJCx1kTTWjLs4LkcZ\n"
                                "mx0d5F4wHwYDVR0jBBgwFoAUIBTrJCx1kTTWjLs4LkcZmx0d5F4wDwYDVR0TAQH/\n"
                                "BAUwAwEB/zAyBgNVHREEKzAphhtzcGlmZmU6Ly9mbC50ZXN0L3NpdGUva25vd26C\n"
                                "Cmtub3duLnRlc3QwCgYIKoZIzj0EAwIDSAAwRQIgEPa4Ds47V3p5sdMmWhIuNBfS\n"
                                "gr5TFWeLsI69nqX/hKcCIQDtdKZ4r82QUKfidwFGzpKCqPp3XyS7h+khB517mBQi\n"
                                "jQ==\n"
                                "-----END CERTIFICATE-----\n";
static const char fixed_pin[] = "86b365cc575d379f21e66f41b1f344a13f76b4b84803ac79c4ea897eb6388e78";

static void test_pki__fixed_certificate__has_the_pin_other_tools_print(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_certificate c;
    uint8_t expected[CSL_PIN_BYTES];
    assert_true(csl_unhex(fixed_pin, expected, CSL_PIN_BYTES));
    assert_int_equal(csl_certificate_parse(&c, CSL_SPAN(fixed_pem, sizeof(fixed_pem) - 1), &err),
                     CSL_OK);
    assert_memory_equal(c.pin, expected, CSL_PIN_BYTES);
    assert_string_equal(c.spiffe_id, "spiffe://fl.test/site/known");
}

static const char two_uris_pem[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBujCCAWCgAwIBAgIUP4Wjk4YNikKU24ICJ8yakun8IXswCgYIKoZIzj0EAwIw\n"
    "DjEMMAoGA1UEAwwDdHdvMCAXDTI2MTEyMTAyNDkzNVoYDzIxMjYxMDI4MDI0OTM1\n"
    "WjAOMQwwCgYDVQQDDAN0d28wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARra0Pu\n"
    "qcr+JWuscCTczQpnoDWPUlKtOMlHv6ROLcexe0d2Y4N+jyZVPqNElha4yl42mURF\n"
    "igayD0N/ZiOpNxjdo4GZMIGWMB0GA1UdDgQWBBQgFOskLHWRNNaMuzguRxmbHR3k\n"
    "XjAfBgNVHSMEGDAWgBQgFOskLHWRNNaMuzguRxmbHR3kXjAPBgNVHRMBAf8EBTAD\n"
    "AQH/MEMGA1UdEQQ8MDqGG3NwaWZmZTovL2ZsLnRlc3Qvc2l0ZS9rbm93boYbc3Bp\n"
    "ZmZlOi8vZmwudGVzdC9zaXRlL290aGVyMAoGCCqGSM49BAMCA0gAMEUCIQDhbhKj\n"
    "G8k39cVCg9PAuIPOy1zT+wzJWX69wiCdZ9yxuAIgTHnScY0MIcm3/PX/r8vayDUa\n"
    "d1YBvAu7On/2rk0bcs4=\n"
    "-----END CERTIFICATE-----\n";

static void test_pki__two_uri_names__are_refused(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_certificate c;
    assert_int_equal(
        csl_certificate_parse(&c, CSL_SPAN(two_uris_pem, sizeof(two_uris_pem) - 1), &err),
        CSL_E_CRYPTO);
    assert_non_null(strstr(err.msg, "more than one URI"));
}

static void test_pki__text_that_is_no_certificate__is_refused(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_certificate c;
    static const char *const texts[] = {
        "", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(csl_certificate_parse(&c, CSL_SPAN(texts[i], strlen(texts[i])), &err),
                         CSL_E_CRYPTO);
}

static void test_pki__bad_orders__are_refused(void **state)
{
    struct place *p = *state;
    struct csl_err err;
    static const char *const ids[] = {"", "../a", "A", "a b", "a/b"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        assert_int_equal(csl_pki_issue_site(&p->ca, DOMAIN, ids[i], 1, p->key, p->chain, &err),
                         CSL_E_INVAL);
    static const char *const names[] = {"", "a,,b", "a b", "a,URI:spiffe://x/site/y", "a\nb"};
    for (size_t i = 1; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(
            csl_pki_issue_coordinator(&p->ca, DOMAIN, names[i], 1, p->key, p->chain, &err),
            CSL_E_INVAL);
    assert_int_equal(csl_pki_issue_site(&p->ca, "fl/test", "a", 1, p->key, p->chain, &err),
                     CSL_E_INVAL);
    assert_int_equal(csl_pki_issue_site(&p->ca, DOMAIN, "a", 100000, p->key, p->chain, &err),
                     CSL_E_INVAL);
    assert_false(csl_file_exists(p->key));
}

static void test_spiffe__ids_of_others__are_not_sites(void **state)
{
    (void)state;
    struct csl_err err;
    char id[CSL_ID_MAX] = "untouched";
    static const char *const ids[] = {
        "",
        "spiffe://fl.test/coordinator",
        "spiffe://fl.test/site/",
        "spiffe://fl.test/site/a/b",
        "spiffe://fl.test.evil/site/a",
        "spiffe://fl.tes/site/a",
        "http://fl.test/site/a",
        "spiffe://fl.test/sites/a",
        "spiffe://fl.test/site/A",
        "spiffe://fl.test/site/a?x",
    };
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        assert_int_equal(csl_spiffe_site(id, ids[i], DOMAIN, &err), CSL_E_UNAUTH);
    assert_string_equal(id, "untouched");
    assert_true(csl_spiffe_is_coordinator("spiffe://fl.test/coordinator", DOMAIN));
    assert_false(csl_spiffe_is_coordinator("spiffe://fl.test/coordinator/x", DOMAIN));
    assert_false(csl_spiffe_is_coordinator("spiffe://fl.test/site/coordinator", DOMAIN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pki__site_certificate__carries_its_spiffe_id, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_pki__every_file_written__is_private, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_pki__negative_days__makes_a_certificate_past_its_end,
                                        set_up, tear_down),
        cmocka_unit_test(test_pki__days_left__are_rounded_down),
        cmocka_unit_test_setup_teardown(test_pki__foreign_authority__does_not_vouch, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_pki__key_of_another_certificate__is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_pki__two_certificates__have_different_pins, set_up,
                                        tear_down),
        cmocka_unit_test(test_pki__fixed_certificate__has_the_pin_other_tools_print),
        cmocka_unit_test(test_pki__two_uri_names__are_refused),
        cmocka_unit_test(test_pki__text_that_is_no_certificate__is_refused),
        cmocka_unit_test_setup_teardown(test_pki__bad_orders__are_refused, set_up, tear_down),
        cmocka_unit_test(test_spiffe__ids_of_others__are_not_sites),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
