#include "tests/unit/world/masked_log.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static FILE *kept;

void masked_log_begin(void)
{
    if (kept != NULL)
        fclose(kept);
    kept = tmpfile();
    assert_non_null(kept);
    csl_log_setup(kept, CSL_LOG_LOGFMT, CSL_LOG_INFO);
}

void masked_log_end(void)
{
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
}

uint32_t masked_logged(const char *text)
{
    static char line[1 << 16];
    uint32_t n = 0;
    rewind(kept);
    while (fgets(line, sizeof(line), kept) != NULL) {
        assert_non_null(strchr(line, '\n')); /* whole */
        n += strstr(line, text) != NULL;
    }
    return n;
}
