/* cli/model_release.c - the model card of a run, and whether its model may be handed out. */
#include "cli/model_release.h"

#include "base/check.h"
#include "base/file.h"
#include "base/str.h"
#include "simulations/release.h"
#include "simulations/run.h"

#include <stdio.h>
#include <string.h>

int csl_cli_card(const struct csl_cli_doc *doc, const char *run_dir, bool is_json)
{
    struct csl_result result = {0};
    struct csl_release_verdict v;
    struct csl_err err = {0};
    struct csl_buf out;
    enum csl_code code = csl_run_read_files(&result, run_dir, &err);

    if (code == CSL_OK && result.statistics.domain_count > 0)
        code = CSL_FAIL(&err, CSL_E_INVAL, "%s: study %s trained no model", run_dir, result.study);
    if (code == CSL_OK)
        code = csl_run_write_card(&result, run_dir, &err);
    if (code != CSL_OK) {
        csl_result_release(&result);
        return csl_cli_fail_as(doc, &err, is_json);
    }
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (is_json)
        csl_card_json(&result, &out);
    else
        csl_card_markdown(&result, &out);
    csl_release_judge(&result, &v);
    csl_result_release(&result);
    return csl_cli_print(&out, v.count == 0 ? CSL_EXIT_DONE : CSL_EXIT_NEGATIVE);
}

static int refuse(const struct csl_cli_doc *doc, const struct csl_release_verdict *v, bool is_json)
{
    struct csl_buf out;
    struct csl_json j;

    if (!is_json) {
        fprintf(stderr, "consilium %s: the study does not let this model be handed out:\n",
                doc->name);
        for (uint32_t i = 0; i < v->count; i++)
            fprintf(stderr, "  %s\n", v->reasons[i]);
        return CSL_EXIT_NEGATIVE;
    }
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    csl_json_init(&j, &out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "format", "consilium.release-refusal/1");
    csl_json_key(&j, "blocked_by");
    csl_json_array(&j);
    for (uint32_t i = 0; i < v->count; i++)
        csl_json_str(&j, v->reasons[i]);
    csl_json_end(&j);
    csl_json_end(&j);
    csl_buf_str(&out, "\n");
    return csl_cli_print(&out, CSL_EXIT_NEGATIVE);
}

/* *out stays NULL: no study is known. */
static enum csl_code find_study(struct csl_study **out, const char *model_path,
                                const char *study_path, struct csl_err *err)
{
    char path[CSL_PATH_MAX] = "study.yaml";
    enum csl_code code = CSL_OK;

    if (study_path != NULL)
        return csl_study_read(out, study_path, err);
    code = csl_path_beside(path, model_path, err);
    if (code != CSL_OK || !csl_file_exists(path))
        return code;
    return csl_study_read(out, path, err);
}

/* What the run beside the model measured, judged by what the study itself asks. */
static enum csl_code judge(const struct csl_study *study, const struct csl_model_file *m,
                           const char *model_path, struct csl_release_verdict *v,
                           struct csl_err *err)
{
    char folder[CSL_PATH_MAX] = ".", digest[2 * CSL_DIGEST_BYTES + 1];
    struct csl_result result = {0};
    enum csl_code code = csl_path_beside(folder, model_path, err);

    if (code == CSL_OK)
        code = csl_run_read_files(&result, folder, err);
    if (code == CSL_E_NOTFOUND)
        return CSL_FAIL(err, CSL_E_NOTFOUND,
                        "study %s has conditions for handing its model out, and %s has no "
                        "summary.json of the run; a model in the folder of its run would be right",
                        study->id, folder);
    if (code != CSL_OK)
        return code;
    csl_hex(m->digest, CSL_DIGEST_BYTES, digest);
    if (strcmp(result.model_digest, digest) != 0)
        code = CSL_FAIL(err, CSL_E_INVAL,
                        "summary.json beside the model is of another model (%.12s, not %.12s); the "
                        "model of that run would be right",
                        result.model_digest, digest);
    result.release = study->release;
    if (code == CSL_OK)
        csl_release_judge(&result, v);
    csl_result_release(&result);
    return code;
}

bool csl_cli_may_export(const struct csl_cli_doc *doc, const struct csl_model_file *m,
                        const char *model_path, const char *study_path, bool is_json, int *status)
{
    struct csl_study *study = NULL;
    struct csl_release_verdict v = {.count = 0};
    struct csl_err err = {0};
    enum csl_code code = find_study(&study, model_path, study_path, &err);

    if (code == CSL_OK && study != NULL && study->release.is_on &&
        memcmp(study->digest, m->info.study_digest, CSL_DIGEST_BYTES) == 0)
        code = judge(study, m, model_path, &v, &err);
    csl_study_free(study);
    if (code != CSL_OK)
        *status = csl_cli_fail_as(doc, &err, is_json);
    else if (v.count > 0)
        *status = refuse(doc, &v, is_json);
    return code == CSL_OK && v.count == 0;
}
