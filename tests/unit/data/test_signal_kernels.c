/* Random convolutional kernels: what is drawn, and what they say of a signal, against a convolution
 * written as the formula stands; and a signal of a CSV that becomes an embedding. */
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"
#include "site-agent/data/signal_kernels.h"
#include "tests/unit/data/support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SAMPLES 60
#define LEADS   5

static void signal_of(uint64_t seed, float *to)
{
    struct csl_rng r;
    csl_rng_init_label(&r, seed, "test signal", 0, 0, 0);
    for (uint32_t i = 0; i < SAMPLES * LEADS; i++)
        to[i] = (float)(3.0 + (double)(i % LEADS) * csl_rng_normal(&r));
}

/* The same part in double: output t is bias + sum over leads c and taps j of weight[c, j] times the
 * padded signal at t + j * dilation. */
static double share_of(const struct csl_signal_kernel *k, const float *x, uint32_t samples)
{
    int64_t outputs = (int64_t)samples + 2 * k->padding - (int64_t)(k->taps - 1) * k->dilation;
    int64_t above = 0;
    for (int64_t t = 0; t < outputs; t++) {
        double sum = (double)k->bias;
        for (uint32_t c = 0; c < k->leads; c++)
            for (uint32_t j = 0; j < k->taps; j++) {
                int64_t at = t + (int64_t)j * k->dilation - k->padding;
                if (at >= 0 && at < (int64_t)samples)
                    sum += (double)k->weight[c * k->taps + j] *
                           (double)x[(int64_t)k->lead[c] * samples + at];
            }
        /* No sum of these signals lies so near to 0 that the order of addition matters. */
        assert_true(fabs(sum) > 1e-6);
        above += sum > 0;
    }
    return (double)above / (double)outputs;
}

static void test_kernel__any_shape__is_the_convolution_of_the_formula(void **state)
{
    (void)state;
    float raw[SAMPLES * LEADS], x[SAMPLES * LEADS], work[SAMPLES];
    uint32_t padded = 0, several = 0;
    signal_of(1, raw);
    csl_signal_standardise(raw, SAMPLES, LEADS, x);
    for (uint32_t i = 0; i < 300; i++) {
        struct csl_signal_kernel k;
        csl_signal_kernel_draw(&k, i, SAMPLES, LEADS);
        padded += k.padding > 0;
        several += k.leads > 1;
        double want = share_of(&k, x, SAMPLES);
        double have = (double)csl_signal_kernel_apply(&k, x, SAMPLES, work);
        if (!(fabs(have - want) < 1e-6))
            fail_msg("kernel %u: %g, should be %g", i, have, want);
    }
    assert_true(padded > 50 && padded < 250 && several > 50 && several < 300);
}

static void test_draw__any_kernel__keeps_the_rules_of_the_paper(void **state)
{
    (void)state;
    static const uint32_t shapes[][2] = {{11, 1}, {60, 5}, {1000, 12}, {5000, 40}};
    for (uint32_t s = 0; s < 4; s++)
        for (uint32_t i = 0; i < 500; i++) {
            struct csl_signal_kernel k, again;
            csl_signal_kernel_draw(&k, i, shapes[s][0], shapes[s][1]);
            csl_signal_kernel_draw(&again, i, shapes[s][0], shapes[s][1]);
            assert_memory_equal(&k, &again, sizeof(k));
            assert_true(k.taps == 7 || k.taps == 9 || k.taps == 11);
            assert_true(k.leads >= 1 && k.leads <= k.taps && k.leads <= shapes[s][1]);
            assert_true(k.dilation >= 1 && (k.taps - 1) * k.dilation < shapes[s][0]);
            assert_true(k.padding == 0 || k.padding == (k.taps - 1) * k.dilation / 2);
            assert_true(k.bias >= -1.0f && k.bias < 1.0f);
            for (uint32_t c = 0; c < k.leads; c++) {
                double sum = 0;
                assert_true(k.lead[c] < shapes[s][1]);
                for (uint32_t j = 0; j < k.taps; j++)
                    sum += (double)k.weight[c * k.taps + j];
                assert_true(fabs(sum) < 1e-5);
                for (uint32_t other = 0; other < c; other++)
                    assert_int_not_equal(k.lead[c], k.lead[other]);
            }
        }
}

static void test_standardise__gain_offset_flat_and_unknown__are_taken_out(void **state)
{
    (void)state;
    static const float raw[4 * 3] = {1, 5, 0.1f, /**/ 3, 5, NAN, /**/ NAN, 5, 0.1f, /**/ 5, 5, NAN};
    float x[12];
    csl_signal_standardise(raw, 4, 3, x);
    const float step = sqrtf(1.5f); /* 2 over the deviation of 1, 3, 5 */
    const float want[12] = {-step, 0, 0, step};
    for (uint32_t i = 0; i < 12; i++)
        assert_true(fabsf(x[i] - want[i]) < 1e-6f);
}

/* --- through a CSV --- */

static enum csl_code import(struct csl_records *r, const char *modality, struct csl_err *err)
{
    char map[1024];
    FILE *f = fopen(scratch("r.dat"), "wb");
    assert_non_null(f);
    for (uint32_t t = 0; t < 24; t++)
        assert_true(fputc((int)(t * t * 37 % 101), f) != EOF && fputc(0, f) != EOF);
    assert_int_equal(fclose(f), 0);
    (void)scratch_text("r.hea", "r 2 100 12\nr.dat 16 10\nr.dat 16 10\n");
    snprintf(map, sizeof(map),
             "format: consilium.mapping/1\npatient_column: id\nmodalities:\n%s"
             "labels: [{name: ill, kind: binary, column: ill, positive: 1}]\n"
             "split: {column: set, train: a}\n",
             modality);
    (void)scratch_text("map.yaml", map);
    return csl_import_csv(r, "lyon", scratch_text("rows.csv", "id,set,ill,ecg\n1,a,1,r\n2,a,0,\n"),
                          scratch("map.yaml"), NULL, NULL, 0, err);
}

static void test_import__a_signal_with_kernels__is_an_embedding_of_their_values(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    float x[24], work[12];
    static const char plain[] = "  - {name: ecg, kind: signal, column: ecg, file_format: wfdb}\n";
    static const char seen[] =
        "  - {name: ecg, kind: signal, column: ecg, file_format: wfdb, kernels: 20}\n";
    ASSERT_OK(import(&r, plain, &err), &err);
    assert_string_equal(r.modalities[0].kind, "signal");
    csl_signal_standardise(r.modalities[0].values, 12, 2, x);
    csl_records_release(&r);
    ASSERT_OK(import(&r, seen, &err), &err);
    const struct csl_record_modality *m = &r.modalities[0];
    assert_string_equal(m->kind, "embedding");
    assert_true(m->rank == 1 && m->shape[0] == 20);
    assert_memory_equal(m->available, ((uint8_t[]){1, 0}), 2);
    for (uint32_t i = 0; i < 20; i++) {
        struct csl_signal_kernel k;
        csl_signal_kernel_draw(&k, i, 12, 2);
        assert_true(m->values[i] == csl_signal_kernel_apply(&k, x, 12, work));
        assert_true(isnan(m->values[20 + i]));
    }
    const char *path = scratch("kernels.h5");
    struct csl_records back;
    ASSERT_OK(csl_records_write(&r, path, &err), &err);
    ASSERT_OK(csl_records_read(&back, path, &err), &err);
    assert_true(records_equal(&r, &back));
    csl_records_release(&back);
    csl_records_release(&r);
}

static void test_import__kernels_where_they_do_not_fit__are_refused(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    ASSERT_CODE(
        import(&r,
               "  - {name: ecg, kind: signal, column: ecg, file_format: wfdb, samples: 10,\n"
               "     kernels: 5}\n",
               &err),
        CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "signals of 10 samples; kernels need 11 or more");
    ASSERT_CODE(import(&r, "  - {name: note, kind: text, column: ecg, kernels: 5}\n", &err),
                CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "'kernels' belongs to kind signal");
}

static int set_up(void **state)
{
    return csl_crypto_init(NULL) != CSL_OK ? 1 : scratch_make(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernel__any_shape__is_the_convolution_of_the_formula),
        cmocka_unit_test(test_draw__any_kernel__keeps_the_rules_of_the_paper),
        cmocka_unit_test(test_standardise__gain_offset_flat_and_unknown__are_taken_out),
        cmocka_unit_test(test_import__a_signal_with_kernels__is_an_embedding_of_their_values),
        cmocka_unit_test(test_import__kernels_where_they_do_not_fit__are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, scratch_remove);
}
