/* aggregation/tensor/averaging.h - the average of the global models of several rounds: what a study
 * evaluates and releases, while its sites train on from the last model itself.
 *
 * Averages of iterates: Polyak and Juditsky 1992 (all alike); exponential ones under differential
 * privacy: De et al. 2022 (arXiv 2204.13650), section 3.1. It reads models that the coordinator has
 * anyway, so it costs no privacy. Pure functions; any thread. */
#ifndef CSL_AVERAGING_H
#define CSL_AVERAGING_H
#include <stdint.h>

enum csl_averaging_kind {
    CSL_AVERAGING_NONE,
    CSL_AVERAGING_EMA, /* older models count less and less */
    CSL_AVERAGING_MEAN /* all alike */
};

/* Up to from_round (from 1) the average is the model itself. */
struct csl_averaging {
    enum csl_averaging_kind kind;
    double decay; /* ema: what is left of the average when a model is added, (0, 1); else 0 */
    uint32_t from_round;
};

/* Share that the model of `round` has in the average after it. The k-th model from from_round on
 * has 1 / k; with ema never less than 1 - decay, so that the first models do not outweigh those
 * that follow. 1: the average is the model. */
double csl_averaging_share(const struct csl_averaging *a, uint64_t round);
/* average = average + share * (model - average), in double, for `count` parameters. */
void csl_averaging_add(const struct csl_averaging *a, uint64_t round, uint64_t count,
                       const float *model, float *average);

#endif
