/* site-agent/data/batch_internal.h - a batch source from inside. reader.c has the thread and the
 * ring, batch_file.c what the thread does in HDF5, batch_source.c the rest. */
#ifndef CSL_BATCH_INTERNAL_H
#define CSL_BATCH_INTERNAL_H
#include "base/file.h"
#include "base/thread.h"
#include "site-agent/data/batch_source.h"
#include "site-agent/data/dataset_internal.h"
#include "site-agent/data/h5_read.h"

/* Which file it is and whether it was touched. */
struct csl_file_mark {
    uint64_t device, inode, bytes;
    int64_t seconds, nanoseconds;
};

struct csl_row_at { /* a row of a batch on its way: record of the file, place in the batch */
    uint32_t record, place;
};

struct csl_batch_source {
    /* set by open; read by both threads */
    struct csl_reader *reader;
    const struct csl_domain *domain;
    struct csl_batch_source_config config;
    enum csl_split split;
    char path[CSL_PATH_MAX];
    struct csl_examples examples; /* x NULL: streamed */
    bool streams;

    /* reader thread only, once open */
    uint32_t *record; /* [examples.records] where they lie in the file; owned */
    struct csl_feature_constants constants;
    struct csl_domain_source source;   /* columns; modality points at `layout` */
    struct csl_record_modality layout; /* kind and shape; values is the scratch; owned */
    char shown[192];                   /* "/modalities/NAME" */
    struct csl_file_mark mark;
    struct csl_h5 h5;
    hid_t set;
    int rank;
    uint64_t dims[CSL_H5_RANK_MAX];
    uint32_t scratch_rows;
    struct csl_row_at *order; /* [rows_max]; owned */

    /* the plan: written by start while the reader leaves the source alone */
    uint32_t *rows; /* owned */
    uint64_t *end;  /* [batches]; owned */
    uint64_t batches;
    float *buffers; /* [ring, rows_max, width]; buffer of batch k is k mod ring; owned */

    /* guarded by the reader's mutex */
    bool is_running, is_busy, is_cancelled, holds;
    uint64_t filled, taken, released; /* batches; released <= taken <= filled <= released + ring */
    enum csl_code failure;
    struct csl_err failure_err;
    struct csl_batch_source *next;
};

uint64_t csl_batch_first__(const struct csl_batch_source *s, uint64_t batch); /* into rows */
uint32_t csl_batch_rows__(const struct csl_batch_source *s, uint64_t batch);
float *csl_batch_buffer__(const struct csl_batch_source *s, uint64_t batch);

/* reader.c. Runs f(arg) on the reader's thread and waits for it. */
void csl_reader_run__(struct csl_reader *r, void (*f)(void *arg), void *arg);
void csl_reader_add__(struct csl_reader *r, struct csl_batch_source *s);
void csl_reader_remove__(struct csl_reader *r, struct csl_batch_source *s); /* waits until idle */
/* Stops the running plan; on return the reader leaves the source alone. */
void csl_reader_stop__(struct csl_reader *r, struct csl_batch_source *s);
void csl_reader_start__(struct csl_reader *r, struct csl_batch_source *s);
void csl_reader_cancel__(struct csl_reader *r, struct csl_batch_source *s);
enum csl_code csl_reader_next__(struct csl_reader *r, struct csl_batch_source *s, uint64_t *batch,
                                struct csl_err *err) CSL_MUST_CHECK;

/* batch_file.c, on the reader's thread. */
enum csl_code csl_batch_open__(struct csl_batch_source *s, struct csl_err *err) CSL_MUST_CHECK;
void csl_batch_close__(struct csl_batch_source *s);
enum csl_code csl_batch_fill__(struct csl_batch_source *s, uint64_t batch,
                               struct csl_err *err) CSL_MUST_CHECK;

#endif
