/* site-agent/training/model.h - a study's model as layers over the flat parameter vector: one net
 * per domain, and the work memory of one batch through it. */
#ifndef CSL_MODEL_H
#define CSL_MODEL_H
#include "protocol/study/study.h"
#include "site-agent/training/layers/layer.h"

/* A transformer has most: patch and place, eight for each of its layers, norm, mean and head. */
#define CSL_NET_LAYERS_MAX (8 * CSL_HIDDEN_LAYERS_MAX + 5)

/* The layers of one domain, in order. Activation i is what layer i takes and i + 1 what it gives.
 */
struct csl_net {
    struct csl_layer layers[CSL_NET_LAYERS_MAX];
    /* Residual connections: activation skip[i] is added to what layer i gives, of the same width;
     * 0: none. */
    uint8_t skip[CSL_NET_LAYERS_MAX];
    uint32_t layer_count;
    /* Several inputs: the first layer fuses what other nets gave, side by side in activation[0],
     * whose gradient they want. */
    bool is_joined;
    uint64_t tokens;       /* text: a record has at most so many ids; 0: its input is numbers */
    uint32_t block;        /* of the schema */
    uint64_t first, count; /* its range of the flat vector */
    /* What of it learns: the block itself, or nothing of a frozen one, or its adapter. */
    struct {
        uint32_t block;
        uint64_t first, count; /* count 0: nothing */
    } trained;
    enum csl_loss_kind loss;
    uint64_t outputs; /* logits per record */
    uint64_t answers; /* labels per record: several yes/no ones of them, else 1 */
    /* The labels of a site as sums of classes (compute/params.h); none: they are the classes. Set
     * by the trainer, in whose memory the map lies. */
    struct csl_view map;
    uint64_t label_classes;
};
/* net.c: finds the tensors by the names of the study's schema ("<domain>.weight",
 * "<domain>.layer0.bias", study_schema.c) and checks their shapes. CSL_E_INVAL: one is missing,
 * misshapen or outside the domain's block. */
enum csl_code csl_net_init(struct csl_net *n, const struct csl_study *study, uint32_t domain,
                           struct csl_err *err) CSL_MUST_CHECK;

/* The encoder of an input of the study, whose block is "input.<id>"; its loss is of no meaning. */
enum csl_code csl_net_init_input(struct csl_net *n, const struct csl_study *study, uint32_t input,
                                 struct csl_err *err) CSL_MUST_CHECK;

/* Memory of one batch: activations, their gradients and what the loss needs. Grows, never shrinks,
 * so that a trainer settles on the memory of its largest batch. */
struct csl_work {
    const struct csl_compute_ops *ops;
    struct csl_dev *dev;
    uint64_t rows; /* room for so many rows of the fitted net */
    /* [0]: the input; f32 [rows, width], or the ids of text, u32, one row's behind the other's */
    struct csl_view activation[CSL_NET_LAYERS_MAX + 1];
    struct csl_view gradient[CSL_NET_LAYERS_MAX + 1]; /* of the same; none for an input
                                                        that is not joined */
    struct csl_view saved[CSL_NET_LAYERS_MAX];        /* what layers leave for the way back */
    struct csl_view offsets;                          /* text: u32 [rows + 1] into the ids */
    struct csl_view labels;                           /* u8 [rows, answers] */
    struct csl_view known, mask;    /* u8 [rows, answers]; of a joined net [rows, inputs] */
    struct csl_view weights;        /* f32 [rows] */
    struct csl_view order, tie_end; /* u32 [rows] */
    struct csl_view scratch;        /* f64 [rows] */
    struct csl_cbuf *floats, *bytes, *words, *doubles; /* what the views above lie in */
    uint64_t floats_count, words_count, bytes_count, rows_max;
};
void csl_work_init(struct csl_work *w, const struct csl_compute_ops *ops, struct csl_dev *dev);
void csl_work_release(struct csl_work *w);
/* Lays the views out for `rows` rows of the net; their contents are lost. */
enum csl_code csl_work_fit(struct csl_work *w, const struct csl_net *n, uint64_t rows,
                           struct csl_err *err) CSL_MUST_CHECK;

/* How many rows, at most `wanted` and at least 1, fit a fixed amount of memory. */
uint64_t csl_net_rows_at_once(const struct csl_net *n, uint64_t wanted);
/* How many rows, 16 to `wanted`, whose activations about fit the caches: for work that may take a
 * batch in pieces. */
uint64_t csl_net_rows_in_cache(const struct csl_net *n, uint64_t wanted);
/* The pass as layer i sees it. */
struct csl_pass csl_net_pass(const struct csl_net *n, const struct csl_pass *p,
                             const struct csl_work *w, uint32_t i);
/* From activation[0] to activation[layer_count], the logits. */
void csl_net_forward(const struct csl_net *n, const struct csl_pass *p, const struct csl_work *w);
/* From gradient[layer_count] to gradient[1], or to gradient[0] of a joined net: what every layer's
 * parameters need. */
void csl_net_grad_inputs(const struct csl_net *n, const struct csl_pass *p,
                         const struct csl_work *w);
/* From gradient[layer_count] to the pass's gradient[first, first + count). */
void csl_net_backward(const struct csl_net *n, const struct csl_pass *p, const struct csl_work *w);
/* After grad_inputs: the gradient of rows [at, at + rows) alone. */
void csl_net_grad_part(const struct csl_net *n, const struct csl_pass *p, const struct csl_work *w,
                       uint64_t at, uint64_t rows);
/* Of layer i alone; nothing where it has no parameters. */
void csl_net_grad_layer(const struct csl_net *n, const struct csl_pass *p, const struct csl_work *w,
                        uint32_t i, uint64_t at, uint64_t rows);

#endif
