/* What a study asks of masks that they cannot give: too many sites for a message, too few for a
 * sum. */
#include "coordinator/service_secagg.h"

#include "privacy/crypto/seal.h"
#include "privacy/crypto/sign.h"
#include "privacy/secagg/messages.h"
#include "privacy/secagg/policy.h"

/* The largest message is the delivery of all dealers' commitments and shares to one site. */
enum csl_code csl_service_secagg_check_size__(const struct csl_service *s, struct csl_err *err)
{
    uint64_t n = s->site_count;
    uint64_t threshold = csl_secagg_quorum(s->site_count, s->study->secagg.colluding);
    uint64_t dealer = CSL_SECAGG_HEADER_BYTES + 4 + 2 * 32 * threshold + CSL_SIGN_SIGNATURE_BYTES +
                      CSL_SEAL_BYTES;
    if (64 + n * dealer > CSL_SECAGG_BYTES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "secure_aggregation: shares of %llu sites do not fit a message of %u "
                        "bytes; fewer sites or fewer colluding ones would be right",
                        (unsigned long long)n, CSL_SECAGG_BYTES_MAX);
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
