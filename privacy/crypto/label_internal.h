/* privacy/crypto/label_internal.h - what one site derives from its one secret per attempt:
 * HKDF(salt empty, z, "FSA1 derive" || label || le32 index, 64), for scalars and X25519 keys. */
#ifndef CSL_CRYPTO_LABEL_INTERNAL_H
#define CSL_CRYPTO_LABEL_INTERNAL_H
#include "base/err.h"

#include <stdint.h>

enum { CSL_LABEL__MAX = 64, CSL_LABEL__BYTES = 64 };

/* CSL_E_NOMEM; `out` is then untouched. */
enum csl_code csl_label__derive(const uint8_t z[32], const char *label, uint32_t index,
                                uint8_t out[CSL_LABEL__BYTES], struct csl_err *err) CSL_MUST_CHECK;

#endif
