/* site-agent/data/dataset_internal.h - the steps behind dataset.h: select, extract raw, scale. */
#ifndef CSL_DATASET_INTERNAL_H
#define CSL_DATASET_INTERNAL_H
#include "site-agent/data/dataset.h"
#include "site-agent/data/record_internal.h"
#include "site-agent/data/scattering.h"

/* The label and modality of one domain in one record file, and for a tabular domain the column of
 * each of its features. */
struct csl_domain_source {
    const struct csl_record_label *label;       /* NULL: the file lacks the domain */
    const struct csl_record_modality *modality; /* NULL: the file lacks the domain */
    uint32_t *columns; /* [feature_count] tabular and ehr_series, else NULL; owned */
    struct csl_scattering *scattering; /* of a domain that scatters, else NULL; owned */
    /* Several labels: each of them, NULL where the file lacks it; `label` is the first it has. */
    const struct csl_record_label *labels[CSL_TASK_LABELS_MAX];
    uint32_t label_count; /* 0 for all other tasks */
};
void csl_source_release__(struct csl_domain_source *source); /* also of an empty one */
/* dataset_labels.c: the labels of the domain in the file, into out->label, labels, label_count.
 * CSL_E_INVAL: one of them has other classes than the study says; only looked at with has_input. */
enum csl_code csl_labels_find__(const struct csl_domain *d, const struct csl_records *r,
                                const char *file, bool has_input, struct csl_domain_source *out,
                                struct csl_err *err) CSL_MUST_CHECK;
/* The record has a known label of the source. */
bool csl_labels_known__(const struct csl_domain_source *source, uint32_t record);
/* Room for the answers of e->records records with `count` labels (0: none is needed). */
enum csl_code csl_answers_alloc__(struct csl_examples *e, uint32_t count,
                                  struct csl_err *err) CSL_MUST_CHECK;
/* Answer k of example n from a value of a record file. */
void csl_answer_set__(struct csl_examples *e, uint32_t n, uint32_t k, int16_t value);
/* A domain takes the modality of its kind that is named as the domain or as its label; otherwise
 * the only one of its kind with its shape or features. CSL_E_INVAL names file and feature, shape or
 * label when the file has the data but not as the study describes them. */
enum csl_code csl_domain_find__(const struct csl_domain *d, const struct csl_records *r,
                                const char *file, struct csl_domain_source *out,
                                struct csl_err *err) CSL_MUST_CHECK;

/* The same without the label: what the domain reads, whatever it predicts. */
/* rivals: the other inputs of the study (d may be among them), or NULL: a modality that is named as
 * one of them is not d's, nor is a table or series without a single feature of d. */
enum csl_code csl_input_find__(const struct csl_domain *d, const struct csl_domain *rivals,
                               uint32_t rival_count, const struct csl_records *r, const char *file,
                               struct csl_domain_source *out, struct csl_err *err) CSL_MUST_CHECK;

/* True when study and record file both state a unit of feature i of the domain, and not the same:
 * the numbers mean something else than the study thinks. The source has a table. */
bool csl_domain_unit_differs__(const struct csl_domain *d, const struct csl_domain_source *source,
                               uint32_t i);
/* CSL_E_INVAL for the first such feature, naming file, modality, feature and both units. */
enum csl_code csl_domain_units__(const struct csl_domain *d, const struct csl_domain_source *source,
                                 const char *file, struct csl_err *err) CSL_MUST_CHECK;

/* Records of one split with the modality and a known label. */
uint32_t csl_examples_count__(const struct csl_records *r, const struct csl_domain_source *source,
                              enum csl_split split);
/* Unscaled examples of one split, missing values NaN; x stays NULL when the values were not read.
 * Empty when the source is. record (NULL, or room for csl_examples_count__): where they lie in the
 * file. */
enum csl_code csl_examples_extract__(const struct csl_records *r, const struct csl_domain *d,
                                     const struct csl_domain_source *source, enum csl_split split,
                                     struct csl_examples *out, uint32_t *record,
                                     struct csl_err *err) CSL_MUST_CHECK;
/* e->level of examples that lie at record[e->records] in the file. CSL_E_LIMIT: an attribute has
 * more than 16 values. */
enum csl_code csl_examples_levels__(const struct csl_records *r,
                                    const struct csl_study_fairness *asked, const uint32_t *record,
                                    struct csl_examples *e, struct csl_err *err) CSL_MUST_CHECK;
/* e->group, likewise. */
enum csl_code csl_examples_groups__(const struct csl_records *r, const struct csl_study *study,
                                    const uint32_t *record, struct csl_examples *e,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* The inputs of one record, unscaled, missing values NaN: its values in the domain's order of
 * features, the ids of its first tokens and zeros behind them, or its scattering coefficients. One
 * thread at a time with a source. to: [d->width] */
void csl_inputs_copy__(const struct csl_domain *d, const struct csl_domain_source *source,
                       uint32_t record, float *to);
/* Appends `more` (of another site: its patients are new ones) to *to. */
enum csl_code csl_examples_append__(struct csl_examples *to, const struct csl_examples *more,
                                    struct csl_err *err) CSL_MUST_CHECK;
void csl_examples_release__(struct csl_examples *e);

/* dataset_inputs.c: a study with inputs. Files one after another, as of one site; each file's
 * inputs are scaled by itself. */
enum csl_code csl_dataset_fill__(struct csl_dataset *d, const char *const *paths, uint32_t count,
                                 struct csl_err *err) CSL_MUST_CHECK;

/* Mean and standard deviation (ddof 1) of the known values of each input, of a series of each
 * variable over all steps: every row once with add, then mean, then every row once with square. */
struct csl_site_sums {
    uint32_t period, width;
    double *mean, *squares; /* [period]; mean holds the sum until csl_site_sums_mean__; owned */
    uint64_t *known;        /* [period]; owned */
};
enum csl_code csl_site_sums_init__(struct csl_site_sums *s, const struct csl_domain *d,
                                   struct csl_err *err) CSL_MUST_CHECK;
void csl_site_sums_add__(struct csl_site_sums *s, const float *row); /* [width] unscaled */
void csl_site_sums_mean__(struct csl_site_sums *s);
void csl_site_sums_square__(struct csl_site_sums *s, const float *row);
void csl_site_sums_release__(struct csl_site_sums *s);
/* The constants of `d`: its own, or those of `sums` when it is scaled by site. */
enum csl_code csl_constants_from__(const struct csl_domain *d, const struct csl_site_sums *sums,
                                   struct csl_feature_constants *out,
                                   struct csl_err *err) CSL_MUST_CHECK;
/* centre and scale of every input of `d`, from the study or from `train` (dataset.h). A scale of
 * infinity marks an input without any known training value: it becomes 0 everywhere. */
enum csl_code csl_constants_make__(const struct csl_domain *d, const struct csl_examples *train,
                                   struct csl_feature_constants *out,
                                   struct csl_err *err) CSL_MUST_CHECK;
void csl_constants_release__(struct csl_feature_constants *c);
/* One row of the following. `saturates` as there. */
enum csl_code csl_row_scale__(float *row, const struct csl_domain *d,
                              const struct csl_feature_constants *c, bool saturates,
                              struct csl_err *err) CSL_MUST_CHECK;
/* In place: (x - centre) / scale, clip, missing to 0. What does not fit float32 becomes its largest
 * value (saturates) or CSL_E_INVAL. */
enum csl_code csl_examples_scale__(struct csl_examples *e, const struct csl_domain *d,
                                   const struct csl_feature_constants *c, bool saturates,
                                   struct csl_err *err) CSL_MUST_CHECK;

#endif
