/* Image files, written here byte by byte, and what a CSV names beside its rows: images, WFDB
 * records, rows of archives, notes. */
#include "base/buf.h"
#include "base/le.h"
#include "base/mem.h"
#include "site-agent/data/image.h"
#include "tests/unit/data/support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

static void scratch_bytes(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(scratch(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* --- images --- */

static void test_pgm__eight_and_sixteen_bits__are_read(void **state)
{
    (void)state;
    struct csl_image i;
    struct csl_err err;
    static const char small[] = "P5 # comment\n3\t2\n255\n\x01\x02\x03\x04\x05\xff";
    ASSERT_OK(csl_image_read(&i, "i", CSL_SPAN(small, sizeof(small) - 1), &err), &err);
    assert_true(i.height == 2 && i.width == 3 && i.channels == 1);
    assert_true(i.pixels[0] == 1 && i.pixels[5] == 255);
    csl_image_release(&i);
    static const char deep[] = "P5\n1 2 1000\n\x03\xe8\x00\x07";
    ASSERT_OK(csl_image_read(&i, "i", CSL_SPAN(deep, sizeof(deep) - 1), &err), &err);
    assert_true(i.pixels[0] == 1000 && i.pixels[1] == 7);
    csl_image_release(&i);
}

static void test_pgm__damage__is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        enum csl_code code;
        const char *says;
    } cases[] = {
        {"P2 1 1 255\n1", 12, CSL_E_UNSUPPORTED, "neither a PNG nor"},
        {"P5", 2, CSL_E_CORRUPT, "i:1: width"},
        {"P5\n\n1 x 255\n1", 13, CSL_E_CORRUPT, "i:3: width"},
        {"P5 1 1 255", 10, CSL_E_CORRUPT, "i:1: width"},
        {"P51 1 255\n1", 11, CSL_E_CORRUPT, "i:1: width"},
        {"P5 0 1 255\n", 11, CSL_E_CORRUPT, "i:1: width"},
        {"P5 1 1 65536\n11", 15, CSL_E_CORRUPT, "i:1: width"},
        {"P5 1 1 255\n", 11, CSL_E_CORRUPT, "0 bytes of pixels; 1"},
        {"P5 1 1 255\n12", 13, CSL_E_CORRUPT, "2 bytes of pixels; 1"},
        {"P5 1 1 9\n\x0a", 10, CSL_E_CORRUPT, "above the greatest value 9"},
        {"P5 4294967297 1 255\n1", 21, CSL_E_CORRUPT, "i:1: width"},
        {"P5 100000 100000 255\n1", 22, CSL_E_LIMIT, "100000 x 100000 pixels"},
    };
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        struct csl_image i;
        struct csl_err err;
        ASSERT_CODE(csl_image_read(&i, "i", CSL_SPAN(cases[k].bytes, cases[k].n), &err),
                    cases[k].code, &err);
        ASSERT_SAYS(&err, cases[k].says);
    }
}

static void be32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void put_chunk(struct csl_buf *b, const char *type, const void *data, size_t n)
{
    uint8_t word[4], named[4096];
    memcpy(named, type, 4);
    if (n > 0)
        memcpy(named + 4, data, n);
    be32(word, (uint32_t)n);
    csl_buf_append(b, word, 4);
    csl_buf_append(b, named, n + 4);
    be32(word, (uint32_t)crc32(0, named, (uInt)(n + 4)));
    csl_buf_append(b, word, 4);
}

/* A PNG of one chunk of pixels; `rows` are its scan lines with their filter bytes. `more` (NULL:
 * none) is a chunk of four letters before the pixels. */
static struct csl_msg png_of(uint32_t width, uint32_t height, uint8_t depth, uint8_t colour,
                             const uint8_t *rows, size_t n, const char *more, const void *more_data,
                             size_t more_n)
{
    struct csl_buf b;
    uint8_t head[13] = {0}, packed[2048];
    uLongf packed_n = sizeof(packed);
    csl_buf_init(&b, 1u << 20);
    csl_buf_append(&b, "\x89PNG\r\n\x1a\n", 8);
    be32(head, width);
    be32(head + 4, height);
    head[8] = depth;
    head[9] = colour;
    put_chunk(&b, "IHDR", head, 13);
    if (more != NULL)
        put_chunk(&b, more, more_data, more_n);
    assert_int_equal(compress2(packed, &packed_n, rows, n, 9), Z_OK);
    put_chunk(&b, "IDAT", packed, packed_n);
    put_chunk(&b, "IEND", NULL, 0);
    return csl_buf_take(&b);
}

static void expect_png(struct csl_msg m, uint32_t channels, const uint16_t *wanted, size_t n)
{
    struct csl_image i;
    struct csl_err err;
    ASSERT_OK(csl_image_read(&i, "i", csl_msg_span(&m), &err), &err);
    assert_int_equal(i.channels, channels);
    assert_memory_equal(i.pixels, wanted, n * sizeof(*wanted));
    csl_image_release(&i);
    csl_msg_release(&m);
}

static void test_png__each_depth__gives_the_numbers_of_the_file(void **state)
{
    (void)state;
    static const uint8_t gamma[4] = {0, 0, 0x50, 0}; /* 0.2048: would change every value */
    static const uint8_t grey[] = {0, 1, 2, 0, 200, 255};
    expect_png(png_of(2, 2, 8, 0, grey, 6, NULL, NULL, 0), 1, (const uint16_t[]){1, 2, 200, 255},
               4);
    expect_png(png_of(2, 2, 8, 0, grey, 6, "gAMA", gamma, 4), 1, (const uint16_t[]){1, 2, 200, 255},
               4);
    static const uint8_t deep[] = {0, 0x12, 0x34, 0, 7, 0, 0xff, 0xff, 0x80, 0};
    expect_png(png_of(2, 2, 16, 0, deep, 10, NULL, NULL, 0), 1,
               (const uint16_t[]){0x1234, 7, 0xffff, 0x8000}, 4);
    expect_png(png_of(2, 2, 16, 0, deep, 10, "gAMA", gamma, 4), 1,
               (const uint16_t[]){0x1234, 7, 0xffff, 0x8000}, 4);
    static const uint8_t colour[] = {0, 10, 20, 30, 40, 50, 60};
    expect_png(png_of(2, 1, 8, 2, colour, 7, NULL, NULL, 0), 3,
               (const uint16_t[]){10, 20, 30, 40, 50, 60}, 6);
    static const uint8_t palette[] = {0, 1, 0}, colours[] = {1, 2, 3, 250, 251, 252};
    expect_png(png_of(2, 1, 8, 3, palette, 3, "PLTE", colours, 6), 3,
               (const uint16_t[]){250, 251, 252, 1, 2, 3}, 6);
    static const uint8_t bits[] = {0, 0x40};
    expect_png(png_of(2, 1, 1, 0, bits, 2, NULL, NULL, 0), 1, (const uint16_t[]){0, 255}, 2);
}

static void expect_refused(struct csl_msg m, enum csl_code code, const char *says)
{
    struct csl_image i;
    struct csl_err err;
    ASSERT_CODE(csl_image_read(&i, "i", csl_msg_span(&m), &err), code, &err);
    ASSERT_SAYS(&err, says);
    csl_msg_release(&m);
}

static void test_png__damage_and_size__are_refused(void **state)
{
    (void)state;
    static const uint8_t grey[] = {0, 1, 2, 0, 200, 255}, clear[2] = {0, 1};
    expect_refused(png_of(100000, 100000, 8, 0, grey, 6, NULL, NULL, 0), CSL_E_LIMIT,
                   "100000 x 100000 pixels");
    expect_refused(png_of(2, 2, 8, 4, grey, 6, NULL, NULL, 0), CSL_E_UNSUPPORTED, "transparency");
    expect_refused(png_of(2, 2, 8, 0, grey, 6, "tRNS", clear, 2), CSL_E_UNSUPPORTED,
                   "transparency");
    expect_refused(png_of(2, 2, 8, 0, grey, 3, NULL, NULL, 0), CSL_E_CORRUPT, "libpng refuses");
    expect_refused(png_of(2, 2, 8, 7, grey, 6, NULL, NULL, 0), CSL_E_CORRUPT, "libpng refuses");
    for (size_t cut = 4; cut < 60; cut += 5) {
        struct csl_msg m = png_of(2, 2, 8, 0, grey, 6, NULL, NULL, 0);
        m.n -= cut;
        expect_refused(m, m.n < 4 ? CSL_E_UNSUPPORTED : CSL_E_CORRUPT, "i: ");
    }
    struct csl_msg m = png_of(2, 2, 8, 0, grey, 6, NULL, NULL, 0);
    m.p[45] ^= 1; /* within the pixels */
    expect_refused(m, CSL_E_CORRUPT, "libpng refuses");
}

/* --- through a CSV --- */

static const char map[] =
    "format: consilium.mapping/1\n"
    "patient_column: patient\n"
    "modalities:\n"
    "  - {name: ecg, kind: signal, column: record, file_format: wfdb, unit: mV,\n"
    "     samples: 2, start_column: start, may_lack: true}\n"
    "  - {name: xray, kind: image2d, column: image, file_format: image,\n"
    "     divide_by: 255}\n"
    "  - {name: note, kind: text, column: note, keep_text: true}\n"
    "labels: [{name: ill, kind: binary, column: ill, positive: 1, negative: 0}]\n"
    "split: {column: set, train: a, test: b}\n";
#define HEAD "patient,set,ill,record,start,image,note\n"

static void write_files(void)
{
    static const uint8_t words[] = {100, 0, 200, 0, 44, 1};
    static const uint8_t grey[] = {0, 1, 2, 0, 200, 255};
    (void)scratch_text("r1.hea", "r1 1 100 3\nr1.dat 16 100 16 0 100 600\n");
    (void)scratch_text("r2.hea", "r2 1 100 3\nr1.dat 16 50 16 0 100 600\n");
    (void)scratch_text("fast.hea", "fast 1 200 3\nr1.dat 16 50\n");
    (void)scratch_text("uv.hea", "uv 1 100 3\nr1.dat 16 50/uV\n");
    (void)scratch_text("gone.hea", "gone 1 100 3\nnone.dat 16 50\n");
    (void)scratch_text("bad.hea", "bad 1 100 3\nr1.dat 311\n");
    scratch_bytes("r1.dat", words, sizeof(words));
    (void)scratch_text("a.pgm", "P5 2 2 255\n\x01\x02\x03\x04");
    (void)scratch_text("wide.pgm", "P5 4 1 255\n\x01\x02\x03\x04");
    struct csl_msg m = png_of(2, 2, 8, 0, grey, 6, NULL, NULL, 0);
    scratch_bytes("b.png", m.p, m.n);
    csl_msg_release(&m);
}

static enum csl_code import(struct csl_records *r, const char *rows, struct csl_err *err)
{
    char csv[2048];
    snprintf(csv, sizeof(csv), HEAD "%s", rows);
    write_files();
    (void)scratch_text("map.yaml", map);
    return csl_import_csv(r, "lyon", scratch_text("rows.csv", csv), scratch("map.yaml"), NULL, NULL,
                          0, err);
}

static void test_import__files_beside_a_csv__become_modalities(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    ASSERT_OK(import(&r,
                     "p1,a,1,r1,0,a.pgm,First note\n"
                     "p2,b,0,,0,,\"\"\n"
                     "p1,a,0,r2,2,b.png,Second\n"
                     "p3,a,1,absent,0,a.pgm,x\n",
                     &err),
              &err);
    assert_int_equal(r.record_count, 4); /* in the order of patients: p1 p1 p2 p3 */
    assert_int_equal(r.modality_count, 3);
    const struct csl_record_modality *ecg = &r.modalities[0], *xray = &r.modalities[1];
    assert_memory_equal(ecg->available, ((uint8_t[]){1, 1, 0, 0}), 4);
    assert_memory_equal(xray->available, ((uint8_t[]){1, 1, 0, 1}), 4);
    assert_true(ecg->sampling_rate_hz == 100.0);
    assert_true(ecg->values[0] == 1.0f && ecg->values[1] == 2.0f);
    assert_true(ecg->values[2] == 6.0f && isnan(ecg->values[3])); /* behind the end */
    assert_true(xray->values[4] == (float)(1.0 / 255) && xray->values[7] == 1.0f);
    assert_int_equal(xray->shape[2], 1);
    const struct csl_record_text *note = r.modalities[2].text;
    assert_memory_equal(note->offsets, ((uint64_t[]){0, 2, 3, 3, 4}), 40);
    assert_memory_equal(note->kept, "First noteSecondx", 17);
    csl_records_release(&r);
}

static void test_import__files_that_are_wrong__name_the_cell_and_never_show_it(void **state)
{
    (void)state;
    static const struct {
        const char *rows, *says;
    } cases[] = {
        {"p1,a,1,r1,0,absent.png,x\n", "rows.csv:2: column 6 (image): the file it names"},
        {"p1,a,1,r1,0,../a.pgm,x\n", "column 6 (image): a path below"},
        {"p1,a,1,/r1,0,a.pgm,x\n", "column 4 (record): a path below"},
        {"p1,a,1,r1,0,a.pgm,x\np2,a,1,r1,0,wide.pgm,x\n", "rows.csv:3: column 6 (image): what it"},
        {"p1,a,1,r1,0,r1.dat,x\n", "its file: neither a PNG nor"},
        {"p1,a,1,r1,0,a.pgm,x\np2,a,1,fast,0,a.pgm,x\n", "sampling rate"},
        {"p1,a,1,uv,0,a.pgm,x\n", "another unit"},
        {"p1,a,1,gone,0,a.pgm,x\n", "the signal file of its header is not there"},
        {"p1,a,1,bad,0,a.pgm,x\n", "its header:2:8: format 8, 16, 80 or 212"},
        {"p1,a,1,r1,3,a.pgm,x\n", "ends before the first sample"},
        {"p1,a,1,r1,-1,a.pgm,x\n", "column 5 (start)"},
        {"p1,a,1,r1,0,a.pgm,\xff\n", "the note is not UTF-8"},
        {"p1,a,1,r1,0,,x\n", "no row of"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct csl_records r;
        struct csl_err err;
        enum csl_code code = import(&r, cases[i].rows, &err);
        if (code == CSL_OK || strstr(err.msg, cases[i].says) == NULL)
            fail_msg("case %zu: %s", i, code == CSL_OK ? "accepted" : err.msg);
        if (strstr(cases[i].says, "no row of") == NULL && strstr(err.msg, "rows.csv:") == NULL)
            fail_msg("case %zu: %s", i, err.msg);
        static const char *const cells[] = {"absent", "wide", "fast", "r1.dat"};
        for (size_t k = 0; k < 4; k++)
            assert_null(strstr(err.msg, cells[k]));
    }
}

static void test_import__files_of_other_columns__are_not_appended(void **state)
{
    (void)state;
    static const char more[] = "format: consilium.mapping/1\nappend: [more.csv]\n"
                               "features: [{name: x}]\n"
                               "labels: [{name: y, kind: binary, positive: 1}]\n"
                               "split: {by_file: true, train: first.csv, test: more.csv}\n";
    struct csl_records r;
    struct csl_err err;
    (void)scratch_text("append.yaml", more);
    (void)scratch_text("more.csv", "x,y\n3,1\n4,0\n");
    ASSERT_OK(csl_import_csv(&r, "lyon", scratch_text("first.csv", "x,y\n1,1\n2,0\n"),
                             scratch("append.yaml"), NULL, NULL, 0, &err),
              &err);
    assert_int_equal(r.record_count, 4);
    assert_memory_equal(r.split, ((uint8_t[]){0, 0, 2, 2}), 4);
    assert_string_equal(r.patient_id[3], "row-4");
    csl_records_release(&r);
    (void)scratch_text("more.csv", "y,x\n3,1\n");
    ASSERT_CODE(csl_import_csv(&r, "lyon", scratch("first.csv"), scratch("append.yaml"), NULL, NULL,
                               0, &err),
                CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "more.csv:1: the columns differ");
    ASSERT_CODE(csl_import_csv(&r, "lyon", scratch_text("other.csv", "x,y\n1,1\n"),
                               scratch("append.yaml"), NULL, NULL, 0, &err),
                CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "other.csv:1: the name of this file is under none");
}

/* One archive beside the CSV, with keys 7 and 9. */
static void write_archive(void)
{
    static const char head[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 2), }\n";
    static const char keys[] = "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }\n";
    static const struct {
        const char *name, *head;
        uint32_t bytes;
    } members[2] = {{"x.npy", head, 48}, {"id.npy", keys, 8}};
    struct csl_buf file, directory;
    csl_buf_init(&file, 1u << 16);
    csl_buf_init(&directory, 1u << 16);
    for (uint32_t k = 0; k < 2; k++) {
        uint8_t npy[256] = "\x93NUMPY\x01";
        size_t text = strlen(members[k].head), n = 10 + text + members[k].bytes;
        csl_store_le16(npy + 8, (uint16_t)text);
        memcpy(npy + 10, members[k].head, text);
        for (uint32_t i = 0; i < members[k].bytes / 4; i++) {
            float value = i == 4 ? NAN : (float)i;
            uint32_t bits = 7 + 2 * i;
            if (k == 0)
                memcpy(&bits, &value, 4);
            csl_store_le32(npy + 10 + text + 4 * (size_t)i, bits);
        }
        uint32_t at = (uint32_t)file.n, crc = (uint32_t)crc32(0, npy, (uInt)n);
        struct csl_buf *both[2] = {&file, &directory};
        for (int i = 0; i < 2; i++) {
            csl_buf_le32(both[i], i == 0 ? 0x04034b50 : 0x02014b50);
            csl_buf_append(both[i], "\x14\0\x14\0", i == 0 ? 2 : 4);
            csl_buf_append(both[i], "\0\0\0\0\0\0\0\0", 8);
            csl_buf_le32(both[i], crc);
            csl_buf_le32(both[i], (uint32_t)n);
            csl_buf_le32(both[i], (uint32_t)n);
            csl_buf_le16(both[i], (uint16_t)strlen(members[k].name));
            csl_buf_le16(both[i], 0);
            if (i == 1)
                csl_buf_append(both[i], "\0\0\0\0\0\0\0\0\0\0", 10);
            if (i == 1)
                csl_buf_le32(both[i], at);
            csl_buf_str(both[i], members[k].name);
        }
        csl_buf_append(&file, npy, n);
    }
    uint32_t at = (uint32_t)file.n;
    csl_buf_append(&file, directory.p, directory.n);
    csl_buf_le32(&file, 0x06054b50);
    csl_buf_le32(&file, 0);
    csl_buf_le16(&file, 2);
    csl_buf_le16(&file, 2);
    csl_buf_le32(&file, (uint32_t)directory.n);
    csl_buf_le32(&file, at);
    csl_buf_le16(&file, 0);
    scratch_bytes("a.npz", file.p, file.n);
    csl_buf_release(&file);
    csl_buf_release(&directory);
}

#define SERIES                                                                                     \
    "  - {name: icu, kind: ehr_series, column: id, archives: a.npz, array: x, key: id,\n"          \
    "     features: [pulse, {name: ph, unit: none, range: [6, 8]}]"
#define TAIL                                                                                       \
    "labels: [{name: ill, kind: binary, column: ill, positive: 1}]\n"                              \
    "split: {column: set, train: a}\n"

static enum csl_code import_series(struct csl_records *r, const char *modality, const char *rows,
                                   struct csl_err *err)
{
    char text[1024], csv[256];
    write_archive();
    snprintf(text, sizeof(text), "format: consilium.mapping/1\nmodalities:\n%s" TAIL, modality);
    snprintf(csv, sizeof(csv), "id,set,ill\n%s", rows);
    (void)scratch_text("series.yaml", text);
    return csl_import_csv(r, "lyon", scratch_text("series.csv", csv), scratch("series.yaml"), NULL,
                          NULL, 0, err);
}

static void test_import__rows_of_an_archive__are_found_by_their_key(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    ASSERT_OK(import_series(&r, SERIES "}\n", "9,a,1\n,a,0\n7.0,a,1\n", &err), &err);
    const struct csl_record_modality *m = &r.modalities[0];
    assert_int_equal(r.modality_count, 1);
    assert_memory_equal(m->available, ((uint8_t[]){1, 0, 1}), 3);
    assert_true(m->shape[0] == 3 && m->shape[1] == 2);
    assert_string_equal(m->feature_names[1], "ph");
    assert_true(m->range_min[1] == 6.0 && m->range_max[1] == 8.0);
    assert_true(m->values[0] == 6.0f && m->values[5] == 11.0f && isnan(m->values[6]));
    assert_true(m->values[12] == 0.0f && isnan(m->values[16]) && m->values[17] == 5.0f);
    csl_records_release(&r);
    ASSERT_OK(import_series(&r, SERIES ", may_lack: true}\n", "8,a,1\n7,a,0\n", &err), &err);
    assert_memory_equal(r.modalities[0].available, ((uint8_t[]){0, 1}), 2);
    csl_records_release(&r);
}

static void test_import__modalities_that_are_wrong__name_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *modality, *rows, *says;
    } cases[] = {
        {SERIES "}\n", "8,a,1\n", "series.csv:2: column 1 (id): no row of the archives"},
        {SERIES "}\n", "x,a,1\n", "series.csv:2: column 1 (id): the cell is not a number"},
        {"  - {name: n, kind: text}\n", "7,a,1\n", "series.yaml:3:5: key 'column' is missing"},
        {"  - {name: n, kind: signal, column: id}\n", "7,a,1\n", "and one of them alone"},
        {"  - {name: n, kind: text, column: id, file_format: wfdb}\n", "7,a,1\n", "one of them"},
        {"  - {name: n, kind: image2d, column: id, file_format: wfdb}\n", "7,a,1\n",
         "a WFDB record is of kind signal"},
        {"  - {name: n, kind: signal, column: id, file_format: image}\n", "7,a,1\n",
         "an image file is of kind image2d"},
        {"  - {name: n, kind: signal, column: id, archives: a.npz, array: x}\n", "7,a,1\n",
         "needs 'array' and 'key'"},
        {"  - {name: n, kind: signal, column: id, archives: a.npz, array: x, key: id, samples: "
         "3}\n",
         "7,a,1\n", "belong to file_format wfdb"},
        {"  - {name: n, kind: signal, column: id, archives: a.npz, array: y, key: id}\n", "7,a,1\n",
         "holds no array 'y'"},
        {"  - {name: n, kind: signal, column: id, archives: a.npz, array: x, key: x}\n", "7,a,1\n",
         "one number in 'x' for every row"},
        {"  - {name: n, kind: embedding, column: id, archives: a.npz, array: x, key: id}\n",
         "7,a,1\n", "does not have the axes of kind embedding"},
        {"  - {name: n, kind: ehr_series, column: id, archives: a.npz, array: x, key: id}\n",
         "7,a,1\n", "need 'features'"},
        {"  - {name: n, kind: ehr_series, column: id, archives: a.npz, array: x, key: id,\n"
         "     features: [a, b, c]}\n",
         "7,a,1\n", "not as many columns"},
        {"  - {name: n, kind: signal, column: nope, archives: a.npz, array: x, key: id}\n",
         "7,a,1\n", "no column of"},
        {"  - {name: n, kind: signal, column: id, archives: b.npz, array: x, key: id}\n", "7,a,1\n",
         "b.npz"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct csl_records r;
        struct csl_err err;
        enum csl_code code = import_series(&r, cases[i].modality, cases[i].rows, &err);
        if (code == CSL_OK || strstr(err.msg, cases[i].says) == NULL)
            fail_msg("case %zu: %s", i, code == CSL_OK ? "accepted" : err.msg);
    }
}

static void test_import__out_of_memory_anywhere__says_so_and_leaks_nothing(void **state)
{
    (void)state;
    struct csl_err err;
    for (int kind = 0; kind < 2; kind++) {
        bool is_done = false;
        for (uint64_t n = 1; !is_done && n < 800; n++) {
            struct csl_records r;
            write_files(); /* so that what fails is the import */
            write_archive();
            csl_mem_fail_after(n);
            enum csl_code code = kind == 0
                                     ? csl_import_csv(&r, "lyon", scratch("rows.csv"),
                                                      scratch("map.yaml"), NULL, NULL, 0, &err)
                                     : csl_import_csv(&r, "lyon", scratch("series.csv"),
                                                      scratch("series.yaml"), NULL, NULL, 0, &err);
            csl_mem_fail_after(0);
            is_done = code == CSL_OK;
            if (is_done)
                csl_records_release(&r);
            else
                ASSERT_CODE(code, CSL_E_NOMEM, &err);
        }
        assert_true(is_done);
    }
}

static int write_inputs(void **state)
{
    struct csl_records r;
    struct csl_err err;
    (void)state;
    ASSERT_OK(import(&r, "p1,a,1,r1,0,a.pgm,First\np2,b,0,r2,0,b.png,x\n", &err), &err);
    csl_records_release(&r);
    ASSERT_OK(import_series(&r, SERIES "}\n", "9,a,1\n7,a,0\n", &err), &err);
    csl_records_release(&r);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pgm__eight_and_sixteen_bits__are_read),
        cmocka_unit_test(test_pgm__damage__is_refused),
        cmocka_unit_test(test_png__each_depth__gives_the_numbers_of_the_file),
        cmocka_unit_test(test_png__damage_and_size__are_refused),
        cmocka_unit_test(test_import__files_beside_a_csv__become_modalities),
        cmocka_unit_test(test_import__files_that_are_wrong__name_the_cell_and_never_show_it),
        cmocka_unit_test(test_import__files_of_other_columns__are_not_appended),
        cmocka_unit_test(test_import__rows_of_an_archive__are_found_by_their_key),
        cmocka_unit_test(test_import__modalities_that_are_wrong__name_their_place),
        cmocka_unit_test_setup(test_import__out_of_memory_anywhere__says_so_and_leaks_nothing,
                               write_inputs),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
