/* Blocks of the model that stay at this site: frozen ones, from the initial model that every site
 * and the coordinator have, and local ones, which it trains for itself.
 *
 * A local block is trained by the same private steps as what is sent, so that it too is a function
 * of noised sums that were charged: its blob is used only once the update of its round is
 * remembered, which is when that update is charged. */
#include "site-agent/agent_internal.h"

#include "aggregation/tensor/part.h"
#include "base/mem.h"
#include "privacy/crypto/sha256.h"
#include "protocol/initial/weights.h"

#include <string.h>

static bool is_here(const struct csl_agent *a, uint32_t block, enum csl_block_kind kind)
{
    return a->study->schema.blocks[block].kind == kind &&
           csl_dataset_block_patients(a->data, block) > 0;
}

bool csl_agent_shares__(const struct csl_agent *a, uint32_t block)
{
    return is_here(a, block, CSL_BLOCK_SHARED);
}

enum csl_code csl_agent_own_open__(struct csl_agent *a, struct csl_err *err)
{
    bool has_frozen = csl_study_has_kind(a->study, CSL_BLOCK_FROZEN);
    if (!has_frozen && !csl_study_has_kind(a->study, CSL_BLOCK_LOCAL))
        return CSL_OK;
    if (a->initial_path[0] != '\0')
        return csl_weights_read(&a->initial, a->initial_path, &a->study->schema, err);
    if (has_frozen)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the study has frozen blocks, and this site no initial model to take them "
                        "from");
    return CSL_OK;
}

/* The download begins with the digests of all blocks, also of those that are not sent. */
static enum csl_code check_frozen(struct csl_agent *a, uint32_t block, const char *download,
                                  struct csl_err *err)
{
    const struct csl_block_spec *b = &a->study->schema.blocks[block];
    uint8_t named[CSL_DIGEST_BYTES], actual[CSL_DIGEST_BYTES];
    enum csl_code code = csl_blob_read(a->blobs, download, (uint64_t)block * CSL_DIGEST_BYTES,
                                       named, sizeof(named), err);
    if (code != CSL_OK)
        return code;
    csl_sha256_digest(a->initial + b->first, (size_t)b->count * sizeof(float), actual);
    if (memcmp(named, actual, sizeof(actual)) != 0)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "frozen block %s of %s is another one than the coordinator's", b->name,
                        a->initial_path);
    return CSL_OK;
}

/* As the training left them whose update the row names. */
static enum csl_code read_local(struct csl_agent *a, float *out, struct csl_err *err)
{
    char name[CSL_ID_MAX];
    uint64_t at = 0;
    enum csl_code code = CSL_OK;
    csl_agent_run_name__(name, "local", a->memory.control_round, a->memory.control_run);
    for (uint32_t i = 0; code == CSL_OK && i < a->study->schema.block_count; i++) {
        const struct csl_block_spec *b = &a->study->schema.blocks[i];
        size_t bytes = (size_t)b->count * sizeof(float);
        if (!is_here(a, i, CSL_BLOCK_LOCAL))
            continue;
        code = csl_blob_read(a->blobs, name, at, out + b->first, bytes, err);
        at += bytes;
    }
    return code;
}

static void copy_block(const struct csl_agent *a, uint32_t block, const float *from, float *to)
{
    const struct csl_block_spec *b = &a->study->schema.blocks[block];
    memcpy(to + b->first, from + b->first, (size_t)b->count * sizeof(*to));
}

/* As they are before anything was trained. */
static enum csl_code begin_local(struct csl_agent *a, uint64_t seed, float *out,
                                 struct csl_err *err)
{
    const struct csl_schema *schema = &a->study->schema;
    float *drawn = NULL;
    if (a->initial == NULL) {
        drawn = csl_alloc_array((size_t)schema->parameters, sizeof(*drawn));
        if (drawn == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the local blocks of a model");
        csl_schema_init_parameters(schema, seed, drawn);
    }
    for (uint32_t i = 0; i < schema->block_count; i++)
        if (is_here(a, i, CSL_BLOCK_LOCAL))
            copy_block(a, i, drawn != NULL ? drawn : a->initial, out);
    csl_free(drawn);
    return CSL_OK;
}

enum csl_code csl_agent_own_read__(struct csl_agent *a, const struct csl_msg_task *task,
                                   const char *download, float *out, struct csl_err *err)
{
    bool begins = a->memory.control_round == 0 ||
                  (task->type == CSL_TASK_TRAIN && task->round == 1); /* perhaps anew */
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < a->study->schema.block_count; i++) {
        if (!is_here(a, i, CSL_BLOCK_FROZEN))
            continue;
        code = check_frozen(a, i, download, err);
        if (code == CSL_OK)
            copy_block(a, i, a->initial, out);
    }
    if (code != CSL_OK || !csl_study_has_kind(a->study, CSL_BLOCK_LOCAL))
        return code;
    return begins ? begin_local(a, task->seed, out, err) : read_local(a, out, err);
}

enum csl_code csl_agent_own_keep__(struct csl_agent *a, uint64_t round, const float *global,
                                   const float *update, struct csl_err *err)
{
    const struct csl_schema *schema = &a->study->schema;
    char name[CSL_ID_MAX];
    uint64_t at = 0;
    if (!csl_study_has_kind(a->study, CSL_BLOCK_LOCAL))
        return CSL_OK;
    float *trained = csl_alloc_array((size_t)schema->parameters, sizeof(*trained));
    if (trained == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the local blocks of a model");
    csl_agent_run_name__(name, "local", round, a->run);
    csl_blob_remove(a->blobs, name);
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < schema->block_count; i++) {
        const struct csl_block_spec *b = &schema->blocks[i];
        struct csl_span s = CSL_SPAN(trained + b->first, (size_t)b->count * sizeof(*trained));
        if (!is_here(a, i, CSL_BLOCK_LOCAL))
            continue;
        for (uint64_t k = b->first; k < b->first + b->count; k++)
            trained[k] = global[k] + update[k];
        code = csl_blob_write(a->blobs, name, at, s, err);
        at += s.n;
    }
    if (code == CSL_OK && at > 0)
        code = csl_blob_sync(a->blobs, name, err);
    csl_free(trained);
    return code;
}

enum csl_code csl_agent_take_own(struct csl_agent *a, float *model, struct csl_err *err)
{
    if (a->study == NULL || a->memory.control_round == 0 ||
        !csl_study_has_kind(a->study, CSL_BLOCK_LOCAL))
        return CSL_OK;
    return read_local(a, model, err);
}
