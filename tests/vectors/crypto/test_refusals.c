/* refusals.txt, made by make_refusals.py independently of this code: what the primitives of FSA-1
 * must accept and what they must refuse. Every line of a group is looked at, and each group is
 * checked to be there. */
#include "base/file.h"
#include "base/str.h"
#include "privacy/crypto/hkdf.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/prg_internal.h"
#include "privacy/crypto/seal.h"
#include "privacy/crypto/sha256.h"
#include "privacy/crypto/sign.h"
#include "privacy/crypto/vss.h"
#include "tests/vectors/crypto/bytes_of.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIELDS_MAX = 10 };

struct row {
    const char *note;
    bool is_accepted;
    const char *fields[FIELDS_MAX];
    size_t count;
};
static struct csl_msg file;

static int start(void **state)
{
    (void)state;
    return csl_crypto_init(NULL) == CSL_OK &&
                   csl_file_read(&file, "tests/vectors/crypto/refusals.txt", 1 << 20, NULL) ==
                       CSL_OK
               ? 0
               : 1;
}

static int stop(void **state)
{
    (void)state;
    csl_msg_release(&file);
    return 0;
}

/* Cuts a line in place; false: of another group. */
static bool cut(char *line, const char *group, struct row *out)
{
    char *save = NULL;
    const char *part = strtok_r(line, " ", &save);
    if (part == NULL || strcmp(part, group) != 0)
        return false;
    const char *verdict = strtok_r(NULL, " ", &save);
    out->note = strtok_r(NULL, " ", &save);
    assert_non_null(out->note);
    assert_true(strcmp(verdict, "accept") == 0 || strcmp(verdict, "refuse") == 0);
    out->is_accepted = verdict[0] == 'a';
    for (out->count = 0; (part = strtok_r(NULL, " ", &save)) != NULL; out->count++) {
        assert_true(out->count < FIELDS_MAX);
        out->fields[out->count] = part;
    }
    return true;
}

/* Calls `check` for every line of the group; it says whether the code accepts. */
static void each(const char *group, bool (*check)(const struct row *), uint32_t accepted_min,
                 uint32_t refused_min)
{
    uint32_t seen[2] = {0, 0};
    for (size_t at = 0; at < file.n;) {
        char line[8192];
        struct row r;
        const uint8_t *end = memchr(file.p + at, '\n', file.n - at);
        assert_non_null(end);
        size_t n = (size_t)(end - (file.p + at));
        assert_true(n < sizeof(line));
        memcpy(line, file.p + at, n);
        line[n] = '\0';
        at += n + 1;
        if (!cut(line, group, &r))
            continue;
        seen[r.is_accepted ? 1 : 0]++;
        if (check(&r) != r.is_accepted)
            fail_msg("%s, %s: %s", group, r.note, r.is_accepted ? "refused" : "accepted");
    }
    assert_true(seen[1] >= accepted_min && seen[0] >= refused_min);
}

static void fixed(const struct row *r, size_t field, void *out, size_t n)
{
    assert_true(field < r->count);
    assert_int_equal(bytes_of(r->fields[field], out, n), n);
}

/* "-": empty. */
static size_t varied(const struct row *r, size_t field, void *out, size_t room)
{
    assert_true(field < r->count);
    return strcmp(r->fields[field], "-") == 0 ? 0 : bytes_of(r->fields[field], out, room);
}

static uint32_t number(const struct row *r, size_t field)
{
    uint64_t v;
    assert_true(field < r->count && csl_parse_u64(r->fields[field], &v) && v <= UINT32_MAX);
    return (uint32_t)v;
}

static bool x25519(const struct row *r)
{
    static const uint8_t secret[32] = {77}, own[32] = {9}, sid[32] = {1};
    uint8_t u[32], prk[32];
    fixed(r, 0, u, 32);
    bool is_valid = csl_agree_channel_key_is_valid(u);
    if (memcmp(u, own, 32) != 0) /* a key reflected is refused for another reason */
        assert_int_equal(csl_agree_channel(1, secret, own, 2, u, sid, prk, NULL),
                         is_valid ? CSL_OK : CSL_E_CRYPTO);
    return is_valid;
}

static bool ed25519(const struct row *r)
{
    uint8_t key[32], message[256], signature[64];
    fixed(r, 0, key, 32);
    size_t n = varied(r, 1, message, sizeof(message));
    fixed(r, 2, signature, 64);
    return csl_sign_verify(key, message, n, signature);
}

static bool point(const struct row *r)
{
    struct csl_point p;
    fixed(r, 0, p.bytes, 32);
    bool is_valid = csl_point_is_valid(&p);
    assert_int_equal(csl_vss_check_commitments(&p, 1, NULL), is_valid ? CSL_OK : CSL_E_CRYPTO);
    return is_valid;
}

static bool scalar(const struct row *r)
{
    struct csl_scalar s;
    fixed(r, 0, s.bytes, 32);
    return csl_scalar_is_canonical(&s);
}

static bool share(const struct row *r)
{
    struct csl_scalar s;
    struct csl_point commitments[FIELDS_MAX];
    fixed(r, 1, s.bytes, 32);
    for (size_t i = 2; i < r->count; i++)
        fixed(r, i, commitments[i - 2].bytes, 32);
    return csl_vss_verify(&s, number(r, 0), commitments, r->count - 2, NULL) == CSL_OK;
}

static bool sealed_share(const struct row *r)
{
    static const struct csl_seal_shares untouched = {{{7}}, {{7}}};
    struct csl_seal_key key = {{0}, false}, again;
    struct csl_seal_context context = {.from = number(r, 2), .to = number(r, 3)};
    struct csl_seal_shares opened = untouched, right;
    uint8_t sealed[CSL_SEAL_BYTES], same[CSL_SEAL_BYTES];
    fixed(r, 0, key.bytes, 32);
    fixed(r, 1, context.sid, 32);
    fixed(r, 4, context.commitments, 32);
    fixed(r, 5, sealed, sizeof(sealed));
    fixed(r, 6, right.b.bytes, 32);
    fixed(r, 7, right.s.bytes, 32);
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
    fixed(r, 0, prk, 32);
    size_t info_bytes = varied(r, 1, info, sizeof(info)), n = number(r, 2);
    fixed(r, 3, right, 32);
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
    fixed(r, 0, key, sizeof(key));
    fixed(r, 1, right, sizeof(right));
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
    each("x25519", x25519, 14, 22);
}

static void test_refusals__ed25519_signatures__as_listed(void **state)
{
    (void)state;
    each("ed25519", ed25519, 4, 44);
}

static void test_refusals__ristretto_encodings__as_listed(void **state)
{
    (void)state;
    each("point", point, 10, 100);
    each("scalar", scalar, 4, 7);
}

static void test_refusals__shares__as_listed(void **state)
{
    (void)state;
    each("share", share, 6, 17);
}

static void test_refusals__sealed_shares__as_listed(void **state)
{
    (void)state;
    each("seal", sealed_share, 3, 20);
}

static void test_refusals__hkdf_outputs__as_listed(void **state)
{
    (void)state;
    each("hkdf", hkdf, 7, 4);
}

static void test_refusals__mask_streams__as_listed(void **state)
{
    (void)state;
    each("stream", stream, 4, 0);
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
    return cmocka_run_group_tests(tests, start, stop);
}
