/* privacy/secagg/published_terms.h - what a study says of the price of its statistics, as
 * published.h takes it: one reading for sites, coordinator and planning. */
#ifndef CSL_SECAGG_PUBLISHED_TERMS_H
#define CSL_SECAGG_PUBLISHED_TERMS_H
#include "aggregation/weights/publication.h"
#include "privacy/secagg/published.h"
#include "protocol/study/evaluation.h"

#include <math.h>

/* A study with statistics that carry noise. A patient may have records in every domain, and moves
 * each word it is in by CSL_PUBLICATION_ONE at most (evaluation.h). */
static inline void csl_publication_terms(const struct csl_study *s, struct csl_published_terms *out)
{
    double words = csl_publication_sensitivity2(csl_study_published_attributes(s), s->domain_count);
    *out = (struct csl_published_terms){
        .epsilon = s->statistics.epsilon,
        .delta = s->statistics.delta,
        .publications = csl_study_publications(s),
        .minimum_sites = s->secagg.minimum_sites,
        .colluding = s->secagg.colluding,
        .l2_units = nextafter(sqrt(words) * CSL_PUBLICATION_ONE, (double)INFINITY),
        .l1_units = words * CSL_PUBLICATION_ONE};
    for (uint32_t d = 0; d < s->domain_count; d++)
        out->dimensions += csl_study_statistics_words(s, d);
}

#endif
