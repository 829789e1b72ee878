/* privacy/secagg/remaining.h - internal: the masks that are left in the sum over U3, from the
 * secrets that M12 opened. For the coordinator, who takes them off, and for whoever audits it. */
#ifndef CSL_SECAGG_REMAINING_H
#define CSL_SECAGG_REMAINING_H
#include "privacy/crypto/group.h"
#include "privacy/secagg/graph.h"
#include "privacy/secagg/mask.h"

struct csl_secagg_remaining { /* all borrowed; arrays are [n1], by place in U1 */
    const uint8_t *sid;       /* [32] */
    uint32_t n1;
    const uint32_t *ids;
    const struct csl_point *mask_keys;    /* of U2 */
    const struct csl_secagg_set *senders; /* U2 */
    const struct csl_secagg_set *survivors;
    const struct csl_secagg_set *blocks; /* of U2: what each sends */
    const struct csl_secagg_ring *rings; /* by place of the block; NULL: the complete graph */
    const struct csl_scalar *secrets;    /* of U2: b of survivors, s of the lost */
    enum csl_secret_policy memory;
};

/* Minus the self masks of the survivors, minus what they share with each lost site. CSL_E_CRYPTO: a
 * key or a secret that is none; CSL_E_NOMEM; CSL_E_LIMIT. */
enum csl_code csl_secagg__remaining_masks(const struct csl_secagg_remaining *r,
                                          struct csl_secagg_masks **out,
                                          struct csl_err *err) CSL_MUST_CHECK;

#endif
