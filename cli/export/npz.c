/* cli/export/npz.c - NumPy archives; PKWARE APPNOTE.TXT and numpy/lib/format.py. */
#include "base/le.h"
#include "cli/export/export.h"
#include "cli/export/out_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define NAME_MAX_BYTES   (CSL_ID_MAX + 8)
#define LOCAL_BYTES      30 /* local file header; APPNOTE.TXT 4.3.7 */
#define CENTRAL_BYTES    46 /* central directory header; 4.3.12 */
#define END_BYTES        22 /* end of central directory; 4.3.16 */
#define DOS_DATE_1980    0x0021
#define ZIP_VERSION      20
#define NPY_HEADER_BYTES 192 /* a multiple of 64, longer than any header of four axes */

struct entry {
    char name[NAME_MAX_BYTES];
    uint32_t crc, bytes, offset;
};
struct zip {
    FILE *f;
    uint64_t at;
    struct entry entries[CSL_TENSORS_MAX];
    uint32_t count;
};

static bool put(struct zip *z, const void *p, size_t n)
{
    z->at += n;
    return fwrite(p, 1, n, z->f) == n;
}

/* The fields that local and central headers share, from "version needed" on. */
static void common_fields(uint8_t *p, const struct entry *e)
{
    csl_store_le16(p, ZIP_VERSION);
    csl_store_le16(p + 8, DOS_DATE_1980);
    csl_store_le32(p + 10, e->crc);
    csl_store_le32(p + 14, e->bytes);
    csl_store_le32(p + 18, e->bytes);
    csl_store_le16(p + 22, (uint16_t)strlen(e->name));
}

/* "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 13), }" padded so that the data is
 * aligned: numpy/lib/format.py, version 1.0. */
static void npy_header(const struct csl_tensor_spec *t, char out[NPY_HEADER_BYTES])
{
    char shape[128];
    size_t n = 0;
    int length;

    for (uint32_t i = 0; i < t->rank; i++)
        n += (size_t)snprintf(shape + n, sizeof(shape) - n, "%s%" PRIu64, i ? ", " : "",
                              t->shape[i]);
    memset(out, ' ', NPY_HEADER_BYTES);
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    csl_store_le16((uint8_t *)out + 8, NPY_HEADER_BYTES - 10);
    char text[NPY_HEADER_BYTES];
    length =
        snprintf(text, sizeof(text), "{'descr': '<f4', 'fortran_order': False, 'shape': (%s%s), }",
                 shape, t->rank == 1 ? "," : "");
    memcpy(out + 10, text, (size_t)length);
    out[NPY_HEADER_BYTES - 1] = '\n';
}

/* CRC-32 of ISO 3309, reflected, as zip wants it (APPNOTE.TXT 4.4.7), eight bits at a time. */
static uint32_t crc_add(uint32_t crc, const void *p, size_t n)
{
    static uint32_t table[256];
    const uint8_t *bytes = p;

    for (uint32_t i = 0; table[255] == 0 && i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = (c >> 1) ^ (c & 1 ? 0xEDB88320U : 0);
        table[i] = c;
    }
    crc = ~crc;
    for (size_t i = 0; i < n; i++)
        crc = (crc >> 8) ^ table[(crc ^ bytes[i]) & 0xFF];
    return ~crc;
}

static enum csl_code put_tensor(struct zip *z, const struct csl_tensor_spec *t, const float *values,
                                const char *path, struct csl_err *err)
{
    struct entry *e = &z->entries[z->count];
    uint64_t bytes = NPY_HEADER_BYTES + t->count * sizeof(float);
    uint8_t local[LOCAL_BYTES] = {'P', 'K', 3, 4};
    char header[NPY_HEADER_BYTES];

    if (z->at + bytes + LOCAL_BYTES + sizeof(e->name) >= UINT32_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "%s: the model is larger than the 4 GiB of an npz archive; "
                        "the model file itself is HDF5 and can be read instead",
                        path);
    snprintf(e->name, sizeof(e->name), "%s.npy", t->name);
    npy_header(t, header);
    e->crc = crc_add(0, header, sizeof(header));
    e->crc = crc_add(e->crc, values, t->count * sizeof(float));
    e->bytes = (uint32_t)bytes;
    e->offset = (uint32_t)z->at;
    common_fields(local + 4, e);
    if (!put(z, local, sizeof(local)) || !put(z, e->name, strlen(e->name)) ||
        !put(z, header, sizeof(header)) || !put(z, values, t->count * sizeof(float)))
        return CSL_FAIL_SYS(err, CSL_E_IO, "%s: cannot be written", path);
    z->count++;
    return CSL_OK;
}

static bool put_directory(struct zip *z)
{
    uint8_t end[END_BYTES] = {'P', 'K', 5, 6};
    uint64_t start = z->at;

    for (uint32_t i = 0; i < z->count; i++) {
        uint8_t central[CENTRAL_BYTES] = {'P', 'K', 1, 2};
        csl_store_le16(central + 4, ZIP_VERSION);
        common_fields(central + 6, &z->entries[i]);
        csl_store_le32(central + 42, z->entries[i].offset);
        if (!put(z, central, sizeof(central)) ||
            !put(z, z->entries[i].name, strlen(z->entries[i].name)))
            return false;
    }
    csl_store_le16(end + 8, (uint16_t)z->count);
    csl_store_le16(end + 10, (uint16_t)z->count);
    csl_store_le32(end + 12, (uint32_t)(z->at - start));
    csl_store_le32(end + 16, (uint32_t)start);
    return put(z, end, sizeof(end));
}

enum csl_code csl_export_npz(const struct csl_model_file *m, const char *path, struct csl_err *err)
{
    struct zip z = {0};
    char tmp[CSL_PATH_MAX];
    enum csl_code code = csl_export__check_names(m->schema, path, err);

    if (code == CSL_OK)
        code = csl_export__open(path, tmp, &z.f, err);
    if (code != CSL_OK)
        return code;
    for (uint32_t i = 0; i < m->schema->tensor_count && code == CSL_OK; i++) {
        const struct csl_tensor_spec *t = &m->schema->tensors[i];
        code = put_tensor(&z, t, m->parameters + t->first, tmp, err);
    }
    if (code == CSL_OK && !put_directory(&z))
        code = CSL_FAIL_SYS(err, CSL_E_IO, "%s: cannot be written", tmp);
    return csl_export__close(path, tmp, z.f, code, err);
}
