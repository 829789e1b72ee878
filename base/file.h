/* base/file.h - whole files: read with a maximum, written so that a reader sees the old or the new.
 */
#ifndef CSL_BASE_FILE_H
#define CSL_BASE_FILE_H
#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define CSL_PATH_MAX 1024

/* A NUL follows the last byte, beyond n, so that text can be read in place. CSL_E_NOTFOUND,
 * CSL_E_LIMIT when longer than max_bytes, CSL_E_IO. */
enum csl_code csl_file_read(struct csl_msg *out, const char *path, size_t max_bytes,
                            struct csl_err *err) CSL_MUST_CHECK;
/* Writes path.tmp, fsyncs, renames, fsyncs the directory. mode e.g. 0600. */
enum csl_code csl_file_write_atomic(const char *path, struct csl_span bytes, unsigned mode,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* The second half alone, for writers that stream (HDF5): fsync tmp, rename, fsync directory. */
enum csl_code csl_file_commit(const char *tmp_path, const char *path,
                              struct csl_err *err) CSL_MUST_CHECK;
/* Unlinks it and fsyncs the directory; nothing there is as good. CSL_E_IO, CSL_E_LIMIT. */
enum csl_code csl_file_remove(const char *path, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_dir_make(const char *path,
                           struct csl_err *err) CSL_MUST_CHECK; /* with parents; 0700 */
bool csl_file_exists(const char *path);
/* path = a/b joined; CSL_E_LIMIT when longer than out. An absolute b replaces a. */
enum csl_code csl_path_join(char *out, size_t out_bytes, const char *a, const char *b,
                            struct csl_err *err) CSL_MUST_CHECK;

/* The same with the folder of the file `beside` as a: paths in a configuration file are relative to
 * it. In place: path is both input and output. */
enum csl_code csl_path_beside(char path[CSL_PATH_MAX], const char *beside,
                              struct csl_err *err) CSL_MUST_CHECK;

/* Takes the folder for this process: a second owner gets CSL_E_EXISTS. *fd is closed to let go, and
 * the kernel lets go when the process dies. */
enum csl_code csl_dir_lock(const char *path, int *fd, struct csl_err *err) CSL_MUST_CHECK;

#endif
