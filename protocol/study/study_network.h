/* protocol/study/study_network.h - sizes and parts of a study's networks; part of study.h. */
#ifndef CSL_STUDY_NETWORK_H
#define CSL_STUDY_NETWORK_H
#include "base/limits.h"

#include <stdint.h>

/* Sizes of the models that are more than linear layers; 0 where the kind has none. */
struct csl_model_sizes {
    /* cnn1d, cnn2d, stage by stage: convolution (padding kernel / 2), group norm, ReLU, max pool;
     * then the mean over positions and a linear layer */
    uint32_t channels[CSL_HIDDEN_LAYERS_MAX], stages;
    uint32_t kernel, stride; /* kernel is odd */
    uint32_t pool;           /* 1: none */
    uint32_t groups;         /* of the norm; divides every stage's channels; 0: no norm */
    uint32_t width;          /* bag, transformer: of a word or token; multimodal: of an input */
    /* transformer: patch divides every axis, heads divide width */
    uint32_t patch, heads, layers;
};

/* Of the linear layers of a frozen encoder, which itself never changes: y = W x + b + alpha / rank
 * * up (down x), down [rank, in] and up [out, rank] (Hu et al. 2022, LoRA). */
struct csl_adapter {
    uint32_t rank; /* 0: none, and the rest is 0 */
    double alpha;
};

enum csl_fusion_kind {
    CSL_FUSION_GATED, /* shares of the inputs present learned from them (compute/params.h) */
    CSL_FUSION_MEAN   /* all present alike */
};

/* What a domain with several inputs reads and how it joins them. */
struct csl_domain_fusion {
    uint32_t inputs[CSL_STUDY_INPUTS_MAX]; /* [input_count] of the study's inputs, ascending */
    uint32_t input_count; /* 0: a domain that reads one modality itself, and the rest is 0 */
    enum csl_fusion_kind kind;
    double modality_dropout; /* [0, 1): an input present is taken as absent so often in training */
};

#endif
