/* Coefficients of images on their way from a record file; their values are in tests/vectors/data.
 */
#include "base/mem.h"
#include "site-agent/data/dataset.h"
#include "site-agent/data/scattering.h"
#include "tests/unit/data/support.h"

#include <math.h>
#include <string.h>

enum { SIDE = 12, PIXELS = SIDE * SIDE, WIDTH = 9 * CSL_SCATTERING_PATHS };

static const uint32_t pixels[3] = {SIDE, SIDE, 1}, coefficients[3] = {3, 3, CSL_SCATTERING_PATHS};

static void draw(float *image, float level, float contrast)
{
    for (int i = 0; i < PIXELS; i++)
        image[i] = level + contrast * (float)(i * i % 31);
}

static void run(const float *image, float *to)
{
    struct csl_scattering *s;
    struct csl_err err;
    ASSERT_OK(csl_scattering_new(&s, pixels, &err), &err);
    csl_scattering_run(s, image, to);
    csl_scattering_free(s);
}

static void test_scattering__brightness_and_contrast__change_nothing(void **state)
{
    float image[PIXELS], a[WIDTH], b[WIDTH];
    double size = 0;
    (void)state;
    draw(image, 0, 1);
    run(image, a);
    draw(image, 1000, 250);
    run(image, b);
    for (int i = 0; i < WIDTH; i++) {
        assert_true(fabsf(a[i] - b[i]) < 1e-4f);
        size += (double)a[i] * (double)a[i];
    }
    assert_true(size > 0.9 * WIDTH && size <= WIDTH); /* four kinds of variance just below 1 */
}

static void test_scattering__image_of_one_value_or_none__is_zero(void **state)
{
    const float values[] = {3.25f, -0.0f, NAN, 3e38f, 1e-40f};
    (void)state;
    for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
        float image[PIXELS], to[WIDTH];
        for (int i = 0; i < PIXELS; i++)
            image[i] = values[v];
        run(image, to);
        for (int i = 0; i < WIDTH; i++)
            assert_true(to[i] >= 0 && to[i] <= 0);
    }
}

/* Every patient's part under privacy needs finite inputs. */
static void test_scattering__extreme_values__give_finite_coefficients(void **state)
{
    const float ends[][2] = {{-3e38f, 3e38f}, {0, 1e-45f}, {1, 1.0000001f}, {NAN, 5}};
    (void)state;
    for (size_t v = 0; v < sizeof(ends) / sizeof(ends[0]); v++) {
        float image[PIXELS], to[WIDTH];
        for (int i = 0; i < PIXELS; i++)
            image[i] = ends[v][i % 7 == 0];
        image[5] = 2;
        run(image, to);
        for (int i = 0; i < WIDTH; i++)
            assert_true(isfinite(to[i]));
    }
}

/* The six records of small_records, scanned in 12 x 12 pixels. */
static void write_scans(const char *name, float *images)
{
    struct csl_records r;
    struct csl_err err;
    small_records(&r);
    struct csl_record_modality *m = &r.modalities[1];
    csl_free(m->values);
    m->values = csl_alloc_array(6 * PIXELS, sizeof(float));
    memcpy(m->shape, pixels, sizeof(pixels));
    for (uint32_t i = 0; i < 6 * PIXELS; i++)
        m->values[i] = m->available[i / PIXELS] != 0 ? (float)(i % (7 + i / PIXELS)) : NAN;
    memcpy(images, m->values, 6 * PIXELS * sizeof(float));
    ASSERT_OK(csl_records_write(&r, scratch(name), &err), &err);
    csl_records_release(&r);
}

static void test_scattering__dataset__holds_the_coefficients_of_each_record(void **state)
{
    float images[6 * PIXELS], want[WIDTH];
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    (void)state;
    write_scans("scans.h5", images);
    study_of_array(&t, "scan", "ill", CSL_IMAGE2D, coefficients);
    t.domain.scatters = true;
    ASSERT_OK(csl_dataset_load(&d, scratch("scans.h5"), &t.study, &err), &err);
    const struct csl_examples *train = &d->domains[0][CSL_SPLIT_TRAIN];
    assert_int_equal(train->records, 4); /* records 0 to 3 */
    for (uint32_t i = 0; i < 4; i++) {
        run(images + i * PIXELS, want);
        assert_memory_equal(train->x + i * WIDTH, want, sizeof(want));
    }
    csl_dataset_free(d);
}

static void test_scattering__images_of_another_size__are_refused(void **state)
{
    static const uint32_t larger[3] = {3, 4, CSL_SCATTERING_PATHS};
    float images[6 * PIXELS];
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    (void)state;
    write_scans("scans.h5", images);
    study_of_array(&t, "scan", "ill", CSL_IMAGE2D, larger);
    t.domain.scatters = true;
    ASSERT_CODE(csl_dataset_load(&d, scratch("scans.h5"), &t.study, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "is 12 x 12 x 1 per record; domain scan needs 12 x 16 x 1");
}

static void test_scattering__no_memory__is_said_and_nothing_kept(void **state)
{
    float images[6 * PIXELS];
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    enum csl_code code = CSL_E_NOMEM;
    (void)state;
    write_scans("scans.h5", images);
    study_of_array(&t, "scan", "ill", CSL_IMAGE2D, coefficients);
    t.domain.scatters = true;
    for (uint64_t n = 1; code != CSL_OK; n++) {
        csl_mem_fail_after(n);
        code = csl_dataset_load(&d, scratch("scans.h5"), &t.study, &err);
        csl_mem_fail_after(0);
        if (code != CSL_OK)
            ASSERT_CODE(code, CSL_E_NOMEM, &err);
    }
    csl_dataset_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scattering__brightness_and_contrast__change_nothing),
        cmocka_unit_test(test_scattering__image_of_one_value_or_none__is_zero),
        cmocka_unit_test(test_scattering__extreme_values__give_finite_coefficients),
        cmocka_unit_test(test_scattering__dataset__holds_the_coefficients_of_each_record),
        cmocka_unit_test(test_scattering__images_of_another_size__are_refused),
        cmocka_unit_test(test_scattering__no_memory__is_said_and_nothing_kept),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
