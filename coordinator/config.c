#include "coordinator/config.h"

#include <string.h>

#define CONFIG_BYTES_MAX ((size_t)64 * 1024)
#define AT(member)                                                                                 \
    offsetof(struct csl_coordinator_config, member),                                               \
        sizeof(((struct csl_coordinator_config *)0)->member)
#define TLS(member)                                                                                \
    offsetof(struct csl_coordinator_config, tls.member) -                                          \
        offsetof(struct csl_coordinator_config, tls),                                              \
        sizeof(((struct csl_coordinator_config *)0)->tls.member)
#define SECAGG(member)                                                                             \
    offsetof(struct csl_coordinator_config, secagg.member) -                                       \
        offsetof(struct csl_coordinator_config, secagg),                                           \
        sizeof(((struct csl_coordinator_config *)0)->secagg.member)
#define LOG(member)                                                                                \
    offsetof(struct csl_coordinator_config, log.member) -                                          \
        offsetof(struct csl_coordinator_config, log),                                              \
        sizeof(((struct csl_coordinator_config *)0)->log.member)

static const char *const log_formats[] = {"logfmt", "json", NULL};
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};

static const struct csl_option tls_options[] = {
    {"key", CSL_OPT_PATH, TLS(key), 0, 0, NULL, NULL, NULL, NULL,
     "private key of the coordinator, PEM"},
    {"chain", CSL_OPT_PATH, TLS(chain), 0, 0, NULL, NULL, NULL, NULL,
     "certificate of the coordinator, then its issuers, PEM"},
    {"roots", CSL_OPT_PATH, TLS(roots), 0, 0, NULL, NULL, NULL, NULL,
     "certificates of the authority that vouches for the sites, PEM"},
    {"trust_domain", CSL_OPT_STR, TLS(trust_domain), 0, 0, NULL, NULL, NULL, NULL,
     "SPIFFE trust domain of the federation, as in spiffe://TRUST-DOMAIN/site/ID"},
    CSL_OPTION_END};

static const struct csl_option secagg_options[] = {
    {"key", CSL_OPT_PATH, SECAGG(key), 0, 0, NULL, NULL, NULL, NULL,
     "the coordinator's signing key, made by `consilium enrol coordinator`"},
    {"roster", CSL_OPT_PATH, SECAGG(roster), 0, 0, NULL, NULL, NULL, NULL,
     "the roster that the federation signed; the sites hold the same"},
    {"root", CSL_OPT_PATH, SECAGG(root), 0, 0, NULL, NULL, NULL, NULL,
     "public key of the federation's root; the secret one must not be here"},
    {"epoch", CSL_OPT_PATH, SECAGG(epoch), 0, 0, "", NULL, NULL, NULL,
     "what the sites said to draw the seed of sparse graphs, by `consilium enrol epoch close`"},
    CSL_OPTION_END};

static const struct csl_option log_options[] = {
    {"format", CSL_OPT_ENUM, LOG(format), 0, 0, "logfmt", NULL, log_formats, NULL,
     "form of a log line"},
    {"level", CSL_OPT_ENUM, LOG(level), 0, 0, "info", NULL, log_levels, NULL,
     "least important event that is logged"},
    CSL_OPTION_END};

const struct csl_option csl_coordinator_options[] = {
    {"study", CSL_OPT_PATH, AT(study), 0, 0, NULL, NULL, NULL, NULL, "the study's YAML file"},
    {"roster", CSL_OPT_PATH, AT(roster), 0, 0, NULL, NULL, NULL, NULL,
     "YAML file of the sites that may take part and the pins of their keys"},
    {"state", CSL_OPT_PATH, AT(state), 0, 0, NULL, NULL, NULL, NULL,
     "folder for the study's state, checkpoints and spooled updates"},
    {"initial_model", CSL_OPT_PATH, AT(initial_model), 0, 0, "", NULL, NULL, NULL,
     "weights a new study starts from, safetensors or NumPy .npz; drawn from the seed without it"},
    {"listen", CSL_OPT_STR, AT(listen), 0, 0, "127.0.0.1:7443", NULL, NULL, NULL,
     "address and port; port 0 lets the system choose, and state/address tells"},
    {"tls", CSL_OPT_SECTION, AT(tls), 0, 0, NULL, NULL, NULL, tls_options, "keys and certificates"},
    {"secure_aggregation", CSL_OPT_SECTION, AT(secagg), 0, 0, NULL, NULL, NULL, secagg_options,
     "what a study with secure aggregation takes"},
    {"open_wait", CSL_OPT_MS, AT(open_wait_ms), 0, 0, "10m", NULL, NULL, NULL,
     "how long enrolment waits for the rest of the roster once enough sites have accepted"},
    {"linger", CSL_OPT_MS, AT(linger_ms), 0, 0, "1m", NULL, NULL, NULL,
     "how long the coordinator stays after the end so that absent sites can hear of it"},
    {"uploads_at_once", CSL_OPT_U64, AT(uploads_max), 1, 1024, "16", NULL, NULL, NULL,
     "updates received at the same time; further sites wait for their turn (about 2 MB each)"},
    {"seed", CSL_OPT_U64, AT(seed), 0, 0, "0", NULL, NULL, NULL,
     "seed of the study's labelled randomness; 0 draws one when the study begins"},
    {"rehearsal", CSL_OPT_BOOL, AT(is_rehearsal), 0, 0, "false", NULL, NULL, NULL,
     "abort a study that too many sites declined, instead of waiting for them to approve it"},
    {"reflection", CSL_OPT_BOOL, AT(has_reflection), 0, 0, "false", NULL, NULL, NULL,
     "answer gRPC reflection, for debugging"},
    {"log", CSL_OPT_SECTION, AT(log), 0, 0, NULL, NULL, NULL, log_options,
     "logging to standard error"},
    CSL_OPTION_END};

enum csl_code csl_coordinator_config_read(struct csl_coordinator_config *out, const char *path,
                                          struct csl_err *err)
{
    struct csl_yaml *y = NULL;
    struct csl_coordinator_config c = {.seed = 0};
    enum csl_code code = csl_yaml_read(&y, path, CONFIG_BYTES_MAX, err);
    if (code != CSL_OK)
        return code;
    code = csl_option_read_yaml(csl_coordinator_options, &c, y, csl_yaml_root(y), err);
    csl_yaml_free(y);
    if (code == CSL_OK && (c.tls.key[0] == '\0' || c.tls.trust_domain[0] == '\0'))
        code = CSL_FAIL(err, CSL_E_INVAL,
                        "%s: the section tls (key, chain, roots, trust_domain) is missing", path);
    char *const paths[] = {c.study,       c.roster,      c.state,      c.tls.key,
                           c.tls.chain,   c.tls.roots,   c.secagg.key, c.secagg.roster,
                           c.secagg.root, c.secagg.epoch};
    for (size_t i = 0; code == CSL_OK && i < sizeof(paths) / sizeof(paths[0]); i++)
        code = paths[i][0] == '\0' ? CSL_OK : csl_path_beside(paths[i], path, err);
    if (code == CSL_OK && c.initial_model[0] != '\0')
        code = csl_path_beside(c.initial_model, path, err);
    if (code == CSL_OK)
        *out = c;
    return code;
}
