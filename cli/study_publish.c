/* cli/study_publish.c - `consilium study publish`: from the folder of a coordinator whose study of
 * statistics is done to the file that everybody may see. */
#include "cli/study_publish.h"

#include "base/file.h"
#include "base/mem.h"
#include "coordinator/model/model_file.h"
#include "coordinator/store/store.h"
#include "simulations/run_statistics.h"

#include <string.h>

struct members {
    struct csl_world_blocks *sites; /* [CSL_SITES_MAX] that are in the sum; owned */
    uint32_t count;
};

static enum csl_code take_member(void *ctx, const struct csl_store_member *m, struct csl_err *err)
{
    struct members *k = ctx;
    if (m->rounds_contributed == 0)
        return CSL_OK;
    if (k->count == CSL_SITES_MAX)
        return CSL_FAIL(err, CSL_E_CORRUPT, "the coordinator counted more than %d sites",
                        CSL_SITES_MAX);
    k->sites[k->count].count = m->block_count;
    memcpy(k->sites[k->count++].blocks, m->blocks, sizeof(m->blocks));
    return CSL_OK;
}

static enum csl_code read_store(const char *state_dir, const struct csl_study *study,
                                struct members *k, struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    struct csl_store *store = NULL;
    struct csl_store_study row;
    bool is_found = false;
    enum csl_code code = csl_path_join(path, sizeof(path), state_dir, "state.db", err);
    if (code == CSL_OK && !csl_file_exists(path))
        return CSL_FAIL(err, CSL_E_NOTFOUND,
                        "%s: no such file; the state folder of a coordinator "
                        "would be right",
                        path);
    if (code == CSL_OK)
        code = csl_store_open(&store, path, err);
    if (code == CSL_OK)
        code = csl_store_load_study(store, &row, &is_found, err);
    if (code == CSL_OK && (!is_found || memcmp(row.digest, study->digest, sizeof(row.digest)) != 0))
        code = CSL_FAIL(err, CSL_E_INVAL, "%s: the coordinator's study is another one", path);
    if (code == CSL_OK && row.rounds_done == 0)
        code = CSL_FAIL(err, CSL_E_STATE, "%s: the round of study %s is not done", path, study->id);
    if (code == CSL_OK)
        code = csl_store_each_member(store, take_member, k, err);
    csl_store_close(store);
    return code;
}

enum csl_code csl_cli_study_publish(const struct csl_study *study, const char *state_dir,
                                    struct csl_statistics_report *out, struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    struct csl_model_file file = {.schema = NULL};
    struct members k = {.sites = csl_alloc_array(CSL_SITES_MAX, sizeof(*k.sites))};
    enum csl_code code = CSL_OK;
    if (k.sites == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for the sites of a study");
    if (code == CSL_OK && !study->census.is_on)
        code = CSL_FAIL(err, CSL_E_INVAL, "study %s has no section 'census'", study->id);
    if (code == CSL_OK)
        code = read_store(state_dir, study, &k, err);
    if (code == CSL_OK)
        code = csl_path_join(path, sizeof(path), state_dir, "model.h5", err);
    if (code == CSL_OK)
        code = csl_model_read(path, &study->schema, &file, err);
    if (code == CSL_OK)
        code = csl_statistics_publish(out, study, file.parameters, k.sites, k.count, err);
    csl_model_file_release(&file);
    csl_free(k.sites);
    return code;
}
