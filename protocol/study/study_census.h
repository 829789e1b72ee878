/* protocol/study/study_census.h - a census: section 'census' in place of
 * model, training, rounds and aggregation. It trains nothing. In its one round every site sends the
 * vector of aggregation/statistics/statistics.h for each of its domains, in patients (entries over
 * CSL_STATISTICS_ONE), as an update of a model that begins with zeros; the mean over the sites,
 * all alike, times the sites is the sum. SOURCE: docs/decisions/0015-statistics-before-training.md.
 */
#ifndef CSL_STUDY_CENSUS_H
#define CSL_STUDY_CENSUS_H
#include <stdbool.h>
#include <stdint.h>

struct csl_study_census {
    bool is_on;            /* the rest is 0 without */
    uint32_t bins;         /* of each feature's histogram */
    uint32_t minimum_cell; /* fewer patients are not published */
};

struct csl_domain;
struct csl_statistics_range;
struct csl_statistics_shape;
struct csl_study;
/* The vector of a domain of a census: the features of a table or a series, of all
 * other data patients and answers alone. Questions are the task's: one, or each label. */
void csl_study_census_shape(const struct csl_study *s, const struct csl_domain *d,
                            struct csl_statistics_shape *out);
/* Of feature i, as declared. */
struct csl_statistics_range csl_study_census_range(const struct csl_domain *d, uint32_t i);
/* L2 norm that bounds one patient's vector in any domain, in patients. */
double csl_study_census_clip(const struct csl_study *s);

#endif
