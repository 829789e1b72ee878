#include "site-agent/data/h5_read.h"

#include "base/checked.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define STRING_BYTES_MAX 256

enum csl_code csl_h5_fail(const struct csl_h5 *h, const char *name, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return CSL_FAIL(h->err, CSL_E_CORRUPT, "%s: %s: %s", h->path, name, text);
}

enum csl_code csl_h5_open(struct csl_h5 *h, const char *path, struct csl_err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return CSL_FAIL_SYS(err, errno == ENOENT ? CSL_E_NOTFOUND : CSL_E_IO, "cannot open %s",
                            path);
    int failed = fstat(fd, &st), why = errno;
    close(fd);
    errno = why;
    if (failed != 0)
        return CSL_FAIL_SYS(err, CSL_E_IO, "cannot look at %s", path);
    if (!S_ISREG(st.st_mode))
        return CSL_FAIL(err, CSL_E_INVAL, "%s is %s; a record file would be right", path,
                        S_ISDIR(st.st_mode) ? "a folder" : "not a regular file");
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), file = -1;
    if (access >= 0 && H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0)
        file = H5Fopen(path, H5F_ACC_RDONLY, access);
    if (access >= 0)
        H5Pclose(access);
    if (file < 0)
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "%s: not an HDF5 file, or its head is damaged or cut off", path);
    *h = (struct csl_h5){path, file, (uint64_t)st.st_size, err};
    return CSL_OK;
}

void csl_h5_close(struct csl_h5 *h)
{
    if (h->file > 0)
        H5Fclose(h->file);
    h->file = -1;
}

/* Opens the object behind a hard link: soft and external links could lead out of the file. */
static enum csl_code open_object(const struct csl_h5 *h, hid_t parent, const char *name,
                                 const char *shown, H5I_type_t type, hid_t *out)
{
    H5L_info_t info;
    htri_t exists = H5Lexists(parent, name, H5P_DEFAULT);
    if (exists == 0)
        return csl_h5_fail(h, shown, "is missing");
    if (exists < 0 || H5Lget_info(parent, name, &info, H5P_DEFAULT) < 0)
        return csl_h5_fail(h, shown, "is damaged");
    if (info.type != H5L_TYPE_HARD)
        return csl_h5_fail(h, shown, "is a link to elsewhere; a data set here would be right");
    hid_t id = H5Oopen(parent, name, H5P_DEFAULT);
    if (id < 0)
        return csl_h5_fail(h, shown, "is damaged");
    if (H5Iget_type(id) != type) {
        H5Oclose(id);
        return csl_h5_fail(h, shown, "is not a %s", type == H5I_GROUP ? "group" : "data set");
    }
    *out = id;
    return CSL_OK;
}

enum csl_code csl_h5_open_group(const struct csl_h5 *h, hid_t parent, const char *name,
                                const char *shown, hid_t *out)
{
    return open_object(h, parent, name, shown, H5I_GROUP, out);
}

bool csl_h5_is_group(hid_t parent, const char *name)
{
    H5L_info_t info;
    if (H5Lexists(parent, name, H5P_DEFAULT) <= 0 ||
        H5Lget_info(parent, name, &info, H5P_DEFAULT) < 0 || info.type != H5L_TYPE_HARD)
        return false;
    hid_t id = H5Oopen(parent, name, H5P_DEFAULT);
    bool is_group = id >= 0 && H5Iget_type(id) == H5I_GROUP;
    if (id >= 0)
        H5Oclose(id);
    return is_group;
}

static const char *storage_fault(hid_t plist)
{
    H5D_layout_t layout = H5Pget_layout(plist);
    if (layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED && layout != H5D_COMPACT)
        return "has a virtual layout; contiguous or chunked would be right";
    if (H5Pget_external_count(plist) != 0)
        return "keeps its values in another file";
    int filters = H5Pget_nfilters(plist);
    for (int i = 0; i < filters; i++) {
        unsigned flags, config;
        size_t values = 0;
        if (H5Pget_filter2(plist, (unsigned)i, &flags, &values, NULL, 0, NULL, &config) !=
            H5Z_FILTER_FLETCHER32)
            return "is filtered; no filter but fletcher32 would be right";
    }
    return filters < 0 ? "is damaged" : NULL;
}

enum csl_code csl_h5_open_set(const struct csl_h5 *h, hid_t parent, const char *name,
                              const char *shown, hid_t *out)
{
    hid_t set = H5I_INVALID_HID; /* gcc at -O3 cannot see that open_object sets it */
    enum csl_code code = open_object(h, parent, name, shown, H5I_DATASET, &set);
    if (code != CSL_OK)
        return code;
    hid_t plist = H5Dget_create_plist(set);
    const char *fault = plist < 0 ? "is damaged" : storage_fault(plist);
    if (plist >= 0)
        H5Pclose(plist);
    if (fault != NULL) {
        H5Dclose(set);
        return csl_h5_fail(h, shown, "%s", fault);
    }
    *out = set;
    return CSL_OK;
}

enum csl_code csl_h5_list(const struct csl_h5 *h, hid_t group, const char *shown, char (*names)[64],
                          uint32_t names_max, uint32_t *count)
{
    H5G_info_t info;
    unsigned order = 0;
    hid_t plist = H5Gget_create_plist(group);
    if (plist < 0 || H5Pget_link_creation_order(plist, &order) < 0 ||
        H5Gget_info(group, &info) < 0) {
        if (plist >= 0)
            H5Pclose(plist);
        return csl_h5_fail(h, shown, "is damaged");
    }
    H5Pclose(plist);
    if (info.nlinks > names_max)
        return csl_h5_fail(h, shown, "has %llu entries; at most %u are allowed",
                           (unsigned long long)info.nlinks, names_max);
    H5_index_t index = (order & H5P_CRT_ORDER_INDEXED) != 0 ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
    for (hsize_t i = 0; i < info.nlinks; i++) {
        ssize_t n = H5Lget_name_by_idx(group, ".", index, H5_ITER_INC, i, names[i],
                                       sizeof(names[i]), H5P_DEFAULT);
        if (n <= 0 || n >= (ssize_t)sizeof(names[i]) || strlen(names[i]) != (size_t)n)
            return csl_h5_fail(h, shown, "entry %llu has no name of 1 to 63 bytes",
                               (unsigned long long)i);
    }
    *count = (uint32_t)info.nlinks;
    return CSL_OK;
}

enum csl_code csl_h5_extents(const struct csl_h5 *h, hid_t set, const char *shown, int rank_min,
                             int rank_max, int *rank, uint64_t *dims)
{
    hsize_t extents[CSL_H5_RANK_MAX];
    hid_t space = H5Dget_space(set);
    int n = space < 0 || H5Sis_simple(space) <= 0 ? -1 : H5Sget_simple_extent_ndims(space);
    bool fits = n >= rank_min && n <= rank_max && n <= CSL_H5_RANK_MAX;
    if (fits && H5Sget_simple_extent_dims(space, extents, NULL) != n)
        n = -1;
    if (space >= 0)
        H5Sclose(space);
    if (n < 0)
        return csl_h5_fail(h, shown, "is damaged");
    if (!fits)
        return csl_h5_fail(h, shown, "has %d axes; %d to %d would be right", n, rank_min, rank_max);
    for (int i = 0; i < n; i++)
        dims[i] = extents[i];
    *rank = n;
    return CSL_OK;
}

struct type_row {
    hid_t file, memory;
    size_t bytes;
    const char *name;
};

static struct type_row type_row(enum csl_h5_type type)
{
    switch (type) {
    case CSL_H5_U8:
        return (struct type_row){H5T_STD_U8LE, H5T_NATIVE_UINT8, 1, "uint8"};
    case CSL_H5_I16:
        return (struct type_row){H5T_STD_I16LE, H5T_NATIVE_INT16, 2, "int16"};
    case CSL_H5_U32:
        return (struct type_row){H5T_STD_U32LE, H5T_NATIVE_UINT32, 4, "uint32"};
    case CSL_H5_U64:
        return (struct type_row){H5T_STD_U64LE, H5T_NATIVE_UINT64, 8, "uint64"};
    case CSL_H5_I64:
        return (struct type_row){H5T_STD_I64LE, H5T_NATIVE_INT64, 8, "int64"};
    case CSL_H5_F32:
        return (struct type_row){H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 4, "float32"};
    case CSL_H5_F64:
        break;
    }
    return (struct type_row){H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 8, "float64"};
}

/* A data set may claim any extent; what it claims must also lie in the file. */
static enum csl_code check_size(const struct csl_h5 *h, hid_t set, const char *shown,
                                uint64_t count, size_t item_bytes, size_t *bytes)
{
    uint64_t total;
    hid_t space = H5Dget_space(set);
    hssize_t points = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    if (space >= 0)
        H5Sclose(space);
    if (points < 0 || (uint64_t)points != count)
        return csl_h5_fail(h, shown, "has %lld values; %llu would be right", (long long)points,
                           (unsigned long long)count);
    if (!csl_mul_u64(count, item_bytes, &total) || total > h->file_bytes ||
        H5Dget_storage_size(set) < total || !csl_size_from_u64(total, bytes))
        return csl_h5_fail(h, shown, "claims %llu values that the file does not hold",
                           (unsigned long long)count);
    return CSL_OK;
}

enum csl_code csl_h5_check_set(const struct csl_h5 *h, hid_t set, const char *shown,
                               enum csl_h5_type type, uint64_t count, size_t *bytes)
{
    struct type_row row = type_row(type);
    hid_t stored = H5Dget_type(set);
    bool is_right = stored >= 0 && H5Tequal(stored, row.file) > 0;
    if (stored >= 0)
        H5Tclose(stored);
    if (!is_right)
        return csl_h5_fail(h, shown, "is not little-endian %s", row.name);
    return check_size(h, set, shown, count, row.bytes, bytes);
}

enum csl_code csl_h5_read_rows(const struct csl_h5 *h, hid_t set, const char *shown, int rank,
                               const uint64_t *dims, uint64_t first, uint64_t count, float *to)
{
    hsize_t from[CSL_H5_RANK_MAX] = {first}, extents[CSL_H5_RANK_MAX] = {count};
    for (int i = 1; i < rank; i++)
        extents[i] = dims[i];
    hid_t space = H5Dget_space(set), memory = H5Screate_simple(rank, extents, NULL);
    bool ok = space >= 0 && memory >= 0 &&
              H5Sselect_hyperslab(space, H5S_SELECT_SET, from, NULL, extents, NULL) >= 0 &&
              H5Dread(set, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, to) >= 0;
    if (space >= 0)
        H5Sclose(space);
    if (memory >= 0)
        H5Sclose(memory);
    return ok ? CSL_OK : csl_h5_fail(h, shown, "its values are damaged or cut off");
}

enum csl_code csl_h5_read_set(const struct csl_h5 *h, hid_t set, const char *shown,
                              enum csl_h5_type type, uint64_t count, void **out)
{
    struct type_row row = type_row(type);
    size_t bytes;
    enum csl_code code = csl_h5_check_set(h, set, shown, type, count, &bytes);
    if (code != CSL_OK)
        return code;
    void *p = csl_alloc(bytes);
    if (p == NULL)
        return CSL_FAIL(h->err, CSL_E_NOMEM, "no memory for %zu bytes of %s in %s", bytes, shown,
                        h->path);
    if (H5Dread(set, row.memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, p) < 0) {
        csl_free(p);
        return csl_h5_fail(h, shown, "its values are damaged or cut off");
    }
    *out = p;
    return CSL_OK;
}

/* Bytes of a fixed string type, or 0 when it is anything else or too long. */
static size_t fixed_string_bytes(hid_t type)
{
    if (type < 0 || H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0)
        return 0;
    size_t n = H5Tget_size(type);
    return n > STRING_BYTES_MAX ? 0 : n;
}

/* HDF5 does not look for a NUL when the stored type is the one asked for. */
static void terminate(void *texts, uint64_t count, size_t bytes)
{
    for (uint64_t i = 0; i < count; i++)
        ((char *)texts)[(size_t)i * bytes + bytes - 1] = '\0';
}

static hid_t memory_string(hid_t stored, size_t bytes)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, bytes) < 0 || H5Tset_cset(type, H5Tget_cset(stored)) < 0)) {
        H5Tclose(type);
        return -1;
    }
    return type;
}

enum csl_code csl_h5_read_strings(const struct csl_h5 *h, hid_t set, const char *shown,
                                  uint64_t count, size_t bytes, void **out)
{
    size_t unused;
    void *p = NULL;
    hid_t memory = -1, stored = H5Dget_type(set);
    size_t item_bytes = fixed_string_bytes(stored);
    enum csl_code code = CSL_OK;
    if (item_bytes == 0 || item_bytes > bytes)
        code = csl_h5_fail(h, shown, "is not fixed strings of at most %zu bytes", bytes);
    if (code == CSL_OK)
        code = check_size(h, set, shown, count, item_bytes, &unused);
    if (code == CSL_OK && count > SIZE_MAX / bytes)
        code = csl_h5_fail(h, shown, "has too many strings");
    if (code != CSL_OK)
        goto out;
    memory = memory_string(stored, bytes);
    p = csl_alloc_array((size_t)count, bytes);
    if (memory < 0 || p == NULL) {
        code = CSL_FAIL(h->err, CSL_E_NOMEM, "no memory for %s of %s", shown, h->path);
        goto out;
    }
    if (H5Dread(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, p) < 0) {
        code = csl_h5_fail(h, shown, "its values are damaged or cut off");
        goto out;
    }
    terminate(p, count, bytes);
    *out = p;
    p = NULL;
out:
    csl_free(p);
    if (memory >= 0)
        H5Tclose(memory);
    if (stored >= 0)
        H5Tclose(stored);
    return code;
}

/* Opens an attribute and checks its extent; *a stays -1 when it is absent and optional. */
static enum csl_code open_attribute(const struct csl_h5 *h, hid_t object, const char *shown,
                                    const char *name, bool is_optional, uint64_t count, hid_t *a)
{
    htri_t exists = H5Aexists(object, name);
    if (exists == 0)
        return is_optional ? CSL_OK : csl_h5_fail(h, shown, "attribute %s is missing", name);
    hid_t id = exists < 0 ? -1 : H5Aopen(object, name, H5P_DEFAULT);
    hid_t space = id < 0 ? -1 : H5Aget_space(id);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    hssize_t points = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    if (space >= 0)
        H5Sclose(space);
    bool is_right = count == 0 ? points == 1 && rank <= 1 : rank == 1 && points == (hssize_t)count;
    if (rank < 0 || !is_right) {
        if (id >= 0)
            H5Aclose(id);
        return csl_h5_fail(h, shown, "attribute %s has %lld values; %llu would be right", name,
                           (long long)points, (unsigned long long)(count == 0 ? 1 : count));
    }
    *a = id;
    return CSL_OK;
}

static enum csl_code read_strings(const struct csl_h5 *h, hid_t a, const char *shown,
                                  const char *name, uint64_t count, size_t bytes, void *out)
{
    hid_t stored = H5Aget_type(a), memory = -1;
    enum csl_code code = CSL_OK;
    size_t item_bytes = fixed_string_bytes(stored);
    if (item_bytes == 0 || item_bytes > bytes)
        code = csl_h5_fail(h, shown, "attribute %s is not a fixed string of at most %zu bytes",
                           name, bytes);
    else
        memory = memory_string(stored, bytes);
    if (code == CSL_OK && (memory < 0 || H5Aread(a, memory, out) < 0))
        code = csl_h5_fail(h, shown, "attribute %s is damaged", name);
    if (code == CSL_OK)
        terminate(out, count, bytes);
    if (memory >= 0)
        H5Tclose(memory);
    if (stored >= 0)
        H5Tclose(stored);
    return code;
}

enum csl_code csl_h5_text(const struct csl_h5 *h, hid_t object, const char *shown, const char *name,
                          bool is_optional, char *out, size_t bytes)
{
    hid_t a = -1;
    enum csl_code code = open_attribute(h, object, shown, name, is_optional, 0, &a);
    if (code != CSL_OK || a < 0)
        return code;
    code = read_strings(h, a, shown, name, 1, bytes, out);
    H5Aclose(a);
    return code;
}

enum csl_code csl_h5_texts(const struct csl_h5 *h, hid_t object, const char *shown,
                           const char *name, uint64_t count, size_t bytes, void *out)
{
    hid_t a = -1;
    enum csl_code code = open_attribute(h, object, shown, name, false, count, &a);
    if (code != CSL_OK)
        return code;
    code = read_strings(h, a, shown, name, count, bytes, out);
    H5Aclose(a);
    return code;
}

enum csl_code csl_h5_numbers(const struct csl_h5 *h, hid_t object, const char *shown,
                             const char *name, bool is_optional, enum csl_h5_type type,
                             uint64_t count, void *out)
{
    struct type_row row = type_row(type);
    hid_t a = -1;
    enum csl_code code = open_attribute(h, object, shown, name, is_optional, count, &a);
    if (code != CSL_OK || a < 0)
        return code;
    hid_t stored = H5Aget_type(a);
    if (stored < 0 || H5Tequal(stored, row.file) <= 0)
        code = csl_h5_fail(h, shown, "attribute %s is not little-endian %s", name, row.name);
    else if (H5Aread(a, row.memory, out) < 0)
        code = csl_h5_fail(h, shown, "attribute %s is damaged", name);
    if (stored >= 0)
        H5Tclose(stored);
    H5Aclose(a);
    return code;
}
