#include "protocol/wire/chunk.h"

#include "base/checked.h"

#include <inttypes.h>
#include <string.h>

/* Tag bytes: field << 3 | wire type (0 varint, 2 length-delimited). */
enum {
    TAG_HEAD = 1 << 3 | 2,
    TAG_OFFSET = 2 << 3,
    TAG_DIGEST = 3 << 3 | 2,
    TAG_DATA = 15 << 3 | 2,
    TAG_TICKET = 1 << 3 | 2,
    TAG_TOTAL = 2 << 3,
    TAG_START = 3 << 3
};
#define VARINT_BYTES_MAX 10

static size_t put_varint(uint8_t *p, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

/* proto3: a scalar that is zero is not written. */
static size_t put_scalar(uint8_t *p, uint8_t tag, uint64_t v)
{
    if (v == 0)
        return 0;
    p[0] = tag;
    return 1 + put_varint(p + 1, v);
}

size_t csl_chunk_write_head(uint8_t prefix[CSL_CHUNK_PREFIX_MAX], const struct csl_bulk_head *head)
{
    uint8_t body[2 + sizeof(head->ticket) + 2 * (1 + VARINT_BYTES_MAX)];
    size_t n = 0;
    body[n++] = TAG_TICKET;
    body[n++] = (uint8_t)sizeof(head->ticket);
    memcpy(body + n, head->ticket, sizeof(head->ticket));
    n += sizeof(head->ticket);
    n += put_scalar(body + n, TAG_TOTAL, head->bytes_total);
    n += put_scalar(body + n, TAG_START, head->bytes_offset);
    prefix[0] = TAG_HEAD;
    prefix[1] = (uint8_t)n; /* at most 40: one byte */
    memcpy(prefix + 2, body, n);
    return 2 + n;
}

size_t csl_chunk_write_data(uint8_t prefix[CSL_CHUNK_PREFIX_MAX], uint64_t offset,
                            size_t data_bytes)
{
    size_t n = put_scalar(prefix, TAG_OFFSET, offset);
    prefix[n++] = TAG_DATA;
    return n + put_varint(prefix + n, data_bytes);
}

size_t csl_chunk_write_digest(uint8_t prefix[CSL_CHUNK_PREFIX_MAX], const uint8_t digest[32])
{
    prefix[0] = TAG_DIGEST;
    prefix[1] = 32;
    memcpy(prefix + 2, digest, 32);
    return 2 + 32;
}

/* Reading. The prefix is gathered in `carry` and parsed from its start whenever bytes were added:
 * it is a few dozen bytes, and so no parser state survives between slices. */
struct cursor {
    const uint8_t *p;
    size_t n, at;
    bool is_short; /* stopped because the bytes ended, not because they are wrong */
};

static bool get_varint(struct cursor *c, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < VARINT_BYTES_MAX; i++) {
        if (c->at == c->n) {
            c->is_short = true;
            return false;
        }
        uint8_t b = c->p[c->at++];
        if (i == VARINT_BYTES_MAX - 1 && b > 1)
            return false; /* beyond 64 bits */
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if ((b & 0x80) == 0) {
            *out = v;
            return true;
        }
    }
    return false;
}

/* A length-delimited field that must have exactly n bytes. */
static bool get_bytes(struct cursor *c, uint8_t *out, size_t n)
{
    uint64_t length;
    if (!get_varint(c, &length) || length != n)
        return false;
    if (c->n - c->at < n) {
        c->is_short = true;
        return false;
    }
    memcpy(out, c->p + c->at, n);
    c->at += n;
    return true;
}

static bool get_head(struct cursor *c, struct csl_bulk_head *out)
{
    uint64_t length;
    if (!get_varint(c, &length) || length > CSL_CHUNK_PREFIX_MAX)
        return false;
    if (c->n - c->at < length) {
        c->is_short = true;
        return false;
    }
    struct cursor body = {c->p + c->at, (size_t)length, 0, false};
    struct csl_bulk_head head = {.bytes_total = 0};
    uint8_t last = 0;
    while (body.at < body.n) {
        uint8_t tag = body.p[body.at++];
        bool is_read = tag == TAG_TICKET  ? get_bytes(&body, head.ticket, sizeof(head.ticket))
                       : tag == TAG_TOTAL ? get_varint(&body, &head.bytes_total)
                       : tag == TAG_START ? get_varint(&body, &head.bytes_offset)
                                          : false;
        /* The head starts with its ticket; tags ascend because field numbers do. */
        if (!is_read || tag <= last || (last == 0 && tag != TAG_TICKET))
            return false;
        last = tag;
    }
    c->at += (size_t)length;
    *out = head;
    return last != 0;
}

enum prefix { PREFIX_SHORT, PREFIX_WRONG, PREFIX_DATA, PREFIX_HEAD, PREFIX_DIGEST };

/* What the gathered bytes are so far. PREFIX_DATA: *end is where data begins; the other two
 * complete ones end there. */
static enum prefix parse_prefix(struct csl_chunk_reader *r, size_t *end)
{
    struct cursor c = {r->carry, r->carried, 0, false};
    uint64_t offset = 0, length = 0;
    enum prefix found = PREFIX_WRONG;
    if (c.n == 0)
        return PREFIX_SHORT;
    uint8_t tag = c.p[c.at++];
    if (tag == TAG_HEAD && get_head(&c, &r->head)) {
        found = PREFIX_HEAD;
    } else if (tag == TAG_DIGEST && get_bytes(&c, r->digest, sizeof(r->digest))) {
        found = PREFIX_DIGEST;
    } else if (tag == TAG_OFFSET || tag == TAG_DATA) {
        if (tag == TAG_OFFSET && get_varint(&c, &offset)) {
            c.is_short = c.at == c.n;
            tag = c.is_short ? 0 : c.p[c.at++];
        }
        if (!c.is_short && tag == TAG_DATA && get_varint(&c, &length)) {
            found = PREFIX_DATA;
            r->offset = offset;
            r->data_bytes = length;
        }
    }
    *end = c.at;
    return c.is_short ? PREFIX_SHORT : found;
}

void csl_chunk_reader_begin(struct csl_chunk_reader *r)
{
    memset(r, 0, sizeof(*r));
}

static enum csl_code check_data(const struct csl_chunk_reader *r, struct csl_err *err)
{
    uint64_t end;
    if (r->data_bytes == 0)
        return CSL_FAIL(err, CSL_E_PROTO, "Chunk.data: empty");
    if (r->data_bytes > CSL_CHUNK_BYTES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "Chunk.data: %" PRIu64 " bytes, at most %u",
                        r->data_bytes, CSL_CHUNK_BYTES_MAX);
    if (!csl_add_u64(r->offset, r->data_bytes, &end))
        return CSL_FAIL(err, CSL_E_PROTO, "Chunk.offset: %" PRIu64 " is too large", r->offset);
    return CSL_OK;
}

/* Takes prefix bytes from *slice and shortens it; in_data is set once the data begins. */
static enum csl_code feed_prefix(struct csl_chunk_reader *r, struct csl_span *slice,
                                 struct csl_err *err)
{
    size_t before = r->carried, room = sizeof(r->carry) - before, end = 0;
    size_t take = slice->n < room ? slice->n : room;
    memcpy(r->carry + before, slice->p, take);
    r->carried += (uint32_t)take;
    enum prefix found = parse_prefix(r, &end);
    if (found == PREFIX_DATA) {
        enum csl_code code = check_data(r, err);
        if (code != CSL_OK)
            return code;
        r->in_data = true;
        /* What was gathered before was short, so the data begins within this slice or after it. */
        take = end - before;
    } else if (found == PREFIX_WRONG || (found != PREFIX_SHORT && end != r->carried) ||
               (found == PREFIX_SHORT && r->carried == sizeof(r->carry)) || take < slice->n) {
        return CSL_FAIL(err, CSL_E_PROTO,
                        "Chunk: not exactly one of head, digest, or offset and data");
    }
    *slice = (struct csl_span){slice->p + take, slice->n - take};
    return CSL_OK;
}

enum csl_code csl_chunk_reader_feed(struct csl_chunk_reader *r, struct csl_span slice,
                                    enum csl_code (*data)(void *ctx, uint64_t offset,
                                                          struct csl_span s, struct csl_err *err),
                                    void *ctx, struct csl_err *err)
{
    if (slice.n == 0)
        return CSL_OK;
    if (!r->in_data) {
        enum csl_code code = feed_prefix(r, &slice, err);
        if (code != CSL_OK || slice.n == 0)
            return code;
    }
    if (slice.n > r->data_bytes - r->data_seen)
        return CSL_FAIL(err, CSL_E_PROTO, "Chunk: bytes after data, which must be the last field");
    if (data == NULL)
        return CSL_FAIL(err, CSL_E_PROTO, "Chunk: data where none is expected");
    uint64_t offset = r->offset + r->data_seen;
    r->data_seen += slice.n;
    return data(ctx, offset, slice, err);
}

enum csl_code csl_chunk_reader_end(struct csl_chunk_reader *r, struct csl_err *err)
{
    size_t end = 0;
    if (r->in_data) {
        if (r->data_seen != r->data_bytes)
            return CSL_FAIL(err, CSL_E_PROTO,
                            "Chunk.data: cut after %" PRIu64 " of %" PRIu64 " bytes", r->data_seen,
                            r->data_bytes);
        r->kind = CSL_CHUNK_DATA;
        return CSL_OK;
    }
    switch (parse_prefix(r, &end)) {
    case PREFIX_HEAD:
        r->kind = CSL_CHUNK_HEAD;
        return CSL_OK;
    case PREFIX_DIGEST:
        r->kind = CSL_CHUNK_DIGEST;
        return CSL_OK;
    case PREFIX_SHORT:
    case PREFIX_WRONG:
    case PREFIX_DATA:
    default:
        return CSL_FAIL(err, CSL_E_PROTO, "Chunk: cut after %u bytes", r->carried);
    }
}
