/* The kinds of modalities beside tables, images and signals: written, read back, looked at, and
 * refused when a rule is broken. */
#include "base/buf.h"
#include "base/mem.h"
#include "site-agent/data/dataset_internal.h"
#include "tests/unit/data/support.h"

#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void test_record__every_kind__reads_back_equal(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_records r, again;
    many_records(&r);
    ASSERT_OK(csl_records_write(&r, scratch("many.h5"), &err), &err);
    ASSERT_OK(csl_records_read(&again, scratch("many.h5"), &err), &err);
    assert_true(records_equal(&r, &again));
    csl_records_release(&r);
    csl_records_release(&again);
}

static void test_record__notes_not_kept__leaves_no_text_in_the_file(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_records r, again;
    many_records(&r);
    struct csl_record_text *t = r.modalities[6].text;
    csl_free(t->kept);
    csl_free(t->kept_offsets);
    t->kept = NULL;
    t->kept_offsets = NULL;
    const char *path = scratch("unkept.h5");
    ASSERT_OK(csl_records_write(&r, path, &err), &err);
    ASSERT_OK(csl_records_read(&again, path, &err), &err);
    assert_true(records_equal(&r, &again));
    FILE *f = fopen(path, "rb");
    static char bytes[1u << 20];
    size_t n = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    assert_true(n > 0 && n < sizeof(bytes));
    for (size_t i = 0; i + 5 <= n; i++)
        assert_memory_not_equal(bytes + i, "fever", 5);
    csl_records_release(&r);
    csl_records_release(&again);
}

static void test_record__one_broken_rule__is_refused_by_name(void **state)
{
    (void)state;
    static const char *const says[] = {
        "kind is 'video'",
        "3 axes per record; ehr_series has 2",
        "has tokens",
        "a token is not in",
        "offset 3 does not follow",
        "marked unavailable",
        "no record has a word",
        "2000 tokens",
    };
    for (int i = 0; i < 8; i++) {
        struct csl_err err;
        struct csl_records r;
        many_records(&r);
        struct csl_record_modality *hours = &r.modalities[3], *note = &r.modalities[6];
        if (i == 0)
            memcpy(hours->kind, "video", 6);
        else if (i == 1)
            hours->rank = 3;
        else if (i == 2)
            memcpy(r.modalities[4].kind, "text", 5);
        else if (i == 3)
            note->text->tokens[2] = 1000;
        else if (i == 4)
            note->text->offsets[3] = 1;
        else if (i == 5)
            note->available[0] = 0;
        else if (i == 6)
            memset(note->text->offsets, 0, 7 * sizeof(uint64_t));
        else
            note->text->rule.tokens_max = 2000;
        ASSERT_CODE(csl_records_write(&r, scratch("bad.h5"), &err), CSL_E_INVAL, &err);
        ASSERT_SAYS(&err, says[i]);
        csl_records_release(&r);
    }
}

/* Damage below our own checks: a group or a data set that is not what its kind says. */
static void test_record__damaged_text_group__is_corrupt(void **state)
{
    (void)state;
    static const char *const gone[] = {"tokens", "offsets", "text"};
    for (size_t i = 0; i < 3; i++) {
        struct csl_err err;
        struct csl_records r, again;
        char path[96];
        many_records(&r);
        ASSERT_OK(csl_records_write(&r, scratch("hurt.h5"), &err), &err);
        csl_records_release(&r);
        hid_t f = H5Fopen(scratch("hurt.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
        assert_true(f >= 0);
        snprintf(path, sizeof(path), "/modalities/note/%s", gone[i]);
        assert_true(H5Ldelete(f, path, H5P_DEFAULT) >= 0);
        H5Fclose(f);
        ASSERT_CODE(csl_records_read(&again, scratch("hurt.h5"), &err), CSL_E_CORRUPT, &err);
        ASSERT_SAYS(&err, "/modalities/note");
    }
}

static void test_record__kinds__are_named_as_the_study_names_them(void **state)
{
    (void)state;
    assert_int_equal(CSL_KIND_COUNT, CSL_MODALITY_COUNT);
    for (uint32_t i = 0; i < CSL_KIND_COUNT; i++)
        assert_string_equal(csl_kinds__[i].name, csl_modality_name((enum csl_modality)i));
}

static void test_text__known_hashes__are_those_of_the_specification(void **state)
{
    (void)state; /* test vectors of draft-eastlake-fnv, FNV-1a, 64 bits */
    assert_true(csl_text_hash("", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(csl_text_hash("a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(csl_text_hash("foobar", 6) == UINT64_C(0x85944171f73967e8));
}

static uint32_t tokens_of(const char *text, uint32_t ngrams, uint32_t max, uint32_t out[16])
{
    const struct csl_text_rule rule = {1u << 20, ngrams, max};
    return csl_text_tokens(&rule, text, strlen(text), out);
}

static uint32_t id_of(const char *words)
{
    uint64_t h = csl_text_hash(words, strlen(words));
    return 1 + ((uint32_t)(h >> 32) ^ (uint32_t)h) % ((1u << 20) - 1);
}

static void test_text__case_and_punctuation__do_not_change_ids(void **state)
{
    (void)state;
    uint32_t a[16], b[16];
    assert_int_equal(tokens_of("Übelkeit, FIEBER (38,5)", 1, 16, a), 4);
    assert_int_equal(a[0], id_of("\xc3\xbc"
                                 "belkeit"));
    assert_int_equal(a[1], id_of("fieber"));
    assert_int_equal(a[2], id_of("38"));
    assert_int_equal(tokens_of("\u201eübelkeit\u201c\u2013fieber\u00a038.5", 1, 16, b), 4);
    assert_memory_equal(a, b, 16);
    assert_int_equal(tokens_of("5 \u00b5g", 1, 16, a), 2);
    assert_int_equal(a[1], id_of("\xc2\xb5g"));
    assert_int_equal(tokens_of(" .,;\n", 1, 16, a), 0);
}

static void test_text__ngrams__end_with_their_word(void **state)
{
    (void)state;
    uint32_t a[16];
    assert_int_equal(tokens_of("no chest pain", 2, 16, a), 5);
    assert_int_equal(a[0], id_of("no"));
    assert_int_equal(a[1], id_of("chest"));
    assert_int_equal(a[2], id_of("no chest"));
    assert_int_equal(a[3], id_of("pain"));
    assert_int_equal(a[4], id_of("chest pain"));
    assert_int_equal(tokens_of("no chest pain", 3, 16, a), 6);
    assert_int_equal(a[5], id_of("no chest pain"));
    assert_int_equal(tokens_of("no chest pain", 3, 2, a), 2);
}

static void test_dataset__series__takes_named_variables_and_scales_each(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_records r;
    struct csl_dataset *d;
    struct test_study t;
    many_records(&r);
    ASSERT_OK(csl_records_write(&r, scratch("series.h5"), &err), &err);
    study_of_array(&t, "hours", "ill", CSL_EHR_SERIES, (const uint32_t[3]){3, 2, 1});
    t.domain.features = t.features;
    t.domain.feature_count = 2; /* in another order than the file */
    memcpy(t.features[0].name, "ph", 3);
    memcpy(t.features[1].name, "pulse", 6);
    t.features[0].scale = 2.0;
    t.features[1].scale = 1.0;
    t.features[1].centre = 1.0;
    ASSERT_OK(csl_dataset_load(&d, scratch("series.h5"), &t.study, &err), &err);
    const struct csl_examples *e = &d->domains[0][CSL_SPLIT_TRAIN];
    static const uint32_t records[3] = {0, 1, 3}; /* record 2 lacks the series */
    assert_int_equal(e->records, 3);
    for (uint32_t row = 0; row < 3; row++)
        for (uint32_t k = 0; k < 6; k++) {
            uint32_t from = k % 2 == 0 ? k + 1 : k - 1, i = records[row];
            double v = (6 * i + from) % 3 == 0
                           ? 0.0
                           : ((double)(i + 10 * from) - (k % 2 == 0 ? 0.0 : 1.0)) /
                                 (k % 2 == 0 ? 2.0 : 1.0);
            assert_true(fabs((double)e->x[6 * row + k] - v) < 1e-6);
        }
    csl_dataset_free(d);
    t.domain.shape[0] = 4;
    t.domain.width = 8;
    ASSERT_CODE(csl_dataset_load(&d, scratch("series.h5"), &t.study, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "is 3 x 2 per record; domain hours needs 4 x 2");
    csl_records_release(&r);
}

static void test_dataset__series_scaled_by_site__has_one_constant_per_variable(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_examples e = {.records = 2, .width = 4};
    struct csl_feature_constants c;
    struct csl_feature features[2] = {{.scale = 1.0}, {.scale = 1.0}};
    struct csl_domain d = {.modality = CSL_EHR_SERIES,
                           .scaling = CSL_SCALING_SITE,
                           .features = features,
                           .feature_count = 2,
                           .shape = {2, 2, 1, 1},
                           .width = 4};
    float x[8] = {1.0f, NAN, 3.0f, NAN, 5.0f, NAN, NAN, 7.0f};
    e.x = x;
    ASSERT_OK(csl_constants_make__(&d, &e, &c, &err), &err);
    assert_true(c.centre[0] == 3.0 && c.centre[2] == 3.0);
    assert_true(c.centre[1] == 7.0 && c.centre[3] == 7.0);
    assert_true(fabs(c.scale[0] - 2.0) < 1e-8 && c.scale[2] == c.scale[0]);
    csl_constants_release__(&c);
}

static void test_dataset__text__is_ids_with_zeros_behind(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_records r;
    struct csl_dataset *d;
    struct test_study t;
    many_records(&r);
    ASSERT_OK(csl_records_write(&r, scratch("text.h5"), &err), &err);
    study_of_array(&t, "note", "ill", CSL_TEXT, (const uint32_t[3]){4, 1000, 2});
    t.domain.width = 4;
    ASSERT_OK(csl_dataset_load(&d, scratch("text.h5"), &t.study, &err), &err);
    const struct csl_examples *e = &d->domains[0][CSL_SPLIT_TRAIN];
    assert_int_equal(e->records, 3); /* record 1 has no word */
    const struct csl_record_text *text = r.modalities[6].text;
    for (uint32_t k = 0; k < 4; k++) {
        assert_true(e->x[k] == (float)text->tokens[k]);
        uint64_t at = text->offsets[2] + k;
        assert_true(e->x[4 + k] == (at < text->offsets[3] ? (float)text->tokens[at] : 0.0f));
    }
    csl_dataset_free(d);
    t.domain.shape[1] = 999;
    ASSERT_CODE(csl_dataset_load(&d, scratch("text.h5"), &t.study, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "1000 buckets");
    csl_records_release(&r);
}

static void test_describe__every_kind__says_counts_and_no_word(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_records r;
    struct csl_buf text, json_text;
    struct csl_json json;
    uint32_t problems;
    many_records(&r);
    csl_buf_init(&text, 1u << 20);
    csl_buf_init(&json_text, 1u << 20);
    csl_json_init(&json, &json_text, true);
    ASSERT_OK(csl_records_describe(&r, &text, &json, &err), &err);
    csl_buf_u8(&text, 0);
    assert_non_null(strstr((char *)text.p, "modality hours (ehr_series, 3 x 2): in 5 records"));
    assert_non_null(strstr((char *)text.p, "modality volume (image3d, 2 x 3 x 2 x 1)"));
    assert_non_null(strstr((char *)text.p, "1000 buckets, n-grams of up to 2 words"));
    assert_null(strstr((char *)text.p, "fever"));
    assert_non_null(strstr((char *)text.p, "tokens per note"));
    assert_non_null(strstr((char *)text.p, "measured per record"));
    csl_buf_release(&text);
    csl_buf_init(&text, 1u << 20);
    r.patient[5] = 3; /* four patients are fewer than may be shown as a mean */
    ASSERT_OK(csl_records_describe(&r, &text, NULL, &err), &err);
    csl_buf_u8(&text, 0);
    assert_non_null(strstr((char *)text.p, "lengths withheld"));
    assert_null(strstr((char *)text.p, "tokens per note"));
    assert_null(strstr((char *)text.p, "measured per record"));
    csl_buf_release(&text);
    csl_buf_init(&text, 1u << 20);
    ASSERT_OK(csl_records_check(&r, NULL, &text, NULL, &problems, &err), &err);
    csl_buf_u8(&text, 0);
    assert_int_equal(problems, 0);
    assert_non_null(strstr((char *)text.p, "feature pulse of hours is outside 0 to 30"));
    csl_buf_release(&text);
    csl_buf_release(&json_text);
    csl_records_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record__every_kind__reads_back_equal),
        cmocka_unit_test(test_record__notes_not_kept__leaves_no_text_in_the_file),
        cmocka_unit_test(test_record__one_broken_rule__is_refused_by_name),
        cmocka_unit_test(test_record__damaged_text_group__is_corrupt),
        cmocka_unit_test(test_record__kinds__are_named_as_the_study_names_them),
        cmocka_unit_test(test_text__known_hashes__are_those_of_the_specification),
        cmocka_unit_test(test_text__case_and_punctuation__do_not_change_ids),
        cmocka_unit_test(test_text__ngrams__end_with_their_word),
        cmocka_unit_test(test_dataset__series__takes_named_variables_and_scales_each),
        cmocka_unit_test(test_dataset__series_scaled_by_site__has_one_constant_per_variable),
        cmocka_unit_test(test_dataset__text__is_ids_with_zeros_behind),
        cmocka_unit_test(test_describe__every_kind__says_counts_and_no_word),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
