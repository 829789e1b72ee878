/* coordinator/publications.h - the publications of one study in the order of their rounds, as their
 * opened sums come or are read again: what one says depends on whether a prior was known before. */
#ifndef CSL_COORD_PUBLICATIONS_H
#define CSL_COORD_PUBLICATIONS_H
#include "coordinator/core/weigh.h"
#include "coordinator/published.h"

struct csl_publications {
    const struct csl_study *study; /* borrowed */
    double sigma_share;            /* of one site's noise, in patients; 0: exact */
    double prior[CSL_DOMAINS_MAX]; /* losses; 0: not known yet */
    struct csl_published *newest;  /* [domain_count]; round 0: none; owned */
};

/* A study with statistics. Close also after a failure. */
enum csl_code csl_publications_open(struct csl_publications *p, const struct csl_study *study,
                                    struct csl_err *err) CSL_MUST_CHECK;
void csl_publications_close(struct csl_publications *p);
/* Into newest, at its domain. CSL_E_CORRUPT: the row is not of this study. */
enum csl_code csl_publications_take(struct csl_publications *p,
                                    const struct csl_store_publication *row,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* Those of `round` among list[0..count), for csl_weigher_publish: sums [domain_count], and sigma,
 * the largest. False: there are none. */
bool csl_published_sums(const struct csl_published *list, uint32_t count, uint64_t round,
                        uint32_t domain_count, struct csl_weigher_sum *sums, double *sigma);

#endif
