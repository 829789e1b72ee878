#include "tests/unit/simulations/fixture.h"

#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "site-agent/data/record.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

const char *fixture_dir;
static char folder[CSL_PATH_MAX];
static struct csl_err err;

int fixture_start(void **state)
{
    const char *parent = getenv("TMPDIR");
    (void)state;
    (void)snprintf(folder, sizeof(folder), "%s/csl-sim-XXXXXX",
                   parent != NULL && parent[0] != 0 ? parent : "/tmp");
    fixture_dir = mkdtemp(folder);
    return fixture_dir == NULL;
}

/* Empties and removes `top`, folder by folder, deepest first. */
static void remove_folder(const char *top)
{
    char path[CSL_PATH_MAX];
    bool is_empty = false;
    while (!is_empty) {
        char at[CSL_PATH_MAX];
        CSL_ASSERT(csl_str_copy(at, sizeof(at), top));
        is_empty = true;
        for (bool descends = true; descends;) {
            DIR *d = opendir(at);
            const struct dirent *e;
            descends = false;
            while (d != NULL && (e = readdir(d)) != NULL) {
                struct stat s;
                if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
                    continue;
                CSL_ASSERT(csl_path_join(path, sizeof(path), at, e->d_name, &err) == CSL_OK);
                if (stat(path, &s) == 0 && S_ISDIR(s.st_mode)) {
                    descends = true;
                    break;
                }
                (void)unlink(path);
            }
            if (d != NULL)
                (void)closedir(d);
            if (descends)
                CSL_ASSERT(csl_str_copy(at, sizeof(at), path));
        }
        is_empty = strcmp(at, top) == 0;
        if (rmdir(at) != 0)
            return;
    }
}

int fixture_stop(void **state)
{
    (void)state;
    if (fixture_dir != NULL)
        remove_folder(fixture_dir);
    return 0;
}

struct csl_study *fixture_study(const char *yaml)
{
    struct csl_study *s = NULL;
    if (csl_study_parse(&s, "test.yaml", CSL_SPAN(yaml, strlen(yaml)), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}

#define COPY(to, from) CSL_ASSERT(csl_str_copy((to), sizeof(to), (from)))

static void alloc_records(struct csl_records *r, uint32_t n)
{
    struct csl_record_modality *m = &r->modalities[0];
    r->patient_count = r->record_count = n;
    r->patient_id = csl_alloc_array(n, sizeof(*r->patient_id));
    r->split = csl_alloc_array(n, sizeof(*r->split));
    r->patient = csl_alloc_array(n, sizeof(*r->patient));
    r->time = csl_alloc_array(n, sizeof(*r->time));
    r->modality_count = r->label_count = r->attribute_count = 1;
    COPY(m->name, "tabular");
    COPY(m->kind, "tabular");
    m->rank = 1;
    m->shape[0] = 1;
    m->values = csl_alloc_array(n, sizeof(*m->values));
    m->available = csl_alloc_array(n, sizeof(*m->available));
    m->feature_names = csl_alloc_array(1, sizeof(*m->feature_names));
    m->feature_units = csl_alloc_array(1, sizeof(*m->feature_units));
    m->range_min = csl_alloc_array(1, sizeof(*m->range_min));
    m->range_max = csl_alloc_array(1, sizeof(*m->range_max));
    COPY(m->feature_names[0], "x");
    COPY(r->labels[0].name, "ill");
    r->labels[0].classes = 2;
    r->labels[0].value = csl_alloc_array(n, sizeof(*r->labels[0].value));
    COPY(r->attributes[0].name, "sex");
    r->attributes[0].value = csl_alloc_array(n, sizeof(*r->attributes[0].value));
}

void fixture_records(struct csl_world_site *out, const char *site, const char *patients)
{
    struct csl_records *r = csl_alloc(sizeof(*r));
    uint32_t n = (uint32_t)(strlen(patients) + 1) / 4;
    assert_non_null(r);
    alloc_records(r, n);
    COPY(r->site, site);
    COPY(r->licence, "test-only");
    COPY(r->split_rule, "as written");
    for (uint32_t i = 0; i < n; i++) {
        const char *p = patients + (size_t)4 * i;
        (void)snprintf(r->patient_id[i], sizeof(r->patient_id[i]), "p%u", i);
        r->split[i] = p[0] == 'T' ? 0 : p[0] == 'V' ? 1 : 2;
        r->patient[i] = i;
        r->labels[0].value[i] = p[1] == '?' ? -1 : (int16_t)(p[1] - '0');
        r->modalities[0].values[i] = (p[1] == '1' ? 1.0f : 0.0f) + 0.1f * (float)i;
        r->modalities[0].available[i] = 1;
        COPY(r->attributes[0].value[i], p[2] == 'f' ? "female" : p[2] == 'm' ? "male" : "");
    }
    COPY(out->id, site);
    (void)snprintf(out->record_path, sizeof(out->record_path), "%s/%s.h5", fixture_dir, site);
    if (csl_records_write(r, out->record_path, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    csl_records_release(r);
    csl_free(r);
}
