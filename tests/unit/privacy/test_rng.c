/* Generators: what may repeat repeats, what must never repeat does not. */
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { DRAW = 64 };

/* What a child of this process draws next from `r`. */
static void draw_in_child(struct csl_rng *r, uint8_t out[DRAW])
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        csl_rng_bytes(r, out, DRAW);
        _exit(write(ends[1], out, DRAW) == DRAW ? 0 : 1);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], out, DRAW), DRAW);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_pitfall_13__fork__streams_differ(void **state)
{
    (void)state;
    struct csl_rng r;
    uint8_t before[DRAW], first[DRAW], second[DRAW], parent[DRAW];
    csl_rng_init_os(&r);
    csl_rng_bytes(&r, before, 8); /* the buffer is now full of what nobody has drawn yet */
    draw_in_child(&r, first);
    draw_in_child(&r, second);
    csl_rng_bytes(&r, parent, DRAW);
    assert_memory_not_equal(first, parent, DRAW);
    assert_memory_not_equal(second, parent, DRAW);
    assert_memory_not_equal(first, second, DRAW);
}

static void test_pitfall_13__copied_state__streams_differ(void **state)
{
    (void)state;
    struct csl_rng r;
    uint8_t a[DRAW], b[DRAW];
    csl_rng_init_os(&r);
    csl_rng_bytes(&r, a, 8);
    struct csl_rng snapshot = r;
    csl_rng_bytes(&r, a, DRAW);
    csl_rng_bytes(&snapshot, b, DRAW);
    assert_memory_not_equal(a, b, DRAW);
}

static void test_pitfall_13__restart__streams_differ(void **state)
{
    (void)state;
    struct csl_rng r;
    uint8_t a[DRAW], b[DRAW];
    csl_rng_init_os(&r);
    csl_rng_bytes(&r, a, DRAW);
    csl_rng_init_os(&r);
    csl_rng_bytes(&r, b, DRAW);
    assert_memory_not_equal(a, b, DRAW);
}

static void test_pitfall_13__snapshot_put_back__differs_from_the_next_key_on(void **state)
{
    (void)state;
    struct csl_rng r;
    static uint8_t a[1 << 20], b[1 << 20];
    uint8_t key[32], x[DRAW], y[DRAW];
    csl_rng_init_os(&r);
    memcpy(key, r.key, sizeof(key));
    struct csl_rng snapshot = r;
    csl_rng_bytes(&r, a, sizeof(a));
    csl_rng_bytes(&r, x, DRAW);
    assert_memory_not_equal(r.key, key, sizeof(key)); /* an old key is gone after 1 MiB */
    r = snapshot; /* to the same address, as a resumed machine would: the same first 1 MiB ... */
    csl_rng_bytes(&r, b, sizeof(b));
    assert_memory_equal(a, b, sizeof(a));
    csl_rng_bytes(&r, y, DRAW); /* ... and never more */
    assert_memory_not_equal(x, y, DRAW);
}

static void test_rng__labelled__repeats_in_a_child_and_in_a_copy(void **state)
{
    (void)state;
    struct csl_rng r;
    uint8_t a[DRAW], b[DRAW], c[DRAW];
    csl_rng_init_label(&r, 7, "shuffle", 1, 2, 3);
    csl_rng_bytes(&r, a, 8);
    struct csl_rng copy = r;
    draw_in_child(&r, c);
    csl_rng_bytes(&r, a, DRAW);
    csl_rng_bytes(&copy, b, DRAW);
    assert_memory_equal(a, b, DRAW);
    assert_memory_equal(a, c, DRAW);
}

static void test_rng__is_secret__operating_system_alone(void **state)
{
    (void)state;
    struct csl_rng r;
    csl_rng_init_os(&r);
    assert_true(csl_rng_is_secret(&r));
    csl_rng_init_label(&r, 1, "a", 0, 0, 0);
    assert_false(csl_rng_is_secret(&r));
    csl_rng_init_named(&r, 1, "a", "b", 0);
    assert_false(csl_rng_is_secret(&r));
    csl_rng_init_os(&r);
    csl_rng_wipe(&r);
    assert_false(csl_rng_is_secret(&r));
}

static void test_rng__keyed__repeats_and_differs_by_every_part(void **state)
{
    (void)state;
    uint8_t key[32] = {7}, other_key[32] = {7};
    other_key[31] = 1;
    struct csl_rng r;
    csl_rng_init_key(&r, key, "label", 1, 2);
    assert_false(csl_rng_is_secret(&r));
    uint64_t first = csl_rng_u64(&r);
    csl_rng_init_key(&r, key, "label", 1, 2);
    assert_true(csl_rng_u64(&r) == first);
    csl_rng_init_key(&r, other_key, "label", 1, 2);
    assert_true(csl_rng_u64(&r) != first);
    csl_rng_init_key(&r, key, "labem", 1, 2);
    assert_true(csl_rng_u64(&r) != first);
    csl_rng_init_key(&r, key, "label", 2, 1);
    assert_true(csl_rng_u64(&r) != first);
    csl_rng_init_key(&r, key, "label", 1, 3);
    assert_true(csl_rng_u64(&r) != first);
}

static void test_rng__pieces__are_the_stream_of_one_draw(void **state)
{
    (void)state;
    struct csl_rng one, many;
    uint8_t a[5000], b[5000];
    csl_rng_init_label(&one, 3, "pieces", 0, 0, 0);
    csl_rng_init_label(&many, 3, "pieces", 0, 0, 0);
    csl_rng_bytes(&one, a, sizeof(a));
    size_t at = 0;
    for (size_t n = 1; at < sizeof(b); n = n * 2 + 1) { /* 1, 3, 7, ..., 1023, the rest */
        size_t take = n < sizeof(b) - at ? n : sizeof(b) - at;
        csl_rng_bytes(&many, b + at, take);
        at += take;
    }
    assert_memory_equal(a, b, sizeof(a));
}

static int signal_of_draw(const struct csl_rng *r)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct csl_rng mine = *r;
        assert_non_null(freopen("/dev/null", "w", stderr));
        signal(SIGABRT, SIG_DFL);
        (void)csl_rng_u64(&mine);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_rng__wiped_or_never_started__aborts(void **state)
{
    (void)state;
    struct csl_rng r;
    memset(&r, 0, sizeof(r));
    assert_int_equal(signal_of_draw(&r), SIGABRT);
    csl_rng_init_os(&r);
    assert_int_equal(signal_of_draw(&r), 0);
    csl_rng_wipe(&r);
    assert_int_equal(signal_of_draw(&r), SIGABRT);
}

static void test_rng__counter_at_its_end__aborts(void **state)
{
    (void)state;
    struct csl_rng r;
    csl_rng_init_label(&r, 1, "end", 0, 0, 0);
    r.segment = UINT64_MAX - 1;
    assert_int_equal(signal_of_draw(&r), 0);
    r.segment = UINT64_MAX;
    assert_int_equal(signal_of_draw(&r), SIGABRT);
}

/* Residues of `draws` values; the largest distance of a count from its share in standard errors. */
static double residues_off(struct csl_rng *r, uint64_t bound, bool biased, unsigned parts,
                           size_t draws)
{
    double counts[16] = {0}, worst = 0;
    for (size_t i = 0; i < draws; i++) {
        uint64_t v = biased ? csl_rng_u64(r) % bound : csl_rng_below(r, bound);
        assert_true(v < bound);
        counts[v / (bound / parts)] += 1;
    }
    double expected = (double)draws / parts;
    for (unsigned i = 0; i < parts; i++) {
        double off = (counts[i] - expected) * (counts[i] - expected) / expected;
        worst = off > worst ? off : worst;
    }
    return worst;
}

/* 3 * 2^62 in three parts: `word % bound` gives the first part half of everything. A share of a
 * third or less is beyond 6.2 standard errors (squared: 38.4) with probability below 1e-9. */
static void test_pitfall_12__modulo_bias__is_absent_and_would_be_seen(void **state)
{
    (void)state;
    struct csl_rng r;
    csl_rng_init_label(&r, 12, "below", 0, 0, 0);
    uint64_t bound = UINT64_C(3) << 62;
    assert_true(residues_off(&r, bound, false, 3, 1000000) < 38.4);
    assert_true(residues_off(&r, bound, true, 3, 1000000) > 38.4);
    for (unsigned small = 3; small <= 13; small += 2)
        assert_true(residues_off(&r, small, false, small, 1000000) < 38.4);
    assert_int_equal(csl_rng_below(&r, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pitfall_13__fork__streams_differ),
        cmocka_unit_test(test_pitfall_13__copied_state__streams_differ),
        cmocka_unit_test(test_pitfall_13__restart__streams_differ),
        cmocka_unit_test(test_pitfall_13__snapshot_put_back__differs_from_the_next_key_on),
        cmocka_unit_test(test_rng__labelled__repeats_in_a_child_and_in_a_copy),
        cmocka_unit_test(test_rng__is_secret__operating_system_alone),
        cmocka_unit_test(test_rng__keyed__repeats_and_differs_by_every_part),
        cmocka_unit_test(test_rng__pieces__are_the_stream_of_one_draw),
        cmocka_unit_test(test_rng__wiped_or_never_started__aborts),
        cmocka_unit_test(test_rng__counter_at_its_end__aborts),
        cmocka_unit_test(test_pitfall_12__modulo_bias__is_absent_and_would_be_seen),
    };
    return csl_crypto_init(NULL) == CSL_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
