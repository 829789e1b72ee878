/* privacy/dp/event.h - what ran: one homogeneous run of one mechanism. Accountants price events,
 * the ledger records them, and nothing else is ever priced: there is no function that takes a bare
 * epsilon.
 *
 * Unit: one patient with all records at one hospital. Adjacency: add or remove one unit (a removed
 * unit leaves its fixed slot empty, so the number of slots is public); FIXED_SIZE: replace one. */
#ifndef CSL_DP_EVENT_H
#define CSL_DP_EVENT_H
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum csl_dp_mechanism {
    CSL_DP_GAUSSIAN = 1,      /* N(0, std^2) on every coordinate */
    CSL_DP_DISCRETE_GAUSSIAN, /* N_Z(0, std^2) on integers (Canonne, Kamath, Steinke 2020) */
    CSL_DP_SKELLAM,           /* difference of two Poisson variables, variance std^2 */
    CSL_DP_DISCRETE_LAPLACE   /* two-sided geometric, scale l1_units / epsilon; std as it follows */
};

enum csl_dp_sampler {
    CSL_DP_FULL_BATCH = 1, /* every unit in every step; sampling_rate 1 */
    CSL_DP_POISSON,        /* every unit in every step independently with sampling_rate */
    CSL_DP_FIXED_SIZE,     /* a uniform subset of fixed size, share sampling_rate; replace-one */
    CSL_DP_SHUFFLED        /* one use per epoch and no amplification: `steps` counts epochs begun */
};

struct csl_dp_event {
    enum csl_dp_mechanism mechanism;
    enum csl_dp_sampler sampler;
    double noise_multiplier; /* standard deviation of the noise / charged L2 sensitivity; > 0 */
    double sampling_rate;    /* (0, 1]; a multiple of 2^-64 (csl_dp_rate): what the sampler compares
                                with is what the accountant uses */
    uint64_t steps;          /* compositions */
    /* The integer mechanisms alone; 0 otherwise. Units are steps of the grid. */
    uint64_t dimensions;       /* coordinates of one release */
    double std_units;          /* noise_multiplier * l2_units */
    double l1_units, l2_units; /* charged sensitivities */
};

/* The smallest multiple of 2^-64 that is >= rate: rounding towards more privacy loss. */
double csl_dp_rate(double rate);
/* CSL_E_INVAL naming the field: a number that is not finite or out of its range, a rate that is no
 * multiple of 2^-64, a FULL_BATCH or SHUFFLED event with a rate that is not 1, integer fields
 * missing or contradicting noise_multiplier. */
enum csl_code csl_dp_event_check(const struct csl_dp_event *e, struct csl_err *err) CSL_MUST_CHECK;
const char *
csl_dp_mechanism_name(enum csl_dp_mechanism m);         /* "gaussian", "discrete-gaussian", ... */
const char *csl_dp_sampler_name(enum csl_dp_sampler s); /* "full-batch", "poisson", ... */

#endif
