/* NumPy archives: written here byte by byte, read back, and then damaged in every way we know. */
#include "base/buf.h"
#include "base/file.h"
#include "base/le.h"
#include "base/mem.h"
#include "base/npz.h"
#include "site-agent/data/npz_import.h"
#include "tests/unit/data/support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

/* --- a small writer --- */

struct archive {
    struct csl_buf bytes, directory;
    uint16_t count;
};

static void archive_start(struct archive *a)
{
    csl_buf_init(&a->bytes, 1u << 24);
    csl_buf_init(&a->directory, 1u << 20);
    a->count = 0;
}

static void archive_add(struct archive *a, const char *name, struct csl_span content, bool deflated)
{
    uint8_t packed[8192];
    struct csl_span stored = content;
    uint32_t crc = (uint32_t)crc32(0, content.p, (uInt)content.n), at = (uint32_t)a->bytes.n;
    char full[160];
    snprintf(full, sizeof(full), "%s.npy", name);
    if (deflated) {
        z_stream s;
        memset(&s, 0, sizeof(s));
        assert_int_equal(deflateInit2(&s, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
        uint8_t *in = csl_alloc(content.n);
        memcpy(in, content.p, content.n);
        s.next_in = in;
        s.avail_in = (uInt)content.n;
        s.next_out = packed;
        s.avail_out = sizeof(packed);
        assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
        stored = CSL_SPAN(packed, sizeof(packed) - s.avail_out);
        deflateEnd(&s);
        csl_free(in);
    }
    struct csl_buf *both[2] = {&a->bytes, &a->directory};
    for (int i = 0; i < 2; i++) {
        struct csl_buf *b = both[i];
        csl_buf_le32(b, i == 0 ? 0x04034b50 : 0x02014b50);
        if (i == 1)
            csl_buf_le16(b, 20);
        csl_buf_le16(b, 20);
        csl_buf_le16(b, 0);
        csl_buf_le16(b, deflated ? 8 : 0);
        csl_buf_le32(b, 0);
        csl_buf_le32(b, crc);
        csl_buf_le32(b, (uint32_t)stored.n);
        csl_buf_le32(b, (uint32_t)content.n);
        csl_buf_le16(b, (uint16_t)strlen(full));
        csl_buf_le16(b, 0);
        if (i == 1) {
            csl_buf_append(b, "\0\0\0\0\0\0\0\0\0\0", 10);
            csl_buf_le32(b, at);
        }
        csl_buf_str(b, full);
    }
    csl_buf_append(&a->bytes, stored.p, stored.n);
    a->count++;
}

static struct csl_msg archive_finish(struct archive *a)
{
    uint32_t at = (uint32_t)a->bytes.n;
    csl_buf_append(&a->bytes, a->directory.p, a->directory.n);
    csl_buf_le32(&a->bytes, 0x06054b50);
    csl_buf_le32(&a->bytes, 0);
    csl_buf_le16(&a->bytes, a->count);
    csl_buf_le16(&a->bytes, a->count);
    csl_buf_le32(&a->bytes, (uint32_t)a->directory.n);
    csl_buf_le32(&a->bytes, at);
    csl_buf_le16(&a->bytes, 0);
    csl_buf_release(&a->directory);
    return csl_buf_take(&a->bytes);
}

/* A .npy with the given header text and data. */
static void add_npy(struct archive *a, const char *name, uint8_t version, const char *header,
                    const void *data, size_t n, bool deflated)
{
    struct csl_buf b;
    csl_buf_init(&b, 1u << 20);
    csl_buf_append(&b, "\x93NUMPY", 6);
    csl_buf_u8(&b, version);
    csl_buf_u8(&b, 0);
    if (version == 1)
        csl_buf_le16(&b, (uint16_t)strlen(header));
    else
        csl_buf_le32(&b, (uint32_t)strlen(header));
    csl_buf_str(&b, header);
    csl_buf_append(&b, data, n);
    archive_add(a, name, CSL_SPAN(b.p, b.n), deflated);
    csl_buf_release(&b);
}

#define HEADER(descr, shape)                                                                       \
    "{'descr': '" descr "', 'fortran_order': False, 'shape': " shape ", }            \n"

static const char two_map[] =
    "format: consilium.mapping/1\n"
    "modalities:\n"
    "  - {name: scan, kind: image2d, array: x, divide_by: 2}\n"
    "  - {name: table, kind: tabular, array: f, features: [age, weight]}\n"
    "labels:\n"
    "  - {name: ill, kind: binary, array: y, positive: 1, negative: 0, missing: 9}\n"
    "  - {name: grade, kind: classes, array: g, column: 1, values: [5, 6, 7]}\n"
    "split: {train: a_, test: b_}\n";

/* a_: two records, b_: one. */
static struct csl_msg good_archive(void)
{
    struct archive a;
    static const uint8_t xa[8] = {0, 1, 2, 3, 4, 5, 6, 255}, xb[4] = {9, 8, 7, 6};
    static const double fa[4] = {1.5, 2.5, 3.5, (double)NAN};
    static const float fb[2] = {0.25f, 4.0f};
    static const int64_t ya[2] = {1, 9};
    static const int32_t yb[1] = {0};
    static const int16_t ga[4] = {0, 5, 0, 7}, gb[2] = {0, 6};
    archive_start(&a);
    add_npy(&a, "a_x", 1, HEADER("|u1", "(2, 2, 2)"), xa, 8, true);
    add_npy(&a, "b_x", 2, HEADER("|u1", "(1, 2, 2)"), xb, 4, false);
    add_npy(&a, "a_f", 1, HEADER("<f8", "(2, 2)"), fa, 32, true);
    add_npy(&a, "b_f", 1, HEADER("<f4", "(1, 2)"), fb, 8, true);
    add_npy(&a, "a_y", 1, HEADER("<i8", "(2,)"), ya, 16, false);
    add_npy(&a, "b_y", 1, HEADER("<i4", "(1, 1)"), yb, 4, false);
    add_npy(&a, "a_g", 1, HEADER("<i2", "(2, 2)"), ga, 8, true);
    add_npy(&a, "b_g", 1, HEADER("<i2", "(1, 2)"), gb, 4, true);
    return archive_finish(&a);
}

static void write_file(const char *name, const uint8_t *p, size_t n)
{
    FILE *f = fopen(scratch(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* From memory: thousands of damaged archives need no disk. */
static enum csl_code import(struct csl_records *r, const struct csl_msg *m, const char *map,
                            struct csl_err *err)
{
    struct csl_yaml *yaml;
    struct csl_mapping *mapping;
    enum csl_code code = csl_yaml_parse(&yaml, "t.yaml", CSL_SPAN(map, strlen(map)), err);
    if (code == CSL_OK)
        code = csl_mapping_read_npz(&mapping, yaml, err);
    if (code != CSL_OK)
        return code;
    code = csl_import_npz_bytes__(r, "lyon", "t.npz", csl_msg_span(m), mapping, err);
    csl_mapping_free(mapping);
    return code;
}

/* --- tests --- */

static void test_npz__every_type_and_both_methods__arrive(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    struct csl_msg m = good_archive();
    ASSERT_OK(import(&r, &m, two_map, &err), &err);
    assert_int_equal(r.record_count, 3);
    assert_int_equal(r.patient_count, 3);
    static const uint8_t split[3] = {0, 0, 2};
    assert_memory_equal(r.split, split, 3);
    const struct csl_record_modality *scan = &r.modalities[0], *table = &r.modalities[1];
    static const uint32_t shape[3] = {2, 2, 1};
    assert_int_equal(scan->rank, 3);
    assert_memory_equal(scan->shape, shape, sizeof(shape));
    static const float pixels[12] = {0, .5f, 1, 1.5f, 2, 2.5f, 3, 127.5f, 4.5f, 4, 3.5f, 3};
    assert_memory_equal(scan->values, pixels, sizeof(pixels));
    static const float values[3] = {1.5f, 2.5f, 3.5f}, last[2] = {0.25f, 4.0f};
    assert_memory_equal(table->values, values, sizeof(values));
    assert_int_not_equal(isnan(table->values[3]), 0);
    assert_memory_equal(table->values + 4, last, sizeof(last));
    assert_string_equal(table->feature_names[1], "weight");
    static const int16_t ill[3] = {1, -1, 0}, grade[3] = {0, 2, 1};
    assert_memory_equal(r.labels[0].value, ill, sizeof(ill));
    assert_memory_equal(r.labels[1].value, grade, sizeof(grade));
    csl_records_release(&r);
    csl_msg_release(&m);
}

static void test_npz__cut_anywhere__is_refused(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_msg m = good_archive();
    for (size_t n = 0; n < m.n; n++) {
        struct csl_records r;
        struct csl_msg cut = {m.p, n};
        enum csl_code code = import(&r, &cut, two_map, &err);
        assert_true(code == CSL_E_CORRUPT || code == CSL_E_UNSUPPORTED ? true : false);
        ASSERT_SAYS(&err, "t.npz");
    }
    csl_msg_release(&m);
}

static void test_npz__changed_byte__never_gives_other_values(void **state)
{
    (void)state;
    struct csl_records good;
    struct csl_err err;
    struct csl_msg m = good_archive();
    ASSERT_OK(import(&good, &m, two_map, &err), &err);
    for (size_t at = 0; at < m.n; at++) {
        struct csl_records r;
        uint8_t old = m.p[at];
        m.p[at] = (uint8_t)(old ^ (1u << at % 8));
        if (import(&r, &m, two_map, &err) == CSL_OK) {
            assert_true(records_equal(&good, &r));
            csl_records_release(&r);
        }
        m.p[at] = old;
    }
    csl_records_release(&good);
    csl_msg_release(&m);
}

static const char one_map[] = "format: consilium.mapping/1\n"
                              "modalities: [{name: scan, kind: image2d, array: x}]\n"
                              "labels: [{name: y, kind: binary, array: y, positive: 1}]\n"
                              "split: {train: ''}\n";

static void test_npy__headers_that_are_wrong__are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t version;
        const char *header;
        size_t bytes;
        enum csl_code code;
        const char *says;
    } cases[] = {
        {1, HEADER("|u1", "(1, 2, 2)"), 4, CSL_OK, ""},
        {1, "{'shape':(1,2,2),'descr':'|u1','fortran_order':False}", 4, CSL_OK, ""},
        {3, HEADER("|u1", "(1, 2, 2)"), 4, CSL_E_CORRUPT, "format 1 or 2"},
        {1, HEADER("|u1", "(1, 2, 2)"), 5, CSL_E_CORRUPT, "its shape claims"},
        {1, HEADER("|u1", "(1, 2, 2)"), 3, CSL_E_CORRUPT, "its shape claims"},
        {1, HEADER("<i2", "(1, 2, 2)"), 4, CSL_E_CORRUPT, "its shape claims"},
        {1, HEADER(">i2", "(1, 2, 2)"), 8, CSL_E_UNSUPPORTED, ">i2"},
        {1, HEADER("|O", "(1, 2, 2)"), 32, CSL_E_UNSUPPORTED, "|O"},
        {1, "{'descr': '|u1', 'fortran_order': True, 'shape': (1, 2, 2), }", 4, CSL_E_UNSUPPORTED,
         "Fortran"},
        {1, HEADER("|u1", "(4294967296, 4294967296, 2)"), 4, CSL_E_CORRUPT, "its shape claims"},
        {1, HEADER("|u1", "(99999999999999999999, 2, 2)"), 4, CSL_E_CORRUPT, "damaged header"},
        {1, HEADER("|u1", "(1, 1, 1, 1, 2, 2)"), 4, CSL_E_CORRUPT, "damaged header"},
        {1, HEADER("|u1", "(-1, 2, 2)"), 4, CSL_E_CORRUPT, "damaged header"},
        {1, HEADER("|u1", "(4)"), 4, CSL_E_CORRUPT, "damaged header"},
        {1, HEADER("|u1", "(4,,)"), 4, CSL_E_CORRUPT, "damaged header"},
        {1, "{'descr': '|u1', 'shape': (1, 2, 2), }", 4, CSL_E_CORRUPT, "damaged header"},
        {1, "{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (1, 2, 2)}", 4,
         CSL_E_CORRUPT, "damaged header"},
        {1, "{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (1, 2, 2)}", 4,
         CSL_E_CORRUPT, "damaged header"},
        {1, "__import__('os').system('x')", 4, CSL_E_CORRUPT, "damaged header"},
        {1, "", 4, CSL_E_CORRUPT, "damaged header"},
        {1, HEADER("|u1", "()"), 1, CSL_E_INVAL, "has 0 rows"},
        {1, HEADER("|u1", "(0, 2, 2)"), 0, CSL_E_INVAL, "has 0 rows"},
        {1, HEADER("|u1", "(4,)"), 4, CSL_E_INVAL, "axes of this kind"},
        {1, HEADER("|u1", "(2, 2, 1)"), 4, CSL_E_INVAL, "array y has 1 rows"},
    };
    static const uint8_t data[64] = {0}, label[1] = {1};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct archive a;
        struct csl_records r;
        struct csl_err err;
        archive_start(&a);
        add_npy(&a, "x", cases[i].version, cases[i].header, data, cases[i].bytes, i % 2 == 0);
        add_npy(&a, "y", 1, HEADER("|u1", "(1,)"), label, 1, false);
        struct csl_msg m = archive_finish(&a);
        ASSERT_CODE(import(&r, &m, one_map, &err), cases[i].code, &err);
        if (cases[i].code == CSL_OK)
            csl_records_release(&r);
        else
            ASSERT_SAYS(&err, cases[i].says);
        csl_msg_release(&m);
    }
}

static void test_zip__directories_that_lie__are_refused(void **state)
{
    (void)state;
    /* Places behind the start of the first directory entry. */
    static const struct {
        size_t offset;
        uint32_t value;
        size_t bytes;
    } lies[] = {
        {8, 1, 2},           /* encrypted */
        {10, 12, 2},         /* bzip2 */
        {16, 0, 4},          /* checksum */
        {20, 0x7fffffff, 4}, /* packed size */
        {24, 0x7fffffff, 4}, /* size: a bomb that the packed bytes cannot hold */
        {24, 0, 4},          /* size */
        {24, 0xffffffff, 4}, /* zip64 */
        {28, 0xffff, 2},     /* length of the name */
        {30, 0xffff, 2},     /* of the extra field */
        {42, 0xfffffff0, 4}, /* offset of the local header */
        {42, 7, 4},          /* no header there */
    };
    struct csl_err err;
    struct csl_msg m = good_archive();
    const uint8_t *end = m.p + m.n - 22;
    size_t directory = csl_load_le32(end + 16);
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct csl_records r;
        uint8_t *p = m.p + directory + lies[i].offset;
        uint8_t old[4];
        memcpy(old, p, 4);
        if (lies[i].bytes == 2)
            csl_store_le16(p, (uint16_t)lies[i].value);
        else
            csl_store_le32(p, lies[i].value);
        enum csl_code code = import(&r, &m, two_map, &err);
        memcpy(p, old, 4);
        assert_true(code == CSL_E_CORRUPT || code == CSL_E_UNSUPPORTED ? true : false);
    }
    csl_msg_release(&m);
}

static void test_npz__arrays_that_the_mapping_misses__are_named(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    struct csl_msg m = good_archive();
    char map[1024];
    snprintf(map, sizeof(map), "%s", two_map);
    memcpy(strstr(map, "array: x"), "array: q", 8);
    ASSERT_CODE(import(&r, &m, map, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "a_q");
    snprintf(map, sizeof(map), "%s", two_map);
    memcpy(strstr(map, "column: 1"), "column: 2", 9);
    ASSERT_CODE(import(&r, &m, map, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "one column of a table");
    snprintf(map, sizeof(map), "%s", two_map);
    memcpy(strstr(map, "missing: 9"), "missing: 8", 10);
    ASSERT_CODE(import(&r, &m, map, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "row 1 of array y is no value");
    csl_msg_release(&m);
}

static void test_npz__two_arrays_of_one_name_or_no_array__is_refused(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    struct archive a;
    static const uint8_t data[4] = {0};
    archive_start(&a);
    add_npy(&a, "x", 1, HEADER("|u1", "(1, 2, 2)"), data, 4, false);
    add_npy(&a, "x", 1, HEADER("|u1", "(1, 2, 2)"), data, 4, false);
    struct csl_msg m = archive_finish(&a);
    ASSERT_CODE(import(&r, &m, one_map, &err), CSL_E_CORRUPT, &err);
    ASSERT_SAYS(&err, "two arrays of the same name");
    csl_msg_release(&m);
    archive_start(&a);
    m = archive_finish(&a);
    ASSERT_CODE(import(&r, &m, one_map, &err), CSL_E_INVAL, &err);
    csl_msg_release(&m);
}

struct reference_case {
    const char *npz, *mapping;
    uint32_t height, positive[3], negative[3];
};

static void check_reference(const struct reference_case *c)
{
    struct csl_records r;
    struct csl_err err;
    const char *path = reference(c->npz);
    if (path == NULL)
        skip();
    ASSERT_OK(csl_import_npz(&r, "hospital", path, scenario(c->mapping), &err), &err);
    assert_int_equal(r.modalities[0].shape[0], c->height);
    uint32_t n[3][2] = {{0}};
    for (uint32_t i = 0; i < r.record_count; i++)
        n[r.split[r.patient[i]]][r.labels[0].value[i]]++;
    for (int s = 0; s < 3; s++) {
        assert_int_equal(n[s][1], c->positive[s]);
        assert_int_equal(n[s][0], c->negative[s]);
    }
    for (uint32_t k = 0; k < 28 * 28; k++)
        assert_in_range((uintmax_t)(r.modalities[0].values[k] * 255.0f + 0.5f), 0, 255);
    csl_records_release(&r);
}

static void test_npz__breastmnist__has_the_published_counts(void **state)
{
    (void)state;
    const struct reference_case c = {"breastmnist/breastmnist.npz",
                                     "breastmnist.mapping.yaml",
                                     28,
                                     {147, 21, 42},
                                     {399, 57, 114}};
    check_reference(&c);
}

static void test_npz__pneumoniamnist__has_the_published_counts(void **state)
{
    (void)state;
    const struct reference_case c = {"pneumoniamnist/pneumoniamnist.npz",
                                     "pneumoniamnist.mapping.yaml",
                                     28,
                                     {3494, 389, 390},
                                     {1214, 135, 234}};
    check_reference(&c);
}

static void test_npz__ptbxl__has_a_signal_of_1000_x_12(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    static const char map[] =
        "format: consilium.mapping/1\n"
        "modalities: [{name: ecg, kind: signal, array: signal_uV, divide_by: 1000, "
        "sampling_rate_hz: 100}]\n"
        "labels: [{name: normal, kind: binary, array: labels, column: 0, positive: 1}]\n"
        "split: {train: ''}\n";
    const char *path = reference("ptbxl-500/ptbxl_500_lr.npz");
    if (path == NULL)
        skip();
    ASSERT_OK(csl_import_npz(&r, "hospital", path, scratch_text("t.yaml", map), &err), &err);
    uint32_t normal = 0;
    for (uint32_t i = 0; i < r.record_count; i++)
        normal += r.labels[0].value[i] == 1;
    assert_int_equal(r.record_count, 500);
    assert_int_equal(normal, 297);
    assert_int_equal(r.modalities[0].shape[0], 1000);
    assert_int_equal(r.modalities[0].shape[1], 12);
    csl_records_release(&r);
}

static void test_npz__out_of_memory__is_reported(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_msg m = good_archive();
    char npz[640], map[640];
    write_file("t.npz", m.p, m.n);
    csl_msg_release(&m);
    memcpy(npz, scratch("t.npz"), sizeof(npz));
    memcpy(map, scratch_text("t.yaml", two_map), sizeof(map));
    uint64_t n = 1;
    for (; n < 1000; n++) {
        struct csl_records r;
        csl_mem_fail_after(n);
        enum csl_code code = csl_import_npz(&r, "lyon", npz, map, &err);
        csl_mem_fail_after(0);
        if (code == CSL_OK) {
            csl_records_release(&r);
            break;
        }
        ASSERT_CODE(code, CSL_E_NOMEM, &err);
    }
    assert_in_range(n, 20, 999);
}

static void test_npz__series_embedding_and_volume__keep_their_axes(void **state)
{
    (void)state;
    static const char text[] =
        "format: consilium.mapping/1\nmodalities:\n"
        "  - {name: icu, kind: ehr_series, array: s, features: [{name: hr, unit: 1/min}, ph]}\n"
        "  - {name: vector, kind: embedding, array: e}\n"
        "  - {name: grey, kind: image3d, array: v}\n"
        "  - {name: colour, kind: image3d, array: c}\n"
        "labels: [{name: ill, kind: binary, array: y, positive: 1}]\nsplit: {train: ''}\n";
    static const uint8_t data[64] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct archive a;
    struct csl_records r;
    struct csl_err err;
    archive_start(&a);
    add_npy(&a, "s", 1, HEADER("|u1", "(2, 3, 2)"), data, 12, true);
    add_npy(&a, "e", 1, HEADER("|u1", "(2, 5)"), data, 10, false);
    add_npy(&a, "v", 1, HEADER("|u1", "(2, 2, 3, 4)"), data, 48, false);
    add_npy(&a, "c", 1, HEADER("|u1", "(2, 2, 1, 2, 3)"), data, 24, false);
    add_npy(&a, "y", 1, HEADER("|u1", "(2,)"), data, 2, false);
    struct csl_msg m = archive_finish(&a);
    ASSERT_OK(import(&r, &m, text, &err), &err);
    static const uint32_t shapes[4][4] = {{3, 2}, {5}, {2, 3, 4, 1}, {2, 1, 2, 3}};
    for (uint32_t k = 0; k < 4; k++)
        assert_memory_equal(r.modalities[k].shape, shapes[k], sizeof(shapes[k]));
    assert_string_equal(r.modalities[0].feature_units[0], "1/min");
    assert_string_equal(r.modalities[0].feature_names[1], "ph");
    assert_true(r.modalities[3].values[7] == 8.0f);
    csl_records_release(&r);
    csl_msg_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_npz__every_type_and_both_methods__arrive),
        cmocka_unit_test(test_npz__cut_anywhere__is_refused),
        cmocka_unit_test(test_npz__changed_byte__never_gives_other_values),
        cmocka_unit_test(test_npy__headers_that_are_wrong__are_refused),
        cmocka_unit_test(test_zip__directories_that_lie__are_refused),
        cmocka_unit_test(test_npz__arrays_that_the_mapping_misses__are_named),
        cmocka_unit_test(test_npz__two_arrays_of_one_name_or_no_array__is_refused),
        cmocka_unit_test(test_npz__series_embedding_and_volume__keep_their_axes),
        cmocka_unit_test(test_npz__breastmnist__has_the_published_counts),
        cmocka_unit_test(test_npz__pneumoniamnist__has_the_published_counts),
        cmocka_unit_test(test_npz__ptbxl__has_a_signal_of_1000_x_12),
        cmocka_unit_test(test_npz__out_of_memory__is_reported),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
