/* site-agent/data/multimodal.h - several modalities and several tasks of the same records, in
 * memory, ready for a model that takes what is there.
 *
 * The view of dataset.h keeps, per domain, the records that have its one modality and its one
 * label. Here a record is kept once: when it has at least one of the inputs and at least one known
 * target. What it lacks is said, never guessed: a bit per input, a bit per measured value where
 * values go missing one by one, lengths where lengths differ, an unknown per target. All inputs of
 * a split have the same rows in the same order, that of the file: patients ascending. A site whose
 * file lacks an input or a label altogether has it in no record; one whose data are not as the
 * study describes them is refused. A modality that has the name of one input is no other's, and a
 * table without any feature of an input is not that input's.
 *
 * Inputs are described by domains (protocol/study/study.h) without regard to their task: id,
 * modality, features, shape and scaling. Immutable after loading; any thread. */
#ifndef CSL_MULTIMODAL_H
#define CSL_MULTIMODAL_H
#include "site-agent/data/dataset.h"

/* One task: one label; or, for several yes/no answers at once (multi-label), several binary ones.
 */
struct csl_target_spec {
    enum csl_task_kind kind;
    uint32_t classes;                 /* as in struct csl_domain */
    const char (*labels)[CSL_ID_MAX]; /* [label_count]; more than one: binary; borrowed */
    uint32_t label_count;
    uint32_t merged; /* classes: labels behind them that stand for several; a file may have them */
};
struct csl_multimodal_spec {
    const struct csl_domain *inputs; /* [input_count]; borrowed while loading */
    uint32_t input_count;
    const struct csl_target_spec *targets; /* [target_count]; borrowed while loading */
    uint32_t target_count;
    const struct csl_study *published; /* NULL, or the study whose statistics count training
                                          patients by group; borrowed while loading */
    bool saturates; /* as csl_dataset_load does under privacy: no single value refuses a site */
};

/* One modality of R records. */
struct csl_inputs {
    uint32_t width;   /* D of the domain */
    float *x;         /* [R, D] row-major, scaled; not measured and not available: 0. NULL: text */
    uint32_t *tokens; /* text: [R, D] ids, 0 behind the note's end; else NULL */
    uint8_t *known;   /* tabular, ehr_series: [R, D] 1 where a value was measured; else NULL */
    uint32_t *length; /* [R] text: tokens; ehr_series: steps up to the last one with a measurement;
                         0 when not available; else NULL */
    uint8_t *available; /* [R] 1: the record has this modality */
};
/* One task of R records with K labels. */
struct csl_targets {
    uint32_t labels; /* K */
    int16_t *value;  /* [R, K] class, or 0/1; -1: unknown, to be left out of loss and scores. NULL:
                        survival */
    float *time;     /* [R] survival: NaN: unknown; else NULL */
    uint8_t *event;  /* [R] survival: 1 event observed, 0 censored; else NULL */
};
struct csl_multimodal_split {
    uint32_t records;  /* R */
    uint32_t patients; /* distinct */
    uint32_t *patient; /* [R] 0..patients-1, ascending */
    uint8_t *group; /* [patients, A] as in struct csl_examples; NULL unless published, and then of
                       training patients; NULL once records of several files are together */
    struct csl_inputs *inputs;   /* [input_count] */
    struct csl_targets *targets; /* [target_count] */
};
struct csl_multimodal {
    char site[CSL_ID_MAX];
    uint32_t input_count, target_count;
    struct csl_multimodal_split splits[CSL_SPLIT_COUNT];
    uint64_t bytes; /* memory held */
};

/* CSL_E_INVAL names file and what differs; else as csl_records_read. Scaling constants of a site
 * come from its training records in this view. */
enum csl_code csl_multimodal_load(struct csl_multimodal **out, const char *record_path,
                                  const struct csl_multimodal_spec *spec,
                                  struct csl_err *err) CSL_MUST_CHECK;
void csl_multimodal_free(struct csl_multimodal *m);
/* Appends the records of `more`, loaded under the same spec at another site: its patients are new
 * ones. *to may be damaged on failure, and is then only to be freed. */
enum csl_code csl_multimodal_append(struct csl_multimodal *to, const struct csl_multimodal *more,
                                    struct csl_err *err) CSL_MUST_CHECK;

#endif
