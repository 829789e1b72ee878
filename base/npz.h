/* base/npz.h - reading NumPy's .npz (a zip of .npy files) from bytes nobody vouches for.
 *
 * Zip: the central directory is what counts (APPNOTE 4.3.12 and 4.3.16); stored and deflated
 * members; every length and offset is checked against the file, sizes and CRC-32 against the
 * content. Refused: encryption, several disks, zip64, duplicate names. Npy: format versions 1 and 2
 * (numpy.lib.format), dtypes u1 i2 i4 i8 f4 f8, little-endian, C order. One thread. */
#ifndef CSL_BASE_NPZ_H
#define CSL_BASE_NPZ_H
#include "base/bytes.h"
#include "base/err.h"

#define CSL_NPZ_MEMBERS_MAX 256
#define CSL_NPY_RANK_MAX    5
#define CSL_NPZ_BYTES_MAX   ((size_t)1 << 32) /* of the file, and of one array */

struct csl_zip_member {
    char name[128]; /* without ".npy" */
    uint32_t crc;
    uint32_t compressed_bytes, bytes;
    uint16_t method;     /* 0 stored, 8 deflated */
    size_t local_offset; /* of its local header */
};
struct csl_zip {
    const char *path; /* for errors; borrowed */
    struct csl_span file;
    struct csl_zip_member members[CSL_NPZ_MEMBERS_MAX];
    uint32_t member_count;
};
enum csl_npy_type { CSL_NPY_U1, CSL_NPY_I2, CSL_NPY_I4, CSL_NPY_I8, CSL_NPY_F4, CSL_NPY_F8 };
struct csl_npy {
    struct csl_msg bytes; /* the whole member; owned */
    const uint8_t *data;  /* [product of shape] in it, unaligned */
    enum csl_npy_type type;
    uint32_t rank;
    uint64_t shape[CSL_NPY_RANK_MAX];
    uint64_t count; /* product of shape */
};

/* Reads the directory. `file` is borrowed and must outlive *z. CSL_E_CORRUPT names the file. */
enum csl_code csl_zip_open(struct csl_zip *z, const char *path, struct csl_span file,
                           struct csl_err *err) CSL_MUST_CHECK;
const struct csl_zip_member *csl_zip_find(const struct csl_zip *z, const char *name); /* NULL */
/* The bytes of one member, its size and checksum verified. */
enum csl_code csl_zip_read(const struct csl_zip *z, const struct csl_zip_member *m,
                           struct csl_msg *out, struct csl_err *err) CSL_MUST_CHECK;
/* Unpacks one member and reads its header. */
enum csl_code csl_npy_read(struct csl_npy *out, const struct csl_zip *z,
                           const struct csl_zip_member *m, struct csl_err *err) CSL_MUST_CHECK;
void csl_npy_release(struct csl_npy *a);
/* Element i < count as a double (i8 beyond 2^53 is rounded). */
double csl_npy_value(const struct csl_npy *a, uint64_t i);

#endif
