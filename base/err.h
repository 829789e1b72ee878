/* base/err.h - the one error vocabulary of the whole tree. */
#ifndef CSL_BASE_ERR_H
#define CSL_BASE_ERR_H

/* X(NAME, text safe to show a peer, retryable, gRPC status) */
#define CSL_CODES(X)                                                                               \
    X(OK, "ok", 0, 0)                                                                              \
    X(CANCELLED, "cancelled", 0, 1)                                                                \
    X(INVAL, "invalid argument", 0, 3)                                                             \
    X(PROTO, "malformed or unexpected message", 0, 3)                                              \
    X(CRYPTO, "cryptographic check failed", 0, 3)                                                  \
    X(TIMEOUT, "deadline passed", 1, 4)                                                            \
    X(NOTFOUND, "no such object", 0, 5)                                                            \
    X(EXISTS, "already exists", 0, 6)                                                              \
    X(DENIED, "peer is not permitted", 0, 7)                                                       \
    X(LIMIT, "declared limit exceeded", 0, 8)                                                      \
    X(NOMEM, "out of memory", 1, 8)                                                                \
    X(STATE, "not valid in this state", 0, 9)                                                      \
    X(BUDGET, "privacy budget exhausted", 0, 9)                                                    \
    X(UNSUPPORTED, "not supported", 0, 12)                                                         \
    X(IO, "input/output failure", 1, 13)                                                           \
    X(BUG, "internal error", 0, 13)                                                                \
    X(UNAVAIL, "temporarily unavailable", 1, 14)                                                   \
    X(AGAIN, "would block", 1, 14)                                                                 \
    X(CORRUPT, "stored data is corrupt", 0, 15)                                                    \
    X(UNAUTH, "peer is not authenticated", 0, 16)                                                  \
    X(END, "end of stream", 0, 0)

enum csl_code {
#define CSL_X(name, text, retry, grpc) CSL_E_##name,
    CSL_CODES(CSL_X)
#undef CSL_X
};
#define CSL_OK CSL_E_OK

#define CSL_ERR_MSG_MAX 384

/* Detail for the local operator. Never sent to a peer; never holds a secret. */
struct csl_err {
    enum csl_code code;
    int sys_errno; /* 0 when no system call was at fault */
    const char *file;
    int line;
    char msg[CSL_ERR_MSG_MAX]; /* NUL-terminated, truncated */
};

#define CSL_MUST_CHECK   __attribute__((warn_unused_result))
#define CSL_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Fill *e (which may be NULL) and return `code`, so that callers can write
 *     return CSL_FAIL(err, CSL_E_LIMIT, "%zu tensors, at most %d", n, CSL_TENSORS_MAX);
 * CSL_FAIL_SYS also records errno and appends its text. */
enum csl_code csl_err_set_(struct csl_err *e, enum csl_code code, int sys_errno, const char *file,
                           int line, const char *fmt, ...) CSL_PRINTF(6, 7);
#ifdef __clang_analyzer__ /* which cannot see that the code comes back as it went in */
static inline enum csl_code csl_err_same_(enum csl_code returned, enum csl_code code)
{
    (void)returned;
    return code;
}
#else
#define csl_err_same_(returned, code) (returned)
#endif
#define CSL_FAIL(err, code, ...)                                                                   \
    csl_err_same_(csl_err_set_((err), (code), 0, __FILE__, __LINE__, __VA_ARGS__), (code))
#define CSL_FAIL_SYS(err, code, ...)                                                               \
    csl_err_same_(csl_err_set_((err), (code), errno, __FILE__, __LINE__, __VA_ARGS__), (code))

const char *csl_code_name(enum csl_code code); /* "LIMIT" */
const char *csl_code_text(enum csl_code code); /* public text */
int csl_code_grpc(enum csl_code code);
int csl_code_retryable(enum csl_code code);
/* The code that stands for a gRPC status received from a peer. */
enum csl_code csl_code_from_grpc(int status);

#endif
