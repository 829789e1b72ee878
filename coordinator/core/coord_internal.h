/* coordinator/core/coord_internal.h - shared by the files of the core only. */
#ifndef CSL_COORD_INTERNAL_H
#define CSL_COORD_INTERNAL_H
#include "coordinator/core/coord.h"

#include "aggregation/strategy/strategy.h"
#include "coordinator/core/weigh.h"
#include "protocol/study/evaluation.h"

struct csl_coord {
    struct csl_coord_config config;
    const struct csl_study *study;
    const struct csl_strategy_ops *strategy;
    struct csl_coord_site *sites;       /* [site_count], sorted by id */
    struct csl_weigher *weigher;        /* NULL: the study has no weights of domains */
    double prior_loss[CSL_DOMAINS_MAX]; /* as tasks tell them; a study with statistics */
    double group_log_weight[CSL_GROUP_WEIGHTS_MAX]; /* likewise */
    csl_conn
        *conns; /* [site_count] = sites[i].conn, dense because every message is looked up here */
    uint32_t site_count;
    enum csl_study_state state;
    enum csl_phase phase;
    uint64_t rounds_done, started_version;   /* rounds done when this process started */
    uint64_t now_ns, opened_ns, deadline_ns; /* deadline of the phase; UINT64_MAX: none */
    uint8_t model_digest[CSL_DIGEST_BYTES], evaluated_digest[CSL_DIGEST_BYTES];
    uint64_t model_bytes;
    bool is_judging;          /* the votes are in, JUDGED is to come */
    bool must_reopen;         /* once no update is being folded */
    const char *abort_reason; /* asked for while a round was being committed; NULL: not */
    bool has_warned_deadline; /* the phase's deadline passed with too few sites */
    uint32_t skipped;         /* cyclic: sites that failed in this round before the chosen one */
    uint32_t *order;          /* [site_count] scratch for the cyclic permutation */
    double block_weight[CSL_BLOCKS_MAX]; /* of the cohort: what site weights are divided by */
    const struct csl_coord_out *out;     /* during a step */
};

void csl_coord_emit__(struct csl_coord *c, const struct csl_coord_action *a);
void csl_coord_send__(struct csl_coord *c, uint32_t site, const struct csl_message *m);
void csl_coord_save_study__(struct csl_coord *c);
/* What the site enrolled with counts in the weights of domains, if there are any. */
void csl_coord_enrol__(struct csl_coord *c, uint32_t site);
void csl_coord_refuse__(struct csl_coord *c, uint32_t site, enum csl_code code, const char *reason);

/* coord_round.c */
void csl_coord_maybe_start__(struct csl_coord *c);     /* OPEN -> TRAINING when it is time */
void csl_coord_open_round__(struct csl_coord *c);      /* cohort of round rounds_done + 1, tasks */
void csl_coord_open_evaluation__(struct csl_coord *c); /* tasks for the model of rounds_done */
void csl_coord_task_site__(struct csl_coord *c, uint32_t site); /* (re)send the current task */
void csl_coord_maybe_close__(struct csl_coord *c);              /* phase over? */
void csl_coord_maybe_reopen__(struct csl_coord *c); /* when must_reopen, and it may be */
void csl_coord_after_model__(struct csl_coord *c);  /* evaluation, next round or the end */
/* Under masks: the round that only judges the last model, or the end where too few sites can. */
void csl_coord_open_last__(struct csl_coord *c);
void csl_coord_end_last__(struct csl_coord *c);         /* it is over */
void csl_coord_end_evaluation__(struct csl_coord *c);   /* of a phase: next round or the end */
bool csl_coord_is_running__(const struct csl_coord *c); /* (I5) */
void csl_coord_abort__(struct csl_coord *c, const char *reason);
uint32_t csl_coord_held__(const struct csl_coord *c);

/* coord_buffer.c */
bool csl_coord_is_buffered__(const struct csl_coord *c);
uint64_t csl_coord_task_round__(const struct csl_coord *c, uint32_t site); /* what it may send */
double csl_coord_discount__(const struct csl_coord *c, uint32_t site);     /* 1: fresh */
void csl_coord_open_buffer__(struct csl_coord *c); /* tasks, and what waits for room */
void csl_coord_fill_buffer__(struct csl_coord *c); /* nothing to do unless buffered and open */
void csl_coord_give_model__(struct csl_coord *c, uint32_t site, uint64_t version);

/* coord_messages.c */
bool csl_coord_blocks_fit__(const struct csl_coord *c, uint32_t count,
                            const struct csl_block_count *blocks);
/* That what is said of an update of a round is what its site enrolled with. Whether a domain is
 * evaluated in an attempt is not known here: that part may be missing. */
bool csl_coord_update_fits__(const struct csl_coord *c, const struct csl_coord_site *s,
                             uint64_t round, uint32_t block_count,
                             const struct csl_block_count *blocks, uint64_t bytes_total);
void csl_coord_message__(struct csl_coord *c, uint32_t site, const struct csl_coord_event *ev);

#endif
