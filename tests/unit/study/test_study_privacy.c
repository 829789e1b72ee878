/* The privacy section of a study: what it promises, what it forbids, what it says in words. Numbers
 * in names are those of the design's list of pitfalls. */
#include "base/buf.h"
#include "protocol/study/study.h"
#include "tests/unit/study/study_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define PRIVATE "privacy: {mode: local, epsilon: 1, delta: 1e-5, clip: 1.1}"

struct change {
    unsigned line;
    const char *text; /* NULL: the line is left out */
};

/* The valid study with some lines changed; changes end in line 0. */
static enum csl_code parse(struct csl_study **s, const struct change *changes, struct csl_err *err)
{
    struct csl_buf b;
    csl_buf_init(&b, 65536);
    for (unsigned i = 1; i <= STUDY_LINES; i++) {
        const char *text = study_lines[i - 1];
        for (const struct change *c = changes; c->line != 0; c++)
            if (c->line == i)
                text = c->text;
        if (text != NULL)
            csl_buf_printf(&b, "%s\n", text);
    }
    enum csl_code code = csl_study_parse(s, "s.yaml", CSL_SPAN(b.p, b.n), err);
    csl_buf_release(&b);
    return code;
}

static void assert_refused(const struct change *changes, const char *why)
{
    struct csl_study *s = NULL;
    struct csl_err err = {0};
    assert_int_equal(parse(&s, changes, &err), CSL_E_INVAL);
    if (strstr(err.msg, why) == NULL)
        fail_msg("expected: %s\nfound: %s", why, err.msg);
}

static void test_privacy__local_with_epsilon__fills_every_field(void **state)
{
    (void)state;
    struct csl_study *s = NULL;
    const struct change c[] = {{20, PRIVATE}, {0, NULL}};
    assert_int_equal(parse(&s, c, NULL), CSL_OK);
    assert_int_equal(s->privacy.mode, CSL_PRIVACY_LOCAL);
    assert_true(s->privacy.epsilon == 1 && s->privacy.delta == 1e-5 && s->privacy.clip == 1.1);
    assert_true(s->privacy.noise_multiplier == 0);
    csl_study_free(s);
}

static void test_privacy__digest__changes_with_each_number_and_mode(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "privacy: {mode: none}",
        PRIVATE,
        "privacy: {mode: local, epsilon: 2, delta: 1e-5, clip: 1.1}",
        "privacy: {mode: local, epsilon: 1, delta: 1e-6, clip: 1.1}",
        "privacy: {mode: local, epsilon: 1, delta: 1e-5, clip: 1.2}",
        "privacy: {mode: local, noise_multiplier: 1, delta: 1e-5, clip: 1.1}",
        "privacy: {mode: site, epsilon: 1, delta: 1e-5, clip: 1.1}"};
    enum { COUNT = sizeof(lines) / sizeof(lines[0]) };
    uint8_t digests[COUNT][CSL_DIGEST_BYTES];
    for (size_t i = 0; i < COUNT; i++) {
        struct csl_study *s = NULL;
        const struct change c[] = {{19, "  weights: {kind: equal}"}, {20, lines[i]}, {0, NULL}};
        assert_int_equal(parse(&s, c, NULL), CSL_OK);
        memcpy(digests[i], s->digest, CSL_DIGEST_BYTES);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(digests[i], digests[j], CSL_DIGEST_BYTES);
        csl_study_free(s);
    }
}

static void
test_pitfall_08__scaling_by_the_sites_own_statistics__is_refused_with_privacy(void **state)
{
    (void)state;
    const struct change own[] = {
        {7, "    features: [age, chol]"}, {8, "    scaling: site"}, {20, PRIVATE}, {0, NULL}};
    assert_refused(own,
                   "scaling by the site's own means and deviations uses patients' data outside "
                   "the budget");
    struct csl_study *s = NULL;
    const struct change without[] = {
        {7, "    features: [age, chol]"}, {8, "    scaling: site"}, {0, NULL}};
    assert_int_equal(parse(&s, without, NULL), CSL_OK); /* the same study without the promise */
    csl_study_free(s);
}

static void test_pitfall_16__batch_normalisation__is_no_layer_of_a_study(void **state)
{
    (void)state;
    const struct change c[] = {
        {9, "model: {kind: mlp, hidden: [4], batch_norm: true}"}, {20, PRIVATE}, {0, NULL}};
    assert_refused(c, "batch_norm: no such key");
}

static void test_pitfall_17__cox__is_refused_with_privacy(void **state)
{
    (void)state;
    const struct change c[] = {{6, "    task: {kind: survival, label: disease}"},
                               {9, "model: {kind: cox}"},
                               {20, PRIVATE},
                               {0, NULL}};
    assert_refused(c, "the Cox partial likelihood of one patient depends on the others");
}

static void test_privacy__site_mode__refuses_what_tells_about_a_site(void **state)
{
    (void)state;
    const struct change weights[] = {
        {20, "privacy: {mode: site, epsilon: 1, delta: 1e-5, clip: 1.1}"}, {0, NULL}};
    assert_refused(weights, "weights by patients tell about the site that mode site protects");
    const struct change scaffold[] = {
        {18, "  strategy: scaffold"},
        {19, "  weights: {kind: equal}"},
        {20, "privacy: {mode: site, epsilon: 1, delta: 1e-5, clip: 1.1}"},
        {0, NULL}};
    assert_refused(scaffold, "scaffold sends a second vector that mode site does not noise");
}

static void test_privacy__explain__says_unit_price_and_what_stays(void **state)
{
    (void)state;
    static const char *const says[] = {
        "the unit that is protected is one patient with all records at one hospital",
        "at most epsilon 1 at delta 1e-05",
        "It sees no loss, no metric and no count of an evaluation",
        "A patient known to two hospitals pays at both", "moves the sum of a step by at most 1.1"};
    struct csl_study *s = NULL;
    struct csl_buf out;
    const struct change c[] = {{20, PRIVATE}, {0, NULL}};
    assert_int_equal(parse(&s, c, NULL), CSL_OK);
    csl_buf_init(&out, 65536);
    csl_study_explain(s, &out);
    for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++)
        if (strstr(csl_buf_text(&out), says[i]) == NULL)
            fail_msg("not said: %s\n%s", says[i], csl_buf_text(&out));
    assert_null(strstr(csl_buf_text(&out), "NO differential privacy"));
    csl_buf_release(&out);
    csl_study_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_privacy__local_with_epsilon__fills_every_field),
        cmocka_unit_test(test_privacy__digest__changes_with_each_number_and_mode),
        cmocka_unit_test(
            test_pitfall_08__scaling_by_the_sites_own_statistics__is_refused_with_privacy),
        cmocka_unit_test(test_pitfall_16__batch_normalisation__is_no_layer_of_a_study),
        cmocka_unit_test(test_pitfall_17__cox__is_refused_with_privacy),
        cmocka_unit_test(test_privacy__site_mode__refuses_what_tells_about_a_site),
        cmocka_unit_test(test_privacy__explain__says_unit_price_and_what_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
