/* coordinator/service_secagg_internal.h - shared by the service's secure-aggregation files only. */
#ifndef CSL_COORD_SERVICE_SECAGG_INTERNAL_H
#define CSL_COORD_SERVICE_SECAGG_INTERNAL_H
#include "coordinator/service_internal.h"
#include "privacy/secagg/coordinator.h"

/* Half of what may wait for one site (CSL_OUTBOX_MESSAGES). One that missed more stays out. */
#define CSL_SECAGG_RESULTS_KEPT 32

struct csl_service_secagg {
    struct csl_secagg_coordinator *fsm; /* of `round`; NULL: none is open */
    struct csl_secagg_config config;
    uint32_t *weights; /* [site_count][block_count] */
    uint64_t round, due_round, opened_ns;
    bool *takes_part, *is_ready; /* [site_count] in the stages closed so far; scratch */
    uint32_t only_site;          /* whom messages go to; NO_SITE: all */
    bool wants_close, is_released;
    uint8_t head[32];
    /* M13s in a ring, the newest at result_count - 1: who missed one cannot join the next round. */
    struct csl_msg results[CSL_SECAGG_RESULTS_KEPT];
    uint64_t result_count;
    uint64_t *joined; /* [site_count] results there were when the site joined a round last */
    struct csl_secagg_manifest *manifests; /* [site_count] accepted in this round */
    float *mean;                           /* [P] */
    bool has_block[CSL_BLOCKS_MAX];
    double loss;
    uint64_t *words, *sum; /* [CSL_PRG_CHUNK_WORDS] each */
};

/* Without masks (is_unmasked): the blocks of an upload that came are what the site enrolled with,
 * and of those held all are in the sum. */
void csl_service_secagg_promise__(struct csl_service *s, uint32_t site);
bool csl_service_secagg_is_held__(const struct csl_service *s, uint32_t site, uint32_t index);

/* M0 of the round that is open, and its table of weights. */
void csl_service_secagg_describe__(struct csl_service *s, struct csl_secagg_config *c);

#endif
