/* site-agent/data/batch_source.h - the inputs of one domain's batches, from memory or read ahead
 * from the record file.
 *
 * What is small stays in memory: patients, labels and times of all records always, and the inputs
 * too when they take at most `memory_bytes_max`. Above that the rows of the next batches are read
 * into a ring of buffers by the reader's thread while the caller works on the present one. Both
 * give the same bits: scaled as csl_dataset_load does it, in the order asked for. Text is held in
 * memory always.
 *
 *       plan: rows of batch 0, 1, 2, ...          csl_batch_source_start
 *   reader thread: | 3 | 4 | 5 |  ring           filled, at most `ring` of them
 *   caller:    2                                  csl_batch_source_next gives batch 2, then 3, ...
 *
 * A record file that changes while it is read (its size, time of change or identity, looked at
 * before and after every batch) ends the sequence with CSL_E_CORRUPT; the batches read before still
 * come out first, and none comes out that was read across a change. One thread uses a source;
 * cancel may come from any. */
#ifndef CSL_BATCH_SOURCE_H
#define CSL_BATCH_SOURCE_H
#include "site-agent/data/dataset.h"
#include "site-agent/data/reader.h"

#define CSL_SOURCE_MEMORY_BYTES (UINT64_C(4) << 30) /* the default of memory_bytes_max */
#define CSL_SOURCE_RING_MAX     64

struct csl_batch_source_config {
    uint64_t memory_bytes_max; /* of inputs; 0: always from the file */
    uint32_t rows_max;         /* no batch has more rows; >= 1 */
    uint32_t ring;             /* buffers, 2 to CSL_SOURCE_RING_MAX */
    bool saturates;            /* as under privacy (dataset.h): no single value refuses a site */
};

struct csl_batch_source;
/* CSL_E_INVAL: the file has the data but not as the domain describes them; a file without the
 * domain gives a source without records. Else as csl_dataset_load. The domain is borrowed until the
 * source is freed. */
enum csl_code csl_batch_source_open(struct csl_batch_source **out, struct csl_reader *reader,
                                    const char *record_path, const struct csl_domain *domain,
                                    enum csl_split split,
                                    const struct csl_batch_source_config *config,
                                    struct csl_err *err) CSL_MUST_CHECK;
void csl_batch_source_free(struct csl_batch_source *s); /* also in the middle; NULL allowed */

/* The records, as in dataset.h, but x is NULL when they are streamed. Valid as long as the source.
 */
const struct csl_examples *csl_batch_source_examples(const struct csl_batch_source *s);
bool csl_batch_source_streams(const struct csl_batch_source *s);

/* Batch k has the rows rows[end[k - 1]] to rows[end[k] - 1] (end[-1] = 0), indices into the
 * examples; it may be empty and may repeat a row. The arrays are copied. A plan that was still
 * running is cancelled first. CSL_E_INVAL: a row that is not there, a batch over rows_max, ends
 * that fall. */
enum csl_code csl_batch_source_start(struct csl_batch_source *s, const uint32_t *rows,
                                     const uint64_t *end, uint64_t batches,
                                     struct csl_err *err) CSL_MUST_CHECK;

struct csl_rows {
    const float *x;      /* [count, width]; valid until the next call on the source */
    const uint32_t *row; /* [count] as planned; valid until the next start or free */
    uint32_t count;
};
/* The next batch of the plan; waits for it. CSL_E_END after the last; CSL_E_CANCELLED;
 * CSL_E_CORRUPT, CSL_E_IO, CSL_E_INVAL, CSL_E_NOMEM: what the reader met, again at every further
 * call. */
enum csl_code csl_batch_source_next(struct csl_batch_source *s, struct csl_rows *out,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* Any thread: a waiting next returns CSL_E_CANCELLED, and so does every one until a new start. */
void csl_batch_source_cancel(struct csl_batch_source *s);

#endif
