#include "tests/unit/training/layer_problem.h"

#include "privacy/crypto/rng.h"
#include "tests/unit/training/backends.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ROWS  PROBLEM_ROWS
#define UNITS 4u

/* Units of one row, of several, of none. */
static const uint32_t unit_first[UNITS + 1] = {0, 1, 4, 4, 6};

void problem_fill(struct problem *p, uint64_t seed)
{
    struct csl_rng rng;
    csl_rng_init_label(&rng, seed, "test/layers", 0, 0, 0);
    for (uint32_t i = 0; i < ROWS * PROBLEM_WIDTH; i++)
        p->x[i] = (double)(float)csl_rng_normal(&rng);
    for (uint32_t i = 0; i < PROBLEM_W; i++)
        p->w[i] = (double)(float)csl_rng_normal(&rng);
    for (uint32_t i = 0; i < ROWS * PROBLEM_WIDTH; i++)
        p->up[i] = (double)(float)csl_rng_normal(&rng);
}

/* ---- what is right, in double ---- */

/* F_r = sum_o up[r, o] y[r, o]: its gradients are the layer's, for grad_out = up. */
static double objective(const struct problem *p, uint32_t row)
{
    double y[PROBLEM_WIDTH], sum = 0;
    p->reference(p, row, y);
    for (uint32_t o = 0; o < p->layer.out; o++)
        sum += p->up[row * p->layer.out + o] * y[o];
    return sum;
}

/* Central differences: h^2 of truncation and 1e-16 / h of rounding, both near 1e-10. */
static double difference(struct problem *p, double *value, uint32_t row)
{
    double kept = *value, h = 1e-5;
    *value = kept + h;
    double up = objective(p, row);
    *value = kept - h;
    double down = objective(p, row);
    *value = kept;
    return (up - down) / (2 * h);
}

struct truth {
    double y[ROWS * PROBLEM_WIDTH], grad_in[ROWS * PROBLEM_WIDTH];
    double by_row[ROWS][PROBLEM_W]; /* gradients of the parameters by each row alone */
};

static void find_truth(struct problem *p, struct truth *t)
{
    memset(t, 0, sizeof(*t));
    for (uint32_t r = 0; r < ROWS; r++) {
        p->reference(p, r, t->y + r * p->layer.out);
        for (uint32_t i = 0; p->id_count == 0 && i < p->layer.in; i++)
            t->grad_in[r * p->layer.in + i] = difference(p, &p->x[r * p->layer.in + i], r);
        /* What is not the layer's own, such as the base of an adapter, has no gradient. */
        for (uint32_t i = PROBLEM_FRONT; i < PROBLEM_FRONT + p->parameters; i++)
            t->by_row[r][i] = difference(p, &p->w[i], r);
    }
}

/* ---- the layer on a device ---- */

struct device {
    struct csl_pass pass;
    struct csl_cbuf *floats, *ids, *bytes, *norms;
    struct csl_view x, y, up, grad_in, scale;
};

static struct csl_view put_floats(struct device *d, uint64_t first, const double *v, uint64_t count)
{
    float packed[ROWS * PROBLEM_WIDTH];
    for (uint64_t i = 0; i < count; i++)
        packed[i] = (float)v[i];
    d->pass.ops->put(d->pass.dev, d->floats, first * sizeof(float), packed, count * sizeof(float));
    return (struct csl_view){d->floats, first, count};
}

static void read_back(struct device *d, struct csl_cbuf *buf, uint64_t first, uint64_t count,
                      float *out)
{
    d->pass.ops->get(d->pass.dev, out, buf, first * sizeof(float), count * sizeof(float));
    assert_int_equal(d->pass.ops->sync(d->pass.dev, NULL), CSL_OK);
}

static void put_words(struct device *d, const struct problem *p)
{
    const struct csl_compute_ops *ops = d->pass.ops;
    uint64_t offsets = sizeof(p->ids), row_ids = offsets + sizeof(p->offsets);
    ops->put(d->pass.dev, d->ids, 0, p->ids, sizeof(p->ids));
    ops->put(d->pass.dev, d->ids, offsets, p->offsets, sizeof(p->offsets));
    ops->put(d->pass.dev, d->ids, row_ids, p->row_ids, sizeof(p->row_ids));
    ops->put(d->pass.dev, d->bytes, 0, p->mask, sizeof(p->mask));
    if (p->has_offsets)
        d->pass.offsets = (struct csl_view){d->ids, offsets / 4, ROWS * PROBLEM_WIDTH + 1};
    if (p->has_row_ids)
        d->pass.row_ids = (struct csl_view){d->ids, row_ids / 4, ROWS};
    if (p->mask_width > 0)
        d->pass.mask = (struct csl_view){d->bytes, 0, ROWS * p->mask_width};
}

static void device_open(struct device *d, const struct csl_compute_ops *ops,
                        const struct problem *p)
{
    const uint64_t each = ROWS * PROBLEM_WIDTH;
    float w[PROBLEM_W];
    *d = (struct device){.pass = {.ops = ops, .rows = ROWS}};
    d->pass.seed = p->seed;
    d->pass.is_training = p->is_training;
    struct csl_dev **dev = &d->pass.dev;
    assert_int_equal(ops->open(0, dev, NULL), CSL_OK);
    assert_int_equal(ops->alloc(*dev, sizeof(w), &d->pass.weights, NULL), CSL_OK);
    assert_int_equal(ops->alloc(*dev, sizeof(w), &d->pass.gradient, NULL), CSL_OK);
    assert_int_equal(ops->alloc(*dev, 10 * each * sizeof(float), &d->floats, NULL), CSL_OK);
    assert_int_equal(ops->alloc(*dev, 4 * each * sizeof(float), &d->ids, NULL), CSL_OK);
    assert_int_equal(ops->alloc(*dev, each, &d->bytes, NULL), CSL_OK);
    assert_int_equal(ops->alloc(*dev, UNITS * sizeof(double), &d->norms, NULL), CSL_OK);
    for (uint32_t i = 0; i < PROBLEM_W; i++)
        w[i] = (float)p->w[i];
    ops->put(*dev, d->pass.weights, 0, w, sizeof(w));
    put_words(d, p);
    d->x = put_floats(d, 0, p->x, ROWS * p->layer.in);
    if (p->id_count > 0)
        d->x = (struct csl_view){d->ids, 0, p->id_count};
    d->up = put_floats(d, each, p->up, ROWS * p->layer.out);
    d->y = (struct csl_view){d->floats, 2 * each, ROWS * p->layer.out};
    d->grad_in = (struct csl_view){d->floats, 3 * each, ROWS * p->layer.in};
    assert_true(p->layer.saved * ROWS <= 5 * each);
    if (p->layer.saved > 0)
        d->pass.saved = (struct csl_view){d->floats, 4 * each, ROWS * p->layer.saved};
    d->scale = (struct csl_view){d->floats, 9 * each, ROWS};
}

static void device_close(struct device *d)
{
    const struct csl_compute_ops *ops = d->pass.ops;
    struct csl_cbuf *all[] = {d->pass.weights, d->pass.gradient, d->floats,
                              d->ids,          d->bytes,         d->norms};
    assert_int_equal(ops->sync(d->pass.dev, NULL), CSL_OK);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        ops->free(all[i]);
    ops->close(d->pass.dev);
}

/* Everything a layer computes in one step. */
struct outcome {
    float y[ROWS * PROBLEM_WIDTH], grad_in[ROWS * PROBLEM_WIDTH];
    float plain[PROBLEM_W], scaled[PROBLEM_W], twice[PROBLEM_W];
    float of_unit[UNITS][PROBLEM_W]; /* formed from the unit's rows alone */
    double norms[UNITS];
};

static void run_units(struct device *d, const struct problem *p, struct outcome *o)
{
    const struct csl_layer *l = &p->layer;
    const struct csl_view all_one = {0};
    for (uint32_t u = 0; u < UNITS; u++) {
        uint64_t at = unit_first[u], rows = unit_first[u + 1] - at;
        struct csl_pass part = csl_pass_part(&d->pass, l, at, rows);
        struct csl_view x = d->x, g = {d->up.buf, d->up.first + at * l->out, rows * l->out};
        if (!p->has_offsets)
            x = (struct csl_view){x.buf, x.first + at * l->in, rows * l->in};
        l->ops->grad_params(l, &part, x, g, all_one, 0);
        read_back(d, d->pass.gradient, 0, PROBLEM_W, o->of_unit[u]);
    }
}

static void run_params(struct device *d, const struct problem *p, const double *scale,
                       struct outcome *o)
{
    const struct csl_layer *l = &p->layer;
    const struct csl_units units = {UNITS, unit_first};
    const struct csl_view all_one = {0};
    const double one[UNITS] = {1, 1, 1, 1}; /* norms are added to what is there */
    d->pass.ops->put(d->pass.dev, d->norms, 0, one, sizeof(one));
    l->ops->norms(l, &d->pass, d->x, d->up, &units, (struct csl_view){d->norms, 0, UNITS});
    d->pass.ops->get(d->pass.dev, o->norms, d->norms, 0, sizeof(o->norms));
    run_units(d, p, o);
    l->ops->grad_params(l, &d->pass, d->x, d->up, all_one, 0);
    read_back(d, d->pass.gradient, 0, PROBLEM_W, o->plain);
    l->ops->grad_params(l, &d->pass, d->x, d->up, all_one, 1);
    read_back(d, d->pass.gradient, 0, PROBLEM_W, o->twice);
    put_floats(d, d->scale.first, scale, ROWS);
    l->ops->grad_params(l, &d->pass, d->x, d->up, d->scale, 0);
    read_back(d, d->pass.gradient, 0, PROBLEM_W, o->scaled);
}

static void run(const struct problem *p, const struct csl_compute_ops *ops, const double *scale,
                struct outcome *o)
{
    struct device d;
    memset(o, 0, sizeof(*o));
    device_open(&d, ops, p);
    const struct csl_layer *l = &p->layer;
    l->ops->forward(l, &d.pass, d.x, d.y);
    read_back(&d, d.floats, d.y.first, ROWS * l->out, o->y);
    if (l->ops->grad_input != NULL) {
        l->ops->grad_input(l, &d.pass, d.x, d.up, d.grad_in);
        read_back(&d, d.floats, d.grad_in.first, ROWS * l->in, o->grad_in);
    }
    if (l->ops->grad_params != NULL)
        run_params(&d, p, scale, o);
    device_close(&d);
}

/* ---- what must hold ---- */

/* Float32 sums of at most 160 products of normal numbers: 160 roundings of 6e-8 of a partial sum
 * below 40, and in truth far fewer; an error in a formula is of the size of the values. */
static void assert_close(const float *have, const double *want, uint64_t n, const char *what,
                         const char *backend)
{
    for (uint64_t i = 0; i < n; i++)
        if (!(fabs((double)have[i] - want[i]) <= 1e-5 * (1 + fabs(want[i]))))
            fail_msg("%s of %s: element %llu is %.9g, should be %.9g", what, backend,
                     (unsigned long long)i, (double)have[i], want[i]);
}

static double unit_norm(const struct truth *t, uint32_t unit)
{
    double norm = 0;
    for (uint32_t i = 0; i < PROBLEM_W; i++) {
        double sum = 0;
        for (uint32_t r = unit_first[unit]; r < unit_first[unit + 1]; r++)
            sum += t->by_row[r][i];
        norm += sum * sum;
    }
    return norm;
}

/* Factors that clip every unit to half of the largest norm. */
static void clip_factors(const struct truth *t, double *scale)
{
    double most = 0;
    for (uint32_t u = 0; u < UNITS; u++)
        most = fmax(most, sqrt(unit_norm(t, u)));
    for (uint32_t u = 0; u < UNITS; u++)
        for (uint32_t r = unit_first[u]; r < unit_first[u + 1]; r++)
            scale[r] = (double)(float)fmin(1, 0.5 * most / fmax(sqrt(unit_norm(t, u)), 1e-30));
}

/* The length of what is wrong is 1e-5 of the length of the sum. */
static void assert_sum(const float *have, const struct truth *t, const double *scale, double factor,
                       const char *backend)
{
    double wrong = 0, length = 0;
    for (uint32_t i = 0; i < PROBLEM_W; i++) {
        double want = 0;
        for (uint32_t r = 0; r < ROWS; r++)
            want += factor * (scale != NULL ? scale[r] : 1) * t->by_row[r][i];
        wrong += ((double)have[i] - want) * ((double)have[i] - want);
        length += want * want;
    }
    if (!(sqrt(wrong) <= 1e-5 * sqrt(length)))
        fail_msg("gradient by %s: off by %.3g of %.3g", backend, sqrt(wrong), sqrt(length));
}

static void check_params(const struct problem *p, const struct truth *t, const double *scale,
                         const struct outcome *o, const char *backend)
{
    for (uint32_t u = 0; u < UNITS; u++) {
        double want = unit_norm(t, u), have = o->norms[u] - 1;
        /* differences know the norm to 1e-9, and 1 + norm to 1e-16 */
        if (!(fabs(have - want) <= 1e-5 * want + 1e-9))
            fail_msg("norm of unit %u by %s: %.9g, should be %.9g", u, backend, have, want);
        double only[ROWS] = {0};
        for (uint32_t r = unit_first[u]; r < unit_first[u + 1]; r++)
            only[r] = 1;
        assert_sum(o->of_unit[u], t, only, 1, backend);
    }
    assert_true(o->norms[2] == 1.0); /* nobody's */
    assert_sum(o->plain, t, NULL, 1, backend);
    assert_sum(o->twice, t, NULL, 2, backend);
    assert_sum(o->scaled, t, scale, 1, backend);
    for (uint32_t i = 0; i < PROBLEM_W; i++)
        if (i < PROBLEM_FRONT || i >= PROBLEM_FRONT + p->parameters)
            assert_true(o->plain[i] == 0.0f && o->scaled[i] == 0.0f && o->twice[i] == 0.0f);
}

static void check_frozen(const struct problem *p, const struct csl_compute_ops *ops,
                         const double *scale, const struct outcome *free_one)
{
    struct problem still = *p;
    struct outcome o;
    csl_layer_freeze(&still.layer);
    assert_null(still.layer.ops->grad_params);
    assert_null(still.layer.ops->norms);
    run(&still, ops, scale, &o);
    assert_memory_equal(o.y, free_one->y, sizeof(o.y));
    assert_memory_equal(o.grad_in, free_one->grad_in, sizeof(o.grad_in));
    csl_layer_freeze(&still.layer); /* twice is as once */
    assert_null(still.layer.ops->grad_params);
}

/* No rows: nothing is written but a gradient of 0. */
static void check_empty(const struct problem *p, const struct csl_compute_ops *ops)
{
    struct device d;
    float after[PROBLEM_W], ones[PROBLEM_W];
    const uint32_t none[1] = {0};
    const struct csl_units units = {0, none};
    const struct csl_view all_one = {0};
    const struct csl_layer *l = &p->layer;
    device_open(&d, ops, p);
    d.pass.rows = 0;
    for (uint32_t i = 0; i < PROBLEM_W; i++)
        ones[i] = 1;
    ops->put(d.pass.dev, d.pass.gradient, 0, ones, sizeof(ones));
    l->ops->forward(l, &d.pass, d.x, d.y);
    if (l->ops->grad_input != NULL)
        l->ops->grad_input(l, &d.pass, d.x, d.up, d.grad_in);
    if (l->ops->grad_params != NULL) {
        l->ops->norms(l, &d.pass, d.x, d.up, &units, (struct csl_view){d.norms, 0, 0});
        l->ops->grad_params(l, &d.pass, d.x, d.up, all_one, 0);
    }
    read_back(&d, d.pass.gradient, 0, PROBLEM_W, after);
    for (uint32_t i = 0; l->ops->grad_params != NULL && i < PROBLEM_W; i++)
        assert_true(after[i] ==
                    (i < PROBLEM_FRONT || i >= PROBLEM_FRONT + p->parameters ? 1.0f : 0.0f));
    device_close(&d);
}

void problem_check(struct problem *p)
{
    static struct truth t;
    static struct outcome o, again;
    double scale[ROWS];
    const struct csl_compute_ops *const *all = backends();
    assert_true(p->layer.in <= PROBLEM_WIDTH && p->layer.out <= PROBLEM_WIDTH);
    assert_true(PROBLEM_FRONT + p->parameters + 2 <= PROBLEM_W);
    assert_true((p->layer.ops->grad_params == NULL) == (p->layer.ops->norms == NULL));
    find_truth(p, &t);
    clip_factors(&t, scale);
    for (size_t i = 0; all[i] != NULL; i++) {
        run(p, all[i], scale, &o);
        assert_close(o.y, t.y, ROWS * p->layer.out, "output", all[i]->name);
        if (p->layer.ops->grad_input != NULL)
            assert_close(o.grad_in, t.grad_in, ROWS * p->layer.in, "input gradient", all[i]->name);
        if (p->layer.ops->grad_params != NULL)
            check_params(p, &t, scale, &o, all[i]->name);
        run(p, all[i], scale, &again);
        assert_memory_equal(&o, &again, sizeof(o));
        if (p->layer.ops->frozen != NULL)
            check_frozen(p, all[i], scale, &o);
        check_empty(p, all[i]);
    }
}
