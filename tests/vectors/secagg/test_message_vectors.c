/* messages.txt, made by make_messages.py independently of this code: the bytes of every message and
 * of the roster, and what has to be refused. */
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/secagg/config.h"
#include "privacy/secagg/derive.h"
#include "privacy/secagg/messages.h"
#include "privacy/secagg/roster.h"
#include "tests/vectors/crypto/bytes_of.h"
#include "tests/vectors/rows.h"

static const char vectors[] = "tests/vectors/secagg/messages.txt";

static int start(void **state)
{
    (void)state;
    return csl_crypto_init(NULL) == CSL_OK ? 0 : 1;
}

/* In memory of exactly that size, so that a sanitizer sees who reads too far. */
static struct csl_span bytes_field(const struct row *r, size_t field)
{
    static uint8_t *held;
    static uint8_t wide[1 << 16];
    size_t n = row_bytes(r, field, wide, sizeof(wide));
    csl_free(held);
    held = csl_alloc(n == 0 ? 1 : n);
    assert_non_null(held);
    memcpy(held, wide, n);
    return CSL_SPAN(held, n);
}

static bool message(const struct row *r)
{
    static const uint8_t seed[CSL_SIGN_SEED_BYTES] = {1};
    struct csl_sign_key key;
    struct csl_secagg_message m;
    struct csl_span bytes = bytes_field(r, 0);
    if (csl_secagg_decode(&m, bytes, NULL) != CSL_OK)
        return false;
    struct csl_buf out; /* the encoder makes the same bytes, but for who signs */
    csl_buf_init(&out, 1 << 20);
    csl_sign_from_seed(&key, seed);
    assert_int_equal(csl_secagg_encode(&m, m.signature != NULL ? &key : NULL, &out, NULL), CSL_OK);
    assert_int_equal(out.n, bytes.n);
    assert_memory_equal(out.p, bytes.p, m.body.n);
    csl_buf_release(&out);
    return true;
}

static bool is_signed(const struct row *r)
{
    uint8_t key[32];
    struct csl_secagg_message m;
    row_fixed(r, 0, key, 32);
    assert_int_equal(csl_secagg_decode(&m, bytes_field(r, 1), NULL), CSL_OK);
    return csl_secagg_is_signed(&m, key);
}

static bool config(const struct row *r)
{
    struct csl_secagg_config c;
    return csl_secagg_config_decode(&c, bytes_field(r, 0), NULL) == CSL_OK;
}

static bool roster(const struct row *r)
{
    static struct csl_secagg_roster out;
    uint8_t root[32];
    row_fixed(r, 0, root, 32);
    return csl_secagg_roster_decode(&out, bytes_field(r, 2), root, row_number(r, 1), NULL) ==
           CSL_OK;
}

static bool ctx(const struct row *r)
{
    uint8_t found[32], right[32];
    row_fixed(r, 1, right, 32);
    csl_secagg_config_ctx(bytes_field(r, 0), found);
    return memcmp(found, right, 32) == 0;
}

static bool sid(const struct row *r)
{
    uint8_t found[32], right[32];
    struct csl_secagg_message m;
    row_fixed(r, 1, right, 32);
    assert_int_equal(csl_secagg_decode(&m, bytes_field(r, 0), NULL), CSL_OK);
    csl_secagg_sid(&m, found);
    return memcmp(found, right, 32) == 0;
}

static bool head(const struct row *r)
{
    uint8_t in[4][32], found[32], right[32];
    for (size_t i = 0; i < 4; i++)
        row_fixed(r, i, in[i], 32);
    row_fixed(r, 4, right, 32);
    csl_secagg_head(in[0], in[1], in[2], in[3], found);
    return memcmp(found, right, 32) == 0;
}

static void test_message_vectors__messages__as_listed(void **state)
{
    (void)state;
    rows_each(vectors, "message", message, 33, 315);
}

static void test_message_vectors__signatures__as_listed(void **state)
{
    (void)state;
    rows_each(vectors, "signed", is_signed, 3, 9);
}

static void test_message_vectors__configurations__as_listed(void **state)
{
    (void)state;
    rows_each(vectors, "config", config, 5, 35);
}

static void test_message_vectors__rosters__as_listed(void **state)
{
    (void)state;
    rows_each(vectors, "roster", roster, 3, 42);
}

static void test_message_vectors__identifiers__as_listed(void **state)
{
    (void)state;
    rows_each(vectors, "ctx", ctx, 1, 0);
    rows_each(vectors, "sid", sid, 1, 0);
    rows_each(vectors, "head", head, 1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_vectors__messages__as_listed),
        cmocka_unit_test(test_message_vectors__signatures__as_listed),
        cmocka_unit_test(test_message_vectors__configurations__as_listed),
        cmocka_unit_test(test_message_vectors__rosters__as_listed),
        cmocka_unit_test(test_message_vectors__identifiers__as_listed),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
