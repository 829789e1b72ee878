/* site-agent/data/augment.h - small random changes of training inputs that a label does not depend
 * on: images are shifted, mirrored, made brighter; signals are shifted in time, amplified, made
 * noisy, and lose leads; values of tables and series go missing.
 *
 * Pure functions of the values and of a label: the same (seed, site, round, patient, record) gives
 * the same bits on any machine, in any order, in any thread, with or without reading ahead. Every
 * kind of change draws its own numbers whether it is used or not, so that switching one on leaves
 * the others as they were. The stream is a replayable one (privacy/crypto/rng.h) and protects
 * nothing. Under patient-level privacy a changed record still belongs to its patient's unit;
 * augmentation changes neither its clipping nor its count. */
#ifndef CSL_AUGMENT_H
#define CSL_AUGMENT_H
#include <stdbool.h>
#include <stdint.h>

struct csl_augment_label {
    uint64_t seed;
    const char *site;
    uint64_t round; /* or epoch: whatever the caller wants fresh numbers for */
    uint32_t patient, record;
};
struct csl_augment_image {
    uint32_t shift_max;    /* pixels in each direction; what comes in repeats the edge */
    bool may_mirror;       /* left and right, one time in two; only where the study allows it */
    double brightness_max; /* added to all values: uniform on [-b, b], in scaled units; >= 0 */
};
struct csl_augment_signal {
    uint32_t shift_max;  /* samples, earlier or later; what comes in repeats the end */
    double gain_max;     /* all values times uniform on [1 - g, 1 + g]; 0 <= g < 1 */
    double lead_dropout; /* each lead becomes 0 with this probability, but never all; [0, 1] */
    double noise;        /* added to each value of a lead that stays: normal, of this deviation */
};

/* from, to: [height, width, channels], row-major, not overlapping. */
void csl_augment_image(const struct csl_augment_image *a, const struct csl_augment_label *l,
                       const uint32_t shape[3], const float *from, float *to);
/* from, to: [samples, leads], row-major, not overlapping. */
void csl_augment_signal(const struct csl_augment_signal *a, const struct csl_augment_label *l,
                        const uint32_t shape[2], const float *from, float *to);
/* Each value becomes 0, its centre, with probability `dropout`, [0, 1]. from, to: [count], not
 * overlapping. */
void csl_augment_values(double dropout, const struct csl_augment_label *l, uint32_t count,
                        const float *from, float *to);

#endif
