/* base/blob.h - named runs of bytes that are written once from front to back and read back: spooled
 * uploads, outboxes, downloaded models. Two kinds behind one face: a folder of files, and memory
 * for simulations. Names are ids (csl_id_valid). A folder's bytes may be lost with the power until
 * csl_blob_sync; whoever reads them back checks a digest.
 * Folder: any thread, one writer per name. Memory: one thread. */
#ifndef CSL_BASE_BLOB_H
#define CSL_BASE_BLOB_H
#include "base/bytes.h"

#include <stdint.h>

struct csl_blobs;
enum csl_code csl_blobs_open_dir(struct csl_blobs **out, const char *path,
                                 struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_blobs_new_memory(struct csl_blobs **out, struct csl_err *err) CSL_MUST_CHECK;
void csl_blobs_free(struct csl_blobs *b); /* files stay */

uint64_t csl_blob_size(struct csl_blobs *b, const char *name); /* 0 when absent */
/* offset must not lie beyond the end; bytes after it are overwritten. */
enum csl_code csl_blob_write(struct csl_blobs *b, const char *name, uint64_t offset,
                             struct csl_span s, struct csl_err *err) CSL_MUST_CHECK;
/* Exactly n bytes, or CSL_E_CORRUPT when the blob is shorter. */
enum csl_code csl_blob_read(struct csl_blobs *b, const char *name, uint64_t offset, void *out,
                            size_t n, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_blob_truncate(struct csl_blobs *b, const char *name, uint64_t bytes,
                                struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_blob_sync(struct csl_blobs *b, const char *name,
                            struct csl_err *err) CSL_MUST_CHECK;
void csl_blob_remove(struct csl_blobs *b, const char *name); /* absent: nothing */
/* Removes every blob but those in keep[]. */
void csl_blobs_keep_only(struct csl_blobs *b, const char *const *keep, uint32_t keep_count);

#endif
