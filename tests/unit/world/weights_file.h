/* A file of weights for a study to start from. */
#ifndef CSL_TEST_WEIGHTS_FILE_H
#define CSL_TEST_WEIGHTS_FILE_H
#include "aggregation/tensor/schema.h"

/* safetensors: all tensors as float32, drawn as the model's first values would be from this seed,
 * which come into values: [P] too. */
void write_weights_file(const struct csl_schema *s, uint64_t seed, const char *path, float *values);

#endif
