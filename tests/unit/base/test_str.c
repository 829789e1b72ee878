/* Bounded strings, strict numbers, and texts for people. */
#include "base/clock.h"
#include "base/str.h"
#include "tests/unit/base/fixture.h"

#include <float.h>
#include <math.h>
#include <string.h>

static void test_str_copy__fits_or_not__is_terminated(void **state)
{
    (void)state;
    char out[4] = "zzz";
    assert_true(csl_str_copy(out, sizeof(out), "abc"));
    assert_string_equal(out, "abc");
    assert_false(csl_str_copy(out, sizeof(out), "abcd"));
    assert_string_equal(out, "");
    assert_false(csl_str_copy(out, 0, ""));
}

static void test_id_valid__table(void **state)
{
    (void)state;
    static const char *const right[] = {
        "a",
        "0",
        "cleveland",
        "site-1",
        "a.b_c-d",
        "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff123"}; /* 63 bytes */
    static const char *const wrong[] = {
        "",
        "A",
        "-a",
        ".",
        "..",
        "_x",
        "a b",
        "a/b",
        "a\n",
        "\xc3\xa9",
        "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff1234"};
    for (size_t i = 0; i < COUNT_OF(right); i++)
        assert_true(csl_id_valid(right[i]));
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_false(csl_id_valid(wrong[i]));
}

static void test_parse_u64__table(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "-1",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "0x1",
                                        "1.0",
                                        "1e3",
                                        "a",
                                        "18446744073709551616",
                                        "99999999999999999999999"};
    uint64_t v = 5;
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_false(csl_parse_u64(wrong[i], &v));
    assert_true(v == 5);
    assert_true(csl_parse_u64("18446744073709551615", &v) && v == UINT64_MAX);
    assert_true(csl_parse_u64("0", &v) && v == 0);
    assert_true(csl_parse_u64("007", &v) && v == 7);
}

static void test_parse_i64__table(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", "-", "--1", "+1", "- 1", "9223372036854775808", "-9223372036854775809"};
    int64_t v = 5;
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_false(csl_parse_i64(wrong[i], &v));
    assert_true(v == 5);
    assert_true(csl_parse_i64("9223372036854775807", &v) && v == INT64_MAX);
    assert_true(csl_parse_i64("-9223372036854775808", &v) && v == INT64_MIN);
    assert_true(csl_parse_i64("-0", &v) && v == 0);
    assert_true(csl_parse_i64("-12", &v) && v == -12);
}

static void test_parse_f64__table(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",      ".",   "-",   "e1",   "1e",  "1e+",
                                        "1.5.2", "nan", "inf", "-inf", "0x1", "1e999",
                                        " 1",    "1 ",  "1,5", "--1",  "1f",  "infinity"};
    static const struct {
        const char *text;
        double v;
    } right[] = {{"0", 0},     {"-1.5", -1.5},  {".5", 0.5},   {"5.", 5},
                 {"+2", 2},    {"1e-3", 0.001}, {"1E+2", 100}, {"1e-999", 0},
                 {"0.1", 0.1}, {"010", 10},     {"-0", -0.0},  {"1e308", 1e308}};
    double v = 7;
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_false(csl_parse_f64(wrong[i], &v));
    assert_true(memcmp(&v, &(double){7}, sizeof(v)) == 0);
    for (size_t i = 0; i < COUNT_OF(right); i++) {
        assert_true(csl_parse_f64(right[i].text, &v));
        assert_memory_equal(&v, &right[i].v, sizeof(v));
    }
}

static void test_str_f64__any_double__reads_back_the_same(void **state)
{
    (void)state;
    static const double values[] = {
        0, -0.0, 1, 0.1, 1.0 / 3, 1e21, 123456789012345680.0, DBL_MAX, DBL_MIN, 5e-324, -2.5e-7};
    char text[32];
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        double back;
        csl_str_f64(text, sizeof(text), values[i]);
        assert_true(csl_parse_f64(text, &back));
        assert_memory_equal(&back, &values[i], sizeof(back));
    }
    csl_str_f64(text, sizeof(text), 0.1);
    assert_string_equal(text, "0.1");
    csl_str_f64(text, sizeof(text), 1000000);
    assert_string_equal(text, "1000000");
}

static void test_str_escape__table(void **state)
{
    (void)state;
    static const struct {
        const char *src;
        size_t dst_bytes;
        const char *expected;
    } rows[] = {
        {"plain text", 32, "plain text"},
        {"a\"b'c\\d", 32, "a\\x22b\\x27c\\x5cd"},
        {"\n\t\x7f\xc3\xa9", 32, "\\x0a\\x09\\x7f\\xc3\\xa9"},
        {"1234567", 8, "1234567"},
        {"12345678", 8, "1234..."},
        {"\n\n", 8, "\\x0a..."},
        {"123\n", 8, "123\\x0a"},
        {"1234\n", 8, "1234..."},
        {"abcd", 4, "..."},
        {"abcd", 3, ".."},
        {"abcd", 1, ""},
        {"", 1, ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char dst[33];
        memset(dst, 'Z', sizeof(dst));
        csl_str_escape(dst, rows[i].dst_bytes, rows[i].src, strlen(rows[i].src));
        assert_string_equal(dst, rows[i].expected);
        assert_int_equal(dst[rows[i].dst_bytes], 'Z');
    }
}

/* Every text, at every size of the destination: terminated, inside, and pure printable ASCII. */
static void test_str_escape__any_size__stays_inside(void **state)
{
    (void)state;
    char src[12], dst[40];
    for (size_t i = 0; i < sizeof(src); i++)
        src[i] = (char)(i * 23);
    for (size_t bytes = 1; bytes < sizeof(dst); bytes++) {
        memset(dst, 'Z', sizeof(dst));
        csl_str_escape(dst, bytes, src, sizeof(src));
        size_t n = strnlen(dst, bytes);
        assert_true(n < bytes);
        for (size_t i = 0; i < n; i++)
            assert_true(dst[i] >= 0x20 && dst[i] < 0x7f);
        for (size_t i = bytes; i < sizeof(dst); i++)
            assert_int_equal(dst[i], 'Z');
    }
}

static void test_utf8_next__table(void **state)
{
    (void)state;
    static const struct {
        const char *p;
        size_t length;
    } rows[] = {
        {"a", 1},
        {"\x7f", 1},
        {"\xc2\x80", 2},
        {"\xe2\x82\xac", 3},
        {"\xf0\x9f\x98\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\x80", 0},     /* a continuation alone */
        {"\xc0\x80", 0}, /* over-long */
        {"\xc1\xbf", 0},
        {"\xe0\x9f\xbf", 0},     /* over-long */
        {"\xf0\x8f\xbf\xbf", 0}, /* over-long */
        {"\xed\xa0\x80", 0},     /* a surrogate */
        {"\xf4\x90\x80\x80", 0}, /* beyond 10FFFF */
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
        {"\xe2\x82", 0}, /* cut */
        {"\xe2(\xa1", 0},
    };
    assert_int_equal(csl_utf8_next("", 0), 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(csl_utf8_next(rows[i].p, strlen(rows[i].p)), rows[i].length);
}

static void test_str_bytes__table(void **state)
{
    (void)state;
    static const struct {
        uint64_t v;
        const char *text;
    } rows[] = {{0, "0 B"},
                {999, "999 B"},
                {1000, "1.0 kB"},
                {1500000, "1.5 MB"},
                {99949, "99.9 kB"},
                {99960, "100 kB"},
                {999499, "999 kB"},
                {999999, "1.0 MB"},
                {512000000000, "512 GB"},
                {UINT64_MAX, "18.4 EB"}};
    char out[32];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        csl_str_bytes(out, sizeof(out), rows[i].v);
        assert_string_equal(out, rows[i].text);
    }
}

static void test_str_duration__table(void **state)
{
    (void)state;
    static const struct {
        uint64_t ms;
        const char *text;
    } rows[] = {{0, "0 us"},           {350, "350 ms"},      {2500, "2.5 s"},
                {59999, "59.9 s"},     {200000, "3 m 20 s"}, {7500000, "2 h 5 m"},
                {273600000, "3 d 4 h"}};
    char out[32];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        csl_str_duration(out, sizeof(out), rows[i].ms * CSL_NS_PER_MS);
        assert_string_equal(out, rows[i].text);
    }
    csl_str_duration(out, sizeof(out), UINT64_MAX);
    assert_string_equal(out, "213503 d 23 h");
}

static void test_str_plural__only_one_is_singular(void **state)
{
    (void)state;
    assert_string_equal(csl_str_plural(0), "s");
    assert_string_equal(csl_str_plural(1), "");
    assert_string_equal(csl_str_plural(2), "s");
    assert_string_equal(csl_str_plural(UINT64_MAX), "s");
}

static void test_clock__read_twice__does_not_go_back(void **state)
{
    (void)state;
    uint64_t a = csl_clock_monotonic_ns(), cpu = csl_clock_cpu_ns();
    csl_clock_sleep_ms(1);
    assert_true(csl_clock_monotonic_ns() - a >= CSL_NS_PER_MS);
    assert_true(csl_clock_cpu_ns() >= cpu);
    assert_true(csl_clock_unix_ms() > UINT64_C(1600000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_str_copy__fits_or_not__is_terminated),
        cmocka_unit_test(test_id_valid__table),
        cmocka_unit_test(test_parse_u64__table),
        cmocka_unit_test(test_parse_i64__table),
        cmocka_unit_test(test_parse_f64__table),
        cmocka_unit_test(test_str_f64__any_double__reads_back_the_same),
        cmocka_unit_test(test_str_escape__table),
        cmocka_unit_test(test_str_escape__any_size__stays_inside),
        cmocka_unit_test(test_utf8_next__table),
        cmocka_unit_test(test_str_bytes__table),
        cmocka_unit_test(test_str_duration__table),
        cmocka_unit_test(test_str_plural__only_one_is_singular),
        cmocka_unit_test(test_clock__read_twice__does_not_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
