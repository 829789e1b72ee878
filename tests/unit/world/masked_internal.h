/* tests/unit/world/masked_internal.h - shared by masked.c, which runs the federation, and
 * masked_wire.c, which sees what leaves. */
#ifndef CSL_TEST_WORLD_MASKED_INTERNAL_H
#define CSL_TEST_WORLD_MASKED_INTERNAL_H
#include "privacy/crypto/sha256.h"
#include "simulations/federation.h"
#include "tests/unit/world/masked.h"

extern char masked_ids[MASKED_SITES][CSL_ID_MAX];

struct masked_party {
    struct csl_transport *transport; /* NULL: lost */
    struct csl_agent *agent;
    struct csl_transport_ops ops; /* the transport's own, but for send and upload */
    const struct csl_transport_ops *inner;
    uint64_t plain_round; /* the last whose plain update was seen */
    uint64_t lied_round, voted_round;
    bool has_lied; /* a lie was sent whole */
    bool is_lost;
    uint64_t lost_ns; /* when */
};
/* What a site signed: one message of a type in a session, whatever happens to the site. */
struct masked_signature {
    uint64_t round; /* that was open when it was first said */
    uint32_t site;
    uint8_t type, id[32], digest[CSL_SHA256_BYTES];
};
struct masked_world {
    const struct masked_plan *plan;
    struct masked_result *result;
    struct fixture *f;
    struct csl_study *study;
    struct csl_sim_federation federation;
    struct csl_site_policy policy;
    struct csl_inproc *net;
    struct csl_transport *server;
    struct csl_transport_ops server_ops;
    const struct csl_transport_ops *server_inner;
    struct csl_service *service;
    uint8_t certified[8][32]; /* sessions whose certificates were seen */
    struct masked_party sites[MASKED_SITES];
    bool has_restarted, was_rolled_back, was_confirmed, was_bounced, was_killed;
    bool must_bounce, must_cut; /* a test says so: restart_site is started again; loses its link */
    uint32_t waited;
    uint32_t stages; /* bits: in which something was started again */
    bool has_asked;  /* about the round of the plan's audit_restart_round */
    struct masked_signature *signatures;
    uint32_t signature_count, signature_capacity;
};
extern struct masked_world masked_w; /* the one there is */

void masked_records_path(const struct fixture *f, uint32_t site, char out[CSL_PATH_MAX]);
void masked_must(enum csl_code code, const struct csl_err *err);
/* masked_wire.c: in place of the transports' own */
enum csl_code masked_seen_send(struct csl_transport *t, csl_conn c, struct csl_msg *take_m,
                               struct csl_err *err);
enum csl_code masked_seen_upload(struct csl_transport *t, uint64_t bulk_id,
                                 const struct csl_bulk_head *head,
                                 const struct csl_bulk_source *source, struct csl_err *err);
enum csl_code masked_heard_send(struct csl_transport *t, csl_conn c, struct csl_msg *take_m,
                                struct csl_err *err);
/* Observers of the service. */
void masked_heard_evaluation(void *ctx, const char *site_id, const struct csl_msg_evaluation *e);
void masked_heard_published(void *ctx, const struct csl_published *p);
/* What must not be found in what was sent. */
void masked_note_plain(uint32_t site);

#endif
