/* Model files: what is written comes back bit for bit; anything else is refused. */
#include "base/file.h"
#include "base/mem.h"
#include "coordinator/model/model_file.h"
#include "privacy/crypto/sha256.h"

#include <hdf5.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PARAMETERS 20 /* of make_schema */

/* HDF5 1.10 keeps a little memory of every file it could not open; with leak checks on, that is its
 * business. What we open we close: assert_nothing_open. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

static void assert_nothing_open(void)
{
    assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}

static char folder[] = "/tmp/csl-model-XXXXXX";
static char path[64], other_path[64];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/a.h5", folder);
    snprintf(other_path, sizeof(other_path), "%s/b.h5", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    unlink(other_path);
    return rmdir(folder);
}

static void make_schema(struct csl_schema *s, uint64_t width)
{
    const uint64_t weight[2] = {1, width}, wide[2] = {3, 2}, bias = 1, three = 3;

    csl_schema_init(s);
    assert_int_equal(csl_schema_add_block(s, "heart", CSL_BLOCK_SHARED, NULL), CSL_OK);
    assert_int_equal(
        csl_schema_add_tensor(s, "heart.weight", 2, weight, CSL_INIT_UNIFORM, 0.3F, NULL), CSL_OK);
    assert_int_equal(csl_schema_add_tensor(s, "heart.bias", 1, &bias, CSL_INIT_ZEROS, 0, NULL),
                     CSL_OK);
    assert_int_equal(csl_schema_add_block(s, "anything", CSL_BLOCK_FROZEN, NULL), CSL_OK);
    assert_int_equal(
        csl_schema_add_tensor(s, "anything.weight", 2, wide, CSL_INIT_UNIFORM, 0.5F, NULL), CSL_OK);
    assert_int_equal(csl_schema_add_tensor(s, "anything.bias", 1, &three, CSL_INIT_ONES, 0, NULL),
                     CSL_OK);
    assert_int_equal(csl_schema_seal(s, NULL), CSL_OK);
}

static struct csl_model_info info(void)
{
    struct csl_model_info i = {.study = "heart-4", .round = 7};

    memset(i.study_digest, 0xA5, sizeof(i.study_digest));
    return i;
}

static enum csl_code write_model(const char *to, const float *parameters, const float *const *state,
                                 uint32_t state_count, uint8_t *digest, struct csl_err *err)
{
    struct csl_schema *s = malloc(sizeof(*s));
    struct csl_model_info i = info();

    make_schema(s, 10);
    assert_int_equal(s->parameters, PARAMETERS);
    enum csl_code code = csl_model_write(to, s, &i, parameters, state, state_count, digest, err);
    free(s);
    return code;
}

static void fill(float *v, float first)
{
    for (int i = 0; i < PARAMETERS; i++)
        v[i] = first + 0.25F * (float)i;
}

static void test_model_file__written_with_state__reads_back_every_bit(void **state)
{
    float parameters[PARAMETERS], m[PARAMETERS], v[PARAMETERS];
    const float *const vectors[] = {m, v};
    uint8_t digest[CSL_DIGEST_BYTES], expected[CSL_DIGEST_BYTES];
    struct csl_model_file f = {0};
    struct csl_err err = {0};

    (void)state;
    fill(parameters, -1);
    fill(m, 5);
    fill(v, 1e-30F);
    parameters[3] = -0.0F;
    assert_int_equal(write_model(path, parameters, vectors, 2, digest, &err), CSL_OK);
    assert_int_equal(csl_model_read(path, NULL, &f, &err), CSL_OK);
    assert_string_equal(f.info.study, "heart-4");
    assert_int_equal(f.info.round, 7);
    assert_int_equal(f.info.study_digest[31], 0xA5);
    assert_int_equal(f.state_count, 2);
    assert_memory_equal(f.parameters, parameters, sizeof(parameters));
    assert_memory_equal(f.state[0], m, sizeof(m));
    assert_memory_equal(f.state[1], v, sizeof(v));
    csl_sha256_digest(parameters, sizeof(parameters), expected);
    assert_memory_equal(f.digest, expected, CSL_DIGEST_BYTES);
    assert_memory_equal(digest, expected, CSL_DIGEST_BYTES);
    csl_model_file_release(&f);
}

static void test_model_file__read__gives_the_schema_in_its_order(void **state)
{
    struct csl_schema *s = malloc(sizeof(*s));
    float parameters[PARAMETERS];
    struct csl_model_file f = {0};

    (void)state;
    make_schema(s, 10);
    fill(parameters, 0);
    assert_int_equal(write_model(path, parameters, NULL, 0, NULL, NULL), CSL_OK);
    assert_int_equal(csl_model_read(path, s, &f, NULL), CSL_OK);
    assert_memory_equal(f.schema, s, sizeof(*s));
    csl_model_file_release(&f);
    csl_model_file_release(&f);
    free(s);
}

static void test_model_file__same_model_twice__gives_the_same_bytes(void **state)
{
    float parameters[PARAMETERS];
    const float *const vectors[] = {parameters};
    struct csl_msg a = {0}, b = {0};

    (void)state;
    fill(parameters, 3);
    assert_int_equal(write_model(path, parameters, vectors, 1, NULL, NULL), CSL_OK);
    assert_int_equal(write_model(other_path, parameters, vectors, 1, NULL, NULL), CSL_OK);
    assert_int_equal(csl_file_read(&a, path, 1 << 20, NULL), CSL_OK);
    assert_int_equal(csl_file_read(&b, other_path, 1 << 20, NULL), CSL_OK);
    assert_true(csl_span_equal(csl_msg_span(&a), csl_msg_span(&b)));
    csl_msg_release(&a);
    csl_msg_release(&b);
}

static void test_model_file__another_schema__is_named_invalid(void **state)
{
    struct csl_schema *s = malloc(sizeof(*s));
    float parameters[PARAMETERS];
    struct csl_model_file f = {0};
    struct csl_err err = {0};

    (void)state;
    make_schema(s, 11);
    fill(parameters, 0);
    assert_int_equal(write_model(path, parameters, NULL, 0, NULL, NULL), CSL_OK);
    assert_int_equal(csl_model_read(path, s, &f, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "study heart-4"));
    assert_null(f.parameters);
    free(s);
}

static void test_model_file__value_not_finite__is_refused_and_the_old_file_stays(void **state)
{
    float parameters[PARAMETERS];
    struct csl_model_file f = {0};
    struct csl_err err = {0};

    (void)state;
    fill(parameters, 0);
    assert_int_equal(write_model(path, parameters, NULL, 0, NULL, NULL), CSL_OK);
    parameters[19] = NAN;
    assert_int_equal(write_model(path, parameters, NULL, 0, NULL, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "element 19"));
    assert_int_equal(csl_model_read(path, NULL, &f, &err), CSL_OK);
    csl_model_file_release(&f);
}

static void test_model_file__absent__is_not_found(void **state)
{
    struct csl_model_file f = {0};

    (void)state;
    assert_int_equal(csl_model_read("/nonexistent/model.h5", NULL, &f, NULL), CSL_E_NOTFOUND);
}

static void test_model_file__no_such_folder__is_an_io_error(void **state)
{
    float parameters[PARAMETERS] = {0};
    struct csl_err err = {0};

    (void)state;
    assert_int_equal(write_model("/nonexistent/model.h5", parameters, NULL, 0, NULL, &err),
                     CSL_E_IO);
}

static void put(const char *to, const uint8_t *p, size_t n)
{
    FILE *f = fopen(to, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void test_model_file__cut_at_any_length__is_corrupt(void **state)
{
    float parameters[PARAMETERS];
    struct csl_model_file f = {0};
    struct csl_msg whole = {0};

    (void)state;
    fill(parameters, 1);
    assert_int_equal(write_model(path, parameters, NULL, 0, NULL, NULL), CSL_OK);
    assert_int_equal(csl_file_read(&whole, path, 1 << 20, NULL), CSL_OK);
    for (size_t n = 0; n < whole.n; n += 1 + whole.n / 97) {
        put(other_path, whole.p, n);
        assert_int_equal(csl_model_read(other_path, NULL, &f, NULL), CSL_E_CORRUPT);
        assert_null(f.parameters);
        assert_nothing_open();
    }
    csl_msg_release(&whole);
}

/* Bytes that nothing refers to may change; everything that is read is covered by a checksum or a
 * digest, so what comes back is the model or an error, never another model. */
static void test_model_file__any_byte_changed__never_gives_another_model(void **state)
{
    float parameters[PARAMETERS];
    const float *const vectors[] = {parameters};
    struct csl_msg whole = {0};
    size_t tried = 0, refused = 0;

    (void)state;
    fill(parameters, 1);
    assert_int_equal(write_model(path, parameters, vectors, 1, NULL, NULL), CSL_OK);
    assert_int_equal(csl_file_read(&whole, path, 1 << 20, NULL), CSL_OK);
    for (size_t i = 0; i < whole.n; i += 3) {
        struct csl_model_file f = {0};
        tried++;
        whole.p[i] ^= 0x41;
        put(other_path, whole.p, whole.n);
        whole.p[i] ^= 0x41;
        enum csl_code code = csl_model_read(other_path, NULL, &f, NULL);
        assert_nothing_open();
        if (code != CSL_OK) {
            assert_int_equal(code, CSL_E_CORRUPT);
            refused++;
            continue;
        }
        assert_memory_equal(f.parameters, parameters, sizeof(parameters));
        assert_memory_equal(f.state[0], parameters, sizeof(parameters));
        assert_string_equal(f.info.study, "heart-4");
        assert_int_equal(f.info.round, 7);
        csl_model_file_release(&f);
    }
    assert_true(refused > tried / 4);
    csl_msg_release(&whole);
}

static void test_model_file__no_memory__fails_cleanly(void **state)
{
    float parameters[PARAMETERS];
    const float *const vectors[] = {parameters, parameters};
    struct csl_model_file f = {0};

    (void)state;
    fill(parameters, 1);
    assert_int_equal(write_model(path, parameters, vectors, 2, NULL, NULL), CSL_OK);
    for (uint64_t n = 1; n <= 4; n++) {
        csl_mem_fail_after(n);
        assert_int_equal(csl_model_read(path, NULL, &f, NULL), CSL_E_NOMEM);
        assert_null(f.parameters);
    }
    csl_mem_fail_after(0);
    assert_int_equal(csl_model_read(path, NULL, &f, NULL), CSL_OK);
    csl_model_file_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_file__written_with_state__reads_back_every_bit),
        cmocka_unit_test(test_model_file__read__gives_the_schema_in_its_order),
        cmocka_unit_test(test_model_file__same_model_twice__gives_the_same_bytes),
        cmocka_unit_test(test_model_file__another_schema__is_named_invalid),
        cmocka_unit_test(test_model_file__value_not_finite__is_refused_and_the_old_file_stays),
        cmocka_unit_test(test_model_file__absent__is_not_found),
        cmocka_unit_test(test_model_file__no_such_folder__is_an_io_error),
        cmocka_unit_test(test_model_file__cut_at_any_length__is_corrupt),
        cmocka_unit_test(test_model_file__any_byte_changed__never_gives_another_model),
        cmocka_unit_test(test_model_file__no_memory__fails_cleanly),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
