/* What the page says of masks, and of what was summed under them. */
#include "simulations/report_html.h"
#include "tests/unit/simulations/made_up.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_report_masks__left_out__is_said_first(void **state)
{
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    for (int is_on = 0; is_on < 2; is_on++) {
        made_up_result(&r, 3, 1, false);
        made_up_privacy(&r, "joint", 0, false);
        r.has_plain_sums = is_on != 0;
        csl_buf_init(&page, CSL_REPORT_BYTES_MAX);
        assert_int_equal(csl_report_html(&r, &page, NULL), CSL_OK);
        const char *said = strstr(csl_buf_text(&page), "Masks were off");
        assert_true((said != NULL) == r.has_plain_sums);
        if (said != NULL)
            assert_true(said < strstr(csl_buf_text(&page), "id=\"privacy\""));
        csl_buf_release(&page);
        csl_result_release(&r);
    }
}

/* What is known by round under masks is a sum that no site reported. */
static void test_report_masks__evaluations__are_said_to_be_sums(void **state)
{
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    for (int is_on = 0; is_on < 2; is_on++) {
        made_up_result(&r, 3, 1, false);
        r.has_secure_aggregation = is_on != 0;
        csl_buf_init(&page, CSL_REPORT_BYTES_MAX);
        assert_int_equal(csl_report_html(&r, &page, NULL), CSL_OK);
        const char *text = csl_buf_text(&page);
        assert_true((strstr(text, "all sites together (sum under masks)") != NULL) == is_on);
        assert_true((strstr(text, "as the sites reported it") != NULL) != is_on);
        csl_buf_release(&page);
        csl_result_release(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report_masks__left_out__is_said_first),
        cmocka_unit_test(test_report_masks__evaluations__are_said_to_be_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
