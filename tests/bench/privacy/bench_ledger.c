/* How many appends a second, durable ones, and how long verifying a million entries takes. Prints
 * figures; they depend on the machine, its disk and its load, so none of them fails the program.
 * The million is written by the ledger's own appends, in memory-backed storage where there is some.
 */
#include "base/clock.h"
#include "privacy/ledger/verify.h"
#include "tests/unit/privacy/ledger_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { ENTRIES = 1000000, STUDIES = 20 };

static double seconds_since(uint64_t start_ns)
{
    return (double)(csl_clock_monotonic_ns() - start_ns) * 1e-9;
}

/* Rounds of reserve and charge until the ledger has so many entries. */
static double fill(struct world *w, uint64_t entries)
{
    struct csl_ledger_policy p = policy_of(1e9, 0.9, YEAR);
    struct csl_ledger_study s[STUDIES];
    must(csl_ledger_set_policy(w->l, &p, &w->err), &w->err);
    for (uint32_t k = 0; k < STUDIES; k++) {
        s[k] = study_number(k, 10);
        s[k].rounds = CSL_ROUNDS_MAX;
        world_register(w, &s[k]);
    }
    uint64_t start = csl_clock_monotonic_ns();
    for (uint64_t i = 0; csl_ledger_size(w->l) < entries; i++) {
        struct csl_ledger_request r = request_of(&s[i % STUDIES], 1 + i / STUDIES, 0);
        struct csl_ledger_charge c = charge_of(&r, &s[i % STUDIES]);
        uint64_t id = 0;
        w->now_s += 10;
        must(csl_ledger_reserve(w->l, &r, &id, &w->err), &w->err);
        must(csl_ledger_charge(w->l, id, &c, &w->err), &w->err);
    }
    return seconds_since(start);
}

static void report_verify(struct world *w, csl_ledger_price price, const char *label)
{
    struct csl_ledger_verdict verdict;
    struct csl_ledger_verify_options options = {.public_key = csl_ledger_public_key(w->l),
                                                .price = price};
    struct rusage usage;
    struct stat st;
    FILE *in = fopen(w->out, "r");
    assert_non_null(in);
    uint64_t start = csl_clock_monotonic_ns(), cpu = csl_clock_cpu_ns();
    must(csl_ledger_verify(in, &options, &verdict, &w->err), &w->err);
    double s = seconds_since(start), cpu_s = (double)(csl_clock_cpu_ns() - cpu) * 1e-9;
    assert_int_equal(fstat(fileno(in), &st), 0);
    fclose(in);
    getrusage(RUSAGE_SELF, &usage);
    printf("verify %llu entries, %.0f MB, %-22s %6.2f s (%.2f s of CPU), peak memory %.0f MB\n",
           (unsigned long long)verdict.entries, (double)st.st_size * 1e-6, label, s, cpu_s,
           (double)usage.ru_maxrss / 1024);
}

static void bench_ledger__appends__printed(void **state)
{
    (void)state;
    struct world w;
    world_make(&w);
    world_open(&w);
    double s = fill(&w, 20000);
    printf("append to %-14.14s %8.0f entries/s\n", w.dir, 20000 / s);
    world_remove(&w);
    /* The same on the disk under the working folder, where a sync costs something. */
    world_make(&w);
    char path[64], head[64];
    snprintf(path, sizeof(path), "bench_ledger_%ld.db", (long)getpid());
    snprintf(head, sizeof(head), "bench_ledger_%ld.head", (long)getpid());
    w.config.path = path;
    w.config.head_path = head;
    world_open(&w);
    s = fill(&w, 1000);
    printf("append to %-14.14s %8.0f entries/s\n", "this folder", 1000 / s);
    world_close(&w);
    unlink(path);
    unlink(head);
    world_remove(&w);
}

static void bench_ledger__verify_a_million__printed(void **state)
{
    (void)state;
    struct world w;
    world_make(&w);
    world_open(&w);
    double s = fill(&w, ENTRIES);
    printf("append a million: %.0f s, %.0f entries/s\n", s, ENTRIES / s);
    world_export(&w);
    report_verify(&w, NULL, "recorded prices");
    report_verify(&w, zcdp_price, "prices computed again");
    uint64_t start = csl_clock_monotonic_ns();
    world_open(&w);
    printf("open with %llu entries: %.2f s\n", (unsigned long long)csl_ledger_size(w.l),
           seconds_since(start));
    world_remove(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bench_ledger__appends__printed),
        cmocka_unit_test(bench_ledger__verify_a_million__printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
