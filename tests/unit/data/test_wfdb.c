/* WFDB headers and signal files, written here byte by byte. */
#include "site-agent/data/wfdb.h"
#include "tests/unit/data/support.h"

#include <math.h>
#include <string.h>

static enum csl_code header_of(struct csl_wfdb_header *h, const char *text, struct csl_err *err)
{
    return csl_wfdb_header_read(h, "h", CSL_SPAN(text, strlen(text)), err);
}

/* --- headers --- */

static void test_wfdb_header__every_field__is_read(void **state)
{
    (void)state;
    struct csl_wfdb_header h;
    struct csl_err err;
    /* the first two lines are those of record 100 of the MIT-BIH database (header(5)) */
    ASSERT_OK(header_of(&h,
                        "# a comment\r\n100 2 360 650000 0:0:0 0/0/0\n"
                        "100.dat 212 200 11 1024 995 -22131 0 MLII\n"
                        "100.dat 212 1000(-5)/uV 11 1024 1011 20052 0 V5\n# 69 M\n",
                        &err),
              &err);
    assert_int_equal(h.signal_count, 2);
    assert_int_equal(h.samples, 650000);
    assert_true(h.sampling_rate_hz == 360.0);
    assert_string_equal(h.signals[0].file, "100.dat");
    assert_int_equal(h.signals[0].format, 212);
    assert_true(h.signals[0].gain == 200.0);
    assert_int_equal(h.signals[0].baseline, 1024); /* the converter's zero */
    assert_string_equal(h.signals[0].unit, "mV");
    assert_int_equal(h.signals[0].initial, 995);
    assert_int_equal(h.signals[0].checksum, (uint16_t)-22131);
    assert_int_equal(h.signals[1].baseline, -5);
    assert_string_equal(h.signals[1].unit, "uV");
    assert_int_equal(csl_wfdb_group(&h, 0), 2);
    ASSERT_OK(header_of(&h, "r 1 250/250(3) 10\nr.dat 16x1:0+24 0\n", &err), &err);
    assert_int_equal(h.signals[0].offset, 24);
    assert_true(h.signals[0].gain == 200.0 && !h.signals[0].has_checksum);
}

static void test_wfdb_header__mistakes__name_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum csl_code code;
        const char *says;
    } cases[] = {
        {"", CSL_E_CORRUPT, "h:1:1:"},
        {"# nothing\n", CSL_E_CORRUPT, "h:1:1:"},
        {"r/3 1 250 10\n", CSL_E_UNSUPPORTED, "h:1:1: a record of one segment"},
        {"r\x01 1 250 10\n", CSL_E_CORRUPT, "h:1:1: a record's name"},
        {"r x 250 10\n", CSL_E_CORRUPT, "h:1:3: the number of signals"},
        {"r 0 250 10\n", CSL_E_LIMIT, "h:1:3: 1 to 64 signals"},
        {"r 65 250 10\n", CSL_E_LIMIT, "h:1:3: 1 to 64 signals"},
        {"r 1 0 10\n", CSL_E_CORRUPT, "h:1:5: a sampling rate"},
        {"r 1 nan 10\n", CSL_E_CORRUPT, "h:1:5: a sampling rate"},
        {"r 1 250\nr.dat 16\n", CSL_E_CORRUPT, "h:1:8: the number of samples"},
        {"r 1 250 0\nr.dat 16\n", CSL_E_CORRUPT, "h:1:9: the number of samples"},
        {"r 1 250 999999999999\nr.dat 16\n", CSL_E_LIMIT, "h:1:9: at most 2^28"},
        {"r 2 250 10\nr.dat 16\n", CSL_E_CORRUPT, "h:3:1: a line for every signal"},
        {"r 1 250 10\n../r.dat 16\n", CSL_E_CORRUPT, "h:2:1: the name of a file"},
        {"r 1 250 10\nr.dat\n", CSL_E_CORRUPT, "h:2:6: the format"},
        {"r 1 250 10\nr.dat 310\n", CSL_E_UNSUPPORTED, "h:2:7: format 8, 16, 80 or 212"},
        {"r 1 250 10\nr.dat 16x2\n", CSL_E_UNSUPPORTED, "h:2:7: one sample per frame"},
        {"r 1 250 10\nr.dat 16:3\n", CSL_E_UNSUPPORTED, "h:2:7: a signal without skew"},
        {"r 1 250 10\nr.dat 16+-1\n", CSL_E_CORRUPT, "h:2:7: a format such as"},
        {"r 1 250 10\nr.dat 16 inf\n", CSL_E_CORRUPT, "h:2:10: a gain"},
        {"r 1 250 10\nr.dat 16 1e-30\n", CSL_E_CORRUPT, "h:2:10: 0, or a gain"},
        {"r 1 250 10\nr.dat 16 200(1\n", CSL_E_CORRUPT, "h:2:10: a baseline"},
        {"r 1 250 10\nr.dat 16 200(1)x\n", CSL_E_CORRUPT, "h:2:10: a baseline"},
        {"r 1 250 10\nr.dat 16 200/\n", CSL_E_CORRUPT, "h:2:10: a unit"},
        {"r 1 250 10\nr.dat 16 200 1.5\n", CSL_E_CORRUPT, "h:2:14: a whole number"},
        {"r 1 250 10\nr.dat 16 200 16 0 0 70000\n", CSL_E_CORRUPT, "h:2:21: a checksum"},
        {"r 2 250 10\nr.dat 16\nr.dat 212\n", CSL_E_UNSUPPORTED, "h:3:1: signals of one file"},
        {"r 3 250 10\na 16\nb 16\na 16\n", CSL_E_UNSUPPORTED, "h:4:1: signals of one file"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct csl_wfdb_header h;
        struct csl_err err;
        ASSERT_CODE(header_of(&h, cases[i].text, &err), cases[i].code, &err);
        ASSERT_SAYS(&err, cases[i].says);
    }
}

/* --- samples --- */

static void expect_samples(const char *header, const void *bytes, size_t n, uint64_t start,
                           uint64_t count, const float *wanted)
{
    struct csl_wfdb_header h;
    struct csl_err err;
    float got[32];
    ASSERT_OK(header_of(&h, header, &err), &err);
    uint32_t signals = csl_wfdb_group(&h, 0);
    ASSERT_OK(csl_wfdb_samples(&h, 0, "d", CSL_SPAN(bytes, n), start, count, got, signals, &err),
              &err);
    for (uint64_t k = 0; k < count * signals; k++)
        assert_true(got[k] == wanted[k] || (isnan(got[k]) && isnan(wanted[k])));
}

static void test_wfdb_samples__each_format__gives_physical_values(void **state)
{
    (void)state;
    /* 212, from signal(5): the low 8 bits, both high halves, the low 8 bits of the second */
    static const uint8_t packed[] = {0x34, 0x21, 0xfe, 0xff, 0x0f, 0x00, 0x00, 0x08};
    expect_samples("r 2 1 2\nr 212 2(1)\nr 212 1\n", packed, 6, 0, 2,
                   (const float[]){(0x134 - 1) / 2.0f, 0x2fe, (-1 - 1) / 2.0f, 0});
    expect_samples("r 1 1 5\nr 212 1\n", packed, 8, 0, 5,
                   (const float[]){0x134, 0x2fe, -1, 0, NAN}); /* -2048 is not measured */
    static const uint8_t words[] = {0x01, 0x00, 0xff, 0xff, 0x00, 0x80, 0x10, 0x27};
    expect_samples("r 2 1 2\nr 16 10\nr 16 1\n", words, 8, 0, 2,
                   (const float[]){0.1f, -1, NAN, 10000});
    static const uint8_t bytes[] = {128, 0, 255, 127};
    expect_samples("r 1 1 4\nr 80 1\n", bytes, 4, 0, 4, (const float[]){0, NAN, 127, -1});
    static const uint8_t steps[] = {1, 0xff, 5, 0x80};
    expect_samples("r 1 1 4\nr 8 1 8 0 10\n", steps, 4, 0, 4, (const float[]){11, 10, 15, -113});
    expect_samples("r 1 1 4\nr 8 1 8 0 10\n", steps, 4, 2, 3, (const float[]){15, -113, NAN});
    expect_samples("r 1 1 2\nr 16+2 1\n", words, 6, 0, 2, (const float[]){-1, NAN});
}

static void test_wfdb_samples__damage__is_named(void **state)
{
    (void)state;
    static const uint8_t words[] = {1, 0, 2, 0, 3, 0};
    static const struct {
        const char *header, *says;
        size_t n;
    } cases[] = {{"r 1 1 3\nr 16 1 16 0 1 6\n", NULL, 6},
                 {"r 1 1 3\nr 16 1 16 0 1 6\n", "6 behind an offset of 0", 5},
                 {"r 1 1 3\nr 16+2 1 16 0\n", "6 behind an offset of 2", 6},
                 {"r 1 1 3\nr 16+9 1 16 0\n", "behind an offset of 9", 6},
                 {"r 1 1 3\nr 16 1 16 0 2 6\n", "does not begin", 6},
                 {"r 1 1 3\nr 16 1 16 0 1 7\n", "checksum", 6}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct csl_wfdb_header h;
        struct csl_err err;
        float got[3];
        ASSERT_OK(header_of(&h, cases[i].header, &err), &err);
        enum csl_code code =
            csl_wfdb_samples(&h, 0, "d", CSL_SPAN(words, cases[i].n), 0, 3, got, 1, &err);
        ASSERT_CODE(code, cases[i].says == NULL ? CSL_OK : CSL_E_CORRUPT, &err);
        if (cases[i].says != NULL)
            ASSERT_SAYS(&err, cases[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wfdb_header__every_field__is_read),
        cmocka_unit_test(test_wfdb_header__mistakes__name_line_and_column),
        cmocka_unit_test(test_wfdb_samples__each_format__gives_physical_values),
        cmocka_unit_test(test_wfdb_samples__damage__is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
