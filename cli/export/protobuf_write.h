/* cli/export/protobuf_write.h - fields of protobuf messages, appended to a buffer in the order of
 * the calls. ONNX needs ten small messages and one large run of bytes; a schema compiled into
 * structs would cost a second copy of the weights and more text than this.
 * SOURCE: https://protobuf.dev/programming-guides/encoding/. Errors poison the buffer. */
#ifndef CSL_EXPORT_PROTOBUF_WRITE_H
#define CSL_EXPORT_PROTOBUF_WRITE_H
#include "base/buf.h"

/* int64, int32, enum: a negative number is its two's complement */
void csl_protobuf__u64(struct csl_buf *b, uint32_t field, uint64_t v);
void csl_protobuf__f32(struct csl_buf *b, uint32_t field, float v);
void csl_protobuf__bytes(struct csl_buf *b, uint32_t field, const void *p, size_t n);
void csl_protobuf__str(struct csl_buf *b, uint32_t field, const char *text);
/* Fields between begin and end are those of a message in `field`; end takes what begin gave. */
size_t csl_protobuf__begin(struct csl_buf *b, uint32_t field);
void csl_protobuf__end(struct csl_buf *b, size_t start);

#endif
