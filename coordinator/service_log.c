/* What the log says of one site, which could otherwise fill it, and of weights of domains. */
#include "base/log.h"
#include "coordinator/core/weigh.h"
#include "coordinator/service_internal.h"

#include <math.h>

void csl_service_log_site__(struct csl_service *s, uint32_t site, struct csl_log_quota *quota,
                            enum csl_log_level level, const char *event, const char *why)
{
    const char *id = csl_coord_site(s->core, site)->id;
    uint32_t unsaid;
    bool is_said = csl_log_quota_take(quota, s->now_ns, &unsaid);
    if (unsaid > 0)
        csl_log(level, "site.lines_left_out", CSL_STR("site", id), CSL_STR("event", event),
                CSL_U64("lines", unsaid));
    if (is_said)
        csl_log(level, event, CSL_STR("site", id), CSL_STR("why", why));
}

void csl_service_log_weights__(const struct csl_service *s, uint64_t round)
{
    const struct csl_weights_table *t = csl_coord_weights(s->core);
    if (t == NULL || t->round + 1 != round)
        return; /* none, or as in the round before */
    for (uint32_t d = 0; d < t->count; d++)
        csl_log(CSL_LOG_INFO, "domain.weight", CSL_U64("round", round),
                CSL_STR("domain", s->study->domains[d].id),
                CSL_F64("weight", exp(t->rows[d].log_weight)));
}
