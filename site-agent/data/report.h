/* site-agent/data/report.h - counts that both looks at a site's records show: `data check` and
 * `data describe`. Nothing here is a value of one patient: counts, and means over at least
 * CSL_REPORT_PATIENTS_MIN patients. */
#ifndef CSL_DATA_REPORT_H
#define CSL_DATA_REPORT_H
#include "site-agent/data/record_internal.h"

#define CSL_REPORT_PATIENTS_MIN 5

extern const char *const csl_split_names[3];

struct csl_split_counts {
    uint32_t patients[3], records[3];
};
void csl_report_splits(const struct csl_records *r, struct csl_split_counts *out);

/* Of one label in one split. Survival: classes[1] events, classes[0] censored. */
struct csl_label_counts {
    uint32_t known, unknown, classes[CSL_CLASSES_MAX];
};
void csl_report_label(const struct csl_records *r, const struct csl_record_label *l, uint8_t split,
                      struct csl_label_counts *out);

/* Of one input column of a table, or one variable of a series, over the records that have it.
 * missing: records without one known value; out_of_range: records with one. */
struct csl_column_counts {
    uint32_t available, missing, out_of_range, patients;
    uint64_t known;   /* values */
    double mean, std; /* of the known values; std with ddof 1, 0 below two values */
};
void csl_report_column(const struct csl_records *r, const struct csl_record_modality *m,
                       uint32_t column, double range_min, double range_max,
                       struct csl_column_counts *out);
/* Of the notes of one modality. */
struct csl_text_counts {
    uint64_t tokens;
    uint32_t patients; /* with a note */
    uint32_t full;     /* notes that fill tokens_max, so that their end may be cut off */
};
void csl_report_text(const struct csl_records *r, const struct csl_record_modality *m,
                     struct csl_text_counts *out);
uint32_t csl_report_available(const struct csl_records *r, const struct csl_record_modality *m);

/* The part that both start with, as text (may be NULL) and as members of an open JSON object (may
 * be NULL). */
void csl_report_head(const struct csl_records *r, struct csl_buf *text, struct csl_json *json);
void csl_report_labels(const struct csl_records *r, struct csl_buf *text, struct csl_json *json);

#endif
