/* privacy/ledger/base64.h - RFC 4648 section 4: the standard alphabet, padded, no line breaks. */
#ifndef CSL_LEDGER_BASE64_H
#define CSL_LEDGER_BASE64_H
#include "base/bytes.h"

#define CSL_BASE64_LENGTH(n) (((n) + 2) / 3 * 4)

/* Writes CSL_BASE64_LENGTH(n) characters and a NUL. */
void csl_base64_encode(const uint8_t *p, size_t n, char *out);
/* Accepts exactly what encode writes (left-over bits must be zero). False: anything else, or more
 * than `capacity` bytes; out may then be partly written. */
bool csl_base64_decode(const char *text, size_t length, uint8_t *out, size_t capacity,
                       size_t *n) CSL_MUST_CHECK;

#endif
