/* One bulk message. The first input byte says into slices of how many bytes the rest is cut: the
 * slicing may not change the answer, and what is read is written as the same meaning. */
#include "base/check.h"
#include "protocol/wire/chunk.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

struct taken {
    uint64_t next, sum, n;
    bool is_first;
};

static enum csl_code take(void *ctx, uint64_t offset, struct csl_span s, struct csl_err *err)
{
    struct taken *t = ctx;
    (void)err;
    CSL_ASSERT(t->is_first || offset == t->next);
    t->is_first = false;
    t->next = offset + s.n;
    t->n += s.n;
    for (size_t i = 0; i < s.n; i++)
        t->sum = t->sum * 31 + s.p[i];
    return CSL_OK;
}

static enum csl_code read_in(struct csl_chunk_reader *r, struct taken *t, struct csl_span bytes,
                             size_t slice)
{
    struct csl_err err;
    *t = (struct taken){.is_first = true};
    csl_chunk_reader_begin(r);
    for (size_t at = 0; at < bytes.n; at += slice) {
        size_t n = bytes.n - at < slice ? bytes.n - at : slice;
        enum csl_code code = csl_chunk_reader_feed(r, CSL_SPAN(bytes.p + at, n), take, t, &err);
        if (code != CSL_OK)
            return code;
    }
    return csl_chunk_reader_end(r, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csl_chunk_reader whole, cut, back;
    struct taken a, b, c;
    uint8_t prefix[CSL_CHUNK_PREFIX_MAX];
    if (size < 2)
        return 0;
    struct csl_span bytes = CSL_SPAN(data + 1, size - 1);
    enum csl_code code = read_in(&whole, &a, bytes, bytes.n);
    enum csl_code code_cut = read_in(&cut, &b, bytes, 1 + (size_t)data[0]);
    CSL_ASSERT(code == code_cut);
    if (code != CSL_OK)
        return 0;
    CSL_ASSERT(whole.kind == cut.kind && a.n == b.n && a.sum == b.sum);
    CSL_ASSERT(whole.offset == cut.offset && whole.data_bytes == cut.data_bytes);
    size_t n = 0;
    if (whole.kind == CSL_CHUNK_DATA) {
        CSL_ASSERT(a.n == whole.data_bytes && a.next == whole.offset + whole.data_bytes);
        return 0;
    }
    n = whole.kind == CSL_CHUNK_HEAD ? csl_chunk_write_head(prefix, &whole.head)
                                     : csl_chunk_write_digest(prefix, whole.digest);
    code = read_in(&back, &c, CSL_SPAN(prefix, n), n);
    CSL_ASSERT(code == CSL_OK && back.kind == whole.kind);
    CSL_ASSERT(memcmp(back.digest, whole.digest, sizeof(back.digest)) == 0);
    CSL_ASSERT(memcmp(back.head.ticket, whole.head.ticket, sizeof(back.head.ticket)) == 0);
    CSL_ASSERT(back.head.bytes_total == whole.head.bytes_total &&
               back.head.bytes_offset == whole.head.bytes_offset);
    return 0;
}
