/* coordinator/config.h - the coordinator's configuration: one YAML file, one option table. */
#ifndef CSL_COORD_CONFIG_H
#define CSL_COORD_CONFIG_H
#include "base/file.h"
#include "base/option.h"

struct csl_coordinator_config {
    char study[CSL_PATH_MAX], roster[CSL_PATH_MAX], state[CSL_PATH_MAX];
    char initial_model[CSL_PATH_MAX]; /* "": none */
    char listen[128];
    struct {
        char key[CSL_PATH_MAX], chain[CSL_PATH_MAX], roots[CSL_PATH_MAX], trust_domain[64];
    } tls;
    struct {
        char key[CSL_PATH_MAX], roster[CSL_PATH_MAX], root[CSL_PATH_MAX]; /* all "": none */
        char epoch[CSL_PATH_MAX];                                         /* "": no sparse graphs */
    } secagg;
    uint64_t open_wait_ms, linger_ms;
    uint64_t uploads_max;
    uint64_t seed; /* 0: drawn from the operating system when the study begins */
    bool has_reflection, is_rehearsal;
    struct {
        int format, level;
    } log;
};
extern const struct csl_option csl_coordinator_options[];
/* Paths in the file are relative to the file; in *out they are usable as they are. */
enum csl_code csl_coordinator_config_read(struct csl_coordinator_config *out, const char *path,
                                          struct csl_err *err) CSL_MUST_CHECK;

#endif
