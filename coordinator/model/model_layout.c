#include "coordinator/model/model_layout.h"
#include "privacy/crypto/bulk_hash.h"

const char *const csl_model__kind_names[3] = {"shared", "frozen", "local"};
const char *const csl_model__init_names[2] = {"zeros", "uniform"};

void csl_model__state_digest(uint64_t parameters, const float *const *state, uint32_t count,
                             uint8_t out[CSL_DIGEST_BYTES])
{
    struct csl_bulk_hash h;

    csl_bulk_hash_init(&h);
    for (uint32_t i = 0; i < count; i++)
        csl_bulk_hash_update(&h, state[i], parameters * sizeof(float));
    csl_bulk_hash_final(&h, out);
}
