#include "coordinator/model/model_layout.h"
#include "privacy/crypto/sha256.h"

const char *const csl_model__kind_names[3] = {"shared", "frozen", "local"};
const char *const csl_model__init_names[CSL_MODEL_INITS] = {"zeros", "uniform", "ones"};

void csl_model__state_digest(uint64_t parameters, const float *const *state, uint32_t count,
                             uint8_t out[CSL_DIGEST_BYTES])
{
    struct csl_sha256 h;

    csl_sha256_init(&h);
    for (uint32_t i = 0; i < count; i++)
        csl_sha256_update(&h, state[i], parameters * sizeof(float));
    csl_sha256_final(&h, out);
}
