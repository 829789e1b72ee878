/* coordinator/service_secagg_internal.h - shared by the service's secure-aggregation files only. */
#ifndef CSL_COORD_SERVICE_SECAGG_INTERNAL_H
#define CSL_COORD_SERVICE_SECAGG_INTERNAL_H
#include "coordinator/service_internal.h"
#include "privacy/secagg/bounds.h"
#include "privacy/secagg/coordinator.h"
#include "privacy/secagg/journal.h"
#include "protocol/study/evaluation.h"

/* Half of what may wait for one site (CSL_OUTBOX_MESSAGES). One that missed more stays out. */
#define CSL_SECAGG_RESULTS_KEPT        32
#define CSL_SECAGG_ATTEMPTS_MAX        5 /* of one round */
#define CSL_SECAGG_EVALUATION_ATTEMPTS 2 /* of them that carry evaluations */

struct csl_service_secagg {
    struct csl_secagg_coordinator *fsm; /* of `round`; NULL: none is open */
    struct csl_secagg_journal *journal; /* of the same attempt; NULL: in memory */
    struct csl_secagg_config config;
    /* Who is who: the study's sites by name in the signed roster. */
    uint32_t *places;  /* [site_count] in the roster; CSL_SECAGG_NOWHERE: not there, may not come */
    uint32_t *sites;   /* [roster's count] the study's; CSL_SECAGG_NOWHERE: another study's */
    uint32_t *weights; /* [roster's count][block_count] */
    uint64_t round, due_round, opened_ns;
    uint64_t bytes_from_site; /* of the longest message of a site */
    uint16_t attempt;         /* of the round, from 1 */
    uint32_t only_site;       /* whom messages go to; NO_SITE: all */
    bool wants_close, is_released;
    bool is_closed; /* the core waits for the sum */
    bool has_root;  /* of the sum that was opened; durable before the model is */
    uint8_t root[32];
    uint8_t head[32];
    /* M13s in a ring, the newest at result_count - 1: who missed one cannot join the next round. */
    struct csl_msg results[CSL_SECAGG_RESULTS_KEPT];
    uint64_t result_count;
    uint64_t *joined; /* [site_count] results there were when the site joined a round last */
    struct csl_secagg_manifest *manifests; /* [site_count] accepted in this round */
    /* Of an attempt that does not get on (service_secagg_stuck.c). */
    enum csl_secagg_stage stage_seen;
    uint64_t stage_ns, gave_up_ns;
    bool is_short, has_given_up;
    bool is_over, is_reopening; /* the attempt is; the core was told to open another, or to end */
    char no_more[CSL_SERVICE_REASON_MAX]; /* why the study ends after the last attempt */
    struct csl_msg certificates[CSL_SECAGG_ATTEMPTS_MAX]; /* of this round's earlier attempts */
    uint32_t certificate_count;
    float *mean; /* [P] */
    bool has_block[CSL_BLOCKS_MAX];
    double bounds[CSL_BLOCKS_MAX]; /* of the norm of each mean; HUGE_VAL: none */
    double loss;
    uint32_t fewest;   /* sites in a block of the model that the sum has */
    uint64_t votes[2]; /* words of the sum: how many voted, how many found the model worse */
    struct csl_service_evaluation *evaluation;
    struct csl_service_statistics *statistics; /* NULL: the study has none */
    uint64_t *words, *sum;                     /* [CSL_PRG_CHUNK_WORDS] each */
    struct csl_service_audit *audit;           /* NULL: no audits in the study, or no masks */
};

#define CSL_SECAGG_NOWHERE UINT32_MAX

/* Rows of what is kept by place in the signed roster; without masks, by site of the study. */
uint32_t csl_service_secagg_rows__(const struct csl_service *s);
/* Fills places and sites. CSL_E_INVAL names a site of the study that is not in the signed roster or
 * is revoked there, but not one of config.is_refused. */
enum csl_code csl_service_secagg_match__(struct csl_service *s, struct csl_err *err) CSL_MUST_CHECK;
/* The number of a site in the protocol; 0, which no site has: it is not in the signed roster. */
uint32_t csl_service_secagg_number__(const struct csl_service *s, uint32_t site);
/* The reverse; CSL_SECAGG_NOWHERE: no site of this study. */
uint32_t csl_service_secagg_site__(const struct csl_service *s, uint32_t number);
/* Entries of the table of weights. */
size_t csl_service_secagg_table__(const struct csl_service *s);

/* Which graph rounds are on, and how large a message of a round can be. Once check_size passed. */
struct csl_secagg_shape csl_service_secagg_shape__(const struct csl_service *s);

/* The sum that was opened: its sites, by their numbers, as far as they fit a line. */
void csl_service_secagg_log_sum__(const struct csl_service *s);

/* service_secagg.c. step: CSL_E_* of the machine, or the service's own failure. */
enum csl_code csl_service_secagg_step__(struct csl_service *s,
                                        const struct csl_secagg_coordinator_event *ev,
                                        struct csl_err *err) CSL_MUST_CHECK;
void csl_service_secagg_resume__(struct csl_service *s);
enum csl_code csl_service_secagg_machine__(const struct csl_service *s,
                                           struct csl_secagg_coordinator **out,
                                           struct csl_err *err) CSL_MUST_CHECK;

/* service_secagg_words.c: the sum over the survivors becomes the mean; root: what M13 tells of it.
 */
enum csl_code csl_service_secagg_open_sum__(struct csl_service *s, uint8_t root[32],
                                            struct csl_err *err) CSL_MUST_CHECK;

/* service_secagg_lanes.c: one block of lanes, of so many contributors with so much weight, into its
 * place in the mean. The words in order, in pieces of any size; close says in the log how many
 * lanes were outside what honest sites can sum to. */
struct csl_service_lanes;
enum csl_code csl_service_lanes_open__(struct csl_service *s, uint32_t block, uint32_t contributors,
                                       double weight, struct csl_service_lanes **out,
                                       struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_service_lanes_add__(struct csl_service_lanes *l, const uint64_t *words, size_t n,
                                      struct csl_err *err) CSL_MUST_CHECK;
void csl_service_lanes_close__(struct csl_service *s, uint32_t block, struct csl_service_lanes *l);

/* service_secagg_evaluate.c: evaluations in the sum of a round. What a sum says is nobody's claim
 * but the sites', and may be nonsense: it is logged and left out then. */
struct csl_service_evaluation;
enum csl_code csl_service_evaluation_new__(struct csl_service *s,
                                           struct csl_err *err) CSL_MUST_CHECK;
void csl_service_evaluation_free__(struct csl_service_secagg *g);
/* Words [first, first + n) of the block `id`; begin: nothing of the round is known. */
void csl_service_evaluation_begin__(struct csl_service *s);
void csl_service_evaluation_take__(struct csl_service *s, uint32_t id, uint64_t first,
                                   const uint64_t *words, size_t n);
/* Figures of the sums that were taken, into store, log and observer. Repeated after a restart. */
void csl_service_evaluation_save__(struct csl_service *s);
/* The open round trains nothing. */
bool csl_service_only_evaluates__(const struct csl_service *s);
/* Of such a round: no more will come of it, and the model is released. */
void csl_service_evaluation_end__(struct csl_service *s);
/* A domain's updates held are of too few sites for its sum, and of more than none. */
bool csl_service_evaluation_is_thin__(const struct csl_service *s);

/* service_secagg_statistics.c: statistics in the sum of a round; nothing without. take: words of a
 * block that so many sites are in. save: into store, log, observer and the next tasks; repeated
 * after a restart, before the round commits. */
struct csl_service_statistics;
enum csl_code csl_service_statistics_new__(struct csl_service *s,
                                           struct csl_err *err) CSL_MUST_CHECK;
void csl_service_statistics_free__(struct csl_service_secagg *g);
void csl_service_statistics_begin__(struct csl_service *s);
void csl_service_statistics_take__(struct csl_service *s, uint32_t id, uint32_t sites,
                                   uint64_t first, const uint64_t *words, size_t n);
void csl_service_statistics_save__(struct csl_service *s);

/* service_secagg_unmasked.c. Without masks (is_unmasked): the blocks of an upload that came are
 * what the site enrolled with, and of those held all are in the sum. */
void csl_service_secagg_promise__(struct csl_service *s, uint32_t site);
bool csl_service_secagg_is_held__(const struct csl_service *s, uint32_t site, uint32_t index);

/* service_secagg_floors.c: the site enrolled with records of this block. */
bool csl_service_secagg_knows__(const struct csl_coord_site *site, uint32_t block);

/* service_secagg_config.c: M0 of the round that is open, and its table of weights. */
void csl_service_secagg_describe__(struct csl_service *s, struct csl_secagg_config *c);

/* service_secagg_journal.c. Without a state folder nothing is written and nothing restored. What
 * cannot be made durable fails the service. */
enum csl_code csl_service_secagg_restore__(struct csl_service *s,
                                           struct csl_err *err) CSL_MUST_CHECK;
void csl_service_secagg_record__(struct csl_service *s,
                                 const struct csl_secagg_coordinator_action *a);
enum csl_code csl_service_secagg_record_root__(struct csl_service *s, const uint8_t root[32],
                                               struct csl_err *err) CSL_MUST_CHECK;
/* The open attempt is given up: durable before anybody is asked to vote so, for votes to abandon
 * and votes for a sum together may be too few of either. */
enum csl_code csl_service_secagg_record_given_up__(struct csl_service *s,
                                                   struct csl_err *err) CSL_MUST_CHECK;
/* The chain's new head, from the first copy of M13. */
void csl_service_secagg_keep_result__(struct csl_service *s, struct csl_span bytes);
/* Of the root that was recorded and the model that was committed. */
void csl_service_secagg_result__(struct csl_service *s);

/* service_secagg.c: one message of the protocol to a site, in parts */
void csl_service_secagg_tell__(struct csl_service *s, uint32_t site, struct csl_span bytes);

/* service_secagg_stuck.c */
void csl_service_secagg_keep_certificate__(struct csl_service *s, struct csl_span bytes);
void csl_service_secagg_forget_certificates__(struct csl_service_secagg *g);
/* Round and number of the attempt that is due; the last one is let go. */
void csl_service_secagg_next_attempt__(struct csl_service *s);
/* Before anybody can have signed a manifest: no certificate is needed. */
void csl_service_secagg_start_over__(struct csl_service *s, const char *why);
/* After a restart: the core has opened the round that the journal is of. */
void csl_service_secagg_go_on__(struct csl_service *s);
/* Tells the core of the sites that cannot be in the sum any more. */
void csl_service_secagg_leave_out__(struct csl_service *s);
/* Those it goes to are asked again to give up, if all were. */
void csl_service_secagg_remind__(struct csl_service *s);
bool csl_service_secagg_unstick__(struct csl_service *s); /* false: nothing to do now */
uint64_t csl_service_secagg_patience_ns__(const struct csl_service *s);

#endif
