/* Attention, fusion, embeddings and dropout against their definitions, with positions, modalities
 * and words that are missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "site-agent/training/compute/philox.h"
#include "tests/unit/training/backends.h"
#include "tests/unit/training/layer_problem.h"

#include <math.h>
#include <string.h>

static const double *row_of(const struct problem *p, uint32_t row)
{
    return p->x + row * p->layer.in;
}

static bool is_present(const struct problem *p, uint32_t row, uint64_t i)
{
    return p->mask_width == 0 || p->mask[row * p->mask_width + i] != 0;
}

static void attend(const struct problem *p, uint32_t row, uint64_t i, uint64_t head, double *y)
{
    const struct csl_attention *a = &p->layer.as.attention;
    uint64_t wide = a->width / a->heads, step = 3 * a->width;
    const double *q = row_of(p, row) + head * wide, *k = q + a->width, *v = k + a->width;
    double sum = 0;
    for (uint64_t j = 0; j < a->positions; j++) {
        double score = 0;
        if (!is_present(p, row, j) || !is_present(p, row, i))
            continue;
        for (uint64_t c = 0; c < wide; c++)
            score += q[i * step + c] * k[j * step + c];
        double e = exp(score / sqrt((double)wide));
        for (uint64_t c = 0; c < wide; c++)
            y[c] += e * v[j * step + c];
        sum += e;
    }
    for (uint64_t c = 0; c < wide; c++)
        y[c] = sum > 0 ? y[c] / sum : 0;
}

static void attention(const struct problem *p, uint32_t row, double *y)
{
    const struct csl_attention *a = &p->layer.as.attention;
    memset(y, 0, a->positions * a->width * sizeof(*y));
    for (uint64_t i = 0; i < a->positions; i++)
        for (uint64_t h = 0; h < a->heads; h++)
            attend(p, row, i, h, y + i * a->width + h * (a->width / a->heads));
}

static void check_attention(uint64_t positions, uint64_t heads, uint64_t width)
{
    static struct problem p;
    memset(&p, 0, sizeof(p));
    p.layer = csl_layer_make_attention(positions, heads, width);
    p.reference = attention;
    problem_fill(&p, 1);
    problem_check(&p);
    p.mask_width = (uint32_t)positions;
    for (uint32_t i = 0; i < PROBLEM_ROWS * positions; i++)
        p.mask[i] = i % 3 != 1;
    memset(p.mask + 2 * positions, 0, positions); /* row 2 has nothing, row 3 one position */
    memset(p.mask + 3 * positions, 0, positions);
    p.mask[4 * positions - 1] = 1;
    problem_check(&p);
}

static void test_attention__heads_and_masks__equals_differences(void **state)
{
    (void)state;
    check_attention(5, 1, 4);
    check_attention(6, 2, 8);
    check_attention(9, 3, 3);
    check_attention(1, 2, 6);
}

static void fusion(const struct problem *p, uint32_t row, double *y)
{
    const struct csl_fusion *f = &p->layer.as.fusion;
    const double *gate = p->w + p->layer.weight, *bias = gate + f->modalities * f->width;
    const double *empty = bias + f->modalities;
    double sum = 0;
    memset(y, 0, f->width * sizeof(*y));
    for (uint64_t m = 0; m < f->modalities; m++) {
        const double *x = row_of(p, row) + m * f->width;
        double score = bias[m];
        if (!is_present(p, row, m))
            continue;
        for (uint64_t c = 0; c < f->width; c++)
            score += gate[m * f->width + c] * x[c];
        for (uint64_t c = 0; c < f->width; c++)
            y[c] += exp(score) * x[c];
        sum += exp(score);
    }
    for (uint64_t c = 0; c < f->width; c++)
        y[c] = sum > 0 ? y[c] / sum : empty[c];
}

static void test_fusion__modalities_missing__equals_differences(void **state)
{
    (void)state;
    static struct problem p;
    const uint64_t modalities = 4, width = 9;
    p.layer = csl_layer_make_fusion(modalities, width, PROBLEM_FRONT);
    p.parameters = (uint32_t)(modalities * width + modalities + width);
    p.reference = fusion;
    problem_fill(&p, 2);
    for (uint32_t i = 0; i < PROBLEM_W; i++)
        p.w[i] = (double)(float)(0.5 * p.w[i]); /* shares that are neither 0 nor 1 */
    problem_check(&p);
    p.mask_width = (uint32_t)modalities;
    /* two, all, none, one, none, three: a unit of rows 1 to 3 and one of rows 4 and 5 */
    const uint8_t mask[] = {1, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0, 1};
    memcpy(p.mask, mask, sizeof(mask));
    problem_check(&p);
    memset(p.mask, 0, sizeof(p.mask)); /* nobody has anything */
    problem_check(&p);
}

/* What is missing may hold anything and changes nothing. */
static void test_fusion__not_a_number_where_missing__is_not_seen(void **state)
{
    (void)state;
    for (const struct csl_compute_ops *const *all = backends(); *all != NULL; all++) {
        const struct csl_compute_ops *ops = *all;
        struct csl_dev *dev = NULL;
        struct csl_cbuf *floats = NULL, *bytes = NULL;
        assert_int_equal(ops->open(0, &dev, NULL), CSL_OK);
        assert_int_equal(ops->alloc(dev, 64 * sizeof(float), &floats, NULL), CSL_OK);
        assert_int_equal(ops->alloc(dev, 2, &bytes, NULL), CSL_OK);
        const float x[] = {1, 2, NAN, NAN, /* gate, bias, empty */ 1, 1, 1, 1, 0, 0, 5, 5};
        const uint8_t available[] = {1, 0};
        float out[2], grad[4];
        const struct csl_fusion f = {.rows = 1, .modalities = 2, .width = 2};
        struct csl_view vx = {floats, 0, 4}, params = {floats, 4, 8}, y = {floats, 12, 2};
        struct csl_view shares = {floats, 16, 4}, grad_in = {floats, 20, 4};
        ops->put(dev, floats, 0, x, sizeof(x));
        ops->put(dev, bytes, 0, available, sizeof(available));
        ops->fusion(dev, &f, vx, (struct csl_view){bytes, 0, 2}, params, y, shares);
        ops->get(dev, out, floats, 12 * sizeof(float), sizeof(out));
        ops->fusion_grad_input(dev, &f, vx, shares, params, y, grad_in);
        ops->get(dev, grad, floats, 20 * sizeof(float), sizeof(grad));
        assert_int_equal(ops->sync(dev, NULL), CSL_OK);
        assert_true(out[0] == 1 && out[1] == 2);
        assert_true(grad[0] == 1 && grad[1] == 2 && grad[2] == 0 && grad[3] == 0);
        ops->free(floats);
        ops->free(bytes);
        ops->close(dev);
    }
}

static void embedding(const struct problem *p, uint32_t row, double *y)
{
    const struct csl_bag *b = &p->layer.as.bag;
    memset(y, 0, b->positions * b->dim * sizeof(*y));
    for (uint64_t t = 0; t < b->positions; t++) {
        uint64_t at = row * b->positions + t;
        uint64_t from = p->has_offsets ? p->offsets[at] : at;
        uint64_t to = p->has_offsets ? p->offsets[at + 1] : at + 1;
        double count = 0;
        for (uint64_t i = from; i < to; i++) {
            uint64_t bucket = p->ids[i];
            if (b->is_hashed)
                bucket = (uint64_t)floor((double)p->ids[i] / 4294967296.0 * (double)b->buckets);
            if (bucket >= b->buckets)
                continue;
            count++;
            for (uint64_t c = 0; c < b->dim; c++)
                y[t * b->dim + c] += p->w[p->layer.weight + bucket * b->dim + c];
        }
        for (uint64_t c = 0; b->is_mean && count > 0 && c < b->dim; c++)
            y[t * b->dim + c] /= count;
    }
}

static void check_embedding(struct problem *p, const struct csl_bag *bag)
{
    p->layer = csl_layer_make_embedding(bag, PROBLEM_FRONT);
    p->parameters = (uint32_t)(bag->buckets * bag->dim);
    p->reference = embedding;
    problem_fill(p, 3);
    problem_check(p);
    assert_null(p->layer.ops->grad_input);
}

static void test_embedding__ids_that_repeat_or_stand_for_nothing__equals_differences(void **state)
{
    (void)state;
    static struct problem p;
    const struct csl_bag bag = {.positions = 4, .dim = 6, .buckets = 11};
    p.id_count = PROBLEM_ROWS * 4;
    for (uint32_t i = 0; i < p.id_count; i++)
        p.ids[i] = i * i % 11;
    p.ids[2] = UINT32_MAX; /* padding */
    p.ids[7] = 11;
    p.ids[9] = p.ids[8];
    check_embedding(&p, &bag);
}

static void test_embedding__hashed_bags__equal_differences(void **state)
{
    (void)state;
    static struct problem p;
    struct csl_bag bag = {
        .positions = 1, .dim = 7, .buckets = 9, .is_hashed = true, .is_mean = true};
    const uint32_t offsets[] = {0, 5, 5, 6, 14, 20, 23}; /* row 1 has no word */
    memcpy(p.offsets, offsets, sizeof(offsets));
    p.has_offsets = true;
    p.id_count = 23;
    for (uint32_t i = 0; i < p.id_count; i++)
        p.ids[i] = (i / 2) * 2654435761u; /* every word twice, some across rows */
    check_embedding(&p, &bag);
    bag.is_mean = false;
    check_embedding(&p, &bag);
    bag.is_hashed = false;
    for (uint32_t i = 0; i < p.id_count; i++)
        p.ids[i] = i % 5 == 0 ? 1000 : i % 9;
    bag.is_mean = true; /* over the words that stand for something */
    check_embedding(&p, &bag);
}

/* kat_vectors of the Random123 distribution, philox4x32 of 10 rounds. */
static void test_philox__published_vectors__are_met(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4];
        uint64_t key;
        uint32_t out[4];
    } cases[] = {
        {{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         UINT64_MAX,
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         UINT64_C(0x299f31d0a4093822),
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t out[4];
        csl_philox(cases[i].counter, cases[i].key, out);
        assert_memory_equal(out, cases[i].out, sizeof(out));
    }
}

static void dropout(const struct problem *p, uint32_t row, double *y)
{
    const struct csl_dropout *o = &p->layer.as.dropout;
    for (uint64_t c = 0; c < p->layer.out; c++) {
        uint32_t id = p->has_row_ids ? p->row_ids[row] : row, out[4];
        const uint32_t counter[4] = {(uint32_t)(c / 4), id, o->stream, 0};
        csl_philox(counter, p->seed, out);
        bool is_kept = !p->is_training || (double)out[c % 4] >= o->rate * 4294967296.0;
        double factor = p->is_training ? 1 / (1 - o->rate) : 1;
        y[c] = is_kept ? row_of(p, row)[c] * factor : 0;
    }
}

static void test_dropout__training_or_not__drops_what_the_counters_say(void **state)
{
    (void)state;
    static struct problem p;
    p.layer = csl_layer_make_dropout(50, 0.3, 7);
    p.reference = dropout;
    p.seed = 99;
    problem_fill(&p, 4);
    problem_check(&p);
    p.is_training = true;
    problem_check(&p);
    p.has_row_ids = true;
    for (uint32_t r = 0; r < PROBLEM_ROWS; r++)
        p.row_ids[r] = 1000 - r;
    problem_check(&p);
    p.layer = csl_layer_make_dropout(50, 0, 7);
    problem_check(&p);
}

/* 40000 values at rate 0.25: more than 6.5 standard deviations (87 each) from 30000 kept has
 * probability 1e-10. */
static void test_dropout__many_values__keeps_as_many_as_it_says(void **state)
{
    (void)state;
    const struct csl_compute_ops *ops = csl_compute_cpu_ref();
    struct csl_dev *dev = NULL;
    struct csl_cbuf *buf = NULL;
    static float values[40000];
    assert_int_equal(ops->open(0, &dev, NULL), CSL_OK);
    assert_int_equal(ops->alloc(dev, sizeof(values), &buf, NULL), CSL_OK);
    for (size_t i = 0; i < 40000; i++)
        values[i] = 1;
    struct csl_view v = {buf, 0, 40000};
    struct csl_dropout o = {.rows = 200, .cols = 200, .rate = 0.25, .seed = 5};
    ops->put(dev, buf, 0, values, sizeof(values));
    ops->dropout(dev, &o, v, v);
    ops->get(dev, values, buf, 0, sizeof(values));
    double kept = 0;
    for (size_t i = 0; i < 40000; i++)
        kept += values[i] != 0 ? 1 : 0;
    assert_true(fabs(kept - 30000) < 6.5 * 87);
    ops->free(buf);
    ops->close(dev);
}

static void test_drop_modalities__what_a_row_has__never_loses_everything(void **state)
{
    (void)state;
    const struct csl_compute_ops *ops = csl_compute_cpu_ref();
    struct csl_dev *dev = NULL;
    struct csl_cbuf *buf = NULL;
    enum { ROWS_ = 500, M = 3 };
    uint8_t before[ROWS_ * M], after[ROWS_ * M], again[ROWS_ * M];
    assert_int_equal(ops->open(0, &dev, NULL), CSL_OK);
    assert_int_equal(ops->alloc(dev, 2 * sizeof(before), &buf, NULL), CSL_OK);
    for (size_t i = 0; i < sizeof(before); i++)
        before[i] = i / M % 8 >> i % M & 1; /* every pattern, also nothing at all */
    struct csl_view from = {buf, 0, sizeof(before)}, to = {buf, sizeof(before), sizeof(before)};
    struct csl_dropout o = {.rows = ROWS_, .cols = M, .rate = 0.5, .seed = 6};
    ops->put(dev, buf, 0, before, sizeof(before));
    ops->drop_modalities(dev, &o, from, to);
    ops->get(dev, after, buf, sizeof(before), sizeof(after));
    ops->drop_modalities(dev, &o, from, from); /* in place */
    ops->get(dev, again, buf, 0, sizeof(again));
    assert_memory_equal(after, again, sizeof(after));
    size_t dropped = 0;
    for (size_t r = 0; r < ROWS_; r++) {
        unsigned had = 0, has = 0;
        for (size_t m = 0; m < M; m++) {
            assert_true(after[r * M + m] <= before[r * M + m]);
            had += before[r * M + m];
            has += after[r * M + m];
        }
        assert_true((had > 0) == (has > 0));
        dropped += had - has;
    }
    assert_true(dropped > 0);
    ops->free(buf);
    ops->close(dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention__heads_and_masks__equals_differences),
        cmocka_unit_test(test_fusion__modalities_missing__equals_differences),
        cmocka_unit_test(test_fusion__not_a_number_where_missing__is_not_seen),
        cmocka_unit_test(test_embedding__ids_that_repeat_or_stand_for_nothing__equals_differences),
        cmocka_unit_test(test_embedding__hashed_bags__equal_differences),
        cmocka_unit_test(test_philox__published_vectors__are_met),
        cmocka_unit_test(test_dropout__training_or_not__drops_what_the_counters_say),
        cmocka_unit_test(test_dropout__many_values__keeps_as_many_as_it_says),
        cmocka_unit_test(test_drop_modalities__what_a_row_has__never_loses_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
