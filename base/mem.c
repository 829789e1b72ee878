#include "base/mem.h"

#include "base/checked.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_uint_fast64_t asked; /* allocations since csl_mem_fail_after was last called */
static atomic_uint_fast64_t fail_at;

uint64_t csl_mem_fail_after(uint64_t n)
{
    uint64_t before = atomic_exchange(&asked, 0);
    atomic_store(&fail_at, n);
    return before;
}

static bool must_fail(void)
{
    uint64_t now = atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed) + 1;
    return now == atomic_load_explicit(&fail_at, memory_order_relaxed);
}

void *csl_alloc(size_t bytes)
{
    if (must_fail())
        return NULL;
    return calloc(1, bytes == 0 ? 1 : bytes);
}

void *csl_alloc_array(size_t count, size_t item_bytes)
{
    size_t bytes;
    if (!csl_mul_size(count, item_bytes, &bytes))
        return NULL;
    return csl_alloc(bytes);
}

void *csl_realloc_array(void *p, size_t count, size_t item_bytes)
{
    size_t bytes;
    if (!csl_mul_size(count, item_bytes, &bytes) || must_fail())
        return NULL;
    return realloc(p, bytes == 0 ? 1 : bytes);
}

void *csl_alloc_aligned(size_t alignment, size_t bytes)
{
    void *p = NULL;
    if (must_fail() || posix_memalign(&p, alignment, bytes == 0 ? 1 : bytes) != 0)
        return NULL;
    memset(p, 0, bytes);
    return p;
}

char *csl_strdup(const char *text)
{
    size_t n = strlen(text);
    char *copy = csl_alloc(n + 1);
    if (copy != NULL)
        memcpy(copy, text, n);
    return copy;
}

void csl_free(void *p)
{
    free(p);
}

#define ARENA_BLOCK_BYTES ((size_t)16 * 1024)

struct csl_arena_block {
    struct csl_arena_block *next;
    size_t used, capacity;
    max_align_t data[];
};

void csl_arena_init(struct csl_arena *a, size_t budget_bytes)
{
    *a = (struct csl_arena){.budget_bytes = budget_bytes};
}

void csl_arena_release(struct csl_arena *a)
{
    while (a->head != NULL) {
        struct csl_arena_block *next = a->head->next;
        csl_free(a->head);
        a->head = next;
    }
    a->used_bytes = 0;
}

void *csl_arena_alloc(struct csl_arena *a, size_t bytes)
{
    size_t rounded;
    if (!csl_add_size(bytes, _Alignof(max_align_t) - 1, &rounded))
        return NULL;
    rounded -= rounded % _Alignof(max_align_t);
    if (rounded > a->budget_bytes - a->used_bytes)
        return NULL;
    struct csl_arena_block *b = a->head;
    if (b == NULL || b->capacity - b->used < rounded) {
        size_t capacity = rounded > ARENA_BLOCK_BYTES ? rounded : ARENA_BLOCK_BYTES;
        size_t total;
        if (!csl_add_size(sizeof(*b), capacity, &total))
            return NULL;
        b = csl_realloc_array(NULL, total, 1); /* not zeroed: most blocks are hardly used */
        if (b == NULL)
            return NULL;
        *b = (struct csl_arena_block){.next = a->head, .capacity = capacity};
        a->head = b;
    }
    void *p = memset((uint8_t *)b->data + b->used, 0, rounded);
    b->used += rounded;
    a->used_bytes += rounded;
    return p;
}

char *csl_arena_strndup(struct csl_arena *a, const char *text, size_t n)
{
    size_t total;
    if (!csl_add_size(n, 1, &total))
        return NULL;
    char *copy = csl_arena_alloc(a, total);
    if (copy != NULL)
        memcpy(copy, text, n);
    return copy;
}
