/* protocol/initial/safetensors.h - reading safetensors from bytes nobody vouches for.
 *
 * 8 bytes with the length of the header, little-endian; the header, one JSON object that starts
 * with '{' and may be padded with blanks: name -> {dtype, shape, data_offsets [begin, end) behind
 * the header}, and __metadata__ with texts; the data. Strict: a header of at most 1 MiB, 1 to
 * CSL_RANK_MAX axes, none of them empty, no other keys, and the tensors cover the data without gap
 * or overlap. dtypes F16, BF16, F32, F64. One thread.
 * SOURCE: https://github.com/huggingface/safetensors, README.md, "Format". */
#ifndef CSL_INITIAL_SAFETENSORS_H
#define CSL_INITIAL_SAFETENSORS_H
#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"

#include <stdbool.h>

#define CSL_SAFETENSORS_HEADER_MAX (1u << 20) /* bytes */

enum csl_safetensors_type {
    CSL_SAFETENSORS_F16,
    CSL_SAFETENSORS_BF16,
    CSL_SAFETENSORS_F32,
    CSL_SAFETENSORS_F64
};
struct csl_safetensor {
    const char *name; /* of the header */
    enum csl_safetensors_type type;
    uint32_t rank;
    uint64_t shape[CSL_RANK_MAX], count; /* count: product of shape */
    uint64_t begin, end;                 /* of the data, in bytes */
    const uint8_t *data;                 /* [count], unaligned */
};
struct csl_json_doc;
struct csl_safetensors {
    struct csl_json_doc *header; /* owned */
    struct csl_safetensor tensors[CSL_TENSORS_MAX];
    uint32_t count;
};

/* True when the bytes can be nothing else. */
bool csl_safetensors_looks_like(struct csl_span file);
/* `file` is borrowed and must outlive *out; `name` is shown in errors. CSL_E_CORRUPT, CSL_E_LIMIT,
 * CSL_E_UNSUPPORTED: another dtype. *out is empty on failure. */
enum csl_code csl_safetensors_open(struct csl_safetensors *out, const char *name,
                                   struct csl_span file, struct csl_err *err) CSL_MUST_CHECK;
void csl_safetensors_release(struct csl_safetensors *s); /* accepts an empty one */
const struct csl_safetensor *csl_safetensors_find(const struct csl_safetensors *s,
                                                  const char *name); /* NULL */
/* Element i < count, exactly. */
double csl_safetensor_value(const struct csl_safetensor *t, uint64_t i);

#endif
