/* Averages, repeats, and summary.json and metrics.csv there and back. */
#include "base/mem.h"
#include "base/str.h"
#include "tests/unit/simulations/made_up.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct csl_err err;

static void assert_near(double found, double wanted, double tolerance)
{
    if (!(fabs(found - wanted) <= tolerance))
        fail_msg("%.17g is not %.17g within %g", found, wanted, tolerance);
}

static void put(struct csl_metrics *m, const char *name, double value, double half)
{
    m->examples = 10;
    m->items[m->count++] =
        (struct csl_metric){csl_metric_intern(name), half > 0 ? csl_method_intern("wilson") : NULL,
                            value, value - half, value + half};
}

static void test_mean__of_sites_that_have_the_metric__counts_each_once(void **state)
{
    struct csl_evaluation e = {0};
    struct csl_mean mean;
    (void)state;
    assert_int_equal(csl_evaluation_init(&e, 3, 1, true, &err), CSL_OK);
    put(&e.cells[0], "auc", 0.9, 0.03);
    put(&e.cells[2], "auc", 0.6, 0.04);
    put(&e.cells[1], "accuracy", 0.5, 0);
    assert_true(csl_evaluation_mean(&e, 0, "auc", &mean));
    assert_int_equal(mean.count, 2);
    assert_near(mean.value, 0.75, 1e-12);
    /* two independent halves of .03 and .04: sqrt(.03^2 + .04^2) / 2 */
    assert_true(mean.has_interval);
    assert_near(mean.high - mean.value, 0.025, 1e-12);
    assert_true(csl_evaluation_mean(&e, 0, "accuracy", &mean));
    assert_false(mean.has_interval);
    assert_false(csl_evaluation_mean(&e, 0, "c_index", &mean));
    csl_evaluation_release(&e);
}

static void test_overall__domains_with_different_sites__averages_sites_first(void **state)
{
    struct csl_evaluation e = {0};
    struct csl_mean mean;
    (void)state;
    assert_int_equal(csl_evaluation_init(&e, 3, 2, true, &err), CSL_OK);
    put(&e.cells[0], "auc", 0.6, 0.1); /* domain 0: mean .7 of two sites */
    put(&e.cells[2], "auc", 0.8, 0.1);
    put(&e.cells[1], "auc", 0.9, 0.1); /* domain 1: one site */
    assert_true(csl_evaluation_overall(&e, "auc", &mean));
    assert_near(mean.value, 0.8, 1e-12);
    assert_int_equal(mean.count, 2);
    csl_evaluation_release(&e);
}

static void test_repeats__two_runs__give_mean_and_sample_sd(void **state)
{
    struct csl_result a = {0}, b = {0};
    struct csl_repeats p = {0};
    const struct csl_spread *s;
    double sd;
    (void)state;
    assert_int_equal(csl_result_init(&a, 1, 1, &err), CSL_OK);
    assert_int_equal(csl_result_init(&b, 1, 1, &err), CSL_OK);
    a.seed = 42;
    b.seed = 43;
    put(&a.federated.cells[0], "accuracy", 0.6, 0);
    put(&b.federated.cells[0], "accuracy", 0.8, 0);
    put(&b.federated.cells[0], "auc", 0.7, 0);
    assert_int_equal(csl_repeats_add(&p, &a, &err), CSL_OK);
    assert_int_equal(csl_repeats_add(&p, &b, &err), CSL_OK);
    assert_int_equal(p.count, 2);
    assert_int_equal(p.first_seed, 42);
    assert_int_equal(p.last_seed, 43);
    s = csl_spread_find(&p.federated.cells[0], "accuracy");
    assert_near(s->mean, 0.7, 1e-12);
    assert_true(csl_spread_sd(s, &sd));
    assert_near(sd, sqrt(0.02), 1e-12);
    assert_near(csl_spread_find(&p.federated.means[0], "accuracy")->mean, 0.7, 1e-12);
    assert_near(csl_spread_find(&p.federated.overall, "accuracy")->mean, 0.7, 1e-12);
    assert_false(csl_spread_sd(csl_spread_find(&p.federated.cells[0], "auc"), &sd));
    assert_null(csl_spread_find(&p.federated.pooled[0], "accuracy"));
    csl_repeats_release(&p);
    csl_result_release(&a);
    csl_result_release(&b);
}

static void write_both(const struct csl_result *r, struct csl_buf *json, struct csl_buf *csv)
{
    csl_buf_init(json, CSL_SUMMARY_BYTES_MAX);
    csl_buf_init(csv, CSL_SUMMARY_BYTES_MAX);
    assert_int_equal(csl_result_write_json(r, json, &err), CSL_OK);
    csl_result_write_csv(r, csv);
    assert_int_equal(csl_buf_status(csv, &err), CSL_OK);
}

static void assert_same_after_reading(uint32_t sites, uint32_t domains, bool repeats)
{
    struct csl_result made, read;
    struct csl_buf json[2], csv[2];
    made_up_result(&made, sites, domains, repeats);
    made.has_plain_sums = domains == 1;
    made.sites[0].attack =
        (struct csl_result_attack){.kind = CSL_ATTACK_SIGN_FLIP, .factor = 2.5, .share = 1};
    made.sites[1].attack = (struct csl_result_attack){
        CSL_ATTACK_BACKDOOR, .factor = 1, .share = 0.5, .records = 9, .with_trigger = 7};
    if (!repeats)
        made_up_fairness(&made);
    write_both(&made, &json[0], &csv[0]);
    bool has_weights = strstr(csl_buf_text(&json[0]), "\"weights\":") != NULL;
    assert_true(has_weights == !repeats);
    if (csl_result_read_json(&read, "summary.json", CSL_SPAN(json[0].p, json[0].n), &err))
        fail_msg("%s", err.msg);
    if (csl_result_read_csv(&read, "metrics.csv", CSL_SPAN(csv[0].p, csv[0].n), &err))
        fail_msg("%s", err.msg);
    write_both(&read, &json[1], &csv[1]);
    /* Spreads go through a square and its root; everything else must be the same bytes. */
    if (!repeats)
        assert_string_equal(csl_buf_text(&json[0]), csl_buf_text(&json[1]));
    assert_string_equal(csl_buf_text(&csv[0]), csl_buf_text(&csv[1]));
    for (int i = 0; i < 2; i++) {
        csl_buf_release(&json[i]);
        csl_buf_release(&csv[i]);
    }
    csl_result_release(&made);
    csl_result_release(&read);
}

static void test_files__one_domain__read_back_as_they_were(void **state)
{
    (void)state;
    assert_same_after_reading(4, 1, false);
}

static void test_files__three_domains__read_back_as_they_were(void **state)
{
    (void)state;
    assert_same_after_reading(8, 3, false);
}

static void test_files__repeats__read_back_with_their_spread(void **state)
{
    struct csl_result made, read;
    struct csl_buf json, csv;
    double a = 0, b = 0;
    (void)state;
    assert_same_after_reading(4, 2, true);
    made_up_result(&made, 4, 1, true);
    write_both(&made, &json, &csv);
    assert_int_equal(csl_result_read_json(&read, "summary.json", CSL_SPAN(json.p, json.n), &err),
                     CSL_OK);
    const struct csl_spread *x = csl_spread_find(&made.repeats.ensemble.cells[1], "auc");
    const struct csl_spread *y = csl_spread_find(&read.repeats.ensemble.cells[1], "auc");
    assert_int_equal(x->count, 5);
    assert_int_equal(y->count, 5);
    assert_near(x->mean, y->mean, 1e-15);
    assert_true(csl_spread_sd(x, &a) && csl_spread_sd(y, &b) && a > 0);
    assert_near(a, b, 1e-12);
    csl_buf_release(&json);
    csl_buf_release(&csv);
    csl_result_release(&made);
    csl_result_release(&read);
}

static void read_back(const struct csl_result *made, struct csl_result *read)
{
    struct csl_buf json[2], csv[2];
    write_both(made, &json[0], &csv[0]);
    if (csl_result_read_json(read, "summary.json", CSL_SPAN(json[0].p, json[0].n), &err))
        fail_msg("%s", err.msg);
    if (csl_result_read_csv(read, "metrics.csv", CSL_SPAN(csv[0].p, csv[0].n), &err))
        fail_msg("%s", err.msg);
    write_both(read, &json[1], &csv[1]);
    assert_string_equal(csl_buf_text(&csv[0]), csl_buf_text(&csv[1]));
    for (int i = 0; i < 2; i++) {
        csl_buf_release(&json[i]);
        csl_buf_release(&csv[i]);
    }
}

static void assert_same_privacy(const struct csl_result_privacy *a,
                                const struct csl_result_privacy *b)
{
    assert_int_equal(a->is_present, b->is_present);
    assert_int_equal(a->is_verified, b->is_verified);
    assert_int_equal(a->is_rehearsal, b->is_rehearsal);
    assert_true(a->epsilon == b->epsilon && a->delta == b->delta);
    assert_true(a->budget_epsilon == b->budget_epsilon);
    assert_true(a->noise_multiplier == b->noise_multiplier);
    assert_int_equal(a->entries, b->entries);
    assert_string_equal(a->head, b->head);
    assert_int_equal(a->canaries, b->canaries);
    assert_int_equal(a->guesses, b->guesses);
    assert_int_equal(a->correct, b->correct);
    assert_true(a->audit_epsilon_lower == b->audit_epsilon_lower);
    assert_true(a->audit_confidence == b->audit_confidence);
}

static void test_files__privacy_and_audit__read_back_as_they_were(void **state)
{
    struct csl_result made, read;
    (void)state;
    made_up_result(&made, 5, 1, false);
    made_up_privacy(&made, "local", 100, false);
    made.sites[1].privacy.epsilon = HUGE_VAL;
    made.sites[1].privacy.budget_epsilon = 0;
    made.sites[2].privacy.is_verified = false;
    made.sites[2].privacy.head[0] = 0;
    made.sites[3].privacy.canaries = made.sites[3].privacy.guesses = 0;
    made.sites[3].privacy.correct = 0;
    made.sites[3].privacy.audit_epsilon_lower = made.sites[3].privacy.audit_confidence = 0;
    read_back(&made, &read);
    assert_string_equal(read.privacy, "local");
    for (uint32_t s = 0; s < made.site_count; s++)
        assert_same_privacy(&made.sites[s].privacy, &read.sites[s].privacy);
    assert_false(read.sites[4].privacy.is_present);
    assert_int_equal(read.price_count, 0);
    csl_result_release(&made);
    csl_result_release(&read);
}

static void test_files__price_of_the_sums__reads_back_as_it_was(void **state)
{
    struct csl_result made, read;
    (void)state;
    made_up_result(&made, 5, 1, false);
    made_up_privacy(&made, "joint", 0, false);
    made_up_realised(&made);
    read_back(&made, &read);
    const struct csl_result_realised *a = &made.realised, *b = &read.realised;
    assert_true(b->is_present && a->coordinator == b->coordinator);
    assert_true(a->colluding == b->colluding && a->planned == b->planned);
    assert_true(a->colluding_sites == b->colluding_sites && a->floor == b->floor);
    assert_true(a->fewest == b->fewest && a->most == b->most);
    assert_int_equal(read.row_count, made.row_count);
    csl_result_release(&made);
    csl_result_release(&read);
}

static void test_files__prices__read_back_with_their_spread(void **state)
{
    struct csl_result made, read;
    double a = 0, b = 0;
    (void)state;
    made_up_result(&made, 4, 2, false);
    made_up_privacy(&made, "local", 0, true);
    read_back(&made, &read);
    assert_int_equal(read.price_count, 5);
    for (uint32_t i = 0; i < read.price_count; i++) {
        const struct csl_result_price *x = &made.prices[i], *y = &read.prices[i];
        assert_true(x->epsilon == y->epsilon);
        assert_true(x->noise_low == y->noise_low && x->noise_high == y->noise_high);
        assert_int_equal(y->repeats.count, 5);
        assert_int_equal(y->repeats.first_seed, 42);
        assert_int_equal(y->repeats.last_seed, 46);
        assert_null(y->repeats.locals);
        const struct csl_spread *p = csl_spread_find(&x->repeats.federated.means[0], "auc");
        const struct csl_spread *q = csl_spread_find(&y->repeats.federated.means[0], "auc");
        assert_near(p->mean, q->mean, 1e-15);
        assert_true(csl_spread_sd(p, &a) && csl_spread_sd(q, &b) && a > 0);
        assert_near(a, b, 1e-12);
    }
    assert_true(isinf(read.prices[4].epsilon));
    csl_result_release(&made);
    csl_result_release(&read);
}

static void test_spent__of_disjoint_sites__is_the_largest_and_all_entries(void **state)
{
    struct csl_result r;
    struct csl_result_spent spent;
    (void)state;
    made_up_result(&r, 4, 1, false);
    assert_false(csl_result_spent(&r, &spent));
    made_up_privacy(&r, "local", 0, false);
    r.sites[1].privacy.delta = 2e-4;
    assert_true(csl_result_spent(&r, &spent));
    assert_int_equal(spent.sites, 3);
    assert_true(spent.epsilon == 1.0 && spent.delta == 2e-4);
    assert_int_equal(spent.entries, 17 + 18 + 19);
    assert_true(spent.is_verified && spent.is_rehearsal && !spent.has_audit);
    r.sites[2].privacy.is_verified = false;
    assert_true(csl_result_spent(&r, &spent) && !spent.is_verified);
    csl_result_release(&r);
}

static const struct csl_json_value *at(const struct csl_json_value *v, const char *key)
{
    const struct csl_json_value *found = csl_json_get(v, key);
    if (found == NULL)
        fail_msg("no member '%s'", key);
    return found;
}

static void test_summary__what_was_not_measured__is_absent(void **state)
{
    struct csl_result r;
    struct csl_buf json, csv;
    struct csl_json_doc *doc;
    double v;
    (void)state;
    made_up_result(&r, 4, 1, false);
    r.bytes_up = r.bytes_down = 0;
    r.peak_rss_bytes = 0;
    write_both(&r, &json, &csv);
    assert_int_equal(csl_json_parse(&doc, "summary.json", CSL_SPAN(json.p, json.n), &err), CSL_OK);
    const struct csl_json_value *root = csl_json_root(doc);
    assert_null(csl_json_get(root, "bytes"));
    assert_null(csl_json_get(root, "peak_rss_bytes"));
    assert_null(csl_json_get(root, "repeats"));
    assert_null(csl_json_get(root, "ledger"));
    const struct csl_json_value *sites = at(root, "sites");
    assert_int_equal(csl_json_count(sites), 4);
    assert_null(csl_json_get(at(csl_json_at(sites, 0), "metrics"), "auc"));
    assert_true(csl_json_as_f64(at(at(at(csl_json_at(sites, 1), "metrics"), "auc"), "low"), &v) &&
                v > 0);
    assert_true(csl_json_as_f64(at(at(root, "mean_over_sites"), "accuracy"), &v));
    assert_true(
        csl_json_as_f64(at(at(at(at(root, "pooled"), "metrics"), "accuracy"), "value"), &v));
    const struct csl_json_value *baselines = at(root, "baselines");
    assert_int_equal(csl_json_count(at(baselines, "local")), 4);
    assert_non_null(csl_json_get(csl_json_at(at(baselines, "local"), 3), "absent"));
    assert_non_null(at(at(baselines, "best_local"), "note"));
    csl_json_free(doc);
    csl_buf_release(&json);
    csl_buf_release(&csv);
    csl_result_release(&r);
}

static double number_at(const struct csl_json_value *v, const char *key)
{
    double found = 0;
    if (!csl_json_as_f64(at(v, key), &found))
        fail_msg("'%s' is no number", key);
    return found;
}

static void test_summary__of_privacy__has_the_members_of_its_document(void **state)
{
    struct csl_result r;
    struct csl_buf json, csv;
    struct csl_json_doc *doc;
    bool verified;
    (void)state;
    made_up_result(&r, 4, 1, false);
    made_up_privacy(&r, "local", 100, true);
    write_both(&r, &json, &csv);
    assert_int_equal(csl_json_parse(&doc, "summary.json", CSL_SPAN(json.p, json.n), &err), CSL_OK);
    const struct csl_json_value *root = csl_json_root(doc);
    const struct csl_json_value *site = at(csl_json_at(at(root, "sites"), 0), "privacy");
    assert_true(number_at(at(root, "privacy"), "epsilon") == 1.0);
    assert_true(number_at(at(root, "privacy"), "delta") == 1e-4);
    assert_true(number_at(site, "epsilon") == 1.0 && number_at(site, "budget_epsilon") == 1.0);
    assert_true(number_at(site, "noise_multiplier") == 2.86);
    assert_true(number_at(at(site, "ledger"), "entries") == 17);
    assert_true(number_at(at(site, "audit"), "correct") == 28);
    assert_true(number_at(at(root, "ledger"), "entries") == 54);
    assert_true(csl_json_as_bool(at(at(root, "ledger"), "verified"), &verified) && verified);
    assert_int_equal(csl_json_count(at(csl_json_at(at(root, "sites"), 3), "privacy")), 1);
    assert_int_equal(csl_json_count(at(root, "prices")), 5);
    const struct csl_json_value *none = csl_json_at(at(root, "prices"), 4);
    assert_null(csl_json_get(none, "epsilon"));
    assert_null(csl_json_get(none, "noise_multiplier_low"));
    assert_non_null(at(none, "privacy"));
    assert_true(number_at(at(csl_json_at(at(root, "prices"), 0), "repeats"), "count") == 5);
    assert_non_null(strstr(csl_buf_text(&csv), "15,privacy_site,cleveland,,epsilon,1,,,\n"));
    assert_non_null(strstr(csl_buf_text(&csv), ",privacy_site,hungarian,,noise_multiplier,2.55,"));
    assert_null(strstr(csl_buf_text(&csv), "privacy_site,va"));
    csl_json_free(doc);
    csl_buf_release(&json);
    csl_buf_release(&csv);
    csl_result_release(&r);
}

/* Replaces every `from` in the text by `to` of the same length. */
static void damage(struct csl_buf *b, const char *from, const char *to)
{
    char *found = strstr((char *)b->p, from);
    assert_non_null(found);
    assert_int_equal(strlen(from), strlen(to));
    for (; found != NULL; found = strstr(found, from))
        memcpy(found, to, strlen(to));
}

static void test_read__damaged_member__names_file_and_member(void **state)
{
    static const char *const rows[][3] = {
        {"consilium.summary/1", "consilium.summary/9", "format"},
        {"\"examples\": 16", "\"examples\": -6", "examples"},
        {"\"binary\"", "\"bimary\"", "task"},
        {"\"delong\"", "\"delpng\"", "auc"},
        {"\"rounds\": 15", "\"roumds\": 15", "rounds"},
        {"\"backdoor\"", "\"backdoog\"", "attack"},
        {"\"with_trigger\": 7", "\"with_trigger\": 8", "attack"},
        {"\"masks\": \"off\"", "\"masks\": \"oFf\"", "masks"},
        {"\"secure_aggregation\"", "\"secure_aggregatiom\"", "secure_aggregation"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_result r, read = {0};
        struct csl_buf json, csv;
        made_up_result(&r, 4, 1, false);
        r.has_plain_sums = true;
        r.sites[1].attack = (struct csl_result_attack){
            CSL_ATTACK_BACKDOOR, .factor = 1, .share = 0.5, .records = 7, .with_trigger = 7};
        write_both(&r, &json, &csv);
        damage(&json, rows[i][0], rows[i][1]);
        assert_int_equal(
            csl_result_read_json(&read, "run/summary.json", CSL_SPAN(json.p, json.n), &err),
            CSL_E_CORRUPT);
        if (strstr(err.msg, "run/summary.json") == NULL || strstr(err.msg, rows[i][2]) == NULL)
            fail_msg("'%s' does not name %s", err.msg, rows[i][2]);
        assert_null(read.sites);
        csl_buf_release(&json);
        csl_buf_release(&csv);
        csl_result_release(&r);
    }
}

static void test_read__damaged_privacy__names_file_and_member(void **state)
{
    static const char *const rows[][3] = {
        {"\"mode\": \"local\"", "\"mode\": \"lokal\"", "mode"},
        {"\"epsilon\": 1,", "\"epsilon\":-1,", "epsilon"},
        {"\"delta\"", "\"delto\"", "delta"},
        {"\"entries\": 18", "\"entries\": -8", "entries"},
        {"\"verified\": true", "\"verified\": tru3", "summary.json"},
        {"\"verified\": true", "\"verified\": 1234", "verified"},
        {"aaaaaaaa\"", "aaaaaaaA\"", "head"},
        {"\"rehearsal\"", "\"rehearsol\"", "rehearsal"},
        {"\"canaries\": 100", "\"canaries\": 049", "summary.json"},
        {"\"canaries\": 100", "\"canaries\": 10 ", "guesses"},
        {"\"correct\": 28", "\"correct\": 58", "correct"},
        {"\"confidence\": 0.95", "\"confidence\": 1.95", "confidence"},
        {"\"epsilon\": 0.5", "\"epsilon\": 3.5", "epsilon"},
        {"\"privacy\": \"none\"", "\"privacy\": \"some\"", "prices"},
        {"\"noise_multiplier_high\": 1.7", "\"noise_multiplier_high\": 0.7", "noise_multiplier"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_result r, read = {0};
        struct csl_buf json, csv;
        made_up_result(&r, 4, 1, false);
        made_up_privacy(&r, "local", 100, true);
        write_both(&r, &json, &csv);
        damage(&json, rows[i][0], rows[i][1]);
        if (csl_result_read_json(&read, "run/summary.json", CSL_SPAN(json.p, json.n), &err) ==
            CSL_OK)
            fail_msg("%s was read", rows[i][1]);
        if (strstr(err.msg, "run/summary.json") == NULL || strstr(err.msg, rows[i][2]) == NULL)
            fail_msg("'%s' does not name %s", err.msg, rows[i][2]);
        assert_null(read.sites);
        csl_buf_release(&json);
        csl_buf_release(&csv);
        csl_result_release(&r);
    }
}

static void test_read__damaged_price_of_the_sums__names_file_and_member(void **state)
{
    static const char *const rows[][3] = {
        {"\"mode\": \"joint\"", "\"mode\": \"local\"", "realised"},
        {"\"epsilon_coordinator\": 0", "\"epsilon_coordinator\":-1", "epsilon_coordinator"},
        {"\"epsilon_planned\"", "\"epsilon_plannet\"", "epsilon_planned"},
        {"\"colluding\": 1", "\"colluding\": 7", "fewest_sites"},
        {"\"most_sites\": 8", "\"most_sites\": 6", "fewest_sites"},
        {"\"minimum_sites\": 6", "\"minimum_sites\":-6", "minimum_sites"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_result r, read = {0};
        struct csl_buf json, csv;
        made_up_result(&r, 4, 1, false);
        made_up_privacy(&r, "joint", 0, false);
        made_up_realised(&r);
        write_both(&r, &json, &csv);
        damage(&json, rows[i][0], rows[i][1]);
        if (csl_result_read_json(&read, "run/summary.json", CSL_SPAN(json.p, json.n), &err) ==
            CSL_OK)
            fail_msg("%s was read", rows[i][1]);
        if (strstr(err.msg, "run/summary.json") == NULL || strstr(err.msg, rows[i][2]) == NULL)
            fail_msg("'%s' does not name %s", err.msg, rows[i][2]);
        csl_buf_release(&json);
        csl_buf_release(&csv);
        csl_result_release(&r);
    }
}

static void test_read__ledger_without_privacy__is_refused(void **state)
{
    struct csl_result r, read = {0};
    struct csl_buf json, csv;
    (void)state;
    made_up_result(&r, 4, 1, false);
    made_up_privacy(&r, "none", 0, false);
    write_both(&r, &json, &csv);
    assert_int_equal(csl_result_read_json(&read, "s.json", CSL_SPAN(json.p, json.n), &err),
                     CSL_E_CORRUPT);
    assert_non_null(strstr(err.msg, "ledger"));
    csl_buf_release(&json);
    csl_buf_release(&csv);
    csl_result_release(&r);
}

/* Releases *made. */
static void assert_nothing_left_behind(struct csl_result *made)
{
    struct csl_result read;
    struct csl_buf json, csv;
    enum csl_code code = CSL_E_NOMEM;
    write_both(made, &json, &csv);
    for (uint64_t n = 1; code != CSL_OK; n++) {
        assert_true(n < 10000);
        (void)csl_mem_fail_after(n);
        memset(&read, 0, sizeof(read));
        code = csl_result_read_json(&read, "summary.json", CSL_SPAN(json.p, json.n), &err);
        (void)csl_mem_fail_after(0);
        /* What the JSON library makes of a failed allocation is its own: no memory, a syntax error
         * or a text cut short. Either way nothing may be left. */
        if (code != CSL_OK)
            assert_null(read.sites);
    }
    csl_result_release(&read);
    csl_result_release(made);
    csl_buf_release(&json);
    csl_buf_release(&csv);
}

static void test_read__any_allocation_failing__leaves_nothing_behind(void **state)
{
    struct csl_result made;
    (void)state;
    made_up_result(&made, 4, 2, true);
    assert_nothing_left_behind(&made);
}

static void test_read__any_allocation_of_prices_failing__leaves_nothing_behind(void **state)
{
    struct csl_result made;
    (void)state;
    made_up_result(&made, 2, 1, false);
    made_up_privacy(&made, "site", 10, true);
    assert_nothing_left_behind(&made);
}

static void test_read_csv__short_row__names_the_line(void **state)
{
    static const char text[] = "round,scope,site,domain,metric,value,low,high,method\n"
                               "1,federation,,,train_loss,0.5,,,\n"
                               "2,federation,,,train_loss,0.5,,\n";
    struct csl_result r = {0};
    (void)state;
    assert_int_equal(csl_result_read_csv(&r, "metrics.csv", CSL_SPAN(text, sizeof(text) - 1), &err),
                     CSL_E_CORRUPT);
    assert_non_null(strstr(err.msg, "metrics.csv:3"));
    csl_result_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean__of_sites_that_have_the_metric__counts_each_once),
        cmocka_unit_test(test_overall__domains_with_different_sites__averages_sites_first),
        cmocka_unit_test(test_repeats__two_runs__give_mean_and_sample_sd),
        cmocka_unit_test(test_files__one_domain__read_back_as_they_were),
        cmocka_unit_test(test_files__three_domains__read_back_as_they_were),
        cmocka_unit_test(test_files__repeats__read_back_with_their_spread),
        cmocka_unit_test(test_files__privacy_and_audit__read_back_as_they_were),
        cmocka_unit_test(test_files__price_of_the_sums__reads_back_as_it_was),
        cmocka_unit_test(test_read__damaged_price_of_the_sums__names_file_and_member),
        cmocka_unit_test(test_files__prices__read_back_with_their_spread),
        cmocka_unit_test(test_spent__of_disjoint_sites__is_the_largest_and_all_entries),
        cmocka_unit_test(test_summary__of_privacy__has_the_members_of_its_document),
        cmocka_unit_test(test_read__damaged_privacy__names_file_and_member),
        cmocka_unit_test(test_read__ledger_without_privacy__is_refused),
        cmocka_unit_test(test_summary__what_was_not_measured__is_absent),
        cmocka_unit_test(test_read__damaged_member__names_file_and_member),
        cmocka_unit_test(test_read__any_allocation_failing__leaves_nothing_behind),
        cmocka_unit_test(test_read__any_allocation_of_prices_failing__leaves_nothing_behind),
        cmocka_unit_test(test_read_csv__short_row__names_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
