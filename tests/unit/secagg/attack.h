/* What a coordinator that cheats can do: it holds its own key, those of corrupted sites, and the
 * network. */
#ifndef CSL_TESTS_SECAGG_ATTACK_H
#define CSL_TESTS_SECAGG_ATTACK_H
#include "tests/unit/secagg/world.h"

/* A world of n sites, of which c may collude, brought to a stage; nothing is on its way. */
void attack_begin(struct world *w, uint32_t n, uint32_t colluding, enum csl_secagg_stage stage);
/* The bytes that the honest coordinator would send now: closes its stage and takes the message of
 * this type to `site` off the network, with all the others of its kind. */
struct csl_msg attack_hold(struct world *w, uint8_t type, uint32_t site);
/* The first message of a type on its way (to: 0 the coordinator); it stays there. */
const struct parcel *attack_find(const struct world *w, uint8_t type, uint32_t to);
/* Drops every message of a type that is on its way. */
void attack_swallow(struct world *w, uint8_t type);
/* Encodes and signs; a NULL key for carriers. */
struct csl_msg attack_forge(const struct csl_secagg_message *m, const struct csl_sign_key *key);
enum csl_code attack_tell(struct world *w, uint32_t index, const struct csl_msg *m);
/* A quorum or certificate of the sites in `voters` (by index in the world), signed by their keys.
 */
struct csl_msg attack_votes(const struct world *w, const uint8_t sid[32], uint8_t choice,
                            const uint8_t transcript[32], const uint32_t *voters, uint32_t count);
/* T of an M9, as every site computes it. */
void attack_transcript(const struct world *w, const struct csl_msg *senders,
                       const struct csl_msg *survivors, uint8_t transcript[32]);
/* M0 to one site, signed by the coordinator, with weights and hashes that fit. */
enum csl_code attack_offer(struct world *w, struct world_site *s, struct csl_secagg_config *c,
                           const uint32_t *weights);
struct csl_secagg_message attack_view(const struct csl_msg *m);

#endif
