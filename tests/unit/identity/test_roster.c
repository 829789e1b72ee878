#include "base/file.h"
#include "protocol/identity/roster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PIN_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define PIN_B "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

static enum csl_code parse(struct csl_roster **out, const char *text, struct csl_err *err)
{
    return csl_roster_parse(out, "roster.yaml", CSL_SPAN(text, strlen(text)), err);
}

static void test_roster__two_sites__are_admitted_by_id_pin_and_activity(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_roster *r = NULL;
    assert_int_equal(parse(&r,
                           "sites:\n  - {id: zurich, pin: " PIN_B ", active: false}\n"
                           "  - id: cleveland\n    pin: " PIN_A "\n    active: true\n",
                           &err),
                     CSL_OK);
    assert_int_equal(csl_roster_count(r), 2);
    assert_string_equal(csl_roster_at(r, 0)->id, "cleveland");
    uint8_t a[CSL_PIN_BYTES], b[CSL_PIN_BYTES];
    assert_true(csl_unhex(PIN_A, a, sizeof(a)));
    assert_true(csl_unhex(PIN_B, b, sizeof(b)));
    assert_true(csl_roster_admits(r, "cleveland", a));
    assert_false(csl_roster_admits(r, "cleveland", b));
    assert_false(csl_roster_admits(r, "zurich", b));
    assert_false(csl_roster_admits(r, "basel", a));
    csl_roster_free(r);
}

static void test_roster__bad_files__are_refused_with_a_place(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "sites: 3\n",
        "sites:\n  - cleveland\n",
        "sites:\n  - {id: Cleveland, pin: " PIN_A "}\n",
        "sites:\n  - {id: cleveland, pin: 0011}\n",
        "sites:\n  - {id: cleveland}\n",
        "sites:\n  - {id: cleveland, pin: " PIN_A ", colour: red}\n",
        "sites:\n  - {id: cleveland, pin: " PIN_A ", active: maybe}\n",
        "sites:\n  - {id: a, pin: " PIN_A "}\n  - {id: a, pin: " PIN_B "}\n",
        "sites:\n  - {id: a, pin: " PIN_A ", number: 1}\n",
        "sites:\n  - {id: a, pin: " PIN_A ", signing_key: " PIN_A "}\n",
        "sites:\n  - {id: a, pin: " PIN_A ", number: 1, signing_key: 00}\n",
        "sites:\n  - {id: a, pin: " PIN_A ", number: 1, signing_key: " PIN_A "}\n"
        "  - {id: b, pin: " PIN_B ", number: 1, signing_key: " PIN_B "}\n",
        "hospitals: []\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct csl_err err = {.msg = ""};
        struct csl_roster *r = NULL;
        assert_int_not_equal(parse(&r, texts[i], &err), CSL_OK);
        assert_null(r);
        assert_non_null(strstr(err.msg, "roster.yaml:"));
    }
}

static void test_roster__written_and_loaded__is_the_same(void **state)
{
    (void)state;
    char path[] = "/tmp/csl-roster-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    struct csl_err err;
    struct csl_roster *r = NULL, *again = NULL;
    assert_int_equal(csl_roster_new(&r, &err), CSL_OK);
    assert_int_equal(csl_roster_write(r, path, &err), CSL_OK);
    assert_int_equal(csl_roster_load(&again, path, &err), CSL_OK);
    assert_int_equal(csl_roster_count(again), 0);
    csl_roster_free(again);
    static const char *const ids[] = {"null", "12", "true", "a.b-c_d"};
    for (uint8_t i = 0; i < 4; i++) {
        struct csl_roster_site s = {.is_active = i % 2 == 0};
        (void)snprintf(s.id, sizeof(s.id), "%s", ids[i]);
        memset(s.pin, i + 1, sizeof(s.pin));
        s.number = i == 1 ? 0 : csl_roster_next_number(r);
        memset(s.signing_key, s.number == 0 ? 0 : 0xa0 + i, sizeof(s.signing_key));
        assert_int_equal(csl_roster_put(r, &s, &err), CSL_OK);
    }
    assert_int_equal(csl_roster_write(r, path, &err), CSL_OK);
    assert_int_equal(csl_roster_load(&again, path, &err), CSL_OK);
    assert_int_equal(csl_roster_count(again), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(csl_roster_at(again, i)->id, csl_roster_at(r, i)->id);
        assert_memory_equal(csl_roster_at(again, i)->pin, csl_roster_at(r, i)->pin, CSL_PIN_BYTES);
        assert_int_equal(csl_roster_at(again, i)->is_active, csl_roster_at(r, i)->is_active);
        assert_int_equal(csl_roster_at(again, i)->number, csl_roster_at(r, i)->number);
        assert_memory_equal(csl_roster_at(again, i)->signing_key, csl_roster_at(r, i)->signing_key,
                            CSL_ROSTER_SIGNING_BYTES);
    }
    assert_int_equal(csl_roster_next_number(again), 4);
    csl_roster_free(again);
    csl_roster_free(r);
    assert_int_equal(unlink(path), 0);
}

static void test_roster__more_sites_than_the_limit__is_refused(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_roster *r = NULL;
    struct csl_roster_site s = {.is_active = true};
    assert_int_equal(csl_roster_new(&r, &err), CSL_OK);
    for (int i = 0; i < CSL_SITES_MAX; i++) {
        (void)snprintf(s.id, sizeof(s.id), "site-%d", (i * 7919) % CSL_SITES_MAX);
        assert_int_equal(csl_roster_put(r, &s, &err), CSL_OK);
    }
    assert_int_equal(csl_roster_count(r), CSL_SITES_MAX);
    (void)snprintf(s.id, sizeof(s.id), "one-more");
    assert_int_equal(csl_roster_put(r, &s, &err), CSL_E_LIMIT);
    (void)snprintf(s.id, sizeof(s.id), "site-0"); /* replacing is not adding */
    s.is_active = false;
    assert_int_equal(csl_roster_put(r, &s, &err), CSL_OK);
    assert_false(csl_roster_find(r, "site-0")->is_active);
    csl_roster_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roster__two_sites__are_admitted_by_id_pin_and_activity),
        cmocka_unit_test(test_roster__bad_files__are_refused_with_a_place),
        cmocka_unit_test(test_roster__written_and_loaded__is_the_same),
        cmocka_unit_test(test_roster__more_sites_than_the_limit__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
