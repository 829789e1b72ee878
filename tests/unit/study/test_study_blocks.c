/* Blocks of a model that are frozen or stay local: what a study may say of them, and what follows.
 */
#include "base/buf.h"
#include "protocol/study/study.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Keys behind the scan's encoder, the age's encoder and the model; then the rest of the study. */
struct text {
    const char *scan, *age, *model, *rest;
};
static const char fedavg[] = "aggregation: {strategy: fedavg}\n";

static enum csl_code parse(const struct text *t, struct csl_study **out, struct csl_err *err)
{
    struct csl_buf b;
    csl_buf_init(&b, 65536);
    csl_buf_printf(
        &b,
        "study: mixed\ninputs:\n"
        "  - {id: scan, modality: image2d, shape: [8, 8, 1], encoder: {kind: cnn2d, "
        "channels: [4]%s}}\n"
        "  - {id: age, modality: tabular, features: [age], encoder: {kind: linear%s}}\n"
        "domains:\n  - {id: ill, inputs: [age, scan], task: {kind: binary, label: ill}}\n"
        "model: {kind: multimodal, width: 6%s}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, "
        "steps: 3}}\nrounds: 2\n%s",
        t->scan, t->age, t->model, t->rest);
    enum csl_code code = csl_study_parse(out, "s.yaml", CSL_SPAN(b.p, b.n), err);
    csl_buf_release(&b);
    return code;
}

static struct csl_study *must_parse(const struct text *t)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    if (parse(t, &s, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}

static void test_study_blocks__kinds__are_those_of_the_schema(void **state)
{
    (void)state;
    struct csl_study *s =
        must_parse(&(struct text){", train: frozen", "", ", train: local", fedavg});
    assert_int_equal(s->schema.block_count, 3);
    assert_int_equal(s->schema.blocks[0].kind, CSL_BLOCK_LOCAL);
    assert_int_equal(s->schema.blocks[1].kind, CSL_BLOCK_FROZEN);
    assert_int_equal(s->schema.blocks[2].kind, CSL_BLOCK_SHARED);
    assert_true(csl_study_has_kind(s, CSL_BLOCK_LOCAL));
    csl_study_free(s);
}

/* Saying what holds anyway changes nothing; sites that keep other blocks must not agree. */
static void test_study_blocks__digest__changes_with_every_kind(void **state)
{
    (void)state;
    static const struct text texts[] = {
        {"", "", "", fedavg},
        {", train: frozen", "", "", fedavg},
        {", train: local", "", "", fedavg},
        {"", ", train: frozen", "", fedavg},
        {"", "", ", train: frozen", fedavg},
        {", train: frozen", "", ", train: local", fedavg},
        {", train: frozen, adapter: {rank: 2}", "", "", fedavg},
        {", train: frozen, adapter: {rank: 3}", "", "", fedavg},
        {", train: frozen, adapter: {rank: 2, alpha: 4}", "", "", fedavg},
    };
    enum { TEXTS = sizeof(texts) / sizeof(texts[0]) };
    uint8_t digests[TEXTS][CSL_DIGEST_BYTES];
    for (size_t i = 0; i < TEXTS; i++) {
        struct csl_study *s = must_parse(&texts[i]);
        memcpy(digests[i], s->digest, CSL_DIGEST_BYTES);
        csl_study_free(s);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(digests[i], digests[k], CSL_DIGEST_BYTES);
    }
    struct csl_study *s =
        must_parse(&(struct text){", train: all", ", train: all", ", train: all", fedavg});
    assert_memory_equal(s->digest, digests[0], CSL_DIGEST_BYTES);
    csl_study_free(s);
}

/* Of a cnn2d nothing but the last layer is linear. alpha without the key: the rank. */
static void test_study_blocks__adapter__is_a_block_of_its_own(void **state)
{
    (void)state;
    struct csl_study *s = must_parse(&(struct text){", train: frozen, adapter: {rank: 2}",
                                                    ", train: frozen, adapter: {rank: 1, alpha: 5}",
                                                    ", train: frozen", fedavg});
    const struct csl_schema *schema = &s->schema;
    assert_int_equal(schema->block_count, 5);
    assert_string_equal(schema->blocks[3].name, "adapter.scan");
    assert_string_equal(schema->blocks[4].name, "adapter.age");
    assert_int_equal(schema->blocks[3].kind, CSL_BLOCK_SHARED);
    assert_int_equal(schema->blocks[3].count, 2 * 4 + 6 * 2);
    assert_int_equal(schema->blocks[4].count, 1 + 6);
    assert_int_equal(csl_study_input_of(s, 2), 1);
    assert_int_equal(csl_study_input_of(s, 3), 0);
    assert_int_equal(csl_study_input_of(s, 4), 1);
    const struct csl_tensor_spec *up = &schema->tensors[schema->tensor_count - 3];
    assert_string_equal(up->name, "adapter.scan.head.up");
    assert_int_equal(up->shape[0], 6);
    assert_int_equal(up->shape[1], 2);
    assert_int_equal(up->init, CSL_INIT_ZEROS);
    assert_true(s->inputs[0].adapter.alpha > 1.9 && s->inputs[0].adapter.alpha < 2.1);
    assert_true(s->inputs[1].adapter.alpha > 4.9 && s->inputs[1].adapter.alpha < 5.1);
    csl_study_free(s);
}

static void test_study_blocks__mistake__is_named(void **state)
{
    (void)state;
    static const struct {
        struct text text;
        const char *says;
    } rows[] = {
        {{", train: never", "", "", fedavg}, "found 'never'"},
        {{", adapter: {rank: 2}", "", "", fedavg}, "an encoder that is trained needs none"},
        {{", train: local, adapter: {rank: 2}", "", "", fedavg}, "train: frozen would be right"},
        {{", train: frozen, adapter: {rank: 0}", "", "", fedavg}, "found '0'"},
        {{", train: frozen, adapter: {alpha: 2}", "", "", fedavg}, "'rank'"},
        {{", train: frozen, adapter: 2", "", "", fedavg}, "a mapping of keys to values"},
        {{"", "", ", train: frozen, adapter: {rank: 2}", fedavg},
         "only the encoder of an input takes an adapter"},
        {{", train: frozen", ", train: local", ", train: local", fedavg},
         "every block of the model is frozen or local, so that a round would send nothing"},
        {{"", "", ", train: local", "aggregation: {strategy: scaffold}\n"},
         "which it has of no frozen or local block"},
        {{", train: frozen", "", "", "aggregation: {strategy: scaffold}\n"},
         "which it has of no frozen or local block"},
        {{"", "", ", train: local",
          "aggregation: {strategy: fedavg, weights: {kind: equal}}\n"
          "privacy: {mode: site, epsilon: 1, delta: 0.001, clip: 1}\n"},
         "would shape every later update"},
        {{"", "", ", train: local",
          "aggregation: {strategy: fedavg}\nsites: {minimum: 3}\n"
          "secure_aggregation: {protocol: fsa-1, colluding: 0, minimum_sites: 3}\n"
          "privacy: {mode: joint, epsilon: 1, delta: 0.001, clip: 1, sampling_rate: 1}\n"},
         "a share of the noise only, and a local block"},
        {{"", "", ", train: local",
          "aggregation: {strategy: fedavg}\npersonalisation: {training: {learning_rate: 0.5, "
          "batch_patients: full, epochs: 2}}\n"},
         "has a model of each site's own already"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_study *s = NULL;
        struct csl_err err = {0};
        assert_int_equal(parse(&rows[i].text, &s, &err), CSL_E_INVAL);
        if (strstr(err.msg, rows[i].says) == NULL)
            fail_msg("row %zu: %s", i, err.msg);
        assert_null(s);
    }
}

static void test_study_blocks__without_inputs__is_refused(void **state)
{
    (void)state;
    static const char yaml[] =
        "study: s\ndomains:\n  - {id: ill, modality: tabular, features: [age], task: {kind: "
        "binary, label: ill}}\nmodel: {kind: linear, train: local}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 3}}\n"
        "rounds: 2\naggregation: {strategy: fedavg}\n";
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    assert_int_equal(csl_study_parse(&s, "s.yaml", CSL_SPAN(yaml, sizeof(yaml) - 1), &err),
                     CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "a domain without 'inputs' is one block, and it is trained"));
}

static void test_study_blocks__explained__says_what_is_never_sent(void **state)
{
    (void)state;
    static const char *const says[] = {
        "Part of the model input.scan: never trained and never sent",
        "Beside the frozen input.scan an adapter of rank 2 is trained and sent: 20 parameters for "
        "its 78",
        "Part of the model ill: trained at each site for itself, and never sent"};
    struct csl_study *s = must_parse(
        &(struct text){", train: frozen, adapter: {rank: 2}", "", ", train: local", fedavg});
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
        cmocka_unit_test(test_study_blocks__kinds__are_those_of_the_schema),
        cmocka_unit_test(test_study_blocks__digest__changes_with_every_kind),
        cmocka_unit_test(test_study_blocks__adapter__is_a_block_of_its_own),
        cmocka_unit_test(test_study_blocks__mistake__is_named),
        cmocka_unit_test(test_study_blocks__without_inputs__is_refused),
        cmocka_unit_test(test_study_blocks__explained__says_what_is_never_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
