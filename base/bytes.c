#include "base/bytes.h"

#include "base/mem.h"

#include <string.h>

enum csl_code csl_msg_copy(struct csl_msg *out, struct csl_span s, struct csl_err *err)
{
    uint8_t *p = csl_alloc(s.n);
    if (p == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a message of %zu bytes", s.n);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    *out = (struct csl_msg){p, s.n};
    return CSL_OK;
}

void csl_msg_release(struct csl_msg *m)
{
    csl_free(m->p);
    *m = (struct csl_msg){NULL, 0};
}

bool csl_span_equal(struct csl_span a, struct csl_span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

void csl_hex(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = '\0';
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool csl_unhex(const char *text, uint8_t *out, size_t n)
{
    if (strlen(text) != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}
