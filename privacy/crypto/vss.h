/* privacy/crypto/vss.h - verifiable secret sharing over the scalar field of ristretto255: Shamir's
 * polynomial (CACM 22(11), 1979) with Feldman's commitments (FOCS 1987), as in RFC 9591, appendix
 * C.
 *
 * f(x) = sum over k < threshold of coefficient[k] x^k mod L; the secret is coefficient[0] = f(0);
 * commitment[k] = coefficient[k] B. The site with index i (its place in the sorted list of
 * participants, from 0) holds f(1 + i): a point is never chosen by a site and never 0. Any
 * `threshold` shares give the secret; fewer say nothing about it beyond commitment[0].
 *
 * Threshold and number of shares: 1 to CSL_VSS_MAX. Coefficients and shares are secret and handled
 * in constant time; commitments, indices and weights are public. Outputs untouched on failure. Any
 * thread; needs csl_crypto_init. */
#ifndef CSL_CRYPTO_VSS_H
#define CSL_CRYPTO_VSS_H
#include "privacy/crypto/group.h"

#include <stddef.h>

enum { CSL_VSS_MAX = 4096 }; /* = CSL_SITES_MAX */

/* coefficient[k] = csl_scalar_derive(z, label, k). CSL_E_INVAL: threshold; CSL_E_NOMEM: all of them
 * are zero then. */
enum csl_code csl_vss_polynomial(const uint8_t z[32], const char *label, size_t threshold,
                                 struct csl_scalar *coefficients,
                                 struct csl_err *err) CSL_MUST_CHECK;
/* CSL_E_CRYPTO: a coefficient is zero or not canonical; CSL_E_INVAL: threshold. */
enum csl_code csl_vss_commit(const struct csl_scalar *coefficients, size_t threshold,
                             struct csl_point *commitments, struct csl_err *err) CSL_MUST_CHECK;
/* f(1 + index). CSL_E_INVAL: threshold or index (at most CSL_VSS_MAX - 1). */
enum csl_code csl_vss_share(const struct csl_scalar *coefficients, size_t threshold, uint32_t index,
                            struct csl_scalar *out, struct csl_err *err) CSL_MUST_CHECK;
/* Shares of the indices 0 to n - 1. CSL_E_INVAL: threshold > n too. */
enum csl_code csl_vss_deal(const struct csl_scalar *coefficients, size_t threshold, size_t n,
                           struct csl_scalar *shares, struct csl_err *err) CSL_MUST_CHECK;

/* Every commitment is a valid point (csl_point_is_valid): what a peer sent is looked at before
 * anything else is done with it. CSL_E_CRYPTO names the first bad one; CSL_E_INVAL: threshold. */
enum csl_code csl_vss_check_commitments(const struct csl_point *commitments, size_t threshold,
                                        struct csl_err *err) CSL_MUST_CHECK;
/* share B == sum over k of (1 + index)^k commitment[k]. CSL_E_CRYPTO: it is not, or the share is
 * zero or not canonical, or a commitment is not a valid point; CSL_E_INVAL: threshold or index. */
enum csl_code csl_vss_verify(const struct csl_scalar *share, uint32_t index,
                             const struct csl_point *commitments, size_t threshold,
                             struct csl_err *err) CSL_MUST_CHECK;

/* Weights of the shares of n different indices, in their order: sum of weight[i] f(1 + indices[i])
 * = f(0). Once per set of responders, then for every secret. CSL_E_INVAL: n, an index, or an index
 * that comes twice. */
enum csl_code csl_vss_weights(const uint32_t *indices, size_t n, struct csl_scalar *weights,
                              struct csl_err *err) CSL_MUST_CHECK;
/* The secret, checked: sum of weight[i] share[i], with secret B == expected (commitment[0]).
 * n >= the threshold is the caller's to know. CSL_E_CRYPTO: it does not fit, so at least one share
 * is wrong, and csl_vss_verify tells which; or a share is not canonical. CSL_E_INVAL: n. */
enum csl_code csl_vss_reconstruct(const struct csl_scalar *weights, const struct csl_scalar *shares,
                                  size_t n, const struct csl_point *expected,
                                  struct csl_scalar *out, struct csl_err *err) CSL_MUST_CHECK;

#endif
