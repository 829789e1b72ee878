/* base/mem.h - the only allocator of the tree. Memory is zeroed. Products are checked. The hook
 * lets a test fail the N-th allocation. Any thread. */
#ifndef CSL_BASE_MEM_H
#define CSL_BASE_MEM_H
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *csl_alloc(size_t bytes) CSL_MUST_CHECK; /* NULL when out of memory; bytes 0 gives 1 byte */
void *csl_alloc_array(size_t count, size_t item_bytes) CSL_MUST_CHECK;
/* Grows or shrinks; new bytes are NOT zeroed; the old block stays valid on NULL. */
void *csl_realloc_array(void *p, size_t count, size_t item_bytes) CSL_MUST_CHECK;
void *csl_alloc_aligned(size_t alignment, size_t bytes) CSL_MUST_CHECK; /* zeroed; csl_free */
char *csl_strdup(const char *text) CSL_MUST_CHECK;
void csl_free(void *p);

/* Tests only: fail allocation number `n` from now (1 = the next), 0 = never. Returns how many
 * allocations were asked for since the last call. */
uint64_t csl_mem_fail_after(uint64_t n);

/* A bump allocator with a budget, for things that die together (one message, one document). */
struct csl_arena {
    struct csl_arena_block *head;
    size_t used_bytes, budget_bytes;
};
void csl_arena_init(struct csl_arena *a, size_t budget_bytes);
void csl_arena_release(struct csl_arena *a); /* frees all; the arena can be used again */
void *csl_arena_alloc(struct csl_arena *a, size_t bytes) CSL_MUST_CHECK; /* zeroed; NULL: budget */
char *csl_arena_strndup(struct csl_arena *a, const char *text, size_t n) CSL_MUST_CHECK;

#endif
