/* simulations/prepare.c - imports or makes the records of every site of a study. */
#include "simulations/prepare.h"

#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/str.h"
#include "site-agent/data/record.h"

#include <string.h>

#include "base/banned.h"

#define SYNTH_SEED                                                                                 \
    42 /* of the standard synthetic federation, as `consilium data synth` makes it                 \
        */

/* The folder a file lies in: "." for a plain name. */
static enum csl_code folder_of(const char *path, char out[CSL_PATH_MAX], struct csl_err *err)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        CSL_ASSERT(csl_str_copy(out, CSL_PATH_MAX, "."));
        return CSL_OK;
    }
    size_t n = slash == path ? 1 : (size_t)(slash - path);
    if (n >= CSL_PATH_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "the path %.80s... is too long", path);
    memcpy(out, path, n);
    out[n] = 0;
    return CSL_OK;
}

static enum csl_code find_data(const struct csl_prepare_config *c, const struct csl_sim_site *site,
                               const char *file, char out[CSL_PATH_MAX], struct csl_err *err)
{
    enum csl_code code = csl_path_join(out, CSL_PATH_MAX, c->data_dir, file, err);
    if (code == CSL_OK && !csl_file_exists(out))
        code = CSL_FAIL(err, CSL_E_NOTFOUND,
                        "site %s: the file %.120s is not below %.100s; --data FOLDER or "
                        "CONSILIUM_DATA says where the data is",
                        site->id, file, c->data_dir);
    return code;
}

static enum csl_code find_mapping(const struct csl_prepare_config *c,
                                  const struct csl_sim_site *site, char out[CSL_PATH_MAX],
                                  struct csl_err *err)
{
    char folder[CSL_PATH_MAX];
    enum csl_code code = folder_of(c->study_path, folder, err);
    if (code == CSL_OK)
        code = csl_path_join(out, CSL_PATH_MAX, folder, site->mapping, err);
    if (code == CSL_OK && !csl_file_exists(out))
        code = CSL_FAIL(err, CSL_E_NOTFOUND,
                        "site %s: the mapping %.120s is not beside the study, in %.100s", site->id,
                        site->mapping, folder);
    return code;
}

static enum csl_code make_records(struct csl_records *r, const struct csl_prepare_config *c,
                                  const struct csl_sim_site *site, struct csl_err *err)
{
    static const struct csl_synth_config synth = {.seed = SYNTH_SEED};
    char data[CSL_PATH_MAX], mapping[CSL_PATH_MAX];
    if (site->is_synth)
        return csl_synth_hospital(r, site->synth_index, &synth, err);
    bool is_csv = site->csv[0] != 0;
    enum csl_code code = find_data(c, site, is_csv ? site->csv : site->npz, data, err);
    if (code == CSL_OK)
        code = find_mapping(c, site, mapping, err);
    if (code != CSL_OK)
        return code;
    if (!is_csv)
        return csl_import_npz(r, site->id, data, mapping, err);
    return csl_import_csv(r, site->id, data, mapping,
                          site->where_column[0] != 0 ? site->where_column : NULL,
                          (const char(*)[64])site->where_any_of, site->where_count, err);
}

static enum csl_code prepare_site(const struct csl_prepare_config *c,
                                  const struct csl_sim_site *site, const char *folder,
                                  struct csl_world_site *out, struct csl_err *err)
{
    char name[CSL_ID_MAX + 4];
    CSL_ASSERT(csl_str_copy(out->id, sizeof(out->id), site->id));
    if (site->records[0] != 0)
        return find_data(c, site, site->records, out->record_path, err);
    (void)snprintf(name, sizeof(name), "%s.h5", site->id);
    enum csl_code code =
        csl_path_join(out->record_path, sizeof(out->record_path), folder, name, err);
    struct csl_records *r = csl_alloc(sizeof(*r));
    if (code == CSL_OK && r == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for the records of site %s", site->id);
    if (code == CSL_OK)
        code = make_records(r, c, site, err);
    if (code == CSL_OK)
        code = csl_records_write(r, out->record_path, err);
    if (r != NULL)
        csl_records_release(r);
    csl_free(r);
    return code;
}

/* A mapping inside the study's folder goes beside OUT/study.yaml under the same name. */
static enum csl_code copy_mapping(const struct csl_prepare_config *c,
                                  const struct csl_sim_site *site, struct csl_err *err)
{
    char from[CSL_PATH_MAX], to[CSL_PATH_MAX], folder[CSL_PATH_MAX];
    struct csl_msg text = {NULL, 0};
    if (site->mapping[0] == 0 || site->mapping[0] == '/' || strstr(site->mapping, "..") != NULL)
        return CSL_OK;
    enum csl_code code = find_mapping(c, site, from, err);
    if (code == CSL_OK)
        code = csl_path_join(to, sizeof(to), c->out_dir, site->mapping, err);
    if (code == CSL_OK)
        code = folder_of(to, folder, err);
    if (code == CSL_OK)
        code = csl_dir_make(folder, err);
    if (code == CSL_OK)
        code = csl_file_read(&text, from, CSL_MANIFEST_BYTES_MAX, err);
    if (code == CSL_OK)
        code = csl_file_write_atomic(to, csl_msg_span(&text), 0644, err);
    csl_msg_release(&text);
    return code;
}

static enum csl_code prepare_list(struct csl_world_site *out, const struct csl_prepare_config *c,
                                  const struct csl_sim_site *sites, uint32_t count,
                                  const char *folder, struct csl_progress *progress, uint64_t done,
                                  struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; i < count && code == CSL_OK; i++) {
        const struct csl_sim_site *site = &sites[i];
        bool is_copied = i > 0 && strcmp(site->mapping, sites[i - 1].mapping) == 0;
        code = prepare_site(c, site, folder, &out[i], err);
        if (code == CSL_OK && !is_copied)
            code = copy_mapping(c, site, err);
        csl_progress_update(progress, done + i + 1);
    }
    return code;
}

static enum csl_code prepare_all(struct csl_prepared *p, const struct csl_prepare_config *c,
                                 const char *folder, struct csl_err *err)
{
    const struct csl_study *study = c->study;
    struct csl_progress progress;
    p->sites = csl_alloc_array(p->count, sizeof(*p->sites));
    if (p->external_count > 0)
        p->external = csl_alloc_array(p->external_count, sizeof(*p->external));
    if (p->sites == NULL || (p->external_count > 0 && p->external == NULL))
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u sites", p->count);
    csl_progress_start(&progress, c->progress, "records", "sites",
                       (uint64_t)p->count + p->external_count);
    enum csl_code code =
        prepare_list(p->sites, c, study->sim_sites, p->count, folder, &progress, 0, err);
    if (code == CSL_OK)
        code = prepare_list(p->external, c, study->external_sites, p->external_count, folder,
                            &progress, p->count, err);
    csl_progress_finish(&progress);
    return code;
}

enum csl_code csl_prepare_sites(struct csl_prepared *out, const struct csl_prepare_config *c,
                                struct csl_err *err)
{
    const struct csl_study *study = c->study;
    struct csl_prepared made = {.count = study->sim_site_count,
                                .external_count = study->external_site_count};
    char folder[CSL_PATH_MAX];
    if (made.count == 0)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "study %s has no section 'simulation': a list of simulated sites would be "
                        "right",
                        study->id);
    enum csl_code code = csl_path_join(folder, sizeof(folder), c->out_dir, "records", err);
    if (code == CSL_OK)
        code = csl_dir_make(folder, err);
    if (code == CSL_OK)
        code = prepare_all(&made, c, folder, err);
    if (code == CSL_OK)
        *out = made;
    else
        csl_prepared_release(&made);
    return code;
}

void csl_prepared_release(struct csl_prepared *p)
{
    csl_free(p->sites);
    csl_free(p->external);
    memset(p, 0, sizeof(*p));
}
