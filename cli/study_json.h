/* cli/study_json.h - a parsed study with every default filled in, for people and for programs. */
#ifndef CSL_CLI_STUDY_JSON_H
#define CSL_CLI_STUDY_JSON_H
#include "base/json.h"
#include "protocol/study/study.h"

void csl_cli_study_json(const struct csl_study *s, struct csl_buf *out);
void csl_cli_study_text(const struct csl_study *s, struct csl_buf *out);
/* Into the open object. Sections: fairness, release, secure_aggregation, personalisation
 * (study_sections.c). */
void csl_cli_put_sections(struct csl_json *j, const struct csl_study *s);
void csl_cli_put_baseline(struct csl_json *j, const char *key, const struct csl_baseline *b);
void csl_cli_put_digest(struct csl_json *j, const char *key,
                        const uint8_t digest[CSL_DIGEST_BYTES]);

#endif
