#include "tests/property/secagg/oracle.h"

#include "base/check.h"
#include "base/le.h"
#include "base/mem.h"
#include "privacy/crypto/agree.h"
#include "privacy/crypto/hkdf.h"
#include "privacy/crypto/sha256.h"
#include "privacy/crypto/sign.h"
#include "privacy/crypto/vss.h"

#include <string.h>

struct dealing {
    size_t threshold;
    uint8_t *bytes; /* commitments[threshold], then coefficients[threshold]; NULL: free */
    struct csl_scalar *values; /* [VALUES]; all zero: not evaluated there yet */
};
enum { VALUES = 320 }; /* points that are remembered */
static struct dealing *table;
static uint32_t used, capacity;
static bool is_on;

/* Each wrapped function, as it is and as the linker calls it here. */
#define WRAP(type, name, ...)                                                                      \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)
WRAP(enum csl_code, csl_hkdf_extract, const void *, size_t, const void *, size_t, uint8_t *,
     struct csl_err *);
WRAP(enum csl_code, csl_hkdf_expand, const uint8_t *, const void *, size_t, void *, size_t,
     struct csl_err *);
WRAP(enum csl_code, csl_scalar_derive, const uint8_t *, const char *, uint32_t, struct csl_scalar *,
     struct csl_err *);
WRAP(enum csl_code, csl_vss_commit, const struct csl_scalar *, size_t, struct csl_point *,
     struct csl_err *);
WRAP(enum csl_code, csl_vss_check_commitments, const struct csl_point *, size_t, struct csl_err *);
WRAP(enum csl_code, csl_vss_share, const struct csl_scalar *, size_t, uint32_t, struct csl_scalar *,
     struct csl_err *);
WRAP(enum csl_code, csl_vss_verify, const struct csl_scalar *, uint32_t, const struct csl_point *,
     size_t, struct csl_err *);
WRAP(void, csl_sign, const struct csl_sign_key *, const void *, size_t, uint8_t *);
WRAP(bool, csl_sign_verify, const uint8_t *, const void *, size_t, const uint8_t *);
WRAP(bool, csl_point_is_valid, const struct csl_point *);
WRAP(enum csl_code, csl_point_base, const struct csl_scalar *, struct csl_point *,
     struct csl_err *);
WRAP(enum csl_code, csl_agree_mask, uint32_t, const struct csl_scalar *, const struct csl_point *,
     uint32_t, const struct csl_point *, const uint8_t *, uint8_t *, struct csl_err *);
WRAP(enum csl_code, csl_agree_channel, uint32_t, const uint8_t *, const uint8_t *, uint32_t,
     const uint8_t *, const uint8_t *, uint8_t *, struct csl_err *);
WRAP(enum csl_code, csl_agree_channel_keys, const uint8_t *, const char *, uint32_t, uint8_t *,
     uint8_t *, struct csl_err *);
WRAP(bool, csl_agree_channel_key_is_valid, const uint8_t *);

void oracle_use(bool is_used)
{
    is_on = is_used;
}

struct part {
    const void *p;
    size_t n;
};
static void hash(const char *name, const struct part *parts, size_t count, uint8_t out[32])
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, name, strlen(name) + 1);
    for (size_t i = 0; i < count; i++)
        csl_sha256_update(&h, parts[i].p, parts[i].n);
    csl_sha256_final(&h, out);
}
#define HASH(name, out, ...)                                                                       \
    hash(name, (const struct part[]){__VA_ARGS__},                                                 \
         sizeof((const struct part[]){__VA_ARGS__}) / sizeof(struct part), out)

enum csl_code __wrap_csl_hkdf_extract(const void *salt, size_t salt_bytes, const void *material,
                                      size_t material_bytes, uint8_t *out, struct csl_err *err)
{
    if (!is_on)
        return __real_csl_hkdf_extract(salt, salt_bytes, material, material_bytes, out, err);
    HASH("extract", out, {&salt_bytes, sizeof(salt_bytes)}, {salt, salt_bytes},
         {material, material_bytes});
    return CSL_OK;
}

enum csl_code __wrap_csl_hkdf_expand(const uint8_t *key, const void *info, size_t info_bytes,
                                     void *out, size_t out_bytes, struct csl_err *err)
{
    if (!is_on)
        return __real_csl_hkdf_expand(key, info, info_bytes, out, out_bytes, err);
    for (size_t at = 0; at < out_bytes; at += 32) {
        uint8_t part[32];
        HASH("expand", part, {key, CSL_HKDF_KEY_BYTES}, {&at, sizeof(at)}, {info, info_bytes});
        memcpy((uint8_t *)out + at, part, out_bytes - at < 32 ? out_bytes - at : 32);
    }
    return CSL_OK;
}

/* ---- points and keys: 24 bytes of a hash, 8 bytes that say so ---- */

enum { BODY_BYTES = 24, TAG_BYTES = 8 };

static void tag_of(const uint8_t body[BODY_BYTES], uint8_t tag[32])
{
    HASH("tag", tag, {body, BODY_BYTES});
}

static void tagged(const char *name, const uint8_t secret[32], uint8_t out[32])
{
    uint8_t tag[32];
    HASH(name, out, {secret, 32});
    tag_of(out, tag);
    memcpy(out + BODY_BYTES, tag, TAG_BYTES);
}

static bool is_tagged(const uint8_t p[32])
{
    uint8_t tag[32];
    tag_of(p, tag);
    return memcmp(p + BODY_BYTES, tag, TAG_BYTES) == 0;
}

static bool is_key_of(const char *name, const uint8_t secret[32], const uint8_t p[32])
{
    uint8_t right[32];
    tagged(name, secret, right);
    return memcmp(right, p, 32) == 0;
}

enum csl_code __wrap_csl_scalar_derive(const uint8_t *z, const char *label, uint32_t index,
                                       struct csl_scalar *out, struct csl_err *err)
{
    if (!is_on)
        return __real_csl_scalar_derive(z, label, index, out, err);
    HASH("scalar", out->bytes, {z, 32}, {label, strlen(label)}, {&index, sizeof(index)});
    out->bytes[31] &= 0x0f; /* below 2^252, which is below L */
    return CSL_OK;
}

enum csl_code __wrap_csl_point_base(const struct csl_scalar *s, struct csl_point *out,
                                    struct csl_err *err)
{
    if (!is_on || !csl_scalar_is_canonical(s) || csl_scalar_is_zero(s))
        return __real_csl_point_base(s, out, err);
    tagged("point", s->bytes, out->bytes);
    return CSL_OK;
}

bool __wrap_csl_point_is_valid(const struct csl_point *p)
{
    return (is_on && is_tagged(p->bytes)) || __real_csl_point_is_valid(p);
}

enum csl_code __wrap_csl_agree_channel_keys(const uint8_t *z, const char *label, uint32_t index,
                                            uint8_t *secret, uint8_t *public_key,
                                            struct csl_err *err)
{
    if (!is_on)
        return __real_csl_agree_channel_keys(z, label, index, secret, public_key, err);
    HASH("channel secret", secret, {z, 32}, {label, strlen(label)}, {&index, sizeof(index)});
    tagged("channel", secret, public_key);
    return CSL_OK;
}

bool __wrap_csl_agree_channel_key_is_valid(const uint8_t *public_key)
{
    return (is_on && is_tagged(public_key)) || __real_csl_agree_channel_key_is_valid(public_key);
}

/* Both ends get the same. */
static void agreed(const char *name, uint32_t own, const uint8_t own_public[32], uint32_t peer,
                   const uint8_t peer_public[32], const uint8_t sid[32], uint8_t prk[32])
{
    bool is_lower = own < peer;
    const uint8_t *lo = is_lower ? own_public : peer_public;
    const uint8_t *hi = is_lower ? peer_public : own_public;
    HASH(name, prk, {lo, 32}, {hi, 32}, {sid, 32});
}

enum csl_code __wrap_csl_agree_mask(uint32_t own, const struct csl_scalar *own_secret,
                                    const struct csl_point *own_public, uint32_t peer,
                                    const struct csl_point *peer_public, const uint8_t *sid,
                                    uint8_t *prk, struct csl_err *err)
{
    if (!is_on || own == peer || csl_point_equal(own_public, peer_public) ||
        !is_tagged(peer_public->bytes) || !is_key_of("point", own_secret->bytes, own_public->bytes))
        return __real_csl_agree_mask(own, own_secret, own_public, peer, peer_public, sid, prk, err);
    agreed("mask", own, own_public->bytes, peer, peer_public->bytes, sid, prk);
    return CSL_OK;
}

enum csl_code __wrap_csl_agree_channel(uint32_t own, const uint8_t *own_secret,
                                       const uint8_t *own_public, uint32_t peer,
                                       const uint8_t *peer_public, const uint8_t *sid, uint8_t *prk,
                                       struct csl_err *err)
{
    if (!is_on || own == peer || memcmp(own_public, peer_public, 32) == 0 ||
        !is_tagged(peer_public) || !is_key_of("channel", own_secret, own_public))
        return __real_csl_agree_channel(own, own_secret, own_public, peer, peer_public, sid, prk,
                                        err);
    agreed("channel", own, own_public, peer, peer_public, sid, prk);
    return CSL_OK;
}

/* ---- signatures ---- */

static void signature_of(const uint8_t public_key[32], const void *p, size_t n,
                         uint8_t out[CSL_SIGN_SIGNATURE_BYTES])
{
    HASH("signature", out, {public_key, 32}, {p, n});
    memcpy(out + 32, out, 32);
}

void __wrap_csl_sign(const struct csl_sign_key *k, const void *p, size_t n, uint8_t *out)
{
    if (is_on)
        signature_of(k->public_key, p, n, out);
    else
        __real_csl_sign(k, p, n, out);
}

bool __wrap_csl_sign_verify(const uint8_t *public_key, const void *p, size_t n,
                            const uint8_t *signature)
{
    uint8_t right[CSL_SIGN_SIGNATURE_BYTES];
    signature_of(public_key, p, n, right);
    return (is_on && memcmp(right, signature, sizeof(right)) == 0) ||
           __real_csl_sign_verify(public_key, p, n, signature);
}

/* ---- polynomials ---- */

/* v = v mod L, for v of 9 words of 32 bits below 2^265. L = 2^252 + d: with q = floor(v / 2^252),
 * v - q L = (v mod 2^252) - q d lies between -L and L. */
static void reduce(uint64_t v[9])
{
    static const uint64_t d[4] = {0x5cf5d3ed, 0x5812631a, 0xa2f79cd6, 0x14def9de};
    static const uint64_t order[8] = {0x5cf5d3ed, 0x5812631a, 0xa2f79cd6, 0x14def9de,
                                      0,          0,          0,          0x10000000};
    uint64_t q = v[7] >> 28 | v[8] << 4, carry = 0, borrow = 0;
    v[7] &= 0x0fffffff;
    for (uint32_t i = 0; i < 8; i++) {
        uint64_t product = (i < 4 ? q * d[i] : 0) + carry + borrow;
        carry = product >> 32;
        borrow = v[i] < (product & 0xffffffff) ? 1 : 0;
        v[i] = (v[i] - (product & 0xffffffff)) & 0xffffffff;
    }
    carry = 0;
    for (uint32_t i = 0; borrow != 0 && i < 8; i++) {
        uint64_t sum = v[i] + order[i] + carry;
        v[i] = sum & 0xffffffff;
        carry = sum >> 32;
    }
}

void oracle_evaluate(const struct csl_scalar *coefficients, size_t threshold, uint32_t index,
                     struct csl_scalar *out)
{
    uint64_t v[9] = {0}, x = index + 1;
    CSL_ASSERT(index < CSL_VSS_MAX && threshold > 0);
    for (size_t k = threshold; k-- > 0;) {
        uint64_t carry = 0;
        for (uint32_t i = 0; i < 8; i++) {
            carry += v[i] * x + csl_load_le32(coefficients[k].bytes + 4 * (size_t)i);
            v[i] = carry & 0xffffffff;
            carry >>= 32;
        }
        v[8] = carry;
        reduce(v);
    }
    for (uint32_t i = 0; i < 8; i++)
        csl_store_le32(out->bytes + 4 * (size_t)i, (uint32_t)v[i]);
}

void oracle_reset(void)
{
    for (uint32_t i = 0; i < capacity; i++) {
        csl_free(table[i].bytes);
        csl_free(table[i].values);
    }
    csl_free(table);
    table = NULL;
    used = capacity = 0;
}

static bool is_of(const struct dealing *d, const struct csl_point *commitments, size_t threshold)
{
    return d->threshold == threshold &&
           memcmp(d->bytes, commitments, threshold * sizeof(*commitments)) == 0;
}

static struct dealing *place_of(struct dealing *t, uint32_t n, const struct csl_point *commitments,
                                size_t threshold)
{
    uint32_t at = csl_load_le32(commitments->bytes) & (n - 1);
    while (t[at].bytes != NULL && !is_of(&t[at], commitments, threshold))
        at = (at + 1) & (n - 1);
    return &t[at];
}

static const struct dealing *find(const struct csl_point *commitments, size_t threshold)
{
    const struct dealing *d =
        is_on && capacity > 0 ? place_of(table, capacity, commitments, threshold) : NULL;
    return d != NULL && d->bytes != NULL ? d : NULL;
}

static void grow(void)
{
    uint32_t n = capacity == 0 ? 64 : 2 * capacity;
    struct dealing *grown = csl_alloc_array(n, sizeof(*grown));
    CSL_ASSERT(grown != NULL);
    for (uint32_t i = 0; i < capacity; i++)
        if (table[i].bytes != NULL)
            *place_of(grown, n, (const struct csl_point *)table[i].bytes, table[i].threshold) =
                table[i];
    csl_free(table);
    table = grown;
    capacity = n;
}

enum csl_code __wrap_csl_vss_commit(const struct csl_scalar *coefficients, size_t threshold,
                                    struct csl_point *commitments, struct csl_err *err)
{
    size_t bytes = threshold * sizeof(*commitments);
    enum csl_code code = CSL_OK;
    if (!is_on)
        return __real_csl_vss_commit(coefficients, threshold, commitments, err);
    for (size_t k = 0; k < threshold && code == CSL_OK; k++)
        code = csl_point_base(&coefficients[k], &commitments[k], err);
    if (code != CSL_OK)
        return code;
    if (2 * used >= capacity)
        grow();
    struct dealing *d = place_of(table, capacity, commitments, threshold);
    if (d->bytes != NULL)
        return CSL_OK;
    *d = (struct dealing){threshold, csl_alloc(2 * bytes),
                          csl_alloc_array(VALUES, sizeof(*d->values))};
    CSL_ASSERT(d->bytes != NULL && d->values != NULL);
    memcpy(d->bytes, commitments, bytes);
    memcpy(d->bytes + bytes, coefficients, bytes);
    used++;
    return CSL_OK;
}

enum csl_code __wrap_csl_vss_check_commitments(const struct csl_point *commitments,
                                               size_t threshold, struct csl_err *err)
{
    return find(commitments, threshold) != NULL
               ? CSL_OK
               : __real_csl_vss_check_commitments(commitments, threshold, err);
}

static void value_at(const struct dealing *d, uint32_t index, struct csl_scalar *out)
{
    const struct csl_scalar *polynomial = (const struct csl_scalar *)d->bytes + d->threshold;
    if (index < VALUES && !csl_scalar_is_zero(&d->values[index])) {
        *out = d->values[index];
        return;
    }
    oracle_evaluate(polynomial, d->threshold, index, out);
    if (index < VALUES)
        d->values[index] = *out;
}

/* The dealing of these coefficients; NULL: not committed to. */
static const struct dealing *find_polynomial(const struct csl_scalar *coefficients,
                                             size_t threshold)
{
    uint8_t first[32];
    if (capacity == 0)
        return NULL;
    tagged("point", coefficients->bytes, first);
    uint32_t at = csl_load_le32(first) & (capacity - 1);
    for (; table[at].bytes != NULL; at = (at + 1) & (capacity - 1))
        if (table[at].threshold == threshold &&
            memcmp(table[at].bytes + threshold * sizeof(*coefficients), coefficients,
                   threshold * sizeof(*coefficients)) == 0)
            return &table[at];
    return NULL;
}

enum csl_code __wrap_csl_vss_share(const struct csl_scalar *coefficients, size_t threshold,
                                   uint32_t index, struct csl_scalar *out, struct csl_err *err)
{
    if (!is_on || threshold == 0 || index >= CSL_VSS_MAX)
        return __real_csl_vss_share(coefficients, threshold, index, out, err);
    const struct dealing *d = find_polynomial(coefficients, threshold);
    if (d != NULL)
        value_at(d, index, out);
    else
        oracle_evaluate(coefficients, threshold, index, out);
    return CSL_OK;
}

enum csl_code __wrap_csl_vss_verify(const struct csl_scalar *share, uint32_t index,
                                    const struct csl_point *commitments, size_t threshold,
                                    struct csl_err *err)
{
    struct csl_scalar right;
    const struct dealing *d = find(commitments, threshold);
    if (d == NULL || index >= CSL_VSS_MAX)
        return __real_csl_vss_verify(share, index, commitments, threshold, err);
    value_at(d, index, &right);
    if (memcmp(&right, share, sizeof(right)) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "another share");
    return CSL_OK;
}
