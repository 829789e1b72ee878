#include "protocol/wire/parts.h"

#include "base/check.h"

enum csl_code csl_parts_cut(struct csl_msg_secagg *out, struct csl_span whole, size_t at,
                            struct csl_err *err)
{
    CSL_ASSERT(at < whole.n && at % CSL_SECAGG_BYTES_MAX == 0);
    if (whole.n > CSL_SECAGG_WHOLE_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "a message of secure aggregation of %zu bytes; at most %u go through the "
                        "control plane",
                        whole.n, CSL_SECAGG_WHOLE_MAX);
    size_t left = whole.n - at;
    size_t n = left < CSL_SECAGG_BYTES_MAX ? left : CSL_SECAGG_BYTES_MAX;
    struct csl_msg body;
    enum csl_code code = csl_msg_copy(&body, CSL_SPAN(whole.p + at, n), err);
    if (code == CSL_OK)
        *out = (struct csl_msg_secagg){body, (uint32_t)at, (uint32_t)whole.n};
    return code;
}

static enum csl_code take(struct csl_parts *p, const struct csl_msg_secagg *m, uint64_t bytes_max,
                          struct csl_span *whole, struct csl_err *err)
{
    size_t due = p->total != 0 ? p->bytes.n : 0;
    if (m->offset != due || (p->total != 0 && m->total != p->total))
        return CSL_FAIL(err, CSL_E_PROTO,
                        "SECAGG: bytes from %u of %u came where byte %zu of %u was due", m->offset,
                        m->total, due, p->total != 0 ? p->total : m->total);
    if (m->total > bytes_max)
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "SECAGG: a message of %u bytes; at most %llu fit this study", m->total,
                        (unsigned long long)bytes_max);
    if (p->total == 0)
        csl_buf_release(&p->bytes); /* of the message before, which was complete */
    *whole = CSL_SPAN(NULL, 0);
    if (m->body.n == m->total) { /* the usual case: nothing to put together */
        *whole = csl_msg_span(&m->body);
        return CSL_OK;
    }
    if (m->offset == 0)
        csl_buf_init(&p->bytes, m->total);
    p->total = m->total;
    csl_buf_append(&p->bytes, m->body.p, m->body.n);
    enum csl_code code = csl_buf_status(&p->bytes, err);
    if (code == CSL_OK && p->bytes.n == p->total) {
        *whole = CSL_SPAN(p->bytes.p, p->bytes.n);
        p->total = 0;
    }
    return code;
}

enum csl_code csl_parts_take(struct csl_parts *p, const struct csl_msg_secagg *m,
                             uint64_t bytes_max, struct csl_span *whole, struct csl_err *err)
{
    enum csl_code code = take(p, m, bytes_max, whole, err);
    if (code != CSL_OK)
        csl_parts_clear(p);
    return code;
}

void csl_parts_clear(struct csl_parts *p)
{
    csl_buf_release(&p->bytes);
    *p = (struct csl_parts){.total = 0};
}
