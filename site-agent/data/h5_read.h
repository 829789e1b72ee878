/* site-agent/data/h5_read.h - the few ways this module takes something out of an HDF5 file, each
 * with its checks: hard links only, no external or virtual storage, no filter but fletcher32, the
 * exact type, the rank and extents asked for, and never more memory than the file has bytes. */
#ifndef CSL_H5_READ_H
#define CSL_H5_READ_H
#include "base/err.h"

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

#define CSL_H5_RANK_MAX 5

struct csl_h5 {
    const char *path;
    hid_t file;
    uint64_t file_bytes;
    struct csl_err *err;
};

enum csl_code csl_h5_open(struct csl_h5 *h, const char *path, struct csl_err *err) CSL_MUST_CHECK;
void csl_h5_close(struct csl_h5 *h);
/* CSL_E_CORRUPT: "PATH: NAME: text". */
enum csl_code csl_h5_fail(const struct csl_h5 *h, const char *name, const char *fmt, ...)
    CSL_PRINTF(3, 4);

/* Opens a group or data set of `parent` (`name` is one link; `shown` its path for errors). */
enum csl_code csl_h5_open_group(const struct csl_h5 *h, hid_t parent, const char *name,
                                const char *shown, hid_t *out) CSL_MUST_CHECK;
enum csl_code csl_h5_open_set(const struct csl_h5 *h, hid_t parent, const char *name,
                              const char *shown, hid_t *out) CSL_MUST_CHECK;
/* Whether the link leads to a group; false also for what is not there. */
bool csl_h5_is_group(hid_t parent, const char *name);
/* Names of a group's links in the order they were made (by name when the file did not keep it). */
enum csl_code csl_h5_list(const struct csl_h5 *h, hid_t group, const char *shown, char (*names)[64],
                          uint32_t names_max, uint32_t *count) CSL_MUST_CHECK;

enum csl_h5_type {
    CSL_H5_U8,
    CSL_H5_I16,
    CSL_H5_U32,
    CSL_H5_U64,
    CSL_H5_I64,
    CSL_H5_F32,
    CSL_H5_F64
};
/* Extents of a data set: its rank must lie in [rank_min, rank_max <= CSL_H5_RANK_MAX]; dims
 * holds CSL_H5_RANK_MAX. */
enum csl_code csl_h5_extents(const struct csl_h5 *h, hid_t set, const char *shown, int rank_min,
                             int rank_max, int *rank, uint64_t *dims) CSL_MUST_CHECK;
/* All of a data set with `count` elements of exactly `type`; *out is owned (csl_free). */
enum csl_code csl_h5_read_set(const struct csl_h5 *h, hid_t set, const char *shown,
                              enum csl_h5_type type, uint64_t count, void **out) CSL_MUST_CHECK;
/* The checks of csl_h5_read_set alone; *bytes is what all of it takes. */
enum csl_code csl_h5_check_set(const struct csl_h5 *h, hid_t set, const char *shown,
                               enum csl_h5_type type, uint64_t count, size_t *bytes) CSL_MUST_CHECK;
/* Rows first to first + count - 1 of a float32 set of `rank` axes; dims as csl_h5_extents found
 * them. */
enum csl_code csl_h5_read_rows(const struct csl_h5 *h, hid_t set, const char *shown, int rank,
                               const uint64_t *dims, uint64_t first, uint64_t count,
                               float *to) CSL_MUST_CHECK;
/* Fixed strings, each widened to `bytes` with a NUL. */
enum csl_code csl_h5_read_strings(const struct csl_h5 *h, hid_t set, const char *shown,
                                  uint64_t count, size_t bytes, void **out) CSL_MUST_CHECK;

/* Attributes. A missing one is corrupt unless `is_optional`, and then leaves the output alone. */
enum csl_code csl_h5_text(const struct csl_h5 *h, hid_t object, const char *shown, const char *name,
                          bool is_optional, char *out, size_t bytes) CSL_MUST_CHECK;
enum csl_code csl_h5_texts(const struct csl_h5 *h, hid_t object, const char *shown,
                           const char *name, uint64_t count, size_t bytes,
                           void *out) CSL_MUST_CHECK;
/* count 0: a scalar. */
enum csl_code csl_h5_numbers(const struct csl_h5 *h, hid_t object, const char *shown,
                             const char *name, bool is_optional, enum csl_h5_type type,
                             uint64_t count, void *out) CSL_MUST_CHECK;

#endif
