/* Not POSIX: the flags of /proc are Linux. */
#define _DEFAULT_SOURCE
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/prg.h"
#include "privacy/crypto/seal.h"
#include "privacy/crypto/secret.h"
#include "privacy/crypto/vss.h"
#include "tests/unit/crypto/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int start(void **state)
{
    (void)state;
    return csl_crypto_init(NULL) == CSL_OK ? 0 : 1;
}

static void test_secret__what_is_asked_for__zeroed_aligned_and_bounded(void **state)
{
    struct csl_secret *s;
    uint8_t *a, *b;
    (void)state;
    assert_int_equal(csl_secret_new(&s, 4000, CSL_SECRET_MAY_SWAP, NULL), CSL_OK);
    a = csl_secret_alloc(s, 33);
    b = csl_secret_alloc(s, 3000);
    assert_non_null(a);
    assert_non_null(b);
    assert_true(b >= a + 33);
    assert_int_equal((uintptr_t)b % _Alignof(max_align_t), 0);
    for (size_t i = 0; i < 33; i++)
        assert_int_equal(a[i], 0);
    assert_null(csl_secret_alloc(s, 1u << 20));
    memset(a, 0xee, 33);
    csl_secret_wipe(s);
    assert_int_equal(a[0] | a[32], 0);
    assert_ptr_equal(csl_secret_alloc(s, 33), a);
    csl_secret_free(s);
    csl_secret_free(NULL);
}

static void test_secret__sizes_out_of_range__refused(void **state)
{
    struct csl_secret *s = NULL;
    (void)state;
    assert_int_equal(csl_secret_new(&s, 0, CSL_SECRET_MAY_SWAP, NULL), CSL_E_INVAL);
    assert_int_equal(csl_secret_new(&s, SIZE_MAX, CSL_SECRET_MAY_SWAP, NULL), CSL_E_LIMIT);
    (void)csl_mem_fail_after(1);
    assert_int_equal(csl_secret_new(&s, 100, CSL_SECRET_MAY_SWAP, NULL), CSL_E_NOMEM);
    (void)csl_mem_fail_after(0);
    assert_null(s);
}

/* The VmFlags of the mapping that holds p, as proc(5) names them; "" when it is not found. */
static void flags_of(const void *p, char out[256])
{
    char line[512];
    bool is_here = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    assert_non_null(f);
    out[0] = '\0';
    while (fgets(line, sizeof(line), f) != NULL) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            is_here = (uintptr_t)p >= from && (uintptr_t)p < to;
        else if (is_here && strncmp(line, "VmFlags:", 8) == 0)
            (void)snprintf(out, 256, "%.240s", line + 8);
    }
    fclose(f);
}

static void test_secagg_pitfall_31__arena__not_dumped_locked_and_wiped_in_children(void **state)
{
    struct csl_secret *s;
    char flags[256];
    (void)state;
    assert_int_equal(csl_secret_new(&s, 100, CSL_SECRET_MAY_SWAP, NULL), CSL_OK);
    flags_of(csl_secret_alloc(s, 16), flags);
    assert_non_null(strstr(flags, " dd"));
    assert_non_null(strstr(flags, " wf"));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* their mlock does nothing */
    assert_int_equal(strstr(flags, " lo") != NULL, csl_secret_is_locked(s));
#endif
    csl_secret_free(s);
}

/* In a child, which may not get its limit back. CAP_IPC_LOCK ignores the limit, and then the kernel
 * really locks: 2. */
static int without_memlock(void)
{
    struct rlimit none = {0, 0};
    struct csl_secret *s;
    struct csl_err err = {0};
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0)
        return 3;
    if (csl_secret_new(&s, 100, CSL_SECRET_MAY_SWAP, NULL) != CSL_OK)
        return 4;
    if (csl_secret_is_locked(s))
        return csl_secret_new(&s, 100, CSL_SECRET_MUST_LOCK, NULL) == CSL_OK ? 2 : 5;
    if (csl_secret_new(&s, 100, CSL_SECRET_MUST_LOCK, &err) != CSL_E_LIMIT)
        return 6;
    return strstr(err.msg, "ulimit") != NULL ? 0 : 7;
}

static int exit_status_of(int (*body)(void))
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(body());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int is_privileged(void)
{
    /* CAP_IPC_LOCK in the effective set: bit 14 of CapEff in /proc/self/status. */
    char line[256];
    unsigned long long set = 0;
    FILE *f = fopen("/proc/self/status", "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        (void)sscanf(line, "CapEff: %llx", &set);
    fclose(f);
    return (int)(set >> 14 & 1);
}

static void test_secagg_pitfall_31__no_memory_may_be_locked__said_or_refused(void **state)
{
    (void)state;
    assert_int_equal(exit_status_of(without_memlock), is_privileged() ? 2 : 0);
}

static int hardened(void)
{
    struct rlimit core;
    if (csl_secret_harden_process(NULL) != CSL_OK || getrlimit(RLIMIT_CORE, &core) != 0)
        return 1;
    return core.rlim_cur == 0 && core.rlim_max == 0 && prctl(PR_GET_DUMPABLE) == 0 ? 0 : 2;
}

static void test_secagg_pitfall_31__hardened_process__no_core_files(void **state)
{
    (void)state;
    assert_int_equal(exit_status_of(hardened), 0);
}

static struct csl_secret *parents;
static uint8_t *parents_key;

static int child_reads(void)
{
    for (size_t i = 0; i < 32; i++)
        if (parents_key[i] != 0)
            return 1;
    if (csl_secret_is_intact(parents))
        return 2;
    csl_secret_free(parents); /* its guards are as they were */
    return 0;
}

static void test_secagg_pitfall_33__fork__the_child_reads_zeros_and_knows(void **state)
{
    (void)state;
    assert_int_equal(csl_secret_new(&parents, 64, CSL_SECRET_MAY_SWAP, NULL), CSL_OK);
    parents_key = csl_secret_alloc(parents, 32);
    memset(parents_key, 0xc3, 32);
    assert_int_equal(exit_status_of(child_reads), 0);
    assert_true(csl_secret_is_intact(parents));
    assert_int_equal(parents_key[0], 0xc3);
    csl_secret_free(parents);
}

struct secrets {
    uint8_t z[32], e[32], prk[3][32], key[CSL_PRG_KEY_BYTES];
    struct csl_scalar f[4], shares[6], secret;
    struct csl_seal_key seal, again;
    struct csl_seal_shares opened;
};

static void __attribute__((noinline)) use(struct secrets *x)
{
    static const uint8_t sid[32] = {1}, peer[32] = {9};
    struct csl_seal_context context = {.from = 1, .to = 2};
    struct csl_point commitments[4], one;
    struct csl_scalar unit = {{1}}, weights[4];
    const uint32_t indices[4] = {0, 1, 2, 3};
    uint8_t public_key[32], sealed[CSL_SEAL_BYTES];
    for (size_t i = 0; i < 32; i++)
        x->z[i] = (uint8_t)(i * 37 + 101);
    assert_int_equal(csl_point_base(&unit, &one, NULL), CSL_OK);
    assert_int_equal(csl_vss_polynomial(x->z, "mask", 4, x->f, NULL), CSL_OK);
    assert_int_equal(csl_vss_commit(x->f, 4, commitments, NULL), CSL_OK);
    assert_int_equal(csl_vss_deal(x->f, 4, 6, x->shares, NULL), CSL_OK);
    assert_int_equal(csl_vss_verify(&x->shares[0], 0, commitments, 4, NULL), CSL_OK);
    assert_int_equal(csl_vss_weights(indices, 4, weights, NULL), CSL_OK);
    assert_int_equal(csl_vss_reconstruct(weights, x->shares, 4, commitments, &x->secret, NULL),
                     CSL_OK);
    assert_int_equal(csl_agree_channel_keys(x->z, "channel", 0, x->e, public_key, NULL), CSL_OK);
    assert_int_equal(csl_agree_mask(1, &x->f[0], commitments, 2, &one, sid, x->prk[0], NULL),
                     CSL_OK);
    assert_int_equal(csl_agree_self(&x->f[0], sid, x->prk[1], NULL), CSL_OK);
    assert_int_equal(csl_agree_channel(1, x->e, public_key, 2, peer, sid, x->prk[2], NULL), CSL_OK);
    assert_int_equal(csl_prg_mask_key(x->prk[0], 1, 2, 0, 0, x->key, NULL), CSL_OK);
    x->opened.b = x->shares[1];
    x->opened.s = x->shares[2];
    assert_int_equal(csl_seal_key_derive(x->prk[2], 1, 2, &x->seal, NULL), CSL_OK);
    x->again = x->seal;
    assert_int_equal(csl_seal_share(&x->again, &context, &x->opened, sealed, NULL), CSL_OK);
    assert_int_equal(csl_seal_open(&x->seal, &context, sealed, &x->opened, NULL), CSL_OK);
}

static void stream(const struct secrets *x)
{
    static uint64_t words[2048];
    struct csl_prg *p;
    assert_int_equal(csl_prg_new(&p, NULL), CSL_OK);
    csl_prg_add(p, x->key, words, 2048, CSL_PRG_ADD);
    csl_prg_free(p);
}

static void test_secagg_pitfall_31__all_memory_after_the_wipe__no_secret_left(void **state)
{
    struct csl_secret *arena;
    (void)state;
    scan_begin();
#ifdef __SANITIZE_THREAD__ /* its shadow memory takes minutes to search */
    skip();
#endif
    assert_int_equal(csl_secret_new(&arena, sizeof(struct secrets), CSL_SECRET_MAY_SWAP, NULL),
                     CSL_OK);
    struct secrets *x = csl_secret_alloc(arena, sizeof(*x));
    assert_non_null(x);
    use(x);
    stream(x);
    scan_for(x->z);
    scan_for(x->e);
    scan_for(x->key);
    scan_for(x->seal.bytes);
    for (size_t i = 0; i < 3; i++)
        scan_for(x->prk[i]);
    for (size_t i = 0; i < 4; i++)
        scan_for(&x->f[i]);
    scan_for(&x->shares[0]);
    scan_for(&x->shares[1]);
    assert_true(scan_count() >= scan_needles()); /* the search finds what is there */
    csl_secret_wipe(arena);
    assert_int_equal(scan_count(), 0);
    csl_secret_free(arena);
}

static void test_secagg_pitfall_30__equal__says_what_memcmp_says(void **state)
{
    uint8_t a[40] = {1}, b[40] = {1};
    (void)state;
    assert_true(csl_secret_equal(a, b, sizeof(a)));
    assert_true(csl_secret_equal(a, b, 0));
    for (size_t i = 0; i < sizeof(b); i++) {
        b[i] ^= 0x80;
        assert_false(csl_secret_equal(a, b, sizeof(a)));
        assert_true(csl_secret_equal(a, b, i));
        b[i] ^= 0x80;
    }
    csl_wipe(a, sizeof(a));
    assert_int_equal(a[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secret__what_is_asked_for__zeroed_aligned_and_bounded),
        cmocka_unit_test(test_secret__sizes_out_of_range__refused),
        cmocka_unit_test(test_secagg_pitfall_31__arena__not_dumped_locked_and_wiped_in_children),
        cmocka_unit_test(test_secagg_pitfall_31__no_memory_may_be_locked__said_or_refused),
        cmocka_unit_test(test_secagg_pitfall_31__hardened_process__no_core_files),
        cmocka_unit_test(test_secagg_pitfall_31__all_memory_after_the_wipe__no_secret_left),
        cmocka_unit_test(test_secagg_pitfall_33__fork__the_child_reads_zeros_and_knows),
        cmocka_unit_test(test_secagg_pitfall_30__equal__says_what_memcmp_says),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
