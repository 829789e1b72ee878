/* What the reader's thread does for a batch source inside HDF5. */
#include "site-agent/data/batch_internal.h"

#include "base/check.h"
#include "base/checked.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

#define SCRATCH_BYTES ((size_t)1024 * 1024) /* of rows as the file has them, read at once */

/* --- has the file changed? --- */

static enum csl_code look_at(const char *path, struct csl_file_mark *out, struct csl_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return CSL_FAIL_SYS(err, errno == ENOENT ? CSL_E_NOTFOUND : CSL_E_IO, "cannot look at %s",
                            path);
    *out = (struct csl_file_mark){(uint64_t)st.st_dev, (uint64_t)st.st_ino, (uint64_t)st.st_size,
                                  (int64_t)st.st_mtim.tv_sec, (int64_t)st.st_mtim.tv_nsec};
    return CSL_OK;
}

static enum csl_code check_unchanged(const struct csl_batch_source *s, struct csl_err *err)
{
    struct csl_file_mark now = {.device = 0};
    struct csl_err why;
    if (look_at(s->path, &now, &why) != CSL_OK)
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "%s: was taken away while it was read; the same file until the end would "
                        "be right",
                        s->path);
    const struct csl_file_mark *then = &s->mark;
    const char *what = now.device != then->device || now.inode != then->inode ? "was replaced"
                       : now.bytes != then->bytes                             ? "changed its size"
                       : now.seconds != then->seconds || now.nanoseconds != then->nanoseconds
                           ? "was written to"
                           : NULL;
    if (what == NULL)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_CORRUPT,
                    "%s: %s while it was read; the same file until the end would be right", s->path,
                    what);
}

/* --- rows --- */

static int compare_rows(const void *a, const void *b)
{
    const struct csl_row_at *x = a, *y = b;
    if (x->record != y->record)
        return x->record < y->record ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* Reads `count` records in a row into the scratch and refuses what record.h does. */
static enum csl_code read_run(struct csl_batch_source *s, uint32_t first, uint32_t count)
{
    size_t values = (size_t)count * csl_modality_width__(&s->layout);
    enum csl_code code = csl_h5_read_rows(&s->h5, s->set, s->shown, s->rank, s->dims, first, count,
                                          s->layout.values);
    for (size_t k = 0; k < values && code == CSL_OK; k++)
        if (isinf(s->layout.values[k]))
            code = csl_h5_fail(&s->h5, s->shown, "records %u to %u hold an infinity", first,
                               first + count - 1);
    return code;
}

/* Rows of the sorted order from i on that the scratch takes at once: the next record, or the same.
 */
static uint32_t run_length(const struct csl_batch_source *s, uint32_t i, uint32_t count)
{
    uint32_t n = 1;
    while (i + n < count && s->order[i + n].record - s->order[i + n - 1].record <= 1 &&
           s->order[i + n].record - s->order[i].record < s->scratch_rows)
        n++;
    return n;
}

/* The unscaled inputs of s->order[0..count-1], each to its place. */
static enum csl_code read_order(struct csl_batch_source *s, uint32_t count, float *to)
{
    enum csl_code code = CSL_OK;
    qsort(s->order, count, sizeof(*s->order), compare_rows);
    for (uint32_t i = 0, n = 0; i < count && code == CSL_OK; i += n) {
        uint32_t first = s->order[i].record;
        n = run_length(s, i, count);
        code = read_run(s, first, s->order[i + n - 1].record - first + 1);
        for (uint32_t k = i; k < i + n && code == CSL_OK; k++)
            csl_inputs_copy__(s->domain, &s->source, s->order[k].record - first,
                              to + (size_t)s->order[k].place * s->domain->width);
    }
    return code;
}

enum csl_code csl_batch_fill__(struct csl_batch_source *s, uint64_t batch, struct csl_err *err)
{
    const uint32_t *row = s->rows + csl_batch_first__(s, batch);
    uint32_t count = csl_batch_rows__(s, batch);
    float *to = csl_batch_buffer__(s, batch);
    struct csl_err why = {.code = CSL_OK};
    for (uint32_t i = 0; i < count; i++)
        s->order[i] = (struct csl_row_at){s->record[row[i]], i};
    s->h5.err = &why;
    enum csl_code code = check_unchanged(s, err);
    if (code != CSL_OK)
        return code;
    enum csl_code read = count > 0 ? read_order(s, count, to) : CSL_OK;
    code = check_unchanged(s, err); /* a change explains a failure, and spoils a success */
    if (code != CSL_OK)
        return code;
    for (uint32_t i = 0; i < count && read == CSL_OK; i++)
        read = csl_row_scale__(to + (size_t)i * s->domain->width, s->domain, &s->constants,
                               s->config.saturates, &why);
    if (read != CSL_OK && err != NULL)
        *err = why;
    return read;
}

/* --- opening --- */

static bool wants_none(const void *ctx, const struct csl_record_modality *m)
{
    const struct csl_domain *d = ctx; /* text is small enough, and its rows are of no one length */
    return d->modality == CSL_TEXT && strcmp(m->kind, "text") == 0;
}

static bool wants_kind(const void *ctx, const struct csl_record_modality *m)
{
    const struct csl_domain *d = ctx;
    return strcmp(csl_modality_name(d->modality), m->kind) == 0;
}

static bool wants_label(const void *ctx, const struct csl_record_label *l)
{
    const struct csl_domain *d = ctx;
    return csl_domain_asks_for(d, l->name);
}

/* What a record file says beside the inputs, or with them. */
struct index {
    struct csl_records r;
    struct csl_domain_source source;
};

static enum csl_code read_index(struct csl_batch_source *s, bool with_values, struct index *x,
                                struct csl_err *err)
{
    const struct csl_record_wanted wanted = {with_values ? wants_kind : wants_none, wants_label,
                                             s->domain};
    enum csl_code code = csl_records_read__wanted(&x->r, s->path, &wanted, err);
    if (code == CSL_OK)
        code = csl_domain_find__(s->domain, &x->r, s->path, &x->source, err);
    if (code == CSL_OK)
        code = csl_domain_units__(s->domain, &x->source, s->path, err);
    return code;
}

static void index_release(struct index *x)
{
    csl_source_release__(&x->source);
    csl_records_release(&x->r);
    memset(x, 0, sizeof(*x));
}

/* Everything in memory, as csl_dataset_load does it. */
static enum csl_code load_memory(struct csl_batch_source *s, const struct index *x,
                                 struct csl_err *err)
{
    struct csl_examples train = {.records = 0};
    bool needs_train = s->domain->scaling == CSL_SCALING_SITE && s->split != CSL_SPLIT_TRAIN;
    enum csl_code code =
        csl_examples_extract__(&x->r, s->domain, &x->source, s->split, &s->examples, NULL, err);
    if (code == CSL_OK && needs_train)
        code = csl_examples_extract__(&x->r, s->domain, &x->source, CSL_SPLIT_TRAIN, &train, NULL,
                                      err);
    if (code == CSL_OK)
        code = csl_constants_make__(s->domain, needs_train ? &train : &s->examples, &s->constants,
                                    err);
    if (code == CSL_OK)
        code =
            csl_examples_scale__(&s->examples, s->domain, &s->constants, s->config.saturates, err);
    csl_examples_release__(&train);
    return code;
}

static enum csl_code open_set(struct csl_batch_source *s, uint32_t records, struct csl_err *err)
{
    size_t bytes, row = (size_t)csl_modality_width__(&s->layout) * sizeof(float);
    hid_t group;
    enum csl_code code = csl_h5_open(&s->h5, s->path, err);
    if (code == CSL_OK)
        code = csl_h5_open_group(&s->h5, s->h5.file, "modalities", "/modalities", &group);
    if (code != CSL_OK)
        return code;
    code = csl_h5_open_set(&s->h5, group, s->layout.name, s->shown, &s->set);
    H5Gclose(group);
    if (code == CSL_OK)
        code = csl_h5_extents(&s->h5, s->set, s->shown, 2, CSL_H5_RANK_MAX, &s->rank, s->dims);
    bool is_same =
        code == CSL_OK && (uint32_t)s->rank == s->layout.rank + 1 && s->dims[0] == records;
    for (uint32_t i = 0; is_same && i < s->layout.rank; i++)
        is_same = s->dims[i + 1] == s->layout.shape[i];
    if (code == CSL_OK && !is_same)
        code = csl_h5_fail(&s->h5, s->shown, "changed its shape while it was opened");
    if (code == CSL_OK)
        code = csl_h5_check_set(&s->h5, s->set, s->shown, CSL_H5_F32,
                                (uint64_t)records * (row / sizeof(float)), &bytes);
    if (code != CSL_OK)
        return code;
    s->scratch_rows = row >= SCRATCH_BYTES ? 1 : (uint32_t)(SCRATCH_BYTES / row);
    s->layout.values = csl_alloc(s->scratch_rows * row);
    s->order = csl_alloc_array(s->config.rows_max, sizeof(*s->order));
    return s->layout.values != NULL && s->order != NULL
               ? CSL_OK
               : CSL_FAIL(err, CSL_E_NOMEM, "no memory to stream %s", s->path);
}

/* One pass over the unscaled inputs of the listed records. */
static enum csl_code visit(struct csl_batch_source *s, const uint32_t *record, uint32_t count,
                           void (*f)(struct csl_site_sums *sums, const float *row),
                           struct csl_site_sums *sums, float *row)
{
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0, n = 0; i < count && code == CSL_OK; i += n) {
        for (n = 1; i + n < count && record[i + n] - record[i] < s->scratch_rows;)
            n++;
        code = read_run(s, record[i], record[i + n - 1] - record[i] + 1);
        for (uint32_t k = i; k < i + n && code == CSL_OK; k++) {
            csl_inputs_copy__(s->domain, &s->source, record[k] - record[i], row);
            f(sums, row);
        }
    }
    return code;
}

static enum csl_code find_constants(struct csl_batch_source *s, const struct index *x,
                                    struct csl_err *err)
{
    struct csl_examples train = {.records = 0};
    struct csl_site_sums sums = {.mean = NULL};
    uint32_t count = csl_examples_count__(&x->r, &x->source, CSL_SPLIT_TRAIN);
    bool is_site = s->domain->scaling == CSL_SCALING_SITE;
    uint32_t *record = csl_alloc_array(count, sizeof(*record));
    float *row = csl_alloc_array(s->domain->width, sizeof(*row));
    enum csl_code code = record == NULL || row == NULL
                             ? CSL_FAIL(err, CSL_E_NOMEM, "no memory to stream %s", s->path)
                             : csl_site_sums_init__(&sums, s->domain, err);
    if (code == CSL_OK && is_site)
        code = csl_examples_extract__(&x->r, s->domain, &x->source, CSL_SPLIT_TRAIN, &train, record,
                                      err);
    if (code == CSL_OK && is_site)
        code = visit(s, record, count, csl_site_sums_add__, &sums, row);
    if (code == CSL_OK)
        csl_site_sums_mean__(&sums);
    if (code == CSL_OK && is_site)
        code = visit(s, record, count, csl_site_sums_square__, &sums, row);
    if (code == CSL_OK)
        code = csl_constants_from__(s->domain, &sums, &s->constants, err);
    csl_site_sums_release__(&sums);
    csl_examples_release__(&train);
    csl_free(record);
    csl_free(row);
    return code;
}

static enum csl_code open_stream(struct csl_batch_source *s, struct index *x, struct csl_err *err)
{
    const struct csl_record_modality *m = x->source.modality;
    s->streams = true;
    memcpy(s->layout.name, m->name, sizeof(m->name));
    memcpy(s->layout.kind, m->kind, sizeof(m->kind));
    s->layout.rank = m->rank;
    memcpy(s->layout.shape, m->shape, sizeof(m->shape));
    (void)snprintf(s->shown, sizeof(s->shown), "/modalities/%s", m->name);
    s->source = (struct csl_domain_source){.modality = &s->layout, .columns = x->source.columns};
    x->source.columns = NULL;
    s->record =
        csl_alloc_array(csl_examples_count__(&x->r, &x->source, s->split), sizeof(*s->record));
    if (s->record == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to stream %s", s->path);
    enum csl_code code = csl_examples_extract__(&x->r, s->domain, &x->source, s->split,
                                                &s->examples, s->record, err);
    if (code == CSL_OK)
        code = open_set(s, x->r.record_count, err);
    if (code == CSL_OK)
        code = find_constants(s, x, err);
    return code;
}

/* Bytes of the inputs of the split, and of the training part when its statistics are needed. */
static uint64_t memory_bytes(const struct csl_batch_source *s, const struct index *x)
{
    uint64_t records = csl_examples_count__(&x->r, &x->source, s->split);
    if (s->domain->scaling == CSL_SCALING_SITE && s->split != CSL_SPLIT_TRAIN)
        records += csl_examples_count__(&x->r, &x->source, CSL_SPLIT_TRAIN);
    return records * s->domain->width * sizeof(float);
}

enum csl_code csl_batch_open__(struct csl_batch_source *s, struct csl_err *err)
{
    struct index *x = csl_alloc(sizeof(*x));
    if (x == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", s->path);
    enum csl_code code = look_at(s->path, &s->mark, err);
    if (code == CSL_OK)
        code = read_index(s, false, x, err);
    if (code == CSL_OK) {
        bool is_small = x->source.modality == NULL || s->domain->modality == CSL_TEXT ||
                        memory_bytes(s, x) <= s->config.memory_bytes_max;
        if (is_small) {
            index_release(x);
            code = read_index(s, true, x, err);
        }
        if (code == CSL_OK)
            code = is_small ? load_memory(s, x, err) : open_stream(s, x, err);
        if (code == CSL_OK)
            code = check_unchanged(s, err);
    }
    index_release(x);
    csl_free(x);
    return code;
}

void csl_batch_close__(struct csl_batch_source *s)
{
    if (s->set >= 0)
        H5Dclose(s->set);
    csl_h5_close(&s->h5);
    s->set = -1;
}
