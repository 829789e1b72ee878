/* cli/model_release.h - `consilium model card`, and the gate of `consilium model export`. */
#ifndef CSL_CLI_MODEL_RELEASE_H
#define CSL_CLI_MODEL_RELEASE_H
#include "cli/cli.h"
#include "coordinator/model/model_file.h"

/* Makes the card of a run again from its summary.json and prints it; CSL_EXIT_NEGATIVE where the
 * study's conditions for handing the model out are not met. */
int csl_cli_card(const struct csl_cli_doc *doc, const char *run_dir, bool is_json);

/* Whether the model may be written in another format. With the study at study_path (NULL:
 * study.yaml beside the model, if there is one) and a section 'release' in it, the summary.json
 * beside the model must be of this model and meet the study's conditions. false: *status is the
 * exit status, and what stands against it was printed. */
bool csl_cli_may_export(const struct csl_cli_doc *doc, const struct csl_model_file *m,
                        const char *model_path, const char *study_path, bool is_json, int *status);

#endif
