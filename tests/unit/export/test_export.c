/* Exported models: their bytes at the places the formats fix, and what cannot be exported.
 * tests/e2e/export has other programs read them. */
#include "base/file.h"
#include "base/json.h"
#include "base/le.h"
#include "base/mem.h"
#include "cli/export/export.h"
#include "cli/export/protobuf_write.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/csl-export-XXXXXX";
static char path[64];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/out", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

/* The examples of the encoding's own description: field 1 with 150, field 2 with "testing", field 3
 * with the first as a message. */
static void test_export__protobuf_fields__have_the_documented_bytes(void **state)
{
    static const uint8_t expected[] = {0x08, 0x96, 0x01, 0x12, 0x07, 0x74, 0x65, 0x73, 0x74,
                                       0x69, 0x6e, 0x67, 0x1a, 0x03, 0x08, 0x96, 0x01};
    struct csl_buf b;

    (void)state;
    csl_buf_init(&b, 1024);
    csl_protobuf__u64(&b, 1, 150);
    csl_protobuf__str(&b, 2, "testing");
    size_t start = csl_protobuf__begin(&b, 3);
    csl_protobuf__u64(&b, 1, 150);
    csl_protobuf__end(&b, start);
    assert_int_equal(b.n, sizeof(expected));
    assert_memory_equal(b.p, expected, sizeof(expected));
    csl_buf_release(&b);
}

static void test_export__a_long_message__gets_a_length_of_two_bytes(void **state)
{
    char text[301];
    struct csl_buf b;

    (void)state;
    memset(text, 'x', 300);
    text[300] = 0;
    csl_buf_init(&b, 1024);
    size_t start = csl_protobuf__begin(&b, 16); /* a tag of two bytes */
    csl_protobuf__str(&b, 1, text);
    csl_protobuf__end(&b, start);
    static const uint8_t head[] = {0x82, 0x01, 0xaf, 0x02, 0x0a, 0xac, 0x02, 'x'};
    assert_int_equal(b.n, sizeof(head) - 1 + 300);
    assert_memory_equal(b.p, head, sizeof(head));
    csl_buf_release(&b);
}

static void test_export__a_message_that_does_not_fit__poisons_the_buffer(void **state)
{
    struct csl_buf b;

    (void)state;
    csl_buf_init(&b, 8);
    size_t start = csl_protobuf__begin(&b, 1);
    csl_protobuf__str(&b, 1, "longer than eight bytes");
    csl_protobuf__end(&b, start);
    assert_int_equal(csl_buf_status(&b, NULL), CSL_E_LIMIT);
    csl_buf_release(&b);
}

static const char study_yaml[] =
    "study: two\n"
    "domains:\n"
    "  - id: heart\n"
    "    modality: tabular\n"
    "    task: {kind: binary, label: ill, positive: angina}\n"
    "    model: {kind: linear}\n"
    "    features: [{name: age, unit: years, centre: 50, scale: 10, clip: 3}, {name: sex}]\n"
    "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 1}}\n"
    "rounds: %d\n"
    "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
    "privacy: {mode: none}\n"
    "sites: {minimum: 1}\n";

static struct csl_study *parse_study(int rounds)
{
    struct csl_study *s = NULL;
    struct csl_err err;
    char text[2048];
    int n = snprintf(text, sizeof(text), study_yaml, rounds);
    if (csl_study_parse(&s, "two.yaml", CSL_SPAN(text, (size_t)n), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}

/* A model of the study in memory; csl_model_file_release. */
static struct csl_model_file make_model(const struct csl_study *s)
{
    static const float values[3] = {0.25F, -1.5F, 3.0F};
    struct csl_model_file m = {.info = {.round = 4}};

    assert_int_equal(s->schema.parameters, 3);
    memcpy(m.info.study, s->id, sizeof(m.info.study));
    memcpy(m.info.study_digest, s->digest, CSL_DIGEST_BYTES);
    m.schema = csl_alloc(sizeof(*m.schema));
    m.parameters = csl_alloc_array(3, sizeof(float));
    assert_true(m.schema != NULL && m.parameters != NULL);
    *m.schema = s->schema;
    memcpy(m.parameters, values, sizeof(values));
    return m;
}

static void test_export__safetensors__has_header_metadata_and_data_in_place(void **state)
{
    struct csl_study *s = parse_study(1);
    struct csl_model_file m = make_model(s);
    struct csl_msg bytes = {0};
    struct csl_json_doc *doc = NULL;
    const char *text = NULL;
    uint64_t number = 0;

    (void)state;
    assert_int_equal(csl_export_safetensors(&m, path, NULL), CSL_OK);
    assert_int_equal(csl_file_read(&bytes, path, 1 << 20, NULL), CSL_OK);
    uint64_t header = csl_load_le64(bytes.p);
    assert_int_equal((8 + header) % 8, 0);
    assert_int_equal(bytes.n, 8 + header + 3 * sizeof(float));
    assert_memory_equal(bytes.p + 8 + header, m.parameters, 3 * sizeof(float));
    assert_int_equal(csl_json_parse(&doc, "header", CSL_SPAN(bytes.p + 8, header), NULL), CSL_OK);
    const struct csl_json_value *root = csl_json_root(doc);
    const struct csl_json_value *metadata = csl_json_get(root, "__metadata__");
    assert_true(csl_json_as_str(csl_json_get(metadata, "round"), &text));
    assert_string_equal(text, "4");
    assert_true(csl_json_as_str(csl_json_get(metadata, "study"), &text));
    assert_string_equal(text, "two");
    const struct csl_json_value *bias = csl_json_get(root, "heart.bias");
    assert_true(csl_json_as_str(csl_json_get(bias, "dtype"), &text));
    assert_string_equal(text, "F32");
    assert_true(csl_json_as_u64(csl_json_at(csl_json_get(bias, "data_offsets"), 0), &number));
    assert_int_equal(number, 8);
    csl_json_free(doc);
    csl_msg_release(&bytes);
    csl_model_file_release(&m);
    csl_study_free(s);
}

/* Domains a and a.layer0 can have tensors of one name. */
static void
test_export__two_tensors_of_one_name__are_refused_where_blocks_are_not_known(void **state)
{
    const uint64_t shape[2] = {1, 3};
    struct csl_study *s = parse_study(1);
    struct csl_model_file m = make_model(s);
    struct csl_err err;

    (void)state;
    csl_schema_init(m.schema);
    assert_int_equal(csl_schema_add_block(m.schema, "a", CSL_BLOCK_SHARED, NULL), CSL_OK);
    assert_int_equal(
        csl_schema_add_tensor(m.schema, "a.layer0.weight", 1, shape, CSL_INIT_ZEROS, 0, NULL),
        CSL_OK);
    assert_int_equal(csl_schema_add_block(m.schema, "a.layer0", CSL_BLOCK_SHARED, NULL), CSL_OK);
    assert_int_equal(
        csl_schema_add_tensor(m.schema, "a.layer0.weight", 1, shape, CSL_INIT_ZEROS, 0, NULL),
        CSL_OK);
    assert_int_equal(csl_schema_seal(m.schema, NULL), CSL_OK);
    assert_int_equal(csl_export_safetensors(&m, path, &err), CSL_E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "two blocks have a tensor a.layer0.weight"));
    assert_int_equal(csl_export_npz(&m, path, &err), CSL_E_UNSUPPORTED);
    csl_model_file_release(&m);
    csl_study_free(s);
}

static bool holds(const struct csl_msg *m, const char *text)
{
    for (size_t i = 0; i + strlen(text) <= m->n; i++)
        if (memcmp(m->p + i, text, strlen(text)) == 0)
            return true;
    return false;
}

static void test_export__onnx__names_inputs_outputs_and_their_meaning(void **state)
{
    struct csl_study *s = parse_study(1);
    struct csl_model_file m = make_model(s);
    struct csl_msg bytes = {0};

    (void)state;
    assert_int_equal(csl_export_onnx(&m, s, 0, path, NULL), CSL_OK);
    assert_int_equal(csl_file_read(&bytes, path, 1 << 20, NULL), CSL_OK);
    assert_memory_equal(bytes.p,
                        "\x08\x07\x12\x09"
                        "consilium",
                        13); /* ir_version 7 */
    assert_true(holds(&bytes, "Features, in this order: age [years], sex"));
    assert_true(holds(&bytes, "Probability that ill is 1, which means: angina."));
    assert_true(holds(&bytes, "probability"));
    assert_true(holds(&bytes, "heart.weight"));
    csl_msg_release(&bytes);
    csl_model_file_release(&m);
    csl_study_free(s);
}

static void test_export__into_a_folder_that_is_not_there__says_what_would_be_right(void **state)
{
    struct csl_study *s = parse_study(1);
    struct csl_model_file m = make_model(s);
    const char *nowhere = "/no/such/folder/out";
    struct csl_err err[4];

    (void)state;
    assert_int_equal(csl_export_npz(&m, nowhere, &err[0]), CSL_E_IO);
    assert_int_equal(csl_export_csv(&m, nowhere, &err[1]), CSL_E_IO);
    assert_int_equal(csl_export_safetensors(&m, nowhere, &err[2]), CSL_E_IO);
    assert_int_equal(csl_export_onnx(&m, s, 0, nowhere, &err[3]), CSL_E_IO);
    for (int i = 0; i < 4; i++)
        assert_non_null(strstr(err[i].msg, "a file in a folder that exists and can be written"));
    csl_model_file_release(&m);
    csl_study_free(s);
}

static void test_export__onnx_with_another_study__is_refused(void **state)
{
    struct csl_study *s = parse_study(1), *other = parse_study(2);
    struct csl_model_file m = make_model(s);
    struct csl_err err;

    (void)state;
    unlink(path);
    assert_int_equal(csl_export_onnx(&m, other, 0, path, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "the file of that study would be right"));
    assert_false(csl_file_exists(path));
    csl_model_file_release(&m);
    csl_study_free(other);
    csl_study_free(s);
}

/* With a model of zeros. */
static struct csl_model_file zeros_of(const struct csl_study *s)
{
    struct csl_model_file m = {.schema = csl_alloc(sizeof(*m.schema))};
    assert_non_null(m.schema);
    memcpy(m.info.study_digest, s->digest, CSL_DIGEST_BYTES);
    *m.schema = s->schema;
    m.parameters = csl_alloc_array((size_t)s->schema.parameters, sizeof(float));
    assert_non_null(m.parameters);
    return m;
}

static struct csl_study *parse_inputs(void)
{
    static const char yaml[] =
        "study: x\nrounds: 1\naggregation: {strategy: fedavg}\n"
        "training: {local: {learning_rate: 1, batch_patients: 4, steps: 1}}\n"
        "model: {kind: multimodal, width: 4}\n"
        "inputs: [{id: ecg, modality: signal, shape: [8, 2], encoder: {kind: linear}}, "
        "{id: note, modality: text, shape: [4, 16], encoder: {kind: bag, width: 2, train: "
        "local}}]\n"
        "domains: [{id: rhythm, inputs: [ecg], task: {kind: binary, label: a}}, "
        "{id: both, inputs: [ecg, note], task: {kind: binary, label: b}}]\n";
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    if (csl_study_parse(&s, "x.yaml", CSL_SPAN(yaml, sizeof(yaml) - 1), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}

static void test_export__onnx_of_a_domain_of_inputs__takes_their_values_and_presence(void **state)
{
    struct csl_study *s = parse_inputs();
    struct csl_model_file m = zeros_of(s);
    struct csl_msg bytes = {0};

    (void)state;
    assert_int_equal(csl_export_onnx(&m, s, 0, path, NULL), CSL_OK);
    assert_int_equal(csl_file_read(&bytes, path, 1 << 20, NULL), CSL_OK);
    assert_true(holds(&bytes, "ecg/present"));
    assert_true(holds(&bytes, "True where the record has ecg"));
    assert_true(holds(&bytes, "rhythm/probability"));
    assert_true(holds(&bytes, "\"domain\":\"rhythm\",\"label\":\"a\",\"inputs\":[\"ecg\"]"));
    assert_false(holds(&bytes, "note")); /* which it does not read */
    csl_msg_release(&bytes);
    csl_model_file_release(&m);
    csl_study_free(s);
}

/* The model of the federation has what local parts began with: a graph of it would be untrained. */
static void test_export__onnx_with_a_local_part__is_refused(void **state)
{
    static const uint32_t domains[] = {1, CSL_EXPORT_ALL_DOMAINS};
    struct csl_study *s = parse_inputs();
    struct csl_model_file m = zeros_of(s);

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct csl_err err = {0};
        unlink(path);
        assert_int_equal(csl_export_onnx(&m, s, domains[i], path, &err), CSL_E_UNSUPPORTED);
        assert_non_null(strstr(err.msg, "block input.note is local: each site has its own"));
        assert_false(csl_file_exists(path));
    }
    csl_model_file_release(&m);
    csl_study_free(s);
}

/* Coefficients of wavelets have no nodes here: nothing is written, and the error says what is. */
static void test_export__onnx_of_scattering_coefficients__is_refused(void **state)
{
    static const char *const studies[] = {
        "domains: [{id: d, task: {kind: binary, label: l}, modality: image2d, shape: [12, 12, 1], "
        "scattering: true, model: {kind: linear}}]\n",
        "model: {kind: multimodal, width: 4}\n"
        "inputs: [{id: i, modality: image2d, shape: [12, 12, 1], scattering: true, encoder: {kind: "
        "linear}}]\n"
        "domains: [{id: d, inputs: [i], task: {kind: binary, label: l}}]\n",
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct csl_study *s = NULL;
        struct csl_err err = {0};
        char text[1024];
        int n = snprintf(text, sizeof(text),
                         "study: x\nrounds: 1\naggregation: {strategy: fedavg}\n"
                         "training: {local: {learning_rate: 1, batch_patients: 4, steps: 1}}\n%s",
                         studies[i]);
        if (csl_study_parse(&s, "x.yaml", CSL_SPAN(text, (size_t)n), &err) != CSL_OK)
            fail_msg("%s", err.msg);
        struct csl_model_file m = zeros_of(s);
        unlink(path);
        assert_int_equal(csl_export_onnx(&m, s, 0, path, &err), CSL_E_UNSUPPORTED);
        assert_non_null(strstr(err.msg, "--format safetensors would be right"));
        assert_false(csl_file_exists(path));
        csl_model_file_release(&m);
        csl_study_free(s);
    }
}

static bool holds_doubles(const struct csl_msg *m, const double *values, size_t bytes)
{
    for (size_t i = 0; i + bytes <= m->n; i++)
        if (memcmp(m->p + i, values, bytes) == 0)
            return true;
    return false;
}

/* Marks of a series are inputs that no constant changes. */
static void test_export__onnx_of_a_series_with_marks__scales_its_values_alone(void **state)
{
    static const char yaml[] =
        "study: x\nrounds: 1\naggregation: {strategy: fedavg}\n"
        "training: {local: {learning_rate: 1, batch_patients: 4, steps: 1}}\n"
        "domains: [{id: d, task: {kind: binary, label: l}, "
        "modality: ehr_series, shape: [4], missing: mask, model: {kind: "
        "linear}, features: [{name: a, centre: 3, scale: 2, clip: 5}]}]\n";
    static const double centre[2] = {3, 0}, scale[2] = {2, 1};
    static const double low[2] = {-5, -HUGE_VAL}, high[2] = {5, HUGE_VAL};
    struct csl_study *s = NULL;
    struct csl_msg bytes = {0};

    (void)state;
    assert_int_equal(csl_study_parse(&s, "x.yaml", CSL_SPAN(yaml, sizeof(yaml) - 1), NULL), CSL_OK);
    struct csl_model_file m = zeros_of(s);
    assert_int_equal(csl_export_onnx(&m, s, 0, path, NULL), CSL_OK);
    assert_int_equal(csl_file_read(&bytes, path, 1 << 20, NULL), CSL_OK);
    assert_true(holds(&bytes, "then in the same order 1 where measured, else 0"));
    assert_true(holds_doubles(&bytes, centre, sizeof(centre)));
    assert_true(holds_doubles(&bytes, scale, sizeof(scale)));
    assert_true(holds_doubles(&bytes, low, sizeof(low)));
    assert_true(holds_doubles(&bytes, high, sizeof(high)));
    csl_msg_release(&bytes);
    csl_model_file_release(&m);
    csl_study_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_export__protobuf_fields__have_the_documented_bytes),
        cmocka_unit_test(test_export__a_long_message__gets_a_length_of_two_bytes),
        cmocka_unit_test(test_export__a_message_that_does_not_fit__poisons_the_buffer),
        cmocka_unit_test(test_export__safetensors__has_header_metadata_and_data_in_place),
        cmocka_unit_test(
            test_export__two_tensors_of_one_name__are_refused_where_blocks_are_not_known),
        cmocka_unit_test(test_export__onnx__names_inputs_outputs_and_their_meaning),
        cmocka_unit_test(test_export__onnx_of_a_series_with_marks__scales_its_values_alone),
        cmocka_unit_test(test_export__into_a_folder_that_is_not_there__says_what_would_be_right),
        cmocka_unit_test(test_export__onnx_with_another_study__is_refused),
        cmocka_unit_test(test_export__onnx_of_a_domain_of_inputs__takes_their_values_and_presence),
        cmocka_unit_test(test_export__onnx_with_a_local_part__is_refused),
        cmocka_unit_test(test_export__onnx_of_scattering_coefficients__is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
