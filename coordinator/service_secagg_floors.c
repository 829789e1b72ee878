/* Whether enough sites stand behind every block for its sum to be opened. */
#include "coordinator/service_secagg.h"

static bool has_block(const struct csl_coord_site *site, uint32_t block)
{
    for (uint32_t k = 0; k < site->block_count; k++)
        if (site->blocks[k].block == block)
            return true;
    return false;
}

enum csl_code csl_service_secagg_check_floors__(const struct csl_service *s, bool is_closing,
                                                struct csl_err *err)
{
    uint32_t least = s->study->secagg.minimum_sites;
    for (uint32_t b = 0; b < s->study->schema.block_count; b++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < s->site_count; i++) {
            const struct csl_coord_site *site = csl_coord_site(s->core, i);
            bool counts = is_closing ? site->progress == CSL_SITE_HELD : site->in_cohort;
            n += counts && has_block(site, b);
        }
        if (n < least && !(is_closing && n == 0))
            return CSL_FAIL(err, CSL_E_STATE,
                            "secure_aggregation: domain %s %s %u sites; at least minimum_sites %u, "
                            "or a study without that domain, would be right",
                            s->study->domains[b].id, is_closing ? "has updates of" : "is known at",
                            n, least);
    }
    return CSL_OK;
}
