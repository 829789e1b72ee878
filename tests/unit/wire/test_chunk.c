#include "protocol/wire/chunk.h"

#include "base/mem.h"
#include "consilium_v1.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct taken {
    uint8_t bytes[4096];
    size_t n;
    uint64_t offset, next;
    uint32_t calls;
};

static enum csl_code take(void *ctx, uint64_t offset, struct csl_span s, struct csl_err *err)
{
    struct taken *t = ctx;
    if (t->calls++ == 0)
        t->offset = t->next = offset;
    if (offset != t->next || t->n + s.n > sizeof(t->bytes))
        return CSL_FAIL(err, CSL_E_BUG, "slices are not contiguous");
    memcpy(t->bytes + t->n, s.p, s.n);
    t->n += s.n;
    t->next += s.n;
    return CSL_OK;
}

/* Feeds `bytes` cut at two places; the result of the first call that fails, or of end. */
static enum csl_code read_cut(struct csl_chunk_reader *r, struct taken *t, struct csl_span bytes,
                              size_t a, size_t b)
{
    const struct csl_span slices[3] = {
        {bytes.p, a}, {bytes.p + a, b - a}, {bytes.p + b, bytes.n - b}};
    memset(t, 0, sizeof(*t));
    csl_chunk_reader_begin(r);
    for (int i = 0; i < 3; i++) {
        enum csl_code code = csl_chunk_reader_feed(r, slices[i], take, t, NULL);
        if (code != CSL_OK)
            return code;
    }
    return csl_chunk_reader_end(r, NULL);
}

static enum csl_code read_all(struct csl_chunk_reader *r, struct taken *t, struct csl_span bytes)
{
    return read_cut(r, t, bytes, bytes.n, bytes.n);
}

static const uint64_t numbers[] = {
    0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_C(1) << 40, UINT64_MAX >> 1, UINT64_MAX};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static void test_chunk__heads__equal_protobuf_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < NUMBERS * NUMBERS; i++) {
        struct csl_bulk_head head = {.bytes_total = numbers[i / NUMBERS],
                                     .bytes_offset = numbers[i % NUMBERS]};
        for (size_t k = 0; k < sizeof(head.ticket); k++)
            head.ticket[k] = (uint8_t)(i * 31 + k);
        Consilium__V1__BulkHead inner = CONSILIUM__V1__BULK_HEAD__INIT;
        Consilium__V1__Chunk chunk = CONSILIUM__V1__CHUNK__INIT;
        inner.ticket = (ProtobufCBinaryData){sizeof(head.ticket), head.ticket};
        inner.bytes_total = head.bytes_total;
        inner.bytes_offset = head.bytes_offset;
        chunk.head = &inner;
        uint8_t ours[CSL_CHUNK_PREFIX_MAX], theirs[CSL_CHUNK_PREFIX_MAX];
        size_t n = csl_chunk_write_head(ours, &head);
        assert_int_equal(n, consilium__v1__chunk__get_packed_size(&chunk));
        consilium__v1__chunk__pack(&chunk, theirs);
        assert_memory_equal(ours, theirs, n);
        for (size_t cut = 0; cut <= n; cut++) {
            struct csl_chunk_reader r;
            struct taken t;
            assert_int_equal(read_cut(&r, &t, CSL_SPAN(ours, n), cut / 2, cut), CSL_OK);
            assert_int_equal(r.kind, CSL_CHUNK_HEAD);
            assert_memory_equal(r.head.ticket, head.ticket, sizeof(head.ticket));
            assert_true(r.head.bytes_total == head.bytes_total);
            assert_true(r.head.bytes_offset == head.bytes_offset);
            assert_int_equal(t.calls, 0);
        }
    }
}

/* Packs with protobuf-c what we pack with csl_chunk_write_data. */
static struct csl_msg pack_data(uint64_t offset, const uint8_t *data, size_t data_bytes)
{
    uint8_t prefix[CSL_CHUNK_PREFIX_MAX];
    size_t n = csl_chunk_write_data(prefix, offset, data_bytes);
    struct csl_msg ours = {csl_alloc(n + data_bytes), n + data_bytes};
    assert_non_null(ours.p);
    memcpy(ours.p, prefix, n);
    memcpy(ours.p + n, data, data_bytes);
    Consilium__V1__Chunk *chunk = consilium__v1__chunk__unpack(NULL, ours.n, ours.p);
    assert_non_null(chunk);
    assert_true(chunk->offset == offset);
    assert_int_equal(chunk->data.len, data_bytes);
    assert_memory_equal(chunk->data.data, data, data_bytes);
    assert_int_equal(consilium__v1__chunk__get_packed_size(chunk), ours.n);
    uint8_t *theirs = csl_alloc(ours.n);
    consilium__v1__chunk__pack(chunk, theirs);
    assert_memory_equal(ours.p, theirs, ours.n);
    csl_free(theirs);
    consilium__v1__chunk__free_unpacked(chunk, NULL);
    return ours;
}

static void test_chunk__data__equals_protobuf_at_every_split(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 90, 127, 128, 300};
    uint8_t data[300];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + 0x7a);
    for (size_t i = 0; i < NUMBERS - 1; i++) { /* the largest offset leaves no room for data */
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            struct csl_msg m = pack_data(numbers[i], data, sizes[s]);
            for (size_t b = 0; b <= m.n; b++) {
                for (size_t a = b < 20 ? 0 : b - 1; a <= b; a++) {
                    struct csl_chunk_reader r;
                    struct taken t;
                    assert_int_equal(read_cut(&r, &t, csl_msg_span(&m), a, b), CSL_OK);
                    assert_int_equal(r.kind, CSL_CHUNK_DATA);
                    assert_true(r.offset == numbers[i] && t.offset == numbers[i]);
                    assert_int_equal(t.n, sizes[s]);
                    assert_memory_equal(t.bytes, data, sizes[s]);
                }
            }
            csl_msg_release(&m);
        }
    }
}

static void test_chunk__one_byte_at_a_time__is_read(void **state)
{
    (void)state;
    uint8_t data[200] = {1, 2, 3};
    struct csl_msg m = pack_data(123456789, data, sizeof(data));
    struct csl_chunk_reader r;
    struct taken t = {.n = 0};
    csl_chunk_reader_begin(&r);
    for (size_t i = 0; i < m.n; i++)
        assert_int_equal(csl_chunk_reader_feed(&r, CSL_SPAN(m.p + i, 1), take, &t, NULL), CSL_OK);
    assert_int_equal(csl_chunk_reader_end(&r, NULL), CSL_OK);
    assert_int_equal(t.calls, sizeof(data));
    assert_memory_equal(t.bytes, data, sizeof(data));
    csl_msg_release(&m);
}

static void test_chunk__digest__equals_protobuf(void **state)
{
    (void)state;
    uint8_t digest[32], prefix[CSL_CHUNK_PREFIX_MAX], theirs[64];
    for (size_t i = 0; i < sizeof(digest); i++)
        digest[i] = (uint8_t)(200 + i);
    size_t n = csl_chunk_write_digest(prefix, digest);
    Consilium__V1__Chunk chunk = CONSILIUM__V1__CHUNK__INIT;
    chunk.digest = (ProtobufCBinaryData){32, digest};
    assert_int_equal(consilium__v1__chunk__pack(&chunk, theirs), n);
    assert_memory_equal(prefix, theirs, n);
    for (size_t cut = 0; cut <= n; cut++) {
        struct csl_chunk_reader r;
        struct taken t;
        assert_int_equal(read_cut(&r, &t, CSL_SPAN(prefix, n), cut, cut), CSL_OK);
        assert_int_equal(r.kind, CSL_CHUNK_DIGEST);
        assert_memory_equal(r.digest, digest, 32);
    }
}

static void test_chunk__cut_anywhere__is_refused(void **state)
{
    (void)state;
    struct csl_bulk_head head = {.ticket = {1}, .bytes_total = 1000, .bytes_offset = 4};
    uint8_t prefix[CSL_CHUNK_PREFIX_MAX], data[50] = {9};
    struct csl_chunk_reader r;
    struct taken t;
    size_t n = csl_chunk_write_head(prefix, &head);
    for (size_t k = 0; k < n; k++)
        assert_int_equal(read_all(&r, &t, CSL_SPAN(prefix, k)), CSL_E_PROTO);
    n = csl_chunk_write_digest(prefix, data);
    for (size_t k = 0; k < n; k++)
        assert_int_equal(read_all(&r, &t, CSL_SPAN(prefix, k)), CSL_E_PROTO);
    struct csl_msg m = pack_data(70000, data, sizeof(data));
    for (size_t k = 0; k < m.n; k++)
        assert_int_equal(read_all(&r, &t, CSL_SPAN(m.p, k)), CSL_E_PROTO);
    csl_msg_release(&m);
}

static void test_chunk__malformed__is_refused_at_every_split(void **state)
{
    (void)state;
    static const struct {
        const char *what, *hex;
        enum csl_code code;
    } rows[] = {
        {"nothing", "", CSL_E_PROTO},
        {"an offset alone", "1005", CSL_E_PROTO},
        {"data of no bytes", "7a00", CSL_E_PROTO},
        {"data before offset", "7a01ff1005", CSL_E_PROTO},
        {"offset twice", "100510057a01ff", CSL_E_PROTO},
        {"data twice", "7a01ff7a01ff", CSL_E_PROTO},
        {"a byte after data", "7a01ff00", CSL_E_PROTO},
        {"an unknown field", "2005", CSL_E_PROTO},
        {"an unknown field before data",
         "10052001"
         "7a01ff",
         CSL_E_PROTO},
        {"an unknown field after data", "7a01ff800101", CSL_E_PROTO},
        {"a field number of zero", "0000", CSL_E_PROTO},
        {"a tag in two bytes", "fa000101", CSL_E_PROTO},
        {"offset with the wrong wire type", "1205", CSL_E_PROTO},
        {"data with the wrong wire type", "7805", CSL_E_PROTO},
        {"a varint of eleven bytes", "10ffffffffffffffffffff017a01ff", CSL_E_PROTO},
        {"a varint of 65 bits", "10ffffffffffffffffff027a01ff", CSL_E_PROTO},
        {"data over the maximum", "7a81804000", CSL_E_LIMIT},
        {"an offset that wraps", "10ffffffffffffffffff017a01ff", CSL_E_PROTO},
        {"an empty head", "0a00", CSL_E_PROTO},
        {"a head without a ticket", "0a021005", CSL_E_PROTO},
        {"a head with a short ticket", "0a110a0f0102030405060708090a0b0c0d0e0f", CSL_E_PROTO},
        {"a head with a long ticket", "0a130a110102030405060708090a0b0c0d0e0f1011", CSL_E_PROTO},
        {"a head whose ticket comes late", "0a1410050a100102030405060708090a0b0c0d0e0f10",
         CSL_E_PROTO},
        {"a head with two totals", "0a160a100102030405060708090a0b0c0d0e0f1010051005", CSL_E_PROTO},
        {"a head with its fields swapped", "0a160a100102030405060708090a0b0c0d0e0f1018051005",
         CSL_E_PROTO},
        {"a head with an unknown field", "0a140a100102030405060708090a0b0c0d0e0f102005",
         CSL_E_PROTO},
        {"a head that ends within a field", "0a130a100102030405060708090a0b0c0d0e0f1010",
         CSL_E_PROTO},
        {"a head that is too long",
         "0a61"
         "0a10",
         CSL_E_PROTO},
        {"a head and an offset", "0a120a100102030405060708090a0b0c0d0e0f101005", CSL_E_PROTO},
        {"a head and data", "0a120a100102030405060708090a0b0c0d0e0f107a01ff", CSL_E_PROTO},
        {"two heads",
         "0a120a100102030405060708090a0b0c0d0e0f100a120a100102030405060708090a0b0c0d0e0f10",
         CSL_E_PROTO},
        {"a short digest", "1a020102", CSL_E_PROTO},
        {"a digest and data",
         "1a200102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f207a01ff", CSL_E_PROTO},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[128];
        size_t n = strlen(rows[i].hex) / 2;
        assert_true(csl_unhex(rows[i].hex, bytes, n));
        for (size_t b = 0; b <= n; b++) {
            for (size_t a = 0; a <= b; a++) {
                struct csl_chunk_reader r;
                struct taken t;
                enum csl_code code = read_cut(&r, &t, CSL_SPAN(bytes, n), a, b);
                if (code != rows[i].code)
                    fail_msg("%s, cut at %zu and %zu: %s", rows[i].what, a, b, csl_code_name(code));
            }
        }
    }
}

/* A sink may have no room for more than was declared. */
static void test_chunk__bytes_after_data__never_reach_the_taker(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x7a, 0x02, 0xaa, 0xbb, 0xcc, 0xdd};
    for (size_t b = 0; b <= sizeof(bytes); b++) {
        for (size_t a = 0; a <= b; a++) {
            struct csl_chunk_reader r;
            struct taken t;
            assert_int_equal(read_cut(&r, &t, CSL_SPAN(bytes, sizeof(bytes)), a, b), CSL_E_PROTO);
            assert_true(t.n <= 2);
        }
    }
}

static void test_chunk__explicit_zeros__are_read(void **state)
{
    (void)state;
    /* proto3 writers leave zeros out, but a message that has them means the same. */
    static const uint8_t bytes[] = {0x10, 0x00, 0x7a, 0x02, 0xaa, 0xbb};
    struct csl_chunk_reader r;
    struct taken t;
    assert_int_equal(read_all(&r, &t, CSL_SPAN(bytes, sizeof(bytes))), CSL_OK);
    assert_true(r.offset == 0);
    assert_int_equal(t.n, 2);
}

static void test_chunk__data_without_a_taker__is_refused(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x7a, 0x02, 0xaa, 0xbb};
    struct csl_chunk_reader r;
    csl_chunk_reader_begin(&r);
    assert_int_equal(csl_chunk_reader_feed(&r, CSL_SPAN(bytes, sizeof(bytes)), NULL, NULL, NULL),
                     CSL_E_PROTO);
}

static enum csl_code refuse(void *ctx, uint64_t offset, struct csl_span s, struct csl_err *err)
{
    (void)ctx, (void)offset, (void)s;
    return CSL_FAIL(err, CSL_E_CORRUPT, "refused by the taker");
}

static void test_chunk__taker_fails__its_code_is_returned(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x7a, 0x02, 0xaa, 0xbb};
    struct csl_chunk_reader r;
    csl_chunk_reader_begin(&r);
    assert_int_equal(csl_chunk_reader_feed(&r, CSL_SPAN(bytes, sizeof(bytes)), refuse, NULL, NULL),
                     CSL_E_CORRUPT);
}

/* Whatever both readers accept means the same; ours is the stricter one. */
static void test_chunk__random_bytes__never_contradict_protobuf(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252u;
    uint32_t accepted = 0;
    for (int round = 0; round < 200000; round++) {
        uint8_t bytes[24], base[] = {0x10, 0x85, 0x01, 0x7a, 0x05, 1, 2, 3, 4, 5};
        size_t n = sizeof(base);
        memcpy(bytes, base, n);
        for (int k = 0; k < 2; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17; /* xorshift64 */
            bytes[x % n] = (uint8_t)(x >> 32);
        }
        struct csl_chunk_reader r;
        struct taken t;
        if (read_cut(&r, &t, CSL_SPAN(bytes, n), x % 7, 7) != CSL_OK)
            continue;
        accepted++;
        Consilium__V1__Chunk *c = consilium__v1__chunk__unpack(NULL, n, bytes);
        assert_non_null(c);
        assert_true(c->offset == r.offset);
        assert_int_equal(c->data.len, t.n);
        assert_memory_equal(c->data.data, t.bytes, t.n);
        consilium__v1__chunk__free_unpacked(c, NULL);
    }
    assert_true(accepted > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunk__heads__equal_protobuf_both_ways),
        cmocka_unit_test(test_chunk__data__equals_protobuf_at_every_split),
        cmocka_unit_test(test_chunk__one_byte_at_a_time__is_read),
        cmocka_unit_test(test_chunk__digest__equals_protobuf),
        cmocka_unit_test(test_chunk__cut_anywhere__is_refused),
        cmocka_unit_test(test_chunk__malformed__is_refused_at_every_split),
        cmocka_unit_test(test_chunk__bytes_after_data__never_reach_the_taker),
        cmocka_unit_test(test_chunk__explicit_zeros__are_read),
        cmocka_unit_test(test_chunk__data_without_a_taker__is_refused),
        cmocka_unit_test(test_chunk__taker_fails__its_code_is_returned),
        cmocka_unit_test(test_chunk__random_bytes__never_contradict_protobuf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
