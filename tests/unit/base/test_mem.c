/* The allocator, its failure hook, arenas, and the checked arithmetic they stand on. */
#include "base/checked.h"
#include "base/mem.h"
#include "tests/unit/base/fixture.h"

#include <string.h>

static void test_mem__product_overflows__is_null(void **state)
{
    (void)state;
    assert_null(csl_alloc_array(SIZE_MAX / 2, 3));
    char *p = csl_alloc(4);
    assert_non_null(p);
    assert_null(csl_realloc_array(p, SIZE_MAX, 2)); /* and p is still ours */
    csl_free(p);
}

static void test_mem__zero_bytes__is_a_block_that_can_be_freed(void **state)
{
    (void)state;
    void *a = csl_alloc(0), *b = csl_alloc_array(0, 8), *c = csl_alloc_aligned(64, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    csl_free(a);
    csl_free(b);
    csl_free(c);
    csl_free(NULL);
}

static void test_mem__fresh_memory__is_zero_and_aligned(void **state)
{
    (void)state;
    uint8_t *p = csl_alloc_aligned(64, 1000), zero[1000] = {0};
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 64, 0);
    assert_memory_equal(p, zero, sizeof(zero));
    csl_free(p);
}

static void test_mem__hook_set_to_n__fails_exactly_the_nth(void **state)
{
    (void)state;
    csl_mem_fail_after(3);
    for (int i = 1; i <= 5; i++) {
        void *p = csl_alloc(8);
        assert_true((p == NULL) == (i == 3));
        csl_free(p);
    }
    assert_int_equal(csl_mem_fail_after(0), 5);
    void *p = csl_alloc(8);
    assert_non_null(p);
    csl_free(p);
    assert_int_equal(csl_mem_fail_after(0), 1);
}

static void test_arena__many_blocks__keep_their_bytes(void **state)
{
    (void)state;
    struct csl_arena a;
    csl_arena_init(&a, 1 << 20);
    uint8_t *blocks[200];
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        blocks[i] = csl_arena_alloc(&a, 200 + i);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
        memset(blocks[i], (int)i, 200 + i);
    }
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        for (size_t j = 0; j < 200 + i; j++)
            assert_int_equal(blocks[i][j], i);
    csl_arena_release(&a);
}

static void test_arena__budget_spent__is_null_until_released(void **state)
{
    (void)state;
    struct csl_arena a;
    csl_arena_init(&a, 100);
    assert_non_null(csl_arena_alloc(&a, 90));
    assert_null(csl_arena_alloc(&a, 90));
    assert_null(csl_arena_alloc(&a, SIZE_MAX));
    assert_null(csl_arena_strndup(&a, "x", SIZE_MAX));
    csl_arena_release(&a);
    char *text = csl_arena_strndup(&a, "hello", 4);
    assert_string_equal(text, "hell");
    csl_arena_release(&a);
}

static void test_checked__around_the_edges__refuse_and_leave_out_alone(void **state)
{
    (void)state;
    uint64_t u = 7;
    size_t s = 7;
    uint32_t w = 7;
    assert_true(csl_add_u64(UINT64_MAX - 1, 1, &u));
    assert_true(u == UINT64_MAX);
    assert_false(csl_add_u64(UINT64_MAX, 1, &u));
    assert_true(u == UINT64_MAX);
    assert_true(csl_mul_u64(UINT64_MAX, 1, &u));
    assert_false(csl_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &u));
    assert_false(csl_add_size(SIZE_MAX, 1, &s));
    assert_false(csl_mul_size(SIZE_MAX, 2, &s));
    assert_int_equal(s, 7);
    assert_false(csl_u32_from_u64(UINT64_C(1) << 32, &w));
    assert_int_equal(w, 7);
    assert_true(csl_u32_from_u64(UINT32_MAX, &w));
    assert_true(w == UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mem__product_overflows__is_null),
        cmocka_unit_test(test_mem__zero_bytes__is_a_block_that_can_be_freed),
        cmocka_unit_test(test_mem__fresh_memory__is_zero_and_aligned),
        cmocka_unit_test(test_mem__hook_set_to_n__fails_exactly_the_nth),
        cmocka_unit_test(test_arena__many_blocks__keep_their_bytes),
        cmocka_unit_test(test_arena__budget_spent__is_null_until_released),
        cmocka_unit_test(test_checked__around_the_edges__refuse_and_leave_out_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
