/* coordinator/service.h - runs one study's core (core/coord.h) over any transport: executes its
 * actions, keeps its spool, accumulator, checkpoints and state. The daemon's main and the simulator
 * are its two callers.
 *
 * Threads: everything here is for the core thread, which pumps; transports may call in from any
 * thread. Lock order: site lock, then service lock, then model lock; none is held across a call out
 * of the service. */
#ifndef CSL_COORD_SERVICE_H
#define CSL_COORD_SERVICE_H
#include "aggregation/gate.h"
#include "coordinator/core/coord.h"
#include "coordinator/published.h"
#include "privacy/secagg/roster.h"

/* A round that was not applied because of the norm of its mean update, said before its `round`; or
 * whose model was taken back because of a vote, said after it. */
struct csl_round_rejection {
    uint64_t round;
    bool is_by_vote;
    uint32_t worse, voters;       /* by vote; else 0 */
    struct csl_gate_verdict norm; /* not by vote */
};
struct csl_service_observer { /* any may be NULL; called on the core thread */
    void *ctx;
    void (*rejected)(void *ctx, const struct csl_round_rejection *r);
    void (*round)(void *ctx, uint64_t round, uint32_t contributions, double train_loss);
    /* With secure aggregation, before the same round's `round`: of the sum's blocks of the model,
     * how many sites are in that with the fewest. */
    void (*sum)(void *ctx, uint64_t round, uint32_t fewest);
    /* site_id "": of all sites together, from a sum under masks */
    void (*evaluation)(void *ctx, const char *site_id, const struct csl_msg_evaluation *e);
    void (*published)(void *ctx, const struct csl_published *p); /* statistics, likewise */
};
struct csl_service_config {
    const struct csl_study *study;    /* borrowed */
    const char (*roster)[CSL_ID_MAX]; /* copied */
    uint32_t roster_count;
    const bool *is_refused; /* [roster_count] by the roster sorted by id: may not come; used by
                               csl_service_new only; NULL: none is */
    uint64_t seed;          /* used when the study is new; a stored study keeps its own */
    uint64_t open_wait_ms;
    bool is_rehearsal;     /* csl_coord_config */
    uint32_t uploads_max;  /* under way at once, the others wait; 0: any number */
    const char *state_dir; /* NULL: in memory, nothing survives; copied */
    /* Weights that a new study starts from (protocol/initial/weights.h); a stored study has its
     * own and does not look. Borrowed by csl_service_new. NULL: drawn from the seed. */
    const char *initial_model;
    /* For studies with secure aggregation: this coordinator's key, and the roster that the
     * federation's root signed. Every site of the roster above that is not refused is in it, by its
     * id. Borrowed. NULL: such a study is refused. */
    const struct csl_sign_key *secagg_key;
    const struct csl_secagg_roster *secagg_roster;
    const uint8_t *secagg_epoch_seed; /* [32], borrowed: of that roster, for studies with sparse
                                         graphs (privacy/secagg/epoch.h). NULL: they are refused */
    /* Simulations, instead of the two: the words of such studies come plain and are added up. The
     * sums are those under masks to the bit, and this process sees every update. */
    bool is_unmasked;
    struct csl_transport *transport; /* borrowed; the service sets its upcalls */
    struct csl_service_observer observer;
};

struct csl_service;
/* Opens or resumes the state below state_dir: state.db, spool/, model-<round>.h5, model.h5 (the
 * released model), status.json. Does not start the transport. */
enum csl_code csl_service_new(struct csl_service **out, const struct csl_service_config *c,
                              struct csl_err *err) CSL_MUST_CHECK;
/* After the transport was stopped. */
void csl_service_free(struct csl_service *s);
/* Starts the transport, then the core. */
enum csl_code csl_service_start(struct csl_service *s, uint64_t now_ns,
                                struct csl_err *err) CSL_MUST_CHECK;
/* Handles everything that is waiting. false: nothing was. */
bool csl_service_pump(struct csl_service *s, uint64_t now_ns);
/* Waits for an event until deadline_ns and handles it (daemon). */
void csl_service_wait(struct csl_service *s, uint64_t deadline_ns);
/* Tells every connected site that this coordinator is going away for a while; they finish what they
 * are doing and come back by themselves. Before the transport's stop. */
void csl_service_drain(struct csl_service *s);
uint64_t csl_service_wakeup_ns(const struct csl_service *s);
void csl_service_abort(struct csl_service *s,
                       const char *reason); /* any thread; reason is static */

bool csl_service_is_finished(const struct csl_service *s); /* RELEASED, ABORTED or failed */
/* CSL_OK: released. Otherwise why not. */
enum csl_code csl_service_outcome(const struct csl_service *s, struct csl_err *err) CSL_MUST_CHECK;
const struct csl_coord *csl_service_core(const struct csl_service *s);
/* [P] what is evaluated and released; until the next pump */
const float *csl_service_parameters(const struct csl_service *s);
uint64_t csl_service_seed(const struct csl_service *s);

#endif
