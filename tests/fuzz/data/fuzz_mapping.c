/* Mapping files, for CSV and for npz: any bytes end in an error, or in a mapping whose counts stay
 * within their arrays. */
#include "base/check.h"
#include "site-agent/data/mapping.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_mapping(const struct csl_mapping *m)
{
    CSL_ASSERT(m->modality_count <= CSL_MODALITIES_MAX);
    CSL_ASSERT(m->label_count <= CSL_LABELS_MAX);
    CSL_ASSERT(m->attribute_count <= CSL_ATTRIBUTES_MAX);
    CSL_ASSERT(m->feature_count == 0 || m->features != NULL);
    CSL_ASSERT(memchr(m->modality, '\0', sizeof(m->modality)) != NULL);
    CSL_ASSERT(memchr(m->join.file, '\0', sizeof(m->join.file)) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int is_npz = 0; is_npz < 2; is_npz++) {
        struct csl_err err = {.code = CSL_OK};
        struct csl_yaml *yaml;
        struct csl_mapping *m = NULL;
        if (csl_yaml_parse(&yaml, "map.yaml", CSL_SPAN(data, size), &err) != CSL_OK)
            return 0;
        enum csl_code code =
            is_npz ? csl_mapping_read_npz(&m, yaml, &err) : csl_mapping_read_csv(&m, yaml, &err);
        if (code == CSL_OK) {
            check_mapping(m);
            csl_mapping_free(m);
        } else {
            CSL_ASSERT(m == NULL && err.code == code);
            CSL_ASSERT(code != CSL_E_BUG && code != CSL_E_END);
            CSL_ASSERT(strstr(err.msg, "map.yaml") != NULL || code == CSL_E_NOMEM);
        }
    }
    return 0;
}
