/* site-agent/data/record.h - the record file: one HDF5 file per site.
 *
 *   /                 attributes: format "consilium.records/1", site, created_by, licence,
 * split_rule /patients         group: id [N] fixed strings (opaque local keys), split [N] uint8 (0
 * train, 1 validation, 2 test), one data set per demographic attribute (age_band, sex) /records
 * group: patient [R] uint32 (index into /patients, ascending), time [R] int64 (seconds since
 * admission, or 0), availability [R, M] uint8 (a bit per modality) /modalities/NAME  data set [R,
 * ...] float32 (NaN = missing value), attribute kind: tabular     [R, F]           one value per
 * feature image2d     [R, H, W, C] signal      [R, T, C]        attribute sampling_rate_hz
 *                       ehr_series  [R, T, V]        T equal steps (hours) of V variables
 *                       embedding   [R, D]           of a frozen encoder
 *                       image3d     [R, D, H, W, C]
 *                     tabular and ehr_series: attributes names, units, range_min, range_max of the
 *                     last axis. For kind text a group, because notes differ in length: offsets
 *                     [R + 1] uint64, tokens uint32 (those of record i are tokens[offsets[i]] to
 *                     tokens[offsets[i + 1] - 1]), attributes kind, hash, buckets, ngrams,
 *                     tokens_max (text.h says what they mean); and only when the importer was told
 *                     to keep the notes, text uint8 (UTF-8) with text_offsets [R + 1] uint64
 *   /labels/NAME      data set [R]: binary and classes int16 (-1 = unknown), attribute classes;
 *                     survival: float32 [R, 2] = time, event (NaN time = unknown)
 *
 * A tabular modality is named "tabular" unless the mapping says otherwise; the others carry their
 * own names. Missing is not zero: whatever was not measured is NaN in the file, and stays known as
 * such (dataset.h). Data sets are contiguous or chunked with fletcher32. One thread at a time may
 * be inside HDF5; callers keep to one reader thread (reader.h). */
#ifndef CSL_RECORD_H
#define CSL_RECORD_H
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "site-agent/data/text.h"

#include <stdbool.h>
#include <stdint.h>

/* --- writing: built in memory by importers and by synth, written once, atomically --- */
struct csl_record_modality {
    char name[64], kind[16];
    uint32_t rank;      /* axes after the record axis */
    uint32_t shape[4];  /* as above; text: [tokens_max] */
    float *values;      /* [R, product of shape]; NaN = missing; owned; NULL for text */
    uint8_t *available; /* [R]; owned */
    /* tabular, ehr_series: of the last axis; owned; equal ranges = not stated */
    char (*feature_names)[64], (*feature_units)[24];
    double *range_min, *range_max;
    double sampling_rate_hz;      /* signal */
    struct csl_record_text *text; /* text only; owned */
};
/* The notes of one modality. A record without a token is one without the modality. */
struct csl_record_text {
    struct csl_text_rule rule;
    uint64_t *offsets;      /* [R + 1]; ascending from 0; owned */
    uint32_t *tokens;       /* [offsets[R]] in [1, buckets); owned */
    uint64_t *kept_offsets; /* [R + 1]; NULL: the notes were not kept; owned */
    char *kept;             /* [kept_offsets[R]] UTF-8; owned */
};
struct csl_record_label {
    char name[64];
    uint32_t classes;    /* 0: survival */
    int16_t *value;      /* [R]; -1 unknown; NULL for survival; owned */
    float *time, *event; /* [R] survival; NaN time unknown; owned */
};
struct csl_record_attribute {
    char name[64];
    char (*value)[32]; /* [N]; "" unknown; owned */
};
struct csl_records {
    char site[64], licence[128], split_rule[192];
    uint32_t patient_count, record_count;
    char (*patient_id)[64]; /* [N] */
    uint8_t *split;         /* [N] enum csl_split */
    uint32_t *patient;      /* [R] */
    int64_t *time;          /* [R] */
    struct csl_record_modality modalities[16];
    uint32_t modality_count;
    struct csl_record_label labels[32];
    uint32_t label_count;
    struct csl_record_attribute attributes[16];
    uint32_t attribute_count;
};
void csl_records_release(struct csl_records *r);
enum csl_code csl_records_write(const struct csl_records *r, const char *path,
                                struct csl_err *err) CSL_MUST_CHECK;
/* Reads the whole file with every check of shape, range and reference: CSL_E_CORRUPT names the file
 * and the data set. */
enum csl_code csl_records_read(struct csl_records *out, const char *path,
                               struct csl_err *err) CSL_MUST_CHECK;

/* --- importing --- */
/* CSV under a YAML mapping (docs/operations/import.md): patient key or row number, join with a
 * second csv, row filter, features (columns, unit, range, missing markers), modalities that lie in
 * other files (recordings, images, archives) or in text columns, labels, split, attributes.
 * where_*: an extra row filter given by the caller (may be NULL / 0). Errors name file, line,
 * column. */
enum csl_code csl_import_csv(struct csl_records *out, const char *site, const char *csv_path,
                             const char *mapping_path, const char *where_column,
                             const char (*where_any_of)[64], uint32_t where_count,
                             struct csl_err *err) CSL_MUST_CHECK;
/* NumPy .npz (zip of .npy, stored or deflated) under a mapping: arrays to modality, labels, split.
 */
enum csl_code csl_import_npz(struct csl_records *out, const char *site, const char *npz_path,
                             const char *mapping_path, struct csl_err *err) CSL_MUST_CHECK;

/* --- looking --- */
/* Readiness report: counts by class and split, missingness, values out of the stated range,
 * duplicate records, patients in two splits, single-class splits. Text or JSON. *problems counts
 * what training would refuse. `study` (may be NULL) adds the check against its domains. Never
 * prints a value of a single patient. */
struct csl_study;
enum csl_code csl_records_check(const struct csl_records *r, const struct csl_study *study,
                                struct csl_buf *text, struct csl_json *json, uint32_t *problems,
                                struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_records_describe(const struct csl_records *r, struct csl_buf *text,
                                   struct csl_json *json, struct csl_err *err) CSL_MUST_CHECK;

/* --- synthetic hospitals (site-agent/data/synth.c) --- */
/* Hospital `index` (0..CSL_SYNTH_SITES-1 of the standard federation; more wrap around with other
 * seeds) of a deterministic federation: six domains (heart-table, mortality-table, survival-table:
 * tabular; xray-image, ultrasound-image: 16x16 image2d; ecg-signal: 64x3 signal), eight hospitals
 * in four countries; sites differ in prevalence, device (gain, offset, noise) and missing
 * modalities. */
#define CSL_SYNTH_SITES 8
struct csl_synth_config {
    uint64_t seed;
    uint32_t patients; /* 0: the hospital's own size in the standard federation */
};
enum csl_code csl_synth_hospital(struct csl_records *out, uint32_t index,
                                 const struct csl_synth_config *c,
                                 struct csl_err *err) CSL_MUST_CHECK;
const char *csl_synth_site_id(uint32_t index); /* "lyon", "turin", ... */
const char *csl_synth_country(uint32_t index); /* "FR" */
/* Best score any model can reach on the task, by construction (AUC; C-index for survival). NAN:
 * no such domain. */
double csl_synth_bayes_score(const char *domain_label);

#endif
