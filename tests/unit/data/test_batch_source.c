/* Batches from memory and from the file: the same bits, in order, with a file that is larger than
 * the ring, that changes while it is read, and with readers that are cancelled in the middle. */
#include "base/mem.h"
#include "base/thread.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"
#include "site-agent/data/batch_source.h"
#include "tests/unit/data/support.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RECORDS = 600, SAMPLES = 40, LEADS = 3, WIDTH = SAMPLES * LEADS, BATCH = 16, RING = 3 };

static void put_signal(struct csl_records *r, struct csl_rng *g)
{
    struct csl_record_modality *m = &r->modalities[r->modality_count++];
    memcpy(m->name, "ecg", 4);
    memcpy(m->kind, "signal", 7);
    m->rank = 2;
    m->shape[0] = SAMPLES;
    m->shape[1] = LEADS;
    m->values = csl_alloc_array(RECORDS, WIDTH * sizeof(float));
    m->available = csl_alloc(RECORDS);
    for (uint32_t i = 0; i < RECORDS; i++) {
        m->available[i] = i % 11 != 3;
        for (uint32_t k = 0; k < WIDTH; k++)
            m->values[i * WIDTH + k] =
                m->available[i] == 0 || csl_rng_below(g, 20) == 0 ? NAN : (float)csl_rng_normal(g);
    }
}

/* The same numbers as a series of LEADS named variables. */
static void put_series(struct csl_records *r)
{
    struct csl_record_modality *m = &r->modalities[r->modality_count];
    *m = r->modalities[r->modality_count - 1];
    r->modality_count++;
    memcpy(m->name, "icu", 4);
    memcpy(m->kind, "ehr_series", 11);
    m->values = csl_alloc_array(RECORDS, WIDTH * sizeof(float));
    m->available = csl_alloc(RECORDS);
    memcpy(m->values, m[-1].values, RECORDS * WIDTH * sizeof(float));
    memcpy(m->available, m[-1].available, RECORDS);
    m->feature_names = csl_alloc_array(LEADS, sizeof(*m->feature_names));
    m->feature_units = csl_alloc_array(LEADS, sizeof(*m->feature_units));
    m->range_min = csl_alloc_array(LEADS, sizeof(double));
    m->range_max = csl_alloc_array(LEADS, sizeof(double));
    for (uint32_t k = 0; k < LEADS; k++)
        m->feature_names[k][0] = (char)('a' + k);
}

static void write_file(const char *path)
{
    struct csl_err err;
    struct csl_rng g;
    struct csl_records r;
    memset(&r, 0, sizeof(r));
    ASSERT_OK(csl_crypto_init(&err), &err);
    csl_rng_init_label(&g, 7, "batches", 0, 0, 0);
    memcpy(r.site, "lyon", 5);
    r.patient_count = RECORDS / 2;
    r.record_count = RECORDS;
    r.patient_id = csl_alloc_array(r.patient_count, sizeof(*r.patient_id));
    r.split = csl_alloc(r.patient_count);
    r.patient = csl_alloc_array(RECORDS, sizeof(uint32_t));
    r.time = csl_alloc_array(RECORDS, sizeof(int64_t));
    for (uint32_t i = 0; i < r.patient_count; i++) {
        snprintf(r.patient_id[i], 64, "p%u", i);
        r.split[i] = i % 5 == 0 ? CSL_SPLIT_TEST : CSL_SPLIT_TRAIN;
    }
    for (uint32_t i = 0; i < RECORDS; i++)
        r.patient[i] = i / 2;
    put_signal(&r, &g);
    put_series(&r);
    r.label_count = 1;
    memcpy(r.labels[0].name, "ill", 4);
    r.labels[0].classes = 2;
    r.labels[0].value = csl_alloc_array(RECORDS, sizeof(int16_t));
    for (uint32_t i = 0; i < RECORDS; i++)
        r.labels[0].value[i] = (int16_t)(i % 3) - 1;
    ASSERT_OK(csl_records_write(&r, path, &err), &err);
    csl_records_release(&r);
}

static struct csl_feature features[2] = {{.name = "c", .scale = 1.0, .clip = 2.0},
                                         {.name = "a", .scale = 1.0}};

static void domain_of(struct csl_domain *d, bool is_series, enum csl_scaling scaling)
{
    memset(d, 0, sizeof(*d));
    memcpy(d->id, is_series ? "icu" : "ecg", 4);
    memcpy(d->label, "ill", 4);
    d->modality = is_series ? CSL_EHR_SERIES : CSL_SIGNAL;
    d->classes = 2;
    d->scaling = scaling;
    d->scale = 2.0;
    d->shape[0] = SAMPLES;
    d->shape[1] = is_series ? 2 : LEADS;
    d->shape[2] = d->shape[3] = 1;
    d->features = is_series ? features : NULL;
    d->feature_count = is_series ? 2 : 0;
    d->width = SAMPLES * d->shape[1];
}

static struct csl_batch_source *open_source(struct csl_reader *r, const char *path,
                                            const struct csl_domain *d, enum csl_split split,
                                            uint64_t memory)
{
    struct csl_err err;
    struct csl_batch_source *s;
    const struct csl_batch_source_config c = {memory, BATCH, RING, false};
    ASSERT_OK(csl_batch_source_open(&s, r, path, d, split, &c, &err), &err);
    return s;
}

static struct csl_reader *reader_new(void)
{
    struct csl_err err;
    struct csl_reader *r;
    ASSERT_OK(csl_reader_new(&r, &err), &err);
    return r;
}

/* Batches of random rows, some empty, some with a row twice. */
#define BATCHES 60
static void plan_of(uint32_t records, uint64_t seed, uint32_t rows[BATCHES * BATCH],
                    uint64_t end[BATCHES])
{
    struct csl_rng g;
    uint64_t n = 0;
    csl_rng_init_label(&g, seed, "plan", 0, 0, 0);
    for (uint32_t k = 0; k < BATCHES; k++) {
        uint64_t count = k % 9 == 4 ? 0 : csl_rng_below(&g, BATCH + 1);
        for (uint64_t i = 0; i < count; i++, n++)
            rows[n] = (uint32_t)csl_rng_below(&g, records);
        if (count > 2 && k % 2 == 0)
            rows[n - 1] = rows[n - 2];
        end[k] = n;
    }
}

static void start_plan(struct csl_batch_source *s, uint64_t seed, uint32_t rows[BATCHES * BATCH],
                       uint64_t end[BATCHES])
{
    struct csl_err err;
    plan_of(csl_batch_source_examples(s)->records, seed, rows, end);
    ASSERT_OK(csl_batch_source_start(s, rows, end, BATCHES, &err), &err);
}

/* `got` is batch k of the plan with the values of the examples in memory. */
static void expect_batch(const struct csl_examples *in_memory, const uint32_t *rows,
                         const uint64_t *end, uint64_t k, const struct csl_rows *got)
{
    uint64_t first = k == 0 ? 0 : end[k - 1];
    assert_int_equal(got->count, end[k] - first);
    for (uint32_t i = 0; i < got->count; i++) {
        assert_int_equal(got->row[i], rows[first + i]);
        assert_memory_equal(got->x + (size_t)i * in_memory->width,
                            in_memory->x + (size_t)got->row[i] * in_memory->width,
                            in_memory->width * sizeof(float));
    }
}

static void test_batch_source__from_the_file__has_the_bits_of_memory(void **state)
{
    (void)state;
    static uint32_t rows[BATCHES * BATCH];
    static uint64_t end[BATCHES];
    write_file(scratch("all.h5"));
    struct csl_reader *reader = reader_new();
    for (int c = 0; c < 8; c++) { /* signal or series, constants or site, training or test */
        struct csl_domain d;
        struct csl_err err;
        struct csl_rows got;
        enum csl_split split = (c & 1) != 0 ? CSL_SPLIT_TEST : CSL_SPLIT_TRAIN;
        domain_of(&d, (c & 4) != 0, (c & 2) != 0 ? CSL_SCALING_SITE : CSL_SCALING_CONSTANTS);
        struct csl_batch_source *m = open_source(reader, scratch("all.h5"), &d, split, UINT64_MAX);
        struct csl_batch_source *f = open_source(reader, scratch("all.h5"), &d, split, 0);
        const struct csl_examples *e = csl_batch_source_examples(m);
        assert_false(csl_batch_source_streams(m));
        assert_true(csl_batch_source_streams(f));
        assert_null(csl_batch_source_examples(f)->x);
        assert_true(e->records > BATCH * RING);
        assert_int_equal(csl_batch_source_examples(f)->records, e->records);
        assert_memory_equal(csl_batch_source_examples(f)->patient, e->patient, 4 * e->records);
        assert_memory_equal(csl_batch_source_examples(f)->label, e->label, e->records);
        for (uint64_t again = 0; again < 2; again++) {
            start_plan(m, again, rows, end);
            start_plan(f, again, rows, end);
            for (uint64_t k = 0; k < BATCHES; k++) {
                ASSERT_OK(csl_batch_source_next(f, &got, &err), &err);
                expect_batch(e, rows, end, k, &got);
                ASSERT_OK(csl_batch_source_next(m, &got, &err), &err);
                expect_batch(e, rows, end, k, &got);
            }
            assert_int_equal(csl_batch_source_next(f, &got, &err), CSL_E_END);
            assert_int_equal(csl_batch_source_next(m, &got, &err), CSL_E_END);
        }
        csl_batch_source_free(m);
        csl_batch_source_free(f);
    }
    csl_reader_free(reader);
}

static void test_batch_source__in_memory__is_what_the_dataset_holds(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_dataset *dataset;
    struct test_study t;
    memset(&t, 0, sizeof(t));
    write_file(scratch("same.h5"));
    domain_of(&t.domain, true, CSL_SCALING_SITE);
    t.study.domains = &t.domain;
    t.study.domain_count = 1;
    ASSERT_OK(csl_dataset_load(&dataset, scratch("same.h5"), &t.study, &err), &err);
    struct csl_reader *reader = reader_new();
    struct csl_batch_source *s =
        open_source(reader, scratch("same.h5"), &t.domain, CSL_SPLIT_TRAIN, UINT64_MAX);
    const struct csl_examples *a = &dataset->domains[0][CSL_SPLIT_TRAIN];
    const struct csl_examples *b = csl_batch_source_examples(s);
    assert_int_equal(a->records, b->records);
    assert_memory_equal(a->x, b->x, (size_t)a->records * a->width * sizeof(float));
    csl_batch_source_free(s);
    csl_reader_free(reader);
    csl_dataset_free(dataset);
}

/* Runs a plan, changes the file behind the first batch, and reads until the error. */
static void expect_change(void (*change)(const char *path), const char *says)
{
    static uint32_t rows[BATCHES * BATCH];
    static uint64_t end[BATCHES];
    struct csl_domain d;
    struct csl_err err;
    struct csl_rows got;
    uint64_t k = 0;
    enum csl_code code;
    write_file(scratch("change.h5"));
    write_file(scratch("other.h5"));
    domain_of(&d, false, CSL_SCALING_SITE);
    struct csl_reader *reader = reader_new();
    struct csl_batch_source *m =
        open_source(reader, scratch("other.h5"), &d, CSL_SPLIT_TRAIN, UINT64_MAX);
    struct csl_batch_source *f = open_source(reader, scratch("change.h5"), &d, CSL_SPLIT_TRAIN, 0);
    start_plan(f, 3, rows, end);
    ASSERT_OK(csl_batch_source_next(f, &got, &err), &err);
    expect_batch(csl_batch_source_examples(m), rows, end, k++, &got);
    change(scratch("change.h5"));
    while ((code = csl_batch_source_next(f, &got, &err)) == CSL_OK)
        expect_batch(csl_batch_source_examples(m), rows, end, k++, &got);
    ASSERT_CODE(code, CSL_E_CORRUPT, &err);
    ASSERT_SAYS(&err, says);
    ASSERT_SAYS(&err, "change.h5");
    assert_true(k <= 1 + 1 + RING); /* the plan is longer, so the error had to come */
    assert_int_equal(csl_batch_source_next(f, &got, &err), CSL_E_CORRUPT);
    csl_batch_source_free(f);
    csl_batch_source_free(m);
    csl_reader_free(reader);
}

static void truncate_file(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size / 2), 0);
}
static void replace_file(const char *path)
{
    assert_int_equal(rename(scratch("other.h5"), path), 0); /* without HDF5: it is the reader's */
}
static void remove_file(const char *path)
{
    assert_int_equal(unlink(path), 0);
}
static void touch_file(const char *path)
{
    const struct timespec times[2] = {{1000000000, 1}, {1000000000, 1}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_batch_source__file_truncated_under_it__ends_in_an_error(void **state)
{
    (void)state;
    expect_change(truncate_file, "changed its size while it was read");
}
static void test_batch_source__file_replaced_under_it__ends_in_an_error(void **state)
{
    (void)state;
    expect_change(replace_file, "was replaced while it was read");
}
static void test_batch_source__file_removed_under_it__ends_in_an_error(void **state)
{
    (void)state;
    expect_change(remove_file, "was taken away while it was read");
}
static void test_batch_source__file_written_to_under_it__ends_in_an_error(void **state)
{
    (void)state;
    expect_change(touch_file, "was written to while it was read");
}

static void cancel(void *arg)
{
    csl_batch_source_cancel(arg);
}

static void test_batch_source__cancelled_in_the_middle__stops_and_starts_again(void **state)
{
    (void)state;
    static uint32_t rows[BATCHES * BATCH];
    static uint64_t end[BATCHES];
    struct csl_domain d;
    struct csl_err err;
    struct csl_rows got;
    write_file(scratch("cancel.h5"));
    domain_of(&d, false, CSL_SCALING_CONSTANTS);
    struct csl_reader *reader = reader_new();
    struct csl_batch_source *s = open_source(reader, scratch("cancel.h5"), &d, CSL_SPLIT_TRAIN, 0);
    for (uint64_t round = 0; round < 20; round++) {
        struct csl_thread t = {.is_running = false};
        enum csl_code code;
        uint64_t k = 0;
        start_plan(s, round, rows, end);
        for (; k < round % 4; k++)
            ASSERT_OK(csl_batch_source_next(s, &got, &err), &err);
        ASSERT_OK(csl_thread_start(&t, "cancel", cancel, s, &err), &err);
        while ((code = csl_batch_source_next(s, &got, &err)) == CSL_OK) {
            assert_int_equal(got.count, end[k] - (k == 0 ? 0 : end[k - 1]));
            k++;
        }
        csl_thread_join(&t);
        assert_true(code == CSL_E_CANCELLED || (code == CSL_E_END && k == BATCHES));
        assert_int_equal(csl_batch_source_next(s, &got, &err), CSL_E_CANCELLED);
    }
    start_plan(s, 99, rows, end); /* and freed in the middle */
    csl_batch_source_free(s);
    csl_reader_free(reader);
}

/* Two threads, each with a source of its own, share the reader. */
struct worker {
    struct csl_batch_source *s;
    const struct csl_examples *in_memory;
    uint32_t rows[BATCHES * BATCH];
    uint64_t end[BATCHES], seed, good;
};

static void work(void *arg)
{
    struct worker *w = arg;
    struct csl_err err;
    struct csl_rows got;
    plan_of(w->in_memory->records, w->seed, w->rows, w->end);
    if (csl_batch_source_start(w->s, w->rows, w->end, BATCHES, &err) != CSL_OK)
        return;
    while (csl_batch_source_next(w->s, &got, &err) == CSL_OK) {
        bool is_same = true;
        for (uint32_t i = 0; i < got.count; i++)
            is_same = is_same && memcmp(got.x + (size_t)i * w->in_memory->width,
                                        w->in_memory->x + (size_t)got.row[i] * w->in_memory->width,
                                        w->in_memory->width * sizeof(float)) == 0;
        w->good += is_same;
    }
}

static void test_batch_source__two_callers__share_one_reader(void **state)
{
    (void)state;
    static struct worker workers[2];
    struct csl_err err;
    struct csl_domain d[2];
    struct csl_thread threads[2] = {{.is_running = false}, {.is_running = false}};
    write_file(scratch("share.h5"));
    struct csl_reader *reader = reader_new();
    struct csl_batch_source *memory[2];
    for (uint32_t i = 0; i < 2; i++) {
        domain_of(&d[i], i == 1, CSL_SCALING_CONSTANTS);
        memory[i] = open_source(reader, scratch("share.h5"), &d[i], CSL_SPLIT_TRAIN, UINT64_MAX);
        workers[i].s = open_source(reader, scratch("share.h5"), &d[i], CSL_SPLIT_TRAIN, 0);
        workers[i].in_memory = csl_batch_source_examples(memory[i]);
        workers[i].seed = i;
    }
    for (uint32_t i = 0; i < 2; i++)
        ASSERT_OK(csl_thread_start(&threads[i], "worker", work, &workers[i], &err), &err);
    for (uint32_t i = 0; i < 2; i++)
        csl_thread_join(&threads[i]);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(workers[i].good, BATCHES);
        csl_batch_source_free(workers[i].s);
        csl_batch_source_free(memory[i]);
    }
    csl_reader_free(reader);
}

static void test_batch_source__what_cannot_be__is_refused(void **state)
{
    (void)state;
    struct csl_domain d;
    struct csl_err err;
    struct csl_batch_source *s = NULL;
    struct csl_batch_source_config c = {0, BATCH, RING, false};
    write_file(scratch("refuse.h5"));
    domain_of(&d, false, CSL_SCALING_CONSTANTS);
    struct csl_reader *reader = reader_new();
    ASSERT_CODE(csl_batch_source_open(&s, reader, scratch("absent.h5"), &d, 0, &c, &err),
                CSL_E_NOTFOUND, &err);
    c.ring = 1;
    ASSERT_CODE(csl_batch_source_open(&s, reader, scratch("refuse.h5"), &d, 0, &c, &err),
                CSL_E_INVAL, &err);
    c.ring = RING;
    d.shape[0]++;
    ASSERT_CODE(csl_batch_source_open(&s, reader, scratch("refuse.h5"), &d, 0, &c, &err),
                CSL_E_INVAL, &err);
    d.shape[0]--;
    assert_null(s);
    s = open_source(reader, scratch("refuse.h5"), &d, CSL_SPLIT_TRAIN, 0);
    uint32_t rows[BATCH + 1] = {0};
    uint64_t end[2] = {BATCH + 1, BATCH + 1};
    ASSERT_CODE(csl_batch_source_start(s, rows, end, 1, &err), CSL_E_INVAL, &err);
    end[0] = 2;
    end[1] = 1;
    ASSERT_CODE(csl_batch_source_start(s, rows, end, 2, &err), CSL_E_INVAL, &err);
    rows[1] = csl_batch_source_examples(s)->records;
    ASSERT_CODE(csl_batch_source_start(s, rows, end, 1, &err), CSL_E_INVAL, &err);
    struct csl_rows got;
    assert_int_equal(csl_batch_source_next(s, &got, &err), CSL_E_END); /* no plan */
    csl_batch_source_free(s);
    memcpy(d.label, "other", 6); /* the site lacks the label: a source without records */
    s = open_source(reader, scratch("refuse.h5"), &d, CSL_SPLIT_TRAIN, 0);
    assert_int_equal(csl_batch_source_examples(s)->records, 0);
    csl_batch_source_free(s);
    csl_reader_free(reader);
}

static void test_batch_source__out_of_memory_anywhere__says_so_and_leaks_nothing(void **state)
{
    (void)state;
    struct csl_domain d;
    struct csl_err err;
    const struct csl_batch_source_config c = {0, BATCH, RING, false};
    write_file(scratch("memory.h5"));
    domain_of(&d, true, CSL_SCALING_SITE);
    struct csl_reader *reader = reader_new();
    bool is_done = false;
    for (uint64_t n = 1; !is_done && n < 500; n++) {
        struct csl_batch_source *s = NULL;
        csl_mem_fail_after(n);
        enum csl_code code =
            csl_batch_source_open(&s, reader, scratch("memory.h5"), &d, CSL_SPLIT_TEST, &c, &err);
        csl_mem_fail_after(0);
        is_done = code == CSL_OK;
        if (is_done)
            csl_batch_source_free(s);
        else
            ASSERT_CODE(code, CSL_E_NOMEM, &err);
    }
    assert_true(is_done);
    csl_reader_free(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_source__from_the_file__has_the_bits_of_memory),
        cmocka_unit_test(test_batch_source__in_memory__is_what_the_dataset_holds),
        cmocka_unit_test(test_batch_source__file_truncated_under_it__ends_in_an_error),
        cmocka_unit_test(test_batch_source__file_replaced_under_it__ends_in_an_error),
        cmocka_unit_test(test_batch_source__file_removed_under_it__ends_in_an_error),
        cmocka_unit_test(test_batch_source__file_written_to_under_it__ends_in_an_error),
        cmocka_unit_test(test_batch_source__cancelled_in_the_middle__stops_and_starts_again),
        cmocka_unit_test(test_batch_source__two_callers__share_one_reader),
        cmocka_unit_test(test_batch_source__what_cannot_be__is_refused),
        cmocka_unit_test(test_batch_source__out_of_memory_anywhere__says_so_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
