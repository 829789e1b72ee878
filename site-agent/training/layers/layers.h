/* site-agent/training/layers/layers.h - every layer by the function that describes it. A
 * description is a value: no memory, nothing to release. Widths are bounded by the study's limits:
 * products of rows and widths fit 64 bits.
 *
 * What a model does itself between layers: a residual connection is axpy_f32 forward (y += x) and
 * back (grad_x += grad_y); modalities are joined and cut by copy_cols. */
#ifndef CSL_LAYERS_H
#define CSL_LAYERS_H
#include "site-agent/training/layers/layer.h"

/* Where a layer's parameters begin in the flat vector. */
struct csl_place {
    uint64_t weight, bias;
    bool has_bias;
};

/* x: [positions, in], y: [positions, out], every position through the same weight [out, in] and
 * bias [out]. */
struct csl_layer csl_layer_make_linear(uint64_t positions, uint64_t in, uint64_t out,
                                       struct csl_place at);
/* The same with weight and bias at rest and an adapter that learns. */
struct csl_layer csl_layer_make_lora(uint64_t positions, uint64_t in, uint64_t out,
                                     struct csl_place at, const struct csl_lora *lora);
/* y = x + weight: [width], one for each value of a row: learned places of tokens. */
struct csl_layer csl_layer_make_bias(uint64_t width, uint64_t weight);

/* w from csl_window_init; 1, 2 or 3 axes. weight [outputs, kernel..., channels] (PyTorch has
 * [outputs, channels, kernel...]), bias [outputs]. y: [out..., outputs]. */
struct csl_layer csl_layer_make_conv(const struct csl_window *w, uint64_t outputs,
                                     struct csl_place at);
struct csl_layer csl_layer_make_pool_max(const struct csl_window *w);
struct csl_layer csl_layer_make_pool_average(const struct csl_window *w);
/* The mean over positions that the pass's mask marks; without a mask, a global average pool. */
struct csl_layer csl_layer_make_mean(uint64_t positions, uint64_t channels);

struct csl_layer csl_layer_make_relu(uint64_t width);
struct csl_layer csl_layer_make_gelu(uint64_t width);
/* Each of `tokens` of `channels` by itself. gain at weight [channels], shift at bias [channels]. */
struct csl_layer csl_layer_make_layer_norm(uint64_t tokens, uint64_t channels, double epsilon,
                                           uint64_t gain, uint64_t shift);
/* x: [positions, channels]; groups divide channels (asserted). */
struct csl_layer csl_layer_make_group_norm(uint64_t positions, uint64_t channels, uint64_t groups,
                                           double epsilon, uint64_t gain, uint64_t shift);

/* x: u32 ids. One table [buckets, dim] at weight; y: [positions, dim] of one id each, or with the
 * pass's offsets of a bag of them. */
struct csl_layer csl_layer_make_embedding(const struct csl_bag *bag, uint64_t weight);

/* The core of multi-head self attention: x: [positions, 3, width] (queries, keys, values), y:
 * [positions, width]. A linear of width -> 3 width goes before, one of width -> width behind. heads
 * divide width (asserted). */
struct csl_layer csl_layer_make_attention(uint64_t positions, uint64_t heads, uint64_t width);
/* x: [modalities, width], y: [width]; gate, gate bias and empty one after another from weight on:
 * modalities * width + modalities + width parameters. */
struct csl_layer csl_layer_make_fusion(uint64_t modalities, uint64_t width, uint64_t weight);
/* stream: another one for every dropout layer of a model. */
struct csl_layer csl_layer_make_dropout(uint64_t width, double rate, uint32_t stream);

/* Takes gradient and norms of its parameters away; its input still has a gradient. */
void csl_layer_freeze(struct csl_layer *l);

#endif
