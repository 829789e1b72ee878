/* base/buf.h - a growable byte buffer that is born with its maximum. Exceeding the maximum or the
 * heap poisons the buffer: later appends do nothing and csl_buf_status tells the first cause, so
 * writers check once at the end. One thread. */
#ifndef CSL_BASE_BUF_H
#define CSL_BASE_BUF_H
#include "base/bytes.h"
#include "base/err.h"

struct csl_buf {
    uint8_t *p; /* NUL-terminated beyond n when not NULL, so that text can be printed */
    size_t n, capacity, max;
    enum csl_code status;
};

void csl_buf_init(struct csl_buf *b, size_t max_bytes);
void csl_buf_release(struct csl_buf *b);
void csl_buf_append(struct csl_buf *b, const void *p, size_t n);
void csl_buf_str(struct csl_buf *b, const char *text);
void csl_buf_printf(struct csl_buf *b, const char *fmt, ...) CSL_PRINTF(2, 3);
void csl_buf_u8(struct csl_buf *b, uint8_t v);
void csl_buf_le16(struct csl_buf *b, uint16_t v);
void csl_buf_le32(struct csl_buf *b, uint32_t v);
void csl_buf_le64(struct csl_buf *b, uint64_t v);
enum csl_code csl_buf_status(const struct csl_buf *b, struct csl_err *err) CSL_MUST_CHECK;
struct csl_msg csl_buf_take(struct csl_buf *b); /* hands the memory over; b is empty afterwards */
const char *csl_buf_text(const struct csl_buf *b); /* "" when empty; until the next append */

#endif
