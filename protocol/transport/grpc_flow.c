/* protocol/transport/grpc_flow.c - the two halves of a bulk transfer: Chunks into a sink, a source
 * into Chunks. One thread at a time. */
#include "base/check.h"
#include "protocol/transport/grpc_internal.h"

#include <string.h>

#define SLOWEST_BYTES_PER_S ((uint64_t)64 * 1024)
#define DEADLINE_EXTRA_MS   60000u
#define DEADLINE_MAX_MS     (UINT64_C(30) * 24 * 3600 * 1000)

uint64_t csl_grpc__bulk_deadline_ms(const struct csl_bulk_head *head)
{
    uint64_t bytes = head->bytes_total - head->bytes_offset;
    uint64_t ms = bytes / SLOWEST_BYTES_PER_S * 1000 + DEADLINE_EXTRA_MS;
    return ms < DEADLINE_MAX_MS ? ms : DEADLINE_MAX_MS;
}

/* ---- Chunks -> sink ---- */

static enum csl_code take_data(void *ctx, uint64_t offset, struct csl_span s, struct csl_err *err)
{
    struct csl_grpc__inflow *f = ctx;
    if (!f->is_open)
        return CSL_FAIL(err, CSL_E_PROTO, "data before the head of a transfer");
    if (offset != f->position)
        return CSL_FAIL(err, CSL_E_PROTO, "data at %llu; %llu comes next",
                        (unsigned long long)offset, (unsigned long long)f->position);
    if (s.n > f->head.bytes_total - f->position)
        return CSL_FAIL(err, CSL_E_LIMIT, "data beyond the %llu bytes announced",
                        (unsigned long long)f->head.bytes_total);
    f->position += s.n;
    return f->sink.write(f->sink.self, s, err);
}

static enum csl_code take_head(struct csl_grpc__inflow *f, const struct csl_bulk_head *head,
                               enum csl_code (*opened)(void *ctx, struct csl_err *err), void *ctx,
                               struct csl_err *err)
{
    if (f->has_head)
        return CSL_FAIL(err, CSL_E_PROTO, "a second head in one transfer");
    if (head->bytes_offset > head->bytes_total)
        return CSL_FAIL(err, CSL_E_PROTO, "offset %llu of %llu bytes",
                        (unsigned long long)head->bytes_offset,
                        (unsigned long long)head->bytes_total);
    f->head = *head;
    f->position = head->bytes_offset;
    f->has_head = true;
    enum csl_code code = opened(ctx, err);
    f->is_open = code == CSL_OK;
    return code;
}

static enum csl_code take_digest(struct csl_grpc__inflow *f, const uint8_t digest[32],
                                 struct csl_err *err)
{
    if (!f->is_open)
        return CSL_FAIL(err, CSL_E_PROTO, "digest before the head of a transfer");
    if (f->position != f->head.bytes_total)
        return CSL_FAIL(err, CSL_E_PROTO, "digest after %llu of %llu bytes",
                        (unsigned long long)f->position, (unsigned long long)f->head.bytes_total);
    f->has_sink = false; /* finish is the sink's last call, whatever it returns */
    enum csl_code code = f->sink.finish(f->sink.self, digest, err);
    f->is_finished = code == CSL_OK;
    return code;
}

enum csl_code csl_grpc__inflow_take(struct csl_grpc__inflow *f, grpc_byte_buffer *buffer,
                                    enum csl_code (*opened)(void *ctx, struct csl_err *err),
                                    void *ctx, struct csl_err *err)
{
    struct csl_chunk_reader r;
    if (f->is_finished)
        return CSL_FAIL(err, CSL_E_PROTO, "a message after the digest");
    enum csl_code code = csl_grpc__chunk_read(&r, buffer, take_data, f, err);
    if (code != CSL_OK)
        return code;
    switch (r.kind) {
    case CSL_CHUNK_HEAD:
        return take_head(f, &r.head, opened, ctx, err);
    case CSL_CHUNK_DATA:
        return CSL_OK;
    case CSL_CHUNK_DIGEST:
        return take_digest(f, r.digest, err);
    }
    return CSL_FAIL(err, CSL_E_BUG, "chunk of kind %d", (int)r.kind);
}

void csl_grpc__inflow_abandon(struct csl_grpc__inflow *f, enum csl_code why)
{
    if (!f->has_sink)
        return;
    f->has_sink = false;
    f->sink.abandon(f->sink.self, why);
}

/* ---- source -> Chunks ---- */

static enum csl_code next_data(struct csl_grpc__outflow *f, grpc_slice *slice, struct csl_err *err)
{
    uint64_t left = f->head.bytes_total - f->position;
    size_t wanted = left < CSL_GRPC_CHUNK_BYTES ? (size_t)left : CSL_GRPC_CHUNK_BYTES;
    *slice = grpc_slice_malloc(wanted);
    size_t used = 0;
    while (used < wanted) {
        size_t n = 0;
        enum csl_code code = f->source.read(f->source.self, GRPC_SLICE_START_PTR(*slice) + used,
                                            wanted - used, &n, err);
        if (code == CSL_OK && n == 0)
            code = CSL_FAIL(err, CSL_E_STATE, "source ended after %llu of %llu bytes",
                            (unsigned long long)(f->position + used),
                            (unsigned long long)f->head.bytes_total);
        if (code != CSL_OK) {
            grpc_slice_unref(*slice);
            return code;
        }
        CSL_ASSERT(n <= wanted - used);
        used += n;
    }
    return CSL_OK;
}

/* The source is asked for its end too: a longer one would have another digest. */
static enum csl_code next_digest(struct csl_grpc__outflow *f, uint8_t digest[32],
                                 struct csl_err *err)
{
    uint8_t extra;
    size_t n = 0;
    enum csl_code code = f->source.read(f->source.self, &extra, 1, &n, err);
    if (code == CSL_OK && n != 0)
        code = CSL_FAIL(err, CSL_E_STATE, "source goes on after %llu bytes",
                        (unsigned long long)f->head.bytes_total);
    return code == CSL_OK ? f->source.digest(f->source.self, digest, err) : code;
}

enum csl_code csl_grpc__outflow_next(struct csl_grpc__outflow *f, grpc_byte_buffer **out,
                                     bool *is_last, struct csl_err *err)
{
    uint8_t prefix[CSL_CHUNK_PREFIX_MAX], digest[32];
    size_t n;
    enum csl_code code = CSL_OK;
    grpc_slice data = grpc_empty_slice();
    CSL_ASSERT(f->has_source && !f->was_digest_sent);
    if (!f->was_head_sent) {
        n = csl_chunk_write_head(prefix, &f->head);
        f->position = f->head.bytes_offset;
        f->was_head_sent = true;
    } else if (f->position < f->head.bytes_total) {
        code = next_data(f, &data, err);
        if (code != CSL_OK)
            return code;
        n = csl_chunk_write_data(prefix, f->position, GRPC_SLICE_LENGTH(data));
        f->position += GRPC_SLICE_LENGTH(data);
    } else {
        code = next_digest(f, digest, err);
        if (code != CSL_OK)
            return code;
        n = csl_chunk_write_digest(prefix, digest);
        f->was_digest_sent = true;
    }
    *is_last = f->was_digest_sent;
    *out = csl_grpc__buffer_chunk(prefix, n, data);
    return CSL_OK;
}

void csl_grpc__outflow_close(struct csl_grpc__outflow *f)
{
    if (!f->has_source)
        return;
    f->has_source = false;
    f->source.close(f->source.self);
}
