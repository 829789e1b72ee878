#include "privacy/dp/poisson_sample.h"

#include "privacy/dp/event.h"

#include <math.h>

enum { WORDS = 512 };

enum csl_code csl_poisson_sample(struct csl_rng *rng, double rate, uint32_t count, uint32_t *chosen,
                                 size_t *chosen_count, struct csl_err *err)
{
    if (!(rate > 0.0) || rate > 1.0 || csl_dp_rate(rate) != rate)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "sampling rate %.17g; a multiple of 2^-64 above 0 and at most 1 would be "
                        "right",
                        rate);
    size_t n = 0;
    if (rate == 1.0) {
        for (; n < count; n++)
            chosen[n] = (uint32_t)n;
        *chosen_count = n;
        return CSL_OK;
    }
    uint64_t below = (uint64_t)ldexp(rate, 64); /* exact */
    uint64_t words[WORDS];
    for (uint32_t i = 0; i < count;) {
        uint32_t part = count - i < WORDS ? count - i : WORDS;
        csl_rng_bytes(rng, words, part * sizeof(words[0]));
        for (uint32_t j = 0; j < part; j++, i++) {
            chosen[n] = i;
            n += words[j] < below;
        }
    }
    *chosen_count = n;
    return CSL_OK;
}
