/* Linked in place of the expensive checks of csl_crypto (ld --wrap), with the same answers: since
 * all dealers and signers of the simulation live in this process, their polynomials and signatures
 * are written down when they are made. A share is then compared with the value of the polynomial
 * that these commitments commit to (there is only one), a signature with those that were made; what
 * was not written down is checked in earnest. With oracle_use(false) everything is. */
#ifndef CSL_TESTS_SECAGG_ORACLE_H
#define CSL_TESTS_SECAGG_ORACLE_H
#include <stdbool.h>

void oracle_use(bool is_used);
void oracle_reset(void);

#endif
