/* Linked in place of the expensive functions of csl_crypto (ld --wrap). All sites of a simulated
 * federation live in this process, and a schedule is about the rules of the protocol: who says
 * what, when, to whom, and what survives a crash. So with oracle_use(true) the primitives are ideal
 * ones:
 *
 *   s B, X25519 keys   a hash of the secret, with a tag by which it is known to be one
 *   HKDF               a hash, as the claim takes it for a random function anyway
 *   agreement          a hash of both public keys and the session, for who holds one of the secrets
 *   signature          a hash of the public key and the message; only csl_sign makes it
 *   commitments        the point of each coefficient; the polynomial is written down beside them
 *   a share fits       it is the value of the polynomial that was committed to: there is only one
 *
 * What these did not make is given to the functions themselves, which refuse it. With
 * oracle_use(false) everything is computed by csl_crypto. */
#ifndef CSL_TESTS_SECAGG_ORACLE_H
#define CSL_TESTS_SECAGG_ORACLE_H
#include "privacy/crypto/group.h"

#include <stddef.h>

void oracle_use(bool is_used);
void oracle_reset(void); /* forgets the polynomials */
/* f(1 + index), exact, in a few nanoseconds a coefficient; index below 4096. */
void oracle_evaluate(const struct csl_scalar *coefficients, size_t threshold, uint32_t index,
                     struct csl_scalar *out);

#endif
