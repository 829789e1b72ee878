#include "tests/unit/data/support.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* HDF5 1.10 forgets some of its own memory when it gives up on a damaged file; everybody else's
 * leaks are found. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5\n";
}

static char folder[256];

int scratch_make(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof(folder), "%s/consilium-data-XXXXXX", base != NULL ? base : "/tmp");
    return mkdtemp(folder) == NULL;
}

int scratch_remove(void **state)
{
    (void)state;
    DIR *d = opendir(folder);
    for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d)) {
        char path[640];
        snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        if (e->d_name[0] != '.')
            (void)unlink(path);
    }
    if (d != NULL)
        closedir(d);
    return rmdir(folder);
}

const char *scratch(const char *name)
{
    static char paths[4][640];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

const char *scratch_text(const char *name, const char *text)
{
    const char *path = scratch(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
    return path;
}

const char *reference(const char *name)
{
    static char path[1024];
    const char *base = getenv("CONSILIUM_DATA");
    snprintf(path, sizeof(path), "%s/%s", base != NULL ? base : "../shared/data", name);
    if (access(path, R_OK) == 0)
        return path;
    printf("SKIPPED: %s is not there (set CONSILIUM_DATA to the reference data)\n", path);
    return NULL;
}

const char *scenario(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof(path), "simulations/scenarios/%s", name);
    return path;
}

static void put_modality(struct csl_records *r, const char *name, const char *kind, uint32_t rank,
                         uint32_t a, uint32_t b, uint32_t c)
{
    struct csl_record_modality *m = &r->modalities[r->modality_count++];
    uint32_t width = a * (rank > 1 ? b : 1) * (rank > 2 ? c : 1);
    assert_true(csl_str_copy(m->name, sizeof(m->name), name));
    assert_true(csl_str_copy(m->kind, sizeof(m->kind), kind));
    m->rank = rank;
    m->shape[0] = a;
    m->shape[1] = rank > 1 ? b : 0;
    m->shape[2] = rank > 2 ? c : 0;
    m->values = csl_alloc_array(r->record_count, width * sizeof(float));
    m->available = csl_alloc(r->record_count);
    assert_non_null(m->values);
    assert_non_null(m->available);
    for (uint32_t i = 0; i < r->record_count; i++) {
        m->available[i] = 1;
        for (uint32_t k = 0; k < width; k++)
            m->values[i * width + k] = (float)(10 * i + k) / 4.0f;
    }
    if (rank > 1)
        return;
    m->feature_names = csl_alloc_array(a, sizeof(*m->feature_names));
    m->feature_units = csl_alloc_array(a, sizeof(*m->feature_units));
    m->range_min = csl_alloc_array(a, sizeof(double));
    m->range_max = csl_alloc_array(a, sizeof(double));
    for (uint32_t k = 0; k < a; k++) {
        m->feature_names[k][0] = (char)('a' + k);
        memcpy(m->feature_units[k], "mg", 3);
        m->range_max[k] = k == 0 ? 100.0 : 0.0;
    }
}

void small_records(struct csl_records *r)
{
    static const uint32_t patients[6] = {0, 1, 1, 2, 3, 4};
    static const uint8_t splits[5] = {0, 0, 0, 1, 2};
    memset(r, 0, sizeof(*r));
    memcpy(r->site, "lyon", 5);
    memcpy(r->licence, "CC0", 4);
    memcpy(r->split_rule, "by hand", 8);
    r->patient_count = 5;
    r->record_count = 6;
    r->patient_id = csl_alloc_array(5, sizeof(*r->patient_id));
    r->split = csl_alloc(5);
    r->patient = csl_alloc_array(6, sizeof(uint32_t));
    r->time = csl_alloc_array(6, sizeof(int64_t));
    for (uint32_t i = 0; i < 5; i++)
        snprintf(r->patient_id[i], 64, "p%u", i);
    memcpy(r->split, splits, 5);
    memcpy(r->patient, patients, sizeof(patients));
    r->time[2] = 3600;
    put_modality(r, "tabular", "tabular", 1, 2, 0, 0);
    put_modality(r, "scan", "image2d", 3, 2, 2, 1);
    put_modality(r, "lead", "signal", 2, 3, 2, 0);
    r->modalities[2].sampling_rate_hz = 100.0;
    r->modalities[0].values[3] = NAN;
    r->modalities[1].available[5] = 0;
    for (uint32_t k = 0; k < 4; k++)
        r->modalities[1].values[5 * 4 + k] = NAN;
    static const char *const names[3] = {"ill", "grade", "life"};
    static const uint32_t classes[3] = {2, 3, 0};
    static const int16_t values[2][6] = {{0, 1, 1, 0, 1, -1}, {0, 1, 2, -1, 2, 0}};
    r->label_count = 3;
    for (uint32_t k = 0; k < 3; k++) {
        struct csl_record_label *l = &r->labels[k];
        memcpy(l->name, names[k], strlen(names[k]) + 1);
        l->classes = classes[k];
        if (classes[k] == 0) {
            l->time = csl_alloc_array(6, sizeof(float));
            l->event = csl_alloc_array(6, sizeof(float));
            for (uint32_t i = 0; i < 6; i++) {
                l->time[i] = i == 4 ? NAN : (float)i + 1.5f;
                l->event[i] = i == 4 ? 0.0f : (float)(i % 2);
            }
        } else {
            l->value = csl_alloc_array(6, sizeof(int16_t));
            memcpy(l->value, values[k], sizeof(values[k]));
        }
    }
    r->attribute_count = 1;
    memcpy(r->attributes[0].name, "sex", 4);
    r->attributes[0].value = csl_alloc_array(5, sizeof(*r->attributes[0].value));
    for (uint32_t i = 0; i < 4; i++)
        snprintf(r->attributes[0].value[i], 32, "%s", i % 2 == 0 ? "female" : "male");
}

static void put_array(struct csl_records *r, const char *name, const char *kind, uint32_t rank,
                      const uint32_t shape[4])
{
    struct csl_record_modality *m = &r->modalities[r->modality_count++];
    uint32_t width = 1;
    assert_true(csl_str_copy(m->name, sizeof(m->name), name));
    assert_true(csl_str_copy(m->kind, sizeof(m->kind), kind));
    m->rank = rank;
    for (uint32_t k = 0; k < rank; k++)
        width *= m->shape[k] = shape[k];
    m->values = csl_alloc_array(r->record_count, width * sizeof(float));
    m->available = csl_alloc(r->record_count);
    for (uint32_t i = 0; i < r->record_count; i++) {
        m->available[i] = i != 2;
        for (uint32_t k = 0; k < width; k++)
            m->values[i * width + k] = i == 2 ? NAN : (float)(i + 10 * k);
    }
}

static const char *const small_notes[6] = {
    "No chest pain.", "", "Fever, fever!", "Übelkeit", "pain and fever and pain", "ok"};

static void put_notes(struct csl_records *r)
{
    struct csl_record_modality *m = &r->modalities[r->modality_count++];
    struct csl_record_text *t = csl_alloc(sizeof(*t));
    memcpy(m->name, "note", 5);
    memcpy(m->kind, "text", 5);
    m->rank = 1;
    m->shape[0] = 4;
    m->text = t;
    m->available = csl_alloc(r->record_count);
    t->rule = (struct csl_text_rule){.buckets = 1000, .ngrams = 2, .tokens_max = 4};
    t->offsets = csl_alloc_array(7, sizeof(*t->offsets));
    t->tokens = csl_alloc_array(24, sizeof(*t->tokens));
    t->kept_offsets = csl_alloc_array(7, sizeof(*t->kept_offsets));
    t->kept = csl_alloc(200);
    for (uint32_t i = 0; i < 6; i++) {
        size_t n = strlen(small_notes[i]);
        uint32_t count = csl_text_tokens(&t->rule, small_notes[i], n, t->tokens + t->offsets[i]);
        t->offsets[i + 1] = t->offsets[i] + count;
        memcpy(t->kept + t->kept_offsets[i], small_notes[i], n);
        t->kept_offsets[i + 1] = t->kept_offsets[i] + n;
        m->available[i] = count > 0;
    }
}

void many_records(struct csl_records *r)
{
    small_records(r);
    put_array(r, "hours", "ehr_series", 2, (const uint32_t[4]){3, 2});
    struct csl_record_modality *m = &r->modalities[3];
    m->feature_names = csl_alloc_array(2, sizeof(*m->feature_names));
    m->feature_units = csl_alloc_array(2, sizeof(*m->feature_units));
    m->range_min = csl_alloc_array(2, sizeof(double));
    m->range_max = csl_alloc_array(2, sizeof(double));
    memcpy(m->feature_names[0], "pulse", 6);
    memcpy(m->feature_names[1], "ph", 3);
    memcpy(m->feature_units[0], "1/min", 6);
    m->range_max[0] = 30.0;
    for (uint32_t k = 0; k < 36; k += 3)
        m->values[k] = NAN;
    put_array(r, "vector", "embedding", 1, (const uint32_t[4]){5});
    put_array(r, "volume", "image3d", 4, (const uint32_t[4]){2, 3, 2, 1});
    put_notes(r);
}

static bool bytes_equal(const void *a, const void *b, size_t n)
{
    return (a == NULL) == (b == NULL) && (a == NULL || memcmp(a, b, n) == 0);
}

static bool floats_equal(const float *a, const float *b, size_t n)
{
    if ((a == NULL) != (b == NULL))
        return false;
    for (size_t i = 0; a != NULL && i < n; i++)
        if (a[i] != b[i] && !(isnan(a[i]) && isnan(b[i])))
            return false;
    return true;
}

static bool texts_equal(const struct csl_record_text *a, const struct csl_record_text *b, size_t n)
{
    if (a == NULL || b == NULL)
        return a == b;
    return memcmp(&a->rule, &b->rule, sizeof(a->rule)) == 0 &&
           bytes_equal(a->offsets, b->offsets, 8 * (n + 1)) &&
           bytes_equal(a->tokens, b->tokens, 4 * a->offsets[n]) &&
           bytes_equal(a->kept_offsets, b->kept_offsets, 8 * (n + 1)) &&
           bytes_equal(a->kept, b->kept, a->kept == NULL ? 0 : a->kept_offsets[n]);
}

bool records_equal(const struct csl_records *a, const struct csl_records *b)
{
    size_t n = a->record_count, p = a->patient_count;
    bool ok = p == b->patient_count && n == b->record_count && strcmp(a->site, b->site) == 0 &&
              strcmp(a->licence, b->licence) == 0 && strcmp(a->split_rule, b->split_rule) == 0 &&
              a->modality_count == b->modality_count && a->label_count == b->label_count &&
              a->attribute_count == b->attribute_count;
    ok = ok && bytes_equal(a->patient_id, b->patient_id, p * 64) &&
         bytes_equal(a->split, b->split, p) && bytes_equal(a->patient, b->patient, 4 * n) &&
         bytes_equal(a->time, b->time, 8 * n);
    for (uint32_t k = 0; ok && k < a->modality_count; k++) {
        const struct csl_record_modality *x = &a->modalities[k], *y = &b->modalities[k];
        ok = strcmp(x->name, y->name) == 0 && strcmp(x->kind, y->kind) == 0 && x->rank == y->rank;
        size_t width = 1, f = x->feature_names != NULL ? x->shape[x->rank - 1] : 0;
        for (uint32_t i = 0; ok && i < x->rank; i++) {
            width *= x->shape[i];
            ok = x->shape[i] == y->shape[i];
        }
        ok = ok && texts_equal(x->text, y->text, n) &&
             floats_equal(x->values, y->values, n * width) &&
             bytes_equal(x->available, y->available, n) &&
             bytes_equal(x->feature_names, y->feature_names, f * 64) &&
             bytes_equal(x->feature_units, y->feature_units, f * 24) &&
             bytes_equal(x->range_min, y->range_min, f * 8) &&
             bytes_equal(x->range_max, y->range_max, f * 8) &&
             !(x->sampling_rate_hz < y->sampling_rate_hz) &&
             !(x->sampling_rate_hz > y->sampling_rate_hz);
    }
    for (uint32_t k = 0; ok && k < a->label_count; k++) {
        const struct csl_record_label *x = &a->labels[k], *y = &b->labels[k];
        ok = strcmp(x->name, y->name) == 0 && x->classes == y->classes &&
             bytes_equal(x->value, y->value, 2 * n) && floats_equal(x->time, y->time, n) &&
             floats_equal(x->event, y->event, n);
    }
    for (uint32_t k = 0; ok && k < a->attribute_count; k++)
        ok = strcmp(a->attributes[k].name, b->attributes[k].name) == 0 &&
             bytes_equal(a->attributes[k].value, b->attributes[k].value, p * 32);
    return ok;
}

static void study_start(struct test_study *t, const char *id, const char *label)
{
    memset(t, 0, sizeof(*t));
    assert_true(csl_str_copy(t->domain.id, sizeof(t->domain.id), id));
    assert_true(csl_str_copy(t->domain.label, sizeof(t->domain.label), label));
    memcpy(t->study.id, "test", 5);
    t->domain.scale = 1.0;
    t->study.domains = &t->domain;
    t->study.domain_count = 1;
}

void study_of_table(struct test_study *t, const char *label, enum csl_task_kind task,
                    uint32_t classes, const char *const *features, uint32_t feature_count)
{
    study_start(t, "table", label);
    t->domain.modality = CSL_TABULAR;
    t->domain.task = task;
    t->domain.classes = classes;
    t->domain.features = t->features;
    t->domain.feature_count = t->domain.width = feature_count;
    for (uint32_t i = 0; i < feature_count; i++) {
        assert_true(csl_str_copy(t->features[i].name, CSL_ID_MAX, features[i]));
        t->features[i].scale = 1.0;
    }
}

void study_of_array(struct test_study *t, const char *id, const char *label,
                    enum csl_modality modality, const uint32_t shape[3])
{
    study_start(t, id, label);
    t->domain.modality = modality;
    t->domain.task = CSL_TASK_BINARY;
    t->domain.classes = 2;
    memcpy(t->domain.shape, shape, 3 * sizeof(shape[0]));
    t->domain.shape[3] = 1;
    t->domain.width = shape[0] * shape[1] * shape[2];
}

struct scored {
    double score;
    uint8_t label;
};

static int compare_scored(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    return x->score < y->score ? -1 : x->score > y->score;
}

double auc_of(const double *score, const uint8_t *label, uint32_t n)
{
    struct scored *s = csl_alloc_array(n, sizeof(*s));
    double below = 0.0, sum = 0.0, positives = 0.0;
    assert_non_null(s);
    for (uint32_t i = 0; i < n; i++)
        s[i] = (struct scored){score[i], label[i]};
    qsort(s, n, sizeof(*s), compare_scored);
    for (uint32_t i = 0; i < n;) {
        double here[2] = {0.0, 0.0};
        uint32_t k = i;
        for (; k < n && !(s[k].score > s[i].score); k++)
            here[s[k].label != 0] += 1.0;
        sum += here[1] * (below + here[0] / 2.0);
        below += here[0];
        positives += here[1];
        i = k;
    }
    csl_free(s);
    return sum / (positives * below);
}

double concordance_of(const double *score, const float *time, const uint8_t *event, uint32_t n)
{
    double right = 0.0, pairs = 0.0;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; event[i] && k < n; k++) {
            if (!(time[k] > time[i]))
                continue;
            pairs += 1.0;
            right += score[i] > score[k] ? 1.0 : score[i] < score[k] ? 0.0 : 0.5;
        }
    }
    return right / pairs;
}
