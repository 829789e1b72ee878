/* Entries as bytes, JSON and text; size bands; base64; key files. */
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/rng.h"
#include "privacy/ledger/base64.h"
#include "tests/unit/privacy/ledger_forge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct world w;
static struct forge f;

static int make(void **state)
{
    (void)state;
    struct csl_sign_key peer;
    world_make(&w);
    world_open(&w);
    csl_sign_keygen(&peer);
    make_every_kind(&w, &peer);
    forge_read(&f, w.out);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    world_remove(&w);
    return 0;
}

static void test_ledger_entry__decoded__written_again_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < f.count; i++) {
        struct csl_ledger_entry e = forge_entry(&f, i);
        uint8_t again[CSL_LEDGER_ENTRY_MAX];
        assert_int_equal(csl_ledger_entry_encode(&e, again), f.records[i].byte_count);
        assert_memory_equal(again, f.records[i].bytes, f.records[i].byte_count);
    }
}

static void test_ledger_entry__cut_or_longer__refused(void **state)
{
    (void)state;
    struct csl_ledger_entry e;
    for (size_t i = 0; i < f.count; i++)
        for (size_t n = 0; n <= f.records[i].byte_count + 1; n++)
            if (n != f.records[i].byte_count)
                assert_int_equal(csl_ledger_entry_decode(&e, CSL_SPAN(f.records[i].bytes, n), NULL),
                                 CSL_E_PROTO);
}

/* The layout that README.md gives, offset by offset. */
static void test_ledger_entry__charge__laid_out_as_documented(void **state)
{
    (void)state;
    struct csl_ledger_entry e = forge_entry(&f, AT_CHARGE);
    const uint8_t *p = f.records[AT_CHARGE].bytes;
    uint64_t u;
    double d;
    assert_int_equal(f.records[AT_CHARGE].byte_count,
                     60 + 8 + 44 + 4 + 64 + 16 + 4 + 64 + 96 + 1 + 32 + 16);
    assert_memory_equal(p, "CSLE\1\0\5\0", 8);
    assert_int_equal(p[8] | p[9] << 8, f.records[AT_CHARGE].byte_count);
    assert_int_equal(p[12], AT_CHARGE);
    memcpy(&u, p + 60, 8);
    assert_int_equal(u, AT_RESERVE);
    assert_memory_equal(p + 68, e.u.charge.study_digest, 32);
    assert_int_equal(p[100], 1); /* round */
    assert_int_equal(p[112], 1); /* one event */
    assert_int_equal(p[116], CSL_DP_GAUSSIAN);
    assert_int_equal(p[120], CSL_DP_FULL_BATCH);
    memcpy(&d, p + 124, 8);
    assert_true(d == SIGMA);
    assert_int_equal(p[140], 4); /* steps */
    memcpy(&d, p + 180, 8);
    assert_true(d == 1.5); /* clip */
    assert_int_equal(p[196], csl_ledger_band(120));
    assert_memory_equal(p + 232, e.u.charge.update_digest, 32);
    assert_string_equal((const char *)p + 264, "sha256:0123456789abcdef");
}

static void test_ledger_entry__as_json__parses_and_names_its_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < f.count; i++) {
        struct csl_ledger_entry e = forge_entry(&f, i);
        struct csl_msg json = {.n = 0};
        struct csl_json_doc *doc = NULL;
        const char *kind = NULL;
        uint64_t index = 99;
        must(csl_ledger_entry_json(&e, &json, &w.err), &w.err);
        assert_null(memchr(json.p, '\n', json.n));
        must(csl_json_parse(&doc, "entry", csl_msg_span(&json), &w.err), &w.err);
        assert_true(csl_json_as_str(csl_json_get(csl_json_root(doc), "kind"), &kind));
        assert_string_equal(kind, csl_ledger_kind_name(e.kind));
        assert_true(csl_json_as_u64(csl_json_get(csl_json_root(doc), "index"), &index));
        assert_int_equal(index, i);
        csl_json_free(doc);
        csl_msg_release(&json);
    }
}

/* Pitfall 31: a printed epsilon is never below the computed one. */
static void test_ledger_entry__pitfall_31__printed_epsilon_is_not_rounded_down(void **state)
{
    (void)state;
    struct csl_rng rng;
    csl_rng_init_label(&rng, 1, "printed epsilon", 0, 0, 0);
    for (int i = 0; i < 10000; i++) {
        struct csl_ledger_entry e = {.kind = CSL_LEDGER_SETTLE};
        char text[512];
        double printed = -1;
        e.epsilon_after = csl_rng_uniform(&rng) * (i % 2 == 0 ? 20 : 1e-3);
        csl_ledger_entry_text(&e, text, sizeof(text));
        const char *at = strstr(text, " epsilon ");
        assert_non_null(at);
        assert_true(csl_parse_f64(at + 9, &printed));
        assert_true(printed >= e.epsilon_after && printed <= e.epsilon_after * (1 + 3e-8));
    }
}

static void test_ledger_entry__bands__cover_all_sizes_in_order(void **state)
{
    (void)state;
    static const struct {
        uint64_t from, to;
        const char *text;
    } bands[] = {{0, 0, "0"},       {1, 9, "1-9"},         {10, 29, "10-29"},
                 {30, 99, "30-99"}, {100, 299, "100-299"}, {300, 999, "300-999"}};
    char text[48];
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(csl_ledger_band(bands[i].from), i);
        assert_int_equal(csl_ledger_band(bands[i].to), i);
        csl_ledger_band_text(i, text, sizeof(text));
        assert_string_equal(text, bands[i].text);
    }
    uint32_t last = 0;
    for (uint64_t n = 1; n < UINT64_MAX / 3; n += n / 4 + 1) {
        uint32_t band = csl_ledger_band(n);
        assert_true(band >= last && band <= last + 1);
        last = band;
    }
    csl_ledger_band_text(UINT32_MAX, text, sizeof(text));
    assert_true(csl_ledger_band(UINT64_MAX) < 64);
}

static void test_ledger_entry__base64__rfc4648_and_one_way_of_writing(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"}};
    static const char *const bad[] = {
        "Zg=", "Zg", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm9\n", "Zm 9", "Zm9-"};
    uint8_t out[16];
    char text[16];
    size_t n = 0;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        csl_base64_encode((const uint8_t *)vectors[i][0], strlen(vectors[i][0]), text);
        assert_string_equal(text, vectors[i][1]);
        assert_true(csl_base64_decode(text, strlen(text), out, sizeof(out), &n));
        assert_int_equal(n, strlen(vectors[i][0]));
        assert_memory_equal(out, vectors[i][0], n);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(csl_base64_decode(bad[i], strlen(bad[i]), out, sizeof(out), &n));
    assert_false(csl_base64_decode("Zm9vYmFy", 8, out, 5, &n));
}

static void test_ledger_entry__key_file__private_whole_and_never_overwritten(void **state)
{
    (void)state;
    struct csl_sign_key a, b;
    struct stat st;
    char path[CSL_PATH_MAX];
    snprintf(path, sizeof(path), "%s/other.head", w.dir);
    assert_int_equal(csl_sign_load(&b, path, &w.err), CSL_E_NOTFOUND);
    csl_sign_keygen(&a);
    must(csl_sign_store(&a, path, &w.err), &w.err);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    must(csl_sign_load(&b, path, &w.err), &w.err);
    assert_memory_equal(&a, &b, sizeof(a));
    assert_int_equal(csl_sign_store(&a, path, &w.err), CSL_E_EXISTS);
    assert_int_equal(chmod(path, 0604), 0);
    assert_int_equal(csl_sign_load(&b, path, &w.err), CSL_E_DENIED);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 31), 0);
    assert_int_equal(csl_sign_load(&b, path, &w.err), CSL_E_CORRUPT);
    assert_int_equal(truncate(path, 33), 0);
    assert_int_equal(csl_sign_load(&b, path, &w.err), CSL_E_CORRUPT);
    csl_sign_wipe(&a);
    for (size_t i = 0; i < sizeof(a.secret); i++)
        assert_int_equal(a.secret[i], 0);
}

/* Everything a ledger does that allocates; stops at the first failure. */
static enum csl_code live_a_little(struct world *x)
{
    struct csl_ledger_policy p = policy_of(10, 1e-3, 0);
    struct csl_ledger_verdict verdict;
    struct csl_ledger_verify_options options = {.price = zcdp_price};
    enum csl_code code = csl_ledger_open(&x->l, &x->config, &x->err);
    if (code == CSL_OK)
        code = csl_ledger_set_policy(x->l, &p, &x->err);
    for (uint32_t k = 0; code == CSL_OK && k < 20; k++) {
        struct csl_ledger_study s = study_number(k, 1);
        code = csl_ledger_register(x->l, &s, &x->err);
    }
    for (uint64_t round = 1; code == CSL_OK && round <= 40; round++) {
        struct csl_ledger_study s = study_number((uint32_t)round % 3, 1);
        struct csl_ledger_request r = request_of(&s, round, 0);
        struct csl_ledger_charge c = charge_of(&r, &s);
        uint64_t id = 0;
        code = csl_ledger_reserve(x->l, &r, &id, &x->err);
        if (code == CSL_OK)
            code = csl_ledger_charge(x->l, id, &c, &x->err);
        if (code == CSL_E_EXISTS) /* charged before an earlier failure */
            code = CSL_OK;
    }
    if (code == CSL_OK)
        code = csl_ledger_export(x->l, x->out, &x->err);
    if (code != CSL_OK)
        return code;
    options.public_key = csl_ledger_public_key(x->l);
    FILE *in = fopen(x->out, "r");
    assert_non_null(in);
    code = csl_ledger_verify(in, &options, &verdict, &x->err);
    fclose(in);
    return code;
}

static void test_ledger_entry__every_allocation_fails_once__reported_and_survived(void **state)
{
    (void)state;
    struct world x;
    world_make(&x);
    uint64_t n = 1;
    enum csl_code code = CSL_E_NOMEM;
    for (; code != CSL_OK && n < 1000; n++) {
        csl_mem_fail_after(n);
        code = live_a_little(&x);
        csl_mem_fail_after(0);
        assert_true(code == CSL_OK || code == CSL_E_NOMEM);
        world_close(&x);
    }
    assert_true(code == CSL_OK && n > 10);
    world_remove(&x);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, make, unmake)
    const struct CMUnitTest tests[] = {
        T(test_ledger_entry__decoded__written_again_the_same),
        T(test_ledger_entry__cut_or_longer__refused),
        T(test_ledger_entry__charge__laid_out_as_documented),
        T(test_ledger_entry__as_json__parses_and_names_its_kind),
        T(test_ledger_entry__pitfall_31__printed_epsilon_is_not_rounded_down),
        T(test_ledger_entry__bands__cover_all_sizes_in_order),
        T(test_ledger_entry__base64__rfc4648_and_one_way_of_writing),
        T(test_ledger_entry__every_allocation_fails_once__reported_and_survived),
        T(test_ledger_entry__key_file__private_whole_and_never_overwritten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
