#include "base/buf.h"

#include "base/check.h"
#include "base/checked.h"
#include "base/le.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void csl_buf_init(struct csl_buf *b, size_t max_bytes)
{
    *b = (struct csl_buf){.max = max_bytes};
}

void csl_buf_release(struct csl_buf *b)
{
    csl_free(b->p);
    *b = (struct csl_buf){.max = b->max};
}

/* Makes room for n more bytes and the NUL; false poisons. */
static bool reserve(struct csl_buf *b, size_t n)
{
    if (b->status != CSL_OK)
        return false;
    size_t need, with_nul;
    if (!csl_add_size(b->n, n, &need) || need > b->max || !csl_add_size(need, 1, &with_nul)) {
        b->status = CSL_E_LIMIT;
        return false;
    }
    if (with_nul <= b->capacity)
        return true;
    size_t capacity = b->capacity < 64 ? 64 : b->capacity;
    while (capacity < with_nul)
        capacity = capacity > SIZE_MAX / 2 ? with_nul : capacity * 2;
    uint8_t *p = csl_realloc_array(b->p, capacity, 1);
    if (p == NULL) {
        b->status = CSL_E_NOMEM;
        return false;
    }
    b->p = p;
    b->capacity = capacity;
    return true;
}

void csl_buf_append(struct csl_buf *b, const void *p, size_t n)
{
    if (!reserve(b, n))
        return;
    if (n > 0)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = 0;
}

void csl_buf_str(struct csl_buf *b, const char *text)
{
    csl_buf_append(b, text, strlen(text));
}

void csl_buf_printf(struct csl_buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    CSL_ASSERT(n >= 0);
    if (reserve(b, (size_t)n)) {
        vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

void csl_buf_u8(struct csl_buf *b, uint8_t v)
{
    csl_buf_append(b, &v, 1);
}

void csl_buf_le16(struct csl_buf *b, uint16_t v)
{
    uint8_t raw[2];
    csl_store_le16(raw, v);
    csl_buf_append(b, raw, sizeof(raw));
}

void csl_buf_le32(struct csl_buf *b, uint32_t v)
{
    uint8_t raw[4];
    csl_store_le32(raw, v);
    csl_buf_append(b, raw, sizeof(raw));
}

void csl_buf_le64(struct csl_buf *b, uint64_t v)
{
    uint8_t raw[8];
    csl_store_le64(raw, v);
    csl_buf_append(b, raw, sizeof(raw));
}

enum csl_code csl_buf_status(const struct csl_buf *b, struct csl_err *err)
{
    if (b->status == CSL_E_LIMIT)
        return CSL_FAIL(err, CSL_E_LIMIT, "buffer would exceed its maximum of %zu bytes", b->max);
    if (b->status == CSL_E_NOMEM)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to grow a buffer of %zu bytes", b->n);
    return CSL_OK;
}

struct csl_msg csl_buf_take(struct csl_buf *b)
{
    struct csl_msg m = {b->p, b->n};
    *b = (struct csl_buf){.max = b->max};
    return m;
}

const char *csl_buf_text(const struct csl_buf *b)
{
    return b->p == NULL ? "" : (const char *)b->p;
}
