/* base/bytes.h - borrowed and owned runs of bytes. */
#ifndef CSL_BASE_BYTES_H
#define CSL_BASE_BYTES_H
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed, read-only. p may be NULL only when n is 0. */
struct csl_span {
    const uint8_t *p;
    size_t n;
};

/* Owned; p was obtained from csl_alloc and is released by csl_msg_release. */
struct csl_msg {
    uint8_t *p;
    size_t n;
};

#define CSL_SPAN(ptr, len) ((struct csl_span){(const uint8_t *)(ptr), (len)})

enum csl_code csl_msg_copy(struct csl_msg *out, struct csl_span s,
                           struct csl_err *err) CSL_MUST_CHECK;
void csl_msg_release(struct csl_msg *m); /* leaves *m empty; accepts an empty one */
static inline struct csl_span csl_msg_span(const struct csl_msg *m)
{
    return (struct csl_span){m->p, m->n};
}
bool csl_span_equal(struct csl_span a, struct csl_span b); /* not constant time */

/* Lower-case hexadecimal. `out` holds 2 * n + 1 bytes. */
void csl_hex(const uint8_t *p, size_t n, char *out);
/* Exactly 2 * n hexadecimal digits into n bytes; false on anything else. */
bool csl_unhex(const char *text, uint8_t *out, size_t n);

#endif
