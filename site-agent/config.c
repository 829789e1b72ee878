#include "site-agent/config.h"

#include "base/str.h"

#include <string.h>

#define CONFIG_BYTES_MAX ((size_t)64 * 1024)
#define AT(member)                                                                                 \
    offsetof(struct csl_site_config, member), sizeof(((struct csl_site_config *)0)->member)
#define IN(section, member)                                                                        \
    offsetof(struct csl_site_config, section.member) - offsetof(struct csl_site_config, section),  \
        sizeof(((struct csl_site_config *)0)->section.member)

static const char *const log_formats[] = {"logfmt", "json", NULL};
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const approvals[] = {"required", "automatic", NULL};
const char *const csl_site_backends[] = {"auto", "cpu-ref", "cpu-dnnl", NULL};

static const struct csl_option tls_options[] = {
    {"key", CSL_OPT_PATH, IN(tls, key), 0, 0, NULL, NULL, NULL, NULL,
     "private key of this site, PEM"},
    {"chain", CSL_OPT_PATH, IN(tls, chain), 0, 0, NULL, NULL, NULL, NULL,
     "certificate of this site, then its issuers, PEM"},
    {"roots", CSL_OPT_PATH, IN(tls, roots), 0, 0, NULL, NULL, NULL, NULL,
     "certificates of the authority that vouches for the coordinator, PEM"},
    {"trust_domain", CSL_OPT_STR, IN(tls, trust_domain), 0, 0, NULL, NULL, NULL, NULL,
     "SPIFFE trust domain of the federation"},
    CSL_OPTION_END};

static const struct csl_option policy_options[] = {
    {"approval", CSL_OPT_ENUM, IN(policy_rows, approval), 0, 0, "required", NULL, approvals, NULL,
     "whether a study must be listed below before anything runs"},
    {"approved_studies", CSL_OPT_NODE, IN(policy_rows, approved_studies), 0, 0, NULL, NULL, NULL,
     NULL, "list of study digests (64 hexadecimal digits, from `consilium study show`)"},
    {"minimum_sites", CSL_OPT_U32, IN(policy_rows, minimum_sites), 1, CSL_SITES_MAX, "2", "sites",
     NULL, NULL, "a study that would aggregate fewer sites in a round is refused"},
    {"strategies", CSL_OPT_NODE, IN(policy_rows, strategies), 0, 0, NULL, NULL, NULL, NULL,
     "list of aggregation strategies this site allows; without it all are allowed"},
    CSL_OPTION_END};

static const struct csl_option reconnect_options[] = {
    {"minimum", CSL_OPT_MS, IN(reconnect, minimum_ms), 0, 0, "1s", NULL, NULL, NULL,
     "first wait before dialling again"},
    {"maximum", CSL_OPT_MS, IN(reconnect, maximum_ms), 0, 0, "5m", NULL, NULL, NULL,
     "longest wait before dialling again"},
    CSL_OPTION_END};

static const struct csl_option log_options[] = {
    {"format", CSL_OPT_ENUM, IN(log, format), 0, 0, "logfmt", NULL, log_formats, NULL,
     "form of a log line"},
    {"level", CSL_OPT_ENUM, IN(log, level), 0, 0, "info", NULL, log_levels, NULL,
     "least important event that is logged"},
    CSL_OPTION_END};

const struct csl_option csl_site_options[] = {
    {"site", CSL_OPT_ID, AT(site), 0, 0, NULL, NULL, NULL, NULL,
     "this site's id, as in its certificate"},
    {"coordinator", CSL_OPT_STR, AT(coordinator), 0, 0, NULL, NULL, NULL, NULL,
     "host and port of the coordinator"},
    {"server_name", CSL_OPT_STR, AT(server_name), 0, 0, "", NULL, NULL, NULL,
     "name the coordinator's certificate must carry, when it is not the host above"},
    {"http_proxy", CSL_OPT_STR, AT(http_proxy), 0, 0, "", NULL, NULL, NULL,
     "HTTP CONNECT proxy on the way out, as http://host:port"},
    {"records", CSL_OPT_PATH, AT(records), 0, 0, NULL, NULL, NULL, NULL,
     "HDF5 record file made by `consilium data import`; opened for reading only"},
    {"state", CSL_OPT_PATH, AT(state), 0, 0, NULL, NULL, NULL, NULL,
     "folder for this site's journal and outbox"},
    {"tls", CSL_OPT_SECTION, AT(tls), 0, 0, NULL, NULL, NULL, tls_options, "keys and certificates"},
    {"backend", CSL_OPT_ENUM, AT(backend), 0, 0, "auto", NULL, csl_site_backends, NULL,
     "where training runs"},
    {"policy", CSL_OPT_SECTION, AT(policy_rows), 0, 0, NULL, NULL, NULL, policy_options,
     "what this site refuses, whatever the coordinator asks"},
    {"reconnect", CSL_OPT_SECTION, AT(reconnect), 0, 0, NULL, NULL, NULL, reconnect_options,
     "full-jitter back-off of the outbound connection"},
    {"log", CSL_OPT_SECTION, AT(log), 0, 0, NULL, NULL, NULL, log_options,
     "logging to standard error"},
    CSL_OPTION_END};

static enum csl_code check_list(const struct csl_yaml *y, const struct csl_yaml_node *node,
                                struct csl_err *err)
{
    if (node->kind != CSL_YAML_SEQUENCE || node->child_count > CSL_POLICY_LIST_MAX)
        return csl_yaml_fail(err, y, node, "%s: a list of at most %d entries would be right",
                             node->key, CSL_POLICY_LIST_MAX);
    for (const struct csl_yaml_node *n = node->first_child; n != NULL; n = n->next)
        if (n->kind != CSL_YAML_SCALAR)
            return csl_yaml_fail(err, y, n, "%s: plain text would be right", node->key);
    return CSL_OK;
}

static enum csl_code read_policy(struct csl_site_config *c, const struct csl_yaml *y,
                                 struct csl_err *err)
{
    struct csl_site_policy *p = &c->policy;
    p->approval = (enum csl_approval)c->policy_rows.approval;
    p->minimum_sites = c->policy_rows.minimum_sites;
    const struct csl_yaml_node *studies = c->policy_rows.approved_studies;
    const struct csl_yaml_node *strategies = c->policy_rows.strategies;
    enum csl_code code = studies == NULL ? CSL_OK : check_list(y, studies, err);
    if (code == CSL_OK && strategies != NULL)
        code = check_list(y, strategies, err);
    if (code != CSL_OK)
        return code;
    for (const struct csl_yaml_node *n = studies == NULL ? NULL : studies->first_child; n != NULL;
         n = n->next)
        if (!csl_unhex(n->text, p->approved[p->approved_count++], CSL_DIGEST_BYTES))
            return csl_yaml_fail(err, y, n,
                                 "approved_studies: 64 hexadecimal digits would be right");
    for (const struct csl_yaml_node *n = strategies == NULL ? NULL : strategies->first_child;
         n != NULL; n = n->next)
        if (!csl_str_copy(p->strategies[p->strategy_count++], CSL_ID_MAX, n->text))
            return csl_yaml_fail(err, y, n, "strategies: a shorter name would be right");
    return CSL_OK;
}

enum csl_code csl_site_config_read(struct csl_site_config *out, const char *path,
                                   struct csl_err *err)
{
    struct csl_yaml *y = NULL;
    struct csl_site_config c = {.backend = 0};
    enum csl_code code = csl_yaml_read(&y, path, CONFIG_BYTES_MAX, err);
    if (code != CSL_OK)
        return code;
    code = csl_option_read_yaml(csl_site_options, &c, y, csl_yaml_root(y), err);
    if (code == CSL_OK)
        code = read_policy(&c, y, err);
    csl_yaml_free(y);
    c.policy_rows.approved_studies = c.policy_rows.strategies = NULL;
    if (code == CSL_OK && (c.tls.key[0] == '\0' || c.tls.trust_domain[0] == '\0'))
        code = CSL_FAIL(err, CSL_E_INVAL,
                        "%s: the section tls (key, chain, roots, trust_domain) is missing", path);
    char *const paths[] = {c.records, c.state, c.tls.key, c.tls.chain, c.tls.roots};
    for (size_t i = 0; code == CSL_OK && i < sizeof(paths) / sizeof(paths[0]); i++)
        code = csl_path_beside(paths[i], path, err);
    if (code == CSL_OK)
        *out = c;
    return code;
}
