/* privacy/secagg/block_plan.h - how a site's update of one block becomes words in a round: the same
 * for sites and coordinator, from what the study chose and the number of sites in the roster. What
 * M0 says of a block is what is planned here, or a site refuses it.
 *
 * A vector of L2 norm at most `clip` has a root mean square of at most clip / sqrt(coefficients),
 * and a coefficient may be CSL_SECAGG_CLIP_RMS times that (never more than `clip`). Rotated vectors
 * of up to four slices lose next to nothing to that; of more, a slice that holds more than four
 * times its share of the norm begins to. What is not rotated may be `clip` in one entry.
 * Any thread. SOURCE: docs/decisions/0009-lanes-in-rounds.md. */
#ifndef CSL_SECAGG_BLOCK_PLAN_H
#define CSL_SECAGG_BLOCK_PLAN_H
#include "privacy/secagg/config.h"
#include "privacy/secagg/encode.h"

#define CSL_SECAGG_CLIP_RMS 9.0

struct csl_secagg_choice {
    uint32_t lane_bits; /* 10 to 32; 64: a word for each entry (scalar.h), the rest is ignored */
    double clip;        /* L2 norm of a site's update of a block; 2^-20 to 2^20 */
    bool is_rotated;
};

/* Words of a vector of `count` floats. */
uint64_t csl_secagg_plan_words(const struct csl_secagg_choice *c, uint64_t count);
/* Fills in entries, lane_bits, levels, clip_q32 and rotation_log2, nothing else. `sites`: rows of
 * the roster. CSL_E_INVAL: the lanes hold no level of so many sites. */
enum csl_code csl_secagg_plan_block(const struct csl_secagg_choice *c, uint64_t count,
                                    uint32_t sites, struct csl_secagg_block *row,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* The same five fields are equal. */
bool csl_secagg_plan_equals(const struct csl_secagg_block *a, const struct csl_secagg_block *b);
/* The encoding of a row that was planned with lanes below 64 bits. The signs of its rotation
 * follow from plan, model, round and block: the same words may be sent in every attempt of the
 * round. */
enum csl_code csl_secagg_plan_encoding(const struct csl_secagg_block *row, uint64_t count,
                                       uint32_t sites, const uint8_t plan_hash[32],
                                       const uint8_t model_hash[32], uint64_t round,
                                       struct csl_encoding *out,
                                       struct csl_err *err) CSL_MUST_CHECK;

#endif
