/* The page: self-contained, well-formed, escaped, and saying what must be said. */
#include "base/str.h"
#include "simulations/report_html.h"
#include "simulations/run_table.h"
#include "tests/unit/simulations/made_up.h"

#include <ctype.h>
#include <math.h>
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

static void assert_has(const struct csl_buf *page, const char *const *wanted)
{
    for (size_t i = 0; wanted[i] != NULL; i++)
        if (strstr(csl_buf_text(page), wanted[i]) == NULL)
            fail_msg("the page lacks '%s'", wanted[i]);
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
        NULL,
    };
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 4, 1, true);
    draw(&r, &page);
    assert_true(check_nesting(csl_buf_text(&page)) > 300);
    assert_has(&page, wanted);
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_page__of_a_private_run__says_what_was_spent_and_by_whom(void **state)
{
    static const char *const wanted[] = {
        "This run rehearsed differential privacy (mode local) and had no secure aggregation.",
        "Noise of this simulation comes from its seed and protects nobody",
        "all records of one patient at one hospital; add or remove.",
        "Patients known to two hospitals</strong> pay at both: at most the sum",
        "cleveland: epsilon 1.000 spent of a budget of 1, 100 percent",
        "class=\"ci budget\"",
        ">2.86</td>",
        "no ledger: the site never accepted the study",
        "1 of 4 sites kept no ledger",
        "Federation (largest of the sites)",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "the sites keep their training losses and evaluations",
        "no audit was asked for",
        "trained without noise",
        "href=\"#privacy\"",
        NULL};
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 4, 1, false);
    made_up_privacy(&r, "local", 0, false);
    draw(&r, &page);
    (void)check_nesting(csl_buf_text(&page));
    assert_has(&page, wanted);
    assert_null(strstr(csl_buf_text(&page), "not verified"));
    assert_null(strstr(csl_buf_text(&page), "No privacy budget was spent"));
    assert_null(strstr(csl_buf_text(&page), "Price of privacy"));
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_page__of_mode_site__names_the_hospital_as_the_unit(void **state)
{
    static const char *const wanted[] = {"Mode site protects each hospital as a whole",
                                         "all records of one hospital; add or remove.", NULL};
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 4, 1, false);
    made_up_privacy(&r, "site", 0, false);
    draw(&r, &page);
    assert_has(&page, wanted);
    assert_null(strstr(csl_buf_text(&page), "Patients known to two hospitals"));
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_page_and_table__of_mode_joint__say_what_the_sums_cost(void **state)
{
    static const char *const wanted[] = {
        "<th scope=\"row\">The coordinator alone</th><td class=\"num\">0.852</td>"
        "<td class=\"num\">7 to 8</td>",
        "The coordinator with 1 colluding site</th><td class=\"num\">0.918</td>"
        "<td class=\"num\">6 to 7</td>",
        "As planned, and charged</th><td class=\"num\">1.000</td><td class=\"num\">5</td>",
        CSL_REALISED_WORDS,
        "<th scope=\"row\" class=\"num\">15</th><td class=\"num\">0.150</td>"
        "<td class=\"num\">0.151</td><td class=\"num\">0.152</td></tr>",
        NULL};
    static const char *const lines[] = {
        "against the coordinator             0.852         7 to 8\n",
        "and 1 colluding site                0.918         6 to 7\n",
        "as planned, and charged             1.000         5\n", NULL};
    struct csl_result r;
    struct csl_buf page, table;
    (void)state;
    made_up_result(&r, 4, 1, false);
    made_up_privacy(&r, "joint", 0, false);
    draw(&r, &page);
    assert_null(strstr(csl_buf_text(&page), "The coordinator alone")); /* not known */
    csl_buf_release(&page);
    made_up_realised(&r);
    draw(&r, &page);
    (void)check_nesting(csl_buf_text(&page));
    assert_has(&page, wanted);
    csl_buf_init(&table, CSL_REPORT_BYTES_MAX);
    csl_run_table(&r, &table);
    assert_has(&table, lines);
    csl_buf_release(&table);
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_page__of_an_audit__has_lower_beside_upper_bound(void **state)
{
    static const char *const wanted[] = {
        "A lower bound far below the upper one is normal",
        "<td class=\"num\">0.130</td><td class=\"num\">0.928</td><td class=\"num\">100</td>"
        "<td class=\"num\">29 of 50</td><td class=\"num\">95 %</td>",
        "class=\"mark\"", NULL};
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 4, 1, false);
    made_up_privacy(&r, "local", 100, false);
    draw(&r, &page);
    (void)check_nesting(csl_buf_text(&page));
    assert_has(&page, wanted);
    assert_null(strstr(csl_buf_text(&page), "the promise was broken"));
    csl_buf_release(&page);
    r.sites[1].privacy.audit_epsilon_lower = 0.94;
    draw(&r, &page);
    assert_non_null(strstr(csl_buf_text(&page), "promise was broken"));
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_page__ledger_that_did_not_verify__warns_on_top_and_in_its_row(void **state)
{
    static const char *const wanted[] = {"Not every ledger verified. <a href=\"#privacy\">",
                                         "<strong class=\"bad\">not verified</strong>",
                                         "What such a site spent is its word alone.", NULL};
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 4, 1, false);
    made_up_privacy(&r, "local", 0, false);
    r.sites[2].privacy.is_verified = false;
    draw(&r, &page);
    assert_has(&page, wanted);
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_page__more_spent_than_allowed_or_no_bound__is_drawn_as_such(void **state)
{
    static const char *const wanted[] = {"class=\"over\"", "150 % of budget", "no bound", NULL};
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 4, 1, false);
    made_up_privacy(&r, "local", 0, false);
    r.sites[0].privacy.epsilon = 1.5;
    r.sites[1].privacy.epsilon = HUGE_VAL;
    draw(&r, &page);
    (void)check_nesting(csl_buf_text(&page));
    assert_has(&page, wanted);
    assert_null(strstr(csl_buf_text(&page), "inf<"));
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_page__of_a_sweep__draws_quality_by_epsilon(void **state)
{
    static const char *const wanted[] = {"Price of privacy",
                                         "4 points from epsilon 0.5, where AUC is ",
                                         "mean over sites, without privacy",
                                         "class=\"line s0 whisker\"",
                                         "<th scope=\"row\">without privacy</th>",
                                         ">4.4\xe2\x80\x93"
                                         "6.8</td>",
                                         "their epsilons add up",
                                         "href=\"#prices\"",
                                         NULL};
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 4, 3, false);
    made_up_privacy(&r, "local", 0, true);
    draw(&r, &page);
    (void)check_nesting(csl_buf_text(&page));
    assert_has(&page, wanted);
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_protection__of_every_combination__claims_no_more_than_there_was(void **state)
{
    struct csl_result r;
    char text[128];
    (void)state;
    made_up_result(&r, 3, 1, false);
    r.has_secure_aggregation = true;
    csl_result_protection(&r, text, sizeof(text));
    assert_string_equal(text, "This run had secure aggregation and no differential privacy.");
    made_up_privacy(&r, "local", 0, false);
    csl_result_protection(&r, text, sizeof(text));
    assert_string_equal(
        text, "This run rehearsed differential privacy (mode local) and had secure aggregation.");
    r.sites[0].privacy.is_rehearsal = r.sites[1].privacy.is_rehearsal = false;
    csl_result_protection(&r, text, sizeof(text));
    assert_string_equal(text,
                        "This run had differential privacy (mode local) and secure aggregation.");
    r.has_secure_aggregation = false;
    csl_result_protection(&r, text, sizeof(text));
    assert_string_equal(
        text, "This run had differential privacy (mode local) and no secure aggregation.");
    csl_result_release(&r);
}

static void test_epsilon__shown_with_three_decimals__never_flatters(void **state)
{
    static const struct {
        double value;
        bool is_upper;
        const char *wanted;
    } rows[] = {{0.9981, true, "0.999"}, {0.9989, false, "0.998"},    {1.0, true, "1.000"},
                {1.0, false, "1.000"},   {0.998, true, "0.998"},      {0.0001, true, "0.001"},
                {0, true, "0.000"},      {HUGE_VAL, true, "no bound"}};
    char text[32];
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        csl_epsilon_text(text, sizeof(text), rows[i].value, rows[i].is_upper);
        assert_string_equal(text, rows[i].wanted);
    }
}

static void test_table__of_a_private_run__has_prices_and_ledgers(void **state)
{
    static const char *const wanted[] = {
        "  This run rehearsed differential privacy (mode local) and had no secure aggregation.\n",
        "  Noise of this simulation comes from its seed and protects nobody; the price is what a "
        "real run would pay.\n",
        "hungarian                           2.55          0.928         2             0.0001    "
        "    18            yes",
        "va                                  no ledger\n",
        "federation (largest of the sites)   -             1.000",
        "epsilon 0.5                         0.78",
        "without privacy                     0.77",
        NULL};
    struct csl_result r;
    struct csl_buf out;
    (void)state;
    made_up_result(&r, 4, 1, false);
    made_up_privacy(&r, "local", 0, true);
    csl_buf_init(&out, CSL_REPORT_BYTES_MAX);
    csl_run_table(&r, &out);
    assert_has(&out, wanted);
    csl_buf_release(&out);
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

static void test_page__of_counts__has_classes_calibration_and_gaps(void **state)
{
    static const char *const wanted[] = {"Class by class",
                                         "Calibration</title>",
                                         "On the dashed line predictions are right.",
                                         "Calibration in numbers",
                                         "TPR gap (EOD)",
                                         "Worst domain, AUC or C-index",
                                         "Worst patient group",
                                         NULL};
    static const char *const other[] = {
        "TPR gap (EOD), sex: 0.060, 95 % interval 0.01 to 0.14", "By age_band, 2 groups are hidden",
        "counted more (alpha 0.5, beta 1, cap 2)", "collapsed</span>", NULL};
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 8, 3, false);
    made_up_fairness(&r);
    r.fairness.sums[2].by_class[4].is_collapsed = true;
    draw(&r, &page);
    (void)check_nesting(csl_buf_text(&page));
    assert_has(&page, wanted);
    assert_has(&page, other);
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_page__of_a_release__says_what_stands_against_it(void **state)
{
    static const char *const yes[] = {"May this model be handed out?", "<strong>Yes:</strong>",
                                      "A second look at patients", NULL};
    static const char *const no[] = {"<strong>No.</strong>", "intended_use is empty", "(empty)",
                                     "minimum_auc: the AUC of domain heart-table is 0.", NULL};
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 4, 1, false);
    made_up_fairness(&r);
    draw(&r, &page);
    assert_has(&page, yes);
    csl_buf_release(&page);
    r.release.minimum_auc = 0.99;
    r.release.intended_use[0] = 0;
    draw(&r, &page);
    (void)check_nesting(csl_buf_text(&page));
    assert_has(&page, no);
    csl_buf_release(&page);
    csl_result_release(&r);
}

/* A drawing is either named (a title first, which role img reads out) or hidden from readers. */
static void test_page__any__every_drawing_has_words(void **state)
{
    struct csl_result r;
    struct csl_buf page;
    uint32_t count = 0;
    (void)state;
    made_up_result(&r, 8, 3, true);
    made_up_privacy(&r, "local", 100, true);
    made_up_fairness(&r);
    draw(&r, &page);
    for (const char *p = strstr(csl_buf_text(&page), "<svg"); p != NULL;
         p = strstr(p + 1, "<svg")) {
        const char *end = strchr(p, '>'), *title = strstr(p, "<title");
        const char *hidden = strstr(p, "aria-hidden=\"true\""), *role = strstr(p, "role=\"img\"");
        assert_non_null(end);
        bool is_hidden = hidden != NULL && hidden < end;
        bool is_named = role != NULL && role < end && title == end + 1;
        if (is_hidden == is_named)
            fail_msg("%.160s", p);
        count++;
    }
    assert_true(count > 100);
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
    made_up_privacy(&r, "local", 100, true);
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
    made_up_privacy(&r, "local", 100, true);
    made_up_fairness(&r);
    assert_true(csl_str_copy(r.fairness.asked.attributes[0], CSL_ID_MAX, evil));
    assert_true(csl_str_copy(r.fairness.gaps[0].attribute, CSL_ID_MAX, evil));
    r.fairness.gaps[0].hidden = 1;
    assert_true(csl_str_copy(r.release.intended_use, sizeof(r.release.intended_use), evil));
    assert_true(csl_str_copy(r.release.not_for, sizeof(r.release.not_for), evil));
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
    assert_true(csl_str_copy(r.privacy, sizeof(r.privacy), evil));
    assert_true(csl_str_copy(r.sites[0].privacy.head, 65, evil));
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
    made_up_privacy(&r, "local", 100, true);
    made_up_fairness(&r);
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
        cmocka_unit_test(test_page__of_a_private_run__says_what_was_spent_and_by_whom),
        cmocka_unit_test(test_page__of_mode_site__names_the_hospital_as_the_unit),
        cmocka_unit_test(test_page_and_table__of_mode_joint__say_what_the_sums_cost),
        cmocka_unit_test(test_page__of_an_audit__has_lower_beside_upper_bound),
        cmocka_unit_test(test_page__ledger_that_did_not_verify__warns_on_top_and_in_its_row),
        cmocka_unit_test(test_page__more_spent_than_allowed_or_no_bound__is_drawn_as_such),
        cmocka_unit_test(test_page__of_a_sweep__draws_quality_by_epsilon),
        cmocka_unit_test(test_protection__of_every_combination__claims_no_more_than_there_was),
        cmocka_unit_test(test_epsilon__shown_with_three_decimals__never_flatters),
        cmocka_unit_test(test_table__of_a_private_run__has_prices_and_ledgers),
        cmocka_unit_test(test_page__few_of_a_class__row_says_what_it_rests_on),
        cmocka_unit_test(test_page__one_line_in_a_chart__is_one_line),
        cmocka_unit_test(test_page__of_three_domains__has_a_table_of_domains_and_sites),
        cmocka_unit_test(test_page__of_counts__has_classes_calibration_and_gaps),
        cmocka_unit_test(test_page__of_a_release__says_what_stands_against_it),
        cmocka_unit_test(test_page__any__every_drawing_has_words),
        cmocka_unit_test(test_page__any__loads_nothing_and_runs_nothing),
        cmocka_unit_test(test_page__hostile_texts__are_escaped_everywhere),
        cmocka_unit_test(test_page__nothing_measured__still_draws),
        cmocka_unit_test(test_page__of_a_result_read_back__is_the_same_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
