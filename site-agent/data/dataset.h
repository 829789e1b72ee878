/* site-agent/data/dataset.h - one site's records of one study, in memory, ready for training.
 *
 * Loaded from a record file (data/record.h) under a study: only the domains and labels the study
 * names are read, shapes, classes and units are checked against it (a unit that only one of them
 * states is not checked), features are scaled as it says. A site
 * without a modality or label simply lacks that domain. Immutable after loading; any thread. */
#ifndef CSL_DATASET_H
#define CSL_DATASET_H
#include "protocol/study/study.h"

enum csl_split { CSL_SPLIT_TRAIN, CSL_SPLIT_VALIDATION, CSL_SPLIT_TEST, CSL_SPLIT_COUNT };

/* R records with a known label in one split of one domain. */
struct csl_examples {
    uint32_t records;  /* R */
    uint32_t patients; /* distinct patients */
    uint32_t width;    /* D, the domain's flattened input width */
    float *x;          /* [R, D] row-major; scaled; a missing value is 0 (the centre) */
    uint32_t
        *patient;   /* [R] index of the patient within these examples, 0..patients-1, ascending */
    uint8_t *label; /* [R] class index; binary 0/1; survival: 1 event observed, 0 censored */
    float *time;    /* [R] survival only, else NULL */
    /* [patients, A] of the A attributes in study->fairness: place of the patient's value among the
     * file's values in order, from 1; 0: not known. NULL unless the study weighs patient groups,
     * and in a pooled dataset. */
    uint8_t *level;
};
struct csl_dataset {
    char site[CSL_ID_MAX];
    const struct csl_study *study; /* borrowed */
    uint32_t domain_count;         /* = study->domain_count */
    struct csl_examples (
        *domains)[CSL_SPLIT_COUNT]; /* [domain_count]; records 0: the site has none */
    uint64_t bytes;                 /* memory held */
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
/* Training patients per domain. */
uint64_t csl_dataset_patients(const struct csl_dataset *d, uint32_t domain, enum csl_split split);

#endif
