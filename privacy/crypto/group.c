#include "privacy/crypto/group.h"

#include "base/check.h"
#include "base/le.h"
#include "privacy/crypto/hkdf.h"
#include "privacy/crypto/label_internal.h"

#include <sodium.h>
#include <string.h>

_Static_assert(crypto_core_ristretto255_SCALARBYTES == sizeof(struct csl_scalar), "RFC 9496");
_Static_assert(crypto_core_ristretto255_BYTES == sizeof(struct csl_point), "RFC 9496");

bool csl_scalar_is_canonical(const struct csl_scalar *s)
{
    uint8_t wide[crypto_core_ristretto255_NONREDUCEDSCALARBYTES] = {0};
    uint8_t reduced[crypto_core_ristretto255_SCALARBYTES];
    memcpy(wide, s->bytes, sizeof(s->bytes));
    crypto_core_ristretto255_scalar_reduce(reduced, wide);
    bool same = sodium_memcmp(reduced, s->bytes, sizeof(reduced)) == 0;
    sodium_memzero(wide, sizeof(wide));
    sodium_memzero(reduced, sizeof(reduced));
    return same;
}

bool csl_scalar_is_zero(const struct csl_scalar *s)
{
    return sodium_is_zero(s->bytes, sizeof(s->bytes)) == 1;
}

bool csl_point_is_valid(const struct csl_point *p)
{
    /* libsodium 1.0.18 looks at 255 bits: with bit 255 set, every element would have a second
     * encoding, and two keys that differ would be one. RFC 9496, section 4.3.1: refused. */
    return (p->bytes[31] & 0x80) == 0 && sodium_is_zero(p->bytes, sizeof(p->bytes)) == 0 &&
           crypto_core_ristretto255_is_valid_point(p->bytes) == 1;
}

bool csl_point_equal(const struct csl_point *a, const struct csl_point *b)
{
    return sodium_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

enum csl_code csl_label__derive(const uint8_t z[32], const char *label, uint32_t index,
                                uint8_t out[CSL_LABEL__BYTES], struct csl_err *err)
{
    static const char prefix[] = "FSA1 derive";
    uint8_t info[sizeof(prefix) - 1 + CSL_LABEL__MAX + 4];
    size_t n = strlen(label);
    CSL_ASSERT(n <= CSL_LABEL__MAX);
    memcpy(info, prefix, sizeof(prefix) - 1);
    memcpy(info + sizeof(prefix) - 1, label, n);
    csl_store_le32(info + sizeof(prefix) - 1 + n, index);
    uint8_t prk[CSL_HKDF_KEY_BYTES];
    enum csl_code code = csl_hkdf_extract(NULL, 0, z, 32, prk, err);
    if (code == CSL_OK)
        code = csl_hkdf_expand(prk, info, sizeof(prefix) - 1 + n + 4, out, CSL_LABEL__BYTES, err);
    sodium_memzero(prk, sizeof(prk));
    return code;
}

enum csl_code csl_scalar_derive(const uint8_t z[32], const char *label, uint32_t index,
                                struct csl_scalar *out, struct csl_err *err)
{
    uint8_t wide[CSL_LABEL__BYTES];
    _Static_assert(sizeof(wide) == crypto_core_ristretto255_NONREDUCEDSCALARBYTES, "RFC 9496");
    enum csl_code code = csl_label__derive(z, label, index, wide, err);
    if (code == CSL_OK)
        crypto_core_ristretto255_scalar_reduce(out->bytes, wide);
    sodium_memzero(wide, sizeof(wide));
    return code;
}

enum csl_code csl_point_base(const struct csl_scalar *s, struct csl_point *out, struct csl_err *err)
{
    struct csl_point p;
    /* libsodium answers -1 where the product is the identity, which is s = 0. */
    if (!csl_scalar_is_canonical(s) || crypto_scalarmult_ristretto255_base(p.bytes, s->bytes) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "a scalar that is zero or not below the group's order");
    *out = p;
    return CSL_OK;
}
