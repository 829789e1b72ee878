/* tests/fuzz/wire/stable.h - what must hold for any bytes a peer may send as a control message. */
#ifndef CSL_TESTS_FUZZ_WIRE_STABLE_H
#define CSL_TESTS_FUZZ_WIRE_STABLE_H
#include "base/check.h"
#include "protocol/wire/messages.h"

#include <string.h>

/* A message that decodes also encodes, to bytes that decode and encode to themselves. */
static inline void check_stable(const uint8_t *data, size_t size, enum csl_direction direction)
{
    struct csl_message m, again;
    struct csl_msg first, second;
    struct csl_err err;
    if (csl_message_decode(&m, direction, CSL_SPAN(data, size), &err) != CSL_OK)
        return;
    enum csl_code code = csl_message_encode(&m, &first, &err);
    CSL_ASSERT(code == CSL_OK);
    code = csl_message_decode(&again, direction, csl_msg_span(&first), &err);
    CSL_ASSERT(code == CSL_OK && again.kind == m.kind && again.sequence == m.sequence);
    code = csl_message_encode(&again, &second, &err);
    CSL_ASSERT(code == CSL_OK);
    CSL_ASSERT(csl_span_equal(csl_msg_span(&first), csl_msg_span(&second)));
    csl_message_release(&m);
    csl_message_release(&again);
    csl_msg_release(&first);
    csl_msg_release(&second);
}

#endif
