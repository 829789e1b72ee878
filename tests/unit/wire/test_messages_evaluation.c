/* EVALUATION, the deepest message: each field's limits, and unknown fields at each depth. */
#include "base/mem.h"
#include "consilium_v1.pb-c.h"
#include "protocol/wire/messages.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES(text) ((ProtobufCBinaryData){sizeof(text) - 1, (uint8_t *)(uintptr_t)(text)})

static enum csl_code decode(const ProtobufCMessage *p, enum csl_direction direction,
                            struct csl_err *err)
{
    struct csl_message m;
    size_t n = protobuf_c_message_get_packed_size(p);
    uint8_t *bytes = csl_alloc(n);
    assert_non_null(bytes);
    assert_int_equal(protobuf_c_message_pack(p, bytes), n);
    enum csl_code code = csl_message_decode(&m, direction, CSL_SPAN(bytes, n), err);
    if (code == CSL_OK)
        csl_message_release(&m);
    csl_free(bytes);
    return code;
}

static Consilium__V1__EvalMetric metric;
static Consilium__V1__EvalBlock block;
static Consilium__V1__Evaluation evaluation;
static Consilium__V1__SiteMessage envelope;

/* A valid EVALUATION in protobuf-c's structs, four levels deep. */
static void build_evaluation(void)
{
    static Consilium__V1__EvalMetric *metrics[1] = {&metric};
    static Consilium__V1__EvalBlock *blocks[1] = {&block};
    consilium__v1__eval_metric__init(&metric);
    consilium__v1__eval_block__init(&block);
    consilium__v1__evaluation__init(&evaluation);
    consilium__v1__site_message__init(&envelope);
    metric.name = BYTES("auc");
    metric.value = 0.75;
    block.examples = 10;
    block.n_metrics = 1;
    block.metrics = metrics;
    evaluation.n_blocks = 1;
    evaluation.blocks = blocks;
    envelope.sequence = 1;
    envelope.body_case = CONSILIUM__V1__SITE_MESSAGE__BODY_EVALUATION;
    envelope.evaluation = &evaluation;
}

static void test_messages_evaluation__unknown_field__is_refused_at_every_depth(void **state)
{
    (void)state;
    ProtobufCMessage *const levels[] = {&envelope.base, &evaluation.base, &block.base,
                                        &metric.base};
    build_evaluation();
    assert_int_equal(decode(&envelope.base, CSL_TO_COORDINATOR, NULL), CSL_OK);
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        uint8_t zero[1] = {0};
        ProtobufCMessageUnknownField unknown = {
            .tag = 99, .wire_type = PROTOBUF_C_WIRE_TYPE_VARINT, .len = 1, .data = zero};
        struct csl_err err = {0};
        build_evaluation();
        levels[i]->n_unknown_fields = 1;
        levels[i]->unknown_fields = &unknown;
        assert_int_equal(decode(&envelope.base, CSL_TO_COORDINATOR, &err), CSL_E_PROTO);
        assert_non_null(strstr(err.msg, "unknown field 99"));
    }
}

struct evaluation_row { /* zero: as in build_evaluation */
    const char *what;
    bool is_good;
    size_t metrics, bins, blocks;
    uint64_t bin[2], true_positive, false_negative, examples, block, round;
    double loss_sum, value, low, high;
    ProtobufCBinaryData name;
    size_t classes;
    uint64_t judged;
    double judged_loss, class_mass[2];
    size_t groups;
    uint64_t group;
};

static enum csl_code decode_row(const struct evaluation_row *r)
{
    static uint64_t bins[2 * CSL_SCORE_BINS];
    static Consilium__V1__EvalMetric *metrics[13];
    static Consilium__V1__EvalBlock *blocks[CSL_DOMAINS_MAX + 1];
    build_evaluation();
    for (size_t i = 0; i < 13; i++)
        metrics[i] = &metric;
    for (size_t i = 0; i <= CSL_DOMAINS_MAX; i++)
        blocks[i] = &block;
    bins[3] = r->bin[0];
    bins[4] = r->bin[1];
    block.metrics = metrics;
    block.n_metrics = r->metrics == 0 ? 1 : r->metrics;
    block.bins = bins;
    block.n_bins = r->bins;
    block.true_positive = r->true_positive;
    block.false_negative = r->false_negative;
    block.examples = r->examples == 0 ? 10 : r->examples;
    block.block = r->block;
    block.loss_sum = r->loss_sum;
    static double mass[CSL_CLASSES_MAX + 1];
    memcpy(mass, r->class_mass, sizeof(r->class_mass));
    block.judged = r->judged;
    block.judged_loss = r->judged_loss;
    block.class_mass = mass;
    block.n_class_mass = r->classes;
    static uint64_t groups[CSL_GROUP_COUNTS_MAX + 1];
    groups[0] = r->group;
    block.n_groups = r->groups;
    block.groups = groups;
    metric.value = r->value;
    metric.low = r->low;
    metric.high = r->high;
    if (r->name.data != NULL)
        metric.name = r->name;
    evaluation.blocks = blocks;
    evaluation.n_blocks = r->blocks == 0 ? 1 : r->blocks;
    evaluation.round = r->round;
    return decode(&envelope.base, CSL_TO_COORDINATOR, NULL);
}

static void test_messages_evaluation__limits__are_checked_field_by_field(void **state)
{
    (void)state;
    const double inf = (double)INFINITY, nan_value = (double)NAN;
    const size_t all = 2 * CSL_SCORE_BINS;
    const uint64_t half = UINT64_MAX / 2 + 1;
    const struct evaluation_row rows[] = {
        {.what = "as built", .is_good = true},
        {.what = "most metrics", .is_good = true, .metrics = 12},
        {.what = "too many metrics", .metrics = 13},
        {.what = "bins", .is_good = true, .bins = all, .bin = {4, 6}},
        {.what = "one bin short", .bins = all - 1},
        {.what = "one bin", .bins = 1},
        {.what = "a bin over the examples", .bins = all, .bin = {11, 0}},
        {.what = "bins over the examples", .bins = all, .bin = {6, 5}},
        {.what = "bins whose sum wraps", .bins = all, .bin = {half, half}},
        {.what = "all true", .is_good = true, .true_positive = 10},
        {.what = "more true than there are", .true_positive = 11},
        {.what = "a table over the examples", .true_positive = 6, .false_negative = 5},
        {.what = "most examples", .is_good = true, .examples = CSL_RECORDS_MAX},
        {.what = "too many examples", .examples = CSL_RECORDS_MAX + 1},
        {.what = "loss is not a number", .loss_sum = nan_value},
        {.what = "value is infinite", .value = inf},
        {.what = "judged", .is_good = true, .judged = 7, .classes = 2, .class_mass = {3, 4}},
        {.what = "most classes", .is_good = true, .judged = 7, .classes = CSL_CLASSES_MAX},
        {.what = "too many classes", .judged = 7, .classes = CSL_CLASSES_MAX + 1},
        {.what = "more classes than judged", .judged = 7, .classes = 2, .class_mass = {3, 4.1}},
        {.what = "less than nobody", .judged = 7, .classes = 2, .class_mass = {-1, 4}},
        {.what = "mass is not a number", .judged = 7, .classes = 1, .class_mass = {nan_value, 0}},
        {.what = "too many judged", .judged = CSL_RECORDS_MAX + 1},
        {.what = "judged loss below zero", .judged = 1, .judged_loss = -1},
        {.what = "judged loss is infinite", .judged = 1, .judged_loss = inf},
        {.what = "most groups", .is_good = true, .groups = CSL_GROUP_COUNTS_MAX},
        {.what = "too many groups", .groups = CSL_GROUP_COUNTS_MAX + 1},
        {.what = "most in a group", .is_good = true, .groups = 1, .group = UINT32_MAX},
        {.what = "too many in a group", .groups = 1, .group = (uint64_t)UINT32_MAX + 1},
        {.what = "low is not a number", .low = nan_value},
        {.what = "high is infinite", .high = -inf},
        {.what = "an empty name", .name = BYTES("")},
        {.what = "a name that is no identifier", .name = BYTES("A b")},
        {.what = "a name with a NUL", .name = BYTES("a\0b")},
        {.what = "a block twice", .blocks = 2},
        {.what = "too many blocks", .blocks = CSL_DOMAINS_MAX + 1},
        {.what = "the last block", .is_good = true, .block = CSL_BLOCKS_MAX - 1},
        {.what = "a block beyond", .block = CSL_BLOCKS_MAX},
        {.what = "the last round", .is_good = true, .round = CSL_ROUNDS_MAX},
        {.what = "a round beyond", .round = CSL_ROUNDS_MAX + 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum csl_code code = decode_row(&rows[i]);
        if (code != (rows[i].is_good ? CSL_OK : CSL_E_PROTO))
            fail_msg("%s: %s", rows[i].what, csl_code_name(code));
    }
    build_evaluation();
    evaluation.n_blocks = 0;
    assert_int_equal(decode(&envelope.base, CSL_TO_COORDINATOR, NULL), CSL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_evaluation__unknown_field__is_refused_at_every_depth),
        cmocka_unit_test(test_messages_evaluation__limits__are_checked_field_by_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
