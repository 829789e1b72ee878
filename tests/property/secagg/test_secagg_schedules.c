/* Random schedules of whole attempts: order, duplicates, losses, deaths, crashes at journal writes,
 * early closing, giving up, further attempts and rounds. After every event the machines' own
 * invariants and the monitor's I1 to I5 are asserted; whenever a sum is released it equals the
 * plain sum of the survivors bit for bit (I6). Seeds are fixed: schedule k is the same every time,
 * whichever range it is run in, so a long run can be split.
 *
 * test_secagg_schedules [first [count]]: that many schedules instead of those that fit the time.
 * The line that begins with "total" is made to be added up over ranges. */
#include "base/clock.h"
#include "base/str.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/vss.h"
#include "privacy/secagg/graph.h"
#include "tests/property/secagg/oracle.h"
#include "tests/unit/secagg/world.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SITES_LARGE = 100, SITES_LARGEST = 300, SITES_SPARSE = CSL_SECAGG_COMPLETE_MAX + 1 };

struct tally {
    uint64_t schedules, attempts, released, abandoned, neither, events, crashes, computed;
    uint64_t large, large_released, largest, largest_released;
    uint64_t sparse, sparse_released, rings, rings_released; /* graph 1; and masks on rings */
};
/* Chances in a million, before each delivery. */
struct weather {
    uint32_t duplicate, lose, kill, crash, coordinator_crash, close, give_up;
    uint32_t deaths_max;
    bool is_gentle; /* nothing is lost for good: the sum must come */
};
static uint64_t first_seed, schedule_count, budget_ns;

static struct weather forecast(struct csl_rng *rng, uint32_t n)
{
    struct weather h = {.duplicate = 60000, .crash = 15000, .coordinator_crash = 15000};
    /* Deliveries grow with n, what a site says again after a crash with n, a coordinator with n^2.
     */
    if (n > 16)
        h.coordinator_crash = 16 * 15000 / n;
    if (n >= SITES_LARGE)
        h.crash = 5000;
    h.is_gentle = csl_rng_below(rng, 4) == 0;
    if (h.is_gentle)
        return h;
    h.lose = csl_rng_below(rng, 2) == 0 ? 15000 : 0;
    h.close = csl_rng_below(rng, 3) == 0 ? 5000 : 0;
    h.give_up = csl_rng_below(rng, 6) == 0 ? 2000 : 0;
    h.kill = csl_rng_below(rng, 2) == 0 ? 8000 : 0;
    h.deaths_max = (uint32_t)csl_rng_below(rng, n / 2 + 1);
    return h;
}

static void kill_one(struct world *w, struct weather *h)
{
    struct world_site *s = &w->sites[csl_rng_below(&w->rng, w->n)];
    if (h->deaths_max == 0 || s->is_dead)
        return;
    s->is_dead = true;
    h->deaths_max--;
}

static void give_up(struct world *w)
{
    struct csl_secagg_site_event site = {.kind = CSL_SECAGG_SE_GIVE_UP};
    struct csl_secagg_coordinator_event all = {.kind = CSL_SECAGG_CE_GIVE_UP};
    struct world_site *s = &w->sites[csl_rng_below(&w->rng, w->n)];
    if (csl_rng_below(&w->rng, 4) == 0)
        (void)world_step_coordinator(w, &all);
    else if (!s->is_dead)
        (void)world_step_site(w, s, &site);
}

static bool happens(struct world *w, uint32_t per_million)
{
    return csl_rng_below(&w->rng, 1000000) < per_million;
}

static void step(struct world *w, struct weather *h)
{
    uint32_t index = (uint32_t)csl_rng_below(&w->rng, w->queued);
    struct parcel *p = &w->queue[index];
    if (happens(w, h->duplicate))
        world_push(w, p->kind, p->from, p->to, csl_msg_span(&p->bytes));
    if (happens(w, h->kill))
        kill_one(w, h);
    if (happens(w, h->crash))
        w->sites[csl_rng_below(&w->rng, w->n)].fuse = (uint32_t)csl_rng_below(&w->rng, 3);
    if (happens(w, h->coordinator_crash))
        w->fuse = (uint32_t)csl_rng_below(&w->rng, 6);
    if (happens(w, h->close))
        (void)world_close(w);
    if (happens(w, h->give_up))
        give_up(w);
    if (index >= w->queued)
        return; /* a crash took what was on its way */
    if (w->queue[index].kind == PARCEL_MESSAGE && happens(w, h->lose))
        world_drop(w, index);
    else
        world_deliver(w, index);
}

/* Nothing is on its way: first everybody repeats itself, then the stage is closed, then it is given
 * up. False: nothing helps. */
static bool move_on(struct world *w, uint32_t *tries)
{
    enum csl_secagg_stage stage = csl_secagg_coordinator_stage(w->coordinator);
    if (stage == CSL_SECAGG_STAGE_RELEASED) {
        assert_true(world_sum_is_exact(w)); /* (I6), and answers with the result */
        return true;
    }
    if (stage == CSL_SECAGG_STAGE_DONE || stage == CSL_SECAGG_STAGE_ABANDONED)
        return (*tries)++ == 0;
    if ((*tries)++ == 0) {
        world_nudge(w);
        return true;
    }
    if (stage <= CSL_SECAGG_STAGE_UPLOADING && world_close(w) == CSL_OK) {
        *tries = 0;
        return true;
    }
    if (*tries < 8) { /* too few: a message was lost again, or a crash took it */
        world_nudge(w);
        return true;
    }
    struct csl_secagg_coordinator_event all = {.kind = CSL_SECAGG_CE_GIVE_UP};
    return *tries <= 10 && world_step_coordinator(w, &all) == CSL_OK;
}

static enum csl_secagg_stage run_attempt(struct world *w, struct weather *h)
{
    uint32_t tries = 0;
    for (uint32_t i = 0;; i++) {
        assert_true(i < 200000);
        if (w->queued > 0)
            step(w, h);
        else if (!move_on(w, &tries))
            break;
    }
    return csl_secagg_coordinator_stage(w->coordinator);
}

static void show_certificate(struct world *w)
{
    for (uint32_t i = 0; w->certificate.p != NULL && i < w->n; i++)
        if (!w->sites[i].is_dead && csl_rng_below(&w->rng, 8) > 0)
            (void)world_tell_site(w, &w->sites[i], csl_msg_span(&w->certificate));
    csl_msg_release(&w->certificate);
}

/* Of 100,000 schedules 20 have 300 sites and 160 have 100 to 299, smaller ones more often. */
static uint32_t draw_sites(struct csl_rng *rng, uint64_t seed)
{
    uint64_t kind = csl_rng_below(rng, 1000);
    uint32_t n = 3 + (uint32_t)csl_rng_below(rng, 4);
    if (kind < 80)
        n = 8 + (uint32_t)csl_rng_below(rng, 6);
    if (kind < 4)
        n = 14 + (uint32_t)csl_rng_below(rng, 27);
    if (seed % 600 == 599) {
        uint32_t a = (uint32_t)csl_rng_below(rng, 200), b = (uint32_t)csl_rng_below(rng, 200);
        n = SITES_LARGE + (a < b ? a : b);
    }
    return seed % 5000 == 4999 ? SITES_LARGEST : n;
}

/* Graph 1 of any degree and threshold that the sites take. Where the roster alone asks for it, the
 * share graph is sparse, and the masks of so few senders are on the complete one. */
static void draw_graphs(struct csl_rng *rng, struct world_plan *p)
{
    p->has_sparse_graphs = true;
    p->revoked = p->n < SITES_SPARSE ? SITES_SPARSE - p->n : (uint32_t)csl_rng_below(rng, 4);
    uint32_t least = 2, most = (p->n - 1) / 2;
    while (csl_secagg_share_threshold(p->n, p->colluding, least) > least)
        least += 2;
    p->share_degree = 2 * (least / 2 + (uint32_t)csl_rng_below(rng, most - least / 2 + 1));
    uint32_t t = csl_secagg_share_threshold(p->n, p->colluding, p->share_degree);
    p->share_threshold = t + (uint32_t)csl_rng_below(rng, p->share_degree - t + 1) / 2;
}

/* A quarter of all schedules, and of those that are computed; of 100,000 there are 333 with 129 to
 * 200 sites. */
static bool draw_sparse(struct csl_rng *rng, uint64_t seed, struct world_plan *p)
{
    bool is_large = seed % 300 == 149;
    if (is_large)
        p->n = SITES_SPARSE + (uint32_t)csl_rng_below(rng, 72);
    return is_large || seed % 4 == 2 || seed % 256 == 64;
}

static struct world_plan draw_plan(struct csl_rng *rng, uint64_t seed)
{
    struct world_plan p = {.entries_max = 30, .has_sparse_ids = true};
    p.n = draw_sites(rng, seed);
    bool is_sparse = draw_sparse(rng, seed, &p);
    p.colluding = csl_rng_below(rng, 3) == 0 ? 0 : p.n / (is_sparse && p.n > 12 ? 10 : 3);
    if (is_sparse)
        draw_graphs(rng, &p);
    p.blocks = (uint32_t)csl_rng_below(rng, 4);
    p.scalars = p.blocks == 0 ? 3 : (uint32_t)csl_rng_below(rng, 3);
    p.has_sparse_blocks = csl_rng_below(rng, 3) == 0;
    return p;
}

static void count(struct tally *t, const struct world *w, enum csl_secagg_stage end)
{
    uint32_t n = w->n;
    bool is_released = end == CSL_SECAGG_STAGE_DONE;
    t->attempts++;
    t->released += is_released ? 1 : 0;
    t->abandoned += end == CSL_SECAGG_STAGE_ABANDONED ? 1 : 0;
    t->neither += !is_released && end != CSL_SECAGG_STAGE_ABANDONED ? 1 : 0;
    t->large_released += is_released && n >= SITES_LARGE ? 1 : 0;
    t->largest_released += is_released && n >= SITES_LARGEST ? 1 : 0;
    t->sparse_released += is_released && w->config.graph != 0 ? 1 : 0;
    t->rings_released += is_released && w->config.graph != 0 && n >= SITES_SPARSE ? 1 : 0;
}

static void run_attempts(struct world *w, struct weather *h, uint64_t seed, struct tally *t)
{
    uint64_t round = 1;
    uint16_t attempt = 1;
    for (uint32_t i = 0; i < (w->n >= SITES_LARGE ? 2 : 4); i++) {
        world_open(w, round, attempt);
        enum csl_secagg_stage end = run_attempt(w, h);
        count(t, w, end);
        if (h->is_gentle && end != CSL_SECAGG_STAGE_DONE)
            fail_msg("schedule %llu of %u sites ended in stage %d, with nothing lost",
                     (unsigned long long)seed, w->n, (int)end);
        if (csl_rng_below(&w->rng, 2) == 0)
            break;
        show_certificate(w);
        bool is_new_round = end == CSL_SECAGG_STAGE_DONE || csl_rng_below(&w->rng, 4) == 0;
        if (is_new_round)
            world_train(w);
        round += is_new_round ? 1 : 0;
        attempt = is_new_round ? 1 : (uint16_t)(attempt + 1);
    }
}

static void run_schedule(uint64_t seed, struct tally *t)
{
    struct csl_rng rng;
    struct world w;
    csl_rng_init_label(&rng, seed, "secagg schedule", 0, 0, 0);
    struct world_plan plan = draw_plan(&rng, seed);
    struct weather h = forecast(&rng, plan.n);
    if (h.is_gentle)
        plan.has_sparse_blocks = false;
    bool is_computed = seed % 64 == 0;
    oracle_reset();
    oracle_use(!is_computed);
    world_make(&w, seed, &plan);
    /* Hundreds of sites have gigabytes on their way and in their journals. */
    w.drops_records = plan.n >= SITES_LARGE || csl_rng_below(&rng, 2) == 0;
    w.loses_on_restart = plan.n >= SITES_LARGE || csl_rng_below(&rng, 4) == 0;
    run_attempts(&w, &h, seed, t);
    t->schedules++;
    t->computed += is_computed ? 1 : 0;
    t->events += w.events;
    t->crashes += w.crashes;
    t->large += plan.n >= SITES_LARGE ? 1 : 0;
    t->largest += plan.n >= SITES_LARGEST ? 1 : 0;
    t->sparse += plan.has_sparse_graphs ? 1 : 0;
    t->rings += plan.has_sparse_graphs && plan.n >= SITES_SPARSE ? 1 : 0;
    world_remove(&w);
}

static void print_total(const struct tally *t)
{
    const struct {
        const char *name;
        uint64_t value;
    } all[] = {{"schedules", t->schedules},
               {"computed", t->computed},
               {"attempts", t->attempts},
               {"released", t->released},
               {"abandoned", t->abandoned},
               {"neither", t->neither},
               {"events", t->events},
               {"crashes", t->crashes},
               {"of_100_sites_or_more", t->large},
               {"released_there", t->large_released},
               {"of_300_sites", t->largest},
               {"released_there", t->largest_released},
               {"of_graph_1", t->sparse},
               {"released_there", t->sparse_released},
               {"with_rings_of_masks", t->rings},
               {"released_there", t->rings_released}};
    print_message("total first=%llu", (unsigned long long)first_seed);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        print_message(" %s=%llu", all[i].name, (unsigned long long)all[i].value);
    print_message("\n");
}

static void test_secagg_schedules__random__exact_sum_or_nothing(void **state)
{
    struct tally t = {0};
    (void)state;
    uint64_t end = csl_clock_cpu_ns() + budget_ns;
    for (uint64_t k = 0; schedule_count != 0 ? k < schedule_count : csl_clock_cpu_ns() < end; k++)
        run_schedule(first_seed + k, &t);
    oracle_reset();
    print_total(&t);
    assert_true(t.released > 0 || t.schedules < 100);
}

/* The quick evaluation of the oracle is the library's. */
static void test_secagg_schedules__polynomial_at_a_point__as_the_library_has_it(void **state)
{
    struct csl_scalar f[64], right, quick;
    uint8_t z[32];
    struct csl_rng rng;
    (void)state;
    csl_rng_init_label(&rng, 1, "secagg polynomials", 0, 0, 0);
    oracle_use(false);
    for (uint32_t i = 0; i < 500; i++) {
        size_t threshold = 1 + (size_t)csl_rng_below(&rng, 64);
        uint32_t index = i < 4 ? 4095 - i : (uint32_t)csl_rng_below(&rng, 4096);
        csl_rng_bytes(&rng, z, sizeof(z));
        assert_int_equal(csl_vss_polynomial(z, "s", threshold, f, NULL), CSL_OK);
        if (i % 8 == 0) { /* L - 1, the largest */
            crypto_core_ristretto255_scalar_negate(f[0].bytes, (const uint8_t[32]){1});
            f[threshold - 1] = f[0];
        }
        assert_int_equal(csl_vss_share(f, threshold, index, &right, NULL), CSL_OK);
        oracle_evaluate(f, threshold, index, &quick);
        assert_memory_equal(&right, &quick, sizeof(right));
    }
}

int main(int argc, char **argv)
{
    budget_ns = UINT64_C(20) * 1000000000;
    if ((argc > 1 && !csl_parse_u64(argv[1], &first_seed)) ||
        (argc > 2 && !csl_parse_u64(argv[2], &schedule_count)) || csl_crypto_init(NULL) != CSL_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secagg_schedules__polynomial_at_a_point__as_the_library_has_it),
        cmocka_unit_test(test_secagg_schedules__random__exact_sum_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
