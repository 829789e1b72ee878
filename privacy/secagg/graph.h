/* privacy/secagg/graph.h - who are my peers, on the two sparse graphs of FSA-1/k.
 *
 * Both are rings in a random order, ascending by SHA-256(seed || le32 site), each site linked with
 * the degree / 2 next on both sides (Harary):
 *   share graph  over the active sites of the roster, seed of the ceremony of its epoch (epoch.h):
 *                who holds whose shares
 *   mask graph   of one attempt and one block over that block's senders, seed of M7r, which nobody
 *                knows before U2 is closed; complete up to 128 senders
 * One seed gives every block its ring, so blocks with the same senders have the same one.
 *
 * Places are those in the list of ids (U1; of the share graph: the roster). Any thread. Source:
 * design of FSA-1, sections 1.6 (M7r) and 1.7. */
#ifndef CSL_SECAGG_GRAPH_H
#define CSL_SECAGG_GRAPH_H
#include "base/err.h"
#include "privacy/secagg/config.h"
#include "privacy/secagg/graph_bound.h"
#include "privacy/secagg/roster.h"

enum { CSL_SECAGG_ATTEMPTS_MAX = 5 }; /* of a round: each shows the coordinator one more seed */

struct csl_secagg_ring {
    uint32_t count, degree;                  /* members; links of each, if there are so many */
    uint16_t order[CSL_SECAGG_SITES_MAX];    /* [count] places */
    uint16_t position[CSL_SECAGG_SITES_MAX]; /* of the members, by place */
    struct csl_secagg_set members;
};

/* degree is even. ids: [n] by place; members are among them. */
void csl_secagg_mask_graph(struct csl_secagg_ring *r, const uint8_t mask_seed[32], uint32_t n,
                           const uint32_t *ids, const struct csl_secagg_set *senders,
                           uint32_t degree);
void csl_secagg_share_graph(struct csl_secagg_ring *r, const uint8_t epoch_seed[32],
                            const struct csl_secagg_roster *roster, uint32_t degree);
/* Symmetric; no site is its own peer, and who is no member has none. */
bool csl_secagg_ring_is_linked(const struct csl_secagg_ring *r, uint32_t a, uint32_t b);
void csl_secagg_ring_peers(const struct csl_secagg_ring *r, uint32_t place,
                           struct csl_secagg_set *out);

/* Share peers in U1 of its member at `place`; r NULL: the complete graph, all others. rows: [n1]
 * places in the roster. */
void csl_secagg_share_peers(const struct csl_secagg_ring *r, uint32_t n1, const uint32_t *rows,
                            uint32_t place, struct csl_secagg_set *out);
/* The rings of every block of a session, [block_count], from the senders that M7 names; csl_free.
 * NULL: no memory. */
struct csl_secagg_ring *csl_secagg_mask_rings(const uint8_t mask_seed[32], uint32_t n1,
                                              const uint32_t *ids, const uint8_t *block_bits,
                                              uint32_t block_count, uint32_t degree);
/* Of `blocks` those in which a and b are linked; rings NULL: the complete graph, all. */
struct csl_secagg_set csl_secagg_linked_blocks(const struct csl_secagg_ring *rings,
                                               const struct csl_secagg_set *blocks, uint32_t a,
                                               uint32_t b);

/* SHA-256("FSA1 mg" || sid || bitmap of U2 over n1 || r_i of U2 ascending): reveals is
 * [members][32]. */
void csl_secagg_mask_seed(const uint8_t sid[32], uint32_t n1, const struct csl_secagg_set *members,
                          const uint8_t *reveals, uint8_t out[32]);

/* t_s: t_g on the complete graph, t_k of the configuration on the sparse one. */
uint32_t csl_secagg_graph_threshold(const struct csl_secagg_config *c, uint32_t quorum);
/* How many shares of one dealer may become public in disputes: csl_secagg_openings_max, and in
 * graph 1 what t_k has above the threshold that colluding share peers alone ask for. active: sites
 * of the roster. */
uint32_t csl_secagg_graph_openings(const struct csl_secagg_config *c, uint32_t active,
                                   uint32_t threshold);

/* What a site asks of the graphs, from its own c. CSL_E_DENIED.
 * The share graph of a roster of n active sites, and the number of the attempt: */
enum csl_code csl_secagg_graph_check_shares(uint32_t n, uint32_t colluding, uint32_t degree,
                                            uint32_t threshold, uint32_t attempt,
                                            struct csl_err *err) CSL_MUST_CHECK;
/* The mask graphs: senders of each block, of which `survivors` are left (M7: all of them; M9: U3),
 * k_mask and D_post of the configuration. Refused: a degree that is odd or does not carry D_post
 * for these senders, and more losses than D_post in a block of a sparse graph. */
enum csl_code csl_secagg_graph_check_losses(const struct csl_secagg_set *senders,
                                            uint32_t block_count,
                                            const struct csl_secagg_set *survivors,
                                            uint32_t colluding, uint32_t degree,
                                            uint32_t losses_max,
                                            struct csl_err *err) CSL_MUST_CHECK;

#endif
