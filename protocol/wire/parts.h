/* protocol/wire/parts.h - messages of secure aggregation that are longer than one control message
 * may be: cut into parts, which follow each other on one session, and put together again. A message
 * has one way to be cut: every part but the last is CSL_SECAGG_BYTES_MAX long (checked with the
 * part, in messages_check.c).
 *
 * The receiver holds at most one message that is not complete, and of it no more than has come: a
 * claim costs no memory. One thread. */
#ifndef CSL_WIRE_PARTS_H
#define CSL_WIRE_PARTS_H
#include "base/buf.h"
#include "protocol/wire/messages.h"

struct csl_parts { /* all zero: nothing has begun */
    struct csl_buf bytes;
    uint32_t total; /* of the message that is not complete; 0: none */
};

/* The part of `whole` that begins at `at`, a multiple of CSL_SECAGG_BYTES_MAX below its length; its
 * body belongs to the caller. CSL_E_NOMEM; CSL_E_LIMIT: longer than CSL_SECAGG_WHOLE_MAX. */
enum csl_code csl_parts_cut(struct csl_msg_secagg *out, struct csl_span whole, size_t at,
                            struct csl_err *err) CSL_MUST_CHECK;

/* Takes one checked part. *whole is empty, or a message that is complete: until the next call, and
 * until m is released. CSL_E_PROTO: it is not the part that is due, or begins another message
 * while one is incomplete. CSL_E_LIMIT: a message of more than bytes_max. CSL_E_NOMEM. After an
 * error nothing is held, and the session must end: what follows would have no beginning. */
enum csl_code csl_parts_take(struct csl_parts *p, const struct csl_msg_secagg *m,
                             uint64_t bytes_max, struct csl_span *whole,
                             struct csl_err *err) CSL_MUST_CHECK;
/* The session is over: what it had begun is for nothing. */
void csl_parts_clear(struct csl_parts *p);

#endif
