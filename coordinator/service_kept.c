/* Models before the newest, of a study that is buffered: a site that was given one may ask for it
 * after a round has closed, and a download goes on over its end. They lie in the spool, so that
 * memory stays constant in the number of sites, and are gone with the last site that is busy with
 * them. */
#include "coordinator/service_kept.h"

#include "base/mem.h"

#include <stdio.h>

void csl_service_name_kept__(uint64_t version, char name[CSL_SERVICE_KEPT_NAME])
{
    snprintf(name, CSL_SERVICE_KEPT_NAME, "model-%llu", (unsigned long long)version);
}

static bool is_needed(const struct csl_service *s, uint64_t version)
{
    for (uint32_t i = 0; i < s->site_count; i++)
        if (csl_coord_is_busy(s->core, i) && csl_coord_site(s->core, i)->task_round == version + 1)
            return true;
    return false;
}

enum csl_code csl_service_keep_model__(struct csl_service *s, struct csl_err *err)
{
    char name[CSL_SERVICE_KEPT_NAME];
    if (!is_needed(s, s->version))
        return CSL_OK;
    csl_service_name_kept__(s->version, name);
    csl_blob_remove(s->spool, name); /* of a process before this one */
    return csl_blob_write(s->spool, name, 0,
                          CSL_SPAN(s->global, s->study->schema.parameters * sizeof(*s->global)),
                          err);
}

/* Uploads that a later buffer may take stay, and models that sites are busy with. */
void csl_service_trim_spool__(struct csl_service *s)
{
    struct csl_err err;
    const char **kept = csl_alloc_array(2 * (size_t)s->site_count, sizeof(*kept));
    char(*models)[CSL_SERVICE_KEPT_NAME] = csl_alloc_array(s->site_count, sizeof(*models));
    uint32_t count = 0;
    for (uint32_t i = 0; kept != NULL && models != NULL && i < s->site_count; i++) {
        if (!csl_coord_is_busy(s->core, i))
            continue;
        csl_service_name_kept__(csl_coord_site(s->core, i)->task_round - 1, models[i]);
        kept[count++] = models[i];
        kept[count++] = s->io[i].spool;
    }
    if (kept != NULL && models != NULL) {
        csl_blobs_keep_only(s->spool, kept, count);
    } else {
        (void)CSL_FAIL(&err, CSL_E_NOMEM, "no memory for the names of %u spools", s->site_count);
        csl_service_fail__(s, &err);
    }
    csl_free(kept);
    csl_free(models);
}
