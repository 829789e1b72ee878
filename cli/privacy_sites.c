/* cli/privacy_sites.c - how many training patients every site of a study has. */
#include "cli/privacy_plan.h"

#include "base/mem.h"
#include "base/str.h"
#include "simulations/prepare.h"
#include "site-agent/data/dataset.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

static enum csl_code make_sites(struct csl_plan *p, uint32_t count, struct csl_err *err)
{
    p->sites = csl_alloc_array(count, sizeof(*p->sites));
    if (p->sites == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u sites", count);
    memset(p->sites, 0, count * sizeof(*p->sites));
    p->count = count;
    return CSL_OK;
}

void csl_plan_release(struct csl_plan *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        csl_privacy_plan_release(&p->sites[i].plan);
    csl_free(p->sites);
    csl_free(p->survivors);
}

/* --- --patients SITE=N,... --- */

static enum csl_code parse_site(const struct csl_study *study, const char *text, size_t n,
                                struct csl_plan_site *out, struct csl_err *err)
{
    char word[CSL_ID_MAX + 24];
    uint64_t patients = 0;
    char *equals = NULL;

    if (n < sizeof(word)) {
        memcpy(word, text, n);
        word[n] = 0;
        equals = strchr(word, '=');
    }
    if (equals)
        *equals = 0;
    if (!equals || !csl_str_copy(out->id, sizeof(out->id), word) || !csl_id_valid(out->id) ||
        !csl_parse_u64(equals + 1, &patients) || patients == 0 || patients > CSL_RECORDS_MAX)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "--patients: found '%.*s'; SITE=N,SITE=N,... with N training patients "
                        "would be right",
                        n < 60 ? (int)n : 60, text);
    for (uint32_t b = 0; b <= study->schema.block_count; b++)
        out->patients[b] = patients;
    return CSL_OK;
}

static enum csl_code parse_sites(struct csl_plan *p, const char *text, struct csl_err *err)
{
    uint32_t count = 1;

    for (const char *c = text; *c; c++)
        count += *c == ',';
    enum csl_code code = make_sites(p, count, err);
    for (uint32_t i = 0; i < count && code == CSL_OK; i++) {
        size_t n = strcspn(text, ",");
        code = parse_site(p->study, text, n, &p->sites[i], err);
        for (uint32_t j = 0; j < i && code == CSL_OK; j++)
            if (strcmp(p->sites[i].id, p->sites[j].id) == 0)
                code = CSL_FAIL(err, CSL_E_INVAL, "--patients: found %s twice; once would be right",
                                p->sites[i].id);
        text += n + 1;
    }
    return code;
}

/* --- the records of simulated sites --- */

/* The first entry of a folder that is not itself or its parent; false when it is empty. */
static bool first_entry(const char *folder, char out[CSL_PATH_MAX])
{
    DIR *d = opendir(folder);
    bool is_found = false;

    for (struct dirent *e; d && !is_found && (e = readdir(d)) != NULL;)
        is_found = strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
                   csl_path_join(out, CSL_PATH_MAX, folder, e->d_name, NULL) == CSL_OK;
    if (d)
        (void)closedir(d);
    return is_found;
}

/* Removes a folder that this program made: downwards to what is empty, then upwards. */
static void remove_folder(const char *root)
{
    char at[CSL_PATH_MAX], inside[CSL_PATH_MAX];
    size_t root_bytes = strlen(root);

    if (!csl_str_copy(at, sizeof(at), root))
        return;
    for (;;) {
        struct stat st;
        if (first_entry(at, inside)) {
            if (lstat(inside, &st) == 0 && S_ISDIR(st.st_mode))
                memcpy(at, inside, sizeof(at));
            else if (unlink(inside) != 0)
                return;
            continue;
        }
        if (rmdir(at) != 0 || strlen(at) <= root_bytes)
            return;
        *strrchr(at, '/') = 0;
    }
}

static enum csl_code count_patients(struct csl_plan_site *to, const struct csl_world_site *site,
                                    const struct csl_study *study, struct csl_err *err)
{
    struct csl_dataset *data = NULL;
    enum csl_code code = csl_dataset_load(&data, site->record_path, study, err);

    if (code != CSL_OK)
        return code;
    (void)csl_str_copy(to->id, sizeof(to->id), site->id);
    for (uint32_t b = 0; b < study->schema.block_count; b++)
        to->patients[b] = csl_dataset_block_patients(data, b);
    to->patients[study->schema.block_count] = csl_dataset_patients_at_most(data);
    csl_dataset_free(data);
    return CSL_OK;
}

static enum csl_code read_sites(struct csl_plan *p, const char *study_path, const char *data,
                                const char *folder, struct csl_err *err)
{
    struct csl_prepared made = {.sites = NULL};
    const struct csl_prepare_config c = {.study = p->study,
                                         .study_path = study_path,
                                         .data_dir = data,
                                         .out_dir = folder,
                                         .progress = stderr};
    enum csl_code code = csl_prepare_sites(&made, &c, err);

    if (code == CSL_OK)
        code = make_sites(p, made.count, err);
    for (uint32_t i = 0; i < made.count && code == CSL_OK; i++)
        code = count_patients(&p->sites[i], &made.sites[i], p->study, err);
    csl_prepared_release(&made);
    return code;
}

static enum csl_code load_sites(struct csl_plan *p, const char *study_path, const char *data,
                                struct csl_err *err)
{
    const char *tmp = getenv("TMPDIR"), *from_env = getenv("CONSILIUM_DATA");
    char folder[CSL_PATH_MAX];

    if (p->study->sim_site_count == 0)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "study %s has no section 'simulation' to count patients in; --patients "
                        "SITE=N,... would be right",
                        p->study->id);
    if (data[0] == 0)
        data = from_env && from_env[0] ? from_env : "../shared/data";
    enum csl_code code = csl_path_join(folder, sizeof(folder), tmp && tmp[0] ? tmp : "/tmp",
                                       "consilium-plan-XXXXXX", err);
    if (code != CSL_OK)
        return code;
    sigset_t wait, before;
    sigemptyset(&wait);
    sigaddset(&wait, SIGINT);
    sigaddset(&wait, SIGTERM);
    sigaddset(&wait, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &wait, &before); /* until the records are gone again */
    if (mkdtemp(folder) == NULL) {
        code = CSL_FAIL(err, CSL_E_IO, "cannot make the folder %.200s; TMPDIR says where", folder);
    } else {
        code = read_sites(p, study_path, data, folder, err);
        remove_folder(folder);
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return code;
}

enum csl_code csl_plan_find_sites(struct csl_plan *p, const char *study_path,
                                  const struct csl_privacy_flags *flags, struct csl_err *err)
{
    if (flags->patients[0] && flags->data[0])
        return CSL_FAIL(err, CSL_E_INVAL,
                        "found both --patients and --data; one of them would be right");
    enum csl_code code = flags->patients[0] ? parse_sites(p, flags->patients, err)
                                            : load_sites(p, study_path, flags->data, err);
    for (uint32_t i = 0; i < p->count && code == CSL_OK; i++) {
        struct csl_plan_site *s = &p->sites[i];
        for (uint32_t d = 0; d < p->study->domain_count; d++)
            s->total += s->patients[d];
        if (p->study->input_count > 0)
            s->total = s->patients[p->study->schema.block_count];
    }
    return code;
}
