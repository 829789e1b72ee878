/* aggregation/accumulate.h - the streaming weighted sum of one round.
 *
 * Per block b: sum_b = sum over contributions of round(weight * x * 2^40) as int64, added exactly,
 * so that the result does not depend on the order of arrival, and weight_b likewise in units of
 * 2^-40. Memory: 8 bytes per parameter, whatever the number of sites. The weights of one block's
 * contributions sum to at most 1 (callers scale them by a constant of the round) and |x| is below
 * CSL_ACC_ABS_MAX, so no sum can wrap. The value resolution is 2^-40 (about 1e-12).
 *
 * A contribution is verified before it is added (aggregation happens from the coordinator's spool),
 * so nothing is ever taken out again. Core thread only. */
#ifndef CSL_ACCUMULATE_H
#define CSL_ACCUMULATE_H
#include "aggregation/tensor/schema.h"

#define CSL_ACC_FRACTION_BITS 40
#define CSL_ACC_ABS_MAX       1048576.0 /* 2^20: 2^20 * 2^40 * (sum of weights <= 1) = 2^60 < 2^63 */

struct csl_accumulator;
/* Borrows the schema. vectors: how many parallel vectors of P parameters are summed (1; 2 for
 * SCAFFOLD). */
enum csl_code csl_accumulator_new(struct csl_accumulator **out, const struct csl_schema *schema,
                                  uint32_t vectors, struct csl_err *err) CSL_MUST_CHECK;
void csl_accumulator_free(struct csl_accumulator *a);
void csl_accumulator_reset(struct csl_accumulator *a);
/* Once per contribution and block, before its slices. weight in (0, 1] and at least 2^-40, else
 * CSL_E_INVAL; CSL_E_LIMIT, nothing changed: the block's weights would sum to more than 1 + 2^-20.
 */
enum csl_code csl_accumulator_begin(struct csl_accumulator *a, uint32_t block, double weight,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* values: [count] float32 for elements first.. of `block` in vector `vector`, with the weight given
 * to csl_accumulator_begin. CSL_E_INVAL, nothing of this slice added: a value is not finite or too
 * large. Any slicing gives the same sums. */
enum csl_code csl_accumulator_add(struct csl_accumulator *a, uint32_t vector, uint32_t block,
                                  uint64_t first, const float *values, uint64_t count,
                                  double weight, struct csl_err *err) CSL_MUST_CHECK;
uint32_t csl_accumulator_sites(const struct csl_accumulator *a, uint32_t block);
double csl_accumulator_weight(const struct csl_accumulator *a, uint32_t block);
/* mean: [count] float32 = sum / weight_b of elements first.. of the block, in double before
 * rounding; zeros when nobody sent. Slices of any length give the same bits. */
void csl_accumulator_mean(const struct csl_accumulator *a, uint32_t vector, uint32_t block,
                          uint64_t first, uint64_t count, float *mean);

#endif
