/* site-agent/training/fused.h - the model of a study with inputs on one site's records: a chain of
 * layers per input, meeting in the fusion of every domain that reads it. All domains take part in a
 * step at once, so that an input that two of them read has one gradient; only nets whose block the
 * site has data for run. */
#ifndef CSL_FUSED_H
#define CSL_FUSED_H
#include "site-agent/data/multimodal.h"
#include "site-agent/training/trainer.h"

/* The truth of one domain, by rows of the split. */
struct csl_fused_domain {
    uint32_t answers; /* labels of a row, K: 1, or several yes/no ones */
    uint8_t *known;   /* [R, K] it counts: it is known and an input of the row there; owned */
    uint8_t *label;   /* [R, K] 0 where unknown; owned */
    uint8_t *mask;    /* [R, inputs of the domain] which are there; owned */
    float *weights;   /* [R] one over the patient's rows that count; owned */
    float *time;      /* survival: [R]; of a row that does not count minus infinity, so that it is
                         behind all others and in no risk set of theirs; else NULL; owned */
};
struct csl_fused {
    struct csl_trainer *t;
    const struct csl_multimodal_split *split; /* borrowed */
    bool runs[CSL_BLOCKS_MAX];                /* by net */
    bool trains[CSL_BLOCKS_MAX];              /* of those that run, which learn */
    /* what a domain's gradient counts in that of an input; 1 but where domains have weights */
    float factors[CSL_DOMAINS_MAX][CSL_STUDY_INPUTS_MAX];
    const double *group_weights; /* csl_train_task.group_weights; borrowed */
    bool weighs_patients; /* mode joint: factors are csl_fused_share, and act behind the clip */
    struct csl_fused_domain domains[CSL_DOMAINS_MAX];
    struct csl_augmented augmented[CSL_STUDY_INPUTS_MAX];
    uint64_t parameters;  /* of the nets that learn */
    struct csl_pass pass; /* rows, and for training the seed of modality dropout and of
                             changes of inputs */
    /* What csl_batches wants: patients and rows, whatever is to be learned of them. */
    struct csl_examples all;
    uint8_t *no_labels; /* owned */
};

/* Nets run whose block the data has training patients for. */
enum csl_code csl_fused_open(struct csl_fused *f, struct csl_trainer *t,
                             const struct csl_dataset *data, struct csl_err *err) CSL_MUST_CHECK;
/* The two halves of it, for a view of a split: nothing runs yet, and a domain without its truth,
 * whose inputs in the bits `absent` are taken as absent. csl_fused_close, also after a failure. */
void csl_fused_begin(struct csl_fused *f, struct csl_trainer *t,
                     const struct csl_multimodal_split *split);
enum csl_code csl_fused_open_domain(struct csl_fused *f, uint32_t domain, uint32_t absent,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* Mode joint: what a patient of a domain counts in an input that it reads, in (0, 1]: the domain's
 * weight over the largest one of all domains of the study that read the input. weights:
 * [domain_count], above 0 and public. */
double csl_fused_share(const struct csl_study *s, const double *weights, uint32_t domain,
                       uint32_t input);
/* csl_train_task.domain_weights. */
void csl_fused_weigh(struct csl_fused *f, const struct csl_dataset *data, const double *weights);
void csl_fused_close(struct csl_fused *f);
/* Work memory for `rows` rows. */
enum csl_code csl_fused_fit(struct csl_fused *f, uint64_t rows, struct csl_err *err) CSL_MUST_CHECK;
/* How many rows, at most `wanted` and at least 1, fit a fixed amount of memory. */
uint64_t csl_fused_rows_at_once(const struct csl_fused *f, uint64_t wanted);
/* Rows rows[0..count) of the split onto the device; with f->pass.is_training, inputs are changed
 * and left out as they and the domains say, by (f->pass.seed, domain, row): never by place in the
 * batch. */
void csl_fused_load(struct csl_fused *f, const uint32_t *rows, uint64_t count);
void csl_fused_forward(struct csl_fused *f);
/* Each domain's loss, times `scale`, to losses[first + domain] of the trainer, and the way back
 * down to what the parameters of every layer need. */
void csl_fused_backward(struct csl_fused *f, double scale, uint64_t first);
/* The gradient of rows [at, at + rows) of what was loaded, into the gradient vector's blocks. */
void csl_fused_grad_part(struct csl_fused *f, uint64_t at, uint64_t rows);

#endif
