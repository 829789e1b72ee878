/* Sums of plain words, for simulations: what stands in for manifests and the set of survivors where
 * nobody masks, signs or votes. */
#include "coordinator/service_secagg_internal.h"

void csl_service_secagg_promise__(struct csl_service *s, uint32_t site)
{
    struct csl_secagg_manifest *m = &s->secagg->manifests[site];
    const struct csl_coord_update *u = &csl_coord_site(s->core, site)->update;
    const struct csl_secagg_config *c = &s->secagg->config;
    *m = (struct csl_secagg_manifest){.block_count = csl_secagg_block_total(c)};
    for (uint32_t i = 0; i < u->block_count; i++) {
        uint32_t index = csl_secagg_block_index(c, u->blocks[i].block);
        if (index != UINT32_MAX)
            m->blocks[index].entries = c->blocks[index].entries;
    }
    m->blocks[c->block_count].entries = c->scalar_count;
}

bool csl_service_secagg_is_held__(const struct csl_service *s, uint32_t site, uint32_t index)
{
    return csl_coord_site(s->core, site)->progress == CSL_SITE_HELD &&
           s->secagg->manifests[site].blocks[index].entries > 0;
}
