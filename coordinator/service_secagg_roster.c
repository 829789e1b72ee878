/* The study's sites and the numbers they have in the roster that the federation's root signed. */
#include "base/log.h"
#include "coordinator/service_secagg_internal.h"

#include <stdio.h>

uint32_t csl_service_secagg_rows__(const struct csl_service *s)
{
    return s->config.is_unmasked ? s->site_count : s->config.secagg_roster->count;
}

enum csl_code csl_service_secagg_match__(struct csl_service *s, struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    const struct csl_secagg_roster *roster = s->config.secagg_roster;
    for (uint32_t i = 0; i < csl_service_secagg_rows__(s); i++)
        g->sites[i] = s->config.is_unmasked ? i : CSL_SECAGG_NOWHERE;
    for (uint32_t i = 0; i < s->site_count && !s->config.is_unmasked; i++) {
        const char *id = csl_coord_site(s->core, i)->id;
        struct csl_err why = {.code = CSL_OK};
        uint32_t place = CSL_SECAGG_NOWHERE;
        enum csl_code code = csl_secagg_roster_member(roster, id, &place, &why);
        if (code != CSL_OK && (s->config.is_refused == NULL || !s->config.is_refused[i]))
            return CSL_FAIL(err, CSL_E_INVAL, "secure_aggregation: %s", why.msg);
        g->places[i] = place;
        if (place != CSL_SECAGG_NOWHERE)
            g->sites[place] = i;
    }
    return CSL_OK;
}

uint32_t csl_service_secagg_number__(const struct csl_service *s, uint32_t site)
{
    uint32_t place = s->secagg->places[site];
    return place == CSL_SECAGG_NOWHERE ? 0 : s->config.secagg_roster->sites[place].id;
}

uint32_t csl_service_secagg_site__(const struct csl_service *s, uint32_t number)
{
    uint32_t place = csl_secagg_roster_find(s->config.secagg_roster, number);
    return place == UINT32_MAX ? CSL_SECAGG_NOWHERE : s->secagg->sites[place];
}

size_t csl_service_secagg_table__(const struct csl_service *s)
{
    return (size_t)csl_service_secagg_rows__(s) * s->secagg->config.block_count;
}

/* Who is in a sum is no secret: every site signed it. */
void csl_service_secagg_log_sum__(const struct csl_service *s)
{
    const struct csl_service_secagg *g = s->secagg;
    char numbers[1024] = "";
    size_t used = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->config.secagg_roster->count; i++) {
        uint32_t number = s->config.secagg_roster->sites[i].id;
        if (!csl_secagg_coordinator_is_survivor(g->fsm, number))
            continue;
        int n =
            snprintf(numbers + used, sizeof(numbers) - used, "%s%u", count == 0 ? "" : ",", number);
        if (n > 0 && (size_t)n < sizeof(numbers) - used)
            used += (size_t)n;
        count++;
    }
    numbers[used] = '\0';
    csl_log(CSL_LOG_INFO, "secagg.sum", CSL_U64("round", g->round), CSL_U64("sites", count),
            CSL_STR("numbers", numbers));
}
