/* simulations/result_fairness.h - the part of a result that comes from summed counts: figures
 * without scores, gaps between patient groups, the worst of domains and groups. Included by
 * result.h. */
#ifndef CSL_RESULT_FAIRNESS_H
#define CSL_RESULT_FAIRNESS_H
#include "aggregation/evaluate/sums.h"
#include "protocol/study/study.h"

struct csl_result;

/* How unequal the shown groups of one attribute are, in one domain (csl_sums_gaps). */
struct csl_result_gap {
    uint32_t domain;
    char attribute[CSL_ID_MAX];
    uint32_t shown, hidden;     /* groups with test patients; hidden: too small */
    struct csl_metrics metrics; /* count 0: fewer than two groups are shown */
};
/* The same from what the sites reported of the released model, or of what was opened under masks:
 * by the coordinator's rule, of the values that the study lists. */
struct csl_result_told {
    struct csl_result_gap gap;
    char worst[32]; /* the shown group with the lowest macro F1; "": none has one */
    uint64_t worst_patients;
    struct csl_metric worst_f1;
};
struct csl_result_fairness {
    struct csl_study_fairness asked; /* attribute_count 0: the study asks for no groups */
    struct csl_sum_figures *sums;    /* [domain_count]; metrics.count 0: none; owned */
    struct csl_result_gap *gaps;     /* [gap_count]; owned */
    uint32_t gap_count;
    struct csl_result_told *told; /* [told_count]; owned */
    uint32_t told_count;
};
enum csl_code csl_result_add_gap(struct csl_result *r, const struct csl_result_gap *g,
                                 struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_result_add_told(struct csl_result *r, const struct csl_result_told *t,
                                  struct csl_err *err) CSL_MUST_CHECK;
/* Rows "test_group" and "test_gap" of metrics.csv; the column of sites says "sex=female" or "sex",
 * with what a table cannot hold as _. */
/* Likewise, of what was told: "round_gap", and "round_group" of the worst. */
enum csl_code csl_result_add_told_rows(struct csl_result *r, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_result_add_group_rows(struct csl_result *r, struct csl_err *err) CSL_MUST_CHECK;

/* "pp", "eod", ... ; NULL-terminated, in the order tables use. */
const char *const *csl_gap_names(void);
const char *csl_gap_intern(const char *name); /* the static spelling, or NULL */
const char *csl_gap_title(const char *name);  /* for people */

/* How well a model tells patients apart: the AUC, or the C-index of survival; NULL: neither. */
const struct csl_metric *csl_discrimination(const struct csl_metrics *m);
/* The domain with the lowest such figure over all test records, and the group with the lowest in
 * one domain (UINT32_MAX: in any); `name` NULL: discrimination; else that metric. UINT32_MAX: no
 * domain, or no group, has it. */
uint32_t csl_result_worst_domain(const struct csl_result *r, const char *name);
uint32_t csl_result_worst_group(const struct csl_result *r, uint32_t domain, const char *name);

#endif
