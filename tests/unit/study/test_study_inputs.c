/* A study with inputs: fields, blocks, digest and what is said of it. */
#include "base/buf.h"
#include "protocol/study/study.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const lines[] = {
    "study: mixed",
    "inputs:",
    "  - {id: scan, modality: image2d, shape: [8, 8, 1], scale: 2, encoder: {kind: cnn2d, "
    "channels: "
    "[4]}}",
    "  - {id: age, modality: tabular, features: [age, sex], encoder: {kind: linear}}",
    "domains:",
    "  - id: ill",
    "    inputs: [age, scan]",
    "    task: {kind: binary, label: ill, positive: present}",
    "    model: {kind: multimodal, width: 6, fusion: gated, modality_dropout: 0.25, hidden: [5]}",
    "  - {id: kind, inputs: [scan], task: {kind: classes, label: kind, classes: 3}, model: {kind: "
    "multimodal, width: 6, fusion: mean}}",
    "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 3}}",
    "rounds: 2",
    "aggregation: {strategy: fedavg}",
};
#define LINES (sizeof(lines) / sizeof(lines[0]))

/* The study with line `changed` (from 1) in other words; 0: as it is. */
static struct csl_study *parse(size_t changed, const char *text)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    struct csl_buf b;
    csl_buf_init(&b, 65536);
    for (size_t i = 0; i < LINES; i++)
        csl_buf_printf(&b, "%s\n", i + 1 == changed ? text : lines[i]);
    if (csl_study_parse(&s, "s.yaml", CSL_SPAN(b.p, b.n), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_buf_release(&b);
    return s;
}

/* Marks and windows of a series are of the input too: sites that read it otherwise must not agree.
 */
static void test_study_inputs__series__digest_changes_with_its_marks(void **state)
{
    static const char *const marks[] = {"", "missing: mask, ", "missing: mask_and_delta, ",
                                        "windows: 2, "};
    enum { MARKS = sizeof(marks) / sizeof(marks[0]) };
    uint8_t digests[MARKS][CSL_DIGEST_BYTES];
    char line[256];
    (void)state;
    for (size_t i = 0; i < MARKS; i++) {
        snprintf(line, sizeof(line),
                 "  - {id: age, modality: ehr_series, shape: [4], features: [a, b], %sencoder: "
                 "{kind: mlp, hidden: [3]}}",
                 marks[i]);
        struct csl_study *s = parse(4, line);
        memcpy(digests[i], s->digest, CSL_DIGEST_BYTES);
        csl_study_free(s);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(digests[i], digests[k], CSL_DIGEST_BYTES);
    }
}

/* The scale of 1 that an input without the key has is no other study than that scale stated. */
static void test_study_inputs__measured_scale__one_is_the_study_without_it(void **state)
{
    static const char *const keys[] = {"", "measured_scale: 1, ", "measured_scale: 0.2, "};
    static const double scales[] = {1, 1, 0.2};
    uint8_t digests[3][CSL_DIGEST_BYTES];
    char line[256];
    (void)state;
    for (int i = 0; i < 3; i++) {
        snprintf(line, sizeof(line),
                 "  - {id: age, modality: ehr_series, shape: [4], features: [a, b], windows: 2, "
                 "%sencoder: {kind: mlp, hidden: [3]}}",
                 keys[i]);
        struct csl_study *s = parse(4, line);
        assert_true(fabs(s->inputs[1].measured_scale - scales[i]) < 1e-15);
        memcpy(digests[i], s->digest, CSL_DIGEST_BYTES);
        csl_study_free(s);
    }
    assert_memory_equal(digests[0], digests[1], CSL_DIGEST_BYTES);
    assert_memory_not_equal(digests[0], digests[2], CSL_DIGEST_BYTES);
}

#define TASK                                                                                       \
    "  - {id: kind, inputs: [scan], model: {kind: multimodal, width: 6, fusion: mean}, task: "

static void test_study_inputs__merged_classes__are_sets_of_the_digest(void **state)
{
    static const char *const merged[] = {"", ", merged: [[0, 2]]", ", merged: [[2, 1]]",
                                         ", merged: [[0, 2], [1, 2]]"};
    enum { COUNT = sizeof(merged) / sizeof(merged[0]) };
    uint8_t digests[COUNT][CSL_DIGEST_BYTES];
    char line[256];
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(line, sizeof(line), TASK "{kind: classes, label: kind, classes: 3%s}}", merged[i]);
        struct csl_study *s = parse(10, line);
        assert_int_equal(s->domains[1].outputs, 3);
        assert_int_equal(s->domains[1].merged_count, i < 3 ? i > 0 : 2);
        if (i > 0)
            assert_int_equal(s->domains[1].merged[0], i == 2 ? 6 : 5);
        memcpy(digests[i], s->digest, CSL_DIGEST_BYTES);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(digests[i], digests[k], CSL_DIGEST_BYTES);
        struct csl_buf out;
        csl_buf_init(&out, 1u << 20);
        csl_study_explain(s, &out);
        assert_int_equal(strstr(csl_buf_text(&out), "3 classes; label 3 one of 0 or 2") != NULL,
                         i == 1 || i == 3);
        csl_buf_release(&out);
        csl_study_free(s);
    }
}

static void test_study_inputs__merged_classes__mistakes_are_named(void **state)
{
    static const struct {
        const char *task, *says;
    } rows[] = {
        {"{kind: classes, label: kind, classes: 3, merged: [[0, 3]]}", "a class from 0, below"},
        {"{kind: classes, label: kind, classes: 3, merged: [[1, 1]]}", "class 1 is listed twice"},
        {"{kind: classes, label: kind, classes: 3, merged: [[1]]}", "found 1 classes"},
        {"{kind: classes, label: kind, classes: 3, merged: [[0, 1, 2]]}", "2 would be right"},
        {"{kind: classes, label: kind, classes: 3, merged: [[0, 1], [1, 0]]}", "listed before"},
        {"{kind: classes, label: kind, classes: 3, merged: []}", "found 0 sets"},
        {"{kind: classes, label: kind, classes: 2, merged: [[0, 1]]}", "leave nothing to merge"},
        {"{kind: binary, label: kind, merged: [[0, 1]]}", "only kind: classes has classes"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_study *s = NULL;
        struct csl_err err = {0};
        struct csl_buf b;
        csl_buf_init(&b, 65536);
        for (size_t k = 0; k < LINES; k++)
            csl_buf_printf(&b, "%s%s%s\n", k == 9 ? TASK : lines[k], k == 9 ? rows[i].task : "",
                           k == 9 ? "}" : "");
        assert_int_equal(csl_study_parse(&s, "s.yaml", CSL_SPAN(b.p, b.n), &err), CSL_E_INVAL);
        if (strstr(err.msg, rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].task, err.msg);
        csl_buf_release(&b);
    }
}

static void test_study_inputs__weights_of_patient_groups__refused(void **state)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    struct csl_buf b;
    (void)state;
    csl_buf_init(&b, 65536);
    for (size_t i = 0; i < LINES; i++)
        csl_buf_printf(&b, "%s\n", lines[i]);
    csl_buf_str(&b, "fairness: {attributes: [sex], weights: {cap: 2}}\n");
    assert_int_equal(csl_study_parse(&s, "s.yaml", CSL_SPAN(b.p, b.n), &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "patients of studies with inputs are not weighed"));
    assert_null(s);
    csl_buf_release(&b);
}

static enum csl_code parse_private(const char *scaling, const char *optimizer, const char *privacy,
                                   struct csl_study **out, struct csl_err *err)
{
    struct csl_buf b;
    csl_buf_init(&b, 65536);
    for (size_t i = 0; i < 10; i++)
        if (i == 3)
            csl_buf_printf(&b,
                           "  - {id: age, modality: tabular, %sfeatures: [age, sex], encoder: "
                           "{kind: linear}}\n",
                           scaling);
        else
            csl_buf_printf(&b, "%s\n", lines[i]);
    csl_buf_printf(&b,
                   "training: {local: {optimizer: %s, learning_rate: 0.1, batch_patients: full, "
                   "steps: 1}}\nrounds: 2\naggregation: {strategy: fedavg}\nsites: {minimum: 4}\n"
                   "%s\n",
                   optimizer, privacy);
    enum csl_code code = csl_study_parse(out, "s.yaml", CSL_SPAN(b.p, b.n), err);
    csl_buf_release(&b);
    return code;
}

#define JOINT                                                                                      \
    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 4}\n"                      \
    "privacy: {mode: joint, epsilon: 1, delta: 1e-5, clip: 1, sampling_rate: 0.5}"
#define LOCAL "privacy: {mode: local, epsilon: 1, delta: 1e-5, clip: 1}"

/* Weights of patient groups come from what is published, and from nothing else. */
static void test_study_inputs__joint_noise__patient_groups_are_weighed_by_statistics(void **state)
{
    static const char weights[] = "\nfairness: {attributes: [sex], weights: {cap: 2}}\n";
    static const char groups[] = "statistics: {every: 1, epsilon: 1, delta: 1e-5, groups: {sex: "
                                 "[female, male]}}\n";
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    struct csl_buf out;
    char sections[1024];
    (void)state;
    snprintf(sections, sizeof(sections), JOINT "%s", weights);
    assert_int_equal(parse_private("", "sgd", sections, &s, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "a section 'statistics' with 'groups' would be right"));
    snprintf(sections, sizeof(sections), LOCAL "%s", weights);
    assert_int_equal(parse_private("", "sgd", sections, &s, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "mode joint with statistics by group"));
    snprintf(sections, sizeof(sections), JOINT "%s%s", weights, groups);
    if (parse_private("", "sgd", sections, &s, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_buf_init(&out, 65536);
    csl_study_explain(s, &out);
    assert_non_null(strstr(csl_buf_text(&out), "by the published statistics; with the cap of 2"));
    csl_buf_release(&out);
    csl_study_free(s);
}

/* Several domains too: a patient is clipped once over all of them. */
static void test_study_inputs__joint_noise__is_taken_and_explained(void **state)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    struct csl_buf out;
    (void)state;
    if (parse_private("", "sgd", JOINT, &s, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(s->privacy.mode, CSL_PRIVACY_JOINT);
    assert_int_equal(s->domain_count, 2);
    csl_buf_init(&out, 1u << 20);
    csl_study_explain(s, &out);
    assert_non_null(strstr(csl_buf_text(&out), "of which every site adds"));
    csl_buf_release(&out);
    csl_study_free(s);
}

/* One patient's influence on a risk set has no bound, several inputs or not. */
static void test_study_inputs__survival__is_taken_without_privacy_only(void **state)
{
    static const char domain[] =
        "  - {id: kind, inputs: [scan], task: {kind: survival, label: kind}, model: {kind: "
        "multimodal, width: 6, fusion: mean}}";
    static const char *const privacy[] = {LOCAL, JOINT};
    struct csl_study *s = parse(10, domain);
    (void)state;
    assert_int_equal(s->domains[1].task, CSL_TASK_SURVIVAL);
    assert_int_equal(s->domains[1].model, CSL_MODEL_MULTIMODAL);
    assert_int_equal(s->domains[1].outputs, 1);
    csl_study_free(s);
    for (size_t i = 0; i < 2; i++) {
        struct csl_buf b;
        struct csl_err err = {0};
        csl_buf_init(&b, 65536);
        for (size_t k = 0; k < 10; k++)
            csl_buf_printf(&b, "%s\n", k == 9 ? domain : lines[k]);
        csl_buf_printf(&b,
                       "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: "
                       "full, steps: 1}}\nrounds: 2\naggregation: {strategy: fedavg}\n"
                       "sites: {minimum: 4}\n%s\n",
                       privacy[i]);
        s = NULL;
        assert_int_equal(csl_study_parse(&s, "s.yaml", CSL_SPAN(b.p, b.n), &err), CSL_E_INVAL);
        assert_non_null(strstr(err.msg, "domain kind: the Cox partial likelihood of one patient"));
        csl_buf_release(&b);
    }
}

static void test_study_inputs__with_privacy__mistakes_are_named(void **state)
{
    static const struct {
        const char *scaling, *optimizer, *privacy, *says;
    } rows[] = {
        {"", "adam", JOINT, "mode joint sums one plain gradient step a round"},
        {"scaling: site, ", "sgd", JOINT, "input age: scaling by the site's own means"},
        {"scaling: site, ", "sgd", LOCAL, "input age: scaling by the site's own means"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_study *s = NULL;
        struct csl_err err = {0};
        assert_int_equal(
            parse_private(rows[i].scaling, rows[i].optimizer, rows[i].privacy, &s, &err),
            CSL_E_INVAL);
        if (strstr(err.msg, rows[i].says) == NULL)
            fail_msg("row %zu: %s", i, err.msg);
    }
}

static enum csl_code parse_many(uint32_t domains, const char *more, struct csl_err *err)
{
    struct csl_study *s = NULL;
    struct csl_buf b;
    csl_buf_init(&b, 65536);
    csl_buf_printf(&b, "%s\n%s\n%s\n%s\n%s\n", lines[0], lines[1], lines[2], lines[3], lines[4]);
    for (uint32_t i = 0; i < domains; i++)
        csl_buf_printf(&b,
                       "  - {id: d%u, inputs: [age, scan], task: {kind: binary, label: l%u, "
                       "positive: 1}, model: {kind: multimodal, width: 6, fusion: mean}}\n",
                       i, i);
    csl_buf_printf(&b, "%s\n%s\n%s\nsites: {minimum: 3}\n%s", lines[LINES - 3], lines[LINES - 2],
                   lines[LINES - 1], more);
    enum csl_code code = csl_study_parse(&s, "s.yaml", CSL_SPAN(b.p, b.n), err);
    csl_study_free(s);
    csl_buf_release(&b);
    return code;
}

/* A masked round has a table of 64 blocks: those of the model, and without privacy one more for
 * each domain. */
static void test_study_inputs__more_blocks_than_a_masked_round_has__refused(void **state)
{
    static const char masks[] =
        "secure_aggregation: {protocol: fsa-1, colluding: 0, minimum_sites: 3}\n";
    static const char both[] =
        "secure_aggregation: {protocol: fsa-1, colluding: 0, minimum_sites: 3}\n"
        "privacy: {mode: local, epsilon: 1, delta: 1e-5, clip: 1}\n";
    struct csl_err err = {0};
    (void)state;
    assert_int_equal(parse_many(31, masks, &err), CSL_OK);
    assert_int_equal(parse_many(32, "", &err), CSL_OK);
    assert_int_equal(parse_many(32, both, &err), CSL_OK);
    assert_int_equal(parse_many(32, masks, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "32 domains and 2 inputs has 66 blocks"));
}

static void test_study_inputs__valid__has_every_field(void **state)
{
    (void)state;
    struct csl_study *s = parse(0, NULL);
    const struct csl_domain *ill = &s->domains[0], *kind = &s->domains[1];
    assert_int_equal(s->input_count, 2);
    assert_string_equal(s->inputs[0].id, "scan");
    assert_int_equal(s->inputs[0].model, CSL_MODEL_CNN2D);
    assert_int_equal(s->inputs[0].outputs, 6); /* what the domains fuse */
    assert_true(s->inputs[0].scale > 1.9 && s->inputs[0].scale < 2.1);
    assert_int_equal(s->inputs[1].outputs, 6);
    assert_int_equal(s->inputs[1].feature_count, 2);
    assert_int_equal(ill->model, CSL_MODEL_MULTIMODAL);
    assert_int_equal(ill->fusion.input_count, 2);
    assert_int_equal(ill->fusion.inputs[0], 0); /* in the study's order */
    assert_int_equal(ill->fusion.inputs[1], 1);
    assert_int_equal(ill->fusion.kind, CSL_FUSION_GATED);
    assert_true(ill->fusion.modality_dropout > 0.24 && ill->fusion.modality_dropout < 0.26);
    assert_int_equal(ill->hidden_count, 1);
    assert_int_equal(ill->width, 66);
    assert_string_equal(csl_domain_reads(ill), "multimodal");
    assert_string_equal(csl_domain_reads(&s->inputs[0]), "image2d");
    assert_int_equal(kind->fusion.kind, CSL_FUSION_MEAN);
    assert_int_equal(kind->outputs, 3);
    csl_study_free(s);
}

static void test_study_inputs__schema__has_the_domains_blocks_and_then_the_inputs(void **state)
{
    (void)state;
    static const char *const names[] = {"ill", "kind", "input.scan", "input.age"};
    /* gate, bias, empty, two layers; one layer; conv, norm, head; linear */
    static const uint64_t counts[] = {12 + 2 + 6 + 35 + 6, 21, 40 + 8 + 30, 18};
    struct csl_study *s = parse(0, NULL);
    assert_int_equal(s->schema.block_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(s->schema.blocks[i].name, names[i]);
        assert_int_equal(s->schema.blocks[i].count, counts[i]);
    }
    csl_study_free(s);
}

static void test_study_inputs__digest__changes_with_every_choice(void **state)
{
    (void)state;
    static const struct {
        size_t line;
        const char *text;
        bool is_same;
    } rows[] = {
        {7, "    inputs: [scan, age]", true}, /* the study's order counts */
        {7, "    inputs: [age]", false},
        {9, "    model: {kind: multimodal, width: 6, modality_dropout: 0.25, hidden: [5]}", true},
        {9,
         "    model: {kind: multimodal, width: 6, fusion: mean, modality_dropout: 0.25, hidden: "
         "[5]}",
         false},
        {9,
         "    model: {kind: multimodal, width: 6, fusion: gated, modality_dropout: 0.26, hidden: "
         "[5]}",
         false},
        {9, "    model: {kind: multimodal, width: 6, fusion: gated, modality_dropout: 0.25}",
         false},
        {4,
         "  - {id: age, modality: tabular, features: [age, sex], encoder: {kind: mlp, hidden: "
         "[3]}}",
         false},
        {4, "  - {id: age, modality: tabular, features: [age, weight], encoder: {kind: linear}}",
         false},
        {4,
         "  - {id: age, modality: tabular, scaling: site, features: [age, sex], encoder: {kind: "
         "linear}}",
         false},
    };
    struct csl_study *a = parse(0, NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_study *b = parse(rows[i].line, rows[i].text);
        if ((memcmp(a->digest, b->digest, CSL_DIGEST_BYTES) == 0) != rows[i].is_same)
            fail_msg("%s: the digest %s", rows[i].text,
                     rows[i].is_same ? "differs" : "is the same");
        csl_study_free(b);
    }
    csl_study_free(a);
}

static void test_study_inputs__explained__says_what_is_read_and_what_is_sent(void **state)
{
    (void)state;
    static const char *const says[] = {
        "ill: predicts a yes/no answer ('ill', yes = present) from what a record has of scan, age",
        "left out at a rate of 0.25, but never the last one",
        "scan: read from 64 pixels with a convolutional network",
        "A site receives and sends the parts of the model that it has training records for"};
    struct csl_study *s = parse(0, NULL);
    struct csl_buf out;
    csl_buf_init(&out, 1u << 20);
    csl_study_explain(s, &out);
    for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++)
        if (strstr(csl_buf_text(&out), says[i]) == NULL)
            fail_msg("'%s' is not in:\n%s", says[i], csl_buf_text(&out));
    csl_buf_release(&out);
    csl_study_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_study_inputs__valid__has_every_field),
        cmocka_unit_test(test_study_inputs__series__digest_changes_with_its_marks),
        cmocka_unit_test(test_study_inputs__measured_scale__one_is_the_study_without_it),
        cmocka_unit_test(test_study_inputs__merged_classes__are_sets_of_the_digest),
        cmocka_unit_test(test_study_inputs__merged_classes__mistakes_are_named),
        cmocka_unit_test(test_study_inputs__weights_of_patient_groups__refused),
        cmocka_unit_test(test_study_inputs__joint_noise__patient_groups_are_weighed_by_statistics),
        cmocka_unit_test(test_study_inputs__joint_noise__is_taken_and_explained),
        cmocka_unit_test(test_study_inputs__with_privacy__mistakes_are_named),
        cmocka_unit_test(test_study_inputs__survival__is_taken_without_privacy_only),
        cmocka_unit_test(test_study_inputs__more_blocks_than_a_masked_round_has__refused),
        cmocka_unit_test(test_study_inputs__schema__has_the_domains_blocks_and_then_the_inputs),
        cmocka_unit_test(test_study_inputs__digest__changes_with_every_choice),
        cmocka_unit_test(test_study_inputs__explained__says_what_is_read_and_what_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
