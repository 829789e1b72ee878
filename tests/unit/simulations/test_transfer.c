/* What is written about sites' own models and about sites left out: summary.json there and back,
 * the page, the table. */
#include "base/mem.h"
#include "base/str.h"
#include "simulations/release.h"
#include "simulations/report_html.h"
#include "simulations/run_table.h"
#include "tests/unit/simulations/made_up.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct csl_err err;

static void make(struct csl_result *r, uint32_t domains, bool repeats)
{
    made_up_result(r, 4, domains, repeats);
    made_up_transfer(r);
    made_up_external(r);
}

static void write_json(const struct csl_result *r, struct csl_buf *json)
{
    csl_buf_init(json, CSL_SUMMARY_BYTES_MAX);
    assert_int_equal(csl_result_write_json(r, json, &err), CSL_OK);
}

static void test_transfer__summary__reads_back_as_it_was(void **state)
{
    struct csl_result made, read = {.site_count = 0};
    struct csl_buf first, second;
    (void)state;
    for (uint32_t domains = 1; domains <= 3; domains += 2) {
        make(&made, domains, domains == 3);
        write_json(&made, &first);
        if (csl_result_read_json(&read, "s.json", CSL_SPAN(first.p, first.n), &err) != CSL_OK)
            fail_msg("%s", err.msg);
        assert_true(read.transfer.asks_personal && read.transfer.asks_left_out);
        assert_true(read.transfer.keeps[3 * domains]);
        assert_false(read.transfer.keeps[0]);
        assert_int_equal(read.transfer.labelled[5], 21);
        assert_string_equal(read.external->sites[1].id, "x<y");
        assert_int_equal(read.external->sites[1].patients, 41);
        assert_true((read.repeats.external.cells != NULL) == (domains == 3));
        write_json(&read, &second);
        if (domains == 1) { /* a mean and sd of five seeds lose a last bit */
            assert_int_equal(first.n, second.n);
            assert_memory_equal(first.p, second.p, first.n);
        }
        const struct csl_spread_set *a = &made.repeats.transfer[4].cells[3],
                                    *b = &read.repeats.transfer[4].cells[3];
        if (domains == 3) {
            assert_int_equal(a->count, b->count);
            assert_true(a->count > 0 && fabs(a->items[0].mean - b->items[0].mean) < 1e-12);
        }
        csl_buf_release(&first);
        csl_buf_release(&second);
        csl_result_release(&read);
        csl_result_release(&made);
    }
}

static void test_transfer__not_asked_for__is_absent(void **state)
{
    static const char *const words[] = {"personalisation", "leave_one_out", "\"transfer\"",
                                        "external"};
    struct csl_result r;
    struct csl_buf json, page;
    (void)state;
    made_up_result(&r, 3, 1, true);
    write_json(&r, &json);
    for (size_t i = 0; i < 4; i++)
        assert_null(strstr(csl_buf_text(&json), words[i]));
    csl_buf_init(&page, CSL_REPORT_BYTES_MAX);
    assert_int_equal(csl_report_html(&r, &page, &err), CSL_OK);
    assert_null(strstr(csl_buf_text(&page), "#personal"));
    assert_null(strstr(csl_buf_text(&page), "#left-out"));
    csl_buf_release(&json);
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_transfer__damaged_member__names_file_and_member(void **state)
{
    static const struct {
        const char *from, *to, *member;
    } rows[] = {{"\"id\": \"oslo\"", "\"id\": \"x<y\"", "external_validation"},
                {"\"patients_not_used\": 40", "\"patients_not_used\": \"\"", "external_validation"},
                {"\"per_class\": 8,", "\"per_class\": 9,", "labelled"},
                {"\"lambda\": 0.1", "\"lambda\": \"\"", "lambda"},
                {"\"training\": \"adam", "\"training\": [\"\"], \"x\": \"adam", "training"},
                {"\"keeps_released\": [\n      {\n        \"site\": \"va\"",
                 "\"keeps_released\": [\n      {\n        \"site\": \"vb\"", "keeps_released"}};
    struct csl_result r, read = {.site_count = 0};
    struct csl_buf json;
    (void)state;
    make(&r, 1, false);
    write_json(&r, &json);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_buf bad;
        const char *text = csl_buf_text(&json), *at = strstr(text, rows[i].from);
        if (at == NULL)
            fail_msg("no %s", rows[i].from);
        csl_buf_init(&bad, CSL_SUMMARY_BYTES_MAX);
        csl_buf_append(&bad, text, (size_t)(at - text));
        csl_buf_str(&bad, rows[i].to);
        csl_buf_str(&bad, at + strlen(rows[i].from));
        assert_int_equal(csl_result_read_json(&read, "s.json", CSL_SPAN(bad.p, bad.n), &err),
                         CSL_E_CORRUPT);
        if (strstr(err.msg, "s.json") == NULL || strstr(err.msg, rows[i].member) == NULL)
            fail_msg("%s", err.msg);
        csl_buf_release(&bad);
    }
    csl_buf_release(&json);
    csl_result_release(&r);
}

static void test_transfer__any_allocation_failing__leaves_nothing_behind(void **state)
{
    struct csl_result r, read = {.site_count = 0};
    struct csl_buf json;
    enum csl_code code = CSL_E_NOMEM;
    (void)state;
    make(&r, 1, true);
    write_json(&r, &json);
    for (uint64_t n = 1; code != CSL_OK; n += 1 + n / 16) {
        (void)csl_mem_fail_after(n);
        code = csl_result_read_json(&read, "s.json", CSL_SPAN(json.p, json.n), &err);
        (void)csl_mem_fail_after(0);
        if (code != CSL_OK) /* what the JSON library says then is its own */
            assert_null(read.sites);
        assert_true(n < 1000000);
    }
    csl_result_release(&read);
    csl_buf_release(&json);
    csl_result_release(&r);
}

static void assert_has(const struct csl_buf *text, const char *const *wanted)
{
    for (size_t i = 0; wanted[i] != NULL; i++)
        if (strstr(csl_buf_text(text), wanted[i]) == NULL)
            fail_msg("no '%s'", wanted[i]);
}

static void test_transfer__page__shows_models_sites_and_few_patients(void **state)
{
    static const char *const wanted[] = {"id=\"external\"",
                                         "Hospitals that never trained",
                                         "oslo",
                                         "x&lt;y",
                                         "Mean over external sites",
                                         "Mean over sites in training",
                                         "id=\"personal\"",
                                         "id=\"left-out\"",
                                         ">Fine-tuned</th>",
                                         ">Head fine-tuned</th>",
                                         ">Ditto</th>",
                                         "it costs nobody any privacy",
                                         "half of 0.1 times the squared distance",
                                         "va keeps the released model",
                                         "Trained without it",
                                         "AUC at a new site",
                                         "the site alone</li>",
                                         "cleveland 16, 20, 24",
                                         "Mean over 3 sites. Without labels",
                                         NULL};
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    make(&r, 1, true);
    csl_buf_init(&page, CSL_REPORT_BYTES_MAX);
    assert_int_equal(csl_report_html(&r, &page, &err), CSL_OK);
    assert_has(&page, wanted);
    csl_buf_release(&page);
    csl_result_release(&r);
}

/* Means of different sites stand in one row: the reader is told. */
static void test_transfer__mean_of_fewer_sites__is_marked(void **state)
{
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 4, 1, false);
    made_up_transfer(&r);
    csl_buf_init(&page, CSL_REPORT_BYTES_MAX);
    assert_int_equal(csl_report_html(&r, &page, &err), CSL_OK);
    /* the first site lacks its AUC everywhere, the last one its local model */
    assert_non_null(strstr(csl_buf_text(&page),
                           "Site alone: the mean is over 2 of the 3 sites and not to be held"));
    csl_buf_release(&page);
    csl_result_release(&r);
}

/* A domain that some sites do not have: only the others are listed there. */
static void test_transfer__site_without_the_domain__has_no_row(void **state)
{
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    make(&r, 2, false);
    r.transfer.keeps[2 * 2 + 1] = true;
    csl_buf_init(&page, CSL_REPORT_BYTES_MAX);
    assert_int_equal(csl_report_html(&r, &page, &err), CSL_OK);
    const char *section = strstr(csl_buf_text(&page), "id=\"personal\"");
    const char *domain = strstr(section, "<h3>survival-table</h3>");
    const char *end = strstr(section, "id=\"left-out\"");
    assert_true(domain != NULL && domain < end);
    assert_true(strstr(section, "switzerland") < domain);
    assert_true(strstr(domain, "hungarian") < end);
    assert_true(strstr(domain, "switzerland") > end);
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_transfer__model_card__tells_of_hospitals_without_part_in_training(void **state)
{
    static const char *const wanted[] = {
        "External validation, hospitals that never trained (2): AUC",
        "Each hospital left out of training in turn: AUC", "Patients of another time: every", NULL};
    static const char *const members[] = {"\"external_validation\": {", "\"leave_one_out\": {",
                                          NULL};
    struct csl_result r;
    struct csl_buf text, json;
    (void)state;
    make(&r, 1, false);
    csl_buf_init(&text, 1u << 20);
    csl_buf_init(&json, 1u << 20);
    csl_card_markdown(&r, &text);
    csl_card_json(&r, &json);
    assert_has(&text, wanted);
    assert_has(&json, members);
    assert_null(strstr(csl_buf_text(&json), "oslo")); /* no single one's figures */
    csl_buf_release(&text);
    csl_buf_release(&json);
    csl_result_release(&r);
}

static void test_transfer__not_measured__says_why(void **state)
{
    struct csl_result r;
    struct csl_buf page;
    (void)state;
    made_up_result(&r, 3, 1, false);
    assert_int_equal(csl_result_transfer_init_personal(&r, &err), CSL_OK);
    r.transfer.asks_left_out = true;
    assert_true(csl_str_copy(r.transfer.personal_reason, sizeof(r.transfer.personal_reason),
                             "the run was interrupted"));
    assert_true(csl_str_copy(r.transfer.left_out_reason, sizeof(r.transfer.left_out_reason),
                             "too few sites"));
    csl_buf_init(&page, CSL_REPORT_BYTES_MAX);
    assert_int_equal(csl_report_html(&r, &page, &err), CSL_OK);
    assert_non_null(strstr(csl_buf_text(&page), "Not measured: the run was interrupted."));
    assert_non_null(strstr(csl_buf_text(&page), "Not measured: too few sites."));
    csl_buf_release(&page);
    csl_result_release(&r);
}

static void test_transfer__table__has_a_column_for_each_model(void **state)
{
    static const char *const wanted[] = {"sites that never trained",
                                         "mean over them",
                                         "As released",
                                         "Fine-tuned",
                                         "Ditto",
                                         "Site alone",
                                         "Trained without it",
                                         "Head fitted to 32",
                                         "heart-table, AUC, 5 seeds",
                                         "va keeps the released",
                                         NULL};
    struct csl_result r;
    struct csl_buf table;
    (void)state;
    make(&r, 1, true);
    csl_buf_init(&table, 1u << 20);
    csl_run_table(&r, &table);
    assert_has(&table, wanted);
    csl_buf_release(&table);
    csl_result_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfer__summary__reads_back_as_it_was),
        cmocka_unit_test(test_transfer__not_asked_for__is_absent),
        cmocka_unit_test(test_transfer__damaged_member__names_file_and_member),
        cmocka_unit_test(test_transfer__any_allocation_failing__leaves_nothing_behind),
        cmocka_unit_test(test_transfer__page__shows_models_sites_and_few_patients),
        cmocka_unit_test(test_transfer__mean_of_fewer_sites__is_marked),
        cmocka_unit_test(test_transfer__site_without_the_domain__has_no_row),
        cmocka_unit_test(test_transfer__model_card__tells_of_hospitals_without_part_in_training),
        cmocka_unit_test(test_transfer__not_measured__says_why),
        cmocka_unit_test(test_transfer__table__has_a_column_for_each_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
