/* privacy/crypto/group.h - scalars and points of ristretto255 (RFC 9496; libsodium), with the
 * checks that libsodium leaves to its caller: it takes the identity for a valid point, and reduces
 * a scalar of L or more without a word. L = 2^252 + 27742317777372353535851937790883648493 is the
 * order of the group. Secret scalars are handled in constant time. Any thread; needs
 * csl_crypto_init. */
#ifndef CSL_CRYPTO_GROUP_H
#define CSL_CRYPTO_GROUP_H
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct csl_scalar {
    uint8_t bytes[32]; /* little-endian, below L */
};
struct csl_point {
    uint8_t bytes[32]; /* the canonical encoding */
};

/* Below L, in constant time. Zero is canonical. */
bool csl_scalar_is_canonical(const struct csl_scalar *s) CSL_MUST_CHECK;
bool csl_scalar_is_zero(const struct csl_scalar *s) CSL_MUST_CHECK;
/* A canonical encoding of an element that is not the identity. Variable time: points are public. */
bool csl_point_is_valid(const struct csl_point *p) CSL_MUST_CHECK;
bool csl_point_equal(const struct csl_point *a, const struct csl_point *b) CSL_MUST_CHECK;

/* The scalar of (z, label, index): HKDF(salt empty, z, "FSA1 derive" || label || le32 index, 64)
 * reduced modulo L (RFC 9496, section 4.4: a bias below 2^-255). The label has at most 64 bytes.
 * CSL_E_NOMEM. */
enum csl_code csl_scalar_derive(const uint8_t z[32], const char *label, uint32_t index,
                                struct csl_scalar *out, struct csl_err *err) CSL_MUST_CHECK;
/* s B. CSL_E_CRYPTO: s is zero or not canonical. */
enum csl_code csl_point_base(const struct csl_scalar *s, struct csl_point *out,
                             struct csl_err *err) CSL_MUST_CHECK;

#endif
