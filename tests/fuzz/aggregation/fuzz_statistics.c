/* statistics.json: any bytes end in an error that names the file, or in statistics that are written
 * and read again as the same bytes, whose study is an id and which print nothing but text. */
#include "aggregation/statistics/report.h"
#include "base/check.h"
#include "base/str.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void write(const struct csl_statistics_report *r, struct csl_buf *out)
{
    struct csl_err err = {.code = CSL_OK};
    csl_buf_init(out, CSL_STATISTICS_BYTES_MAX);
    csl_statistics_write(r, out);
    CSL_ASSERT(csl_buf_status(out, &err) == CSL_OK);
}

static void check_again(const struct csl_statistics_report *r)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_statistics_report again = {.domains = NULL};
    struct csl_buf first, second, text;
    write(r, &first);
    CSL_ASSERT(csl_statistics_parse(&again, "again.json", CSL_SPAN(first.p, first.n), &err) ==
               CSL_OK);
    write(&again, &second);
    CSL_ASSERT(first.n == second.n && memcmp(first.p, second.p, first.n) == 0);
    csl_buf_init(&text, CSL_STATISTICS_BYTES_MAX);
    csl_statistics_print(r, &text);
    CSL_ASSERT(csl_buf_status(&text, &err) == CSL_OK);
    for (size_t i = 0; i < text.n; i++)
        CSL_ASSERT(text.p[i] == '\n' || (text.p[i] >= 0x20 && text.p[i] != 0x7f));
    CSL_ASSERT(csl_id_valid(r->study) && strlen(r->study_digest) == 64);
    csl_buf_release(&text);
    csl_buf_release(&first);
    csl_buf_release(&second);
    csl_statistics_report_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_statistics_report r = {.domains = NULL};
    enum csl_code code = csl_statistics_parse(&r, "statistics.json", CSL_SPAN(data, size), &err);
    if (code == CSL_OK) {
        check_again(&r);
        csl_statistics_report_release(&r);
    } else {
        CSL_ASSERT(err.code == code && code != CSL_E_BUG && code != CSL_E_END);
        CSL_ASSERT(strstr(err.msg, "statistics.json") != NULL || code == CSL_E_NOMEM);
        CSL_ASSERT(r.domains == NULL); /* untouched */
    }
    return 0;
}
