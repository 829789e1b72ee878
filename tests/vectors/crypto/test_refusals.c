/* refusals.txt, made by make_refusals.py independently of this code: what the primitives of FSA-1
 * must accept and what they must refuse. Every line of a group is looked at, and each group is
 * checked to be there. */
#include "privacy/crypto/hkdf.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/prg_internal.h"
#include "privacy/crypto/seal.h"
#include "privacy/crypto/sha256.h"
#include "privacy/crypto/sign.h"
#include "privacy/crypto/vss.h"
#include "tests/vectors/crypto/bytes_of.h"
#include "tests/vectors/rows.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char vectors[] = "tests/vectors/crypto/refusals.txt";

static int start(void **state)
{
    (void)state;
    return csl_crypto_init(NULL) == CSL_OK ? 0 : 1;
}

static bool x25519(const struct row *r)
{
    static const uint8_t secret[32] = {77}, own[32] = {9}, sid[32] = {1};
    uint8_t u[32], prk[32];
    row_fixed(r, 0, u, 32);
    bool is_valid = csl_agree_channel_key_is_valid(u);
    if (memcmp(u, own, 32) != 0) /* a key reflected is refused for another reason */
        assert_int_equal(csl_agree_channel(1, secret, own, 2, u, sid, prk, NULL),
                         is_valid ? CSL_OK : CSL_E_CRYPTO);
    return is_valid;
}

static bool ed25519(const struct row *r)
{
    uint8_t key[32], message[256], signature[64];
    row_fixed(r, 0, key, 32);
    size_t n = row_bytes(r, 1, message, sizeof(message));
    row_fixed(r, 2, signature, 64);
    return csl_sign_verify(key, message, n, signature);
}

static bool point(const struct row *r)
{
    struct csl_point p;
    row_fixed(r, 0, p.bytes, 32);
    bool is_valid = csl_point_is_valid(&p);
    assert_int_equal(csl_vss_check_commitments(&p, 1, NULL), is_valid ? CSL_OK : CSL_E_CRYPTO);
    return is_valid;
}

static bool scalar(const struct row *r)
{
    struct csl_scalar s;
    row_fixed(r, 0, s.bytes, 32);
    return csl_scalar_is_canonical(&s);
}

static bool share(const struct row *r)
{
    struct csl_scalar s;
    struct csl_point commitments[ROW_FIELDS_MAX];
    row_fixed(r, 1, s.bytes, 32);
    for (size_t i = 2; i < r->count; i++)
        row_fixed(r, i, commitments[i - 2].bytes, 32);
    return csl_vss_verify(&s, row_number(r, 0), commitments, r->count - 2, NULL) == CSL_OK;
}

static bool sealed_share(const struct row *r)
{
    static const struct csl_seal_shares untouched = {{{7}}, {{7}}};
    struct csl_seal_key key = {{0}, false}, again;
    struct csl_seal_context context = {.from = row_number(r, 2), .to = row_number(r, 3)};
    struct csl_seal_shares opened = untouched, right;
    uint8_t sealed[CSL_SEAL_BYTES], same[CSL_SEAL_BYTES];
    row_fixed(r, 0, key.bytes, 32);
    row_fixed(r, 1, context.sid, 32);
    row_fixed(r, 4, context.commitments, 32);
    row_fixed(r, 5, sealed, sizeof(sealed));
    row_fixed(r, 6, right.b.bytes, 32);
    row_fixed(r, 7, right.s.bytes, 32);
    if (csl_seal_open(&key, &context, sealed, &opened, NULL) != CSL_OK) {
        assert_memory_equal(&opened, &untouched, sizeof(opened));
        return false;
    }
    assert_memory_equal(&opened, &right, sizeof(opened));
    again = key;
    assert_int_equal(csl_seal_share(&again, &context, &right, same, NULL), CSL_OK);
    assert_memory_equal(same, sealed, sizeof(same));
    assert_int_equal(csl_seal_share(&again, &context, &right, same, NULL), CSL_E_STATE);
    return true;
}

/* Such a length is a mistake of the caller, and the function says so by ending the process. */
static bool is_given(const uint8_t *prk, const uint8_t *info, size_t info_bytes, uint8_t *out,
                     size_t n)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)fclose(stderr);
        (void)signal(SIGABRT, SIG_DFL);
        _exit(csl_hkdf_expand(prk, info, info_bytes, out, n, NULL) == CSL_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return !(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static bool hkdf(const struct row *r)
{
    static uint8_t out[1 << 17];
    uint8_t prk[32], info[2048], digest[32], right[32];
    row_fixed(r, 0, prk, 32);
    size_t info_bytes = row_bytes(r, 1, info, sizeof(info)), n = row_number(r, 2);
    row_fixed(r, 3, right, 32);
    assert_true(n <= sizeof(out));
    if (!r->is_accepted)
        return is_given(prk, info, info_bytes, out, n);
    assert_int_equal(csl_hkdf_expand(prk, info, info_bytes, out, n, NULL), CSL_OK);
    csl_sha256_digest(out, n, digest);
    assert_memory_equal(digest, right, 32);
    return true;
}

static bool stream(const struct row *r)
{
    static const enum csl_prg__cipher ciphers[] = {CSL_PRG__CTR, CSL_PRG__GCM};
    uint8_t key[CSL_PRG_KEY_BYTES], right[512];
    row_fixed(r, 0, key, sizeof(key));
    row_fixed(r, 1, right, sizeof(right));
    for (size_t c = 0; c < 2; c++) {
        struct csl_prg *p;
        uint64_t words[64] = {0};
        assert_int_equal(csl_prg__open(ciphers[c], &p, NULL), CSL_OK);
        csl_prg_add(p, key, words, 64, CSL_PRG_ADD);
        csl_prg_free(p);
        assert_memory_equal(words, right, sizeof(right));
    }
    return true;
}

static void test_refusals__x25519_keys__as_listed(void **state)
{
    (void)state;
    rows_each(vectors, "x25519", x25519, 14, 22);
}

static void test_refusals__ed25519_signatures__as_listed(void **state)
{
    (void)state;
    rows_each(vectors, "ed25519", ed25519, 4, 44);
}

static void test_refusals__ristretto_encodings__as_listed(void **state)
{
    (void)state;
    rows_each(vectors, "point", point, 10, 100);
    rows_each(vectors, "scalar", scalar, 4, 7);
}

static void test_refusals__shares__as_listed(void **state)
{
    (void)state;
    rows_each(vectors, "share", share, 6, 17);
}

static void test_refusals__sealed_shares__as_listed(void **state)
{
    (void)state;
    rows_each(vectors, "seal", sealed_share, 3, 20);
}

static void test_refusals__hkdf_outputs__as_listed(void **state)
{
    (void)state;
    rows_each(vectors, "hkdf", hkdf, 7, 4);
}

static void test_refusals__mask_streams__as_listed(void **state)
{
    (void)state;
    rows_each(vectors, "stream", stream, 4, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals__x25519_keys__as_listed),
        cmocka_unit_test(test_refusals__ed25519_signatures__as_listed),
        cmocka_unit_test(test_refusals__ristretto_encodings__as_listed),
        cmocka_unit_test(test_refusals__shares__as_listed),
        cmocka_unit_test(test_refusals__sealed_shares__as_listed),
        cmocka_unit_test(test_refusals__hkdf_outputs__as_listed),
        cmocka_unit_test(test_refusals__mask_streams__as_listed),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
