/* Each layer alone against central differences in double: gradient by its input, gradient by its
 * parameters with and without per-row factors, and accumulation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "privacy/crypto/rng.h"
#include "site-agent/training/layers/layer.h"

#include <math.h>
#include <string.h>

#define ROWS 5u
#define IN   7u
#define OUT  4u
#define P    (OUT * IN + OUT + 3) /* parameters, with some in front that belong to others */

/* F = sum_r scale_r sum_o up[r, o] * y[r, o], y the layer's output: its gradients are the layer's,
 * for grad_out = up. */
struct problem {
    struct csl_layer layer;
    double x[ROWS * IN], w[P], up[ROWS * OUT], scale[ROWS];
};

static double objective(const struct problem *p)
{
    double total = 0;
    for (uint32_t r = 0; r < ROWS; r++)
        for (uint32_t o = 0; o < p->layer.out; o++) {
            double y = p->x[r * p->layer.in + o];
            if (p->layer.ops == &csl_layer_linear) {
                y = p->layer.has_bias ? p->w[p->layer.bias + o] : 0;
                for (uint32_t i = 0; i < IN; i++)
                    y += p->w[p->layer.weight + o * IN + i] * p->x[r * IN + i];
            } else {
                y = y > 0 ? y : 0;
            }
            total += p->scale[r] * p->up[r * p->layer.out + o] * y;
        }
    return total;
}

static double difference(struct problem *p, double *value)
{
    double kept = *value, h = 1e-5;
    *value = kept + h;
    double up = objective(p);
    *value = kept - h;
    double down = objective(p);
    *value = kept;
    return (up - down) / (2 * h);
}

/* Device memory holding x, grad_out, grad_in, output and scale one after another. */
struct device {
    struct csl_pass pass;
    struct csl_cbuf *floats;
    struct csl_view x, up, grad_in, y, scale;
};

static struct csl_view put(struct device *d, uint64_t first, const double *values, uint32_t count)
{
    float packed[64];
    assert_true(count <= 64);
    for (uint32_t i = 0; i < count; i++)
        packed[i] = (float)values[i];
    d->pass.ops->put(d->pass.dev, d->floats, first * sizeof(float), packed, count * sizeof(float));
    return (struct csl_view){d->floats, first, count};
}

static void open_device(struct device *d, const struct csl_compute_ops *ops,
                        const struct problem *p)
{
    float w[P];
    *d = (struct device){.pass = {.ops = ops, .rows = ROWS}};
    assert_int_equal(ops->open(0, &d->pass.dev, NULL), CSL_OK);
    assert_int_equal(ops->alloc(d->pass.dev, sizeof(w), &d->pass.weights, NULL), CSL_OK);
    assert_int_equal(ops->alloc(d->pass.dev, sizeof(w), &d->pass.gradient, NULL), CSL_OK);
    assert_int_equal(ops->alloc(d->pass.dev, 512 * sizeof(float), &d->floats, NULL), CSL_OK);
    for (uint32_t i = 0; i < P; i++)
        w[i] = (float)p->w[i];
    ops->put(d->pass.dev, d->pass.weights, 0, w, sizeof(w));
    d->x = put(d, 0, p->x, ROWS * (uint32_t)p->layer.in);
    d->up = put(d, 100, p->up, ROWS * (uint32_t)p->layer.out);
    d->scale = put(d, 400, p->scale, ROWS);
    d->grad_in = (struct csl_view){d->floats, 200, ROWS * p->layer.in};
    d->y = (struct csl_view){d->floats, 300, ROWS * p->layer.out};
}

static void close_device(struct device *d)
{
    d->pass.ops->free(d->floats);
    d->pass.ops->free(d->pass.weights);
    d->pass.ops->free(d->pass.gradient);
    d->pass.ops->close(d->pass.dev);
}

static const float *read_back(struct device *d, const struct csl_cbuf *buf, uint64_t first,
                              uint64_t count)
{
    static float values[64];
    assert_true(count <= 64);
    d->pass.ops->get(d->pass.dev, values, buf, first * sizeof(float), count * sizeof(float));
    assert_int_equal(d->pass.ops->sync(d->pass.dev, NULL), CSL_OK);
    return values;
}

static void make_problem(struct problem *p, const struct csl_layer *layer, bool is_scaled)
{
    struct csl_rng rng;
    csl_rng_init_label(&rng, 1, "test/layers", 0, 0, 0);
    *p = (struct problem){.layer = *layer};
    /* Through float, so that the layer and the reference start from the same numbers. */
    for (uint32_t i = 0; i < ROWS * IN; i++)
        p->x[i] = (double)(float)csl_rng_normal(&rng);
    for (uint32_t i = 0; i < P; i++)
        p->w[i] = (double)(float)csl_rng_normal(&rng);
    for (uint32_t i = 0; i < ROWS * layer->out && i < ROWS * OUT; i++)
        p->up[i] = (double)(float)csl_rng_normal(&rng);
    for (uint32_t r = 0; r < ROWS; r++)
        p->scale[r] = is_scaled ? (double)(float)csl_rng_uniform(&rng) : 1;
}

static void check_input(struct problem *p, const struct csl_compute_ops *ops)
{
    struct device d;
    open_device(&d, ops, p);
    p->layer.ops->forward(&p->layer, &d.pass, d.x, d.y);
    const float *y = read_back(&d, d.floats, d.y.first, d.y.count);
    double total = 0;
    for (uint32_t i = 0; i < d.y.count; i++)
        total += p->up[i] * (double)y[i];
    assert_true(fabs(total - objective(p)) < 1e-5);
    p->layer.ops->grad_input(&p->layer, &d.pass, d.x, d.up, d.grad_in);
    const float *g = read_back(&d, d.floats, d.grad_in.first, d.grad_in.count);
    for (uint32_t i = 0; i < d.grad_in.count; i++)
        assert_true(fabs((double)g[i] - difference(p, &p->x[i])) < 1e-5);
    close_device(&d);
}

/* Two passes with beta 1 give twice the gradient; elements of other layers stay 0. */
static void check_params(struct problem *p, const struct csl_compute_ops *ops, bool is_scaled)
{
    struct csl_view scale = {0};
    for (uint32_t passes = 1; passes <= 2; passes++) {
        struct device d;
        open_device(&d, ops, p);
        for (uint32_t i = 0; i < passes; i++) {
            d.up = put(&d, 100, p->up, ROWS * OUT);
            if (is_scaled)
                scale = d.scale;
            p->layer.ops->grad_params(&p->layer, &d.pass, d.x, d.up, scale, i == 0 ? 0 : 1);
        }
        const float *g = read_back(&d, d.pass.gradient, 0, P);
        for (uint32_t i = 0; i < P; i++)
            assert_true(fabs((double)g[i] - passes * difference(p, &p->w[i])) < 1e-5);
        close_device(&d);
    }
}

static const struct csl_compute_ops *backend(int which)
{
    const struct csl_compute_ops *fast = csl_compute_cpu_dnnl();
    return which == 0 || fast == NULL ? csl_compute_cpu_ref() : fast;
}

static void test_linear__with_and_without_bias_and_factors__equals_differences(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) {
        for (int has_bias = 0; has_bias < 2; has_bias++) {
            struct problem p;
            struct csl_layer l = {.ops = &csl_layer_linear,
                                  .in = IN,
                                  .out = OUT,
                                  .weight = 3,
                                  .bias = 3 + OUT * IN,
                                  .has_bias = has_bias != 0};
            make_problem(&p, &l, false);
            check_input(&p, backend(which));
            check_params(&p, backend(which), false);
            make_problem(&p, &l, true);
            check_params(&p, backend(which), true);
        }
    }
}

static void test_relu__both_signs__equals_differences(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) {
        struct problem p;
        struct csl_layer l = {.ops = &csl_layer_relu, .in = OUT, .out = OUT};
        make_problem(&p, &l, false);
        check_input(&p, backend(which));
        assert_null(l.ops->grad_params);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear__with_and_without_bias_and_factors__equals_differences),
        cmocka_unit_test(test_relu__both_signs__equals_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
