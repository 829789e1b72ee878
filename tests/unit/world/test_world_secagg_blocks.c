/* Mode joint of a study with inputs, from patients to the opened sums, under masks: two domains and
 * their inputs are four blocks, of which two sites lack two. As in test_world_secagg_noise.c two
 * functions of the product go through the test: csl_noise_add, for what a site's sum over all its
 * blocks was before and after its share of noise, and csl_joint_decode, for the integers of a block
 * that the coordinator opened. Opened sum less the plain sums of the sites in it is the noise that
 * really protects the block. Fixed seed; each comparison is passed by the right distribution with
 * probability 1 - 1e-9 at least (tests/unit/privacy/distribution.h). */
#include "base/log.h"
#include "base/mem.h"
#include "privacy/secagg/joint.h"
#include "site-agent/training/privacy_plan.h"
#include "tests/property/dp/contour.h"
#include "tests/unit/privacy/distribution.h"
#include "tests/unit/world/masked.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DELTA      1e-3
#define RATE       0.5
#define NOISE      1.5
#define LOST_ROUND 3
enum {
    ROUNDS = 8,
    MINIMUM = 3,
    COLLUDING = 1,
    DRAWS_MAX = 16,
    SEEN_MAX = 60000,
    PARAMETERS_MAX = 8192
};
/* `severe` and `second` are known at the last three sites only, the first lack them. */
enum { ILLNESS, SEVERE, FIRST, SECOND, BLOCKS };
static const bool is_everywhere[BLOCKS] = {true, false, true, false};

struct draw { /* of one site in one round, over the blocks it has */
    size_t count;
    int64_t before[PARAMETERS_MAX], after[PARAMETERS_MAX];
};
static struct {
    uint64_t count[BLOCKS], all, few; /* of the schema; of a site with all blocks, or two */
    struct draw draws[DRAWS_MAX];     /* since the last block of a sum was opened */
    uint32_t draw_count;
    double unit; /* of the sites' grid and noise, the same at all */
    long double share_std;
    int64_t noise[MASKED_SITES + 1][SEEN_MAX]; /* by sites in the sum of the block; in units */
    size_t noise_count[MASKED_SITES + 1];
    uint32_t sites[ROUNDS][BLOCKS]; /* in the sum of a block */
    double divisor[ROUNDS][BLOCKS];
    uint32_t opened; /* blocks */
} seen;

enum csl_code __real_csl_noise_add(struct csl_rng *rng, const struct csl_noise *n, int64_t *sum,
                                   size_t count, struct csl_err *err);
enum csl_code __wrap_csl_noise_add(struct csl_rng *rng, const struct csl_noise *n, int64_t *sum,
                                   size_t count, struct csl_err *err);
void __real_csl_joint_decode(double clip, double factor, const uint64_t *words, size_t count,
                             float *out);
void __wrap_csl_joint_decode(double clip, double factor, const uint64_t *words, size_t count,
                             float *out);

enum csl_code __wrap_csl_noise_add(struct csl_rng *rng, const struct csl_noise *n, int64_t *sum,
                                   size_t count, struct csl_err *err)
{
    struct draw *d = &seen.draws[seen.draw_count];
    assert_true(seen.draw_count++ < DRAWS_MAX);
    assert_true(count == seen.all || count == seen.few);
    d->count = count;
    memcpy(d->before, sum, count * sizeof(*sum));
    enum csl_code code = __real_csl_noise_add(rng, n, sum, count, err);
    memcpy(d->after, sum, count * sizeof(*sum));
    long double std = sqrtl(ldexpl((long double)n->gaussian.mantissa, n->gaussian.exponent));
    if (seen.unit > 0) /* sites that differ in their blocks share one grid and one noise */
        assert_true(!(n->unit < seen.unit) && !(n->unit > seen.unit) && !(std < seen.share_std) &&
                    !(std > seen.share_std));
    assert_int_equal(n->dimensions, seen.all);
    seen.unit = n->unit;
    seen.share_std = std;
    /* Who was restarted before its words were kept trains once more: from the same seed, the same.
     */
    for (struct draw *e = seen.draws; e < d; e++)
        if (e->count == count && memcmp(e->after, d->after, count * sizeof(*sum)) == 0) {
            seen.draw_count--;
            break;
        }
    return code;
}

/* Where a block stands in what a site draws; SIZE_MAX: the site lacks it. */
static size_t place_of(const struct draw *d, uint32_t block)
{
    size_t at = 0;
    if (d->count == seen.few && !is_everywhere[block])
        return SIZE_MAX;
    for (uint32_t b = 0; b < block; b++)
        at += d->count == seen.all || is_everywhere[b] ? (size_t)seen.count[b] : 0;
    return at;
}

static bool is_sum_of(uint32_t set, uint32_t block, const uint64_t *words, uint64_t steps)
{
    for (size_t i = 0; i < seen.count[block]; i++) {
        uint64_t sum = 0;
        for (uint32_t d = 0; d < seen.draw_count; d++)
            if ((set >> d & 1) != 0)
                sum += (uint64_t)seen.draws[d].after[place_of(&seen.draws[d], block) + i];
        if (sum * steps != words[i])
            return false;
    }
    return true;
}

/* The draws that are in the opened block: exactly one set of them gives it, to the last bit. */
static uint32_t find_set(uint32_t block, const uint64_t *words, uint64_t steps)
{
    uint32_t found = 0, may = 0;
    for (uint32_t d = 0; d < seen.draw_count; d++)
        may |= place_of(&seen.draws[d], block) != SIZE_MAX ? UINT32_C(1) << d : 0;
    for (uint32_t set = 1; set < UINT32_C(1) << seen.draw_count; set++) {
        if ((set & ~may) != 0 || !is_sum_of(set, block, words, steps))
            continue;
        assert_int_equal(found, 0);
        found = set;
    }
    assert_true(found != 0);
    return found;
}

void __wrap_csl_joint_decode(double clip, double factor, const uint64_t *words, size_t count,
                             float *out)
{
    uint64_t steps = (uint64_t)(seen.unit / csl_joint_unit(clip));
    uint32_t block = seen.opened % BLOCKS, round = seen.opened / BLOCKS, sites = 0;
    assert_true(round < ROUNDS);
    assert_int_equal(count, seen.count[block]);
    uint32_t set = find_set(block, words, steps);
    for (uint32_t d = 0; d < seen.draw_count; d++)
        sites += set >> d & 1;
    assert_in_range(sites, MINIMUM, MASKED_SITES);
    int64_t *noise = seen.noise[sites] + seen.noise_count[sites];
    assert_true(seen.noise_count[sites] + count <= SEEN_MAX);
    for (size_t i = 0; i < count; i++) {
        noise[i] = (int64_t)words[i] / (int64_t)steps;
        for (uint32_t d = 0; d < seen.draw_count; d++)
            if ((set >> d & 1) != 0)
                noise[i] -= seen.draws[d].before[place_of(&seen.draws[d], block) + i];
    }
    seen.noise_count[sites] += count;
    seen.sites[round][block] = sites;
    seen.divisor[round][block] = -1 / factor;
    if (++seen.opened % BLOCKS == 0)
        seen.draw_count = 0;
    __real_csl_joint_decode(clip, factor, words, count, out);
}

static struct fixture fixture;
static const uint64_t seed = 21;

#define DOMAIN(id, label, inputs)                                                                  \
    "  - {id: " id ", inputs: [" inputs "], task: {kind: binary, label: " label                    \
    ", positive: 1}, model: {kind: multimodal, width: 6, hidden: [150], modality_dropout: 0.2}}\n"
#define INPUTS                                                                                     \
    "inputs:\n"                                                                                    \
    "  - {id: first, modality: tabular, features: [first], encoder: {kind: mlp, hidden: [300]}}\n" \
    "  - {id: second, modality: tabular, features: [second], encoder: {kind: mlp, hidden: "        \
    "[350]}}\n"                                                                                    \
    "domains:\n"
#define SECTIONS(minimum)                                                                          \
    "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"                                  \
    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: " minimum "}\n"            \
    "privacy: {mode: joint, noise_multiplier: 1.5, delta: 1e-3, clip: 1, sampling_rate: 0.5}\n"

static struct masked_plan plan_of(uint32_t rounds)
{
    return (struct masked_plan){
        .study =
            INPUTS DOMAIN("illness", "ill", "first") DOMAIN("severe", "partly", "first, second"),
        .rounds = rounds,
        .minimum_sites = MINIMUM,
        .keyless_site = MASKED_NONE,
        .chunk_bytes = 4096,
        .noise_seed = &seed,
        .local = "{optimizer: sgd, learning_rate: 0.5, batch_patients: full, steps: 1}",
        .sections = SECTIONS("3")};
}

static void forget(const struct masked_plan *plan)
{
    struct csl_study *s = masked_study(plan);
    memset(&seen, 0, sizeof(seen));
    assert_int_equal(s->schema.block_count, BLOCKS);
    for (uint32_t b = 0; b < BLOCKS; b++) {
        seen.count[b] = s->schema.blocks[b].count;
        seen.all += seen.count[b];
        seen.few += is_everywhere[b] ? seen.count[b] : 0;
    }
    assert_true(seen.all <= PARAMETERS_MAX);
    csl_study_free(s);
}

static struct masked_result result;

/* The second site, which lacks two blocks, is lost between its promise and its upload. */
static int set_up(void **state)
{
    struct masked_plan plan = plan_of(ROUNDS);
    (void)state;
    masked_open(&fixture);
    plan.lost_round = LOST_ROUND;
    plan.lost_site = 1;
    plan.lost_when = LOST_ANNOUNCED;
    forget(&plan);
    masked_run(&fixture, &plan, &result);
    if (result.code != CSL_OK)
        print_error("%s\n", result.reason);
    return result.code == CSL_OK && result.rounds == ROUNDS ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    masked_release(&result);
    fixture_close(&fixture);
    return 0;
}

/* Of every block those who have it. The divisor is the rate times all training patients of the
 * sites in it, also where a third of them has nothing of the block. */
static void test_world_secagg_blocks__opened_blocks__are_those_of_their_senders(void **state)
{
    double last = 0, all = 0;
    (void)state;
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        all += (double)masked_patients[i];
        last += i > 1 ? (double)masked_patients[i] : 0;
    }
    assert_int_equal(seen.opened, ROUNDS * BLOCKS);
    for (uint32_t r = 0; r < ROUNDS; r++) {
        bool is_lost = r + 1 >= LOST_ROUND;
        double everybody = all - (is_lost ? (double)masked_patients[1] : 0);
        for (uint32_t b = 0; b < BLOCKS; b++) {
            double divisor = RATE * (is_everywhere[b] ? everybody : last) / 0.5;
            assert_int_equal(seen.sites[r][b], !is_everywhere[b] ? 3 : is_lost ? 4 : 5);
            assert_true(fabs(seen.divisor[r][b] / divisor - 1) < 1e-9);
        }
        assert_int_equal(result.contributions[r], is_lost ? 4 : 5);
        assert_int_equal(result.fewest[r], 3);
    }
}

/* As many shares as there are senders of the block, each a discrete Gaussian of 2^18 steps and
 * more, so that their sum is one of so many times the variance. */
static void test_world_secagg_blocks__noise_of_a_block__is_the_sum_of_its_senders_shares(void **s)
{
    (void)s;
    assert_true(seen.share_std >= 0x1p18L);
    for (uint32_t sites = 3; sites <= 5; sites++) {
        const int64_t *x = seen.noise[sites];
        size_t n = seen.noise_count[sites];
        double std = (double)(seen.share_std * sqrtl((long double)sites));
        uint64_t rounds = sites == 3   ? ROUNDS
                          : sites == 5 ? LOST_ROUND - 1
                                       : ROUNDS - LOST_ROUND + 1;
        assert_int_equal(n, rounds * (sites == 3 ? seen.all - seen.few : seen.few));
        assert_true(fit_normal(std, x, n) < 1.0);
        assert_true(moments_off(0.0, std * std, x, n) < NORMAL_LIMIT);
        assert_true(fit_residues(64, x, n) < 1.0); /* integers, not rounded reals */
        /* the same eyes see one share too many or too few */
        double more = std * std * (sites + 1.0) / sites, less = std * std * (sites - 1.0) / sites;
        assert_true(moments_off(0.0, more, x, n) > NORMAL_LIMIT);
        assert_true(moments_off(0.0, less, x, n) > NORMAL_LIMIT);
    }
}

static void make_plan(struct csl_privacy_plan *p, const struct csl_study *study, bool has_all)
{
    const uint64_t all[BLOCKS + 1] = {20, 20, 20, 20, 20}, few[BLOCKS + 1] = {60, 0, 60, 0, 60};
    assert_int_equal(csl_privacy_plan_make(p, study, has_all ? all : few, NULL), CSL_OK);
}

/* Sites that differ in their blocks and patients have one noise at one price: clip and noise
 * multiplier over two honest sites. */
static void test_world_secagg_blocks__plans__are_the_same_whatever_a_site_has(void **state)
{
    struct masked_plan plan = plan_of(ROUNDS);
    struct csl_privacy_plan all, few;
    struct csl_study *study = masked_study(&plan);
    (void)state;
    make_plan(&all, study, true);
    make_plan(&few, study, false);
    assert_int_equal(all.event_count, 1);
    assert_memory_equal(&all.events[0], &few.events[0], sizeof(all.events[0]));
    assert_int_equal(all.events[0].dimensions, seen.all);
    assert_true(fabs((double)seen.share_std * seen.unit / (NOISE / sqrt(MINIMUM - COLLUDING)) - 1) <
                1e-6);
    for (uint32_t i = 0; i < MASKED_SITES; i++) /* who stayed was charged as planned */
        if (i != 1)
            assert_true(fabs(result.epsilon[i] / all.epsilon - 1) < 1e-12 &&
                        result.charges[i] == ROUNDS);
    csl_privacy_plan_release(&all);
    csl_privacy_plan_release(&few);
    csl_study_free(study);
}

/* What the sums cost, from the senders of the block with the fewest: the product's accountant, and
 * a contour integral that shares nothing with it. With one site known two shares are left of three:
 * what was planned. */
static void test_world_secagg_blocks__price__counts_the_block_with_the_fewest(void **state)
{
    struct masked_plan plan = plan_of(ROUNDS);
    struct csl_privacy_plan p;
    struct csl_study *study = masked_study(&plan);
    double known[2], whole = 0;
    (void)state;
    make_plan(&p, study, true);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(csl_privacy_plan_realised(&p, i, result.fewest, ROUNDS, &known[i], NULL),
                         CSL_OK);
    for (int k = 0; k < 4; k++) { /* both directions, at epsilon and at one percent less */
        struct contour_part part = {NOISE * sqrt(3.0 / (MINIMUM - COLLUDING)), RATE, ROUNDS};
        double delta = 0;
        assert_true(
            contour_delta_of(&part, 1, k % 2 == 1, k < 2 ? known[0] : 0.99 * known[0], &delta));
        if (k < 2)
            assert_true(delta <= DELTA);
        else
            whole = fmax(whole, delta);
    }
    assert_true(whole > DELTA);
    assert_true(known[0] < known[1]);
    assert_true(fabs(known[1] / p.epsilon - 1) < 1e-9);
    csl_privacy_plan_release(&p);
    csl_study_free(study);
}

/* A site that has all blocks is killed once tasked, or everything that runs is started again in
 * every stage of a round: the same sums, to the bit of what was drawn, and one charge a round. */
static void test_world_secagg_blocks__restarts__draw_and_charge_once(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++) {
        struct masked_plan plan = plan_of(3);
        struct masked_result r;
        if (k == 0) {
            plan.restart_round = 2;
            plan.restart_site = 3;
        } else {
            plan.staged_round = 2;
            plan.staged = k == 1 ? STAGED_SERVICE : STAGED_SITES;
        }
        forget(&plan);
        masked_run(&fixture, &plan, &r);
        if (r.code != CSL_OK)
            fail_msg("%d: %s", k, r.reason);
        assert_int_equal(r.rounds, 3);
        assert_int_equal(seen.opened, 3 * BLOCKS);
        for (uint32_t i = 0; i < 3 * BLOCKS; i++)
            assert_int_equal(seen.sites[i / BLOCKS][i % BLOCKS], is_everywhere[i % BLOCKS] ? 5 : 3);
        for (uint32_t i = 0; i < MASKED_SITES; i++)
            assert_int_equal(r.charges[i], 3);
        assert_int_equal(r.uncharged, 0);
        masked_release(&r);
    }
}

/* The third sender of a block is gone: two are too few, and nothing of the round is opened. */
static void test_world_secagg_blocks__too_few_senders_of_a_block__nothing_is_opened(void **state)
{
    struct masked_plan plan = plan_of(3);
    struct masked_result r;
    (void)state;
    plan.lost_round = 2;
    plan.lost_site = 4;
    for (int when = LOST_TASKED; when <= LOST_ANNOUNCED; when++) {
        plan.lost_when = (enum masked_loss)when;
        forget(&plan);
        masked_run(&fixture, &plan, &r);
        assert_int_equal(r.code, CSL_E_STATE);
        assert_non_null(strstr(r.reason, "severe has updates of 2 sites"));
        assert_int_equal(seen.opened, BLOCKS); /* of the first round */
        masked_release(&r);
    }
}

static void test_world_secagg_blocks__block_at_too_few_sites__does_not_begin(void **state)
{
    struct masked_plan plan = plan_of(2);
    struct masked_result r;
    (void)state;
    plan.sections = SECTIONS("4");
    plan.minimum_sites = 4;
    forget(&plan);
    masked_run(&fixture, &plan, &r);
    assert_int_equal(r.code, CSL_E_STATE);
    assert_non_null(strstr(r.reason, "severe is known at 3 sites"));
    assert_int_equal(r.uploads, 0);
    assert_int_equal(seen.opened, 0);
    masked_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_secagg_blocks__opened_blocks__are_those_of_their_senders),
        cmocka_unit_test(
            test_world_secagg_blocks__noise_of_a_block__is_the_sum_of_its_senders_shares),
        cmocka_unit_test(test_world_secagg_blocks__price__counts_the_block_with_the_fewest),
        cmocka_unit_test(test_world_secagg_blocks__plans__are_the_same_whatever_a_site_has),
        cmocka_unit_test(test_world_secagg_blocks__restarts__draw_and_charge_once),
        cmocka_unit_test(test_world_secagg_blocks__too_few_senders_of_a_block__nothing_is_opened),
        cmocka_unit_test(test_world_secagg_blocks__block_at_too_few_sites__does_not_begin),
    };
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
