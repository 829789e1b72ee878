/* aggregation/evaluate/interval.h - intervals shared by the metrics. Inside this folder only. */
#ifndef CSL_EVALUATE_INTERVAL_H
#define CSL_EVALUATE_INTERVAL_H
#include "aggregation/evaluate/metrics.h"

#include <stddef.h>

#define CSL_EVALUATE__RESAMPLES 1000
#define CSL_EVALUATE__MEASURES  20   /* values one resample may give */
#define CSL_EVALUATE__ECE_BINS  15   /* of equal width */
#define CSL_EVALUATE__CLIP      1e-7 /* log loss: probabilities are kept this far from 0 and 1 */
#define CSL_EVALUATE__Z         1.959963984540054 /* standard normal, two-sided 95 % */

void csl_evaluate__add(struct csl_metrics *out, const char *name, double value, double low,
                       double high, const char *method);
/* hits of n with Wilson's score interval (Wilson 1927); absent when n is 0. */
void csl_evaluate__add_proportion(struct csl_metrics *out, const char *name, uint64_t hits,
                                  uint64_t n);

/* The 2.5th and 97.5th percentile of what a measure gave on resamples of the patients. */
struct csl_evaluate__spread {
    double low, high;
    uint32_t defined; /* resamples in which the measure existed */
};
/* values: written whole; NAN where the resample lacks a class, an event, ... */
typedef void csl_evaluate__measure(void *context, const uint32_t *draws, uint64_t n,
                                   double values[CSL_EVALUATE__MEASURES]);
/* values: on the patients as they are; spreads: [count], count of them used. n in [1, 2^31). */
enum csl_code csl_evaluate__bootstrap(csl_evaluate__measure *measure, void *context, uint64_t n,
                                      uint64_t seed, uint32_t count, double *values,
                                      struct csl_evaluate__spread *spreads,
                                      struct csl_err *err) CSL_MUST_CHECK;
/* A bootstrapped value with the percentiles as they are; absent when it is NAN. Where the
 * resamples say nothing (fewer than 100 have the measure, or all agree, as with a perfect model on
 * few patients) an interval of no width would be a lie: with smallest > 0 it is Wilson's for the
 * value as a proportion of `smallest` patients (the smallest class), else there is none. */
void csl_evaluate__add_spread(struct csl_metrics *out, const char *name, double value,
                              const struct csl_evaluate__spread *spread, uint64_t smallest);

/* The ECE of a resample from the sums of its gaps in the bins; all: the sums on the patients as
 * they are. *noise: the same with the gaps taken from `all`, so what chance alone would make of the
 * ECE of a calibrated model. */
double csl_evaluate__ece(const double gaps[CSL_EVALUATE__ECE_BINS],
                         const double all[CSL_EVALUATE__ECE_BINS], uint64_t n, double *noise);
/* A sum of absolute values, a largest difference or a standard deviation grows with every source of
 * chance: resamples lie above the value as the value lies above the truth, so their percentiles
 * miss the truth on the side away from it. The basic interval turns them round the value, from
 * 2 value - high to 2 value - low, within [0, 1]; it begins at 0 when the value is not above the
 * 97.5th percentile of the noise, which is what chance alone makes of it. Absent when it is NAN. */
void csl_evaluate__add_basic(struct csl_metrics *out, const char *name, double value,
                             const struct csl_evaluate__spread *spread,
                             const struct csl_evaluate__spread *noise);

/* The AUC of class `positive` against the rest, ties half, in O(n log n), from sorted scores, and
 * DeLong's structural components: influence[i] += share * (component of patient i) / (size of its
 * side). scores: every `stride`-th. work: [n]. false, nothing written: one side is empty. */
struct csl_evaluate__scored {
    float score;
    uint32_t index;
};
bool csl_evaluate__auc(const float *scores, size_t stride, const uint8_t *labels, uint8_t positive,
                       uint64_t n, struct csl_evaluate__scored *work, double share,
                       double *influence, double *auc);
/* Interval of an AUC, or of a mean of one-versus-rest AUCs, from the influences: within each class
 * the sample variance of the components (DeLong, DeLong, Clarke-Pearson 1988, for two classes; the
 * same U-statistic for more), on the logit scale. When a class has one member, or the variance is
 * zero, Wilson's interval with the size of the smallest class takes its place: by Birnbaum and
 * Klose 1957 the variance of an AUC A is at most A (1 - A) / that size. Adds nothing unless two
 * classes are present. */
void csl_evaluate__add_auc(struct csl_metrics *out, double auc, const uint8_t *labels, uint64_t n,
                           uint32_t classes, const double *influence);
/* The limits of that interval from the variance alone; the method's name comes back. */
const char *csl_evaluate__auc_limits(double auc, double variance, uint64_t smallest, double *low,
                                     double *high);

/* Sizes of the classes and the smallest that is not empty; returns how many are not empty. */
uint32_t csl_evaluate__count_classes(const uint8_t *labels, uint64_t n, uint32_t classes,
                                     uint64_t *sizes, uint64_t *smallest);
uint32_t csl_evaluate__ece_bin(double confidence);
/* -log(p) with p kept away from 0. */
double csl_evaluate__log_loss(double p);
enum csl_code csl_evaluate__check_size(uint64_t n, struct csl_err *err) CSL_MUST_CHECK;

#endif
