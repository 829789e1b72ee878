#include "protocol/wire/canonical.h"

#include "base/check.h"
#include "base/le.h"

#include <string.h>

#define DOMAIN "CONSILIUM v1 "

void csl_canonical_begin(struct csl_canonical_writer *w, struct csl_buf *out, const char *name)
{
    *w = (struct csl_canonical_writer){.out = out};
    csl_buf_str(out, DOMAIN);
    csl_buf_append(out, name, strlen(name) + 1);
}

void csl_canonical_u8(struct csl_canonical_writer *w, uint8_t v)
{
    csl_buf_u8(w->out, v);
}

void csl_canonical_u32(struct csl_canonical_writer *w, uint32_t v)
{
    csl_buf_le32(w->out, v);
}

void csl_canonical_u64(struct csl_canonical_writer *w, uint64_t v)
{
    csl_buf_le64(w->out, v);
}

void csl_canonical_bytes(struct csl_canonical_writer *w, const uint8_t *p, size_t n)
{
    csl_buf_append(w->out, p, n);
}

void csl_canonical_open(struct csl_canonical_writer *w)
{
    CSL_ASSERT(w->depth < CSL_CANONICAL_DEPTH_MAX);
    w->open_at[w->depth++] = w->out->n;
    csl_buf_le32(w->out, 0); /* the length, known when the block is closed */
}

void csl_canonical_close(struct csl_canonical_writer *w)
{
    CSL_ASSERT(w->depth > 0);
    size_t at = w->open_at[--w->depth];
    if (w->out->status != CSL_OK)
        return;
    size_t length = w->out->n - at - 4;
    CSL_ASSERT(length <= UINT32_MAX);
    csl_store_le32(w->out->p + at, (uint32_t)length);
}

void csl_canonical_text(struct csl_canonical_writer *w, const char *text)
{
    csl_canonical_open(w);
    csl_buf_str(w->out, text);
    csl_canonical_close(w);
}

void csl_canonical_read_fault(struct csl_canonical_reader *r, const char *fault)
{
    if (r->fault == NULL)
        r->fault = fault;
}

static size_t block_end(const struct csl_canonical_reader *r)
{
    return r->depth == 0 ? r->bytes.n : r->end_of[r->depth - 1];
}

/* The next n bytes of the innermost block, or NULL. */
static const uint8_t *take(struct csl_canonical_reader *r, size_t n)
{
    if (r->fault != NULL)
        return NULL;
    if (n > block_end(r) - r->at) {
        csl_canonical_read_fault(r, "cut short");
        return NULL;
    }
    const uint8_t *p = r->bytes.p + r->at;
    r->at += n;
    return p;
}

void csl_canonical_read_begin(struct csl_canonical_reader *r, struct csl_span bytes,
                              const char *name)
{
    *r = (struct csl_canonical_reader){.bytes = bytes};
    const uint8_t *domain = take(r, strlen(DOMAIN));
    if (domain != NULL && memcmp(domain, DOMAIN, strlen(DOMAIN)) != 0)
        csl_canonical_read_fault(r, "of another protocol version");
    const uint8_t *text = take(r, strlen(name) + 1);
    if (text != NULL && memcmp(text, name, strlen(name) + 1) != 0)
        csl_canonical_read_fault(r, "another kind of document");
}

uint8_t csl_canonical_read_u8(struct csl_canonical_reader *r)
{
    const uint8_t *p = take(r, 1);
    return p == NULL ? 0 : *p;
}

uint32_t csl_canonical_read_u32(struct csl_canonical_reader *r)
{
    const uint8_t *p = take(r, 4);
    return p == NULL ? 0 : csl_load_le32(p);
}

uint64_t csl_canonical_read_u64(struct csl_canonical_reader *r)
{
    const uint8_t *p = take(r, 8);
    return p == NULL ? 0 : csl_load_le64(p);
}

void csl_canonical_read_bytes(struct csl_canonical_reader *r, uint8_t *out, size_t n)
{
    const uint8_t *p = take(r, n);
    if (p == NULL)
        memset(out, 0, n);
    else
        memcpy(out, p, n);
}

void csl_canonical_read_open(struct csl_canonical_reader *r)
{
    CSL_ASSERT(r->depth < CSL_CANONICAL_DEPTH_MAX);
    uint32_t length = csl_canonical_read_u32(r);
    if (r->fault == NULL && length > block_end(r) - r->at)
        csl_canonical_read_fault(r, "a block that ends outside of its surroundings");
    r->end_of[r->depth] = r->fault == NULL ? r->at + length : r->at;
    r->depth++;
}

bool csl_canonical_read_more(const struct csl_canonical_reader *r)
{
    return r->fault == NULL && r->at < block_end(r);
}

void csl_canonical_read_close(struct csl_canonical_reader *r)
{
    CSL_ASSERT(r->depth > 0);
    if (csl_canonical_read_more(r))
        csl_canonical_read_fault(r, "bytes left in a block");
    r->depth--;
}

void csl_canonical_read_text(struct csl_canonical_reader *r, char *out, size_t capacity)
{
    memset(out, 0, capacity);
    csl_canonical_read_open(r);
    size_t n = block_end(r) - r->at;
    if (n >= capacity)
        csl_canonical_read_fault(r, "a text that is too long");
    const uint8_t *p = take(r, n);
    if (p != NULL && n > 0 && memchr(p, 0, n) != NULL)
        csl_canonical_read_fault(r, "a text that holds a NUL");
    else if (p != NULL && n > 0)
        memcpy(out, p, n);
    csl_canonical_read_close(r);
}

enum csl_code csl_canonical_read_end(const struct csl_canonical_reader *r, struct csl_err *err)
{
    if (r->fault != NULL)
        return CSL_FAIL(err, CSL_E_PROTO, "document of %zu bytes, near byte %zu: %s", r->bytes.n,
                        r->at, r->fault);
    CSL_ASSERT(r->depth == 0);
    if (r->at != r->bytes.n)
        return CSL_FAIL(err, CSL_E_PROTO, "document of %zu bytes: ends at byte %zu", r->bytes.n,
                        r->at);
    return CSL_OK;
}
