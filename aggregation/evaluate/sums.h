/* aggregation/evaluate/sums.h - an evaluation that needs no scores: every site counts, the counts
 * are added up, and figures come from the sums alone.
 *
 * Counts of one set of test records (of a domain, or of one group of its patients), as one vector
 * of whole numbers that adds entry by entry, in the open or under masks:
 *   sites                          1 when the set has a record
 *   patients                       of these records
 *   confusion [label][decision]    C x C
 *   histogram [head][rest, class][bin]  of a class's score; a binary task has one head, class 1
 *   confidence [wrong, right][bin]      of the score of the decision; several classes only
 * bin = floor(score * bins), the last one closed. A binary task decides at one half, several
 * classes for the first of the largest scores, as csl_evaluate_binary and csl_evaluate_classes do.
 *
 * Every figure carries a 95 % interval and its source, or none:
 *   accuracy, sensitivity, specificity (binary; classes: of every class)  Wilson 1927
 *   auc       DeLong 1988 on the binned scores, logit scale, widened by auc_error ("delong-binned";
 *             "wilson" where that has no variance). For several classes the standard deviation of
 *             the mean is taken as the mean of the standard deviations, its largest possible value.
 *   macro_f1, balanced_accuracy, f1_es, ...  1,000 bootstrap resamples of records rebuilt from
 *             the counts, from a labelled seed; "bootstrap" percentiles
 *   ece       likewise, "bootstrap-basic" as in metrics.h
 *   gaps, f1_sd   value +- the 95th percentile of the same gap of (resample - seen): by the
 * triangle inequality at least 95 % ("bootstrap-gap") Any thread. */
#ifndef CSL_SUMS_H
#define CSL_SUMS_H
#include "aggregation/evaluate/metrics.h"

#include <stddef.h>

#define CSL_CALIBRATION_BINS 16 /* each of bins / 16 neighbouring bins of the histogram */
#define CSL_SUM_GROUPS_MAX   16 /* groups of one attribute */
#define CSL_COLLAPSED_BELOW  0.05

struct csl_sums {
    uint32_t classes; /* 2 .. CSL_CLASSES_MAX; 2: binary */
    uint32_t bins;    /* 256 or 1024; 0: no histograms, and no auc, no ece, no calibration */
    uint64_t *counts; /* [csl_sums_count]; owned; NULL: never initialised */
};
/* Entries of the vector: the price of the evaluation in words. */
size_t csl_sums_count(uint32_t classes, uint32_t bins);
/* All zero. CSL_E_INVAL: classes or bins as above would be right. */
enum csl_code csl_sums_init(struct csl_sums *s, uint32_t classes, uint32_t bins,
                            struct csl_err *err) CSL_MUST_CHECK;
void csl_sums_release(struct csl_sums *s);
/* One record of this site. scores: [1] of the positive class, or [classes]; is_new_patient: the
 * first record of its patient. CSL_E_INVAL: a score outside [0, 1], a label that is no class, or a
 * first record without a patient; nothing is counted. */
enum csl_code csl_sums_add(struct csl_sums *s, const float *scores, uint8_t label,
                           bool is_new_patient, struct csl_err *err) CSL_MUST_CHECK;
/* What another site counted. CSL_E_INVAL: other sizes, or `from` fails csl_sums_check;
 * CSL_E_LIMIT: more records than CSL_RECORDS_MAX. `into` is untouched on failure. */
enum csl_code csl_sums_join(struct csl_sums *into, const struct csl_sums *from,
                            struct csl_err *err) CSL_MUST_CHECK;
/* Whether the parts can be counts of the same records: CSL_E_INVAL names the first that cannot. */
enum csl_code csl_sums_check(const struct csl_sums *s, struct csl_err *err) CSL_MUST_CHECK;
uint64_t csl_sums_records(const struct csl_sums *s);
const uint64_t *csl_sums_confusion(const struct csl_sums *s); /* [classes, classes] */
uint64_t csl_sums_patients(const struct csl_sums *s);
uint32_t csl_sums_sites(const struct csl_sums *s);

struct csl_class_figures { /* one class against the rest */
    uint64_t records, decided;
    /* name NULL: no record of the class, or none but of it */
    struct csl_metric sensitivity, specificity;
    bool is_collapsed; /* one of the two is below CSL_COLLAPSED_BELOW */
};
struct csl_calibration_bin {
    uint64_t records;
    double predicted; /* mean of the bins' middles: within 1 / (2 bins) of the mean score */
    double observed;  /* share of the positive class, or of right decisions */
};
struct csl_sum_figures {
    /* auc, accuracy, balanced_accuracy, sensitivity, specificity, macro_f1, ece: names and meaning
     * as in metrics.h, but for ece: of CSL_CALIBRATION_BINS bins, and log loss and Brier score,
     * which counts do not give */
    struct csl_metrics metrics;
    double auc_error; /* |auc of the scores - auc| <= half the tied mass (mean over classes) */
    double ece_error; /* likewise: 1 / (2 bins) */
    uint64_t patients;
    uint32_t sites, classes, collapsed; /* collapsed: how many classes are */
    struct csl_class_figures by_class[CSL_CLASSES_MAX];
    struct csl_calibration_bin calibration[CSL_CALIBRATION_BINS];
};
/* No records: CSL_OK with no metric. */
enum csl_code csl_sums_evaluate(const struct csl_sums *s, uint64_t seed,
                                struct csl_sum_figures *out, struct csl_err *err) CSL_MUST_CHECK;

/* How unequal the groups of one attribute are. Per group the rates of each class against the rest,
 * over the fixed list of classes, and their mean over the classes whose rate has a denominator in
 * the group (TPR: records of the class; FDR: decisions for it; FPR: the other records; F1: any of
 * these); then over the groups, as FairGRPO (QoQ-Med) reports them:
 *   pp = max FDR - min FDR      eod = max TPR - min TPR      fpr_gap, f1_gap likewise
 *   f1_sd: sample standard deviation of F1       f1_es = F1 / (1 + f1_sd)
 *   accuracy_es = accuracy / (1 + sample standard deviation of accuracy)
 * F1 (over the same classes) and accuracy without a group are of all records. For a binary task
 * the mean over both classes hides a trade of sensitivity for specificity, so pp_positive,
 * eod_positive and fpr_gap_positive say the same of class 1 alone.
 * all: every record, of known group or not; groups: [count], parts of it that do not overlap.
 * Fewer than two groups with records: CSL_OK with no metric. CSL_E_INVAL: groups that are no part
 * of all. out->examples: records of known group. */
enum csl_code csl_sums_gaps(const struct csl_sums *all, const struct csl_sums *groups,
                            uint32_t count, uint64_t seed, struct csl_metrics *out,
                            struct csl_err *err) CSL_MUST_CHECK;
/* The value over (1 + sd), both as proportions. */
double csl_equity_scaled(double value, double sd);

/* Which groups of an attribute may be shown. Hidden: fewer patients than `minimum` or sites than
 * `sites_min` (none at all are no group and hide nothing). What is left of all patients when the
 * shown groups are taken away can be computed, so it must meet both rules too, or be nobody: for as
 * long as it does not, the smallest shown group is hidden as well. unknown_sites: that have a
 * patient of no group; the sites of several hidden groups are taken as the most of any one of them,
 * which is never too many. shown: [count]. */
void csl_sums_suppress(const struct csl_sums *all, const struct csl_sums *groups, uint32_t count,
                       uint64_t minimum, uint32_t sites_min, uint32_t unknown_sites, bool *shown);

#endif
