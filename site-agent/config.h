/* site-agent/config.h - a site's configuration: one YAML file, one option table. */
#ifndef CSL_SITE_CONFIG_H
#define CSL_SITE_CONFIG_H
#include "base/file.h"
#include "base/option.h"
#include "site-agent/core/policy.h"

struct csl_site_config {
    char site[CSL_ID_MAX];
    char coordinator[256], server_name[128], http_proxy[256];
    char records[CSL_PATH_MAX], state[CSL_PATH_MAX];
    char initial_model[CSL_PATH_MAX]; /* "": none */
    struct {
        char key[CSL_PATH_MAX], chain[CSL_PATH_MAX], roots[CSL_PATH_MAX], trust_domain[64];
    } tls;
    struct {
        char key[CSL_PATH_MAX], roster[CSL_PATH_MAX], root[CSL_PATH_MAX]; /* all "": none */
        char epoch[CSL_PATH_MAX];                                         /* "": no sparse graphs */
    } secagg;
#ifdef CSL_TEST_SEEDS
    uint64_t test_only_noise_seed; /* 0: none; tests build it in, released programs lack the key */
#endif
    int backend;
    uint32_t training_threads; /* 1 or 2 */
    struct {
        int approval;
        const struct csl_yaml_node *approved_studies, *strategies, *privacy_modes, *budgets;
        uint32_t minimum_sites;
        char cohort[CSL_ID_MAX];
        bool allow_large_delta, masked_only, noised_statistics_only;
        char masked_colluding[16];
        uint32_t masked_minimum_sites, masked_minimum_honest, masked_largest_share,
            masked_audit_chunks;
    } policy_rows;
    struct csl_site_policy policy; /* what policy_rows say, checked */
    struct {
        uint64_t minimum_ms, maximum_ms;
    } reconnect;
    struct {
        int format, level;
    } log;
};
extern const struct csl_option csl_site_options[];
extern const char *const csl_site_backends[]; /* by config.backend */
/* Paths in the file are relative to the file; in *out they are usable as they are. */
enum csl_code csl_site_config_read(struct csl_site_config *out, const char *path,
                                   struct csl_err *err) CSL_MUST_CHECK;

#endif
