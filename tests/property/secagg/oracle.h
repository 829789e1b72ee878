/* Linked in place of the expensive functions of csl_crypto (ld --wrap), with the same answers: all
 * sites of the simulation live in this process and recompute what another, or the same one before a
 * crash, computed already, so results are written down under their inputs. Two things are more than
 * that, and as exact: a share is compared with the value of the polynomial that was committed to
 * (there is only one for given commitments), and a key agreement is written down once for both
 * ends. What was never computed is computed in earnest; with oracle_use(false) everything is. */
#ifndef CSL_TESTS_SECAGG_ORACLE_H
#define CSL_TESTS_SECAGG_ORACLE_H
#include <stdbool.h>

void oracle_use(bool is_used);
void oracle_reset(void);

#endif
