#include "cli/export/protobuf_write.h"

#include "base/check.h"

#include <string.h>

#define VARINT_BYTES_MAX 10
enum { WIRE_VARINT = 0, WIRE_LENGTH = 2, WIRE_32 = 5 };

static size_t varint(uint64_t v, uint8_t out[VARINT_BYTES_MAX])
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        out[n++] = (uint8_t)(v | 0x80);
    out[n++] = (uint8_t)v;
    return n;
}

static void put_varint(struct csl_buf *b, uint64_t v)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    size_t n = varint(v, bytes);
    csl_buf_append(b, bytes, n);
}

void csl_protobuf__u64(struct csl_buf *b, uint32_t field, uint64_t v)
{
    put_varint(b, (uint64_t)field << 3 | WIRE_VARINT);
    put_varint(b, v);
}

void csl_protobuf__f32(struct csl_buf *b, uint32_t field, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof(bits));
    put_varint(b, (uint64_t)field << 3 | WIRE_32);
    csl_buf_le32(b, bits);
}

void csl_protobuf__bytes(struct csl_buf *b, uint32_t field, const void *p, size_t n)
{
    put_varint(b, (uint64_t)field << 3 | WIRE_LENGTH);
    put_varint(b, n);
    csl_buf_append(b, p, n);
}

void csl_protobuf__str(struct csl_buf *b, uint32_t field, const char *text)
{
    csl_protobuf__bytes(b, field, text, strlen(text));
}

size_t csl_protobuf__begin(struct csl_buf *b, uint32_t field)
{
    put_varint(b, (uint64_t)field << 3 | WIRE_LENGTH);
    return b->n;
}

/* The length stands in front of the content and is known only now: the content moves. */
void csl_protobuf__end(struct csl_buf *b, size_t start)
{
    uint8_t length[VARINT_BYTES_MAX];
    size_t content = b->n - start, n = varint(content, length);
    csl_buf_append(b, length, n); /* makes room */
    if (b->status != CSL_OK)
        return;
    CSL_ASSERT(start + content + n == b->n);
    memmove(b->p + start + n, b->p + start, content);
    memcpy(b->p + start, length, n);
}
