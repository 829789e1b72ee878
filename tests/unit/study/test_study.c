/* What a valid study becomes: fields, defaults, digest, schema, explanation. */
#include "base/buf.h"
#include "base/mem.h"
#include "protocol/study/study.h"
#include "tests/unit/study/study_text.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct csl_study *parse(const char *text)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};

    if (csl_study_parse(&s, "s.yaml", CSL_SPAN(text, strlen(text)), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}

/* The study of study_text.h with line `line` replaced. */
static struct csl_study *parse_with(unsigned line, const char *text)
{
    struct csl_buf b;

    csl_buf_init(&b, 65536);
    for (unsigned i = 1; i <= STUDY_LINES; i++)
        csl_buf_printf(&b, "%s\n", i == line ? text : study_lines[i - 1]);
    struct csl_study *s = parse(csl_buf_text(&b));
    csl_buf_release(&b);
    return s;
}

static void test_study__valid_file__fills_every_field(void **state)
{
    struct csl_study *s = parse_with(0, NULL);
    const struct csl_domain *d = csl_study_find_domain(s, "heart");

    (void)state;
    assert_string_equal(s->id, "heart-4");
    assert_string_equal(s->question, "Does it work?");
    assert_int_equal(s->domain_count, 1);
    assert_ptr_equal(d, &s->domains[0]);
    assert_null(csl_study_find_domain(s, "lung"));
    assert_int_equal(d->modality, CSL_TABULAR);
    assert_int_equal(d->task, CSL_TASK_BINARY);
    assert_string_equal(d->label, "disease");
    assert_string_equal(d->positive, "present");
    assert_int_equal(d->classes, 2);
    assert_int_equal(d->outputs, 1);
    assert_int_equal(d->scaling, CSL_SCALING_CONSTANTS);
    assert_int_equal(d->feature_count, 2);
    assert_int_equal(d->width, 2);
    assert_string_equal(d->features[0].name, "age");
    assert_true(d->features[0].centre == 0 && d->features[0].scale == 1);
    assert_string_equal(d->features[1].unit, "mg/dl");
    assert_true(d->features[1].centre == 200 && d->features[1].scale == 50);
    assert_true(d->features[1].range_min == 0 && d->features[1].range_max == 700);
    assert_int_equal(d->model, CSL_MODEL_LINEAR);
    assert_true(d->has_bias);
    assert_int_equal(s->local.optimizer, CSL_OPT_KIND_SGD);
    assert_true(s->local.learning_rate == 0.01);
    assert_int_equal(s->local.batch_patients, 4);
    assert_int_equal(s->local.steps, 100);
    assert_true(s->local.l2 == 0 && s->local.proximal_mu == 0);
    assert_int_equal(s->rounds, 15);
    assert_string_equal(s->aggregation.strategy, "fedavg");
    assert_true(s->aggregation.server_learning_rate == 1);
    assert_int_equal(s->aggregation.weights, CSL_WEIGHTS_SAMPLES);
    assert_int_equal(s->minimum_sites, 2);
    assert_int_equal(s->participant_count, 2);
    assert_string_equal(s->participants[1], "b");
    assert_int_equal(s->round_deadline_ms, 600000);
    assert_int_equal(s->evaluate_every, 5);
    csl_study_free(s);
}

static void test_study__valid_file__fills_baselines_simulation_and_manifest(void **state)
{
    struct csl_study *s = parse_with(0, NULL);

    (void)state;
    assert_true(s->baseline.enabled);
    assert_int_equal(s->baseline.optimizer, CSL_OPT_KIND_ADAM);
    assert_int_equal(s->baseline.batch_patients, 0);
    assert_int_equal(s->baseline.epochs, 50);
    assert_int_equal(s->sim_site_count, 2);
    assert_true(s->sim_sites[0].is_synth);
    assert_int_equal(s->sim_sites[0].synth_index, 3);
    assert_false(s->sim_sites[1].is_synth);
    assert_string_equal(s->sim_sites[1].csv, "x.csv");
    assert_string_equal(s->sim_sites[1].mapping, "m.yaml");
    assert_string_equal(s->sim_sites[1].where_column, "c");
    assert_int_equal(s->sim_sites[1].where_count, 2);
    assert_string_equal(s->sim_sites[1].where_any_of[1], "x");
    assert_memory_equal(s->manifest.p, "study: heart-4\n", 15);
    csl_study_free(s);
}

static void test_study__domain_constants__reach_features_without_their_own(void **state)
{
    struct csl_study *s = parse_with(8, "    centre: 3\n    scale: 2\n    clip: 4");
    const struct csl_feature *f = s->domains[0].features;

    (void)state;
    assert_true(f[0].centre == 3 && f[0].scale == 2 && f[0].clip == 4);
    assert_true(f[1].centre == 200 && f[1].scale == 50 && f[1].clip == 4);
    csl_study_free(s);
}

static void test_study__optional_sections_absent__get_their_defaults(void **state)
{
    struct csl_study *s =
        parse("study: x\nrounds: 2\naggregation: {strategy: fedadam, server_learning_rate: 0.1}\n"
              "training: {local: {learning_rate: 1, batch_patients: full, steps: 1}}\n"
              "domains: [{id: d, modality: signal, shape: [10, 2], model: {kind: linear},\n"
              "           task: {kind: classes, label: l, classes: 3}}]\n");

    (void)state;
    assert_int_equal(s->privacy.mode, CSL_PRIVACY_NONE);
    assert_int_equal(s->minimum_sites, 1);
    assert_int_equal(s->participant_count, 0);
    assert_int_equal(s->round_deadline_ms, 600000);
    assert_int_equal(s->evaluate_every, 0);
    assert_false(s->baseline.enabled);
    assert_int_equal(s->local.batch_patients, 0);
    assert_true(s->aggregation.beta1 == 0.9 && s->aggregation.beta2 == 0.999);
    assert_true(s->aggregation.tau == 1e-3);
    assert_int_equal(s->domains[0].width, 20);
    assert_int_equal(s->domains[0].shape[2], 1);
    assert_int_equal(s->domains[0].outputs, 3);
    csl_study_free(s);
}

static void expect_digest(unsigned line, const char *text, bool is_same)
{
    struct csl_study *a = parse_with(0, NULL), *b = parse_with(line, text);
    bool equal = memcmp(a->digest, b->digest, CSL_DIGEST_BYTES) == 0;

    if (equal != is_same)
        print_error("line %u: %s\n", line, text);
    assert_int_equal(equal, is_same);
    csl_study_free(a);
    csl_study_free(b);
}

static void test_study__digest__ignores_comments_order_spelling_and_simulation(void **state)
{
    (void)state;
    expect_digest(1, "# about the heart\nstudy: \"heart-4\" # named", true);
    expect_digest(6, "    task: {positive: present, label: disease, kind: binary}", true);
    expect_digest(13, "    learning_rate: 1e-2", true);
    expect_digest(8, "", true); /* constants is the default */
    expect_digest(24, "  round_deadline: 600s", true);
    expect_digest(29, "    - {id: a, records: a.h5}", true);
}

#define FIT "{learning_rate: 1, batch_patients: full, epochs: 1"
static void test_study__digest__changes_with_every_choice(void **state)
{
    static const struct {
        unsigned line;
        const char *text;
    } rows[] = {
        {1, "study: heart-5"},
        {2, "question: Does it?"},
        {4, "  - id: lung"},
        {6, "    task: {kind: binary, label: disease, positive: yes}"},
        {6, "    task: {kind: classes, label: disease, classes: 2}"},
        {7, "    features: [chol, {name: age, unit: mg/dl, centre: 200, scale: 50}]"},
        {7, "    features: [age, {name: chol, unit: mg/dl, centre: 200, scale: 50}]"},
        {8, "    clip: 3"},
        {8, "    augment: {dropout: 0.1}"},
        {8, "    augment: {dropout: 0.2}"},
        {9, "model: {kind: linear, bias: false}"},
        {9, "model: {kind: mlp, hidden: [4]}"},
        {12, "    optimizer: momentum"},
        {13, "    learning_rate: 0.010000000000000002"},
        {14, "    batch_patients: full"},
        {15, "    steps: 101"},
        {15, "    steps: 100\n    l2: 1e-9"},
        {15, "    epochs: 100"},
        {15, "    steps: 100\n    schedule: {warmup: 1}"},
        {15, "    steps: 100\n    schedule: {kind: cosine}"},
        {15, "    steps: 100\n    schedule: {kind: step, every: 7}"},
        {26,
         "baselines: {optimizer: adamw, learning_rate: 0.001, batch_patients: full, epochs: 50}"},
        {16, "rounds: 16"},
        {18, "  strategy: scaffold"},
        {18, "  strategy: fedavg\n  averaging: {kind: ema}"},
        {18, "  strategy: fedavg\n  averaging: {kind: ema, decay: 0.99}"},
        {18, "  strategy: fedavg\n  averaging: {kind: mean}"},
        {18, "  strategy: fedavg\n  averaging: {kind: mean, from_round: 3}"},
        {18, "  strategy: fedavg\n  server_learning_rate: 0.5"},
        {19, "  weights: {kind: equal}"},
        {22, "  minimum: 1"},
        {23, "  participants: [b, a]"},
        {24, "  round_deadline: 1h"},
        {25, "evaluation: {every: 4}"},
        {26, ""},
        {16, "rounds: 15\nfairness: {attributes: [sex]}"},
        {16, "rounds: 15\nfairness: {attributes: [sex, age_band]}"},
        {16, "rounds: 15\nfairness: {attributes: [sex], minimum_group: 31}"},
        {16, "rounds: 15\nfairness: {attributes: [sex], minimum_sites: 4}"},
        {16, "rounds: 15\nfairness: {attributes: [sex], groups: {sex: [f, m]}}"},
        {16, "rounds: 15\nfairness: {attributes: [sex], groups: {sex: [m, f]}}"},
        {16, "rounds: 15\nfairness: {attributes: [sex], groups: {sex: [f, m, x]}}"},
        {16, "rounds: 15\nfairness: {attributes: [sex], weights: {}}"},
        {16, "rounds: 15\nfairness: {attributes: [sex], weights: {alpha: 0.4}}"},
        {16, "rounds: 15\nfairness: {attributes: [sex], weights: {beta: 0.9}}"},
        {16, "rounds: 15\nfairness: {attributes: [sex], weights: {cap: 3}}"},
        {16, "rounds: 15\npersonalisation: {training: " FIT "}}"},
        {16, "rounds: 15\npersonalisation: {methods: [whole], training: " FIT "}}"},
        {16, "rounds: 15\npersonalisation: {methods: [whole, head, ditto], training: " FIT "}}"},
        {16, "rounds: 15\npersonalisation: {training: " FIT ", l2: 1}}"},
        {16, "rounds: 15\npersonalisation: {training: " FIT ", schedule: {kind: cosine}}}"},
        {16, "rounds: 15\nrelease: {}"},
        {16, "rounds: 15\nrelease: {minimum_auc: 0.7}"},
        {16, "rounds: 15\nrelease: {collapsed_class: allow}"},
        {16, "rounds: 15\nrelease: {model_card: optional}"},
        {16, "rounds: 15\nrelease: {intended_use: triage}"},
        {16, "rounds: 15\nrelease: {not_for: triage}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_digest(rows[i].line, rows[i].text, false);
}

static void expect_tensor(const struct csl_schema *s, uint32_t index, const char *name,
                          uint32_t rank, uint64_t rows, uint64_t columns, double inputs)
{
    const struct csl_tensor_spec *t = &s->tensors[index];

    assert_string_equal(t->name, name);
    assert_int_equal(t->rank, rank);
    assert_int_equal(t->shape[0], rows);
    if (rank == 2)
        assert_int_equal(t->shape[1], columns);
    assert_int_equal(t->init, CSL_INIT_UNIFORM);
    assert_true(t->init_bound == (float)(1.0 / sqrt(inputs)));
}

static void test_study__schema__of_a_linear_model_is_weight_then_bias(void **state)
{
    struct csl_study *s = parse_with(0, NULL);

    (void)state;
    assert_int_equal(s->schema.block_count, 1);
    assert_string_equal(s->schema.blocks[0].name, "heart");
    assert_int_equal(s->schema.tensor_count, 2);
    expect_tensor(&s->schema, 0, "heart.weight", 2, 1, 2, 2);
    expect_tensor(&s->schema, 1, "heart.bias", 1, 1, 0, 2);
    assert_int_equal(s->schema.parameters, 3);
    csl_study_free(s);
}

static void test_study__schema__of_two_domains_has_a_block_each(void **state)
{
    struct csl_study *s = parse(
        "study: x\nrounds: 2\naggregation: {strategy: fedavg}\n"
        "training: {local: {learning_rate: 1, batch_patients: full, steps: 1}}\n"
        "domains:\n"
        "  - {id: d, modality: image2d, shape: [4, 5, 1],\n"
        "     task: {kind: classes, label: l, classes: 3}, model: {kind: mlp, hidden: [8, 6]}}\n"
        "  - {id: t, modality: tabular, features: [\"tumour, stage ii (a)\", b],\n"
        "     task: {kind: survival, label: l}, model: {kind: cox, bias: false}}\n");

    (void)state;
    assert_int_equal(s->schema.block_count, 2);
    assert_int_equal(s->schema.tensor_count, 7);
    expect_tensor(&s->schema, 0, "d.layer0.weight", 2, 8, 20, 20);
    expect_tensor(&s->schema, 1, "d.layer0.bias", 1, 8, 0, 20);
    expect_tensor(&s->schema, 2, "d.layer1.weight", 2, 6, 8, 8);
    expect_tensor(&s->schema, 3, "d.layer1.bias", 1, 6, 0, 8);
    expect_tensor(&s->schema, 4, "d.layer2.weight", 2, 3, 6, 6);
    expect_tensor(&s->schema, 5, "d.layer2.bias", 1, 3, 0, 6);
    expect_tensor(&s->schema, 6, "t.weight", 2, 1, 2, 2);
    assert_int_equal(s->schema.blocks[1].first, 8 * 20 + 8 + 6 * 8 + 6 + 3 * 6 + 3);
    assert_int_equal(s->schema.blocks[1].count, 2);
    assert_string_equal(s->domains[1].features[0].name, "tumour, stage ii (a)");
    csl_study_free(s);
}

static void test_study__modalities_beside_tables__have_their_shapes(void **state)
{
    struct csl_study *s = parse(
        "study: x\nrounds: 2\naggregation: {strategy: fedavg}\nmodel: {kind: linear}\n"
        "training: {local: {learning_rate: 1, batch_patients: full, steps: 1}}\n"
        "domains:\n"
        "  - {id: h, modality: ehr_series, shape: [48], clip: 5,\n"
        "     features: [pulse, {name: ph, centre: 7, scale: 2}], task: {kind: binary, label: l}}\n"
        "  - {id: e, modality: embedding, shape: [768], task: {kind: binary, label: l}}\n"
        "  - {id: v, modality: image3d, shape: [4, 5, 6, 2], task: {kind: binary, label: l}}\n");
    static const uint32_t widths[3] = {96, 768, 240};
    static const uint32_t shapes[3][4] = {{48, 2, 1, 1}, {768, 1, 1, 1}, {4, 5, 6, 2}};
    static const char *const names[3] = {"ehr_series", "embedding", "image3d"};

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(s->domains[i].width, widths[i]);
        assert_memory_equal(s->domains[i].shape, shapes[i], sizeof(shapes[i]));
        assert_string_equal(csl_modality_name(s->domains[i].modality), names[i]);
    }
    assert_true(s->domains[0].features[0].clip == 5 && s->domains[0].features[1].centre == 7);
    csl_study_free(s);
}

/* One domain of the input with the model. */
static struct csl_study *parse_model(const char *input, const char *model)
{
    struct csl_buf b;

    csl_buf_init(&b, 4096);
    csl_buf_printf(&b,
                   "study: x\nrounds: 2\naggregation: {strategy: fedavg}\n"
                   "training: {local: {learning_rate: 1, batch_patients: full, steps: 1}}\n"
                   "domains:\n"
                   "  - {id: d, %s,\n"
                   "     task: {kind: classes, label: l, classes: 3}, model: %s}\n",
                   input, model);
    struct csl_study *s = parse(csl_buf_text(&b));
    csl_buf_release(&b);
    return s;
}

struct wanted_tensor {
    const char *name;
    uint32_t rank;
    uint64_t shape[4];
    enum csl_init init;
    double inputs; /* the bound is 1/sqrt of them */
};

static void expect_tensors(const struct csl_study *s, const struct wanted_tensor *want, size_t n)
{
    assert_int_equal(s->schema.tensor_count, n);
    for (size_t i = 0; i < n; i++) {
        const struct csl_tensor_spec *t = &s->schema.tensors[i];
        double bound = want[i].inputs > 0 ? 1.0 / sqrt(want[i].inputs) : 0;
        assert_string_equal(t->name, want[i].name);
        assert_int_equal(t->rank, want[i].rank);
        assert_int_equal(t->init, want[i].init);
        assert_true(t->init_bound == (float)bound);
        for (uint32_t k = 0; k < t->rank; k++)
            assert_int_equal(t->shape[k], want[i].shape[k]);
    }
}

static void test_study__schema__of_a_cnn_has_convolutions_norms_and_a_head(void **state)
{
    static const struct wanted_tensor image[] = {
        {"d.conv0.weight", 4, {8, 5, 5, 2}, CSL_INIT_UNIFORM, 50},
        {"d.conv0.bias", 1, {8}, CSL_INIT_UNIFORM, 50},
        {"d.norm0.weight", 1, {8}, CSL_INIT_ONES, 0},
        {"d.norm0.bias", 1, {8}, CSL_INIT_ZEROS, 0},
        {"d.conv1.weight", 4, {4, 5, 5, 8}, CSL_INIT_UNIFORM, 200},
        {"d.conv1.bias", 1, {4}, CSL_INIT_UNIFORM, 200},
        {"d.norm1.weight", 1, {4}, CSL_INIT_ONES, 0},
        {"d.norm1.bias", 1, {4}, CSL_INIT_ZEROS, 0},
        {"d.head.weight", 2, {3, 4}, CSL_INIT_UNIFORM, 4},
        {"d.head.bias", 1, {3}, CSL_INIT_UNIFORM, 4},
    };
    static const struct wanted_tensor series[] = {
        {"d.conv0.weight", 3, {6, 3, 2}, CSL_INIT_UNIFORM, 6},
        {"d.conv0.bias", 1, {6}, CSL_INIT_UNIFORM, 6},
        {"d.head.weight", 2, {3, 6}, CSL_INIT_UNIFORM, 6},
        {"d.head.bias", 1, {3}, CSL_INIT_UNIFORM, 6},
    };
    struct csl_study *s = parse_model("modality: image2d, shape: [9, 7, 2]",
                                      "{kind: cnn2d, channels: [8, 4], kernel: 5, groups: 2}");
    const struct csl_model_sizes *m = &s->domains[0].sizes;

    (void)state;
    expect_tensors(s, image, sizeof(image) / sizeof(image[0]));
    assert_true(m->kernel == 5 && m->stride == 1 && m->pool == 2 && m->groups == 2);
    csl_study_free(s);
    s = parse_model("modality: ehr_series, shape: [48], features: [a, b]",
                    "{kind: cnn1d, channels: [6], norm: none}");
    expect_tensors(s, series, sizeof(series) / sizeof(series[0]));
    csl_study_free(s);
}

static void test_study__schema__of_a_bag_has_a_table_and_layers(void **state)
{
    static const struct wanted_tensor want[] = {
        {"d.embed.weight", 2, {4096, 16}, CSL_INIT_UNIFORM, 256}, /* 1/16 */
        {"d.layer0.weight", 2, {8, 16}, CSL_INIT_UNIFORM, 16},
        {"d.layer0.bias", 1, {8}, CSL_INIT_UNIFORM, 16},
        {"d.layer1.weight", 2, {3, 8}, CSL_INIT_UNIFORM, 8},
        {"d.layer1.bias", 1, {3}, CSL_INIT_UNIFORM, 8},
    };
    struct csl_study *s =
        parse_model("modality: text, shape: [100, 4096]", "{kind: bag, width: 16, hidden: [8]}");

    (void)state;
    expect_tensors(s, want, sizeof(want) / sizeof(want[0]));
    csl_study_free(s);
}

static void test_study__schema__of_a_transformer_fits_the_longest_domain_name(void **state)
{
    struct csl_study *s =
        parse_model("modality: image2d, shape: [28, 14, 1]",
                    "{kind: transformer, patch: 7, width: 16, heads: 2, layers: 8}");
    uint64_t w = 16,
             layer = 2 * 2 * w + 3 * w * (w + 1) + w * (w + 1) + 4 * w * (w + 1) + w * (4 * w + 1);

    (void)state;
    assert_int_equal(s->schema.tensor_count, 3 + 8 * 12 + 4);
    assert_string_equal(s->schema.tensors[2].name, "d.place.weight");
    assert_int_equal(s->schema.tensors[2].shape[0], 8);
    assert_int_equal(s->schema.parameters, w * 49 + w + 8 * w + 8 * layer + 2 * w + 3 * (w + 1));
    csl_study_free(s);
    s = parse("study: x\nrounds: 2\naggregation: {strategy: fedavg}\n"
              "training: {local: {learning_rate: 1, batch_patients: full, steps: 1}}\n"
              "domains:\n  - {id: aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeee, modality: "
              "signal, shape: [8, 1],\n     task: {kind: binary, label: l}, model: {kind: "
              "transformer, patch: 4}}\n");
    csl_study_free(s);
}

static void test_study__release__floors_and_defaults(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_buf out;
    struct csl_study *s = parse_with(
        16, "rounds: 15\n"
            "fairness: {attributes: [sex, age_band], minimum_group: 40, weights: {cap: 3}}\n"
            "release: {minimum_auc: 0.7, worst_group_floor: 0.6, intended_use: a second look}");
    assert_int_equal(s->fairness.attribute_count, 2);
    assert_string_equal(s->fairness.attributes[1], "age_band");
    assert_int_equal(s->fairness.minimum_group, 40);
    assert_int_equal(s->fairness.minimum_sites, 3);
    assert_true(s->fairness.weights.is_on);
    assert_true(fabs(s->fairness.weights.alpha - .5) + fabs(s->fairness.weights.beta - 1) <= 0);
    assert_true(s->release.is_on && s->release.needs_card && s->release.refuses_collapsed);
    assert_true(s->release.minimum_auc >= 0.7 && s->release.worst_group_floor >= 0.6);
    assert_string_equal(s->release.intended_use, "a second look");
    csl_buf_init(&out, 65536);
    csl_study_explain(s, &out);
    assert_int_equal(csl_buf_status(&out, &err), CSL_OK);
    assert_non_null(strstr(csl_buf_text(&out), "at least 40 test patients at 3 sites"));
    assert_non_null(
        strstr(csl_buf_text(&out), "cap of 3 no patient counts more than\n    9 times"));
    assert_non_null(strstr(csl_buf_text(&out), "fewer than 40 training patients at the site"));
    assert_non_null(strstr(csl_buf_text(&out), "An AUC of 0.6 in the worst patient group"));
    csl_buf_release(&out);
    csl_study_free(s);
}

/* Inputs of a step or window, and that each choice is a study of its own. */
static void test_study__series__has_the_width_of_its_marks_or_windows(void **state)
{
    static const struct {
        const char *text;
        uint32_t rows, inputs, steps;
        const char *says;
    } rows[] = {
        {"    modality: ehr_series\n    shape: [4]", 4, 2, 0, "from 8 series values with"},
        {"    modality: ehr_series\n    shape: [4]\n    missing: mask", 4, 4, 0,
         "16 series values"},
        {"    modality: ehr_series\n    shape: [4]\n    missing: mask_and_delta", 4, 6, 0,
         "24 series values"},
        {"    modality: ehr_series\n    shape: [4]\n    windows: 1", 1, 12, 4, "12 window values"},
        {"    modality: ehr_series\n    shape: [4]\n    windows: 3", 3, 12, 4, "36 window values"},
    };
    enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
    uint8_t digests[ROWS][CSL_DIGEST_BYTES];

    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        struct csl_study *s = parse_with(5, rows[i].text);
        const struct csl_domain *d = &s->domains[0];
        assert_int_equal(d->shape[0], rows[i].rows);
        assert_int_equal(d->shape[1], rows[i].inputs);
        assert_int_equal(d->width, rows[i].rows * rows[i].inputs);
        assert_int_equal(d->steps, rows[i].steps);
        struct csl_buf out;
        csl_buf_init(&out, 1u << 20);
        csl_study_explain(s, &out);
        assert_non_null(strstr(csl_buf_text(&out), rows[i].says));
        csl_buf_release(&out);
        memcpy(digests[i], s->digest, CSL_DIGEST_BYTES);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(digests[i], digests[k], CSL_DIGEST_BYTES);
        csl_study_free(s);
    }
}

static void test_study__digest__changes_with_every_size_of_a_model(void **state)
{
    static const char *const image = "modality: image2d, shape: [16, 16, 1]";
    static const struct {
        const char *input, *model, *other;
    } rows[] = {
        {image, "{kind: cnn2d, channels: [8]}", "{kind: cnn2d, channels: [12]}"},
        {image, "{kind: cnn2d, channels: [8]}", "{kind: cnn2d, channels: [8, 8]}"},
        {image, "{kind: cnn2d, channels: [8]}", "{kind: cnn2d, channels: [8], kernel: 5}"},
        {image, "{kind: cnn2d, channels: [8]}", "{kind: cnn2d, channels: [8], stride: 2}"},
        {image, "{kind: cnn2d, channels: [8]}", "{kind: cnn2d, channels: [8], pool: 1}"},
        {image, "{kind: cnn2d, channels: [8]}", "{kind: cnn2d, channels: [8], groups: 8}"},
        {image, "{kind: cnn2d, channels: [8]}", "{kind: cnn2d, channels: [8], norm: none}"},
        {image, "{kind: transformer, patch: 4}", "{kind: transformer, patch: 8}"},
        {image, "{kind: transformer, patch: 4}", "{kind: transformer, patch: 4, heads: 8}"},
        {image, "{kind: transformer, patch: 4}", "{kind: transformer, patch: 4, layers: 1}"},
        {image, "{kind: transformer, patch: 4}", "{kind: transformer, patch: 4, width: 16}"},
        {"modality: text, shape: [50, 64]", "{kind: bag}", "{kind: bag, width: 16}"},
        {"modality: text, shape: [50, 64]", "{kind: bag}", "{kind: bag, hidden: [4]}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_study *a = parse_model(rows[i].input, rows[i].model);
        struct csl_study *b = parse_model(rows[i].input, rows[i].other);
        if (memcmp(a->digest, b->digest, CSL_DIGEST_BYTES) == 0)
            fail_msg("%s and %s have the same digest", rows[i].model, rows[i].other);
        csl_study_free(a);
        csl_study_free(b);
    }
}

static void test_study__explain__says_what_is_seen_and_that_nothing_is_noised(void **state)
{
    static const char *const phrases[] = {"heart-4",
                                          "Does it work?",
                                          "age, chol (mg/dl)",
                                          "coordinator sees each site's model update",
                                          "NO differential privacy",
                                          "Secure aggregation is not used",
                                          "15 rounds",
                                          "number of training patients"};
    struct csl_study *s = parse_with(0, NULL);
    struct csl_buf b;

    (void)state;
    csl_buf_init(&b, 65536);
    csl_study_explain(s, &b);
    assert_int_equal(csl_buf_status(&b, NULL), CSL_OK);
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        if (!strstr(csl_buf_text(&b), phrases[i]))
            fail_msg("'%s' is missing in:\n%s", phrases[i], csl_buf_text(&b));
    }
    csl_buf_release(&b);
    csl_study_free(s);
}

static void test_study__no_memory__fails_cleanly_at_every_allocation(void **state)
{
    struct csl_study *s = NULL;
    struct csl_buf b;
    enum csl_code code = CSL_E_NOMEM;
    uint64_t n = 1;

    (void)state;
    csl_buf_init(&b, 65536);
    for (unsigned i = 0; i < STUDY_LINES; i++)
        csl_buf_printf(&b, "%s\n", study_lines[i]);
    for (; n < 10000 && code != CSL_OK; n++) {
        csl_mem_fail_after(n);
        code = csl_study_parse(&s, "s.yaml", CSL_SPAN(b.p, b.n), NULL);
        csl_mem_fail_after(0);
        assert_true(code == CSL_OK || code == CSL_E_NOMEM);
        assert_int_equal(code == CSL_OK, s != NULL);
    }
    assert_int_equal(code, CSL_OK);
    assert_true(n > 8);
    csl_study_free(s);
    csl_buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_study__valid_file__fills_every_field),
        cmocka_unit_test(test_study__valid_file__fills_baselines_simulation_and_manifest),
        cmocka_unit_test(test_study__domain_constants__reach_features_without_their_own),
        cmocka_unit_test(test_study__optional_sections_absent__get_their_defaults),
        cmocka_unit_test(test_study__digest__ignores_comments_order_spelling_and_simulation),
        cmocka_unit_test(test_study__digest__changes_with_every_choice),
        cmocka_unit_test(test_study__schema__of_a_linear_model_is_weight_then_bias),
        cmocka_unit_test(test_study__schema__of_two_domains_has_a_block_each),
        cmocka_unit_test(test_study__modalities_beside_tables__have_their_shapes),
        cmocka_unit_test(test_study__schema__of_a_cnn_has_convolutions_norms_and_a_head),
        cmocka_unit_test(test_study__schema__of_a_bag_has_a_table_and_layers),
        cmocka_unit_test(test_study__schema__of_a_transformer_fits_the_longest_domain_name),
        cmocka_unit_test(test_study__release__floors_and_defaults),
        cmocka_unit_test(test_study__series__has_the_width_of_its_marks_or_windows),
        cmocka_unit_test(test_study__digest__changes_with_every_size_of_a_model),
        cmocka_unit_test(test_study__explain__says_what_is_seen_and_that_nothing_is_noised),
        cmocka_unit_test(test_study__no_memory__fails_cleanly_at_every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
