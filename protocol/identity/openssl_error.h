/* protocol/identity/openssl_error.h - OpenSSL's error queue as one of ours. Private to this folder.
 */
#ifndef CSL_OPENSSL_ERROR_H
#define CSL_OPENSSL_ERROR_H
#include "base/err.h"

/* "what: reason", and empties the calling thread's queue. */
enum csl_code csl_openssl__fail(struct csl_err *err, enum csl_code code, const char *what);

#endif
