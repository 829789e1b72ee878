/* protocol/study/study.h - a study: what is asked, of which data, by which model, how it is trained
 * and aggregated. Read from one YAML file (product.md section 2), the same bytes at the study lead,
 * the coordinator and every site; its digest (BLAKE2b of the canonical bytes) names it.
 *
 * Immutable after csl_study_parse; shared read-only between threads. */
#ifndef CSL_STUDY_H
#define CSL_STUDY_H
#include "aggregation/tensor/schema.h"
#include "base/yaml.h"
#include "protocol/study/study_aggregation.h"
#include "protocol/study/study_augment.h"
#include "protocol/study/study_baseline.h"
#include "protocol/study/study_census.h"
#include "protocol/study/study_fairness.h"
#include "protocol/study/study_network.h"
#include "protocol/study/study_privacy.h"
#include "protocol/study/study_schedule.h"
#include "protocol/study/study_simulation.h"
#include "protocol/study/study_statistics.h"

#include <stdbool.h>

enum csl_modality {
    CSL_TABULAR,
    CSL_IMAGE2D,
    CSL_SIGNAL,
    CSL_EHR_SERIES, /* steps x variables, mostly missing */
    CSL_TEXT,       /* hashed token ids */
    CSL_EMBEDDING,  /* a vector from a frozen encoder */
    CSL_IMAGE3D,
    CSL_MODALITY_COUNT
};
enum csl_task_kind {
    CSL_TASK_BINARY,
    CSL_TASK_CLASSES,
    CSL_TASK_SURVIVAL,
    CSL_TASK_LABELS, /* several yes/no answers at once, each known or not */
    CSL_TASK_KIND_COUNT
};
enum csl_scaling {
    CSL_SCALING_CONSTANTS, /* (x - centre) / scale with the study's public constants; default 0 and
                              1 */
    CSL_SCALING_SITE /* z-score by the site's own training patients: mean, std with ddof 1, + 1e-9
                      */
};
enum csl_model_kind {
    CSL_MODEL_LINEAR,
    CSL_MODEL_COX,
    CSL_MODEL_MLP,
    CSL_MODEL_CNN1D,       /* convolutions over the samples of a signal or the steps of a series */
    CSL_MODEL_CNN2D,       /* over an image */
    CSL_MODEL_BAG,         /* mean of the embeddings of a text's ids, then layers */
    CSL_MODEL_TRANSFORMER, /* over patches of an image, a signal or a series */
    CSL_MODEL_MULTIMODAL,  /* encoders of several inputs, fused, then layers */
    CSL_MODEL_COUNT
};

/* What a model is told of the steps of a series at which a variable was not measured. */
enum csl_missing {
    CSL_MISSING_CENTRE,        /* nothing: they look like the mean */
    CSL_MISSING_MASK,          /* a second input per variable: 1 measured, 0 not */
    CSL_MISSING_MASK_AND_DELTA /* and a third: steps since it was last measured, or since the start,
                                  over all steps; 0 at the first step (Che et al. 2018, GRU-D) */
};
/* Of each variable in a window: mean, smallest, largest, first, last, and the part of the steps
 * with a measurement. */
#define CSL_SUMMARY_INPUTS 6
/* Of each channel of an image with `scattering` (site-agent/data/scattering.h): one low-pass
 * coefficient, four directions at two scales, four times four of second order; one of each for
 * every 4 x 4 pixels. */
#define CSL_SCATTERING_PATHS 25
#define CSL_SCATTERING_STEP  4

struct csl_feature {
    char name[CSL_ID_MAX]; /* free text of a column may differ: the import mapping says so */
    char unit[24];
    double centre, scale;        /* used with CSL_SCALING_CONSTANTS; scale > 0 */
    double clip;                 /* after scaling, to [-clip, clip]; 0: none */
    double range_min, range_max; /* plausible raw values, for `data check`; equal: not stated */
};

/* Modality + task, one model block of the same id. A study with inputs describes those by the same
 * struct: modality to width, and as model the encoder, whose outputs are the fusion's width; and
 * its domains have in place of modality, scaling, features and shape the fusion. */
struct csl_domain {
    char id[CSL_ID_MAX];
    enum csl_modality modality;
    enum csl_task_kind task;
    char label[CSL_ID_MAX];     /* name of the label in the record file; "" with several */
    char (*labels)[CSL_ID_MAX]; /* labels: [label_count] their names; owned by the study */
    uint32_t label_count;       /* 0 for all other tasks */
    char positive[CSL_ID_MAX];  /* binary: what label value 1 means, for people; "" */
    uint32_t classes;           /* 2 for binary and labels, >= 2 for classes, 0 for survival */
    /* Labels behind those of the classes: label classes + i says that it is one of those in bits
     * merged[i], and no more. In training only: nothing is judged by them. */
    uint64_t merged[CSL_CLASSES_MAX];
    uint32_t merged_count;
    enum csl_scaling scaling;
    struct csl_feature *features; /* tabular, ehr_series: [feature_count]; owned by the study */
    uint32_t feature_count;
    /* image2d: height, width, channels; signal: samples, channels; ehr_series: steps or windows,
     * inputs of one (feature_count of them for each of its values, see `missing`, `windows`); text:
     * tokens, buckets, words of an n-gram; embedding: its length; image3d: depth, height, width,
     * channels; the rest 1. tabular: 0 */
    uint32_t shape[4];
    enum csl_missing missing; /* ehr_series without windows */
    uint32_t windows; /* ehr_series: the record's steps in so many parts of equal length, rounded
                         down, each as CSL_SUMMARY_INPUTS values per variable; 0: the steps */
    uint32_t steps;   /* of the record, with windows; else 0: they are shape[0] */
    double measured_scale; /* ehr_series with windows: divides the part measured; else 1 */
    bool scatters;         /* image2d: shape is of the scattering coefficients of its images */
    double centre, scale;  /* without features: one constant for all values; not used for text */
    struct csl_study_augment augment; /* image2d, signal */
    uint32_t width; /* flattened model input D: feature_count, tokens, or the product of shape; with
                       inputs: of all of them */
    enum csl_model_kind model;
    uint32_t hidden[CSL_HIDDEN_LAYERS_MAX], hidden_count; /* mlp, bag, multimodal: of the head */
    struct csl_model_sizes sizes;
    struct csl_domain_fusion fusion; /* multimodal */
    bool has_bias;                   /* linear, cox: FLamby's Cox layer has one though it cancels */
    uint32_t outputs; /* logits: 1 for binary and survival, else the classes or labels */
    enum csl_block_kind block_kind; /* of its block; shared in a study without inputs */
    struct csl_adapter adapter;     /* of an input whose block is frozen */
};

struct csl_local_training {
    enum csl_optimizer_kind optimizer;
    double learning_rate, momentum, beta1, beta2, epsilon;
    double weight_decay;          /* adamw: every step also takes rate * weight_decay * w; else 0 */
    struct csl_schedule schedule; /* over all steps of all rounds of a site */
    uint32_t batch_patients;      /* 0: the whole training set in one batch ("full" in YAML) */
    uint32_t steps;               /* local updates per round; 0 with epochs */
    uint32_t epochs;        /* passes over the site's training patients per round; 0 with steps */
    double effective_steps; /* FedNova's tau; set only with strategy fednova */
    double l2;          /* ridge added to each step's mean loss: l2 / 2 * ||w||^2, bias included */
    double proximal_mu; /* FedProx: mu / 2 * ||w - w_global||^2; set only with strategy fedprox */
};

struct csl_study {
    char id[CSL_ID_MAX];
    char question[256];
    struct csl_domain *inputs; /* [input_count]; none: every domain reads one modality itself */
    uint32_t input_count;
    struct csl_domain *domains; /* [domain_count] */
    uint32_t domain_count;
    struct csl_local_training local;
    uint32_t rounds;
    struct csl_aggregation aggregation;
    struct csl_study_privacy privacy;
    struct csl_study_secagg secagg;
    struct csl_study_fairness fairness;
    struct csl_study_release release;
    struct csl_study_census census; /* on: model, training and aggregation are not read */
    struct csl_study_statistics statistics;
    uint32_t minimum_sites; /* a round needs this many contributions */
    char (
        *participants)[CSL_ID_MAX]; /* [participant_count] sites to wait for; none: minimum_sites */
    uint32_t participant_count;
    uint64_t round_deadline_ms; /* after it, a round closes with what it has, if >= minimum_sites */
    uint32_t evaluate_every;    /* 0: only at the end */
    struct csl_baseline baseline;
    struct csl_study_personal personal;
    struct csl_sim_site *sim_sites; /* [sim_site_count]; not part of the digest */
    uint32_t sim_site_count;
    struct csl_sim_site *external_sites; /* [external_site_count] never train, in no round; the
                                            released model is judged there; likewise */
    uint32_t external_site_count;
    struct csl_schema schema; /* of the model described above: block d is domain d's, behind them
                                 block domain_count + i is input i's, and then one for the adapter
                                 of each input that has one, in their order */
    uint8_t digest[CSL_DIGEST_BYTES];
    struct csl_msg manifest; /* the YAML bytes as read */
};

/* `name` is shown in errors. On failure *err names file, line, column, field, what was found and
 * what would be right. Also checks contradictions (strategy against weights, minimum_sites against
 * participants, a strategy that does not exist, epsilon without delta, ...). */
enum csl_code csl_study_parse(struct csl_study **out, const char *name, struct csl_span yaml,
                              struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_study_read(struct csl_study **out, const char *path,
                             struct csl_err *err) CSL_MUST_CHECK;
void csl_study_free(struct csl_study *s);
const struct csl_domain *csl_study_find_domain(const struct csl_study *s,
                                               const char *id); /* NULL */
/* The record file's label `name` is one that the domain asks for. */
bool csl_domain_asks_for(const struct csl_domain *d, const char *name);
/* Test records of the domain become counts that add up (aggregation/evaluate/sums.h): of one binary
 * label or of classes. */
bool csl_domain_is_counted(const struct csl_domain *d);
/* What it predicts, for people: the label's name, or all names with commas, cut where dst ends. */
#define CSL_LABEL_TEXT_MAX (CSL_TASK_LABELS_MAX * (CSL_ID_MAX + 1)) /* bytes of it, at most */
void csl_domain_label_text(const struct csl_domain *d, char *dst, size_t dst_bytes);
/* True when input k of [d->width] is a value of a feature, scaled and clipped like it. False for a
 * mask, a time and a part measured of a series, which lie between 0 and 1, are never clipped, and
 * are only divided by d->measured_scale. */
bool csl_domain_is_value(const struct csl_domain *d, uint32_t k);
/* image2d: height, width and channels of what the records hold. */
void csl_domain_image_shape(const struct csl_domain *d, uint32_t shape[3]);
const char *csl_modality_name(enum csl_modality m);           /* as the study file spells it */
const char *csl_task_name(enum csl_task_kind task);           /* likewise */
const char *csl_optimizer_name(enum csl_optimizer_kind kind); /* likewise */
const char *csl_domain_reads(const struct csl_domain *d); /* that of its modality; "multimodal" */
void csl_study_input_block(char out[CSL_ID_MAX], const struct csl_domain *input);   /* its name */
void csl_study_adapter_block(char out[CSL_ID_MAX], const struct csl_domain *input); /* likewise */
/* The input that a block behind those of the domains belongs to. */
uint32_t csl_study_input_of(const struct csl_study *s, uint32_t block);
const char *csl_model_kind_name(enum csl_model_kind kind); /* likewise */
const char *csl_block_kind_name(enum csl_block_kind kind); /* "all", "frozen", "local" */
/* The domain reads that input, by its index. */
bool csl_domain_has_input(const struct csl_domain *d, uint32_t input);
/* A block of this kind is in the model. */
bool csl_study_has_kind(const struct csl_study *s, enum csl_block_kind kind);
const char *csl_privacy_mode_name(enum csl_privacy_mode m); /* "none", "local", "site", "joint" */
/* A model may be the base of two rounds: one that is not applied leaves it, and every update has
 * noise of its own that is charged. */
bool csl_study_repeats_models(const struct csl_study *s);
/* Updates of one round may be of several models: strategy fedbuff. */
bool csl_study_is_buffered(const struct csl_study *s);
/* What one site counts with at most in a masked block of lanes: weight_cap, times the cap of the
 * domains' weights if there are any; 0: no bound is stated. */
double csl_study_mass_cap(const struct csl_study *s);
/* The smallest lane_bits with CSL_STUDY_LEVELS_MIN for a roster of `sites`. */
uint32_t csl_study_lane_bits(uint32_t sites);
/* What the study would reveal, to whom, at what privacy price, in plain words (study check). */
struct csl_buf;
void csl_study_explain(const struct csl_study *s, struct csl_buf *out);

#endif
