/* The schema: layout, limits, digest and initial values of a model. */
#include "aggregation/tensor/schema.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct recipe { /* one schema of two blocks, with every field a test may vary */
    const char *block, *tensor;
    enum csl_block_kind kind;
    uint32_t rank;
    uint64_t shape[2];
    enum csl_init init;
    float bound;
};
static const struct recipe plain = {.block = "heart",
                                    .tensor = "weight",
                                    .kind = CSL_BLOCK_SHARED,
                                    .rank = 2,
                                    .shape = {2, 3},
                                    .init = CSL_INIT_UNIFORM,
                                    .bound = 0.5F};

static int setup(void **state)
{
    *state = csl_alloc(2 * sizeof(struct csl_schema));
    return *state == NULL || csl_crypto_init(NULL) != CSL_OK;
}

static int teardown(void **state)
{
    csl_free(*state);
    return 0;
}

static void build(struct csl_schema *s, const struct recipe *r)
{
    struct csl_err err;
    const uint64_t one[1] = {4};
    csl_schema_init(s);
    assert_int_equal(csl_schema_add_block(s, r->block, r->kind, &err), CSL_OK);
    assert_int_equal(
        csl_schema_add_tensor(s, r->tensor, r->rank, r->shape, r->init, r->bound, &err), CSL_OK);
    assert_int_equal(csl_schema_add_tensor(s, "bias", 1, one, CSL_INIT_ZEROS, 0, &err), CSL_OK);
    assert_int_equal(csl_schema_add_block(s, "tail", CSL_BLOCK_SHARED, &err), CSL_OK);
    assert_int_equal(csl_schema_add_tensor(s, "weight", 1, one, CSL_INIT_UNIFORM, 2.0F, &err),
                     CSL_OK);
    assert_int_equal(csl_schema_seal(s, &err), CSL_OK);
}

static void test_schema__two_blocks__laid_out_one_after_another(void **state)
{
    struct csl_schema *s = *state;
    build(s, &plain);
    assert_int_equal(s->parameters, 14);
    assert_int_equal(s->blocks[0].first, 0);
    assert_int_equal(s->blocks[0].count, 10);
    assert_int_equal(s->blocks[1].first, 10);
    assert_int_equal(s->blocks[1].count, 4);
    assert_int_equal(s->tensors[1].first, 6);
    assert_int_equal(s->tensors[1].count, 4);
    assert_int_equal(s->tensors[2].block, 1);
    assert_ptr_equal(csl_schema_find_block(s, "tail"), &s->blocks[1]);
    assert_null(csl_schema_find_block(s, "tai"));
}

static void test_schema__any_field_differs__digest_differs(void **state)
{
    struct csl_schema *s = *state, *other = s + 1;
    struct recipe variants[11];
    for (size_t i = 0; i < 11; i++)
        variants[i] = plain;
    variants[0].block = "hearts";
    variants[1].tensor = "weights";
    variants[2].kind = CSL_BLOCK_FROZEN;
    variants[3].kind = CSL_BLOCK_LOCAL;
    variants[4].shape[0] = 3;
    variants[4].shape[1] = 2;
    variants[5].shape[0] = 1;
    variants[5].shape[1] = 6;
    variants[6].rank = 1;
    variants[6].shape[0] = 6;
    variants[7].init = CSL_INIT_ZEROS;
    variants[8].bound = 0.25F;
    variants[9].shape[0] = 3;
    variants[10].init = CSL_INIT_ONES;
    build(s, &plain);
    build(other, &plain);
    assert_memory_equal(s->digest, other->digest, CSL_DIGEST_BYTES);
    for (size_t i = 0; i < 11; i++) {
        build(other, &variants[i]);
        assert_memory_not_equal(s->digest, other->digest, CSL_DIGEST_BYTES);
        for (size_t k = 0; k < i; k++) {
            build(s, &variants[k]);
            assert_memory_not_equal(s->digest, other->digest, CSL_DIGEST_BYTES);
        }
        build(s, &plain);
    }
}

static void test_schema__initial_values__that_are_not_drawn_are_0_or_1(void **state)
{
    struct csl_schema *s = *state;
    const uint64_t two = 2;
    float p[4] = {7, 7, 7, 7};
    csl_schema_init(s);
    assert_int_equal(csl_schema_add_block(s, "b", CSL_BLOCK_SHARED, NULL), CSL_OK);
    assert_int_equal(csl_schema_add_tensor(s, "gain", 1, &two, CSL_INIT_ONES, 0, NULL), CSL_OK);
    assert_int_equal(csl_schema_add_tensor(s, "shift", 1, &two, CSL_INIT_ZEROS, 0, NULL), CSL_OK);
    assert_int_equal(csl_schema_seal(s, NULL), CSL_OK);
    csl_schema_init_parameters(s, 42, p);
    assert_true(p[0] == 1 && p[1] == 1 && p[2] == 0 && p[3] == 0);
}

static void test_schema__known_model__known_digest_and_values(void **state)
{
    /* Written down from the first version: a change here is a change of the format, and every
     * study in progress would notice. The values were recomputed from the definition (BLAKE2b key,
     * ChaCha20 stream) by tests/vectors/aggregation/make_model.py. */
    static const char digest[] = "fe60f4fc2faea4eb426a2de7691a639636095d6d631c18080eba66447cdc37bc";
    static const uint32_t bits[14] = {0xBEC66256, 0x3E5EE32C, 0xBDF4D21C, 0x3EC3F3F9, 0x3DE9A1CB,
                                      0xBE32803B, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
                                      0xBF166C5E, 0x3FB6134C, 0x3F51945C, 0x3EE01B36};
    struct csl_schema *s = *state;
    float p[14];
    char text[2 * CSL_DIGEST_BYTES + 1];
    build(s, &plain);
    csl_hex(s->digest, CSL_DIGEST_BYTES, text);
    assert_string_equal(text, digest);
    csl_schema_init_parameters(s, 42, p);
    for (size_t i = 0; i < 14; i++) {
        uint32_t got;
        memcpy(&got, &p[i], sizeof(got));
        assert_int_equal(got, bits[i]);
    }
}

static void test_schema__initial_values__within_bound_and_by_seed_and_name(void **state)
{
    struct csl_schema *s = *state, *other = s + 1;
    struct recipe renamed = plain;
    float p[14], q[14];
    build(s, &plain);
    csl_schema_init_parameters(s, 1, p);
    for (size_t i = 0; i < 6; i++)
        assert_true(fabs((double)p[i]) <= 0.5);
    for (size_t i = 6; i < 10; i++)
        assert_true(p[i] == 0.0F);
    csl_schema_init_parameters(s, 2, q);
    assert_memory_not_equal(p, q, 6 * sizeof(float));
    /* Another name has another stream; the other block keeps its own. */
    renamed.block = "lung";
    build(other, &renamed);
    csl_schema_init_parameters(other, 1, q);
    assert_memory_not_equal(p, q, 6 * sizeof(float));
    assert_memory_equal(p + 10, q + 10, 4 * sizeof(float));
}

static void test_schema__wrong_parts__refused_and_unchanged(void **state)
{
    struct csl_schema *s = *state;
    struct csl_err err;
    const uint64_t shape[2] = {2, 0}, huge[2] = {UINT64_C(1) << 33, UINT64_C(1) << 33};
    csl_schema_init(s);
    assert_int_equal(csl_schema_seal(s, &err), CSL_E_INVAL);
    assert_int_equal(csl_schema_add_tensor(s, "w", 1, shape, CSL_INIT_ZEROS, 0, &err), CSL_E_STATE);
    assert_int_equal(csl_schema_add_block(s, "Heart", CSL_BLOCK_SHARED, &err), CSL_E_INVAL);
    assert_int_equal(csl_schema_add_block(s, "", CSL_BLOCK_SHARED, &err), CSL_E_INVAL);
    assert_int_equal(csl_schema_add_block(s, "heart", CSL_BLOCK_SHARED, &err), CSL_OK);
    assert_int_equal(csl_schema_seal(s, &err), CSL_E_INVAL); /* empty block */
    assert_int_equal(csl_schema_add_tensor(s, "w", 2, shape, CSL_INIT_ZEROS, 0, &err), CSL_E_INVAL);
    assert_int_equal(csl_schema_add_tensor(s, "w", 0, shape, CSL_INIT_ZEROS, 0, &err), CSL_E_INVAL);
    assert_int_equal(csl_schema_add_tensor(s, "w", 5, shape, CSL_INIT_ZEROS, 0, &err), CSL_E_INVAL);
    assert_int_equal(csl_schema_add_tensor(s, "w", 2, huge, CSL_INIT_ZEROS, 0, &err), CSL_E_LIMIT);
    assert_int_equal(csl_schema_add_tensor(s, "w", 1, shape, CSL_INIT_UNIFORM, NAN, &err),
                     CSL_E_INVAL);
    assert_int_equal(csl_schema_add_tensor(s, "w/x", 1, shape, CSL_INIT_ZEROS, 0, &err),
                     CSL_E_INVAL);
    assert_int_equal(s->parameters, 0);
    assert_int_equal(s->tensor_count, 0);
    assert_int_equal(csl_schema_add_tensor(s, "w", 1, shape, CSL_INIT_ZEROS, 0, &err), CSL_OK);
    assert_int_equal(csl_schema_add_tensor(s, "w", 1, shape, CSL_INIT_ZEROS, 0, &err), CSL_OK);
    assert_int_equal(csl_schema_seal(s, &err), CSL_E_INVAL); /* two tensors of one name */
    assert_non_null(strstr(err.msg, "two tensors named 'w'"));
}

static void test_schema__too_many_parts__limit(void **state)
{
    struct csl_schema *s = *state;
    struct csl_err err;
    const uint64_t one[1] = {1}, all[1] = {CSL_PARAMETERS_MAX};
    char name[3] = "aa";
    csl_schema_init(s);
    for (int i = 0; i < CSL_BLOCKS_MAX; i++) {
        name[0] = (char)('a' + i / 26);
        name[1] = (char)('a' + i % 26);
        assert_int_equal(csl_schema_add_block(s, name, CSL_BLOCK_SHARED, &err), CSL_OK);
    }
    assert_int_equal(csl_schema_add_block(s, "zz", CSL_BLOCK_SHARED, &err), CSL_E_LIMIT);
    for (int i = 0; i < CSL_TENSORS_MAX; i++)
        assert_int_equal(csl_schema_add_tensor(s, "w", 1, one, CSL_INIT_ZEROS, 0, &err), CSL_OK);
    assert_int_equal(csl_schema_add_tensor(s, "w", 1, one, CSL_INIT_ZEROS, 0, &err), CSL_E_LIMIT);

    csl_schema_init(s);
    assert_int_equal(csl_schema_add_block(s, "a", CSL_BLOCK_SHARED, &err), CSL_OK);
    assert_int_equal(csl_schema_add_tensor(s, "w", 1, one, CSL_INIT_ZEROS, 0, &err), CSL_OK);
    assert_int_equal(csl_schema_add_tensor(s, "x", 1, all, CSL_INIT_ZEROS, 0, &err), CSL_E_LIMIT);
}

static void test_schema__not_finite__first_place_found(void **state)
{
    (void)state;
    enum { N = 1000 };
    static float x[N];
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < N; i++)
        x[i] = i % 2 ? 3.0e38F : -1.0e-45F;
    assert_int_equal(csl_first_not_finite(x, N), N);
    assert_int_equal(csl_first_not_finite(x, 0), 0);
    for (size_t i = 0; i < N; i++) {
        float was = x[i];
        x[i] = bad[i % 3];
        x[N - 1] = i < N - 1 ? NAN : x[N - 1];
        assert_int_equal(csl_first_not_finite(x, N), i);
        x[i] = was;
        x[N - 1] = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema__two_blocks__laid_out_one_after_another),
        cmocka_unit_test(test_schema__any_field_differs__digest_differs),
        cmocka_unit_test(test_schema__initial_values__that_are_not_drawn_are_0_or_1),
        cmocka_unit_test(test_schema__known_model__known_digest_and_values),
        cmocka_unit_test(test_schema__initial_values__within_bound_and_by_seed_and_name),
        cmocka_unit_test(test_schema__wrong_parts__refused_and_unchanged),
        cmocka_unit_test(test_schema__too_many_parts__limit),
        cmocka_unit_test(test_schema__not_finite__first_place_found),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
