/* What a study with secure aggregation may be: each row changes one line of a valid one. */
#include "base/buf.h"
#include "base/str.h"
#include "protocol/study/study.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define LANES(what)                                                                                \
    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3, encoding: " what "}"
#define JOINT "privacy: {mode: joint, epsilon: 1, delta: 1e-5, clip: 1, sampling_rate: 0.5}"

#define SPARSE(what)                                                                               \
    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3, graph: sparse" what "}"
#define MASKS_AND(n)                                                                               \
    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3, audit_chunks: " #n "}"

static const char *const lines[] = {
    /*  1 */ "study: heart-3\nquestion: Does it work?",
    /*  2 */ "domains:\n  - id: heart\n    modality: tabular",
    /*  3 */ "    task: {kind: binary, label: disease, positive: present}",
    /*  4 */ "    features: [age, chol]",
    /*  5 */ "    scaling: constants",
    /*  6 */ "    model: {kind: linear}",
    /*  7 */
    "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: full, steps: 1}}",
    /*  8 */ "rounds: 15",
    /*  9 */ "aggregation: {strategy: fedavg}",
    /* 10 */ "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}",
    /* 11 */ "privacy: {mode: none}",
    /* 12 */ "sites: {minimum: 3, participants: [a, b, c, d], round_deadline: 10m}",
};
#define LINES (sizeof(lines) / sizeof(lines[0]))

struct change {
    unsigned line; /* 1-based; 0: none */
    const char *text;
};

static enum csl_code parse(struct csl_study **s, struct change a, struct change b,
                           struct csl_err *err)
{
    struct csl_buf out;
    csl_buf_init(&out, 65536);
    for (unsigned i = 1; i <= LINES; i++)
        csl_buf_printf(&out, "%s\n", i == a.line ? a.text : i == b.line ? b.text : lines[i - 1]);
    enum csl_code code = csl_study_parse(s, "s.yaml", CSL_SPAN(out.p, out.n), err);
    csl_buf_release(&out);
    return code;
}

static void must_parse(struct csl_study **s, struct change a, struct change b)
{
    struct csl_err err = {0};
    if (parse(s, a, b, &err) != CSL_OK)
        fail_msg("%s", err.msg);
}

static void test_study_secagg__valid__fills_every_field(void **state)
{
    struct csl_study *s = NULL;
    (void)state;
    must_parse(&s, (struct change){0}, (struct change){0});
    assert_true(s->secagg.is_on);
    assert_int_equal(s->secagg.colluding, 1);
    assert_int_equal(s->secagg.minimum_sites, 3);
    csl_study_free(s);
    s = NULL;
    must_parse(&s, (struct change){11, JOINT}, (struct change){0});
    assert_int_equal(s->privacy.mode, CSL_PRIVACY_JOINT);
    assert_true(s->privacy.sampling_rate == 0.5 && s->privacy.epsilon == 1);
    csl_study_free(s);
    s = NULL;
    must_parse(&s, (struct change){10, ""}, (struct change){0});
    assert_false(s->secagg.is_on);
    csl_study_free(s);
}

/* What a site agrees to is the digest: every promise must be in it. */
static void test_study_secagg__digest__changes_with_each_promise(void **state)
{
    static const struct change changes[] = {
        {0, NULL},
        {10, ""},
        {10, "secure_aggregation: {protocol: fsa-1, colluding: 0, minimum_sites: 3}"},
        {12, "sites: {minimum: 4, participants: [a, b, c, d], round_deadline: 10m}"},
        {11, JOINT},
        {10, MASKS_AND(1)},
        {10, MASKS_AND(2)},
        {11, "privacy: {mode: joint, epsilon: 1, delta: 1e-5, clip: 1, sampling_rate: 0.25}"},
        {10, LANES("{lane_bits: 16, clip_norm: 1, weight_cap: 9}")},
        {10, LANES("{lane_bits: 21, clip_norm: 1, weight_cap: 9}")},
        {10, LANES("{lane_bits: 16, clip_norm: 2, weight_cap: 9}")},
        {10, LANES("{lane_bits: 16, clip_norm: 1, weight_cap: 8}")},
        {10, LANES("{lane_bits: 16, clip_norm: 1, weight_cap: 9, rotation: false}")},
        {10, SPARSE(", losses_max: 0")},
        {10, SPARSE(", losses_max: 1")},
    };
    enum { COUNT = sizeof(changes) / sizeof(changes[0]) };
    uint8_t digests[COUNT + 1][CSL_DIGEST_BYTES];
    (void)state;
    for (size_t i = 0; i < COUNT + 1; i++) {
        struct csl_study *s = NULL;
        if (i < COUNT)
            must_parse(&s, changes[i], (struct change){0});
        else
            must_parse(
                &s, changes[3],
                (struct change){
                    10, "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 4}"});
        memcpy(digests[i], s->digest, CSL_DIGEST_BYTES);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(digests[i], digests[j], CSL_DIGEST_BYTES);
        csl_study_free(s);
    }
}

/* A round begins with the last model, not with the average. */
static void test_study_secagg__averages__judged_after_the_last_round(void **state)
{
    static const struct change average = {
        9, "aggregation: {strategy: fedavg, averaging: {kind: mean}}"};
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    (void)state;
    assert_int_equal(
        parse(&s, average, (struct change){8, "rounds: 15\nevaluation: {every: 5}"}, &err),
        CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "an average of rounds is judged after the last round only"));
    must_parse(&s, average, (struct change){8, "rounds: 15\nevaluation: {every: 0}"});
    csl_study_free(s);
}

static void test_study_secagg__lanes__fill_their_fields(void **state)
{
    struct csl_study *s = NULL;
    (void)state;
    must_parse(&s, (struct change){0}, (struct change){0});
    assert_int_equal(s->secagg.lane_bits, 64);
    assert_int_equal(s->secagg.weight_cap, 0);
    csl_study_free(s);
    s = NULL;
    must_parse(&s, (struct change){10, LANES("{lane_bits: 16, clip_norm: 2.5, weight_cap: 400}")},
               (struct change){0});
    assert_int_equal(s->secagg.lane_bits, 16);
    assert_true(s->secagg.clip_norm == 2.5 && s->secagg.is_rotated);
    assert_int_equal(s->secagg.weight_cap, 400);
    csl_study_free(s);
    s = NULL;
    must_parse(&s, (struct change){10, LANES("{lane_bits: 21, clip_norm: 1, rotation: false}")},
               (struct change){9, "aggregation: {strategy: fedavg, weights: {kind: equal}}"});
    assert_int_equal(s->secagg.lane_bits, 21);
    assert_false(s->secagg.is_rotated);
    assert_int_equal(s->secagg.weight_cap, 0);
    csl_study_free(s);
}

/* Of the study above, by the program before there were lanes or audits: whoever agreed to it
 * then still does. */
static const char digest_before[] =
    "3a78be38fa63e590e40668aed5f28bd0a127f1ab464a6079ba7b07acc16994e4";

static void test_study_secagg__words_of_64_bits_no_audit__digest_as_before(void **state)
{
    static const struct change changes[] = {
        {0, NULL}, {10, LANES("{lane_bits: 64}")}, {10, MASKS_AND(0)}};
    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct csl_study *s = NULL;
        char hex[2 * CSL_DIGEST_BYTES + 1];
        must_parse(&s, changes[i], (struct change){0});
        csl_hex(s->digest, CSL_DIGEST_BYTES, hex);
        assert_string_equal(hex, digest_before);
        assert_int_equal(s->secagg.audit_chunks, 0);
        csl_study_free(s);
    }
}

static void test_study_secagg__explained__says_bits_norm_and_cap(void **state)
{
    static const char *const parts[] = {"sent in 16 bits", "is above 2.5",
                                        "more than 400 training patients counts as one with 400"};
    struct csl_study *s = NULL;
    struct csl_buf out;
    (void)state;
    must_parse(&s, (struct change){10, LANES("{lane_bits: 16, clip_norm: 2.5, weight_cap: 400}")},
               (struct change){0});
    csl_buf_init(&out, 65536);
    csl_study_explain(s, &out);
    csl_buf_u8(&out, 0);
    assert_int_equal(csl_buf_status(&out, NULL), CSL_OK);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        assert_non_null(strstr((const char *)out.p, parts[i]));
    csl_buf_release(&out);
    csl_study_free(s);
}

/* 2^bits - 1 >= 512 sites. */
static void test_study_secagg__sites__need_these_bits(void **state)
{
    static const uint32_t rows[][2] = {{1, 16},    {127, 16},     {128, 21},    {4095, 21},
                                       {4096, 32}, {8388607, 32}, {8388608, 64}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(csl_study_lane_bits(rows[i][0]), rows[i][1]);
}

static void test_study_secagg__sparse__read_and_explained(void **state)
{
    struct csl_study *s = NULL;
    struct csl_buf text;
    (void)state;
    must_parse(&s, (struct change){10, SPARSE(", losses_max: 7")}, (struct change){0});
    assert_true(s->secagg.is_sparse);
    assert_int_equal(s->secagg.losses_max, 7);
    csl_buf_init(&text, 1 << 16);
    csl_study_explain(s, &text);
    assert_non_null(strstr(csl_buf_text(&text), "when more than 7 are lost while they upload"));
    csl_buf_release(&text);
    csl_study_free(s);
}

static void test_study_secagg__audit__read_and_explained(void **state)
{
    struct csl_study *s = NULL;
    struct csl_buf text;
    (void)state;
    must_parse(&s, (struct change){10, MASKS_AND(8)}, (struct change){0});
    assert_int_equal(s->secagg.audit_chunks, 8);
    csl_buf_init(&text, 1 << 16);
    csl_study_explain(s, &text);
    assert_non_null(strstr(csl_buf_text(&text), "Every site checks 8 chunks"));
    csl_buf_release(&text);
    csl_study_free(s);
}

static const struct {
    struct change a, b;
    const char *why;
} refused[] = {
    {{10, LANES("{lane_bits: 17, clip_norm: 1, weight_cap: 9}")},
     {0, NULL},
     "s.yaml:13:93: lane_bits: found '17'; 16, 21, 32 or 64 would be right"},
    {{10, LANES("{lane_bits: 16, weight_cap: 9}")}, {0, NULL}, "key 'clip_norm' is missing"},
    {{10, LANES("{lane_bits: 16, clip_norm: 0, weight_cap: 9}")},
     {0, NULL},
     "clip_norm: found '0'; a number from 1e-6 to 1e6 would be right"},
    {{10, LANES("{lane_bits: 16, clip_norm: 1}")}, {0, NULL}, "key 'weight_cap' is missing"},
    {{10, LANES("{lane_bits: 16, clip_norm: 1, weight_cap: 0}")},
     {0, NULL},
     "weight_cap: found '0'; a whole number from 1 to 1000000 would be right"},
    {{10, LANES("{lane_bits: 16, clip_norm: 1, weight_cap: 9}")},
     {9, "aggregation: {strategy: fedavg, weights: {kind: equal}}"},
     "weight_cap: has no effect here: all sites weigh the same"},
    {{10, LANES("{clip_norm: 1}")},
     {0, NULL},
     "clip_norm: has no effect here: words of 64 bits need no bounds"},
    {{10, LANES("{lane_bits: 16, clip_norm: 1, weight_cap: 9}")},
     {11, JOINT},
     "mode joint is priced for words of 64 bits"},
    {{10, LANES("{lane_bits: 16, clip_norm: 1, weight_cap: 9}")},
     {12, "sites: {minimum: 128, round_deadline: 10m}"},
     "found 16, which leaves a sum over 128 sites fewer than 512 steps; 21 would be right"},
    {{10, LANES("{lane_bits: 16, clip_norm: 1, weight_cap: 9, colour: red}")}, {0, NULL}, "colour"},
    {{10, "secure_aggregation: {protocol: fsa-1, colluding: 0, minimum_sites: 3, audit_chunks: 1}"},
     {0, NULL},
     "s.yaml:13:85: audit_chunks: found 1 with colluding 0"},
    {{10, SPARSE("")}, {0, NULL}, "key 'losses_max' is missing"},
    {{10, "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3, losses_max: 2}"},
     {0, NULL},
     "losses_max: has no effect here: on the complete graph"},
    {{10, "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3, graph: star}"},
     {0, NULL},
     "graph: found 'star'"},
    {{10, MASKS_AND(65)}, {0, NULL}, "s.yaml:13:85: audit_chunks: found '65'"},
    {{12, "sites: {minimum: 2, participants: [a, b, c, d], round_deadline: 10m}"},
     {0, NULL},
     "minimum_sites: found 3, but a round may close with sites.minimum 2"},
    {{9, "aggregation: {strategy: cyclic}"},
     {0, NULL},
     "strategy: cyclic needs more than one masked sum a round"},
    {{9, "aggregation: {strategy: scaffold}"},
     {0, NULL},
     "strategy: scaffold needs more than one masked sum a round"},
    {{9, "aggregation: {strategy: median}"},
     {0, NULL},
     "strategy: median has to see single updates, and masks hide them from everybody; fedavg with "
     "secure_aggregation.encoding.clip_norm"},
    {{9, "aggregation: {strategy: geometric-median}"},
     {0, NULL},
     "strategy: geometric-median has to see single updates"},
    {{9, "aggregation: {strategy: krum, byzantine: 0}"}, {0, NULL}, "has to see single updates"},
    {{9, "aggregation: {strategy: qffl, fairness_q: 1}"},
     {0, NULL},
     "strategy: qffl multiplies each update by a factor of its site's loss, which sites do not do "
     "inside their masks; fedavg, or no secure_aggregation, would be right"},
    {{11, JOINT}, {10, ""}, "joint noise protects nobody unless the sum is masked"},
    {{11, JOINT},
     {6, "    model: {kind: linear}\n  - id: liver\n    modality: tabular\n"
         "    task: {kind: binary, label: ill, positive: 1}\n    features: [age]\n"
         "    model: {kind: linear}"},
     "mode joint clips a patient once over all domains"},
    {{11, JOINT},
     {7, "training: {local: {optimizer: sgd, learning_rate: 1, batch_patients: full, steps: 2}}"},
     "mode joint sums one plain gradient step a round"},
    {{11, JOINT},
     {7, "training: {local: {optimizer: adam, learning_rate: 1, batch_patients: full, steps: 1}}"},
     "mode joint sums one plain gradient step a round"},
    {{11, JOINT},
     {7, "training: {local: {optimizer: sgd, learning_rate: 1, batch_patients: full, steps: 1, "
         "l2: 0.1}}"},
     "mode joint sums one plain gradient step a round"},
    {{11, JOINT},
     {5, "    scaling: site"},
     "scaling by the site's own means and deviations uses patients' data outside the budget"},
    {{11, JOINT},
     {9, "aggregation: {strategy: scaffold}"},
     "strategy: scaffold needs more than one masked sum a round"},
};

static void test_study_secagg__each_mistake__says_why(void **state)
{
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct csl_study *s = NULL;
        struct csl_err err = {0};
        enum csl_code code = parse(&s, refused[i].a, refused[i].b, &err);
        if (code == CSL_E_INVAL && strstr(err.msg, refused[i].why) != NULL)
            continue;
        print_error("row %zu: expected %s\n  found: %s\n", i, refused[i].why,
                    code == CSL_OK ? "accepted" : err.msg);
        csl_study_free(s);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_study_secagg__valid__fills_every_field),
        cmocka_unit_test(test_study_secagg__digest__changes_with_each_promise),
        cmocka_unit_test(test_study_secagg__averages__judged_after_the_last_round),
        cmocka_unit_test(test_study_secagg__lanes__fill_their_fields),
        cmocka_unit_test(test_study_secagg__explained__says_bits_norm_and_cap),
        cmocka_unit_test(test_study_secagg__sites__need_these_bits),
        cmocka_unit_test(test_study_secagg__words_of_64_bits_no_audit__digest_as_before),
        cmocka_unit_test(test_study_secagg__sparse__read_and_explained),
        cmocka_unit_test(test_study_secagg__audit__read_and_explained),
        cmocka_unit_test(test_study_secagg__each_mistake__says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
