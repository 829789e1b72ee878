/* privacy/secagg/weights.h - whether a table of weights hides each site among the others. A
 * coordinator that gives one site all the weight asks for that site's update, not for a mean. */
#ifndef CSL_SECAGG_WEIGHTS_H
#define CSL_SECAGG_WEIGHTS_H
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* For the sites of one sum: checked by every site when it gets the table and once more for the
 * sites that survived. Conditions, in integers but for the two parameters:
 *     sum w > 0;   max w / sum w <= share_max;   (sum w)^2 / sum w^2 >= effective_min.
 * CSL_E_DENIED: one does not hold; CSL_E_INVAL: count 0 or above 65536, share_max not in (0, 1],
 * effective_min not at least 1. */
enum csl_code csl_weights_check(const uint32_t *weights, size_t count, double share_max,
                                double effective_min, struct csl_err *err) CSL_MUST_CHECK;

#endif
