/* NumPy archives. An input that starts with 'N' is the .npy file of array x in an archive whose
 * checksums are right, so that the header's reader sees every byte; anything else is an archive. */
#include "base/buf.h"
#include "base/check.h"
#include "base/npz.h"
#include "site-agent/data/npz_import.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <zlib.h>

static const char map[] = "format: consilium.mapping/1\n"
                          "modalities:\n"
                          "  - {name: scan, kind: image2d, array: x, divide_by: 255}\n"
                          "labels:\n"
                          "  - {name: y, kind: binary, array: x, positive: 1}\n"
                          "  - {name: z, kind: classes, array: x, values: [0, 1, 2]}\n"
                          "split: {train: ''}\n";

static void put_entry(struct csl_buf *b, bool is_central, uint32_t crc, uint32_t n)
{
    csl_buf_le32(b, is_central ? 0x02014b50 : 0x04034b50);
    if (is_central)
        csl_buf_le16(b, 20);
    csl_buf_le32(b, 20); /* version, flags */
    csl_buf_le16(b, 0);  /* stored */
    csl_buf_le32(b, 0);  /* time */
    csl_buf_le32(b, crc);
    csl_buf_le32(b, n);
    csl_buf_le32(b, n);
    csl_buf_le16(b, 5);
    csl_buf_le16(b, 0);
    if (is_central)
        csl_buf_append(b, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 14);
    csl_buf_str(b, "x.npy");
}

static void wrap(struct csl_buf *b, struct csl_span npy)
{
    uint32_t crc = (uint32_t)crc32(0, npy.p, (uInt)npy.n);
    csl_buf_init(b, 1u << 24);
    put_entry(b, false, crc, (uint32_t)npy.n);
    csl_buf_append(b, npy.p, npy.n);
    uint32_t at = (uint32_t)b->n;
    put_entry(b, true, crc, (uint32_t)npy.n);
    uint32_t bytes = (uint32_t)b->n - at;
    csl_buf_le32(b, 0x06054b50);
    csl_buf_le32(b, 0);
    csl_buf_le16(b, 1);
    csl_buf_le16(b, 1);
    csl_buf_le32(b, bytes);
    csl_buf_le32(b, at);
    csl_buf_le16(b, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct csl_mapping *mapping; /* read once, kept for all inputs */
    struct csl_err err = {.code = CSL_OK};
    struct csl_buf wrapped = {.p = NULL};
    struct csl_span npz = {data, size};
    struct csl_records r;
    struct csl_yaml *yaml;
    if (mapping == NULL) {
        CSL_ASSERT(csl_yaml_parse(&yaml, "map", CSL_SPAN(map, strlen(map)), &err) == CSL_OK);
        CSL_ASSERT(csl_mapping_read_npz(&mapping, yaml, &err) == CSL_OK);
    }
    if (size > 0 && data[0] == 'N') {
        wrap(&wrapped, CSL_SPAN(data + 1, size - 1));
        npz = CSL_SPAN(wrapped.p, wrapped.n);
    }
    enum csl_code code = csl_import_npz_bytes__(&r, "fuzz", "t.npz", npz, mapping, &err);
    if (code == CSL_OK) {
        CSL_ASSERT(csl_records_validate__(&r, "t.npz", CSL_E_BUG, &err) == CSL_OK);
        csl_records_release(&r);
    } else {
        CSL_ASSERT(err.code == code && code != CSL_E_BUG);
    }
    csl_buf_release(&wrapped);
    return 0;
}
