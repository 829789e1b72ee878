/* Layers that see each position alone, against their definitions: linear, adapter, bias,
 * activations and norms. What is checked of each is in layer_problem.h. */
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

static void linear(const struct problem *p, uint32_t row, double *y)
{
    uint64_t n = p->layer.positions, in = p->layer.in / n, out = p->layer.out / n;
    const double *x = row_of(p, row), *w = p->w + p->layer.weight;
    for (uint64_t t = 0; t < n; t++)
        for (uint64_t o = 0; o < out; o++) {
            double sum = p->layer.has_bias ? p->w[p->layer.bias + o] : 0;
            for (uint64_t i = 0; i < in; i++)
                sum += w[o * in + i] * x[t * in + i];
            y[t * out + o] = sum;
        }
}

static void check_linear(uint64_t positions, uint64_t in, uint64_t out, bool has_bias)
{
    static struct problem p;
    memset(&p, 0, sizeof(p));
    p.parameters = (uint32_t)(in * out + (has_bias ? out : 0));
    p.layer = csl_layer_make_linear(
        positions, in, out, (struct csl_place){PROBLEM_FRONT, PROBLEM_FRONT + in * out, has_bias});
    p.reference = linear;
    problem_fill(&p, 1);
    problem_check(&p);
}

static void test_linear__with_and_without_bias__equals_differences(void **state)
{
    (void)state;
    check_linear(1, 7, 4, true);
    check_linear(1, 7, 4, false);
    check_linear(1, 1, 1, true);
    check_linear(1, 30, 10, true);
}

/* 5 and 16 positions: units of 1, 3 and 2 rows lie on both sides of where forming the gradient
 * becomes cheaper (T = in out / (in + out): 2.5, 6.7). */
static void test_linear__many_positions__equals_differences(void **state)
{
    (void)state;
    check_linear(5, 5, 5, true);
    check_linear(5, 20, 10, true);
    check_linear(16, 4, 6, false);
    check_linear(2, 20, 10, true);
}

static void lora(const struct problem *p, uint32_t row, double *y)
{
    uint64_t n = p->layer.positions, in = p->layer.in / n, out = p->layer.out / n;
    const struct csl_lora *a = &p->layer.as.lora;
    linear(p, row, y);
    for (uint64_t t = 0; t < n; t++)
        for (uint64_t k = 0; k < a->rank; k++) {
            double down = 0;
            for (uint64_t i = 0; i < in; i++)
                down += p->w[a->down + k * in + i] * row_of(p, row)[t * in + i];
            for (uint64_t o = 0; o < out; o++)
                y[t * out + o] += a->scale * p->w[a->up + o * a->rank + k] * down;
        }
}

static void test_lora__frozen_base__equals_differences_by_the_adapter(void **state)
{
    (void)state;
    static struct problem p;
    const uint64_t in = 9, out = 5, rank = 2, positions = 3;
    const struct csl_lora adapter = {
        .rank = rank, .down = PROBLEM_FRONT, .up = PROBLEM_FRONT + rank * in, .scale = 0.75};
    uint64_t base = PROBLEM_FRONT + rank * (in + out);
    p.parameters = (uint32_t)(rank * (in + out));
    p.layer = csl_layer_make_lora(positions, in, out,
                                  (struct csl_place){base, base + in * out, true}, &adapter);
    p.reference = lora;
    problem_fill(&p, 2);
    problem_check(&p);
}

static void add_bias(const struct problem *p, uint32_t row, double *y)
{
    for (uint64_t i = 0; i < p->layer.out; i++)
        y[i] = row_of(p, row)[i] + p->w[p->layer.weight + i];
}

static void test_bias__every_value_its_own__equals_differences(void **state)
{
    (void)state;
    static struct problem p;
    p.parameters = 11;
    p.layer = csl_layer_make_bias(11, PROBLEM_FRONT);
    p.reference = add_bias;
    problem_fill(&p, 3);
    problem_check(&p);
}

static void relu(const struct problem *p, uint32_t row, double *y)
{
    for (uint64_t i = 0; i < p->layer.out; i++)
        y[i] = row_of(p, row)[i] > 0 ? row_of(p, row)[i] : 0;
}

static void gelu(const struct problem *p, uint32_t row, double *y)
{
    for (uint64_t i = 0; i < p->layer.out; i++) {
        double x = row_of(p, row)[i];
        y[i] = x * (1 + erf(x / sqrt(2))) / 2;
    }
}

static void test_activations__both_signs__equal_differences(void **state)
{
    (void)state;
    static struct problem p;
    p.layer = csl_layer_make_relu(37);
    p.reference = relu;
    problem_fill(&p, 4);
    problem_check(&p);
    assert_null(p.layer.ops->grad_params);
    p.layer = csl_layer_make_gelu(37);
    p.reference = gelu;
    p.x[0] = 0;
    p.x[1] = 9;
    p.x[2] = -9;
    p.x[3] = -30;
    p.x[4] = 30;
    problem_check(&p);
}

/* y = (x - mean) / sqrt(variance + epsilon) * gain + shift over positions and a group's channels */
static void norm(const struct problem *p, uint32_t row, double *y)
{
    const struct csl_norm *n = &p->layer.as.norm;
    uint64_t wide = n->channels / n->groups, values = n->positions * n->channels;
    for (uint64_t t = 0; t < n->tokens; t++)
        for (uint64_t g = 0; g < n->groups; g++) {
            const double *x = row_of(p, row) + t * values;
            double mean = 0, variance = 0, size = (double)(n->positions * wide);
            for (uint64_t i = 0; i < values; i++)
                mean += i % n->channels / wide == g ? x[i] / size : 0;
            for (uint64_t i = 0; i < values; i++)
                if (i % n->channels / wide == g)
                    variance += (x[i] - mean) * (x[i] - mean) / size;
            for (uint64_t i = 0; i < values; i++)
                if (i % n->channels / wide == g)
                    y[t * values + i] = (x[i] - mean) / sqrt(variance + n->epsilon) *
                                            p->w[p->layer.weight + i % n->channels] +
                                        p->w[p->layer.bias + i % n->channels];
        }
}

static void check_norm(struct csl_layer layer)
{
    static struct problem p;
    memset(&p, 0, sizeof(p));
    p.layer = layer;
    p.parameters = (uint32_t)(2 * layer.as.norm.channels);
    p.reference = norm;
    problem_fill(&p, 5);
    for (uint32_t i = 0; i < PROBLEM_ROWS * PROBLEM_WIDTH; i++)
        p.x[i] = (double)(float)(3 * p.x[i] + 5); /* a mean to take away */
    problem_check(&p);
}

static void test_layer_norm__tokens__equals_differences(void **state)
{
    (void)state;
    check_norm(csl_layer_make_layer_norm(1, 16, 1e-5, PROBLEM_FRONT, PROBLEM_FRONT + 16));
    check_norm(csl_layer_make_layer_norm(5, 13, 1e-5, PROBLEM_FRONT, PROBLEM_FRONT + 13));
}

static void test_group_norm__groups_of_channels__equals_differences(void **state)
{
    (void)state;
    check_norm(csl_layer_make_group_norm(7, 12, 3, 1e-5, PROBLEM_FRONT, PROBLEM_FRONT + 12));
    check_norm(csl_layer_make_group_norm(9, 8, 8, 1e-5, PROBLEM_FRONT, PROBLEM_FRONT + 8));
    check_norm(csl_layer_make_group_norm(10, 9, 1, 1e-5, PROBLEM_FRONT, PROBLEM_FRONT + 9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear__with_and_without_bias__equals_differences),
        cmocka_unit_test(test_linear__many_positions__equals_differences),
        cmocka_unit_test(test_lora__frozen_base__equals_differences_by_the_adapter),
        cmocka_unit_test(test_bias__every_value_its_own__equals_differences),
        cmocka_unit_test(test_activations__both_signs__equal_differences),
        cmocka_unit_test(test_layer_norm__tokens__equals_differences),
        cmocka_unit_test(test_group_norm__groups_of_channels__equals_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
