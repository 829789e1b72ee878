/* oneDNN's convolutions of one row. A batch is as fast row by row as at once (its activations stay
 * in the cache), batches of private training have a new size every step, and a patient's gradient
 * is wanted by itself; so one primitive serves every batch, and it is made once per device.
 *
 * Made and run with one thread. All of it is optional: where a primitive cannot be made the caller
 * takes the definition. */
#include "site-agent/training/compute/cpu_dnnl.h"

#include "base/mem.h"

#include <oneapi/dnnl/dnnl.h>

#define PRIMITIVES_MAX 64u

void omp_set_num_threads(int count);

struct csl_dnnl__conv {
    struct csl_window window;
    uint64_t outputs;
    enum csl_dnnl__pass pass;
    bool has_bias;
    dnnl_primitive_t primitive, reorder; /* reorder: weights to or from the library's layout */
    dnnl_memory_t x, y, bias;            /* of one row; they take the caller's pointers */
    dnnl_memory_t plain, w;              /* weights in our layout and in the library's */
    float *w_values;                     /* what w lies in */
    uint64_t w_floats;                   /* with padding, which is 0 */
};

struct library {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    struct csl_dnnl__conv convs[PRIMITIVES_MAX];
    uint32_t count;
};

static void conv_release(struct csl_dnnl__conv *c)
{
    dnnl_memory_t memories[] = {c->x, c->y, c->bias, c->plain, c->w};
    dnnl_primitive_destroy(c->primitive);
    dnnl_primitive_destroy(c->reorder);
    for (size_t i = 0; i < sizeof(memories) / sizeof(memories[0]); i++)
        dnnl_memory_destroy(memories[i]);
    if (c->w_values != NULL)
        memset(c->w_values, 0, (size_t)c->w_floats * sizeof(float));
    csl_free(c->w_values);
    *c = (struct csl_dnnl__conv){0};
}

static void library_free(void *made)
{
    struct library *lib = made;
    for (uint32_t i = 0; i < lib->count; i++)
        conv_release(&lib->convs[i]);
    dnnl_stream_destroy(lib->stream);
    dnnl_engine_destroy(lib->engine);
    csl_free(lib);
}

static struct library *library_of(struct csl_dev *d)
{
    if (d->library != NULL)
        return d->library;
    struct library *lib = csl_alloc(sizeof(*lib));
    if (lib == NULL)
        return NULL;
    if (dnnl_engine_create(&lib->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&lib->stream, lib->engine, dnnl_stream_default_flags) != dnnl_success) {
        library_free(lib);
        return NULL;
    }
    d->library = lib;
    d->library_free = library_free;
    return lib;
}

/* Descriptions of one row's input, output, bias and weights (of any layout, and in ours). */
struct descs {
    dnnl_memory_desc_t x, y, bias, any, plain;
    dnnl_dims_t stride, pad;
};

static bool describe(const struct csl_dnnl__conv *c, struct descs *out)
{
    const struct csl_window *w = &c->window;
    bool is_deep = w->in[0] > 1 || w->kernel[0] > 1; /* else images, which more is made for */
    int axes = is_deep ? 3 : 2;
    dnnl_dims_t x = {1, (dnnl_dim_t)w->channels}, y = {1, (dnnl_dim_t)c->outputs};
    dnnl_dims_t k = {(dnnl_dim_t)c->outputs, (dnnl_dim_t)w->channels};
    dnnl_dims_t bias = {(dnnl_dim_t)c->outputs};
    for (int i = 0; i < axes; i++) {
        unsigned from = (unsigned)(3 - axes + i);
        x[2 + i] = (dnnl_dim_t)w->in[from];
        y[2 + i] = (dnnl_dim_t)w->out[from];
        k[2 + i] = (dnnl_dim_t)w->kernel[from];
        out->stride[i] = (dnnl_dim_t)w->stride[from];
        out->pad[i] = (dnnl_dim_t)w->pad[from];
    }
    dnnl_format_tag_t rows = is_deep ? dnnl_ndhwc : dnnl_nhwc;
    dnnl_format_tag_t weights = is_deep ? dnnl_odhwi : dnnl_ohwi;
    return dnnl_memory_desc_init_by_tag(&out->x, 2 + axes, x, dnnl_f32, rows) == dnnl_success &&
           dnnl_memory_desc_init_by_tag(&out->y, 2 + axes, y, dnnl_f32, rows) == dnnl_success &&
           dnnl_memory_desc_init_by_tag(&out->bias, 1, bias, dnnl_f32, dnnl_a) == dnnl_success &&
           dnnl_memory_desc_init_by_tag(&out->any, 2 + axes, k, dnnl_f32, dnnl_format_tag_any) ==
               dnnl_success &&
           dnnl_memory_desc_init_by_tag(&out->plain, 2 + axes, k, dnnl_f32, weights) ==
               dnnl_success;
}

static dnnl_status_t make_forward(const struct library *lib, const struct csl_dnnl__conv *c,
                                  const struct descs *s, dnnl_primitive_desc_t *out)
{
    dnnl_convolution_desc_t desc;
    dnnl_status_t status = dnnl_convolution_forward_desc_init(
        &desc, dnnl_forward_training, dnnl_convolution_direct, &s->x, &s->any,
        c->has_bias ? &s->bias : NULL, &s->y, s->stride, s->pad, s->pad);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(out, &desc, NULL, lib->engine, NULL);
    return status;
}

/* The backward passes want to know the forward one they belong to. */
static dnnl_status_t make_backward(const struct library *lib, const struct csl_dnnl__conv *c,
                                   const struct descs *s, dnnl_primitive_desc_t *out)
{
    dnnl_primitive_desc_t forward = NULL;
    dnnl_convolution_desc_t desc;
    dnnl_status_t status = make_forward(lib, c, s, &forward);
    if (status != dnnl_success)
        return status;
    if (c->pass == CSL_DNNL_BACK_TO_INPUT)
        status = dnnl_convolution_backward_data_desc_init(
            &desc, dnnl_convolution_direct, &s->x, &s->any, &s->y, s->stride, s->pad, s->pad);
    else
        status = dnnl_convolution_backward_weights_desc_init(
            &desc, dnnl_convolution_direct, &s->x, &s->any, NULL, &s->y, s->stride, s->pad, s->pad);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(out, &desc, NULL, lib->engine, forward);
    dnnl_primitive_desc_destroy(forward);
    return status;
}

static bool make_memory(const struct library *lib, const dnnl_memory_desc_t *desc, void *values,
                        dnnl_memory_t *out)
{
    return dnnl_memory_create(out, desc, lib->engine, values) == dnnl_success;
}

static bool make_reorder(const struct library *lib, struct csl_dnnl__conv *c,
                         const dnnl_memory_desc_t *plain, const dnnl_memory_desc_t *w)
{
    dnnl_primitive_desc_t desc = NULL;
    bool is_out = c->pass == CSL_DNNL_BACK_TO_WEIGHT;
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(
        &desc, is_out ? w : plain, lib->engine, is_out ? plain : w, lib->engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&c->reorder, desc);
    dnnl_primitive_desc_destroy(desc);
    return status == dnnl_success;
}

static bool conv_make(const struct library *lib, struct csl_dnnl__conv *c)
{
    struct descs s;
    dnnl_primitive_desc_t desc = NULL;
    if (!describe(c, &s))
        return false;
    dnnl_status_t status = c->pass == CSL_DNNL_FORWARD ? make_forward(lib, c, &s, &desc)
                                                       : make_backward(lib, c, &s, &desc);
    if (status != dnnl_success)
        return false;
    bool is_out = c->pass == CSL_DNNL_BACK_TO_WEIGHT;
    const dnnl_memory_desc_t *w = dnnl_primitive_desc_query_md(
        desc, is_out ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
    size_t bytes = dnnl_memory_desc_get_size(w);
    c->w_floats = bytes / sizeof(float);
    c->w_values = csl_alloc_aligned(256, bytes);
    bool is_made =
        c->w_values != NULL && dnnl_primitive_create(&c->primitive, desc) == dnnl_success &&
        make_memory(lib, w, c->w_values, &c->w) &&
        make_memory(lib, &s.plain, DNNL_MEMORY_NONE, &c->plain) &&
        make_memory(lib, &s.x, DNNL_MEMORY_NONE, &c->x) &&
        make_memory(lib, &s.y, DNNL_MEMORY_NONE, &c->y) &&
        make_memory(lib, &s.bias, DNNL_MEMORY_NONE, &c->bias) && make_reorder(lib, c, &s.plain, w);
    dnnl_primitive_desc_destroy(desc);
    return is_made;
}

static bool is_same(const struct csl_dnnl__conv *a, const struct csl_dnnl__conv *b)
{
    return memcmp(&a->window, &b->window, sizeof(a->window)) == 0 && a->outputs == b->outputs &&
           a->pass == b->pass && a->has_bias == b->has_bias;
}

struct csl_dnnl__conv *csl_dnnl__conv_of(struct csl_dev *d, const struct csl_conv *c,
                                         enum csl_dnnl__pass pass, bool has_bias)
{
    struct csl_dnnl__conv made = {
        .window = *c->window, .outputs = c->outputs, .pass = pass, .has_bias = has_bias};
    struct library *lib = library_of(d);
    if (lib == NULL)
        return NULL;
    omp_set_num_threads(1);
    for (uint32_t i = 0; i < lib->count; i++)
        if (is_same(&lib->convs[i], &made))
            return &lib->convs[i];
    if (!conv_make(lib, &made)) {
        conv_release(&made);
        return NULL;
    }
    if (lib->count == PRIMITIVES_MAX) /* more kinds of layers than a model has */
        conv_release(&lib->convs[--lib->count]);
    lib->convs[lib->count] = made;
    return &lib->convs[lib->count++];
}

/* The library takes pointers without const and writes through none that it reads from. */
static bool set_values(dnnl_memory_t memory, const void *values)
{
    void *pointer;
    memcpy(&pointer, &values, sizeof(pointer));
    return dnnl_memory_set_data_handle(memory, pointer) == dnnl_success;
}

static bool execute(const struct library *lib, dnnl_primitive_t primitive, int count,
                    const dnnl_exec_arg_t *args)
{
    return dnnl_primitive_execute(primitive, lib->stream, count, args) == dnnl_success &&
           dnnl_stream_wait(lib->stream) == dnnl_success;
}

bool csl_dnnl__conv_take_weights(struct csl_dev *d, struct csl_dnnl__conv *c, const float *w)
{
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, c->plain}, {DNNL_ARG_TO, c->w}};
    return set_values(c->plain, w) && execute(d->library, c->reorder, 2, args);
}

bool csl_dnnl__conv_give_weights(struct csl_dev *d, struct csl_dnnl__conv *c, float *w)
{
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, c->w}, {DNNL_ARG_TO, c->plain}};
    return set_values(c->plain, w) && execute(d->library, c->reorder, 2, args);
}

float *csl_dnnl__conv_values(struct csl_dnnl__conv *c, uint64_t *floats)
{
    *floats = c->w_floats;
    return c->w_values;
}

bool csl_dnnl__conv_row(struct csl_dev *d, struct csl_dnnl__conv *c, const float *x,
                        const float *bias, const float *y)
{
    bool is_set = set_values(c->x, x) && set_values(c->y, y);
    if (!is_set || (c->has_bias && !set_values(c->bias, bias)))
        return false;
    if (c->pass == CSL_DNNL_FORWARD) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, c->x},
                                        {DNNL_ARG_WEIGHTS, c->w},
                                        {DNNL_ARG_DST, c->y},
                                        {DNNL_ARG_BIAS, c->bias}};
        return execute(d->library, c->primitive, c->has_bias ? 4 : 3, args);
    }
    if (c->pass == CSL_DNNL_BACK_TO_INPUT) {
        const dnnl_exec_arg_t args[] = {
            {DNNL_ARG_DIFF_SRC, c->x}, {DNNL_ARG_WEIGHTS, c->w}, {DNNL_ARG_DIFF_DST, c->y}};
        return execute(d->library, c->primitive, 3, args);
    }
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, c->x}, {DNNL_ARG_DIFF_WEIGHTS, c->w}, {DNNL_ARG_DIFF_DST, c->y}};
    return execute(d->library, c->primitive, 3, args);
}
