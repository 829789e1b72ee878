/* site-agent/training/private_sum.h - the exact integer sum of patients' clipped gradients of one
 * domain: what a private step releases after noise.
 *
 * Every patient adds an integer vector that depends on the patient's records, on the model and on
 * the number of the step (by which a study may change inputs, augmented.h) alone, of at most
 * l2_units of the noise's grid in L2 norm. Integers have no order: the sum does not depend on which
 * patients go together, nor on threads. A patient whose gradient is not finite adds exactly
 * nothing.
 *
 * How it is fast (docs/decisions/0010-private-step-accumulation.md):
 *   - Linear layers: the gradient g a^T of a record is never formed. Its norm is |g| |a| (of
 * several records the ghost norm, Goodfellow 2015; Bu et al. 2023), in double; the sum of the
 * rounded outer products is one pass over all patients (compute/outer_sum.h), on a grid coarser
 * than that of the noise by a power of two, 2^23 to 2^24 steps to the clip.
 *   - All other layers: formed once for each patient, kept until the norm over all layers is known,
 *     then scaled, rounded and added. Convolutions and norms have few parameters for what they do.
 *   - On a device whose memory the host cannot read, and for a patient with more than 16 records in
 *     a net with linear layers: the whole gradient is formed and csl_noise_round does the rest. */
#ifndef CSL_TRAINING_PRIVATE_SUM_H
#define CSL_TRAINING_PRIVATE_SUM_H
#include "site-agent/training/trainer.h"

struct csl_private_sum;

/* Fits the trainer's work memory to the domain's net. Borrows all three; noise is of the domain. */
enum csl_code csl_private_sum__open(struct csl_private_sum **out, struct csl_trainer *t,
                                    uint32_t domain, const struct csl_batches *b,
                                    const struct csl_noise *noise,
                                    struct csl_err *err) CSL_MUST_CHECK;
void csl_private_sum__close(struct csl_private_sum *s); /* NULL allowed */

/* How many of the patients chosen[0, count), at least 1 when there are any, go through the net
 * together. */
uint32_t csl_private_sum__piece(const struct csl_private_sum *s, const uint32_t *chosen,
                                uint32_t count);
/* sum: [count of the net] grid units += the patients of one piece; *rejected += those that were not
 * finite. */
enum csl_code csl_private_sum__add(struct csl_private_sum *s, const uint32_t *chosen,
                                   uint32_t count, int64_t *sum, uint64_t *rejected,
                                   struct csl_err *err);

#endif
