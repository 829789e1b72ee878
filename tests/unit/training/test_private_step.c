/* One private step of a small multimodal model built from layers: an image and a text encoder,
 * fusion over what each record has, a head. Norms and clipped sums of book-keeping against the
 * gradients of the patients formed one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "privacy/crypto/rng.h"
#include "site-agent/training/layers/layers.h"
#include "tests/unit/training/backends.h"

#include <math.h>
#include <string.h>

#define ROWS    6u
#define UNITS   4u
#define WIDTH   6u
#define OUTPUTS 3u
#define BUCKETS 7u
#define MOST    400u /* floats of a row in any one view, and parameters */

enum { CONV, RELU, MEAN, PROJECT, TEXT, FUSION, HEAD, LAYERS };

static const uint32_t unit_first[UNITS + 1] = {0, 1, 4, 4, 6};
/* image, text: the first patient has no image, the second's second record has nothing */
static const uint8_t available[ROWS * 2] = {0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0, 1};
static const uint8_t known[ROWS * OUTPUTS] = {1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1, 1};
static const uint8_t labels[ROWS * OUTPUTS] = {1, 0, 0, 0, 1, 1, 1, 0, 0,
                                               0, 0, 0, 0, 1, 0, 0, 1, 0};
static const uint32_t offsets[ROWS + 1] = {0, 3, 5, 5, 5, 9, 10};

struct step {
    struct csl_layer layers[LAYERS];
    uint64_t parameters, text_first; /* the text encoder's table begins there */
    struct csl_pass pass;
    struct csl_cbuf *floats, *bytes, *words, *doubles;
    struct csl_view x[LAYERS], y[LAYERS], g_in[LAYERS], g[LAYERS], saved[LAYERS];
};

static void make_layers(struct step *s)
{
    struct csl_window w = {
        .channels = 1, .in = {1, 8, 8}, .kernel = {1, 3, 3}, .stride = {1, 2, 2}, .pad = {0, 1, 1}};
    const struct csl_bag bag = {
        .positions = 1, .dim = WIDTH, .buckets = BUCKETS, .is_hashed = true, .is_mean = true};
    assert_int_equal(csl_window_init(&w, NULL), CSL_OK);
    uint64_t at = 0;
    s->layers[CONV] = csl_layer_make_conv(&w, 4, (struct csl_place){at, at + 36, true});
    at += 40;
    s->layers[RELU] = csl_layer_make_relu(16 * 4);
    s->layers[MEAN] = csl_layer_make_mean(16, 4);
    s->layers[PROJECT] =
        csl_layer_make_linear(1, 4, WIDTH, (struct csl_place){at, at + 4 * WIDTH, true});
    at += 5 * WIDTH;
    s->text_first = at;
    s->layers[TEXT] = csl_layer_make_embedding(&bag, at);
    at += BUCKETS * WIDTH;
    s->layers[FUSION] = csl_layer_make_fusion(2, WIDTH, at);
    at += 3 * WIDTH + 2;
    s->layers[HEAD] = csl_layer_make_linear(1, WIDTH, OUTPUTS,
                                            (struct csl_place){at, at + WIDTH * OUTPUTS, true});
    s->parameters = at + OUTPUTS * (WIDTH + 1);
    assert_true(s->parameters <= MOST);
}

static void open_step(struct step *s, const struct csl_compute_ops *ops)
{
    float values[ROWS * 64 + MOST];
    uint32_t ids[10];
    struct csl_rng rng;
    *s = (struct step){.pass = {.ops = ops, .rows = ROWS, .is_training = true}};
    make_layers(s);
    csl_rng_init_label(&rng, 1, "test/private_step", 0, 0, 0);
    for (size_t i = 0; i < ROWS * 64 + MOST; i++)
        values[i] = (float)csl_rng_normal(&rng);
    for (size_t i = 0; i < 10; i++)
        ids[i] = (uint32_t)csl_rng_u64(&rng);
    assert_int_equal(ops->open(0, &s->pass.dev, NULL), CSL_OK);
    struct csl_dev *dev = s->pass.dev;
    uint64_t each = ROWS * MOST;
    assert_int_equal(ops->alloc(dev, MOST * 4, &s->pass.weights, NULL), CSL_OK);
    assert_int_equal(ops->alloc(dev, MOST * 4, &s->pass.gradient, NULL), CSL_OK);
    assert_int_equal(ops->alloc(dev, 5 * LAYERS * each * 4, &s->floats, NULL), CSL_OK);
    assert_int_equal(ops->alloc(dev, 256, &s->bytes, NULL), CSL_OK);
    assert_int_equal(ops->alloc(dev, 256, &s->words, NULL), CSL_OK);
    assert_int_equal(ops->alloc(dev, 256, &s->doubles, NULL), CSL_OK);
    for (uint64_t i = 0; i < LAYERS; i++) {
        s->x[i] = (struct csl_view){s->floats, 5 * i * each, each};
        s->y[i] = (struct csl_view){s->floats, (5 * i + 1) * each, each};
        s->g_in[i] = (struct csl_view){s->floats, (5 * i + 2) * each, each};
        s->g[i] = (struct csl_view){s->floats, (5 * i + 3) * each, each};
        s->saved[i] = (struct csl_view){s->floats, (5 * i + 4) * each, each};
    }
    /* along the chain of the image, an output is the next one's input */
    for (uint64_t i = RELU; i <= PROJECT; i++) {
        s->x[i] = s->y[i - 1];
        s->g_in[i] = s->g[i - 1];
    }
    s->x[HEAD] = s->y[FUSION];
    s->g_in[HEAD] = s->g[FUSION];
    s->x[TEXT] = (struct csl_view){s->words, 0, 10};
    ops->put(dev, s->pass.weights, 0, values + ROWS * 64, MOST * 4);
    ops->put(dev, s->floats, s->x[CONV].first * 4, values, ROWS * 64 * 4);
    ops->put(dev, s->words, 0, ids, sizeof(ids));
    ops->put(dev, s->words, 64, offsets, sizeof(offsets));
    ops->put(dev, s->bytes, 0, available, sizeof(available));
    ops->put(dev, s->bytes, 64, labels, sizeof(labels));
    ops->put(dev, s->bytes, 128, known, sizeof(known));
}

static void close_step(struct step *s)
{
    struct csl_cbuf *all[] = {s->pass.weights, s->pass.gradient, s->floats,
                              s->bytes,        s->words,         s->doubles};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        s->pass.ops->free(all[i]);
    s->pass.ops->close(s->pass.dev);
}

/* The pass as layer i wants it. */
static struct csl_pass pass_of(const struct step *s, uint32_t i)
{
    struct csl_pass p = s->pass;
    p.saved = s->saved[i];
    if (i == FUSION)
        p.mask = (struct csl_view){s->bytes, 0, ROWS * 2};
    if (i == TEXT)
        p.offsets = (struct csl_view){s->words, 16, ROWS + 1};
    return p;
}

static void there(struct step *s, uint32_t i)
{
    struct csl_pass p = pass_of(s, i);
    s->layers[i].ops->forward(&s->layers[i], &p, s->x[i], s->y[i]);
}

static void back(struct step *s, uint32_t i)
{
    struct csl_pass p = pass_of(s, i);
    s->layers[i].ops->grad_input(&s->layers[i], &p, s->x[i], s->g[i], s->g_in[i]);
}

/* Modality m of the fusion's rows, from its first element on. */
static struct csl_view modality(struct csl_view joined, uint64_t m)
{
    return (struct csl_view){joined.buf, joined.first + m * WIDTH, joined.count - m * WIDTH};
}

static void there_and_back(struct step *s)
{
    const struct csl_compute_ops *ops = s->pass.ops;
    struct csl_dev *dev = s->pass.dev;
    for (uint32_t i = CONV; i <= TEXT; i++)
        there(s, i);
    ops->copy_cols(dev, ROWS, WIDTH, s->y[PROJECT], WIDTH, modality(s->x[FUSION], 0), 2 * WIDTH);
    ops->copy_cols(dev, ROWS, WIDTH, s->y[TEXT], WIDTH, modality(s->x[FUSION], 1), 2 * WIDTH);
    there(s, FUSION);
    there(s, HEAD);
    const struct csl_loss loss = {.kind = CSL_LOSS_MULTILABEL,
                                  .rows = ROWS,
                                  .outputs = OUTPUTS,
                                  .scale = 1,
                                  .logits = s->y[HEAD],
                                  .labels = {s->bytes, 64, ROWS * OUTPUTS},
                                  .known = {s->bytes, 128, ROWS * OUTPUTS},
                                  .grad = s->g[HEAD],
                                  .loss = {s->doubles, 16, 1}};
    ops->loss(dev, &loss);
    back(s, HEAD);
    back(s, FUSION);
    ops->copy_cols(dev, ROWS, WIDTH, modality(s->g_in[FUSION], 0), 2 * WIDTH, s->g[PROJECT], WIDTH);
    ops->copy_cols(dev, ROWS, WIDTH, modality(s->g_in[FUSION], 1), 2 * WIDTH, s->g[TEXT], WIDTH);
    for (uint32_t i = PROJECT; i > CONV; i--)
        back(s, i);
}

static void read_gradient(struct step *s, float *out)
{
    s->pass.ops->get(s->pass.dev, out, s->pass.gradient, 0, MOST * 4);
    assert_int_equal(s->pass.ops->sync(s->pass.dev, NULL), CSL_OK);
}

/* The gradient of one patient, formed alone. */
static void unit_gradient(struct step *s, uint32_t u, float *out)
{
    const struct csl_view all_one = {0};
    uint64_t at = unit_first[u], rows = unit_first[u + 1] - at;
    for (uint32_t i = 0; i < LAYERS; i++) {
        const struct csl_layer *l = &s->layers[i];
        if (l->ops->grad_params == NULL)
            continue;
        struct csl_pass whole = pass_of(s, i), part = csl_pass_part(&whole, l, at, rows);
        struct csl_view x = s->x[i], g = s->g[i];
        x.first += i == TEXT ? 0 : at * l->in;
        x.count = i == TEXT ? x.count : rows * l->in;
        g.first += at * l->out;
        g.count = rows * l->out;
        l->ops->grad_params(l, &part, x, g, all_one, 0);
    }
    read_gradient(s, out);
}

static void book_keeping(struct step *s, double *norms, float *sum, double clip, double *factors)
{
    const struct csl_compute_ops *ops = s->pass.ops;
    const struct csl_units units = {UNITS, unit_first};
    const struct csl_view views = {s->doubles, 0, UNITS};
    float scale[ROWS];
    for (uint32_t i = 0; i < LAYERS; i++) {
        struct csl_pass p = pass_of(s, i);
        if (s->layers[i].ops->norms != NULL)
            s->layers[i].ops->norms(&s->layers[i], &p, s->x[i], s->g[i], &units, views);
    }
    ops->get(s->pass.dev, norms, s->doubles, 0, UNITS * sizeof(double));
    assert_int_equal(ops->sync(s->pass.dev, NULL), CSL_OK);
    for (uint32_t u = 0; u < UNITS; u++) {
        factors[u] = norms[u] > clip * clip ? clip / sqrt(norms[u]) : 1;
        for (uint32_t r = unit_first[u]; r < unit_first[u + 1]; r++)
            scale[r] = (float)factors[u];
    }
    const struct csl_view scales = {s->words, 32, ROWS};
    ops->put(s->pass.dev, s->words, 128, scale, sizeof(scale));
    for (uint32_t i = 0; i < LAYERS; i++) {
        struct csl_pass p = pass_of(s, i);
        if (s->layers[i].ops->grad_params != NULL)
            s->layers[i].ops->grad_params(&s->layers[i], &p, s->x[i], s->g[i], scales, 0);
    }
    read_gradient(s, sum);
}

static void check_step(const struct csl_compute_ops *ops)
{
    struct step s;
    float of_unit[UNITS][MOST], sum[MOST];
    double norms[UNITS], factors[UNITS], wrong = 0, length = 0;
    uint32_t clipped = 0;
    open_step(&s, ops);
    there_and_back(&s);
    for (uint32_t u = 0; u < UNITS; u++)
        unit_gradient(&s, u, of_unit[u]);
    book_keeping(&s, norms, sum, 0.5, factors);
    for (uint32_t u = 0; u < UNITS; u++) {
        double want = 0;
        for (uint64_t i = 0; i < s.parameters; i++)
            want += (double)of_unit[u][i] * (double)of_unit[u][i];
        assert_true(fabs(norms[u] - want) <= 1e-5 * want);
        clipped += factors[u] < 1 ? 1 : 0;
    }
    assert_true(clipped > 0 && clipped < 3); /* some are clipped, some are not */
    for (uint64_t i = 0; i < s.parameters; i++) {
        double want = 0;
        for (uint32_t u = 0; u < UNITS; u++)
            want += factors[u] * (double)of_unit[u][i];
        wrong += ((double)sum[i] - want) * ((double)sum[i] - want);
        length += want * want;
    }
    assert_true(length > 0 && sqrt(wrong) <= 1e-5 * sqrt(length));
    for (uint64_t i = 0; i < s.text_first; i++) /* nothing of the image that is not there */
        assert_true(of_unit[0][i] == 0);
    close_step(&s);
}

static void test_private_step__modalities_missing__equals_patients_one_by_one(void **state)
{
    (void)state;
    for (const struct csl_compute_ops *const *ops = backends(); *ops != NULL; ops++)
        check_step(*ops);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_private_step__modalities_missing__equals_patients_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
