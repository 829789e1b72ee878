#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *text;
    int retry, grpc;
} codes[] = {
#define CSL_X(name, text, retry, grpc) {#name, text, retry, grpc},
    CSL_CODES(CSL_X)
#undef CSL_X
};
#define CODES_COUNT (sizeof(codes) / sizeof(codes[0]))

enum csl_code csl_err_set_(struct csl_err *e, enum csl_code code, int sys_errno, const char *file,
                           int line, const char *fmt, ...)
{
    if (e == NULL)
        return code;
    e->code = code;
    e->sys_errno = sys_errno;
    e->file = file;
    e->line = line;
    va_list args;
    va_start(args, fmt);
    int used = vsnprintf(e->msg, sizeof(e->msg), fmt, args);
    va_end(args);
    if (sys_errno != 0 && used >= 0 && (size_t)used < sizeof(e->msg)) {
        char text[96];
        if (strerror_r(sys_errno, text, sizeof(text)) != 0)
            snprintf(text, sizeof(text), "errno %d", sys_errno);
        snprintf(e->msg + used, sizeof(e->msg) - (size_t)used, ": %s", text);
    }
    return code;
}

static size_t index_of(enum csl_code code)
{
    size_t i = (size_t)code;
    return i < CODES_COUNT ? i : (size_t)CSL_E_BUG;
}

const char *csl_code_name(enum csl_code code)
{
    return codes[index_of(code)].name;
}

const char *csl_code_text(enum csl_code code)
{
    return codes[index_of(code)].text;
}

int csl_code_grpc(enum csl_code code)
{
    return codes[index_of(code)].grpc;
}

int csl_code_retryable(enum csl_code code)
{
    return codes[index_of(code)].retry;
}

enum csl_code csl_code_from_grpc(int status)
{
    /* Several codes share a status; the first row of the table is the general one. Status 13
     * (INTERNAL) is a fault of the peer and not worth retrying, unlike a local IO error. */
    if (status == 13)
        return CSL_E_BUG;
    for (size_t i = 0; i < CODES_COUNT; i++)
        if (codes[i].grpc == status)
            return (enum csl_code)i;
    return CSL_E_BUG;
}
