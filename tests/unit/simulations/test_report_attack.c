/* Simulated sites that attacked are said before any figure, on the page and in the table. */
#include "simulations/report_html.h"
#include "simulations/run_table.h"
#include "tests/unit/simulations/made_up.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define WORDS "backdoor, factor 5, share 0.5; the model gives 0.750 of"

static void make(struct csl_result *r, bool is_attacked)
{
    made_up_result(r, 3, 1, false);
    made_up_privacy(r, "joint", 0, false);
    if (is_attacked)
        r->sites[2].attack = (struct csl_result_attack){
            CSL_ATTACK_BACKDOOR, .factor = 5, .share = 0.5, .records = 8, .with_trigger = 6};
}

static void test_report_attack__page__says_it_first(void **state)
{
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    for (int is_on = 0; is_on < 2; is_on++) {
        make(&r, is_on != 0);
        csl_buf_init(&page, CSL_REPORT_BYTES_MAX);
        assert_int_equal(csl_report_html(&r, &page, NULL), CSL_OK);
        const char *said = strstr(csl_buf_text(&page), "attacked the model");
        assert_true((said != NULL) == (is_on != 0));
        if (said != NULL) {
            assert_non_null(strstr(said, WORDS));
            assert_true(said < strstr(csl_buf_text(&page), "id=\"privacy\""));
        }
        csl_buf_release(&page);
        csl_result_release(&r);
    }
}

static void test_report_attack__table__says_it_before_the_values(void **state)
{
    struct csl_result r;
    struct csl_buf table;
    (void)state;
    for (int is_on = 0; is_on < 2; is_on++) {
        make(&r, is_on != 0);
        csl_buf_init(&table, 1u << 20);
        csl_run_table(&r, &table);
        const char *said = strstr(csl_buf_text(&table), WORDS);
        assert_true((said != NULL) == (is_on != 0));
        if (said != NULL)
            assert_true(said < strstr(csl_buf_text(&table), "Value (95 % interval)"));
        csl_buf_release(&table);
        csl_result_release(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report_attack__page__says_it_first),
        cmocka_unit_test(test_report_attack__table__says_it_before_the_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
