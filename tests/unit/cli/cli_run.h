/* Runs the program as people call it. One thread. */
#ifndef CSL_TESTS_CLI_RUN_H
#define CSL_TESTS_CLI_RUN_H
#include "base/json.h"

extern const char *cli_program;
extern char cli_folder[64];          /* of this test program; removed at the end */
extern char cli_output[1024 * 1024]; /* of the last run: stdout, and without --json stderr */

int cli_setup(void **state); /* cmocka group functions */
int cli_teardown(void **state);

/* Runs `consilium ARGS`; "%" in args stands for the test's folder. Returns the exit status. */
int cli_run(const char *args);
void cli_assert_printed(const char *text);
void cli_put_file(const char *name, const char *text); /* into the test's folder */

/* The output as JSON; the caller frees it. */
struct csl_json_doc *cli_parse_output(void);
/* The number at a path of keys with '/' between them; indices for arrays. Fails the test without.
 */
double cli_number(const struct csl_json_doc *doc, const char *path);
const char *cli_text(const struct csl_json_doc *doc, const char *path); /* the same for strings */
bool cli_has(const struct csl_json_doc *doc, const char *path);

#endif
