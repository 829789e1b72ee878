/* coordinator/model/model_layout.h - what writing and reading a model file must agree on. */
#ifndef CSL_MODEL_LAYOUT_H
#define CSL_MODEL_LAYOUT_H
#include "aggregation/tensor/schema.h"

#define CSL_MODEL_FORMAT "consilium.model/1"

#define CSL_MODEL_INITS 3
extern const char *const csl_model__kind_names[3];               /* by enum csl_block_kind */
extern const char *const csl_model__init_names[CSL_MODEL_INITS]; /* by enum csl_init */

/* Over all strategy vectors, one after another. */
void csl_model__state_digest(uint64_t parameters, const float *const *state, uint32_t count,
                             uint8_t out[CSL_DIGEST_BYTES]);

#endif
