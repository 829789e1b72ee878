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
    /* Who is who: the study's sites by name in the signed roster. */
    uint32_t *places;  /* [site_count] in the roster; CSL_SECAGG_NOWHERE: not there, may not come */
    uint32_t *sites;   /* [roster's count] the study's; CSL_SECAGG_NOWHERE: another study's */
    uint32_t *weights; /* [roster's count][block_count] */
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

#define CSL_SECAGG_NOWHERE UINT32_MAX

/* Fills places and sites. CSL_E_INVAL names a site of the study that is not in the signed roster or
 * is revoked there, but not one of config.is_refused. */
enum csl_code csl_service_secagg_match__(struct csl_service *s, struct csl_err *err) CSL_MUST_CHECK;
/* The number of a site in the protocol; 0, which no site has: it is not in the signed roster. */
uint32_t csl_service_secagg_number__(const struct csl_service *s, uint32_t site);
/* The reverse; CSL_SECAGG_NOWHERE: no site of this study. */
uint32_t csl_service_secagg_site__(const struct csl_service *s, uint32_t number);
/* Entries of the table of weights. */
size_t csl_service_secagg_table__(const struct csl_service *s);

/* The sum that was opened: its sites, by their numbers, as far as they fit a line. */
void csl_service_secagg_log_sum__(const struct csl_service *s);

/* M0 of the round that is open, and its table of weights. */
void csl_service_secagg_describe__(struct csl_service *s, struct csl_secagg_config *c);

#endif
