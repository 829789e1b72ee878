/* Pitfall 37 of the design: a coordinator that knows the mask graph and the colluding sites, and
 * chooses who is lost. On random rings the cheapest cut is searched, carried out as far as D_post
 * allows, and the honest survivors' links are walked: they are in one piece; and carried out in
 * full: they are not, so that the search is one. The same for the shares that colluding peers hold.
 *
 *   test_secagg_graph_draws [seed [draws]]
 *
 * A draw fails a right program with probability at most 2^-57 (mask graph) and 2^-57 (shares): 1e5
 * draws below 2^-39. */
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"
#include "privacy/secagg/graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N_MAX = 300 };
static uint64_t first_seed = 1, draws = 3000;

struct federation {
    uint32_t n, colluding, degree, losses_max, share_degree, share_threshold;
};
static const struct federation federations[] = {
    {300, 100, 128, 23, 88, 65}, {200, 66, 96, 11, 74, 54}, {300, 30, 96, 43, 42, 25}};

struct drawn {
    const struct federation *f;
    struct csl_secagg_ring ring;
    struct csl_secagg_set senders, honest;
};

/* c of n at random: where they stand is fixed before the seed, so it makes no difference. */
static void draw(struct drawn *d, struct csl_rng *rng, const struct federation *f)
{
    uint32_t ids[N_MAX], left = f->colluding;
    uint8_t seed[32];
    memset(d, 0, sizeof(*d));
    d->f = f;
    for (uint32_t i = 0; i < f->n; i++) {
        ids[i] = i + 1;
        csl_secagg_set_put(&d->senders, i);
        if (csl_rng_below(rng, f->n - i) < left)
            left--;
        else
            csl_secagg_set_put(&d->honest, i);
    }
    csl_rng_bytes(rng, seed, sizeof(seed));
    csl_secagg_mask_graph(&d->ring, seed, f->n, ids, &d->senders, f->degree);
}

static uint32_t honest_at(const struct drawn *d, uint32_t position)
{
    return csl_secagg_set_has(&d->honest, d->ring.order[position % d->ring.count]) ? 1 : 0;
}

/* The two separate windows of degree / 2 with the fewest honest sites in them, with honest ones on
 * both sides; returns how many are in them. */
static uint32_t cheapest_cut(const struct drawn *d, uint32_t *at, uint32_t *and_at)
{
    uint32_t n = d->ring.count, w = d->ring.degree / 2, best = n;
    uint32_t before[2 * N_MAX + 1]; /* honest sites at the positions before */
    before[0] = 0;
    for (uint32_t i = 0; i < 2 * n; i++)
        before[i + 1] = before[i] + honest_at(d, i);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t here = before[i + w] - before[i];
        for (uint32_t j = i + w; j + w <= i + n && j < n; j++) {
            uint32_t cut = here + before[j + w] - before[j];
            if (cut < best && before[j] > before[i + w] && before[i + n] > before[j + w]) {
                best = cut;
                *at = i;
                *and_at = j;
            }
        }
    }
    return best;
}

static uint32_t lose(const struct drawn *d, uint32_t at, uint32_t most, struct csl_secagg_set *left)
{
    uint32_t lost = 0;
    for (uint32_t i = at; i < at + d->ring.degree / 2 && lost < most; i++) {
        uint32_t place = d->ring.order[i % d->ring.count];
        if (!csl_secagg_set_has(&d->honest, place))
            continue;
        left->bits[place / 8] = (uint8_t)(left->bits[place / 8] & ~(1U << place % 8));
        lost++;
    }
    return lost;
}

/* Walks the links among the honest survivors from the first of them. */
static bool is_one_piece(const struct drawn *d, const struct csl_secagg_set *left)
{
    uint32_t queue[N_MAX] = {0}, head = 0, tail = 0;
    struct csl_secagg_set alive = csl_secagg_set_both(left, &d->honest), reached = {{0}};
    for (uint32_t i = 0; i < d->f->n && tail == 0; i++)
        if (csl_secagg_set_has(&alive, i))
            queue[tail++] = i;
    csl_secagg_set_put(&reached, queue[0]);
    while (head < tail) {
        uint32_t from = queue[head++];
        for (uint32_t i = 0; i < d->f->n; i++) {
            if (!csl_secagg_set_has(&alive, i) || csl_secagg_set_has(&reached, i) ||
                !csl_secagg_ring_is_linked(&d->ring, from, i))
                continue;
            csl_secagg_set_put(&reached, i);
            queue[tail++] = i;
        }
    }
    return csl_secagg_set_equal(&reached, &alive);
}

static enum csl_code ask(const struct drawn *d, const struct csl_secagg_set *left)
{
    return csl_secagg_graph_check_losses(&d->senders, 1, left, d->f->colluding, d->f->degree,
                                         d->f->losses_max, NULL);
}

static uint32_t check_draw(const struct drawn *d)
{
    uint32_t at = 0, and_at = 0, most = d->f->losses_max;
    struct csl_secagg_set left = d->senders;
    uint32_t cut = cheapest_cut(d, &at, &and_at);
    assert_true(cut > most);
    uint32_t lost = lose(d, at, most, &left);
    lost += lose(d, and_at, most - lost, &left);
    assert_int_equal(lost, most);
    assert_int_equal(ask(d, &left), CSL_OK); /* that far a site goes along, */
    assert_true(is_one_piece(d, &left));     /* and may */
    (void)lose(d, at, cut, &left);
    (void)lose(d, and_at, cut, &left);
    assert_int_equal(d->f->n - csl_secagg_set_count(&left), cut);
    assert_false(is_one_piece(d, &left)); /* the attack works */
    assert_int_equal(ask(d, &left), CSL_E_DENIED);
    return cut;
}

static void test_secagg_pitfall_37__greedy_removal__in_one_piece_or_refused(void **state)
{
    struct csl_rng rng;
    (void)state;
    csl_rng_init_label(&rng, first_seed, "graph draws", 0, 0, 0);
    for (size_t k = 0; k < sizeof(federations) / sizeof(federations[0]); k++) {
        const struct federation *f = &federations[k];
        uint32_t least = f->n;
        for (uint64_t i = 0; i < draws / 3 + 1; i++) {
            struct drawn d;
            draw(&d, &rng, f);
            uint32_t cut = check_draw(&d);
            least = cut < least ? cut : least;
        }
        printf("n %u, c %u, k %u: D_post %u, cheapest cut of %llu draws %u\n", f->n, f->colluding,
               f->degree, f->losses_max, (unsigned long long)(draws / 3 + 1), least);
    }
}

static void test_secagg_pitfall_37__colluding_share_peers__fewer_than_the_threshold(void **state)
{
    struct csl_rng rng;
    (void)state;
    csl_rng_init_label(&rng, first_seed, "share draws", 0, 0, 0);
    for (uint64_t i = 0; i < draws / 3 + 1; i++) {
        const struct federation *f = &federations[i % 3];
        struct csl_secagg_set peers;
        struct drawn d;
        draw(&d, &rng, f);
        d.ring.degree = f->share_degree;
        for (uint32_t p = 0; p < f->n; p++) {
            csl_secagg_ring_peers(&d.ring, p, &peers);
            struct csl_secagg_set honest = csl_secagg_set_both(&peers, &d.honest);
            assert_int_equal(csl_secagg_set_count(&peers), f->share_degree);
            if (csl_secagg_set_has(&d.honest, p))
                assert_true(f->share_degree - csl_secagg_set_count(&honest) < f->share_threshold);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        draws = strtoull(argv[2], NULL, 10);
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secagg_pitfall_37__greedy_removal__in_one_piece_or_refused),
        cmocka_unit_test(test_secagg_pitfall_37__colluding_share_peers__fewer_than_the_threshold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
