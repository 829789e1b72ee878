/* privacy/secagg/graph_bound.h - how large degrees and thresholds of the sparse graphs of FSA-1/k
 * have to be, decided in exact integers of up to 1,280 bits: no rounding, no floating point.
 *
 * Everything is one question: of N sites K are marked, d are drawn without replacement; how likely
 * are t or more marked ones among the drawn (hypergeometric upper tail). Against a coordinator that
 * chooses who is lost after it knows the graph only what holds for every choice counts:
 *
 * Mask graph, a random ring of n senders, each linked with the k/2 next on both sides. The honest
 * survivors fall apart only when two separate windows of k/2 neighbours have none of them left. If
 * every window has more than H honest sites, that takes 2 (H + 1) losses, whoever they are, so 2 H
 * + 1 are safe. A window is a draw of k/2 of n, c of them marked; union bound over n windows and
 * over the rings of a session; 2^-57 all together, so that 2^16 seeds, which the coordinator sees
 * before it may give up, leave 2^-41.
 *
 * Share graph, of degree k over n sites: t or more of the c corrupted ones among a site's k
 * neighbours know its secrets: 2^-57 over all sites. Fewer than t of them left when `lost` sites
 * are gone, by chance: 2^-20; that costs an attempt, not a secret.
 *
 * Source: design of FSA-1, section 1.7, whose table is in tests/vectors/secagg. Any thread. */
#ifndef CSL_SECAGG_GRAPH_BOUND_H
#define CSL_SECAGG_GRAPH_BOUND_H
#include "privacy/secagg/set.h"

enum { CSL_SECAGG_SECRET_BITS = 57, CSL_SECAGG_LIVE_BITS = 20 };

/* The smallest t with unions * P[t or more marked] <= 2^-bits, exactly. marked and drawn at most
 * total, total at most CSL_SECAGG_SITES_MAX, unions 1 to 2^17, bits at most 57. */
uint32_t csl_secagg_tail_threshold(uint32_t total, uint32_t marked, uint32_t drawn, uint32_t unions,
                                   uint32_t bits);

/* D_post: how many of n senders may be lost, c of them colluding, on `rings` random rings of this
 * even degree; n: any number, since the graph is complete. False: not even none. */
bool csl_secagg_losses_max(uint32_t n, uint32_t colluding, uint32_t degree, uint32_t rings,
                           uint32_t *losses);

/* The smallest even degree that allows for so many losses with every number of senders from least
 * to most; at the latest the one with which the graph is complete. */
uint32_t csl_secagg_mask_degree(uint32_t least, uint32_t most, uint32_t colluding, uint32_t losses,
                                uint32_t rings);

/* The smallest t_k that keeps secrets, and whether t_k of the shares are still there when `lost` of
 * n sites are gone. */
uint32_t csl_secagg_share_threshold(uint32_t n, uint32_t colluding, uint32_t degree);
bool csl_secagg_share_is_live(uint32_t n, uint32_t lost, uint32_t degree, uint32_t threshold);
/* The smallest even degree, and its threshold, that do both. False: none below n. */
bool csl_secagg_share_parameters(uint32_t n, uint32_t colluding, uint32_t lost, uint32_t *degree,
                                 uint32_t *threshold);
/* The same for a study on a roster of n active sites, whose sums may be of as few as `least`: the
 * others may be gone from the start, lost later, or not of this study; they hold shares all the
 * same. Both sides work it out alike. */
bool csl_secagg_share_plan(uint32_t n, uint32_t colluding, uint32_t least, uint32_t *degree,
                           uint32_t *threshold);

#endif
