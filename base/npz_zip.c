#include "base/npz.h"

#include "base/le.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>
#define ZLIB_CONST /* inputs are not written to */
#include <zlib.h>

#include "base/banned.h"

#define END_BYTES     22 /* end of central directory record without its comment */
#define CENTRAL_BYTES 46
#define LOCAL_BYTES   30

static enum csl_code corrupt(const struct csl_zip *z, const char *what, struct csl_err *err)
{
    return CSL_FAIL(err, CSL_E_CORRUPT, "%s: %s", z->path, what);
}

/* The end record: the last place whose comment reaches exactly to the end of the file. */
static const uint8_t *find_end(struct csl_span f)
{
    if (f.n < END_BYTES)
        return NULL;
    size_t last = f.n - END_BYTES, first = last > UINT16_MAX ? last - UINT16_MAX : 0;
    for (size_t at = last + 1; at-- > first;)
        if (csl_load_le32(f.p + at) == 0x06054b50 &&
            csl_load_le16(f.p + at + 20) == f.n - at - END_BYTES)
            return f.p + at;
    return NULL;
}

static enum csl_code read_name(const struct csl_zip *z, const uint8_t *text, size_t n,
                               struct csl_zip_member *m, struct csl_err *err)
{
    if (n <= 4 || memcmp(text + n - 4, ".npy", 4) != 0)
        return corrupt(z, "holds a file that is no .npy array", err);
    if (n - 4 >= sizeof(m->name) || memchr(text, 0, n) != NULL)
        return corrupt(z, "holds an array with a name of more than 127 bytes", err);
    memcpy(m->name, text, n - 4);
    m->name[n - 4] = '\0';
    if (csl_zip_find(z, m->name) != NULL)
        return corrupt(z, "holds two arrays of the same name", err);
    return CSL_OK;
}

/* One entry of the central directory at *at, which moves behind it. */
static enum csl_code read_entry(struct csl_zip *z, size_t *at, size_t end, struct csl_err *err)
{
    const uint8_t *p = z->file.p + *at;
    struct csl_zip_member m;
    memset(&m, 0, sizeof(m));
    if (end - *at < CENTRAL_BYTES || csl_load_le32(p) != 0x02014b50)
        return corrupt(z, "its directory is damaged or cut off", err);
    uint16_t flags = csl_load_le16(p + 8);
    size_t name = csl_load_le16(p + 28), extra = csl_load_le16(p + 30);
    size_t total = CENTRAL_BYTES + name + extra + csl_load_le16(p + 32);
    if (end - *at < total)
        return corrupt(z, "its directory is damaged or cut off", err);
    m.method = csl_load_le16(p + 10);
    m.crc = csl_load_le32(p + 16);
    m.compressed_bytes = csl_load_le32(p + 20);
    m.bytes = csl_load_le32(p + 24);
    m.local_offset = csl_load_le32(p + 42);
    if ((flags & 1u) != 0)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED, "%s: is encrypted", z->path);
    if (m.method != 0 && m.method != 8)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "%s: packed by method %u; stored (0) or deflated (8) would be right",
                        z->path, m.method);
    if (m.compressed_bytes == UINT32_MAX || m.bytes == UINT32_MAX || m.local_offset == UINT32_MAX)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED, "%s: is a zip64 file (an array over 4 GiB)",
                        z->path);
    if (z->member_count == CSL_NPZ_MEMBERS_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "%s: more than %d arrays", z->path, CSL_NPZ_MEMBERS_MAX);
    enum csl_code code = read_name(z, p + CENTRAL_BYTES, name, &m, err);
    if (code != CSL_OK)
        return code;
    z->members[z->member_count++] = m;
    *at += total;
    return CSL_OK;
}

enum csl_code csl_zip_open(struct csl_zip *z, const char *path, struct csl_span file,
                           struct csl_err *err)
{
    memset(z, 0, sizeof(*z));
    z->path = path;
    z->file = file;
    const uint8_t *end = find_end(file);
    if (end == NULL)
        return corrupt(z, "is no zip file, or its end is cut off", err);
    size_t end_at = (size_t)(end - file.p);
    uint16_t count = csl_load_le16(end + 10);
    size_t bytes = csl_load_le32(end + 12), at = csl_load_le32(end + 16);
    if (csl_load_le16(end + 4) != 0 || csl_load_le16(end + 6) != 0 ||
        csl_load_le16(end + 8) != count)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED, "%s: is spread over several files", path);
    if (count == UINT16_MAX || at == UINT32_MAX)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED, "%s: is a zip64 file", path);
    if (at > end_at || bytes > end_at - at)
        return corrupt(z, "its directory lies outside the file", err);
    size_t directory_end = at + bytes;
    for (uint16_t i = 0; i < count; i++) {
        enum csl_code code = read_entry(z, &at, directory_end, err);
        if (code != CSL_OK)
            return code;
    }
    return CSL_OK;
}

const struct csl_zip_member *csl_zip_find(const struct csl_zip *z, const char *name)
{
    for (uint32_t i = 0; i < z->member_count; i++)
        if (strcmp(z->members[i].name, name) == 0)
            return &z->members[i];
    return NULL;
}

static enum csl_code inflate_all(struct csl_span in, uint8_t *out, size_t n, bool *is_right)
{
    z_stream s;
    memset(&s, 0, sizeof(s));
    *is_right = false;
    if (inflateInit2(&s, -MAX_WBITS) != Z_OK)
        return CSL_E_NOMEM;
    s.next_in = in.p;
    s.avail_in = (uInt)in.n;
    s.next_out = out;
    s.avail_out = (uInt)n;
    int result = inflate(&s, Z_FINISH);
    *is_right = result == Z_STREAM_END && s.avail_out == 0 && s.avail_in == 0;
    inflateEnd(&s);
    return CSL_OK;
}

/* Where the packed bytes of a member lie: behind its local header, whose lengths may differ from
 * the directory's. */
static bool packed_bytes(const struct csl_zip *z, const struct csl_zip_member *m,
                         struct csl_span *out)
{
    size_t n = z->file.n, at = m->local_offset;
    if (at > n || n - at < LOCAL_BYTES || csl_load_le32(z->file.p + at) != 0x04034b50)
        return false;
    size_t skip = LOCAL_BYTES + (size_t)csl_load_le16(z->file.p + at + 26) +
                  csl_load_le16(z->file.p + at + 28);
    if (n - at < skip || n - at - skip < m->compressed_bytes)
        return false;
    *out = CSL_SPAN(z->file.p + at + skip, m->compressed_bytes);
    return true;
}

enum csl_code csl_zip_read(const struct csl_zip *z, const struct csl_zip_member *m,
                           struct csl_msg *out, struct csl_err *err)
{
    struct csl_span packed;
    char shown[160];
    bool is_right = true;
    csl_str_escape(shown, sizeof(shown), m->name, strlen(m->name));
    /* Deflate packs at most about 1032 to 1, so a claim beyond that cannot be true. */
    if (!packed_bytes(z, m, &packed) || (m->method == 0 && m->bytes != m->compressed_bytes) ||
        (m->method == 8 && m->bytes / 1040 > m->compressed_bytes))
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "%s: array %s lies outside the file or has no such size", z->path, shown);
    struct csl_msg msg = {csl_alloc(m->bytes), m->bytes};
    if (msg.p == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the %u bytes of array %s", m->bytes,
                        shown);
    enum csl_code code = CSL_OK;
    if (m->method == 0)
        memcpy(msg.p, packed.p, packed.n);
    else
        code = inflate_all(packed, msg.p, msg.n, &is_right);
    if (code != CSL_OK)
        code = CSL_FAIL(err, code, "no memory to unpack array %s", shown);
    else if (!is_right || crc32(0, msg.p, (uInt)msg.n) != m->crc)
        code = CSL_FAIL(err, CSL_E_CORRUPT, "%s: array %s is damaged (its checksum differs)",
                        z->path, shown);
    if (code == CSL_OK)
        *out = msg;
    else
        csl_msg_release(&msg);
    return code;
}
