#include "privacy/crypto/vss.h"

#include "base/limits.h"

#include <sodium.h>
#include <string.h>

_Static_assert(CSL_VSS_MAX == CSL_SITES_MAX, "every site of a study can hold a share");

static enum csl_code check_threshold(size_t threshold, struct csl_err *err)
{
    if (threshold == 0 || threshold > CSL_VSS_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "threshold %zu; 1 to %d would be right", threshold,
                        CSL_VSS_MAX);
    return CSL_OK;
}

static enum csl_code check_index(uint32_t index, struct csl_err *err)
{
    if (index >= CSL_VSS_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "index %u; 0 to %d would be right", (unsigned)index,
                        CSL_VSS_MAX - 1);
    return CSL_OK;
}

static struct csl_scalar small_scalar(uint32_t v)
{
    struct csl_scalar s = {{(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)}};
    return s;
}

/* Where the polynomial is evaluated for the site with this index: never 0, which is the secret. */
static struct csl_scalar point_of(uint32_t index)
{
    return small_scalar(index + 1);
}

enum csl_code csl_vss_polynomial(const uint8_t z[32], const char *label, size_t threshold,
                                 struct csl_scalar *coefficients, struct csl_err *err)
{
    enum csl_code code = check_threshold(threshold, err);
    if (code != CSL_OK)
        return code;
    for (size_t k = 0; k < threshold && code == CSL_OK; k++)
        code = csl_scalar_derive(z, label, (uint32_t)k, &coefficients[k], err);
    if (code != CSL_OK)
        sodium_memzero(coefficients, threshold * sizeof(*coefficients));
    return code;
}

enum csl_code csl_vss_commit(const struct csl_scalar *coefficients, size_t threshold,
                             struct csl_point *commitments, struct csl_err *err)
{
    enum csl_code code = check_threshold(threshold, err);
    if (code != CSL_OK)
        return code;
    for (size_t k = 0; k < threshold; k++)
        if (!csl_scalar_is_canonical(&coefficients[k]) || csl_scalar_is_zero(&coefficients[k]))
            return CSL_FAIL(err, CSL_E_CRYPTO, "coefficient %zu is zero or not canonical", k);
    for (size_t k = 0; k < threshold && code == CSL_OK; k++)
        code = csl_point_base(&coefficients[k], &commitments[k], err);
    return code;
}

/* Horner's scheme, in place: no copy of a share stays behind on the stack. Constant time in the
 * coefficients. */
static void evaluate(const struct csl_scalar *coefficients, size_t threshold, uint32_t index,
                     struct csl_scalar *out)
{
    struct csl_scalar x = point_of(index);
    *out = coefficients[threshold - 1];
    for (size_t k = threshold - 1; k-- > 0;) {
        crypto_core_ristretto255_scalar_mul(out->bytes, out->bytes, x.bytes);
        crypto_core_ristretto255_scalar_add(out->bytes, out->bytes, coefficients[k].bytes);
    }
}

enum csl_code csl_vss_share(const struct csl_scalar *coefficients, size_t threshold, uint32_t index,
                            struct csl_scalar *out, struct csl_err *err)
{
    enum csl_code code = check_threshold(threshold, err);
    if (code == CSL_OK)
        code = check_index(index, err);
    if (code == CSL_OK)
        evaluate(coefficients, threshold, index, out);
    return code;
}

enum csl_code csl_vss_deal(const struct csl_scalar *coefficients, size_t threshold, size_t n,
                           struct csl_scalar *shares, struct csl_err *err)
{
    if (n > CSL_VSS_MAX || threshold > n || threshold == 0)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "%zu shares with threshold %zu; 1 <= threshold <= shares <= %d would be "
                        "right",
                        n, threshold, CSL_VSS_MAX);
    for (size_t i = 0; i < n; i++)
        evaluate(coefficients, threshold, (uint32_t)i, &shares[i]);
    return CSL_OK;
}

static enum csl_code bad_commitment(size_t k, struct csl_err *err)
{
    return CSL_FAIL(err, CSL_E_CRYPTO, "commitment %zu is not a valid point", k);
}

enum csl_code csl_vss_check_commitments(const struct csl_point *commitments, size_t threshold,
                                        struct csl_err *err)
{
    enum csl_code code = check_threshold(threshold, err);
    if (code != CSL_OK)
        return code;
    for (size_t k = 0; k < threshold; k++)
        if (!csl_point_is_valid(&commitments[k]))
            return bad_commitment(k, err);
    return CSL_OK;
}

/* sum of x^k commitment[k]. No product is the identity: the group has prime order, no commitment is
 * the identity, and x^k is not 0 mod L. The sum may be, and then equals no share's point. */
static enum csl_code commitment_at(const struct csl_point *commitments, size_t threshold,
                                   uint32_t index, struct csl_point *out, struct csl_err *err)
{
    struct csl_scalar x = point_of(index);
    struct csl_scalar power = x;
    struct csl_point sum = commitments[0];
    struct csl_point term;
    if (!csl_point_is_valid(&commitments[0]))
        return bad_commitment(0, err);
    for (size_t k = 1; k < threshold; k++) {
        /* Refuses the identity, and every encoding that is not canonical but for the highest bit,
         * which libsodium 1.0.18 does not look at. */
        if ((commitments[k].bytes[31] & 0x80) != 0 ||
            crypto_scalarmult_ristretto255(term.bytes, power.bytes, commitments[k].bytes) != 0 ||
            crypto_core_ristretto255_add(sum.bytes, sum.bytes, term.bytes) != 0)
            return bad_commitment(k, err);
        crypto_core_ristretto255_scalar_mul(power.bytes, power.bytes, x.bytes);
    }
    *out = sum;
    return CSL_OK;
}

enum csl_code csl_vss_verify(const struct csl_scalar *share, uint32_t index,
                             const struct csl_point *commitments, size_t threshold,
                             struct csl_err *err)
{
    struct csl_point held, promised;
    enum csl_code code = check_threshold(threshold, err);
    if (code == CSL_OK)
        code = check_index(index, err);
    if (code == CSL_OK)
        code = csl_point_base(share, &held, err);
    if (code == CSL_OK)
        code = commitment_at(commitments, threshold, index, &promised, err);
    if (code == CSL_OK && !csl_point_equal(&held, &promised))
        code =
            CSL_FAIL(err, CSL_E_CRYPTO, "share %u does not fit the commitments", (unsigned)index);
    return code;
}

static enum csl_code check_indices(const uint32_t *indices, size_t n, struct csl_err *err)
{
    uint8_t seen[CSL_VSS_MAX] = {0};
    if (n == 0 || n > CSL_VSS_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "%zu shares; 1 to %d would be right", n, CSL_VSS_MAX);
    for (size_t i = 0; i < n; i++) {
        enum csl_code code = check_index(indices[i], err);
        if (code != CSL_OK)
            return code;
        if (seen[indices[i]]++ != 0)
            return CSL_FAIL(err, CSL_E_INVAL, "the share %u twice", (unsigned)indices[i]);
    }
    return CSL_OK;
}

/* Lagrange at 0: weight[i] = prod over j != i of x_j / (x_j - x_i) = N / (x_i prod of (x_j - x_i)),
 * with N the product of all x_j. */
enum csl_code csl_vss_weights(const uint32_t *indices, size_t n, struct csl_scalar *weights,
                              struct csl_err *err)
{
    enum csl_code code = check_indices(indices, n, err);
    if (code != CSL_OK)
        return code;
    struct csl_scalar numerator = small_scalar(1);
    for (size_t j = 0; j < n; j++) {
        struct csl_scalar x = point_of(indices[j]);
        crypto_core_ristretto255_scalar_mul(numerator.bytes, numerator.bytes, x.bytes);
    }
    for (size_t i = 0; i < n; i++) {
        struct csl_scalar x = point_of(indices[i]);
        struct csl_scalar denominator = x;
        for (size_t j = 0; j < n; j++) {
            struct csl_scalar difference = point_of(indices[j]);
            if (j == i)
                continue;
            crypto_core_ristretto255_scalar_sub(difference.bytes, difference.bytes, x.bytes);
            crypto_core_ristretto255_scalar_mul(denominator.bytes, denominator.bytes,
                                                difference.bytes);
        }
        /* Not zero: the points differ and none is 0. */
        (void)crypto_core_ristretto255_scalar_invert(weights[i].bytes, denominator.bytes);
        crypto_core_ristretto255_scalar_mul(weights[i].bytes, weights[i].bytes, numerator.bytes);
    }
    return CSL_OK;
}

enum csl_code csl_vss_reconstruct(const struct csl_scalar *weights, const struct csl_scalar *shares,
                                  size_t n, const struct csl_point *expected,
                                  struct csl_scalar *out, struct csl_err *err)
{
    struct csl_scalar sum = {{0}};
    struct csl_scalar term;
    struct csl_point point;
    if (n == 0 || n > CSL_VSS_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "%zu shares; 1 to %d would be right", n, CSL_VSS_MAX);
    for (size_t i = 0; i < n; i++)
        if (!csl_scalar_is_canonical(&shares[i]))
            return CSL_FAIL(err, CSL_E_CRYPTO, "share number %zu is not canonical", i);
    for (size_t i = 0; i < n; i++) {
        crypto_core_ristretto255_scalar_mul(term.bytes, weights[i].bytes, shares[i].bytes);
        crypto_core_ristretto255_scalar_add(sum.bytes, sum.bytes, term.bytes);
    }
    enum csl_code code = csl_point_base(&sum, &point, err);
    if (code == CSL_OK && !csl_point_equal(&point, expected))
        code = CSL_FAIL(err, CSL_E_CRYPTO, "%zu shares do not give the secret committed to", n);
    if (code == CSL_OK)
        *out = sum;
    sodium_memzero(&sum, sizeof(sum));
    sodium_memzero(&term, sizeof(term));
    return code;
}
