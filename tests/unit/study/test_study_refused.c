/* What a study may not say. Each row replaces one line (or, with until, several) of a valid study;
 * the error must begin with exactly this text: file, line, column, key, what was found. */
#include "base/buf.h"
#include "protocol/study/study.h"
#include "tests/unit/study/refused_more.h"
#include "tests/unit/study/study_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static enum csl_code parse_changed(const struct row *row, struct csl_err *err)
{
    struct csl_study *s = NULL;
    struct csl_buf b;

    csl_buf_init(&b, 65536);
    for (unsigned i = 1; i <= STUDY_LINES; i++) {
        unsigned until = row->until ? row->until : row->line;
        if (i < row->line || i > until)
            csl_buf_printf(&b, "%s\n", study_lines[i - 1]);
        else if (i == row->line && row->text[0])
            csl_buf_printf(&b, "%s\n", row->text);
    }
    enum csl_code code = csl_study_parse(&s, "s.yaml", CSL_SPAN(b.p, b.n), err);
    csl_buf_release(&b);
    csl_study_free(s);
    return code;
}

static unsigned count_wrong(const struct row *list, size_t count)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < count; i++) {
        struct csl_err err = {0};
        enum csl_code code = parse_changed(&list[i], &err);
        if (code == CSL_E_INVAL && strncmp(err.msg, list[i].error, strlen(list[i].error)) == 0)
            continue;
        print_error("row %zu: %s\n  expected: %s\n  found:    %s\n", i, list[i].text, list[i].error,
                    code == CSL_OK ? "accepted" : err.msg);
        wrong++;
    }
    return wrong;
}

static void test_study_refused__each_mistake__names_its_place(void **state)
{
    (void)state;
    assert_int_equal(count_wrong(rows, sizeof(rows) / sizeof(rows[0])), 0);
    assert_int_equal(count_wrong(more_rows, sizeof(more_rows) / sizeof(more_rows[0])), 0);
}

static void test_study_refused__too_many_bytes__is_a_limit(void **state)
{
    struct csl_study *s = NULL;
    struct csl_buf b;

    (void)state;
    csl_buf_init(&b, 1 << 20);
    while (b.n <= CSL_MANIFEST_BYTES_MAX)
        csl_buf_str(&b, "# a comment that goes on and on\n");
    assert_int_equal(csl_study_parse(&s, "s.yaml", CSL_SPAN(b.p, b.n), NULL), CSL_E_LIMIT);
    csl_buf_release(&b);
}

static void test_study_refused__file_absent__is_not_found(void **state)
{
    struct csl_study *s = NULL;

    (void)state;
    assert_int_equal(csl_study_read(&s, "/nonexistent/s.yaml", NULL), CSL_E_NOTFOUND);
    assert_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_study_refused__each_mistake__names_its_place),
        cmocka_unit_test(test_study_refused__too_many_bytes__is_a_limit),
        cmocka_unit_test(test_study_refused__file_absent__is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
