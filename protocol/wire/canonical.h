/* protocol/wire/canonical.h - the one byte string that stands for a statement, for digests and
 * signatures (protobuf does not promise one). docs/protocol.md gives the layout.
 *
 * A document is its domain, the ASCII text "CONSILIUM v1 <name>" and a NUL, then fields in fixed
 * order: integers little-endian, fixed-length bytes as they are, text and lists as blocks: a u32
 * with the length in bytes, then the contents. No floats, no optional fields, no alignment. A
 * reader accepts exactly what a writer wrote and nothing after it. One thread. */
#ifndef CSL_WIRE_CANONICAL_H
#define CSL_WIRE_CANONICAL_H
#include "base/buf.h"
#include "protocol/wire/messages.h"

#define CSL_CANONICAL_DEPTH_MAX 4 /* blocks open at the same time */

/* Errors (too long, out of memory) stay in the buffer: see csl_buf_status. */
struct csl_canonical_writer {
    struct csl_buf *out; /* borrowed */
    size_t open_at[CSL_CANONICAL_DEPTH_MAX];
    uint32_t depth;
};
void csl_canonical_begin(struct csl_canonical_writer *w, struct csl_buf *out, const char *name);
void csl_canonical_u8(struct csl_canonical_writer *w, uint8_t v);
void csl_canonical_u32(struct csl_canonical_writer *w, uint32_t v);
void csl_canonical_u64(struct csl_canonical_writer *w, uint64_t v);
void csl_canonical_bytes(struct csl_canonical_writer *w, const uint8_t *p,
                         size_t n);                                        /* n is fixed */
void csl_canonical_text(struct csl_canonical_writer *w, const char *text); /* a block */
void csl_canonical_open(struct csl_canonical_writer *w);
void csl_canonical_close(struct csl_canonical_writer *w);

/* The first fault sticks; later reads give zeros; csl_canonical_end tells. */
struct csl_canonical_reader {
    struct csl_span bytes; /* borrowed */
    size_t at;
    size_t end_of[CSL_CANONICAL_DEPTH_MAX]; /* of the open blocks */
    uint32_t depth;
    const char *fault; /* static text; NULL: none */
};
void csl_canonical_read_begin(struct csl_canonical_reader *r, struct csl_span bytes,
                              const char *name);
uint8_t csl_canonical_read_u8(struct csl_canonical_reader *r);
uint32_t csl_canonical_read_u32(struct csl_canonical_reader *r);
uint64_t csl_canonical_read_u64(struct csl_canonical_reader *r);
void csl_canonical_read_bytes(struct csl_canonical_reader *r, uint8_t *out, size_t n);
void csl_canonical_read_text(struct csl_canonical_reader *r, char *out, size_t capacity);
void csl_canonical_read_open(struct csl_canonical_reader *r);
bool csl_canonical_read_more(const struct csl_canonical_reader *r); /* bytes left in this block */
void csl_canonical_read_close(struct csl_canonical_reader *r);      /* all of it must be read */
void csl_canonical_read_fault(struct csl_canonical_reader *r,
                              const char *fault); /* a wrong value */
/* CSL_E_PROTO: a fault, an open block, or bytes left. */
enum csl_code csl_canonical_read_end(const struct csl_canonical_reader *r,
                                     struct csl_err *err) CSL_MUST_CHECK;

/* The documents. Each message is bound to who says it and to the study it is about, so that it
 * means nothing elsewhere. Not covered, because nothing may depend on it: deadline_ms, train_loss.
 */
struct csl_canonical_hello {
    char site_id[CSL_ID_MAX];
    struct csl_msg_hello hello;
};
struct csl_canonical_task {
    uint8_t study_digest[CSL_DIGEST_BYTES];
    struct csl_msg_task task;
};
struct csl_canonical_update {
    uint8_t study_digest[CSL_DIGEST_BYTES];
    char site_id[CSL_ID_MAX];
    struct csl_msg_update_ready update;
};
struct csl_canonical_study_ended {
    uint8_t study_digest[CSL_DIGEST_BYTES];
    struct csl_msg_study_ended ended;
};
void csl_canonical_write_hello(struct csl_buf *out, const struct csl_canonical_hello *d);
void csl_canonical_write_task(struct csl_buf *out, const struct csl_canonical_task *d);
void csl_canonical_write_update(struct csl_buf *out, const struct csl_canonical_update *d);
void csl_canonical_write_study_ended(struct csl_buf *out,
                                     const struct csl_canonical_study_ended *d);
enum csl_code csl_canonical_read_hello(struct csl_canonical_hello *out, struct csl_span bytes,
                                       struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_canonical_read_task(struct csl_canonical_task *out, struct csl_span bytes,
                                      struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_canonical_read_update(struct csl_canonical_update *out, struct csl_span bytes,
                                        struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_canonical_read_study_ended(struct csl_canonical_study_ended *out,
                                             struct csl_span bytes,
                                             struct csl_err *err) CSL_MUST_CHECK;

#endif
