/* protocol/study/study_simulation.h - what a study says of the sites of its simulations. Not part
 * of the digest, and nothing that daemons read. */
#ifndef CSL_STUDY_SIMULATION_H
#define CSL_STUDY_SIMULATION_H
#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

/* Simulations: a site that means harm. Nothing but csl_world_run reads it; not part of the digest.
 */
enum csl_attack_kind {
    CSL_ATTACK_NONE,
    CSL_ATTACK_SCALED,     /* the update times factor */
    CSL_ATTACK_SIGN_FLIP,  /* the update times -factor */
    CSL_ATTACK_LABEL_FLIP, /* trains on the next class in place of the true one */
    CSL_ATTACK_BACKDOOR    /* trains on records with the trigger and the target class; the update
                              times factor */
};
enum csl_attack_vote { CSL_ATTACK_VOTE_HONEST, CSL_ATTACK_VOTE_FINE, CSL_ATTACK_VOTE_WORSE };
struct csl_sim_attack {
    enum csl_attack_kind kind;
    enum csl_attack_vote vote; /* on every model, whatever its validation patients say */
    double factor;             /* > 0 */
    double share;              /* of the training patients: label_flip, backdoor */
    char trigger[CSL_ID_MAX];  /* backdoor: a tabular feature */
    double value;              /* what the model gets for it, after scaling */
    uint32_t target;           /* class index */
    /* The update is changed in from_round and every `every` rounds after it; records always are. */
    uint32_t from_round, every;
};
const char *csl_attack_name(enum csl_attack_kind kind); /* as the study file spells it; "none" */

/* Where a simulated site gets its records. Exactly one of csv, npz, records, synth is set. Paths
 * are relative: csv, npz and records to --data, mapping to the study file. */
struct csl_sim_site {
    char id[CSL_ID_MAX];
    char csv[256], npz[256], mapping[256], records[256];
    char where_column[CSL_ID_MAX]; /* rows of the csv that are this site's; "": all */
    char where_any_of[8][CSL_ID_MAX];
    uint32_t where_count;
    bool is_synth; /* hospital number synth_index of the standard synthetic federation */
    uint32_t synth_index;
    struct csl_sim_attack attack;
};

#endif
