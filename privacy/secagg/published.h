/* privacy/secagg/published.h - the noise of integer sums that are published several times in a
 * study: the smallest that keeps a promise over all of them, and the share that each site adds to
 * its part before its masks (shares.h). Any thread. */
#ifndef CSL_SECAGG_PUBLISHED_H
#define CSL_SECAGG_PUBLISHED_H
#include "privacy/secagg/shares.h"

struct csl_published_terms {
    double epsilon, delta; /* over all publications together */
    uint32_t publications; /* at least 1 */
    /* A sum is opened of `minimum_sites` at least, of whom `colluding` know their shares. */
    uint32_t minimum_sites, colluding;
    uint64_t dimensions;       /* words of one publication, of all blocks together */
    double l2_units, l1_units; /* that one patient moves one publication by; integers' norms */
};
struct csl_published_noise {
    struct csl_shares shares;
    struct csl_dp_event event; /* of one publication, with the fewest honest shares */
    double epsilon;            /* of all, rounded up; at most what was asked */
};

/* CSL_E_INVAL: terms that are none; CSL_E_LIMIT: no noise keeps the promise; CSL_E_NOMEM. Tens of
 * milliseconds. *out then belongs to csl_published_release and must not be copied. */
enum csl_code csl_published_plan(struct csl_published_noise *out,
                                 const struct csl_published_terms *terms,
                                 struct csl_err *err) CSL_MUST_CHECK;
void csl_published_release(struct csl_published_noise *n); /* accepts an empty one */

/* words[i] += this site's share of the noise, modulo 2^64; count at most CSL_PUBLISHED_WORDS_MAX.
 * Drawn once for each publication: what is sent again is the same words. */
#define CSL_PUBLISHED_WORDS_MAX 1024
void csl_published_add(const struct csl_published_noise *n, struct csl_rng *rng, uint64_t *words,
                       size_t count);
/* Standard deviation, in units, of the noise in a sum over so many sites; rounded up. */
double csl_published_std(const struct csl_published_noise *n, uint32_t sites);

#endif
