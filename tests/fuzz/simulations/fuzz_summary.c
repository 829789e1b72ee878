/* summary.json: any bytes end in an error that names the file, or in a result that is written again
 * and from which a page is drawn. */
#include "base/check.h"
#include "simulations/release.h"
#include "simulations/report_html.h"
#include "simulations/result.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_again(const struct csl_result *r)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_result again = {.site_count = 0};
    struct csl_buf json, page, card;
    csl_buf_init(&json, CSL_SUMMARY_BYTES_MAX);
    csl_buf_init(&page, CSL_REPORT_BYTES_MAX);
    csl_buf_init(&card, CSL_REPORT_BYTES_MAX);
    CSL_ASSERT(csl_result_write_json(r, &json, &err) == CSL_OK);
    CSL_ASSERT(csl_result_read_json(&again, "again.json", CSL_SPAN(json.p, json.n), &err) ==
               CSL_OK);
    CSL_ASSERT(again.site_count == r->site_count && again.domain_count == r->domain_count);
    CSL_ASSERT(strcmp(again.model_digest, r->model_digest) == 0);
    CSL_ASSERT(csl_report_html(r, &page, &err) == CSL_OK);
    csl_card_markdown(r, &card);
    csl_card_json(r, &card);
    CSL_ASSERT(csl_buf_status(&card, &err) == CSL_OK);
    csl_result_release(&again);
    csl_buf_release(&card);
    csl_buf_release(&json);
    csl_buf_release(&page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_result r = {.site_count = 0};
    enum csl_code code = csl_result_read_json(&r, "summary.json", CSL_SPAN(data, size), &err);
    if (code == CSL_OK) {
        check_again(&r);
        csl_result_release(&r);
    } else {
        CSL_ASSERT(err.code == code && code != CSL_E_BUG && code != CSL_E_END);
        CSL_ASSERT(strstr(err.msg, "summary.json") != NULL || code == CSL_E_NOMEM);
        CSL_ASSERT(r.sites == NULL && r.domains == NULL); /* untouched */
    }
    return 0;
}
