/* tests/unit/coordinator/harness.h - the coordinator's core with everything it emits written down,
 * and an executor that answers FOLD and AGGREGATE as the service would. csl_coord_check runs after
 * every step. */
#ifndef CSL_TEST_COORD_HARNESS_H
#define CSL_TEST_COORD_HARNESS_H
#include "coordinator/core/coord.h"

#define H_SITES   4
#define H_LOG_MAX 256
#define H_WAIT_NS UINT64_C(1000) /* open_wait */

/* What a test may say of its study; zero stands for the default in brackets. */
struct h_study {
    const char *strategy;     /* [fedavg] */
    const char *weights;      /* of the aggregation section [kind: samples] */
    const char *participants; /* "[aa, bb]" [none] */
    uint32_t rounds;          /* [2] */
    uint32_t minimum;         /* [2] */
    uint32_t evaluate_every;  /* [0] */
    bool is_rehearsal;
    bool has_masks;  /* colluding 1, at least `minimum` in a sum */
    bool is_counted; /* statistics in place of models; rounds and all that trains are not read */
};
struct h_entry {
    struct csl_coord_action a;
    uint32_t eval_block; /* of the first block of a SAVE_EVALUATION */
};
struct harness {
    struct csl_study *study;
    bool is_rehearsal;
    struct csl_coord *c;
    struct csl_coord_out out;
    uint64_t now_ns, last_conn;
    csl_conn conn[H_SITES]; /* by site index: ids are sorted, aa bb cc dd */
    struct h_entry log[H_LOG_MAX];
    uint32_t count;
    bool is_manual; /* FOLD and AGGREGATE wait for the test */
    struct h_pending {
        enum csl_coord_action_kind kind;
        uint32_t site;
        uint64_t round;
    } pending[H_LOG_MAX];
    uint32_t pending_count;
    uint32_t folds[H_SITES]; /* since the round (re)opened */
};

extern const char h_ids[H_SITES][CSL_ID_MAX];

void h_open(struct harness *h, const struct h_study *s); /* study and core, not started */
void h_reopen(struct harness *h); /* a fresh core for the same study: a restarted process */
void h_close(struct harness *h);
void h_start(struct harness *h);
void h_forget(struct harness *h); /* the log */
/* One event, then what the executor answers. */
void h_step(struct harness *h, struct csl_coord_event ev);
bool h_answer_one(struct harness *h); /* of what is pending; false: nothing was */

void h_connect(struct harness *h, uint32_t site);
void h_disconnect(struct harness *h, uint32_t site);
void h_say(struct harness *h, uint32_t site, const struct csl_message *m);
void h_hello(struct harness *h, uint32_t site, bool knows_study);
void h_answer(struct harness *h, uint32_t site, bool accepted, uint64_t patients);
void h_join(struct harness *h, uint32_t site, uint64_t patients); /* connect, hello, accept */
struct csl_message h_update(const struct harness *h, uint32_t site, uint64_t round);
void h_deliver(struct harness *h, uint32_t site, uint64_t round); /* ready, received */
void h_evaluate(struct harness *h, uint32_t site, uint64_t round);
void h_fail(struct harness *h, uint32_t site, uint64_t round);
void h_tick(struct harness *h, uint64_t by_ns);
uint64_t h_round_ns(const struct harness *h); /* the round deadline */

/* In the log: how many actions of a kind; the last message of a kind to a site, or NULL. */
uint32_t h_actions(const struct harness *h, enum csl_coord_action_kind kind);
const struct csl_coord_action *h_last(const struct harness *h, enum csl_coord_action_kind kind);
const struct csl_message *h_told(const struct harness *h, uint32_t site,
                                 enum csl_message_kind kind);
uint32_t h_told_count(const struct harness *h, enum csl_message_kind kind);
enum csl_site_progress h_progress(const struct harness *h, uint32_t site);

#endif
