/* Log lines in both formats, and progress. */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "tests/unit/base/fixture.h"

#include <math.h>
#include <string.h>

static FILE *stream;

static int stream_setup(void **state)
{
    (void)state;
    stream = tmpfile();
    return stream == NULL ? -1 : 0;
}

static int stream_teardown(void **state)
{
    (void)state;
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    return fclose(stream);
}

/* ts=2026-01-02T03:04:05.678Z: digits where digits belong. */
static void assert_timestamp(const char *text)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    for (size_t i = 0; i + 1 < sizeof(shape); i++) {
        if (shape[i] == 'd')
            assert_true(text[i] >= '0' && text[i] <= '9');
        else
            assert_int_equal(text[i], shape[i]);
    }
}

static void test_log__logfmt__one_line_with_typed_fields(void **state)
{
    (void)state;
    csl_log_setup(stream, CSL_LOG_LOGFMT, CSL_LOG_INFO);
    csl_log(CSL_LOG_INFO, "round.closed", CSL_U64("round", 3), CSL_I64("delta", -4),
            CSL_F64("auc", 0.75), CSL_F64("bad", (double)NAN), CSL_STR("site", "cleveland"),
            CSL_STR("said", "two words\n\"x\""), CSL_STR("none", ""), CSL_STR("null", NULL));
    const char *text = stream_text(stream);
    assert_memory_equal(text, "ts=", 3);
    assert_timestamp(text + 3);
    assert_string_equal(text + 27,
                        " level=info event=round.closed round=3 delta=-4 auc=0.75 bad=nan"
                        " site=cleveland said=\"two words\\x0a\\x22x\\x22\" none=\"\""
                        " null=\"\"\n");
}

static void test_log__json__reads_back(void **state)
{
    (void)state;
    csl_log_setup(stream, CSL_LOG_JSON, CSL_LOG_DEBUG);
    csl_log(CSL_LOG_DEBUG, "x.y", CSL_U64("u", 3), CSL_I64("i", -4), CSL_F64("f", 0.1),
            CSL_F64("bad", (double)INFINITY), CSL_STR("s", "q\"\\\n\xff"));
    const char *text = stream_text(stream);
    struct csl_json_doc *d;
    assert_int_equal(csl_json_parse(&d, "log", span_of(text), NULL), CSL_OK);
    const struct csl_json_value *o = csl_json_root(d);
    const char *s = NULL;
    double f = 0;
    assert_true(csl_json_as_str(csl_json_get(o, "ts"), &s));
    assert_timestamp(s);
    assert_true(csl_json_as_str(csl_json_get(o, "level"), &s));
    assert_string_equal(s, "debug");
    assert_true(csl_json_as_str(csl_json_get(o, "s"), &s));
    assert_string_equal(s, "q\\x22\\x5c\\x0a\\xff");
    assert_true(csl_json_as_f64(csl_json_get(o, "f"), &f));
    assert_true(f > 0.0999 && f < 0.1001);
    assert_non_null(csl_json_get(o, "bad"));
    assert_int_equal(csl_json_count(o), 8);
    csl_json_free(d);
}

static void test_log__below_threshold__is_silent(void **state)
{
    (void)state;
    csl_log_setup(stream, CSL_LOG_LOGFMT, CSL_LOG_WARN);
    csl_log_event(CSL_LOG_DEBUG, "a", 0, NULL);
    csl_log_event(CSL_LOG_INFO, "b", 0, NULL);
    assert_string_equal(stream_text(stream), "");
    csl_log_event(CSL_LOG_ERROR, "c", 0, NULL);
    assert_non_null(strstr(stream_text(stream), "level=error event=c\n"));
    csl_log_setup(stream, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    csl_log_event(CSL_LOG_ERROR, "d", 0, NULL);
    csl_log_event(CSL_LOG_SILENT, "e", 0, NULL);
    assert_null(strstr(stream_text(stream), "event=d"));
    assert_null(strstr(stream_text(stream), "event=e"));
}

/* Whole fields are dropped at the end of the line; what is printed can still be read. */
static void test_log__fields_too_long__leave_a_well_formed_line(void **state)
{
    (void)state;
    char big[5000];
    memset(big, '\n', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    csl_log_setup(stream, CSL_LOG_JSON, CSL_LOG_INFO);
    struct csl_log_field fields[12];
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        fields[i] = CSL_STR("k", big);
    fields[10] = CSL_U64("small", 7);
    fields[11] = CSL_U64("smaller", 8);
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        fields[i].key = keys[i];
    csl_log_event(CSL_LOG_INFO, "big", COUNT_OF(fields), fields);
    const char *text = stream_text(stream);
    struct csl_json_doc *d;
    uint64_t small = 0;
    assert_true(strlen(text) <= 4096);
    assert_int_equal(csl_json_parse(&d, "log", span_of(text), NULL), CSL_OK);
    assert_non_null(csl_json_get(csl_json_root(d), "a"));
    assert_null(csl_json_get(csl_json_root(d), "j"));
    assert_true(csl_json_as_u64(csl_json_get(csl_json_root(d), "small"), &small));
    assert_int_equal(small, 7);
    csl_json_free(d);
}

static void test_log_err__with_and_without_errno__says_code_and_message(void **state)
{
    (void)state;
    struct csl_err err;
    (void)CSL_FAIL(&err, CSL_E_LIMIT, "too many");
    csl_log_setup(stream, CSL_LOG_LOGFMT, CSL_LOG_INFO);
    csl_log_err(CSL_LOG_WARN, "upload.refused", &err);
    const char *text = stream_text(stream);
    assert_non_null(
        strstr(text, "level=warn event=upload.refused code=LIMIT message=\"too many\""));
    assert_non_null(strstr(text, "test_log.c:"));
    assert_null(strstr(text, "errno="));
    err.sys_errno = 5;
    csl_log_err(CSL_LOG_WARN, "upload.refused", &err);
    assert_non_null(strstr(stream_text(stream), " errno=5\n"));
}

static void test_progress__short_work__is_silent(void **state)
{
    (void)state;
    struct csl_progress p;
    csl_progress_start(&p, stream, "Work", "rounds", 10);
    for (uint64_t i = 0; i <= 10; i++)
        csl_progress_update(&p, i);
    csl_progress_finish(&p);
    assert_string_equal(stream_text(stream), "");
    csl_progress_start(&p, NULL, "Work", "rounds", 10);
    csl_progress_update(&p, 1);
    csl_progress_finish(&p);
}

static void test_progress__long_work_into_a_file__one_line_per_tenth(void **state)
{
    (void)state;
    struct csl_progress p;
    csl_progress_start(&p, stream, "Training", "rounds", 100);
    p.started_ns -= 10 * CSL_NS_PER_S; /* as if it had been running */
    for (uint64_t i = 0; i <= 100; i++)
        csl_progress_update(&p, i);
    csl_progress_finish(&p);
    csl_progress_finish(&p);
    const char *text = stream_text(stream);
    size_t lines = 0;
    for (const char *c = text; *c != '\0'; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 11); /* 10 tenths and the last word */
    assert_non_null(strstr(text, "Training: 50 % (50 rounds of 100 rounds)"));
    assert_non_null(strstr(text, " left\n"));
    assert_non_null(strstr(text, ", done\n"));
    assert_null(strchr(text, '\r'));
}

static void test_progress__terminal_and_unknown_total__redraws_one_line(void **state)
{
    (void)state;
    struct csl_progress p;
    csl_progress_start(&p, stream, "Reading", "bytes", 0);
    p.started_ns -= 10 * CSL_NS_PER_S;
    p.is_tty = true;
    csl_progress_update(&p, 1500000);
    csl_progress_update(&p, 1600000); /* too soon to redraw */
    csl_progress_finish(&p);
    const char *text = stream_text(stream);
    assert_non_null(strstr(text, "\r\033[KReading: 1.5 MB, "));
    assert_non_null(strstr(text, "\r\033[KReading: 1.6 MB, "));
    assert_non_null(strstr(text, ", done\n"));
    assert_null(strchr(text, '%'));
}

static void test_log_quota__many_in_a_minute__ten_lines_and_the_rest_counted(void **state)
{
    static const uint64_t minute = 60 * UINT64_C(1000000000), start = 5;
    struct csl_log_quota q = {0};
    uint32_t unsaid, said = 0;
    (void)state;
    for (uint64_t i = 0; i < 25; i++) {
        said += csl_log_quota_take(&q, start + i, &unsaid);
        assert_int_equal(unsaid, 0);
    }
    assert_int_equal(said, 10);
    assert_false(csl_log_quota_take(&q, start + minute - 1, &unsaid));
    assert_true(csl_log_quota_take(&q, start + minute, &unsaid));
    assert_int_equal(unsaid, 16);
    assert_true(csl_log_quota_take(&q, start + 2 * minute, &unsaid));
    assert_int_equal(unsaid, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_log__logfmt__one_line_with_typed_fields, stream_setup,
                                        stream_teardown),
        cmocka_unit_test_setup_teardown(test_log__json__reads_back, stream_setup, stream_teardown),
        cmocka_unit_test_setup_teardown(test_log__below_threshold__is_silent, stream_setup,
                                        stream_teardown),
        cmocka_unit_test_setup_teardown(test_log__fields_too_long__leave_a_well_formed_line,
                                        stream_setup, stream_teardown),
        cmocka_unit_test_setup_teardown(test_log_err__with_and_without_errno__says_code_and_message,
                                        stream_setup, stream_teardown),
        cmocka_unit_test_setup_teardown(test_progress__short_work__is_silent, stream_setup,
                                        stream_teardown),
        cmocka_unit_test_setup_teardown(test_progress__long_work_into_a_file__one_line_per_tenth,
                                        stream_setup, stream_teardown),
        cmocka_unit_test_setup_teardown(test_progress__terminal_and_unknown_total__redraws_one_line,
                                        stream_setup, stream_teardown),
        cmocka_unit_test(test_log_quota__many_in_a_minute__ten_lines_and_the_rest_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
