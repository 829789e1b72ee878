#include "tests/property/secagg/oracle.h"

#include "base/check.h"
#include "base/mem.h"
#include "privacy/crypto/sha256.h"
#include "privacy/crypto/sign.h"
#include "privacy/crypto/vss.h"

#include <string.h>

struct line {
    uint8_t key[32];
    struct csl_scalar *coefficients; /* NULL: a signature */
    bool is_used;
};
static struct line *table;
static uint32_t used, capacity;
static bool is_on;

enum csl_code __real_csl_vss_commit(const struct csl_scalar *coefficients, size_t threshold,
                                    struct csl_point *commitments, struct csl_err *err);
enum csl_code __wrap_csl_vss_commit(const struct csl_scalar *coefficients, size_t threshold,
                                    struct csl_point *commitments, struct csl_err *err);
enum csl_code __real_csl_vss_verify(const struct csl_scalar *share, uint32_t index,
                                    const struct csl_point *commitments, size_t threshold,
                                    struct csl_err *err);
enum csl_code __wrap_csl_vss_verify(const struct csl_scalar *share, uint32_t index,
                                    const struct csl_point *commitments, size_t threshold,
                                    struct csl_err *err);
void __real_csl_sign(const struct csl_sign_key *k, const void *p, size_t n, uint8_t *out);
void __wrap_csl_sign(const struct csl_sign_key *k, const void *p, size_t n, uint8_t *out);
bool __real_csl_sign_verify(const uint8_t *public_key, const void *p, size_t n,
                            const uint8_t *signature);
bool __wrap_csl_sign_verify(const uint8_t *public_key, const void *p, size_t n,
                            const uint8_t *signature);

void oracle_reset(void)
{
    for (uint32_t i = 0; i < capacity; i++)
        csl_free(table[i].coefficients);
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
    for (at &= n - 1; t[at].is_used && memcmp(t[at].key, key, 32) != 0;)
        at = (at + 1) & (n - 1);
    return &t[at];
}

static struct line *enter(const uint8_t key[32])
{
    if (2 * used >= capacity) {
        uint32_t n = capacity == 0 ? 1024 : 2 * capacity;
        struct line *grown = csl_alloc_array(n, sizeof(*grown));
        CSL_ASSERT(grown != NULL);
        for (uint32_t i = 0; i < capacity; i++)
            if (table[i].is_used)
                *place_of(grown, n, table[i].key) = table[i];
        csl_free(table);
        table = grown;
        capacity = n;
    }
    struct line *l = place_of(table, capacity, key);
    if (!l->is_used)
        used++;
    l->is_used = true;
    memcpy(l->key, key, 32);
    return l;
}

static const struct line *look(const uint8_t key[32])
{
    const struct line *l = capacity == 0 ? NULL : place_of(table, capacity, key);
    return l != NULL && l->is_used ? l : NULL;
}

static void commitments_key(const struct csl_point *commitments, size_t threshold, uint8_t key[32])
{
    csl_sha256_digest(commitments, threshold * sizeof(*commitments), key);
}

enum csl_code __wrap_csl_vss_commit(const struct csl_scalar *coefficients, size_t threshold,
                                    struct csl_point *commitments, struct csl_err *err)
{
    enum csl_code code = __real_csl_vss_commit(coefficients, threshold, commitments, err);
    uint8_t key[32];
    if (!is_on || code != CSL_OK)
        return code;
    commitments_key(commitments, threshold, key);
    struct line *l = enter(key);
    if (l->coefficients == NULL) {
        l->coefficients = csl_alloc_array(threshold, sizeof(*coefficients));
        CSL_ASSERT(l->coefficients != NULL);
        memcpy(l->coefficients, coefficients, threshold * sizeof(*coefficients));
    }
    return CSL_OK;
}

enum csl_code __wrap_csl_vss_verify(const struct csl_scalar *share, uint32_t index,
                                    const struct csl_point *commitments, size_t threshold,
                                    struct csl_err *err)
{
    uint8_t key[32];
    struct csl_scalar right;
    commitments_key(commitments, threshold, key);
    const struct line *l = look(key);
    if (!is_on || l == NULL)
        return __real_csl_vss_verify(share, index, commitments, threshold, err);
    enum csl_code code = csl_vss_share(l->coefficients, threshold, index, &right, err);
    if (code == CSL_OK && memcmp(&right, share, sizeof(right)) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "another share");
    return code;
}

static void signature_key(const uint8_t *public_key, const void *p, size_t n,
                          const uint8_t *signature, uint8_t key[32])
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, public_key, CSL_SIGN_PUBLIC_BYTES);
    csl_sha256_update(&h, signature, CSL_SIGN_SIGNATURE_BYTES);
    csl_sha256_update(&h, p, n);
    csl_sha256_final(&h, key);
}

void __wrap_csl_sign(const struct csl_sign_key *k, const void *p, size_t n, uint8_t *out)
{
    uint8_t key[32];
    __real_csl_sign(k, p, n, out);
    signature_key(k->public_key, p, n, out, key);
    if (is_on)
        (void)enter(key);
}

bool __wrap_csl_sign_verify(const uint8_t *public_key, const void *p, size_t n,
                            const uint8_t *signature)
{
    uint8_t key[32];
    signature_key(public_key, p, n, signature, key);
    return (is_on && look(key) != NULL) || __real_csl_sign_verify(public_key, p, n, signature);
}
