/* site-agent/agent.h - runs one site's core (core/site.h) over any transport: examines studies,
 * keeps the records, trains, evaluates, stores the outbox, moves the bytes. The daemon's main and
 * the simulator are its two callers.
 *
 * Threads: everything here is for the core thread, which pumps. Transports may call in from any
 * thread. With has_worker, training runs on one worker thread; without, inside the pump. */
#ifndef CSL_AGENT_H
#define CSL_AGENT_H
#include "protocol/transport/transport.h"
#include "site-agent/core/policy.h"
#include "site-agent/core/site.h"

/* For secure aggregation; borrowed. The site's number is that of its id in the roster. */
struct csl_agent_keys {
    const struct csl_sign_key *key;
    const struct csl_secagg_roster *roster; /* decoded: signed by the federation's root */
    const uint8_t *epoch_seed; /* [32] of that roster (privacy/secagg/epoch.h); NULL: studies with
                                  sparse graphs are declined */
};
/* Simulations of a dishonest site, whose code lies outside this folder: the daemon has none. */
struct csl_dataset;
struct csl_agent_tamper {
    void *ctx;
    void (*data)(void *ctx, struct csl_dataset *d); /* the records of a study, once loaded */
    /* before it is encoded */
    void (*update)(void *ctx, uint64_t round, float *update, uint64_t parameters);
    /* on the model of that round; NULL: as it is */
    void (*vote)(void *ctx, uint64_t round, bool *is_worse);
};
struct csl_agent_config {
    const char *site_id;       /* for logs and labelled randomness; copied */
    const char *record_path;   /* HDF5 record file; copied */
    const char *state_dir;     /* NULL: in memory, nothing survives; copied */
    const char *initial_model; /* weights that frozen and local blocks of a study come from; NULL:
                                  studies with frozen blocks are declined; copied */
    const char *backend;       /* "auto", "cpu-ref", "cpu-dnnl"; a literal */
    uint32_t training_threads; /* csl_trainer_use_threads; 0: one */
    const struct csl_site_policy *policy; /* copied */
    struct csl_transport *transport;      /* borrowed; the agent sets its upcalls */
    bool has_worker;
    /* Simulations: patients and noise are drawn from a stream that this seed repeats, which
     * protects nobody and is marked as a rehearsal in the ledger. NULL: from the operating system.
     * Copied. */
    const uint64_t *noise_seed;
    const struct csl_agent_keys *secagg; /* borrowed; NULL: studies with secure aggregation are
                                            declined */
    /* Simulations, instead of keys: updates of such studies leave as plain words, which hide
     * nothing, for sums over so many sites: the same integers as under masks. 0: never. */
    uint32_t unmasked_sites;
    /* Rehearsals: so many canaries train with every private study (privacy/audit/canary.h); they
     * change the model. 0: none. */
    uint32_t audit_canaries;
    const struct csl_agent_tamper *tamper; /* borrowed; NULL: an honest site */
};

struct csl_agent;
/* Opens or resumes the state below state_dir: site.db, blobs/. Does not start the transport. */
enum csl_code csl_agent_new(struct csl_agent **out, const struct csl_agent_config *c,
                            struct csl_err *err) CSL_MUST_CHECK;
void csl_agent_free(struct csl_agent *a); /* after the transport was stopped */
enum csl_code csl_agent_start(struct csl_agent *a, uint64_t now_ns,
                              struct csl_err *err) CSL_MUST_CHECK;
/* Handles everything that is waiting, and (without a worker) at most one unit of work. false: idle.
 */
bool csl_agent_pump(struct csl_agent *a, uint64_t now_ns);
void csl_agent_wait(struct csl_agent *a, uint64_t deadline_ns); /* daemon */
uint64_t csl_agent_wakeup_ns(const struct csl_agent *a);
bool csl_agent_is_finished(const struct csl_agent *a);
/* CSL_OK: the study was released. Otherwise why not. */
enum csl_code csl_agent_outcome(const struct csl_agent *a, struct csl_err *err) CSL_MUST_CHECK;
const struct csl_site *csl_agent_core(const struct csl_agent *a);
/* The local blocks of the accepted study as this site trained them last, into model: [P]; what it
 * has not trained stays as it is. Core thread. */
enum csl_code csl_agent_take_own(struct csl_agent *a, float *model,
                                 struct csl_err *err) CSL_MUST_CHECK;
/* The site's ledger; NULL while no study with privacy was accepted. Core thread. */
struct csl_ledger;
struct csl_ledger *csl_agent_ledger(struct csl_agent *a);
/* What the canaries betrayed until now; CSL_E_NOTFOUND: there are none. */
struct csl_audit_result;
enum csl_code csl_agent_audit(const struct csl_agent *a, struct csl_audit_result *out,
                              struct csl_err *err) CSL_MUST_CHECK;

#endif
