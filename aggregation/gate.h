/* aggregation/gate.h - is a round's mean update of a length that rounds of this study have? It
 * needs the sum alone, so that it works where single updates are under masks.
 *
 * For each block the L2 norm of the round's mean update is compared with
 *   factor * the median of the norms of the last `window` accepted rounds, once there are so many
 *     (of those before, nothing is known; and a median of 0 says nothing), and
 *   what no mean of honest updates exceeds, where such a bound is known (clipped updates).
 * A round with one block beyond either is rejected whole: the model has one digest, and a block is
 * rarely poisoned alone. A rejected round leaves no norm behind, or an attacker would raise the
 * median by being rejected.
 *
 * It does not see what an attack that is not longer than the others' updates does: a turned sign
 * within the length, a backdoor, one that was there from the first round. One thread.
 * SOURCE: the bound of norms as in Sun et al. 2019 (arXiv 1911.07963), here of the mean. */
#ifndef CSL_GATE_H
#define CSL_GATE_H
#include "base/err.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct csl_gate_config {
    double factor;         /* > 1 */
    uint32_t window;       /* 1 to CSL_GATE_WINDOW_MAX */
    uint32_t rejected_max; /* from 1 */
};
struct csl_gate_history { /* of one block: norms of accepted rounds, the oldest first */
    uint32_t count;
    double norms[CSL_GATE_WINDOW_MAX];
};
struct csl_gate {
    struct csl_gate_config config;
    uint32_t block_count, rejected_in_a_row;
    struct csl_gate_history *blocks; /* [block_count] */
};
struct csl_gate_verdict {
    bool is_rejected; /* the rest: of the block furthest beyond its limit; else 0 */
    bool is_by_bound; /* beyond what honest updates can have, not beyond the history */
    uint32_t block;
    double norm, limit; /* norm: HUGE_VAL where it is no number */
};

enum csl_code csl_gate_new(struct csl_gate **out, const struct csl_gate_config *c,
                           uint32_t block_count, struct csl_err *err) CSL_MUST_CHECK;
void csl_gate_free(struct csl_gate *g);
/* norms[block_count]: negative where the round has no sum of the block. bounds[block_count]:
 * HUGE_VAL where none is known. Takes what the verdict says into the state. */
struct csl_gate_verdict csl_gate_judge(struct csl_gate *g, const double *norms,
                                       const double *bounds);
/* So many rounds in a row were rejected that no more should follow. */
bool csl_gate_is_shut(const struct csl_gate *g);

#endif
