/* tests/unit/data/support.h - what the tests of site-agent/data share. Every test runs in a scratch
 * folder of its own process, removed at the end. */
#ifndef CSL_TEST_DATA_SUPPORT_H
#define CSL_TEST_DATA_SUPPORT_H
#include "protocol/study/study.h"
#include "site-agent/data/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* assert_int_equal on the code, with the error's text when it differs. */
#define ASSERT_CODE(code, expected, err)                                                           \
    do {                                                                                           \
        enum csl_code got_ = (code);                                                               \
        if (got_ != (expected))                                                                    \
            fail_msg("%s instead of %s: %s", csl_code_name(got_), csl_code_name(expected),         \
                     got_ == CSL_OK ? "" : (err)->msg);                                            \
    } while (0)
#define ASSERT_OK(code, err) ASSERT_CODE(code, CSL_OK, err)
#define ASSERT_SAYS(err, text)                                                                     \
    do {                                                                                           \
        if (strstr((err)->msg, (text)) == NULL)                                                    \
            fail_msg("'%s' does not say '%s'", (err)->msg, (text));                                \
    } while (0)

int scratch_make(void **state); /* group set-up and tear-down */
int scratch_remove(void **state);
/* Path of `name` in the scratch folder; valid until the fourth call after. */
const char *scratch(const char *name);
const char *scratch_text(const char *name, const char *text); /* writes the file first */

/* A file of the reference data below CONSILIUM_DATA (default ../shared/data), or NULL after saying
 * that the test is skipped. */
const char *reference(const char *name);
const char *scenario(const char *name); /* simulations/scenarios/NAME */

/* Six records of five patients: table "tabular" with features a and b, image2d "scan" 2x2x1, signal
 * "lead" 3x2; labels "ill" (binary), "grade" (3 classes), "life" (survival); attribute "sex". */
void small_records(struct csl_records *r);
/* The same with three steps of "hours" (ehr_series: pulse, ph), an embedding "vector" [5], an
 * image3d "volume" 2x3x2x1 and text "note" with the notes kept; record 2 lacks the first three, 1
 * the last. */
void many_records(struct csl_records *r);
bool records_equal(const struct csl_records *a, const struct csl_records *b);

/* A one-domain study over the stated part; features by name for a tabular domain. */
struct test_study {
    struct csl_study study;
    struct csl_domain domain;
    struct csl_feature features[64];
};
void study_of_table(struct test_study *t, const char *label, enum csl_task_kind task,
                    uint32_t classes, const char *const *features, uint32_t feature_count);
void study_of_array(struct test_study *t, const char *id, const char *label,
                    enum csl_modality modality, const uint32_t shape[3]);

/* Area under the ROC curve; ties count one half. */
double auc_of(const double *score, const uint8_t *label, uint32_t n);
double concordance_of(const double *score, const float *time, const uint8_t *event, uint32_t n);

#endif
