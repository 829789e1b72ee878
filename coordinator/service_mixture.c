/* What a strategy keeps of every site and block between rounds: beside the checkpoint of the round
 * it belongs to, by the names of sites and blocks, so that a roster may grow between two starts. */
#include "coordinator/service_internal.h"

#include "base/json.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FORMAT     "consilium.mixture/1"
#define FILE_BYTES ((size_t)4 * 1024 * 1024)

double *csl_service_mixture__(struct csl_service *s, uint32_t block, uint32_t site)
{
    return s->mixture + (size_t)block * s->site_count + site;
}

enum csl_code csl_service_new_mixture__(struct csl_service *s, struct csl_err *err)
{
    if (!s->strategy->keeps_mixture)
        return CSL_OK;
    s->mixture =
        csl_alloc_array((size_t)s->study->schema.block_count * s->site_count, sizeof(*s->mixture));
    return s->mixture != NULL
               ? CSL_OK
               : CSL_FAIL(err, CSL_E_NOMEM, "no memory for a mixture of %u sites", s->site_count);
}

static enum csl_code path_of(const struct csl_service *s, uint64_t round, char path[CSL_PATH_MAX],
                             struct csl_err *err)
{
    char name[64];
    snprintf(name, sizeof(name), "mixture-%llu.json", (unsigned long long)round);
    return csl_path_join(path, CSL_PATH_MAX, s->config.state_dir, name, err);
}

enum csl_code csl_service_save_mixture__(struct csl_service *s, uint64_t round, struct csl_err *err)
{
    if (s->mixture == NULL || s->store == NULL)
        return CSL_OK;
    char path[CSL_PATH_MAX];
    struct csl_buf out;
    struct csl_json j;
    csl_buf_init(&out, FILE_BYTES);
    csl_json_init(&j, &out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "format", FORMAT);
    csl_json_put_u64(&j, "round", round);
    csl_json_key(&j, "blocks");
    csl_json_object(&j);
    for (uint32_t b = 0; b < s->study->schema.block_count; b++) {
        csl_json_key(&j, s->study->schema.blocks[b].name);
        csl_json_object(&j);
        for (uint32_t i = 0; i < s->site_count; i++)
            csl_json_put_f64(&j, csl_coord_site(s->core, i)->id, *csl_service_mixture__(s, b, i));
        csl_json_end(&j);
    }
    csl_json_end(&j);
    csl_json_end(&j);
    enum csl_code code = csl_buf_status(&out, err);
    if (code == CSL_OK)
        code = path_of(s, round, path, err);
    if (code == CSL_OK)
        code = csl_file_write_atomic(path, CSL_SPAN(out.p, out.n), 0600, err);
    csl_buf_release(&out);
    return code;
}

static enum csl_code take(struct csl_service *s, const struct csl_json_value *root, uint64_t round,
                          const char *path, struct csl_err *err)
{
    const char *format = "";
    uint64_t found = 0;
    if (!csl_json_as_str(csl_json_get(root, "format"), &format) || strcmp(format, FORMAT) != 0 ||
        !csl_json_as_u64(csl_json_get(root, "round"), &found) || found != round)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s is not the mixture of round %llu", path,
                        (unsigned long long)round);
    const struct csl_json_value *blocks = csl_json_get(root, "blocks");
    for (uint32_t b = 0; b < s->study->schema.block_count; b++) {
        const struct csl_json_value *block =
            blocks == NULL ? NULL : csl_json_get(blocks, s->study->schema.blocks[b].name);
        for (uint32_t i = 0; i < s->site_count; i++) {
            const struct csl_json_value *v =
                block == NULL ? NULL : csl_json_get(block, csl_coord_site(s->core, i)->id);
            double share = 0; /* of a site that is new */
            if (v != NULL && (!csl_json_as_f64(v, &share) || !(share >= 0 && share <= 1 + 1e-9)))
                return CSL_FAIL(err, CSL_E_CORRUPT, "%s: site '%s' has no share", path,
                                csl_coord_site(s->core, i)->id);
            *csl_service_mixture__(s, b, i) = share;
        }
    }
    return CSL_OK;
}

enum csl_code csl_service_load_mixture__(struct csl_service *s, uint64_t round, struct csl_err *err)
{
    if (s->mixture == NULL)
        return CSL_OK;
    char path[CSL_PATH_MAX];
    struct csl_json_doc *doc = NULL;
    enum csl_code code = path_of(s, round, path, err);
    if (code == CSL_OK)
        code = csl_json_read(&doc, path, FILE_BYTES, err);
    if (code == CSL_OK)
        code = take(s, csl_json_root(doc), round, path, err);
    csl_json_free(doc);
    return code;
}

void csl_service_forget_mixture__(struct csl_service *s, uint64_t round)
{
    char path[CSL_PATH_MAX];
    if (s->mixture != NULL && path_of(s, round, path, NULL) == CSL_OK)
        unlink(path);
}
