/* tests/unit/world/masked.h - a federation of five sites (or as many as a program is compiled for)
 * with different numbers of patients in one process, with or without secure aggregation, with real
 * state on disk and everything that the sites send seen before it leaves. */
#ifndef CSL_TEST_WORLD_MASKED_H
#define CSL_TEST_WORLD_MASKED_H
#include "base/buf.h"
#include "coordinator/published.h"
#include "tests/unit/world/dying.h"
#include "tests/unit/world/fixture.h"

#ifndef MASKED_SITES
#define MASKED_SITES 5
#endif
#define MASKED_PARAMETERS 3 /* of the usual model: two features and the bias */
#ifndef MASKED_ROUNDS_MAX
#define MASKED_ROUNDS_MAX 8
#endif
#define MASKED_NONE    UINT32_MAX
#define MASKED_SERVICE MASKED_SITES /* as a party that dies */

/* When the lost site dies, in its round. */
enum masked_loss {
    LOST_TASKED,    /* before it sent anything of the round */
    LOST_ANNOUNCED, /* its update is made and, under masks, bound by its manifest; it never comes */
    LOST_HELD,      /* its update is there; under masks it neither votes nor unmasks */
    LOST_VOTED,     /* it voted, and opens nothing */
    LOST_SEEDING    /* sparse graphs: U2 is closed with it, and nobody has its r */
};
/* Who is started again in every stage of the round staged_round. */
enum masked_staged { STAGED_SERVICE, STAGED_SITES /* every third */ };
struct masked_plan {
    const char *study;    /* what comes before `training`; NULL: the usual domains */
    const char *sections; /* of the study: secure_aggregation, privacy, aggregation */
    const char *local;    /* of training; NULL: three steps of sgd */
    const char *model;    /* NULL: kind: linear */
    const char *domain;   /* one more, by its label, "severe" or "rare"; NULL: none */
    bool has_third;       /* and one more that every site has, "again" */
    bool judges_last;     /* only the last model is evaluated; else every one */
    size_t chunk_bytes;   /* 0: 16 */
    uint32_t rounds, minimum_sites;
    uint64_t schedule;
    double cut_probability;
    uint64_t delay_ns, jitter_ns;  /* delay 0: 5 ms */
    uint64_t lost_round;           /* 0: nobody is lost */
    uint32_t lost_site, lost_more; /* lost_more: so many after it too */
    enum masked_loss lost_when;
    uint64_t back_ns;     /* 0: never; else so long after the loss they are there again */
    uint64_t lying_round; /* 0: nobody lies; else one bit of the upload is not what was promised */
    uint32_t lying_site, lying_more;
    bool lies_once;      /* in the first attempt of the round only */
    uint64_t away_round; /* 0: nobody; else the site says that it cannot do that round's task */
    uint32_t away_site;
    uint64_t
        restart_round; /* 0: nobody; else the site is killed once tasked, and is back at once */
    uint32_t restart_site;
    void (*while_down)(void);   /* NULL: nothing; while the restarted site is down */
    uint64_t rolled_back_round; /* 0: never; else restart_site is then set back to the state folder
                                   that it had in restart_round, and goes on with that */
    bool rolls_back_all;        /* ledger, rows and blobs too; else the journal alone */
    bool copies_early; /* all of it, of when the words were reserved and not in the journal yet */
    uint64_t confirmed_round; /* 0: never; else its administrator says that this is known */
    uint64_t
        bounced_round; /* 0: never; else restart_site is started again when that is the round */
    /* 0: never; else the coordinator is killed when a site has asked about that round, before it
     * hears it; and whether only a site that comes back counts. */
    uint64_t audit_restart_round;
    bool restarts_for_late;
    uint64_t staged_round; /* 0: never */
    enum masked_staged staged;
    uint64_t dark_from,
        dark_until; /* 0: never; rounds in which a site's link breaks all the time */
    uint32_t dark_site;
    struct dying_plan dying; /* dead parties are back at once */
    uint32_t keyless_site;   /* has no keys; with plan 0, none: set MASKED_NONE */
    /* The signed roster has sites of other studies too, one of them revoked, and numbers that are
     * neither one after the other nor in the order of the names. */
    bool has_strangers;
    uint32_t colluding_floor; /* of every site */
    bool may_leave_out;       /* statistics of a round that sends its update */
    double budget;            /* epsilon of every site; 0: what the study asks for */
    double poor_budget;       /* of the last site alone; 0: as the others */
    bool is_rehearsal;        /* csl_service_config */
    bool is_unmasked;         /* plain sums where the study wants masks; nobody has keys */
    const uint64_t *noise_seed;
    const struct csl_agent_tamper *tamper; /* NULL: nobody; else of tamper_site */
    uint32_t tamper_site;
    /* Sees every SECAGG message before it leaves, either way, and may replace it; NULL: nobody. */
    bool (*meddle)(enum csl_direction to, uint32_t site, struct csl_message *m);
    bool meddles_with_all; /* every other control message too */
    /* NULL: nobody. After the sites could hear the end and are closed; their folders still stand.
     */
    void (*at_end)(void);
};
struct masked_plain { /* where in `plain` the update of a site stands */
    uint32_t site;
    uint64_t round;
    size_t at;
};
struct masked_evaluation {
    uint64_t round;
    struct csl_eval_block block;
};
struct masked_result {
    enum csl_code code; /* of the study */
    char reason[256];
    float *model; /* [parameters], owned */
    uint32_t parameters;
    uint64_t rounds;
    uint32_t contributions[MASKED_ROUNDS_MAX];
    uint32_t fewest[MASKED_ROUNDS_MAX]; /* sites in the sum's block with the fewest */
    double train_loss[MASKED_ROUNDS_MAX];
    struct masked_evaluation *evaluations; /* of all sites together, as they came; owned */
    uint32_t evaluation_count;
    struct csl_published *published; /* in the order of rounds and domains, each once; owned */
    uint32_t published_count;
    uint64_t site_rounds[MASKED_SITES];
    enum csl_membership membership[MASKED_SITES];
    double epsilon[MASKED_SITES]; /* as the ledgers say; 0: no ledger */
    uint64_t charges[MASKED_SITES];
    double statistics_epsilon[MASKED_SITES]; /* likewise, of the study's statistics */
    uint64_t statistics_charges[MASKED_SITES];
    struct csl_buf sent;  /* every byte of every control message and upload, in order */
    struct csl_buf plain; /* every update as it stood on disk before it was masked, or unmasked */
    struct masked_plain plains[MASKED_SITES * (MASKED_ROUNDS_MAX + 1)];
    uint32_t plain_count;
    uint32_t counts_told; /* messages with a number of patients above 1 or of an evaluation */
    uint32_t losses_told; /* messages with a loss that is not 0 */
    uint32_t uploads, uncharged; /* uncharged: sent about a round that the ledger did not hold */
    uint64_t cuts, sessions;
    uint64_t writes[MASKED_SITES + 1]; /* durable, of each site and of the service */
    uint32_t requests, answers;        /* M14 that sites sent; chunks answered */
    char last_error[MASKED_SITES][192];
    uint32_t stages;            /* bits: in which somebody was started again */
    uint32_t deaths, abandoned; /* abandoned: attempts whose certificate reached a site */
};

/* That train. Only the last three sites know who is severe, only the first two who is rare;
 * the last three know "partly", of two patients in three. */
extern uint64_t masked_patients[MASKED_SITES];
void masked_open(struct fixture *f); /* instead of fixture_open */
/* fixture_validate of a site's records. */
void masked_validate(const struct fixture *f, uint32_t site);
struct csl_study *masked_study(const struct masked_plan *plan);
/* Fails the test where a core's invariant breaks or the study does not end. */
void masked_run(struct fixture *f, const struct masked_plan *plan, struct masked_result *out);
void masked_release(struct masked_result *r);

#endif
