/* Statistics of a study in whole studies under masks: the noisy sums of what the sites count, their
 * price in the sites' ledgers, what is suppressed, and nothing of one site on the wire. Fixed
 * seeds; a bound of 7 standard deviations is passed with probability 1 - 3e-12 each. */
#include "tests/unit/world/masked_internal.h"

#include "aggregation/weights/publication.h"
#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "protocol/study/evaluation.h"
#include "site-agent/data/record.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLES  "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define MASKS    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
#define JOINT    "privacy: {mode: joint, epsilon: 2, delta: 1e-6, clip: 1, sampling_rate: 0.5}\n"
#define LOCAL    "privacy: {mode: local, epsilon: 2, delta: 1e-6, clip: 1}\n"
#define FAIRNESS "fairness: {attributes: [sex, hospital, age]}\n"
#define GROUPS   "groups: {sex: [female, male], age: [young, middle, old]}"
#define NOISY(n) "statistics: {every: " #n ", epsilon: 1, delta: 1e-6, " GROUPS "}\n"
#define EXACT    "statistics: {every: 2, " GROUPS "}\n"
#define ONE_STEP "{optimizer: sgd, learning_rate: 0.5, batch_patients: full, steps: 1}"
enum { CELLS = 1 + 2 + 3, WORDS = 2 * CELLS + 2, TRAIN = 600 /* patients of a site */ };

static struct fixture fixture;
static const uint64_t seed = 14;

static struct masked_plan plan_of(uint32_t rounds, const char *sections)
{
    return (struct masked_plan){.rounds = rounds,
                                .minimum_sites = 3,
                                .keyless_site = MASKED_NONE,
                                .chunk_bytes = 16384,
                                .noise_seed = &seed,
                                .judges_last = true,
                                .local = ONE_STEP,
                                .sections = sections};
}

static void run(const struct masked_plan *plan, struct masked_result *out)
{
    masked_run(&fixture, plan, out);
    if (out->code != CSL_OK)
        fail_msg("%s", out->reason);
    assert_int_equal(out->rounds, plan->rounds);
}

/* --- records --- */

static void *repeated(const void *from, size_t bytes, uint32_t have, uint32_t want)
{
    uint8_t *to = csl_alloc_array(want, bytes);
    assert_non_null(to);
    for (uint32_t i = 0; i < want; i++)
        memcpy(to + i * bytes, (const uint8_t *)from + (i % have) * bytes, bytes);
    return to;
}

static void add_attribute(struct csl_records *r, const char *name, const char *const *values,
                          const uint32_t *parts, uint32_t count)
{
    struct csl_record_attribute *a = &r->attributes[r->attribute_count++];
    uint32_t whole = 0;
    csl_str_copy(a->name, sizeof(a->name), name);
    a->value = csl_alloc_array(r->patient_count, sizeof(*a->value));
    assert_non_null(a->value);
    for (uint32_t v = 0; v < count; v++)
        whole += parts[v];
    for (uint32_t i = 0; i < r->patient_count; i++) {
        uint32_t at = i % whole, v = 0;
        while (at >= parts[v])
            at -= parts[v++];
        csl_str_copy(a->value[i], sizeof(a->value[i]), values[v]);
    }
}

/* Two women to a man; of six patients three are young, two old, and of one the age is not known. */
static void grow(uint32_t site)
{
    static const char *const sexes[] = {"female", "male"}, *const ages[] = {"young", "old", ""};
    static const uint32_t of_sex[] = {2, 1}, of_age[] = {3, 2, 1};
    const uint32_t n = TRAIN * 4 / 3;
    char path[CSL_PATH_MAX];
    struct csl_records r, grown;
    struct csl_err err = {.code = CSL_OK};
    masked_records_path(&fixture, site, path);
    masked_must(csl_records_read(&r, path, &err), &err);
    uint32_t have = r.record_count - r.record_count % 4; /* every fourth tests */
    grown = r;
    grown.patient_count = grown.record_count = n;
    grown.patient_id = repeated(r.patient_id, sizeof(*r.patient_id), have, n);
    grown.split = repeated(r.split, 1, have, n);
    grown.patient = repeated(r.patient, sizeof(*r.patient), have, n);
    grown.time = repeated(r.time, sizeof(*r.time), have, n);
    struct csl_record_modality *m = &grown.modalities[0];
    m->values = repeated(r.modalities[0].values, 2 * sizeof(float), have, n);
    m->available = repeated(r.modalities[0].available, 1, have, n);
    for (uint32_t k = 0; k < r.label_count; k++)
        grown.labels[k].value = repeated(r.labels[k].value, sizeof(int16_t), have, n);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(grown.patient_id[i], sizeof(grown.patient_id[i]), "p%u", i);
        grown.patient[i] = i;
    }
    grown.attribute_count = 0; /* in place of the fixture's */
    add_attribute(&grown, "sex", sexes, of_sex, 2);
    add_attribute(&grown, "age", ages, of_age, 3);
    masked_must(csl_records_write(&grown, path, &err), &err);
    for (uint32_t k = 0; k < r.label_count; k++)
        csl_free(grown.labels[k].value);
    for (uint32_t k = 0; k < grown.attribute_count; k++)
        csl_free(grown.attributes[k].value);
    csl_free(grown.patient_id);
    csl_free(grown.split);
    csl_free(grown.patient);
    csl_free(grown.time);
    csl_free(m->values);
    csl_free(m->available);
    csl_records_release(&r);
}

/* --- what the sites counted --- */

/* Statistics of one site in a round: before the scalars, at the end of its words. */
static const uint8_t *words_of(const struct masked_result *r, uint32_t site, uint64_t round)
{
    for (uint32_t i = 0; i < r->plain_count; i++) {
        size_t end = i + 1 < r->plain_count ? r->plains[i + 1].at : r->plain.n;
        if (r->plains[i].site == site && r->plains[i].round == round)
            return r->plain.p + end - (WORDS + 2) * sizeof(uint64_t);
    }
    fail_msg("site %u has no words of round %llu", site, (unsigned long long)round);
    return NULL;
}

static void sum_words(const struct masked_result *r, uint64_t round, uint32_t missing,
                      int64_t sum[WORDS])
{
    memset(sum, 0, WORDS * sizeof(*sum));
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        for (size_t k = 0; k < WORDS && i != missing; k++)
            sum[k] += (int64_t)csl_load_le64(words_of(r, i, round) + 8 * k);
}

/* What is shown is the sum of the words, to the bit, and what is not is 0. */
static void assert_is_sum(const struct csl_published *p, const int64_t sum[WORDS])
{
    for (uint32_t c = 0; c < CELLS; c++) {
        double patients = (double)sum[2 * c] / CSL_PUBLICATION_ONE;
        double least = CSL_PUBLICATION_USABLE * p->sigma;
        double group = c > 0 ? 30 : 0; /* fairness.minimum_group */
        const struct csl_domain_statistic *cell = &p->cells[c];
        bool is_absent = !(patients > 0) || patients < least || patients < group;
        assert_int_equal(cell->is_absent, is_absent);
        assert_true(cell->patients == (is_absent ? 0 : patients));
        if (is_absent || !p->has_skill)
            assert_true(cell->skill_sum == 0);
        else
            assert_true(cell->skill_sum ==
                        fmin(fmax((double)sum[2 * c + 1] / CSL_PUBLICATION_ONE, 0), patients));
    }
}

/* --- exact --- */

static void test_world_secagg_statistics__no_privacy__exact_sums(void **state)
{
    struct masked_plan plan = plan_of(5, SAMPLES MASKS FAIRNESS EXACT);
    struct masked_result r, without;
    int64_t sum[WORDS];
    (void)state;
    plan.noise_seed = NULL;
    run(&plan, &r);
    assert_int_equal(r.published_count, 3); /* in rounds 1, 3 and 5 */
    for (uint32_t i = 0; i < 3; i++) {
        const struct csl_published *p = &r.published[i];
        const double all = MASKED_SITES * TRAIN;
        sum_words(&r, 2 * i + 1, MASKED_NONE, sum);
        assert_is_sum(p, sum);
        assert_int_equal(p->round, 2 * i + 1);
        assert_int_equal(p->sites, MASKED_SITES);
        assert_true(p->sigma == 0 && p->cells[0].patients == all);
        assert_true(p->cells[1].patients + p->cells[2].patients == all);
        assert_true(p->cells[1].patients > p->cells[2].patients);
        assert_true(p->cells[4].is_absent); /* nobody is of middle age */
        assert_int_equal(p->has_skill, i > 0);
        if (i == 0) { /* a third of those that train is ill */
            const double ill = 1.0 / 3;
            assert_int_equal(sum[WORDS - 2], 2 * sum[WORDS - 1]);
            assert_int_equal(sum[WORDS - 2] + sum[WORDS - 1], sum[0]);
            assert_true(fabs(p->prior_loss + ill * log(ill) + (1 - ill) * log(1 - ill)) < 1e-12);
        } else {
            assert_true(sum[WORDS - 2] == 0 && sum[WORDS - 1] == 0);
        }
    }
    const struct csl_published *second = &r.published[1], *third = &r.published[2];
    assert_true(second->cells[0].skill_sum > 0.1 * second->cells[0].patients);
    assert_true(third->cells[0].skill_sum > second->cells[0].skill_sum);
    plan.sections = SAMPLES MASKS FAIRNESS; /* counting changes nothing of the model */
    run(&plan, &without);
    assert_int_equal(without.published_count, 0);
    assert_memory_equal(r.model, without.model, r.parameters * sizeof(float));
    masked_release(&r);
    masked_release(&without);
}

static void test_world_secagg_statistics__unmasked__same_publications(void **state)
{
    struct masked_plan plan = plan_of(5, SAMPLES MASKS FAIRNESS EXACT);
    struct masked_result masked, plain;
    (void)state;
    plan.domain = "severe"; /* of three sites */
    run(&plan, &masked);
    assert_int_equal(masked.published_count, 2 * 3);
    for (uint32_t i = 0; i < masked.published_count; i++)
        assert_int_equal(masked.published[i].sites, masked.published[i].domain == 0 ? 5 : 3);
    plan.is_unmasked = true;
    run(&plan, &plain);
    assert_int_equal(plain.published_count, masked.published_count);
    assert_memory_equal(masked.published, plain.published,
                        plain.published_count * sizeof(*plain.published));
    masked_release(&masked);
    masked_release(&plain);
}

/* --- with noise --- */

#define PRICED_ROUNDS 20

/* Twenty publications of two attributes at epsilon 1 and delta 1e-6: what the design's closed form
 * asks for is 58.6 patients, for the shares that are counted on; five sites hold more. */
static void test_world_secagg_statistics__twenty_publications__cost_what_they_may(void **state)
{
    struct masked_plan plan = plan_of(PRICED_ROUNDS, SAMPLES MASKS JOINT FAIRNESS NOISY(1));
    const struct csl_publication_plan design = {.epsilon = 1,
                                                .delta = 1e-6,
                                                .publications = PRICED_ROUNDS,
                                                .sensitivity2 = csl_publication_sensitivity2(2, 1)};
    struct masked_result r;
    struct csl_err err = {.code = CSL_OK};
    int64_t sum[WORDS];
    double closed = 0;
    (void)state;
    masked_must(csl_publication_noise(&design, &closed, &err), &err);
    assert_true(fabs(closed - 58.6) < 0.05);
    run(&plan, &r);
    assert_int_equal(r.published_count, PRICED_ROUNDS);
    for (uint32_t i = 0; i < PRICED_ROUNDS; i++) {
        const struct csl_published *p = &r.published[i];
        double counted =
            p->sigma * sqrt((3 - 1.0) / MASKED_SITES); /* of the fewest honest shares */
        sum_words(&r, i + 1, MASKED_NONE, sum);
        assert_is_sum(p, sum);
        assert_true(counted <= closed && counted > 0.75 * closed);
        double off = (double)sum[0] / CSL_PUBLICATION_ONE - MASKED_SITES * TRAIN;
        assert_true(off != 0 && fabs(off) < 7 * p->sigma);
        assert_false(p->cells[0].is_absent);
        assert_false(p->cells[1].is_absent); /* two thousand women */
        assert_true(p->cells[2].is_absent);  /* a thousand men: 11 sigma */
        assert_true(p->cells[4].is_absent && p->cells[5].is_absent);
    }
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        assert_int_equal(r.statistics_charges[i], PRICED_ROUNDS);
        assert_int_equal(r.charges[i], PRICED_ROUNDS);
        assert_true(r.statistics_epsilon[i] <= 1 && r.statistics_epsilon[i] > 0.99);
        assert_true(r.epsilon[i] <= 2);
    }
    assert_int_equal(r.uncharged, 0); /* every message of a round had its two entries before it */
    masked_release(&r);
}

/* A patient may be in both domains: twice the squared sensitivity. */
static void test_world_secagg_statistics__two_domains_in_mode_local__priced_together(void **state)
{
    struct masked_plan plan = plan_of(2, SAMPLES MASKS LOCAL FAIRNESS NOISY(1));
    struct masked_result one, two;
    (void)state;
    plan.local = NULL;
    run(&plan, &one);
    plan.domain = "severe";
    run(&plan, &two);
    assert_int_equal(one.published_count, 2);
    assert_int_equal(two.published_count, 4);
    assert_true(fabs(two.published[0].sigma / one.published[0].sigma - sqrt(2)) < 1e-3);
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        assert_int_equal(two.statistics_charges[i], 2);
        assert_true(two.statistics_epsilon[i] <= 1);
    }
    assert_int_equal(two.uncharged, 0);
    masked_release(&one);
    masked_release(&two);
}

static void test_world_secagg_statistics__budget_too_small__declined(void **state)
{
    struct masked_plan plan = plan_of(2, SAMPLES MASKS JOINT FAIRNESS NOISY(1));
    struct masked_result r;
    (void)state;
    plan.poor_budget = 0.9;
    run(&plan, &r);
    assert_int_equal(r.membership[MASKED_SITES - 1], CSL_MEMBER_DECLINED);
    assert_true(r.statistics_epsilon[MASKED_SITES - 1] == 0); /* nothing of it is left reserved */
    assert_int_equal(r.statistics_charges[MASKED_SITES - 1], 0);
    assert_int_equal(r.published_count, 2);
    assert_int_equal(r.published[1].sites, MASKED_SITES - 1);
    masked_release(&r);
}

static struct {
    struct masked_plan *plan;
    uint32_t declined, accepted;
} offered;

/* The last site declines twice, each time by another process, and has the others' budget then. */
static bool offer_again(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    if (to == CSL_TO_SITE || site != MASKED_SITES - 1 || m->kind != CSL_MSG_STUDY_ANSWER)
        return false;
    offered.declined += !m->u.study_answer.accepted;
    offered.accepted += m->u.study_answer.accepted;
    masked_w.must_bounce = !m->u.study_answer.accepted;
    if (offered.declined == 2)
        offered.plan->poor_budget = 0;
    return false;
}

/* Some of the publications fit, and were given back. The study waits for the site. */
static void test_world_secagg_statistics__offered_again__declines_or_counts_all(void **state)
{
    enum { ROUNDS = 5, POOR = MASKED_SITES - 1 };
    struct masked_plan plan = plan_of(ROUNDS, SAMPLES MASKS JOINT FAIRNESS NOISY(1));
    struct masked_result r;
    (void)state;
    plan.minimum_sites = MASKED_SITES;
    plan.poor_budget = 0.9;
    plan.restart_site = POOR;
    plan.meddle = offer_again;
    plan.meddles_with_all = true;
    memset(&offered, 0, sizeof(offered));
    offered.plan = &plan;
    run(&plan, &r);
    assert_int_equal(offered.declined, 2);
    assert_int_equal(offered.accepted, 1);
    assert_int_equal(r.published_count, ROUNDS);
    for (uint32_t i = 0; i < ROUNDS; i++)
        assert_int_equal(r.published[i].sites, MASKED_SITES);
    assert_int_equal(r.statistics_charges[POOR], ROUNDS);
    assert_true(r.statistics_epsilon[POOR] <= 1);
    assert_int_equal(r.uncharged, 0);
    masked_release(&r);
}

/* All of it is reserved before the first round, and updates are paid from what is left. */
static void test_world_secagg_statistics__budget_of_both__holds_updates_back(void **state)
{
    struct masked_plan plan = plan_of(2, SAMPLES MASKS JOINT FAIRNESS NOISY(1));
    struct masked_result r;
    (void)state;
    plan.budget = 2.9; /* 2 for the updates, 1 for the statistics */
    masked_run(&fixture, &plan, &r);
    assert_int_not_equal(r.code, CSL_OK);
    assert_int_equal(r.rounds, 1);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_true(r.epsilon[i] + r.statistics_epsilon[i] <= 2.9);
    masked_release(&r);
}

/* --- on the wire --- */

static bool holds(const struct csl_buf *sent, const uint8_t *run_of, size_t n)
{
    for (size_t at = 0; at + n <= sent->n; at++)
        if (sent->p[at] == run_of[0] && memcmp(sent->p + at, run_of, n) == 0)
            return true;
    return false;
}

/* Of one site: patients, with skill or without; a run of groups; classes. As words, and in
 * patients. */
static uint32_t told(const struct masked_result *r, uint32_t rounds)
{
    uint32_t found = 0;
    for (uint64_t round = 1; round <= rounds; round++) {
        for (uint32_t i = 0; i < MASKED_SITES; i++) {
            const uint8_t *w = words_of(r, i, round);
            uint8_t whole[8 * WORDS], real[8];
            for (size_t k = 0; k < WORDS; k++) {
                uint64_t patients = csl_load_le64(w + 8 * k) / CSL_PUBLICATION_ONE;
                csl_store_le64(whole + 8 * k, patients);
            }
            double patients = (double)(int64_t)csl_load_le64(w) / CSL_PUBLICATION_ONE;
            uint64_t bits;
            memcpy(&bits, &patients, sizeof(bits));
            csl_store_le64(real, bits);
            found += holds(&r->sent, w, 16) || holds(&r->sent, w, 8);
            found += holds(&r->sent, w + 16, 8 * (2 * (size_t)CELLS - 2));
            found += holds(&r->sent, whole, 8 * WORDS) || holds(&r->sent, real, 8);
        }
    }
    return found;
}

static void test_world_secagg_statistics__everything_sent__no_count_of_one_site(void **state)
{
    static const char *const sections[] = {SAMPLES MASKS JOINT FAIRNESS NOISY(1),
                                           SAMPLES MASKS FAIRNESS "statistics: {every: 1, " GROUPS
                                                                  "}\n"};
    (void)state;
    for (uint32_t k = 0; k < 2; k++) {
        struct masked_plan plan = plan_of(3, sections[k]);
        struct masked_result r;
        run(&plan, &r);
        assert_int_equal(told(&r, 3), 0);
        assert_int_equal(r.counts_told, 0);
        masked_release(&r);
        plan.is_unmasked = true; /* the same search finds them where nobody masks */
        run(&plan, &r);
        assert_true(told(&r, 3) >= 2 * 3 * MASKED_SITES);
        masked_release(&r);
    }
}

/* --- what goes wrong --- */

/* Two sites' uploads are not what they promised. The next attempt sends the same words, which are
 * charged once. */
static void test_world_secagg_statistics__attempt_abandoned__same_words_charged_once(void **state)
{
    struct masked_plan plan = plan_of(3, SAMPLES MASKS JOINT FAIRNESS NOISY(2));
    struct masked_result calm, r;
    (void)state;
    run(&plan, &calm);
    plan.lying_round = 3;
    plan.lying_site = 1;
    plan.lying_more = 1;
    plan.lies_once = true;
    run(&plan, &r);
    assert_int_equal(r.abandoned, 1);
    assert_int_equal(r.published_count, 2);
    assert_memory_equal(calm.published, r.published, 2 * sizeof(*r.published));
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        assert_int_equal(r.statistics_charges[i], 2);
    assert_int_equal(r.uncharged, 0);
    masked_release(&calm);
    masked_release(&r);
}

/* A site that is gone takes its share of the noise with it; the sum is of the others. */
static void test_world_secagg_statistics__site_lost__less_noise_and_said_so(void **state)
{
    struct masked_plan plan = plan_of(2, SAMPLES MASKS JOINT FAIRNESS NOISY(1));
    struct masked_result r;
    int64_t sum[WORDS];
    (void)state;
    plan.lost_round = 2;
    plan.lost_site = 4;
    plan.lost_when = LOST_ANNOUNCED;
    run(&plan, &r);
    assert_int_equal(r.published_count, 2);
    assert_int_equal(r.published[1].sites, 4);
    assert_true(fabs(r.published[1].sigma / r.published[0].sigma - sqrt(0.8)) < 1e-9);
    sum_words(&r, 2, 4, sum);
    assert_is_sum(&r.published[1], sum);
    masked_release(&r);
}

/* Coordinator and sites are started again in every stage of a round. */
static void test_world_secagg_statistics__restarts_in_every_stage__same_publications(void **state)
{
    struct masked_plan plan = plan_of(4, SAMPLES MASKS JOINT FAIRNESS NOISY(1));
    struct masked_result calm, r;
    (void)state;
    run(&plan, &calm);
    for (uint32_t k = 0; k < 2; k++) {
        plan.staged_round = 2;
        plan.staged = k == 0 ? STAGED_SERVICE : STAGED_SITES;
        run(&plan, &r);
        assert_true(r.stages != 0);
        assert_int_equal(r.published_count, 4);
        assert_memory_equal(calm.published, r.published, 4 * sizeof(*r.published));
        assert_memory_equal(calm.model, r.model, r.parameters * sizeof(float));
        for (uint32_t i = 0; i < MASKED_SITES; i++)
            assert_int_equal(r.statistics_charges[i], 4);
        assert_int_equal(r.uncharged, 0);
        masked_release(&r);
    }
    masked_release(&calm);
}

static int set_up(void **state)
{
    (void)state;
    masked_open(&fixture);
    for (uint32_t i = 0; i < MASKED_SITES; i++)
        grow(i);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_close(&fixture);
    return 0;
}

int main(void)
{
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_secagg_statistics__no_privacy__exact_sums),
        cmocka_unit_test(test_world_secagg_statistics__unmasked__same_publications),
        cmocka_unit_test(test_world_secagg_statistics__twenty_publications__cost_what_they_may),
        cmocka_unit_test(test_world_secagg_statistics__two_domains_in_mode_local__priced_together),
        cmocka_unit_test(test_world_secagg_statistics__budget_too_small__declined),
        cmocka_unit_test(test_world_secagg_statistics__offered_again__declines_or_counts_all),
        cmocka_unit_test(test_world_secagg_statistics__budget_of_both__holds_updates_back),
        cmocka_unit_test(test_world_secagg_statistics__everything_sent__no_count_of_one_site),
        cmocka_unit_test(test_world_secagg_statistics__attempt_abandoned__same_words_charged_once),
        cmocka_unit_test(test_world_secagg_statistics__site_lost__less_noise_and_said_so),
        cmocka_unit_test(test_world_secagg_statistics__restarts_in_every_stage__same_publications),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
