/* Convolutions, pools and means over positions against their definitions, in one to three axes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/training/layer_problem.h"

#include <math.h>
#include <string.h>

static const double *row_of(const struct problem *p, uint32_t row)
{
    return p->x + row * p->layer.in;
}

/* Where tap k of the window at output position o lies; false in the padding. */
static bool tap_at(const struct csl_window *w, uint64_t o, uint64_t k, uint64_t *position)
{
    uint64_t at[3] = {o / w->out[2] / w->out[1], o / w->out[2] % w->out[1], o % w->out[2]};
    uint64_t tap[3] = {k / w->kernel[2] / w->kernel[1], k / w->kernel[2] % w->kernel[1],
                       k % w->kernel[2]};
    int64_t source[3];
    for (unsigned i = 0; i < 3; i++) {
        source[i] = (int64_t)(at[i] * w->stride[i] + tap[i]) - (int64_t)w->pad[i];
        if (source[i] < 0 || source[i] >= (int64_t)w->in[i])
            return false;
    }
    *position =
        ((uint64_t)source[0] * w->in[1] + (uint64_t)source[1]) * w->in[2] + (uint64_t)source[2];
    return true;
}

static void conv(const struct problem *p, uint32_t row, double *y)
{
    const struct csl_window *w = &p->layer.as.window;
    uint64_t taps = csl_window_taps(w), channels = w->channels, outputs = p->layer.outputs;
    for (uint64_t o = 0; o < csl_window_positions_out(w); o++)
        for (uint64_t f = 0; f < outputs; f++) {
            double sum = p->layer.has_bias ? p->w[p->layer.bias + f] : 0;
            for (uint64_t k = 0; k < taps * channels; k++) {
                uint64_t source;
                if (tap_at(w, o, k / channels, &source))
                    sum += row_of(p, row)[source * channels + k % channels] *
                           p->w[p->layer.weight + f * taps * channels + k];
            }
            y[o * outputs + f] = sum;
        }
}

static struct csl_window window(const struct csl_window *shape)
{
    struct csl_window w = *shape;
    struct csl_err err = {0};
    if (csl_window_init(&w, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return w;
}

static void check_conv(const struct csl_window *shape, uint64_t outputs, bool has_bias)
{
    static struct problem p;
    struct csl_window w = window(shape);
    uint64_t weights = outputs * csl_window_taps(&w) * w.channels;
    memset(&p, 0, sizeof(p));
    p.parameters = (uint32_t)(weights + (has_bias ? outputs : 0));
    p.layer = csl_layer_make_conv(
        &w, outputs, (struct csl_place){PROBLEM_FRONT, PROBLEM_FRONT + weights, has_bias});
    p.reference = conv;
    problem_fill(&p, 1);
    problem_check(&p);
}

static void test_conv1d__strides_and_padding__equals_differences(void **state)
{
    (void)state;
    struct csl_window w = {.channels = 3,
                           .in = {1, 1, 12},
                           .kernel = {1, 1, 5},
                           .stride = {1, 1, 1},
                           .pad = {0, 0, 2}};
    check_conv(&w, 4, true);
    w.stride[2] = 3;
    w.pad[2] = 1;
    check_conv(&w, 4, false);
    w.kernel[2] = 12; /* one position */
    w.pad[2] = 0;
    check_conv(&w, 3, true);
    struct csl_window narrow = {
        .channels = 2, .in = {1, 1, 2}, .kernel = {1, 1, 3}, .stride = {1, 1, 1}, .pad = {0, 0, 2}};
    check_conv(&narrow, 2, true); /* the window is wider than the input */
}

static void test_conv2d__strides_and_padding__equals_differences(void **state)
{
    (void)state;
    struct csl_window w = {
        .channels = 2, .in = {1, 6, 5}, .kernel = {1, 3, 3}, .stride = {1, 1, 1}, .pad = {0, 1, 1}};
    check_conv(&w, 3, true);
    w.stride[1] = 2;
    w.stride[2] = 3;
    w.pad[2] = 2;
    check_conv(&w, 3, true);
    w.kernel[2] = 2;
    w.pad[2] = 1;
    w.pad[1] = 0;
    w.pad[2] = 1;
    check_conv(&w, 5, false);
    struct csl_window deep = {
        .channels = 16, .in = {1, 3, 3}, .kernel = {1, 2, 2}, .stride = {1, 1, 1}};
    check_conv(&deep, 4, true); /* units for which no gradient is formed */
}

static void test_conv__one_tap__is_a_linear_of_every_position(void **state)
{
    (void)state;
    struct csl_window w = {
        .channels = 5, .in = {1, 3, 4}, .kernel = {1, 1, 1}, .stride = {1, 1, 1}};
    check_conv(&w, 6, true);
    w.stride[1] = 2; /* one tap, but not every position */
    check_conv(&w, 6, true);
}

static void test_conv3d__strides_and_padding__equals_differences(void **state)
{
    (void)state;
    struct csl_window w = {
        .channels = 2, .in = {4, 3, 5}, .kernel = {2, 3, 2}, .stride = {2, 1, 3}, .pad = {1, 1, 0}};
    check_conv(&w, 3, true);
}

static void pool_max(const struct problem *p, uint32_t row, double *y)
{
    const struct csl_window *w = &p->layer.as.window;
    for (uint64_t i = 0; i < p->layer.out; i++) {
        y[i] = -HUGE_VAL;
        for (uint64_t k = 0, source; k < csl_window_taps(w); k++)
            if (tap_at(w, i / w->channels, k, &source))
                y[i] = fmax(y[i], row_of(p, row)[source * w->channels + i % w->channels]);
    }
}

static void pool_average(const struct problem *p, uint32_t row, double *y)
{
    const struct csl_window *w = &p->layer.as.window;
    for (uint64_t i = 0; i < p->layer.out; i++) {
        double sum = 0, count = 0;
        for (uint64_t k = 0, source; k < csl_window_taps(w); k++)
            if (tap_at(w, i / w->channels, k, &source)) {
                sum += row_of(p, row)[source * w->channels + i % w->channels];
                count++;
            }
        y[i] = sum / count;
    }
}

static void test_pools__apart_and_overlapping__equal_differences(void **state)
{
    (void)state;
    static struct problem p;
    const struct csl_window shapes[] = {
        {.channels = 3, .in = {1, 4, 6}, .kernel = {1, 2, 2}, .stride = {1, 2, 2}},
        {.channels = 3,
         .in = {1, 5, 6},
         .kernel = {1, 3, 3},
         .stride = {1, 2, 1},
         .pad = {0, 1, 1}},
        {.channels = 4,
         .in = {1, 1, 11},
         .kernel = {1, 1, 4},
         .stride = {1, 1, 3},
         .pad = {0, 0, 1}},
        {.channels = 2, .in = {2, 3, 4}, .kernel = {2, 3, 4}, .stride = {1, 1, 1}},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct csl_window w = window(&shapes[i]);
        memset(&p, 0, sizeof(p));
        p.layer = csl_layer_make_pool_max(&w);
        p.reference = pool_max;
        problem_fill(&p, 2);
        problem_check(&p);
        p.layer = csl_layer_make_pool_average(&w);
        p.reference = pool_average;
        problem_check(&p);
    }
}

static void mean(const struct problem *p, uint32_t row, double *y)
{
    const struct csl_mean *m = &p->layer.as.mean;
    for (uint64_t c = 0; c < m->channels; c++) {
        double sum = 0, count = 0;
        for (uint64_t i = 0; i < m->positions; i++)
            if (p->mask_width == 0 || p->mask[row * m->positions + i] != 0) {
                sum += row_of(p, row)[i * m->channels + c];
                count++;
            }
        y[c] = count > 0 ? sum / count : 0;
    }
}

static void test_mean__some_or_no_positions_present__equals_differences(void **state)
{
    (void)state;
    static struct problem p;
    p.layer = csl_layer_make_mean(7, 5);
    p.reference = mean;
    problem_fill(&p, 3);
    problem_check(&p); /* all of them: a global average pool */
    p.mask_width = 7;
    for (uint32_t i = 0; i < 2 * 7; i++)
        p.mask[i] = i % 3 == 0;
    for (uint32_t i = 3 * 7; i < PROBLEM_ROWS * 7; i++)
        p.mask[i] = i % 4 != 0; /* row 2 has nothing */
    problem_check(&p);
}

static void test_window__shapes_that_do_not_fit__are_refused(void **state)
{
    (void)state;
    const struct csl_window good = {
        .channels = 1, .in = {1, 4, 4}, .kernel = {1, 3, 3}, .stride = {1, 1, 1}};
    struct csl_window w = good;
    assert_int_equal(csl_window_init(&w, NULL), CSL_OK);
    assert_int_equal(csl_window_positions_out(&w), 4);
    w = good;
    w.kernel[1] = 5;
    assert_int_equal(csl_window_init(&w, NULL), CSL_E_INVAL);
    assert_int_equal(w.out[2], 0); /* untouched */
    w = good;
    w.stride[2] = 0;
    assert_int_equal(csl_window_init(&w, NULL), CSL_E_INVAL);
    w = good;
    w.pad[2] = 3; /* a window of padding alone */
    assert_int_equal(csl_window_init(&w, NULL), CSL_E_INVAL);
    w = good;
    w.channels = 0;
    assert_int_equal(csl_window_init(&w, NULL), CSL_E_INVAL);
    w = good;
    w.in[1] = UINT64_MAX;
    assert_int_equal(csl_window_init(&w, NULL), CSL_E_INVAL);
    w = good;
    w.in[1] = w.in[2] = 1u << 16;
    assert_int_equal(csl_window_init(&w, NULL), CSL_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv1d__strides_and_padding__equals_differences),
        cmocka_unit_test(test_conv2d__strides_and_padding__equals_differences),
        cmocka_unit_test(test_conv__one_tap__is_a_linear_of_every_position),
        cmocka_unit_test(test_conv3d__strides_and_padding__equals_differences),
        cmocka_unit_test(test_pools__apart_and_overlapping__equal_differences),
        cmocka_unit_test(test_mean__some_or_no_positions_present__equals_differences),
        cmocka_unit_test(test_window__shapes_that_do_not_fit__are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
