/* What a study asks of masks that they cannot give: too many sites for a message or for a lane, too
 * few for a sum. */
#include "coordinator/service_secagg.h"
#include "coordinator/service_secagg_internal.h"

#include "privacy/secagg/bounds.h"
#include "privacy/secagg/set.h"

enum csl_code csl_service_secagg_check_size__(const struct csl_service *s, struct csl_err *err)
{
    uint32_t n = s->site_count, c = s->study->secagg.colluding;
    uint32_t blocks = csl_study_block_ids(s->study);
    uint64_t bytes = csl_secagg_bytes_to_site(n, c, blocks);
    uint64_t audit = csl_secagg_bytes_of_audit(n, c, blocks, csl_study_words_max(s->study));
    if (s->study->secagg.audit_chunks > 0 && audit > bytes)
        bytes = audit;
    bool fits = s->config.is_unmasked || bytes <= CSL_SECAGG_WHOLE_MAX;
    if (n > CSL_SECAGG_SITES_MAX || !fits)
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "secure_aggregation: with %u sites a site is sent up to %llu bytes at "
                        "once, at most %u; fewer sites or fewer colluding ones would be right",
                        n, (unsigned long long)bytes, CSL_SECAGG_WHOLE_MAX);
    uint32_t rows = csl_service_secagg_rows__(s), bits = csl_study_lane_bits(rows);
    if (s->study->secagg.lane_bits < bits)
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "secure_aggregation.encoding: lanes of %u bits leave a roster of %u sites "
                        "fewer than %d steps; %u would be right",
                        s->study->secagg.lane_bits, rows, CSL_STUDY_LEVELS_MIN, bits);
    return CSL_OK;
}

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
    if (csl_service_only_evaluates__(s))
        return CSL_OK;
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
