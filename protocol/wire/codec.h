/* protocol/wire/codec.h - internal to protocol/wire: protobuf-c behind a heap budget, and the
 * copies between its fields and ours. Callers outside see messages.h only. */
#ifndef CSL_WIRE_CODEC_H
#define CSL_WIRE_CODEC_H
#include "base/mem.h"
#include "protocol/wire/messages.h"

#include "consilium_v1.pb-c.h"

/* Parses `bytes` with all of its memory from `a` (*out lives as long). CSL_E_PROTO: not this
 * message, an unknown field or enum value at any depth; CSL_E_LIMIT: longer than CSL_MSG_BYTES_MAX,
 * or the arena's budget does not suffice. */
enum csl_code csl_codec__unpack(struct csl_arena *a, const ProtobufCMessageDescriptor *d,
                                struct csl_span bytes, ProtobufCMessage **out,
                                struct csl_err *err) CSL_MUST_CHECK;
/* CSL_E_LIMIT: longer than CSL_MSG_BYTES_MAX. */
enum csl_code csl_codec__pack(const ProtobufCMessage *m, struct csl_msg *out,
                              struct csl_err *err) CSL_MUST_CHECK;

/* Exactly n bytes, or, when is_optional, none (dst is zeroed then). */
enum csl_code csl_codec__get_bytes(uint8_t *dst, size_t n, bool is_optional,
                                   ProtobufCBinaryData src, const char *field,
                                   struct csl_err *err) CSL_MUST_CHECK;
/* At most capacity - 1 bytes and no NUL. */
enum csl_code csl_codec__get_text(char *dst, size_t capacity, ProtobufCBinaryData src,
                                  const char *field, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_codec__get_blocks(struct csl_block_count dst[CSL_BLOCKS_MAX], uint32_t *count,
                                    Consilium__V1__BlockCount *const *src, size_t n,
                                    const char *field, struct csl_err *err) CSL_MUST_CHECK;

/* Borrowed views of our fields; all zero bytes become an empty field. */
ProtobufCBinaryData csl_codec__put_bytes(const uint8_t *p, size_t n);
ProtobufCBinaryData csl_codec__put_optional(const uint8_t *p, size_t n);
ProtobufCBinaryData csl_codec__put_text(const char *text);
/* NULL: out of memory. */
Consilium__V1__BlockCount **csl_codec__put_blocks(struct csl_arena *a,
                                                  const struct csl_block_count *blocks, uint32_t n);
/* [count] pointers to zeroed messages of item_bytes each, from the arena; NULL: out of memory. */
void *csl_codec__array(struct csl_arena *a, size_t count, size_t item_bytes);

/* Values outside the vocabulary cannot occur: both sides were checked. */
Consilium__V1__Code csl_codec__put_code(enum csl_code code);
enum csl_code csl_codec__get_code(Consilium__V1__Code code);

/* The limits of messages.h on the values of *m, for both directions of travel: `code` is
 * CSL_E_INVAL when we are about to send it and CSL_E_PROTO when a peer sent it. */
enum csl_code csl_message__check(const struct csl_message *m, enum csl_code code,
                                 struct csl_err *err) CSL_MUST_CHECK;

/* Each file knows one direction. pack: *m was checked. unpack: copies; the caller checks and, on
 * failure, releases *out (which was zeroed before). */
enum csl_code csl_message__site_pack(const struct csl_message *m, struct csl_arena *a,
                                     struct csl_msg *out, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_message__site_unpack(struct csl_message *out, struct csl_arena *a,
                                       struct csl_span bytes, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_message__coordinator_pack(const struct csl_message *m, struct csl_msg *out,
                                            struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_message__coordinator_unpack(struct csl_message *out, struct csl_arena *a,
                                              struct csl_span bytes,
                                              struct csl_err *err) CSL_MUST_CHECK;

#endif
