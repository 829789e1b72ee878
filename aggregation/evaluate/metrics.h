/* aggregation/evaluate/metrics.h - how good a model is, with intervals.
 *
 * Every metric carries its 95 % interval and the interval's method: "delong" (AUC; DeLong 1988 with
 * a logit transform, and the Wilson-type fallback named there when one class has a single member),
 * "wilson" (proportions), "bootstrap" (everything else; 1,000 resamples of patients with a labelled
 * seed). A metric that cannot be computed (one class only) is absent, never zero. Any thread. */
#ifndef CSL_EVALUATE_METRICS_H
#define CSL_EVALUATE_METRICS_H
#include "base/err.h"
#include "base/json.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct csl_metric {
    const char *name;   /* static: "auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity",
                           "macro_f1", "c_index", "ece", "brier", "log_loss" */
    const char *method; /* static: "delong", "wilson", "bootstrap"; NULL: no interval */
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

/* scores: [n] probability of the positive class; labels: [n] 0 or 1; decision at `threshold`. */
enum csl_code csl_evaluate_binary(const float *scores, const uint8_t *labels, uint64_t n,
                                  double threshold, uint64_t seed, struct csl_metrics *out,
                                  struct csl_err *err) CSL_MUST_CHECK;
/* scores: [n, classes] probabilities; labels: [n] class index. Macro averages over classes present;
 * auc is macro one-versus-rest. */
enum csl_code csl_evaluate_classes(const float *scores, const uint8_t *labels, uint64_t n,
                                   uint32_t classes, uint64_t seed, struct csl_metrics *out,
                                   struct csl_err *err) CSL_MUST_CHECK;
/* risk: [n] higher = earlier event; time: [n]; event: [n] 1 observed, 0 censored. c_index is
 * Harrell's, ties in risk count half, pairs as lifelines.utils.concordance_index (tied times with
 * both events are not comparable; an event and a censoring at the same time are). */
enum csl_code csl_evaluate_survival(const float *risk, const float *time, const uint8_t *event,
                                    uint64_t n, uint64_t seed, struct csl_metrics *out,
                                    struct csl_err *err) CSL_MUST_CHECK;

/* What a site may add to a securely summed evaluation: fixed-size counts, no scores. */
struct csl_score_histogram {
    uint64_t bins[2][CSL_SCORE_BINS]; /* [label][bin]; bin = floor(score * BINS), the last one closed */
    uint64_t true_positive, false_positive, true_negative, false_negative; /* at .5 */
    double loss_sum;
};
void csl_histogram_add(struct csl_score_histogram *h, const float *scores, const uint8_t *labels,
                       uint64_t n);
/* AUC with ties inside a bin counted half; *bound gets half the tied mass: |exact - value| <= bound.
 * false: one class is empty. */
bool csl_histogram_auc(const struct csl_score_histogram *h, double *value, double *bound);

#endif
