/* site-agent/training/compute/cuda/window.h - where a window that slides lies: index arithmetic of
 * convolutions and pools. A row has less than 2^31 values (csl_window_init), so that indices inside
 * one fit 32 bits, in which a GPU divides several times faster. */
#ifndef CSL_CUDA_WINDOW_H
#define CSL_CUDA_WINDOW_H
#include "site-agent/training/compute/cuda/device.h"

struct window32 {
    uint32_t channels, in[3], kernel[3], stride[3], pad[3], out[3];
    uint32_t positions_in, positions_out, taps;
};

static struct window32 csl_window32(const struct csl_window *w)
{
    struct window32 v;
    v.channels = (uint32_t)w->channels;
    for (unsigned i = 0; i < 3; i++) {
        v.in[i] = (uint32_t)w->in[i];
        v.kernel[i] = (uint32_t)w->kernel[i];
        v.stride[i] = (uint32_t)(w->stride[i] < UINT32_MAX ? w->stride[i] : UINT32_MAX);
        v.pad[i] = (uint32_t)w->pad[i];
        v.out[i] = (uint32_t)w->out[i];
    }
    v.positions_in = (uint32_t)csl_window_positions_in(w);
    v.positions_out = (uint32_t)csl_window_positions_out(w);
    v.taps = (uint32_t)csl_window_taps(w);
    return v;
}

/* i as (depth, height, width) of a box of `size`, and back */
DEVICE void csl_place(uint32_t i, const uint32_t *size, uint32_t *at)
{
    at[0] = i / (size[1] * size[2]);
    at[1] = i / size[2] % size[1];
    at[2] = i % size[2];
}
DEVICE uint32_t csl_index(const uint32_t *at, const uint32_t *size)
{
    return (at[0] * size[1] + at[1]) * size[2] + at[2];
}

/* The input position under `tap` of the window at output `position`; false: padding. */
DEVICE bool csl_input_of(const struct window32 *w, uint32_t position, uint32_t tap,
                         uint32_t *source)
{
    uint32_t o[3], k[3], at[3];
    bool is_inside = true;
    csl_place(position, w->out, o);
    csl_place(tap, w->kernel, k);
    for (unsigned i = 0; i < 3; i++) {
        at[i] = o[i] * w->stride[i] + k[i] - w->pad[i]; /* wraps below 0 */
        is_inside = is_inside && at[i] < w->in[i];
    }
    *source = csl_index(at, w->in);
    return is_inside;
}

/* The output position whose window has `tap` on `source`; false: none. */
DEVICE bool csl_output_of(const struct window32 *w, uint32_t source, uint32_t tap,
                          uint32_t *position)
{
    uint32_t at[3], k[3], o[3];
    bool is_there = true;
    csl_place(source, w->in, at);
    csl_place(tap, w->kernel, k);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t start = at[i] + w->pad[i] - k[i]; /* wraps below 0, and fails the last test */
        o[i] = start / w->stride[i];
        is_there =
            is_there && at[i] + w->pad[i] >= k[i] && start % w->stride[i] == 0 && o[i] < w->out[i];
    }
    *position = csl_index(o, w->out);
    return is_there;
}

/* Input positions lo <= p < hi under the window at one output position; at least one. */
DEVICE void csl_inputs_at(const struct window32 *w, uint32_t position, uint32_t *lo, uint32_t *hi)
{
    uint32_t o[3];
    csl_place(position, w->out, o);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t start = o[i] * w->stride[i], end = start + w->kernel[i] - w->pad[i];
        lo[i] = start < w->pad[i] ? 0 : start - w->pad[i];
        hi[i] = end < w->in[i] ? end : w->in[i];
    }
}

/* Output positions lo <= o < hi whose windows hold the input position; maybe none. */
DEVICE void csl_outputs_over(const struct window32 *w, uint32_t source, uint32_t *lo, uint32_t *hi)
{
    uint32_t at[3];
    csl_place(source, w->in, at);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t last = at[i] + w->pad[i]; /* offset inside the padded input */
        lo[i] = last < w->kernel[i] ? 0 : (last - w->kernel[i]) / w->stride[i] + 1;
        hi[i] = last / w->stride[i] + 1 < w->out[i] ? last / w->stride[i] + 1 : w->out[i];
    }
}

#endif
