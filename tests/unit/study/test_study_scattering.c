/* Key `scattering` of an image: shape and digest of the study, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "protocol/study/study.h"

#include <stdio.h>
#include <string.h>

static enum csl_code parse(struct csl_study **s, const char *input, struct csl_err *err)
{
    char text[1024];
    int n = snprintf(text, sizeof(text),
                     "study: x\nrounds: 1\naggregation: {strategy: fedavg}\n"
                     "training: {local: {learning_rate: 1, batch_patients: 4, steps: 1}}\n"
                     "model: {kind: linear}\n"
                     "domains: [{id: d, task: {kind: binary, label: l}, %s}]\n",
                     input);
    assert_true(n > 0 && (size_t)n < sizeof(text));
    return csl_study_parse(s, "s.yaml", CSL_SPAN(text, (size_t)n), err);
}

static void test_study_scattering__image__has_25_coefficients_for_16_pixels(void **state)
{
    struct csl_study *plain, *s;
    struct csl_err err;
    uint32_t shape[3];
    struct csl_buf out;
    (void)state;
    assert_int_equal(parse(&plain, "modality: image2d, shape: [16, 12, 3]", &err), CSL_OK);
    assert_int_equal(parse(&s, "modality: image2d, shape: [16, 12, 3], scattering: true", &err),
                     CSL_OK);
    const struct csl_domain *d = &s->domains[0];
    static const uint32_t coefficients[3] = {4, 3, 75}, pixels[3] = {16, 12, 3};
    assert_memory_equal(d->shape, coefficients, sizeof(coefficients));
    assert_int_equal(d->width, 900);
    csl_domain_image_shape(d, shape);
    assert_memory_equal(shape, pixels, sizeof(pixels));
    csl_domain_image_shape(&plain->domains[0], shape);
    assert_memory_equal(shape, pixels, sizeof(pixels));
    csl_buf_init(&out, 65536);
    csl_study_explain(s, &out);
    assert_non_null(strstr(csl_buf_text(&out), "from 900 scattering coefficients with a linear"));
    assert_non_null(strstr(csl_buf_text(&out), "computed from that image alone"));
    assert_null(strstr(csl_buf_text(&out), "constants"));
    csl_buf_release(&out);
    csl_study_free(plain);
    csl_study_free(s);
}

/* Sites that read pixels must not agree with one that reads coefficients of the same shape. */
static void test_study_scattering__digest__is_not_that_of_pixels_of_the_shape(void **state)
{
    struct csl_study *a, *b, *c;
    struct csl_err err;
    (void)state;
    assert_int_equal(parse(&a, "modality: image2d, shape: [4, 3, 25]", &err), CSL_OK);
    assert_int_equal(parse(&b, "modality: image2d, shape: [16, 12, 1], scattering: true", &err),
                     CSL_OK);
    assert_int_equal(parse(&c, "modality: image2d, shape: [4, 3, 25], scattering: false", &err),
                     CSL_OK);
    assert_int_equal(a->domains[0].width, b->domains[0].width);
    assert_memory_not_equal(a->digest, b->digest, CSL_DIGEST_BYTES);
    assert_memory_equal(a->digest, c->digest, CSL_DIGEST_BYTES);
    csl_study_free(a);
    csl_study_free(b);
    csl_study_free(c);
}

static void test_study_scattering__what_does_not_fit__is_refused(void **state)
{
    static const struct {
        const char *input, *says;
    } rows[] = {
        {"modality: signal, shape: [16, 2], scattering: true",
         "scattering: has no effect here: for modality: image2d only"},
        {"modality: tabular, features: [a], scattering: true",
         "scattering: has no effect here: for modality: image2d only"},
        {"modality: image2d, shape: [16, 14, 1], scattering: true",
         "shape: 14 pixels; for scattering 12 or more, and a multiple of 4, would be right"},
        {"modality: image2d, shape: [8, 16, 1], scattering: true", "shape: 8 pixels; for scat"},
        {"modality: image2d, shape: [16, 16, 1], scattering: true, centre: 0.5",
         "centre: has no effect here: with scattering every image is scaled by its own values"},
        {"modality: image2d, shape: [16, 16, 1], scattering: true, scaling: site",
         "scaling: has no effect here"},
        {"modality: image2d, shape: [16, 16, 1], scattering: true, augment: {shift: 1}",
         "augment: has no effect here"},
        {"modality: image2d, shape: [16, 16, 1], scattering: 2", "scattering: found '2'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_study *s = NULL;
        struct csl_err err;
        assert_int_equal(parse(&s, rows[i].input, &err), CSL_E_INVAL);
        assert_null(s);
        if (strstr(err.msg, rows[i].says) == NULL)
            fail_msg("'%s' does not say '%s'", err.msg, rows[i].says);
    }
}

/* More coefficients than a model takes inputs, of pixels that it would take. */
static void test_study_scattering__too_many_coefficients__are_refused(void **state)
{
    struct csl_study *s = NULL;
    struct csl_err err;
    char input[128];
    uint32_t rows = CSL_FEATURES_MAX / 1024 / 4 * 4;
    (void)state;
    snprintf(input, sizeof(input), "modality: image2d, shape: [%u, 1024, 1]", rows);
    assert_int_equal(parse(&s, input, &err), CSL_OK);
    csl_study_free(s);
    s = NULL;
    snprintf(input, sizeof(input), "modality: image2d, shape: [%u, 1024, 1], scattering: true",
             rows);
    assert_int_equal(parse(&s, input, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "scattering coefficients; at most"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_study_scattering__image__has_25_coefficients_for_16_pixels),
        cmocka_unit_test(test_study_scattering__digest__is_not_that_of_pixels_of_the_shape),
        cmocka_unit_test(test_study_scattering__what_does_not_fit__is_refused),
        cmocka_unit_test(test_study_scattering__too_many_coefficients__are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
