/* privacy/crypto/init.h - call once per process before any other crypto function. */
#ifndef CSL_CRYPTO_INIT_H
#define CSL_CRYPTO_INIT_H
#include "base/err.h"

enum csl_code
csl_crypto_init(struct csl_err *err) CSL_MUST_CHECK; /* any number of times, any thread */

#endif
