/* Both machines of FSA-1 in one process: a coordinator, its sites, their journals, masked files and
 * a network that the test orders as it likes; with a monitor that reads every byte sent and asserts
 * I1 to I6 of the design (section 9) after every event. */
#ifndef CSL_TESTS_SECAGG_WORLD_H
#define CSL_TESTS_SECAGG_WORLD_H
#include "privacy/crypto/rng.h"
#include "privacy/secagg/coordinator.h"
#include "privacy/secagg/derive.h"
#include "privacy/secagg/site.h"

enum { WORLD_BLOCKS_MAX = 6, WORLD_NEVER = 1 << 30 };

struct journal {
    struct entry {
        int record;
        struct csl_msg bytes;
    } * items;
    uint32_t count, capacity;
};
struct words { /* of every block; NULL: not sent */
    uint64_t *block[WORLD_BLOCKS_MAX];
};
struct world_site {
    uint32_t id;
    struct csl_sign_key key;
    struct csl_secagg_policy policy;
    bool repeats_models;
    struct csl_secagg_site *machine;
    struct journal journal;
    struct words x;                  /* this round's update, as encoded */
    struct words file;               /* masked; durable */
    struct csl_secagg_masked masked; /* of `file` */
    struct csl_secagg_set blocks;
    uint32_t fuse;   /* journal writes until it crashes */
    bool is_dead;    /* gone for good: hears and says nothing */
    bool is_crashed; /* within a step */
    uint32_t alarms;
};
enum parcel_kind { PARCEL_MESSAGE, PARCEL_UPLOAD, PARCEL_TRAINED, PARCEL_MASKED, PARCEL_RECEIVED };
struct parcel {
    enum parcel_kind kind;
    uint32_t from, to; /* ids; 0: the coordinator */
    struct csl_msg bytes;
};
/* What the monitor notes that is no message of a site; above all their types. */
enum {
    MONITOR_RELEASED = 200, /* a site's x is in a released sum */
    MONITOR_QUORUM,         /* t_g of a sid */
    MONITOR_SENDERS         /* the M7 of a sid was sent */
};
struct seen {     /* one line of the monitor's book */
    uint8_t what; /* type of the message, or one of the above */
    uint32_t site;
    uint8_t id[32], value[32];
};

struct world {
    struct csl_rng rng;
    uint32_t n;
    struct csl_sign_key root, coordinator_key;
    struct csl_secagg_roster roster;
    struct csl_secagg_config config;
    uint8_t epoch_seed[32];
    uint32_t *weights;
    struct world_site *sites; /* [n], ascending by id */
    struct csl_secagg_coordinator *coordinator;
    struct journal journal;
    struct words *received; /* [n] uploads as they arrived */
    bool *is_announced;     /* [n] the coordinator wants the upload */
    uint32_t fuse;
    bool is_crashed;
    struct csl_msg certificate;
    struct parcel *queue;
    uint32_t queued, queue_capacity;
    struct seen *book;
    uint32_t book_count, book_capacity;
    uint32_t releases, named, alarms, crashes;
    uint64_t events;
    uint64_t fail_in;      /* allocations of the machines until one fails; 0: never */
    uint64_t restarts;     /* after CSL_E_NOMEM */
    bool drops_records;    /* what a site's snapshot stands for leaves its journal */
    bool loses_on_restart; /* with the coordinator goes what it had on its way */
    bool records_traffic;
    struct csl_buf traffic; /* all bytes sent, when recorded */
    size_t longest[2];      /* messages so far: to a site, from one */
    uint32_t corrupted;     /* sites whose key signs for the test, unseen by the monitor */
    uint32_t training;      /* makes model_hash different */
};

struct world_plan {
    uint32_t n, colluding, blocks, scalars;
    uint64_t entries_max;
    bool has_sparse_blocks; /* sites leave out blocks at random */
    bool has_sparse_ids;
    bool has_sparse_graphs; /* graph 1: from 129 sites of the roster on */
    uint32_t revoked;       /* sites of the roster beside the n, among them by number */
    /* With sparse graphs; 0: a tenth may be lost of the shares. */
    uint32_t share_degree, share_threshold;
};
void world_make(struct world *w, uint64_t seed, const struct world_plan *plan);
void world_remove(struct world *w);
/* A fresh coordinator and M0 of (round, attempt); journals of sites go on. */
void world_open(struct world *w, uint64_t round, uint16_t attempt);
/* Fresh updates and a new model hash, for a new round. */
void world_train(struct world *w);

void world_push(struct world *w, enum parcel_kind kind, uint32_t from, uint32_t to,
                struct csl_span bytes);
void world_deliver(struct world *w, uint32_t index); /* takes it out of the queue */
void world_drop(struct world *w, uint32_t index);
void world_run(struct world *w);            /* first in, first out, until nothing is on its way */
enum csl_code world_close(struct world *w); /* CSL_SECAGG_CE_CLOSE */
void world_run_to(struct world *w, enum csl_secagg_stage stage);
enum csl_code world_tell_site(struct world *w, struct world_site *s, struct csl_span bytes);
enum csl_code world_tell_coordinator(struct world *w, uint32_t from, struct csl_span bytes);
enum csl_code world_step_site(struct world *w, struct world_site *s,
                              const struct csl_secagg_site_event *ev);
enum csl_code world_step_coordinator(struct world *w,
                                     const struct csl_secagg_coordinator_event *ev);
void world_restart_site(struct world *w, struct world_site *s, uint32_t records);
void world_restart_coordinator(struct world *w);
void world_nudge(struct world *w);     /* everybody says again what was said last: a timeout */
void world_mask(struct world_site *s); /* file and roots from x */
struct world_site *world_site(struct world *w, uint32_t id);
bool world_sum_is_exact(struct world *w); /* of the released sum; also gives the RESULT event */

/* world_plan.c: the keys of all, the roster and what M0 says, for world_make */
void world_describe(struct world *w, const struct world_plan *plan);

/* world_vectors.c: and of `received`, as the executor of the coordinator fills it */
void words_free(struct words *x);
bool words_are_there(const struct words *x);
void world_upload(struct world *w, uint32_t index);

/* monitor.c */
void monitor_sent(struct world *w, uint32_t from, struct csl_span bytes);
void monitor_released(struct world *w);
uint32_t monitor_count(const struct world *w, uint8_t what, uint32_t site);

#endif
