/* tests/unit/world/rogue.h - a site that speaks raw through the in-process transport, beside two
 * honest agents, before a real coordinator. Left alone it is a good site with made-up updates; a
 * test tells it when and how to misbehave, once, and what it does afterwards. */
#ifndef CSL_TEST_WORLD_ROGUE_H
#define CSL_TEST_WORLD_ROGUE_H
#include "tests/unit/world/fixture.h"

#define HONEST       2 /* the fixture's first sites are agents, the third is the rogue */
#define ROGUE_ROUNDS 3
#define ROGUE_ROUND  UINT64_C(2) /* of the strike */
#define ROGUE_SEEN   16

enum rogue_when {
    AT_OPENED, /* instead of HELLO, on its first session */
    AT_OFFER,  /* instead of the answer */
    AT_TASK,   /* instead of announcing the update of ROGUE_ROUND */
    AT_GRANT   /* instead of uploading it */
};
enum rogue_after {
    AFTER_SILENT,  /* not a word in that round */
    AFTER_RETRY,   /* does at once what it should have done */
    AFTER_STUBBORN /* says the same again, until it is refused */
};

struct rogue;
struct rogue_plan {
    enum rogue_when when;
    enum rogue_after after;
    /* m: the offer, task or grant; NULL when opened. */
    void (*strike)(struct rogue *r, const struct csl_message *m);
};
struct rogue_seen { /* codes in the order in which they came */
    enum csl_code codes[ROGUE_SEEN];
    uint32_t count;
};
struct rogue {
    struct csl_transport *transport;
    const struct csl_study *study;
    struct rogue_plan plan;
    bool has_struck, has_settled; /* settled: what it does after the strike was begun */
    bool is_enrolled;
    csl_conn conn;
    uint64_t sequence, bulk_id;
    uint64_t round; /* of the current task */
    float *values;  /* [update_count] of the update announced last */
    uint32_t update_count;
    uint8_t spied_ticket[CSL_TICKET_BYTES]; /* of the first honest site, this round */
    bool has_spied, is_waiting_for_spy;
    struct csl_message spied_grant;
    struct rogue_seen bulk, refused, closed;
    uint32_t breaks_left; /* so many uploads break before their digest */
};

/* For strikes. */
void rogue_send(struct rogue *r, const struct csl_message *m); /* with the next sequence */
void rogue_send_bytes(struct rogue *r, const void *p, size_t n);
struct csl_message rogue_update(const struct rogue *r); /* UPDATE_READY of r->values */
void rogue_make_values(struct rogue *r, uint64_t round);
void rogue_announce(struct rogue *r); /* good values, then UPDATE_READY */
void rogue_answer(struct rogue *r);
struct rogue_upload {
    uint8_t ticket[CSL_TICKET_BYTES];
    uint64_t head_total, head_offset;
    const uint8_t *bytes; /* of the object from byte 0; copied */
    uint64_t n;           /* bytes the source has, counted from 0; it starts at head_offset */
    uint8_t digest[CSL_DIGEST_BYTES];
    bool breaks_at_end; /* instead of the digest */
};
/* What a good upload of r->values for this grant would be. */
struct rogue_upload rogue_upload_of(const struct rogue *r, const struct csl_message *grant);
void rogue_upload(struct rogue *r, const struct rogue_upload *u);

struct rogue_result {
    uint8_t model[CSL_DIGEST_BYTES];
    uint64_t rounds[FIXTURE_SITES]; /* contributed */
    enum csl_membership membership; /* of the rogue */
    struct rogue_seen bulk, refused, closed;
};
/* Runs the study to its release, or fails the test; the invariants of all cores hold throughout. */
void rogue_run(struct fixture *f, const struct rogue_plan *plan, struct rogue_result *out);

#endif
