/* What sites make of the released model, and sites that never train. */
#include "base/buf.h"
#include "protocol/study/study.h"
#include "tests/unit/study/study_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct csl_study *parse(const char *text)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};

    if (csl_study_parse(&s, "s.yaml", CSL_SPAN(text, strlen(text)), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}

/* The study of study_text.h with line `line` replaced. */
static struct csl_study *parse_with(unsigned line, const char *text)
{
    struct csl_buf b;

    csl_buf_init(&b, 65536);
    for (unsigned i = 1; i <= STUDY_LINES; i++)
        csl_buf_printf(&b, "%s\n", i == line ? text : study_lines[i - 1]);
    struct csl_study *s = parse(csl_buf_text(&b));
    csl_buf_release(&b);
    return s;
}

static void test_study__personalisation__is_read_with_its_defaults(void **state)
{
    struct csl_study *s = parse_with(26, "personalisation: {methods: [ditto, head], lambda: 2, "
                                         "training: {learning_rate: 0.5, batch_patients: 8, "
                                         "epochs: 3}}");

    (void)state;
    assert_false(s->baseline.enabled);
    assert_true(s->personal.is_on && s->personal.training.enabled);
    assert_false(s->personal.methods[CSL_PERSONAL_WHOLE]);
    assert_true(s->personal.methods[CSL_PERSONAL_HEAD] && s->personal.methods[CSL_PERSONAL_DITTO]);
    assert_true(s->personal.lambda == 2 && s->personal.training.learning_rate == 0.5);
    assert_int_equal(s->personal.training.optimizer, CSL_OPT_KIND_ADAM);
    assert_int_equal(s->personal.training.batch_patients, 8);
    assert_int_equal(s->personal.training.epochs, 3);
    csl_study_free(s);
    s = parse_with(26, "personalisation: {training: {learning_rate: 0.5, batch_patients: full, "
                       "epochs: 3}}");
    assert_true(s->personal.methods[CSL_PERSONAL_WHOLE] && s->personal.methods[CSL_PERSONAL_HEAD]);
    assert_false(s->personal.methods[CSL_PERSONAL_DITTO]);
    assert_true(s->personal.lambda == 0);
    csl_study_free(s);
}

static void test_study__external_sites__are_beside_those_that_train(void **state)
{
    struct csl_study *s = parse_with(30, "    - {id: b, synth: 4}\n"
                                         "  external:\n    - {id: c, synth: 5}");

    (void)state;
    assert_int_equal(s->sim_site_count, 2);
    assert_int_equal(s->external_site_count, 1);
    assert_string_equal(s->external_sites[0].id, "c");
    assert_int_equal(s->external_sites[0].synth_index, 5);
    csl_study_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_study__personalisation__is_read_with_its_defaults),
        cmocka_unit_test(test_study__external_sites__are_beside_those_that_train),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
