/* A mapping, a CSV file and a second one to join, with NULs between them: any bytes end in an error
 * or in records that keep every rule of record.h. */
#include "base/check.h"
#include "site-agent/data/csv_import.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* The bytes up to the next NUL, which is skipped. */
static struct csl_span next_part(struct csl_span *rest)
{
    const uint8_t *end = rest->n == 0 ? NULL : memchr(rest->p, 0, rest->n);
    size_t n = end == NULL ? rest->n : (size_t)(end - rest->p);
    struct csl_span part = {rest->p, n};
    rest->p += end == NULL ? n : n + 1;
    rest->n -= end == NULL ? n : n + 1;
    return part;
}

static FILE *open_part(struct csl_span s)
{
    static uint8_t empty[1] = {'\n'};
    union {
        const uint8_t *read;
        void *any;
    } p = {.read = s.p}; /* opened for reading alone */
    return s.n == 0 ? fmemopen(empty, 1, "r") : fmemopen(p.any, s.n, "r");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_span rest = {data, size};
    struct csl_span map = next_part(&rest), csv = next_part(&rest), joined = next_part(&rest);
    struct csl_yaml *yaml;
    struct csl_mapping *mapping;
    if (csl_yaml_parse(&yaml, "map.yaml", map, &err) != CSL_OK ||
        csl_mapping_read_csv(&mapping, yaml, &err) != CSL_OK)
        return 0;
    for (uint32_t i = 0; i < mapping->modality_count; i++)
        if (mapping->modalities[i].archives != NULL) { /* would read any file of this machine */
            csl_mapping_free(mapping);
            return 0;
        }
    struct csl_records r;
    FILE *main_stream = open_part(csv), *join_stream = open_part(joined);
    CSL_ASSERT(main_stream != NULL && join_stream != NULL);
    const struct csl_csv_file file = {main_stream, "t.csv"};
    static const char any_of[1][64] = {"1"};
    enum csl_code code =
        csl_import_csv_streams__(&r, "fuzz", &file, 1, join_stream, "j.csv", mapping,
                                 size % 5 == 0 ? "x" : NULL, any_of, 1, &err);
    if (code == CSL_OK) {
        CSL_ASSERT(csl_records_validate__(&r, "t.csv", CSL_E_BUG, &err) == CSL_OK);
        csl_records_release(&r);
    } else {
        CSL_ASSERT(err.code == code && code != CSL_E_BUG && code != CSL_E_END);
    }
    (void)fclose(main_stream);
    (void)fclose(join_stream);
    csl_mapping_free(mapping);
    return 0;
}
