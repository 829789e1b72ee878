/* Rounds that were not applied are on the page, and on it again when it is drawn from the files. */
#include "simulations/report_html.h"
#include "tests/unit/simulations/made_up.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void add(struct csl_result *r, uint64_t round, const char *metric, double value)
{
    struct csl_result_row row = {.round = round, .value = value};
    snprintf(row.scope, sizeof(row.scope), "%s", CSL_RESULT_REJECTED);
    snprintf(row.domain, sizeof(row.domain), "heart");
    snprintf(row.metric, sizeof(row.metric), "%s", metric);
    assert_int_equal(csl_result_add_row(r, &row, NULL), CSL_OK);
}

static void assert_shown(const struct csl_result *r)
{
    struct csl_buf page;
    csl_buf_init(&page, CSL_REPORT_BYTES_MAX);
    assert_int_equal(csl_report_html(r, &page, NULL), CSL_OK);
    const char *section = strstr(csl_buf_text(&page), "id=\"rejected\"");
    assert_non_null(section);
    assert_non_null(strstr(section, "9</th><td>heart</td><td class=\"num\">3.25</td>"
                                    "<td class=\"num\">0.5</td></tr>"));
    assert_non_null(strstr(section, "11</th><td>heart</td><td class=\"num\">no number</td>"
                                    "<td class=\"num\">none</td></tr>"));
    csl_buf_release(&page);
}

/* With the block, and without what is no number. */
static void assert_in_summary(const struct csl_result *r)
{
    struct csl_buf text;
    struct csl_json_doc *doc = NULL;
    double norm = 0, limit = 0;
    csl_buf_init(&text, CSL_SUMMARY_BYTES_MAX);
    assert_int_equal(csl_result_write_json(r, &text, NULL), CSL_OK);
    assert_int_equal(csl_json_parse(&doc, "summary.json", CSL_SPAN(text.p, text.n), NULL), CSL_OK);
    const struct csl_json_value *all = csl_json_get(csl_json_root(doc), "rejected_rounds");
    assert_int_equal(csl_json_count(all), 2);
    const struct csl_json_value *first = csl_json_at(all, 0), *second = csl_json_at(all, 1);
    assert_true(csl_json_as_f64(csl_json_get(first, "norm"), &norm) && norm == 3.25);
    assert_true(csl_json_as_f64(csl_json_get(first, "limit"), &limit) && limit == 0.5);
    assert_int_equal(csl_json_count(second), 2);
    csl_json_free(doc);
    csl_buf_release(&text);
}

static void test_report_rejected__voted_down__votes_in_a_table_of_their_own(void **state)
{
    struct csl_result r, again;
    struct csl_buf csv, page;
    (void)state;
    made_up_result(&r, 3, 1, false);
    add(&r, 9, "rejected", 1);
    add(&r, 9, "norm", 3.25);
    add(&r, 9, "limit", 0.5);
    for (uint32_t i = 0; i < 3; i++) {
        struct csl_result_row row = {.round = 12, .scope = CSL_RESULT_REJECTED};
        snprintf(row.metric, sizeof(row.metric), "%s",
                 i == 0   ? "rejected"
                 : i == 1 ? "worse"
                          : "voters");
        row.value = (double[]){1, 5, 7}[i];
        assert_int_equal(csl_result_add_row(&r, &row, NULL), CSL_OK);
    }
    csl_buf_init(&csv, 1u << 20);
    csl_result_write_csv(&r, &csv);
    made_up_result(&again, 3, 1, false);
    again.row_count = 0;
    assert_int_equal(csl_result_read_csv(&again, "metrics.csv", CSL_SPAN(csv.p, csv.n), NULL),
                     CSL_OK);
    csl_buf_init(&page, CSL_REPORT_BYTES_MAX);
    assert_int_equal(csl_report_html(&again, &page, NULL), CSL_OK);
    const char *section = strstr(csl_buf_text(&page), "id=\"rejected\"");
    assert_non_null(section);
    const char *norms = strstr(section, "9</th><td>heart</td><td class=\"num\">3.25</td>");
    const char *votes = strstr(section, "12</th><td class=\"num\">5</td><td class=\"num\">7</td>");
    assert_true(norms != NULL && votes != NULL && norms < votes);
    assert_null(strstr(norms + 1, "9</th><td>heart"));
    page.n = 0;
    assert_int_equal(csl_result_write_json(&again, &page, NULL), CSL_OK);
    const char *rounds = strstr(csl_buf_text(&page), "rejected_rounds");
    assert_non_null(rounds);
    assert_true(strstr(rounds, "worse") != NULL && strstr(rounds, "voters") != NULL);
    csl_buf_release(&page);
    csl_buf_release(&csv);
    csl_result_release(&r);
    csl_result_release(&again);
}

static void test_report_rejected__two_rounds__norm_and_limit_of_each(void **state)
{
    struct csl_result r, again;
    struct csl_buf csv;
    (void)state;
    made_up_result(&r, 3, 1, false);
    add(&r, 9, "rejected", 1);
    add(&r, 9, "norm", 3.25);
    add(&r, 9, "limit", 0.5);
    add(&r, 11, "rejected", 1); /* of something that is no number */
    assert_shown(&r);
    assert_in_summary(&r);
    csl_buf_init(&csv, 1u << 20);
    csl_result_write_csv(&r, &csv);
    made_up_result(&again, 3, 1, false);
    again.row_count = 0;
    assert_int_equal(csl_result_read_csv(&again, "metrics.csv", CSL_SPAN(csv.p, csv.n), NULL),
                     CSL_OK);
    assert_shown(&again);
    csl_buf_release(&csv);
    csl_result_release(&r);
    csl_result_release(&again);
}

static void test_report_rejected__all_applied__no_section(void **state)
{
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 3, 1, false);
    csl_buf_init(&page, CSL_REPORT_BYTES_MAX);
    assert_int_equal(csl_report_html(&r, &page, NULL), CSL_OK);
    assert_null(strstr(csl_buf_text(&page), "id=\"rejected\""));
    page.n = 0;
    assert_int_equal(csl_result_write_json(&r, &page, NULL), CSL_OK);
    assert_null(strstr(csl_buf_text(&page), "rejected_rounds"));
    csl_buf_release(&page);
    csl_result_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report_rejected__two_rounds__norm_and_limit_of_each),
        cmocka_unit_test(test_report_rejected__voted_down__votes_in_a_table_of_their_own),
        cmocka_unit_test(test_report_rejected__all_applied__no_section),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
