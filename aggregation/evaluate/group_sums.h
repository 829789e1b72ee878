/* aggregation/evaluate/group_sums.h - counts by patient group beside the counts of all records
 * (sums.h), as one vector of whole numbers that adds entry by entry:
 *   for each attribute, for each of its values and then for whoever has none of them:
 *     sites, patients, confusion [label][decision]
 * as in sums.h, without histograms: rates and gaps need none, and a histogram of few patients shows
 * single scores. Every record is counted once for each attribute, so the parts of an attribute add
 * up to all. Any thread. */
#ifndef CSL_GROUP_SUMS_H
#define CSL_GROUP_SUMS_H
#include "aggregation/evaluate/sums.h"

#define CSL_SUM_ATTRIBUTES_MAX 4

struct csl_group_plan {
    uint32_t classes;
    uint32_t attribute_count;                /* 0: no groups, and an empty vector */
    uint32_t values[CSL_SUM_ATTRIBUTES_MAX]; /* 1 .. CSL_SUM_GROUPS_MAX */
};
size_t csl_group_sums_count(const struct csl_group_plan *p);
/* The part of `value` of an attribute (values[attribute]: of no value of it). A view of counts:
 * [csl_group_sums_count], not to be released. */
struct csl_sums csl_group_sums_part(const struct csl_group_plan *p, uint64_t *counts,
                                    uint32_t attribute, uint32_t value);
/* One record of this site, as csl_sums_add. group: [attribute_count] place of its patient's value
 * from 1; 0, or beyond the values: none. Nothing is counted on failure. */
enum csl_code csl_group_sums_add(const struct csl_group_plan *p, uint64_t *counts,
                                 const float *scores, uint8_t label, const uint8_t *group,
                                 bool is_new_patient, struct csl_err *err) CSL_MUST_CHECK;
/* What the parts of the first attribute add up to, into *all (initialised by the caller with the
 * plan's classes, and bins 0). Its sites: at how many one part is at most, and so at least as many.
 * CSL_E_INVAL: no counts. */
enum csl_code csl_group_sums_total(const struct csl_group_plan *p, uint64_t *counts,
                                   struct csl_sums *all, struct csl_err *err) CSL_MUST_CHECK;
/* CSL_E_INVAL: the parts of an attribute are not `all` cut into groups: each can be counts by
 * itself, at no more sites than all, and their patients and confusion counts add up to those of
 * all. */
enum csl_code csl_group_sums_check(const struct csl_group_plan *p, uint64_t *counts,
                                   const struct csl_sums *all, struct csl_err *err) CSL_MUST_CHECK;

/* Of one attribute. */
struct csl_group_figures {
    uint32_t shown, hidden; /* groups with records; hidden: csl_sums_suppress */
    bool is_shown[CSL_SUM_GROUPS_MAX];
    struct csl_metrics gaps; /* csl_sums_gaps of the shown groups; count 0: fewer than two */
    /* The shown group with the lowest macro F1 (UINT32_MAX: none has one), what it reaches, and its
     * patients. */
    uint32_t worst;
    struct csl_metric worst_f1;
    uint64_t worst_patients;
};
/* CSL_E_INVAL: csl_group_sums_check. minimum, sites_min: csl_sums_suppress, which is applied to
 * what is given: of the sum over all sites. */
enum csl_code csl_group_sums_evaluate(const struct csl_group_plan *p, uint64_t *counts,
                                      const struct csl_sums *all, uint32_t attribute,
                                      uint64_t minimum, uint32_t sites_min, uint64_t seed,
                                      struct csl_group_figures *out,
                                      struct csl_err *err) CSL_MUST_CHECK;

#endif
