/* Counting for a census: one patient is one bounded vector, whatever the records are;
 * what leaves carries the noise of the plan, on the integers. */
#include "aggregation/statistics/statistics.h"
#include "privacy/crypto/init.h"
#include "site-agent/training/count.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { FEATURES = 2, BINS = 8, RECORDS_MAX = 400, WORDS = 1 + 2 + FEATURES * (BINS + 5) };

#define STUDY                                                                                      \
    "study: counted\n"                                                                             \
    "census: {bins: 8}\n"                                                                          \
    "domains:\n"                                                                                   \
    "  - id: d\n"                                                                                  \
    "    modality: tabular\n"                                                                      \
    "    task: {kind: binary, label: ill}\n"                                                       \
    "    features: [{name: x, range: [0, 8]}, {name: y, range: [-1, 1]}]\n"                        \
    "sites: {minimum: 3}\n"
#define MASKS "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"

struct site {
    struct csl_examples splits[1][CSL_SPLIT_COUNT];
    struct csl_dataset data;
    float x[RECORDS_MAX * FEATURES];
    uint32_t patient[RECORDS_MAX];
    uint8_t label[RECORDS_MAX];
};

static struct csl_study *parse(const char *yaml)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    if (csl_study_parse(&s, "s.yaml", CSL_SPAN(yaml, strlen(yaml)), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}

static void open_site(struct site *s, const struct csl_study *study)
{
    memset(s, 0, sizeof(*s));
    s->data.study = study;
    s->data.domain_count = 1;
    s->data.domains = s->splits;
    s->splits[0][CSL_SPLIT_TRAIN] = (struct csl_examples){
        .width = FEATURES, .x = s->x, .patient = s->patient, .label = s->label};
}

static void add_record(struct site *s, bool is_new, float x, float y, uint8_t label)
{
    struct csl_examples *e = &s->splits[0][CSL_SPLIT_TRAIN];
    e->patients += is_new;
    s->x[e->records * FEATURES] = x;
    s->x[e->records * FEATURES + 1] = y;
    s->patient[e->records] = e->patients - 1;
    s->label[e->records++] = label;
}

static void count(const struct csl_study *study, const struct site *s, int64_t sum[WORDS])
{
    memset(sum, 0, WORDS * sizeof(*sum));
    assert_int_equal(csl_count_domain(study, 0, &s->splits[0][CSL_SPLIT_TRAIN], sum, NULL), CSL_OK);
}

static void test_count__several_records__are_one_patient_with_their_mean(void **state)
{
    (void)state;
    struct csl_study *study = parse(STUDY);
    struct site s;
    int64_t sum[WORDS];
    open_site(&s, study);
    add_record(&s, true, 1, NAN, 0); /* the mean of 1 and 5 is 3: bin 3; y is known once */
    add_record(&s, false, 5, 1, 1);
    add_record(&s, false, NAN, NAN, 1);
    add_record(&s, true, 9, NAN, 1); /* above; y is missing */
    count(study, &s, sum);
    const int64_t one = CSL_STATISTICS_ONE;
    const int64_t *x = sum + 3, *y = x + BINS + 5;
    assert_int_equal(sum[0], 2 * one);
    assert_int_equal(sum[1], one); /* the first record's answer */
    assert_int_equal(sum[2], one);
    assert_int_equal(x[0], 0);
    assert_int_equal(x[2 + 3], one);
    assert_int_equal(x[2 + BINS], one);
    assert_int_equal(x[3 + BINS], -one / 4 + one); /* 2 * 3 / 8 - 1, and the end */
    assert_int_equal(x[4 + BINS], one / 16 + one);
    assert_int_equal(y[0], one);
    assert_int_equal(y[2 + BINS - 1], one);
    assert_int_equal(y[3 + BINS], one);
    csl_study_free(study);
}

static uint64_t distance2(const int64_t *a, const int64_t *b)
{
    uint64_t sum = 0;
    for (int i = 0; i < WORDS; i++)
        sum += (uint64_t)((a[i] - b[i]) * (a[i] - b[i]));
    return sum;
}

/* Adding a patient with any number of records moves the sum by at most the sensitivity, and within
 * what the plan's noise is made for. */
static void test_count__neighbouring_sites__differ_by_at_most_the_clip(void **state)
{
    (void)state;
    struct csl_study *study = parse(STUDY "privacy: {mode: local, epsilon: 1, delta: 1e-5}\n");
    static const float odd[] = {0, 8, -1, 1, 1e30f, -1e30f, 3.4e38f, 0.5f};
    struct csl_rng rng;
    csl_rng_init_label(&rng, 5, "test/count", 0, 0, 0);
    for (int run = 0; run < 2000; run++) {
        struct site s;
        int64_t with[WORDS], without[WORDS];
        open_site(&s, study);
        for (uint64_t p = csl_rng_below(&rng, 4) + 1; p > 0; p--) {
            count(study, &s, without);
            for (uint64_t r = csl_rng_below(&rng, 20) + 1, first = r; r > 0; r--) {
                float x = csl_rng_below(&rng, 4) == 0 ? NAN : odd[csl_rng_below(&rng, 8)];
                float y = csl_rng_below(&rng, 4) == 0 ? INFINITY : odd[csl_rng_below(&rng, 8)];
                add_record(&s, r == first, x, y, (uint8_t)csl_rng_below(&rng, 2));
            }
        }
        count(study, &s, with);
        double moved = sqrt((double)distance2(with, without)) / CSL_STATISTICS_ONE;
        assert_true(moved <= study->privacy.clip);
        assert_true(distance2(with, without) <=
                    (1 + 1 + 3 * FEATURES) * (uint64_t)CSL_STATISTICS_ONE * CSL_STATISTICS_ONE);
    }
    csl_study_free(study);
}

/* --- what leaves --- */

static void fill(struct site *s)
{
    for (int i = 0; i < 300; i++)
        add_record(s, true, (float)(i % 9), (float)(i % 5) / 2 - 1, (uint8_t)(i % 2));
}

static void run(const struct csl_study *study, struct site *s, struct csl_private_run *privacy,
                float update[WORDS], int64_t *joint, struct csl_train_report *report)
{
    struct csl_trainer *t = NULL;
    struct csl_err err = {0};
    const float global[WORDS] = {0};
    const struct csl_train_task task = {.data = &s->data,
                                        .privacy = privacy,
                                        .round = 1,
                                        .global = global,
                                        .update = update,
                                        .joint_sum = joint};
    assert_int_equal(study->schema.parameters, WORDS);
    assert_int_equal(csl_trainer_new(&t, study, "cpu-ref", &err), CSL_OK);
    if (csl_trainer_run(t, &task, report, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_trainer_free(t);
}

static void test_count__without_privacy__sends_the_counts(void **state)
{
    (void)state;
    struct csl_study *study = parse(STUDY);
    struct site s;
    float update[WORDS];
    int64_t sum[WORDS];
    struct csl_train_report report;
    open_site(&s, study);
    fill(&s);
    count(study, &s, sum);
    run(study, &s, NULL, update, NULL, &report);
    for (int i = 0; i < WORDS; i++)
        assert_true((double)update[i] * CSL_STATISTICS_ONE == (double)sum[i]);
    assert_int_equal(report.block_count, 1);
    assert_int_equal(report.blocks[0].patients, 300);
    assert_int_equal(report.event_count, 0);
    csl_study_free(study);
}

/* The noise of every entry: its mean square over `runs` times WORDS draws is sigma^2, within 6.5
 * standard deviations of that mean (sigma^2 sqrt(2 / n)): a false alarm has a probability below
 * 1e-9. */
static void check_noise(const char *yaml, bool is_joint)
{
    enum { RUNS = 200 };
    struct csl_study *study = parse(yaml);
    struct csl_privacy_plan plan;
    struct csl_err err = {0};
    struct site s;
    int64_t sum[WORDS];
    const uint64_t patients = 300;
    double squares = 0;
    open_site(&s, study);
    fill(&s);
    count(study, &s, sum);
    if (csl_privacy_plan_make(&plan, study, &patients, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    const struct csl_noise *noise = &plan.domains[0].noise;
    for (uint64_t i = 0; i < RUNS; i++) {
        struct csl_rng rng;
        float update[WORDS];
        int64_t joint[WORDS];
        struct csl_train_report report;
        struct csl_private_run privacy = {.plan = &plan, .rng = &rng};
        csl_rng_init_label(&rng, 6, "test/count/noise", is_joint, i, 0);
        run(study, &s, &privacy, update, is_joint ? joint : NULL, &report);
        assert_int_equal(report.event_count, 1);
        assert_int_equal(report.events[0].steps, 1);
        assert_true(report.events[0].sampling_rate == 1);
        for (int w = 0; w < WORDS; w++) {
            double got = is_joint ? (double)joint[w] * noise->unit : (double)update[w];
            double off = got - (double)sum[w] / CSL_STATISTICS_ONE;
            squares += off * off;
        }
    }
    double sigma = noise->std_units * noise->unit, n = (double)RUNS * WORDS;
    assert_true(sigma > 1);
    assert_true(fabs(squares / n / (sigma * sigma) - 1) <= 6.5 * sqrt(2 / n));
    csl_privacy_plan_release(&plan);
    csl_study_free(study);
}

static void test_count__local__adds_the_noise_of_the_plan(void **state)
{
    (void)state;
    check_noise(STUDY "privacy: {mode: local, epsilon: 1, delta: 1e-5}\n", false);
}

static void test_count__joint__adds_a_share_of_it(void **state)
{
    (void)state;
    check_noise(STUDY MASKS "privacy: {mode: joint, epsilon: 1, delta: 1e-5}\n", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count__several_records__are_one_patient_with_their_mean),
        cmocka_unit_test(test_count__neighbouring_sites__differ_by_at_most_the_clip),
        cmocka_unit_test(test_count__without_privacy__sends_the_counts),
        cmocka_unit_test(test_count__local__adds_the_noise_of_the_plan),
        cmocka_unit_test(test_count__joint__adds_a_share_of_it),
    };
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
