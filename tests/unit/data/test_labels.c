/* Several yes/no labels of a domain, of which a record file has some. */
#include "base/buf.h"
#include "base/mem.h"
#include "site-agent/data/batch_source.h"
#include "site-agent/data/dataset.h"
#include "tests/unit/data/support.h"

#include <stdio.h>
#include <string.h>

static const char *const ab[2] = {"a", "b"};
static char asked[3][CSL_ID_MAX] = {"ill", "tired", "pale"};

/* Six records of patients 0, 1, 1, 2 (training), 3 (validation), 4 (test); "pale" is nowhere. */
static const int16_t ill[6] = {0, -1, -1, 1, 1, -1}, tired[6] = {1, -1, 0, -1, 0, 1};

static void write_records(const char *name, bool has_tired)
{
    struct csl_records r;
    struct csl_err err;
    small_records(&r);
    memcpy(r.labels[0].value, ill, sizeof(ill));
    if (has_tired) {
        struct csl_record_label *l = &r.labels[r.label_count++];
        memcpy(l->name, "tired", 6);
        l->classes = 2;
        l->value = csl_alloc_array(6, sizeof(*l->value));
        memcpy(l->value, tired, sizeof(tired));
    }
    ASSERT_OK(csl_records_write(&r, scratch(name), &err), &err);
    csl_records_release(&r);
}

static void study_of_labels(struct test_study *t)
{
    study_of_table(t, "", CSL_TASK_LABELS, 2, ab, 2);
    t->domain.labels = asked;
    t->domain.label_count = t->domain.outputs = 3;
}

static void expect(const struct csl_examples *e, const char *answers)
{
    char got[64];
    size_t n = 0;
    assert_int_equal(e->answer_count, 3);
    for (uint32_t i = 0; i < e->records; i++) {
        for (uint32_t k = 0; k < 3; k++) {
            size_t at = (size_t)i * 3 + k;
            got[n++] = e->answer_known[at] == 0 ? '?' : e->answer[at] == 1 ? '1' : '0';
            assert_true(e->answer_known[at] != 0 || e->answer[at] == 0);
        }
        assert_int_equal(e->label[i], 0);
        got[n++] = ' ';
    }
    got[n > 0 ? n - 1 : 0] = '\0';
    assert_string_equal(got, answers);
}

/* The second record of the file knows none of them. */
static void test_labels__of_a_file__are_answers_or_unknown(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    write_records("a.h5", true);
    study_of_labels(&t);
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    const struct csl_examples *train = &d->domains[0][CSL_SPLIT_TRAIN];
    static const uint32_t patient[3] = {0, 1, 2};
    assert_int_equal(train->records, 3);
    assert_memory_equal(train->patient, patient, sizeof(patient));
    expect(train, "01? ?0? 1??");
    expect(&d->domains[0][CSL_SPLIT_VALIDATION], "10?");
    expect(&d->domains[0][CSL_SPLIT_TEST], "?1?");
    csl_dataset_free(d);
}

static void test_labels__column_is_absent__unknown_in_all_records(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    write_records("a.h5", false);
    study_of_labels(&t);
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    expect(&d->domains[0][CSL_SPLIT_TRAIN], "0?? 1??");
    assert_int_equal(d->domains[0][CSL_SPLIT_TEST].records, 0);
    csl_dataset_free(d);
}

static void test_labels__file_has_none_of_them__lacks_the_domain(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    write_records("a.h5", true);
    study_of_labels(&t);
    t.domain.labels = asked + 2;
    t.domain.label_count = 1;
    ASSERT_OK(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), &err);
    assert_int_equal(d->domains[0][CSL_SPLIT_TRAIN].records, 0);
    csl_dataset_free(d);
}

static void test_labels__pooled__keep_each_site_s_unknowns(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    const char *paths[2];
    write_records("a.h5", true);
    write_records("b.h5", false);
    paths[0] = scratch("a.h5");
    paths[1] = scratch("b.h5");
    study_of_labels(&t);
    ASSERT_OK(csl_dataset_load_pooled(&d, paths, 2, &t.study, &err), &err);
    expect(&d->domains[0][CSL_SPLIT_TRAIN], "01? ?0? 1?? 0?? 1??");
    assert_int_equal(d->domains[0][CSL_SPLIT_TRAIN].patients, 5);
    csl_dataset_free(d);
}

/* "grade" has three classes. */
static void test_labels__one_is_not_binary__is_refused(void **state)
{
    static char wrong[2][CSL_ID_MAX] = {"ill", "grade"};
    (void)state;
    struct test_study t;
    struct csl_dataset *d;
    struct csl_err err;
    write_records("a.h5", true);
    study_of_labels(&t);
    t.domain.labels = wrong;
    t.domain.label_count = 2;
    ASSERT_CODE(csl_dataset_load(&d, scratch("a.h5"), &t.study, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "/labels/grade has 3 classes");
}

static void test_labels__check__says_which_the_site_lacks(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_records r;
    struct csl_err err;
    struct csl_buf out;
    uint32_t problems = UINT32_MAX;
    write_records("a.h5", false);
    study_of_labels(&t);
    ASSERT_OK(csl_records_read(&r, scratch("a.h5"), &err), &err);
    csl_buf_init(&out, 1u << 20);
    ASSERT_OK(csl_records_check(&r, &t.study, &out, NULL, &problems, &err), &err);
    assert_int_equal(problems, 0);
    assert_non_null(strstr(csl_buf_text(&out), "the site does not know label tired"));
    assert_non_null(strstr(csl_buf_text(&out), "the site does not know label pale"));
    assert_null(strstr(csl_buf_text(&out), "does not know label ill"));
    csl_buf_release(&out);
    csl_records_release(&r);
}

static void test_labels__batches_from_the_file__have_the_same(void **state)
{
    (void)state;
    struct test_study t;
    struct csl_err err;
    struct csl_reader *reader;
    struct csl_batch_source *s;
    const struct csl_batch_source_config config = {.rows_max = 2, .ring = 2};
    write_records("a.h5", true);
    study_of_labels(&t);
    ASSERT_OK(csl_reader_new(&reader, &err), &err);
    ASSERT_OK(csl_batch_source_open(&s, reader, scratch("a.h5"), &t.domain, CSL_SPLIT_TRAIN,
                                    &config, &err),
              &err);
    expect(csl_batch_source_examples(s), "01? ?0? 1??");
    csl_batch_source_free(s);
    csl_reader_free(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels__of_a_file__are_answers_or_unknown),
        cmocka_unit_test(test_labels__column_is_absent__unknown_in_all_records),
        cmocka_unit_test(test_labels__file_has_none_of_them__lacks_the_domain),
        cmocka_unit_test(test_labels__pooled__keep_each_site_s_unknowns),
        cmocka_unit_test(test_labels__one_is_not_binary__is_refused),
        cmocka_unit_test(test_labels__check__says_which_the_site_lacks),
        cmocka_unit_test(test_labels__batches_from_the_file__have_the_same),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
