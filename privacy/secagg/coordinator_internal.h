/* privacy/secagg/coordinator_internal.h - shared by the files of the coordinator's machine only. */
#ifndef CSL_SECAGG_COORDINATOR_INTERNAL_H
#define CSL_SECAGG_COORDINATOR_INTERNAL_H
#include "privacy/secagg/coordinator.h"
#include "privacy/secagg/derive.h"
#include "privacy/secagg/graph.h"
#include "privacy/secagg/policy.h"

enum { CSL_SECAGG_SAID_MAX = CSL_SECAGG_REVEAL + 1 };

struct csl_secagg_member {                    /* by place in the roster */
    struct csl_msg said[CSL_SECAGG_SAID_MAX]; /* by type, as accepted; M3 of graph 1 as M3 */
    bool is_received;                         /* the vector of its manifest */
    bool has_lied;                            /* an M12 with a wrong share: not used */
};
struct csl_secagg_opened { /* places in U1 */
    uint32_t dealer, receiver;
    struct csl_msg opening;
};

struct csl_secagg_coordinator {
    struct csl_secagg_coordinator_setup setup;
    enum csl_secagg_stage stage;
    struct csl_secagg_config config;
    uint8_t ctx[32], sid[32];
    struct csl_secagg_member *members; /* [roster count] */
    struct csl_msg open, keys, senders, seeds, survivors, quorum, result, certificate;
    uint32_t n1, votes_min, threshold;   /* from SHARING on: t_g; t_s */
    struct csl_secagg_set *peers;        /* [n1] share peers, by place */
    uint32_t ids[CSL_SECAGG_SITES_MAX];  /* [n1] */
    uint32_t rows[CSL_SECAGG_SITES_MAX]; /* [n1] places in the roster */
    struct csl_secagg_set dealers;       /* from PREPARING on: their M3 was delivered */
    struct csl_secagg_opened *openings;
    uint32_t opening_count, opening_capacity;
    struct csl_secagg_set u2, u3;
    uint8_t com[32], mask_seed[32], transcript[32];
    struct csl_secret *memory;
    struct csl_scalar *secrets; /* [n1] in `memory`, from RELEASED on: of U2, b or s */
    uint8_t result_root[32], model_hash[32];
    bool is_restoring;
    bool is_resuming; /* telling all that a stage may have missed, not only what is new */
    const struct csl_secagg_coordinator_out *out; /* during a step */
};

/* coordinator.c */
void csl_secagg__coordinator_emit(struct csl_secagg_coordinator *c,
                                  const struct csl_secagg_coordinator_action *a);
void csl_secagg__coordinator_journal(struct csl_secagg_coordinator *c,
                                     enum csl_secagg_coordinator_record record,
                                     struct csl_span bytes);
void csl_secagg__coordinator_send(struct csl_secagg_coordinator *c, uint32_t site,
                                  const struct csl_msg *m);
void csl_secagg__coordinator_name(struct csl_secagg_coordinator *c, uint32_t site,
                                  const char *text);
/* Says again what the site at this place of the roster has to hear in this stage. */
enum csl_code csl_secagg__coordinator_tell(struct csl_secagg_coordinator *c, uint32_t row,
                                           struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_secagg__coordinator_tell_all(struct csl_secagg_coordinator *c,
                                               struct csl_err *err) CSL_MUST_CHECK;
/* The accepted message of a type from the site at a place of U1; false: none. */
bool csl_secagg__said(const struct csl_secagg_coordinator *c, uint32_t place, uint8_t type,
                      struct csl_secagg_message *out);
uint32_t csl_secagg__coordinator_place(const struct csl_secagg_coordinator *c, uint32_t site);
/* Whose secrets the site at a place reveals shares of: its share peers and itself, in U2. */
struct csl_secagg_set csl_secagg__revealed(const struct csl_secagg_coordinator *c, uint32_t place);
uint32_t csl_secagg__count_votes(const struct csl_secagg_coordinator *c, uint8_t choice);

/* coordinator_collect.c: what sites say */
enum csl_code csl_secagg__coordinator_message(struct csl_secagg_coordinator *c, uint32_t from,
                                              struct csl_span bytes, struct csl_err *err);

/* coordinator_close.c: decisions. adopt: what follows from M2, M7, M9, which are our own. */
enum csl_code csl_secagg__coordinator_close(struct csl_secagg_coordinator *c, struct csl_err *err);
enum csl_code csl_secagg__coordinator_adopt(struct csl_secagg_coordinator *c, struct csl_span bytes,
                                            struct csl_err *err);
void csl_secagg__coordinator_begin_delivery(struct csl_secagg_coordinator *c);
enum csl_code csl_secagg__coordinator_send_delivery(struct csl_secagg_coordinator *c,
                                                    uint32_t place, struct csl_err *err);
enum csl_code csl_secagg__coordinator_send_disputes(struct csl_secagg_coordinator *c,
                                                    uint32_t dealer, struct csl_err *err);

/* coordinator_seed.c: M7r of graph 1 */
enum csl_code csl_secagg__coordinator_close_seeds(struct csl_secagg_coordinator *c,
                                                  struct csl_secagg_message *m,
                                                  struct csl_scalar *r, struct csl_err *err);
/* The mask graphs of these senders, with the survivors left: CSL_E_DENIED. */
enum csl_code csl_secagg__coordinator_check_losses(const struct csl_secagg_coordinator *c,
                                                   const struct csl_secagg_senders *senders,
                                                   const struct csl_secagg_set *survivors,
                                                   struct csl_err *err);

/* coordinator_unmask.c */
enum csl_code csl_secagg__coordinator_count(struct csl_secagg_coordinator *c, struct csl_err *err);
enum csl_code csl_secagg__coordinator_reconstruct(struct csl_secagg_coordinator *c,
                                                  struct csl_err *err);
enum csl_code csl_secagg__coordinator_result(struct csl_secagg_coordinator *c, struct csl_err *err);

#endif
