/* Weights of domains: in summary.json, back from it, and on the page. */
#include "base/buf.h"
#include "base/str.h"
#include "simulations/report_html.h"
#include "tests/unit/simulations/made_up.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void add(struct csl_result *r, uint64_t round, uint32_t domain, const char *metric,
                double value)
{
    struct csl_err err;
    struct csl_result_row row = {.round = round, .value = value};
    csl_str_copy(row.scope, sizeof(row.scope), CSL_RESULT_WEIGHTS);
    csl_str_copy(row.domain, sizeof(row.domain), r->domains[domain].id);
    csl_str_copy(row.metric, sizeof(row.metric), metric);
    assert_int_equal(csl_result_add_row(r, &row, &err), CSL_OK);
}

static void weighted(struct csl_result *r, double cap)
{
    made_up_result(r, 3, 2, false);
    r->fairness.asked.domains = (struct csl_study_domain_weights){
        .kind = CSL_DOMAIN_WEIGHTS_DOMAIN, .alpha = 0.5, .beta = 1, .cap = cap, .every = 5};
    for (uint64_t round = 0; round <= 10; round += 5) {
        add(r, round, 0, "weight", 1 - 0.03125 * (double)round);
        add(r, round, 1, "weight", 1 + 0.03125 * (double)round);
        add(r, round, 1, "patients", 321);
    }
    add(r, 10, 0, "skill", 0.625);
}

static void write(const struct csl_result *r, bool is_page, struct csl_buf *out)
{
    struct csl_err err = {.code = CSL_OK};
    csl_buf_init(out, (size_t)16 * 1024 * 1024);
    enum csl_code code =
        is_page ? csl_report_html(r, out, &err) : csl_result_write_json(r, out, &err);
    if (code != CSL_OK)
        fail_msg("%s", err.msg);
}

static void test_report_weights__json__has_every_table_and_is_read_back(void **state)
{
    struct csl_result r, back;
    struct csl_buf out;
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    weighted(&r, 2);
    write(&r, false, &out);
    const char *text = csl_buf_text(&out);
    assert_non_null(strstr(text, "\"domain_weights\""));
    assert_non_null(strstr(text, "\"weight\": 0.6875"));
    assert_non_null(strstr(text, "\"weight\": 1.3125"));
    assert_non_null(strstr(text, "\"skill\": 0.625"));
    if (csl_result_read_json(&back, "summary.json", CSL_SPAN(out.p, out.n), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(back.fairness.asked.domains.kind, CSL_DOMAIN_WEIGHTS_DOMAIN);
    assert_true(back.fairness.asked.domains.cap == 2);
    assert_int_equal(back.fairness.asked.domains.every, 5);
    csl_result_release(&back);
    csl_buf_release(&out);
    csl_result_release(&r);
}

static void test_report_weights__page__has_a_chart_and_a_table(void **state)
{
    struct csl_result r;
    struct csl_buf out;
    (void)state;
    weighted(&r, 2);
    write(&r, true, &out);
    const char *section = strstr(csl_buf_text(&out), "<section id=\"weights\"");
    assert_non_null(section);
    assert_non_null(strstr(section, "Weight of each domain"));
    assert_non_null(strstr(section, "<b>0.688</b><span class=\"r\">skill 0.625</span>"));
    assert_non_null(strstr(section, "321 patients"));
    assert_non_null(strstr(section, "no weight above 2 or below 1/2"));
    csl_buf_release(&out);
    csl_result_release(&r);
}

static void test_report_weights__without_a_bound__warns(void **state)
{
    struct csl_result r;
    struct csl_buf out;
    (void)state;
    weighted(&r, HUGE_VAL);
    write(&r, true, &out);
    assert_non_null(strstr(csl_buf_text(&out), "<strong>without a bound</strong>"));
    csl_buf_release(&out);
    csl_result_release(&r);
}

static void test_report_weights__study_without_them__says_nothing(void **state)
{
    struct csl_result r;
    struct csl_buf page, json;
    (void)state;
    made_up_result(&r, 3, 2, false);
    write(&r, true, &page);
    write(&r, false, &json);
    assert_null(strstr(csl_buf_text(&page), "id=\"weights\""));
    assert_null(strstr(csl_buf_text(&json), "domain_weights"));
    csl_buf_release(&page);
    csl_buf_release(&json);
    csl_result_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report_weights__json__has_every_table_and_is_read_back),
        cmocka_unit_test(test_report_weights__page__has_a_chart_and_a_table),
        cmocka_unit_test(test_report_weights__without_a_bound__warns),
        cmocka_unit_test(test_report_weights__study_without_them__says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
