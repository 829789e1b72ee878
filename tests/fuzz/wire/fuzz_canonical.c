/* A document as read by all four readers: at most one accepts it, and would write the same bytes.
 */
#include "base/check.h"
#include "protocol/wire/canonical.h"
#include "tests/fuzz/fuzz.h"

static void check_same(struct csl_buf *b, struct csl_span bytes)
{
    CSL_ASSERT(b->status == CSL_OK);
    CSL_ASSERT(csl_span_equal(CSL_SPAN(b->p, b->n), bytes));
    csl_buf_release(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csl_span bytes = CSL_SPAN(data, size);
    struct csl_canonical_hello hello;
    struct csl_canonical_task task;
    struct csl_canonical_update update;
    struct csl_canonical_study_ended ended;
    struct csl_err err;
    struct csl_buf b;
    int accepted = 0;
    csl_buf_init(&b, size + 1);
    if (csl_canonical_read_hello(&hello, bytes, &err) == CSL_OK) {
        csl_canonical_write_hello(&b, &hello);
        check_same(&b, bytes);
        accepted++;
    }
    if (csl_canonical_read_task(&task, bytes, &err) == CSL_OK) {
        csl_canonical_write_task(&b, &task);
        check_same(&b, bytes);
        accepted++;
    }
    if (csl_canonical_read_update(&update, bytes, &err) == CSL_OK) {
        csl_canonical_write_update(&b, &update);
        check_same(&b, bytes);
        accepted++;
    }
    if (csl_canonical_read_study_ended(&ended, bytes, &err) == CSL_OK) {
        csl_canonical_write_study_ended(&b, &ended);
        check_same(&b, bytes);
        accepted++;
    }
    CSL_ASSERT(accepted <= 1);
    return 0;
}
