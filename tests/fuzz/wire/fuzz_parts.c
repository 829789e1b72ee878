/* Parts of long messages, as a peer may send them: four bytes each, where in which message. What
 * comes together is what was sent, within the bound, and nothing is held that has not come. */
#include "base/check.h"
#include "protocol/wire/parts.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define BYTES_MAX (5 * CSL_SECAGG_BYTES_MAX)

static uint8_t body[CSL_SECAGG_BYTES_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csl_parts p = {.total = 0};
    uint32_t begun = 0, came = 0; /* of the message that should be under way; 0: none */
    for (size_t i = 0; i + 4 <= size; i += 4) {
        uint32_t total = 1 + (uint32_t)(data[i] % 7) * (CSL_SECAGG_BYTES_MAX / 2) + data[i + 1] % 2;
        uint32_t at = (uint32_t)(data[i + 2] % 4) * CSL_SECAGG_BYTES_MAX;
        if (at >= total)
            continue;
        uint32_t n = total - at < CSL_SECAGG_BYTES_MAX ? total - at : CSL_SECAGG_BYTES_MAX;
        struct csl_msg_secagg m = {{body, n}, at, total};
        struct csl_span whole = CSL_SPAN(NULL, 0);
        memset(body, (int)(at / CSL_SECAGG_BYTES_MAX), n);
        if (data[i + 3] == 255) { /* the session ends */
            csl_parts_clear(&p);
            begun = came = 0;
        }
        bool is_due = begun == 0 ? at == 0 : total == begun && at == came;
        enum csl_code code = csl_parts_take(&p, &m, BYTES_MAX, &whole, NULL);
        CSL_ASSERT((code == CSL_OK) == (is_due && total <= BYTES_MAX));
        begun = code == CSL_OK && at + n < total ? total : 0;
        came = begun != 0 ? at + n : 0;
        CSL_ASSERT(p.total == begun && p.bytes.n <= BYTES_MAX);
        CSL_ASSERT(code != CSL_OK || whole.n == (begun != 0 ? 0 : total));
        for (size_t k = 0; k < whole.n; k += CSL_SECAGG_BYTES_MAX)
            CSL_ASSERT(whole.p[k] == k / CSL_SECAGG_BYTES_MAX);
    }
    csl_parts_clear(&p);
    return 0;
}
