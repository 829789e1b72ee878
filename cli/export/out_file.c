#include "cli/export/out_file.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum csl_code csl_export__open(const char *path, char tmp[CSL_PATH_MAX], FILE **f,
                               struct csl_err *err)
{
    if ((size_t)snprintf(tmp, CSL_PATH_MAX, "%s.tmp", path) >= CSL_PATH_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "--out: longer than %d bytes", CSL_PATH_MAX - 5);
    *f = fopen(tmp, "wb");
    if (!*f)
        return CSL_FAIL_SYS(err, CSL_E_IO,
                            "--out: %s cannot be created; a file in a folder that exists and can "
                            "be written would be right",
                            tmp);
    return CSL_OK;
}

enum csl_code csl_export__close(const char *path, const char *tmp, FILE *f, enum csl_code code,
                                struct csl_err *err)
{
    bool is_whole = ferror(f) == 0 && fflush(f) == 0;

    if ((fclose(f) != 0 || !is_whole) && code == CSL_OK)
        code = CSL_FAIL_SYS(err, CSL_E_IO, "%s: cannot be written", tmp);
    if (code == CSL_OK)
        code = csl_file_commit(tmp, path, err);
    if (code != CSL_OK)
        unlink(tmp);
    return code;
}

enum csl_code csl_export__check_names(const struct csl_schema *s, const char *path,
                                      struct csl_err *err)
{
    const struct csl_tensor_spec *t = csl_schema_find_shared_name(s);
    if (t == NULL)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                    "%s: two blocks have a tensor %s, and this format knows no blocks; --format "
                    "csv would be right",
                    path, t->name);
}
