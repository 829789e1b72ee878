/* cli/export/onnx_tokens.c - layers of texts and of transformers as ONNX nodes. Operator set 13 has
 * neither a layer norm nor an attention nor a GELU. */
#include "cli/export/onnx_layers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PART_MAX 40

/* Name `part` of a layer's own values. */
static const char *part_of(char out[PART_MAX], const char *layer, const char *part)
{
    snprintf(out, PART_MAX, "%s.%s", layer, part);
    return out;
}

/* `from` with this permutation of its axes. */
static void add_transposed(struct csl_onnx_net *o, const char *from, uint32_t rank,
                           const int64_t *perm, const char *output)
{
    struct csl_onnx_node node = {
        .op = "Transpose",
        .inputs = {from},
        .output = output,
        .attributes = {{.name = "perm", .kind = CSL_ONNX_ATTR_INTS, .count = rank}}};
    memcpy(node.attributes[0].i, perm, rank * sizeof(*perm));
    csl_onnx__put(o, &node);
}

/* Which ids count, [records, tokens] of 1 and 0, and all with a row of the table. */
static void add_ids(struct csl_onnx_net *o, uint64_t buckets)
{
    const int64_t none = 0, end = (int64_t)buckets;
    char ids[CSL_ONNX_NAME_MAX];
    snprintf(ids, sizeof(ids), "%s", o->value);
    csl_onnx__constant(o->graph, "ids.none", CSL_ONNX_INT64, 0, NULL, &none);
    csl_onnx__constant(o->graph, "ids.end", CSL_ONNX_INT64, 0, NULL, &end);
    csl_onnx__binary(o, "Greater", ids, "ids.none", "ids.are_words");
    csl_onnx__binary(o, "Less", ids, "ids.end", "ids.are_known");
    csl_onnx__binary(o, "And", "ids.are_words", "ids.are_known", "ids.count");
    csl_onnx__add_with(o, "Cast", "to", CSL_ONNX_FLOAT, "ids.weights");
    const struct csl_onnx_node rows = {
        .op = "Where", .inputs = {"ids.count", ids, "ids.none"}, .output = "ids.rows"};
    csl_onnx__put(o, &rows);
}

/* The mean of the rows of the table that the ids stand for; without one, 0. */
enum csl_code csl_onnx__add_embedding(struct csl_onnx_net *o, const struct csl_layer *l,
                                      const char *output, struct csl_err *err)
{
    static const int64_t behind = 2;
    (void)err;
    add_ids(o, l->as.bag.buckets);
    csl_onnx__ints(o, "ids.behind", 1, &behind);
    csl_onnx__float(o, "ids.one", 1);
    csl_onnx__binary(o, "Gather", csl_onnx__weights(o, l->weight), "ids.rows", "ids.vectors");
    csl_onnx__binary(o, "Unsqueeze", "ids.weights", "ids.behind", "ids.column");
    csl_onnx__binary(o, "Mul", "ids.vectors", "ids.column", "ids.counted");
    csl_onnx__sum(o, "ids.column", 1, "ids.number");
    csl_onnx__binary(o, "Max", "ids.number", "ids.one", "ids.divisor");
    csl_onnx__sum(o, "ids.counted", 1, "ids.sum");
    csl_onnx__add(o, "Div", "ids.divisor", NULL, output);
    return CSL_OK;
}

enum csl_code csl_onnx__add_places(struct csl_onnx_net *o, const struct csl_layer *l,
                                   const char *output, struct csl_err *err)
{
    (void)err;
    csl_onnx__add(o, "Add", csl_onnx__weights(o, l->weight), NULL, output);
    return CSL_OK;
}

/* The mean along the last axis, which stays with length 1. */
static void add_last_mean(struct csl_onnx_net *o, const char *from, const char *output)
{
    const struct csl_onnx_node mean = {
        .op = "ReduceMean",
        .inputs = {from},
        .output = output,
        .attributes = {{.name = "axes", .kind = CSL_ONNX_ATTR_INTS, .i = {-1}, .count = 1}}};
    csl_onnx__put(o, &mean);
}

enum csl_code csl_onnx__add_layer_norm(struct csl_onnx_net *o, const struct csl_layer *l,
                                       const char *output, struct csl_err *err)
{
    char x[CSL_ONNX_NAME_MAX], mean[PART_MAX], centred[PART_MAX], square[PART_MAX];
    char variance[PART_MAX], epsilon[PART_MAX], raised[PART_MAX], deviation[PART_MAX];
    char standard[PART_MAX], scaled[PART_MAX];
    (void)err;
    snprintf(x, sizeof(x), "%s", o->value);
    csl_onnx__float(o, part_of(epsilon, output, "epsilon"), (float)l->as.norm.epsilon);
    add_last_mean(o, x, part_of(mean, output, "mean"));
    csl_onnx__binary(o, "Sub", x, mean, part_of(centred, output, "centred"));
    csl_onnx__binary(o, "Mul", centred, centred, part_of(square, output, "square"));
    add_last_mean(o, square, part_of(variance, output, "variance"));
    csl_onnx__add(o, "Add", epsilon, NULL, part_of(raised, output, "raised"));
    csl_onnx__add(o, "Sqrt", NULL, NULL, part_of(deviation, output, "deviation"));
    csl_onnx__binary(o, "Div", centred, deviation, part_of(standard, output, "standard"));
    csl_onnx__add(o, "Mul", csl_onnx__weights(o, l->weight), NULL,
                  part_of(scaled, output, "scaled"));
    csl_onnx__add(o, "Add", csl_onnx__weights(o, l->bias), NULL, output);
    return CSL_OK;
}

/* Queries, keys and values, each [records, heads, tokens, values]. */
static void add_parts(struct csl_onnx_net *o, const struct csl_attention *a, const char *layer)
{
    static const int64_t heads_first[5] = {2, 0, 3, 1, 4};
    static const char *const parts[3] = {"queries", "keys", "values"};
    const int64_t shape[5] = {0, (int64_t)a->positions, 3, (int64_t)a->heads,
                              (int64_t)(a->width / a->heads)};
    char name[PART_MAX], split[PART_MAX], apart[PART_MAX];
    csl_onnx__ints(o, part_of(name, layer, "shape"), 5, shape);
    csl_onnx__add(o, "Reshape", name, NULL, part_of(split, layer, "split"));
    add_transposed(o, split, 5, heads_first, part_of(apart, layer, "apart"));
    for (int64_t i = 0; i < 3; i++) {
        char index[PART_MAX], place[16];
        snprintf(place, sizeof(place), "part%d", (int)i);
        csl_onnx__constant(o->graph, part_of(index, layer, place), CSL_ONNX_INT64, 0, NULL, &i);
        csl_onnx__binary(o, "Gather", apart, index, part_of(name, layer, parts[i]));
    }
}

enum csl_code csl_onnx__add_attention(struct csl_onnx_net *o, const struct csl_layer *l,
                                      const char *output, struct csl_err *err)
{
    static const int64_t turned[4] = {0, 1, 3, 2}, joined[4] = {0, 2, 1, 3};
    const struct csl_attention *a = &l->as.attention;
    const int64_t shape[3] = {0, (int64_t)a->positions, (int64_t)a->width};
    char queries[PART_MAX], keys[PART_MAX], values[PART_MAX], across[PART_MAX], scale[PART_MAX];
    char products[PART_MAX], scores[PART_MAX], shares[PART_MAX], heads[PART_MAX], side[PART_MAX];
    char whole[PART_MAX];
    (void)err;
    add_parts(o, a, output);
    csl_onnx__float(o, part_of(scale, output, "scale"),
                    (float)(1 / sqrt((double)(a->width / a->heads))));
    add_transposed(o, part_of(keys, output, "keys"), 4, turned, part_of(across, output, "across"));
    csl_onnx__binary(o, "MatMul", part_of(queries, output, "queries"), across,
                     part_of(products, output, "products"));
    csl_onnx__add(o, "Mul", scale, NULL, part_of(scores, output, "scores"));
    csl_onnx__add_with(o, "Softmax", "axis", -1, part_of(shares, output, "shares"));
    csl_onnx__add(o, "MatMul", part_of(values, output, "values"), NULL,
                  part_of(heads, output, "heads"));
    add_transposed(o, heads, 4, joined, part_of(side, output, "side_by_side"));
    csl_onnx__ints(o, part_of(whole, output, "whole"), 3, shape);
    csl_onnx__add(o, "Reshape", whole, NULL, output);
    return CSL_OK;
}

/* x / 2 (1 + erf(x / sqrt 2)) */
enum csl_code csl_onnx__add_gelu(struct csl_onnx_net *o, const struct csl_layer *l,
                                 const char *output, struct csl_err *err)
{
    char x[CSL_ONNX_NAME_MAX], root[PART_MAX], one[PART_MAX], half[PART_MAX], scaled[PART_MAX];
    char error[PART_MAX], raised[PART_MAX], share[PART_MAX];
    (void)l;
    (void)err;
    snprintf(x, sizeof(x), "%s", o->value);
    csl_onnx__float(o, part_of(root, output, "root"), (float)sqrt(0.5));
    csl_onnx__float(o, part_of(one, output, "one"), 1);
    csl_onnx__float(o, part_of(half, output, "half"), 0.5F);
    csl_onnx__add(o, "Mul", root, NULL, part_of(scaled, output, "scaled"));
    csl_onnx__add(o, "Erf", NULL, NULL, part_of(error, output, "erf"));
    csl_onnx__add(o, "Add", one, NULL, part_of(raised, output, "raised"));
    csl_onnx__add(o, "Mul", half, NULL, part_of(share, output, "share"));
    csl_onnx__add(o, "Mul", x, NULL, output);
    return CSL_OK;
}
