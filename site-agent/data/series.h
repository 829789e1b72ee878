/* site-agent/data/series.h - the inputs that a domain makes of one record's series. */
#ifndef CSL_DATA_SERIES_H
#define CSL_DATA_SERIES_H
#include "protocol/study/study.h"

/* from: [steps, names] raw values, NaN where nothing was measured; columns: [d->feature_count], the
 * place of each feature of the domain among the names. to: [d->width], unscaled, not overlapping:
 * what csl_domain.missing and csl_domain.windows say (protocol/study/study.h), of each step or
 * window all features' first inputs, then all features' second ones, and so on. A value that is not
 * there is NaN; a mask, a time or a count never is. */
void csl_series_inputs(const struct csl_domain *d, const float *from, uint32_t names,
                       const uint32_t *columns, float *to);

#endif
