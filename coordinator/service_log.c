/* What the log says of one site, which could otherwise fill it. */
#include "base/log.h"
#include "coordinator/service_internal.h"

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
