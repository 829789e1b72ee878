/* privacy/dp/poisson_sample.h - who takes part in a step: every unit on its own with the
 * probability `rate`, exactly (Poisson sampling; the only sampler whose amplification the
 * accountants grant without more ado).
 *
 * Unit i is chosen iff its uniform 64-bit word is below rate * 2^64; rate 1 chooses all. The rate
 * is the one that csl_dp_event carries, so what is sampled with is what is priced. How many were
 * chosen is a secret of the site: divide by the expected number, never by this one. */
#ifndef CSL_DP_POISSON_SAMPLE_H
#define CSL_DP_POISSON_SAMPLE_H
#include "base/err.h"
#include "privacy/crypto/rng.h"

#include <stddef.h>
#include <stdint.h>

/* Units 0..count-1; `chosen` has room for `count` and receives them in rising order. CSL_E_INVAL: a
 * rate outside (0, 1] or no multiple of 2^-64 (csl_dp_rate). Time depends on `count` and on how
 * many were chosen. */
enum csl_code csl_poisson_sample(struct csl_rng *rng, double rate, uint32_t count, uint32_t *chosen,
                                 size_t *chosen_count, struct csl_err *err) CSL_MUST_CHECK;

#endif
