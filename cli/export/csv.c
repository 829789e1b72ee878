/* cli/export/csv.c - a table of all parameters. */
#include "cli/export/export.h"
#include "cli/export/out_file.h"

#include <inttypes.h>

enum csl_code csl_export_csv(const struct csl_model_file *m, const char *path, struct csl_err *err)
{
    char tmp[CSL_PATH_MAX];
    FILE *f = NULL;
    enum csl_code code = csl_export__open(path, tmp, &f, err);

    if (code != CSL_OK)
        return code;
    fprintf(f, "block,tensor,index,value\n");
    for (uint32_t i = 0; i < m->schema->tensor_count; i++) {
        const struct csl_tensor_spec *t = &m->schema->tensors[i];
        for (uint64_t k = 0; k < t->count; k++)
            fprintf(f, "%s,%s,%" PRIu64 ",%.9g\n", m->schema->blocks[t->block].name, t->name, k,
                    (double)m->parameters[t->first + k]);
    }
    return csl_export__close(path, tmp, f, CSL_OK, err);
}
