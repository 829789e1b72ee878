/* protocol/transport/grpc_bytes.c - gRPC byte buffers to and from ours, without copies where the
 * bytes are many. */
#include "base/mem.h"
#include "protocol/transport/grpc_internal.h"

#include <grpc/byte_buffer_reader.h>
#include <string.h>

grpc_byte_buffer *csl_grpc__buffer_take(struct csl_msg *take_m)
{
    grpc_slice slice =
        take_m->n == 0 ? grpc_empty_slice() : grpc_slice_new(take_m->p, take_m->n, csl_free);
    if (take_m->n == 0)
        csl_msg_release(take_m);
    *take_m = (struct csl_msg){0};
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

grpc_byte_buffer *csl_grpc__buffer_chunk(const uint8_t *prefix, size_t prefix_bytes,
                                         grpc_slice data)
{
    grpc_slice slices[2] = {grpc_slice_malloc(prefix_bytes), data};
    memcpy(GRPC_SLICE_START_PTR(slices[0]), prefix, prefix_bytes);
    size_t count = GRPC_SLICE_LENGTH(data) == 0 ? 1 : 2;
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(slices, count);
    grpc_slice_unref(slices[0]);
    grpc_slice_unref(data);
    return buffer;
}

enum csl_code csl_grpc__buffer_copy(struct csl_msg *out, grpc_byte_buffer *buffer, size_t bytes_max,
                                    struct csl_err *err)
{
    size_t n = grpc_byte_buffer_length(buffer);
    if (n > bytes_max)
        return CSL_FAIL(err, CSL_E_LIMIT, "message of %zu bytes; at most %zu", n, bytes_max);
    uint8_t *p = csl_alloc(n);
    if (p == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "message of %zu bytes", n);
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, buffer)) {
        csl_free(p);
        return CSL_FAIL(err, CSL_E_PROTO, "message could not be unpacked");
    }
    size_t used = 0;
    for (grpc_slice *slice; grpc_byte_buffer_reader_peek(&reader, &slice);) {
        memcpy(p + used, GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice));
        used += GRPC_SLICE_LENGTH(*slice);
    }
    grpc_byte_buffer_reader_destroy(&reader);
    *out = (struct csl_msg){p, n};
    return CSL_OK;
}

enum csl_code csl_grpc__chunk_read(struct csl_chunk_reader *r, grpc_byte_buffer *buffer,
                                   enum csl_code (*data)(void *ctx, uint64_t offset,
                                                         struct csl_span s, struct csl_err *err),
                                   void *ctx, struct csl_err *err)
{
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, buffer))
        return CSL_FAIL(err, CSL_E_PROTO, "chunk could not be unpacked");
    csl_chunk_reader_begin(r);
    enum csl_code code = CSL_OK;
    for (grpc_slice *slice; code == CSL_OK && grpc_byte_buffer_reader_peek(&reader, &slice);) {
        struct csl_span span = {GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice)};
        code = csl_chunk_reader_feed(r, span, data, ctx, err);
    }
    grpc_byte_buffer_reader_destroy(&reader);
    return code == CSL_OK ? csl_chunk_reader_end(r, err) : code;
}
