/* What a study asks of masks that they cannot give: too many sites for a message or for a lane, too
 * few for a sum. */
#include "coordinator/service_secagg.h"
#include "coordinator/service_secagg_internal.h"

#include "base/check.h"
#include "privacy/secagg/graph_bound.h"
#include "protocol/study/evaluation.h"

static bool is_sparse(const struct csl_service *s)
{
    return s->study->secagg.is_sparse && !s->config.is_unmasked &&
           csl_secagg_roster_active(s->config.secagg_roster) > CSL_SECAGG_COMPLETE_MAX;
}

/* false: there is no such graph. */
static bool plan_shares(const struct csl_service *s, struct csl_secagg_shape *shape)
{
    const struct csl_study_secagg *a = &s->study->secagg;
    return csl_secagg_share_plan(csl_secagg_roster_active(s->config.secagg_roster), a->colluding,
                                 a->minimum_sites, &shape->share_degree, &shape->share_threshold);
}

struct csl_secagg_shape csl_service_secagg_shape__(const struct csl_service *s)
{
    const struct csl_study_secagg *a = &s->study->secagg;
    struct csl_secagg_shape shape = {.sites = csl_service_secagg_rows__(s),
                                     .colluding = a->colluding,
                                     .blocks = csl_study_block_ids(s->study),
                                     .is_sparse = is_sparse(s)};
    bool is_planned = !shape.is_sparse || plan_shares(s, &shape);
    CSL_ASSERT(is_planned); /* csl_service_secagg_check_size__ */
    return shape;
}

static enum csl_code check_graph(const struct csl_service *s, struct csl_err *err)
{
    const struct csl_study_secagg *a = &s->study->secagg;
    struct csl_secagg_shape shape = {.is_sparse = true};
    if (!is_sparse(s))
        return CSL_OK;
    if (s->config.secagg_epoch_seed == NULL)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "the study has sparse graphs, and this coordinator has no seed for them; "
                        "secure_aggregation.epoch with the file of `consilium enrol epoch close` "
                        "for its roster would be right");
    uint32_t least =
        a->minimum_sites > CSL_SECAGG_COMPLETE_MAX ? a->minimum_sites : CSL_SECAGG_COMPLETE_MAX + 1;
    if (a->losses_max > least)
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "secure_aggregation.losses_max: found %u; at most %u, the fewest senders "
                        "that a sparse sum of this study can have, would be right",
                        a->losses_max, least);
    if (!plan_shares(s, &shape))
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "secure_aggregation.graph: no sparse graph of %u sites keeps secrets from "
                        "%u colluding ones and opens a sum of minimum_sites %u; complete, or a "
                        "larger minimum_sites, would be right",
                        csl_secagg_roster_active(s->config.secagg_roster), a->colluding,
                        a->minimum_sites);
    return CSL_OK;
}

enum csl_code csl_service_secagg_check_size__(const struct csl_service *s, struct csl_err *err)
{
    uint32_t n = s->site_count;
    enum csl_code code = check_graph(s, err);
    if (code != CSL_OK)
        return code;
    const struct csl_secagg_shape shape = csl_service_secagg_shape__(s);
    uint64_t bytes = csl_secagg_bytes_to_site(&shape);
    uint64_t audit = csl_secagg_bytes_of_audit(&shape, csl_study_words_max(s->study));
    bool is_of_audit = s->study->secagg.audit_chunks > 0 && audit > bytes;
    if (is_of_audit)
        bytes = audit;
    bool fits = s->config.is_unmasked || bytes <= CSL_SECAGG_WHOLE_MAX;
    if (n > CSL_SECAGG_SITES_MAX || !fits)
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "secure_aggregation: with %u sites a site is sent up to %llu bytes at "
                        "once, at most %u; fewer sites or fewer colluding ones%s would be right",
                        n, (unsigned long long)bytes, CSL_SECAGG_WHOLE_MAX,
                        is_of_audit ? " or audit_chunks: 0" : "");
    uint32_t rows = csl_service_secagg_rows__(s), bits = csl_study_lane_bits(rows);
    if (s->study->secagg.lane_bits < bits)
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "secure_aggregation.encoding: lanes of %u bits leave a roster of %u sites "
                        "fewer than %d steps; %u would be right",
                        s->study->secagg.lane_bits, rows, CSL_STUDY_LEVELS_MIN, bits);
    return CSL_OK;
}

bool csl_service_secagg_knows__(const struct csl_coord_site *site, uint32_t block)
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
        if (s->study->schema.blocks[b].kind != CSL_BLOCK_SHARED)
            continue; /* nobody sends it */
        for (uint32_t i = 0; i < s->site_count; i++) {
            const struct csl_coord_site *site = csl_coord_site(s->core, i);
            bool counts = is_closing ? site->progress == CSL_SITE_HELD : site->in_cohort;
            n += counts && csl_service_secagg_knows__(site, b);
        }
        if (n < least && !(is_closing && n == 0))
            return CSL_FAIL(err, CSL_E_STATE,
                            "secure_aggregation: domain %s %s %u sites; at least minimum_sites %u, "
                            "or a study without that domain, would be right",
                            s->study->schema.blocks[b].name,
                            is_closing ? "has updates of" : "is known at", n, least);
    }
    return CSL_OK;
}
