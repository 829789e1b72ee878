#include "tests/unit/world/mixed_records.h"

#include "base/mem.h"
#include "site-agent/data/record.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code == CSL_OK)
        return;
    fprintf(stderr, "mixed records: %s\n", err->msg);
    abort();
}

static bool is_kept(const char *const keeps[2], const char *name)
{
    for (uint32_t i = 0; i < 2 && keeps[i] != NULL; i++)
        if (strcmp(keeps[i], name) == 0)
            return true;
    return false;
}

static void take_away(struct csl_record_modality *m, uint32_t records)
{
    size_t values = records;
    for (uint32_t i = 0; i < m->rank; i++)
        values *= m->shape[i];
    for (size_t i = 0; i < values; i++)
        m->values[i] = NAN;
    memset(m->available, 0, records);
}

/* The hospital of index 0 has every modality. */
void mixed_records(const char *path, uint64_t seed, const char *const keeps[2])
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_records *r = csl_alloc(sizeof(*r));
    const struct csl_synth_config c = {.seed = seed, .patients = 60};
    if (r == NULL)
        abort();
    must(csl_synth_hospital(r, 0, &c, &err), &err);
    for (uint32_t k = 0; k < r->modality_count; k++)
        if (!is_kept(keeps, r->modalities[k].name))
            take_away(&r->modalities[k], r->record_count);
    for (uint32_t k = 0; k < r->label_count; k++)
        for (uint32_t i = 0; i < r->record_count && r->labels[k].value != NULL; i++)
            if (!is_kept(keeps, r->labels[k].name))
                r->labels[k].value[i] = -1;
    must(csl_records_write(r, path, &err), &err);
    csl_records_release(r);
    csl_free(r);
}
