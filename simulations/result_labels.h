/* simulations/result_labels.h - what a run says about single labels of domains that predict several
 * yes/no labels at once: part of struct csl_result. The metrics of such a domain are means over its
 * labels; here each label is a binary task by itself. */
#ifndef CSL_RESULT_LABELS_H
#define CSL_RESULT_LABELS_H
#include "aggregation/evaluate/metrics.h"
#include "protocol/study/study.h"

/* The released model on the test records of all sites that know the label. */
struct csl_result_label {
    uint32_t domain;
    char name[CSL_ID_MAX];
    uint32_t sites; /* that have a test record with a known answer */
    struct csl_metrics metrics;
};
struct csl_result_labels {
    struct csl_result_label *items; /* [count] in the order of domains and of their labels; owned */
    uint32_t count;
};
struct csl_result;
/* Appends. */
enum csl_code csl_result_add_label(struct csl_result *r, const struct csl_result_label *label,
                                   struct csl_err *err) CSL_MUST_CHECK;
/* Tests of the task are of one yes/no answer or event each, so that positives are counted. */
bool csl_task_has_positives(enum csl_task_kind task);
/* Sensitivity or specificity is below CSL_COLLAPSED_BELOW. */
bool csl_result_label_is_collapsed(const struct csl_result_label *label);

#endif
