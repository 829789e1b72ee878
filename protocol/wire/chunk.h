/* protocol/wire/chunk.h - the data plane: consilium.v1.Chunk, written and read without protobuf-c
 * so that tensor bytes are never copied or held whole.
 *
 *     message Chunk { BulkHead head = 1; uint64 offset = 2; bytes digest = 3; bytes data = 15; }
 *     message BulkHead { bytes ticket = 1; uint64 bytes_total = 2; uint64 bytes_offset = 3; }
 *
 * The first message of a stream carries only `head`; then chunks with ascending contiguous `offset`
 * and at most CSL_CHUNK_BYTES_MAX of data; the last message carries only `digest` (SHA-256 of the
 * whole object). Fields in ascending order, data last, each at most once, unknown fields
 * refused. The encoding is plain protobuf: any implementation can read and write it. */
#ifndef CSL_WIRE_CHUNK_H
#define CSL_WIRE_CHUNK_H
#include "protocol/transport/transport.h"

#define CSL_CHUNK_PREFIX_MAX 96 /* bytes before `data` of any message */

/* Writes everything that precedes the data bytes; the message is prefix + data. Returns its length.
 */
size_t csl_chunk_write_head(uint8_t prefix[CSL_CHUNK_PREFIX_MAX], const struct csl_bulk_head *head);
size_t csl_chunk_write_data(uint8_t prefix[CSL_CHUNK_PREFIX_MAX], uint64_t offset,
                            size_t data_bytes);
size_t csl_chunk_write_digest(uint8_t prefix[CSL_CHUNK_PREFIX_MAX], const uint8_t digest[32]);

enum csl_chunk_kind { CSL_CHUNK_HEAD, CSL_CHUNK_DATA, CSL_CHUNK_DIGEST };

/* Reads one message from slices of any length. Data bytes go to `data` as borrowed spans in order.
 */
struct csl_chunk_reader {
    enum csl_chunk_kind kind; /* valid after csl_chunk_reader_end */
    struct csl_bulk_head head;
    uint64_t offset;
    uint8_t digest[32];
    uint64_t data_bytes; /* length of the data field */
    /* private: */
    uint8_t carry[CSL_CHUNK_PREFIX_MAX];
    uint32_t carried;
    uint64_t data_seen;
    bool in_data;
};
void csl_chunk_reader_begin(struct csl_chunk_reader *r);
/* `data` may be called before the whole message was seen: the offset is known by then. NULL: a
 * message with data is refused (CSL_E_PROTO). After an error the reader is spent. */
enum csl_code csl_chunk_reader_feed(struct csl_chunk_reader *r, struct csl_span slice,
                                    enum csl_code (*data)(void *ctx, uint64_t offset,
                                                          struct csl_span s, struct csl_err *err),
                                    void *ctx, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_chunk_reader_end(struct csl_chunk_reader *r, struct csl_err *err) CSL_MUST_CHECK;

#endif
