/* Initial weights from other programs: safetensors and npz are read by name and shape, their values
 * become float32, and everything else is refused with a reason. */
#include "base/buf.h"
#include "base/le.h"
#include "base/mem.h"
#include "base/npz.h"
#include "protocol/initial/safetensors.h"
#include "protocol/initial/weights.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

/* heart.weight [2, 3], heart.bias [2] */
#define PARAMETERS 8
static struct csl_schema schema;

static int setup(void **state)
{
    const uint64_t weight[2] = {2, 3}, bias[1] = {2};
    (void)state;
    csl_schema_init(&schema);
    assert_int_equal(csl_schema_add_block(&schema, "heart", CSL_BLOCK_SHARED, NULL), CSL_OK);
    assert_int_equal(
        csl_schema_add_tensor(&schema, "heart.weight", 2, weight, CSL_INIT_ZEROS, 0, NULL), CSL_OK);
    assert_int_equal(csl_schema_add_tensor(&schema, "heart.bias", 1, bias, CSL_INIT_ZEROS, 0, NULL),
                     CSL_OK);
    return csl_schema_seal(&schema, NULL) == CSL_OK ? 0 : -1;
}

/* --- files made by hand --- */

static void put_safetensors(struct csl_buf *b, const char *header, const void *data, size_t n)
{
    csl_buf_init(b, 1u << 22);
    csl_buf_le64(b, strlen(header));
    csl_buf_str(b, header);
    csl_buf_append(b, data, n);
}

static void put_zip_head(struct csl_buf *b, bool is_central, const char *name, struct csl_span npy,
                         uint32_t at)
{
    csl_buf_le32(b, is_central ? 0x02014b50 : 0x04034b50);
    if (is_central)
        csl_buf_le16(b, 20);
    csl_buf_le32(b, 20); /* version, flags */
    csl_buf_le16(b, 0);  /* stored */
    csl_buf_le32(b, 0);  /* time */
    csl_buf_le32(b, (uint32_t)crc32(0, npy.p, (uInt)npy.n));
    csl_buf_le32(b, (uint32_t)npy.n);
    csl_buf_le32(b, (uint32_t)npy.n);
    csl_buf_le16(b, (uint16_t)strlen(name));
    csl_buf_le16(b, 0);
    if (is_central) {
        csl_buf_append(b, "\0\0\0\0\0\0\0\0\0\0", 10);
        csl_buf_le32(b, at);
    }
    csl_buf_str(b, name);
}

struct array {
    const char *name, *descr, *shape;
    const void *data;
    size_t bytes;
};

static void put_npz(struct csl_buf *b, const struct array *arrays, uint16_t count)
{
    struct csl_buf directory;
    csl_buf_init(b, 1u << 22);
    csl_buf_init(&directory, 1u << 16);
    for (uint16_t i = 0; i < count; i++) {
        struct csl_buf npy;
        char text[128];
        uint32_t at = (uint32_t)b->n;
        int n =
            snprintf(text, sizeof(text), "{'descr': '%s', 'fortran_order': False, 'shape': %s, }\n",
                     arrays[i].descr, arrays[i].shape);
        csl_buf_init(&npy, 1u << 20);
        csl_buf_append(&npy, "\x93NUMPY\x01\x00", 8);
        csl_buf_le16(&npy, (uint16_t)n);
        csl_buf_str(&npy, text);
        csl_buf_append(&npy, arrays[i].data, arrays[i].bytes);
        put_zip_head(b, false, arrays[i].name, CSL_SPAN(npy.p, npy.n), 0);
        csl_buf_append(b, npy.p, npy.n);
        put_zip_head(&directory, true, arrays[i].name, CSL_SPAN(npy.p, npy.n), at);
        csl_buf_release(&npy);
    }
    uint32_t at = (uint32_t)b->n;
    csl_buf_append(b, directory.p, directory.n);
    csl_buf_le32(b, 0x06054b50);
    csl_buf_le32(b, 0);
    csl_buf_le16(b, count);
    csl_buf_le16(b, count);
    csl_buf_le32(b, (uint32_t)directory.n);
    csl_buf_le32(b, at);
    csl_buf_le16(b, 0);
    csl_buf_release(&directory);
}

/* --- what is expected --- */

static void assert_values(struct csl_buf *take_b, const float expected[PARAMETERS])
{
    float *got = NULL;
    struct csl_err err;
    if (csl_weights_parse(&got, "w", CSL_SPAN(take_b->p, take_b->n), &schema, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_memory_equal(got, expected, PARAMETERS * sizeof(float));
    csl_free(got);
    csl_buf_release(take_b);
}

static void assert_refused(struct csl_buf *take_b, enum csl_code code, const char *text)
{
    float untouched = 0, *got = &untouched;
    struct csl_err err = {.code = CSL_OK};
    enum csl_code found =
        csl_weights_parse(&got, "w", CSL_SPAN(take_b->p, take_b->n), &schema, &err);
    if (found != code || strstr(err.msg, text) == NULL)
        fail_msg("code %d instead of %d: '%s' instead of '%s'", (int)found, (int)code, err.msg,
                 text);
    assert_ptr_equal(got, &untouched);
    csl_buf_release(take_b);
}

static const float eight[PARAMETERS] = {1, -2, 3.5F, 0, 1e-30F, -1e30F, 7, 0.1F};

#define WEIGHT "\"heart.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}"
#define BIAS   "\"heart.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]}"

static void test_weights__safetensors__lands_in_the_schema_s_order(void **state)
{
    static const float turned[PARAMETERS] = {7, 0.1F, 1, -2, 3.5F, 0, 1e-30F, -1e30F};
    struct csl_buf b;
    (void)state;
    put_safetensors(&b, "{\"__metadata__\":{\"by\":\"hand\"}," WEIGHT "," BIAS "}    ", eight,
                    sizeof(eight));
    assert_values(&b, eight);
    put_safetensors(&b,
                    "{\"heart.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                    "\"heart.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]}}",
                    turned, sizeof(turned));
    assert_values(&b, eight);
}

/* binary16: 1, -2, the smallest subnormal 2^-24, the largest 65504, 1/3 (0x3555 =
 * 0.333251953125), -0. bfloat16: 0x3eab = 0.333984375, 0x7f7f = the largest. */
static void test_weights__narrow_types__are_exact(void **state)
{
    static const uint16_t data[PARAMETERS] = {0x3c00, 0xc000, 0x0001, 0x7bff,
                                              0x3555, 0x8000, 0x3eab, 0x7f7f};
    const float expected[PARAMETERS] = {1,     -2,           0x1p-24F,   65504, 0.333251953125F,
                                        -0.0F, 0.333984375F, 0x1.fep127F};
    struct csl_buf b;
    (void)state;
    put_safetensors(&b,
                    "{\"heart.weight\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
                    "\"heart.bias\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[12,16]}}",
                    data, sizeof(data));
    assert_values(&b, expected);
}

#define WIDE                                                                                       \
    "{\"heart.weight\":{\"dtype\":\"F64\",\"shape\":[2,3],\"data_offsets\":[0,48]},"               \
    "\"heart.bias\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[48,64]}}"

/* 1 + 2^-24 lies between 1 and 1 + 2^-23 and goes to the even one, 1; 1 + 3 * 2^-24 goes to
 * 1 + 2^-22. */
static void test_weights__float64__goes_to_the_nearest_float32_ties_to_even(void **state)
{
    const double data[PARAMETERS] = {1 + 0x1p-24,     1 + 0x3p-24,     0.1, -0.1, 1e-50, 0,
                                     (double)FLT_MAX, -(double)FLT_MAX};
    const float expected[PARAMETERS] = {1, 1 + 0x1p-22F, 0.1F, -0.1F, 0, 0, FLT_MAX, -FLT_MAX};
    struct csl_buf b;
    (void)state;
    put_safetensors(&b, WIDE, data, sizeof(data));
    assert_values(&b, expected);
}

static void test_weights__a_value_that_is_no_float32__is_refused_by_name(void **state)
{
    const double bad[] = {HUGE_VAL, (double)NAN, 3.5e38, -1e300};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        double data[PARAMETERS] = {0};
        struct csl_buf b;
        data[7] = bad[i];
        put_safetensors(&b, WIDE, data, sizeof(data));
        assert_refused(&b, CSL_E_INVAL, "tensor heart.bias: value 1 is");
    }
}

static void test_weights__other_tensors__are_refused_with_both_shapes(void **state)
{
    struct csl_buf b;
    (void)state;
    put_safetensors(&b, "{" WEIGHT "}", eight, 24);
    assert_refused(&b, CSL_E_INVAL,
                   "has no tensor heart.bias; the study's model has one of shape "
                   "[2]");
    put_safetensors(
        &b,
        "{\"heart.weight\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,24]}," BIAS "}",
        eight, 32);
    assert_refused(&b, CSL_E_INVAL, "tensor heart.weight has shape [3, 2]; [2, 3] would be right");
    put_safetensors(&b,
                    "{" WEIGHT "," BIAS
                    ",\"lung.bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[32,36]}}",
                    "0123456789abcdef0123456789abcdef0123", 36);
    assert_refused(&b, CSL_E_INVAL, "tensor lung.bias is none of the study's model");
}

static void test_weights__headers_that_are_not_strict__are_refused(void **state)
{
    static const struct {
        const char *header, *text;
        enum csl_code code;
        size_t data;
    } rows[] = {
        {"{" WEIGHT "," BIAS "}", "lies outside the file", CSL_E_CORRUPT, 31},
        {"{" WEIGHT "," BIAS "}", "1 bytes at its end belong to no tensor", CSL_E_CORRUPT, 33},
        {"{" WEIGHT "," WEIGHT "}", "duplicate", CSL_E_INVAL, 24},
        {"{" WEIGHT ",\"heart.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[20,28]}}",
         "heart.bias overlaps another one", CSL_E_CORRUPT, 28},
        {"{" WEIGHT ",\"heart.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[28,36]}}",
         "heart.bias has unused bytes before it", CSL_E_CORRUPT, 36},
        {"{" WEIGHT ",\"heart.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[24,32]}}",
         "does not have as many bytes as its shape says", CSL_E_CORRUPT, 32},
        {"{" WEIGHT ",\"heart.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[32,24]}}",
         "lies outside the file", CSL_E_CORRUPT, 32},
        {"{" WEIGHT ",\"heart.bias\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[24,24]}}",
         "an axis that is no number, or empty", CSL_E_CORRUPT, 24},
        {"{" WEIGHT ",\"heart.bias\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[24,32]}}",
         "an axis that is no number, or empty", CSL_E_CORRUPT, 32},
        {"{" WEIGHT ",\"heart.bias\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[24,28]}}",
         "1 to 4 axes", CSL_E_CORRUPT, 28},
        {"{" WEIGHT ",\"heart.bias\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,2],"
         "\"data_offsets\":[24,32]}}",
         "1 to 4 axes", CSL_E_CORRUPT, 32},
        {"{" WEIGHT ",\"heart.bias\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],"
         "\"data_offsets\":[24,32]}}",
         "is too large", CSL_E_CORRUPT, 32},
        {"{" WEIGHT ",\"heart.bias\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[24,32]}}",
         "heart.bias is of dtype 'I64'; F16, BF16, F32 or F64", CSL_E_UNSUPPORTED, 32},
        {"{" WEIGHT ",\"heart.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32],"
         "\"more\":1}}",
         "dtype, shape and data_offsets alone", CSL_E_CORRUPT, 32},
        {"{" WEIGHT ",\"heart.bias\":3}", "dtype, shape and data_offsets alone", CSL_E_CORRUPT, 32},
        {"{\"__metadata__\":{\"n\":1}," WEIGHT "," BIAS "}", "other than texts", CSL_E_CORRUPT, 32},
        {"{" WEIGHT "," BIAS, "", CSL_E_INVAL, 32},
        {"{}", "has no tensor heart.weight", CSL_E_INVAL, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static const uint8_t data[40];
        struct csl_buf b;
        put_safetensors(&b, rows[i].header, data, rows[i].data);
        assert_refused(&b, rows[i].code, rows[i].text);
    }
}

static void test_weights__a_header_longer_than_allowed_or_than_the_file__is_refused(void **state)
{
    struct csl_buf b;
    (void)state;
    put_safetensors(&b, "{}", "", 0);
    csl_store_le64(b.p, CSL_SAFETENSORS_HEADER_MAX + 1);
    assert_refused(&b, CSL_E_LIMIT, "a header of 1048577 bytes; at most 1048576 would be right");
    put_safetensors(&b, "{}", "", 0);
    csl_store_le64(b.p, 3);
    assert_refused(&b, CSL_E_CORRUPT, "its header is cut off");
    put_safetensors(&b, "[]", "", 0);
    assert_refused(&b, CSL_E_CORRUPT, "neither safetensors nor a NumPy .npz archive");
    csl_buf_init(&b, 64);
    csl_buf_str(&b, "\x89HDF\r\n\x1a\n and so on");
    assert_refused(&b, CSL_E_UNSUPPORTED, "consilium model export w --format safetensors");
}

static void test_weights__more_tensors_than_a_model_may_have__are_refused(void **state)
{
    struct csl_buf b, header;
    (void)state;
    csl_buf_init(&header, 1u << 20);
    for (int i = 0; i < CSL_TENSORS_MAX + 2; i++)
        csl_buf_printf(&header, "%s\"t%d\":0", i == 0 ? "{" : ",", i);
    csl_buf_str(&header, "}");
    put_safetensors(&b, csl_buf_text(&header), "", 0);
    csl_buf_release(&header);
    assert_refused(&b, CSL_E_LIMIT, "514 tensors; at most 512 would be right");
}

static void test_weights__npz__is_read_by_name_and_shape(void **state)
{
    const double bias[2] = {7, 0.1};
    const int32_t whole[2] = {1, 2};
    struct array arrays[] = {{"heart.bias.npy", "<f8", "(2,)", bias, sizeof(bias)},
                             {"heart.weight.npy", "<f4", "(2, 3)", eight, 24},
                             {"lung.npy", "<f4", "(2, 3)", eight, 24}};
    struct csl_buf b;
    (void)state;
    put_npz(&b, arrays, 2);
    assert_values(&b, eight);
    put_npz(&b, arrays, 3);
    assert_refused(&b, CSL_E_INVAL, "tensor lung is none of the study's model");
    put_npz(&b, arrays, 1);
    assert_refused(&b, CSL_E_INVAL,
                   "has no tensor heart.weight; the study's model has one of "
                   "shape [2, 3]");
    arrays[1].shape = "(6,)";
    put_npz(&b, arrays, 2);
    assert_refused(&b, CSL_E_INVAL, "tensor heart.weight has shape [6]; [2, 3] would be right");
    arrays[1].shape = "(2, 3)";
    arrays[0] = (struct array){"heart.bias.npy", "<i4", "(2,)", whole, sizeof(whole)};
    put_npz(&b, arrays, 2);
    assert_refused(&b, CSL_E_UNSUPPORTED, "heart.bias holds whole numbers; <f4 or <f8");
}

/* A member that claims more than the model can need is refused before it is unpacked. */
static void test_weights__npz_with_an_inflated_claim__is_refused(void **state)
{
    struct array arrays[] = {{"heart.weight.npy", "<f4", "(2, 3)", eight, 24},
                             {"heart.bias.npy", "<f4", "(2,)", eight + 6, 8}};
    struct csl_buf b;
    (void)state;
    put_npz(&b, arrays, 2);
    size_t central = csl_load_le32(b.p + b.n - 6);
    csl_store_le32(b.p + central + 24, 1u << 30);
    assert_refused(&b, CSL_E_INVAL, "tensor heart.weight takes 1073741824 bytes");
}

/* Blocks a and a.layer0 may both have a.layer0.weight. */
static void test_weights__a_model_with_one_name_twice__takes_no_file(void **state)
{
    const uint64_t one[1] = {1};
    struct csl_schema twice;
    struct csl_err err;
    float *got = NULL;
    (void)state;
    csl_schema_init(&twice);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(csl_schema_add_block(&twice, i == 0 ? "a" : "b", CSL_BLOCK_SHARED, NULL),
                         CSL_OK);
        assert_int_equal(csl_schema_add_tensor(&twice, "w", 1, one, CSL_INIT_ZEROS, 0, NULL),
                         CSL_OK);
    }
    assert_int_equal(csl_schema_seal(&twice, NULL), CSL_OK);
    assert_int_equal(csl_weights_parse(&got, "w", CSL_SPAN("PK", 2), &twice, &err),
                     CSL_E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "two tensors named w"));
}

static void test_weights__no_file__is_not_found(void **state)
{
    float *got = NULL;
    (void)state;
    assert_int_equal(csl_weights_read(&got, "/no/such/file", &schema, NULL), CSL_E_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights__safetensors__lands_in_the_schema_s_order),
        cmocka_unit_test(test_weights__narrow_types__are_exact),
        cmocka_unit_test(test_weights__float64__goes_to_the_nearest_float32_ties_to_even),
        cmocka_unit_test(test_weights__a_value_that_is_no_float32__is_refused_by_name),
        cmocka_unit_test(test_weights__other_tensors__are_refused_with_both_shapes),
        cmocka_unit_test(test_weights__headers_that_are_not_strict__are_refused),
        cmocka_unit_test(test_weights__a_header_longer_than_allowed_or_than_the_file__is_refused),
        cmocka_unit_test(test_weights__more_tensors_than_a_model_may_have__are_refused),
        cmocka_unit_test(test_weights__npz__is_read_by_name_and_shape),
        cmocka_unit_test(test_weights__npz_with_an_inflated_claim__is_refused),
        cmocka_unit_test(test_weights__a_model_with_one_name_twice__takes_no_file),
        cmocka_unit_test(test_weights__no_file__is_not_found),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
