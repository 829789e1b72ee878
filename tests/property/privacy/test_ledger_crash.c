/* A site that trains several studies on shared cohorts, whose power fails at any write, for a
 * coordinator that replays rounds and lies about them. Laws, by an accountant of its own:
 *   - what was released never exceeds a budget;
 *   - every release has a charge in the ledger, with the digest of what was released;
 *   - what the ledger counts is what its own entries say, so that crashes leak nothing: as soon as
 *     open reservations are settled, what is left can be reserved.
 * Crashes: every write, truncation and deletion of SQLite through its system calls, the written
 * half of the bytes included, and the writing of the head file before and after. All seeds fixed.
 */
#include "privacy/crypto/rng.h"
#include "privacy/ledger/verify.h"
#include "tests/unit/privacy/ledger_fixture.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { STUDIES = 4, ROUNDS = 4, RELEASES_MAX = 512, SCENARIOS = 2000, ACTIONS = 12 };

/* ------------------------------------------------------------------ power */

static int64_t fuse = -1; /* writes until the power fails; -1: never */
static bool is_off;
static uint64_t writes_seen;

/* True: this write still happens. *is_torn: only half of it. */
static bool power(bool *is_torn)
{
    *is_torn = false;
    writes_seen++;
    if (is_off)
        return false;
    if (fuse < 0 || fuse-- > 0)
        return true;
    is_off = true;
    *is_torn = true;
    return false;
}

static ssize_t weak_pwrite(int fd, const void *p, size_t n, off_t at)
{
    bool is_torn = false;
    if (power(&is_torn))
        return pwrite(fd, p, n, at);
    if (is_torn && n > 1)
        return pwrite(fd, p, n / 2, at);
    errno = EIO;
    return -1;
}

static ssize_t weak_write(int fd, const void *p, size_t n)
{
    bool is_torn = false;
    if (power(&is_torn))
        return write(fd, p, n);
    errno = EIO;
    return -1;
}

static int weak_ftruncate(int fd, off_t n)
{
    bool is_torn = false;
    if (power(&is_torn))
        return ftruncate(fd, n);
    errno = EIO;
    return -1;
}

static int weak_unlink(const char *path)
{
    bool is_torn = false;
    if (power(&is_torn))
        return unlink(path);
    errno = EIO;
    return -1;
}

/* Instead of libc's, for SQLite too: counted, and not waited for. */
static uint64_t syncs, syncs_before_head;
__attribute__((visibility("default"))) int fsync(int fd);
__attribute__((visibility("default"))) int fdatasync(int fd);
int fsync(int fd)
{
    (void)fd;
    syncs++;
    return 0;
}
int fdatasync(int fd)
{
    (void)fd;
    syncs++;
    return 0;
}

enum csl_code __real_csl_file_write_atomic(const char *path, struct csl_span bytes, unsigned mode,
                                           struct csl_err *err);
enum csl_code __wrap_csl_file_write_atomic(const char *path, struct csl_span bytes, unsigned mode,
                                           struct csl_err *err);
enum csl_code __wrap_csl_file_write_atomic(const char *path, struct csl_span bytes, unsigned mode,
                                           struct csl_err *err)
{
    bool is_torn = false;
    syncs_before_head = syncs;
    if (!power(&is_torn)) /* before the rename */
        return CSL_FAIL(err, CSL_E_IO, "no power");
    enum csl_code code = __real_csl_file_write_atomic(path, bytes, mode, err);
    if (!power(&is_torn)) /* after it, before anybody is told */
        return CSL_FAIL(err, CSL_E_IO, "no power");
    return code;
}

static void install_weak_calls(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find("unix");
    assert_non_null(vfs);
    int n = 0;
    n += vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)weak_pwrite) == SQLITE_OK;
    n += vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)weak_pwrite) == SQLITE_OK;
    assert_true(n > 0);
    assert_int_equal(vfs->xSetSystemCall(vfs, "write", (sqlite3_syscall_ptr)weak_write), SQLITE_OK);
    assert_int_equal(vfs->xSetSystemCall(vfs, "ftruncate", (sqlite3_syscall_ptr)weak_ftruncate),
                     SQLITE_OK);
    assert_int_equal(vfs->xSetSystemCall(vfs, "unlink", (sqlite3_syscall_ptr)weak_unlink),
                     SQLITE_OK);
}

/* ------------------------------------------------------------------- site */

struct release {
    uint32_t study;
    uint64_t round;
    uint32_t attempt;
    uint64_t steps;
    uint8_t digest[CSL_DIGEST_BYTES];
};
struct site {
    struct world w;
    struct csl_rng rng;
    struct csl_ledger_study studies[STUDIES];
    struct csl_ledger_policy policy;
    struct release releases[RELEASES_MAX]; /* what left, known to nobody but the test */
    size_t release_count;
    uint64_t crashes, refusals, stops;
};
static struct site s;

static uint64_t below(uint64_t n)
{
    return csl_rng_below(&s.rng, n);
}

static void prepare(uint64_t seed)
{
    world_make(&s.w);
    csl_rng_init_label(&s.rng, seed, "ledger crash test", 0, 0, 0);
    s.release_count = 0;
    for (uint32_t i = 0; i < STUDIES; i++) {
        s.studies[i] = study_number(i, 1 + below(6));
        s.studies[i].rounds = ROUNDS;
        if (i % 2 == 1)
            snprintf(s.studies[i].cohort, sizeof(s.studies[i].cohort), "clinic");
    }
    s.policy = policy_of(0.5 + 0.01 * (double)below(500), 1e-3, 0);
    s.policy.budget_count = 2;
    s.policy.budgets[1] = (struct csl_ledger_budget){
        .cohort = "*", .epsilon = 1 + 0.01 * (double)below(700), .delta = 3.5 * DELTA};
}

/* Power is back, the agent starts: opens, states its policy, registers its studies. Power may fail
 * in that too. */
static void restart(void)
{
    for (;;) {
        enum csl_code code = world_try_open(&s.w);
        if (code == CSL_OK)
            code = csl_ledger_set_policy(s.w.l, &s.policy, &s.w.err);
        for (uint32_t i = 0; code == CSL_OK && i < STUDIES; i++)
            code = csl_ledger_register(s.w.l, &s.studies[i], &s.w.err);
        if (code == CSL_OK)
            break;
        if (!is_off)
            fail_msg("restart: %s", s.w.err.msg);
        s.crashes++;
        world_close(&s.w);
        is_off = false;
        fuse = below(3) == 0 ? (int64_t)below(12) : -1;
    }
    if (csl_ledger_trouble(s.w.l) != NULL)
        fail_msg("a crash looks like a rollback: %s", csl_ledger_trouble(s.w.l));
}

/* After a failed call: was it the power? Then the agent dies and comes back. */
static bool died(enum csl_code code)
{
    if (!is_off)
        return false;
    assert_int_not_equal(code, CSL_OK);
    s.crashes++;
    world_close(&s.w); /* nothing that it writes gets through */
    is_off = false;
    fuse = below(2) == 0 ? (int64_t)below(40) : -1;
    restart();
    return true;
}

static void release(uint32_t study, const struct csl_ledger_charge *c)
{
    for (size_t i = 0; i < s.release_count; i++) {
        const struct release *r = &s.releases[i];
        if (r->study == study && r->round == c->round && r->attempt == c->attempt) {
            assert_memory_equal(r->digest, c->update_digest, CSL_DIGEST_BYTES);
            return; /* the identical bytes once more */
        }
    }
    assert_true(s.release_count < RELEASES_MAX);
    struct release *r = &s.releases[s.release_count++];
    *r = (struct release){
        .study = study, .round = c->round, .attempt = c->attempt, .steps = c->events[0].steps};
    memcpy(r->digest, c->update_digest, CSL_DIGEST_BYTES);
}

/* The independent accountant: epsilon and delta of all that left, for a cohort ("": all). */
static void audit_releases(void)
{
    double epsilon[2] = {0}, delta[2] = {0};
    for (uint32_t k = 0; k < STUDIES; k++) {
        uint64_t steps = 0;
        for (size_t i = 0; i < s.release_count; i++)
            steps += s.releases[i].study == k ? s.releases[i].steps : 0;
        if (steps == 0)
            continue;
        bool is_ward = strcmp(s.studies[k].cohort, "ward") == 0;
        double e = zcdp_epsilon((double)steps, DELTA);
        epsilon[0] += is_ward ? e : 0;
        delta[0] += is_ward ? DELTA : 0;
        epsilon[1] += e;
        delta[1] += DELTA;
    }
    for (size_t b = 0; b < 2; b++) {
        /* 1e-12: this sum is not rounded down; the ledger's is rounded up. */
        assert_true(epsilon[b] <= s.policy.budgets[b].epsilon * (1 + 1e-12));
        assert_true(delta[b] <= s.policy.budgets[b].delta * (1 + 1e-12));
    }
}

/* ---------------------------------------------------------------- actions */

static struct csl_ledger_charge trained(uint32_t k, const struct csl_ledger_request *r)
{
    struct csl_ledger_charge c = charge_of(r, &s.studies[k]);
    csl_rng_bytes(&s.rng, c.update_digest, sizeof(c.update_digest)); /* noise is never the same */
    if (below(5) == 0)
        c.events[0].steps = 1 + below(c.events[0].steps);
    return c;
}

/* One attempt of one round, as an agent does it; it may die anywhere. */
static void run_attempt(uint32_t k, uint64_t round, uint32_t attempt)
{
    struct csl_ledger_request r = request_of(&s.studies[k], round, attempt);
    struct csl_ledger_charge found;
    uint64_t id = 0;
    enum csl_code code = csl_ledger_reserve(s.w.l, &r, &id, &s.w.err);
    if (died(code))
        return;
    if (code == CSL_E_EXISTS) { /* a replay: the recorded bytes, if it is those that are recorded */
        if (csl_ledger_find_charge(s.w.l, r.study_digest, round, &found) &&
            found.attempt == attempt)
            release(k, &found);
        return;
    }
    s.refusals += code == CSL_E_BUDGET ? 1 : 0;
    if (code != CSL_OK) {
        assert_true(code == CSL_E_BUDGET || code == CSL_E_DENIED || code == CSL_E_LIMIT);
        return;
    }
    if (below(8) == 0)
        return; /* the connection broke: the reservation waits */
    struct csl_ledger_charge c = trained(k, &r);
    code = csl_ledger_charge(s.w.l, id, &c, &s.w.err);
    if (died(code)) {
        /* Charged or not: the ledger says. */
        if (below(2) == 0 && csl_ledger_find_charge(s.w.l, r.study_digest, round, &found) &&
            found.attempt == attempt)
            release(k, &found);
        return;
    }
    must(code, &s.w.err);
    bool is_released = below(6) != 0;
    if (is_released)
        release(k, &c);
    if (below(4) != 0)
        died(csl_ledger_settle(s.w.l, id, is_released, &s.w.err));
}

static void lie(uint32_t k)
{
    struct csl_ledger_request r = request_of(&s.studies[k], 1 + below(ROUNDS), 1000);
    uint64_t id = 0;
    switch (below(6)) {
    case 0:
        r.round = ROUNDS + 1;
        break;
    case 1:
        r.events[0].steps += 1 + below(100);
        break;
    case 2:
        r.events[0].noise_multiplier *= 2;
        break;
    case 3:
        r.events[0].sampling_rate = 0.5;
        break;
    case 4:
        r.clip *= 2;
        break;
    default:
        snprintf(r.cohort, sizeof(r.cohort), "%s", k % 2 == 0 ? "clinic" : "ward");
    }
    enum csl_code code = csl_ledger_reserve(s.w.l, &r, &id, &s.w.err);
    if (died(code))
        return;
    assert_int_equal(code, CSL_E_DENIED);
    s.stops++;
}

/* What a restarted agent does with what it finds: it never uploaded any of it. */
static void settle_leftovers(void)
{
    struct csl_ledger_open_reservation open[64];
    for (;;) {
        size_t n = csl_ledger_open_reservations(s.w.l, open, 64);
        if (n == 0)
            return;
        enum csl_code code = csl_ledger_settle(s.w.l, open[0].reservation, false, &s.w.err);
        if (!died(code))
            must(code, &s.w.err);
    }
}

static void act(void)
{
    uint32_t k = (uint32_t)below(STUDIES);
    uint64_t what = below(20);
    s.w.now_s += below(100);
    if (what == 0)
        lie(k);
    else if (what == 1)
        settle_leftovers();
    else if (what == 2) {
        world_close(&s.w);
        restart();
    } else
        run_attempt(k, 1 + below(ROUNDS), (uint32_t)below(4));
    audit_releases();
}

/* ------------------------------------------------------------------- laws */

/* Steps that count, from the entries alone: charged, or reserved and not given back. */
static void walk(uint64_t counted[STUDIES])
{
    uint64_t size = csl_ledger_size(s.w.l);
    static uint64_t reserved[4096], charged[4096];
    static uint32_t whose[4096];
    assert_true(size <= 4096);
    memset(counted, 0, STUDIES * sizeof(*counted));
    for (uint64_t i = 0; i < size; i++) {
        struct csl_ledger_entry e;
        must(csl_ledger_read(s.w.l, i, &e, &s.w.err), &s.w.err);
        if (e.kind == CSL_LEDGER_RESERVE) {
            for (uint32_t k = 0; k < STUDIES; k++)
                if (memcmp(s.studies[k].digest, e.u.request.study_digest, CSL_DIGEST_BYTES) == 0)
                    whose[i] = k;
            reserved[i] = e.u.request.events[0].steps;
            charged[i] = 0;
            counted[whose[i]] += reserved[i];
        } else if (e.kind == CSL_LEDGER_CHARGE) {
            charged[e.reservation] = e.u.charge.events[0].steps;
        } else if (e.kind == CSL_LEDGER_SETTLE && !e.u.settle.was_released) {
            counted[whose[e.reservation]] -= reserved[e.reservation] - charged[e.reservation];
        }
    }
}

static bool is_charged(const struct release *r)
{
    for (uint64_t i = 0; i < csl_ledger_size(s.w.l); i++) {
        struct csl_ledger_entry e;
        must(csl_ledger_read(s.w.l, i, &e, &s.w.err), &s.w.err);
        if (e.kind == CSL_LEDGER_CHARGE && e.u.charge.round == r->round &&
            e.u.charge.attempt == r->attempt && e.u.charge.events[0].steps == r->steps &&
            memcmp(e.u.charge.update_digest, r->digest, CSL_DIGEST_BYTES) == 0 &&
            memcmp(e.u.charge.study_digest, s.studies[r->study].digest, CSL_DIGEST_BYTES) == 0)
            return true;
    }
    return false;
}

/* A new study can reserve what the entries leave, and not more. */
static void check_nothing_leaked(void)
{
    uint64_t counted[STUDIES], id = 0;
    double spent[2] = {0};
    settle_leftovers();
    walk(counted);
    for (uint32_t k = 0; k < STUDIES; k++) {
        struct csl_ledger_spent x = world_spent(&s.w, &s.studies[k]);
        double e = counted[k] == 0 ? 0 : zcdp_epsilon((double)counted[k], DELTA);
        assert_true(fabs(x.epsilon - e) <= 1e-12);
        spent[0] += strcmp(s.studies[k].cohort, "ward") == 0 ? e : 0;
        spent[1] += e;
    }
    struct csl_ledger_study fresh = study_number(99, 1);
    struct csl_ledger_request r = request_of(&fresh, 1, 0);
    struct csl_ledger_policy wide = s.policy;
    wide.digest[0] ^= 1;
    for (size_t b = 0; b < 2; b++) {
        wide.budgets[b].delta = 0.5;
        wide.budgets[b].epsilon = spent[b] + zcdp_epsilon(1, DELTA) * 0.999;
    }
    must(csl_ledger_set_policy(s.w.l, &wide, &s.w.err), &s.w.err);
    world_register(&s.w, &fresh);
    assert_int_equal(csl_ledger_reserve(s.w.l, &r, &id, &s.w.err), CSL_E_BUDGET);
    for (size_t b = 0; b < 2; b++)
        wide.budgets[b].epsilon = spent[b] + zcdp_epsilon(1, DELTA) * 1.001;
    must(csl_ledger_set_policy(s.w.l, &wide, &s.w.err), &s.w.err);
    must(csl_ledger_reserve(s.w.l, &r, &id, &s.w.err), &s.w.err);
}

static void check_export(void)
{
    struct csl_ledger_verdict verdict;
    struct csl_ledger_verify_options options = {.public_key = csl_ledger_public_key(s.w.l),
                                                .price = zcdp_price};
    world_export(&s.w);
    FILE *in = fopen(s.w.out, "r");
    assert_non_null(in);
    must(csl_ledger_verify(in, &options, &verdict, &s.w.err), &s.w.err);
    fclose(in);
}

static void finish(void)
{
    fuse = -1;
    world_close(&s.w);
    restart();
    audit_releases();
    for (size_t i = 0; i < s.release_count; i++)
        assert_true(is_charged(&s.releases[i]));
    check_nothing_leaked();
    check_export();
    world_remove(&s.w);
}

static void test_ledger_crash__random_interleavings__never_over_budget(void **state)
{
    (void)state;
    uint64_t releases = 0;
    s.crashes = s.refusals = s.stops = 0;
    for (uint64_t seed = 0; seed < SCENARIOS; seed++) {
        prepare(seed);
        fuse = below(4) == 0 ? -1 : (int64_t)below(100);
        restart();
        for (int i = 0; i < ACTIONS; i++)
            act();
        finish();
        releases += s.release_count;
    }
    print_message("%u interleavings: %llu releases, %llu crashes, %llu refusals, %llu lies\n",
                  SCENARIOS, (unsigned long long)releases, (unsigned long long)s.crashes,
                  (unsigned long long)s.refusals, (unsigned long long)s.stops);
    /* The interleavings are worth their name. */
    assert_true(releases > SCENARIOS && s.crashes > SCENARIOS && s.refusals > SCENARIOS / 10 &&
                s.stops > SCENARIOS / 10);
}

/* One fixed course of events; the power fails at its first write, at its second, ... at its last.
 */
static void test_ledger_crash__every_single_write__survived(void **state)
{
    (void)state;
    uint64_t at = 0;
    for (bool is_through = false; !is_through; at++) {
        prepare(7);
        s.policy.budgets[0].epsilon = s.policy.budgets[1].epsilon = 20;
        s.policy.budgets[1].delta = 1e-3;
        fuse = (int64_t)at;
        s.crashes = 0;
        restart();
        for (uint64_t round = 1; round <= ROUNDS; round++)
            for (uint32_t k = 0; k < STUDIES; k++) {
                run_attempt(k, round, 0);
                audit_releases();
            }
        lie(3);
        settle_leftovers();
        is_through = s.crashes == 0;
        finish();
    }
    print_message("power failed at each of %llu writes\n", (unsigned long long)(at - 1));
    assert_true(at > 100);
}

static void test_ledger_crash__every_append__database_synced_before_head_file(void **state)
{
    (void)state;
    prepare(1);
    s.policy.budgets[0].epsilon = s.policy.budgets[1].epsilon = 20;
    restart();
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        struct csl_ledger_request r = request_of(&s.studies[0], round, 0);
        uint64_t id = 0, before = syncs;
        must(csl_ledger_reserve(s.w.l, &r, &id, &s.w.err), &s.w.err);
        assert_true(syncs_before_head > before);     /* the database */
        assert_true(syncs >= syncs_before_head + 2); /* the head file and its folder */
        before = syncs;
        must(csl_ledger_settle(s.w.l, id, false, &s.w.err), &s.w.err);
        assert_true(syncs_before_head > before);
        assert_true(syncs >= syncs_before_head + 2);
    }
    world_remove(&s.w);
}

int main(void)
{
    install_weak_calls();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ledger_crash__every_append__database_synced_before_head_file),
        cmocka_unit_test(test_ledger_crash__every_single_write__survived),
        cmocka_unit_test(test_ledger_crash__random_interleavings__never_over_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
