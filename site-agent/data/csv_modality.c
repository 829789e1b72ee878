/* Modalities beside the table of a CSV file: room for their rows, notes, and the move into records.
 */
#include "site-agent/data/csv_import.h"
#include "site-agent/data/import_shape.h"
#include "site-agent/data/signal_kernels.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

static enum csl_code no_memory(const struct csl_csv_import *s, const struct csl_csv_modality *v)
{
    return CSL_FAIL(s->err, CSL_E_NOMEM, "no memory for %s of %s", v->o->name, s->csv.name);
}

void csl_csv_modality_release__(struct csl_csv_import *s, uint32_t index)
{
    struct csl_csv_modality *v = &s->modalities[index];
    csl_free(v->made.values);
    csl_free(v->made.available);
    csl_free(v->made.feature_names);
    csl_free(v->made.feature_units);
    csl_free(v->made.range_min);
    csl_free(v->made.range_max);
    csl_free(v->row_start);
    csl_free(v->row_end);
    csl_free(v->tokens);
    for (uint32_t i = 0; v->kept != NULL && i < v->capacity; i++)
        csl_free(v->kept[i]);
    csl_free(v->kept);
    for (uint32_t i = 0; i < v->array_count; i++)
        csl_npy_release(&v->arrays[i]);
    csl_free(v->arrays);
    csl_free(v->keys);
    memset(v, 0, sizeof(*v));
}

enum csl_code csl_csv_modality_open__(struct csl_csv_import *s, uint32_t index)
{
    struct csl_csv_modality *v = &s->modalities[index];
    v->made.sampling_rate_hz = v->o->sampling_rate_hz;
    return v->o->archives != NULL ? csl_csv_archives_open__(s, v) : CSL_OK;
}

/* Room for rows 0 to s->capacity - 1; new ones lack the modality. */
static enum csl_code make_room(struct csl_csv_import *s, struct csl_csv_modality *v)
{
    uint32_t n = s->capacity;
    if (n <= v->capacity)
        return CSL_OK;
    size_t width = v->width;
    float *values = csl_realloc_array(v->made.values, n, width * sizeof(*values));
    if (values != NULL)
        v->made.values = values;
    uint8_t *available = csl_realloc_array(v->made.available, n, 1);
    if (available != NULL)
        v->made.available = available;
    if (values == NULL || available == NULL)
        return no_memory(s, v);
    memset(available + v->capacity, 0, n - v->capacity);
    for (size_t k = v->capacity * width; k < n * width; k++)
        values[k] = NAN;
    v->capacity = n;
    return CSL_OK;
}

enum csl_code csl_csv_modality_shape__(struct csl_csv_import *s, struct csl_csv_modality *v,
                                       const struct csl_record_modality *found, uint32_t row,
                                       float **to)
{
    struct csl_record_modality *m = &v->made;
    uint32_t width = csl_modality_width__(found);
    if (width == 0 || width > CSL_FEATURES_MAX)
        return csl_import_refuse__(s, v->column,
                                   "what it names has more values than a record may have "
                                   "(65536); a shorter or smaller one would be right");
    if (v->width > 0 &&
        (found->rank != m->rank || memcmp(found->shape, m->shape, sizeof(m->shape)) != 0))
        return csl_import_refuse__(s, v->column,
                                   "what it names has another shape than the rows before; one "
                                   "size for all would be right");
    if (v->width == 0) {
        m->rank = found->rank;
        memcpy(m->shape, found->shape, sizeof(m->shape));
        enum csl_code code = csl_import_features__(v->o, m, s->err);
        if (code != CSL_OK)
            return code;
        v->width = width;
    }
    enum csl_code code = make_room(s, v);
    if (code == CSL_OK)
        *to = m->values + (size_t)row * width;
    return code;
}

/* --- notes --- */

static enum csl_code text_room(struct csl_csv_import *s, struct csl_csv_modality *v)
{
    uint32_t n = s->capacity, most = v->o->text.tokens_max;
    if (n > v->capacity) {
        uint64_t *start = csl_realloc_array(v->row_start, n, sizeof(*start));
        v->row_start = start != NULL ? start : v->row_start;
        uint64_t *end = csl_realloc_array(v->row_end, n, sizeof(*end));
        v->row_end = end != NULL ? end : v->row_end;
        char **kept = csl_realloc_array(v->kept, n, sizeof(*kept));
        v->kept = kept != NULL ? kept : v->kept;
        if (start == NULL || end == NULL || kept == NULL)
            return no_memory(s, v);
        memset(kept + v->capacity, 0, (n - v->capacity) * sizeof(*kept));
        v->capacity = n;
    }
    if (v->token_count + most > v->token_capacity) {
        uint64_t capacity = 2 * (v->token_capacity + most);
        uint32_t *tokens = csl_realloc_array(v->tokens, capacity, sizeof(*tokens));
        if (tokens == NULL)
            return no_memory(s, v);
        v->tokens = tokens;
        v->token_capacity = capacity;
    }
    return CSL_OK;
}

static enum csl_code text_row(struct csl_csv_import *s, struct csl_csv_modality *v, uint32_t row)
{
    char trimmed[256];
    const char *text = csl_import_cell__(s, v->column);
    size_t n = strlen(text);
    enum csl_code code = text_room(s, v);
    if (code != CSL_OK)
        return code;
    for (size_t i = 0, step; i < n; i += step) {
        step = csl_utf8_next(text + i, n - i);
        if (step == 0)
            return csl_import_refuse__(s, v->column, "the note is not UTF-8");
    }
    if (csl_list_find(s->m->missing, csl_import_trimmed__(s, v->column, trimmed)) >= 0)
        n = 0;
    v->row_start[row] = v->token_count;
    v->token_count += csl_text_tokens(&v->o->text, text, n, v->tokens + v->token_count);
    v->row_end[row] = v->token_count;
    if (!v->o->keep_text)
        return CSL_OK;
    v->kept[row] = csl_alloc(n + 1);
    if (v->kept[row] == NULL)
        return no_memory(s, v);
    memcpy(v->kept[row], text, n);
    return CSL_OK;
}

/* Offsets in the order of records, from lengths in the order of rows. */
static enum csl_code text_finish(struct csl_csv_import *s, struct csl_csv_modality *v,
                                 const uint32_t *order, struct csl_record_modality *to)
{
    uint32_t records = s->row_count;
    struct csl_record_text *t = to->text = csl_alloc(sizeof(*t));
    if (t == NULL)
        return no_memory(s, v);
    t->rule = v->o->text;
    t->offsets = csl_alloc_array((size_t)records + 1, sizeof(*t->offsets));
    t->tokens = csl_alloc_array(v->token_count, sizeof(*t->tokens));
    to->available = csl_alloc(records);
    if (t->offsets == NULL || t->tokens == NULL || to->available == NULL)
        return no_memory(s, v);
    for (uint32_t i = 0; i < records; i++) {
        uint64_t first = v->row_start[order[i]], n = v->row_end[order[i]] - first;
        memcpy(t->tokens + t->offsets[i], v->tokens + first, n * sizeof(*t->tokens));
        t->offsets[i + 1] = t->offsets[i] + n;
        to->available[i] = n > 0;
    }
    to->rank = 1;
    to->shape[0] = t->rule.tokens_max;
    if (!v->o->keep_text)
        return CSL_OK;
    t->kept_offsets = csl_alloc_array((size_t)records + 1, sizeof(*t->kept_offsets));
    if (t->kept_offsets == NULL)
        return no_memory(s, v);
    for (uint32_t i = 0; i < records; i++)
        t->kept_offsets[i + 1] = t->kept_offsets[i] + strlen(v->kept[order[i]]);
    t->kept = csl_alloc(t->kept_offsets[records]);
    if (t->kept == NULL)
        return no_memory(s, v);
    for (uint32_t i = 0; i < records; i++)
        memcpy(t->kept + t->kept_offsets[i], v->kept[order[i]],
               t->kept_offsets[i + 1] - t->kept_offsets[i]);
    return CSL_OK;
}

/* --- signals that become embeddings --- */

/* Values and shape of `to`, whose records are marked as available and have room for them. */
static enum csl_code kernels_finish(struct csl_csv_import *s, const struct csl_csv_modality *v,
                                    const uint32_t *order, struct csl_record_modality *to)
{
    uint32_t samples = v->made.shape[0], leads = v->made.shape[1], count = v->o->kernels;
    if (samples < CSL_KERNEL_TAPS_MAX)
        return csl_yaml_fail(s->err, s->m->yaml, v->o->node,
                             "signals of %u samples; kernels need %d or more", samples,
                             CSL_KERNEL_TAPS_MAX);
    struct csl_signal_kernel *kernels = csl_alloc_array(count, sizeof(*kernels));
    float *signal = csl_alloc_array(v->width, sizeof(*signal));
    float *work = csl_alloc_array(samples, sizeof(*work));
    bool has_room = kernels != NULL && signal != NULL && work != NULL;
    for (uint32_t k = 0; has_room && k < count; k++)
        csl_signal_kernel_draw(&kernels[k], k, samples, leads);
    for (uint32_t i = 0; has_room && i < s->row_count; i++) {
        if (to->available[i] == 0)
            continue;
        csl_signal_standardise(v->made.values + (size_t)order[i] * v->width, samples, leads,
                               signal);
        for (uint32_t k = 0; k < count; k++)
            to->values[(size_t)i * count + k] =
                csl_signal_kernel_apply(&kernels[k], signal, samples, work);
    }
    csl_free(kernels);
    csl_free(signal);
    csl_free(work);
    if (!has_room)
        return no_memory(s, v);
    to->rank = 1;
    to->shape[0] = count;
    CSL_ASSERT(csl_str_copy(to->kind, sizeof(to->kind), csl_kinds__[CSL_EMBEDDING].name));
    return CSL_OK;
}

/* --- rows --- */

enum csl_code csl_csv_modality_row__(struct csl_csv_import *s, uint32_t index, uint32_t row)
{
    struct csl_csv_modality *v = &s->modalities[index];
    bool has = false;
    if (v->o->kind == CSL_TEXT)
        return text_row(s, v, row);
    enum csl_code code = csl_csv_source_row__(s, v, row, &has);
    if (code == CSL_OK && has)
        v->made.available[row] = 1;
    return code;
}

enum csl_code csl_csv_modality_finish__(struct csl_csv_import *s, uint32_t index,
                                        const uint32_t *order, struct csl_record_modality *to)
{
    struct csl_csv_modality *v = &s->modalities[index];
    uint32_t records = s->row_count;
    size_t width = v->o->kernels > 0 ? v->o->kernels : v->width;
    CSL_ASSERT(csl_str_copy(to->name, sizeof(to->name), v->o->name));
    CSL_ASSERT(csl_str_copy(to->kind, sizeof(to->kind), csl_kinds__[v->o->kind].name));
    if (v->o->kind == CSL_TEXT)
        return text_finish(s, v, order, to);
    if (v->width == 0)
        return csl_yaml_fail(s->err, s->m->yaml, v->o->node, "no row of %s has this modality",
                             s->files[0].name);
    to->values = csl_alloc_array(records, width * sizeof(*to->values));
    to->available = csl_alloc(records);
    if (to->values == NULL || to->available == NULL)
        return no_memory(s, v);
    for (uint32_t i = 0; i < records; i++) {
        float *row = to->values + i * width;
        to->available[i] = order[i] < v->capacity && v->made.available[order[i]] != 0;
        if (to->available[i] != 0 && v->o->kernels == 0)
            memcpy(row, v->made.values + order[i] * width, width * sizeof(*row));
        for (size_t k = 0; to->available[i] == 0 && k < width; k++)
            row[k] = NAN;
    }
    if (v->o->kernels > 0)
        return kernels_finish(s, v, order, to);
    to->rank = v->made.rank;
    memcpy(to->shape, v->made.shape, sizeof(to->shape));
    to->sampling_rate_hz = v->made.sampling_rate_hz;
    to->feature_names = v->made.feature_names;
    to->feature_units = v->made.feature_units;
    to->range_min = v->made.range_min;
    to->range_max = v->made.range_max;
    v->made.feature_names = NULL;
    v->made.feature_units = NULL;
    v->made.range_min = v->made.range_max = NULL;
    return CSL_OK;
}
