/* simulations/processes_gate.c - rounds that the coordinator's process rejected, from its status.
 */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "simulations/processes.h"

#include <math.h>
#include <string.h>

#define STATUS_BYTES_MAX ((size_t)4 * 1024 * 1024)

static bool take_round(const struct csl_json_value *v, struct csl_world_rejection *out)
{
    const char *block = "", *by = "";
    uint64_t worse = 0, voters = 0;
    if (csl_json_as_str(csl_json_get(v, "by"), &by) && strcmp(by, "vote") == 0) {
        *out = (struct csl_world_rejection){.is_by_vote = true};
        bool has_all = csl_json_as_u64(csl_json_get(v, "round"), &out->round) &&
                       csl_json_as_u64(csl_json_get(v, "worse"), &worse) &&
                       csl_json_as_u64(csl_json_get(v, "voters"), &voters) && worse <= voters &&
                       voters <= UINT32_MAX;
        out->worse = (uint32_t)worse;
        out->voters = (uint32_t)voters;
        return has_all;
    }
    *out = (struct csl_world_rejection){.norm = HUGE_VAL, .limit = HUGE_VAL};
    const struct csl_json_value *norm = csl_json_get(v, "norm"), *limit = csl_json_get(v, "limit");
    return csl_json_as_u64(csl_json_get(v, "round"), &out->round) &&
           csl_json_as_str(csl_json_get(v, "block"), &block) &&
           csl_str_copy(out->block, sizeof(out->block), block) &&
           (norm == NULL || csl_json_as_f64(norm, &out->norm)) &&
           (limit == NULL || csl_json_as_f64(limit, &out->limit));
}

static enum csl_code take(const struct csl_json_value *rounds, const char *path,
                          struct csl_world_result *out, struct csl_err *err)
{
    size_t n = csl_json_count(rounds);
    if (n == 0)
        return CSL_OK;
    out->rejections = csl_alloc_array(n, sizeof(*out->rejections));
    if (out->rejections == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the rejected rounds");
    for (size_t i = 0; i < n; i++)
        if (!take_round(csl_json_at(rounds, i), &out->rejections[out->rejection_count++]))
            return CSL_FAIL(err, CSL_E_CORRUPT, "%s: a rejected round is incomplete", path);
    return CSL_OK;
}

enum csl_code csl_sim_take_rejections(const char *status_path, const struct csl_study *study,
                                      struct csl_world_result *out, struct csl_err *err)
{
    struct csl_json_doc *doc = NULL;
    if (!study->aggregation.gate.is_on && !study->aggregation.vote.is_on)
        return CSL_OK;
    enum csl_code code = csl_json_read(&doc, status_path, STATUS_BYTES_MAX, err);
    if (code == CSL_OK) {
        const struct csl_json_value *gate = csl_json_get(csl_json_root(doc), "gate");
        code = take(gate == NULL ? NULL : csl_json_get(gate, "rounds"), status_path, out, err);
    }
    csl_json_free(doc);
    return code;
}
