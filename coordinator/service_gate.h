/* coordinator/service_gate.h - what a round's sum and the model it makes have to pass: the state of
 * both rules, shared by service_gate.c (norms), service_vote.c (votes) and service_gate_kept.c (the
 * file beside the checkpoint, the status). Core thread. */
#ifndef CSL_COORD_SERVICE_GATE_H
#define CSL_COORD_SERVICE_GATE_H
#include "aggregation/gate.h"
#include "aggregation/vote.h"
#include "coordinator/service_internal.h"

#define CSL_GATE_REJECTED_KEPT 256 /* of the newest rounds, what was wrong with them */

struct csl_service_gate {
    struct csl_gate *rule;  /* NULL: norms are not looked at, and the next three are NULL too */
    double *norms, *bounds; /* [block_count] of the round that is judged */
    float *slice;           /* [CSL_SERVICE_SLICE] */
    bool votes;             /* else the rest of this group is 0 */
    struct csl_vote vote;
    /* The last accepted model and what the strategy keeps beside it, while another is on trial. */
    float *accepted, *accepted_state[CSL_SERVICE_STATE_MAX];
    uint64_t rejected_count;
    struct csl_round_rejection rejected[CSL_GATE_REJECTED_KEPT]; /* the newest; number i at
                                                                    i % CSL_GATE_REJECTED_KEPT */
    char reason[CSL_SERVICE_REASON_MAX];
};

/* Keeps it, logs it, tells the observer. in_a_row: with those of its kind before. */
void csl_service_note_rejection__(struct csl_service *s, const struct csl_round_rejection *r,
                                  uint32_t in_a_row);
struct csl_round_rejection *csl_service_newest_rejection__(struct csl_service_gate *g);

#endif
