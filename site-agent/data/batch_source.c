#include "site-agent/data/batch_internal.h"

#include "base/check.h"
#include "base/checked.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#include "base/banned.h"

struct opening {
    struct csl_batch_source *s;
    enum csl_code code;
    struct csl_err err;
};

static void open_job(void *arg)
{
    struct opening *o = arg;
    o->code = csl_batch_open__(o->s, &o->err);
}

static void close_job(void *arg)
{
    csl_batch_close__(arg);
}

static enum csl_code buffers_new(struct csl_batch_source *s, struct csl_err *err)
{
    size_t values;
    uint32_t ring = s->streams ? s->config.ring : 1;
    bool fits = csl_mul_size(s->config.rows_max, s->domain->width, &values) &&
                csl_mul_size(values, ring, &values);
    s->buffers = fits ? csl_alloc_array(values, sizeof(*s->buffers)) : NULL;
    return s->buffers != NULL
               ? CSL_OK
               : CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u batches of %u rows of %u inputs",
                          ring, s->config.rows_max, s->domain->width);
}

enum csl_code csl_batch_source_open(struct csl_batch_source **out, struct csl_reader *reader,
                                    const char *record_path, const struct csl_domain *domain,
                                    enum csl_split split,
                                    const struct csl_batch_source_config *config,
                                    struct csl_err *err)
{
    struct opening o = {.s = csl_alloc(sizeof(*o.s)), .err = {.code = CSL_OK}};
    struct csl_batch_source *s = o.s;
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", record_path);
    s->reader = reader;
    s->domain = domain;
    s->config = *config;
    s->split = split;
    s->set = s->h5.file = -1;
    csl_reader_add__(reader, s);
    if (config->rows_max == 0 || config->ring < 2 || config->ring > CSL_SOURCE_RING_MAX) {
        o.code = CSL_FAIL(&o.err, CSL_E_INVAL,
                          "batches of %u rows in a ring of %u; 1 or more, and 2 to %d, would be "
                          "right",
                          config->rows_max, config->ring, CSL_SOURCE_RING_MAX);
    } else if (!csl_str_copy(s->path, sizeof(s->path), record_path)) {
        o.code = CSL_FAIL(&o.err, CSL_E_LIMIT, "a path is longer than %d bytes", CSL_PATH_MAX - 1);
    } else {
        csl_reader_run__(reader, open_job, &o);
    }
    if (o.code == CSL_OK)
        o.code = buffers_new(s, &o.err);
    if (o.code == CSL_OK) {
        *out = s;
        return CSL_OK;
    }
    if (err != NULL)
        *err = o.err;
    csl_batch_source_free(s);
    return o.code;
}

void csl_batch_source_free(struct csl_batch_source *s)
{
    if (s == NULL)
        return;
    csl_reader_remove__(s->reader, s);
    csl_reader_run__(s->reader, close_job, s);
    csl_examples_release__(&s->examples);
    csl_constants_release__(&s->constants);
    csl_free(s->record);
    csl_source_release__(&s->source);
    csl_free(s->layout.values);
    csl_free(s->order);
    csl_free(s->rows);
    csl_free(s->end);
    csl_free(s->buffers);
    csl_free(s);
}

const struct csl_examples *csl_batch_source_examples(const struct csl_batch_source *s)
{
    return &s->examples;
}

bool csl_batch_source_streams(const struct csl_batch_source *s)
{
    return s->streams;
}

uint64_t csl_batch_first__(const struct csl_batch_source *s, uint64_t batch)
{
    return batch == 0 ? 0 : s->end[batch - 1];
}

uint32_t csl_batch_rows__(const struct csl_batch_source *s, uint64_t batch)
{
    return (uint32_t)(s->end[batch] - csl_batch_first__(s, batch));
}

float *csl_batch_buffer__(const struct csl_batch_source *s, uint64_t batch)
{
    uint64_t slot = s->streams ? batch % s->config.ring : 0;
    return s->buffers + slot * s->config.rows_max * s->domain->width;
}

static enum csl_code check_plan(const struct csl_batch_source *s, const uint32_t *rows,
                                const uint64_t *end, uint64_t batches, struct csl_err *err)
{
    for (uint64_t k = 0, first = 0; k < batches; first = end[k], k++)
        if (end[k] < first || end[k] - first > s->config.rows_max)
            return CSL_FAIL(err, CSL_E_INVAL, "batch %llu does not have 0 to %u rows",
                            (unsigned long long)k, s->config.rows_max);
    for (uint64_t i = 0; batches > 0 && i < end[batches - 1]; i++)
        if (rows[i] >= s->examples.records)
            return CSL_FAIL(err, CSL_E_INVAL, "row %u of %u records", rows[i], s->examples.records);
    return CSL_OK;
}

enum csl_code csl_batch_source_start(struct csl_batch_source *s, const uint32_t *rows,
                                     const uint64_t *end, uint64_t batches, struct csl_err *err)
{
    enum csl_code code = check_plan(s, rows, end, batches, err);
    if (code != CSL_OK)
        return code;
    uint64_t count = batches == 0 ? 0 : end[batches - 1];
    uint32_t *my_rows = csl_alloc_array(count, sizeof(*my_rows));
    uint64_t *my_end = csl_alloc_array(batches, sizeof(*my_end));
    if (my_rows == NULL || my_end == NULL) {
        csl_free(my_rows);
        csl_free(my_end);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a plan of %llu rows",
                        (unsigned long long)count);
    }
    if (count > 0)
        memcpy(my_rows, rows, count * sizeof(*rows));
    if (batches > 0)
        memcpy(my_end, end, batches * sizeof(*end));
    csl_reader_stop__(s->reader, s);
    csl_free(s->rows);
    csl_free(s->end);
    s->rows = my_rows;
    s->end = my_end;
    s->batches = batches;
    csl_reader_start__(s->reader, s);
    return CSL_OK;
}

enum csl_code csl_batch_source_next(struct csl_batch_source *s, struct csl_rows *out,
                                    struct csl_err *err)
{
    uint64_t batch;
    enum csl_code code = csl_reader_next__(s->reader, s, &batch, err);
    if (code != CSL_OK)
        return code;
    const uint32_t *row = s->rows + csl_batch_first__(s, batch);
    uint32_t count = csl_batch_rows__(s, batch), width = s->domain->width;
    float *x = csl_batch_buffer__(s, batch);
    for (uint32_t i = 0; !s->streams && i < count; i++)
        memcpy(x + (size_t)i * width, s->examples.x + (size_t)row[i] * width, width * sizeof(*x));
    *out = (struct csl_rows){x, row, count};
    return CSL_OK;
}

void csl_batch_source_cancel(struct csl_batch_source *s)
{
    csl_reader_cancel__(s->reader, s);
}
