/* tests/unit/site-agent/script.h - a real agent with real records and state on disk, for a study
 * with patient-level privacy, before a coordinator that says what a test wants. Between the agent
 * and the in-process transport stands a guard: at the instant the agent hands over an announcement
 * or a byte of an update, the ledger must hold its charge, or the test fails. */
#ifndef CSL_TEST_AGENT_SCRIPT_H
#define CSL_TEST_AGENT_SCRIPT_H
#include "privacy/ledger/ledger.h"
#include "tests/unit/world/fixture.h"

#define HEARD_MAX    64
#define RELEASES_MAX 64
#define CAPTURE_MAX  65536
#define SCRIPT_DELTA 0.01 /* below 1 / 18 training patients */

struct script_study {
    const char *name;
    double epsilon, delta;
    uint32_t rounds;
    bool has_no_privacy;
    bool has_local; /* one input, whose encoder is sent and whose head stays at the site */
    bool diverges;  /* every step multiplies the model with 2e7: the twelfth leaves float32 */
};

/* Everything is here for the tests to look at. */
struct script {
    struct fixture f;
    char state_dir[CSL_PATH_MAX];
    uint32_t site; /* of the fixture: whose records */
    struct csl_site_policy policy;
    struct csl_study *study; /* what tasks are about */
    struct csl_inproc *net;
    struct csl_transport *server, *client, *guard;
    struct csl_agent *agent; /* NULL: not running */
    csl_conn conn;
    uint64_t sequence;
    float *model;    /* [P] what is served to downloads, with inputs in parts (part.h) */
    uint8_t *served; /* the bytes of it */
    size_t served_bytes;
    const char *head_text; /* in tasks; NULL: none */
    uint32_t downloads, uploads;
    struct csl_message heard[HEARD_MAX]; /* since something was said last; owned contents dropped */
    uint32_t heard_count;
    /* what left the site: digests announced or of which a byte was read, each once */
    uint8_t released[RELEASES_MAX][CSL_DIGEST_BYTES];
    uint32_t released_count;
    uint8_t uploaded[256]; /* the bytes of the last upload */
    size_t uploaded_bytes;
    uint8_t capture[CAPTURE_MAX]; /* every byte handed to the transport, control and bulk */
    size_t captured;
};

/* A policy that allows everything, with one budget for all cohorts. */
struct csl_site_policy script_policy(double epsilon, double delta);
struct csl_study *script_parse(const struct script_study *s); /* ends in csl_study_free */

void script_open(struct script *w, const struct script_study *study);
void script_close(struct script *w);
void script_start(struct script *w); /* an agent over w->state_dir that says hello */
void script_stop(struct script *w);  /* kills it: no goodbye */

/* The coordinator. Each says one thing and runs until nothing follows. */
void script_run(struct script *w);
void script_say(struct script *w, struct csl_message *m);
void script_send(struct script *w, struct csl_message *m); /* without running */
void script_deliver(struct script *w);                     /* to the mailbox, without the agent */
void script_offer(struct script *w);
void script_enrol(struct script *w); /* offer, which must be accepted */
/* The broadcast is `model` in every coordinate. */
struct csl_message script_task(struct script *w, enum csl_task_type type, uint64_t round,
                               float model);
void script_grant_model(struct script *w, uint64_t round);
void script_grant_update(struct script *w, uint64_t round, uint64_t offset);
/* A whole round: task, model, update, accepted. False: the site refused it; *failed then holds what
 * it said. */
bool script_round(struct script *w, uint64_t round, float model,
                  struct csl_msg_task_failed *failed);
/* The only thing that was heard since something was said. */
const struct csl_message *script_heard(struct script *w, enum csl_message_kind kind);

/* The ledger, entry by entry. */
uint32_t script_count(struct script *w, enum csl_ledger_kind kind);
double script_spent(struct script *w); /* by w->study, as the ledger says */
/* By all that left the site, by the accountant and not by the ledger's sums. Fails the test for a
 * release without a charge. */
double script_released_epsilon(struct script *w);
bool script_has_blob(const struct script *w, const char *name);
void script_copy_state(const struct script *w, const char *from, const char *to);
void script_must(enum csl_code code, const struct csl_err *err);

#endif
