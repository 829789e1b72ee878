/* tests/unit/world/faults.h - a fixture's study in virtual time, with real state on disk, under cut
 * links and killed processes. Fails the test when it does not end. */
#ifndef CSL_TEST_WORLD_FAULTS_H
#define CSL_TEST_WORLD_FAULTS_H
#include "tests/unit/world/fixture.h"

#include "privacy/crypto/rng.h"

struct faults_seen {
    uint64_t took_ns; /* virtual time */
    uint64_t used;    /* updates that are in a model, each once (it is checked) */
    uint64_t stale;   /* of these, those of a model that was not the newest */
    double loss_goal; /* set by the test; 0: none */
    uint64_t goal_ns; /* virtual time at which the training loss of five rounds was below it, on
                         average; 0: never */
};
struct faults {
    double cut_probability;
    double kill_probability; /* per instant, of the coordinator and of each site */
    uint32_t chunk_bytes;    /* 0: 8, so that even a tiny update is several chunks */
    const char *end;         /* why the study is aborted; NULL: it is released */
    /* [FIXTURE_SITES] a site does something at multiples of it only; NULL: at any time */
    const uint64_t *period_ns;
    struct faults_seen *seen; /* added to; NULL: not of interest */
};
struct faults_party {
    struct csl_transport *transport;
    struct csl_agent *agent;
};
struct faults_world {
    struct fixture *f;
    struct csl_inproc *net;
    struct csl_transport *server;
    struct csl_service *service;
    struct faults_party sites[FIXTURE_SITES];
    struct csl_rng rng;
    uint32_t kills;
    const struct faults *faults;
    double losses[5];                                               /* of the last rounds */
    uint64_t rounds_done, held[FIXTURE_SITES], used[FIXTURE_SITES]; /* rounds of updates */
};

void faults_open_service(struct faults_world *w);
/* Runs the study to its release; digest of the model. How many processes were killed. */
uint32_t faults_run(struct fixture *f, uint64_t schedule, const struct faults *faults,
                    uint8_t digest[CSL_DIGEST_BYTES]);

#endif
