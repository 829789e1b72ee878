/* The page: self-contained, well-formed, escaped, and saying what must be said. */
#include "base/str.h"
#include "simulations/report_html.h"
#include "tests/unit/simulations/made_up.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct csl_err err;

static void draw(const struct csl_result *r, struct csl_buf *page)
{
    csl_buf_init(page, CSL_REPORT_BYTES_MAX);
    if (csl_report_html(r, page, &err) != CSL_OK)
        fail_msg("%s", err.msg);
}

static bool is_void(const char *name)
{
    return strcmp(name, "meta") == 0 || strcmp(name, "br") == 0 || strcmp(name, "!DOCTYPE") == 0;
}

/* Every element is closed, in order; returns how many elements there were. */
static size_t check_nesting(const char *page)
{
    char stack[64][16], name[16];
    size_t depth = 0, count = 0;
    for (const char *p = strchr(page, '<'); p != NULL; p = strchr(p + 1, '<')) {
        bool is_end = p[1] == '/';
        const char *from = p + 1 + is_end, *end = strchr(p, '>');
        size_t n = strcspn(from, " >/\n");
        assert_non_null(end);
        assert_true(n > 0 && n < sizeof(name));
        memcpy(name, from, n);
        name[n] = 0;
        count++;
        if (is_end) {
            if (depth == 0 || strcmp(stack[depth - 1], name) != 0)
                fail_msg("</%s> closes <%s>", name, depth > 0 ? stack[depth - 1] : "nothing");
            depth--;
        } else if (!is_void(name) && end[-1] != '/') {
            assert_true(depth < 64);
            memcpy(stack[depth++], name, sizeof(name));
        }
    }
    assert_int_equal(depth, 0);
    return count;
}

static void test_page__of_one_domain__is_well_formed_and_complete(void **state)
{
    static const char *const wanted[] = {
        "This run had no differential privacy and no secure aggregation.",
        "Does this patient have coronary heart disease?",
        "Best local model (cleveland)",
        "optimistic",
        "its training patients all have the same label",
        "Repeated with 5 seeds (42 to 46)",
        "What was not measured",
        "Calibration.",
        "scope=\"col\"",
        "scope=\"row\"",
        "class=\"skip\"",
        "prefers-color-scheme:dark",
        "@media print",
        "age_band",
        "test patients are all of one kind",
    };
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 4, 1, true);
    draw(&r, &page);
    assert_true(check_nesting(csl_buf_text(&page)) > 300);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (strstr(csl_buf_text(&page), wanted[i]) == NULL)
            fail_msg("the page lacks '%s'", wanted[i]);
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_page__few_of_a_class__row_says_what_it_rests_on(void **state)
{
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 4, 1, true);
    r.federated.cells[0].examples = 16;
    r.federated.cells[0].positives = 15;
    r.federated.cells[1].examples = 30;
    r.federated.cells[1].positives = 4;
    r.federated.cells[2].examples = r.federated.cells[3].examples = 20;
    r.federated.cells[2].positives = r.federated.cells[3].positives = 5;
    draw(&r, &page);
    (void)check_nesting(csl_buf_text(&page));
    assert_non_null(strstr(csl_buf_text(&page), ">rests on 1 negative<"));
    assert_non_null(strstr(csl_buf_text(&page), ">rests on 4 positives<"));
    assert_null(strstr(csl_buf_text(&page), "rests on 5"));
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_page__one_line_in_a_chart__is_one_line(void **state)
{
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 4, 1, true);
    draw(&r, &page);
    assert_non_null(strstr(csl_buf_text(&page), "1 line over rounds"));
    assert_null(strstr(csl_buf_text(&page), ">1 lines"));
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_page__of_three_domains__has_a_table_of_domains_and_sites(void **state)
{
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 8, 3, false);
    draw(&r, &page);
    (void)check_nesting(csl_buf_text(&page));
    assert_non_null(strstr(csl_buf_text(&page), "class=\"heat\""));
    assert_non_null(strstr(csl_buf_text(&page), "Domain survival-table"));
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_page__any__loads_nothing_and_runs_nothing(void **state)
{
    static const char *const unwanted[] = {"http://", "https://", "src=",   "<script",
                                           "@import", "url(",     "<link ", "onclick"};
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 8, 3, true);
    draw(&r, &page);
    for (size_t i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++)
        if (strstr(csl_buf_text(&page), unwanted[i]) != NULL)
            fail_msg("the page has '%s'", unwanted[i]);
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_page__hostile_texts__are_escaped_everywhere(void **state)
{
    static const char evil[] = "<b>\"'&\x01\xff";
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 4, 1, true);
    assert_true(csl_str_copy(r.study, sizeof(r.study), evil));
    assert_true(csl_str_copy(r.question, sizeof(r.question), evil));
    assert_true(csl_str_copy(r.strategy, sizeof(r.strategy), evil));
    assert_true(csl_str_copy(r.backend, sizeof(r.backend), evil));
    assert_true(csl_str_copy(r.transport, sizeof(r.transport), evil));
    assert_true(csl_str_copy(r.version, sizeof(r.version), evil));
    assert_true(csl_str_copy(r.domains[0].id, CSL_ID_MAX, evil));
    assert_true(csl_str_copy(r.domains[0].label, CSL_ID_MAX, evil));
    assert_true(csl_str_copy(r.domains[0].positive, CSL_ID_MAX, evil));
    assert_true(csl_str_copy(r.groups[0].attribute, CSL_ID_MAX, evil));
    assert_true(csl_str_copy(r.groups[0].value, 32, evil));
    assert_true(csl_str_copy(r.baselines.locals[3].reason, 160, evil));
    for (uint32_t s = 0; s < r.site_count; s++)
        assert_true(csl_str_copy(r.sites[s].id, CSL_ID_MAX, evil));
    draw(&r, &page);
    assert_null(strstr(csl_buf_text(&page), "<b>\""));
    assert_null(strstr(csl_buf_text(&page), "\xff"));
    assert_null(strchr(csl_buf_text(&page), 0x01));
    assert_non_null(strstr(csl_buf_text(&page), "&lt;b&gt;&quot;&#39;&amp;&#xfffd;&#xfffd;"));
    (void)check_nesting(csl_buf_text(&page));
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_page__nothing_measured__still_draws(void **state)
{
    struct csl_result r = {0};
    struct csl_buf page;
    (void)state;
    assert_int_equal(csl_result_init(&r, 2, 2, &err), CSL_OK);
    assert_true(csl_str_copy(r.privacy, sizeof(r.privacy), "none"));
    r.was_interrupted = true;
    draw(&r, &page);
    (void)check_nesting(csl_buf_text(&page));
    assert_non_null(strstr(csl_buf_text(&page), "interrupted"));
    assert_null(strstr(csl_buf_text(&page), "nan"));
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_page__of_a_result_read_back__is_the_same_page(void **state)
{
    struct csl_result r, read;
    struct csl_buf json, csv, a, b;
    (void)state;
    made_up_result(&r, 8, 3, true);
    csl_buf_init(&json, CSL_SUMMARY_BYTES_MAX);
    csl_buf_init(&csv, CSL_SUMMARY_BYTES_MAX);
    assert_int_equal(csl_result_write_json(&r, &json, &err), CSL_OK);
    csl_result_write_csv(&r, &csv);
    assert_int_equal(csl_result_read_json(&read, "j", CSL_SPAN(json.p, json.n), &err), CSL_OK);
    assert_int_equal(csl_result_read_csv(&read, "c", CSL_SPAN(csv.p, csv.n), &err), CSL_OK);
    draw(&r, &a);
    draw(&read, &b);
    assert_string_equal(csl_buf_text(&a), csl_buf_text(&b));
    csl_buf_release(&json);
    csl_buf_release(&csv);
    csl_buf_release(&a);
    csl_buf_release(&b);
    csl_result_release(&r);
    csl_result_release(&read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page__of_one_domain__is_well_formed_and_complete),
        cmocka_unit_test(test_page__few_of_a_class__row_says_what_it_rests_on),
        cmocka_unit_test(test_page__one_line_in_a_chart__is_one_line),
        cmocka_unit_test(test_page__of_three_domains__has_a_table_of_domains_and_sites),
        cmocka_unit_test(test_page__any__loads_nothing_and_runs_nothing),
        cmocka_unit_test(test_page__hostile_texts__are_escaped_everywhere),
        cmocka_unit_test(test_page__nothing_measured__still_draws),
        cmocka_unit_test(test_page__of_a_result_read_back__is_the_same_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
