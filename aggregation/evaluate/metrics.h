/* aggregation/evaluate/metrics.h - how good a model is, with intervals.
 *
 * Every metric carries its 95 % interval and the interval's method: "delong" (AUC; DeLong 1988 on
 * the logit scale), "wilson" (proportions), "bootstrap" (percentiles of 1,000
 * resamples of patients with a labelled seed, resamples without the metric left out),
 * "bootstrap-basic" (ece, which chance raises on average: the same resamples turned round the value
 * within [0, 1], down to 0 where chance alone explains the value). Where a
 * method would claim certainty from next to nothing (an AUC with a single patient in one class, a
 * perfect score: no variance) Wilson's interval for as many patients as the smallest class has
 * takes its place, and the method says so; a mean loss without any spread has no interval. The
 * two bootstrap intervals are reported as they come and may lie to one side of the value: macro F1
 * and balanced accuracy of very few, ece (an overestimate) above its interval. A metric that cannot
 * be computed (one class only) is absent, never zero; n = 0 is CSL_OK with no metric. CSL_E_INVAL:
 * a score or label out of range; CSL_E_LIMIT: more than 2^31 - 1 patients. Time: 1,000 passes over
 * the patients, about 8 us (survival 30 us) each. Any thread.
 *
 * ece: 15 bins of equal width, of the positive class's probability (binary) or of the confidence of
 * the decision (classes). brier: mean squared error, summed over classes when there are several (0
 * to 2). log_loss: probabilities are kept 1e-7 away from 0 and 1. */
#ifndef CSL_EVALUATE_METRICS_H
#define CSL_EVALUATE_METRICS_H
#include "base/err.h"
#include "base/json.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct csl_metric {
    /* static: "auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "macro_f1",
     * "c_index", "ece", "brier", "log_loss" */
    const char *name;
    const char *method; /* static: "delong", "wilson", "bootstrap", "bootstrap-basic", "label-mean";
                           NULL: no interval */
    double value, low, high;
};
struct csl_metrics {
    struct csl_metric items[CSL_METRICS_MAX];
    uint32_t count;
    uint64_t examples, positives; /* positives: events for survival; 0 for multi-class */
};
const struct csl_metric *csl_metrics_find(const struct csl_metrics *m, const char *name); /* NULL */
/* "metrics": {"auc": {"value":, "low":, "high":, "method":}, ...} members into the open object. */
void csl_metrics_json(struct csl_json *j, const struct csl_metrics *m);

/* scores: [n] probability of the positive class; labels: [n] 0 or 1; positive when score >
 * threshold. */
enum csl_code csl_evaluate_binary(const float *scores, const uint8_t *labels, uint64_t n,
                                  double threshold, uint64_t seed, struct csl_metrics *out,
                                  struct csl_err *err) CSL_MUST_CHECK;
/* scores: [n, classes] probabilities; labels: [n] class index. Macro averages over the classes
 * present; auc is macro one-versus-rest; sensitivity (the same number as the balanced accuracy) and
 * specificity are macro averages too. */
enum csl_code csl_evaluate_classes(const float *scores, const uint8_t *labels, uint64_t n,
                                   uint32_t classes, uint64_t seed, struct csl_metrics *out,
                                   struct csl_err *err) CSL_MUST_CHECK;
/* Several yes/no labels at once. scores, answers: [n, labels] probability of yes, and 0 or 1;
 * known: [n, labels] 1 where the answer counts. Every figure is the mean over the labels that have
 * it of what csl_evaluate_binary says of the label's known answers; so is its interval
 * ("label-mean"): the deviation of a mean is at most the mean of the deviations, however labels
 * hang together. None where a label's figure has none. examples: n; positives: 0. by_label (may be
 * NULL): [labels], each label by itself. (labels.c) */
enum csl_code csl_evaluate_labels(const float *scores, const uint8_t *answers, const uint8_t *known,
                                  uint64_t n, uint32_t labels, uint64_t seed,
                                  struct csl_metrics *out, struct csl_metrics *by_label,
                                  struct csl_err *err) CSL_MUST_CHECK;
/* risk: [n] higher = earlier event; time: [n]; event: [n] 1 observed, 0 censored. c_index is
 * Harrell's, ties in risk count half, pairs as lifelines.utils.concordance_index (tied times with
 * both events are not comparable; an event and a censoring at the same time are). */
enum csl_code csl_evaluate_survival(const float *risk, const float *time, const uint8_t *event,
                                    uint64_t n, uint64_t seed, struct csl_metrics *out,
                                    struct csl_err *err) CSL_MUST_CHECK;

/* What a site may add to a securely summed evaluation: fixed-size counts, no scores. */
struct csl_score_histogram {
    /* [label][bin]; bin = floor(score * BINS), the last one closed */
    uint64_t bins[2][CSL_SCORE_BINS];
    uint64_t true_positive, false_positive, true_negative, false_negative; /* at .5 */
    double loss_sum;
};
void csl_histogram_add(struct csl_score_histogram *h, const float *scores, const uint8_t *labels,
                       uint64_t n);
/* AUC with ties inside a bin counted half; *bound gets half the tied mass: |exact - value| <=
 * bound. false: one class is empty. */
bool csl_histogram_auc(const struct csl_score_histogram *h, double *value, double *bound);

#endif
