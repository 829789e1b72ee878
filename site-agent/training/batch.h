/* site-agent/training/batch.h - which records make up step k: the batch sequence of one domain at
 * one site, random by label only, so that any step can be found without running those before it. */
#ifndef CSL_BATCH_H
#define CSL_BATCH_H
#include "site-agent/data/dataset.h"

/* The examples are borrowed and must not change while the sequence is in use. */
struct csl_batches {
    const struct csl_examples *examples;
    uint64_t seed;
    char label[96]; /* of the random stream: purpose and domain */
    char site[CSL_ID_MAX];
    uint32_t patients;     /* per batch, 1..examples->patients; the last of an epoch has fewer */
    uint64_t per_epoch;    /* batches of an epoch */
    uint64_t rows_max;     /* no batch has more records */
    bool is_full;          /* one batch holds every patient, always in the order of the file */
    bool has_repeats;      /* some patient has several records */
    uint64_t step;         /* what inputs are changed by in training; counted by the loop */
    uint64_t epoch;        /* `permutation` is of this epoch; UINT64_MAX: of none yet */
    uint32_t *first;       /* [patients + 1] first record of each patient; the last: records */
    uint32_t *permutation; /* [patients] */
    uint32_t *rows;        /* [rows_max] of the batch found last; only with has_repeats */
    /* [records] the patient's weight (1 without weigh) / records of the patient; NULL: all are 1 */
    float *weights;
};
static inline uint32_t csl_batches_records(const struct csl_batches *b, uint32_t patient)
{
    return b->first[patient + 1] - b->first[patient];
}
/* batch_patients 0: all. `purpose` tells training rounds from baselines. CSL_E_INVAL: the examples
 * are empty, their patients are not 0, 0, .., 1, .. ascending without a gap, a label is not below
 * `classes` (0: survival, 0 or 1), or a time is not finite. */
enum csl_code csl_batches_init(struct csl_batches *b, const struct csl_examples *e,
                               const char *purpose, const char *domain, uint32_t classes,
                               const char *site, uint64_t seed, uint32_t batch_patients,
                               struct csl_err *err) CSL_MUST_CHECK;
void csl_batches_release(struct csl_batches *b);
/* How much each patient counts in the loss; patient_weight: [patients], > 0. Once. CSL_E_NOMEM. */
enum csl_code csl_batches_weigh(struct csl_batches *b, const float *patient_weight,
                                struct csl_err *err) CSL_MUST_CHECK;

struct csl_batch {
    const uint32_t *rows; /* [count] record indices; valid until the next csl_batches_at */
    uint64_t count;
    uint32_t patients;
};
/* The batch of step `position` (from 0). */
struct csl_batch csl_batches_at(struct csl_batches *b, uint64_t position);

/* Breslow's risk sets: order: positions 0..count-1 of the batch by falling time (equal times keep
 * their order), tie_end: one past the last place with the same time. rows NULL: records 0..count-1.
 */
struct csl_time_key {
    float time;
    uint32_t position;
};
void csl_risk_order(const float *time, const uint32_t *rows, uint64_t count,
                    struct csl_time_key *scratch, uint32_t *order, uint32_t *tie_end);

#endif
