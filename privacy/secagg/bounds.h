/* privacy/secagg/bounds.h - how long a message of a study can be, from what is known before it
 * comes: sites of the roster, how many may collude, blocks of the model. A receiver holds no more
 * than this of a message that is not complete. Upper bounds by the layouts of README.md. Any
 * thread. */
#ifndef CSL_SECAGG_BOUNDS_H
#define CSL_SECAGG_BOUNDS_H
#include <stdbool.h>
#include <stdint.h>

struct csl_secagg_shape {
    uint32_t sites, colluding, blocks;
    bool is_sparse;                         /* else the complete graph, and the rest is ignored */
    uint32_t share_degree, share_threshold; /* as csl_secagg_share_plan found them */
};

/* Bytes of the longest message to a site in a round: M0 with the table of weights; the keys of all
 * (M2); the delivery of all shares (M4); or M7 when as many shares are opened as may be. */
uint64_t csl_secagg_bytes_to_site(const struct csl_secagg_shape *shape);
/* Bytes of the longest message of an audit, on either graph: an upload's chunk with its hashes, or
 * the answer with what was opened. entries: at least those of the largest block. */
uint64_t csl_secagg_bytes_of_audit(const struct csl_secagg_shape *shape, uint64_t entries);
/* Bytes of the longest message from a site: its shares for all others (M3), or its manifest. */
uint64_t csl_secagg_bytes_from_site(const struct csl_secagg_shape *shape);

#endif
