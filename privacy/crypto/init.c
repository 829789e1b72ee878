#include "privacy/crypto/init.h"

#include <sodium.h>

enum csl_code csl_crypto_init(struct csl_err *err)
{
    if (sodium_init() < 0)
        return CSL_FAIL(err, CSL_E_BUG, "libsodium could not be initialised");
    return CSL_OK;
}
