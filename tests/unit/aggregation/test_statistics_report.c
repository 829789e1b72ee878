/* What a file of statistics may say: its texts end up in terminals and in studies. */
#include "aggregation/statistics/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DIGEST "6ac5ef05c5954ba959cd8fddab405a67c54c181eadf861af530217018ebc8f52"
#define HIDDEN "{\"suppressed\": true}"

enum { STUDY, STUDY_DIGEST, PRIVACY, DOMAIN, CELL, NAME, UNIT, TEXTS };

static const char *const right[TEXTS] = {
    "heart", DIGEST, "none", "heart", "class = not present", "caf\xc3\xa9", "\xc2\xb5mol/l"};

/* The file with the text `at` in place of the right one. */
static enum csl_code parse(int at, const char *text, struct csl_err *err)
{
    char json[2048];
    const char *t[TEXTS];
    struct csl_statistics_report r = {.domains = NULL};
    memcpy(t, right, sizeof(t));
    t[at] = text;
    int n = snprintf(
        json, sizeof(json),
        "{\"format\": \"" CSL_STATISTICS_FORMAT "\", \"study\": \"%s\", \"study_digest\": \"%s\", "
        "\"privacy\": \"%s\", \"masked\": false, \"rehearsal\": false, \"domains\": [{\"id\": "
        "\"%s\", \"sites\": 3, \"sites_min\": 3, \"noise_std_patients\": 0, \"minimum_cell\": 10, "
        "\"patients\": " HIDDEN
        ", \"answers\": 1, \"cells\": [{\"name\": \"%s\", \"patients\": " HIDDEN
        "}], \"features\": [{\"name\": \"%s\", \"unit\": \"%s\", \"range\": [0, 1], "
        "\"missing\": " HIDDEN ", \"outside\": " HIDDEN ", \"mean\": " HIDDEN
        ", \"standard_deviation\": " HIDDEN ", \"quantiles\": [" HIDDEN ", " HIDDEN ", " HIDDEN
        ", " HIDDEN ", " HIDDEN "]}]}]}",
        t[STUDY], t[STUDY_DIGEST], t[PRIVACY], t[DOMAIN], t[CELL], t[NAME], t[UNIT]);
    assert_true(n > 0 && (size_t)n < sizeof(json));
    enum csl_code code = csl_statistics_parse(&r, "f.json", CSL_SPAN(json, (size_t)n), err);
    csl_statistics_report_release(&r);
    return code;
}

static void assert_refused(int at, const char *text)
{
    struct csl_err err = {.code = CSL_OK};
    assert_int_equal(parse(at, text, &err), CSL_E_CORRUPT);
    assert_null(strchr(err.msg, '\n'));
}

static void test_statistics_report__right_texts__are_read(void **state)
{
    (void)state;
    struct csl_err err = {.code = CSL_OK};
    for (int at = 0; at < TEXTS; at++)
        assert_int_equal(parse(at, right[at], &err), CSL_OK);
    assert_int_equal(parse(UNIT, "\xe2\x84\x83", &err), CSL_OK); /* degrees Celsius */
}

static void test_statistics_report__control_characters__are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"a\\nrounds: 9", "a\\r",     "a\\t",     "a\\u001b[2J",
                                      "a\\u007f",      "a\\u0085", "a\\u009b", "a\\u2028",
                                      "a\\u202e",      "a\\u2066"};
    for (int at = 0; at < TEXTS; at++)
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
            assert_refused(at, bad[i]);
}

static void test_statistics_report__study_and_digest__are_what_a_study_has(void **state)
{
    (void)state;
    for (int at = STUDY; at <= DOMAIN; at++) {
        assert_refused(at, "");
        assert_refused(at, "heart: {a: 1} #");
    }
    assert_refused(STUDY_DIGEST, "6ac5ef05");
    assert_refused(STUDY_DIGEST, "g" DIGEST);
    assert_refused(STUDY_DIGEST,
                   "6AC5ef05c5954ba959cd8fddab405a67c54c181eadf861af530217018ebc8f52");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics_report__right_texts__are_read),
        cmocka_unit_test(test_statistics_report__control_characters__are_refused),
        cmocka_unit_test(test_statistics_report__study_and_digest__are_what_a_study_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
