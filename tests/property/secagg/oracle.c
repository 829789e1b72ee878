#include "tests/property/secagg/oracle.h"

#include "base/check.h"
#include "base/mem.h"
#include "privacy/crypto/agree.h"
#include "privacy/crypto/sha256.h"
#include "privacy/crypto/sign.h"
#include "privacy/crypto/vss.h"

#include <string.h>

struct line {
    uint8_t key[32];
    uint8_t *value; /* NULL: free */
};
static struct line *table;
static uint32_t used, capacity;
static bool is_on;

/* Each wrapped function, as it is and as the linker calls it here. */
#define WRAP(type, name, ...)                                                                      \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)
WRAP(enum csl_code, csl_vss_commit, const struct csl_scalar *, size_t, struct csl_point *,
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

void oracle_reset(void)
{
    for (uint32_t i = 0; i < capacity; i++)
        csl_free(table[i].value);
    csl_free(table);
    table = NULL;
    used = capacity = 0;
}

void oracle_use(bool is_used)
{
    is_on = is_used;
}

static struct line *place_of(struct line *t, uint32_t n, const uint8_t key[32])
{
    uint32_t at;
    memcpy(&at, key, sizeof(at));
    for (at &= n - 1; t[at].value != NULL && memcmp(t[at].key, key, 32) != 0;)
        at = (at + 1) & (n - 1);
    return &t[at];
}

static const uint8_t *look(const uint8_t key[32])
{
    return !is_on || capacity == 0 ? NULL : place_of(table, capacity, key)->value;
}

static void enter(const uint8_t key[32], const void *value, size_t bytes)
{
    if (!is_on)
        return;
    if (2 * used >= capacity) {
        uint32_t n = capacity == 0 ? 1024 : 2 * capacity;
        struct line *grown = csl_alloc_array(n, sizeof(*grown));
        CSL_ASSERT(grown != NULL);
        for (uint32_t i = 0; i < capacity; i++)
            if (table[i].value != NULL)
                *place_of(grown, n, table[i].key) = table[i];
        csl_free(table);
        table = grown;
        capacity = n;
    }
    struct line *l = place_of(table, capacity, key);
    if (l->value != NULL)
        return;
    used++;
    memcpy(l->key, key, 32);
    l->value = csl_alloc(bytes);
    CSL_ASSERT(l->value != NULL);
    memcpy(l->value, value, bytes);
}

struct part {
    const void *p;
    size_t n;
};
static void key_of(const char *name, const struct part *parts, size_t count, uint8_t key[32])
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, name, strlen(name) + 1);
    for (size_t i = 0; i < count; i++)
        csl_sha256_update(&h, parts[i].p, parts[i].n);
    csl_sha256_final(&h, key);
}
#define KEY(name, key, ...)                                                                        \
    key_of(name, (const struct part[]){__VA_ARGS__},                                               \
           sizeof((const struct part[]){__VA_ARGS__}) / sizeof(struct part), key)

enum csl_code __wrap_csl_vss_commit(const struct csl_scalar *coefficients, size_t threshold,
                                    struct csl_point *commitments, struct csl_err *err)
{
    uint8_t key[32], inverse[32];
    size_t bytes = threshold * sizeof(*commitments);
    KEY("commit", key, {coefficients, threshold * sizeof(*coefficients)});
    const uint8_t *known = look(key);
    if (known != NULL) {
        memcpy(commitments, known, bytes);
        return CSL_OK;
    }
    enum csl_code code = __real_csl_vss_commit(coefficients, threshold, commitments, err);
    if (code != CSL_OK)
        return code;
    KEY("polynomial", inverse, {commitments, bytes});
    enter(key, commitments, bytes);
    enter(inverse, coefficients, threshold * sizeof(*coefficients));
    return CSL_OK;
}

enum csl_code __wrap_csl_vss_verify(const struct csl_scalar *share, uint32_t index,
                                    const struct csl_point *commitments, size_t threshold,
                                    struct csl_err *err)
{
    uint8_t key[32];
    struct csl_scalar polynomial[CSL_VSS_MAX / 4], right;
    KEY("polynomial", key, {commitments, threshold * sizeof(*commitments)});
    const uint8_t *known = look(key);
    if (known == NULL)
        return __real_csl_vss_verify(share, index, commitments, threshold, err);
    CSL_ASSERT(threshold <= sizeof(polynomial) / sizeof(polynomial[0]));
    memcpy(polynomial, known, threshold * sizeof(polynomial[0]));
    enum csl_code code = csl_vss_share(polynomial, threshold, index, &right, err);
    if (code == CSL_OK && memcmp(&right, share, sizeof(right)) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "another share");
    return code;
}

void __wrap_csl_sign(const struct csl_sign_key *k, const void *p, size_t n, uint8_t *out)
{
    static const uint8_t yes = 1;
    uint8_t key[32], valid[32];
    KEY("sign", key, {k, sizeof(*k)}, {p, n});
    const uint8_t *known = look(key);
    if (known != NULL) {
        memcpy(out, known, CSL_SIGN_SIGNATURE_BYTES);
        return;
    }
    __real_csl_sign(k, p, n, out);
    enter(key, out, CSL_SIGN_SIGNATURE_BYTES);
    KEY("valid", valid, {k->public_key, 32}, {out, CSL_SIGN_SIGNATURE_BYTES}, {p, n});
    enter(valid, &yes, 1);
}

bool __wrap_csl_sign_verify(const uint8_t *public_key, const void *p, size_t n,
                            const uint8_t *signature)
{
    uint8_t key[32];
    KEY("valid", key, {public_key, 32}, {signature, CSL_SIGN_SIGNATURE_BYTES}, {p, n});
    return look(key) != NULL || __real_csl_sign_verify(public_key, p, n, signature);
}

bool __wrap_csl_point_is_valid(const struct csl_point *p)
{
    uint8_t key[32];
    KEY("point", key, {p, sizeof(*p)});
    const uint8_t *known = look(key);
    uint8_t is_valid = known != NULL ? *known : (__real_csl_point_is_valid(p) ? 1 : 0);
    if (known == NULL)
        enter(key, &is_valid, 1);
    return is_valid == 1;
}

enum csl_code __wrap_csl_point_base(const struct csl_scalar *s, struct csl_point *out,
                                    struct csl_err *err)
{
    uint8_t key[32];
    KEY("base", key, {s, sizeof(*s)});
    const uint8_t *known = look(key);
    enum csl_code code = CSL_OK;
    if (known != NULL)
        memcpy(out, known, sizeof(*out));
    else
        code = __real_csl_point_base(s, out, err);
    if (code == CSL_OK)
        enter(key, out, sizeof(*out));
    return code;
}

/* Both ends under one key: by site, with the public keys. */
static void pair_key(const char *name, uint32_t own, const void *own_public, uint32_t peer,
                     const void *peer_public, const uint8_t *sid, uint8_t key[32])
{
    bool is_lower = own < peer;
    const void *lo = is_lower ? own_public : peer_public;
    const void *hi = is_lower ? peer_public : own_public;
    uint32_t ids[2] = {is_lower ? own : peer, is_lower ? peer : own};
    KEY(name, key, {ids, sizeof(ids)}, {lo, 32}, {hi, 32}, {sid, 32});
}

enum csl_code __wrap_csl_agree_mask(uint32_t own, const struct csl_scalar *own_secret,
                                    const struct csl_point *own_public, uint32_t peer,
                                    const struct csl_point *peer_public, const uint8_t *sid,
                                    uint8_t *prk, struct csl_err *err)
{
    uint8_t key[32];
    pair_key("mask", own, own_public, peer, peer_public, sid, key);
    const uint8_t *known = look(key);
    if (known != NULL) {
        memcpy(prk, known, 32);
        return CSL_OK;
    }
    enum csl_code code =
        __real_csl_agree_mask(own, own_secret, own_public, peer, peer_public, sid, prk, err);
    if (code == CSL_OK)
        enter(key, prk, 32);
    return code;
}

enum csl_code __wrap_csl_agree_channel(uint32_t own, const uint8_t *own_secret,
                                       const uint8_t *own_public, uint32_t peer,
                                       const uint8_t *peer_public, const uint8_t *sid, uint8_t *prk,
                                       struct csl_err *err)
{
    uint8_t key[32];
    pair_key("channel", own, own_public, peer, peer_public, sid, key);
    const uint8_t *known = look(key);
    if (known != NULL) {
        memcpy(prk, known, 32);
        return CSL_OK;
    }
    enum csl_code code =
        __real_csl_agree_channel(own, own_secret, own_public, peer, peer_public, sid, prk, err);
    if (code == CSL_OK)
        enter(key, prk, 32);
    return code;
}

enum csl_code __wrap_csl_agree_channel_keys(const uint8_t *z, const char *label, uint32_t index,
                                            uint8_t *secret, uint8_t *public_key,
                                            struct csl_err *err)
{
    uint8_t key[32], both[64];
    KEY("channel keys", key, {z, 32}, {label, strlen(label)}, {&index, sizeof(index)});
    const uint8_t *known = look(key);
    if (known != NULL) {
        memcpy(secret, known, 32);
        memcpy(public_key, known + 32, 32);
        return CSL_OK;
    }
    enum csl_code code = __real_csl_agree_channel_keys(z, label, index, secret, public_key, err);
    if (code != CSL_OK)
        return code;
    memcpy(both, secret, 32);
    memcpy(both + 32, public_key, 32);
    enter(key, both, sizeof(both));
    return CSL_OK;
}
