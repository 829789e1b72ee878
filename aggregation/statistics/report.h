/* aggregation/statistics/report.h - the statistics of a study with their names: what is published,
 * as statistics.json, and what it says about the data being ready to train on. One thread. */
#ifndef CSL_STATISTICS_REPORT_H
#define CSL_STATISTICS_REPORT_H
#include "aggregation/statistics/statistics.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"

#define CSL_STATISTICS_FORMAT    "consilium.statistics/1"
#define CSL_STATISTICS_BYTES_MAX (64u * 1024u * 1024u)

struct csl_statistics_cell {
    char name[2 * CSL_ID_MAX + 8]; /* "label = answer" */
    struct csl_statistic patients;
};
struct csl_statistics_feature {
    char name[CSL_ID_MAX], unit[24];
    struct csl_statistics_range range;
    struct csl_feature_figures figures;
};
struct csl_statistics_domain {
    char id[CSL_ID_MAX];
    struct csl_statistics_sum sum; /* how it came about */
    struct csl_statistic patients;
    struct csl_statistics_cell *cells;       /* [cell_count]; owned */
    uint32_t cell_count, answers;            /* answers: cells of one question, one after another */
    struct csl_statistics_feature *features; /* [feature_count]; owned */
    uint32_t feature_count;
};
struct csl_statistics_report {
    char study[CSL_ID_MAX], study_digest[65]; /* digest: hexadecimal */
    char privacy[16];                         /* mode */
    double epsilon, delta;                    /* of a patient at one site; 0 without privacy */
    bool is_masked, is_rehearsal;
    struct csl_statistics_domain *domains; /* [domain_count]; owned */
    uint32_t domain_count;
};

void csl_statistics_report_release(struct csl_statistics_report *r); /* accepts an empty one */
/* NULL: the report has no such domain, the domain no such feature. */
const struct csl_statistics_domain *
csl_statistics_find_domain(const struct csl_statistics_report *r, const char *id);
const struct csl_statistics_feature *
csl_statistics_find_feature(const struct csl_statistics_domain *d, const char *name);

/* A whole file, with the findings of csl_statistics_readiness. */
void csl_statistics_write(const struct csl_statistics_report *r, struct csl_buf *out);
/* For files of others: study, privacy and domains are ids (csl_id_valid), the digest is lower-case
 * hexadecimal, and no other text has a control character. `name` is shown in errors. CSL_E_CORRUPT
 * names what is wrong; CSL_E_NOMEM. */
enum csl_code csl_statistics_parse(struct csl_statistics_report *out, const char *name,
                                   struct csl_span json, struct csl_err *err) CSL_MUST_CHECK;
/* The file `path`. */
enum csl_code csl_statistics_read(struct csl_statistics_report *out, const char *path,
                                  struct csl_err *err) CSL_MUST_CHECK;
/* Tables with intervals, for a terminal. */
void csl_statistics_print(const struct csl_statistics_report *r, struct csl_buf *out);
/* "57.1 [55.2, 58.9]" or "hidden (at most 5)". */
void csl_statistics_text(const struct csl_statistic *s, double factor, char *dst, size_t dst_bytes);

/* What a person should look at before anything is trained, in the report's order. feature: "" for
 * the whole domain. Shares are told in bands. */
typedef void csl_statistics_tell(void *ctx, const char *domain, const char *feature,
                                 const char *text);
void csl_statistics_readiness(const struct csl_statistics_report *r, csl_statistics_tell *tell,
                              void *ctx);
/* The bands that the interval touches: "below 1 %", "1 to 20 %", "20 % or more". */
void csl_statistics_band(const struct csl_statistic *share, char *dst, size_t dst_bytes);

#endif
