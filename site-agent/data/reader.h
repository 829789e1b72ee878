/* site-agent/data/reader.h - the one thread that is inside HDF5 while record files are streamed.
 *
 * HDF5 has one global state. A process that streams makes one reader; every batch source that reads
 * a file while training runs (batch_source.h) does so on its thread, in turn. Nothing else may be
 * inside HDF5 at the same time: csl_records_read, csl_dataset_load and csl_multimodal_load come
 * before the first source is started, or after the last one is freed. */
#ifndef CSL_READER_H
#define CSL_READER_H
#include "base/err.h"

struct csl_reader;
enum csl_code csl_reader_new(struct csl_reader **out, struct csl_err *err) CSL_MUST_CHECK;
/* Every source of it is freed before. NULL allowed. */
void csl_reader_free(struct csl_reader *r);

#endif
