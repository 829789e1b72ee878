/* WFDB records and image files, written here byte by byte, alone and through a CSV. */
#include "base/buf.h"
#include "base/le.h"
#include "base/mem.h"
#include "site-agent/data/image.h"
#include "site-agent/data/wfdb.h"
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

static enum csl_code header_of(struct csl_wfdb_header *h, const char *text, struct csl_err *err)
{
    return csl_wfdb_header_read(h, "h", CSL_SPAN(text, strlen(text)), err);
}

/* --- headers --- */

static void test_wfdb_header__every_field__is_read(void **state)
{
    (void)state;
    struct csl_wfdb_header h;
    struct csl_err err;
    /* the first two lines are those of record 100 of the MIT-BIH database (header(5)) */
    ASSERT_OK(header_of(&h,
                        "# a comment\r\n100 2 360 650000 0:0:0 0/0/0\n"
                        "100.dat 212 200 11 1024 995 -22131 0 MLII\n"
                        "100.dat 212 1000(-5)/uV 11 1024 1011 20052 0 V5\n# 69 M\n",
                        &err),
              &err);
    assert_int_equal(h.signal_count, 2);
    assert_int_equal(h.samples, 650000);
    assert_true(h.sampling_rate_hz == 360.0);
    assert_string_equal(h.signals[0].file, "100.dat");
    assert_int_equal(h.signals[0].format, 212);
    assert_true(h.signals[0].gain == 200.0);
    assert_int_equal(h.signals[0].baseline, 1024); /* the converter's zero */
    assert_string_equal(h.signals[0].unit, "mV");
    assert_int_equal(h.signals[0].initial, 995);
    assert_int_equal(h.signals[0].checksum, (uint16_t)-22131);
    assert_int_equal(h.signals[1].baseline, -5);
    assert_string_equal(h.signals[1].unit, "uV");
    assert_int_equal(csl_wfdb_group(&h, 0), 2);
    ASSERT_OK(header_of(&h, "r 1 250/250(3) 10\nr.dat 16x1:0+24 0\n", &err), &err);
    assert_int_equal(h.signals[0].offset, 24);
    assert_true(h.signals[0].gain == 200.0 && !h.signals[0].has_checksum);
}

static void test_wfdb_header__mistakes__name_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum csl_code code;
        const char *says;
    } cases[] = {
        {"", CSL_E_CORRUPT, "h:1:1:"},
        {"# nothing\n", CSL_E_CORRUPT, "h:1:1:"},
        {"r/3 1 250 10\n", CSL_E_UNSUPPORTED, "h:1:1: a record of one segment"},
        {"r\x01 1 250 10\n", CSL_E_CORRUPT, "h:1:1: a record's name"},
        {"r x 250 10\n", CSL_E_CORRUPT, "h:1:3: the number of signals"},
        {"r 0 250 10\n", CSL_E_LIMIT, "h:1:3: 1 to 64 signals"},
        {"r 65 250 10\n", CSL_E_LIMIT, "h:1:3: 1 to 64 signals"},
        {"r 1 0 10\n", CSL_E_CORRUPT, "h:1:5: a sampling rate"},
        {"r 1 nan 10\n", CSL_E_CORRUPT, "h:1:5: a sampling rate"},
        {"r 1 250\nr.dat 16\n", CSL_E_CORRUPT, "h:1:8: the number of samples"},
        {"r 1 250 0\nr.dat 16\n", CSL_E_CORRUPT, "h:1:9: the number of samples"},
        {"r 1 250 999999999999\nr.dat 16\n", CSL_E_LIMIT, "h:1:9: at most 2^28"},
        {"r 2 250 10\nr.dat 16\n", CSL_E_CORRUPT, "h:3:1: a line for every signal"},
        {"r 1 250 10\n../r.dat 16\n", CSL_E_CORRUPT, "h:2:1: the name of a file"},
        {"r 1 250 10\nr.dat\n", CSL_E_CORRUPT, "h:2:6: the format"},
        {"r 1 250 10\nr.dat 310\n", CSL_E_UNSUPPORTED, "h:2:7: format 8, 16, 80 or 212"},
        {"r 1 250 10\nr.dat 16x2\n", CSL_E_UNSUPPORTED, "h:2:7: one sample per frame"},
        {"r 1 250 10\nr.dat 16:3\n", CSL_E_UNSUPPORTED, "h:2:7: a signal without skew"},
        {"r 1 250 10\nr.dat 16+-1\n", CSL_E_CORRUPT, "h:2:7: a format such as"},
        {"r 1 250 10\nr.dat 16 inf\n", CSL_E_CORRUPT, "h:2:10: a gain"},
        {"r 1 250 10\nr.dat 16 1e-30\n", CSL_E_CORRUPT, "h:2:10: 0, or a gain"},
        {"r 1 250 10\nr.dat 16 200(1\n", CSL_E_CORRUPT, "h:2:10: a baseline"},
        {"r 1 250 10\nr.dat 16 200(1)x\n", CSL_E_CORRUPT, "h:2:10: a baseline"},
        {"r 1 250 10\nr.dat 16 200/\n", CSL_E_CORRUPT, "h:2:10: a unit"},
        {"r 1 250 10\nr.dat 16 200 1.5\n", CSL_E_CORRUPT, "h:2:14: a whole number"},
        {"r 1 250 10\nr.dat 16 200 16 0 0 70000\n", CSL_E_CORRUPT, "h:2:21: a checksum"},
        {"r 2 250 10\nr.dat 16\nr.dat 212\n", CSL_E_UNSUPPORTED, "h:3:1: signals of one file"},
        {"r 3 250 10\na 16\nb 16\na 16\n", CSL_E_UNSUPPORTED, "h:4:1: signals of one file"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct csl_wfdb_header h;
        struct csl_err err;
        ASSERT_CODE(header_of(&h, cases[i].text, &err), cases[i].code, &err);
        ASSERT_SAYS(&err, cases[i].says);
    }
}

/* --- samples --- */

static void expect_samples(const char *header, const void *bytes, size_t n, uint64_t start,
                           uint64_t count, const float *wanted)
{
    struct csl_wfdb_header h;
    struct csl_err err;
    float got[32];
    ASSERT_OK(header_of(&h, header, &err), &err);
    uint32_t signals = csl_wfdb_group(&h, 0);
    ASSERT_OK(csl_wfdb_samples(&h, 0, "d", CSL_SPAN(bytes, n), start, count, got, signals, &err),
              &err);
    for (uint64_t k = 0; k < count * signals; k++)
        assert_true(got[k] == wanted[k] || (isnan(got[k]) && isnan(wanted[k])));
}

static void test_wfdb_samples__each_format__gives_physical_values(void **state)
{
    (void)state;
    /* 212, from signal(5): the low 8 bits, both high halves, the low 8 bits of the second */
    static const uint8_t packed[] = {0x34, 0x21, 0xfe, 0xff, 0x0f, 0x00, 0x00, 0x08};
    expect_samples("r 2 1 2\nr 212 2(1)\nr 212 1\n", packed, 6, 0, 2,
                   (const float[]){(0x134 - 1) / 2.0f, 0x2fe, (-1 - 1) / 2.0f, 0});
    expect_samples("r 1 1 5\nr 212 1\n", packed, 8, 0, 5,
                   (const float[]){0x134, 0x2fe, -1, 0, NAN}); /* -2048 is not measured */
    static const uint8_t words[] = {0x01, 0x00, 0xff, 0xff, 0x00, 0x80, 0x10, 0x27};
    expect_samples("r 2 1 2\nr 16 10\nr 16 1\n", words, 8, 0, 2,
                   (const float[]){0.1f, -1, NAN, 10000});
    static const uint8_t bytes[] = {128, 0, 255, 127};
    expect_samples("r 1 1 4\nr 80 1\n", bytes, 4, 0, 4, (const float[]){0, NAN, 127, -1});
    static const uint8_t steps[] = {1, 0xff, 5, 0x80};
    expect_samples("r 1 1 4\nr 8 1 8 0 10\n", steps, 4, 0, 4, (const float[]){11, 10, 15, -113});
    expect_samples("r 1 1 4\nr 8 1 8 0 10\n", steps, 4, 2, 3, (const float[]){15, -113, NAN});
    expect_samples("r 1 1 2\nr 16+2 1\n", words, 6, 0, 2, (const float[]){-1, NAN});
}

static void test_wfdb_samples__damage__is_named(void **state)
{
    (void)state;
    static const uint8_t words[] = {1, 0, 2, 0, 3, 0};
    static const struct {
        const char *header, *says;
        size_t n;
    } cases[] = {{"r 1 1 3\nr 16 1 16 0 1 6\n", NULL, 6},
                 {"r 1 1 3\nr 16 1 16 0 1 6\n", "6 behind an offset of 0", 5},
                 {"r 1 1 3\nr 16+2 1 16 0\n", "6 behind an offset of 2", 6},
                 {"r 1 1 3\nr 16+9 1 16 0\n", "behind an offset of 9", 6},
                 {"r 1 1 3\nr 16 1 16 0 2 6\n", "does not begin", 6},
                 {"r 1 1 3\nr 16 1 16 0 1 7\n", "checksum", 6}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct csl_wfdb_header h;
        struct csl_err err;
        float got[3];
        ASSERT_OK(header_of(&h, cases[i].header, &err), &err);
        enum csl_code code =
            csl_wfdb_samples(&h, 0, "d", CSL_SPAN(words, cases[i].n), 0, 3, got, 1, &err);
        ASSERT_CODE(code, cases[i].says == NULL ? CSL_OK : CSL_E_CORRUPT, &err);
        if (cases[i].says != NULL)
            ASSERT_SAYS(&err, cases[i].says);
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wfdb_header__every_field__is_read),
        cmocka_unit_test(test_wfdb_header__mistakes__name_line_and_column),
        cmocka_unit_test(test_wfdb_samples__each_format__gives_physical_values),
        cmocka_unit_test(test_wfdb_samples__damage__is_named),
        cmocka_unit_test(test_pgm__eight_and_sixteen_bits__are_read),
        cmocka_unit_test(test_pgm__damage__is_refused),
        cmocka_unit_test(test_png__each_depth__gives_the_numbers_of_the_file),
        cmocka_unit_test(test_png__damage_and_size__are_refused),
        cmocka_unit_test(test_import__files_beside_a_csv__become_modalities),
        cmocka_unit_test(test_import__files_that_are_wrong__name_the_cell_and_never_show_it),
        cmocka_unit_test(test_import__files_of_other_columns__are_not_appended),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
