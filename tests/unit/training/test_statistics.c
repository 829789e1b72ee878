/* What a site counts for statistics: the words, and that no patient moves them by more than the
 * noise is made for, whatever its records and losses are. */
#include "aggregation/weights/publication.h"
#include "base/buf.h"
#include "privacy/crypto/rng.h"
#include "protocol/study/evaluation.h"
#include "site-agent/training/statistics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PATIENTS = 40, RECORDS_MAX = 4 * PATIENTS, WORDS_MAX = 64, ATTRIBUTES = 3 };

static struct csl_study *study_of(const char *task, const char *groups)
{
    struct csl_study *s = NULL;
    struct csl_err err = {.code = CSL_OK};
    char yaml[1024];
    snprintf(yaml, sizeof(yaml),
             "study: s\ndomains:\n  - id: a\n    modality: tabular\n    task: %s\n"
             "    features: [x]\n    scaling: constants\n    model: {kind: linear}\n"
             "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: full, "
             "steps: 1}}\nrounds: 9\nsites: {minimum: 3}\naggregation: {strategy: fedavg}\n"
             "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
             "fairness: {attributes: [sex, place, age]}\nstatistics: {every: 3%s}\n",
             task, groups);
    if (csl_study_parse(&s, "s.yaml", CSL_SPAN(yaml, strlen(yaml)), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}
#define GROUPS  ", groups: {sex: [f, m], age: [young, middle, old]}"
#define CLASSES "{kind: classes, label: y, classes: 3}"

struct cohort {
    struct csl_examples e;
    uint32_t patient[RECORDS_MAX];
    uint8_t label[RECORDS_MAX], group[PATIENTS * ATTRIBUTES];
    double loss[PATIENTS];
};

/* One to four records of each; any label up to two beyond the classes, as merged ones are. */
static void draw(struct cohort *c, struct csl_rng *rng)
{
    memset(c, 0, sizeof(*c));
    c->e = (struct csl_examples){
        .patients = PATIENTS, .patient = c->patient, .label = c->label, .group = c->group};
    for (uint32_t p = 0; p < PATIENTS; p++) {
        uint64_t n = 1 + csl_rng_u64(rng) % 4;
        for (uint64_t i = 0; i < n; i++) {
            c->patient[c->e.records] = p;
            c->label[c->e.records++] = (uint8_t)(csl_rng_u64(rng) % 5);
        }
        c->group[p * ATTRIBUTES] = (uint8_t)(csl_rng_u64(rng) % 3);
        c->group[p * ATTRIBUTES + 1] = 0; /* its values are not listed */
        c->group[p * ATTRIBUTES + 2] = (uint8_t)(csl_rng_u64(rng) % 4);
        c->loss[p] = csl_rng_u64(rng) % 16 == 0 ? (double)NAN : 3 * csl_rng_uniform(rng);
    }
}

/* The same without one patient. */
static void leave_out(const struct cohort *c, uint32_t who, struct cohort *out)
{
    memset(out, 0, sizeof(*out));
    out->e = (struct csl_examples){.patients = PATIENTS - 1,
                                   .patient = out->patient,
                                   .label = out->label,
                                   .group = out->group};
    for (uint32_t r = 0; r < c->e.records; r++) {
        if (c->patient[r] == who)
            continue;
        out->patient[out->e.records] = c->patient[r] - (c->patient[r] > who);
        out->label[out->e.records++] = c->label[r];
    }
    for (uint32_t p = 0, to = 0; p < PATIENTS; p++) {
        if (p == who)
            continue;
        memcpy(out->group + (size_t)to * ATTRIBUTES, c->group + (size_t)p * ATTRIBUTES, ATTRIBUTES);
        out->loss[to++] = c->loss[p];
    }
}

static void count(const struct csl_study *s, const struct cohort *c, bool has_skill,
                  uint64_t words[WORDS_MAX])
{
    struct csl_err err = {.code = CSL_OK};
    assert_true(csl_study_statistics_words(s, 0) <= WORDS_MAX);
    if (csl_statistics_count(s, 0, &c->e, has_skill ? c->loss : NULL, 1.1, words, &err) != CSL_OK)
        fail_msg("%s", err.msg);
}

static void check_patients(const struct csl_study *s, uint32_t attributes)
{
    struct csl_rng rng;
    struct cohort c, without;
    double most = csl_publication_sensitivity2(attributes, 1) * CSL_PUBLICATION_ONE *
                  CSL_PUBLICATION_ONE,
           reached = 0;
    csl_rng_init_named(&rng, 5, "test/statistics", "patients", attributes);
    for (uint32_t k = 0; k < 50; k++) {
        draw(&c, &rng);
        for (uint32_t who = 0; who < PATIENTS; who++) {
            for (int has_skill = 0; has_skill < 2; has_skill++) {
                uint64_t all[WORDS_MAX], less[WORDS_MAX];
                double moved = 0;
                leave_out(&c, who, &without);
                count(s, &c, has_skill == 1, all);
                count(s, &without, has_skill == 1, less);
                for (size_t i = 0; i < csl_study_statistics_words(s, 0); i++)
                    moved +=
                        ((double)all[i] - (double)less[i]) * ((double)all[i] - (double)less[i]);
                assert_true(moved > 0 && moved <= most);
                reached = fmax(reached, moved);
            }
        }
    }
    assert_true(reached > 0.9 * most); /* else the noise would be more than is needed */
}

static void test_statistics__one_patient_less__within_the_sensitivity(void **state)
{
    struct csl_study *with = study_of(CLASSES, GROUPS), *without = study_of(CLASSES, "");
    (void)state;
    assert_int_equal(csl_study_published_attributes(with), 2);
    check_patients(with, 2);
    check_patients(without, 0);
    csl_study_free(with);
    csl_study_free(without);
}

static void test_statistics__counts__by_hand(void **state)
{
    struct csl_study *s = study_of(CLASSES, GROUPS);
    struct cohort c = {.patient = {0, 0, 1, 2},
                       .label = {0, 2, 1, 3}, /* the last is a set of classes */
                       .group = {1, 0, 3, 2, 0, 0, 0, 0, 3},
                       .loss = {0.55, 5, NAN}};
    const uint64_t one = CSL_PUBLICATION_ONE;
    uint64_t words[WORDS_MAX];
    (void)state;
    c.e = (struct csl_examples){
        .patients = 3, .records = 4, .patient = c.patient, .label = c.label, .group = c.group};
    const uint64_t skills[] = {3 * one, one / 2, one,     one / 2, one, 0, 0, 0,
                               0,       0,       2 * one, one / 2, 0,   0, 0};
    count(s, &c, true, words);
    assert_int_equal(csl_study_statistics_words(s, 0), 15);
    assert_memory_equal(words, skills, sizeof(skills));
    const uint64_t classes[] = {3 * one, 0, one,     0, one,     0,   0,      0,
                                0,       0, 2 * one, 0, one / 2, one, one / 2};
    count(s, &c, false, words);
    assert_memory_equal(words, classes, sizeof(classes));
    csl_study_free(s);
}

/* A time until an event has no class: its patients are counted, and no skill. */
static void test_statistics__survival__patients_alone(void **state)
{
    struct csl_study *s = study_of("{kind: binary, label: y}", "");
    (void)state;
    assert_int_equal(csl_study_statistics_words(s, 0), 4);
    assert_int_equal(csl_study_published_classes(s, 0), 2);
    s->domains[0].task = CSL_TASK_SURVIVAL;
    assert_int_equal(csl_study_published_classes(s, 0), 0);
    assert_int_equal(csl_study_statistics_words(s, 0), 2);
    csl_study_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics__one_patient_less__within_the_sensitivity),
        cmocka_unit_test(test_statistics__counts__by_hand),
        cmocka_unit_test(test_statistics__survival__patients_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
