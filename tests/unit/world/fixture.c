#include "tests/unit/world/fixture.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"
#include "site-agent/data/dataset.h"
#include "site-agent/data/record.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENTS 24

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code == CSL_OK)
        return;
    fprintf(stderr, "fixture: %s\n", err->msg);
    abort();
}

void fixture_records(const char *path, const char *id, uint32_t index)
{
    struct csl_records r = {.patient_count = PATIENTS, .record_count = PATIENTS};
    struct csl_err err = {.code = CSL_OK};
    csl_str_copy(r.site, sizeof(r.site), id);
    csl_str_copy(r.licence, sizeof(r.licence), "synthetic");
    csl_str_copy(r.split_rule, sizeof(r.split_rule), "every fourth patient tests");
    r.patient_id = csl_alloc_array(PATIENTS, sizeof(*r.patient_id));
    r.split = csl_alloc_array(PATIENTS, sizeof(*r.split));
    r.patient = csl_alloc_array(PATIENTS, sizeof(*r.patient));
    r.time = csl_alloc_array(PATIENTS, sizeof(*r.time));
    struct csl_record_modality *m = &r.modalities[r.modality_count++];
    csl_str_copy(m->name, sizeof(m->name), "tabular");
    csl_str_copy(m->kind, sizeof(m->kind), "tabular");
    m->rank = 1;
    m->shape[0] = 2;
    m->values = csl_alloc_array((size_t)PATIENTS * 2, sizeof(float));
    m->available = csl_alloc_array(PATIENTS, 1);
    m->feature_names = csl_alloc_array(2, sizeof(*m->feature_names));
    m->feature_units = csl_alloc_array(2, sizeof(*m->feature_units));
    m->range_min = csl_alloc_array(2, sizeof(double));
    m->range_max = csl_alloc_array(2, sizeof(double));
    csl_str_copy(m->feature_names[0], sizeof(m->feature_names[0]), "first");
    csl_str_copy(m->feature_names[1], sizeof(m->feature_names[1]), "second");
    struct csl_record_label *l = &r.labels[r.label_count++];
    csl_str_copy(l->name, sizeof(l->name), "ill");
    l->classes = 2;
    l->value = csl_alloc_array(PATIENTS, sizeof(*l->value));
    struct csl_rng rng;
    csl_rng_init_label(&rng, 1, "fixture", index, 0, 0);
    for (uint32_t i = 0; i < PATIENTS; i++) {
        snprintf(r.patient_id[i], sizeof(r.patient_id[i]), "p%u", i);
        r.split[i] = i % 4 == 3 ? 2 : 0;
        r.patient[i] = i;
        m->available[i] = 1;
        l->value[i] = (int16_t)(i % 2);
        for (uint32_t j = 0; j < 2; j++)
            m->values[2 * i + j] = (float)(csl_rng_normal(&rng) + (i % 2 == 1 ? 1.0 : -1.0));
    }
    must(csl_records_write(&r, path, &err), &err);
    csl_records_release(&r);
}

void fixture_validate(const char *path)
{
    struct csl_records r;
    struct csl_err err = {.code = CSL_OK};
    must(csl_records_read(&r, path, &err), &err);
    for (uint32_t i = 0; i < r.patient_count; i++)
        if (i % 8 == 0 || i % 8 == 5)
            r.split[i] = CSL_SPLIT_VALIDATION;
    must(csl_records_write(&r, path, &err), &err);
    csl_records_release(&r);
}

void fixture_path(const struct fixture *f, const char *name, char out[CSL_PATH_MAX])
{
    struct csl_err err = {.code = CSL_OK};
    must(csl_path_join(out, CSL_PATH_MAX, f->dir, name, &err), &err);
}

void fixture_open(struct fixture *f, const char *strategy, uint32_t rounds)
{
    struct csl_err err = {.code = CSL_OK};
    static const char *const ids[FIXTURE_SITES] = {"aarhus", "brno", "cork"};
    /* A killed process loses nothing that is in memory files, and a sync there costs nothing. */
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    must(csl_crypto_init(&err), &err);
    snprintf(f->dir, sizeof(f->dir), "%.40s/csl-world-XXXXXX", base);
    if (mkdtemp(f->dir) == NULL)
        abort();
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        char name[80];
        snprintf(name, sizeof(name), "%s.h5", ids[i]);
        csl_str_copy(f->ids[i], sizeof(f->ids[i]), ids[i]);
        fixture_path(f, name, f->records[i]);
        fixture_records(f->records[i], f->ids[i], i);
    }
    char yaml[1024];
    bool is_buffered = strncmp(strategy, "fedbuff", 7) == 0;
    bool is_alone = is_buffered || strncmp(strategy, "cyclic", 6) == 0;
    int every = is_buffered ? 0 : strstr(strategy, "vote") != NULL ? 1 : 2;
    snprintf(
        yaml, sizeof(yaml),
        "study: fixture\nquestion: Is this patient ill?\n"
        "domains:\n  - id: illness\n    modality: tabular\n"
        "    task: {kind: binary, label: ill, positive: 1}\n"
        "    features: [first, second]\n    scaling: constants\n    model: {kind: linear}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 3}}\n"
        "rounds: %u\naggregation: {strategy: %s}\n"
        "sites: {minimum: %d, round_deadline: 1h}\nevaluation: {every: %d}\n",
        rounds, strategy, is_alone ? 1 : FIXTURE_SITES, every);
    must(csl_study_parse(&f->study, "fixture.yaml", CSL_SPAN(yaml, strlen(yaml)), &err), &err);
}

/* Depth is two or three folders: a list of paths instead of recursion. */
void fixture_remove(const char *path)
{
    static char folders[1024][CSL_PATH_MAX];
    uint32_t count = 0, done = 0;
    csl_str_copy(folders[count++], CSL_PATH_MAX, path);
    while (done < count) {
        DIR *d = opendir(folders[done]);
        for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d)) {
            char child[CSL_PATH_MAX];
            struct stat st;
            bool is_dot = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
            if (is_dot ||
                csl_path_join(child, sizeof(child), folders[done], e->d_name, NULL) != CSL_OK)
                continue;
            if (lstat(child, &st) == 0 && S_ISDIR(st.st_mode)) {
                CSL_ASSERT(count < sizeof(folders) / sizeof(folders[0]));
                csl_str_copy(folders[count++], CSL_PATH_MAX, child);
            } else {
                unlink(child);
            }
        }
        if (d != NULL)
            closedir(d);
        done++;
    }
    while (count > 0)
        rmdir(folders[--count]);
}

void fixture_close(struct fixture *f)
{
    csl_study_free(f->study);
    fixture_remove(f->dir);
}
