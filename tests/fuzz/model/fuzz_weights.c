/* Initial weights, as safetensors or as a NumPy archive: any bytes end in an error that names the
 * file, or in finite values for every parameter of the model. An input that starts with 'N' is the
 * .npy file of heart.bias in an archive whose checksums are right and that has the other tensor, so
 * that the header's reader sees every byte. */
#include "base/buf.h"
#include "base/check.h"
#include "base/le.h"
#include "base/mem.h"
#include "protocol/initial/weights.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <string.h>
#include <zlib.h>

#define NAME "initial.weights"

static void put_entry(struct csl_buf *b, bool is_central, const char *name, struct csl_span npy,
                      uint32_t at)
{
    csl_buf_le32(b, is_central ? 0x02014b50 : 0x04034b50);
    if (is_central)
        csl_buf_le16(b, 20);
    csl_buf_le32(b, 20); /* version, flags */
    csl_buf_le16(b, 0);  /* stored */
    csl_buf_le32(b, 0);  /* time */
    csl_buf_le32(b, (uint32_t)crc32(0, npy.p, (uInt)npy.n));
    csl_buf_le32(b, (uint32_t)npy.n);
    csl_buf_le32(b, (uint32_t)npy.n);
    csl_buf_le16(b, (uint16_t)strlen(name));
    csl_buf_le16(b, 0);
    if (is_central) {
        csl_buf_append(b, "\0\0\0\0\0\0\0\0\0\0", 10);
        csl_buf_le32(b, at);
    }
    csl_buf_str(b, name);
}

static void wrap(struct csl_buf *b, struct csl_span bias)
{
    static const char head[] = "\x93NUMPY\x01\x00??"
                               "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
    uint8_t weight[sizeof(head) - 1 + 24] = {0};
    memcpy(weight, head, sizeof(head) - 1);
    csl_store_le16(weight + 8, (uint16_t)(sizeof(head) - 1 - 10));
    const struct csl_span parts[2] = {CSL_SPAN(weight, sizeof(weight)), bias};
    static const char *const names[2] = {"heart.weight.npy", "heart.bias.npy"};
    uint32_t at[3];
    csl_buf_init(b, 1u << 24);
    for (int i = 0; i < 2; i++) {
        at[i] = (uint32_t)b->n;
        put_entry(b, false, names[i], parts[i], 0);
        csl_buf_append(b, parts[i].p, parts[i].n);
    }
    at[2] = (uint32_t)b->n;
    for (int i = 0; i < 2; i++)
        put_entry(b, true, names[i], parts[i], at[i]);
    uint32_t bytes = (uint32_t)b->n - at[2];
    csl_buf_le32(b, 0x06054b50);
    csl_buf_le32(b, 0);
    csl_buf_le16(b, 2);
    csl_buf_le16(b, 2);
    csl_buf_le32(b, bytes);
    csl_buf_le32(b, at[2]);
    csl_buf_le16(b, 0);
}

static void make_schema(struct csl_schema *s)
{
    const uint64_t weight[2] = {2, 3}, bias[1] = {2};
    struct csl_err err;
    csl_schema_init(s);
    CSL_ASSERT(csl_schema_add_block(s, "heart", CSL_BLOCK_SHARED, &err) == CSL_OK);
    CSL_ASSERT(csl_schema_add_tensor(s, "heart.weight", 2, weight, CSL_INIT_ZEROS, 0, &err) ==
               CSL_OK);
    CSL_ASSERT(csl_schema_add_tensor(s, "heart.bias", 1, bias, CSL_INIT_ZEROS, 0, &err) == CSL_OK);
    CSL_ASSERT(csl_schema_seal(s, &err) == CSL_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct csl_schema schema; /* made once, kept for all inputs */
    struct csl_err err = {.code = CSL_OK};
    struct csl_buf wrapped = {.p = NULL};
    struct csl_span bytes = {data, size};
    float *values = NULL;
    if (schema.parameters == 0)
        make_schema(&schema);
    if (size > 0 && data[0] == 'N') {
        wrap(&wrapped, CSL_SPAN(data + 1, size - 1));
        bytes = CSL_SPAN(wrapped.p, wrapped.n);
    }
    enum csl_code code = csl_weights_parse(&values, NAME, bytes, &schema, &err);
    if (code == CSL_OK) {
        for (uint64_t i = 0; i < schema.parameters; i++)
            CSL_ASSERT(isfinite(values[i]));
        csl_free(values);
    } else {
        CSL_ASSERT(err.code == code && code != CSL_E_BUG);
        CSL_ASSERT(values == NULL); /* untouched */
        CSL_ASSERT(strstr(err.msg, NAME) != NULL || code == CSL_E_NOMEM);
    }
    csl_buf_release(&wrapped);
    return 0;
}
