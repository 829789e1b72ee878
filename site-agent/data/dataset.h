/* site-agent/data/dataset.h - one site's records of one study, in memory, ready for training.
 *
 * Loaded from a record file (data/record.h) under a study: only the domains and labels the study
 * names are read, shapes, classes and units are checked against it (a unit that only one of them
 * states is not checked), features are scaled as it says. A site
 * without a modality or label simply lacks that domain. A domain of several inputs has the records
 * with a known label and at least one of its inputs. A domain of several labels has the records
 * with one of them or more; a label whose column the site lacks is unknown in all of them.
 * Of a census the values stay as they are, and a missing one is NaN.
 * Immutable after loading; any thread. */
#ifndef CSL_DATASET_H
#define CSL_DATASET_H
#include "protocol/study/study.h"

struct csl_multimodal;
struct csl_multimodal_split;

enum csl_split { CSL_SPLIT_TRAIN, CSL_SPLIT_VALIDATION, CSL_SPLIT_TEST, CSL_SPLIT_COUNT };

/* R records with a known label in one split of one domain. */
struct csl_examples {
    uint32_t records;  /* R */
    uint32_t patients; /* distinct patients */
    uint32_t width;    /* D, the domain's flattened input width */
    float *x;          /* [R, D] row-major; scaled; a missing value is 0 (the centre) */
    uint32_t
        *patient;   /* [R] index of the patient within these examples, 0..patients-1, ascending */
    uint8_t *label; /* [R] class index, in training also one of the merged; binary 0/1; survival: 1
                       event observed, 0 censored */
    float *time;    /* [R] survival only, else NULL */
    /* Several labels: label is all 0, and record r has the answers [r, K], each 0 or 1 where
     * answer_known is 1 and 0 where it is 0; at least one of a record's is known. */
    uint32_t answer_count; /* K; 0 for all other tasks */
    uint8_t *answer;       /* [R, K]; owned; else NULL */
    uint8_t *answer_known; /* [R, K]; owned; else NULL */
    /* A study with inputs: x is NULL, and record r is row row[r] of what the site has of them. */
    const struct csl_multimodal_split *of; /* multimodal.h; of the data set */
    uint32_t *row;                         /* [R] ascending; owned */
    uint32_t absent; /* bit i: input i of the study is taken as absent from all records */
    /* [patients, A] of the A attributes in study->fairness: place of the patient's value among the
     * file's values in order, from 1; 0: not known. NULL unless the study weighs patient groups,
     * and in a pooled dataset. */
    uint8_t *level;
    /* [patients, A] likewise, of the patient's value among those that the study lists; 0: none of
     * them. NULL unless sites count patients by group, in evaluations or
     * statistics (protocol/study/evaluation.h), and in a
     * pooled dataset. */
    uint8_t *group;
};
struct csl_dataset {
    char site[CSL_ID_MAX];
    const struct csl_study *study; /* borrowed */
    uint32_t domain_count;         /* = study->domain_count */
    struct csl_examples (
        *domains)[CSL_SPLIT_COUNT];    /* [domain_count]; records 0: the site has none */
    struct csl_multimodal *multimodal; /* a study with inputs: all of them; else NULL; owned */
    uint64_t *input_patients; /* [study->input_count] csl_dataset_block_patients of them; owned */
    uint64_t bytes;           /* memory held */
};

/* How raw values become inputs. Under CSL_SCALING_SITE the constants come from the site's own
 * training records; `override` (may be NULL) replaces them for the pooled baseline. */
struct csl_feature_constants {
    uint32_t count; /* = width of the domain */
    double *centre, *scale;
};

enum csl_code csl_dataset_load(struct csl_dataset **out, const char *record_path,
                               const struct csl_study *study, struct csl_err *err) CSL_MUST_CHECK;
void csl_dataset_free(struct csl_dataset *d);
/* All sites as if they were one (pooled baseline, simulations only): concatenates in the given
 * order; site-scaled domains are rescaled by the statistics of all sites' training records
 * together. Patients of different sites stay distinct; site_of (may be NULL) receives, per domain
 * and split, an owned [records] array of indices into record_paths. */
enum csl_code csl_dataset_load_pooled(struct csl_dataset **out, const char *const *record_paths,
                                      uint32_t count, const struct csl_study *study,
                                      struct csl_err *err) CSL_MUST_CHECK;
/* Patients per domain. */
uint64_t csl_dataset_patients(const struct csl_dataset *d, uint32_t domain, enum csl_split split);
/* Training patients with something of a block of the study's schema: of a domain as above; of an
 * input, those with a record that has it and counts in a domain that reads it. */
uint64_t csl_dataset_block_patients(const struct csl_dataset *d, uint32_t block);
/* Every training patient once, whatever the domain; without inputs an upper bound. */
uint64_t csl_dataset_patients_at_most(const struct csl_dataset *d);

#endif
