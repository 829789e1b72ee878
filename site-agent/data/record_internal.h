/* site-agent/data/record_internal.h - what the files of site-agent/data share about records and
 * nobody else needs. */
#ifndef CSL_RECORD_INTERNAL_H
#define CSL_RECORD_INTERNAL_H
#include "base/limits.h"
#include "site-agent/data/record.h"

#define CSL_RECORD_FORMAT      "consilium.records/1"
#define CSL_MODALITIES_MAX     16
#define CSL_LABELS_MAX         32
#define CSL_ATTRIBUTES_MAX     16
#define CSL_SITE_RECORDS_MAX   UINT32_C(0x7fffffff) /* records of one file */
#define CSL_LABEL_UNKNOWN      (-1)
#define CSL_TABULAR_NAME       "tabular" /* of a tabular modality nobody named */
#define CSL_FEATURE_NAME_BYTES 64

/* What the kinds of modalities are made of, in the order of enum csl_modality. */
struct csl_kind {
    const char *name;
    uint32_t rank; /* axes per record */
    bool is_named; /* the last axis has names, units and ranges */
};
#define CSL_KIND_COUNT 7
extern const struct csl_kind csl_kinds__[CSL_KIND_COUNT];
const struct csl_kind *csl_kind_find__(const char *name); /* NULL */
/* Whether the modality's last axis has names. */
bool csl_modality_is_named__(const struct csl_record_modality *m);
/* Values per step of a modality with names: its last axis. */
uint32_t csl_modality_names__(const struct csl_record_modality *m);

/* Which parts of a record file are wanted. A part that is not keeps its names and shapes, but its
 * values stay NULL. NULL functions: everything is wanted. */
struct csl_record_wanted {
    bool (*modality)(const void *ctx, const struct csl_record_modality *m);
    bool (*label)(const void *ctx, const struct csl_record_label *l);
    const void *ctx;
};
enum csl_code csl_records_read__wanted(struct csl_records *out, const char *path,
                                       const struct csl_record_wanted *wanted,
                                       struct csl_err *err) CSL_MUST_CHECK;

/* Every rule of record.h on records in memory. Fails with `code`, naming `file` and the data set.
 */
enum csl_code csl_records_validate__(const struct csl_records *r, const char *file,
                                     enum csl_code code, struct csl_err *err) CSL_MUST_CHECK;

/* Values per record of a modality: the product of its shape. */
uint32_t csl_modality_width__(const struct csl_record_modality *m);
/* Valid UTF-8 without control bytes, 1 to max_bytes - 1 bytes. */
bool csl_text_valid__(const char *text, size_t max_bytes);
/* Text of a cell or a mapping against a listed value: equal bytes, or both numbers and equal. */
bool csl_value_equal__(const char *a, const char *b);

const struct csl_record_modality *csl_records_modality__(const struct csl_records *r,
                                                         const char *name); /* NULL */
const struct csl_record_label *csl_records_label__(const struct csl_records *r,
                                                   const char *name); /* NULL */

#endif
